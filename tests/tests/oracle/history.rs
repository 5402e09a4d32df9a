//! What each byte was at each time, by the recorded stores.

use crate::actor::{Actor, Kind, OBJECTS};
use crate::trace::{Trace, What};
use anyhow::{Context as _, Result};
use orch_recorder::trace::RecordingId;

/// Of all objects.
pub struct History {
    /// By object and offset: what was there, in order of time.
    bytes: [Vec<Vec<Version>>; OBJECTS],
}

/// What a byte was for some time.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Tick of the store.
    pub tick: u64,
    /// From then on others may have seen it.
    pub from: u64,
    /// From then on nobody has.
    pub until: u64,
    pub value: u8,
    /// Who stored it; nobody if it was there before all.
    pub writer: Option<RecordingId>,
}

impl History {
    /// From the recorded stores, and what the parent saw before all.
    pub fn new(trace: &Trace, actors: &[Actor]) -> Result<Self> {
        let mut bytes: [Vec<Vec<Version>>; OBJECTS] = Default::default();
        let parent = actors.last().context("there is a parent")?;
        let first = parent.ops.first().context("it has a log")?.seq;
        for op in &parent.ops {
            if op.kind == Kind::Contents && op.seq == first {
                let object = &mut bytes[op.object];
                object.resize_with(object.len().max(op.offset + op.len), Vec::new);
                for (at, &value) in op.after().iter().enumerate() {
                    object[op.offset + at] = vec![Version {
                        tick: 0,
                        from: 0,
                        until: u64::MAX,
                        value,
                        writer: None,
                    }];
                }
            }
        }
        let mut stores: Vec<_> = trace.events.iter().collect();
        stores.sort_by_key(|e| e.tick);
        for event in stores {
            let What::Store(store) = &event.what else {
                continue;
            };
            // What a step or a call did was done before it was found.
            let early = store.by_page || store.by_call;
            for (at, &value) in store.new.iter().enumerate() {
                let byte = bytes[store.object].get_mut(store.offset + at);
                let byte = byte.context("a store beyond the object")?;
                byte.last_mut().context("it has contents")?.until = event.until;
                byte.push(Version {
                    tick: event.tick,
                    from: if early { event.since } else { event.tick },
                    until: u64::MAX,
                    value,
                    writer: Some(event.recording),
                });
            }
        }
        Ok(Self { bytes })
    }

    /// Bytes of an object.
    pub fn size(&self, object: usize) -> usize {
        self.bytes[object].len()
    }

    /// Everything that a byte was.
    pub fn versions(&self, object: usize, offset: usize) -> &[Version] {
        &self.bytes[object][offset]
    }

    /// The bytes as they were just before `tick`.
    pub fn before(&self, object: usize, offset: usize, len: usize, tick: u64) -> Vec<u8> {
        let range = &self.bytes[object][offset..offset + len];
        let last = |versions: &Vec<Version>| {
            let n = versions.partition_point(|v| v.tick < tick);
            versions[n.max(1) - 1].value
        };
        range.iter().map(last).collect()
    }

    /// When, between `from` and `to`, the byte may have been seen to be `value`.
    pub fn seen(
        &self,
        object: usize,
        offset: usize,
        value: u8,
        (from, to): (u64, u64),
    ) -> Vec<(u64, u64)> {
        let versions = self.versions(object, offset);
        let matching = versions.iter().filter(|v| v.value == value);
        let spans = matching.map(|v| (v.from.max(from), v.until.min(to)));
        spans.filter(|(from, to)| from <= to).collect()
    }

    /// Whether all bytes may have been seen, each at some time of the span.
    pub fn shows(&self, object: usize, offset: usize, bytes: &[u8], span: (u64, u64)) -> bool {
        let shows = |(at, &value)| !self.seen(object, offset + at, value, span).is_empty();
        bytes.iter().enumerate().all(shows)
    }

    /// Whether all bytes may have been seen at one time of the span.
    pub fn shows_at_once(
        &self,
        object: usize,
        offset: usize,
        bytes: &[u8],
        span: (u64, u64),
    ) -> bool {
        let mut times = vec![span];
        for (at, &value) in bytes.iter().enumerate() {
            let seen = self.seen(object, offset + at, value, span);
            let both = |&(a, b): &(u64, u64)| {
                let cut = seen.iter().map(move |&(c, d)| (a.max(c), b.min(d)));
                cut.filter(|(from, to)| from <= to).collect::<Vec<_>>()
            };
            times = times.iter().flat_map(both).collect();
        }
        !times.is_empty()
    }
}
