//! What gdb asks of a recording, and what it is told.

use super::arch::{AllRegisters, X86_64};
use super::call::Call;
use super::catch::{self, CameTo, Catches};
use super::connection::{Interrupts, Wire};
use super::files::Files;
use super::hits::Search;
use super::process::Known;
use super::registers::Register;
use super::signals;
use crate::position::Position;
use crate::travel::{Crossing, Instant, Reason, Stops, Travel, TravelError, Watch, What};
use anyhow::{Error, Result};
use gdbstub::common::{Signal, Tid};
use gdbstub::conn::ConnectionExt as _;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::stub::{BaseStopReason, MultiThreadStopReason};
use gdbstub::target::ext::auxv::{Auxv, AuxvOps};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps,
    MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::base::single_register_access::{
    SingleRegisterAccess, SingleRegisterAccessOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps,
    SwBreakpoint, SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::catch_syscalls::CatchSyscallsOps;
use gdbstub::target::ext::exec_file::ExecFileOps;
use gdbstub::target::ext::extended_mode::ExtendedModeOps;
use gdbstub::target::ext::host_io::HostIoOps;
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps, outputln};
use gdbstub::target::ext::thread_extra_info::ThreadExtraInfoOps;
use gdbstub::target::{Target as GdbTarget, TargetError, TargetResult};
use orch_abi::stop::MAX_BREAKPOINTS;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How the recording shall move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Motion {
    #[default]
    Run,
    /// This thread: the others go on as they did.
    Step(Tid),
    /// As long as its instruction pointer is in this range.
    Range(Tid, u64, u64),
    RunBack,
    StepBack(Tid),
}

/// So many words are compared at each instruction, at most.
const MOST_WORDS: usize = 1024;

/// Memory that gdb watches.
struct Watched {
    addr: u64,
    len: u64,
    kind: WatchKind,
    /// What it is made of.
    words: Vec<Watch>,
}

/// A recording that a debugger looks at.
pub struct Target {
    pub(super) travel: Travel,
    interrupts: Interrupts,
    pub(super) motion: Motion,
    pub(super) breakpoints: HashMap<u64, usize>,
    watches: Vec<Watched>,
    pub(super) catches: Catches,
    /// What is caught where the process stands, and gdb was told so.
    pub(super) crossing: Option<Crossing>,
    /// Where the record is of the signal that gdb was told of, while the process is there.
    told: Option<u64>,
    /// Where the record is of the signal that is delivered here.
    pub(super) signal: Option<u64>,
    pub(super) names: Known,
    pub(super) files: Files,
    pub(super) call: Option<Call>,
    search: Option<Search>,
}

/// `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

pub(super) fn tid(n: u32) -> Tid {
    Tid::new(n as usize).unwrap_or(Tid::MIN)
}

fn is_interrupted(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(TravelError::Interrupted))
}

/// An error that the debugger hears of, and survives.
pub(super) fn refused<T>(error: &Error) -> TargetResult<T, Target> {
    eprintln!("orch: {error:#}");
    Err(TargetError::NonFatal)
}

impl Target {
    pub fn new(mut travel: Travel, interrupts: Interrupts) -> Self {
        // Where it cannot be told, nothing else can.
        let signal = travel.signal_here().ok().flatten();
        Self {
            travel,
            interrupts,
            motion: Motion::default(),
            breakpoints: HashMap::new(),
            watches: Vec::new(),
            catches: Catches::default(),
            crossing: None,
            told: None,
            signal: signal.map(|(_, at)| at),
            names: Known::default(),
            files: Files::default(),
            call: None,
            search: None,
        }
    }

    pub fn with(self, search: Search) -> Self {
        Self {
            search: Some(search),
            ..self
        }
    }

    /// Whether it is one for `orch log`.
    pub(super) const fn is_search(&self) -> bool {
        self.search.is_some()
    }

    fn stops(&self) -> Stops {
        Stops {
            breakpoints: self.breakpoints.keys().copied().collect(),
            watches: self
                .watches
                .iter()
                .flat_map(|w| &w.words)
                .copied()
                .collect(),
            limit: None,
        }
    }

