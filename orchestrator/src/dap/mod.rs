//! Recordings in an editor's debugger: the Debug Adapter Protocol on one side, gdb on
//! the other, which stands on the remote protocol of [`crate::gdb`].
//!
//! One thread does everything, and hears of everything by one channel ([`Input`]).
//! While it waits for gdb, what comes from elsewhere is kept for later; only a client
//! that goes is heard at once.

mod adapter;
mod blame;
mod breakpoints;
mod evaluate;
mod gdb;
mod launch;
mod memory;
mod mi;
mod motion;
mod protocol;
mod stack;
mod variables;

pub use gdb::tethered;

use adapter::Adapter;
use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};
use protocol::{BadMessage, Client, FrameError, Request};
use std::io::BufReader;
use std::path::Path;
use std::process::{ExitCode, Output};
use std::sync::mpsc::{Sender, channel};

/// What happens to the adapter.
pub enum Input {
    /// The client wants something.
    Request(Request),
    /// It said something else.
    Bad(BadMessage),
    /// It is not to be understood any more.
    Broken(FrameError),
    /// It is gone, or wants this process to be.
    Gone,
    /// gdb said something.
    Gdb(mi::Record),
    /// gdb is gone.
    GdbGone,
    /// A command has ended.
    Done(std::io::Result<Output>),
}

/// Serves the client at standard input and output, until it goes.
///
/// # Errors
/// If what it sends is no message of the protocol.
pub fn serve(session: Option<&Path>) -> Result<ExitCode> {
    let (inputs, from) = channel();
    end_in_order(inputs.clone())?;
    let to = inputs.clone();
    std::thread::spawn(move || read(&to));
    let client = Client::new(Box::new(std::io::stdout()));
    Adapter::new(client, inputs, from, session).run()?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the client's messages.
fn read(to: &Sender<Input>) {
    let mut from = BufReader::new(std::io::stdin());
    loop {
        let input = match protocol::read(&mut from) {
            Ok(None) => break,
            Err(e) => {
                let _ = to.send(Input::Broken(e));
                break;
            }
            Ok(Some(body)) => match protocol::parse(&body) {
                Ok(None) => continue,
                Ok(Some(request)) => Input::Request(request),
                Err(bad) => Input::Bad(bad),
            },
        };
        if to.send(input).is_err() {
            return;
        }
    }
    let _ = to.send(Input::Gone);
}

/// A signal that ends this process lets it clean up.
fn end_in_order(to: Sender<Input>) -> Result<()> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals.thread_block()?;
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            let _ = to.send(Input::Gone);
        }
    });
    Ok(())
}
