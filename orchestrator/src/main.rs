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
