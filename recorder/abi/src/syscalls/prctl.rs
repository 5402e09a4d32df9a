//! Options of prctl(2); include/uapi/linux/prctl.h.

use super::rows::*;
use Ty::*;

pub(super) const OPTIONS: &[Variant] = variants! { 0 & 0xffff_ffff;
    1 PR_SET_PDEATHSIG => 1: Signal;
    2 PR_GET_PDEATHSIG => 1: out(4);
    3 PR_GET_DUMPABLE => 1: Hex;
    4 PR_SET_DUMPABLE => 1: Int;
    5 PR_GET_UNALIGN => 1: out(4);
    6 PR_SET_UNALIGN => 1: Int;
    7 PR_GET_KEEPCAPS => 1: Hex;
    8 PR_SET_KEEPCAPS => 1: Int;
    13 PR_GET_TIMING => 1: Hex;
    14 PR_SET_TIMING => 1: Int;
    15 PR_SET_NAME => 1: Path;
    16 PR_GET_NAME => 1: out(16);
    21 PR_GET_SECCOMP => 1: Hex;
    // Filters of the program's own would see the runtime's calls.
    22 PR_SET_SECCOMP => 1: Hex, Does::Refused(EINVAL);
    23 PR_CAPBSET_READ => 1: Int;
    24 PR_CAPBSET_DROP => 1: Int;
    25 PR_GET_TSC => 1: out(4);
    // The recorder lives on the time-stamp counter's faults.
    26 PR_SET_TSC => 1: Int, Does::Refused(EINVAL);
    27 PR_GET_SECUREBITS => 1: Hex;
    28 PR_SET_SECUREBITS => 1: Hex;
    29 PR_SET_TIMERSLACK => 1: Uint;
    30 PR_GET_TIMERSLACK => 1: Hex;
    31 PR_TASK_PERF_EVENTS_DISABLE => 1: Hex;
    32 PR_TASK_PERF_EVENTS_ENABLE => 1: Hex;
    33 PR_MCE_KILL => 1: Int;
    34 PR_MCE_KILL_GET => 1: Hex;
    35 PR_SET_MM => 1: Int, Does::Refused(EPERM);
    36 PR_SET_CHILD_SUBREAPER => 1: Int;
    37 PR_GET_CHILD_SUBREAPER => 1: out(4);
    38 PR_SET_NO_NEW_PRIVS => 1: Int;
    39 PR_GET_NO_NEW_PRIVS => 1: Hex;
    40 PR_GET_TID_ADDRESS => 1: out(8);
    41 PR_SET_THP_DISABLE => 1: Int;
    42 PR_GET_THP_DISABLE => 1: Hex;
    47 PR_CAP_AMBIENT => 1: Int;
    52 PR_GET_SPECULATION_CTRL => 1: Int;
    53 PR_SET_SPECULATION_CTRL => 1: Int;
    57 PR_SET_IO_FLUSHER => 1: Int;
    58 PR_GET_IO_FLUSHER => 1: Hex;
    59 PR_SET_SYSCALL_USER_DISPATCH => 1: Int, Does::Refused(EINVAL);
    62 PR_SCHED_CORE => 4: out(8);
    65 PR_SET_MDWE => 1: Hex;
    66 PR_GET_MDWE => 1: Hex;
    67 PR_SET_MEMORY_MERGE => 1: Int;
    68 PR_GET_MEMORY_MERGE => 1: Hex;
    0x4155_5856 PR_GET_AUXV => 1: filled(2);
    // The name of an anonymous mapping.
    0x5356_4d41 PR_SET_VMA => 4: In(Buf::CStr);
    0x5961_6d61 PR_SET_PTRACER => 1: Pid;
};
