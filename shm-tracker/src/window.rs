//! How many instructions a stub stands for.

use crate::operand::{self, Operand};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};
use orch_abi::window::{Flow, JUMP, decode};

/// Instructions of the program that go into one stub.
pub struct Window {
    /// They follow one another.
    pub instructions: Vec<Instruction>,
    /// Whether they leave room for a jump and may be displaced.
    pub patch: bool,
    /// Bytes behind them that are never executed.
    padding: usize,
}

impl Window {
    /// The window that begins with `code` at `ip`, if a stub can do its first instruction.
    pub fn find(code: &[u8], ip: u64) -> Option<Self> {
        let mut decoder = Decoder::with_ip(64, code, ip, DecoderOptions::NONE);
        let first = decoder.decode();
        operand::operand(&first)?;
        let mut w = Self {
            instructions: vec![first],
            patch: true,
            padding: 0,
        };
        while w.len() < JUMP {
            if !decoder.can_decode() {
                return Some(w.first_only());
            }
            let i = decoder.decode();
            let at = w.len();
            w.instructions.push(i);
            if goes_away(&i) {
                let end = w.end();
                w.padding = padding(&mut decoder, JUMP.saturating_sub(w.len()));
                if i.near_branch_target().wrapping_sub(end) < w.padding as u64 {
                    w.padding = 0;
                }
            }
            if !movable(&i, &code[at..], w.len() >= JUMP) {
                return Some(w.first_only());
            }
        }
        // What reads the window itself must find it unpatched.
        w.patch = !w.instructions.iter().any(|i| {
            i.is_ip_rel_memory_operand()
                && i.ip_rel_memory_address().wrapping_add(64).wrapping_sub(ip) < 64 + w.len() as u64
        });
        Some(if w.patch { w } else { w.first_only() })
    }

    /// The first instruction only, which cannot be replaced by a jump.
    pub fn first_only(&self) -> Self {
        Self {
            instructions: self.instructions[..1].to_vec(),
            patch: false,
            padding: 0,
        }
    }

    /// What the stub does about instruction `n`, if it is an access.
    pub fn access(&self, n: usize) -> Option<Operand> {
        let i = &self.instructions[n];
        // What follows is in the window because it is near, and a frame is hardly shared.
        let frame = n > 0 && operand::in_frame(i);
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
