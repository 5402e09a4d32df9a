//! Calls about signal state that the runtime keeps for the program.

use crate::arch::x86_64 as arch;
use crate::dispatch::{Outcome, body, input};
use crate::log::{self, Pieces};
use crate::process::process;
use crate::signal::{self, Action, AltStack};
use crate::sys::{errno, nr};
use crate::thread::Thread;
use crate::{memory, replay, shm};
use orch_abi::record::Kind;
use orch_abi::syscalls::Call;

const KILL_AND_STOP: u64 = 1 << 8 | 1 << 18;

/// Performs or replays one of them.
pub fn perform(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    match u64::from(c.nr) {
        nr::RT_SIGRETURN => signal::sigreturn(t),
        nr::RT_SIGACTION => virtual_call(t, c, args, sigaction),
        nr::RT_SIGPROCMASK => {
            let outcome = virtual_call(t, c, args, sigprocmask);
            if log::recording() && t.caught == 0 {
                signal::apply_mask(t);
            }
            outcome
        }
        nr::SIGALTSTACK => virtual_call(t, c, args, sigaltstack),
        nr::RT_SIGSUSPEND => sigsuspend(t, c, args),
        _ => input(t, c, args),
    }
}

/// A call that the runtime answers itself, from state that replay has too.
pub(super) fn virtual_call(
    t: &mut Thread,
    c: &Call,
    args: &[u64; 6],
    f: fn(&mut Thread, &[u64; 6]) -> i64,
) -> Outcome {
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    b.result = f(t, args);
    if log::recording() {
        memory::collect_outputs(t, c, args, b.result, &mut pieces);
        log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
    } else {
        let (_, result) = replay::expect_syscall(t, Kind::Syscall, u64::from(c.nr), &b);
        if result != b.result {
            replay::diverge(
                t,
                Kind::Syscall,
                u64::from(c.nr),
                &b,
                format_args!("it returns {} here", b.result),
            );
        }
    }
    Outcome::Done(b.result)
}

/// Reads a plain structure of the program's.
pub fn fetch<T: Copy>(t: &mut Thread, addr: u64) -> Option<T> {
    let mut value = None;
    let addr = shm::copy(addr);
    // SAFETY: guarded; T is one of the plain structures of the ABI.
    let ok = arch::guarded(t, || {
        value = Some(unsafe { (addr as *const T).read_unaligned() })
    });
    if ok { value } else { None }
}

/// Writes a plain structure of the program's; false if it is not writable.
pub fn store<T: Copy>(t: &mut Thread, addr: u64, value: T) -> bool {
    let at = shm::alias(addr);
    // SAFETY: guarded; the program asked for it to be written there.
    let ok = arch::guarded(t, || unsafe { (at as *mut T).write_unaligned(value) });
    shm::written(addr, size_of::<T>() as u64);
    ok
}

fn sigaction(t: &mut Thread, args: &[u64; 6]) -> i64 {
    let signal = args[0];
    if args[3] != 8 || !(1..=64).contains(&signal) {
        return -errno::EINVAL;
    }
    if args[1] != 0 && KILL_AND_STOP & 1 << (signal - 1) != 0 {
        return -errno::EINVAL;
    }
    let old = process().own.actions[signal as usize - 1];
    let new = if args[1] == 0 {
        None
    } else {
        match fetch::<Action>(t, args[1]) {
            Some(a) => Some(a),
            None => return -errno::EFAULT,
        }
    };
    if args[2] != 0 && !store(t, args[2], old) {
        return -errno::EFAULT;
    }
    if let Some(mut new) = new {
        new.mask &= !KILL_AND_STOP;
        signal::set_action(signal as u32, new);
    }
    0
}

fn sigprocmask(t: &mut Thread, args: &[u64; 6]) -> i64 {
    if args[3] != 8 {
        return -errno::EINVAL;
    }
    let old = t.mask;
    if args[1] != 0 {
        let Some(set) = fetch::<u64>(t, args[1]) else {
            return -errno::EFAULT;
        };
        let new = match args[0] {
            0 => old | set,
            1 => old & !set,
            2 => set,
            _ => return -errno::EINVAL,
        };
        t.mask = new & !KILL_AND_STOP;
    }
    if args[2] != 0 && !store(t, args[2], old) {
        return -errno::EFAULT;
    }
    0
}

fn sigaltstack(t: &mut Thread, args: &[u64; 6]) -> i64 {
    let new = if args[0] == 0 {
        None
    } else {
        match fetch::<AltStack>(t, args[0]) {
            Some(s) => Some(s),
            None => return -errno::EFAULT,
        }
    };
    let mut old = AltStack {
        sp: 0,
        flags: 0,
        size: 0,
    };
    let r = signal::altstack(t, new, Some(&mut old));
    if args[1] != 0 && !store(t, args[1], old) {
        return -errno::EFAULT;
    }
    r
}

/// sigsuspend(2): the temporary mask lasts until the handler's frame is built.
fn sigsuspend(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    let Some(set) = fetch::<u64>(t, args[0]) else {
        return input(t, c, args);
    };
    let saved = t.mask;
    let outcome = input(t, c, args);
    if matches!(outcome, Outcome::Done(_)) {
        t.restore_mask = Some(saved);
        t.mask = set & !KILL_AND_STOP;
    }
    outcome
}
