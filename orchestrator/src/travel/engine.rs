//! A recording that one can move in.

use super::TravelError;
use super::code::{CodeMap, Meaning};
use super::event::{self, Event, Events};
use super::motion::Watch;
use super::process::{Begin, Place, Process};
use super::saved::{DEFAULT_MIB, Store};
use crate::position::{At, Pass, Position};
use crate::replay::host;
use crate::replay::plan::Plan;
use crate::supervisor::watch;
use anyhow::{Result, bail};
use orch_abi::record::Regs;
use orch_abi::stop::command;
use orch_recorder::arena::Arena;
use orch_recorder::limit;
use orch_recorder::session::Session;
use orch_recorder::trace::{Origin, RecordingId, Tick};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Clock};

/// An instant of a recording: how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instant {
    /// Where in the stream the process stops first (`orch_abi::stop::Stop::at`, less 1).
    pub at: u64,
    /// And then.
    pub legs: Vec<Leg>,
}

/// A part of the way between two events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leg {
    /// So many instructions.
    Steps(u64),
    /// To the `n`th time that the program comes to `ip`; with `arrived`, that
    /// it stands there to begin with is the first.
    Pass { ip: u64, n: u64, arrived: bool },
    /// To the `n`th store to that memory.
    Change { watch: Watch, n: u64 },
}

impl Instant {
    /// At the event that begins at `offset`.
    pub const fn event(offset: u64) -> Self {
        Self {
            at: offset,
            legs: Vec::new(),
        }
    }

    /// As soon as what precedes `offset` is over.
    pub const fn behind(offset: u64) -> Self {
        Self::event(offset.saturating_sub(1))
    }

    /// From there `n` instructions on.
    pub fn and_steps(mut self, n: u64) -> Self {
        match self.legs.last_mut() {
            Some(Leg::Steps(steps)) => *steps += n,
            _ if n > 0 => self.legs.push(Leg::Steps(n)),
            _ => {}
        }
        self
    }

    /// From there on by that.
    pub fn and(mut self, leg: Leg) -> Self {
        match (self.legs.last_mut(), &leg) {
            (
                Some(Leg::Pass { ip, n, .. }),
                Leg::Pass {
                    ip: same, n: more, ..
                },
            ) if ip == same => {
                *n += more;
            }
            _ => self.legs.push(leg),
        }
        self
    }
}

/// What tells instants of a recording apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The registers.
    pub regs: Regs,
    /// Offset of the event that comes next.
    pub next: u64,
    /// Hashes of the program's writable mappings, by address.
    pub memory: BTreeMap<u64, u64>,
}

/// Where a process was to stop, and where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// For this offset.
    pub at: u64,
    /// Before the record at this one.
    pub offset: u64,
}

impl Spot {
    /// Whether a process there can go on to where it stops for `at`.
    pub const fn precedes(&self, at: u64) -> bool {
        // Where it could not stop in between, it stands behind what it was to stop for.
        self.at == at || self.at < at && self.offset <= at.saturating_add(1)
    }
}

/// A process that waits at an event, to be copied.
struct Checkpoint {
    process: Process,
    spot: Spot,
}

/// So many instructions are too many to be counted by people.
const FAR: u64 = 1000;
/// `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// The bytes that those may have besides what they share: a number of MiB.
const MEMORY: &str = "ORCH_CHECKPOINT_MEMORY";
/// At most so many checkpoints wait.
const MAX_CHECKPOINTS: usize = 24;
/// The time of replay between two of them.
const INTERVAL: Duration = Duration::from_millis(300);
/// A way that took longer is not to be gone again to come to its neighbourhood.
const NEAR: Duration = Duration::from_millis(30);
/// On a long way the process stops this often, to see whether it is time for one.
const HOPS: u64 = 64;

