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

impl Watch {
    /// The aligned words that `len` bytes at `addr` are made of, if they are at most `most`.
    pub fn words(addr: u64, len: u64, most: usize) -> Option<Vec<Self>> {
        let end = addr.checked_add(len)?;
        let mut words = Vec::new();
        let mut at = addr;
        while at < end {
            let fits = |len: &u64| at.is_multiple_of(*len) && *len <= end - at;
            let len = [8, 4, 2, 1].into_iter().find(fits)?;
            words.push(Self { addr: at, len });
            at += len;
            if words.len() > most {
                return None;
            }
        }
        Some(words)
    }
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
    /// More than four take a stop at each instruction.
    pub watches: Vec<Watch>,
    /// Where in the stream at the latest (`orch_abi::stop::Stop::at`, less 1); of a run
    /// backwards, at the earliest.
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
struct Inserted {
    /// Breakpoints: address, and the byte that belongs there.
    code: Vec<(u64, u8)>,
    /// Those that debug registers hold instead, after the watches.
    hard: Vec<u64>,
}

/// How many debug registers hold addresses (SDM vol. 3, 18.2).
const DEBUG_REGISTERS: usize = 4;
/// The resume flag: no breakpoint at the next instruction (SDM vol. 3, 18.3.1.1).
const RF: u64 = 1 << 16;

/// Is told of each hit, and says whether to stop there.
pub(super) type OnHit<'a> = dyn FnMut(&Travel, &Passes, Reason) -> bool + 'a;

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
            let event = self.events.at_offset(offset)?;
            self.upcoming = (offset, event);
        }
        Ok(self.upcoming.1)
    }

    /// Offset of the record that is itself the next event.
    fn next_main(&mut self) -> Result<u64> {
        let offset = self.process.offset()?;
        Ok(self.next_event(offset)?.map_or(u64::MAX, |e| e.main))
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
                    let behind_exit = inserted.code.iter().any(|&(at, _)| at + 1 == regs.rip);
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
        if inserted.code.iter().all(|&(a, _)| a != at) {
            let byte = self.process.tracee.word(at).unwrap_or(0) as u8;
            self.process.tracee.write(at, &[INT3])?;
            inserted.code.push((at, byte));
        }
        Ok(())
    }

    fn remove(&self, inserted: &mut Inserted) -> Result<()> {
        for (at, byte) in inserted.code.drain(..) {
            // What was written or mapped there meanwhile stays.
            let mut now = [0];
            if self.process.tracee.read(at, &mut now) == 1 && now[0] == INT3 {
                self.process.tracee.write(at, &[byte])?;
            }
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
        let mut passes = Passes::new(self)?;
        let reason = self.run_counting(stops, &mut passes)?;
        self.look()?;
        Ok(reason)
    }

    /// Runs on to the first hit that `on` wants to stop at, [`Reason::Limit`] or [`Reason::End`].
    pub(super) fn run_over(
        &mut self,
        stops: &Stops,
        passes: &mut Passes,
        on: &mut OnHit<'_>,
    ) -> Result<Reason> {
        loop {
            let reason = self.run_to_hit(stops, passes, Some(on))?;
            let over = matches!(reason, Reason::Limit | Reason::End);
            if over || std::mem::take(&mut passes.asked) || on(self, passes, reason) {
                return Ok(reason);
            }
        }
    }

    pub(super) fn run_counting(&mut self, stops: &Stops, passes: &mut Passes) -> Result<Reason> {
        self.run_to_hit(stops, passes, None)
    }

    /// Runs on to the next hit, or over those where it need not stop that `on` does not want.
    fn run_to_hit(
        &mut self,
        stops: &Stops,
        passes: &mut Passes,
        on: Option<&mut OnHit<'_>>,
    ) -> Result<Reason> {
        // What one stands on is no hit.
        let mut seen = self.watched(stops)?;
        loop {
            if stops.limit.is_some_and(|limit| self.is_at(limit)) {
                return Ok(Reason::Limit);
            }
            let from = self.regs()?.rip;
            let one_on = self.here.clone().and_steps(1);
            match self.step() {
                Ok(()) => {}
                Err(e) if matches!(e.downcast_ref(), Some(TravelError::End)) => {
                    return Ok(Reason::End);
                }
                Err(e) => return Err(e),
            }
            let now = self.watched(stops)?;
            let changes = changes(&seen, &now, stops);
            seen = now;
            // Only the event led there: what comes next is behind the limit.
            let at = self.process.offset()?;
            let over = stops.limit.is_some_and(|l| at > l || self.is_at(l));
            let mut pass = None;
            if self.process.place() == Place::Program && !over {
                let ip = self.regs()?.rip;
                let again = ip == from && self.repeats(ip);
                pass = Some(ip).filter(|ip| stops.breakpoints.contains(ip) && !again);
            }
            let by_event = self.here != one_on;
            if let Some(reason) = passes.arrive(self, &changes, pass, by_event)? {
                return Ok(reason);
            }
            if over {
                return Ok(Reason::Limit);
            }
            // More than the processor watches: step by step.
            if stops.watches.len() <= DEBUG_REGISTERS {
                return self.run_free(stops, passes, on);
            }
        }
    }

    /// Whether the process has come to where it stops for `at`, or further.
    fn is_at(&self, at: u64) -> bool {
        match self.process.place() {
            Place::Program => false,
            Place::Event => self.process.is_there(at).unwrap_or(false),
            Place::End => true,
        }
    }

    /// Whether the instruction at `ip` is executed again and again, at the same place.
    fn repeats(&self, ip: u64) -> bool {
        let instruction = self.instruction(ip);
        instruction.is_string_instruction()
            && (instruction.has_rep_prefix() || instruction.has_repne_prefix())
    }

    fn run_free(
        &mut self,
        stops: &Stops,
        passes: &mut Passes,
        on: Option<&mut OnHit<'_>>,
    ) -> Result<Reason> {
        let mut inserted = Inserted::default();
        let end = self.last_event()?;
        let limit = stops.limit.or(end);
        self.process.stop_at(limit);
        let result = self.run_until(stops, passes, on, &mut inserted);
        // The process is gone after some errors.
        let _ = self.remove(&mut inserted);
        self.process.tell_breakpoints(&[]);
        if !stops.watches.is_empty() || !inserted.hard.is_empty() {
            let _ = self.process.tracee.set_debug_register(7, 0);
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
    ///
    /// In debug registers, if there are enough and `hard` asks for it: what is passed over
    /// again and again costs one stop there, not two.
    fn plan(&mut self, stops: &Stops, hard: bool, inserted: &mut Inserted) -> Result<()> {
        self.remove(inserted)?;
        self.refresh()?;
        let mut places: Vec<u64> = stops
            .breakpoints
            .iter()
            .flat_map(|&ip| self.map.places(ip))
            .collect();
        places.sort_unstable();
        places.dedup();
        inserted.hard.clear();
        if hard && places.len() + stops.watches.len() <= DEBUG_REGISTERS {
            inserted.hard = std::mem::take(&mut places);
        }
        self.set_debug_registers(stops, &inserted.hard)?;
        for at in places {
            let mut byte = [0];
            // Not there yet, or not any more.
            if self.process.tracee.read(at, &mut byte) == 1
                && self.process.tracee.write(at, &[INT3]).is_ok()
            {
                inserted.code.push((at, byte[0]));
            }
        }
        if inserted.code.len() > MAX_BREAKPOINTS {
            bail!("too many breakpoints: they go to more than {MAX_BREAKPOINTS} places");
        }
        self.process.tell_breakpoints(&inserted.code);
        Ok(())
    }

    fn run_until(
        &mut self,
        stops: &Stops,
        passes: &mut Passes,
        mut on: Option<&mut OnHit<'_>>,
        inserted: &mut Inserted,
    ) -> Result<Reason> {
        let mut known = self.watched(stops)?;
        self.plan(stops, on.is_some(), inserted)?;
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
                        self.look()?;
                        // What is watched may be shared memory by now, which is elsewhere.
                        self.plan(stops, on.is_some(), inserted)?;
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
                        let now = self.watched(stops)?;
                        if now == known {
                            // The watches come first.
                            let watches = stops.watches.len();
                            let executed = |n: u64| n >> watches & 0xf != 0;
                            let is_pass = inserted.hard.contains(&regs.rip)
                                && executed(self.process.tracee.debug_register(6)? & 0xf);
                            self.process.tracee.set_debug_register(6, 0)?;
                            // A store of what was there already is no change.
                            if is_pass {
                                let ip = self.program_ip(regs.rip);
                                let reason = passes.arrive(self, &[], Some(ip), false)?;
                                let reason = reason.unwrap_or(Reason::Breakpoint(ip));
                                if !passes.passes_over(self, &mut on, reason)? {
                                    self.leave_jump(regs)?;
                                    return Ok(reason);
                                }
                            }
                            self.process.tracee.go(None)?;
                            continue;
                        }
                        // Some processors (Intel's) trap once for a store and the breakpoint
                        // behind it, others twice: here it is once for all.
                        if let Meaning::Program(ip) = self.map.meaning(regs.rip)
                            && on.is_some()
                        {
                            self.process.tracee.set_debug_register(6, 0)?;
                            let changes = changes(&known, &now, stops);
                            let pass = self.pass_of(stops, ip);
                            let reason = passes.arrive(self, &changes, pass, false)?;
                            let reason = reason.unwrap_or(Reason::Watch(changes[0]));
                            if passes.passes_over(self, &mut on, reason)? {
                                if pass.is_some() {
                                    // It was counted.
                                    regs.eflags |= RF;
                                    self.process.tracee.set_regs(regs)?;
                                }
                                known = now;
                                self.process.tracee.go(None)?;
                                continue;
                            }
                            return Ok(reason);
                        }
                        return match self.watch_hit(stops, &known, passes, inserted)? {
                            Some(reason) => Ok(reason),
                            // What the runtime wrote it has taken back.
                            None => self.run_free(stops, passes, on),
                        };
                    }
                    let ours = inserted
                        .code
                        .iter()
                        .find(|&&(at, _)| at + 1 == regs.rip)
                        .copied();
                    let Some((at, _)) = ours.filter(|_| code == SI_KERNEL) else {
                        self.process.tracee.go(Some(Signal::SIGTRAP))?;
                        continue;
                    };
                    regs.rip = at;
                    self.process.tracee.set_regs(regs)?;
                    let ip = self.program_ip(at);
                    self.leave_jump(regs)?;
                    return Ok(passes
                        .arrive(self, &[], Some(ip), false)?
                        .unwrap_or(Reason::Breakpoint(ip)));
                }
            }
        }
    }

    /// The program's address of what is executed at `at`.
    fn program_ip(&self, at: u64) -> u64 {
        match self.map.meaning(at) {
            Meaning::Program(ip) | Meaning::Mov { ip, .. } | Meaning::Syscall { ip, .. } => ip,
            Meaning::Between | Meaning::Runtime => at,
        }
    }

    /// The process stands on a jump that is in a `syscall`'s place: to the `syscall`.
    fn leave_jump(&self, regs: libc::user_regs_struct) -> Result<()> {
        match self.map.meaning(regs.rip) {
            Meaning::Syscall { ip, number } => self.at_syscall(regs, ip, number),
            _ => Ok(()),
        }
    }

    /// The breakpoint that the program has come to behind a change, if there is one.
    fn pass_of(&self, stops: &Stops, ip: u64) -> Option<u64> {
        Some(ip).filter(|ip| stops.breakpoints.contains(ip) && !self.repeats(*ip))
    }

    // ------------------------------------------------------------- watching

    /// Where this process has what it sees at `addr`: shared memory in a copy.
    pub(super) fn seen_at(&self, addr: u64) -> u64 {
        let region = self.map.regions.iter().find(|r| r.contains(addr, 1));
        region.map_or(addr, |r| r.copy(addr))
    }

    /// The watches, and breakpoints at `hard`.
    fn set_debug_registers(&self, stops: &Stops, hard: &[u64]) -> Result<()> {
        if stops.watches.is_empty() && hard.is_empty() {
            return Ok(());
        }
        let mut control = 0;
        // What they hold may not become something else while it is on.
        self.process.tracee.set_debug_register(7, 0)?;
        for (n, watch) in stops.watches.iter().enumerate().take(4) {
            // Length - 1, but 8 is 2; on writes (SDM vol. 3, 18.2.4).
            let len = if watch.len == 8 { 2 } else { watch.len - 1 };
            control |= 1 << (2 * n) | (1 | len << 2) << (16 + 4 * n);
            let at = self.seen_at(watch.addr);
            self.process.tracee.set_debug_register(n, at)?;
        }
        for (n, &at) in (stops.watches.len()..).zip(hard) {
            // One byte, when it is executed.
            control |= 1 << (2 * n);
            self.process.tracee.set_debug_register(n, at)?;
        }
        self.process.tracee.set_debug_register(6, 0)?;
        self.process.tracee.set_debug_register(7, control)
    }

    fn watched(&self, stops: &Stops) -> Result<Vec<u64>> {
        let mut values = Vec::with_capacity(stops.watches.len());
        let places: Vec<(u64, u64)> = stops
            .watches
            .iter()
            .map(|w| (self.seen_at(w.addr), w.len))
            .collect();
        // What lies together is read together.
        for run in places.chunk_by(|a, b| a.0 + a.1 == b.0) {
            let len: u64 = run.iter().map(|(_, len)| len).sum();
            let mut bytes = vec![0; usize::try_from(len)?];
            self.process.tracee.read(run[0].0, &mut bytes);
            let mut rest = &bytes[..];
            for &(_, len) in run {
                let (word, others) = rest.split_at(usize::try_from(len)?);
                let mut value = [0; 8];
                value[..word.len()].copy_from_slice(word);
                values.push(u64::from_le_bytes(value));
                rest = others;
            }
        }
        Ok(values)
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
        self.process.tracee.set_debug_register(6, 0)?;
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
        let changes = changes(known, &self.watched(stops)?, stops);
        let pass = match self.process.place() {
            Place::Program => self.pass_of(stops, self.regs()?.rip),
            _ => None,
        };
        if by_runtime {
            let (session, id) = (&*self.session, self.recording());
            let event = event::containing(session, id, before)?;
            self.here = self.behind(event.map_or(before, |e| e.offset))?;
        }
        passes.arrive(self, &changes, pass, by_runtime)
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
        if n == 0 {
            return Ok(());
        }
        let mut passes = Passes::new(self)?;
        let reason = self.run_over(&stops, &mut passes, &mut |_, _, _| {
            n -= 1;
            n == 0
        })?;
        match reason {
            Reason::Breakpoint(_) | Reason::Watch(_) => Ok(()),
            _ => Err(TravelError::End.into()),
        }
    }
}

