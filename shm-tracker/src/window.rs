//! How many instructions a stub stands for.

use crate::operand::{self, Operand};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};
use orch_abi::window::{Flow, JUMP, decode};

/// Instructions of the program that go into one stub.
pub struct Window {
    /// They follow one another.
    pub instructions: Vec<Instruction>,
    /// Index of the one that accessed shared memory.
    asked: usize,
    /// Whether they leave room for a jump and may be displaced.
    pub patch: bool,
    /// Bytes behind them that are never executed.
    padding: usize,
}

impl Window {
    /// The window that begins with `code` at `ip` and has room for a jump, with the
    /// instruction at `asked`. `None` if there is none that can be displaced.
    pub fn find(code: &[u8], ip: u64, asked: u64) -> Option<Self> {
        let mut decoder = Decoder::with_ip(64, code, ip, DecoderOptions::NONE);
        let mut w = Self {
            instructions: Vec::new(),
            asked: 0,
            patch: true,
            padding: 0,
        };
        while w.len() < JUMP || w.instructions.last().is_none_or(|i| i.ip() < asked) {
            if !decoder.can_decode() {
                return None;
            }
            let i = decoder.decode();
            let at = w.len();
            if i.ip() == asked {
                w.asked = w.instructions.len();
            }
            w.instructions.push(i);
            if goes_away(&i) {
                let end = w.end();
                w.padding = padding(&mut decoder, JUMP.saturating_sub(w.len()));
                if i.near_branch_target().wrapping_sub(end) < w.padding as u64 {
                    w.padding = 0;
                }
            }
            let last = w.len() >= JUMP && i.ip() >= asked;
            if i.ip() != asked && !movable(&i, &code[at..], last) {
                return None;
            }
        }
        operand::operand(&w.instructions[w.asked])
            .filter(|_| w.instructions[w.asked].ip() == asked)?;
        // What reads the window itself must find it unpatched.
        let reads_itself = w.instructions.iter().any(|i| {
            let ahead = i.ip_rel_memory_address().wrapping_add(64).wrapping_sub(ip);
            i.is_ip_rel_memory_operand() && ahead < 64 + w.len() as u64
        });
        (!reads_itself).then_some(w)
    }

    /// The instruction that `code` at `ip` begins with, not to be replaced by a jump.
    pub fn alone(code: &[u8], ip: u64) -> Option<Self> {
        let i = Decoder::with_ip(64, code, ip, DecoderOptions::NONE).decode();
        operand::operand(&i)?;
        Some(Self {
            instructions: vec![i],
            asked: 0,
            patch: false,
            padding: 0,
        })
    }

    /// Whether a branch to `target` comes into the middle of it.
    pub fn has_inside(&self, target: u64) -> bool {
        self.ip() < target && target < self.end()
    }

    /// What the stub does about instruction `n`, if it is an access.
    pub fn access(&self, n: usize) -> Option<Operand> {
        let i = &self.instructions[n];
        // The others are in the window because they are near, and a frame is hardly shared.
        let frame = n != self.asked && operand::in_frame(i);
        operand::operand(i).filter(|_| !frame)
    }

    /// Address of the first instruction.
    pub fn ip(&self) -> u64 {
        self.instructions[0].ip()
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        let instructions = self.instructions.iter();
        instructions.map(Instruction::len).sum::<usize>() + self.padding
    }

    /// Address behind the last instruction.
    pub fn end(&self) -> u64 {
        self.ip() + self.len() as u64
    }

    /// Which instruction but the first is at `address`. Branches to the first
    /// one go to its own place: they come to the stub by the jump there.
    pub fn index(&self, address: u64) -> Option<usize> {
        (1..self.instructions.len()).find(|&n| self.instructions[n].ip() == address)
    }
}

/// Whether `i`, the first of `code`, does the same elsewhere.
fn movable(i: &Instruction, code: &[u8], last: bool) -> bool {
    let Some(own) = decode(code) else {
        return false;
    };
    let moves = match i.flow_control() {
        FlowControl::Next | FlowControl::ConditionalBranch => own.flow != Flow::Fixed,
        _ if goes_away(i) => last && own.flow != Flow::Fixed,
        // What it pushes is the address behind it in the program.
        FlowControl::Call => last && i.is_call_near(),
        FlowControl::IndirectCall => {
            last && i.is_call_near_indirect() && i.memory_base() != Register::RSP
        }
        _ => false,
    };
    moves && own.len == i.len()
}

/// Whether `i` never goes on to the next instruction.
fn goes_away(i: &Instruction) -> bool {
    matches!(
        i.flow_control(),
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return
    )
}

/// At least `needed` bytes of what compilers put behind a function's end to align
/// the next one, or 0.
fn padding(decoder: &mut Decoder<'_>, needed: usize) -> usize {
    let mut len = 0;
    while len < needed {
        let i = decoder.decode();
        if !matches!(i.mnemonic(), Mnemonic::Nop | Mnemonic::Int3) {
            return 0;
        }
        len += i.len();
    }
    len
}
