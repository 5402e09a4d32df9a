//! What wall time it was at a tick, as far as the recordings tell: programs are
//! started at known times, and some of them asked for the time.

use crate::catalog::{Catalog, Moment};
use crate::error::BlameError;
use crate::index::Index;
use orch_recorder::session::Session;
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

    /// The times of a session, its end among them. Makes the index, if there is none.
    ///
    /// # Errors
    /// If the session cannot be read.
    pub fn read(session: &Session) -> Result<Self, BlameError> {
        let index = Index::open(session, &mut |_| true)?;
        let catalog = index.catalog();
        let mut clock = Self::new(catalog);
        let last = catalog.recordings.iter().map(|r| r.last).max();
        if let (Some(tick), Some(time)) = (last, session.meta().ended)
            && let Some(known) = clock.moments.last()
            && known.tick < tick
            && known.time <= time
        {
            clock.moments.push(Moment { tick, time });
        }
        Ok(clock)
    }

    /// How many times are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.moments.len()
    }

    /// Nanoseconds from the first known time to the last; `None` if none is known.
    #[must_use]
    pub fn span(&self) -> Option<u64> {
        Some(self.moments.last()?.time - self.moments.first()?.time)
    }

    /// The tick at a time, nanoseconds since the session began: where it is between
    /// known times, it is estimated. `None` if it is behind all of them.
    #[must_use]
    pub fn tick(&self, nanos: u64) -> Option<Tick> {
        let time = self.moments.first()?.time.checked_add(nanos)?;
        let behind = self.moments.partition_point(|m| m.time <= time);
        let before = self.moments[behind.checked_sub(1)?];
        if before.time == time {
            return Some(before.tick);
        }
        let after = self.moments.get(behind)?;
        let (span, ticks) = (after.time - before.time, after.tick.0 - before.tick.0);
        let part = u128::from(ticks) * u128::from(time - before.time) / u128::from(span);
        Some(Tick(before.tick.0 + part as u64))
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
        let tick = |nanos| clock.tick(nanos).map(|t| t.0);
        assert_eq!(clock.span(), Some(2000));
        assert_eq!(tick(0), Some(1));
        assert_eq!(tick(1000), Some(6));
        assert_eq!(tick(2000), Some(11));
        assert_eq!(tick(2001), None);
    }
}
