//! `orch record`: starts the program, takes what the runtimes log, and is
//! there when one of them calls execve.

mod ending;
mod exec;
mod inherited;
mod load;
mod slots;
mod tsc;
pub(crate) mod watch;

use crate::stubs;
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use orch_abi::record::Ended;
use orch_abi::shared::{mode, option, state};
use orch_recorder::arena::Arena;
use orch_recorder::files::{Cache, FileStore};
use orch_recorder::session::{Refused, Session};
use orch_recorder::{cpuid, launch, print, tracee};
use slots::Live;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How to record.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Never patch system-call sites.
    pub no_patch: bool,
    /// Log digests of memory now and then.
    pub digest: bool,
    /// End when the root process ends.
    pub until_root: bool,
}

/// What a recording session came to.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code of the root process (128 + signal if it was killed).
    pub code: i32,
    /// Calls that could not be recorded.
    pub refused: Vec<Refused>,
    /// How many recordings there are.
    pub recordings: u32,
}

/// The supervisor of one session.
pub struct Supervisor<'a> {
    session: &'a Session,
    arena: Arc<Arena>,
    files: FileStore,
    live: HashMap<u32, Live>,
    pending: Vec<exec::Pending>,
    root: Pid,
    /// This process had children of its own before: it was made by exec.
    had_children: bool,
    root_started: bool,
    root_status: Option<i32>,
    /// When those that outlive the root began to be ended.
    ending: Option<Instant>,
    /// Calls that could not be recorded: number, what was wanted of it, how often.
    refused: BTreeMap<(u16, String), u64>,
    /// Makes stubs, once somebody has asked for one.
    stubs: Option<stubs::Maker>,
    /// How processes ended, as their recorded parents were told.
    waited_for: HashMap<i32, Ended>,
    /// Copies made so far, by what identifies a file's version.
    kept: HashMap<[u64; 5], u64>,
    /// Programs of which the user was told that they run without privileges.
    told: HashSet<PathBuf>,
    load: load::Load,
    /// The slot to tidy up next.
    next_slot: u32,
    /// When a signal or a thread was last seen to wait for a thread that computes.
    hurried: Option<Instant>,
    /// When it was last seen whether somebody watches.
    shown: Instant,
    /// Slots that have room on the disk.
    reserved: u32,
    no_new_privs: bool,
    filter_installed: bool,
    buffer: Vec<u8>,
}

/// Records `command` into `session`.
///
/// # Errors
/// If the program cannot be started, or the session cannot be written.
pub fn record(session: &Session, command: &[OsString], options: &Options) -> Result<Outcome> {
    let started = tsc::Sample::take();
    // A virtual machine takes a trap for each row.
    let table = std::thread::spawn(cpuid::table);
    let arena = Arc::new(
        Arena::create(&session.arena())
            .with_context(|| format!("cannot make {}", session.arena().display()))?,
    );
    // Others that open the session see by the lock that it is not abandoned.
    let _ = arena.try_lock();
    let control = arena.control();
    control.mode.store(mode::RECORD, Ordering::Relaxed);
    if options.no_patch {
        control
            .options
            .fetch_or(option::NO_PATCH, Ordering::Relaxed);
    }
    if options.digest {
        control.options.fetch_or(option::DIGEST, Ordering::Relaxed);
    }
    watch::console(control);
    watch::adopt_orphans()?;
    watch::children(control);
    watch::signals();
    let had_children = ending::have_children();
    let mut root = launch::prepare(command, arena.file(), inherited::signals())?;
    tracee::seize(root.pid)?;
    let table = table.join().expect("asking the processor cannot fail");
    cpuid::save(&table, session.dir())?;
    cpuid::install(&table, &arena);
    started.install(&control.tsc);
    root.go()?;
    let mut files = session.files()?;
    if let Some(cache) = Cache::of_user() {
        files.use_cache(cache);
    }
    if session.meta().replace_cpuid {
        files.find_cpuids();
        control
            .options
            .fetch_or(option::REPLACE_CPUID, Ordering::Relaxed);
    }
    let mut s = Supervisor {
        session,
        files,
        live: HashMap::new(),
        pending: vec![exec::Pending::root(root.pid, arena.file())],
        root: root.pid,
        had_children,
        root_started: false,
        root_status: None,
        ending: None,
        refused: BTreeMap::new(),
        stubs: None,
        waited_for: HashMap::new(),
        kept: HashMap::new(),
        told: HashSet::new(),
        load: load::Load::new(),
        next_slot: 0,
        hurried: None,
        shown: Instant::now(),
        reserved: 0,
        no_new_privs: !watch::may_filter(),
        filter_installed: false,
        buffer: Vec::with_capacity(2 << 20),
        arena: Arc::clone(&arena),
    };
    let result = s.run(options);
    if result.is_err() {
        s.abandon();
    }
    session.unwatch();
    if !s.root_started && s.root_status.is_some() && result.is_ok() && s.root_status == Some(127) {
        return Err(root.failure().into());
    }
    result?;
    Ok(Outcome {
        code: s.root_status.unwrap_or(1),
        refused: s.refused.into_iter().map(told).collect(),
        recordings: arena.control().next_recording.load(Ordering::Relaxed) - 1,
    })
}

