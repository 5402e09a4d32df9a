//! Registers one by one, and between gdb's form of them and the processor's.

use super::arch::{AllRegisters, Avx512, Extended};
use crate::travel::{Component, Xstate};
use gdbstub::arch::RegId;
use orch_abi::record::Regs;
use std::num::NonZeroUsize;

/// A register, in the order of the target description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    General(usize),
    Rip,
    Eflags,
    Segment(usize),
    St(usize),
    Fpu(usize),
    Xmm(usize),
    Mxcsr,
    OrigRax,
    FsBase,
    GsBase,
    Ymmh(usize),
    Mask(usize),
    Zmmh(usize),
    /// From xmm16 on.
    Xmm16(usize),
    /// From ymm16 on.
    Ymmh16(usize),
}

impl RegId for Register {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let (register, bytes) = match id {
            0..16 => (Self::General(id), 8),
            16 => (Self::Rip, 8),
            17 => (Self::Eflags, 4),
            18..24 => (Self::Segment(id - 18), 4),
            24..32 => (Self::St(id - 24), 10),
            32..40 => (Self::Fpu(id - 32), 4),
            40..56 => (Self::Xmm(id - 40), 16),
            56 => (Self::Mxcsr, 4),
            57 => (Self::OrigRax, 8),
            58 => (Self::FsBase, 8),
            59 => (Self::GsBase, 8),
            60..76 => (Self::Ymmh(id - 60), 16),
            76..84 => (Self::Mask(id - 76), 8),
            84..116 => (Self::Zmmh(id - 84), 32),
            116..132 => (Self::Xmm16(id - 116), 16),
            132..148 => (Self::Ymmh16(id - 132), 16),
            _ => return None,
        };
        Some((register, NonZeroUsize::new(bytes)))
    }
}

impl AllRegisters {
    /// The bytes of one, if it is known.
    pub fn get(&self, register: Register) -> Option<Vec<u8>> {
        let extended = self.extended.as_ref();
        let avx512 = extended.and_then(|e| e.avx512.as_ref());
        Some(match register {
            Register::General(n) => self.general[n].to_le_bytes().to_vec(),
            Register::Rip => self.rip.to_le_bytes().to_vec(),
            Register::Eflags => self.eflags.to_le_bytes().to_vec(),
            Register::Segment(n) => self.segments[n].to_le_bytes().to_vec(),
            Register::St(n) => extended?.st[n].to_vec(),
            Register::Fpu(n) => extended?.fpu[n].to_le_bytes().to_vec(),
            Register::Xmm(n) => extended?.xmm[n].to_vec(),
            Register::Mxcsr => extended?.mxcsr.to_le_bytes().to_vec(),
            Register::OrigRax => self.orig_rax.to_le_bytes().to_vec(),
            Register::FsBase => self.fs_base.to_le_bytes().to_vec(),
            Register::GsBase => self.gs_base.to_le_bytes().to_vec(),
            Register::Ymmh(n) => extended?.ymmh?[n].to_vec(),
            Register::Mask(n) => avx512?.masks[n].to_vec(),
            Register::Zmmh(n) => avx512?.zmmh[n].to_vec(),
            Register::Xmm16(n) => avx512?.xmm[n].to_vec(),
            Register::Ymmh16(n) => avx512?.ymmh[n].to_vec(),
        })
    }

    /// Sets one; `None` if it is not there, or cannot be set.
    pub fn set(&mut self, register: Register, value: &[u8]) -> Option<()> {
        if self.get(register)? == value {
            return Some(());
        }
        let word = || Some(u64::from_le_bytes(value.try_into().ok()?));
        let half = || Some(u32::from_le_bytes(value.try_into().ok()?));
        let vector = || <[u8; 16]>::try_from(value).ok();
        let extended = self.extended.as_mut();
        match register {
            Register::General(n) => self.general[n] = word()?,
            Register::Rip => self.rip = word()?,
            Register::Eflags => self.eflags = half()?,
            Register::St(n) => extended?.st[n] = value.try_into().ok()?,
            Register::Fpu(n) => extended?.fpu[n] = half()?,
            Register::Xmm(n) => extended?.xmm[n] = vector()?,
            Register::Mxcsr => extended?.mxcsr = half()?,
            Register::Ymmh(n) => extended?.ymmh.as_mut()?[n] = vector()?,
            Register::Mask(n) => extended?.avx512.as_mut()?.masks[n] = value.try_into().ok()?,
            Register::Zmmh(n) => extended?.avx512.as_mut()?.zmmh[n] = value.try_into().ok()?,
            Register::Xmm16(n) => extended?.avx512.as_mut()?.xmm[n] = vector()?,
            Register::Ymmh16(n) => extended?.avx512.as_mut()?.ymmh[n] = vector()?,
            Register::Segment(_) | Register::OrigRax | Register::FsBase | Register::GsBase => {
                return None;
            }
        }
        Some(())
    }
}

impl From<&Regs> for AllRegisters {
    fn from(regs: &Regs) -> Self {
        Self {
            general: [
                regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp, regs.rsp,
                regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
            ],
            rip: regs.rip,
            eflags: regs.rflags as u32,
            // Those of every 64-bit program (kernel, asm/segment.h).
            segments: [0x33, 0x2b, 0, 0, 0, 0],
            orig_rax: u64::MAX,
            ..Self::default()
        }
    }
}

impl From<&AllRegisters> for Regs {
    fn from(all: &AllRegisters) -> Self {
        let general = all.general;
        Self {
            rax: general[0],
            rbx: general[1],
            rcx: general[2],
            rdx: general[3],
            rsi: general[4],
            rdi: general[5],
            rbp: general[6],
            rsp: general[7],
            r8: general[8],
            r9: general[9],
            r10: general[10],
            r11: general[11],
            r12: general[12],
            r13: general[13],
            r14: general[14],
            r15: general[15],
            rip: all.rip,
            rflags: all.eflags.into(),
        }
    }
}

