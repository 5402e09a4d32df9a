//! Which registers a sequence works with, and their parts.

use iced_x86::{Code, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

/// How to compare some bytes.
pub struct Part {
    pub size: u32,
    pub load: Code,
    /// The register that is loaded, and the part of it that is compared.
    pub to: Register,
    pub compare: Code,
    pub with: Register,
}

impl Part {
    /// As many of `left` bytes as can be compared at once, through `register`.
    pub fn of(left: u32, register: Register) -> Self {
        let n = register.number();
        let [byte, word, double] = [BYTES[n], Register::AX + n as u32, Register::EAX + n as u32];
        let (size, load, to, compare, with) = match left {
            8.. => (
                8,
                Code::Mov_r64_rm64,
                register,
                Code::Cmp_r64_rm64,
                register,
            ),
            4.. => (4, Code::Mov_r32_rm32, double, Code::Cmp_r32_rm32, double),
            2.. => (2, Code::Movzx_r32_rm16, double, Code::Cmp_r16_rm16, word),
            _ => (1, Code::Movzx_r32_rm8, double, Code::Cmp_r8_rm8, byte),
        };
        Self {
            size,
            load,
            to,
            compare,
            with,
        }
    }
}

/// The lowest bytes of registers, by number.
const BYTES: [Register; 16] = {
    use Register as R;
    [
        R::AL,
        R::CL,
        R::DL,
        R::BL,
        R::SPL,
        R::BPL,
        R::SIL,
        R::DIL,
        R::R8L,
        R::R9L,
        R::R10L,
        R::R11L,
        R::R12L,
        R::R13L,
        R::R14L,
        R::R15L,
    ]
};

/// s1 and s2: registers that `i` does not use. But s1 is best the one that `i`
/// loads, if all of that is overwritten. It can be the base of any `i`: an
/// instruction with `ah` and its like has no bit for `r8` and above.
pub fn scratch(i: &Instruction) -> Option<(Register, Register)> {
    use Register as R;
    const ALL: [Register; 14] = [
        R::RCX,
        R::RDX,
        R::RSI,
        R::RDI,
        R::RBX,
        R::RBP,
        R::R8,
        R::R9,
        R::R10,
        R::R11,
        R::R12,
        R::R13,
        R::R14,
        R::R15,
    ];
    let mut info = InstructionInfoFactory::new();
    let used = info.info(i).used_registers();
    let mut free = ALL
        .into_iter()
        .filter(|&r| used.iter().all(|u| u.register().full_register() != r));
    let loaded = ALL.into_iter().find(|&r| overwrites(i, r));
    Some((loaded.or_else(|| free.next())?, free.next()?))
}

/// Whether `i` gives `register` another value, which does not depend on the one it has.
pub fn overwrites(i: &Instruction, register: Register) -> bool {
    let moves = matches!(
        i.mnemonic(),
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd
    );
    let to = i.op0_register();
    moves
        && i.op0_kind() == OpKind::Register
        && (to.is_gpr32() || to.is_gpr64())
        && to.full_register() == register
}
