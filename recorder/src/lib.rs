//! Recordings: the runtime that makes them, the format they are kept in, the sessions they belong to.

pub mod arena;
pub mod blob;
pub mod cpuid;
mod fd_passing;
pub mod files;
pub mod image;
mod interpreter;
pub mod launch;
pub mod limit;
pub mod print;
pub mod recover;
pub mod regular;
pub mod relocate;
pub mod session;
pub mod trace;
pub mod tracee;