/// Offsets in the part that `fxsave` stores (SDM volume 1, table 10-2).
mod at {
    pub const FCW: usize = 0;
    pub const FSW: usize = 2;
    pub const FTW: usize = 4;
    pub const FOP: usize = 6;
    pub const FIP: usize = 8;
    pub const FDP: usize = 16;
    pub const MXCSR: usize = 24;
    pub const ST: usize = 32;
    pub const XMM: usize = 160;
}
/// The tag of an empty x87 register (SDM volume 1, 8.1.7).
const EMPTY: u32 = 3;

impl From<&Xstate> for Extended {
    fn from(state: &Xstate) -> Self {
        let area = state.legacy();
        let half = |at: usize| u32::from(u16::from_le_bytes([area[at], area[at + 1]]));
        let word = |at: usize| half(at) | half(at + 2) << 16;
        let vector = |bytes: &[u8], n: usize| -> [u8; 16] {
            bytes[16 * n..16 * n + 16]
                .try_into()
                .expect("sixteen bytes")
        };
        let st: [[u8; 10]; 8] = std::array::from_fn(|n| {
            let at = at::ST + 16 * n;
            area[at..at + 10].try_into().expect("ten bytes")
        });
        let tags = tags(area[at::FTW], half(at::FSW), &st);
        Self {
            st,
            fpu: [
                half(at::FCW),
                half(at::FSW),
                tags,
                0,
                word(at::FIP),
                0,
                word(at::FDP),
                half(at::FOP),
            ],
            xmm: std::array::from_fn(|n| vector(&area[at::XMM..], n)),
            mxcsr: word(at::MXCSR),
            ymmh: state
                .component(Component::Ymmh)
                .map(|all| std::array::from_fn(|n| vector(all, n))),
            avx512: avx512(state),
        }
    }
}

/// Those of AVX-512: zmm16 to zmm31 are whole where the processor has them.
fn avx512(state: &Xstate) -> Option<Avx512> {
    let masks = state.component(Component::Masks)?;
    let (low, _) = state.component(Component::Zmmh)?.as_chunks::<32>();
    let (high, _) = state.component(Component::Zmm16)?.as_chunks::<64>();
    let mut all = Avx512::default();
    all.masks.as_flattened_mut().copy_from_slice(masks);
    all.zmmh[..16].copy_from_slice(low);
    for (n, whole) in high.iter().enumerate() {
        all.xmm[n].copy_from_slice(&whole[..16]);
        all.ymmh[n].copy_from_slice(&whole[16..32]);
        all.zmmh[16 + n].copy_from_slice(&whole[32..]);
    }
    Some(all)
}

impl Avx512 {
    fn put(&self, state: &mut Xstate) {
        if let Some(to) = state.component_mut(Component::Masks) {
            to.copy_from_slice(self.masks.as_flattened());
        }
        if let Some(to) = state.component_mut(Component::Zmmh) {
            to.copy_from_slice(self.zmmh[..16].as_flattened());
        }
        let high = state.component_mut(Component::Zmm16);
        let high = high.map_or(&mut [][..], |bytes| bytes.as_chunks_mut::<64>().0);
        for (n, whole) in high.iter_mut().enumerate() {
            whole[..16].copy_from_slice(&self.xmm[n]);
            whole[16..32].copy_from_slice(&self.ymmh[n]);
            whole[32..].copy_from_slice(&self.zmmh[16 + n]);
        }
    }
}

/// The tag word that gdb knows: `fxsave` only keeps which registers are in use.
fn tags(used: u8, status: u32, st: &[[u8; 10]; 8]) -> u32 {
    let top = status >> 11 & 7;
    let tag = |physical: u32| {
        if used >> physical & 1 == 0 {
            return EMPTY;
        }
        let value = &st[((physical + 8 - top) & 7) as usize];
        let exponent = u16::from_le_bytes([value[8], value[9]]) & 0x7fff;
        // Valid, zero, or special.
        match exponent {
            0 if value[..8] == [0; 8] => 1,
            0 | 0x7fff => 2,
            _ if value[7] & 0x80 == 0 => 2,
            _ => 0,
        }
    };
    (0..8).fold(0, |all, n| all | tag(n) << (2 * n))
}

impl Extended {
    /// Puts them into the processor's form.
    pub fn put(&self, state: &mut Xstate) {
        let [control, status, tags, _, ip, _, data, op] = self.fpu;
        let used = (0..8).fold(0, |all, n| {
            all | u8::from(tags >> (2 * n) & 3 != EMPTY) << n
        });
        let area = state.legacy_mut();
        let mut put = |at: usize, bytes: &[u8]| area[at..at + bytes.len()].copy_from_slice(bytes);
        put(at::FCW, &(control as u16).to_le_bytes());
        put(at::FSW, &(status as u16).to_le_bytes());
        put(at::FTW, &[used]);
        put(at::FOP, &(op as u16).to_le_bytes());
        put(at::FIP, &ip.to_le_bytes());
        put(at::FDP, &data.to_le_bytes());
        put(at::MXCSR, &self.mxcsr.to_le_bytes());
        for (n, st) in self.st.iter().enumerate() {
            put(at::ST + 16 * n, st);
        }
        put(at::XMM, self.xmm.as_flattened());
        if let (Some(to), Some(from)) = (state.component_mut(Component::Ymmh), &self.ymmh) {
            to.copy_from_slice(from.as_flattened());
        }
        if let Some(avx512) = &self.avx512 {
            avx512.put(state);
        }
    }
}
