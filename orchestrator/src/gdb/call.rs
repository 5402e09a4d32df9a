//! `print f(x)`: functions of the program, called on a process that is thrown away
//! (`travel/scratch.rs`).
//!
//! gdb writes code to return to onto the stack, then arguments; it sets a breakpoint there, and
//! continues; then it gives the registers back. The process stays until the next motion: what the function
//! returned may be in its memory.

use super::arch::{AllRegisters, Extended};
use super::registers::Register;
use super::target::{Motion, Target, stepped};
use crate::travel::Ran;
use anyhow::{Result, bail};
use gdbstub::common::{Signal, Tid};
use gdbstub::stub::{BaseStopReason, MultiThreadStopReason};
use nix::sys::signal::Signal as Killer;
use orch_abi::record::Regs;

/// So far below the stack pointer gdb may write: with a breakpoint there, to which the
/// function returns, a call begins (gdb, `call_function_by_hand_dummy`).
const BELOW: u64 = 1 << 20;

/// The process is one to be thrown away.
#[derive(Debug)]
pub struct Call {
    /// Its general registers before.
    before: Regs,
    /// A function is under way.
    started: bool,
    /// It cannot go on.
    over: bool,
}

impl Target {
    /// Memory is written by the debugger.
    pub(super) fn write_memory(&mut self, addr: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            // gdb asks whether it may.
            return Ok(());
        }
        if self.call.is_none() {
            let sp = self.travel.regs()?.rsp;
            let end = addr.saturating_add(bytes.len() as u64);
            if self.is_search() || addr < sp.saturating_sub(BELOW) || end > sp {
                bail!("a recording's memory cannot be changed");
            }
            self.begin_call()?;
        }
        self.travel.write_scratch(addr, bytes)
    }

    /// A register is written by the debugger.
    pub(super) fn write_one(&mut self, register: Register, value: &[u8], id: Tid) -> Result<()> {
        let Some(mut all) = self.all_registers(id)? else {
            bail!("there is no such thread");
        };
        let before = all.clone();
        if all.set(register, value).is_none() {
            bail!("{register:?} of a recording cannot be changed");
        }
        if all == before {
            return Ok(());
        }
        if self.call.is_none() {
            bail!("a recording's registers cannot be changed");
        }
        if self.current()? != id {
            bail!("only the thread that runs can call functions");
        }
        if all.extended == before.extended {
            self.travel.set_scratch_regs(&Regs::from(&all))?;
        } else if let Some(extended) = &all.extended {
            let mut state = self.travel.extended()?;
            extended.put(&mut state);
            self.travel.set_scratch_extended(state)?;
        }
        self.given_back()
    }

    fn begin_call(&mut self) -> Result<()> {
        let before = self.travel.regs()?;
        if let Err(e) = self.travel.begin_scratch() {
            self.travel.end_scratch()?;
            return Err(e);
        }
        self.call = Some(Call {
            before,
            started: false,
            over: false,
        });
        Ok(())
    }

    /// Whether the function is done with: gdb has given the registers back.
    fn given_back(&mut self) -> Result<()> {
        let now = self.travel.regs()?;
        let Some(call) = &mut self.call else {
            return Ok(());
        };
        if call.started && call.before == now {
            call.started = false;
            if call.over {
                // What it has done until then is of no use to anybody.
                self.leave_call()?;
            }
        }
        Ok(())
    }

    /// Whether a function is being called.
    pub(super) fn is_calling(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.started)
    }

    /// Back to the recording, exactly where it was.
    pub(super) fn leave_call(&mut self) -> Result<()> {
        match self.call.take() {
            Some(_) => self.travel.end_scratch(),
            None => Ok(()),
        }
    }

    /// Moves on where a function is called; `None` if the recording is to move.
    pub(super) fn go_in_call(&mut self) -> Result<Option<MultiThreadStopReason<u64>>> {
        let Some(call) = &self.call else {
            return Ok(None);
        };
        let (over, started, before) = (call.over, call.started, call.before);
        let back = matches!(self.motion, Motion::RunBack | Motion::StepBack(_));
        if over || back || !started && !self.is_called(&before)? {
            if started || self.travel.regs()? != before {
                eprintln!("orch: a recording cannot be changed: back to where it was");
            }
            self.leave_call()?;
            return Ok(None);
        }
        if let Some(call) = &mut self.call {
            call.started = true;
        }
        let thread = self.current()?;
        let breakpoints: Vec<u64> = self.breakpoints.keys().copied().collect();
        let range = match self.motion {
            Motion::Range(_, from, to) => from..to,
            _ => 0..0,
        };
        let one = self.motion != Motion::Run;
        loop {
            let ran = match self.travel.run_scratch(&breakpoints, one) {
                Ok(ran) => ran,
                Err(e) => {
                    eprintln!("orch: the call was abandoned: {e:#}");
                    self.leave_call()?;
                    let (tid, signal) = (thread, Signal::SIGABRT);
                    return Ok(Some(BaseStopReason::SignalWithThread { tid, signal }));
                }
            };
            let ip = self.travel.regs()?.rip;
            let goes_on = range.contains(&ip) && !self.breakpoints.contains_key(&ip);
            if ran == Ran::Stepped && goes_on {
                continue;
            }
            return Ok(Some(self.came_to(ran, thread)));
        }
    }

    /// Whether a function is about to be called: its stack is ready, and where it returns to
    /// is a breakpoint.
    fn is_called(&self, before: &Regs) -> Result<bool> {
        let now = self.travel.regs()?;
        let mut back = [0; 8];
        let read = self.travel.read(now.rsp, &mut back) == back.len();
        let back = u64::from_le_bytes(back);
        Ok(now.rsp < before.rsp && read && self.breakpoints.contains_key(&back))
    }

    fn came_to(&mut self, ran: Ran, tid: Tid) -> MultiThreadStopReason<u64> {
        let signal = match ran {
            Ran::Breakpoint => return BaseStopReason::SwBreak(tid),
            Ran::Stepped => return stepped(tid),
            Ran::Interrupted => Signal::SIGINT,
            Ran::Syscall(number) => {
                let name = u16::try_from(number)
                    .map_or_else(|_| number.to_string(), orch_recorder::print::name);
                self.give_up(&format!("the system call {name}"));
                Signal::SIGSYS
            }
            Ran::Recorded(instruction) => {
                let name = format!("{instruction:?}").to_lowercase();
                self.give_up(&format!("the result of the instruction {name}"));
                Signal::SIGSEGV
            }
            Ran::Signal(signal) => {
                if let Some(call) = &mut self.call {
                    call.over = true;
                }
                match signal {
                    Killer::SIGSEGV => Signal::SIGSEGV,
                    Killer::SIGBUS => Signal::SIGBUS,
                    Killer::SIGFPE => Signal::SIGFPE,
                    Killer::SIGILL => Signal::SIGILL,
                    _ => Signal::SIGTRAP,
                }
            }
        };
        BaseStopReason::SignalWithThread { tid, signal }
    }

    fn give_up(&mut self, what: &str) {
        eprintln!(
            "orch: the call was abandoned: it needs {what}, which a copy of a recorded process \
             cannot have"
        );
        if let Some(call) = &mut self.call {
            call.over = true;
        }
    }

    /// What is known of a thread's registers; `None` if there is no such thread.
    pub(super) fn all_registers(&mut self, id: Tid) -> Result<Option<AllRegisters>> {
        let threads = self.travel.threads()?;
        let found = threads
            .into_iter()
            .find(|t| super::target::tid(t.tid) == id);
        let Some(thread) = found else {
            return Ok(None);
        };
        let mut all = AllRegisters::from(&thread.regs);
        all.fs_base = thread.fs_base;
        if thread.running {
            // Of those that wait, the runtime has kept them.
            all.extended = self.travel.extended().ok().map(|s| Extended::from(&s));
        }
        Ok(Some(all))
    }
}
