//! A replaying process that can be stopped, copied and moved.

use super::TravelError;
use super::tracee::{Halt, SI_KERNEL, Tracee};
use crate::replay::feeder::Feeder;
use crate::replay::requests;
use crate::supervisor::watch;
use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use orch_abi::record::Regs;
use orch_abi::shared::{Slot, request, state as life, verdict};
use orch_abi::stop::{Layout, command, state, why};
use orch_recorder::arena::{Arena, futex_wake};
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use orch_recorder::tracee::to_regs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It waits in the runtime, at an event.
    Event,
    /// The processor is at the program's own code, or at what stands for it.
    Program,
    /// The recording has no more.
    End,
}

/// A process.
pub struct Process {
    session: Arc<Session>,
    arena: Arc<Arena>,
    index: u32,
    recording: RecordingId,
    pid: Pid,
    feeder: Option<Feeder>,
    pub tracee: Tracee,
    attached: bool,
    place: Place,
    interrupt: Arc<AtomicBool>,
}

/// Sets where the process in `slot` shall stop, in `recording`: `None` for nowhere.
pub fn stop_at(slot: &Slot, recording: RecordingId, at: Option<u64>) {
    slot.stop.recording.store(recording.0, Ordering::Relaxed);
    let at = at.map_or(0, |at| at + 1);
    slot.stop.at.store(at, Ordering::Release);
}

/// Tells a process that waits at an event what to do.
pub fn command(slot: &Slot, what: u32) {
    slot.stop.state.store(state::RUNNING, Ordering::Relaxed);
    slot.stop.command.store(what, Ordering::Release);
    futex_wake(&slot.stop.command);
}

/// Has a process that waits at an event copy itself, from one slot to another, which is
/// claimed; the copy's pid.
pub fn duplicate(arena: &Arena, from: u32, to: u32, recording: RecordingId) -> Result<i32> {
    let new = arena.slot(to);
    new.recording.store(recording.0, Ordering::Relaxed);
    let stop = &arena.slot(from).stop;
    stop.argument.store(to.into(), Ordering::Relaxed);
    stop.command.store(command::FORK, Ordering::Release);
    futex_wake(&stop.command);
    let pid = arena.slot(from).pid.load(Ordering::Relaxed).cast_signed();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut looked = Instant::now();
    loop {
        let seen = arena.control().doorbell.rung();
        let made = new.state.load(Ordering::Acquire) == life::ACTIVE;
        if made && new.stop.state.load(Ordering::Acquire) == state::STOPPED {
            return Ok(new.pid.load(Ordering::Relaxed).cast_signed());
        }
        if new.state.load(Ordering::Acquire) == life::FREE || Instant::now() > deadline {
            bail!("the replaying process cannot be copied; is there memory?");
        }
        if looked.elapsed() > LOOKS {
            looked = Instant::now();
            if is_gone(pid) {
                bail!("the replaying process that was to be copied was killed; is there memory?");
            }
        }
        arena.wait_doorbell(seen, Duration::from_millis(5));
    }
}

/// How often it is looked whether a process is still there.
const LOOKS: Duration = Duration::from_millis(50);

fn is_gone(pid: i32) -> bool {
    let state = watch::state(pid);
    state.is_none_or(|state| matches!(state, 'Z' | 'X'))
}

/// What a process needs to begin, besides a slot and itself.
#[derive(Clone, Copy)]
pub struct Begin<'a> {
    pub session: &'a Arc<Session>,
    pub arena: &'a Arc<Arena>,
    pub interrupt: &'a Arc<AtomicBool>,
    pub recording: RecordingId,
}

impl Process {
    /// The process `pid`, which was started in slot `index`; it is not fed yet.
    pub fn begin(begin: Begin<'_>, (index, pid): (u32, i32)) -> Result<Self> {
        Ok(Self {
            session: Arc::clone(begin.session),
            arena: Arc::clone(begin.arena),
            index,
            recording: begin.recording,
            pid: Pid::from_raw(pid),
            feeder: None,
            tracee: Tracee::new(pid)?,
            attached: false,
            place: Place::Event,
            interrupt: Arc::clone(begin.interrupt),
        })
    }

    /// Feeds it the recording `from`, from `offset` on.
    pub fn feed(&mut self, from: RecordingId, offset: u64) {
        let feeder = Feeder::start(&self.session, &self.arena, self.index, from, offset);
        self.feeder = Some(feeder);
    }

    fn slot(&self) -> &Slot {
        self.arena.slot(self.index)
    }

    /// Its process id here, not the recorded one's.
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Bytes of memory that it shares with no other process.
    pub fn memory(&self) -> u64 {
        self.bytes_of(&["Private_Clean", "Private_Dirty", "Swap"])
    }

