//! Changes as people read them, and as JSON.

use super::search::Change;
use crate::commands::inspect::picture::{Frame, frame};
use crate::commands::inspect::text;
use crate::commands::process;
use crate::commands::ublame::row::hex;
use crate::commands::ublame::value::{Format, show, show_old};
use crate::describe::{self, Line, safe};
use crate::inspect::backtrace::Call;
use crate::output::{Output, Style};
use anyhow::Result;
use orch_blame::access::Old;
use orch_blame::symbols::is_of_the_system;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use serde::Serialize;
use std::io::Write as _;

/// How changes are shown.
pub struct Show {
    /// Values.
    pub format: Format,
    /// With their stacks.
    pub backtrace: bool,
    /// So many functions of those.
    pub limit: usize,
    /// As JSON.
    pub json: bool,
}

/// A change in JSON.
#[derive(Serialize)]
struct Row {
    position: String,
    #[serde(serialize_with = "describe::id")]
    recording: RecordingId,
    pid: Option<u32>,
    program: String,
    address: String,
    size: usize,
    old: String,
    new: String,
    function: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    event: Option<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<Vec<Frame>>,
}

impl Show {
    /// Prints a change.
    pub fn print(&self, out: &mut Output, session: &Session, change: &Change) -> Result<()> {
        let id = change.position.recording;
        let (pid, program) = process(session, id);
        let calls = &change.stack.calls;
        let place = written(calls, &program);
        let frames = || calls.iter().map(frame).collect::<Vec<_>>();
        if self.json {
            return Ok(out.json(&Row {
                position: change.position.to_string(),
                recording: id,
                pid,
                address: format!("{:#x}", change.addr),
                size: change.new.len(),
                old: hex(&change.old),
                new: hex(&change.new),
                function: place.and_then(|call| call.function.clone()),
                file: place.and_then(|call| call.file.clone()),
                line: place.and_then(|call| call.line),
                event: change.event.clone(),
                frames: self.backtrace.then(frames),
                program,
            })?);
        }
        let old = Old {
            bytes: change.old.clone(),
            known: Vec::new(),
        };
        let position = change.position.to_string();
        write!(
            out,
            "{}  {} -> {}  ",
            out.style(Style::Of(id), &position),
            show_old(self.format, &change.new, &old),
            show(self.format, &change.new)
        )?;
        if let Some(event) = &change.event {
            write!(out, "by {}, ", event.text)?;
        }
        let (inner, outer) = (calls.first(), place);
        match (inner, outer) {
            (Some(inner), Some(outer)) if inner != outer && change.event.is_none() => {
                let inner = inner.function.as_deref().unwrap_or("code");
                write!(out, "by {}, ", safe(inner.as_bytes()))?;
            }
            _ => {}
        }
        let place = place.map_or_else(|| "in unknown code".to_owned(), Call::place);
        writeln!(out, "{}", safe(place.as_bytes()))?;
        if self.backtrace {
            text::stack(out, &frames(), change.stack.cut.as_deref())?;
            writeln!(out)?;
        }
        Ok(())
    }
}

/// The function that the change is put down to: of a library's, the one of the program
/// that called it; of one that a header of the system brought, where that is used.
pub fn written<'c>(calls: &'c [Call], program: &str) -> Option<&'c Call> {
    let own = |call: &&Call| call.module.as_ref().is_some_and(|m| m.path == program);
    let written_here = |call: &&Call| !call.file.as_deref().is_some_and(is_of_the_system);
    let mut all = calls.iter().filter(own);
    all.clone()
        .find(written_here)
        .or(all.next())
        .or(calls.first())
}
