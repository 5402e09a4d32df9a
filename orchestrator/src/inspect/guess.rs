//! Callers of code that has no unwinding information: by what the code does to the
//! stack up to where it is, or by the chain of frame pointers. All of it may be wrong;
//! a caller is believed only if it is code.

use super::registers::{KEPT, NAMES, RBP, RIP, RSP, Registers};
use super::unwind::{By, Frame};
use super::{Mapping, Still, mapping, word};
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use std::collections::BTreeMap;

/// Most bytes between a function's start and a place in it.
const FAR: u64 = 16 << 10;
/// Words of the stack that may be the return address.
const DEEP: u64 = 128;
/// Bytes of `call rel32` (Intel SDM volume 2, CALL).
const CALL: u64 = 5;

/// The caller of `frame`, whose function begins at `start`, if that is known.
pub fn caller(
    still: &dyn Still,
    maps: &[Mapping],
    start: Option<u64>,
    frame: &Frame,
) -> Option<Frame> {
    let registers = &frame.registers;
    let by_code = start.and_then(|start| {
        let stack = Stack::at(still, start, registers.pc())?;
        stack.caller(still, maps, registers)
    });
    by_code
        .or_else(|| by_call(still, maps, registers))
        .or_else(|| by_edge(still, maps, frame))
        .or_else(|| by_frame_pointer(still, maps, registers))
        // A function that calls no other may not have touched the stack.
        .or_else(|| returning(still, maps, registers, 0).filter(|_| frame.exact))
}

/// The caller, if its address is `depth` bytes down the stack, and that of code.
pub fn returning(
    still: &dyn Still,
    maps: &[Mapping],
    registers: &Registers,
    depth: u64,
) -> Option<Frame> {
    let at = registers.sp().checked_add(depth)?;
    let rip = word(still, at)?;
    mapping(maps, rip.checked_sub(1)?).filter(|map| map.is_code())?;
    let mut caller = Registers::default();
    for n in KEPT {
        caller.set(n, registers.get(n));
    }
    caller.set(RSP, Some(at.checked_add(8)?));
    caller.set(RIP, Some(rip));
    Some(Frame {
        registers: caller,
        exact: false,
        by: By::Guess,
        trampoline: false,
    })
}

/// The caller whose call goes to a function that has as much on the stack, where the
/// thread is, as is above the return address.
fn by_call(still: &dyn Still, maps: &[Mapping], registers: &Registers) -> Option<Frame> {
    let pc = registers.pc();
    (0..DEEP).find_map(|n| {
        let back = word(still, registers.sp().checked_add(8 * n)?)?;
        let call = back.checked_sub(CALL)?;
        mapping(maps, call).filter(|map| map.is_code())?;
        let instruction = decode(still, call, CALL).into_iter().next()?;
        let start = instruction.near_branch_target();
        let goes_here =
            instruction.code() == Code::Call_rel32_64 && start <= pc && pc - start <= FAR;
        let stack = goes_here.then(|| Stack::at(still, start, pc))??;
        let depth = stack.depth(registers)?;
        (depth == 8 * n).then(|| stack.caller(still, maps, registers))?
    })
}

/// The caller of a function that has not yet set up its frame pointer, or has
/// given it back: before and behind `push %rbp`, and at `ret`.
fn by_edge(still: &dyn Still, maps: &[Mapping], frame: &Frame) -> Option<Frame> {
    const PUSH_RBP: u8 = 0x55;
    let registers = &frame.registers;
    let pc = registers.pc();
    let code = decode(still, pc, 16);
    let mut code = code.iter().filter(|i| i.code() != Code::Endbr64);
    let next = code.next().filter(|_| frame.exact)?;
    let pushes = next.code() == Code::Push_r64 && next.op0_register() == Register::RBP;
    if pushes || next.code() == Code::Retnq {
        return returning(still, maps, registers, 0);
    }
    let mut before = [0];
    if sets_frame_pointer(next)
        && still.read(pc.wrapping_sub(1), &mut before) == 1
        && before == [PUSH_RBP]
    {
        let mut caller = returning(still, maps, registers, 8)?;
        caller.registers.set(RBP, word(still, registers.sp()));
        return Some(caller);
    }
    None
}

fn by_frame_pointer(still: &dyn Still, maps: &[Mapping], registers: &Registers) -> Option<Frame> {
    let rbp = registers.get(RBP)?;
    let depth = rbp.checked_sub(registers.sp())?.checked_add(8)?;
    let mut caller = returning(still, maps, registers, depth)?;
    caller.registers.set(RBP, word(still, rbp));
    Some(caller)
}

