//! The `orch` command: records systems of several processes and replays them.

mod commands;
mod replay;
mod supervisor;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::Cli::parse().run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("orch: {e:#}");
            ExitCode::from(1)
        }
    }
}
