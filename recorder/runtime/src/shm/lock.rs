//! Locks of shared memory's lines, taken by whoever stores there. A lock holds
//! the owner's thread id; one whose owner is dead is taken over.

use crate::log;
use crate::sys::{self, call, nr};
use core::sync::atomic::{AtomicU32, Ordering};
use orch_abi::layout::PAGE;
use orch_abi::shared::{LINE, LINES};

/// Lines of a page.
const PER_PAGE: usize = (PAGE / LINE) as usize;

/// Index of the lock of the line at `offset` in `object`. The lines of a page
/// have consecutive locks.
#[inline]
pub fn index(object: u32, offset: u64) -> usize {
    let base = object.wrapping_mul(0x9e37_79b1) as u64 & !(PER_PAGE as u64 - 1);
    (base.wrapping_add(offset / LINE) % LINES as u64) as usize
}

/// The line locks that are held together: one or two lines.
#[derive(Clone, Copy)]
pub struct Held {
    first: usize,
    last: usize,
}

/// No line.
pub const NONE: Held = Held { first: 0, last: 0 };

/// Locks the lines of `len` bytes (at most a line's length) at `offset`.
#[inline]
pub fn lines(object: u32, offset: u64, len: u64, tid: u32) -> Held {
    let first = index(object, offset);
    let locks = &log::control().lines;
    if offset % LINE + len <= LINE {
        acquire(&locks[first], tid);
        return Held { first, last: first };
    }
    let last = index(object, offset + len - 1);
    loop {
        acquire(&locks[first], tid);
        // Never waits with a lock held: others take them in another order.
        if try_acquire(&locks[last], tid) {
            return Held { first, last };
        }
        release(&locks[first]);
        acquire(&locks[last], tid);
        release(&locks[last]);
    }
}

/// Unlocks them.
#[inline]
pub fn unlock_lines(held: Held) {
    let locks = &log::control().lines;
    if held.last != held.first {
        release(&locks[held.last]);
    }
    release(&locks[held.first]);
}

/// Locks all lines of the page at `offset`. Only the holder of the pages' lock may wait here.
pub fn page(object: u32, offset: u64, tid: u32) {
    let first = index(object, offset & !(PAGE - 1));
    for lock in &log::control().lines[first..first + PER_PAGE] {
        acquire(lock, tid);
    }
}

/// Unlocks them.
pub fn unlock_page(object: u32, offset: u64) {
    let first = index(object, offset & !(PAGE - 1));
    for lock in &log::control().lines[first..first + PER_PAGE] {
        release(lock);
    }
}

/// The lock of those who open whole pages.
pub fn pages(tid: u32) {
    acquire(&log::control().pages_lock, tid);
}

/// Unlocks it.
pub fn unlock_pages() {
    release(&log::control().pages_lock);
}

#[inline]
fn try_acquire(lock: &AtomicU32, tid: u32) -> bool {
    lock.load(Ordering::Relaxed) == 0
        && lock
            .compare_exchange(0, tid, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
}

/// Takes a lock.
#[inline]
pub fn acquire(lock: &AtomicU32, tid: u32) {
    if lock
        .compare_exchange(0, tid, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        wait(lock, tid);
    }
}

/// Gives it back.
#[inline]
pub fn release(lock: &AtomicU32) {
    lock.store(0, Ordering::Release);
    // A sleeper that this misses wakes by itself before long.
    if log::control().lock_sleepers.load(Ordering::Relaxed) != 0 {
        sys::futex_wake(lock, 1);
    }
}

#[cold]
fn wait(lock: &AtomicU32, tid: u32) {
    for round in 1_u32.. {
        for _ in 0..100 {
            if try_acquire(lock, tid) {
                return;
            }
            core::hint::spin_loop();
        }
        if round < 4 {
            const SCHED_YIELD: u64 = 24;
            call(SCHED_YIELD, &[]);
            continue;
        }
        let sleepers = &log::control().lock_sleepers;
        sleepers.fetch_add(1, Ordering::Relaxed);
        let owner = lock.load(Ordering::Relaxed);
        if owner != 0 {
            sys::futex_wait(lock, owner, 2);
        }
        sleepers.fetch_sub(1, Ordering::Relaxed);
        if (round == 6 || round % 16 == 0)
            && owner != 0
            && is_dead(owner)
            && lock
                .compare_exchange(owner, tid, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        {
            return;
        }
    }
}

/// Whether a thread runs no more. One that was killed and that nobody has
/// waited for still has its id: its state tells (proc_pid_stat(5)).
fn is_dead(tid: u32) -> bool {
    let mut path = [0_u8; 24];
    path[..6].copy_from_slice(b"/proc/");
    let n = 6 + sys::decimal(tid.into(), &mut path[6..]);
    path[n..n + 5].copy_from_slice(b"/stat");
    const AT_FDCWD: u64 = -100_i64 as u64;
    let fd = call(nr::OPENAT, &[AT_FDCWD, path.as_ptr() as u64, 0]);
    const ENOENT: i64 = -2;
    if fd < 0 {
        return fd == ENOENT;
    }
    let mut stat = [0_u8; 128];
    let got = sys::call(nr::READ, &[fd as u64, stat.as_mut_ptr() as u64, 128]);
    call(nr::CLOSE, &[fd as u64]);
    const ESRCH: i64 = -3;
    if got <= 0 {
        return got == ESRCH;
    }
    // The name in parentheses may hold anything; the state follows the last one.
    let stat = &stat[..got as usize];
    match stat.iter().rposition(|&b| b == b')') {
        Some(end) => matches!(stat.get(end + 2), Some(b'Z' | b'X' | b'x')),
        None => false,
    }
}
