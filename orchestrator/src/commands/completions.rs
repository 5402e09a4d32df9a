//! `orch completions`.

use super::Cli;
use crate::output::Output;
use anyhow::Result;
use clap::CommandFactory as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Arguments of `orch completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch completions bash > ~/.local/share/bash-completion/completions/orch
  orch completions zsh > ~/.zfunc/_orch
  orch completions fish > ~/.config/fish/completions/orch.fish")]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Runs it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "orch", &mut script);
    let mut out = Output::new();
    out.write_all(&script)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
