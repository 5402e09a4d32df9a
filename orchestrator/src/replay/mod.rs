//! `orch replay`: runs recordings again, each in a process of its own, and
//! checks that nothing differs.

pub mod feeder;
pub mod host;
pub mod plan;
pub mod requests;

use crate::supervisor::watch;
use crate::travel::Along;
use anyhow::Result;
use feeder::Feeder;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use orch_abi::shared::{option, request, state, verdict};
use orch_recorder::arena::Arena;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use plan::Plan;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How the replay of one recording came out.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub recording: RecordingId,
    /// How.
    pub verdict: Verdict,
}

/// How a replay came out.
#[derive(Debug)]
pub enum Verdict {
    /// It reached the last event and nothing differed.
    Matched,
    /// Something differed.
    Diverged(Box<Divergence>),
    /// The replay itself could not go on.
    Broken(String),
}

/// The first difference between a recording and its replay.
#[derive(Debug)]
pub struct Divergence {
    /// Offset of the record that was expected.
    pub offset: u64,
    /// Index of the thread that ran.
    pub thread: u64,
    /// Kind of event that the replay came to.
    pub kind: u8,
    /// System-call number, for calls.
    pub nr: u16,
    /// Instruction pointer.
    pub ip: u64,
    /// Arguments.
    pub args: [u64; 6],
    /// What differs.
    pub why: String,
}

struct Running {
    recording: RecordingId,
    feeder: Feeder,
    pid: i32,
    pidfd: Option<OwnedFd>,
    /// Bytes consumed when last looked at, and since when it has not moved.
    moved: (u64, Instant),
}

struct Replayer<'a> {
    session: &'a Session,
    arena: Arc<Arena>,
    _file: host::ArenaFile,
    queue: VecDeque<RecordingId>,
    running: HashMap<u32, Running>,
    hosts: Vec<Pid>,
    /// Processes that these have forked.
    forked: Vec<Pid>,
    reports: Vec<Report>,
    /// How long a replay may compute without an event.
    patience: Duration,
    /// Checkpoints for who wants to look at a recording later.
    along: Option<Along>,
}

/// A replay that consumes nothing for this long hangs, unless it computes.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many times a loop may be slower where replay looks for a place in it.
const SLOWER: u32 = 50;

