//! What comes in place of an access.
//!
//! The common case runs straight through: for a load a shared page on which
//! nothing changed, for a store a private page. The rest lies behind the
//! window's code.
//!
//! `rax` is the third scratch register always: flags go through it. It may be
//! one that the instruction uses, because the address is computed before rax
//! gets another value, and it has the program's again before the instruction.

use crate::assembler::{Assembler, Block, Label, at, gs, gs_at};
use crate::operand::{self, Operand};
use crate::registers::{Part, overwrites, scratch};
use core::mem::offset_of;
use iced_x86::{Code, Instruction, MemoryOperand, Register};
use orch_abi::access::{ACCESS_OFFSET, Access, PAGES, Page, Site, kind};

/// `log2` of the bytes of a page.
const PAGE_BITS: u32 = 12;
const ROW_BITS: u32 = size_of::<Page>().ilog2();
const _: () = assert!(1 << ROW_BITS == size_of::<Page>() && PAGES.is_power_of_two());

/// Field of `Access`.
macro_rules! field {
    ($name:ident) => {
        offset_of!(Access, $name)
    };
    (scratch, $n:expr) => {
        offset_of!(Access, scratch) + $n * size_of::<u64>()
    };
}

/// Field of the first of `Access::pages`.
macro_rules! page {
    ($name:ident) => {
        offset_of!(Access, pages) + offset_of!(Page, $name)
    };
}

const RAX: Register = Register::RAX;

/// Code for one access.
pub struct Sequence {
    instruction: Instruction,
    operand: Operand,
    /// Whether the program's flags matter.
    flags: bool,
    number: i32,
    /// Holds the address.
    s1: Register,
    s2: Register,
    /// The instruction behind it.
    next: Label,
    /// A load goes on here once s1 has its address.
    ready: Label,
    perform: Label,
    private: Label,
    other: Label,
    exhausted: Label,
    differ: Label,
    ask: Label,
    done: Label,
}

impl Sequence {
    /// Prepares what stands for `i` as site `number`, before the code at `next`.
    pub fn new(
        asm: &mut Assembler,
        i: &Instruction,
        operand: Operand,
        flags: bool,
        number: i32,
        next: Label,
    ) -> Option<Self> {
        let (s1, s2) = scratch(i)?;
        let mut label = || asm.label();
        Some(Self {
            instruction: *i,
            operand,
            flags,
            number,
            s1,
            s2,
            next,
            ready: label(),
            perform: label(),
            private: label(),
            other: label(),
            exhausted: label(),
            differ: label(),
            ask: label(),
            done: label(),
        })
    }

    /// The site, once the code is at its place.
    pub fn site(&self, block: &Block) -> Site {
        let load = self.operand.kind == kind::LOAD;
        let private = if load { self.perform } else { self.private };
        let number = |r: Register| u8::try_from(r.number()).expect("sixteen registers");
        Site {
            ip: self.instruction.ip(),
            perform: block.address(self.perform),
            perform_private: block.address(private),
            done: if load { 0 } else { block.address(self.done) },
            size: self.operand.size,
            kind: self.operand.kind,
            scratch: [number(self.s1), number(self.s2), number(RAX)],
            value: self.operand.value,
            atomic: self.operand.atomic.into(),
            flags: self.flags.into(),
            reserved: [0; 5],
        }
    }

    /// The part that runs straight through.
    pub fn emit(&self, asm: &mut Assembler) {
        self.save(asm);
        self.look_up(asm);
        if self.operand.kind == kind::LOAD {
            self.compare_page(asm, page!(shared));
            asm.branch(Code::Jne_rel32_64, self.other);
            self.compare_contents(asm);
            asm.put(Instruction::with2(
                Code::Sub_rm64_imm8,
                gs(field!(countdown)),
                1,
            ));
            asm.branch(Code::Js_rel32_64, self.exhausted);
            asm.bind(self.ready);
            self.restore(asm);
            asm.bind(self.perform);
        } else {
            self.compare_page(asm, page!(private));
            asm.branch(Code::Jne_rel32_64, self.ask);
            self.restore(asm);
            asm.bind(self.private);
        }
        self.perform(asm);
        if !overwrites(&self.instruction, self.s1) {
            asm.load(self.s1, field!(scratch, 0));
        }
    }

