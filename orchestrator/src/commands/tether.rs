//! `orch tether`: becomes a program that ends when the process that asked for it does,
//! however that ends (prctl(2), PR_SET_PDEATHSIG).

use anyhow::{Result, bail};
use clap::Parser;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// What a shell says of a program that is not there.
pub const NOT_FOUND: u8 = 127;

#[derive(Debug, Parser)]
pub struct Args {
    /// Who asks.
    parent: i32,
    /// The program, and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() != args.parent {
        bail!("process {} is gone", args.parent);
    }
    // `orch dap` waits for signals, and so has blocked them.
    SigSet::all().thread_unblock()?;
    let error = Command::new(&args.command[0])
        .args(&args.command[1..])
        .exec();
    eprintln!("orch: {}: {error}", args.command[0].display());
    Ok(ExitCode::from(NOT_FOUND))
}
