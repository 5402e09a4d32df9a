//! Runs to breakpoints and to changes of memory, both ways.

use super::history::change_in_short;
use super::picture::Traveller;
use super::worker::Job;
use crate::commands::last::search::watches;
use crate::inspect::Still;
use crate::position::Position;
use crate::travel::{Instant, Reason, Stops, Travel, Watch};
use anyhow::Result;
use orch_blame::access::Old;
use orch_recorder::trace::RecordingId;
use orch_tui::data::{Stop, StopAt};
use orch_tui::event::Way;
use std::collections::BTreeSet;

/// Runs; tells why it has stopped.
pub fn run(to: &mut Traveller, job: &Job, stops: &[Stop], way: Way) -> Result<String> {
    let _clock = job.clock();
    let travel = to.travel()?;
    let wanted = Wanted::new(travel, stops)?;
    let before = wanted.bytes(travel);
    let reason = match way {
        Way::On => wanted.forward(travel, job)?,
        Way::Back => wanted.back(travel, job)?,
    };
    Ok(wanted.explain(travel, reason, way, &before))
}

/// What a run stops for, of one recording.
struct Wanted<'s> {
    id: RecordingId,
    stops: &'s [Stop],
    /// Events that bring code which is waited for, or take it away: offset and tick.
    changes: Vec<(u64, u64)>,
    watches: Vec<Watch>,
}

impl<'s> Wanted<'s> {
    fn new(travel: &Travel, stops: &'s [Stop]) -> Result<Self> {
        let id = travel.recording();
        let first = travel.session().summary(id)?.first_tick;
        let mut ticks = BTreeSet::new();
        let mut all = Vec::new();
        for stop in stops {
            match &stop.at {
                StopAt::Code { since, .. } => {
                    let own = since.iter().filter(|s| s.0 == id.0);
                    ticks.extend(own.flat_map(|s| &s.1).map(|s| s.0));
                }
                StopAt::Memory {
                    recording,
                    addr,
                    len,
                } if *recording == id.0 => all.extend(watches(*addr, *len).unwrap_or_default()),
                StopAt::Memory { .. } => {}
            }
        }
        // What is there from the start on, no event brings.
        ticks.retain(|&tick| tick > first.0);
        let mut changes = Vec::new();
        for tick in ticks {
            let event = travel.instant(&Position::event(id, tick))?;
            changes.push((event.at, tick));
        }
        Ok(Self {
            id,
            stops,
            changes,
            watches: all,
        })
    }

    /// How many of the changes are over.
    fn over(&self, here: &Instant) -> usize {
        let is_over =
            |&(at, _): &(u64, u64)| at < here.at || at == here.at && !here.legs.is_empty();
        self.changes.partition_point(is_over)
    }

    /// Addresses that are waited for when so many changes are over.
    fn addresses(&self, over: usize) -> BTreeSet<u64> {
        let tick = match over.checked_sub(1).and_then(|n| self.changes.get(n)) {
            Some(&(_, tick)) => tick,
            None => self.changes.first().map_or(u64::MAX, |&(_, tick)| tick - 1),
        };
        let mut found = BTreeSet::new();
        for stop in self.stops {
            let StopAt::Code { since, .. } = &stop.at else {
                continue;
            };
            for (_, since) in since.iter().filter(|s| s.0 == self.id.0) {
                let last = since.iter().rfind(|s| s.0 <= tick);
                found.extend(last.iter().flat_map(|s| s.1.iter().copied()));
            }
        }
        found
    }

    /// The same without those that are not in code: a file is first mapped as a whole.
    fn stops(&self, travel: &Travel, over: usize) -> Result<Stops> {
        let maps = Still::maps(travel)?;
        let mut addresses = self.addresses(over);
        addresses.retain(|&at| maps.iter().any(|map| map.is_code() && map.has(at)));
        Ok(Stops {
            breakpoints: addresses.into_iter().collect(),
            watches: self.watches.clone(),
            limit: None,
        })
    }