/// One recording of a session, at an instant.
pub struct Travel {
    pub(super) session: Arc<Session>,
    recording: RecordingId,
    root: RecordingId,
    arena: Arc<Arena>,
    /// Of one whose arena it is.
    file: Option<host::ArenaFile>,
    /// In the order of their places; the first stands at the start.
    checkpoints: Vec<Checkpoint>,
    /// How much memory of their own they may have, bytes, and when that was last looked at.
    memory_limit: u64,
    weighed: Clock,
    /// Those on disk.
    saved: Store,
    /// More of them, while a search backwards goes on.
    waypoints: Vec<Checkpoint>,
    pub(super) process: Process,
    pub(super) here: Instant,
    interrupt: Arc<AtomicBool>,
    pub(super) map: CodeMap,
    pub(super) counts: [u64; 5],
    /// Events around a place.
    pub(super) events: Events,
    /// An offset, and the event that is next there.
    pub(super) upcoming: (u64, Option<Event>),
    /// Offset of the last event of all, if there is one, once it was asked for.
    end: Option<Option<u64>>,
}

impl Travel {
    /// Opens a recording, at its start.
    pub fn open(session: Session, recording: RecordingId) -> Result<Self> {
        Self::open_until(session, recording, Arc::default())
    }

    /// The same; to come to its start may take long, and fails once `interrupt` is set.
    pub fn open_until(
        session: Session,
        recording: RecordingId,
        interrupt: Arc<AtomicBool>,
    ) -> Result<Self> {
        let plan = Plan::make(&session, Some(recording))?;
        let session = Arc::new(session);
        let (file, arena) = host::arena(&session, &plan.path, false)?;
        let root = plan.roots[0];
        let begin = Begin {
            session: &session,
            arena: &arena,
            interrupt: &interrupt,
            recording,
        };
        let memory = limit::bytes(MEMORY, DEFAULT_MIB);
        Self::begin(begin, root, memory, Some(file))
    }

    /// Another one, in the arena of one that outlives it, whose checkpoints may have so much
    /// memory of their own.
    pub(super) fn beside(begin: Begin<'_>, root: RecordingId, memory: u64) -> Result<Self> {
        Self::begin(begin, root, memory, None)
    }

    fn begin(
        begin: Begin<'_>,
        root: RecordingId,
        memory_limit: u64,
        file: Option<host::ArenaFile>,
    ) -> Result<Self> {
        let (session, recording) = (begin.session, begin.recording);
        let mut saved = Store::of(session, recording);
        let process = first(begin, &mut saved, root)?;
        let mut travel = Self {
            process,
            saved,
            memory_limit,
            weighed: Clock::now(),
            checkpoints: Vec::new(),
            waypoints: Vec::new(),
            here: Instant::event(0),
            events: Events::of(Arc::clone(session), recording),
            session: Arc::clone(session),
            recording,
            root,
            arena: Arc::clone(begin.arena),
            file,
            interrupt: Arc::clone(begin.interrupt),
            map: CodeMap::default(),
            counts: [u64::MAX; 5],
            upcoming: (u64::MAX, None),
            end: None,
        };
        let start = travel.checkpoint(0)?;
        travel.checkpoints.push(start);
        travel.look()?;
        Ok(travel)
    }

    /// What another one needs to begin.
    pub(super) const fn begins<'a>(&'a self, interrupt: &'a Arc<AtomicBool>) -> Begin<'a> {
        Begin {
            session: &self.session,
            arena: &self.arena,
            interrupt,
            recording: self.recording,
        }
    }

    /// Which recording.
    pub const fn recording(&self) -> RecordingId {
        self.recording
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Set, it makes what goes on fail with [`TravelError::Interrupted`].
    pub fn interrupter(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupt)
    }

    /// Where one is.
    pub const fn here(&self) -> &Instant {
        &self.here
    }

    fn copy(&mut self) -> Result<Process> {
        let Some(index) = self.arena.claim() else {
            bail!("too many processes")
        };
        self.process.copy(index)
    }

    // ------------------------------------------------------------- positions

