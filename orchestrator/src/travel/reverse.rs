//! Moving backwards: forwards from before, up to the last hit.

use super::TravelError;
use super::engine::{Instant, Leg, Travel};
use super::instruction::LONGEST;
use super::motion::{Passes, Reason, Stops};
use super::process::Place;
use super::segments::Found;
use anyhow::Result;
use iced_x86::{Decoder, DecoderOptions};

/// So many instructions are stepped before another way is tried.
const FEW: u64 = 500;
/// So many at most.
const MANY: u64 = 50_000_000;
/// How far before the present instruction its predecessors are looked for, bytes.
const NEAR: u64 = 96;

impl Travel {
    /// Goes one instruction back.
    ///
    /// # Errors
    /// [`TravelError::Start`] if there is none.
    pub fn step_back(&mut self) -> Result<()> {
        let mut here = self.here.clone();
        match here.legs.pop() {
            Some(Leg::Steps(0)) => unreachable!("no leg is empty"),
            Some(Leg::Steps(n)) => {
                self.keep_anchor(here.at)?;
                return self.go(here.and_steps(n - 1));
            }
            Some(leg) => {
                let steps = self.steps_of(&here, &leg)?;
                return match steps {
                    // That leg began where it ends: only by `arrived`.
                    (_, 0) => self.back_from_event(here.at),
                    (from, n) => self.go(from.and_steps(n - 1)),
                };
            }
            None => {}
        }
        self.back_from_event(here.at)
    }

    /// So that going there again is quick.
    fn keep_anchor(&mut self, at: u64) -> Result<()> {
        if self.has_checkpoint(at) {
            return Ok(());
        }
        let here = self.here.clone();
        self.run_to_event(at)?;
        self.keep(at)?;
        self.here = here;
        Ok(())
    }

    /// One instruction back from where the process stops for `at`.
    fn back_from_event(&mut self, mut at: u64) -> Result<()> {
        let target = at;
        loop {
            if at == 0 {
                self.run_to_event(0)?;
                return Err(TravelError::Start.into());
            }
            // The event that is next there, or that was last.
            let next = self.events.at_offset(at)?.map_or(u64::MAX, |e| e.offset);
            let Some(last) = self.events.before(next)? else {
                self.run_to_event(0)?;
                if let Some(n) = self.count_to(target)? {
                    return self.go(Instant::event(0).and_steps(n - 1));
                }
                return Err(TravelError::Start.into());
            };
            self.run_to_event(last.event.offset)?;
            if let Some(n) = self.count_to(target)? {
                return self.go(Instant::event(last.event.offset).and_steps(n - 1));
            }
            // The process stops at the same place for both.
            at = last.event.offset;
        }
    }

    /// How many instructions it is from where the process stands to where it
    /// stops for `at`; `None` if it stands there.
    fn count_to(&mut self, at: u64) -> Result<Option<u64>> {
        let from = self.here.at;
        self.keep(from)?;
        // What is known of the place: the event that is next, and the registers.
        self.run_to_event(at)?;
        let (next, regs) = (self.next_offset()?, self.regs()?);
        let before = self.process.is_before();
        self.run_to_event(from)?;
        let mut n = 0;
        loop {
            let now = self.next_offset()?;
            if now >= next && self.regs()? == regs || now > next {
                return Ok((n > 0).then_some(n));
            }
            match self.step() {
                Ok(()) => n += 1,
                Err(e) if matches!(e.downcast_ref(), Some(TravelError::End)) => {
                    return Ok((n > 0).then_some(n));
                }
                Err(e) => return Err(e),
            }
            if before && now == next && self.next_offset()? > next {
                // The event is over: it was one instruction back.
                return Ok((n > 1).then(|| n - 1));
            }
            if n > MANY {
                anyhow::bail!(
                    "too far to step back: more than {MANY} instructions without an event"
                );
            }
        }
    }

    /// Where the event begins that is next.
    fn next_offset(&mut self) -> Result<u64> {
        let offset = self.process.offset()?;
        Ok(self.next_event(offset)?.map_or(u64::MAX, |e| e.offset))
    }

