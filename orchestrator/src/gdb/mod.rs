//! A recording as a target of gdb's remote protocol, forwards and backwards.
//! The protocol itself is the `gdbstub` crate's.

mod arch;
mod connection;
mod sysroot;
mod target;

pub use connection::{Stdio, Wire};
pub use sysroot::Sysroot;

use crate::travel::Travel;
use anyhow::{Result, anyhow};
use gdbstub::stub::GdbStub;

/// Serves one debugger, until it goes.
///
/// # Errors
/// If the recording cannot be replayed any more.
pub fn serve(travel: Travel, wire: Wire) -> Result<()> {
    let mut target = target::Target::new(travel, wire.interrupts());
    let stub = GdbStub::new(wire);
    match stub.run_blocking::<target::Events>(&mut target) {
        Ok(_) => Ok(()),
        Err(e) if e.is_target_error() => Err(e
            .into_target_error()
            .unwrap_or_else(|| anyhow!("the replay ended"))),
        // The debugger is gone.
        Err(e) if e.is_connection_error() => Ok(()),
        Err(e) => Err(anyhow!("gdb's remote protocol: {e}")),
    }
}