    /// Goes to a position.
    pub fn go_to(&mut self, position: &Position) -> Result<()> {
        let instant = self.instant(position)?;
        let (at, since) = (instant.at, Clock::now());
        let is_event = instant.legs.is_empty();
        self.go(instant)?;
        // Who went there looks around next.
        if is_event && self.process.place() == Place::Event && since.elapsed() > NEAR {
            self.keep(at)?;
        }
        Ok(())
    }

    /// The instant that a position means.
    pub fn instant(&self, position: &Position) -> Result<Instant> {
        let (session, id) = (&*self.session, self.recording);
        let position = position.resolve(session)?;
        Ok(match position.at {
            At::Start => Instant::event(0),
            At::End => match event::last(session, id)? {
                Some(event) => Instant::event(event.offset),
                None => bail!("{id} has no events"),
            },
            At::Tick {
                tick,
                pass,
                instructions,
            } => {
                let Some(event) = event::at_tick(session, id, tick)? else {
                    let last = session.summary(id)?.last_tick;
                    bail!("{id} ends at {id}@{last}, before {position}")
                };
                let mut instant = Instant::event(event.offset);
                if let Some(Pass { addr: ip, nth: n }) = pass {
                    let arrived = true;
                    instant = instant.and(Leg::Pass { ip, n, arrived });
                }
                instant.and_steps(instructions)
            }
            _ => bail!("{position} is no event"),
        })
    }

    /// Where one is, as the user writes it.
    pub fn position(&mut self) -> Result<Position> {
        let at = self.at_of()?;
        Ok(Position {
            recording: self.recording,
            at,
        })
    }

    fn at_of(&mut self) -> Result<At> {
        let here = self.here.clone();
        let next = self.events.at_offset(here.at)?;
        // The event that the way begins at, and how many instructions behind it.
        let exact = next.filter(|e| e.offset == here.at);
        let (tick, extra) = match exact {
            Some(event) => (event.tick, 0),
            // Behind what precedes.
            None => match self.events.before(next.map_or(u64::MAX, |e| e.offset))? {
                Some(past) => (past.event.tick, u64::from(past.is_stop)),
                None => return Ok(At::Start),
            },
        };
        if here.at == 0 && here.legs.is_empty() {
            return Ok(At::Start);
        }
        let (pass, instructions) = match here.legs[..] {
            [] => (None, extra),
            [Leg::Steps(n)] if n < FAR => (None, n + extra),
            [
                Leg::Pass {
                    ip,
                    n,
                    arrived: true,
                },
            ] => (Some((ip, n)), 0),
            [
                Leg::Pass {
                    ip,
                    n,
                    arrived: true,
                },
                Leg::Steps(steps),
            ] => (Some((ip, n)), steps),
            // However one came here, it is so many passes behind an event.
            _ => {
                let (ip, n) = self.count_passes()?;
                let arrived = true;
                self.here = Instant::event(here.at).and(Leg::Pass { ip, n, arrived });
                (Some((ip, n)), 0)
            }
        };
        Ok(At::Tick {
            tick,
            pass: pass.map(|(addr, nth)| Pass { addr, nth }),
            instructions,
        })
    }