    /// From where, and how many instructions, it is to the end of a leg that
    /// begins at `from`.
    fn steps_of(&mut self, from: &Instant, leg: &Leg) -> Result<(Instant, u64)> {
        // Before the process goes elsewhere.
        let target = self.regs()?;
        self.keep_anchor(from.at)?;
        self.go(from.clone())?;
        if let Some(n) = self.steps_along(leg, FEW)? {
            return Ok((from.clone(), n));
        }
        // Far: the last pass of an instruction shortly before.
        let mut candidates = self.predecessors(target.rip, target.rsp);
        if matches!(leg, Leg::Change { .. }) {
            // What changes memory goes on behind itself, as a rule. The others may be
            // passed very often on the way.
            let before = |&at: &u64| at < target.rip && target.rip - at <= LONGEST as u64;
            candidates = candidates
                .into_iter()
                .filter(before)
                .max()
                .into_iter()
                .collect();
        }
        self.go(from.clone())?;
        if let Some((near, rest)) = self.last_pass(leg, &candidates)? {
            self.go(near.clone())?;
            if let Some(n) = self.steps_along(&rest, 20 * FEW)? {
                return Ok((near, n));
            }
        }
        self.go(from.clone())?;
        match self.steps_along(leg, MANY)? {
            Some(n) => Ok((from.clone(), n)),
            None => anyhow::bail!("too far to step back: more than {MANY} instructions"),
        }
    }

    /// Steps along a leg; how many instructions that takes, if at most `most`.
    fn steps_along(&mut self, leg: &Leg, most: u64) -> Result<Option<u64>> {
        let (mut left, ip) = match *leg {
            Leg::Steps(n) => return Ok(Some(n)),
            Leg::Pass { ip, n, arrived } => {
                (n - u64::from(arrived && self.has_arrived(ip)?), Some(ip))
            }
            Leg::Change { n, .. } => (n, None),
        };
        let mut steps = 0;
        let stops = match *leg {
            Leg::Change { watch, .. } => vec![watch],
            _ => Vec::new(),
        };
        let mut values = self.values(&stops);
        while left > 0 {
            if steps == most {
                return Ok(None);
            }
            self.step()?;
            steps += 1;
            let hit = match ip {
                Some(ip) => self.regs()?.rip == ip,
                None => {
                    let now = self.values(&stops);
                    std::mem::replace(&mut values, now.clone()) != now
                }
            };
            left -= u64::from(hit);
        }
        Ok(Some(steps))
    }

    fn values(&self, watches: &[super::Watch]) -> Vec<Vec<u8>> {
        let value = |w: &super::Watch| {
            let mut bytes = vec![0; usize::try_from(w.len).unwrap_or(8)];
            self.read(w.addr, &mut bytes);
            bytes
        };
        watches.iter().map(value).collect()
    }

    /// Follows a leg, and tells the last pass of one of `candidates` on its
    /// way, and what is left of it from there.
    fn last_pass(&mut self, leg: &Leg, candidates: &[u64]) -> Result<Option<(Instant, Leg)>> {
        let mut stops = Stops {
            breakpoints: candidates.to_vec(),
            ..Stops::default()
        };
        let (end, mut left) = match *leg {
            Leg::Pass { ip, n, arrived } => {
                stops.breakpoints.push(ip);
                let left = n - u64::from(arrived && self.has_arrived(ip)?);
                (Reason::Breakpoint(ip), left)
            }
            Leg::Change { watch, n } => {
                stops.watches.push(watch);
                (Reason::Watch(watch), n)
            }
            Leg::Steps(_) => return Ok(None),
        };
        let arrived = match self.process.place() {
            Place::Event if !self.process.is_before() => Some(self.regs()?.rip),
            _ => None,
        };
        let mut passes = Passes::new(self)?;
        let mut last = None;
        if left > 0 {
            let reason = self.run_over(&stops, &mut passes, &mut |travel, passes, reason| {
                if passes.met(end) {
                    left -= 1;
                    return left == 0;
                }
                let mut here = travel.here.clone();
                // Positions count from the event on, whatever the program came from.
                if let Some(Leg::Pass {
                    n,
                    arrived: from_event,
                    ..
                }) = here.legs.last_mut()
                    && !*from_event
                {
                    *from_event = true;
                    *n += u64::from(arrived.is_some_and(|ip| reason == Reason::Breakpoint(ip)));
                }
                last = Some((here, left));
                false
            })?;
            if matches!(reason, Reason::Limit | Reason::End) {
                return Err(TravelError::End.into());
            }
        }
        let rest = |n| match *leg {
            Leg::Change { watch, .. } => Leg::Change { watch, n },
            Leg::Pass { ip, .. } => Leg::Pass {
                ip,
                n,
                arrived: false,
            },
            Leg::Steps(_) => unreachable!("it has no passes"),
        };
        Ok(last.map(|(at, n)| (at, rest(n))))
    }

