//! `orch console`.

use crate::describe::safe;
use crate::merge::Merge;
use crate::output::{Output, Style};
use crate::position::Position;
use anyhow::Result;
use orch_abi::record::{Kind, flag};
use orch_recorder::trace::{Record, RecordingId, Tick};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `orch console`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orch console
  orch console -p p3 | grep -n error
  orch console --raw > output.txt

Each line begins with the position where its first byte was written; `orch
events --from` takes it. With --json, each line is an object with recording,
tick, fd and text. If nothing was printed, the exit code is 1.")]
pub struct Args {
    /// Output of this recording only (p3).
    #[arg(short, long, value_name = "P")]
    process: Option<RecordingId>,
    /// The bytes as they were written, without positions.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Longer lines are cut into several.
const LONGEST: usize = 16 << 10;

/// What one call wrote to the console.
pub(super) struct Written<'a> {
    pub fd: u64,
    pub bytes: &'a [u8],
    /// Bytes that were written and not kept.
    pub lost: u64,
}

/// A line whose end has not yet been written.
struct Partial {
    tick: u64,
    fd: u64,
    bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Object<'a> {
    recording: String,
    tick: u64,
    fd: u64,
    text: &'a str,
}

/// Runs it.
pub fn run(dir: Option<&Path>, args: &Args) -> Result<ExitCode> {
    let session = super::locate(dir)?;
    let ids = super::recordings(&session, args.process)?;
    let mut merge = Merge::new(&session, &ids, Tick(0), Tick(u64::MAX));
    let mut console = Console {
        out: Output::new(),
        raw: args.raw,
        json: args.json,
        column: 8,
        partial: HashMap::new(),
    };
    let (mut any, mut damaged) = (false, false);
    loop {
        match merge.next() {
            Ok(None) => break,
            Ok(Some((id, record))) => {
                if let Some(written) = written(&record) {
                    any = true;
                    console.write(id, record.head.tick, &written)?;
                } else if record.head.kind == Kind::Ended as u8 {
                    console.end(id)?;
                }
            }
            Err(e) => {
                damaged = true;
                console.out.flush()?;
                eprintln!("orch: {e:#}; going on behind it");
            }
        }
    }
    console.end_all()?;
    console.out.flush()?;
    Ok(super::found(any && !damaged))
}

/// What `record` says was written to the console, if it says so.
pub(super) fn written<'a>(record: &Record<'a>) -> Option<Written<'a>> {
    let is_one = record.head.kind == Kind::Syscall as u8 && record.head.flags & flag::CONSOLE != 0;
    let view = record.syscall().ok().filter(|_| is_one)?;
    let count = u64::try_from(view.call.result).ok().filter(|&n| n > 0)?;
    let [fd, buffer, ..] = view.call.args;
    let mut chunks = view.chunks;
    let bytes = chunks
        .find(|c| c.outgoing && c.addr == buffer)
        .map_or(&[][..], |c| c.bytes);
    let kept = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    Some(Written {
        fd,
        bytes: &bytes[..kept],
        lost: count - kept as u64,
    })
}

struct Console {
    out: Output,
    raw: bool,
    json: bool,
    /// Width of the widest position so far.
    column: usize,
    partial: HashMap<RecordingId, Partial>,
}

impl Console {
    fn write(&mut self, id: RecordingId, tick: u64, written: &Written<'_>) -> io::Result<()> {
        let fd = written.fd;
        if self.raw {
            return self.out.write_all(written.bytes);
        }
        for piece in written.bytes.split_inclusive(|&b| b == b'\n') {
            for piece in piece.chunks(LONGEST) {
                let new = || Partial {
                    tick,
                    fd,
                    bytes: Vec::new(),
                };
                let line = self.partial.entry(id).or_insert_with(new);
                line.bytes.extend_from_slice(piece);
                if line.bytes.ends_with(b"\n") || line.bytes.len() >= LONGEST {
                    self.end(id)?;
                }
            }
        }
        if written.lost > 0 {
            self.end(id)?;
            let note = format!(
                "[{} more bytes were written here and not kept]",
                written.lost
            );
            self.line(id, tick, fd, &note)?;
        }
        Ok(())
    }

    /// Prints what `id` wrote of a line.
    fn end(&mut self, id: RecordingId) -> io::Result<()> {
        let Some(Partial { tick, fd, bytes }) = self.partial.remove(&id) else {
            return Ok(());
        };
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.line(id, tick, fd, &safe(text))
    }

    fn end_all(&mut self) -> io::Result<()> {
        let mut left: Vec<(u64, RecordingId)> = self
            .partial
            .iter()
            .map(|(&id, line)| (line.tick, id))
            .collect();
        left.sort_unstable();
        left.into_iter().try_for_each(|(_, id)| self.end(id))
    }

    fn line(&mut self, id: RecordingId, tick: u64, fd: u64, text: &str) -> io::Result<()> {
        if self.json {
            let recording = id.to_string();
            return self.out.json(&Object {
                recording,
                tick,
                fd,
                text,
            });
        }
        let position = Position::event(id, tick).to_string();
        self.column = self.column.max(position.len());
        let position = self.out.style(Style::Of(id), &position);
        writeln!(self.out, "{position:<0$} {text}", self.column)
    }
}
