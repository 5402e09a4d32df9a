//! Scheduling, priorities and resource limits.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    24 sched_yield();
    97 getrlimit(resource: Enum(RLIMITS), rlim: out(16)).does(Does::Process);
    98 getrusage(who: Enum(RUSAGE), usage: out(144));
    140 getpriority(which: Enum(PRIO), who: Int);
    141 setpriority(which: Enum(PRIO), who: Int, prio: Int);
    142 sched_setparam(pid: Pid, param: reads(4));
    143 sched_getparam(pid: Pid, param: out(4));
    144 sched_setscheduler(pid: Pid, policy: SCHED, param: reads(4));
    145 sched_getscheduler(pid: Pid);
    146 sched_get_priority_max(policy: SCHED);
    147 sched_get_priority_min(policy: SCHED);
    148 sched_rr_get_interval(pid: Pid, tp: out(16));
    160 setrlimit(resource: Enum(RLIMITS), rlim: reads(16)).does(Does::Process);
    203 sched_setaffinity(pid: Pid, cpusetsize: Uint, mask: reads_len(Len::Arg(1)));
    204 sched_getaffinity(pid: Pid, cpusetsize: Uint, mask: filled(1));
    251 ioprio_set(which: Int, who: Int, ioprio: Hex);
    252 ioprio_get(which: Int, who: Int);
    302 prlimit64(pid: Pid, resource: Enum(RLIMITS), new_limit: reads(16), old_limit: out(16))
        .does(Does::Process);
    // The third argument, a cache, has no effect since Linux 2.6.24.
    309 getcpu(cpu: out(4), node: out(4), tcache: Addr);
    // A structure that begins with its own size, which the kernel corrects on E2BIG.
    314 sched_setattr(pid: Pid, attr: OutAlways(Buf::Counted { head: 0 }), flags: Hex);
    315 sched_getattr(pid: Pid, attr: out_len(Len::Arg(2)), size: Uint, flags: Hex);
};
