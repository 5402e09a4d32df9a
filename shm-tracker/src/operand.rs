//! What an instruction does to its memory operand.

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};
use orch_abi::access::kind;

/// Most bytes that a stub's access has.
const MAX_SIZE: usize = 64;

/// An explicit memory operand that a stub can reach elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// One of [`kind`].
    pub kind: u8,
    /// Bytes. Masked accesses have all, though they may touch fewer.
    pub size: u32,
    /// Whether it stores a register or an immediate as it is ([`orch_abi::access::Site::value`]).
    pub value: u8,
    /// Whether it is atomic for others.
    pub atomic: bool,
}

/// The memory operand of `i`, if it is one that a stub can do.
pub fn operand(i: &Instruction) -> Option<Operand> {
    let explicit = (0..i.op_count()).filter(|&n| i.op_kind(n) == OpKind::Memory);
    let [n] = explicit.collect::<Vec<_>>()[..] else {
        return None;
    };
    let size = i.memory_size().size();
    if i.flow_control() != FlowControl::Next
        || i.is_privileged()
        || !(1..=MAX_SIZE).contains(&size)
        || !plain_address(i)
        || refused(i)
    {
        return None;
    }
    let mut info = InstructionInfoFactory::new();
    let kind = match info.info(i).op_access(n) {
        OpAccess::Read | OpAccess::CondRead => kind::LOAD,
        OpAccess::Write if !masked(i) => kind::STORE,
        OpAccess::ReadWrite if !masked(i) => kind::EXCHANGE,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
            kind::UPDATE
        }
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    Some(Operand {
        kind,
        size: u32::try_from(size).ok()?,
        value: value_move(i).map_or(0, |(_, aligned)| 1 + u8::from(aligned)),
        atomic: i.has_lock_prefix() || i.mnemonic() == Mnemonic::Xchg,
    })
}

/// Whether a store may leave some of its bytes as they are.
fn masked(i: &Instruction) -> bool {
    use Mnemonic as M;
    let moves = [M::Vmaskmovps, M::Vmaskmovpd, M::Vpmaskmovd, M::Vpmaskmovq];
    i.has_op_mask() || moves.contains(&i.mnemonic())
}

/// Whether the operand is in the frame of a function: `rbp` is any register in optimised code.
pub fn in_frame(i: &Instruction) -> bool {
    i.memory_base() == Register::RSP
}

/// Whether the address is one that `lea` computes with 64 bits, in a flat segment.
fn plain_address(i: &Instruction) -> bool {
    let (base, index) = (i.memory_base(), i.memory_index());
    let short = base.is_gpr32()
        || index.is_gpr32()
        || base == Register::EIP
        || base == Register::None && index == Register::None && i.memory_displ_size() != 8;
    let flat = !matches!(i.segment_prefix(), Register::FS | Register::GS);
    flat && !short && !i.is_vsib()
}

/// Instructions whose one memory operand is not all there is to say.
fn refused(i: &Instruction) -> bool {
    use Mnemonic as M;
    match i.mnemonic() {
        // A register's bits reach beyond the operand.
        M::Bt | M::Btc | M::Btr | M::Bts => i.op1_kind() == OpKind::Register,
        // The address is computed with rsp as it is after the pop.
        M::Pop => i.memory_base() == Register::RSP || i.memory_index() == Register::RSP,
        // GS is ours.
        M::Mov => i.op0_kind() == OpKind::Register && i.op0_register().is_segment_register(),
        M::Lds | M::Les | M::Lfs | M::Lgs | M::Lss => true,
        M::Xlatb | M::Enqcmd | M::Enqcmds | M::Movdir64b | M::Ldtilecfg | M::Sttilecfg => true,
        M::Wrssd | M::Wrssq | M::Wrussd | M::Wrussq | M::Rstorssp | M::Clrssbsy => true,
        M::Fldenv | M::Fnstenv | M::Fstenv | M::Bndmov | M::Bndmk | M::Ptwrite => true,
        M::Clflush | M::Clflushopt | M::Clwb | M::Cldemote => true,
        M::Sgdt | M::Sidt | M::Sldt | M::Str | M::Smsw | M::Xbegin => true,
        _ => false,
    }
}

/// The same move with ModRM and without a demand for alignment, if all that `i` does is
/// to store a register or an immediate; and whether `i` has that demand.
pub fn value_move(i: &Instruction) -> Option<(Instruction, bool)> {
    if masked(i) {
        return None;
    }
    let unaligned = general_move(i.code()).or_else(|| vector_move(i.code()));
    let (code, aligned) = match unaligned {
        Some(code) => (code, false),
        None => (aligned_move(i.code())?, true),
    };
    let mut moved = *i;
    moved.set_code(code);
    moved.set_has_xrelease_prefix(false);
    Some((moved, aligned))
}

fn general_move(code: Code) -> Option<Code> {
    Some(match code {
        c @ (Code::Mov_rm8_r8
        | Code::Mov_rm16_r16
        | Code::Mov_rm32_r32
        | Code::Mov_rm64_r64
        | Code::Mov_rm8_imm8
        | Code::Mov_rm16_imm16
        | Code::Mov_rm32_imm32
        | Code::Mov_rm64_imm32) => c,
        Code::Movnti_m32_r32 => Code::Mov_rm32_r32,
        Code::Movnti_m64_r64 => Code::Mov_rm64_r64,
        Code::Mov_moffs8_AL => Code::Mov_rm8_r8,
        Code::Mov_moffs16_AX => Code::Mov_rm16_r16,
        Code::Mov_moffs32_EAX => Code::Mov_rm32_r32,
        Code::Mov_moffs64_RAX => Code::Mov_rm64_r64,
        _ => return None,
    })
}

