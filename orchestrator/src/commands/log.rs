//! `orch log`: print statements added after the fact.

mod explain;
mod format;
pub(super) mod locate;
pub(super) mod location;
mod merge;
pub(super) mod plan;
mod show;
mod stand_ins;
mod worker;

use super::Usage;
use crate::output::Output;
use crate::position::When;
use crate::supervisor::watch;
use anyhow::{Context as _, Result};
use format::Format;
use location::Location;
use merge::Merge;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use plan::Plan;
use show::Show;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use worker::{Event, Task, Workers};

/// As a shell tells of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Arguments of `orch log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch log job.cpp:57 'len={len} name={job->name}'    whenever a process came to that line
  orch log memcpy 'len={$rdx} to={/x $rdi}' -p p3     a function: its arguments' registers
  orch log job.cpp:57 '{len}' --if 'len > 32'         only where that is true
  orch log 0x401136 'top={*(long *)$rsp}' -p p3       an address, of one recording
  orch log queue.h:30 --json | jq -r .position        places for orch inspect, orch gdb

Every recording is run again, and wherever it comes to that line (or function, or
address), gdb evaluates what FORMAT has in braces: any expression, in the language
of the source, with its variables and the registers ($rdi). {/x EXPR} shows it in
hexadecimal, as gdb's print does (/d /u /o /t /c /s); {{ and }} are braces. What
cannot be evaluated is shown as <error: why>. Rows come in the order of the whole
session. The position is that before the line is executed: `orch inspect` and `orch
gdb` show more of it. Without FORMAT, a row tells the function and line.

With --json, each row is an object with position, tick, recording, pid, tid, program,
file, line, function, text and values (by expression: a number, a text, or an object
with error). If nobody came there, standard error says so, and the exit code is 1, as
it is if a recording cannot be run again; if no program of the session has the place,
it is 2.")]
pub struct Args {
    /// Where: FILE:LINE, FUNCTION, or 0xADDRESS with -p.
    #[arg(value_name = "LOCATION")]
    location: Location,
    /// What to print: text, with expressions in braces.
    #[arg(value_name = "FORMAT")]
    format: Option<Format>,
    /// Only where this expression is true.
    #[arg(long = "if", value_name = "EXPR")]
    condition: Option<String>,
    /// Only this recording (p3); may be given several times.
    #[arg(short, long, value_name = "P")]
    process: Vec<RecordingId>,
    /// From this tick or position on.
    #[arg(long, value_name = "POS")]
    from: Option<When>,
    /// Up to and with this tick or position.
    #[arg(long, value_name = "POS")]
    to: Option<When>,
    /// So many rows at most.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    for &id in &args.process {
        super::recordings(&session, Some(id))?;
    }
    if args.process.is_empty() && args.location.is_address() {
        let text = "an address means something in one recording only: say which, with -p";
        return Err(Usage(text.to_owned()).into());
    }
    let tick = |when: Option<When>| when.map(|when| when.tick(&session)).transpose();
    let (from, to) = (tick(args.from)?, tick(args.to)?);
    // From here on, there is something to be tidied up.
    watch::interrupts();
    let dir = tempfile::Builder::new().prefix("orch-log-").tempdir()?;
    let plan = match Plan::make(&session, args, (from, to), dir.path()) {
        Err(_) if watch::interrupted() => return Ok(ExitCode::from(INTERRUPTED)),
        made => made?,
    };
    if plan.jobs.is_empty() {
        eprintln!("orch: {}", explain::nowhere(args, &plan));
        return Ok(super::found(false));
    }
    let format = args.format.clone().unwrap_or_default();
    let task = Task {
        session: &session,
        dir: dir.path(),
        location: &args.location,
        expressions: format.expressions(),
        condition: args.condition.as_deref(),
    };
    let show = Show {
        session: &session,
        format: &format,
        location: args.format.is_none(),
        json: args.json,
        column: 0,
    };
    let ended = Search::new(&task, &plan, show, args.limit)?.run()?;
    Ok(tell(&session, args, &plan, &ended))
}

