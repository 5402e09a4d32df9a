//! `orch ls`.

use crate::output::{self, Output, Style, cut};
use anyhow::Result;
use orch_recorder::print;
use orch_recorder::session::{Meta, Refused, Session};
use orch_recorder::trace::{End, Origin, RecordingId, Summary};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

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

/// A recording, and what else is to be said of it.
struct Row {
    id: RecordingId,
    /// What can be told of it; otherwise why not.
    summary: Result<Summary, String>,
    parent: Option<RecordingId>,
    /// Lines that show its place in the tree.
    branch: String,
    command: String,
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ended,
    Running,
    CutOff,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let rows = rows(&session)?;
    let mut out = Output::new();
    if args.json {
        out.json(&session_object(&session))?;
        for row in &rows {
            out.json(&object(row))?;
        }
    } else {
        header(&mut out, &session)?;
        table(&mut out, &rows, state(session.meta()))?;
        footer(&mut out, &session.meta().refused)?;
    }
    out.flush()?;
    Ok(super::found(!rows.is_empty()))
}

fn state(meta: &Meta) -> State {
    match (meta.clean, meta.running()) {
        (true, _) => State::Ended,
        (false, Some(_)) => State::Running,
        (false, None) => State::CutOff,
    }
}

/// All recordings, children below their parents.
fn rows(session: &Session) -> Result<Vec<Row>> {
    let mut all = BTreeMap::new();
    for id in session.recordings()? {
        let summary = session.summary(id).map_err(|e| e.to_string());
        let parent = summary.as_ref().ok().and_then(parent);
        all.insert(id, (summary, parent));
    }
    let mut children: BTreeMap<Option<RecordingId>, Vec<RecordingId>> = BTreeMap::new();
    for (&id, (_, parent)) in &all {
        // A parent has a lower number: so there are no circles.
        let parent = parent.filter(|p| *p < id && all.contains_key(p));
        children.entry(parent).or_default().push(id);
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut commands: BTreeMap<RecordingId, String> = BTreeMap::new();
    let mut stack: Vec<(RecordingId, String, String)> = Vec::new();
    let push = |stack: &mut Vec<_>, parent: Option<RecordingId>, below: &str| {
        let ids = children.get(&parent).map_or(&[][..], Vec::as_slice);
        for (n, &id) in ids.iter().enumerate().rev() {
            let last = n + 1 == ids.len();
            let (own, next) = match (parent, last) {
                (None, _) => ("", ""),
                (_, true) => ("└─", "  "),
                (_, false) => ("├─", "│ "),
            };
            stack.push((id, format!("{below}{own}"), format!("{below}{next}")));
        }
    };
    push(&mut stack, None, "");
    while let Some((id, branch, below)) = stack.pop() {
        push(&mut stack, Some(id), &below);
        let (summary, parent) = all.remove(&id).expect("each is in the tree once");
        let inherited = parent.and_then(|p| commands.get(&p)).map(String::as_str);
        let command = command(&summary, inherited);
        commands.insert(id, command.clone());
        rows.push(Row {
            id,
            summary,
            parent,
            branch,
            command,
        });
    }
    Ok(rows)
}

fn parent(summary: &Summary) -> Option<RecordingId> {
    match summary.origin.as_ref()? {
        Origin::Exec { parent, .. } => *parent,
        Origin::Fork { parent, .. } => Some(*parent),
    }
}

/// The command line that a recording runs; a forked one has its parent's.
fn command(summary: &Result<Summary, String>, inherited: Option<&str>) -> String {
    match summary {
        Err(e) => e.clone(),
        Ok(summary) => match &summary.origin {
            Some(Origin::Exec { program, args, .. }) => shell_words(program, args),
            Some(Origin::Fork { .. }) => inherited.unwrap_or("?").to_owned(),
            None => "(no event was kept)".to_owned(),
        },
    }
}

/// A command line, quoted as a shell would need it; control characters are made safe.
fn shell_words(program: &str, args: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=+./,:@%^".contains(c);
    let words = args.iter().map(|arg| {
        if !arg.is_empty() && arg.chars().all(plain) {
            arg.clone()
        } else if arg.chars().any(char::is_control) {
            format!("$'{}'", escaped(arg))
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        program.to_owned()
    } else {
        words.join(" ")
    }
}

/// What `$'…'` of a shell needs between the quotes.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

/// Process id.
fn pid(summary: &Summary) -> Option<u32> {
    summary.origin.as_ref().map(|o| match o {
        Origin::Exec { pid, .. } | Origin::Fork { pid, .. } => *pid,
    })
}

/// How it ended, in words.
fn ending(summary: &Summary, state: State) -> (Style, String) {
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
    if let Some(end) = meta.ended {
        write!(
            out,
            ", took {}",
            output::duration(end.saturating_sub(meta.started))
        )?;
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
            let text = "not ended cleanly: the recorder was killed, each recording goes as far as it was written";
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
            cells[1] = pid(s).map_or_else(String::new, |pid| pid.to_string());
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

#[derive(Serialize)]
struct SessionObject<'a> {
    session: &'a Path,
    command: &'a [String],
    cwd: &'a Path,
    state: State,
    started: u64,
    ended: Option<u64>,
    exit: Option<i32>,
    refused: &'a [Refused],
}

fn session_object(session: &Session) -> SessionObject<'_> {
    let meta = session.meta();
    SessionObject {
        session: session.dir(),
        command: &meta.command,
        cwd: &meta.cwd,
        state: state(meta),
        started: meta.started,
        ended: meta.ended,
        exit: meta.exit_status,
        refused: &meta.refused,
    }
}

#[derive(Serialize, Default)]
struct Object<'a> {
    recording: String,
    parent: Option<String>,
    pid: Option<u32>,
    /// `exec` or `fork`.
    began: Option<&'static str>,
    program: Option<&'a str>,
    args: Option<&'a [String]>,
    command: &'a str,
    first_tick: u64,
    last_tick: u64,
    finished: bool,
    exit: Option<u32>,
    signal: Option<String>,
    next: Option<String>,
    threads: Option<u32>,
    events: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

fn object(row: &Row) -> Object<'_> {
    let recording = row.id.to_string();
    let s = match &row.summary {
        Ok(summary) => summary,
        Err(e) => {
            return Object {
                recording,
                error: Some(e),
                ..Object::default()
            };
        }
    };
    let mut object = Object {
        recording,
        parent: row.parent.map(|id| id.to_string()),
        pid: pid(s),
        command: &row.command,
        first_tick: s.first_tick.0,
        last_tick: s.last_tick.0,
        finished: s.finished,
        threads: s.threads,
        events: s.events,
        bytes: s.bytes,
        ..Object::default()
    };
    match &s.origin {
        Some(Origin::Exec { program, args, .. }) => {
            object.began = Some("exec");
            object.program = Some(program);
            object.args = Some(args);
        }
        Some(Origin::Fork { .. }) => object.began = Some("fork"),
        None => {}
    }
    match s.end {
        Some(End::Exited(code)) => object.exit = Some(code),
        Some(End::Killed(number)) => object.signal = Some(print::signal_name(number)),
        Some(End::Execed(id)) => object.next = Some(id.to_string()),
        Some(End::Unknown) | None => {}
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_can_be_pasted() {
        let words = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
            shell_words("/bin/x", &args)
        };
        assert_eq!(words(&[]), "/bin/x");
        assert_eq!(words(&["ls", "-l", "/tmp/a b", ""]), "ls -l '/tmp/a b' ''");
        assert_eq!(words(&["sh", "-c", "it's"]), r"sh -c 'it'\''s'");
        assert_eq!(words(&["a\n'b"]), r"$'a\n\'b'");
    }
}
