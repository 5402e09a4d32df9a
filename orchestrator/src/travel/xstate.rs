//! The x87, SSE, AVX and AVX-512 registers of a thread, as ptrace gives them: the standard
//! format of the XSAVE area (Intel SDM volume 1, 13.4), whatever the processor has.

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::unistd::Pid;
use std::arch::x86_64::__cpuid_count;
use std::ops::Range;
use std::sync::LazyLock;

/// More than any processor has (AMX is 11 kB).
const MOST: usize = 16 << 10;
/// What the processor and the kernel enable (XCR0) is kept where it keeps nothing (kernel,
/// arch/x86/include/asm/user.h).
const XCR0: usize = 464;
/// Which components are not as they were initially.
const XSTATE_BV: usize = 512;
/// x87 and SSE in XCR0 and `XSTATE_BV`.
const LEGACY: u64 = 3;

/// A part of the registers, by its bit in XCR0 (SDM volume 1, 13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Upper halves of ymm0 to ymm15, 16 bytes each.
    Ymmh = 2,
    /// k0 to k7, 8 bytes each.
    Masks = 5,
    /// Upper halves of zmm0 to zmm15, 32 bytes each.
    Zmmh = 6,
    /// zmm16 to zmm31, 64 bytes each.
    Zmm16 = 7,
}

impl Component {
    const ALL: [Self; 4] = [Self::Ymmh, Self::Masks, Self::Zmmh, Self::Zmm16];

    const fn bit(self) -> u64 {
        1 << self as u32
    }

    const fn len(self) -> usize {
        match self {
            Self::Ymmh => 16 * 16,
            Self::Masks => 8 * 8,
            Self::Zmmh => 16 * 32,
            Self::Zmm16 => 16 * 64,
        }
    }

    /// Where this processor has it, if it does: size and offset (SDM volume 2, CPUID leaf 0DH).
    fn place(self) -> Option<Range<usize>> {
        static PLACES: LazyLock<[(usize, usize); 8]> = LazyLock::new(|| {
            let leaf = |n| __cpuid_count(0xd, n as u32);
            std::array::from_fn(|n| (leaf(n).eax as usize, leaf(n).ebx as usize))
        });
        let (len, start) = PLACES[self as usize];
        (len == self.len() && start >= XSTATE_BV + 64).then(|| start..start + len)
    }
}

/// Extended registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xstate(Vec<u8>);

impl Xstate {
    /// Those of a thread that ptrace has stopped.
    pub fn of(pid: Pid) -> Result<Self> {
        let mut area = vec![0; MOST];
        let len = regset(libc::PTRACE_GETREGSET, pid, &mut area)
            .context("cannot read extended registers")?;
        ensure!(len >= XSTATE_BV + 64, "the extended registers are cut off");
        area.truncate(len);
        Ok(Self(area))
    }

    /// Gives them to such a thread.
    pub fn set(&mut self, pid: Pid) -> Result<()> {
        let known = Component::ALL.map(Component::bit);
        let known = known.iter().fold(LEGACY, |all, bit| all | bit);
        let present = self.word(XSTATE_BV) | self.word(XCR0) & known;
        self.put(XSTATE_BV, &present.to_le_bytes());
        regset(libc::PTRACE_SETREGSET, pid, &mut self.0)
            .context("cannot set extended registers")?;
        Ok(())
    }

    /// The part that `fxsave` stores: x87 and SSE (SDM volume 1, table 10-2).
    pub fn legacy(&self) -> &[u8] {
        &self.0[..512]
    }

    /// The same, to be changed.
    pub fn legacy_mut(&mut self) -> &mut [u8] {
        &mut self.0[..512]
    }

    /// A part of the registers, if the processor has it, and the kernel keeps it.
    pub fn component(&self, one: Component) -> Option<&[u8]> {
        self.0.get(self.enabled(one)?)
    }

    /// The same, to be changed.
    pub fn component_mut(&mut self, one: Component) -> Option<&mut [u8]> {
        let place = self.enabled(one)?;
        self.0.get_mut(place)
    }

    fn enabled(&self, one: Component) -> Option<Range<usize>> {
        let is_there = self.word(XCR0) & one.bit() != 0;
        one.place().filter(|_| is_there)
    }

    fn word(&self, at: usize) -> u64 {
        let bytes = self.0[at..at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes"))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// `PTRACE_GETREGSET` or `PTRACE_SETREGSET` of `NT_X86_XSTATE`; how many bytes it is about.
#[expect(unsafe_code, reason = "nix does not know this register set")]
fn regset(request: libc::c_uint, pid: Pid, area: &mut [u8]) -> nix::Result<usize> {
    /// elf.h
    const NT_X86_XSTATE: usize = 0x202;
    let mut buffer = libc::iovec {
        iov_base: area.as_mut_ptr().cast(),
        iov_len: area.len(),
    };
    // SAFETY: the kernel reads or writes no more than `iov_len` bytes of `area`, which is
    // borrowed alone.
    let result = unsafe { libc::ptrace(request, pid.as_raw(), NT_X86_XSTATE, &raw mut buffer) };
    Errno::result(result)?;
    Ok(buffer.iov_len)
}
