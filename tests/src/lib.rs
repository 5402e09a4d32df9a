//! End-to-end tests: what they share.
//!
//! `programs.toml` lists the programs that are recorded and replayed; every
//! row is a test of its own (see `tests/programs.rs`). `robustness.rs` tests
//! what happens when things are killed, damaged or missing, `examples.rs` the systems
//! under `examples/`, `dap/` what editors do, `gdb.rs` what gdb does.

pub mod fixture;
pub mod gdb;
pub mod orch;
pub mod program;
pub mod run;
