//! Everything that knows the machine.
pub mod x86_64;
