//! From a thread's registers to those of its callers.
//!
//! All registers are followed, not only those that most code needs: glibc's lazy
//! binder keeps its frame by rbx, functions that align their stack by r10. (The crate
//! framehop follows rip, rsp and rbp only.) Where a file says nothing, there is `guess`.

use super::cfi::{Caller, Cfi};
use super::registers::{RBP, RIP, RSP, Registers};
use super::{Mapping, Still, guess, mapping, word};
use orch_abi::record::Regs;
use orch_blame::symbols::Symbols;
use orch_recorder::files::FileId;
use std::collections::HashMap;
use std::rc::Rc;

/// A function that has not returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its registers.
    pub registers: Registers,
    /// Whether it is about to execute what its pc is at; otherwise it called from before it.
    pub exact: bool,
    /// How it was found.
    pub by: By,
    /// Whether this is where a signal handler returns to.
    pub trampoline: bool,
}

/// How a frame was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// It runs.
    Registers,
    /// By unwinding information.
    UnwindInfo,
    /// By what its code does to the stack, or by frame pointers: that may be wrong.
    Guess,
    /// By what the kernel saved when it delivered a signal.
    SignalFrame,
}

/// Why there is no further frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The last one has no caller.
    Outermost,
    /// There may be, but no more were asked for.
    Limit,
    /// It cannot be found.
    Lost(String),
}

/// Finds callers. Keeps what it has read of files.
#[derive(Default)]
pub struct Unwinder {
    files: HashMap<FileId, Rc<Cfi>>,
}

impl Frame {
    /// The address whose code and unwinding information count: a call may be the
    /// last thing that a function does.
    pub fn code(&self) -> u64 {
        let pc = self.registers.pc();
        if self.exact { pc } else { pc.wrapping_sub(1) }
    }
}

impl Unwinder {
    /// The frames of a thread, innermost first, at most `limit`.
    pub fn frames(
        &mut self,
        still: &dyn Still,
        maps: &[Mapping],
        symbols: &mut Symbols,
        regs: &Regs,
        limit: usize,
    ) -> (Vec<Frame>, End) {
        let mut frames = Vec::new();
        let mut frame = Frame {
            registers: Registers::from(regs),
            exact: true,
            by: By::Registers,
            trampoline: false,
        };
        loop {
            if frames.len() >= limit {
                return (frames, End::Limit);
            }
            let trampoline = trampoline(still, &frame);
            frame.trampoline = trampoline.is_some();
            let next = match trampoline {
                Some(uc) => interrupted(still, uc),
                None => self.caller(still, maps, symbols, &frame),
            };
            frames.push(frame);
            match next {
                Ok(next) => frame = next,
                Err(end) => return (frames, end),
            }
        }
    }

    fn caller(
        &mut self,
        still: &dyn Still,
        maps: &[Mapping],
        symbols: &mut Symbols,
        frame: &Frame,
    ) -> Result<Frame, End> {
        let code = frame.code();
        let Some(map) = mapping(maps, code).filter(|map| map.is_code()) else {
            return nowhere(still, maps, frame);
        };
        let read = |addr| word(still, addr);
        let by_file = map.file_at(code).and_then(|(file, offset)| {
            let vaddr = symbols.vaddr(file, offset)?;
            let cfi = self.cfi(symbols, file);
            cfi.caller(vaddr, &frame.registers, &read)
        });
        let Some(Caller {
            registers,
            interrupted,
        }) = by_file
        else {
            return without_information(still, maps, symbols, frame);
        };
        // The ABI for x86-64 (3.4.1): the outermost frame has no return address, or 0.
        if matches!(registers.get(RIP), None | Some(0)) {
            return Err(End::Outermost);
        }
        if !interrupted && registers.sp() <= frame.registers.sp() {
            let why = format!("the caller's stack would end at {:#x}", registers.sp());
            return Err(End::Lost(why));
        }
        Ok(Frame {
            registers,
            exact: interrupted,
            by: By::UnwindInfo,
            trampoline: false,
        })
    }

