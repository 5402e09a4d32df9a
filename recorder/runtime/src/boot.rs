//! First code in a new image: takes over the process, then starts the program.

use crate::arch::x86_64 as arch;
use crate::process::process;
use crate::sys::{self, call, mm, nr};
use crate::{image, log, patch, replay, signal, stop, thread};
use core::sync::atomic::Ordering;
use orch_abi::layout::{
    ARENA_BASE, ARENA_FILE_OFFSET, ARENA_LEN, PAGE, RUNTIME_BASE, RUNTIME_HIGH, RUNTIME_LEN,
    TASK_END,
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
    protect(t);
    if log::recording() {
        t.regs = slot.boot_regs;
    } else {
        sys::end_with_parent();
        forget_everything();
        if slot.boot_flags.load(Ordering::Relaxed) & flag::GIVE_WAY != 0 {
            give_way(t);
        }
        t.regs = replay::build_image();
    }
    let vector = read_vector(&t.regs);
    signal::install_own();
    trap_instructions();
    if log::recording() {
        image::first_maps();
    }
    if let Some(base) = vector.image {
        image::init(base, vector.has_linker);
    }
    take_state(t);
    slot.running.store(t.tid, Ordering::Relaxed);
    begin();
    patch::init(vector.entry.unwrap_or(t.regs.rip));
    stop::behind(t);
    t.resume_ip = t.regs.rip;
}

/// The process is there, and makes system calls by the runtime only.
fn begin() {
    let slot = log::slot();
    slot.pid
        .store(call(nr::GETPID, &[]) as u32, Ordering::Relaxed);
    let flags = slot.boot_flags.load(Ordering::Relaxed);
    if flags & flag::INSTALL_FILTER != 0 {
        install_filter(flags & flag::NO_NEW_PRIVS != 0);
    }
    slot.state.store(state::ACTIVE, Ordering::Release);
}

/// Replay: waits for a saved process to be put in this one's place.
fn give_way(t: &thread::Thread) -> ! {
    signal::install_own();
    trap_instructions();
    begin();
    stop::give_way(t)
}

/// Keeps stray stores of the program off the log and the runtime's data, where
/// the CPU has protection keys (pkeys(7)). Thread areas stay open: patched
/// sites and the kernel, which writes signal frames there, come without rights;
/// and so does what accesses to shared memory write ([`crate::shm`]).
fn protect(t: &mut thread::Thread) {
    const PKEY_ALLOC: u64 = 330;
    const WRITE_DISABLE: u32 = 2;
    let key = call(PKEY_ALLOC, &[0, 0]);
    if key <= 0 {
        return;
    }
    let rw = mm::READ | mm::WRITE;
    let k = key as u64;
    call(nr::PKEY_MPROTECT, &[ARENA_BASE, ARENA_LEN, rw, k]);
    call(
        nr::PKEY_MPROTECT,
        &[RUNTIME_BASE, RUNTIME_LEN, rw | mm::EXEC, k],
    );
    t.grant = !(3 << (2 * key));
    t.program_pkru = arch::rdpkru() | WRITE_DISABLE << (2 * key);
    t.keyed = 1;
}

