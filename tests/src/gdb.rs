//! gdb on a recording, without anybody who types.

use crate::orch::Place;
use crate::run::Outcome;
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Runs gdb commands at a position.
///
/// # Errors
/// If gdb fails.
pub fn gdb(place: &Place, position: &str, commands: &[&str]) -> Result<Outcome> {
    let script = place.path().join("commands.gdb");
    let all = [
        "set pagination off",
        "set width 0",
        "set breakpoint pending on",
    ];
    fs::write(&script, [&all[..], commands].concat().join("\n"))?;
    let script = script.to_str().context("UTF-8")?;
    let outcome = place.read(&["gdb", position, "--", "-batch", "-x", script], LIMIT)?;
    ensure!(outcome.code() == Some(0), "{outcome}");
    Ok(outcome)
}
