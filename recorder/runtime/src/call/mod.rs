//! Calls that need more than the table, by family.
mod inherit;
pub mod limits;
pub mod memory;
pub mod process;
pub mod signal;
pub mod thread;
pub mod views;
