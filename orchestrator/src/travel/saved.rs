//! Checkpoints on disk: processes that wait at an event, as files of the session, so that
//! who comes again need not replay up to there.
//!
//! They are made on long ways, and only save time: one that is missing, damaged, or of
//! another build or processor is passed over. See docs/trace-format.md.

mod along;
mod file;
mod restore;
mod take;

pub use along::Along;

use super::engine::Spot;
use super::process::{Begin, Process};
use anyhow::Result;
use orch_recorder::limit;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Where they are, in the session's directory.
const DIR: &str = "checkpoints";
/// The bytes that those of a session may take in all: a number of MiB, 0 for none.
const LIMIT: &str = "ORCH_CHECKPOINTS";
/// If that, or that of checkpoints in memory, is not set.
pub const DEFAULT_MIB: u64 = 1 << 10;
/// How long a way must take that is not to be gone again, in milliseconds; tests make it short.
const AFTER: &str = "ORCH_CHECKPOINT_AFTER";
/// If that is not set.
const DEFAULT_AFTER: u64 = 300;

/// Those of a recording.
pub struct Store {
    dir: PathBuf,
    recording: RecordingId,
    limit: u64,
    after: Duration,
    /// How long it took to make the last one.
    cost: Duration,
    /// Where they stand, by place.
    list: Vec<Spot>,
}

impl Store {
    /// Those of `recording` that there are.
    pub fn of(session: &Session, recording: RecordingId) -> Self {
        let mut store = Self {
            dir: session.dir().join(DIR),
            recording,
            limit: limit::bytes(LIMIT, DEFAULT_MIB),
            after: Duration::from_millis(number(AFTER).unwrap_or(DEFAULT_AFTER)),
            cost: Duration::ZERO,
            list: Vec::new(),
        };
        if store.limit > 0 {
            let names = fs::read_dir(&store.dir).into_iter().flatten().flatten();
            let mine = |name: &str| parse(name).filter(|f| f.0 == recording.0).map(|f| f.1);
            store.list = names
                .filter_map(|e| mine(e.file_name().to_str()?))
                .collect();
            store.list.sort_by_key(|s| s.at);
        }
        store
    }

    /// The one of the recording's start.
    pub fn start(&self) -> Option<Spot> {
        self.list.first().copied().filter(|spot| spot.at == 0)
    }

    /// The last one that a process can start from to stop for `at`.
    pub fn before(&self, at: u64) -> Option<Spot> {
        self.list.iter().copied().rfind(|spot| spot.precedes(at))
    }

    /// Where they are.
    pub fn places(&self) -> impl Iterator<Item = u64> {
        self.list.iter().map(|s| s.at)
    }

    /// Whether a way that took so long had better end at one of them.
    pub fn is_long(&self, way: Duration) -> bool {
        // To make them may not take much of the time that they save.
        self.limit > 0 && way >= self.after && (self.is_lavish() || way >= 4 * self.cost)
    }

    /// Whether they are made whatever that takes (in tests).
    pub fn is_lavish(&self) -> bool {
        self.after.is_zero()
    }

    /// Saves a process, which is used up.
    ///
    /// # Errors
    /// If it cannot be stopped or read. That it cannot be kept (no room, a directory that
    /// is not to be written) is none.
    pub fn save(&mut self, process: Process, at: u64) -> Result<()> {
        if self.limit == 0 || self.list.iter().any(|s| s.at == at) {
            return Ok(());
        }
        let made = DirBuilder::new().mode(0o700).create(&self.dir);
        if made.is_err_and(|e| e.kind() != io::ErrorKind::AlreadyExists) {
            self.limit = 0;
            return Ok(());
        }
        let since = Instant::now();
        let offset = process.offset()?;
        let Some(taken) = take::take(process)? else {
            return Ok(());
        };
        let spot = Spot { at, offset };
        match taken.write(&self.dir, &self.path(spot)) {
            Ok(()) => {
                let n = self.list.partition_point(|s| s.at < at);
                self.list.insert(n, spot);
                self.keep_to_limit();
            }
            Err(_) => self.limit = 0,
        }
        self.cost = since.elapsed();
        Ok(())
    }

    /// The process that was saved; `None` if it cannot be had back.
    pub fn restore(&mut self, spot: Spot, begin: Begin<'_>) -> Result<Option<Process>> {
        let path = self.path(spot);
        let restored = restore::restore(&path, begin);
        match restored {
            Ok(process) => {
                // What is used is kept longer.
                if let Ok(file) = File::open(&path) {
                    let _ = file.set_modified(SystemTime::now());
                }
                Ok(Some(process))
            }
            Err(e) if matches!(e.downcast_ref(), Some(super::TravelError::Interrupted)) => Err(e),
            Err(_) => {
                self.remove(&path);
                Ok(None)
            }
        }
    }

    /// Makes no more.
    fn give_up(&mut self) {
        self.limit = 0;
    }

    /// Whether all of the session together take half of what they may.
    fn is_half_full(&self) -> bool {
        let sizes = self.files().into_iter().map(|(_, len, _)| len);
        sizes.sum::<u64>() > self.limit / 2
    }

    /// Removes every second one.
    fn halve(&mut self) {
        let second = self.list.iter().skip(1).step_by(2);
        for path in second.map(|&spot| self.path(spot)).collect::<Vec<_>>() {
            self.remove(&path);
        }
    }

    fn path(&self, Spot { at, offset }: Spot) -> PathBuf {
        self.dir.join(format!("{}-{at}-{offset}", self.recording))
    }

    /// Removes what was not used for longest.
    fn keep_to_limit(&mut self) {
        for path in limit::surplus(self.files(), self.limit) {
            self.remove(&path);
        }
    }

    /// Those of all recordings: when each was used, its bytes, its path.
    fn files(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let files = entries.filter_map(|e| {
            let meta = e.metadata().ok()?;
            Some((meta.modified().ok()?, meta.len(), e.path()))
        });
        files.collect()
    }

    fn remove(&mut self, path: &Path) {
        let _ = fs::remove_file(path);
        let name = path.file_name().and_then(|name| parse(name.to_str()?));
        if let Some((recording, saved)) = name
            && recording == self.recording.0
        {
            self.list.retain(|s| *s != saved);
        }
    }
}

/// Recording and place that a file's name tells.
fn parse(name: &str) -> Option<(u32, Spot)> {
    let mut parts = name.strip_prefix('p')?.split('-');
    let recording = parts.next()?.parse().ok()?;
    let at = parts.next()?.parse().ok()?;
    let offset = parts.next()?.parse().ok()?;
    let saved = Spot { at, offset };
    parts.next().is_none().then_some((recording, saved))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let saved = Spot { at: 12, offset: 34 };
        assert_eq!(parse("p5-12-34"), Some((5, saved)));
        for other in [
            "",
            "p5",
            "p5-12",
            "p5-12-34-56",
            "5-12-34",
            "p5-12-x",
            ".tmpAb3",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