    pub(super) fn current(&self) -> Result<Tid> {
        let threads = self.travel.threads()?;
        let running = threads.iter().find(|t| t.running);
        Ok(tid(running.map_or(1, |t| t.tid)))
    }

    /// Does what may take long, and be interrupted: then the process stands anywhere,
    /// which has no name, and goes back to where it was.
    fn interruptible<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let here = self.travel.here().clone();
        let to = self.travel.interrupter();
        self.interrupts.forward(Some(Arc::clone(&to)));
        // One that came between gdb's command and this.
        to.store(
            self.interrupts.seen.load(Ordering::Relaxed),
            Ordering::Relaxed,
        );
        let mut result = act(self);
        if result.as_ref().is_err_and(is_interrupted)
            && let Err(e) = self.travel.go(here)
        {
            result = Err(e);
        }
        self.interrupts.forward(None);
        // It may have come too late.
        to.store(false, Ordering::Relaxed);
        result
    }

    /// Moves, until there is something to tell.
    fn go(&mut self) -> Result<MultiThreadStopReason<u64>> {
        if let Some(reason) = self.go_in_call()? {
            return Ok(reason);
        }
        self.crossing = None;
        let reason = self.go_in_recording()?;
        self.signal = self.travel.signal_here()?.map(|(_, at)| at);
        // Who comes to a signal again hears of it again.
        if self.told.is_some() && self.told != self.signal {
            self.told = None;
        }
        Ok(reason)
    }

    fn go_in_recording(&mut self) -> Result<MultiThreadStopReason<u64>> {
        let stops = self.stops();
        match self.motion {
            Motion::Run => {
                let came_to = self.run(&stops)?;
                self.stopped(came_to)
            }
            Motion::RunBack => {
                let came_to = self.run_back(&stops)?;
                self.stopped(came_to)
            }
            Motion::Step(thread) | Motion::StepBack(thread) => {
                let other = self.step(thread)?;
                Ok(other.unwrap_or_else(|| stepped(thread)))
            }
            Motion::Range(thread, from, to) => loop {
                if let Some(other) = self.step(thread)? {
                    return Ok(other);
                }
                let ip = self.travel.regs()?.rip;
                if !(from..to).contains(&ip) || self.breakpoints.contains_key(&ip) {
                    return Ok(stepped(thread));
                }
                if self.interrupts.seen.load(Ordering::Relaxed) {
                    return Err(TravelError::Interrupted.into());
                }
            },
        }
    }

    /// What gdb is told of the end of a motion.
    fn stopped(&mut self, came_to: CameTo) -> Result<MultiThreadStopReason<u64>> {
        let thread = self.current()?;
        let reason = match came_to {
            CameTo::Crossing(crossing) => {
                self.crossing = Some(crossing);
                if let What::Signal(_) = crossing.what {
                    self.told = self.travel.signal_here()?.map(|(_, at)| at);
                }
                return Ok(catch::caught(&crossing, thread));
            }
            CameTo::Other(reason) => reason,
        };
        Ok(match reason {
            Reason::Breakpoint(_) => BaseStopReason::SwBreak(thread),
            Reason::Watch(watch) => {
                let found = self.watches.iter().find(|w| w.words.contains(&watch));
                BaseStopReason::Watch {
                    tid: thread,
                    kind: found.map_or(WatchKind::Write, |w| w.kind),
                    addr: watch.addr,
                }
            }
            Reason::Limit | Reason::End => BaseStopReason::ReplayLog {
                tid: Some(thread),
                pos: match self.motion {
                    Motion::RunBack | Motion::StepBack(_) => ReplayLogPosition::Begin,
                    _ => ReplayLogPosition::End,
                },
            },
        })
    }

    /// An instruction of this thread; something else, if it does not come to that.
    fn step(&mut self, thread: Tid) -> Result<Option<MultiThreadStopReason<u64>>> {
        if let Motion::StepBack(_) = self.motion {
            let edge = self.step_or_edge(Travel::step_back)?;
            // To where another one had its turn, if that is so.
            let now = self.current()?;
            return Ok(edge.or((now != thread).then(|| stepped(now))));
        }
        if self.current()? == thread {
            let other = self.step_here(thread)?;
            if other.is_some() {
                return Ok(other);
            }
        }
        // Others have their turns: to step through all that they do would take long.
        while self.current()? != thread {
            let threads = self.travel.threads()?;
            let Some(waiting) = threads.iter().find(|t| tid(t.tid) == thread) else {
                // It has ended.
                return Ok(Some(stepped(self.current()?)));
            };
            let ip = waiting.regs.rip;
            let mut stops = self.stops();
            stops.breakpoints.push(ip);
            let mut code = [0; 2];
            if self.travel.read(ip, &mut code) == 2 && code == SYSCALL {
                // It goes on behind.
                stops.breakpoints.push(ip + 2);
            }
            match self.run(&stops)? {
                CameTo::Other(Reason::Breakpoint(at)) if !self.breakpoints.contains_key(&at) => {}
                CameTo::Other(Reason::Breakpoint(_)) if self.current()? == thread => {}
                other => return self.stopped(other).map(Some),
            }
        }
        Ok(None)
    }

    /// An instruction of the thread that runs; or a signal, of which who steps hears in any
    /// case: gdb must know that a handler comes next.
    fn step_here(&mut self, thread: Tid) -> Result<Option<MultiThreadStopReason<u64>>> {
        let signal = self.travel.next_signal()?;
        let Some((number, at)) = signal.filter(|&(_, at)| self.told != Some(at)) else {
            return self.step_or_edge(Travel::step);
        };
        if self.travel.signal_here()?.is_none() {
            let edge = self.step_or_edge(Travel::step)?;
            if edge.is_none() && !self.travel.is_behind(at)? {
                return Ok(None);
            }
            // The instruction has led to it: a fault, which may be the end.
            self.travel.go(Instant::event(at))?;
        }
        self.told = Some(at);
        let (tid, signal) = (thread, signals::of_linux(number));
        Ok(Some(BaseStopReason::SignalWithThread { tid, signal }))
    }

    /// A step, or where the recording begins or ends.
    fn step_or_edge(
        &mut self,
        step: fn(&mut Travel) -> Result<()>,
    ) -> Result<Option<MultiThreadStopReason<u64>>> {
        match step(&mut self.travel) {
            Ok(()) => Ok(None),
            Err(e) => match e.downcast_ref() {
                Some(TravelError::End | TravelError::Start) => {
                    self.stopped(CameTo::Other(Reason::End)).map(Some)
                }
                _ => Err(e),
            },
        }
    }
}

