//! Moving forwards between events, under ptrace.

use super::TravelError;
use super::code::Meaning;
use super::engine::{Instant, Leg, Travel};
use super::event;
use super::process::Place;
use super::tracee::{Halt, SI_KERNEL, TRAP_HWBKPT};
use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use orch_abi::stop::{MAX_BREAKPOINTS, command};

/// The breakpoint instruction.
const INT3: u8 = 0xcc;

/// Memory whose changes are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// First address.
    pub addr: u64,
    /// Bytes: 1, 2, 4 or 8, aligned to that.
    pub len: u64,
}

/// Why a process that was running stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It came to a breakpoint.
    Breakpoint(u64),
    /// Memory has changed.
    Watch(Watch),
    /// It came to the event that it was to go to at most.
    Limit,
    /// The recording ends (or starts) here.
    End,
}

/// What a run stops for.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    /// Addresses in the program.
    pub breakpoints: Vec<u64>,
    /// At most four.
    pub watches: Vec<Watch>,
    /// Where in the stream at the latest (`orch_abi::stop::Stop::at`, less 1).
    pub limit: Option<u64>,
}

impl Stops {
    /// For an address.
    pub fn at(ip: u64) -> Self {
        Self {
            breakpoints: vec![ip],
            ..Self::default()
        }
    }
}

/// Code that is in place of the program's.
#[derive(Default)]
struct Inserted(Vec<(u64, u8)>);

impl Travel {
    /// Goes one instruction on, or through the event that is next where it is.
    ///
    /// # Errors
    /// [`TravelError::End`] if there is none.
    pub fn step(&mut self) -> Result<()> {
        if self.process.place() == Place::End {
            return Err(TravelError::End.into());
        }
        let before = self.process.offset()?;
        let next = self.next_event(before)?;
        self.process.attach()?;
        // Behind the next event is where a step ends, whatever follows at once.
        self.process.stop_at(next.map(|e| e.main + 1));
        let result = self.step_instruction();
        match result {
            Ok(()) => {}
            Err(e) if matches!(e.downcast_ref(), Some(TravelError::End)) => {
                return Err(self.over(e));
            }
            Err(e) => return Err(e),
        }
        self.note_step(next)
    }

    /// Where one is after a step from where `event` was next.
    fn note_step(&mut self, event: Option<event::Event>) -> Result<()> {
        let now = self.process.offset()?;
        if let Some(event) = event
            && event.main < now
        {
            let stopped = self.process.place() == Place::Event && self.process.is_before();
            self.here = if stopped {
                Instant::event(now)
            } else {
                self.behind(event.offset)?
            };
        } else {
            self.here = std::mem::replace(&mut self.here, Instant::event(0)).and_steps(1);
        }
        Ok(())
    }

    /// The event whose records begin at `offset`, or the next one.
    pub(super) fn next_event(&mut self, offset: u64) -> Result<Option<event::Event>> {
        if self.upcoming.0 != offset {
            let event = event::at_offset(&self.session, self.recording(), offset)?;
            self.upcoming = (offset, event);
        }
        Ok(self.upcoming.1)
    }

    /// The process ended in a step: it stands where it did before.
    fn over(&mut self, error: anyhow::Error) -> anyhow::Error {
        let here = self.here.clone();
        match self.go(here) {
            Ok(()) => error,
            Err(e) => e,
        }
    }

    fn step_instruction(&mut self) -> Result<()> {
        if self.process.place() == Place::Event {
            let mut inserted = Inserted::default();
            self.insert_exits(&mut inserted)?;
            let (regs, offset) = (self.process.regs()?, self.process.offset()?);
            self.process.set_place(Place::Program);
            self.process.command(command::GO);
            self.process.tracee.go(None)?;
            self.reach_boundary(inserted, None)?;
            let moved = self.regs()? != regs || self.process.offset()? != offset;
            if moved || self.process.place() != Place::Program {
                return Ok(());
            }
            // It stood behind an event, and has only left the runtime.
        }
        let mut regs = self.process.tracee.regs()?;
        if let Meaning::Mov { ip, number } = self.map.meaning(regs.rip) {
            // The jump in its place would make the call, too.
            regs.rax = number.into();
            regs.rip = ip + 5;
            return self.process.tracee.set_regs(regs);
        }
        self.process.tracee.step()?;
        self.reach_boundary(Inserted::default(), Some(regs))
    }