    /// Bytes of memory that one has that is restored where it stands, if that is saved.
    pub fn size(&self) -> u64 {
        self.bytes_of(&["Anonymous", "Swap"])
    }

    /// Of these kinds (proc_pid_smaps(5)).
    fn bytes_of(&self, kinds: &[&str]) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let all = text.lines().filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            let number = rest.split_ascii_whitespace().next()?;
            kinds
                .contains(&name)
                .then(|| number.parse::<u64>().ok())
                .flatten()
        });
        all.sum::<u64>() << 10
    }

    /// How it stands.
    pub const fn place(&self) -> Place {
        self.place
    }

    pub const fn set_place(&mut self, place: Place) {
        self.place = place;
    }

    /// Offset of the record that comes next, of a process that stands still.
    pub fn offset(&self) -> Result<u64> {
        self.tracee.word(self.layout().offset)
    }

    /// Where the runtime has its parts.
    pub fn layout(&self) -> Layout {
        self.slot().stop.layout
    }

    /// Whether it stopped before the event, not behind.
    pub fn is_before(&self) -> bool {
        self.slot().stop.why.load(Ordering::Relaxed) == why::BEFORE
    }

    /// Whether it stands where it would stop for `at`.
    pub fn is_there(&self, at: u64) -> Result<bool> {
        let offset = self.offset()?;
        Ok(offset > at || offset == at && self.is_before())
    }

    /// Index of the thread that ran when it last stopped at an event.
    pub fn thread(&self) -> u32 {
        self.slot().stop.thread.load(Ordering::Relaxed)
    }

    /// Its registers: of one that is at the program's code, the processor's.
    pub fn regs(&self) -> Result<Regs> {
        if self.place != Place::Program {
            return Ok(self.slot().stop.regs);
        }
        Ok(to_regs(&self.tracee.regs()?))
    }

    /// Sets where it shall stop: `None` for nowhere.
    pub fn stop_at(&self, at: Option<u64>) {
        stop_at(self.slot(), self.recording, at);
    }

    /// Tells a process that waits at an event what to do.
    pub fn command(&self, what: u32) {
        command(self.slot(), what);
    }

    /// Waits until it stands at an event, while nobody traces it.
    pub fn wait_for_event(&mut self) -> Result<()> {
        let mut looked = Instant::now();
        loop {
            let seen = self.arena.control().doorbell.rung();
            if self.slot().stop.state.load(Ordering::Acquire) == state::STOPPED {
                let end = self.slot().stop.why.load(Ordering::Relaxed) == why::END;
                self.place = if end { Place::End } else { Place::Event };
                return Ok(());
            }
            self.serve()?;
            if self.slot().state.load(Ordering::Acquire) == life::DONE {
                return Err(self.ended().into());
            }
            if looked.elapsed() > LOOKS {
                looked = Instant::now();
                // Without a signal: asks whether it is there (kill(2)).
                if self.is_gone() {
                    return Err(self.ended().into());
                }
            }
            self.check_interrupt()?;
            self.arena.wait_doorbell(seen, Duration::from_millis(5));
        }
    }

    fn is_gone(&self) -> bool {
        is_gone(self.pid.as_raw())
    }

    /// Fails if somebody wants to interrupt what goes on.
    pub fn check_interrupt(&self) -> Result<()> {
        if self.interrupt.swap(false, Ordering::Relaxed) {
            return Err(TravelError::Interrupted.into());
        }
        Ok(())
    }

    /// Answers what it asks; whether it asked for anything.
    fn serve(&mut self) -> Result<bool> {
        if requests::code(&self.arena, self.index) {
            return Ok(true);
        }
        if self.slot().request.load(Ordering::Acquire) == request::BECOME {
            let to = self.slot().args[0].load(Ordering::Relaxed);
            let recording = RecordingId(u32::try_from(to)?);
            if let Some(mut feeder) = self.feeder.take() {
                feeder.stop();
            }
            let slot = self.slot();
            slot.recording.store(recording.0, Ordering::Relaxed);
            slot.head.store(0, Ordering::Relaxed);
            slot.tail.store(0, Ordering::Relaxed);
            slot.complete.store(0, Ordering::Relaxed);
            self.feed(recording, 0);
            self.arena.answer(self.index, 1);
            return Ok(true);
        }
        Ok(false)
    }

    /// Why it is gone.
    fn ended(&self) -> TravelError {
        let text = self.arena.message(self.index);
        let verdict = self.slot().verdict.load(Ordering::Acquire);
        if let Some(e) = self.feeder.as_ref().and_then(Feeder::error) {
            return TravelError::Gone(e);
        }
        match verdict {
            verdict::MATCHED => TravelError::End,
            verdict::DIVERGED => TravelError::Diverged {
                recording: self.recording,
                why: text,
            },
            verdict::BROKEN => TravelError::Gone(text),
            _ => TravelError::Gone("it was killed; is there memory?".to_owned()),
        }
    }

    /// Makes a copy in slot `index`, which stands where this one does.
    pub fn copy(&mut self, index: u32) -> Result<Self> {
        if self.attached || self.place != Place::Event {
            // It came to what cannot be read.
            if let Some(e) = self.feeder.as_ref().and_then(Feeder::error) {
                return Err(TravelError::Gone(e).into());
            }
            bail!("only a process that waits at an event can be copied");
        }
        let pid = duplicate(&self.arena, self.index, index, self.recording)?;
        let begin = Begin {
            session: &self.session,
            arena: &self.arena,
            interrupt: &self.interrupt,
            recording: self.recording,
        };
        let mut copy = Self::begin(begin, (index, pid))?;
        copy.feed(self.recording, self.offset()?);
        Ok(copy)
    }

    /// Feeds it from where it stands on.
    pub fn feed_on(&mut self) -> Result<()> {
        let offset = self.offset()?;
        self.feed(self.recording, offset);
        Ok(())
    }

    /// Goes on to where `recording` starts: that of a child that it forks, or of a child's.
    pub fn go_into(&mut self, recording: RecordingId) -> Result<()> {
        self.recording = recording;
        self.stop_at(Some(0));
        self.command(command::GO);
        self.wait_for_event()
    }

    // ------------------------------------------------------------- traced

    /// Brings a process that waits at an event to where it can be saved or replaced.
    pub fn open_up(&mut self) -> Result<()> {
        self.attach()?;
        self.command(command::SAVE);
        self.tracee.go(None)?;
        loop {
            match self.tracee.wait()? {
                Halt::Trap(SI_KERNEL) => return Ok(()),
                Halt::Trap(_) | Halt::Interrupted => self.tracee.go(None)?,
                Halt::Signal(signal) => self.tracee.go(Some(signal))?,
                Halt::Gone => return Err(self.ended().into()),
            }
        }
    }

    /// Lets it go on by itself.
    pub fn detach(&mut self) -> Result<()> {
        self.slot().stop.traced.store(0, Ordering::Relaxed);
        self.attached = false;
        self.tracee.detach()
    }

    /// Attaches to a process that waits at an event.
    pub fn attach(&mut self) -> Result<()> {
        if !self.attached {
            self.tracee.attach()?;
            self.attached = true;
            self.slot().stop.traced.store(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether it has just stopped at an event, under ptrace.
    pub fn at_event(&self) -> bool {
        self.slot().stop.state.load(Ordering::Acquire) == state::STOPPED
    }

    /// Whether the trap was for the debugger to look where its breakpoints go.
    pub fn code_moved(&self) -> bool {
        self.slot().stop.moved.swap(0, Ordering::Relaxed) != 0
    }

    /// Waits until it halts; with `asks`, it may ask for something before.
    pub fn wait(&mut self, asks: bool) -> Result<Halt> {
        if !asks {
            self.check_interrupt()?;
            return self.tracee.wait();
        }
        let (mut turns, mut since) = (0_u32, Instant::now());
        loop {
            if let Some(halt) = self.tracee.poll()? {
                return Ok(halt);
            }
            if self.serve()? {
                (turns, since) = (0, Instant::now());
            }
            turns += 1;
            if turns > 2000 {
                if turns.is_multiple_of(64) {
                    self.check_interrupt()?;
                }
                // It may calculate for seconds, and others need the processor.
                let (least, most) = (Duration::from_micros(30), Duration::from_micros(500));
                std::thread::sleep((since.elapsed() / 32).clamp(least, most));
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// The breakpoints that are in the code, as the runtime must know them.
    pub fn tell_breakpoints(&self, list: &[(u64, u8)]) {
        let table = &self.slot().stop.breakpoints;
        for (to, (at, byte)) in table.iter().zip(list) {
            to.store(at | u64::from(*byte) << 56, Ordering::Relaxed);
        }
        if let Some(end) = table.get(list.len()) {
            end.store(0, Ordering::Release);
        }
    }

    /// Why it halted as it did, if it is gone.
    pub fn gone(&self) -> TravelError {
        self.ended()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        if let Some(mut feeder) = self.feeder.take() {
            feeder.stop();
        }
        // A child or tracee of ours is reaped here, a copy's copy by its parent's end.
        if waitpid(self.pid, Some(WaitPidFlag::__WALL)).is_err() {
            while !self.is_gone() {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        self.arena.release(self.index);
    }
}
