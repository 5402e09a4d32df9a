//! The process that a recording is replayed in.

use crate::supervisor::watch;
use anyhow::{Context as _, Result, bail};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use orch_abi::shared::{Slot, boot, mode, option};
use orch_recorder::arena::Arena;
use orch_recorder::session::Session;
use orch_recorder::trace::RecordingId;
use orch_recorder::{cpuid, image, launch, tracee};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The arena of a replay: memory, reachable by a path for as long as it is held.
pub struct ArenaFile {
    _fd: OwnedFd,
    path: PathBuf,
}

impl ArenaFile {
    pub fn create() -> Result<Self> {
        let fd = memfd_create(c"orch-replay", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
        let path = PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            fd.as_raw_fd()
        ));
        Ok(Self { _fd: fd, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The arena for replays of a session's recordings by way of `path`, with what
/// all of them share: options, captured files, the answers of `cpuid`.
pub fn arena(
    session: &Session,
    path: &[RecordingId],
    no_patch: bool,
) -> Result<(ArenaFile, Arc<Arena>)> {
    let file = ArenaFile::create()?;
    let arena = Arc::new(Arena::create(file.path())?);
    let control = arena.control();
    control.mode.store(mode::REPLAY, Ordering::Relaxed);
    let allow = |option| control.options.fetch_or(option, Ordering::Relaxed);
    if no_patch || session.meta().no_patch {
        allow(option::NO_PATCH);
    }
    let replaced = session.meta().replace_cpuid;
    if replaced {
        allow(option::REPLACE_CPUID);
    }
    for (to, id) in control.replay_path.iter().zip(path) {
        to.store(id.0, Ordering::Relaxed);
    }
    arena.set_files_dir(&session.files_dir());
    let table = cpuid::load(session.dir());
    let what = || format!("cannot read what cpuid told in {}", session.dir().display());
    if let Some(table) = table.with_context(what)? {
        cpuid::install(&table, &arena);
    }
    let files = session.files()?;
    for file in files.captured().iter().filter(|_| replaced) {
        cpuid::tell(file, &arena);
    }
    watch::adopt_orphans()?;
    watch::children(control);
    Ok((file, arena))
}

/// Starts a process with the runtime in it, which builds the image of `root`
/// from its recording; returns its slot, which `prepare` may fill in, and pid.
pub fn start(arena: &Arena, root: RecordingId, prepare: impl FnOnce(&Slot)) -> Result<(u32, i32)> {
    let Some(index) = arena.claim() else {
        bail!("too many processes")
    };
    let slot = arena.slot(index);
    slot.recording.store(root.0, Ordering::Relaxed);
    let mut flags = boot::INSTALL_FILTER;
    if !watch::may_filter() {
        flags |= boot::NO_NEW_PRIVS;
    }
    slot.boot_flags.store(flags, Ordering::Relaxed);
    prepare(slot);
    // Any program will do: nothing of it is ever run.
    let child = launch::prepare(
        &["/proc/self/exe", "replay-host"],
        arena.file(),
        launch::Signals::default(),
    )?;
    let pid = child.pid;
    attach(arena, index, child).inspect_err(|_| {
        let _ = kill(pid, Signal::SIGKILL);
        let _ = waitpid(pid, Some(WaitPidFlag::__WALL));
        arena.release(index);
    })?;
    Ok((index, pid.as_raw()))
}

fn attach(arena: &Arena, index: u32, mut child: launch::Waiting) -> Result<()> {
    let slot = arena.slot(index);
    tracee::seize(child.pid)?;
    child.go()?;
    let deadline = Instant::now() + Duration::from_secs(20);
    let stopped = loop {
        match tracee::poll_exec(child.pid, child.pid)? {
            tracee::Next::Execed(stopped) => break stopped,
            tracee::Next::Gone => return Err(child.failure().into()),
            tracee::Next::Running if Instant::now() > deadline => {
                bail!("the replaying process does not start")
            }
            tracee::Next::Running => std::thread::sleep(Duration::from_micros(100)),
        }
    };
    slot.pid
        .store(child.pid.as_raw().cast_unsigned(), Ordering::Relaxed);
    let maps = image::mappings(child.pid.as_raw())?;
    let fd = Some(arena.file().as_raw_fd().cast_unsigned().into());
    stopped.start_runtime(arena, index, &maps, fd)?;
    Ok(())
}