fn vector_move(code: Code) -> Option<Code> {
    use Code as C;
    let moves = [
        C::Movss_xmmm32_xmm,
        C::Movsd_xmmm64_xmm,
        C::Movd_rm32_xmm,
        C::Movq_rm64_xmm,
        C::Movq_xmmm64_xmm,
        C::Movlps_m64_xmm,
        C::Movhps_m64_xmm,
        C::Movups_xmmm128_xmm,
        C::Movupd_xmmm128_xmm,
        C::Movdqu_xmmm128_xmm,
        C::VEX_Vmovss_m32_xmm,
        C::VEX_Vmovsd_m64_xmm,
        C::VEX_Vmovd_rm32_xmm,
        C::VEX_Vmovq_rm64_xmm,
        C::VEX_Vmovq_xmmm64_xmm,
        C::VEX_Vmovups_xmmm128_xmm,
        C::VEX_Vmovups_ymmm256_ymm,
        C::VEX_Vmovupd_xmmm128_xmm,
        C::VEX_Vmovupd_ymmm256_ymm,
        C::VEX_Vmovdqu_xmmm128_xmm,
        C::VEX_Vmovdqu_ymmm256_ymm,
        C::EVEX_Vmovups_xmmm128_k1z_xmm,
        C::EVEX_Vmovups_ymmm256_k1z_ymm,
        C::EVEX_Vmovups_zmmm512_k1z_zmm,
        C::EVEX_Vmovdqu32_xmmm128_k1z_xmm,
        C::EVEX_Vmovdqu32_ymmm256_k1z_ymm,
        C::EVEX_Vmovdqu32_zmmm512_k1z_zmm,
        C::EVEX_Vmovdqu64_xmmm128_k1z_xmm,
        C::EVEX_Vmovdqu64_ymmm256_k1z_ymm,
        C::EVEX_Vmovdqu64_zmmm512_k1z_zmm,
    ];
    moves.contains(&code).then_some(code)
}

/// The unaligned one of a move that faults where its operand is not aligned.
fn aligned_move(code: Code) -> Option<Code> {
    use Code as C;
    Some(match code {
        C::Movaps_xmmm128_xmm
        | C::Movapd_xmmm128_xmm
        | C::Movdqa_xmmm128_xmm
        | C::Movntps_m128_xmm
        | C::Movntpd_m128_xmm
        | C::Movntdq_m128_xmm => C::Movups_xmmm128_xmm,
        C::VEX_Vmovaps_xmmm128_xmm
        | C::VEX_Vmovapd_xmmm128_xmm
        | C::VEX_Vmovdqa_xmmm128_xmm
        | C::VEX_Vmovntps_m128_xmm
        | C::VEX_Vmovntpd_m128_xmm
        | C::VEX_Vmovntdq_m128_xmm => C::VEX_Vmovups_xmmm128_xmm,
        C::VEX_Vmovaps_ymmm256_ymm
        | C::VEX_Vmovapd_ymmm256_ymm
        | C::VEX_Vmovdqa_ymmm256_ymm
        | C::VEX_Vmovntps_m256_ymm
        | C::VEX_Vmovntpd_m256_ymm
        | C::VEX_Vmovntdq_m256_ymm => C::VEX_Vmovups_ymmm256_ymm,
        C::EVEX_Vmovaps_zmmm512_k1z_zmm
        | C::EVEX_Vmovdqa64_zmmm512_k1z_zmm
        | C::EVEX_Vmovntdq_m512_zmm => C::EVEX_Vmovups_zmmm512_k1z_zmm,
        C::EVEX_Vmovdqa64_ymmm256_k1z_ymm | C::EVEX_Vmovntdq_m256_ymm => {
            C::EVEX_Vmovups_ymmm256_k1z_ymm
        }
        C::EVEX_Vmovdqa64_xmmm128_k1z_xmm | C::EVEX_Vmovntdq_m128_xmm => {
            C::EVEX_Vmovups_xmmm128_k1z_xmm
        }
        _ => return None,
    })
}

/// `i` with a ModRM byte, so that its operand can be at a register.
pub fn with_modrm(i: &Instruction) -> Instruction {
    let code = match i.code() {
        Code::Mov_AL_moffs8 => Code::Mov_r8_rm8,
        Code::Mov_AX_moffs16 => Code::Mov_r16_rm16,
        Code::Mov_EAX_moffs32 => Code::Mov_r32_rm32,
        Code::Mov_RAX_moffs64 => Code::Mov_r64_rm64,
        Code::Mov_moffs8_AL => Code::Mov_rm8_r8,
        Code::Mov_moffs16_AX => Code::Mov_rm16_r16,
        Code::Mov_moffs32_EAX => Code::Mov_rm32_r32,
        Code::Mov_moffs64_RAX => Code::Mov_rm64_r64,
        other => other,
    };
    let mut with = *i;
    with.set_code(code);
    with
}
