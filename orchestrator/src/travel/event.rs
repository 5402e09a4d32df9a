//! Events of a recording as places to stop at.

use anyhow::Result;
use orch_abi::record::{Kind, flag};
use orch_recorder::session::Session;
use orch_recorder::trace::{Record, RecordingId, Records, Tick};
use std::cell::RefCell;
use std::sync::Arc;

/// An event, and where a process stops that is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its tick.
    pub tick: Tick,
    /// Offset in the stream of the first record that belongs to it, or to what the same
    /// instruction did before: there a process stops.
    pub offset: u64,
    /// Offset of the record that is itself the event, the last of these.
    pub main: u64,
    /// The signal that it delivers.
    pub signal: Option<u16>,
    /// What the same instruction did before was not read.
    is_cut: bool,
}

/// Whether replay passes over the record: it is only there for people.
pub fn is_passed_over(record: &Record<'_>) -> bool {
    match Kind::from_u8(record.head.kind) {
        Some(Kind::Object | Kind::View | Kind::Ended) => true,
        Some(Kind::Store) => record.head.flags & flag::BY_CALL != 0,
        _ => false,
    }
}

/// Whether the record goes ahead of the event that it belongs to: memory,
/// mappings, and that a process or thread is about to be made.
pub fn is_ahead(record: &Record<'_>) -> bool {
    let kind = Kind::from_u8(record.head.kind);
    matches!(
        kind,
        Some(Kind::Data | Kind::Map | Kind::RuntimeMap | Kind::Spawn)
    )
}

/// The event of `tick`, or the next one.
pub fn at_tick(session: &Session, id: RecordingId, tick: Tick) -> Result<Option<Event>> {
    let mut reader = session.reader(id)?;
    // What belongs to the event may precede it in the block before.
    reader.seek_tick(Tick(tick.0.saturating_sub(1)));
    let mut found = None;
    let hit = find(&mut reader.records(), |event, record| {
        found = Some(event);
        record.head.tick >= tick.0
    })?;
    whole(session, id, found.filter(|_| hit))
}

/// Whether the record is of an instruction of the program's.
fn is_instruction(record: &Record<'_>) -> bool {
    match Kind::from_u8(record.head.kind) {
        Some(Kind::Insn | Kind::Store) => true,
        Some(Kind::Shared) => record.head.flags & flag::INTERRUPTED == 0,
        _ => false,
    }
}

/// Whether the record is about the same instruction as the one before.
fn is_continued(record: &Record<'_>) -> bool {
    let kind = Kind::from_u8(record.head.kind);
    matches!(kind, Some(Kind::Shared | Kind::Store)) && record.head.flags & flag::CONTINUED != 0
}

/// An event with all that belongs to it: what the same instruction did before may be in the
/// block before the one where somebody began to read.
fn whole(session: &Session, id: RecordingId, event: Option<Event>) -> Result<Option<Event>> {
    let Some(event) = event.filter(|e| e.is_cut && e.offset > 0) else {
        return Ok(event);
    };
    let before = containing(session, id, event.offset - 1)?;
    Ok(Some(Event {
        offset: before.map_or(event.offset, |b| b.offset),
        is_cut: false,
        ..event
    }))
}

/// The event among whose bytes `offset` is.
pub fn containing(session: &Session, id: RecordingId, offset: u64) -> Result<Option<Event>> {
    let mut reader = session.reader(id)?;
    reader.seek_offset(offset)?;
    let mut found = None;
    find(&mut reader.records(), |event, record| {
        if !is_passed_over(record) {
            found = Some(event);
        }
        record.offset + 16 + u64::from(record.head.len) > offset && found.is_some()
    })?;
    whole(session, id, found)
}

/// An event that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Which.
    pub event: Event,
    /// A process can stop before it: what is behind it is one instruction on.
    pub is_stop: bool,
}

/// The last event of a recording: its process's end, if that is recorded.
pub fn last(session: &Session, id: RecordingId) -> Result<Option<Event>> {
    let mut reader = session.reader(id)?;
    reader.seek_last_block();
    let mut found = None;
    find(&mut reader.records(), |event, record| {
        if !is_passed_over(record) {
            found = Some(event);
        }
        false
    })?;
    whole(session, id, found)
}