    /// Instructions that may come just before `ip`: the ones in front of it,
    /// and, if a function begins there, what called it.
    fn predecessors(&self, ip: u64, rsp: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut code = vec![0; usize::try_from(NEAR).unwrap_or(0)];
        let start = ip.saturating_sub(NEAR);
        if self.read(start, &mut code) == code.len() {
            // Decoding from a wrong place falls into step after a few instructions.
            let mut decoder = Decoder::with_ip(64, &code, start, DecoderOptions::NONE);
            while decoder.can_decode() {
                let instruction = decoder.decode();
                if instruction.ip() >= start + NEAR / 3 && !instruction.is_invalid() {
                    found.push(instruction.ip());
                }
            }
        }
        let mut word = [0; 8];
        if self.read(rsp, &mut word) == 8 {
            found.extend(self.calls_to(u64::from_le_bytes(word)));
        }
        found.retain(|&at| at != ip);
        found
    }

    /// The address here, and how often the program has come to it since the event
    /// that the way begins at, this time included.
    pub(super) fn count_passes(&mut self) -> Result<(u64, u64)> {
        let here = self.here.clone();
        let ip = self.regs()?.rip;
        self.run_to_event(here.at)?;
        let mut passes = u64::from(self.has_arrived(ip)?);
        for leg in &here.legs {
            passes += self.passes_along(leg, ip)?;
        }
        self.here = here;
        Ok((ip, passes))
    }

    /// Follows a leg; tells how often it comes to `ip`.
    fn passes_along(&mut self, leg: &Leg, ip: u64) -> Result<u64> {
        let (mut stops, mut left, end) = match *leg {
            Leg::Steps(n) => {
                let mut passes = 0;
                for _ in 0..n {
                    self.step()?;
                    passes += u64::from(self.regs()?.rip == ip);
                }
                return Ok(passes);
            }
            Leg::Pass { ip, n, arrived } => {
                let left = n - u64::from(arrived && self.has_arrived(ip)?);
                (Stops::at(ip), left, Reason::Breakpoint(ip))
            }
            Leg::Change { watch, n } => {
                let stops = Stops {
                    watches: vec![watch],
                    ..Stops::default()
                };
                (stops, n, Reason::Watch(watch))
            }
        };
        if !stops.breakpoints.contains(&ip) {
            stops.breakpoints.push(ip);
        }
        let (mut run, mut passes) = (Passes::new(self)?, 0);
        if left > 0 {
            let reason = self.run_over(&stops, &mut run, &mut |_, run, _| {
                left -= u64::from(run.met(end));
                passes += u64::from(run.met(Reason::Breakpoint(ip)));
                left == 0
            })?;
            if matches!(reason, Reason::Limit | Reason::End) {
                return Err(TravelError::End.into());
            }
        }
        Ok(passes)
    }

