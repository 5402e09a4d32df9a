//! Rows of several recordings in one order, as soon as it is certain.

use super::worker::Hit;
use orch_recorder::trace::RecordingId;
use std::collections::VecDeque;

/// What is known of a recording.
struct Lane {
    recording: RecordingId,
    /// Nothing earlier will come.
    reached: u64,
    rows: VecDeque<Hit>,
    /// How many have come.
    count: usize,
    over: bool,
}

/// Rows that wait for others which may be earlier.
pub struct Merge(Vec<Lane>);

impl Merge {
    /// For recordings, and ticks before which they have no rows.
    pub fn new(recordings: impl IntoIterator<Item = (RecordingId, u64)>) -> Self {
        let lane = |(recording, reached)| Lane {
            recording,
            reached,
            rows: VecDeque::new(),
            count: 0,
            over: false,
        };
        Self(recordings.into_iter().map(lane).collect())
    }

    fn lane(&mut self, id: RecordingId) -> &mut Lane {
        let found = self.0.iter_mut().find(|lane| lane.recording == id);
        found.expect("rows come from what was started")
    }

    /// A row of a recording, later than all of it before.
    pub fn push(&mut self, id: RecordingId, hit: Hit) {
        self.reached(id, hit.tick);
        let lane = self.lane(id);
        lane.rows.push_back(hit);
        lane.count += 1;
    }

    /// How many rows of a recording have come.
    pub fn rows_of(&mut self, id: RecordingId) -> usize {
        self.lane(id).count
    }

    /// A recording has no more rows before this tick.
    pub fn reached(&mut self, id: RecordingId, tick: u64) {
        let lane = self.lane(id);
        lane.reached = lane.reached.max(tick);
    }

    /// A recording has no more rows.
    pub fn over(&mut self, id: RecordingId) {
        self.lane(id).over = true;
    }

    /// How many have no more.
    pub fn done(&self) -> usize {
        self.0.iter().filter(|lane| lane.over).count()
    }

    /// The next row, if nothing can come before it.
    pub fn next(&mut self) -> Option<(RecordingId, Hit)> {
        let next = self.0.iter().filter_map(Lane::first).min()?;
        let waits = |lane: &Lane| {
            lane.rows.is_empty() && !lane.over && (lane.reached, lane.recording) < next
        };
        if self.0.iter().any(waits) {
            return None;
        }
        let hit = self.lane(next.1).rows.pop_front()?;
        Some((next.1, hit))
    }
}

impl Lane {
    fn first(&self) -> Option<(u64, RecordingId)> {
        Some((self.rows.front()?.tick, self.recording))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn id(n: usize) -> RecordingId {
        RecordingId(n as u32 + 1)
    }

    fn hit(tick: u64) -> Hit {
        Hit {
            tick,
            ..Hit::default()
        }
    }

    proptest! {
        /// Whatever the order in which rows arrive, they leave in the order of ticks.
        #[test]
        fn rows_are_in_order(
            mut lanes in prop::collection::vec(prop::collection::vec(0_u64..50, 0..8), 1..5),
            turns in prop::collection::vec(0_usize..5, 0..60),
        ) {
            lanes.iter_mut().for_each(|lane| lane.sort_unstable());
            let total: usize = lanes.iter().map(Vec::len).sum();
            let mut merge = Merge::new((0..lanes.len()).map(|n| (id(n), 0)));
            let mut seen = Vec::new();
            let mut left: Vec<VecDeque<u64>> = lanes.into_iter().map(VecDeque::from).collect();
            for turn in turns {
                let n = turn % left.len();
                match left[n].pop_front() {
                    Some(tick) => merge.push(id(n), hit(tick)),
                    None => merge.over(id(n)),
                }
                while let Some((id, hit)) = merge.next() {
                    seen.push((hit.tick, id));
                }
            }
            for (n, lane) in left.into_iter().enumerate() {
                lane.into_iter().for_each(|tick| merge.push(id(n), hit(tick)));
                merge.over(id(n));
            }
            while let Some((id, hit)) = merge.next() {
                seen.push((hit.tick, id));
            }
            prop_assert!(seen.is_sorted(), "{seen:?}");
            prop_assert_eq!(seen.len(), total);
        }
    }
}
