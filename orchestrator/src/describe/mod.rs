//! Events as people read them: one line for each record of a recording.

mod call;
mod kinds;
mod signal;
mod text;

pub use call::attempted;
pub use text::safe;

use crate::position::{At, Position};
use orch_abi::record::Kind;
use orch_recorder::session::Session;
use orch_recorder::trace::{Record, RecordError, RecordingId, Tick};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use std::fmt;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Whose event it is.
    #[serde(serialize_with = "id")]
    pub recording: RecordingId,
    /// Its tick.
    pub tick: u64,
    /// Place in the recording's stream of records.
    pub offset: u64,
    /// Kind of event.
    pub event: &'static str,
    /// What was called, started, delivered.
    pub name: String,
    /// Names and values of what it was called with.
    #[serde(serialize_with = "map")]
    pub args: Vec<(String, String)>,
    /// What came of it: a number where the record has one.
    pub result: Value,
    /// The name of the error that a call failed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The call could not be recorded and was refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// The whole on one line.
    pub text: String,
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// There is none.
    #[default]
    None,
    /// A number.
    Number(i64),
    /// Something else.
    Text(String),
}

/// What the kinds' own functions find out.
#[derive(Default)]
struct Told {
    name: String,
    args: Vec<(String, String)>,
    result: Value,
    error: Option<String>,
    text: String,
}

/// Says what `record` of `recording` tells. A record that makes no sense is
/// described as damaged.
pub fn describe(recording: RecordingId, record: &Record<'_>) -> Line {
    let (event, told) = match record.kind() {
        Ok(kind) => (event_name(kind), tell(kind, record)),
        Err(e) => ("unknown", Err(e)),
    };
    let told = told.unwrap_or_else(|e| Told {
        name: event.to_owned(),
        text: format!("damaged: {e}"),
        ..Told::default()
    });
    Line {
        recording,
        tick: record.head.tick,
        offset: record.offset,
        event,
        name: told.name,
        args: told.args,
        result: told.result,
        error: told.error,
        refused: call::refused(record),
        text: told.text,
    }
}

/// The event that a position is at or behind.
pub fn at(session: &Session, position: Position) -> Option<Line> {
    let summary = session.summary(position.recording).ok()?;
    let tick = match position.at {
        At::Start => summary.first_tick,
        At::Tick { tick, .. } => tick,
        _ => summary.last_tick,
    };
    let mut records = session.reader(position.recording).ok()?.records();
    records.seek_tick(tick).ok()?;
    let mut found: Option<Line> = None;
    // Of the records of one tick, one tells people what happened.
    while let Ok(Some(record)) = records.next_record() {
        if Tick(record.head.tick) != tick && found.is_some() {
            break;
        }
        let internal = is_internal(&record);
        if found.is_none() || !internal {
            found = Some(describe(position.recording, &record));
        }
        if !internal {
            break;
        }
    }
    found
}

fn tell(kind: Kind, record: &Record<'_>) -> Result<Told, RecordError> {
    match kind {
        Kind::Syscall => call::ended(record),
        Kind::Enter => call::entered(record),
        Kind::Exec => call::exec(record),
        Kind::Start => kinds::start(record),
        Kind::Map | Kind::RuntimeMap => kinds::map(record),
        Kind::Data => kinds::data(record),
        Kind::Switch => kinds::switch(record),
        Kind::Signal => signal::delivered(record),
        Kind::Insn => kinds::insn(record),
        Kind::Spawn => kinds::spawn(record),
        Kind::Exit => kinds::exit(record),
        Kind::Point => kinds::point(record),
        Kind::Forked => kinds::forked(record),
        Kind::Digest => kinds::digest(record),
        Kind::Ended => kinds::ended(record),
        Kind::Boot => kinds::boot(record),
        Kind::Shared => kinds::shared(record),
        Kind::Object => kinds::object(record),
        Kind::View => kinds::view(record),
        Kind::Store => kinds::store(record),
    }
}

/// What a kind of event is called in JSON.
pub const fn event_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Start => "start",
        Kind::Map => "map",
        Kind::Data => "data",
        Kind::Syscall => "syscall",
        Kind::Enter => "enter",
        Kind::Switch => "switch",
        Kind::Signal => "signal",
        Kind::Insn => "insn",
        Kind::Spawn => "spawn",
        Kind::Exec => "exec",
        Kind::Exit => "exit",
        Kind::Point => "point",
        Kind::RuntimeMap => "runtime_map",
        Kind::Forked => "forked",
        Kind::Digest => "digest",
        Kind::Ended => "ended",
        Kind::Boot => "boot",
        Kind::Shared => "shared",
        Kind::Object => "object",
        Kind::View => "view",
        Kind::Store => "store",
    }
}

/// Whether a record matters to replay rather than to people.
pub const fn is_internal(record: &Record<'_>) -> bool {
    matches!(
        Kind::from_u8(record.head.kind),
        Some(Kind::Map | Kind::Data | Kind::RuntimeMap | Kind::Boot | Kind::Enter)
    )
}

impl Line {
    /// Where it happened.
    pub const fn position(&self) -> Position {
        Position::event(self.recording, self.tick)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A recording's name in JSON.
pub fn id<S: Serializer>(id: &RecordingId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

fn map<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(pairs.len()))?;
    for (name, value) in pairs {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

#[cfg(test)]
mod tests;