    /// The part that goes to the runtime.
    pub fn emit_cold(&self, asm: &mut Assembler) {
        if self.operand.kind == kind::LOAD {
            self.load_cold(asm);
        } else {
            self.store_cold(asm);
        }
    }

    fn load_cold(&self, asm: &mut Assembler) {
        asm.bind(self.exhausted);
        let countdown = gs(field!(countdown));
        asm.put(Instruction::with2(Code::Add_rm64_imm8, countdown, 1));
        asm.bind(self.differ);
        if self.single() {
            asm.put(Instruction::with2(Code::Sub_r64_rm64, self.s1, RAX));
            asm.save(field!(address), self.s1);
        }
        asm.jump(self.ask);
        asm.bind(self.other);
        self.compare_page(asm, page!(private));
        asm.branch(Code::Je_rel32_64, self.ready);
        asm.save(field!(address), self.s1);
        asm.bind(self.ask);
        self.ask(asm);
        asm.jump(self.ready);
    }

    fn store_cold(&self, asm: &mut Assembler) {
        let stored = asm.label();
        asm.bind(self.ask);
        asm.save(field!(address), self.s1);
        self.tell_value(asm);
        self.ask(asm);
        self.restore(asm);
        asm.bind(self.perform);
        self.perform(asm);
        asm.address(self.s1, stored);
        asm.save(field!(back), self.s1);
        asm.put(Instruction::with1(Code::Jmp_rm64, gs(field!(after))));
        asm.bind(self.done);
        self.restore(asm);
        asm.bind(stored);
        asm.load(self.s1, field!(scratch, 0));
        asm.jump(self.next);
    }

    /// Scratch registers and flags go to `Access`; s1 becomes the address.
    fn save(&self, asm: &mut Assembler) {
        let i = &self.instruction;
        asm.save(field!(scratch, 0), self.s1);
        asm.save(field!(scratch, 1), self.s2);
        asm.save(field!(scratch, 2), RAX);
        let operand = MemoryOperand::new(
            i.memory_base(),
            i.memory_index(),
            i.memory_index_scale(),
            i.memory_displacement64().cast_signed(),
            i.memory_displ_size(),
            false,
            Register::None,
        );
        asm.put(Instruction::with2(Code::Lea_r64_m, self.s1, operand));
        if self.flags {
            asm.put(Ok(Instruction::with(Code::Lahf)));
            asm.put(Instruction::with1(Code::Seto_rm8, Register::AL));
            asm.save(field!(flags), RAX);
        }
    }

    /// s2 becomes the number of the page with the last byte, rax the row of the
    /// one with the first. If they are two pages, no row compares equal: its
    /// own page number has the row's index in its low bits, and s2 has another.
    fn look_up(&self, asm: &mut Assembler) {
        let last = self.operand.size - 1;
        asm.put(Instruction::with2(
            Code::Lea_r64_m,
            self.s2,
            at(self.s1, last),
        ));
        asm.put(Instruction::with2(Code::Shr_rm64_imm8, self.s2, PAGE_BITS));
        asm.put(Instruction::with2(Code::Mov_r64_rm64, RAX, self.s1));
        let shift = PAGE_BITS - ROW_BITS;
        asm.put(Instruction::with2(Code::Shr_rm64_imm8, RAX, shift));
        let mask = (PAGES as u32 - 1) << ROW_BITS;
        asm.put(Instruction::with2(Code::And_EAX_imm32, Register::EAX, mask));
    }