    fn cfi(&mut self, symbols: &mut Symbols, file: FileId) -> Rc<Cfi> {
        let cfi = self.files.entry(file);
        Rc::clone(cfi.or_insert_with(|| Rc::new(Cfi::read(&symbols.sources(file)))))
    }
}

/// If the frame is where handlers of signals return to, `mov $15,%eax; syscall`
/// (sigreturn(2)): the address of the ucontext, which is on top of the stack then.
fn trampoline(still: &dyn Still, frame: &Frame) -> Option<u64> {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    const MOV_EAX: [u8; 5] = [0xb8, 15, 0, 0, 0];
    const MOV_RAX: [u8; 7] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0];
    let pc = frame.registers.pc();
    let is_at = |mov: &[u8], pc: u64| {
        let mut code = [0; 9];
        let code = &mut code[..mov.len() + 2];
        still.read(pc, code) == code.len() && code.starts_with(mov) && code.ends_with(&SYSCALL)
    };
    let begins = |mov: &[u8]| is_at(mov, pc);
    // The thread may be at the second of the instructions.
    let goes_on = |mov: &[u8]| frame.exact && is_at(mov, pc.wrapping_sub(mov.len() as u64));
    let found = [&MOV_EAX[..], &MOV_RAX[..]]
        .iter()
        .any(|mov| begins(mov) || goes_on(mov));
    found.then(|| frame.registers.sp())
}

/// Offset of the registers in `struct ucontext`: behind flags, link and stack
/// (include/uapi/asm-generic/ucontext.h).
const UC_MCONTEXT: u64 = 40;
/// The registers in the order in which `struct sigcontext` has them, by number.
const SIGCONTEXT: [usize; 17] = [
    8, 9, 10, 11, 12, 13, 14, 15, 5, 4, RBP, 3, 1, 0, 2, RSP, RIP,
];

/// The frame that a signal interrupted.
fn interrupted(still: &dyn Still, ucontext: u64) -> Result<Frame, End> {
    let mut registers = Registers::default();
    for (at, number) in (0..).zip(SIGCONTEXT) {
        let value = word(still, ucontext.wrapping_add(UC_MCONTEXT + 8 * at));
        registers.set(number, value);
    }
    if registers.get(RIP).is_none() {
        let why = format!("the frame of a signal at {ucontext:#x} cannot be read");
        return Err(End::Lost(why));
    }
    Ok(Frame {
        registers,
        exact: true,
        by: By::SignalFrame,
        trampoline: false,
    })
}

/// The caller, if the thread has jumped to where no code is: the return address
/// is still on top of the stack.
fn nowhere(still: &dyn Still, maps: &[Mapping], frame: &Frame) -> Result<Frame, End> {
    let pc = frame.registers.pc();
    if frame.exact
        && let Some(next) = guess::returning(still, maps, &frame.registers, 0)
    {
        return Ok(next);
    }
    Err(End::Lost(format!("there is no code at {pc:#x}")))
}

/// The caller of code that has no unwinding information.
fn without_information(
    still: &dyn Still,
    maps: &[Mapping],
    symbols: &mut Symbols,
    frame: &Frame,
) -> Result<Frame, End> {
    let code = frame.code();
    let start = mapping(maps, code)
        .and_then(|map| map.file_at(code))
        .and_then(|(file, offset)| symbols.symbol(file, offset))
        .map(|symbol| code - symbol.offset);
    if let Some(caller) = guess::caller(still, maps, start, frame) {
        return Ok(caller);
    }
    // The ABI for x86-64 (3.4.1) marks the outermost frame so.
    if frame.registers.get(RBP) == Some(0) {
        return Err(End::Outermost);
    }
    let pc = frame.registers.pc();
    Err(End::Lost(format!(
        "nothing tells how {pc:#x} was called: its file has no unwinding information (gcc \
         -fasynchronous-unwind-tables makes it), and rbp is no frame pointer"
    )))
}
