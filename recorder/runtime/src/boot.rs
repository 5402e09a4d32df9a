//! First code in a new image: takes over the process, then starts the program.

use crate::process::process;
use crate::sys::{self, call, mm, nr};
use crate::{log, patch, replay, signal, thread};
use core::sync::atomic::Ordering;
use orch_abi::layout::{
    ARENA_BASE, ARENA_FILE_OFFSET, ARENA_LEN, RUNTIME_BASE, RUNTIME_HIGH, TASK_END,
};
use orch_abi::record::{Boot, Kind, Regs};
use orch_abi::shared::{boot as flag, state};

/// Called once for each new image, on the boot stack.
pub extern "C" fn boot(index: u32, fd: u64) {
    let r = call(
        nr::MMAP,
        &[
            ARENA_BASE,
            ARENA_LEN,
            mm::READ | mm::WRITE,
            mm::SHARED | mm::FIXED | mm::NORESERVE,
            fd,
            ARENA_FILE_OFFSET,
        ],
    );
    if r < 0 {
        sys::exit_group(121);
    }
    // Rings are touched page by page; reading ahead would be for nothing.
    const MADV_RANDOM: u64 = 1;
    call(nr::MADVISE, &[ARENA_BASE, ARENA_LEN, MADV_RANDOM]);
    call(nr::CLOSE, &[fd]);
    log::open(index);
    let Some(t) = thread::create(0) else {
        crate::fail("no memory for the first thread")
    };
    thread::adopt(t);
    t.tid = call(nr::GETTID, &[]) as u32;
    let slot = log::slot();
    process().baton.reset();
    process().options = log::control().options.load(Ordering::Relaxed);
    if log::recording() {
        t.regs = slot.boot_regs;
    } else {
        forget_everything();
        t.regs = replay::build_image();
    }
    hide_vdso(&t.regs);
    signal::install_own();
    take_state(t);
    trap_instructions();
    slot.running.store(t.tid, Ordering::Relaxed);
    slot.pid
        .store(call(nr::GETPID, &[]) as u32, Ordering::Relaxed);
    if slot.boot_flags.load(Ordering::Relaxed) & flag::INSTALL_FILTER != 0 {
        install_filter(slot.boot_flags.load(Ordering::Relaxed) & flag::NO_NEW_PRIVS != 0);
    }
    slot.state.store(state::ACTIVE, Ordering::Release);
    patch::init(t.regs.rip);
    t.resume_ip = t.regs.rip;
}

/// Signal mask, ignored signals and heap end: found (record) or read (replay).
fn take_state(t: &mut thread::Thread) {
    let mut b = Boot::default();
    if log::recording() {
        call(nr::RT_SIGPROCMASK, &[0, 0, &raw mut b.mask as u64, 8]);
        b.ignored = signal::find_ignored();
        b.brk = call(nr::BRK, &[0]) as u64;
        log::write(Kind::Boot, 0, 0, log::tick(), &[log::bytes_of(&b)]);
    } else {
        replay::expect_kind(t, Kind::Boot);
        b = log::read();
    }
    t.mask = b.mask;
    process().brk = b.brk;
    signal::set_ignored(b.ignored);
    if log::recording() {
        signal::apply_mask(t);
    }
}

/// Replay: unmaps all that exec mapped; what the recording had comes instead.
fn forget_everything() {
    call(nr::MUNMAP, &[0x1000, RUNTIME_BASE - 0x1000]);
    call(
        nr::MUNMAP,
        &[ARENA_BASE + ARENA_LEN, TASK_END - ARENA_BASE - ARENA_LEN],
    );
}

/// Makes libc believe that there is no vDSO, so that clock_gettime and
/// friends are system calls (getauxval(3): AT_SYSINFO_EHDR).
fn hide_vdso(regs: &Regs) {
    const AT_SYSINFO_EHDR: u64 = 33;
    const AT_IGNORE: u64 = 1;
    let mut p = regs.rsp as *mut u64;
    // SAFETY: at exec the stack holds argc, argv, 0, envp, 0, auxv, ending
    // with AT_NULL (System V ABI, "Process Initialization").
    unsafe {
        p = p.add(1 + p.read() as usize + 1);
        while p.read() != 0 {
            p = p.add(1);
        }
        p = p.add(1);
        while p.read() != 0 {
            if p.read() == AT_SYSINFO_EHDR {
                p.write(AT_IGNORE);
            }
            p = p.add(2);
        }
    }
}

/// rdtsc and cpuid fault from here on (prctl(2) PR_SET_TSC, arch_prctl(2) ARCH_SET_CPUID).
pub fn trap_instructions() {
    const PR_SET_TSC: u64 = 26;
    const PR_TSC_SIGSEGV: u64 = 2;
    const ARCH_SET_CPUID: u64 = 0x1012;
    call(nr::PRCTL, &[PR_SET_TSC, PR_TSC_SIGSEGV]);
    if log::control().cpuid_rows.load(Ordering::Relaxed) > 0 {
        call(nr::ARCH_PRCTL, &[ARCH_SET_CPUID, 0]);
    }
}

/// Every system call from outside the runtime's 4 GiB raises SIGSYS.
fn install_filter(no_new_privs: bool) {
    const PR_SET_NO_NEW_PRIVS: u64 = 38;
    const SET_MODE_FILTER: u64 = 1;
    const SPEC_ALLOW: u64 = 4;
    const RET_TRAP: u64 = 0x0003_0000;
    const RET_ALLOW: u64 = 0x7fff_0000;
    const ARCH_X86_64: u64 = 0xc000_003e;
    // struct sock_filter { u16 code; u8 jt, jf; u32 k; }, seccomp_data: nr, arch, ip.
    const fn op(code: u64, jt: u64, jf: u64, k: u64) -> u64 {
        code | jt << 16 | jf << 24 | k << 32
    }
    const LOAD: u64 = 0x20;
    const JEQ: u64 = 0x15;
    const RET: u64 = 0x06;
    let program = [
        op(LOAD, 0, 0, 12),
        op(JEQ, 0, 3, RUNTIME_HIGH as u64),
        op(LOAD, 0, 0, 4),
        op(JEQ, 0, 1, ARCH_X86_64),
        op(RET, 0, 0, RET_ALLOW),
        op(RET, 0, 0, RET_TRAP),
    ];
    let fprog = [program.len() as u64, program.as_ptr() as u64];
    if no_new_privs {
        call(nr::PRCTL, &[PR_SET_NO_NEW_PRIVS, 1]);
    }
    if call(
        nr::SECCOMP,
        &[SET_MODE_FILTER, SPEC_ALLOW, fprog.as_ptr() as u64],
    ) < 0
    {
        crate::fail("the kernel refused the seccomp filter; see `orch doctor`");
    }
}
