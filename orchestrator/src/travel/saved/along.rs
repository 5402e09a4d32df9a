//! Checkpoints that a replay leaves on its way, so that who goes somewhere later need not go
//! all of it again.
//!
//! Now and then a replaying process is told to stop at its next event; it makes a copy of
//! itself there and goes on, while a thread writes the copy to disk.

use super::Store;
use crate::travel::process::{Begin, Process, command, duplicate, stop_at};
use orch_abi::stop::{command, state, why};
use orch_recorder::arena::Arena;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Those of a replay of several recordings, each in a slot of `arena`.
pub struct Along {
    session: Arc<Session>,
    arena: Arc<Arena>,
    ways: HashMap<u32, Way>,
    /// What is written yet of ways that have ended.
    rest: Vec<Writing>,
    began: Instant,
    /// How long it took to write those that there are.
    spent: Duration,
}

/// Part of the time that may be spent on writing: to check large processes would otherwise
/// take longer than it took to record them.
const SHARE: u32 = 4;

/// What a process has gone.
struct Way {
    recording: RecordingId,
    /// Those that there are; not while another one is made.
    store: Option<Store>,
    writing: Option<Writing>,
    /// Where the last one is, and since when the process goes on from there.
    last: u64,
    since: Instant,
    /// How much farther apart than others they are, so that they do not fill the disk.
    apart: u32,
    asked: Asked,
}

/// A copy, in a slot of its own, that is being written.
struct Writing {
    slot: u32,
    thread: JoinHandle<Store>,
}

/// Where a process was told to stop.
#[derive(Clone, Copy)]
enum Asked {
    Nowhere,
    Anywhere,
    At(u64),
}

impl Along {
    pub fn new(session: Arc<Session>, arena: Arc<Arena>) -> Self {
        Self {
            session,
            arena,
            ways: HashMap::new(),
            rest: Vec::new(),
            began: Instant::now(),
            spent: Duration::ZERO,
        }
    }

    /// The process in `slot` is about to be fed `recording`.
    pub fn begin(&mut self, slot: u32, recording: RecordingId) {
        let store = Store::of(&self.session, recording);
        let way = Way {
            recording,
            store: Some(store),
            writing: None,
            last: 0,
            since: Instant::now(),
            apart: 1,
            asked: Asked::Nowhere,
        };
        self.ways.insert(slot, way);
        self.look(slot);
    }

    /// It has ended that.
    pub fn end(&mut self, slot: u32) {
        let writing = self.ways.remove(&slot).and_then(|way| way.writing);
        self.rest.extend(writing);
    }

    /// Whether a copy is in `slot`.
    pub fn owns(&mut self, slot: u32) -> bool {
        self.rest.retain(|w| !w.thread.is_finished());
        let writing = self.ways.values().filter_map(|way| way.writing.as_ref());
        writing.chain(&self.rest).any(|w| w.slot == slot)
    }

    /// Waits until all are written.
    pub fn finish(&mut self) {
        let writing = self.ways.drain().filter_map(|(_, way)| way.writing);
        for w in writing.chain(self.rest.drain(..)) {
            let _ = w.thread.join();
        }
    }

    /// Does what is to be done for the process in `slot`; whether that was anything.
    pub fn look(&mut self, slot: u32) -> bool {
        let Some(way) = self.ways.get_mut(&slot) else {
            return false;
        };
        self.spent += way.take_back();
        let s = self.arena.slot(slot);
        if s.stop.state.load(Ordering::Acquire) != state::STOPPED {
            let lavish = way.store.as_ref().is_some_and(Store::is_lavish);
            let may = lavish || self.spent <= self.began.elapsed() / SHARE;
            if may && way.is_long(s.tail.load(Ordering::Relaxed)) {
                way.asked = Asked::Anywhere;
                stop_at(s, way.recording, Some(0));
            }
            return false;
        }
        let (recording, offset) = (way.recording, s.stop.offset.load(Ordering::Relaxed));
        let is_end = s.stop.why.load(Ordering::Relaxed) == why::END;
        let mut next = None;
        match way.asked {
            _ if is_end => {}
            Asked::At(at) => self.save(slot, at),
            // Where it stands depends on when it was told. Where it stops next does not.
            Asked::Anywhere | Asked::Nowhere => {
                way.asked = Asked::At(offset + 1);
                next = Some(offset + 1);
            }
        }
        let s = self.arena.slot(slot);
        stop_at(s, recording, next);
        command(s, command::GO);
        true
    }

    /// Makes one of the process in `slot`, which waits where it stops for `at`.
    fn save(&mut self, slot: u32, at: u64) {
        let Some(way) = self.ways.get_mut(&slot) else {
            return;
        };
        (way.last, way.since, way.asked) = (at, Instant::now(), Asked::Nowhere);
        let Some(mut store) = way.store.take() else {
            return;
        };
        // Where there is no room for a copy there will be none for the next.
        let Some(to) = self.arena.claim() else {
            return;
        };
        let (session, arena) = (Arc::clone(&self.session), Arc::clone(&self.arena));
        let recording = way.recording;
        let Ok(pid) = duplicate(&arena, slot, to, recording) else {
            arena.release(to);
            return;
        };
        let thread = std::thread::spawn(move || {
            let begin = Begin {
                session: &session,
                arena: &arena,
                interrupt: &Arc::default(),
                recording,
            };
            let process = Process::begin(begin, (to, pid)).inspect_err(|_| arena.release(to));
            // Without it, nothing is wrong: it would have saved time.
            if process.and_then(|process| store.save(process, at)).is_err() {
                store.give_up();
            }
            store
        });
        way.writing = Some(Writing { slot: to, thread });
    }
}

impl Way {
    /// Whether another one should be made, `now` being about where the process is.
    fn is_long(&mut self, now: u64) -> bool {
        let passed = self.since.elapsed() / self.apart;
        let Some(store) = &self.store else {
            return false;
        };
        if !matches!(self.asked, Asked::Nowhere) || !store.is_long(passed) {
            return false;
        }
        let there = store.places().filter(|&at| self.last < at && at <= now);
        match there.max() {
            Some(at) => {
                (self.last, self.since) = (at, Instant::now());
                false
            }
            None => true,
        }
    }

    /// Once the last one is written; how long that took.
    fn take_back(&mut self) -> Duration {
        let Some(writing) = self.writing.take_if(|w| w.thread.is_finished()) else {
            return Duration::ZERO;
        };
        let took = self.since.elapsed();
        self.store = writing.thread.join().ok();
        if let Some(store) = &mut self.store
            && store.is_half_full()
        {
            store.halve();
            self.apart *= 2;
        }
        took
    }
}
