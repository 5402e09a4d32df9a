//! ptrace of a replaying process. All calls are made by one thread (ptrace(2)).

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use orch_abi::record::Regs;
use orch_recorder::tracee::{put_regs, to_regs};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;

/// What a tracee stopped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// A trap: the `si_code` of its SIGTRAP (sigaction(2)).
    Trap(i32),
    /// Another signal is about to be delivered.
    Signal(Signal),
    /// It was asked to.
    Interrupted,
    /// It is gone.
    Gone,
}

/// `si_code` of the trap of an `int3` (siginfo.h; a single step has TRAP_TRACE, or
/// TRAP_BRKPT behind a system call), and of one by a debug register.
pub const SI_KERNEL: i32 = 0x80;
/// See above.
pub const TRAP_HWBKPT: i32 = 4;

/// General registers, flags and segment bases: those of [`Regs`], of FS and of GS.
pub type Frame = [u64; 20];

/// A process under ptrace, and its memory.
#[derive(Debug)]
pub struct Tracee {
    pid: Pid,
    memory: File,
}

impl Tracee {
    /// For the process `pid`, which is not attached to yet.
    pub fn new(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/mem");
        let memory = OpenOptions::new().read(true).write(true).open(&path);
        Ok(Self {
            pid: Pid::from_raw(pid),
            memory: memory.with_context(|| format!("cannot open {path}"))?,
        })
    }

    /// Attaches, and stops it.
    pub fn attach(&self) -> Result<()> {
        ptrace::seize(self.pid, ptrace::Options::PTRACE_O_EXITKILL)
            .context("cannot attach to the replaying process (ptrace); see `orch doctor`")?;
        self.interrupt()?;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)) {
                Ok(WaitStatus::PtraceEvent(..)) => return Ok(()),
                Ok(WaitStatus::Stopped(_, signal)) => ptrace::cont(self.pid, signal)?,
                // By the news of another thread's child.
                Err(Errno::EINTR) => {}
                other => bail!("the replaying process ended while it was attached to ({other:?})"),
            }
        }
    }

    /// Makes a running one stop.
    pub fn interrupt(&self) -> Result<()> {
        Ok(ptrace::interrupt(self.pid)?)
    }

    /// Lets a stopped one go.
    pub fn detach(&self) -> Result<()> {
        Ok(ptrace::detach(self.pid, None)?)
    }

    /// Runs it on; `signal` is delivered.
    pub fn go(&self, signal: Option<Signal>) -> Result<()> {
        Ok(ptrace::cont(self.pid, signal)?)
    }

    /// Runs one instruction.
    pub fn step(&self) -> Result<()> {
        Ok(ptrace::step(self.pid, None)?)
    }

    /// Whether, and why, it has stopped.
    pub fn poll(&self) -> Result<Option<Halt>> {
        self.halt(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)
    }

    /// Waits until it stops.
    pub fn wait(&self) -> Result<Halt> {
        loop {
            if let Some(halt) = self.halt(WaitPidFlag::__WALL)? {
                return Ok(halt);
            }
        }
    }

    fn halt(&self, flags: WaitPidFlag) -> Result<Option<Halt>> {
        Ok(match waitpid(self.pid, Some(flags)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => None,
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => {
                Some(Halt::Trap(ptrace::getsiginfo(self.pid)?.si_code))
            }
            Ok(WaitStatus::Stopped(_, signal)) => Some(Halt::Signal(signal)),
            Ok(WaitStatus::PtraceEvent(..)) => Some(Halt::Interrupted),
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => {
                Some(Halt::Gone)
            }
            Ok(other) => bail!("ptrace: {other:?} of the replaying process"),
            Err(e) => return Err(e.into()),
        })
    }

    /// The registers of the processor.
    pub fn regs(&self) -> Result<libc::user_regs_struct> {
        ptrace::getregs(self.pid).context("cannot read registers")
    }

    /// Sets them.
    pub fn set_regs(&self, regs: libc::user_regs_struct) -> Result<()> {
        ptrace::setregs(self.pid, regs).context("cannot set registers")
    }

    /// The registers that are part of a saved process.
    pub fn frame(&self) -> Result<Frame> {
        let regs = self.regs()?;
        let mut frame = [0; 20];
        frame[..18].copy_from_slice(&<[u64; 18]>::from(to_regs(&regs)));
        frame[18..].copy_from_slice(&[regs.fs_base, regs.gs_base]);
        Ok(frame)
    }

    /// Sets them, and rax.
    pub fn set_frame(&self, saved: &Frame, rax: u64) -> Result<()> {
        let mut regs = self.regs()?;
        let [general @ .., fs, gs] = *saved;
        put_regs(&mut regs, &Regs::from(general));
        (regs.fs_base, regs.gs_base) = (fs, gs);
        regs.rax = rax;
        regs.orig_rax = u64::MAX;
        self.set_regs(regs)
    }

    /// Has the `syscall` at `ip` make a call; its result, as the kernel returns it.
    pub fn call(&self, ip: u64, nr: i64, args: [u64; 6]) -> Result<i64> {
        let mut regs = self.regs()?;
        regs.rip = ip;
        regs.rax = nr.cast_unsigned();
        regs.orig_rax = u64::MAX;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = args;
        self.set_regs(regs)?;
        self.step()?;
        match self.wait()? {
            Halt::Trap(_) => Ok(self.regs()?.rax.cast_signed()),
            other => bail!("the replaying process stopped in a call: {other:?}"),
        }
    }

    /// Sets debug register `n` (SDM vol. 3, 18.2).
    pub fn set_debug_register(&self, n: usize, value: u64) -> Result<()> {
        let offset = std::mem::offset_of!(libc::user, u_debugreg) + 8 * n;
        ptrace::write_user(self.pid, offset as ptrace::AddressType, value.cast_signed())
            .context("this machine does not let debug registers be set")
    }

    /// Debug register `n`.
    pub fn debug_register(&self, n: usize) -> Result<u64> {
        let offset = std::mem::offset_of!(libc::user, u_debugreg) + 8 * n;
        let value = ptrace::read_user(self.pid, offset as ptrace::AddressType)?;
        Ok(value.cast_unsigned())
    }

    /// Reads memory; returns how many bytes could be read.
    pub fn read(&self, addr: u64, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done < to.len() {
            match self
                .memory
                .read_at(&mut to[done..], addr.wrapping_add(done as u64))
            {
                Ok(n) if n > 0 => done += n,
                // Not all of a range that crosses into nothing is refused.
                _ => break,
            }
        }
        if done == 0 && to.len() > 4096 {
            let first = 4096 - usize::try_from(addr % 4096).unwrap_or(0);
            return self.read(addr, &mut to[..first]);
        }
        done
    }

    /// Reads a number.
    pub fn word(&self, addr: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        if self.read(addr, &mut bytes) < 8 {
            bail!("cannot read the replaying process's memory at {addr:#x}");
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes memory, whatever its protection.
    pub fn write(&self, addr: u64, bytes: &[u8]) -> Result<()> {
        self.memory
            .write_all_at(bytes, addr)
            .with_context(|| format!("cannot write the replaying process's memory at {addr:#x}"))
    }
}
