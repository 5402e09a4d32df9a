//! ptrace, only around exec: puts the runtime into a fresh image.
//!
//! Sources: ptrace(2); kernel arch/x86/entry/common.c for the order of ptrace
//! and seccomp at a system call's entry (ptrace comes first, so the
//! instruction pointer that an inherited filter sees can be set here).

use crate::arena::Arena;
use crate::image::Mapping;
use crate::{blob, fd_passing};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use orch_abi::layout::{RUNTIME_BASE, RUNTIME_LEN};
use orch_abi::record::Regs;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Why the runtime could not be put into a process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process is gone.
    #[error("the process ended while the recorder was attaching to it")]
    Gone,
    /// A ptrace request failed.
    #[error("cannot {what} (ptrace: {errno}); `orch doctor` tells what this machine allows")]
    Ptrace {
        /// What was tried.
        what: &'static str,
        /// How it failed.
        errno: Errno,
    },
    /// A system call made in the process failed.
    #[error("the new program could not {what} ({errno})")]
    Remote {
        /// What it was to do.
        what: &'static str,
        /// How it failed.
        errno: Errno,
    },
    /// The program is of another architecture.
    #[error("it is not an x86-64 program; only those can be recorded")]
    Architecture,
    /// Something of the process could not be read.
    #[error("cannot read the new program's memory map: {0}")]
    Proc(#[from] io::Error),
}

fn request<T>(what: &'static str, r: nix::Result<T>) -> Result<T, Error> {
    r.map_err(|errno| {
        if errno == Errno::ESRCH {
            Error::Gone
        } else {
            Error::Ptrace { what, errno }
        }
    })
}

/// A process that is stopped right after exec.
#[derive(Debug)]
pub struct Stopped {
    pid: Pid,
    memory: File,
    regs: libc::user_regs_struct,
}

/// Attaches to a thread that is about to call execve.
///
/// # Errors
/// If the kernel does not allow it.
pub fn seize(thread: Pid) -> Result<(), Error> {
    // Without this process, a new image would run on without the runtime.
    let options = ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_EXITKILL;
    request("attach to the process", ptrace::seize(thread, options))
}

/// Lets a thread go whose execve failed.
///
/// # Errors
/// If it cannot be stopped.
pub fn let_go(thread: Pid) -> Result<(), Error> {
    request("interrupt the process", ptrace::interrupt(thread))?;
    loop {
        match request("wait for the process", wait(thread))? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Err(Error::Gone),
            WaitStatus::PtraceEvent(_, _, event) if event == libc::PTRACE_EVENT_STOP => break,
            WaitStatus::Stopped(_, signal) => request("continue", ptrace::cont(thread, signal))?,
            _ => request("continue", ptrace::cont(thread, None))?,
        }
    }
    request("detach", ptrace::detach(thread, None))
}

/// What became of a seized thread.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Next {
    /// It runs a new image, at whose first instruction it is stopped.
    Execed(Stopped),
    /// Not yet.
    Running,
    /// It ended.
    Gone,
}

/// Looks whether the seized thread has got through execve. After exec it goes
/// by `process`, its thread-group's id.
///
/// # Errors
/// If ptrace fails.
pub fn poll_exec(thread: Pid, process: Pid) -> Result<Next, Error> {
    for id in [thread, process] {
        match waitpid(id, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::PtraceEvent(pid, _, event)) if event == libc::PTRACE_EVENT_EXEC => {
                return Stopped::after_exec(pid).map(Next::Execed);
            }
            Ok(WaitStatus::PtraceEvent(pid, signal, event)) if event == libc::PTRACE_EVENT_STOP => {
                // Group stop: leave it stopped, but listen for SIGCONT.
                let _ = signal;
                request("continue", ptrace::cont(pid, None))?;
            }
            Ok(WaitStatus::Stopped(pid, signal)) => request("continue", ptrace::cont(pid, signal))?,
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => return Ok(Next::Gone),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {}
            Ok(other) => {
                if let Some(pid) = other.pid() {
                    request("continue", ptrace::cont(pid, None))?;
                }
            }
            Err(errno) => {
                return Err(Error::Ptrace {
                    what: "wait for the process",
                    errno,
                });
            }
        }
        if thread == process {
            break;
        }
    }
    Ok(Next::Running)
}

