//! `orch ls`.

mod json;
pub(super) mod tree;

use crate::output::{self, Output, Style, cut};
use anyhow::Result;
use orch_recorder::print;
use orch_recorder::session::{Meta, Refused, Session};
use orch_recorder::trace::{End, Origin, Summary};
use serde::Serialize;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use tree::{Row, shell_words};

/// Arguments of `orch ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch ls
  orch ls -s /tmp/session
  orch ls --json | jq -r 'select(.recording and .exit != 0) | .recording'

A process that executes another program goes on in a new recording (→ p5).
With --json, the first object is the session, each other one a recording.")]
pub struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ended,
    Running,
    CutOff,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let rows = tree::rows(&session)?;
    let mut out = Output::new();
    if args.json {
        out.json(&json::session_object(&session))?;
        for row in &rows {
            out.json(&json::object(row))?;
        }
    } else {
        header(&mut out, &session)?;
        table(&mut out, &rows, state(session.meta()))?;
        footer(&mut out, &session.meta().refused)?;
    }
    out.flush()?;
    Ok(super::found(!rows.is_empty()))
}

pub(super) fn state(meta: &Meta) -> State {
    match (meta.clean, meta.running()) {
        (true, _) => State::Ended,
        (false, Some(_)) => State::Running,
        (false, None) => State::CutOff,
    }
}

/// How it ended, in words.
pub(super) fn ending(summary: &Summary, state: State) -> (Style, String) {
    match summary.end {
        Some(End::Exited(0)) => (Style::Plain, "exit 0".to_owned()),
        Some(End::Exited(code)) => (Style::Warn, format!("exit {code}")),
        Some(End::Killed(signal)) => (
            Style::Bad,
            format!("killed by {}", print::signal_name(signal)),
        ),
        Some(End::Execed(next)) => (Style::Dim, format!("→ {next} exec")),
        Some(End::Unknown) => (Style::Warn, "gone; nobody saw how".to_owned()),
        None if state == State::Running => (Style::Good, "running".to_owned()),
        None => (Style::Bad, "cut off: recorder was killed".to_owned()),
    }
}

fn header(out: &mut Output, session: &Session) -> io::Result<()> {
    let meta = session.meta();
    let command = shell_words("", &meta.command);
    let command = cut(&command, output::width().unwrap_or(usize::MAX));
    writeln!(out, "{}", out.style(Style::Bold, &command))?;
    write!(out, "{}", output::date(meta.started))?;
    if let Some(time) = meta.lasted() {
        let nanos = time.as_nanos().try_into().unwrap_or(u64::MAX);
        write!(out, ", took {}", output::duration(nanos))?;
    }
    match meta.exit_status {
        Some(code @ 129..=192) => {
            let signal = print::signal_name(code.unsigned_abs() - 128);
            write!(out, ", exit {code} ({signal})")?;
        }
        Some(code) => write!(out, ", exit {code}")?,
        None => {}
    }
    writeln!(out, ", {}", session.dir().display())?;
    match state(meta) {
        State::Ended => {}
        State::Running => {
            let text = format!(
                "still being recorded by process {}; what follows is what is on disk",
                meta.supervisor
            );
            writeln!(out, "{}", out.style(Style::Warn, &text))?;
        }
        State::CutOff => {
            let text = match meta.recovered {
                Some(_) => {
                    "the recorder was killed; each recording goes to the last event of its process"
                }
                None => "the recorder was killed; each recording goes as far as it was written",
            };
            writeln!(out, "{}", out.style(Style::Bad, text))?;
        }
    }
    writeln!(out)
}

fn table(out: &mut Output, rows: &[Row], state: State) -> io::Result<()> {
    let headings = [
        "RECORDING",
        "PID",
        "TICKS",
        "ENDED",
        "THREADS",
        "EVENTS",
        "BYTES",
    ];
    let mut lines = vec![(
        Style::Bold,
        headings.map(str::to_owned),
        "COMMAND".to_owned(),
    )];
    for row in rows {
        let mut cells = <[String; 7]>::default();
        cells[0] = format!("{}{}", row.branch, row.id);
        let mut style = Style::Bad;
        let mut command = row.command.clone();
        if let Ok(s) = &row.summary {
            cells[1] = s.pid().map_or_else(String::new, |pid| pid.to_string());
            cells[2] = format!("{}–{}", s.first_tick, s.last_tick);
            (style, cells[3]) = ending(s, state);
            cells[4] = s.threads.map_or_else(|| "?".to_owned(), |n| n.to_string());
            cells[5] = s.events.to_string();
            cells[6] = output::bytes(s.bytes);
            if matches!(s.origin, Some(Origin::Fork { .. })) {
                command = format!("(fork) {command}");
            }
        }
        lines.push((style, cells, command));
    }
    let widest = |n: usize| {
        lines
            .iter()
            .map(|l| l.1[n].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(widest);
    let taken: usize = widths.iter().map(|w| w + 2).sum();
    let left = output::width().map_or(usize::MAX, |w| w.saturating_sub(taken).max(10));
    for (n, (style, cells, command)) in lines.iter().enumerate() {
        let heading = n == 0;
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let style = if heading || at == 3 {
                *style
            } else {
                Style::Plain
            };
            let cell = out.style(style, cell);
            match at {
                1 | 4.. => write!(out, "{cell:>width$}  ")?,
                _ => write!(out, "{cell:<width$}  ")?,
            }
        }
        let style = if heading { Style::Bold } else { Style::Plain };
        writeln!(out, "{}", out.style(style, &cut(command, left)))?;
    }
    Ok(())
}

fn footer(out: &mut Output, refused: &[Refused]) -> io::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nCalls that cannot be recorded and were refused:")?;
    for r in refused {
        let call = format!("{} {}", r.call, r.detail);
        let call = out.style(Style::Warn, call.trim_end());
        writeln!(
            out,
            "  {call}, {} time{}",
            r.count,
            if r.count == 1 { "" } else { "s" }
        )?;
    }
    Ok(())
}
