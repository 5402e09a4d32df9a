//! A recording as a target of gdb's remote protocol, forwards and backwards.
//! The protocol itself is the `gdbstub` crate's.

mod arch;
mod call;
mod catch;
mod connection;
mod files;
mod hits;
mod made;
mod packets;
mod process;
mod registers;
mod signals;
mod sysroot;
mod target;

pub use connection::{Stdio, Wire};
pub use sysroot::{Sysroot, link};

use crate::travel::{Travel, Wanted};
use anyhow::{Result, anyhow};
use gdbstub::stub::GdbStub;

/// Serves one debugger, until it goes.
///
/// # Errors
/// If the recording cannot be replayed any more.
pub fn serve(travel: Travel, wire: Wire) -> Result<()> {
    let target = target::Target::new(travel, wire.interrupts());
    run(target, wire)
}

/// The same, for one that goes from one of the `wanted` places to the next.
///
/// # Errors
/// If the recording cannot be replayed any more.
pub fn serve_hits(mut travel: Travel, wire: Wire, wanted: Wanted) -> Result<()> {
    let search = hits::Search::begin(&mut travel, wanted, &wire.interrupts())?;
    let target = target::Target::new(travel, wire.interrupts());
    run(target.with(search), wire)
}

fn run(mut target: target::Target, wire: Wire) -> Result<()> {
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
