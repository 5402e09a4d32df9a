//! The command line: one file a command.

mod record;
mod replay;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Record and replay systems of several processes.
#[derive(Debug, Parser)]
#[command(name = "orch", version, propagate_version = true)]
pub struct Cli {
    /// Session directory (default: the newest one).
    #[arg(short, long, global = true, value_name = "DIR", env = "ORCH_SESSION")]
    session: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record a command and everything that it starts.
    Record(record::Args),
    /// Run recordings again and check that nothing differs.
    Replay(replay::Args),
    /// The process that a recording is replayed in; its code never runs.
    #[command(hide = true)]
    ReplayHost,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, for the user.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Record(args) => record::run(&args),
            Command::Replay(args) => replay::run(self.session.as_deref(), &args),
            Command::ReplayHost => anyhow::bail!("this command is for internal use"),
        }
    }
}
