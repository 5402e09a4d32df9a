//! Calls about the calling thread's own state.

use super::inherit;
use crate::call::signal::store;
use crate::dispatch::{Outcome, body, input, refuse};
use crate::log::{self, Pieces};
use crate::sys::{call, errno, nr};
use crate::thread::Thread;
use crate::{memory, replay, robust, shm};
use orch_abi::record::Kind;
use orch_abi::syscalls::Call;

/// Performs or replays one of them.
pub fn perform(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    match u64::from(c.nr) {
        nr::ARCH_PRCTL => arch_prctl(t, c, args),
        nr::SET_TID_ADDRESS => {
            t.clear_tid = args[0];
            let tid = i64::from(t.tid);
            let outcome = answer(t, c, args, tid);
            if let Outcome::Done(tid) = outcome {
                // In replay a new image's first thread has another number of its own.
                t.tid = tid as u32;
            }
            outcome
        }
        nr::SET_ROBUST_LIST => {
            let result = robust::set_list(t, args[0], args[1]);
            answer(t, c, args, result)
        }
        nr::GET_ROBUST_LIST if args[0] == 0 || args[0] == u64::from(t.tid) => {
            let (list, len) = (t.robust.program, robust::HEAD_LEN);
            let stored = store(t, args[1], list) && store(t, args[2], len);
            answer_stored(t, c, args, stored)
        }
        nr::FUTEX if !shm::touches(args[0], 4) => inherit::perform(t, c, args),
        _ => input(t, c, args),
    }
}

/// Logs (or checks) a call that the runtime answers.
fn answer(t: &mut Thread, c: &Call, args: &[u64; 6], result: i64) -> Outcome {
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    if log::recording() {
        b.result = result;
        log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
        return Outcome::Done(b.result);
    }
    Outcome::Done(replay::expect_syscall(t, Kind::Syscall, u64::from(c.nr), &b).1)
}

fn arch_prctl(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const GET_GS: u64 = 0x1004;
    const SET_CPUID: u64 = 0x1012;
    match args[0] {
        // GS is the runtime's; Wine is the one user known.
        SET_GS => refuse(t, Some(c), u64::from(c.nr), args, errno::EPERM, true),
        GET_GS => {
            let stored = store(t, args[1], 0_u64);
            answer_stored(t, c, args, stored)
        }
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

/// prctl(2) about things that the recorder has changed: the program is told
/// what it would be without. `None` for all others.
pub fn prctl(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Option<Outcome> {
    const PR_GET_TSC: u64 = 25;
    const PR_GET_TID_ADDRESS: u64 = 40;
    const PR_TSC_ENABLE: u32 = 1;
    if !matches!(args[0], PR_GET_TSC | PR_GET_TID_ADDRESS) {
        return None;
    }
    let stored = if args[0] == PR_GET_TSC {
        store(t, args[1], PR_TSC_ENABLE)
    } else {
        store(t, args[1], t.clear_tid)
    };
    Some(answer_stored(t, c, args, stored))
}

/// Logs (or checks) a call whose outputs the runtime has stored, if they could be.
fn answer_stored(t: &mut Thread, c: &Call, args: &[u64; 6], stored: bool) -> Outcome {
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    b.result = if stored { 0 } else { -errno::EFAULT };
    if log::recording() {
        memory::collect_outputs(t, c, args, b.result, &mut pieces);
        log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
    } else {
        replay::expect_syscall(t, Kind::Syscall, u64::from(c.nr), &b);
    }
    Outcome::Done(b.result)
}
