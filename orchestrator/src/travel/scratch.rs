//! Functions of the program called where the process stands: on the process itself, which is
//! thrown away afterwards. Another one goes to the same instant then, from a checkpoint.
//!
//! Nothing of the runtime's takes part: its jumps are taken out of the code, shared memory
//! becomes the process's own, and whatever only a recording can answer ends the call.

use super::TravelError;
use super::engine::Travel;
use super::process::Place;
use super::tracee::{Halt, SI_KERNEL};
use super::xstate::Xstate;
use anyhow::{Result, bail};
use iced_x86::Mnemonic;
use nix::sys::signal::Signal;
use orch_abi::layout::is_ours;
use orch_abi::record::Regs;
use orch_recorder::tracee::put_regs;

/// Why such a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It came to a breakpoint.
    Breakpoint,
    /// It made its step.
    Stepped,
    /// It made a system call, which has not happened.
    Syscall(u64),
    /// It is at an instruction whose results are recorded.
    Recorded(Mnemonic),
    /// It got another signal.
    Signal(Signal),
    /// Somebody interrupted it.
    Interrupted,
}

/// `int3`.
const INT3: u8 = 0xcc;

impl Travel {
    /// From now on, the present process is one to be thrown away.
    ///
    /// # Errors
    /// If that cannot be; then [`Travel::end_scratch`] is called for, too.
    pub fn begin_scratch(&mut self) -> Result<()> {
        let regs = self.regs()?;
        self.process.attach()?;
        for region in self.map.regions.clone() {
            self.bring_home(region.start, region.len, region.prot)?;
        }
        self.map.take_out(&self.process.tracee)?;
        self.process.set_place(Place::Program);
        self.set_scratch_regs(&regs)
    }

    /// Throws it away: all is as it was.
    pub fn end_scratch(&mut self) -> Result<()> {
        self.go(self.here.clone())
    }

    /// Sets its general registers.
    pub fn set_scratch_regs(&mut self, to: &Regs) -> Result<()> {
        let mut regs = self.process.tracee.regs()?;
        put_regs(&mut regs, to);
        // It is in no system call that the kernel could start again.
        regs.orig_rax = u64::MAX;
        self.process.tracee.set_regs(regs)
    }

    /// Sets its extended registers.
    pub fn set_scratch_extended(&mut self, mut to: Xstate) -> Result<()> {
        to.set(self.process.pid())
    }

    /// Writes its memory.
    pub fn write_scratch(&mut self, addr: u64, bytes: &[u8]) -> Result<()> {
        if is_ours(addr) || is_ours(addr.saturating_add(bytes.len() as u64)) {
            bail!("no memory of the program is at {addr:#x}");
        }
        self.process.tracee.write(addr, bytes)
    }

    /// Runs it, to one of these breakpoints or one instruction on.
    pub fn run_scratch(&mut self, breakpoints: &[u64], one: bool) -> Result<Ran> {
        let mut inserted = Vec::new();
        if !one {
            for at in breakpoints.iter().flat_map(|&ip| self.map.places(ip)) {
                let mut byte = [0];
                let tracee = &self.process.tracee;
                if tracee.read(at, &mut byte) == 1 && tracee.write(at, &[INT3]).is_ok() {
                    inserted.push((at, byte[0]));
                }
            }
        }
        let ran = self.scratch_to_halt(&inserted, one);
        for &(at, byte) in inserted.iter().rev() {
            // It is gone after some errors.
            let _ = self.process.tracee.write(at, &[byte]);
        }
        ran
    }

