//! What the recordings say, in the objects' numbers of the program.

use crate::actor::{Actor, OBJECTS, PARENT};
use anyhow::{Context as _, Result, ensure};
use orch_abi::record::{Kind, flag};
use orch_blame::scan::Ranges;
use orch_recorder::session::Session;
use orch_recorder::trace::{Record, RecordingId};
use std::collections::HashMap;

const GETPPID: u16 = 110;

/// All of it.
pub struct Trace {
    /// In the order of each recording.
    pub events: Vec<Event>,
    /// The session's numbers of the objects.
    pub objects: [u64; OBJECTS],
}

/// Something that counts here.
#[derive(Clone, Debug)]
pub struct Event {
    pub recording: RecordingId,
    pub tid: u32,
    pub tick: u64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Mark,
    Store(Bytes),
    Load(Bytes),
}

/// An access to a range.
#[derive(Clone, Debug)]
pub struct Bytes {
    pub object: usize,
    pub offset: usize,
    /// The view through which it was: where that shows offset 0, or would.
    pub view: u64,
    pub new: Vec<u8>,
    pub old: Option<Vec<u8>>,
    pub by_page: bool,
    pub by_call: bool,
}

impl Event {
    pub fn store(&self) -> Option<&Bytes> {
        match &self.what {
            What::Store(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Reads the session's recordings.
pub fn read(session: &Session, actors: &[Actor]) -> Result<Trace> {
    let mut reader = Reader::default();
    for id in session.recordings()? {
        reader.recording(session, id)?;
    }
    let parent = actors.last().context("there is a parent")?;
    let mut objects = [0; OBJECTS];
    for view in &parent.views {
        let shown = reader.views.get(&parent.tid).and_then(|v| v.at(view.addr));
        objects[view.object] = shown.context("the parent's views are recorded")?.what;
    }
    for actor in actors {
        for view in &actor.views {
            let shown = reader.views.get(&actor.tid).and_then(|v| v.at(view.addr));
            let shown = shown.with_context(|| format!("no View tells of {view:x?}"))?;
            ensure!(
                shown.what == objects[view.object]
                    && view.addr + view.len <= shown.addr + shown.len
                    && shown.offset + (view.addr - shown.addr) == view.offset,
                "actor {}: {view:x?}, recorded {shown:x?}",
                actor.number
            );
        }
    }
    let number = |id: u64| objects.iter().position(|&o| o == id);
    let mut events = Vec::new();
    for (mut event, object) in reader.events {
        if let What::Store(bytes) | What::Load(bytes) = &mut event.what {
            bytes.object = number(object).context("an object that is none of the program's")?;
        }
        events.push(event);
    }
    debug_assert_eq!(parent.number, PARENT);
    Ok(Trace { events, objects })
}

#[derive(Default)]
struct Reader {
    /// With the session's number of the object.
    events: Vec<(Event, u64)>,
    /// Of each thread at the end: what its recording has mapped.
    views: HashMap<u32, Ranges<u64>>,
}

/// The recording that is read.
struct Current {
    id: RecordingId,
    tid: u32,
    views: Ranges<u64>,
    tids: Vec<u32>,
}

impl Reader {
    fn recording(&mut self, session: &Session, id: RecordingId) -> Result<()> {
        let mut current = Current {
            id,
            tid: 0,
            views: Ranges::default(),
            tids: Vec::new(),
        };
        let mut records = session.reader(id)?.records();
        while let Some(record) = records.next_record()? {
            self.record(&mut current, &record)
                .with_context(|| format!("{id}@{}", record.head.tick))?;
        }
        for tid in current.tids {
            self.views.insert(tid, current.views.clone());
        }
        Ok(())
    }

    fn record(&mut self, current: &mut Current, record: &Record<'_>) -> Result<()> {
        let kind = Kind::from_u8(record.head.kind).context("its kind")?;
        match kind {
            Kind::Start => current.tid = record.start()?.start.pid,
            Kind::Forked => current.tid = record.forked()?.pid,
            Kind::Switch => current.tid = record.switch()?.tid,
            Kind::View => {
                let v = record.view()?;
                let object = (v.object != 0).then_some(v.object);
                current.views.set(v.addr, v.len, object, v.offset);
            }
            Kind::Syscall if record.head.aux == GETPPID => {
                self.push(current, record, 0, What::Mark);
            }
            Kind::Store => {
                let store = record.store()?;
                let addr = store.store.addr;
                self.access(current, record, addr, store.new, store.old, What::Store)?;
            }
            Kind::Shared => {
                for chunk in record.shared()?.chunks {
                    self.access(current, record, chunk.addr, chunk.bytes, None, What::Load)?;
                }
            }
            _ => {}
        }
        if !current.tids.contains(&current.tid) {
            current.tids.push(current.tid);
        }
        Ok(())
    }

    fn access(
        &mut self,
        current: &Current,
        record: &Record<'_>,
        addr: u64,
        new: &[u8],
        old: Option<&[u8]>,
        what: impl Fn(Bytes) -> What,
    ) -> Result<()> {
        let flags = record.head.flags;
        let mut covered = 0;
        for piece in current.views.pieces(addr, new.len() as u64) {
            let from = (piece.addr - addr) as usize;
            let to = from + piece.len as usize;
            covered += to - from;
            let bytes = Bytes {
                object: 0,
                offset: piece.offset as usize,
                view: piece.addr.wrapping_sub(piece.offset),
                new: new[from..to].to_vec(),
                old: old.map(|old| old[from..to].to_vec()),
                by_page: flags & flag::BY_PAGE != 0,
                by_call: flags & flag::BY_CALL != 0,
            };
            self.push(current, record, piece.what, what(bytes));
        }
        ensure!(covered == new.len(), "{addr:#x} is in no view");
        Ok(())
    }

    fn push(&mut self, c: &Current, record: &Record<'_>, object: u64, what: What) {
        let event = Event {
            recording: c.id,
            tid: c.tid,
            tick: record.head.tick,
            what,
        };
        self.events.push((event, object));
    }
}
