//! The `orch` and `ublame` commands: record systems of several processes,
//! replay them, and tell what happened.

mod commands;
mod dap;
mod describe;
mod gdb;
mod inspect;
mod merge;
mod output;
mod position;
mod replay;
mod stubs;
mod supervisor;
mod travel;

use anyhow::Result;
use clap::Parser as _;
use std::process::ExitCode;

/// The `orch` command.
#[must_use]
pub fn orch() -> ExitCode {
    exit(commands::Cli::parse().run())
}

/// The `ublame` command: the same as `orch ublame`.
#[must_use]
pub fn ublame() -> ExitCode {
    exit(commands::Ublame::parse().run())
}

fn exit(result: Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        // Who read the output has seen enough (`orch events | head`).
        Err(e) if output::is_closed(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("orch: {}", in_words(&e));
            ExitCode::from(if e.is::<commands::Usage>() { 2 } else { 1 })
        }
    }
}

/// An error and its causes, each told once: some tell their cause themselves.
fn in_words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}