/// How the search came out.
#[derive(Default)]
struct Ended {
    rows: usize,
    /// Passes at which the condition did not hold.
    passed: u64,
    failed: bool,
    interrupted: bool,
}

/// Recordings that run, and what has come of them.
struct Search<'a> {
    workers: Workers<'a>,
    merge: Merge,
    show: Show<'a>,
    out: Output,
    progress: super::replay::Progress,
    limit: usize,
    ended: Ended,
}

impl<'a> Search<'a> {
    fn new(
        task: &'a Task<'a>,
        plan: &'a Plan,
        show: Show<'a>,
        limit: Option<usize>,
    ) -> Result<Self> {
        Ok(Self {
            workers: Workers::new(task, &plan.jobs)?,
            merge: Merge::new(plan.jobs.iter().map(|job| (job.recording, job.from))),
            show,
            out: Output::new(),
            progress: super::replay::Progress::new(),
            limit: limit.unwrap_or(usize::MAX),
            ended: Ended::default(),
        })
    }

    /// Runs all recordings, and prints what comes.
    fn run(mut self) -> Result<Ended> {
        self.workers.start()?;
        while self.ended.rows < self.limit && !self.workers.is_idle() {
            if watch::interrupted() {
                self.ended.interrupted = true;
                break;
            }
            self.progress.show(self.merge.done(), self.workers.jobs());
            if let Some((id, event)) = self.workers.wait(Duration::from_millis(50)) {
                self.take(id, event)?;
                self.print()?;
            }
        }
        self.progress.clear();
        self.out.flush().context("cannot print")?;
        Ok(self.ended)
    }

    fn take(&mut self, id: RecordingId, event: Event) -> Result<()> {
        match event {
            Event::Hit(hit) => {
                self.merge.push(id, *hit);
                // More of it would not be shown, whatever the others have.
                if self.merge.rows_of(id) >= self.limit {
                    self.over(id)?;
                }
            }
            Event::Passed { tick } => {
                self.ended.passed += 1;
                self.merge.reached(id, tick);
            }
            // What nobody waits for any more was ended from here.
            Event::Over(_) | Event::Lost if !self.workers.runs(id) => {}
            Event::Over(None) => self.over(id)?,
            Event::Over(Some(why)) => self.failed(id, &why)?,
            Event::Lost => {
                let why = self.workers.lost(id);
                self.failed(id, &why)?;
            }
        }
        Ok(())
    }

    fn failed(&mut self, id: RecordingId, why: &str) -> Result<()> {
        self.progress.clear();
        eprintln!("orch: {id}: {why}");
        self.ended.failed = true;
        self.over(id)
    }

    fn over(&mut self, id: RecordingId) -> Result<()> {
        self.merge.over(id);
        self.workers.over(id);
        self.workers.start()
    }

    /// Prints the rows that nothing can come before.
    fn print(&mut self) -> Result<()> {
        while self.ended.rows < self.limit
            && let Some((id, hit)) = self.merge.next()
        {
            self.progress.clear();
            self.show.print(&mut self.out, id, &hit)?;
            self.ended.rows += 1;
        }
        // What is known is seen at once, but not flushed row by row in a flood.
        if self.workers.is_calm() {
            self.out.flush()?;
        }
        Ok(())
    }
}

/// Says what the rows do not, and makes the exit code of it.
fn tell(session: &Session, args: &Args, plan: &Plan, ended: &Ended) -> ExitCode {
    if ended.interrupted {
        eprintln!("orch: interrupted; there may be more rows, behind these");
        return ExitCode::from(INTERRUPTED);
    }
    if ended.rows == 0 && !ended.failed && args.limit != Some(0) {
        eprintln!(
            "orch: {}",
            explain::never(session, args, plan, ended.passed)
        );
    }
    super::found(ended.rows > 0 && !ended.failed)
}
