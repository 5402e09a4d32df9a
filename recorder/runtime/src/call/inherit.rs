//! Futexes that inherit priority (futex(2), FUTEX_LOCK_PI), in private memory: the kernel
//! would change their words at any instant, while other threads run. What it would do is
//! done here, under the baton. Priorities it has none to give: threads take turns.

use super::signal::{fetch, store, virtual_call};
use crate::dispatch::{Outcome, input};
use crate::log;
use crate::sys::{call, errno, nr};
use crate::thread::{self, Life, Thread};
use orch_abi::syscalls::Call;

const TID: u32 = 0x3fff_ffff;
const WAITERS: u32 = 0x8000_0000;

const WAKE: u64 = 1;
const LOCK_PI: u64 = 6;
const UNLOCK_PI: u64 = 7;
const TRYLOCK_PI: u64 = 8;
const WAIT_BITSET: u64 = 9;
const COMMAND: u64 = 0x7f;
const PRIVATE: u64 = 0x80;
const CLOCK_REALTIME: u64 = 0x100;

/// Performs or replays one of them.
pub fn perform(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    match args[1] & COMMAND {
        UNLOCK_PI => virtual_call(t, c, args, unlock),
        TRYLOCK_PI => virtual_call(t, c, args, take),
        _ => match fetch::<u32>(t, args[0]) {
            Some(word) if word & TID != t.tid && is_alive(word & TID) => wait(t, c, args, word),
            _ => virtual_call(t, c, args, take),
        },
    }
}

/// Takes the lock, if it is free.
fn take(t: &mut Thread, args: &[u64; 6]) -> i64 {
    let Some(word) = fetch::<u32>(t, args[0]) else {
        return -errno::EFAULT;
    };
    match word & TID {
        // Others may wait, and its last owner may have died: those bits stay.
        0 if store(t, args[0], word | t.tid) => 0,
        0 => -errno::EFAULT,
        owner if owner == t.tid => -errno::EDEADLK,
        owner if is_alive(owner) => -errno::EAGAIN,
        _ => -errno::ESRCH,
    }
}

fn unlock(t: &mut Thread, args: &[u64; 6]) -> i64 {
    if fetch::<u32>(t, args[0]).is_none_or(|word| word & TID != t.tid) {
        return -errno::EPERM;
    }
    store(t, args[0], 0_u32);
    if log::recording() {
        let everybody = i32::MAX as u64;
        call(nr::FUTEX, &[args[0], WAKE | args[1] & PRIVATE, everybody]);
    }
    0
}

/// Waits until the lock may be free, and has the program ask again.
fn wait(t: &mut Thread, c: &Call, args: &[u64; 6], word: u32) -> Outcome {
    let marked = word | WAITERS;
    store(t, args[0], marked);
    let clock = if args[1] & COMMAND == LOCK_PI {
        CLOCK_REALTIME
    } else {
        args[1] & CLOCK_REALTIME
    };
    let how = WAIT_BITSET | args[1] & PRIVATE | clock;
    let anybody = u64::from(u32::MAX);
    match input(t, c, &[args[0], how, marked.into(), args[3], 0, anybody]) {
        Outcome::SignalFirst => {
            // It was not called, nor is it in the log.
            store(t, args[0], word);
            Outcome::SignalFirst
        }
        Outcome::Done(0) => Outcome::Restart,
        Outcome::Done(e) if e == -errno::EAGAIN || e == -errno::EINTR => Outcome::Restart,
        other => other,
    }
}

/// Whether it is a thread of the process. One that has not begun has no number yet when recorded.
fn is_alive(tid: u32) -> bool {
    let mut found = false;
    thread::each(|t| found |= tid != 0 && t.life == Life::Alive && t.tid == tid);
    found
}
