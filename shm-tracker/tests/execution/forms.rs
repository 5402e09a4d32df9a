//! Instruction forms: one of each `Code` that has a memory operand, with random
//! registers, immediates, prefixes, masks and addressing.

use crate::random::Random;
use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, Encoder, EncodingKind, Instruction, Mnemonic,
    OpCodeOperandKind as Kind, OpKind, Register,
};

/// Forms that this machine can execute in 64-bit mode.
pub fn codes() -> impl Iterator<Item = Code> {
    Code::values().filter(|c| {
        let op = c.op_code();
        op.mode64()
            && !op.is_privileged()
            && (0..op.op_count()).any(|n| is_memory(op.op_kind(n)))
            && c.cpuid_features().iter().all(|&f| has(f))
    })
}

fn has(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    use std::is_x86_feature_detected as detected;
    match feature {
        F::INTEL8086 | F::INTEL186 | F::INTEL286 | F::INTEL386 | F::INTEL486 | F::X64 => true,
        F::FPU | F::FPU387 | F::CX8 | F::CMOV | F::MMX | F::SSE | F::SSE2 => true,
        F::CMPXCHG16B => detected!("cmpxchg16b"),
        F::SSE3 => detected!("sse3"),
        F::SSSE3 => detected!("ssse3"),
        F::SSE4_1 => detected!("sse4.1"),
        F::SSE4_2 => detected!("sse4.2"),
        F::POPCNT => detected!("popcnt"),
        F::MOVBE => detected!("movbe"),
        F::ADX => detected!("adx"),
        F::BMI1 => detected!("bmi1"),
        F::BMI2 => detected!("bmi2"),
        F::LZCNT => detected!("lzcnt"),
        F::AES => detected!("aes"),
        F::PCLMULQDQ => detected!("pclmulqdq"),
        F::SHA => detected!("sha"),
        F::AVX => detected!("avx"),
        F::AVX2 => detected!("avx2"),
        F::FMA => detected!("fma"),
        F::F16C => detected!("f16c"),
        F::GFNI => detected!("gfni"),
        F::VAES => detected!("vaes"),
        F::VPCLMULQDQ => detected!("vpclmulqdq"),
        F::AVX512F => detected!("avx512f"),
        F::AVX512BW => detected!("avx512bw"),
        F::AVX512DQ => detected!("avx512dq"),
        F::AVX512CD => detected!("avx512cd"),
        F::AVX512VL => detected!("avx512vl"),
        F::AVX512_IFMA => detected!("avx512ifma"),
        F::AVX512_VBMI => detected!("avx512vbmi"),
        F::AVX512_VBMI2 => detected!("avx512vbmi2"),
        F::AVX512_VNNI => detected!("avx512vnni"),
        F::AVX512_BITALG => detected!("avx512bitalg"),
        F::AVX512_VPOPCNTDQ => detected!("avx512vpopcntdq"),
        _ => false,
    }
}

fn is_memory(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::mem
            | Kind::mem_offs
            | Kind::r8_or_mem
            | Kind::r16_or_mem
            | Kind::r32_or_mem
            | Kind::r64_or_mem
            | Kind::mm_or_mem
            | Kind::xmm_or_mem
            | Kind::ymm_or_mem
            | Kind::zmm_or_mem
            | Kind::k_or_mem
    )
}

/// Registers that an address can be made of, so that it does not matter what
/// values the instruction needs in rax and rdx.
const ADDRESS: [u32; 12] = [1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15];

/// One instance of a form.
#[derive(Clone, Debug)]
pub struct Form {
    pub bytes: Vec<u8>,
    pub instruction: Instruction,
    /// Base and index by number.
    pub base: Option<usize>,
    pub index: Option<usize>,
}

/// A random instance at `ip`, with an absolute address if that is how it addresses.
pub fn instance(code: Code, ip: u64, target: u64, rng: &mut Random) -> Option<Form> {
    let op = code.op_code();
    let mut i = Instruction::default();
    i.set_code(code);
    for n in 0..op.op_count() {
        operand(&mut i, n, op.op_kind(n), rng)?;
    }
    if (0..op.op_count()).any(|n| op.op_kind(n) == Kind::mem_offs) {
        i.set_memory_displacement64(target);
        i.set_memory_displ_size(8);
    } else {
        address(&mut i, target, rng);
    }
    i.set_has_lock_prefix(
        op.can_use_lock_prefix() && i.op0_kind() == OpKind::Memory && rng.one_in(2),
    );
    if op.require_op_mask_register() || op.can_use_op_mask_register() && rng.one_in(2) {
        i.set_op_mask(Register::K1 + rng.below(7) as u32);
        let to_memory = i.op0_kind() == OpKind::Memory;
        i.set_zeroing_masking(op.can_use_zeroing_masking() && !to_memory && rng.one_in(2));
    }
    i.set_is_broadcast(op.can_broadcast() && rng.one_in(2));
    let mut encoder = Encoder::new(64);
    encoder.encode(&i, ip).ok()?;
    Some(Form::of(&encoder.take_buffer(), ip))
}