/// Replays `only` that recording, or all; `progress` hears how many are done.
///
/// # Errors
/// If the session cannot be read, or processes cannot be made.
pub fn check(
    session: &Session,
    only: Option<RecordingId>,
    no_patch: bool,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<Report>> {
    let plan = Plan::make(session, only)?;
    let (file, arena) = host::arena(session, &plan.path, no_patch)?;
    if only.is_none() {
        arena
            .control()
            .options
            .fetch_or(option::FOLLOW_FORKS, Ordering::Relaxed);
    }
    let total = plan.total;
    let mut r = Replayer {
        session,
        queue: plan.roots.into_iter().collect(),
        arena: Arc::clone(&arena),
        _file: file,
        running: HashMap::new(),
        hosts: Vec::new(),
        forked: Vec::new(),
        reports: Vec::new(),
        patience: PATIENCE + SLOWER * session.meta().lasted().unwrap_or(PATIENCE),
        // With other code in it, a process would not be the one that is to be looked at.
        along: (!no_patch).then(|| Along::new(Arc::new(session.clone()), arena)),
    };
    let result = r.run(&mut |done| progress(done, total));
    if let Some(along) = &mut r.along {
        along.finish();
    }
    r.end_all();
    result?;
    r.reports.sort_by_key(|r| r.recording.0);
    Ok(r.reports)
}

impl Replayer<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(usize)) -> Result<()> {
        let parallel = std::thread::available_parallelism().map_or(2, usize::from);
        let mut roots = 0;
        loop {
            let seen = self.arena.control().doorbell.rung();
            while roots < parallel.max(1)
                && self.running.len() < 256
                && let Some(root) = self.queue.pop_front()
            {
                match host::start(&self.arena, root, |_| {}) {
                    Ok((index, pid)) => {
                        self.watch(index, root, pid);
                        self.hosts.push(Pid::from_raw(pid));
                    }
                    Err(e) => self.report(root, Verdict::Broken(format!("{e:#}"))),
                }
                roots = self.hosts.len();
            }
            let busy = self.look_at_slots()? | self.reap();
            progress(self.reports.len());
            roots = self.hosts.len();
            if self.running.is_empty() && self.queue.is_empty() && !self.any_active() {
                return Ok(());
            }
            if !busy {
                self.arena.wait_doorbell(seen, Duration::from_millis(10));
            }
        }
    }

    fn watch(&mut self, index: u32, recording: RecordingId, pid: i32) {
        if let Some(along) = &mut self.along {
            along.begin(index, recording);
        }
        let feeder = Feeder::start(self.session, &self.arena, index, recording, 0);
        let running = Running {
            recording,
            feeder,
            pid,
            pidfd: watch::pidfd(pid),
            moved: (0, Instant::now()),
        };
        self.running.insert(index, running);
    }

    /// What replays in slot `index`, which ends there.
    fn unwatch(&mut self, index: u32) -> Option<Running> {
        let running = self.running.remove(&index);
        if let Some(along) = &mut self.along {
            along.end(index);
        }
        running
    }

    fn any_active(&self) -> bool {
        let used = self.arena.control().slots_used.load(Ordering::Acquire);
        (0..used).any(|i| self.arena.slot(i).state.load(Ordering::Acquire) != state::FREE)
    }

    fn look_at_slots(&mut self) -> Result<bool> {
        let mut busy = false;
        let used = self.arena.control().slots_used.load(Ordering::Acquire);
        for index in 0..used {
            let arena = Arc::clone(&self.arena);
            let slot = arena.slot(index);
            if let Some(along) = &mut self.along {
                if along.owns(index) {
                    continue;
                }
                busy |= along.look(index);
            }
            let life = slot.state.load(Ordering::Acquire);
            if life == state::ACTIVE && !self.running.contains_key(&index) {
                let recording = RecordingId(slot.recording.load(Ordering::Relaxed));
                let pid = slot.pid.load(Ordering::Relaxed).cast_signed();
                self.watch(index, recording, pid);
                self.forked.push(Pid::from_raw(pid));
                busy = true;
            }
            if slot.request.load(Ordering::Acquire) == request::BECOME {
                self.switch_feed(index);
                busy = true;
            }
            busy |= requests::code(&self.arena, index);
            if life == state::DONE {
                self.finish(index);
                busy = true;
            }
        }
        Ok(busy)
    }

    /// The process goes on as a forked child's recording.
    fn switch_feed(&mut self, index: u32) {
        let slot = self.arena.slot(index);
        let recording =
            RecordingId(u32::try_from(slot.args[0].load(Ordering::Relaxed)).unwrap_or(0));
        if let Some(mut running) = self.unwatch(index) {
            let slot = self.arena.slot(index);
            running.feeder.stop();
            slot.recording.store(recording.0, Ordering::Relaxed);
            slot.head.store(0, Ordering::Relaxed);
            slot.tail.store(0, Ordering::Relaxed);
            slot.complete.store(0, Ordering::Relaxed);
            self.watch(index, recording, running.pid);
        }
        self.arena.answer(index, 1);
    }

    fn finish(&mut self, index: u32) {
        let Some(mut running) = self.unwatch(index) else {
            self.arena.release(index);
            return;
        };
        let slot = self.arena.slot(index);
        running.feeder.stop();
        let message = self.arena.message(index);
        let d = &slot.divergence;
        let outcome = match slot.verdict.load(Ordering::Acquire) {
            verdict::MATCHED => match running.feeder.error() {
                Some(e) => Verdict::Broken(e),
                None => Verdict::Matched,
            },
            verdict::DIVERGED => Verdict::Diverged(Box::new(Divergence {
                offset: d.offset.load(Ordering::Relaxed),
                thread: d.thread.load(Ordering::Relaxed),
                kind: u8::try_from(d.kind.load(Ordering::Relaxed)).unwrap_or(0),
                nr: u16::try_from(d.nr.load(Ordering::Relaxed)).unwrap_or(u16::MAX),
                ip: d.ip.load(Ordering::Relaxed),
                args: std::array::from_fn(|i| d.args[i].load(Ordering::Relaxed)),
                why: message,
            })),
            verdict::BROKEN => Verdict::Broken(message),
            _ => Self::died(&running),
        };
        self.arena.clear_message(index);
        self.arena.release(index);
        self.report(running.recording, outcome);
    }

    /// A replaying process ended without a word. (One whose program was killed says that it came
    /// to the end of its recording.)
    fn died(running: &Running) -> Verdict {
        let killed = || "the replaying process was killed; is there memory?".to_owned();
        Verdict::Broken(running.feeder.error().unwrap_or_else(killed))
    }

    fn report(&mut self, recording: RecordingId, verdict: Verdict) {
        self.reports.push(Report { recording, verdict });
    }

    fn reap(&mut self) -> bool {
        let mut busy = false;
        let mut is_there = |&pid: &Pid| match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => {
                busy = true;
                false
            }
            _ => true,
        };
        self.hosts.retain(&mut is_there);
        self.forked.retain(&mut is_there);
        let mut gone = Vec::new();
        {
            let watched: Vec<(u32, &OwnedFd)> = self
                .running
                .iter()
                .filter_map(|(&i, r)| r.pidfd.as_ref().map(|fd| (i, fd)))
                .collect();
            let mut fds: Vec<PollFd> = watched
                .iter()
                .map(|(_, fd)| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
                .collect();
            if poll(&mut fds, PollTimeout::ZERO).unwrap_or(0) > 0 {
                gone.extend(
                    fds.iter()
                        .zip(&watched)
                        .filter(|(p, _)| p.any().unwrap_or(false))
                        .map(|(_, (i, _))| *i),
                );
            }
            gone.extend(
                self.running
                    .iter()
                    .filter(|(_, r)| r.pidfd.is_none())
                    .map(|(&i, _)| i),
            );
        }
        for index in gone {
            self.finish(index);
            busy = true;
        }
        let now = Instant::now();
        let mut stuck = Vec::new();
        for (&index, r) in &mut self.running {
            let slot = self.arena.slot(index);
            let at = slot.tail.load(Ordering::Relaxed) + slot.progress.load(Ordering::Relaxed);
            if at != r.moved.0 {
                r.moved = (at, now);
                continue;
            }
            let still = now - r.moved.1;
            if still > self.patience || still > PATIENCE && watch::state(r.pid) != Some('R') {
                stuck.push((index, still));
            }
        }
        for (index, still) in stuck {
            if let Some(mut r) = self.unwatch(index) {
                let _ = kill(Pid::from_raw(r.pid), Signal::SIGKILL);
                r.feeder.stop();
                self.arena.release(index);
                let text = format!("no progress for {} seconds; ended", still.as_secs());
                self.report(r.recording, Verdict::Broken(text));
            }
        }
        busy
    }

    fn end_all(&mut self) {
        for (_, mut r) in self.running.drain() {
            let _ = kill(Pid::from_raw(r.pid), Signal::SIGKILL);
            r.feeder.stop();
        }
        for pid in self.hosts.iter().chain(&self.forked) {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|s| s != WaitStatus::StillAlive) {
        }
    }
}
