//! `orch demo`.

mod build;
mod example;
mod rows;
mod solve;
mod tour;

use super::Usage;
use crate::output::{Output, Style};
use anyhow::{Context as _, Result};
use example::{EXAMPLES, Example};
use orch_recorder::session;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};
use tour::Tour;

/// Arguments of `orch demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch demo
  orch demo --list
  orch demo market-data --keep

Writes a small system of several processes that has a fault, builds it, records it,
and finds with `orch ublame` who did it. The session stays, to look around in; the
exit code is 0 if the culprit was found. The C and C++ examples need a compiler.")]
pub struct Args {
    /// Which example.
    #[arg(default_value = "job-queue")]
    name: String,
    /// List the examples.
    #[arg(long)]
    list: bool,
    /// Keep the sources and programs too.
    #[arg(long)]
    keep: bool,
}

/// Runs it.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        list()?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(example) = EXAMPLES.iter().find(|e| e.name == args.name) else {
        let names: Vec<&str> = EXAMPLES.iter().map(|e| e.name).collect();
        let text = format!(
            "there is no example {}; there are {}",
            args.name,
            names.join(", ")
        );
        return Err(Usage(text).into());
    };
    let mut place = tempfile::Builder::new()
        .prefix("orch-demo-")
        .tempdir()
        .context("no temporary directory can be made")?;
    place.disable_cleanup(args.keep);
    let dir = place.path().join(example.name);
    write_sources(example, &dir)?;
    let mut tour = Tour::new(example, dir, new_session(example.name)?)?;
    let found = guide(&mut tour)?;
    if args.keep {
        let dir = tour.dir().display().to_string();
        tour.say(&format!("Sources and programs are in {dir}."))?;
    }
    Ok(super::found(found))
}

/// The whole tour; whether it ended with the culprit.
fn guide(tour: &mut Tour) -> Result<bool> {
    let example = tour.example;
    tour.say(&format!("{}: {}", example.name, example.about))?;
    build::build(tour)?;
    tour.record()?;
    tour.processes()?;
    let culprit = (example.solve)(tour)?;
    let found = match &culprit {
        Some(text) => {
            tour.verdict(Style::Good, text)?;
            true
        }
        None => {
            let text = "This time the blame does not show who it was: please report it.";
            tour.verdict(Style::Bad, text)?;
            false
        }
    };
    let same = tour.show(&["replay", "--check"])?;
    tour.go_on()?;
    Ok(found && same)
}

fn list() -> io::Result<()> {
    let mut out = Output::new();
    for example in &EXAMPLES {
        let name = format!("{:<14}", example.name);
        writeln!(
            out,
            "{}{}",
            out.style(Style::Bold, &name),
            example.language.needs()
        )?;
        writeln!(out, "  {}", example.about)?;
    }
    out.flush()
}

fn write_sources(example: &Example, dir: &Path) -> Result<()> {
    let write = || -> io::Result<()> {
        fs::create_dir(dir)?;
        for (name, text) in example.files {
            let path = dir.join(name);
            fs::write(&path, text)?;
            if path.extension() == Some(OsStr::new("sh")) {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write the example to {}", dir.display()))
}

/// The name of a session that `orch record` is to make.
fn new_session(name: &str) -> Result<std::path::PathBuf> {
    let dir = session::default_dir(OsStr::new(name))?;
    fs::remove_dir(&dir).with_context(|| format!("cannot use {}", dir.display()))?;
    Ok(dir)
}