    /// Goes back to the last hit of `stops` before here, or to their limit. Before a store
    /// to what is watched, not behind it.
    ///
    /// # Errors
    /// If the process cannot be replayed, or somebody interrupts: then it is where it was.
    pub fn run_back(&mut self, stops: &Stops) -> Result<Reason> {
        let here = self.here.clone();
        let found = self.search_back(stops, &here);
        self.forget_waypoints();
        match found {
            Ok(reason) => Ok(reason),
            Err(e) => {
                self.go(here)?;
                Err(e)
            }
        }
    }

    fn search_back(&mut self, stops: &Stops, here: &Instant) -> Result<Reason> {
        let mut places = self.checkpoints_before(here.at);
        if let Some(limit) = stops.limit.filter(|&limit| limit <= here.at) {
            self.keep_anchor(limit)?;
            places.retain(|&at| at > limit);
            places.push(limit);
        }
        let mut found = None;
        if let Some((&near, far)) = places.split_first() {
            found = self.last_hit(near, here, true, stops)?;
            if found.is_none() {
                found = self.search_before(near, far, stops)?;
            }
        }
        let Some((instant, reason)) = found else {
            self.run_to_event(stops.limit.unwrap_or(0))?;
            return Ok(stops.limit.map_or(Reason::End, |_| Reason::Limit));
        };
        self.go(instant)?;
        if matches!(reason, Reason::Watch(_)) {
            self.step_back()?;
        }
        Ok(reason)
    }

    /// The last hit between where the process stops for `from` and `until`; a breakpoint
    /// there is one unless it `is_here`.
    pub(super) fn last_hit(
        &mut self,
        from: u64,
        until: &Instant,
        is_here: bool,
        stops: &Stops,
    ) -> Result<Option<Found>> {
        let mut last = None;
        if from != until.at {
            last = self.last_until(from, until.at, stops)?;
            // The last of them may be the very place: not before it. (A change that has led
            // to the place is: it is left behind by going back before it.)
            if let Some((instant, Reason::Breakpoint(_))) = &last
                && is_here
                && until.legs.is_empty()
            {
                let instant = instant.clone();
                self.run_to_event(until.at)?;
                let regs = self.regs()?;
                self.go(instant.clone())?;
                if self.regs()? == regs && self.same_as(until)? {
                    last = self.last_hit(from, &instant, true, stops)?;
                }
            }
        }
        if until.legs.is_empty() && (is_here || stops.breakpoints.is_empty()) {
            return Ok(last);
        }
        self.run_to_event(until.at)?;
        if !is_here || !until.legs.is_empty() {
            last = self.stands_on(stops)?.or(last);
        }
        let mut passes = Passes::new(self)?;
        // Along the rest of the way.
        for (n, leg) in until.legs.iter().enumerate() {
            self.hits_along(
                leg,
                is_here && n + 1 == until.legs.len(),
                stops,
                &mut passes,
                &mut last,
            )?;
        }
        Ok(last)
    }

    /// The last hit between where the process stops for `from` and for `until`.
    ///
    /// What is hit often is not followed all the way: after some hits the search goes
    /// on from half the way to the end, and comes back only if nothing is hit there.
    fn last_until(&mut self, from: u64, until: u64, stops: &Stops) -> Result<Option<Found>> {
        const HITS: u32 = 64;
        /// Bytes of events that are not worth another checkpoint.
        const SHORT: u64 = 16 << 10;
        let stops = Stops {
            limit: Some(until),
            ..stops.clone()
        };
        self.run_to_event(from)?;
        let mut passes = Passes::new(self)?;
        let (mut last, mut hits) = (None, 0);
        let reason = self.run_over(&stops, &mut passes, &mut |travel, _, reason| {
            last = Some((travel.here.clone(), reason));
            hits += 1;
            // Bytes that are left.
            let rest = || until.saturating_sub(travel.process.offset().unwrap_or(until));
            hits % HITS == 0 && rest() >= SHORT
        })?;
        if matches!(reason, Reason::Limit | Reason::End) {
            return Ok(last);
        }
        let at = self.process.offset()?;
        let middle = at + (until - at) / 2;
        self.run_to_event(middle)?;
        if self.process.is_there(until)? {
            return self.last_of_all(from, &stops);
        }
        self.keep_waypoint(middle)?;
        let here = self.stands_on(&stops)?;
        if let Some(found) = self.last_until(middle, until, &stops)? {
            return Ok(Some(found));
        }
        if here.is_some() {
            return Ok(here);
        }
        let found = self.last_until(from, middle, &stops)?;
        Ok(found.or(last))
    }

