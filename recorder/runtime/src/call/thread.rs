//! Calls about the calling thread's own state.

use crate::dispatch::{Outcome, body, input, refuse};
use crate::log::{self, Pieces};
use crate::replay;
use crate::sys::{call, errno, nr};
use crate::thread::Thread;
use orch_abi::record::Kind;
use orch_abi::syscalls::Call;

/// Performs or replays one of them.
pub fn perform(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    match u64::from(c.nr) {
        nr::ARCH_PRCTL => arch_prctl(t, c, args),
        nr::SET_TID_ADDRESS => {
            t.clear_tid = args[0];
            answer(t, c, args)
        }
        _ => {
            if u64::from(c.nr) == nr::SET_ROBUST_LIST {
                t.robust_list = args[0];
            }
            input(t, c, args)
        }
    }
}

/// Logs (or checks) a call that the runtime answers with the thread id.
fn answer(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    if log::recording() {
        b.result = i64::from(t.tid);
        log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
        return Outcome::Done(b.result);
    }
    Outcome::Done(
        replay::expect_syscall(t, Kind::Syscall, u64::from(c.nr), &b)
            .1
            .result,
    )
}

fn arch_prctl(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const SET_CPUID: u64 = 0x1012;
    match args[0] {
        // GS is the runtime's; Wine is the one user known.
        SET_GS => refuse(t, Some(c), u64::from(c.nr), args, errno::EPERM, true),
        SET_CPUID => refuse(t, Some(c), u64::from(c.nr), args, errno::ENODEV, true),
        SET_FS => {
            let outcome = input(t, c, args);
            if !log::recording() {
                call(nr::ARCH_PRCTL, &[SET_FS, args[1]]);
            }
            outcome
        }
        _ => input(t, c, args),
    }
}
