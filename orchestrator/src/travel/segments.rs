//! A search backwards by several processes at once.
//!
//! What lies between two saved checkpoints is a *segment*. Workers, as many as there are
//! processors, take one after the other, the latest first, each in a replay of its own. A
//! segment's outcome counts once nothing was found in those behind it, so that the answer (or
//! the error) is that of a search of one segment after the other.

use super::engine::{Instant, Travel};
use super::motion::{Reason, Stops};
use anyhow::{Context as _, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, available_parallelism, scope};
use std::time::Duration;

/// How many workers there are: a number, 1 for a search of one segment after the other.
const WORKERS: &str = "ORCH_WORKERS";
/// At most, if that is not set: each has a few processes.
const MOST: usize = 8;
/// What their threads are called.
const NAME: &str = "orch segment";
/// How often the one who waits for them looks whether somebody interrupts.
const LOOKS: Duration = Duration::from_millis(5);

/// A hit, and where it is.
pub(super) type Found = (Instant, Reason);

/// What lies between where a process stops for two offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    from: u64,
    until: u64,
}

/// The segments that end at `until` and begin at `places`, the latest first.
fn segments(until: u64, places: &[u64]) -> Vec<Segment> {
    let ends = std::iter::once(&until).chain(places);
    let pairs = places.iter().zip(ends);
    pairs
        .map(|(&from, &until)| Segment { from, until })
        .collect()
}

/// What the workers share.
struct Search<'a> {
    stops: &'a Stops,
    segments: &'a [Segment],
    /// The first segment that nobody has taken.
    next: AtomicUsize,
    /// Only those before this one can still have the answer.
    end: AtomicUsize,
}

impl Search<'_> {
    fn take(&self) -> Option<usize> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        (n < self.end.load(Ordering::Relaxed)).then_some(n)
    }

    /// Nothing from that segment on matters any more.
    fn end_at(&self, n: usize) {
        self.end.fetch_min(n, Ordering::Relaxed);
    }

    /// Searches what there is to be taken, until there is an answer, and tells that.
    fn work(
        &self,
        worker: &Worker,
        begin: impl Fn() -> Result<Travel>,
        tell: &Sender<(usize, Result<Found>)>,
    ) {
        let mut travel = None;
        while let Some(n) = self.take() {
            worker.at.store(n, Ordering::Relaxed);
            if let Some(outcome) = self.search(n, &mut travel, &begin).transpose() {
                self.end_at(n);
                let _ = tell.send((n, outcome));
                break;
            }
        }
    }

    fn search(
        &self,
        n: usize,
        travel: &mut Option<Travel>,
        begin: impl Fn() -> Result<Travel>,
    ) -> Result<Option<Found>> {
        let travel = match travel {
            Some(travel) => travel,
            None => travel.insert(begin()?),
        };
        let found = travel.search_segment(self.segments[n], self.stops);
        travel.forget_checkpoints();
        found
    }
}

/// What is known of a worker.
#[derive(Default)]
struct Worker {
    /// The segment that it searches.
    at: AtomicUsize,
    /// Ends that.
    interrupt: Arc<AtomicBool>,
}

impl Travel {
    /// The last hit before the process stops for `until`; `places` are checkpoints before
    /// that, the latest first, and where the search ends.
    pub(super) fn search_before(
        &mut self,
        until: u64,
        places: &[u64],
        stops: &Stops,
    ) -> Result<Option<Found>> {
        // Workers have none but those on disk.
        let saved = self.saved_places();
        let (last, others) = places.split_last().unzip();
        let others = others.into_iter().flatten();
        let common: Vec<u64> = others
            .filter(|at| saved.contains(at))
            .chain(last)
            .copied()
            .collect();
        let parts = segments(until, &common);
        let workers = self.workers(parts.len());
        if workers > 1 {
            return self.search_at_once(&parts, workers, stops);
        }
        for segment in segments(until, places) {
            if let Some(found) = self.search_segment(segment, stops)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// How many may search so many segments at once.
    fn workers(&self, segments: usize) -> usize {
        let set = std::env::var(WORKERS).ok().and_then(|n| n.parse().ok());
        let wanted =
            set.unwrap_or_else(|| available_parallelism().map_or(1, usize::from).min(MOST));
        let wanted: usize = wanted.min(segments);
        if wanted < 2 {
            return 1;
        }
        // What one has restored, and what that becomes while it runs.
        let room = self.memory_limit() / (2 * self.process.size()).max(1);
        wanted.min(usize::try_from(room).unwrap_or(wanted))
    }

    fn search_segment(&mut self, segment: Segment, stops: &Stops) -> Result<Option<Found>> {
        let until = Instant::event(segment.until);
        self.last_hit(segment.from, &until, false, stops)
    }

    fn search_at_once(
        &self,
        segments: &[Segment],
        workers: usize,
        stops: &Stops,
    ) -> Result<Option<Found>> {
        let search = Search {
            stops,
            segments,
            next: AtomicUsize::new(0),
            end: AtomicUsize::new(segments.len()),
        };
        let workers: Vec<Worker> = (0..workers).map(|_| Worker::default()).collect();
        let (tell, outcomes) = channel();
        let root = self.root();
        let share = self.memory_limit() / workers.len() as u64;
        scope(|threads| {
            for worker in &workers {
                let begin = self.begins(&worker.interrupt);
                let (search, tell) = (&search, tell.clone());
                let work =
                    move || search.work(worker, || Travel::beside(begin, root, share), &tell);
                let started = Builder::new()
                    .name(NAME.to_owned())
                    .spawn_scoped(threads, work);
                // The others stop soon.
                started
                    .inspect_err(|_| search.end_at(0))
                    .context("cannot start a thread to search in")?;
            }
            drop(tell);
            self.decide(&search, &workers, &outcomes)
        })
    }

    /// Waits for the workers, and ends those whose outcome does not matter.
    fn decide(
        &self,
        search: &Search<'_>,
        workers: &[Worker],
        outcomes: &Receiver<(usize, Result<Found>)>,
    ) -> Result<Option<Found>> {
        let mut latest: Option<(usize, Result<Found>)> = None;
        let mut interrupted = Ok(());
        loop {
            match outcomes.recv_timeout(LOOKS) {
                Ok((n, outcome)) => {
                    if latest.as_ref().is_none_or(|(best, _)| n < *best) {
                        latest = Some((n, outcome));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Err(e) = self.process.check_interrupt() {
                search.end_at(0);
                interrupted = Err(e);
            }
            let end = search.end.load(Ordering::Relaxed);
            for worker in workers {
                if worker.at.load(Ordering::Relaxed) >= end {
                    worker.interrupt.store(true, Ordering::Relaxed);
                }
            }
        }
        interrupted?;
        latest.map(|(_, outcome)| outcome).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_what_lies_between() {
        let pairs = |until, places: &[u64]| {
            let found = segments(until, places).into_iter();
            found.map(|s| (s.from, s.until)).collect::<Vec<_>>()
        };
        assert_eq!(pairs(9, &[7, 3, 0]), [(7, 9), (3, 7), (0, 3)]);
        assert_eq!(pairs(9, &[]), []);
    }
}
