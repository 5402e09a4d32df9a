//! `orch gdb`: gdb at a position of a recording.

use super::directory::Directory;
use super::tether::NOT_FOUND;
use crate::dap::tethered;
use crate::gdb::Sysroot;
use crate::position::Position;
use anyhow::{Result, bail};
use clap::Parser;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitCode;

/// Python that gdb executes.
const PRINTERS: &str = include_str!("../gdb/printers.py");
/// A module for it: commands for gdb's own command line.
const MODULE: &str = include_str!("../gdb/orch.py");
/// How gdb begins: in the directory that [`DIR`] names. [`scripts`] puts there what it takes.
pub const BEGIN: [&str; 2] = [
    "python import os, sys; sys.path.insert(0, os.environ['ORCH_GDB_DIR'])",
    "python import orch_printers, orch",
];
/// Where the directories of a debugging session are: gdb's `orch jump` makes more.
pub const DIR: &str = "ORCH_GDB_DIR";

#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  orch gdb p3@18402                       as it was at that event
  orch gdb p3@end -- -ex backtrace        with more arguments for gdb

In gdb, besides its own commands (reverse-step, reverse-continue, watch …):
  ublame EXPR              who wrote that memory until now, in all recordings
  ublame EXPR -jump N      go to where row N of that list happened; -all: also what came later
  orch when                the present position
  orch jump p5@20000       go there, in this recording or another
  orch mark NOTE           remember this position; orch marks lists, orch go N goes there
  orch procs, orch console what ran, what it printed")]
pub struct Args {
    /// Where to begin: p3@18402, p3@start, p3@end.
    position: Position,
    /// Arguments for gdb.
    #[arg(last = true)]
    gdb: Vec<OsString>,
    /// Only print the commands with which a running gdb goes there.
    #[arg(long, hide = true)]
    commands: bool,
}

/// Runs the command.
pub fn run(session: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(session)?;
    super::recordings(&session, Some(args.position.recording))?;
    if args.commands {
        let Some(dir) = std::env::var_os(DIR) else {
            bail!("this is for gdb's `orch jump`")
        };
        for command in commands(Path::new(&dir), &session, &args.position)? {
            println!("{command}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    args.position.tell_next(&session)?;
    let dir = Directory::make()?;
    scripts(dir.path())?;
    // Whoever kills this process has not ended gdb otherwise, nor what it has started.
    let mut gdb = tethered("gdb")?;
    gdb.arg("-q");
    let begin = BEGIN.map(str::to_owned).into_iter();
    for command in begin.chain(commands(dir.path(), &session, &args.position)?) {
        gdb.arg("-ex").arg(command);
    }
    gdb.args(&args.gdb)
        .env(DIR, dir.path())
        .env("ORCH_SESSION", std::fs::canonicalize(session.dir())?)
        .env("ORCH_BIN", std::env::current_exe()?);
    // Ctrl-C is gdb's.
    crate::supervisor::watch::signals();
    let status = gdb.status()?;
    if status.code() == Some(NOT_FOUND.into()) {
        bail!("is gdb installed? `apt install gdb`, or `orch serve` for another debugger");
    }
    let code = status.code().unwrap_or(128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// Puts the scripts into gdb's directory.
pub fn scripts(dir: &Path) -> Result<()> {
    std::fs::write(dir.join("orch_printers.py"), PRINTERS)?;
    std::fs::write(dir.join("orch.py"), MODULE)?;
    Ok(())
}

/// What gdb is to do to be there.
pub fn commands(
    dir: &Path,
    session: &orch_recorder::session::Session,
    position: &Position,
) -> Result<Vec<String>> {
    let sysroot = Sysroot::make(dir, session, position.recording)?;
    connect(&sysroot, session, position, "")
}

/// What gdb is to do to be there; `more` is for `orch serve`.
pub(super) fn connect(
    sysroot: &Sysroot,
    session: &orch_recorder::session::Session,
    position: &Position,
    more: &str,
) -> Result<Vec<String>> {
    let orch = quoted(&std::env::current_exe()?);
    let session = quoted(&std::fs::canonicalize(session.dir())?);
    Ok(vec![
        // Some answers are searched for in the whole recording.
        "set remotetimeout 1000000".to_owned(),
        // A function that is called on a copy, and cannot go on, is over.
        "set unwindonsignal on".to_owned(),
        format!("set sysroot {}", sysroot.dir().display()),
        format!("file {}", word(sysroot.program())),
        format!("target remote | {orch} -s {session} serve --stdio {position} {more}"),
    ])
}

/// A path as a shell takes it, which gdb gives the command to.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// A path as an argument of gdb's own commands (gdb manual, "Commands to Specify Files").
pub(super) fn word(path: &Path) -> String {
    let special = |c: char| c.is_whitespace() || "\\'\"".contains(c);
    let mut word = String::new();
    for c in path.display().to_string().chars() {
        if special(c) {
            word.push('\\');
        }
        word.push(c);
    }
    word
}
