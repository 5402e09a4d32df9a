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
            for (at, &value) in store.new.iter().enumerate() {
                let byte = bytes[store.object].get_mut(store.offset + at);
                let byte = byte.context("a store beyond the object")?;
                byte.push(Version {
                    tick: event.tick,
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

    /// Whether the byte was `value` at some time before `tick`.
    pub fn ever(&self, object: usize, offset: usize, value: u8, tick: u64) -> bool {
        let versions = self.versions(object, offset).iter();
        let mut before = versions.take_while(|v| v.tick < tick);
        before.any(|v| v.value == value)
    }
}