    /// Offset of the last event.
    pub(super) fn last_event(&mut self) -> Result<Option<u64>> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let end = event::last(&self.session, self.recording)?.map(|e| e.offset);
        Ok(*self.end.insert(end))
    }

    // ------------------------------------------------------------- going

    /// Goes to an instant, from the last checkpoint before it.
    pub fn go(&mut self, to: Instant) -> Result<()> {
        self.run_to_event(to.at)?;
        for leg in &to.legs {
            self.follow(leg)?;
        }
        // Wherever it led: that is how to get there again.
        self.here = to;
        self.look()
    }

    /// Goes to where the process stops for `at`.
    pub(super) fn run_to_event(&mut self, at: u64) -> Result<()> {
        self.restore_before(at)?;
        let near = |list: &[Checkpoint]| list.iter().rposition(|c| c.spot.precedes(at));
        let (best, way) = (near(&self.checkpoints).unwrap_or(0), near(&self.waypoints));
        let from = match way {
            Some(way) if self.waypoints[way].spot.at >= self.checkpoints[best].spot.at => {
                &mut self.waypoints[way]
            }
            _ => &mut self.checkpoints[best],
        };
        let Some(index) = self.arena.claim() else {
            bail!("too many processes")
        };
        self.process = from.process.copy(index)?;
        let reached = from.spot.at == at || from.process.is_there(at)?;
        self.here = Instant::event(at);
        if !reached {
            self.run_on(at)?;
        }
        self.look()
    }

    /// Has a process wait where the last saved one before `at` does.
    fn restore_before(&mut self, at: u64) -> Result<()> {
        let waiting = self.checkpoints.iter().chain(&self.waypoints);
        let spots = waiting.map(|c| c.spot).filter(|spot| spot.precedes(at));
        let best = spots.map(|spot| spot.at).max();
        while let Some(spot) = self.saved.before(at)
            && best.is_none_or(|best| spot.at > best)
        {
            let begin = Begin {
                session: &self.session,
                arena: &self.arena,
                interrupt: &self.interrupt,
                recording: self.recording,
            };
            if let Some(process) = self.saved.restore(spot, begin)? {
                self.add(Checkpoint { process, spot });
                break;
            }
        }
        Ok(())
    }

    /// Runs the present process, which waits at an event, on to `at`; makes checkpoints on the way.
    fn run_on(&mut self, at: u64) -> Result<()> {
        let start = self.process.offset()?;
        let hop = (at.saturating_sub(start) / HOPS).max(64 << 10);
        let (mut last, mut saved) = (Clock::now(), Clock::now());
        let mut next = start;
        loop {
            next = next.saturating_add(hop).min(at);
            if next >= self.process.offset()? || next == at {
                self.process.stop_at(Some(next));
                self.process.command(command::GO);
                self.process.wait_for_event()?;
            }
            let there = self.process.is_there(at)?;
            if there || self.process.place() == Place::End {
                let waits = there && self.process.place() == Place::Event;
                if waits && self.saved.is_long(saved.elapsed()) {
                    self.save(at)?;
                }
                return Ok(());
            }
            if self.saved.is_long(saved.elapsed() / 2) {
                self.save(next)?;
                saved = Clock::now();
            }
            if last.elapsed() > INTERVAL {
                self.keep(next)?;
                last = Clock::now();
            }
        }
    }

    /// Makes a checkpoint of the process, which waits where it stops for `at`.
    pub(super) fn keep(&mut self, at: u64) -> Result<()> {
        if self.checkpoints.iter().any(|c| c.spot.at == at) {
            return Ok(());
        }
        let checkpoint = self.checkpoint(at)?;
        self.add(checkpoint);
        Ok(())
    }

    fn add(&mut self, checkpoint: Checkpoint) {
        let n = self
            .checkpoints
            .partition_point(|c| c.spot.at < checkpoint.spot.at);
        self.checkpoints.insert(n, checkpoint);
        if self.checkpoints.len() > MAX_CHECKPOINTS {
            self.thin(n);
        }
        // To look takes the kernel some milliseconds.
        if self.weighed.elapsed() > INTERVAL {
            self.keep_to_memory();
            self.weighed = Clock::now();
        }
    }

    /// Gives up checkpoints that together have more memory of their own than they may.
    fn keep_to_memory(&mut self) {
        let weigh = |all: &[Checkpoint]| all.iter().map(|c| c.process.memory()).sum::<u64>();
        // The last one is the way that is being gone.
        while self.checkpoints.len() > 2 && weigh(&self.checkpoints) > self.memory_limit {
            self.thin(self.checkpoints.len() - 1);
        }
    }

    /// Makes one on disk of the process, which waits where it stops for `at`.
    fn save(&mut self, at: u64) -> Result<()> {
        let copy = self.copy()?;
        self.saved.save(copy, at)
    }

    fn checkpoint(&mut self, at: u64) -> Result<Checkpoint> {
        let process = self.copy()?;
        let offset = process.offset()?;
        let spot = Spot { at, offset };
        Ok(Checkpoint { process, spot })
    }

    /// As [`Travel::keep`], until [`Travel::forget_waypoints`].
    pub(super) fn keep_waypoint(&mut self, at: u64) -> Result<()> {
        let checkpoint = self.checkpoint(at)?;
        let n = self.waypoints.partition_point(|c| c.spot.at < at);
        self.waypoints.insert(n, checkpoint);
        Ok(())
    }

    pub(super) fn forget_waypoints(&mut self) {
        self.waypoints.clear();
    }

    /// Only the start is left, and what is on disk.
    pub(super) fn forget_checkpoints(&mut self) {
        self.forget_waypoints();
        self.checkpoints.truncate(1);
    }

    /// How much memory of their own they may have.
    pub(super) const fn memory_limit(&self) -> u64 {
        self.memory_limit
    }

    /// Gives up the checkpoint that leaves the smallest gap, but not the first or `new`.
    fn thin(&mut self, new: usize) {
        let gap = |n: &usize| {
            let after = self.checkpoints.get(n + 1).map_or(u64::MAX, |c| c.spot.at);
            after - self.checkpoints[n - 1].spot.at
        };
        let worst = (1..self.checkpoints.len())
            .filter(|&n| n != new)
            .min_by_key(gap);
        if let Some(n) = worst {
            self.checkpoints.remove(n);
        }
    }

    /// Where the checkpoints are that precede `at`, last first.
    pub(super) fn checkpoints_before(&self, at: u64) -> Vec<u64> {
        let waiting = self.checkpoints.iter().map(|c| c.spot.at);
        let all: BTreeSet<u64> = waiting.chain(self.saved.places()).collect();
        let mut before: Vec<u64> = all.into_iter().filter(|&c| c < at || c == 0).collect();
        before.reverse();
        before
    }

    /// Where those on disk are.
    pub(super) fn saved_places(&self) -> BTreeSet<u64> {
        self.saved.places().collect()
    }

    /// Whether a process waits where it stops for `at`.
    pub(super) fn has_checkpoint(&self, at: u64) -> bool {
        self.checkpoints.iter().any(|c| c.spot.at == at)
    }

    /// Looks at what the code is now.
    pub(super) fn look(&mut self) -> Result<()> {
        let layout = self.process.layout();
        self.map = CodeMap::read(&self.process.tracee, &layout)?;
        self.counts = self.code_counts()?;
        Ok(())
    }

    /// What changes when the code map does.
    pub(super) fn code_counts(&self) -> Result<[u64; 5]> {
        let l = self.process.layout();
        let mut counts = [0; 5];
        let words = [
            l.site_count,
            l.window_count,
            l.search,
            l.search_inserted,
            l.region_count,
        ];
        for (to, at) in counts.iter_mut().zip(words) {
            // There may be none yet.
            *to = self.process.tracee.word(at).unwrap_or(0);
        }
        // A flag, and what happens to be behind it.
        counts[3] &= 0xff;
        Ok(counts)
    }

    /// The program's registers.
    pub fn regs(&self) -> Result<Regs> {
        // Trap and resume flags are the debugger's (SDM vol. 1, 3.4.3).
        const OURS: u64 = 0x1_0100;
        let mut regs = self.process.regs()?;
        if self.process.place() == Place::Program
            && let Meaning::Program(ip) = self.map.meaning(regs.rip)
        {
            regs.rip = ip;
        }
        regs.rflags &= !OURS;
        // What a system call leaves in these may be all that is known of them.
        let mut code = [0; 2];
        if self.read(regs.rip, &mut code) == 2 && code == SYSCALL {
            regs.rcx = regs.rip + 2;
            regs.r11 = regs.rflags;
        }
        Ok(regs)
    }

    /// What tells instants apart.
    pub fn state(&self) -> Result<State> {
        // Flags that nothing looks at any more are not kept by stubs of shared accesses.
        const ARITHMETIC: u64 = 0x8d5;
        let mut regs = self.regs()?;
        regs.rflags &= !ARITHMETIC;
        let offset = self.process.offset()?;
        let next = self.events.at_offset(offset)?;
        Ok(State {
            regs,
            next: next.map_or(u64::MAX, |e| e.offset),
            memory: self.digest()?,
        })
    }

    /// Where the process stops for the event of `tick`, or the next one.
    pub fn event_at(&self, tick: Tick) -> Result<Option<Instant>> {
        let event = event::at_tick(&self.session, self.recording, tick)?;
        Ok(event.map(|e| Instant::event(e.offset)))
    }

    /// How one comes to where the process is after the events from `before` on, by
    /// one instruction: some have places of their own where the process stops.
    pub(super) fn behind(&self, before: u64) -> Result<Instant> {
        let now = self.process.offset()?;
        // What goes ahead of the next event may be over already.
        let next = self.events.at_offset(now)?;
        Ok(if self.events.is_instruction(before)? {
            Instant::event(before).and_steps(1)
        } else {
            Instant::behind(next.map_or(now, |e| e.offset))
        })
    }

    /// The recording that the process began as.
    pub const fn root(&self) -> RecordingId {
        self.root
    }
}

