//! A session and its recordings as objects.

use super::tree::Row;
use super::{State, state};
use orch_recorder::print;
use orch_recorder::session::{Refused, Session};
use orch_recorder::trace::{End, Origin};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
pub struct SessionObject<'a> {
    session: &'a Path,
    command: &'a [String],
    cwd: &'a Path,
    state: State,
    started: u64,
    ended: Option<u64>,
    exit: Option<i32>,
    refused: &'a [Refused],
}

pub fn session_object(session: &Session) -> SessionObject<'_> {
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
pub struct Object<'a> {
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

pub fn object(row: &Row) -> Object<'_> {
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
        pid: s.pid(),
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
        Some(Origin::Exec { program, .. }) => {
            object.began = Some("exec");
            object.program = Some(&program.path);
            object.args = Some(&program.args);
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
