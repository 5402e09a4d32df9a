//! All passes of some instructions, from one to the next, over a whole recording.

use super::engine::Travel;
use super::event;
use super::motion::{Passes, Reason, Stops};
use crate::position::{At, Position};
use anyhow::Result;
use orch_recorder::trace::Tick;
use serde::{Deserialize, Serialize};

/// Which addresses count from an event on: libraries come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// The event behind which they do.
    pub tick: u64,
    /// The addresses.
    pub addresses: Vec<u64>,
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// In order of ticks.
    pub since: Vec<Since>,
    /// Events at which files are mapped: a debugger looks for libraries again.
    pub mapped: Vec<u64>,
    /// Not behind this tick.
    pub until: Option<u64>,
}

/// A pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where.
    pub position: Position,
    /// Tick of the event that it is behind.
    pub tick: u64,
    /// How many files were mapped until then.
    pub mapped: usize,
}

/// A search that goes on where it was.
pub struct Hits {
    wanted: Wanted,
    /// Index in `since` of what comes next.
    next: usize,
    stops: Stops,
    passes: Passes,
    /// Whether `until` was reached, or the end.
    over: bool,
}

impl Hits {
    /// From where `travel` is.
    pub fn begin(travel: &mut Travel, wanted: Wanted) -> Result<Self> {
        let tick = travel.tick()?;
        let next = wanted.since.partition_point(|s| s.tick <= tick);
        let before = next.checked_sub(1).map(|n| &wanted.since[n].addresses);
        let breakpoints = match before {
            Some(addresses) => executable(travel, addresses)?,
            None => Vec::new(),
        };
        Ok(Self {
            next,
            stops: Stops {
                breakpoints,
                ..Stops::default()
            },
            passes: Passes::new(travel)?,
            over: false,
            wanted,
        })
    }

    /// Goes to the next pass; `None` if there is none.
    pub fn next(&mut self, travel: &mut Travel) -> Result<Option<Hit>> {
        while !self.over {
            let change = self.wanted.since.get(self.next).map(|s| s.tick);
            let until = self.wanted.until;
            let last = until.is_some_and(|until| change.is_none_or(|tick| until < tick));
            self.stops.limit = match (until, change) {
                (Some(until), _) if last => travel.event_behind(Tick(until))?,
                (_, Some(change)) => travel.behind_tick(Tick(change))?,
                _ => None,
            };
            match travel.run_counting(&self.stops, &mut self.passes)? {
                Reason::Breakpoint(_) => {
                    let position = travel.position()?;
                    let tick = travel.tick_of(&position)?;
                    self.over = until.is_some_and(|until| tick > until);
                    if self.over {
                        break;
                    }
                    let mapped = self.wanted.mapped.partition_point(|&t| t <= tick);
                    return Ok(Some(Hit {
                        position,
                        tick,
                        mapped,
                    }));
                }
                Reason::Limit if !last && self.next < self.wanted.since.len() => {
                    let since = &self.wanted.since[self.next];
                    self.stops.breakpoints = executable(travel, &since.addresses)?;
                    self.next += 1;
                }
                _ => self.over = true,
            }
        }
        Ok(None)
    }
}

/// Those that are in code: a file is first mapped as a whole, and then in parts.
fn executable(travel: &Travel, addresses: &[u64]) -> Result<Vec<u64>> {
    let maps = travel.maps()?;
    let code = maps.iter().filter(|m| m.prot.contains('x'));
    let is_code = |&at: &u64| code.clone().any(|m| (m.start..m.end).contains(&at));
    Ok(addresses.iter().copied().filter(is_code).collect())
}

impl Travel {
    /// The tick of the event that one is at, or behind.
    fn tick(&mut self) -> Result<u64> {
        let position = self.position()?;
        self.tick_of(&position)
    }

    fn tick_of(&self, position: &Position) -> Result<u64> {
        let summary = self.session().summary(self.recording());
        Ok(match position.at {
            At::Tick { tick, .. } => tick.0,
            At::Start => summary?.first_tick.0,
            _ => summary?.last_tick.0,
        })
    }

    /// Where the process stops at the first event behind `tick`; `None` if there is none.
    fn event_behind(&self, tick: Tick) -> Result<Option<u64>> {
        let after = Tick(tick.0.saturating_add(1));
        let event = event::at_tick(self.session(), self.recording(), after)?;
        Ok(event.map(|e| e.offset))
    }

    /// Where the process stops that is to be behind the event of `tick`.
    fn behind_tick(&self, tick: Tick) -> Result<Option<u64>> {
        let event = event::at_tick(self.session(), self.recording(), tick)?;
        Ok(event.map(|e| e.main + 1))
    }
}
