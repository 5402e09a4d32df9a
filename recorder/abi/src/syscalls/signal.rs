//! Signals.

use super::names::*;
use super::rows::*;
use Ty::*;

pub(super) const CALLS: &[Call] = calls! {
    // `struct kernel_sigaction`: handler, flags, restorer, mask.
    13 rt_sigaction(signum: Signal, act: reads(32), oldact: out(32), sigsetsize: Uint)
        .does(Does::Signal);
    14 rt_sigprocmask(how: Enum(SIG_HOW), set: reads_len(Len::Arg(3)),
        oldset: out_len(Len::Arg(3)), sigsetsize: Uint).does(Does::Signal);
    15 rt_sigreturn().does(Does::Signal).gives(Ret::None);
    34 pause().sleeps();
    62 kill(pid: Pid, sig: Signal).publishes();
    127 rt_sigpending(set: out_len(Len::Arg(1)), sigsetsize: Uint);
    128 rt_sigtimedwait(set: reads_len(Len::Arg(3)), info: out(SIGINFO), timeout: reads(16),
        sigsetsize: Uint).sleeps();
    129 rt_sigqueueinfo(pid: Pid, sig: Signal, info: reads(SIGINFO)).publishes();
    130 rt_sigsuspend(mask: reads_len(Len::Arg(1)), sigsetsize: Uint)
        .does(Does::Signal).sleeps();
    131 sigaltstack(ss: reads(24), old_ss: out(24)).does(Does::Signal);
    200 tkill(tid: Pid, sig: Signal).publishes();
    234 tgkill(tgid: Pid, tid: Pid, sig: Signal).publishes();
    282 signalfd(fd: Fd, mask: reads_len(Len::Arg(2)), sizemask: Uint).gives(Ret::Fd);
    289 signalfd4(fd: Fd, mask: reads_len(Len::Arg(2)), sizemask: Uint, flags: Flags(FD_FLAGS))
        .gives(Ret::Fd);
    297 rt_tgsigqueueinfo(tgid: Pid, tid: Pid, sig: Signal, info: reads(SIGINFO)).publishes();
};

/// `siginfo_t`.
const SIGINFO: u32 = 128;
