//! What wall time it was at a tick, as far as the recordings tell: programs are
//! started at known times, and some of them asked for the time.

use crate::catalog::{Catalog, Moment};
use orch_recorder::trace::Tick;

/// Known times, in order.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moments: Vec<Moment>,
}

/// A wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Nanoseconds since the session began.
    pub nanos: u64,
    /// It was told at this very tick; otherwise it is estimated between the
    /// known times before and after.
    pub exact: bool,
}

impl Clock {
    /// The times that `catalog` knows. Where the machine's clock was set back,
    /// what it said before counts.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        let mut moments: Vec<Moment> = Vec::new();
        for &moment in &catalog.times {
            let last = moments.last().copied();
            if last.is_none_or(|last| last.tick < moment.tick && last.time <= moment.time) {
                moments.push(moment);
            }
        }
        Self { moments }
    }

    /// How many times are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.moments.len()
    }

    /// The time at `tick`; `None` if it is not between known ones.
    #[must_use]
    pub fn at(&self, tick: Tick) -> Option<Time> {
        let start = self.moments.first()?.time;
        let behind = self.moments.partition_point(|m| m.tick <= tick);
        let before = self.moments[behind.checked_sub(1)?];
        if before.tick == tick {
            let nanos = before.time - start;
            return Some(Time { nanos, exact: true });
        }
        let after = self.moments.get(behind)?;
        let (span, ticks) = (after.time - before.time, after.tick.0 - before.tick.0);
        let part = u128::from(span) * u128::from(tick.0 - before.tick.0) / u128::from(ticks);
        Some(Time {
            nanos: before.time - start + part as u64,
            exact: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_known_times_it_is_estimated() {
        let moment = |tick, time| Moment {
            tick: Tick(tick),
            time,
        };
        let clock = Clock::new(&Catalog {
            times: vec![moment(1, 1000), moment(5, 900), moment(11, 3000)],
            ..Catalog::default()
        });
        assert_eq!(clock.known(), 2);
        let at = |tick| clock.at(Tick(tick)).map(|t| (t.nanos, t.exact));
        assert_eq!(at(0), None);
        assert_eq!(at(1), Some((0, true)));
        assert_eq!(at(6), Some((1000, false)));
        assert_eq!(at(11), Some((2000, true)));
        assert_eq!(at(12), None);
    }
}
