//! `orch events`.

use crate::describe::{self, Line};
use crate::merge::Merge;
use crate::output::{Output, Style};
use crate::position::When;
use anyhow::Result;
use orch_abi::record::Kind;
use orch_abi::syscalls;
use orch_recorder::trace::{Record, RecordingId, Tick};
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `orch events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch events -p p3 --from 18402 --limit 20
  orch events --call openat,execve
  orch events --from p2@start --to p2@end
  orch events --json | jq -r 'select(.error == \"ENOENT\") | .text'

Without -p, the events of all processes are shown in the order in which they
happened. With --json, each event is an object with recording, tick, offset,
event, name, args, result, error (where there is one), refused and text.
If there is no such event, the exit code is 1.")]
pub struct Args {
    /// Events of this recording only (p3).
    #[arg(short, long, value_name = "P")]
    process: Option<RecordingId>,
    /// From this tick or position on.
    #[arg(long, value_name = "POS")]
    from: Option<When>,
    /// Up to and with this tick or position.
    #[arg(long, value_name = "POS")]
    to: Option<When>,
    /// These system calls only.
    #[arg(short, long, value_name = "NAME", value_delimiter = ',', value_parser = call)]
    call: Vec<u16>,
    /// So many events at most.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Also what matters to replay rather than to people: mappings, memory, entries of calls.
    #[arg(long)]
    all: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The number of a call that the table has.
fn call(name: &str) -> Result<u16, String> {
    let mut calls = syscalls::TABLE.iter().flatten();
    let call = calls.find(|call| call.name == name);
    call.map(|call| call.nr)
        .ok_or_else(|| "no system call of x86-64 has this name".to_owned())
}

impl Args {
    fn wants(&self, record: &Record<'_>) -> bool {
        if !self.all && describe::is_internal(record) {
            return false;
        }
        let of_call = Some(record.head.kind)
            .and_then(Kind::from_u8)
            .is_some_and(|k| matches!(k, Kind::Syscall | Kind::Enter | Kind::Exec | Kind::Exit));
        self.call.is_empty() || of_call && self.call.contains(&record.head.aux)
    }
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let ids = super::recordings(&session, args.process)?;
    let tick = |when: Option<When>, otherwise| match when {
        Some(when) => when.tick(&session),
        None => Ok(Tick(otherwise)),
    };
    let (from, to) = (tick(args.from, 0)?, tick(args.to, u64::MAX)?);
    let mut merge = Merge::new(&session, &ids, from, to);
    let mut printer = Printer::new(args.json);
    let (mut count, mut damaged) = (0, false);
    while args.limit.is_none_or(|limit| count < limit) {
        match merge.next() {
            Ok(None) => break,
            Ok(Some((id, record))) => {
                printer.note(id, &record);
                if args.wants(&record) {
                    printer.print(&describe::describe(id, &record))?;
                    count += 1;
                }
            }
            Err(e) => {
                damaged = true;
                printer.out.flush()?;
                eprintln!("orch: {e:#}; going on behind it");
            }
        }
    }
    printer.out.flush()?;
    Ok(super::found(count > 0 && !damaged))
}

struct Printer {
    out: Output,
    json: bool,
    /// Width of the widest position so far.
    column: usize,
    /// Threads that run now, where one was switched to.
    threads: HashMap<RecordingId, u32>,
}

impl Printer {
    fn new(json: bool) -> Self {
        Self {
            out: Output::new(),
            json,
            column: 8,
            threads: HashMap::new(),
        }
    }

    fn note(&mut self, id: RecordingId, record: &Record<'_>) {
        if record.head.kind == Kind::Switch as u8
            && let Ok(switch) = record.switch()
        {
            self.threads.insert(id, switch.thread);
        }
    }

    fn print(&mut self, line: &Line) -> std::io::Result<()> {
        if self.json {
            return self.out.json(line);
        }
        let position = line.position().to_string();
        self.column = self.column.max(position.len());
        let bad = line.refused || line.text.starts_with("damaged: ");
        let style = if bad {
            Style::Bad
        } else if line.error.is_some() {
            Style::Warn
        } else {
            Style::Plain
        };
        let position = self.out.style(Style::Of(line.recording), &position);
        let text = self.out.style(style, &line.text);
        match self.threads.get(&line.recording) {
            Some(thread) => writeln!(self.out, "{position:<0$} [{thread}] {text}", self.column),
            None => writeln!(self.out, "{position:<0$} {text}", self.column),
        }
    }
}
