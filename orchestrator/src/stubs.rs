//! Answers processes that ask for a stub (`orch_shm_tracker`).

use orch_abi::shared::{request, state};
use orch_recorder::arena::{Arena, ring, wait};
use orch_shm_tracker::stub;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Most bytes of code that come with a request, before and from the instruction.
const CODE: usize = 2048;

/// Makes the stub that the process in slot `index` waits for, recording or replaying.
pub fn answer(arena: &Arena, index: u32) {
    let slot = arena.slot(index);
    let [ip, at, lens, first] = std::array::from_fn(|i| slot.args[i].load(Ordering::Relaxed));
    let len = |n: u64| usize::try_from(n & 0xffff_ffff).unwrap_or(0).min(CODE);
    let (before, after) = (len(lens >> 32), len(lens));
    let code = arena.scratch(index, before + after);
    let made = u32::try_from(first)
        .ok()
        .and_then(|first| stub(&code, before, ip, at, first));
    let reply = made.map_or(0, |stub| {
        let bytes = stub.encode();
        arena.set_scratch(index, &bytes);
        bytes.len() as u64
    });
    arena.answer(index, reply);
}

/// Makes stubs for a session's processes in a thread of its own: a process that comes to
/// new code asks for thousands, and would wait each time until the supervisor has drained
/// a ring.
#[derive(Debug)]
pub struct Maker {
    arena: Arc<Arena>,
    stop: Arc<AtomicBool>,
    /// Held while a slot is answered.
    answering: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Maker {
    /// From now on, who wants a stub rings its bell.
    pub fn start(arena: &Arc<Arena>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answering = Arc::new(Mutex::new(()));
        let run = {
            let (arena, stop) = (Arc::clone(arena), Arc::clone(&stop));
            let answering = Arc::clone(&answering);
            move || make(&arena, &answering, &stop)
        };
        // Before it looks for the first time: whoever it does not see then rings.
        arena.control().stub_maker.store(1, Ordering::SeqCst);
        let thread = Some(thread::spawn(run));
        Self {
            arena: Arc::clone(arena),
            stop,
            answering,
            thread,
        }
    }

    /// No slot is answered until what is returned is dropped: one may be given away.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        hold(&self.answering)
    }

    /// Whether the thread has ended by itself.
    pub fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.arena.control().stub_maker.store(0, Ordering::Release);
        self.stop.store(true, Ordering::Release);
        ring(&self.arena.control().stub_bell);
        if let Some(thread) = self.thread.take() {
            let _ignored = thread.join();
        }
    }
}

fn hold(answering: &Mutex<()>) -> MutexGuard<'_, ()> {
    answering.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make(arena: &Arena, answering: &Mutex<()>, stop: &AtomicBool) {
    const WAIT: Duration = Duration::from_millis(100);
    // Who got one often wants the next soon, and would wait longer for this thread to be
    // woken than for the answer.
    const SOON: Duration = Duration::from_micros(100);
    let bell = &arena.control().stub_bell;
    let mut answered = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let seen = bell.rung();
        let used = arena.control().slots_used.load(Ordering::Acquire);
        let asks = |&index: &u32| {
            let slot = arena.slot(index);
            slot.state.load(Ordering::Acquire) == state::ACTIVE
                && slot.request.load(Ordering::Acquire) == request::STUB
        };
        for index in 0..used {
            let _held = asks(&index).then(|| hold(answering));
            if asks(&index) {
                answer(arena, index);
                answered = Instant::now();
            }
        }
        while bell.rung() == seen {
            if answered.elapsed() > SOON {
                wait(bell, seen, WAIT);
                break;
            }
            spin_loop();
        }
    }
}
