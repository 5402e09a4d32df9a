//! Threads: their state in the kernel, and futexes.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    158 arch_prctl(code: Hex, addr: Hex).does(Does::Thread).only(ARCH_PRCTL, EINVAL);
    186 gettid();
    202 futex(uaddr: Addr, futex_op: FUTEX, val: Uint, timeout: Hex, uaddr2: Addr, val3: Hex)
        .blocks().variants(FUTEX_ROWS);
    218 set_tid_address(tidptr: Addr).does(Does::Thread);
    273 set_robust_list(head: Addr, len: Uint).does(Does::Thread);
    274 get_robust_list(pid: Pid, head_ptr: out(8), len_ptr: out(8)).does(Does::Thread);
    324 membarrier(cmd: Enum(MEMBARRIER), flags: Hex, cpu_id: Int);
    // The kernel would write to the area behind everyone's back; libc copes without.
    334 rseq(rseq: Addr, rseq_len: Uint, flags: Hex, sig: Hex).does(Does::Absent(ENOSYS));
    449 futex_waitv(waiters: reads_len(Len::ArgTimes(1, 24)), nr_futexes: Uint, flags: Hex,
        timeout: reads(16), clockid: Enum(CLOCKS)).blocks();
    454 futex_wake(uaddr: Addr, mask: Hex, nr: Int, flags: FUTEX2).publishes();
    455 futex_wait(uaddr: Addr, val: Uint, mask: Hex, flags: FUTEX2, timeout: reads(16),
        clockid: Enum(CLOCKS)).blocks();
    456 futex_requeue(waiters: reads(48), flags: Hex, nr_wake: Int, nr_requeue: Int).publishes();
};

/// The word that a priority-inheriting futex keeps its owner in: the kernel
/// writes it, and marks it also when the call fails (FUTEX_WAITERS).
const PI_WORD: Ty = always(4);

// futex(2); the first row of an operation names it. The timeout is a
// number (val2) for the operations that are not listed with one.
const FUTEX_ROWS: &[Variant] = variants! { 1 & 0x7f;
    0 FUTEX_WAIT => 3: reads(16);
    5 FUTEX_WAKE_OP => 4: inout(4);
    6 FUTEX_LOCK_PI => 0: PI_WORD, Does::Thread;
    6 FUTEX_LOCK_PI => 3: reads(16);
    7 FUTEX_UNLOCK_PI => 0: PI_WORD, Does::Thread;
    8 FUTEX_TRYLOCK_PI => 0: PI_WORD, Does::Thread;
    9 FUTEX_WAIT_BITSET => 3: reads(16);
    11 FUTEX_WAIT_REQUEUE_PI => 3: reads(16);
    11 FUTEX_WAIT_REQUEUE_PI => 4: PI_WORD;
    12 FUTEX_CMP_REQUEUE_PI => 4: PI_WORD;
    13 FUTEX_LOCK_PI2 => 0: PI_WORD, Does::Thread;
    13 FUTEX_LOCK_PI2 => 3: reads(16);
};

// arch_prctl(2), arch/x86/include/uapi/asm/prctl.h
const ARCH_PRCTL: &[Variant] = variants! { 0 & 0xffff_ffff;
    0x1001 ARCH_SET_GS => 1: Addr;
    0x1002 ARCH_SET_FS => 1: Addr;
    0x1003 ARCH_GET_FS => 1: out(8);
    0x1004 ARCH_GET_GS => 1: out(8);
    0x1011 ARCH_GET_CPUID => 1: Hex;
    0x1012 ARCH_SET_CPUID => 1: Hex, Does::Refused(ENODEV);
    0x1021 ARCH_GET_XCOMP_SUPP => 1: out(8), Does::Input;
    0x1022 ARCH_GET_XCOMP_PERM => 1: out(8), Does::Input;
    0x1023 ARCH_REQ_XCOMP_PERM => 1: Hex;
    0x1024 ARCH_GET_XCOMP_GUEST_PERM => 1: out(8), Does::Input;
    // What glibc asks at startup; kernels without shadow stacks say EINVAL.
    0x3001 ARCH_CET_STATUS => 1: Hex, Does::Absent(EINVAL);
    0x4001 ARCH_GET_UNTAG_MASK => 1: out(8), Does::Input;
    0x4003 ARCH_GET_MAX_TAG_BITS => 1: out(8), Does::Input;
    0x5001 ARCH_SHSTK_ENABLE => 1: Hex, Does::Absent(EINVAL);
    0x5002 ARCH_SHSTK_DISABLE => 1: Hex, Does::Absent(EINVAL);
    0x5003 ARCH_SHSTK_LOCK => 1: Hex, Does::Absent(EINVAL);
    0x5004 ARCH_SHSTK_UNLOCK => 1: Hex, Does::Absent(EINVAL);
    0x5005 ARCH_SHSTK_STATUS => 1: Hex, Does::Absent(EINVAL);
};