fn decode(still: &dyn Still, from: u64, len: u64) -> Vec<Instruction> {
    let mut code = vec![0; len as usize];
    let read = still.read(from, &mut code);
    let decoder = Decoder::with_ip(64, &code[..read], from, DecoderOptions::NONE);
    decoder.into_iter().collect()
}

/// `mov %rsp,%rbp`
fn sets_frame_pointer(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_register() == Register::RBP
        && instruction.op1_register() == Register::RSP
}

/// What a function has put on the stack.
#[derive(Clone, Debug, Default)]
struct Stack {
    /// Bytes above the return address.
    bytes: i64,
    /// How many those were when rbp became the frame pointer, if it is.
    frame_pointer: Option<i64>,
    /// Registers that were pushed, by number: how many bytes there were then.
    saved: BTreeMap<usize, i64>,
}

impl Stack {
    /// Follows a function's instructions from its start to `pc`, in the order in which they
    /// are in memory. Behind one that does not go on, the stack is as before the function
    /// began to clear it: code that is only jumped to mostly belongs to the body.
    fn at(still: &dyn Still, start: u64, pc: u64) -> Option<Self> {
        let len = pc.checked_sub(start).filter(|&len| len <= FAR)?;
        let code = decode(still, start, len);
        if code.last().is_some_and(|last| last.next_ip() != pc) {
            return None;
        }
        let mut stack = Self::default();
        let mut body: Option<Self> = None;
        for instruction in &code {
            let before = stack.clone();
            stack.execute(instruction);
            if stack.bytes < before.bytes && body.is_none() {
                body = Some(before);
            }
            match instruction.flow_control() {
                FlowControl::Return | FlowControl::UnconditionalBranch => {
                    stack = body.take().unwrap_or(stack);
                }
                FlowControl::Call | FlowControl::IndirectCall => body = None,
                _ => {}
            }
        }
        Some(stack)
    }

    fn execute(&mut self, instruction: &Instruction) {
        let number = |register: Register| {
            let name = format!("{register:?}").to_lowercase();
            NAMES.iter().position(|&n| n == name)
        };
        let constant = matches!(
            instruction.op1_kind(),
            OpKind::Immediate8to64 | OpKind::Immediate32to64
        );
        let of_rsp = instruction.op0_register() == Register::RSP && constant;
        match instruction.mnemonic() {
            Mnemonic::Sub if of_rsp => self.bytes += instruction.immediate(1).cast_signed(),
            Mnemonic::Add if of_rsp => self.bytes -= instruction.immediate(1).cast_signed(),
            Mnemonic::Mov if sets_frame_pointer(instruction) => {
                self.frame_pointer = Some(self.bytes);
            }
            Mnemonic::Leave => {
                self.bytes = self.frame_pointer.take().map_or(0, |bytes| bytes - 8);
                self.saved.remove(&RBP);
            }
            Mnemonic::Push => {
                self.bytes += 8;
                if let Some(n) = number(instruction.op0_register()) {
                    self.saved.entry(n).or_insert(self.bytes);
                }
            }
            Mnemonic::Pop => {
                self.bytes -= 8;
                if let Some(n) = number(instruction.op0_register()) {
                    self.saved.remove(&n);
                }
                if instruction.op0_register() == Register::RBP {
                    self.frame_pointer = None;
                }
            }
            _ => {}
        }
    }

    /// How far down the stack the return address is.
    fn depth(&self, registers: &Registers) -> Option<u64> {
        let at = match self.frame_pointer {
            Some(bytes) => registers.get(RBP)?.checked_add_signed(bytes)?,
            None => registers.sp().checked_add_signed(self.bytes)?,
        };
        at.checked_sub(registers.sp())
    }

    fn caller(&self, still: &dyn Still, maps: &[Mapping], registers: &Registers) -> Option<Frame> {
        let depth = self.depth(registers)?;
        let mut caller = returning(still, maps, registers, depth)?;
        let return_address = registers.sp().wrapping_add(depth);
        for n in KEPT {
            if let Some(&bytes) = self.saved.get(&n) {
                let at = return_address.wrapping_add_signed(-bytes);
                caller.registers.set(n, word(still, at));
            }
        }
        Some(caller)
    }
}
