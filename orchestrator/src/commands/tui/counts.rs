//! How much happened when: events are counted in equal parts of the time, which become
//! longer where a session does.

use super::progress::Progress;
use super::worker::Job;
use crate::describe;
use anyhow::Result;
use orch_abi::record::Kind;
use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick};
use orch_tui::data::{Lane, Lanes};
use std::collections::BTreeMap;

/// Parts that the time of a session is cut into, at most.
const PARTS: usize = 4096;
/// Signals that are kept of a recording.
const SIGNALS: usize = 2000;

/// What was counted so far.
#[derive(Debug)]
pub struct Counts {
    /// Ticks in a part: a power of two.
    each: u64,
    of: BTreeMap<RecordingId, (Progress, Lane)>,
}

impl Default for Counts {
    fn default() -> Self {
        let of = BTreeMap::new();
        Self { each: 1, of }
    }
}

impl Counts {
    /// Counts what has come since the last time.
    pub fn lanes(&mut self, session: &Session, job: &Job) -> Result<Lanes> {
        let ids = session.recordings()?;
        let spans = ids.iter().filter_map(|&id| session.summary(id).ok());
        let spans = spans.map(|s| (s.first_tick, s.last_tick));
        let span = spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (first, last) = span.unwrap_or((Tick(0), Tick(1)));
        self.make_room(last.0);
        for (n, &id) in ids.iter().enumerate() {
            job.go_on()?;
            job.tell(format!("{n} of {} recordings", ids.len()));
            self.count(session, job, id)?;
        }
        Ok(Lanes {
            span: (first.0, last.0),
            each: self.each,
            lanes: self.of.values().map(|(_, lane)| lane.clone()).collect(),
        })
    }

    fn count(&mut self, session: &Session, job: &Job, id: RecordingId) -> Result<()> {
        let each = self.each;
        let new = || {
            let recording = id.0;
            let lane = Lane {
                recording,
                ..Lane::default()
            };
            (Progress::default(), lane)
        };
        let (progress, lane) = self.of.entry(id).or_insert_with(new);
        let read = progress.go_on((session, id), job, &mut |record| {
            if describe::is_internal(record) {
                return;
            }
            let tick = record.head.tick;
            // What came after its span was read is counted at the end.
            let part = usize::try_from(tick / each).unwrap_or(PARTS).min(PARTS - 1);
            count(&mut lane.density, part);
            // The accesses that the index of shared memory is made of.
            if [Kind::Store as u8, Kind::Shared as u8].contains(&record.head.kind) {
                count(&mut lane.shared, part);
            }
            if record.head.kind == Kind::Signal as u8 && lane.signals.len() < SIGNALS {
                lane.signals.push(tick);
            }
        });
        // One that cannot be read, or has damage, is said to be so elsewhere.
        match read {
            Err(_) => job.go_on(),
            Ok(_) => Ok(()),
        }
    }

    /// Makes parts so long that there are not too many of them up to a tick.
    fn make_room(&mut self, last: u64) {
        while last / self.each >= PARTS as u64 {
            self.each *= 2;
            for (_, lane) in self.of.values_mut() {
                for parts in [&mut lane.density, &mut lane.shared] {
                    let pairs = parts.chunks(2);
                    *parts = pairs
                        .map(|pair| pair.iter().fold(0, |a: u32, &b| a.saturating_add(b)))
                        .collect();
                }
            }
        }
    }
}

/// One more in a part.
fn count(parts: &mut Vec<u32>, part: usize) {
    if parts.len() <= part {
        parts.resize(part + 1, 0);
    }
    parts[part] = parts[part].saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_longer_and_keep_their_counts() {
        let mut counts = Counts::default();
        let lane = Lane {
            density: vec![1; PARTS],
            ..Lane::default()
        };
        counts
            .of
            .insert(RecordingId(1), (Progress::default(), lane));
        counts.make_room(PARTS as u64 - 1);
        assert_eq!(counts.each, 1);
        counts.make_room(3 * PARTS as u64);
        assert_eq!(counts.each, 4);
        let (_, lane) = &counts.of[&RecordingId(1)];
        assert_eq!(lane.density, vec![4; PARTS / 4]);
    }
}
