//! execve: attached before, injected after.

use super::{Supervisor, slots};
use anyhow::{Context as _, Result};
use nix::unistd::Pid;
use orch_abi::record::{Ended, Map, Start, ended};
use orch_abi::shared::boot;
use orch_recorder::image::{self, Copies, Mapping};
use orch_recorder::trace::record::build;
use orch_recorder::tracee::{self, Next, Stopped};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

/// A thread that is about to call execve.
pub struct Pending {
    thread: Pid,
    process: Pid,
    /// Slot that it logs to; none for the root.
    slot: Option<u32>,
    /// It is a vfork child: the slot is its parent's.
    vfork: bool,
    /// Signals that the new image has blocked without the kernel's knowing.
    mask: u64,
    /// The arena's descriptor in the new image.
    arena: Option<u64>,
}

impl Pending {
    pub(super) fn root(pid: Pid, arena: &File) -> Self {
        Self {
            thread: pid,
            process: pid,
            slot: None,
            vfork: false,
            mask: 0,
            arena: Some(arena.as_raw_fd().cast_unsigned().into()),
        }
    }

    pub(super) fn concerns(&self, pid: Pid) -> bool {
        self.process == pid
    }
}

/// What a recording begins with.
struct First {
    records: Vec<u8>,
    /// The process's mappings.
    maps: Vec<Mapping>,
    /// Those of them that hold a file's code.
    code: Vec<Map>,
}

impl Copies for Supervisor<'_> {
    fn known(&self, version: &Metadata) -> Option<u64> {
        self.kept.get(&slots::version(version)).copied()
    }

    fn keep(&mut self, file: &File, path: &Path) -> io::Result<u64> {
        self.keep_file(file, path).map_err(io::Error::other)
    }
}