/// Which memory that is watched has changed.
fn changes(before: &[u64], after: &[u64], stops: &Stops) -> Vec<Watch> {
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

impl From<Hit> for Reason {
    fn from(hit: Hit) -> Self {
        match hit {
            Hit::Pass(ip) => Self::Breakpoint(ip),
            Hit::Change(watch) => Self::Watch(watch),
        }
    }
}

/// Counts what was hit since the run began, or since the last event.
///
/// All that is hit at a place is counted, whatever is told as the reason: somebody
/// else who goes there may look for one of them only.
pub(super) struct Passes {
    start: Instant,
    /// The event that was next there, unless the process still had to come to it.
    start_next: Option<u64>,
    /// The event that is next now (`Event::main`): what goes ahead of it is none.
    next: u64,
    counts: Vec<(Hit, u64)>,
    /// Behind the last event before that, once it was asked for.
    behind: Option<Instant>,
    /// What there was where it stopped last.
    last: Vec<Hit>,
    /// Who wanted to know of hits was told of that, and wants to stop.
    asked: bool,
}

impl Passes {
    /// From where the process stands.
    pub(super) fn new(travel: &mut Travel) -> Result<Self> {
        let next = travel.next_main()?;
        let before = travel.process.place() == Place::Event && travel.process.is_before();
        Ok(Self {
            start: travel.here.clone(),
            // What follows an event that is still to come is behind that.
            start_next: (!before).then_some(next),
            next,
            counts: Vec::new(),
            behind: None,
            last: Vec::new(),
            asked: false,
        })
    }

    /// Whether that was hit where it stopped last.
    pub(super) fn met(&self, reason: Reason) -> bool {
        self.last.iter().any(|&hit| Reason::from(hit) == reason)
    }

    /// The program has come to an instruction, after these changes; tells why to stop,
    /// if so, and how to get there. What an event changed is none of the program's
    /// changes: `travel.here` says already how to get behind it.
    fn arrive(
        &mut self,
        travel: &mut Travel,
        changes: &[Watch],
        pass: Option<u64>,
        by_event: bool,
    ) -> Result<Option<Reason>> {
        let changes = changes.iter().map(|&w| Hit::Change(w));
        self.last = changes.chain(pass.map(Hit::Pass)).collect();
        let next = travel.next_main()?;
        if self.next != next {
            self.counts.clear();
            self.behind = None;
            self.next = next;
        }
        for &hit in &self.last {
            if by_event && matches!(hit, Hit::Change(_)) {
                continue;
            }
            match self.counts.iter_mut().find(|(h, _)| *h == hit) {
                Some((_, n)) => *n += 1,
                None => self.counts.push((hit, 1)),
            }
        }
        let Some(&first) = self.last.first() else {
            return Ok(None);
        };
        if !(by_event && matches!(first, Hit::Change(_))) {
            travel.here = self.way(travel, first)?;
        }
        Ok(Some(first.into()))
    }

    /// Whether the process goes on over what it has come to.
    fn passes_over(
        &mut self,
        travel: &Travel,
        on: &mut Option<&mut OnHit<'_>>,
        reason: Reason,
    ) -> Result<bool> {
        let Some(on) = on else { return Ok(false) };
        travel.process.check_interrupt()?;
        self.asked = on(travel, self, reason);
        Ok(!self.asked)
    }

    /// How to get to where `hit` was just counted.
    fn way(&mut self, travel: &Travel, hit: Hit) -> Result<Instant> {
        let count = self.counts.iter().find(|(h, _)| *h == hit);
        let n = count.map_or(1, |&(_, n)| n);
        let arrived = Some(self.next) != self.start_next;
        let base = match &self.behind {
            _ if !arrived => self.start.clone(),
            Some(behind) => behind.clone(),
            None => {
                let last = travel.events.before(self.next)?;
                let mut base = travel.behind(last.map_or(0, |p| p.event.offset))?;
                // From before the event's instruction on, which is none of the hits.
                base.legs.clear();
                self.behind.insert(base).clone()
            }
        };
        Ok(base.and(match hit {
            Hit::Pass(ip) => Leg::Pass { ip, n, arrived },
            Hit::Change(watch) => Leg::Change { watch, n },
        }))
    }
}
