//! Hands a recording to the process that replays it, block by block.

use orch_recorder::arena::{Arena, futex_wait};
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, RecordingReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

struct Shared {
    stop: AtomicBool,
    error: Mutex<Option<String>>,
}

/// A thread that feeds one slot.
pub struct Feeder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Feeder {
    /// Starts feeding `recording`, from `offset` in its stream on, into slot `index`.
    pub fn start(
        session: &Session,
        arena: &Arc<Arena>,
        index: u32,
        recording: RecordingId,
        offset: u64,
    ) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            error: Mutex::new(None),
        });
        let reader = session.reader(recording);
        let (s, a) = (Arc::clone(&shared), Arc::clone(arena));
        let thread = std::thread::spawn(move || {
            let result = match reader {
                Ok(reader) => feed(reader, offset, &a, index, &s),
                Err(e) => Err(e.to_string()),
            };
            if let Err(e) = result {
                *s.error.lock().expect("nobody panics with it") = Some(e);
            }
            a.slot(index).complete.store(1, Ordering::SeqCst);
            a.wake_reader(index);
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Why the recording could not be read to its end.
    pub fn error(&self) -> Option<String> {
        self.shared
            .error
            .lock()
            .expect("nobody panics with it")
            .clone()
    }

    /// Ends the thread.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn feed(
    mut reader: RecordingReader,
    offset: u64,
    arena: &Arena,
    index: u32,
    shared: &Shared,
) -> Result<(), String> {
    let slot = arena.slot(index);
    reader.seek_offset(offset).map_err(|e| e.to_string())?;
    while let Some(block) = reader.next_block().map_err(|e| e.to_string())? {
        // The first block may begin before what is wanted.
        let skip = usize::try_from(offset.saturating_sub(block.offset)).unwrap_or(usize::MAX);
        let mut rest = block.raw.get(skip..).unwrap_or_default();
        while !rest.is_empty() {
            if shared.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            let moved = slot.moved.load(Ordering::Acquire);
            let n = arena.feed(index, rest);
            if n == 0 {
                slot.waiting.store(1, Ordering::SeqCst);
                futex_wait(&slot.moved, moved, Duration::from_millis(10));
            }
            rest = &rest[n..];
        }
    }
    Ok(())
}
