//! How processes end, as the kernel tells.

use super::{Supervisor, watch};
use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use orch_abi::record::{Ended, ended, pad8};
use orch_abi::shared::state;
use orch_recorder::recover;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long after a process is gone its parent may take to log how.
const HEARSAY: Duration = Duration::from_millis(100);

/// What a wait status (wait(2)) says.
fn decode(status: i32) -> Ended {
    if libc::WIFSIGNALED(status) {
        Ended {
            how: ended::KILLED,
            value: libc::WTERMSIG(status).cast_unsigned(),
        }
    } else {
        Ended {
            how: ended::EXITED,
            value: libc::WEXITSTATUS(status).cast_unsigned(),
        }
    }
}

/// The wait status of a zombie whose parent has not come for it yet: field 52
/// of proc_pid_stat(5). The caller knows that all its threads are gone.
fn zombie_status(pid: i32) -> Option<i32> {
    let stat = watch::stat(pid)?;
    let mut fields = stat.split_ascii_whitespace();
    // The state is field 3, so field 52 is the 49th from here.
    let zombie = matches!(fields.next()?, "Z" | "X");
    let status = fields.nth(48)?.parse().ok()?;
    zombie.then_some(status)
}

/// How a process ended whose pidfd is readable: its parent waits for it, so
/// this one cannot.
fn ending(pidfd: &OwnedFd, pid: i32) -> Option<Ended> {
    // It may be reaped between the two.
    watch::exit_status(pidfd)
        .or_else(|| zombie_status(pid))
        .or_else(|| watch::exit_status(pidfd))
        .map(decode)
}

/// Whether this process has children, zombies or not.
pub(super) fn have_children() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags) != Err(Errno::ECHILD)
}

/// Whether the process is a child of this one, or a child's child.
pub(super) fn is_descendant(mut pid: i32) -> bool {
    let own = std::process::id().cast_signed();
    while pid > 1 {
        if pid == own {
            return true;
        }
        let stat = watch::stat(pid).unwrap_or_default();
        let parent = stat.split_ascii_whitespace().nth(1);
        pid = parent.and_then(|p| p.parse().ok()).unwrap_or(0);
    }
    false
}

/// What a record of wait4 or waitid says about a child: a process can be
/// killed and waited for before the supervisor has ever looked at it.
pub(super) fn seen_by_parent(nr: u8, payload: &[u8]) -> Option<(i32, Ended)> {
    const WAIT4: u8 = 61;
    const WAITID: u8 = 247;
    const CLD_EXITED: i32 = 1;
    const CLD_DUMPED: i32 = 3;
    if nr != WAIT4 && nr != WAITID {
        return None;
    }
    let word = |at: usize| {
        Some(u64::from_le_bytes(
            payload.get(at..at + 8)?.try_into().ok()?,
        ))
    };
    let number =
        |from: &[u8], at: usize| Some(i32::from_le_bytes(from.get(at..at + 4)?.try_into().ok()?));
    let result = word(8)?.cast_signed();
    // Arguments from 16 on; chunks from 72 on.
    let wanted = word(if nr == WAIT4 { 24 } else { 32 })?;
    let mut at = 72;
    let data = loop {
        let len = usize::try_from(number(payload, at + 8)?).ok()?;
        if word(at)? == wanted {
            break payload.get(at + 16..at + 16 + len)?;
        }
        at += 16 + pad8(len);
    };
    if nr == WAIT4 {
        let pid = i32::try_from(result).ok().filter(|&pid| pid > 0)?;
        let status = number(data, 0)?;
        let over = libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
        return over.then(|| (pid, decode(status)));
    }
    // siginfo_t: si_code, si_pid, si_status.
    let (code, pid, status) = (number(data, 8)?, number(data, 16)?, number(data, 24)?);
    let how = match code {
        CLD_EXITED => ended::EXITED,
        2..=CLD_DUMPED => ended::KILLED,
        _ => return None,
    };
    let value = status.cast_unsigned();
    (result == 0 && pid > 0).then_some((pid, Ended { how, value }))
}

impl Supervisor<'_> {
    /// Takes note of processes that ended.
    pub(super) fn reap(&mut self) -> Result<bool> {
        self.reap_children();
        let mut busy = false;
        for index in self.gone() {
            if self.live.get(&index).is_some_and(|l| l.end.is_none()) {
                // What others were told of it may still be in their rings.
                self.drain_all()?;
            }
            let live = self.live.get_mut(&index).expect("a live recording");
            let since = live.gone.get_or_insert_with(Instant::now).elapsed();
            if live.end.is_none() {
                let told = || live.pidfd.as_ref().and_then(|fd| ending(fd, live.pid));
                live.end = told().or_else(|| self.waited_for.remove(&live.pid));
            }
            // Its parent may have been told, and may just be logging that.
            if live.end.or(live.left).is_some() || since > HEARSAY {
                self.finish(index)?;
                busy = true;
            }
        }
        Ok(busy)
    }

    /// Whether processes of the tree are left: orphans are this process's
    /// children. One may have been forked and not yet have come to log.
    pub(super) fn children_left(&self) -> bool {
        !self.had_children && have_children()
    }

    /// Recordings of forked processes that died before they logged anything.
    pub(super) fn note_stillborn(&self) -> Result<()> {
        let used = self.arena.control().slots_used.load(Ordering::Acquire);
        for index in 0..used {
            let slot = self.arena.slot(index);
            if slot.state.load(Ordering::Acquire) == state::CLAIMED {
                recover::stillborn(self.session, &self.arena, index)?;
            }
        }
        Ok(())
    }

    /// The root, and orphans, which are this process's children by now.
    fn reap_children(&mut self) {
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let pid = match waitid(Id::All, flags) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => pid,
                Err(Errno::EINTR) => continue,
                _ => return,
            };
            // A thread that is traced on its way through execve: `poll_execs` looks.
            if self.pending.iter().any(|p| p.concerns(pid)) {
                return;
            }
            match waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::Exited(_, code)) => {
                    self.ended(pid, ended::EXITED, code.cast_unsigned());
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    self.ended(pid, ended::KILLED, signal as u32);
                }
                _ => return,
            }
        }
    }

    fn ended(&mut self, pid: Pid, how: u32, value: u32) {
        for live in self.live.values_mut().filter(|l| l.pid == pid.as_raw()) {
            live.end = Some(Ended { how, value });
        }
        if pid == self.root && self.root_status.is_none() {
            let code = value.cast_signed();
            self.root_status = Some(if how == ended::KILLED {
                128 + code
            } else {
                code
            });
        }
    }

    /// Slots whose processes are gone, all their threads.
    fn gone(&self) -> Vec<u32> {
        let (watched, mut gone): (Vec<_>, Vec<_>) =
            self.live.iter().partition(|(_, l)| l.pidfd.is_some());
        let mut fds: Vec<PollFd> = watched
            .iter()
            .filter_map(|(_, l)| l.pidfd.as_ref())
            .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
            .collect();
        if poll(&mut fds, PollTimeout::ZERO).unwrap_or(0) > 0 {
            let ready = fds.iter().map(|p| p.any().unwrap_or(false));
            let ready = watched.into_iter().zip(ready).filter(|(_, ready)| *ready);
            gone.extend(ready.map(|(live, _)| live));
        }
        gone.into_iter().map(|(&index, _)| index).collect()
    }
}
