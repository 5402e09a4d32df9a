//! The `orch` command: records systems of several processes and replays them.

mod commands;
mod describe;
mod merge;
mod output;
mod position;
mod replay;
mod supervisor;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::Cli::parse().run() {
        Ok(code) => code,
        // Who read the output has seen enough (`orch events | head`).
        Err(e) if output::is_closed(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("orch: {e:#}");
            ExitCode::from(if e.is::<commands::Usage>() { 2 } else { 1 })
        }
    }
}
