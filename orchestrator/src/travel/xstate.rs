//! The x87, SSE and AVX registers of a thread, as ptrace gives them: the standard format of
//! the XSAVE area (Intel SDM volume 1, 13.4), whatever the processor has.

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::unistd::Pid;

/// More than any processor has (AMX is 11 kB).
const MOST: usize = 16 << 10;
/// What the processor and the kernel enable (XCR0) is kept where it keeps nothing (kernel,
/// arch/x86/include/asm/user.h).
const XCR0: usize = 464;
/// Which components are not as they were initially.
const XSTATE_BV: usize = 512;
/// Upper halves of the AVX registers: where the first processors with them had these, and all
/// others since.
const YMMH: usize = 576;
/// x87, SSE, AVX in XCR0 and `XSTATE_BV`.
const ALL: u64 = 7;

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
        let all = self.word(XCR0) & ALL;
        let present = self.word(XSTATE_BV) | all;
        self.put(XSTATE_BV, &present.to_le_bytes());
        regset(libc::PTRACE_SETREGSET, pid, &mut self.0)
            .context("cannot set extended registers")?;
        Ok(())
    }

    /// Whether there are AVX registers.
    pub fn has_avx(&self) -> bool {
        self.word(XCR0) & ALL == ALL && self.0.len() >= YMMH + 256
    }

    /// The part that `fxsave` stores: x87 and SSE (SDM volume 1, table 10-2).
    pub fn legacy(&self) -> &[u8] {
        &self.0[..512]
    }

    /// The same, to be changed.
    pub fn legacy_mut(&mut self) -> &mut [u8] {
        &mut self.0[..512]
    }

    /// The upper halves of ymm0 to ymm15, 16 bytes each.
    pub fn ymmh(&self) -> Option<&[u8]> {
        self.has_avx().then(|| &self.0[YMMH..YMMH + 256])
    }

    /// The same, to be changed.
    pub fn ymmh_mut(&mut self) -> Option<&mut [u8]> {
        self.has_avx().then(|| &mut self.0[YMMH..YMMH + 256])
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
