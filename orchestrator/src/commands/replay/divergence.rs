//! Where a replay left its recording: what was expected, what came, and what preceded.

use crate::describe::{self, Line, describe};
use crate::output::{Output, Style};
use crate::replay::Divergence;
use orch_abi::record::Kind;
use orch_recorder::print;
use orch_recorder::session::Session;
use orch_recorder::trace::{Record, RecordingId, TraceError};
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, Write as _};

/// Events before the divergence that are shown.
const BEFORE: usize = 10;

/// A divergence with what the recording says about the place.
#[derive(Serialize)]
pub struct Explained {
    position: String,
    tick: u64,
    offset: u64,
    thread: u64,
    expected: Option<Line>,
    actual: Actual,
    why: String,
    differs: Vec<Difference>,
    before: Vec<Line>,
}

/// What the replay came to.
#[derive(Serialize)]
struct Actual {
    event: &'static str,
    name: String,
    args: [u64; 6],
    ip: String,
    text: String,
}

impl Actual {
    /// Whether it is no event, but the memory there.
    fn is_memory(&self) -> bool {
        self.event == describe::event_name(Kind::Digest)
    }
}

/// A value that is another than in the recording.
#[derive(Serialize)]
struct Difference {
    what: String,
    recorded: String,
    replayed: String,
}

/// The record at a place, and what precedes it.
#[derive(Default)]
struct Place {
    expected: Option<Line>,
    /// Arguments and instruction pointer, where it is a call.
    call: Option<([u64; 6], u64, u16)>,
    before: VecDeque<Line>,
}

impl Explained {
    /// Looks the place up in the recording.
    pub fn new(session: &Session, id: RecordingId, d: &Divergence) -> Self {
        let (mut place, why) = match look_up(session, id, d) {
            Ok(place) => (place, d.why.clone()),
            Err(e) => (Place::default(), format!("{}; and {e}", d.why)),
        };
        let actual = actual(d);
        if actual.is_memory() {
            // All events were the same up to here, the next one too perhaps.
            place.expected = None;
        }
        let differs = differences(&place, d, &actual);
        let last = place.expected.as_ref().or(place.before.back());
        let tick = last.map_or(0, |line| line.tick);
        Self {
            position: format!("{id}@{tick}"),
            tick,
            offset: d.offset,
            thread: d.thread,
            expected: place.expected,
            actual,
            why,
            differs,
            before: place.before.into(),
        }
    }

    /// For people.
    pub fn print(&self, out: &mut Output) -> io::Result<()> {
        let head = format!("{}: diverged: {}", self.position, self.why);
        writeln!(
            out,
            "{} (thread {})",
            out.style(Style::Bad, &head),
            self.thread
        )?;
        if !self.actual.is_memory() {
            let expected = self
                .expected
                .as_ref()
                .map_or("the end of the recording", |l| &l.text);
            let Actual { text, ip, .. } = &self.actual;
            writeln!(out, "  recorded  {expected}")?;
            writeln!(out, "  replayed  {text} at ip {ip}")?;
        }
        for Difference {
            what,
            recorded,
            replayed,
        } in &self.differs
        {
            writeln!(
                out,
                "  differs   {what}: {recorded} recorded, {replayed} replayed"
            )?;
        }
        if !self.before.is_empty() {
            writeln!(out, "  before it:")?;
        }
        for line in &self.before {
            let position = line.position().to_string();
            writeln!(out, "    {} {line}", out.style(Style::Dim, &position))?;
        }
        Ok(())
    }
}

fn actual(d: &Divergence) -> Actual {
    let kind = Kind::from_u8(d.kind);
    let event = kind.map_or("unknown", describe::event_name);
    let call = matches!(kind, Some(Kind::Syscall | Kind::Enter | Kind::Exec));
    let (name, text) = if call {
        (print::name(d.nr), describe::attempted(d.nr, d.args))
    } else {
        (event.to_owned(), event.replace('_', " "))
    };
    Actual {
        event,
        name,
        args: d.args,
        ip: format!("{:#x}", d.ip),
        text,
    }
}

/// Finds the record that was expected, and the last events that people see before it.
fn look_up(session: &Session, id: RecordingId, d: &Divergence) -> Result<Place, TraceError> {
    let mut back = 64 << 10;
    loop {
        let from = d.offset.saturating_sub(back);
        let place = read(session, id, d, from)?;
        if place.before.len() == BEFORE || from == 0 {
            return Ok(place);
        }
        back *= 16;
    }
}

fn read(
    session: &Session,
    id: RecordingId,
    d: &Divergence,
    from: u64,
) -> Result<Place, TraceError> {
    let mut records = session.reader(id)?.records();
    records.seek_offset(from)?;
    let mut place = Place::default();
    while let Some(record) = records.next_record()? {
        let end = record.offset + 16 + record.payload.len() as u64;
        let read_whole = end == d.offset && was_read_whole(&record, d);
        if end > d.offset || read_whole {
            let call = record.syscall().ok();
            place.call = call.map(|view| (view.call.args, view.call.ip, view.nr));
            place.expected = Some(describe(id, &record));
            break;
        }
        if !describe::is_internal(&record) {
            if place.before.len() == BEFORE {
                place.before.pop_front();
            }
            place.before.push_back(describe(id, &record));
        }
    }
    Ok(place)
}

/// Whether the record that ends at the place of the divergence is the one that
/// was expected: the runtime has read it all where it found out only then.
fn was_read_whole(record: &Record<'_>, d: &Divergence) -> bool {
    let found_before = d.why.starts_with("another") || d.why.contains("differ");
    let same_call = || match record.syscall() {
        Ok(view) => (view.nr, view.call.ip, view.call.args) == (d.nr, d.ip, d.args),
        Err(_) => true,
    };
    record.head.kind == d.kind && !found_before && same_call()
}

fn differences(place: &Place, d: &Divergence, actual: &Actual) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |what: &str, recorded: String, replayed: String| {
        if recorded != replayed {
            let what = what.to_owned();
            found.push(Difference {
                what,
                recorded,
                replayed,
            });
        }
    };
    let Some(expected) = &place.expected else {
        return found;
    };
    differ("event", expected.event.to_owned(), actual.event.to_owned());
    let same_kind = expected.event == actual.event;
    if let Some((args, ip, nr)) = place.call.filter(|_| same_kind) {
        differ("call", print::name(nr), print::name(d.nr));
        differ("ip", format!("{ip:#x}"), actual.ip.clone());
        for (n, (recorded, replayed)) in args
            .into_iter()
            .zip(d.args)
            .enumerate()
            .filter(|_| nr == d.nr)
        {
            let name = expected.args.get(n).map_or("argument", |(name, _)| name);
            differ(name, format!("{recorded:#x}"), format!("{replayed:#x}"));
        }
    }
    found
}

#[cfg(test)]
mod tests;