fn told(((nr, detail), count): ((u16, String), u64)) -> Refused {
    let call = print::name(nr);
    Refused {
        call,
        detail,
        count,
    }
}

/// Tells the user what goes wrong, while the program runs on.
fn warn(text: &str) {
    eprintln!("orch: {text}");
}

/// How long after a thread was waited for that is likely again.
const RECENT: Duration = Duration::from_secs(1);

impl Supervisor<'_> {
    /// Tells what goes wrong with a process, unless all are being ended: then it is just gone.
    fn warn_of_process(&self, text: &str) {
        if self.ending.is_none() {
            warn(text);
        }
    }

    fn run(&mut self, options: &Options) -> Result<()> {
        let mut idle = false;
        loop {
            let seen = self.arena.control().doorbell.rung();
            self.forward_signals();
            self.reserve_slots()?;
            // First those who wait for an answer.
            let mut busy = self.answer_requests();
            if self.stubs.as_ref().is_some_and(stubs::Maker::is_gone) {
                bail!("the thread that makes stubs is gone");
            }
            busy |= self.poll_execs()?;
            busy |= self.tidy_slots(seen, idle)?;
            busy |= self.reap()?;
            self.show()?;
            if self.root_status.is_some() {
                let too_long = options.until_root && self.end_the_rest();
                if too_long || self.is_over() {
                    self.finish_all()?;
                    return self.note_stillborn();
                }
            }
            idle = false;
            if !busy {
                // The doorbell cuts this short for all that is urgent. To be woken for nothing
                // costs the programs the contents of a processor's caches.
                let wait = match () {
                    () if !self.pending.is_empty() => 1,
                    () if self.hurried.is_some_and(|at| at.elapsed() < RECENT) => 5,
                    () => 20,
                };
                idle = self.arena.wait_doorbell(seen, Duration::from_millis(wait));
            }
        }
    }

    /// Sees to it that the next processes that are forked have room for their rings.
    fn reserve_slots(&mut self) -> Result<()> {
        const AHEAD: u32 = 3;
        let used = self.arena.control().slots_used.load(Ordering::Acquire);
        if used + AHEAD > self.reserved {
            self.arena
                .reserve(used + 2 * AHEAD)
                .context("no room for the session")?;
            self.reserved = used + 2 * AHEAD;
        }
        Ok(())
    }

    /// Ends all processes: what they do can no longer be recorded.
    fn abandon(&mut self) {
        let _ = kill(self.root, Signal::SIGKILL);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let used = self.arena.control().slots_used.load(Ordering::Acquire);
            let slots = (0..used).map(|i| self.arena.slot(i));
            for slot in slots.filter(|s| s.state.load(Ordering::Acquire) == state::ACTIVE) {
                let pid = slot.pid.load(Ordering::Relaxed).cast_signed();
                if pid > 1 && ending::is_descendant(pid) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            while waitpid(None, Some(flags)).is_ok_and(|s| s != WaitStatus::StillAlive) {}
            if self.had_children || !ending::have_children() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn forward_signals(&self) {
        for signal in watch::take_signals() {
            let _ = kill(self.root, signal);
        }
    }

    /// Whether nothing of the tree is left.
    fn is_over(&self) -> bool {
        self.pending.is_empty()
            && self.live.is_empty()
            && !self.slot_in_use()
            && !self.children_left()
    }

    /// Ends the processes that outlive the root, as they come to be known: one may have been
    /// forked and not yet have come to log. True when that has taken too long.
    fn end_the_rest(&mut self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(2);
        const LONGEST: Duration = Duration::from_secs(5);
        let since = self.ending.get_or_insert_with(Instant::now).elapsed();
        for live in self.live.values_mut().filter(|l| l.gone.is_none()) {
            if since > PATIENCE {
                let _ = kill(Pid::from_raw(live.pid), Signal::SIGKILL);
            } else if !live.asked {
                live.asked = true;
                let _ = kill(Pid::from_raw(live.pid), Signal::SIGTERM);
            }
        }
        since > LONGEST
    }

    /// Completes the recordings of those that could not be ended.
    fn finish_all(&mut self) -> Result<()> {
        let all: Vec<u32> = self.live.keys().copied().collect();
        all.into_iter().try_for_each(|index| self.finish(index))
    }
}