impl Stopped {
    fn after_exec(pid: Pid) -> Result<Self, Error> {
        let mut regs = request("read registers", ptrace::getregs(pid))?;
        // The result of execve, which overwrites it when the process goes on.
        regs.rax = 0;
        const USER_CS_64: u64 = 0x33;
        if regs.cs != USER_CS_64 {
            return Err(Error::Architecture);
        }
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))?;
        Ok(Self { pid, memory, regs })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its registers.
    #[must_use]
    pub fn regs(&self) -> Regs {
        to_regs(&self.regs)
    }

    /// Its memory.
    #[must_use]
    pub fn memory(&self) -> &File {
        &self.memory
    }

    /// Puts the runtime in and lets the process go. It starts in the
    /// runtime, which finds its slot by `slot`. The process has `maps`, and maybe
    /// the arena's descriptor.
    ///
    /// # Errors
    /// If the process cannot open `arena` or map it.
    pub fn start_runtime(
        self,
        arena: &Arena,
        slot: u32,
        maps: &[Mapping],
        fd: Option<u64>,
    ) -> Result<(), Error> {
        let end = RUNTIME_BASE + RUNTIME_LEN;
        let free = maps.iter().all(|m| m.end <= RUNTIME_BASE || m.start >= end);
        let vdso = maps.iter().find(|m| m.name == "[vdso]");
        match (vdso, fd) {
            (Some(vdso), Some(fd)) if free => self.start_by_itself(slot, vdso, fd),
            _ => self.start_by_hand(arena, slot, fd),
        }
    }

    /// The process maps the runtime by code in its vDSO, which the program never uses
    /// (the runtime hides it), without a further stop. The filter lets that call pass.
    fn start_by_itself(self, slot: u32, vdso: &Mapping, fd: u64) -> Result<(), Error> {
        const CODE: [u8; 15] = [
            0xb8, 0x09, 0x00, 0x00, 0x00, // mov $9 (mmap),%eax
            0x0f, 0x05, // syscall
            0x44, 0x89, 0xe7, // mov %r12d,%edi
            0x44, 0x89, 0xc6, // mov %r8d,%esi
            0xff, 0xe3, // jmp *%rbx
        ];
        let at = vdso.end - 64;
        self.memory.write_all_at(&CODE, at)?;
        let mut regs = self.regs;
        regs.rip = at;
        regs.rbx = blob::image().entry;
        regs.r12 = u64::from(slot);
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = map_runtime(fd);
        request("set registers", ptrace::setregs(self.pid, regs))?;
        request("detach", ptrace::detach(self.pid, None))
    }

    /// As above, call by call.
    fn start_by_hand(self, arena: &Arena, slot: u32, fd: Option<u64>) -> Result<(), Error> {
        // The result of execve still overwrites rax: step out of the call.
        request("step out of execve", ptrace::syscall(self.pid, None))?;
        wait_syscall_stop(self.pid)?;
        let at = self.regs.rip;
        let mut original = [0; 2];
        self.memory.read_exact_at(&mut original, at)?;
        self.memory.write_all_at(&[0x0f, 0x05], at)?;
        // What execve put on the stack is part of the recording: below it, and
        // zeroed again afterwards.
        let scratch = (self.regs.rsp - 8192) & !0xfff;
        let opened = fd.map_or_else(|| self.open_arena(arena.path(), scratch), Ok);
        let fd = match opened {
            // Another root directory, or another user.
            Err(Error::Remote {
                errno: Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR,
                ..
            }) => self.receive_arena(arena, scratch)?,
            other => other?,
        };
        self.memory.write_all_at(&[0; 4096], scratch)?;
        self.remote("map the runtime", libc::SYS_mmap, map_runtime(fd))?;
        self.memory.write_all_at(&original, at)?;
        let mut regs = self.regs;
        regs.rip = blob::image().entry;
        regs.rdi = u64::from(slot);
        regs.rsi = fd;
        regs.orig_rax = u64::MAX;
        request("set registers", ptrace::setregs(self.pid, regs))?;
        request("detach", ptrace::detach(self.pid, None))
    }

    fn open_arena(&self, path: &Path, scratch: u64) -> Result<u64, Error> {
        let mut bytes = path.as_os_str().as_bytes().to_vec();
        bytes.push(0);
        self.memory.write_all_at(&bytes, scratch)?;
        let flags = libc::O_RDWR | libc::O_CLOEXEC;
        let at_fdcwd = i64::from(libc::AT_FDCWD).cast_unsigned();
        self.remote(
            "open the arena",
            libc::SYS_openat,
            [at_fdcwd, scratch, flags as u64, 0, 0, 0],
        )
    }

    /// Passes the arena's descriptor over a socket pair that the process
    /// makes: works whatever it can see of the file system.
    fn receive_arena(&self, arena: &Arena, scratch: u64) -> Result<u64, Error> {
        const WHAT: &str = "receive the arena";
        const AF_UNIX: u64 = 1;
        const SOCK_DGRAM: u64 = 2;
        self.remote(
            WHAT,
            libc::SYS_socketpair,
            [AF_UNIX, SOCK_DGRAM, 0, scratch, 0, 0],
        )?;
        let mut pair = [0; 8];
        self.memory.read_exact_at(&mut pair, scratch)?;
        let half = |i: usize| u32::from_le_bytes([pair[i], pair[i + 1], pair[i + 2], pair[i + 3]]);
        let (ours, theirs) = (half(0), half(4));
        fd_passing::send(self.pid, ours, arena.file()).map_err(|errno| Error::Ptrace {
            what: "pass a descriptor to the process",
            errno,
        })?;
        // struct msghdr at scratch, iovec at +64, a byte at +96, control data at +128
        // (unix(7): cmsghdr of 16 bytes, then the descriptor).
        let mut message = [0_u64; 32];
        message[2] = scratch + 64;
        message[3] = 1;
        message[4] = scratch + 128;
        message[5] = 24;
        message[8] = scratch + 96;
        message[9] = 1;
        let bytes: Vec<u8> = message.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.memory.write_all_at(&bytes, scratch)?;
        const MSG_CMSG_CLOEXEC: u64 = 0x4000_0000;
        self.remote(
            WHAT,
            libc::SYS_recvmsg,
            [theirs.into(), scratch, MSG_CMSG_CLOEXEC, 0, 0, 0],
        )?;
        let mut fd = [0; 4];
        self.memory.read_exact_at(&mut fd, scratch + 128 + 16)?;
        for fd in [ours, theirs] {
            self.remote(WHAT, libc::SYS_close, [fd.into(), 0, 0, 0, 0, 0])?;
        }
        Ok(u32::from_le_bytes(fd).into())
    }

    /// Makes the process do a system call. `syscall` is at its instruction pointer.
    fn remote(&self, what: &'static str, nr: i64, args: [u64; 6]) -> Result<u64, Error> {
        let mut regs = self.regs;
        regs.rax = nr.cast_unsigned();
        regs.orig_rax = u64::MAX;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        request("set registers", ptrace::setregs(self.pid, regs))?;
        request("run a system call", ptrace::syscall(self.pid, None))?;
        wait_syscall_stop(self.pid)?;
        // An inherited filter trusts calls from the runtime's range only.
        let mut inside = request("read registers", ptrace::getregs(self.pid))?;
        inside.rip = RUNTIME_BASE;
        request("set registers", ptrace::setregs(self.pid, inside))?;
        request("run a system call", ptrace::syscall(self.pid, None))?;
        wait_syscall_stop(self.pid)?;
        let result = request("read registers", ptrace::getregs(self.pid))?
            .rax
            .cast_signed();
        if (-4095..0).contains(&result) {
            let errno = Errno::from_raw(i32::try_from(-result).unwrap_or(0));
            return Err(Error::Remote { what, errno });
        }
        Ok(result.cast_unsigned())
    }

    /// Ends a process that cannot be recorded.
    pub fn kill(self) {
        let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
        let _ = ptrace::detach(self.pid, Signal::SIGKILL);
    }
}

