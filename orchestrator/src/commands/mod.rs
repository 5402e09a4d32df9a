//! The command line: one file a command.

mod completions;
mod console;
mod dap;
mod demo;
pub mod directory;
mod doctor;
mod events;
pub mod gdb;
mod graph;
mod index;
pub mod inspect;
mod last;
mod log;
mod ls;
mod man;
mod record;
mod replay;
mod serve;
pub mod sessions;
mod shm;
pub mod tether;
mod tui;
mod ublame;
mod walk;

use anyhow::Result;
use clap::{Parser, Subcommand};
use orch_recorder::recover::{Recovery, recover};
use orch_recorder::session::{self, Session, SessionError};
use orch_recorder::trace::{Program, RecordingId};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Record and replay systems of several processes.
#[derive(Debug, Parser)]
#[command(name = "orch", version, propagate_version = true)]
#[command(after_help = "\
Examples:
  orch demo                         a guided tour, of some seconds
  orch record -- ./launch-all.sh    record a command and all that it starts
  orch ls                           what ran: the process tree
  orch console                      what it printed
  orch events -p p3 --limit 20      what the third process did
  orch ublame /dev/shm/q+0x40       who wrote that, and who read it
  orch gdb p3@18402                 debug that process at that event, both ways
  orch last p3:counters             what changed that variable last
  orch log job.cpp:57 'len={len}'   print that whenever somebody came to that line
  orch inspect p3@18402             p3 as it was then: its stack, source, registers
  orch replay                       run it all again, and check that nothing differs

