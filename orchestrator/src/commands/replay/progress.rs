//! How far the replay has come, on a terminal.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// A line on standard error that is written over and over.
pub struct Progress {
    /// When it may be written next; never, if nobody would see it.
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Nothing is shown before half a second has passed.
    pub fn new() -> Self {
        let terminal = stderr().is_terminal();
        let next = terminal.then(|| Instant::now() + Duration::from_millis(500));
        Self { next, shown: false }
    }

    /// `done` of `total` recordings are replayed.
    pub fn show(&mut self, done: usize, total: usize) {
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            let _ = write!(stderr(), "\r\x1b[Kreplaying: {done} of {total} recordings");
            self.next = Some(now + Duration::from_millis(100));
            self.shown = true;
        }
    }

    /// Leaves the line empty.
    pub fn clear(&self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
