//! Recordings: the runtime that makes them, the format they are kept in, the sessions they belong to.

pub mod files;
pub mod print;
pub mod session;
pub mod trace;