impl Supervisor<'_> {
    /// Attaches to the thread that asks; true if that was new.
    pub(super) fn exec_requested(&mut self, index: u32) -> bool {
        let slot = self.arena.slot(index);
        let thread =
            Pid::from_raw(i32::try_from(slot.args[0].load(Ordering::Relaxed)).unwrap_or(0));
        let vfork = slot.args[1].load(Ordering::Relaxed) != 0;
        let mask = slot.args[2].load(Ordering::Relaxed);
        let arena = slot.args[3].load(Ordering::Relaxed).checked_sub(1);
        match tracee::seize(thread) {
            Ok(()) => {
                // A vfork child is a process of its own, with one thread.
                let live = self.live.get(&index).filter(|_| !vfork);
                let process = live.map_or(thread, |l| Pid::from_raw(l.pid));
                self.pending.push(Pending {
                    thread,
                    process,
                    slot: Some(index),
                    vfork,
                    mask,
                    arena,
                });
                self.arena.answer(index, 1);
            }
            Err(e) => {
                self.warn_of_process(&format!("pid {thread} may not execute a program: {e}"));
                self.arena.answer(index, 0);
            }
        }
        true
    }

    pub(super) fn exec_failed(&mut self, index: u32) {
        let thread = self.arena.slot(index).args[0].load(Ordering::Relaxed);
        let thread = Pid::from_raw(i32::try_from(thread).unwrap_or(0));
        self.pending.retain(|p| p.thread != thread);
        if let Err(e) = tracee::let_go(thread)
            && !matches!(e, tracee::Error::Gone)
        {
            super::warn(&format!("pid {thread}: {e}"));
        }
        self.arena.answer(index, 1);
    }

    /// Looks after threads on their way through execve.
    pub(super) fn poll_execs(&mut self) -> Result<bool> {
        let mut busy = false;
        for pending in std::mem::take(&mut self.pending) {
            match tracee::poll_exec(pending.thread, pending.process) {
                Ok(Next::Running) => self.pending.push(pending),
                Ok(Next::Execed(stopped)) => {
                    busy = true;
                    self.start_image(&pending, stopped)?;
                }
                Ok(Next::Gone) | Err(tracee::Error::Gone) => {
                    busy = true;
                    if pending.process == self.root && pending.slot.is_none() {
                        self.root_status = Some(127);
                    }
                }
                Err(e) => {
                    busy = true;
                    let pid = pending.process;
                    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
                    let program = program.unwrap_or_default();
                    super::warn(&format!(
                        "pid {pid} ({}) cannot be recorded and is ended: {e}",
                        program.display()
                    ));
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                    if pid == self.root && pending.slot.is_none() {
                        self.root_status = Some(126);
                    }
                }
            }
        }
        Ok(busy)
    }

    fn start_image(&mut self, pending: &Pending, stopped: Stopped) -> Result<()> {
        let pid = stopped.pid();
        let number = self
            .arena
            .control()
            .next_recording
            .fetch_add(1, Ordering::AcqRel);
        let parent = pending
            .slot
            .and_then(|i| self.live.get(&i))
            .map_or(0, |l| l.recording);
        let Some(index) = self.arena.claim() else {
            super::warn(&format!("too many processes; pid {pid} is ended"));
            self.start_failed(pid);
            stopped.kill();
            return Ok(());
        };
        let slot = self.arena.slot(index);
        // Without a parent until there is something to keep: it is none that was forked and
        // died before its first event (`recover::stillborn`).
        slot.parent.store(0, Ordering::Relaxed);
        slot.recording.store(number, Ordering::Relaxed);
        slot.pid
            .store(pid.as_raw().cast_unsigned(), Ordering::Relaxed);
        let mut flags = if self.no_new_privs {
            boot::NO_NEW_PRIVS
        } else {
            0
        };
        if !self.filter_installed {
            flags |= boot::INSTALL_FILTER;
            self.filter_installed = true;
        }
        slot.boot_flags.store(flags, Ordering::Relaxed);
        slot.boot_mask.store(pending.mask, Ordering::Relaxed);
        self.arena.set_boot_regs(index, stopped.regs());
        let spawned = pending.vfork || pending.slot.is_none();
        let maps = match self.first_records(&stopped, parent, spawned) {
            Ok(first) => {
                self.begin(index, number, pid.as_raw());
                self.put_first(index, &first.records)?;
                self.arena
                    .slot(index)
                    .parent
                    .store(parent, Ordering::Relaxed);
                self.arena.set_first_maps(index, &first.code);
                first.maps
            }
            Err(e) => {
                super::warn(&format!("pid {pid} cannot be recorded and is ended: {e:#}"));
                self.start_failed(pid);
                stopped.kill();
                self.arena.release(index);
                return Ok(());
            }
        };
        if pid == self.root {
            self.root_started = true;
        }
        if let Err(e) = stopped.start_runtime(&self.arena, index, &maps, pending.arena) {
            super::warn(&format!("pid {pid} cannot be recorded and is ended: {e}"));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        // The new image runs by now.
        self.leave_image(pending, number);
        Ok(())
    }

    /// The process is ended before its new image has run.
    fn start_failed(&mut self, pid: Pid) {
        if pid == self.root && !self.root_started {
            self.root_status = Some(126);
        }
    }

    /// Ends the recording of the image that called execve.
    fn leave_image(&mut self, pending: &Pending, number: u32) {
        let old = pending.slot.filter(|_| !pending.vfork);
        if let Some(live) = old.and_then(|index| self.live.get_mut(&index)) {
            live.left = Some(Ended {
                how: ended::EXECED,
                value: number,
            });
        }
    }

    /// Who may not record a setuid program's privileges runs it without them
    /// (ptrace(2) and prctl(2), PR_SET_NO_NEW_PRIVS).
    fn tell_of_privileges(&mut self, program: &Path) {
        const SETUID: u32 = 0o4000;
        const SETGID: u32 = 0o2000;
        let Ok(meta) = std::fs::metadata(program) else {
            return;
        };
        let user = meta.mode() & SETUID != 0 && meta.uid() != nix::unistd::geteuid().as_raw();
        let group = meta.mode() & SETGID != 0 && meta.gid() != nix::unistd::getegid().as_raw();
        if self.no_new_privs && (user || group) && self.told.insert(program.to_owned()) {
            super::warn(&format!(
                "{} is {}: recorded by an ordinary user, it runs without its privileges",
                program.display(),
                if user { "setuid" } else { "setgid" }
            ));
        }
    }

    /// Start record and image of a program that is about to run.
    fn first_records(&mut self, stopped: &Stopped, parent: u32, spawned: bool) -> Result<First> {
        let pid = stopped.pid().as_raw();
        let (path, args, cwd) = image::identity(pid).context("cannot read /proc")?;
        self.tell_of_privileges(&path);
        let tick = self.arena.control().clock.fetch_add(1, Ordering::AcqRel);
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let start = Start {
            regs: stopped.regs(),
            pid: pid.cast_unsigned(),
            parent,
            time: u64::try_from(time.as_nanos()).unwrap_or(0),
            argc: 0,
            same_process: u32::from(!spawned),
        };
        let args: Vec<OsString> = args.into_iter().map(OsString::from_vec).collect();
        let path: &OsStr = path.as_os_str();
        let mut out = build::start(tick, &start, path, &args, cwd.as_os_str());
        let maps = image::mappings(pid)?;
        let (image, code) = image::records(pid, &maps, stopped.memory(), tick, self)?;
        out.extend(image);
        Ok(First {
            records: out,
            maps,
            code,
        })
    }
}