    /// Compares the row's entry with the page.
    fn compare_page(&self, asm: &mut Assembler, entry: usize) {
        asm.put(Instruction::with2(
            Code::Cmp_rm64_r64,
            gs_at(RAX, entry),
            self.s2,
        ));
    }

    /// Asks if alias and copy differ; s1 becomes the address in the copy.
    fn compare_contents(&self, asm: &mut Assembler) {
        if !self.single() {
            asm.save(field!(address), self.s1);
        }
        asm.load_at(self.s2, RAX, page!(alias));
        asm.load_at(RAX, RAX, page!(copy));
        if self.single() {
            let part = Part::of(self.operand.size, self.s2);
            let place = MemoryOperand::with_base_index(self.s1, self.s2);
            asm.put(Instruction::with2(part.load, part.to, place));
            asm.put(Instruction::with2(Code::Add_r64_rm64, self.s1, RAX));
            self.compare_part(asm, &part, 0);
            return;
        }
        asm.put(Instruction::with2(Code::Add_r64_rm64, self.s2, self.s1));
        asm.put(Instruction::with2(Code::Add_r64_rm64, self.s1, RAX));
        let mut offset = 0;
        while offset < self.operand.size {
            let part = Part::of(self.operand.size - offset, RAX);
            let place = at(self.s2, offset);
            asm.put(Instruction::with2(part.load, part.to, place));
            self.compare_part(asm, &part, offset);
            offset += part.size;
        }
    }

    fn compare_part(&self, asm: &mut Assembler, part: &Part, offset: u32) {
        let place = at(self.s1, offset);
        asm.put(Instruction::with2(part.compare, part.with, place));
        asm.branch(Code::Jne_rel32_64, self.differ);
    }

    /// Whether alias and copy are compared at once; rax then still has what was
    /// added to the address.
    fn single(&self) -> bool {
        self.operand.size.is_power_of_two() && self.operand.size <= 8
    }

    /// All but s1 as the program has it.
    fn restore(&self, asm: &mut Assembler) {
        if self.flags {
            asm.load(RAX, field!(flags));
            // Overflows if seto stored 1, and leaves ah to sahf.
            asm.put(Instruction::with2(Code::Add_AL_imm8, Register::AL, 127));
            asm.put(Ok(Instruction::with(Code::Sahf)));
        }
        asm.load(RAX, field!(scratch, 2));
        asm.load(self.s2, field!(scratch, 1));
    }

    /// The instruction itself, at s1.
    fn perform(&self, asm: &mut Assembler) {
        let mut i = operand::with_modrm(&self.instruction);
        i.set_memory_base(self.s1);
        i.set_memory_index(Register::None);
        i.set_memory_index_scale(1);
        i.set_memory_displacement64(0);
        i.set_memory_displ_size(0);
        i.set_segment_prefix(Register::None);
        asm.put(Ok(i));
    }

    /// What a plain store stores goes to `Access`: the move itself, to there.
    fn tell_value(&self, asm: &mut Assembler) {
        let Some((mut i, _)) = operand::value_move(&self.instruction) else {
            return;
        };
        if i.op1_register().full_register() == RAX {
            asm.load(RAX, field!(scratch, 2));
        }
        i.set_memory_base(Register::None);
        i.set_memory_index(Register::None);
        i.set_memory_index_scale(1);
        i.set_memory_displacement64((ACCESS_OFFSET + field!(value)) as u64);
        i.set_memory_displ_size(8);
        i.set_segment_prefix(Register::GS);
        asm.put(Ok(i));
    }

    /// Goes to the runtime and comes back with the address in s1.
    fn ask(&self, asm: &mut Assembler) {
        let back = asm.label();
        asm.put(Instruction::with2(
            Code::Mov_rm64_imm32,
            gs(field!(site)),
            self.number,
        ));
        asm.address(self.s2, back);
        asm.save(field!(back), self.s2);
        asm.put(Instruction::with1(Code::Jmp_rm64, gs(field!(before))));
        asm.bind(back);
        asm.load(self.s1, field!(address));
    }
}
