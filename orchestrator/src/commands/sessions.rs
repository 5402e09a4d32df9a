//! `orch sessions`.

use super::Usage;
use crate::output::{self, Output, Style};
use anyhow::Result;
use orch_recorder::session::{self, Session, SessionError};
use serde::Serialize;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `orch sessions`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  orch sessions
  orch sessions --json | jq -r 'select(.bytes > 1e9) | .name'
  orch sessions remove make-1 make-2

Sessions are kept in $XDG_DATA_HOME/orch, newest first; those recorded with -o
are where they were put, and can be removed by their path.
If there is no session, the exit code is 1."
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// One JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List them (as without a word).
    List,
    /// Delete sessions.
    Remove {
        /// Name as listed, or directory.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<PathBuf>,
    },
}

/// Runs it.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.action {
        None | Some(Action::List) => list(args.json),
        Some(Action::Remove { names }) => remove(names, args.json),
    }
}

#[derive(Serialize)]
struct Object {
    name: String,
    dir: PathBuf,
    command: Vec<String>,
    state: &'static str,
    started: u64,
    ended: Option<u64>,
    exit: Option<i32>,
    recordings: usize,
    bytes: u64,
}

fn object(dir: &Path) -> Result<Object, SessionError> {
    let session = Session::open(dir)?;
    let meta = session.meta();
    let state = match (meta.clean, meta.running()) {
        (true, _) => "ended",
        (false, Some(_)) => "running",
        (false, None) => "cut_off",
    };
    let name = dir.file_name().unwrap_or(dir.as_os_str());
    Ok(Object {
        name: name.to_string_lossy().into_owned(),
        dir: dir.to_owned(),
        command: meta.command.clone(),
        state,
        started: meta.started,
        ended: meta.ended,
        exit: meta.exit_status,
        recordings: session.recordings()?.len(),
        bytes: session.disk_usage()?,
    })
}

fn list(json: bool) -> Result<ExitCode> {
    let mut out = Output::new();
    let mut rows = Vec::new();
    for dir in session::list()? {
        match object(&dir) {
            Ok(object) => rows.push(object),
            Err(e) => eprintln!("orch: {e}"),
        }
    }
    if json {
        rows.iter().try_for_each(|row| out.json(row))?;
    } else {
        table(&mut out, &rows)?;
        if rows.is_empty() {
            eprintln!("orch: there is no session; make one with `orch record -- COMMAND`");
        }
    }
    out.flush()?;
    Ok(super::found(!rows.is_empty()))
}

fn table(out: &mut Output, rows: &[Object]) -> io::Result<()> {
    let name = rows
        .iter()
        .map(|r| r.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(4);
    if !rows.is_empty() {
        let text = format!(
            "{:<name$}  {:<23}  {:>12}  {:>10}  {:>8}  {:<8}  COMMAND",
            "NAME", "STARTED", "TOOK", "RECORDINGS", "SIZE", "ENDED"
        );
        writeln!(out, "{}", out.style(Style::Bold, &text))?;
    }
    for row in rows {
        let took = row
            .ended
            .map(|end| output::duration(end.saturating_sub(row.started)));
        let (style, ended) = match (row.state, row.exit) {
            ("ended", Some(0)) => (Style::Plain, "exit 0".to_owned()),
            ("ended", Some(code)) => (Style::Warn, format!("exit {code}")),
            ("running", _) => (Style::Good, "running".to_owned()),
            _ => (Style::Bad, "cut off".to_owned()),
        };
        let head = format!(
            "{:<name$}  {:<23}  {:>12}  {:>10}  {:>8}  ",
            row.name,
            output::date(row.started),
            took.unwrap_or_default(),
            row.recordings,
            output::bytes(row.bytes)
        );
        let left = output::width().map_or(usize::MAX, |w| {
            w.saturating_sub(head.chars().count() + 10).max(10)
        });
        let command = crate::describe::safe(row.command.join(" ").as_bytes());
        let ended = out.style(style, &ended);
        writeln!(out, "{head}{ended:<8}  {}", output::cut(&command, left))?;
    }
    Ok(())
}

/// The directory that a name stands for.
pub fn resolve(name: &Path) -> Result<PathBuf> {
    if name.components().count() == 1
        && let Ok(root) = session::root()
        && root.join(name).join("session.json").exists()
    {
        return Ok(root.join(name));
    }
    if name.join("session.json").exists() {
        return Ok(name.to_owned());
    }
    let text = format!(
        "there is no session {}; `orch sessions` lists them",
        name.display()
    );
    Err(Usage(text).into())
}

fn remove(names: &[PathBuf], json: bool) -> Result<ExitCode> {
    // All names first: a slip of the keyboard removes nothing.
    let dirs: Vec<PathBuf> = names
        .iter()
        .map(|name| resolve(name))
        .collect::<Result<_>>()?;
    let mut out = Output::new();
    let mut failed = false;
    for dir in dirs {
        let removed = Session::open(&dir).and_then(|s| {
            let dir = s.dir().to_owned();
            s.remove().map(|()| dir)
        });
        match removed {
            Ok(dir) if json => out.json(&serde_json::json!({ "removed": dir }))?,
            Ok(dir) => writeln!(out, "removed {}", dir.display())?,
            Err(e) => {
                failed = true;
                eprintln!("orch: {e}");
            }
        }
    }
    out.flush()?;
    Ok(super::found(!failed))
}