/// The events of a recording around a place: mostly around the last one that was asked for,
/// which is kept.
pub struct Events {
    session: Arc<Session>,
    recording: RecordingId,
    records: RefCell<Option<Records>>,
}

impl Events {
    pub const fn of(session: Arc<Session>, recording: RecordingId) -> Self {
        Self {
            session,
            recording,
            records: RefCell::new(None),
        }
    }

    /// The records from the beginning of a block on that has the byte `offset`.
    fn around<T>(&self, offset: u64, look: impl FnOnce(&mut Records) -> Result<T>) -> Result<T> {
        let kept = self.records.take();
        let mut records = match kept {
            Some(records) => records,
            None => self.session.reader(self.recording)?.records(),
        };
        records.seek_block(offset)?;
        let found = look(&mut records);
        // One that is still being written has more the next time.
        if records.reader().is_finished() {
            self.records.replace(Some(records));
        }
        found
    }

    /// The event whose records include `offset`, or the next one.
    pub fn at_offset(&self, offset: u64) -> Result<Option<Event>> {
        self.around(offset, |records| {
            let mut found = None;
            let hit = find(records, |event, record| {
                found = Some(event);
                record.offset >= offset && !is_passed_over(record)
            })?;
            whole(&self.session, self.recording, found.filter(|_| hit))
        })
    }

    /// The last event before the one at `offset`.
    pub fn before(&self, offset: u64) -> Result<Option<Past>> {
        // Usually in the same block, or the one before.
        for back in [1, 1 << 20, u64::MAX] {
            let last = self.last_before(offset, back)?;
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }

    /// The same, if it is among the last bytes, so many.
    fn last_before(&self, offset: u64, back: u64) -> Result<Option<Past>> {
        let from = offset.min(self.end()?).saturating_sub(back);
        self.around(from, |records| {
            let (mut last, mut entered) = (None, false);
            find(records, |event, record| {
                // What goes ahead of it may be over before it is.
                if event.main >= offset {
                    return true;
                }
                if !is_passed_over(record) {
                    let kind = Kind::from_u8(record.head.kind);
                    let is_stop = match kind {
                        // Memory and mappings come with a call that begins here.
                        Some(Kind::Syscall) => !entered || event.offset != record.offset,
                        Some(Kind::Enter | Kind::Exec | Kind::Exit | Kind::Signal) => true,
                        _ => is_instruction(record),
                    };
                    entered = matches!(kind, Some(Kind::Enter | Kind::Switch));
                    last = Some(Past { event, is_stop });
                }
                false
            })?;
            let Some(Past { event, is_stop }) = last else {
                return Ok(None);
            };
            let event = whole(&self.session, self.recording, Some(event))?;
            Ok(event.map(|event| Past { event, is_stop }))
        })
    }

    /// Where the recording ends.
    fn end(&self) -> Result<u64> {
        if let Some(records) = &*self.records.borrow() {
            return Ok(records.reader().end());
        }
        Ok(self.session.reader(self.recording)?.end())
    }

    /// Whether the event that begins at `offset` is one of the program's instructions.
    pub fn is_instruction(&self, offset: u64) -> Result<bool> {
        self.around(offset, |records| {
            while let Some(record) = records.next_record()? {
                if record.offset >= offset && !is_ahead(&record) {
                    record.kind()?;
                    return Ok(is_instruction(&record));
                }
            }
            Ok(false)
        })
    }
}

/// Goes through the events until `stop`.
fn find(records: &mut Records, mut stop: impl FnMut(Event, &Record<'_>) -> bool) -> Result<bool> {
    let mut ahead: Option<u64> = None;
    let mut event: Option<Event> = None;
    while let Some(record) = records.next_record()? {
        if !is_passed_over(&record) {
            let begun = event.filter(|_| is_continued(&record));
            let offset = begun.map_or_else(|| ahead.unwrap_or(record.offset), |e| e.offset);
            if is_ahead(&record) {
                ahead = Some(offset);
                continue;
            }
            ahead = None;
            event = Some(Event {
                tick: Tick(record.head.tick),
                offset,
                main: record.offset,
                signal: (record.head.kind == Kind::Signal as u8).then_some(record.head.aux),
                is_cut: match begun {
                    Some(event) => event.is_cut,
                    None => is_continued(&record),
                },
            });
        }
        if let Some(event) = event
            && stop(event, &record)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