/// A thread has made its step.
pub(super) fn stepped(tid: Tid) -> MultiThreadStopReason<u64> {
    let signal = Signal::SIGTRAP;
    BaseStopReason::SignalWithThread { tid, signal }
}

/// The loop between the debugger and the recording.
#[derive(Debug)]
pub enum Events {}

impl BlockingEventLoop for Events {
    type Target = Target;
    type Connection = Wire;
    type StopReason = MultiThreadStopReason<u64>;

    fn wait_for_stop_reason(
        target: &mut Target,
        wire: &mut Wire,
    ) -> Result<Event<Self::StopReason>, WaitForStopReasonError<Error, std::io::Error>> {
        match target.interruptible(Self::Target::go) {
            Ok(reason) => Ok(Event::TargetStopped(reason)),
            Err(e) if is_interrupted(&e) => {
                target.interrupts.seen.store(false, Ordering::Relaxed);
                match wire.read() {
                    Ok(byte) => Ok(Event::IncomingData(byte)),
                    Err(e) => Err(WaitForStopReasonError::Connection(e)),
                }
            }
            Err(e) => Err(WaitForStopReasonError::Target(e)),
        }
    }

    fn on_interrupt(target: &mut Target) -> Result<Option<Self::StopReason>> {
        // It came when nothing ran any more: gdb knows of the other reason, and would
        // take this one for that of its next motion.
        if target.interrupts.seen.swap(false, Ordering::Relaxed) {
            return Ok(None);
        }
        let tid = target.current()?;
        Ok(Some(BaseStopReason::SignalWithThread {
            tid,
            signal: Signal::SIGINT,
        }))
    }
}

impl GdbTarget for Target {
    type Arch = X86_64;
    type Error = Error;

    fn base_ops(&mut self) -> BaseOps<'_, X86_64, Error> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_catch_syscalls(&mut self) -> Option<CatchSyscallsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }

