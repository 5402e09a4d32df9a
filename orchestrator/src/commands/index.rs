//! The index of a session's shared memory, made where it is missing.

use anyhow::{Context as _, Result};
use orch_blame::index::Index;
use orch_recorder::session::Session;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Opens the index; if it takes long to make it, standard error says so.
pub fn open(session: &Session) -> Result<Index> {
    let mut progress = Progress {
        start: Instant::now(),
        told: None,
    };
    let index = Index::open(session, &mut |part| {
        progress.tell(part);
        true
    });
    progress.end();
    let index = index.context("cannot make an index of shared memory")?;
    for damage in index.catalog().damage.iter().take(5) {
        eprintln!("orch: {damage}; what was there is missing here");
    }
    Ok(index)
}

struct Progress {
    start: Instant,
    /// Percent that were last told.
    told: Option<u32>,
}

impl Progress {
    fn tell(&mut self, part: f64) {
        if self.start.elapsed() < Duration::from_millis(500) {
            return;
        }
        let percent = (part * 100.0) as u32;
        let text = "orch: indexing accesses to shared memory (once for this session)";
        if stderr().is_terminal() {
            if self.told != Some(percent) {
                eprint!("\r{text} {percent} %");
                let _ = stderr().flush();
            }
        } else if self.told.is_none() {
            eprintln!("{text}");
        }
        self.told = Some(percent);
    }

    fn end(&self) {
        if self.told.is_some() && stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}