/// Signal mask, ignored signals and heap end: found (record) or read (replay).
fn take_state(t: &mut thread::Thread) {
    let mut b = Boot::default();
    if log::recording() {
        call(nr::RT_SIGPROCMASK, &[0, 0, &raw mut b.mask as u64, 8]);
        b.mask |= log::slot().boot_mask.load(Ordering::Relaxed);
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

/// What the auxiliary vector tells (getauxval(3)).
#[derive(Default)]
struct Vector {
    /// The program's entry (AT_ENTRY): the first instruction is the dynamic
    /// linker's, if there is one.
    entry: Option<u64>,
    /// Where the image is that runs first: the dynamic linker (AT_BASE), or the program,
    /// whose program headers are in its first page (AT_PHDR).
    image: Option<u64>,
    /// Whether that is the linker.
    has_linker: bool,
}

/// Makes libc believe that there is no vDSO, so that clock_gettime and
/// friends are system calls (AT_SYSINFO_EHDR).
fn read_vector(regs: &Regs) -> Vector {
    const AT_SYSINFO_EHDR: u64 = 33;
    const AT_ENTRY: u64 = 9;
    const AT_PHDR: u64 = 3;
    const AT_BASE: u64 = 7;
    const AT_IGNORE: u64 = 1;
    let mut vector = Vector::default();
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
            let value = p.add(1).read();
            match p.read() {
                AT_SYSINFO_EHDR => p.write(AT_IGNORE),
                AT_ENTRY => vector.entry = Some(value),
                // The program's headers come first.
                AT_PHDR => vector.image = Some(value & !(PAGE - 1)),
                AT_BASE if value != 0 => {
                    (vector.image, vector.has_linker) = (Some(value), true);
                }
                _ => (),
            }
            p = p.add(2);
        }
    }
    vector
}

/// rdtsc and cpuid fault from here on (prctl(2) PR_SET_TSC, arch_prctl(2)
/// ARCH_SET_CPUID), if they can.
fn trap_instructions() {
    const PR_SET_TSC: u64 = 26;
    const PR_TSC_SIGSEGV: u64 = 2;
    const ARCH_SET_CPUID: u64 = 0x1012;
    call(nr::PRCTL, &[PR_SET_TSC, PR_TSC_SIGSEGV]);
    call(nr::ARCH_PRCTL, &[ARCH_SET_CPUID, 0]);
}

/// Every system call from outside the runtime's 4 GiB raises SIGSYS, but for the
/// one that maps the runtime (recorder/src/tracee.rs): where the runtime is, it
/// fails with EEXIST, recorded or replayed.
fn install_filter(no_new_privs: bool) {
    const PR_SET_NO_NEW_PRIVS: u64 = 38;
    const SET_MODE_FILTER: u64 = 1;
    const SPEC_ALLOW: u64 = 4;
    const RET_TRAP: u64 = 0x0003_0000;
    const RET_ALLOW: u64 = 0x7fff_0000;
    const ARCH_X86_64: u64 = 0xc000_003e;
    const MAP_IT: u64 = mm::PRIVATE | mm::FIXED_NOREPLACE;
    // Offsets in struct seccomp_data: number, architecture, halves of the instruction
    // pointer and of the arguments.
    const NR: u64 = 0;
    const ARCH: u64 = 4;
    const IP_HIGH: u64 = 12;
    const ADDRESS: u64 = 16;
    const LENGTH: u64 = 24;
    const FLAGS: u64 = 40;
    // struct sock_filter { u16 code; u8 jt, jf; u32 k; }
    const fn op(code: u64, jt: u64, jf: u64, k: u64) -> u64 {
        code | jt << 16 | jf << 24 | k << 32
    }
    const LOAD: u64 = 0x20;
    const JEQ: u64 = 0x15;
    const RET: u64 = 0x06;
    let program = [
        op(LOAD, 0, 0, IP_HIGH),
        op(JEQ, 10, 0, RUNTIME_HIGH as u64),
        op(LOAD, 0, 0, NR),
        op(JEQ, 0, 11, nr::MMAP),
        op(LOAD, 0, 0, ADDRESS + 4),
        op(JEQ, 0, 9, RUNTIME_BASE >> 32),
        op(LOAD, 0, 0, ADDRESS),
        op(JEQ, 0, 7, RUNTIME_BASE & 0xffff_ffff),
        op(LOAD, 0, 0, LENGTH),
        op(JEQ, 0, 5, RUNTIME_LEN),
        op(LOAD, 0, 0, FLAGS),
        op(JEQ, 0, 3, MAP_IT),
        op(LOAD, 0, 0, ARCH),
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
