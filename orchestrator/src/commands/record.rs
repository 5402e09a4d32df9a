//! `orch record`.

use crate::describe::safe;
use crate::supervisor::{self, Options};
use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use orch_recorder::launch;
use orch_recorder::session::{self, Meta, Refused, Session};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `orch record`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch record -- ./launch-all.sh
  orch record -o /tmp/session -- make -j2
  orch record --until=root -- ./start-daemons.sh

The exit code is the command's own (128 + signal if it was killed).")]
pub struct Args {
    /// Session directory to make (default: a new one under $XDG_DATA_HOME/orch).
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// When to end: with the whole process tree, or with the root process
    /// (what is left of the tree is then ended).
    #[arg(long, value_enum, default_value = "tree")]
    until: Until,
    /// Say nothing but errors.
    #[arg(short, long)]
    quiet: bool,
    /// Log a digest of all memory every 256 system calls of a process, so that
    /// a replay that goes wrong is caught near the cause (slow).
    #[arg(long)]
    digest: bool,
    /// Leave system-call sites unpatched (slower; to find out whether
    /// patching is the cause of a problem).
    #[arg(long)]
    no_patch: bool,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Until {
    Tree,
    Root,
}

/// Runs it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let named = args.output.is_some();
    let dir = match &args.output {
        Some(dir) => dir.clone(),
        None => session::default_dir(&args.command[0])?,
    };
    if named && dir.exists() {
        bail!(
            "{} exists already; give another directory with -o, or remove it",
            dir.display()
        );
    }
    let command = args
        .command
        .iter()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let env = std::env::vars_os()
        .map(|(k, v)| format!("{}={}", k.to_string_lossy(), v.to_string_lossy()))
        .collect();
    let mut meta = Meta::now(
        command,
        std::env::current_dir().context("the working directory is gone")?,
        env,
    );
    meta.no_patch = args.no_patch;
    let mut session = Session::create(&dir, meta)?;
    let options = Options {
        no_patch: args.no_patch,
        digest: args.digest,
        until_root: args.until == Until::Root,
    };
    let outcome = match supervisor::record(&session, &args.command, &options) {
        Ok(outcome) => outcome,
        Err(e) => return failed(session, e),
    };
    if session.recordings().is_ok_and(|r| r.is_empty()) {
        session.abort()?;
        return Ok(ExitCode::from(126));
    }
    session.update(|meta| meta.end(outcome.code, outcome.refused.clone()))?;
    let _ = std::fs::remove_file(session.arena());
    if !named {
        let _ = session::link_latest(&dir);
    }
    if !args.quiet {
        report(&dir, &outcome);
    }
    Ok(ExitCode::from(u8::try_from(outcome.code).unwrap_or(1)))
}

/// The program did not start, or could no longer be recorded.
fn failed(session: Session, error: anyhow::Error) -> Result<ExitCode> {
    if session.recordings().is_ok_and(|r| r.is_empty()) {
        // Nothing was recorded: leave nothing behind.
        let _ = std::fs::remove_file(session.arena());
        let _ = session.abort();
    } else {
        eprintln!(
            "orch: recording stopped, and what was recorded was ended; \
             what there is can be read with -s {}",
            session.dir().display()
        );
    }
    // As shells do (POSIX, 2.8.2 Exit Status for Commands).
    match error.downcast_ref() {
        Some(launch::Error::Exec {
            program,
            errno,
            interpreter,
        }) => {
            let missing = *errno == Errno::ENOENT || !is_in_path(program);
            let why = match (errno, interpreter) {
                (Errno::ENOENT, Some(interpreter)) => &without(interpreter),
                _ if missing => "there is no such program",
                (Errno::EACCES, _) => "it may not be executed",
                (Errno::ENOEXEC, _) => "it is not an x86-64 program that the kernel can run",
                (other, _) => other.desc(),
            };
            eprintln!("orch: cannot run {program}: {why}");
            Ok(ExitCode::from(if missing { 127 } else { 126 }))
        }
        _ => Err(error),
    }
}

/// What to say of a program whose interpreter is missing.
fn without(interpreter: &Path) -> String {
    let name = interpreter.as_os_str().as_bytes();
    match name.strip_suffix(b"\r") {
        Some(plain) => format!(
            "its interpreter would be {} with a carriage return in its name, as its first line \
             ends with one; end it with a line feed alone",
            safe(plain)
        ),
        None => format!("its interpreter, {}, does not exist", safe(name)),
    }
}

/// Whether a program that is to be searched for is anywhere: a directory of
/// PATH that may not be read makes execvp(3) say EACCES.
fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.contains('/') || std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}

fn report(dir: &Path, outcome: &supervisor::Outcome) {
    for Refused {
        call,
        detail,
        count,
    } in &outcome.refused
    {
        let call = format!("{call} {detail}");
        let call = call.trim_end();
        eprintln!("orch: {call} cannot be recorded; it was refused {count} time(s)");
    }
    let n = outcome.recordings;
    eprintln!(
        "orch: {n} recording{} in {}",
        if n == 1 { "" } else { "s" },
        dir.display()
    );
}