Commands that read a session take the newest one, unless -s or ORCH_SESSION
names another. `orch doctor` says what this machine offers.")]
pub struct Cli {
    /// Session directory (default: the newest one).
    #[arg(short, long, global = true, value_name = "DIR", env = "ORCH_SESSION")]
    session: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// Say who wrote what is in shared memory.
#[derive(Debug, Parser)]
#[command(name = "ublame", version)]
pub struct Ublame {
    /// Session directory (default: the newest one).
    #[arg(short, long, value_name = "DIR", env = "ORCH_SESSION")]
    session: Option<PathBuf>,
    #[command(flatten)]
    args: ublame::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record a command and everything that it starts.
    Record(record::Args),
    /// Show the processes of a session.
    Ls(ls::Args),
    /// Show what happened, in order.
    Events(events::Args),
    /// Show what was printed, and where.
    Console(console::Args),
    /// Say who wrote what is in shared memory.
    Ublame(ublame::Args),
    /// Show the memory that processes shared.
    Shm(shm::Args),
    /// Show what happened before what, across processes.
    Graph(graph::Args),
    /// Show a process as it was: its stack, source, registers and memory.
    Inspect(inspect::Args),
    /// Look at all of it on the terminal: processes, source, who wrote what, back and forth.
    Tui(tui::Args),
    /// Say what changed memory last, of one process: a variable, its heap, its stack.
    Last(last::Args),
    /// Print values wherever recorded processes came to a line: print statements after the fact.
    Log(log::Args),
    /// Run recordings again and check that nothing differs.
    Replay(replay::Args),
    /// Debug a recording with gdb, forwards and backwards.
    Gdb(gdb::Args),
    /// Serve a recording to debuggers (gdb's remote protocol).
    Serve(serve::Args),
    /// Debug recordings in an editor (debug adapter protocol).
    Dap(dap::Args),
    /// List or remove sessions.
    Sessions(sessions::Args),
    /// Record a small faulty system, and find the culprit: a guided tour.
    Demo(demo::Args),
    /// Say what this machine offers to the recorder, and what is missing.
    Doctor(doctor::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Write manual pages.
    Man(man::Args),
    /// Move in a recording, and check that instants are the same by all ways.
    #[command(hide = true)]
    Walk(walk::Args),
    /// A program that ends with the process that started it.
    #[command(hide = true)]
    Tether(tether::Args),
    /// The process that a recording is replayed in; its code never runs.
    #[command(hide = true)]
    ReplayHost,
}

/// The command was asked for something that cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// What a query comes to: 0 if it found something, 1 if not.
fn found(something: bool) -> ExitCode {
    ExitCode::from(u8::from(!something))
}

/// The session to read.
pub fn locate(dir: Option<&Path>) -> Result<Session> {
    let dir = dir.filter(|dir| !dir.as_os_str().is_empty());
    if let Some(dir) = dir.filter(|dir| !dir.exists()) {
        let text = format!(
            "there is no {}; `orch sessions` lists what was recorded, `orch record -- COMMAND` \
             records",
            dir.display()
        );
        return Err(Usage(text).into());
    }
    let mut session = session::locate(dir).map_err(|e| match e {
        SessionError::NotASession { .. } => {
            let text = format!("{e}; `orch sessions` lists what was recorded");
            anyhow::Error::from(Usage(text))
        }
        SessionError::None { .. } | SessionError::NoHome => {
            anyhow::Error::from(Usage(e.to_string()))
        }
        e => e.into(),
    })?;
    save_what_is_left(&mut session);
    Ok(session)
}

/// Completes a session whose recorder was killed. Where that cannot be, what
/// is in its files is still to be read.
fn save_what_is_left(session: &mut Session) {
    let dir = session.dir().display().to_string();
    match recover(session) {
        Ok(Recovery::NotNeeded) => {}
        Ok(Recovery::Done { recordings }) => eprintln!(
            "orch: the recorder of {dir} did not end it; saved all that {recordings} recordings had logged"
        ),
        Ok(Recovery::StillRunning(pids)) => {
            let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
            eprintln!(
                "orch: the recorder of {dir} is gone, but recorded processes still run (pid {}); \
                 showing what is on disk, the rest can be saved when they have ended",
                pids.join(", ")
            );
        }
        Ok(Recovery::Busy) => eprintln!(
            "orch: the recorder of {dir} is gone, and another process is saving what is left; \
             showing what is on disk"
        ),
        Err(e) => eprintln!(
            "orch: the recorder of {dir} is gone, and its last events cannot be saved ({e}); \
             showing what is on disk"
        ),
    }
}

/// The recordings to read: the one that was named, or all.
fn recordings(session: &Session, only: Option<RecordingId>) -> Result<Vec<RecordingId>> {
    let all = session.recordings()?;
    match only {
        None => Ok(all),
        Some(id) if all.contains(&id) => Ok(vec![id]),
        Some(id) => {
            let text = format!("{id} is not in this session; `orch ls` shows what is");
            Err(Usage(text).into())
        }
    }
}

/// Process id and program of a recording: a forked one's is its parent's.
pub fn process(session: &Session, id: RecordingId) -> (Option<u32>, String) {
    let pid = session.summary(id).ok().and_then(|s| s.pid());
    let program = program(session, id).map(|p| p.path);
    (pid, program.unwrap_or_else(|| "unknown program".to_owned()))
}

/// What the program of a recording is called ([`Program::name`]).
pub fn name(session: &Session, id: RecordingId) -> String {
    let program = program(session, id);
    program.as_ref().map_or("?", Program::name).to_owned()
}

fn program(session: &Session, id: RecordingId) -> Option<Program> {
    session.lineage(id).ok()?.program
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, for the user.
    pub fn run(self) -> Result<ExitCode> {
        let session = self.session.as_deref();
        match self.command {
            Command::Record(args) => {
                let in_environment = std::env::var_os("ORCH_SESSION").map(PathBuf::from);
                if session != in_environment.as_deref() {
                    let text = "-s names a session to read; `orch record -o DIR` makes one";
                    return Err(Usage(text.to_owned()).into());
                }
                record::run(&args)
            }
            Command::Ls(args) => ls::run(session, &args),
            Command::Events(args) => events::run(session, &args),
            Command::Console(args) => console::run(session, &args),
            Command::Ublame(args) => ublame::run(session, &args),
            Command::Shm(args) => shm::run(session, &args),
            Command::Graph(args) => graph::run(session, &args),
            Command::Inspect(args) => inspect::run(session, &args),
            Command::Last(args) => last::run(session, &args),
            Command::Log(args) => log::run(session, &args),
            Command::Tui(args) => tui::run(session, &args),
            Command::Replay(args) => replay::run(session, &args),
            Command::Gdb(args) => gdb::run(session, &args),
            Command::Serve(args) => serve::run(session, &args),
            Command::Dap(args) => dap::run(session, &args),
            Command::Sessions(args) => sessions::run(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
            Command::Walk(args) => walk::run(session, &args),
            Command::Tether(args) => tether::run(&args),
            Command::ReplayHost => anyhow::bail!("this command is for internal use"),
        }
    }
}

impl Ublame {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, for the user.
    pub fn run(self) -> Result<ExitCode> {
        ublame::run(self.session.as_deref(), &self.args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        Ublame::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command()
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
        {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string);
            assert!(help.is_some_and(|h| h.contains("Example")), "{name}");
        }
    }
}
