//! The recorded stores of each thread are just those that it says it made.

use crate::actor::{Actor, Kind, Op};
use crate::history::History;
use crate::seen::Seen;
use crate::trace::{Bytes, Event, Trace, What};
use anyhow::{Context as _, Result, ensure};
use orch_recorder::trace::RecordingId;

/// Between which ticks each operation of each thread was.
pub type Times = Vec<Vec<(u64, u64)>>;

/// Compares, and finds out when each operation was.
pub fn check(trace: &Trace, history: &History, seen: &Seen<'_>, actors: &[Actor]) -> Result<Times> {
    let mut times = Vec::new();
    for actor in actors {
        let events: Vec<&Event> = trace
            .events
            .iter()
            .filter(|e| e.tid == actor.tid && !matches!(e.what, What::Load(_)))
            .collect();
        let mut walk = Walk {
            history,
            seen,
            recording: seen.recording(actor.tid)?,
            events: &events,
            at: 0,
            tick: 0,
        };
        let mut own = Vec::new();
        for op in &actor.ops {
            let span = walk
                .op(op)
                .with_context(|| format!("actor {}, {op:?}", actor.number))?;
            own.push(span);
        }
        if let Some(extra) = events.get(walk.at) {
            anyhow::bail!("actor {} made no such access: {extra:?}", actor.number);
        }
        // An operation was before the first that is later and whose tick is known.
        let mut next = u64::MAX;
        for (span, op) in own.iter_mut().zip(&actor.ops).rev() {
            let known = span.1;
            span.1 = if op.kind == Kind::Mark { known } else { next };
            if known != 0 {
                next = known;
            }
        }
        times.push(own);
    }
    Ok(times)
}

/// One thread's events, in order.
struct Walk<'a> {
    history: &'a History,
    seen: &'a Seen<'a>,
    recording: RecordingId,
    events: &'a [&'a Event],
    at: usize,
    /// Of the last event that was taken.
    tick: u64,
}

impl Walk<'_> {
    /// Takes what the operation left; the ticks before it, and of its first event (or 0).
    fn op(&mut self, op: &Op) -> Result<(u64, u64)> {
        let before = self.tick;
        if op.kind == Kind::Mark {
            let event = self
                .events
                .get(self.at)
                .context("the recording ends before")?;
            ensure!(
                matches!(event.what, What::Mark),
                "not made, or not logged: {event:?}"
            );
            self.at += 1;
            self.tick = event.tick;
            return Ok((before, event.tick));
        }
        if !op.stores() {
            return Ok((before, 0));
        }
        let mut covered = vec![false; op.len];
        let (mut first, mut wrong) = (0, None);
        while let Some(event) = self.events.get(self.at) {
            let Some(store) = event.store() else { break };
            if let Err(e) = self.fits(op, event, store, before) {
                wrong = Some(format!("{e:#}: {event:?}"));
                break;
            }
            for at in 0..store.new.len() {
                covered[store.offset + at - op.offset] = true;
            }
            first = if first == 0 { event.tick } else { first };
            self.tick = event.tick;
            self.at += 1;
            if op.exact && !store.by_page {
                break;
            }
        }
        let next = self.events.get(self.at).map_or(u64::MAX, |e| e.tick);
        self.rest(op, &covered, (before, next))
            .with_context(|| wrong.unwrap_or_default())?;
        Ok((before, first))
    }

    /// Whether the record is of this operation.
    fn fits(&self, op: &Op, event: &Event, store: &Bytes, before: u64) -> Result<()> {
        let from = store.offset.wrapping_sub(op.offset);
        ensure!(
            store.object == op.object && from < op.len && store.new.len() <= op.len - from,
            "another place"
        );
        ensure!(store.by_call == op.by_call, "a call or not");
        let to = from + store.new.len();
        if op.exact && !store.by_page {
            ensure!((from, to) == (0, op.len), "a part");
        }
        let was = self
            .history
            .before(op.object, store.offset, to - from, event.tick);
        if let Some(old) = &store.old {
            ensure!(*old == was, "the old bytes were {was:02x?}");
        }
        let same = |expected: &[u8], found: &[u8]| -> Result<()> {
            ensure!(expected == found, "other bytes: {expected:02x?} expected");
            Ok(())
        };
        match op.kind {
            Kind::Store => same(&op.after()[from..to], &store.new),
            Kind::Known => {
                same(&op.after()[from..to], &store.new)?;
                same(&op.before()[from..to], &was).context("before")
            }
            Kind::Apply => {
                let was = self
                    .history
                    .before(op.object, op.offset, op.len, event.tick);
                same(&op.apply(&was)[from..to], &store.new)
            }
            Kind::Partial => {
                let byte = |at: usize| {
                    if op.touches(at) {
                        op.after()[at]
                    } else {
                        was[at - from]
                    }
                };
                same(&(from..to).map(byte).collect::<Vec<_>>(), &store.new)
            }
            Kind::Copy => {
                let (object, offset) = op.from;
                let span = (before, event.tick);
                let bytes: Vec<_> = store.new.iter().copied().map(Some).collect();
                let place = (object, offset + from);
                let shows = self.seen.shows(self.recording, place, &bytes, false, span);
                ensure!(shows, "the source was never so");
                Ok(())
            }
            _ => anyhow::bail!("it stores nothing"),
        }
    }

    /// What left no record must have been there already.
    fn rest(&self, op: &Op, covered: &[bool], span: (u64, u64)) -> Result<()> {
        let after = match op.kind {
            // What that would have been is not known.
            Kind::Apply | Kind::Copy => return Ok(()),
            _ => op.after(),
        };
        for at in (0..op.len).filter(|&at| !covered[at] && op.touches(at)) {
            let place = (op.object, op.offset + at);
            let byte = [Some(after[at])];
            ensure!(
                self.seen.shows(self.recording, place, &byte, false, span),
                "no record tells of byte {at}, which was never {:#x} between {span:?}: {:x?}",
                after[at],
                self.history.versions(op.object, op.offset + at),
            );
        }
        Ok(())
    }
}
