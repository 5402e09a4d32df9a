//! Builds the programs under `fixtures/`.

use crate::orch::{Place, User};
use crate::run::{self, Outcome};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use std::{env, fs};
use tempfile::TempDir;

/// Builds `source` (relative to `fixtures/`) with the C compiler `cc` into
/// `to`; each combination is compiled once a test run.
///
/// # Errors
/// With the compiler's messages.
pub fn build(source: &str, cc: Option<&str>, flags: &[String], to: &Path) -> Result<()> {
    type Built = HashMap<String, PathBuf>;
    static BUILT: OnceLock<Mutex<(TempDir, Built)>> = OnceLock::new();
    let cc = cc.unwrap_or("gcc");
    let built = BUILT.get_or_init(|| {
        Mutex::new((
            tempfile::tempdir().expect("a temporary directory can be made"),
            HashMap::new(),
        ))
    });
    let mut built = built
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let key = format!("{cc} {flags:?} {source}");
    if !built.1.contains_key(&key) {
        let program = built.0.path().join(built.1.len().to_string());
        compile(source, cc, flags, &program)?;
        built.1.insert(key.clone(), program);
    }
    copy(&built.1[&key], to)
}

/// Copies a program, in a process of its own: children that other threads start meanwhile
/// would hold it open for writing until they call execve, and it could not be executed.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").args([from, to]).status()?;
    ensure!(status.success(), "cannot copy to {}", to.display());
    Ok(())
}

/// How long a fixture, or the example, may run.
const LIMIT: Duration = Duration::from_secs(120);

/// A new place with a recording of `source`, built as `name`, and what it printed.
///
/// # Errors
/// If it cannot be built, or does not exit with 0.
pub fn recorded(source: &str, name: &str, flags: &[String]) -> Result<(Place, Outcome)> {
    let place = Place::new(User::Own)?;
    let program = place.path().join(name);
    build(source, None, flags, &program)?;
    let program = program.to_str().context("UTF-8")?;
    let outcome = run::run(&mut place.record(&[program]), LIMIT)?;
    ensure!(outcome.code() == Some(0), "{outcome}");
    Ok((place, outcome))
}

/// A new place with `examples/job-queue`, and how it failed when it was recorded.
///
/// # Errors
/// If it cannot be built, or does not fail.
pub fn job_queue() -> Result<(Place, Outcome)> {
    example("job-queue", "Assertion")
}

/// A new place with an example, whose sources are in a directory of that name, and how it
/// failed when it was recorded: it said `symptom`.
///
/// # Errors
/// If it cannot be built, or does not fail.
pub fn example(name: &str, symptom: &str) -> Result<(Place, Outcome)> {
    let place = Place::new(User::Own)?;
    let dir = place.path().join(name);
    let example = directory().join("../../examples").join(name);
    let copied = Command::new("cp")
        .arg("-r")
        .args([&example, &dir])
        .status()?;
    ensure!(copied.success(), "cannot copy the example");
    if dir.join("Makefile").exists() {
        let made = Command::new("make").arg("-s").current_dir(&dir).status()?;
        ensure!(made.success(), "cannot build the example");
    }
    // No other test, or user, has this name now.
    let name = place.path().file_name().unwrap_or_default();
    let launch = dir.join("launch.sh");
    let mut command = place.record(&[launch.to_str().context("UTF-8")?]);
    let name = format!("/{}", name.display());
    command.env("QUEUE", &name).env("RING", &name);
    let recorded = run::run(&mut command, LIMIT)?;
    let said = recorded.stderr.contains(symptom) || recorded.stdout.contains(symptom);
    ensure!(said, "{recorded}");
    Ok((place, recorded))
}

/// `tests/fixtures`.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn compile(source: &str, cc: &str, flags: &[String], to: &Path) -> Result<()> {
    let fixtures = directory();
    let mut compiler = Command::new(cc);
    if cc == "go" {
        compiler.arg("build");
    } else {
        compiler
            .args([
                "-O1",
                "-g",
                "-Wall",
                "-Wno-unused-result",
                "-pthread",
                "-D_GNU_SOURCE",
                "-I",
            ])
            .arg(&fixtures);
    }
    let output = compiler
        .args(flags)
        .arg("-o")
        .arg(to)
        .arg(fixtures.join(source))
        .output()
        .with_context(|| format!("cannot run {cc}"))?;
    if !output.status.success() {
        bail!(
            "{cc} {source}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// A copy of the fixtures, with the examples beside them as in the repository,
/// that every user can read: the checkout may be in a private directory.
///
/// # Errors
/// If they cannot be copied.
pub fn readable() -> Result<PathBuf> {
    static COPY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let copy = COPY.get_or_init(|| copy_for_all().map_err(|e| format!("{e:#}")));
    copy.clone().map_err(anyhow::Error::msg)
}

fn copy_for_all() -> Result<PathBuf> {
    let root = env::temp_dir().join(format!("orch-fixtures-{}", std::process::id()));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::create_dir_all(root.join("tests"))?;
    for folder in ["tests/fixtures", "examples"] {
        let status = Command::new("cp")
            .arg("-r")
            .arg(repository.join(folder))
            .arg(root.join(folder))
            .status()?;
        anyhow::ensure!(status.success(), "cannot copy {folder}");
    }
    let status = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(&root)
        .status()?;
    anyhow::ensure!(status.success(), "cannot open {} to all", root.display());
    Ok(root.join("tests/fixtures"))
}