    fn support_auxv(&mut self) -> Option<AuxvOps<'_, Self>> {
        Some(self)
    }

    fn support_exec_file(&mut self) -> Option<ExecFileOps<'_, Self>> {
        Some(self)
    }

    fn support_extended_mode(&mut self) -> Option<ExtendedModeOps<'_, Self>> {
        Some(self)
    }

    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Target {
    fn read_registers(&mut self, to: &mut AllRegisters, id: Tid) -> TargetResult<(), Self> {
        match self.all_registers(id) {
            Ok(Some(all)) => *to = all,
            Ok(None) => return Err(TargetError::NonFatal),
            Err(e) => return refused(&e),
        }
        Ok(())
    }

    fn write_registers(&mut self, _: &AllRegisters, _: Tid) -> TargetResult<(), Self> {
        refused(&anyhow::anyhow!(
            "a recording's registers cannot be changed all at once"
        ))
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, addr: u64, to: &mut [u8], _: Tid) -> TargetResult<usize, Self> {
        match self.travel.read(addr, to) {
            0 if !to.is_empty() => Err(TargetError::NonFatal),
            n => Ok(n),
        }
    }

    fn write_addrs(&mut self, addr: u64, bytes: &[u8], _: Tid) -> TargetResult<(), Self> {
        self.write_memory(addr, bytes).or_else(|e| refused(&e))
    }

    fn list_active_threads(&mut self, found: &mut dyn FnMut(Tid)) -> Result<()> {
        let mut threads = self.travel.threads()?;
        // gdb takes the first one for the current.
        threads.sort_by_key(|t| !t.running);
        for thread in threads {
            found(tid(thread.tid));
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Target {
    fn read_register(
        &mut self,
        id: Tid,
        register: Register,
        to: &mut [u8],
    ) -> TargetResult<usize, Self> {
        match self.all_registers(id) {
            Ok(Some(all)) => Ok(all.get(register).map_or(0, |bytes| {
                to[..bytes.len()].copy_from_slice(&bytes);
                bytes.len()
            })),
            Ok(None) => Err(TargetError::NonFatal),
            Err(e) => refused(&e),
        }
    }

    fn write_register(
        &mut self,
        id: Tid,
        register: Register,
        value: &[u8],
    ) -> TargetResult<(), Self> {
        self.write_one(register, value, id).or_else(|e| refused(&e))
    }
}

impl MultiThreadResume for Target {
    fn resume(&mut self) -> Result<()> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<()> {
        self.motion = Motion::Run;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _: Tid, _: Option<Signal>) -> Result<()> {
        // Which thread runs is recorded.
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }
}

impl MultiThreadSchedulerLocking for Target {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<()> {
        // Which thread runs is recorded.
        Ok(())
    }
}

impl MultiThreadSingleStep for Target {
    fn set_resume_action_step(&mut self, thread: Tid, _: Option<Signal>) -> Result<()> {
        self.motion = Motion::Step(thread);
        Ok(())
    }
}

impl MultiThreadRangeStepping for Target {
    fn set_resume_action_range_step(&mut self, thread: Tid, from: u64, to: u64) -> Result<()> {
        self.motion = Motion::Range(thread, from, to);
        Ok(())
    }
}

impl ReverseCont<Tid> for Target {
    fn reverse_cont(&mut self) -> Result<()> {
        self.motion = Motion::RunBack;
        Ok(())
    }
}

impl ReverseStep<Tid> for Target {
    fn reverse_step(&mut self, thread: Tid) -> Result<()> {
        self.motion = Motion::StepBack(thread);
        Ok(())
    }
}

impl Breakpoints for Target {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl Target {
    fn add(&mut self, addr: u64) -> bool {
        // Some go to several places.
        const MOST: usize = MAX_BREAKPOINTS * 3 / 4;
        if self.breakpoints.len() >= MOST && !self.breakpoints.contains_key(&addr) {
            eprintln!("orch: no room for more than {MOST} breakpoints");
            return false;
        }
        *self.breakpoints.entry(addr).or_default() += 1;
        true
    }

    fn drop(&mut self, addr: u64) -> bool {
        let Some(count) = self.breakpoints.get_mut(&addr) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.breakpoints.remove(&addr);
        }
        true
    }
}

impl SwBreakpoint for Target {
    fn add_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.add(addr))
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.drop(addr))
    }
}

