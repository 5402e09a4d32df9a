//! All that was printed, in the order of the lines' first bytes; read on as it grows.

use super::progress::Progress;
use super::worker::Job;
use crate::commands::console::written;
use crate::describe::safe;
use crate::position::Position;
use anyhow::Result;
use orch_recorder::session::Session;
use orch_recorder::trace::{Record, RecordingId};
use orch_tui::data::{Line, Lines};
use std::collections::BTreeMap;

/// Lines that are shown at most.
const MOST: usize = 200_000;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Printed {
    of: BTreeMap<RecordingId, (Progress, Writer)>,
    /// Whole lines.
    lines: Vec<Line>,
    /// Later ones are not kept.
    cut: bool,
    damage: Option<String>,
}

/// A recording that prints.
#[derive(Debug, Default)]
struct Writer {
    /// What it has written of a line, and when it began to.
    partial: Option<(u64, Vec<u8>)>,
}

impl Printed {
    /// Reads what has come since the last time.
    pub fn lines(&mut self, session: &Session, job: &Job) -> Result<Lines> {
        for id in session.recordings()? {
            let (progress, writer) = self.of.entry(id).or_default();
            let lines = &mut self.lines;
            let read = progress.go_on((session, id), job, &mut |record| {
                writer.print(id, record, lines);
                if lines.len() > 2 * MOST {
                    self.cut = true;
                    first(lines);
                }
            });
            job.go_on()?;
            match read {
                Ok(Ok(())) => {}
                Ok(Err(e)) => self.damage = Some(format!("damaged: {e}")),
                Err(e) => self.damage = Some(format!("damaged: {e:#}")),
            }
        }
        self.cut |= self.lines.len() > MOST;
        first(&mut self.lines);
        let mut lines = self.lines.clone();
        let partial = self.of.iter().filter_map(|(&id, (_, writer))| {
            let (tick, bytes) = writer.partial.as_ref()?;
            Some(printed(id, *tick, bytes))
        });
        lines.extend(partial);
        first(&mut lines);
        let note = match self.cut {
            true => Some(format!("the first {MOST}; `orch console` shows all")),
            false => self.damage.clone(),
        };
        let part = false;
        Ok(Lines { lines, note, part })
    }
}

/// Keeps the first lines, in order.
fn first(lines: &mut Vec<Line>) {
    lines.sort_by_key(|line| (line.tick, line.recording));
    lines.truncate(MOST);
}

impl Writer {
    fn print(&mut self, id: RecordingId, record: &Record<'_>, lines: &mut Vec<Line>) {
        let Some(written) = written(record) else {
            return;
        };
        for piece in written.bytes.split_inclusive(|&b| b == b'\n') {
            let new = || (record.head.tick, Vec::new());
            let line = self.partial.get_or_insert_with(new);
            line.1.extend_from_slice(piece);
            if piece.ends_with(b"\n")
                && let Some((tick, bytes)) = self.partial.take()
            {
                lines.push(printed(id, tick, &bytes));
            }
        }
    }
}

fn printed(id: RecordingId, tick: u64, bytes: &[u8]) -> Line {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    Line {
        position: Position::event(id, tick).to_string(),
        tick,
        recording: id.0,
        thread: None,
        text: safe(text),
        bad: false,
    }
}
