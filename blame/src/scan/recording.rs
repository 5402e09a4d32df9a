//! One recording, from its first record to its last.

use super::maps::Maps;
use super::{Ranges, Seen, Sink};
use crate::access::Kind as Access;
use crate::catalog::{Moment, ViewChange};
use orch_abi::record::{Kind, flag};
use orch_recorder::session::Session;
use orch_recorder::trace::{Block, Record, RecordError, RecordingId, Tick};

/// Tells `sink` all that recording `id` has on shared memory. What is damaged
/// is reported to it and skipped.
///
/// # Errors
/// Those of the sink.
pub fn scan<S: Sink>(session: &Session, id: RecordingId, sink: &mut S) -> Result<(), S::Error> {
    let mut reader = match session.reader(id) {
        Ok(reader) => reader,
        Err(e) => {
            sink.damage(e.to_string());
            return Ok(());
        }
    };
    let mut scan = Scan {
        id,
        tid: 0,
        nth: 0,
        views: Ranges::default(),
        maps: Maps::default(),
    };
    let mut block = Block::default();
    let blocks = reader.blocks_len().max(1) as f64;
    for n in 0.. {
        sink.progress((f64::from(n) / blocks).min(1.0))?;
        match reader.next_block_into(&mut block) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                sink.damage(e.to_string());
                continue;
            }
        }
        for record in block.records() {
            match record {
                Ok(record) => scan.record(&record, sink)?,
                Err(e) => sink.damage(format!("{id}: {e}")),
            }
        }
    }
    Ok(())
}

struct Scan {
    id: RecordingId,
    /// Kernel thread id of the thread that runs.
    tid: u32,
    nth: u64,
    views: Ranges<u64>,
    maps: Maps,
}

impl Scan {
    fn record<S: Sink>(&mut self, record: &Record<'_>, sink: &mut S) -> Result<(), S::Error> {
        self.maps.observe(self.id, record, |map| sink.map(map));
        let result = match Kind::from_u8(record.head.kind) {
            Some(Kind::Store) => self.store(record, sink)?,
            Some(Kind::Shared) => self.shared(record, sink)?,
            _ => self.other(record, sink),
        };
        if let Err(e) = result {
            sink.damage(format!("{}: {e}", self.id));
        }
        Ok(())
    }

    fn other<S: Sink>(&mut self, record: &Record<'_>, sink: &mut S) -> Result<(), RecordError> {
        let tick = Tick(record.head.tick);
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Start) => {
                let start = record.start()?.start;
                self.tid = start.pid;
                let time = start.time;
                sink.moment(Moment { tick, time });
            }
            Some(Kind::Forked) => self.tid = record.forked()?.pid,
            Some(Kind::Switch) => self.tid = record.switch()?.tid,
            Some(Kind::Object) => {
                let (object, name) = record.object()?;
                sink.object(&object, name);
            }
            Some(Kind::View) => {
                let v = record.view()?;
                let object = (v.object != 0).then_some(v.object);
                self.views.set(v.addr, v.len, object, v.offset);
                sink.view(ViewChange {
                    recording: self.id,
                    tick,
                    addr: v.addr,
                    len: v.len,
                    object: v.object,
                    offset: v.offset,
                    prot: v.prot,
                });
            }
            Some(Kind::Syscall) => {
                if let Some(time) = clock(record) {
                    sink.moment(Moment { tick, time });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn store<S: Sink>(
        &mut self,
        record: &Record<'_>,
        sink: &mut S,
    ) -> Result<Result<(), RecordError>, S::Error> {
        let view = match record.store() {
            Ok(view) => view,
            Err(e) => return Ok(Err(e)),
        };
        let kind = if record.head.flags & flag::BY_CALL != 0 {
            Access::CallStore
        } else {
            Access::Store
        };
        let code = (view.store.ip, view.store.caller);
        let addr = view.store.addr;
        self.access(record, kind, code, addr, view.new, view.old, sink)?;
        Ok(Ok(()))
    }

    fn shared<S: Sink>(
        &mut self,
        record: &Record<'_>,
        sink: &mut S,
    ) -> Result<Result<(), RecordError>, S::Error> {
        let view = match record.shared() {
            Ok(view) => view,
            Err(e) => return Ok(Err(e)),
        };
        let kind = if record.head.flags & flag::BY_CALL != 0 {
            Access::CallLoad
        } else {
            Access::Load
        };
        for chunk in view.chunks {
            let code = (view.shared.ip, view.shared.caller);
            self.access(record, kind, code, chunk.addr, chunk.bytes, None, sink)?;
        }
        Ok(Ok(()))
    }

    /// An access to a range of addresses: to as many objects as that shows.
    #[expect(clippy::too_many_arguments, reason = "the parts of a record")]
    fn access<S: Sink>(
        &mut self,
        record: &Record<'_>,
        kind: Access,
        (ip, caller): (u64, u64),
        addr: u64,
        new: &[u8],
        old: Option<&[u8]>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let mut covered = 0;
        for piece in self.views.pieces(addr, new.len() as u64) {
            let from = (piece.addr - addr) as usize;
            let to = from + piece.len as usize;
            covered += to - from;
            sink.access(&Seen {
                recording: self.id,
                nth: self.nth,
                tick: record.head.tick,
                tid: self.tid,
                ip,
                caller,
                kind,
                by_page: record.head.flags & flag::BY_PAGE != 0,
                object: piece.what,
                offset: piece.offset,
                new: &new[from..to],
                old: old.map(|old| &old[from..to]),
            })?;
            self.nth += 1;
        }
        if covered < new.len() {
            sink.damage(format!(
                "{}@{}: an access at {addr:#x} is outside of all shared objects",
                self.id, record.head.tick
            ));
        }
        Ok(())
    }
}

/// The wall time that a call told the program (clock_gettime(2), gettimeofday(2)).
fn clock(record: &Record<'_>) -> Option<u64> {
    const GETTIMEOFDAY: u16 = 96;
    const CLOCK_GETTIME: u16 = 228;
    const REALTIME: u64 = 0;
    let (to, unit) = match record.head.aux {
        GETTIMEOFDAY => (0, 1000),
        CLOCK_GETTIME => (1, 1),
        _ => return None,
    };
    let mut view = record.syscall().ok()?;
    let args = view.call.args;
    if view.call.result != 0 || record.head.aux == CLOCK_GETTIME && args[0] != REALTIME {
        return None;
    }
    let chunk = view.chunks.find(|c| !c.outgoing && c.addr == args[to])?;
    let word = |at: usize| {
        Some(u64::from_le_bytes(
            chunk.bytes.get(at..at + 8)?.try_into().ok()?,
        ))
    };
    word(0)?
        .checked_mul(1_000_000_000)?
        .checked_add(word(8)?.checked_mul(unit)?)
}