/// Those that [`Regs`] has, in its order.
fn words(r: &mut libc::user_regs_struct) -> [&mut u64; 18] {
    [
        &mut r.r8,
        &mut r.r9,
        &mut r.r10,
        &mut r.r11,
        &mut r.r12,
        &mut r.r13,
        &mut r.r14,
        &mut r.r15,
        &mut r.rdi,
        &mut r.rsi,
        &mut r.rbp,
        &mut r.rbx,
        &mut r.rdx,
        &mut r.rax,
        &mut r.rcx,
        &mut r.rsp,
        &mut r.rip,
        &mut r.eflags,
    ]
}

/// The registers as the recordings have them.
#[must_use]
pub fn to_regs(r: &libc::user_regs_struct) -> Regs {
    let mut r = *r;
    Regs::from(words(&mut r).map(|word| *word))
}

/// Puts them back among those of ptrace.
pub fn put_regs(to: &mut libc::user_regs_struct, from: &Regs) {
    for (to, from) in words(to).into_iter().zip(<[u64; 18]>::from(*from)) {
        *to = from;
    }
}

/// Arguments of the mmap that puts the runtime in.
fn map_runtime(fd: u64) -> [u64; 6] {
    let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE;
    [RUNTIME_BASE, RUNTIME_LEN, prot as u64, flags as u64, fd, 0]
}

/// waitpid, whatever signal handlers run meanwhile.
fn wait(pid: Pid) -> nix::Result<WaitStatus> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

fn wait_syscall_stop(pid: Pid) -> Result<(), Error> {
    loop {
        match request("wait for the process", wait(pid))? {
            WaitStatus::PtraceSyscall(_) => return Ok(()),
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Err(Error::Gone),
            // A signal that came before the first instruction is for the program: deliver it
            // by the kernel's default, as nothing can have been installed yet.
            WaitStatus::Stopped(_, signal) => request("continue", ptrace::syscall(pid, signal))?,
            _ => request("continue", ptrace::syscall(pid, None))?,
        }
    }
}