    /// Whether a breakpoint is where an event that is over has led: what runs on from
    /// there does not count it, nor does what runs up to there.
    fn stands_on(&self, stops: &Stops) -> Result<Option<Found>> {
        let ip = self.regs()?.rip;
        if !stops.breakpoints.contains(&ip) || !self.has_arrived(ip)? {
            return Ok(None);
        }
        let arrived = Leg::Pass {
            ip,
            n: 1,
            arrived: true,
        };
        let instant = Instant::event(self.here.at).and(arrived);
        Ok(Some((instant, Reason::Breakpoint(ip))))
    }

    /// Whether the process is where it stops for `until`.
    fn same_as(&mut self, until: &Instant) -> Result<bool> {
        let offset = self.process.offset()?;
        let here = self.here.clone();
        self.run_to_event(until.at)?;
        let same = self.process.offset()? == offset;
        self.go(here)?;
        Ok(same)
    }

    /// The last hit of `stops` before their limit, of all that there are.
    fn last_of_all(&mut self, from: u64, stops: &Stops) -> Result<Option<Found>> {
        self.run_to_event(from)?;
        let (mut passes, mut last) = (Passes::new(self)?, None);
        self.run_over(stops, &mut passes, &mut |travel, _, reason| {
            last = Some((travel.here.clone(), reason));
            false
        })?;
        Ok(last)
    }

    /// Follows a leg and notes the hits on its way; a breakpoint where the last one ends
    /// is no hit.
    fn hits_along(
        &mut self,
        leg: &Leg,
        is_last: bool,
        stops: &Stops,
        passes: &mut Passes,
        last: &mut Option<Found>,
    ) -> Result<()> {
        let (mut all, mut left, end) = match *leg {
            Leg::Steps(n) => {
                for i in 1..=n {
                    let before = self.values(&stops.watches);
                    self.step()?;
                    let ip = self.regs()?.rip;
                    let after = self.values(&stops.watches);
                    let changed = before.iter().zip(&after).position(|(a, b)| a != b);
                    if let Some(n) = changed {
                        *last = Some((self.here.clone(), Reason::Watch(stops.watches[n])));
                    } else if stops.breakpoints.contains(&ip) && !(is_last && i == n) {
                        *last = Some((self.here.clone(), Reason::Breakpoint(ip)));
                    }
                }
                *passes = Passes::new(self)?;
                return Ok(());
            }
            Leg::Pass { ip, n, arrived } => {
                let mut all = stops.clone();
                if !all.breakpoints.contains(&ip) {
                    all.breakpoints.push(ip);
                }
                let left = n - u64::from(arrived && self.has_arrived(ip)?);
                (all, left, Reason::Breakpoint(ip))
            }
            Leg::Change { watch, n } => {
                let mut all = stops.clone();
                if !all.watches.contains(&watch) {
                    all.watches.push(watch);
                }
                (all, n, Reason::Watch(watch))
            }
        };
        all.limit = None;
        if left == 0 {
            return Ok(());
        }
        self.run_over(&all, passes, &mut |travel, passes, _| {
            left -= u64::from(passes.met(end));
            let watches = stops.watches.iter().map(|&w| Reason::Watch(w));
            let breakpoints = stops.breakpoints.iter().map(|&ip| Reason::Breakpoint(ip));
            let wanted = watches.chain(breakpoints).find(|&r| passes.met(r));
            let here = is_last && left == 0;
            if let Some(reason) = wanted.filter(|r| !here || matches!(r, Reason::Watch(_))) {
                *last = Some((travel.here.clone(), reason));
            }
            left == 0
        })?;
        *passes = Passes::new(self)?;
        Ok(())
    }
}