impl Drop for Travel {
    fn drop(&mut self) {
        if self.file.is_some() {
            watch::no_children();
        }
    }
}

/// Starts the process, and takes it to where its recording starts: that of a forked
/// child does where its parent has come to.
fn first(begin: Begin<'_>, saved: &mut Store, root: RecordingId) -> Result<Process> {
    if let Some(start) = saved.start()
        && let Some(process) = saved.restore(start, begin)?
    {
        return Ok(process);
    }
    let since = Clock::now();
    let mut process = match from_ancestor(begin)? {
        Some(process) => process,
        None => from_root(begin, root)?,
    };
    if saved.is_long(since.elapsed())
        && let Some(index) = begin.arena.claim()
    {
        let copy = process.copy(index)?;
        saved.save(copy, 0)?;
    }
    Ok(process)
}

fn from_root(begin: Begin<'_>, root: RecordingId) -> Result<Process> {
    let recording = begin.recording;
    let started = host::start(begin.arena, root, |slot| {
        slot.stop.recording.store(recording.0, Ordering::Relaxed);
        slot.stop.at.store(1, Ordering::Relaxed);
    })?;
    let mut process = Process::begin(begin, started)?;
    process.feed(root, 0);
    match process.wait_for_event() {
        Ok(()) => Ok(process),
        Err(e) => match e.downcast_ref() {
            Some(TravelError::End) => bail!("{recording} has no instant to stop at"),
            _ => Err(e),
        },
    }
}

/// Where a parent, or its parent, was saved on its way to the fork.
fn from_ancestor(begin: Begin<'_>) -> Result<Option<Process>> {
    let mut child = begin.recording;
    while let Some(Origin::Fork { parent, tick, .. }) = begin.session.summary(child)?.origin {
        let mut saved = Store::of(begin.session, parent);
        let fork = event::at_tick(begin.session, parent, tick)?;
        let spot = fork.and_then(|fork| saved.before(fork.offset));
        let of_parent = Begin {
            recording: parent,
            ..begin
        };
        if let Some(spot) = spot
            && let Some(mut process) = saved.restore(spot, of_parent)?
        {
            return match process.go_into(begin.recording) {
                Ok(()) => Ok(Some(process)),
                Err(e) if matches!(e.downcast_ref(), Some(TravelError::Interrupted)) => Err(e),
                Err(_) => Ok(None),
            };
        }
        child = parent;
    }
    Ok(None)
}
