//! Stubs, executed: each must do to registers, flags, vector state and memory
//! what the program's own instructions do, wherever the memory is.
//!
//! The view that a stub must not touch has no permissions meanwhile; alias and
//! copy lie elsewhere, and the runtime's side of the contract is played by
//! `machine`.

mod forms;
mod machine;
mod measure;
mod random;
mod scenario;
mod singles;
mod windows;