    fn forward(&self, travel: &mut Travel, job: &Job) -> Result<Reason> {
        loop {
            job.go_on()?;
            let over = self.over(travel.here());
            let mut stops = self.stops(travel, over)?;
            let change = self.changes.get(over);
            stops.limit = change.map(|&(at, _)| at);
            let reason = travel.run(&stops)?;
            if reason != Reason::Limit || change.is_none() {
                return Ok(reason);
            }
            // Through the event; where that leads to is no hit of the next run.
            let before = self.words(travel);
            travel.step()?;
            let now = self.words(travel);
            if let Some(n) = before.iter().zip(&now).position(|(a, b)| a != b) {
                return Ok(Reason::Watch(self.watches[n]));
            }
            let ip = travel.regs()?.rip;
            if self.stops(travel, over + 1)?.breakpoints.contains(&ip) {
                return Ok(Reason::Breakpoint(ip));
            }
        }
    }

    fn back(&self, travel: &mut Travel, job: &Job) -> Result<Reason> {
        loop {
            job.go_on()?;
            let over = self.over(travel.here());
            let stops = self.stops(travel, over)?;
            let reason = travel.run_back(&stops)?;
            let passed = self.over(travel.here());
            if passed == over || matches!(reason, Reason::Watch(_)) {
                return Ok(reason);
            }
            // Before the last change other code may count.
            let (now, before) = (self.addresses(over), self.addresses(over - 1));
            if before.is_subset(&now) {
                match reason {
                    Reason::Breakpoint(ip) if !self.addresses(passed).contains(&ip) => {}
                    _ => return Ok(reason),
                }
            } else {
                let (_, tick) = self.changes[over - 1];
                travel.go_to(&Position::event(self.id, tick))?;
            }
        }
    }

    fn words(&self, travel: &Travel) -> Vec<[u8; 8]> {
        let word = |watch: &Watch| {
            let mut bytes = [0; 8];
            let len = usize::try_from(watch.len).unwrap_or(8).min(8);
            Still::read(travel, watch.addr, &mut bytes[..len]);
            bytes
        };
        self.watches.iter().map(word).collect()
    }

    /// The bytes of each watchpoint.
    fn bytes(&self, travel: &Travel) -> Vec<Vec<u8>> {
        let bytes = |stop: &Stop| match stop.at {
            StopAt::Memory {
                recording,
                addr,
                len,
            } if recording == self.id.0 => {
                /// More cannot be watched.
                const MOST: u64 = 32;
                let mut bytes = vec![0; len.min(MOST) as usize];
                let read = Still::read(travel, addr, &mut bytes);
                bytes.truncate(read);
                bytes
            }
            _ => Vec::new(),
        };
        self.stops.iter().map(bytes).collect()
    }

    /// The same in words.
    fn explain(&self, travel: &Travel, reason: Reason, way: Way, before: &[Vec<u8>]) -> String {
        match (reason, way) {
            (Reason::Breakpoint(ip), _) => {
                let is_it = |stop: &&Stop| stop.addresses(self.id.0).any(|at| at == ip);
                let name = self.stops.iter().find(is_it).map_or("", |stop| &stop.text);
                format!("breakpoint {name}")
            }
            (Reason::Watch(watch), _) => {
                let is_it = |stop: &Stop| {
                    matches!(stop.at, StopAt::Memory { recording, addr, len }
                    if recording == self.id.0 && watch.addr.wrapping_sub(addr) < len)
                };
                let Some(n) = self.stops.iter().position(is_it) else {
                    return "memory has changed".to_owned();
                };
                let name = &self.stops[n].text;
                if way == Way::Back {
                    return format!("what is executed next changes {name}");
                }
                // It may not have been mapped where the run began.
                let old = Some(&before[n]).filter(|bytes| !bytes.is_empty());
                let old = old.map(|bytes| Old {
                    bytes: bytes.clone(),
                    known: Vec::new(),
                });
                let now = &self.bytes(travel)[n];
                format!(
                    "{name} has changed: {}",
                    change_in_short(0, old.as_ref(), now)
                )
            }
            (Reason::Limit | Reason::End, Way::On) => {
                format!("the recording ends here; {}", self.nothing())
            }
            (Reason::Limit | Reason::End, Way::Back) => {
                format!("the recording starts here; {}", self.nothing())
            }
        }
    }

    fn nothing(&self) -> &'static str {
        match self.stops.is_empty() {
            true => "B sets a breakpoint, W watches",
            false => "no breakpoint or change was on the way",
        }
    }
}