impl Form {
    /// The instruction that these bytes are at `ip`.
    pub fn of(bytes: &[u8], ip: u64) -> Self {
        let instruction = Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE).decode();
        let number = |r: Register| r.is_gpr64().then(|| r.number());
        Self {
            bytes: bytes.to_vec(),
            instruction,
            base: number(instruction.memory_base()),
            index: number(instruction.memory_index()),
        }
    }
}

fn address(i: &mut Instruction, target: u64, rng: &mut Random) {
    let base = Register::RAX + rng.pick(&ADDRESS);
    let index = Register::RAX + rng.pick(&ADDRESS);
    let far = u64::from(rng.next() as u16);
    match rng.below(6) {
        0 => i.set_memory_base(base),
        1 => {
            i.set_memory_base(base);
            i.set_memory_displacement64(0_u64.wrapping_sub(16));
            i.set_memory_displ_size(1);
        }
        2 if base != index => {
            i.set_memory_base(base);
            i.set_memory_index(index);
            i.set_memory_index_scale(rng.pick(&[1, 2, 4, 8]));
            i.set_memory_displacement64(far);
            i.set_memory_displ_size(8);
        }
        3 => {
            i.set_memory_base(Register::RIP);
            i.set_memory_displacement64(target);
            i.set_memory_displ_size(8);
        }
        4 => {
            i.set_memory_displacement64(target);
            i.set_memory_displ_size(8);
        }
        _ => {
            i.set_memory_base(base);
            i.set_memory_displacement64(far);
            i.set_memory_displ_size(8);
        }
    }
}

fn operand(i: &mut Instruction, n: u32, kind: Kind, rng: &mut Random) -> Option<()> {
    use Register as R;
    if is_memory(kind) {
        i.set_op_kind(n, OpKind::Memory);
        return Some(());
    }
    let evex = i.code().op_code().encoding() == EncodingKind::EVEX;
    let vectors = if evex { 32 } else { 16 };
    // rsp is left alone.
    let general = rng.pick(&[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let mut any = |first: R, count: usize| first + rng.below(count) as u32;
    let register = match kind {
        Kind::r8_reg => any(R::AL, 20),
        Kind::r16_reg => R::AX + general,
        Kind::r32_reg | Kind::r32_vvvv => R::EAX + general,
        Kind::r64_reg | Kind::r64_vvvv => R::RAX + general,
        Kind::seg_reg => any(R::ES, 6),
        Kind::k_reg | Kind::k_vvvv => any(R::K0, 8),
        Kind::mm_reg => any(R::MM0, 8),
        Kind::xmm_reg | Kind::xmm_vvvv | Kind::xmm_is4 => any(R::XMM0, vectors),
        Kind::ymm_reg | Kind::ymm_vvvv | Kind::ymm_is4 => any(R::YMM0, vectors),
        Kind::zmm_reg | Kind::zmm_vvvv => any(R::ZMM0, vectors),
        Kind::al => R::AL,
        Kind::cl => R::CL,
        Kind::ax => R::AX,
        Kind::eax => R::EAX,
        Kind::rax => R::RAX,
        Kind::st0 => R::ST0,
        _ => R::None,
    };
    if register != R::None {
        i.set_op_register(n, register);
        return Some(());
    }
    let (kind, value) = match kind {
        Kind::imm8 => (OpKind::Immediate8, i64::from(rng.next() as u8)),
        Kind::imm8_const_1 => (OpKind::Immediate8, 1),
        Kind::imm8sex16 => (OpKind::Immediate8to16, i64::from(rng.next() as i8)),
        Kind::imm8sex32 => (OpKind::Immediate8to32, i64::from(rng.next() as i8)),
        Kind::imm8sex64 => (OpKind::Immediate8to64, i64::from(rng.next() as i8)),
        Kind::imm16 => (OpKind::Immediate16, i64::from(rng.next() as u16)),
        Kind::imm32 => (OpKind::Immediate32, i64::from(rng.next() as u32)),
        Kind::imm32sex64 => (OpKind::Immediate32to64, i64::from(rng.next() as i32)),
        _ => return None,
    };
    i.set_op_kind(n, kind);
    i.set_immediate_i64(n, value);
    Some(())
}

/// Whether the operand must be aligned as its size is.
pub fn aligned(i: &Instruction) -> bool {
    use Mnemonic as M;
    let op = i.op_code();
    let wide = i.memory_size().size() >= 16;
    match i.mnemonic() {
        M::Movups | M::Movupd | M::Movdqu | M::Lddqu => false,
        M::Cmpxchg16b | M::Vmovaps | M::Vmovapd | M::Vmovdqa | M::Vmovdqa32 | M::Vmovdqa64 => true,
        M::Vmovntps | M::Vmovntpd | M::Vmovntdq | M::Vmovntdqa => true,
        _ => wide && op.encoding() == EncodingKind::Legacy,
    }
}
