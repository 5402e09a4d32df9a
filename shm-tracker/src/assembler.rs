//! Instructions with labels, and the fields of a thread's `Access` as operands.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, FlowControl, IcedError, Instruction, InstructionBlock,
    MemoryOperand, Register,
};
use orch_abi::access::ACCESS_OFFSET;

/// A place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Labels and instructions have addresses, until they have their true ones,
/// that no program's code or data has: they are not canonical.
const LABELS: u64 = 1 << 62;
const INSTRUCTIONS: u64 = 1 << 63;

/// Code that is being written.
#[derive(Default)]
pub struct Assembler {
    instructions: Vec<Instruction>,
    /// Index of the instruction that each label is at.
    labels: Vec<usize>,
    failed: bool,
}

/// Code that is done.
pub struct Block {
    pub code: Vec<u8>,
    labels: Vec<Option<u64>>,
}

impl Block {
    /// Where a label came to be.
    pub fn address(&self, label: Label) -> u64 {
        self.labels[label.0].expect("a label that is used is somewhere")
    }
}

impl Assembler {
    /// A new label, to be bound once.
    pub fn label(&mut self) -> Label {
        self.labels.push(usize::MAX);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub fn bind(&mut self, label: Label) {
        assert_eq!(self.labels[label.0], usize::MAX, "a label is at one place");
        self.labels[label.0] = self.instructions.len();
    }

    /// An instruction, or the encoder's refusal, which [`Self::finish`] reports.
    pub fn put(&mut self, i: Result<Instruction, IcedError>) {
        match i {
            Ok(mut i) => {
                i.set_ip(INSTRUCTIONS + self.instructions.len() as u64);
                self.instructions.push(i);
            }
            Err(_) => self.failed = true,
        }
    }

    /// An instruction of the program; `within` has the labels of targets in its window.
    pub fn moved(&mut self, i: &Instruction, within: impl Fn(u64) -> Option<Label>) {
        let mut i = *i;
        let branch = matches!(
            i.flow_control(),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
        );
        if branch && let Some(label) = within(i.near_branch_target()) {
            i.set_near_branch64(target(label));
        }
        self.put(Ok(i));
    }

    /// A call of the program. What it pushes is the address behind it there, so
    /// that whoever walks the stack finds the program's code; nothing has
    /// changed yet if the stack has no room.
    pub fn call(&mut self, i: &Instruction) {
        let top = |offset: i64| {
            let none = Register::None;
            MemoryOperand::new(Register::RSP, none, 1, offset, 1, false, none)
        };
        let behind = i.next_ip();
        for (offset, half) in [(-8, behind as u32), (-4, (behind >> 32) as u32)] {
            self.put(Instruction::with2(
                Code::Mov_rm32_imm32,
                top(offset),
                half.cast_signed(),
            ));
        }
        self.put(Instruction::with2(Code::Lea_r64_m, Register::RSP, top(-8)));
        if i.is_call_near() {
            self.jump_to(i.near_branch_target());
        } else {
            let mut jump = *i;
            jump.set_code(Code::Jmp_rm64);
            self.put(Ok(jump));
        }
    }

    pub fn branch(&mut self, code: Code, label: Label) {
        self.put(Instruction::with_branch(code, target(label)));
    }

    pub fn jump(&mut self, label: Label) {
        self.branch(Code::Jmp_rel32_64, label);
    }

    /// A jump to the program.
    pub fn jump_to(&mut self, address: u64) {
        self.put(Instruction::with_branch(Code::Jmp_rel32_64, address));
    }

    /// `lea register,[rip + label]`
    pub fn address(&mut self, register: Register, label: Label) {
        let place = MemoryOperand::with_base_displ(Register::RIP, target(label).cast_signed());
        self.put(Instruction::with2(Code::Lea_r64_m, register, place));
    }

    /// `mov gs:[field],register`
    pub fn save(&mut self, field: usize, register: Register) {
        self.put(Instruction::with2(Code::Mov_rm64_r64, gs(field), register));
    }

    /// `mov register,gs:[field]`
    pub fn load(&mut self, register: Register, field: usize) {
        self.put(Instruction::with2(Code::Mov_r64_rm64, register, gs(field)));
    }

    /// `mov register,gs:[row + field]`
    pub fn load_at(&mut self, register: Register, row: Register, field: usize) {
        let operand = gs_at(row, field);
        self.put(Instruction::with2(Code::Mov_r64_rm64, register, operand));
    }

    /// The code as it is at `at`, if everything that it points to is in reach there.
    pub fn finish(mut self, at: u64) -> Option<Block> {
        if self.failed {
            return None;
        }
        for i in &mut self.instructions {
            let real = |target: u64| {
                let n = target.checked_sub(LABELS)?;
                let index = self.labels.get(usize::try_from(n).ok()?)?;
                Some(INSTRUCTIONS + *index as u64)
            };
            if i.is_ip_rel_memory_operand() {
                if let Some(address) = real(i.memory_displacement64()) {
                    i.set_memory_displacement64(address);
                }
            } else if (i.is_jcc_short_or_near() || i.is_jmp_short_or_near())
                && let Some(address) = real(i.near_branch_target())
            {
                i.set_near_branch64(address);
            }
        }
        let block = InstructionBlock::new(&self.instructions, at);
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let encoded = BlockEncoder::encode(64, block, options).ok()?;
        let offsets = encoded.new_instruction_offsets;
        // What was rewritten as several instructions because its target is far.
        if offsets.contains(&u32::MAX) {
            return None;
        }
        let place = |&n: &usize| offsets.get(n).map(|&offset| at + u64::from(offset));
        Some(Block {
            labels: self.labels.iter().map(place).collect(),
            code: encoded.code_buffer,
        })
    }
}

fn target(label: Label) -> u64 {
    LABELS + label.0 as u64
}

/// A field of `Access`.
pub fn gs(field: usize) -> MemoryOperand {
    gs_at(Register::None, field)
}

/// A field of `Access` that is `register` further on.
pub fn gs_at(register: Register, field: usize) -> MemoryOperand {
    let offset = i64::try_from(ACCESS_OFFSET + field).expect("Access is small");
    MemoryOperand::new(register, Register::None, 1, offset, 8, false, Register::GS)
}

/// `[register + offset]`
pub fn at(register: Register, offset: u32) -> MemoryOperand {
    let size = u32::from(offset != 0);
    let none = Register::None;
    MemoryOperand::new(register, none, 1, i64::from(offset), size, false, none)
}