impl HwBreakpoint for Target {
    fn add_hw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.add(addr))
    }

    fn remove_hw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.drop(addr))
    }
}

impl HwWatchpoint for Target {
    fn add_hw_watchpoint(
        &mut self,
        addr: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        // Reads are not told.
        let all = self.watches.iter().map(|w| w.words.len()).sum::<usize>();
        let words = Watch::words(addr, len, MOST_WORDS - all);
        let Some(words) = words.filter(|_| kind != WatchKind::Read) else {
            return Ok(false);
        };
        self.watches.push(Watched {
            addr,
            len,
            kind,
            words,
        });
        Ok(true)
    }

    fn remove_hw_watchpoint(
        &mut self,
        addr: u64,
        len: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let is_it = |w: &Watched| (w.addr, w.len, w.kind) == (addr, len, kind);
        let found = self.watches.iter().position(is_it);
        if let Some(n) = found {
            self.watches.remove(n);
        }
        Ok(found.is_some())
    }
}

/// A part of an object that gdb reads piece by piece.
pub(super) fn piece(whole: &[u8], offset: u64, length: usize, to: &mut [u8]) -> usize {
    let from = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(whole.len());
    let n = (whole.len() - from).min(length).min(to.len());
    to[..n].copy_from_slice(&whole[from..from + n]);
    n
}

impl Auxv for Target {
    fn get_auxv(&self, offset: u64, length: usize, to: &mut [u8]) -> TargetResult<usize, Self> {
        match self.travel.auxv() {
            Ok(auxv) => Ok(piece(&auxv, offset, length, to)),
            Err(e) => refused(&e),
        }
    }
}

impl MonitorCmd for Target {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<()> {
        let command = String::from_utf8_lossy(command);
        let mut words = command.split_whitespace();
        let result = match (words.next(), words.next()) {
            (Some("pass"), list) => {
                // gdb's own, for which the answer is that there is none.
                match self.catches.passed.set(list.unwrap_or_default()) {
                    Ok(()) => return Ok(()),
                    Err(e) => Err(e),
                }
            }
            (Some("settle"), None) => self.settle(),
            (Some("made"), None) => self.made(),
            (Some("when"), None) => self.when(),
            (Some("thread"), None) => self.current().map(|tid| tid.to_string()),
            (Some("recording"), None) => Ok(self.travel.recording().to_string()),
            (Some("jump"), Some(to)) => self.jump(to),
            (Some("hit"), None) if self.search.is_some() => self.hit(),
            _ => Ok("orch's commands here are: when, recording, jump POSITION".to_owned()),
        };
        match result {
            Ok(text) => outputln!(out, "{text}"),
            Err(e) => outputln!(out, "orch: {e:#}"),
        }
        Ok(())
    }
}

impl Target {
    fn hit(&mut self) -> Result<String> {
        match &mut self.search {
            Some(search) => search.next(&mut self.travel, &self.interrupts),
            None => Ok("end".to_owned()),
        }
    }

    /// Back to the recording, unless a function is being called.
    fn settle(&mut self) -> Result<String> {
        if self.is_calling() {
            return Ok("calling".to_owned());
        }
        self.leave_call()?;
        Ok("settled".to_owned())
    }

    fn when(&mut self) -> Result<String> {
        if self.is_calling() {
            anyhow::bail!("in a function that is called on a copy; `orch jump` leaves it");
        }
        self.leave_call()?;
        Ok(self.travel.position()?.to_string())
    }

    fn jump(&mut self, to: &str) -> Result<String> {
        let position: Position = to.parse()?;
        if position.recording != self.travel.recording() {
            anyhow::bail!(
                "this is {}; `orch jump` goes to other recordings",
                self.travel.recording()
            );
        }
        self.leave_call()?;
        (self.crossing, self.told) = (None, None);
        let went = self.interruptible(|s| s.travel.go_to(&position));
        self.signal = self.travel.signal_here()?.map(|(_, at)| at);
        went?;
        position.tell_next(self.travel.session())?;
        Ok(self.travel.position()?.to_string())
    }
}
