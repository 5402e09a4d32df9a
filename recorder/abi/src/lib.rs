//! What the runtime inside a tracee and the supervisor outside agree on.
//!
//! Everything here is plain data: fixed addresses ([`layout`]), the memory
//! both sides map ([`shared`]), the records that pass through it ([`record`])
//! and the model of the system calls ([`syscalls`]). No code of this crate
//! touches memory that is not its own, so it needs no `unsafe`.
#![no_std]

pub mod access;
pub mod digest;
pub mod layout;
pub mod record;
pub mod shared;
pub mod stop;
pub mod syscalls;
pub mod window;
