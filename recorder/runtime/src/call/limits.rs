//! Limits on a process's memory (getrlimit(2)): what the runtime maps is not the program's, so
//! the kernel is told of more than the program asks for.

use super::signal::{fetch, store};
use crate::dispatch::{Outcome, body, input};
use crate::log::{self, Pieces};
use crate::memory;
use crate::sys::{call, errno, nr};
use crate::thread::Thread;
use orch_abi::layout::{ARENA_LEN, PAGE, RUNTIME_LEN};
use orch_abi::record::Kind;
use orch_abi::syscalls::Call;

/// `struct rlimit64`: the soft and the hard limit.
type Limits = [u64; 2];

const INFINITY: u64 = u64::MAX;
/// By this a limit is known again that has been raised, also behind an execve: programs ask
/// for whole pages.
const MARK: u64 = 0x5a5;

/// Bytes that are added.
fn added(resource: u64) -> Option<u64> {
    const DATA: u64 = 2;
    const AS: u64 = 9;
    match resource {
        // Stubs, and the stacks of threads in the runtime.
        DATA => Some((256 << 20) + MARK),
        AS => Some(ARENA_LEN + RUNTIME_LEN + (64 << 20) + MARK),
        _ => None,
    }
}

fn raised(limit: u64, added: u64) -> u64 {
    let whole = limit.checked_next_multiple_of(PAGE);
    let raised = whole.and_then(|limit| limit.checked_add(added));
    raised.unwrap_or(INFINITY)
}

fn lowered(limit: u64, added: u64) -> u64 {
    if limit != INFINITY && limit % PAGE == MARK {
        limit.saturating_sub(added)
    } else {
        limit
    }
}

/// getrlimit, setrlimit, prlimit64.
pub fn perform(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    let (pid, resource, new, old) = match u64::from(c.nr) {
        nr::GETRLIMIT => (0, args[0], 0, args[1]),
        nr::SETRLIMIT => (0, args[0], args[1], 0),
        _ => (args[0], args[1], args[2], args[3]),
    };
    let Some(added) = added(resource & 0xffff_ffff).filter(|_| log::recording()) else {
        return input(t, c, args);
    };
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    b.result = match exchange(t, [pid, resource], added, new) {
        Ok(current) if old == 0 || store(t, old, current) => 0,
        Ok(_) => -errno::EFAULT,
        Err(e) => e,
    };
    memory::collect_outputs(t, c, args, b.result, &mut pieces);
    log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
    Outcome::Done(b.result)
}

/// Sets the limits that are at `new`, if that is an address; what they were for the program.
fn exchange(t: &mut Thread, whose: [u64; 2], added: u64, new: u64) -> Result<Limits, i64> {
    let [pid, resource] = whose;
    let mut current: Limits = [0; 2];
    let prlimit = |new: u64, old: u64| match call(nr::PRLIMIT64, &[pid, resource, new, old]) {
        0 => Ok(()),
        e => Err(e),
    };
    prlimit(0, current.as_mut_ptr() as u64)?;
    let known = current.map(|limit| lowered(limit, added));
    if new != 0 {
        let wanted = fetch::<Limits>(t, new).ok_or(-errno::EFAULT)?;
        // What is left as it is needs no privilege.
        let limit = |i: usize| match wanted[i] {
            limit if limit == known[i] => current[i],
            limit => raised(limit, added),
        };
        let [soft, hard] = [limit(0), limit(1)];
        let kernel: Limits = if wanted[0] <= wanted[1] {
            [soft.min(hard), hard]
        } else {
            wanted
        };
        prlimit(kernel.as_ptr() as u64, 0)?;
    }
    Ok(known)
}