    fn scratch_to_halt(&mut self, inserted: &[(u64, u8)], one: bool) -> Result<Ran> {
        if one {
            self.process.tracee.step()?;
        } else {
            self.process.tracee.go(None)?;
        }
        loop {
            let halt = match self.process.wait(true) {
                Err(e) if matches!(e.downcast_ref(), Some(TravelError::Interrupted)) => {
                    self.process.tracee.interrupt()?;
                    // It may have come to a breakpoint just now.
                    let halt = self.process.tracee.wait()?;
                    let regs = self.process.tracee.regs()?;
                    if halt == Halt::Trap(SI_KERNEL) {
                        self.back_to_breakpoint(regs, inserted)?;
                    }
                    return Ok(Ran::Interrupted);
                }
                other => other?,
            };
            match halt {
                Halt::Gone => return Err(self.process.gone().into()),
                Halt::Interrupted => self.process.tracee.go(None)?,
                Halt::Signal(Signal::SIGSYS) => {
                    // The filter has put the number back (kernel, syscall_rollback()).
                    return Ok(Ran::Syscall(self.process.tracee.regs()?.rax));
                }
                // gdb has functions return to the stack, where nothing can be executed.
                Halt::Signal(Signal::SIGSEGV) if self.is_breakpoint(inserted)? => {
                    return Ok(Ran::Breakpoint);
                }
                Halt::Signal(signal) => {
                    let at = self.instruction(self.process.tracee.regs()?.rip).mnemonic();
                    let recorded =
                        matches!(at, Mnemonic::Rdtsc | Mnemonic::Rdtscp | Mnemonic::Cpuid);
                    return Ok(match signal {
                        Signal::SIGSEGV if recorded => Ran::Recorded(at),
                        other => Ran::Signal(other),
                    });
                }
                Halt::Trap(code) => {
                    let regs = self.process.tracee.regs()?;
                    if code != SI_KERNEL {
                        return Ok(Ran::Stepped);
                    }
                    return Ok(if self.back_to_breakpoint(regs, inserted)? {
                        Ran::Breakpoint
                    } else {
                        Ran::Signal(Signal::SIGTRAP)
                    });
                }
            }
        }
    }

    /// Whether one is where the process stands.
    fn is_breakpoint(&self, inserted: &[(u64, u8)]) -> Result<bool> {
        let ip = self.process.tracee.regs()?.rip;
        Ok(inserted.iter().any(|&(at, _)| at == ip))
    }

    /// Behind a breakpoint, the process goes back to it; tells whether it was one.
    fn back_to_breakpoint(
        &self,
        mut regs: libc::user_regs_struct,
        inserted: &[(u64, u8)],
    ) -> Result<bool> {
        let ours = inserted.iter().any(|&(at, _)| at + 1 == regs.rip);
        if ours {
            regs.rip -= 1;
            self.process.tracee.set_regs(regs)?;
        }
        Ok(ours)
    }

    /// Puts what the process sees of shared memory where the program has it.
    fn bring_home(&mut self, start: u64, len: u64, prot: u64) -> Result<()> {
        /// A piece that is read and written at a time.
        const PIECE: u64 = 1 << 20;
        /// mmap(2): `MAP_PRIVATE`, `MAP_FIXED`, `MAP_ANONYMOUS`, `MAP_NORESERVE`.
        const FLAGS: u64 = 0x2 | 0x10 | 0x20 | 0x4000;
        let done = self.inside(libc::SYS_mmap, [start, len, prot, FLAGS, u64::MAX, 0])?;
        if done != start {
            bail!("the shared memory at {start:#x} cannot be copied");
        }
        let mut piece = Vec::new();
        for from in (start..start + len).step_by(PIECE as usize) {
            piece.resize(usize::try_from(PIECE.min(start + len - from))?, 0);
            // What is seen: where the runtime has it, with the program's own code.
            let n = self.read(from, &mut piece);
            for (at, page) in (from..).step_by(4096).zip(piece[..n].chunks(4096)) {
                if page.iter().any(|&b| b != 0) {
                    self.process.tracee.write(at, page)?;
                }
            }
        }
        Ok(())
    }

    /// Has the process make a system call, from the runtime's code, which may.
    fn inside(&self, number: libc::c_long, args: [u64; 6]) -> Result<u64> {
        let tracee = &self.process.tracee;
        let before = tracee.regs()?;
        let result = tracee.call(self.process.layout().sigreturn, number, args)?;
        tracee.set_regs(before)?;
        Ok(result.cast_unsigned())
    }

    /// The processor's extended registers of the thread that runs: the runtime does not use
    /// them, so they are the program's wherever the process stands.
    pub fn extended(&mut self) -> Result<Xstate> {
        let pid = self.process.pid();
        if self.process.tracee.regs().is_ok() {
            return Xstate::of(pid);
        }
        self.process.tracee.attach()?;
        let found = Xstate::of(pid);
        self.process.tracee.detach()?;
        found
    }
}
