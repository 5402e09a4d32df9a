//! `orch man`.

use super::{Cli, Ublame};
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `orch man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  orch man ~/.local/share/man/man1 && man orch-record")]
pub struct Args {
    /// Directory to write the pages to; it is made if it is not there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let dir = args.dir.display();
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {dir}"))?;
    for command in [Cli::command(), Ublame::command()] {
        let command = command.disable_help_subcommand(true);
        clap_mangen::generate_to(command, &args.dir)
            .with_context(|| format!("cannot write manual pages to {dir}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
