//! What each process knew of the objects: a load that left no record saw that.

use crate::history::History;
use crate::trace::{Bytes, Trace, What};
use anyhow::{Context as _, Result};
use orch_recorder::trace::RecordingId;
use std::collections::HashMap;

/// For each byte that a view has shown or stored: ticks and values.
type View = HashMap<usize, Vec<(u64, u8)>>;

/// Of all processes.
pub struct Seen<'a> {
    history: &'a History,
    /// By recording, object and view.
    views: HashMap<(RecordingId, usize), HashMap<u64, View>>,
    recordings: HashMap<u32, RecordingId>,
}

impl<'a> Seen<'a> {
    /// From the recorded accesses.
    pub fn new(trace: &Trace, history: &'a History) -> Self {
        let mut seen = Self {
            history,
            views: HashMap::new(),
            recordings: HashMap::new(),
        };
        for event in &trace.events {
            seen.recordings.insert(event.tid, event.recording);
            if let What::Load(bytes) | What::Store(bytes) = &event.what {
                seen.add(event.recording, event.tick, bytes);
            }
        }
        seen
    }

    fn add(&mut self, recording: RecordingId, tick: u64, bytes: &Bytes) {
        let views = self.views.entry((recording, bytes.object)).or_default();
        let view = views.entry(bytes.view).or_default();
        for (offset, &value) in (bytes.offset..).zip(&bytes.new) {
            view.entry(offset).or_default().push((tick, value));
        }
    }

    /// The recording of a thread.
    pub fn recording(&self, tid: u32) -> Result<RecordingId> {
        let found = self.recordings.get(&tid).copied();
        found.context("no recording has this thread")
    }

    /// Whether the process may have found these bytes (those that are some) between the
    /// ticks of `span`: each at some time, or all at one.
    pub fn shows(
        &self,
        recording: RecordingId,
        (object, offset): (usize, usize),
        bytes: &[Option<u8>],
        at_once: bool,
        span: (u64, u64),
    ) -> bool {
        let none = View::new();
        let views = self.views.get(&(recording, object));
        // It may be one that has not shown anything yet.
        let mut views = views.into_iter().flat_map(HashMap::values).chain([&none]);
        views.any(|view| {
            let mut times = vec![span];
            for (offset, value) in (offset..).zip(bytes) {
                let Some(value) = *value else { continue };
                let found = self.times(view, object, offset, value, span);
                let cut = |&(a, b): &(u64, u64)| {
                    let cut = found.iter().map(move |&(c, d)| (a.max(c), b.min(d)));
                    cut.filter(|(from, to)| from <= to).collect::<Vec<_>>()
                };
                let both: Vec<_> = times.iter().flat_map(cut).collect();
                if both.is_empty() {
                    return false;
                }
                if at_once {
                    times = both;
                }
            }
            true
        })
    }

    /// When, within the span, the view had `value` there.
    fn times(
        &self,
        view: &View,
        object: usize,
        offset: usize,
        value: u8,
        span: (u64, u64),
    ) -> Vec<(u64, u64)> {
        let changes = view.get(&offset).map_or(&[][..], Vec::as_slice);
        let first = changes.first().map_or(u64::MAX, |&(tick, _)| tick);
        let mut times = Vec::new();
        // What is there before all that is known of it was there once.
        if self.history.ever(object, offset, value, span.1.min(first)) {
            times.push((0, first));
        }
        let ends = changes.iter().skip(1).map(|&(tick, _)| tick);
        for (&(from, was), to) in changes.iter().zip(ends.chain([u64::MAX])) {
            if was == value {
                times.push((from, to));
            }
        }
        times
    }
}