    /// Waits until the process is where the program is about to execute an
    /// instruction; `from` is where it was, as long as it may still be there.
    fn reach_boundary(
        &mut self,
        mut inserted: Inserted,
        from: Option<libc::user_regs_struct>,
    ) -> Result<()> {
        // Whether the runtime has run meanwhile.
        let mut ran = from.is_none();
        // One instruction of the program's may take a few of ours, or wait for page after page.
        loop {
            match self.process.wait(ran)? {
                Halt::Gone => return Err(self.process.gone().into()),
                Halt::Interrupted => self.process.tracee.go(None)?,
                Halt::Signal(signal) => {
                    ran = true;
                    self.insert_exits(&mut inserted)?;
                    self.process.tracee.go(Some(signal))?;
                }
                Halt::Trap(code) => {
                    let mut regs = self.process.tracee.regs()?;
                    if self.process.code_moved() {
                        self.process.tracee.go(None)?;
                        continue;
                    }
                    if self.process.at_event() {
                        self.remove(&mut inserted)?;
                        self.process.set_place(Place::Event);
                        return self.look();
                    }
                    let behind_exit = inserted.0.iter().any(|&(at, _)| at + 1 == regs.rip);
                    if behind_exit {
                        let sigreturn = regs.rip - 1 == self.process.layout().sigreturn;
                        self.remove(&mut inserted)?;
                        regs.rip -= 1;
                        self.process.tracee.set_regs(regs)?;
                        if sigreturn && self.runtime_steps()? {
                            // The trap flag in the frame is the runtime's.
                            self.process.tracee.go(None)?;
                        } else {
                            self.process.tracee.step()?;
                        }
                        continue;
                    }
                    if code == SI_KERNEL || ran && self.runtime_steps()? {
                        // The runtime's own.
                        ran = true;
                        self.insert_exits(&mut inserted)?;
                        self.process.tracee.go(Some(Signal::SIGTRAP))?;
                        continue;
                    }
                    if ran {
                        self.refresh()?;
                    }
                    match self.map.meaning(regs.rip) {
                        Meaning::Runtime => {
                            ran = true;
                            self.insert_exits(&mut inserted)?;
                            self.process.tracee.go(None)?;
                        }
                        Meaning::Between => self.process.tracee.step()?,
                        Meaning::Syscall { ip, number } => {
                            self.remove(&mut inserted)?;
                            return self.at_syscall(regs, ip, number);
                        }
                        Meaning::Program(ip) => {
                            if from.is_some_and(|from| self.is_same(&from, &regs, ip)) {
                                self.process.tracee.step()?;
                                continue;
                            }
                            self.remove(&mut inserted)?;
                            return Ok(());
                        }
                        Meaning::Mov { .. } => {
                            self.remove(&mut inserted)?;
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// The jump to a trampoline was taken: back to the `syscall`, which is intact.
    fn at_syscall(&self, mut regs: libc::user_regs_struct, ip: u64, number: u32) -> Result<()> {
        regs.rip = ip;
        regs.rax = number.into();
        self.process.tracee.set_regs(regs)
    }

    /// Whether the processor has only come from the program's instruction to what stands for it.
    fn is_same(
        &self,
        from: &libc::user_regs_struct,
        now: &libc::user_regs_struct,
        ip: u64,
    ) -> bool {
        let Meaning::Program(was) = self.map.meaning(from.rip) else {
            return false;
        };
        let same = libc::user_regs_struct {
            rip: from.rip,
            eflags: from.eflags,
            orig_rax: from.orig_rax,
            ..*now
        };
        was == ip && now.rip != from.rip && same == *from
    }

    /// Whether the runtime is stepping the program.
    fn runtime_steps(&self) -> Result<bool> {
        let l = self.process.layout();
        let tracee = &self.process.tracee;
        Ok(tracee.word(l.open_pages)? != 0 || tracee.word(l.search_stepping)? & 0xff != 0)
    }

    fn insert_exits(&self, inserted: &mut Inserted) -> Result<()> {
        let l = self.process.layout();
        for at in l.exits.into_iter().chain([l.sigreturn]) {
            self.insert(inserted, at)?;
        }
        Ok(())
    }

    fn insert(&self, inserted: &mut Inserted, at: u64) -> Result<()> {
        if inserted.0.iter().all(|&(a, _)| a != at) {
            let byte = self.process.tracee.word(at).unwrap_or(0) as u8;
            self.process.tracee.write(at, &[INT3])?;
            inserted.0.push((at, byte));
        }
        Ok(())
    }

    fn remove(&self, inserted: &mut Inserted) -> Result<()> {
        for (at, byte) in inserted.0.drain(..) {
            self.process.tracee.write(at, &[byte])?;
        }
        Ok(())
    }

    /// Looks at the code again if it has changed.
    fn refresh(&mut self) -> Result<()> {
        if self.code_counts()? != self.counts {
            self.look()?;
        }
        Ok(())
    }

    // ------------------------------------------------------------- running

    /// Runs on until one of `stops`; where it stands is [`Travel::here`].
    ///
    /// # Errors
    /// If the process cannot be replayed, or somebody interrupts.
    pub fn run(&mut self, stops: &Stops) -> Result<Reason> {
        let reason = self.run_counting(stops, &mut Passes::new(self)?)?;
        self.look()?;
        Ok(reason)
    }

    pub(super) fn run_counting(&mut self, stops: &Stops, passes: &mut Passes) -> Result<Reason> {
        if stops.limit.is_some_and(|limit| self.is_at(limit)) {
            return Ok(Reason::Limit);
        }
        // What one stands on is no hit.
        let before = self.watched(stops)?;
        let offset = self.process.offset()?;
        match self.step() {
            Ok(()) => {}
            Err(e) if matches!(e.downcast_ref(), Some(TravelError::End)) => return Ok(Reason::End),
            Err(e) => return Err(e),
        }
        let changed = changed(&before, &self.watched(stops)?, stops);
        if let Some(&watch) = changed.first() {
            // From behind an event, what it changed is not on the way.
            let by_event = self.process.offset()? != offset && self.here.legs.is_empty();
            if !by_event {
                passes.note(self, changed.iter().map(|&w| Hit::Change(w)))?;
            }
            self.note_pass(stops, passes)?;
            return Ok(Reason::Watch(watch));
        }
        if self.process.place() == Place::Program {
            let ip = self.regs()?.rip;
            if stops.breakpoints.contains(&ip) {
                passes.hit(self, Hit::Pass(ip))?;
                return Ok(Reason::Breakpoint(ip));
            }
        }
        self.run_free(stops, passes)
    }

    /// Counts that what was watched has changed just before a breakpoint: one stands on it.
    fn note_pass(&self, stops: &Stops, passes: &mut Passes) -> Result<()> {
        if self.process.place() == Place::Program {
            let ip = self.regs()?.rip;
            if stops.breakpoints.contains(&ip) {
                passes.note(self, [Hit::Pass(ip)])?;
            }
        }
        Ok(())
    }

    /// Whether the process has come to where it stops for `at`, or further.
    fn is_at(&self, at: u64) -> bool {
        self.process.place() != Place::Program && self.process.offset().is_ok_and(|o| o >= at)
    }

    fn run_free(&mut self, stops: &Stops, passes: &mut Passes) -> Result<Reason> {
        let mut inserted = Inserted::default();
        let end = event::last(&self.session, self.recording())?.map(|e| e.offset);
        let limit = stops.limit.or(end);
        self.process.stop_at(limit);
        self.set_watches(stops)?;
        let result = self.run_until(stops, passes, &mut inserted);
        // The process is gone after some errors.
        let _ = self.remove(&mut inserted);
        self.process.tell_breakpoints(&[]);
        for n in [0, 1, 2, 3, 7] {
            if !stops.watches.is_empty() {
                let _ = self.process.tracee.set_debug_register(n, 0);
            }
        }
        match result {
            Err(e) if matches!(e.downcast_ref(), Some(TravelError::End)) => {
                self.run_to_event(end.unwrap_or(0))?;
                Ok(Reason::End)
            }
            Ok(Reason::Limit) if stops.limit.is_none() => Ok(Reason::End),
            other => other,
        }
    }

    /// Puts the breakpoints where they go now.
    fn plan(&mut self, stops: &Stops, inserted: &mut Inserted) -> Result<()> {
        // What the runtime has written meanwhile stays.
        for (at, byte) in inserted.0.drain(..) {
            let mut now = [0];
            if self.process.tracee.read(at, &mut now) == 1 && now[0] == INT3 {
                self.process.tracee.write(at, &[byte])?;
            }
        }
        self.look()?;
        let places: Vec<u64> = stops
            .breakpoints
            .iter()
            .flat_map(|&ip| self.map.places(ip))
            .collect();
        for at in places {
            let mut byte = [0];
            // Not there yet, or not any more.
            if self.process.tracee.read(at, &mut byte) == 1
                && inserted.0.iter().all(|&(a, _)| a != at)
                && self.process.tracee.write(at, &[INT3]).is_ok()
            {
                inserted.0.push((at, byte[0]));
            }
        }
        if inserted.0.len() > MAX_BREAKPOINTS {
            bail!("too many breakpoints: they go to more than {MAX_BREAKPOINTS} places");
        }
        self.process.tell_breakpoints(&inserted.0);
        Ok(())
    }

    fn run_until(
        &mut self,
        stops: &Stops,
        passes: &mut Passes,
        inserted: &mut Inserted,
    ) -> Result<Reason> {
        let mut known = self.watched(stops)?;
        self.plan(stops, inserted)?;
        if self.process.place() == Place::Event {
            self.process.set_place(Place::Program);
            self.process.command(command::GO);
        }
        self.process.tracee.go(None)?;
        loop {
            match self.process.wait(true)? {
                Halt::Gone => return Err(self.process.gone().into()),
                Halt::Interrupted => self.process.tracee.go(None)?,
                Halt::Signal(signal) => self.process.tracee.go(Some(signal))?,
                Halt::Trap(code) => {
                    if self.process.code_moved() {
                        self.plan(stops, inserted)?;
                        // What is watched may be shared memory by now, which is elsewhere.
                        self.set_watches(stops)?;
                        known = self.watched(stops)?;
                        self.process.tracee.go(None)?;
                        continue;
                    }
                    if self.process.at_event() {
                        let at = self.process.offset()?;
                        self.process.set_place(Place::Event);
                        self.here = Instant::event(stops.limit.unwrap_or(at));
                        return Ok(Reason::Limit);
                    }
                    let mut regs = self.process.tracee.regs()?;
                    if code == TRAP_HWBKPT {
                        // A store of what was there already is no change.
                        if self.watched(stops)? == known {
                            self.process.tracee.set_debug_register(6, 0)?;
                            self.process.tracee.go(None)?;
                            continue;
                        }
                        if let Some(reason) = self.watch_hit(stops, &known, passes, inserted)? {
                            return Ok(reason);
                        }
                        self.process.tracee.go(None)?;
                        continue;
                    }
                    let ours = inserted
                        .0
                        .iter()
                        .find(|&&(at, _)| at + 1 == regs.rip)
                        .copied();
                    let Some((at, _)) = ours.filter(|_| code == SI_KERNEL) else {
                        self.process.tracee.go(Some(Signal::SIGTRAP))?;
                        continue;
                    };
                    regs.rip = at;
                    self.process.tracee.set_regs(regs)?;
                    let ip = match self.map.meaning(at) {
                        Meaning::Program(ip) | Meaning::Mov { ip, .. } => ip,
                        Meaning::Syscall { ip, number } => {
                            self.at_syscall(regs, ip, number)?;
                            ip
                        }
                        Meaning::Between | Meaning::Runtime => at,
                    };
                    passes.hit(self, Hit::Pass(ip))?;
                    return Ok(Reason::Breakpoint(ip));
                }
            }
        }
    }

    // ------------------------------------------------------------- watching

    /// Where this process has what it sees at `addr`: shared memory in a copy.
    pub(super) fn seen_at(&self, addr: u64) -> u64 {
        let region = self.map.regions.iter().find(|r| r.contains(addr, 1));
        region.map_or(addr, |r| r.copy(addr))
    }

    fn set_watches(&self, stops: &Stops) -> Result<()> {
        if stops.watches.is_empty() {
            return Ok(());
        }
        let mut control = 0;
        for (n, watch) in stops.watches.iter().enumerate().take(4) {
            // Length - 1, but 8 is 2; on writes (SDM vol. 3, 18.2.4).
            let len = if watch.len == 8 { 2 } else { watch.len - 1 };
            control |= 1 << (2 * n) | (1 | len << 2) << (16 + 4 * n);
            let at = self.seen_at(watch.addr);
            self.process.tracee.set_debug_register(n, at)?;
        }
        self.process.tracee.set_debug_register(6, 0)?;
        self.process.tracee.set_debug_register(7, control)
    }

    fn watched(&self, stops: &Stops) -> Result<Vec<u64>> {
        let read = |w: &Watch| {
            let mut bytes = [0; 8];
            let len = usize::try_from(w.len)?;
            self.process
                .tracee
                .read(self.seen_at(w.addr), &mut bytes[..len]);
            Ok(u64::from_le_bytes(bytes))
        };
        stops.watches.iter().map(read).collect()
    }

    /// A watched place was written: goes on to where the program is about to
    /// execute something, and looks whether it has changed.
    fn watch_hit(
        &mut self,
        stops: &Stops,
        known: &[u64],
        passes: &mut Passes,
        inserted: &mut Inserted,
    ) -> Result<Option<Reason>> {
        let hit = self.process.tracee.debug_register(6)?;
        self.process.tracee.set_debug_register(6, 0)?;
        let Some(&written) = (0..4)
            .find(|n| hit >> n & 1 == 1)
            .and_then(|n| stops.watches.get(n))
        else {
            return Ok(None);
        };
        let ip = self.process.tracee.regs()?.rip;
        self.remove(inserted)?;
        self.process.tell_breakpoints(&[]);
        self.process.tracee.set_debug_register(7, 0)?;
        self.process.stop_at(None);
        self.refresh()?;
        let by_runtime = self.map.meaning(ip) == Meaning::Runtime;
        let before = self.process.offset()?;
        if !matches!(
            self.map.meaning(ip),
            Meaning::Program(_) | Meaning::Mov { .. }
        ) {
            let mut exits = Inserted::default();
            if self.map.meaning(ip) == Meaning::Between {
                self.process.tracee.step()?;
            } else {
                self.insert_exits(&mut exits)?;
                self.process.tracee.go(None)?;
            }
            self.reach_boundary(exits, None)?;
        }
        if by_runtime {
            let (session, id) = (&*self.session, self.recording());
            let event = event::containing(session, id, before)?;
            self.here = self.behind(event.map_or(before, |e| e.offset))?;
        }
        // An instruction may have changed several, and have stored to others what was there.
        let changed = changed(known, &self.watched(stops)?, stops);
        let watch = changed.first().copied().unwrap_or(written);
        if !by_runtime {
            passes.hit(self, Hit::Change(watch))?;
        }
        if !by_runtime || !self.here.legs.is_empty() {
            let counted = usize::from(!by_runtime);
            passes.note(self, changed.iter().skip(counted).map(|&w| Hit::Change(w)))?;
        }
        self.note_pass(stops, passes)?;
        Ok(Some(Reason::Watch(watch)))
    }

    // ------------------------------------------------------------- legs

    /// Whether the process has come to `ip` by the event that it stands behind.
    pub(super) fn has_arrived(&self, ip: u64) -> Result<bool> {
        let behind = self.process.place() == Place::Event && !self.process.is_before();
        Ok(behind && self.regs()?.rip == ip)
    }

    /// Goes a part of a way.
    pub(super) fn follow(&mut self, leg: &Leg) -> Result<()> {
        let (stops, mut n) = match *leg {
            Leg::Steps(n) => {
                for _ in 0..n {
                    self.step()?;
                }
                return Ok(());
            }
            Leg::Pass { ip, n, arrived } => {
                let left = n - u64::from(arrived && self.has_arrived(ip)?);
                (Stops::at(ip), left)
            }
            Leg::Change { watch, n } => {
                let stops = Stops {
                    watches: vec![watch],
                    ..Stops::default()
                };
                (stops, n)
            }
        };
        let mut passes = Passes::new(self)?;
        while n > 0 {
            match self.run_counting(&stops, &mut passes)? {
                Reason::Breakpoint(_) | Reason::Watch(_) => n -= 1,
                _ => return Err(TravelError::End.into()),
            }
        }
        Ok(())
    }
}

/// Which memory that is watched has changed.
fn changed(before: &[u64], after: &[u64], stops: &Stops) -> Vec<Watch> {
    let pairs = before.iter().zip(after).zip(&stops.watches);
    pairs
        .filter(|((a, b), _)| a != b)
        .map(|(_, w)| *w)
        .collect()
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    Pass(u64),
    Change(Watch),
}

/// Counts what was hit since the run began, or since the last event.
pub(super) struct Passes {
    start: Instant,
    start_offset: u64,
    offset: u64,
    counts: Vec<(Hit, u64)>,
}

impl Passes {
    /// From where the process stands.
    pub(super) fn new(travel: &Travel) -> Result<Self> {
        let offset = travel.process.offset()?;
        let before = travel.process.place() == Place::Event && travel.process.is_before();
        Ok(Self {
            start: travel.here.clone(),
            // What follows an event that is still to come is behind that.
            start_offset: if before { u64::MAX } else { offset },
            offset,
            counts: Vec::new(),
        })
    }

    /// Counts hits, whatever else the run stops for there: who goes for one of them alone
    /// comes by each. How often the last one was.
    fn note(&mut self, travel: &Travel, hits: impl IntoIterator<Item = Hit>) -> Result<u64> {
        let offset = travel.process.offset()?;
        if self.offset != offset {
            self.counts.clear();
            self.offset = offset;
        }
        let mut last = 0;
        for hit in hits {
            if !self.counts.iter().any(|(h, _)| *h == hit) {
                self.counts.push((hit, 0));
            }
            if let Some((_, n)) = self.counts.iter_mut().find(|(h, _)| *h == hit) {
                *n += 1;
                last = *n;
            }
        }
        Ok(last)
    }

    /// The program has come there: so that is where it is.
    fn hit(&mut self, travel: &mut Travel, hit: Hit) -> Result<()> {
        let offset = travel.process.offset()?;
        let n = self.note(travel, [hit])?;
        let mut base = self.start.clone();
        let arrived = offset != self.start_offset;
        if arrived {
            let (session, id) = (&*travel.session, travel.recording());
            let last = event::before(session, id, offset)?;
            base = travel.behind(last.map_or(0, |p| p.event.offset))?;
            // From before the event's instruction on, which is none of the hits.
            base.legs.clear();
        }
        travel.here = base.and(match hit {
            Hit::Pass(ip) => Leg::Pass { ip, n, arrived },
            Hit::Change(watch) => Leg::Change { watch, n },
        });
        Ok(())
    }
}
