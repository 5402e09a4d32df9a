//! Locks and clocks of shared memory's lines, taken by whoever stores there, or
//! finds something new. A lock holds the owner's thread id; one whose owner is
//! dead is taken over.

use crate::sys::{self, call, nr};
use crate::{log, stage};
use core::sync::atomic::{AtomicU32, Ordering};
use orch_abi::layout::PAGE;
use orch_abi::shared::{LINE, LINES, Line};

/// Lines of a page.
const PER_PAGE: usize = (PAGE / LINE) as usize;
/// Locks in a line of the processor's: those of neighbours are not in one, or who
/// goes through memory would meet who follows.
const TOGETHER: usize = LINE as usize / size_of::<Line>();

/// Index of the first lock of the page at `offset` in `object`: those of its
/// lines are together.
pub fn of_page(object: u32, offset: u64) -> usize {
    let base = (object.wrapping_mul(0x9e37_79b1) as usize).wrapping_mul(PER_PAGE);
    base.wrapping_add((offset / PAGE) as usize * PER_PAGE) % LINES
}

/// Where among those the lock of a line is. Views begin at pages, so an address
/// tells as well as an offset.
#[inline(always)]
fn within_page(address: u64) -> usize {
    let line = (address / LINE) as usize % PER_PAGE;
    line % (PER_PAGE / TOGETHER) * TOGETHER + line / (PER_PAGE / TOGETHER)
}

#[inline(always)]
fn line_at(index: u32) -> &'static Line {
    &log::control().lines.0[index as usize % LINES]
}

/// The locks of one or two lines, held together.
#[derive(Clone, Copy)]
pub struct Held {
    first: u32,
    last: u32,
}

impl Held {
    /// The line at `address`, in a page whose first lock is `page`.
    #[inline(always)]
    pub fn one(page: u64, address: u64) -> Self {
        let index = page as u32 + within_page(address) as u32;
        Self {
            first: index,
            last: index,
        }
    }

    /// Locks one line, if nobody has it.
    #[inline(always)]
    pub fn try_lock(self, tid: u32) -> bool {
        try_acquire(&line_at(self.first).lock, tid)
    }

    /// Unlocks them.
    #[inline(always)]
    pub fn unlock(self) {
        if self.last != self.first {
            release(&line_at(self.last).lock);
        }
        release(&line_at(self.first).lock);
    }

    /// The tick of an access to them.
    #[inline(always)]
    pub fn tick(self) -> u64 {
        let (first, last) = (line_at(self.first), line_at(self.last));
        let seen = |line: &Line| line.tick.load(Ordering::Relaxed);
        let tick = stage::above(seen(first).max(seen(last)));
        first.tick.store(tick, Ordering::Relaxed);
        last.tick.store(tick, Ordering::Relaxed);
        tick
    }
}

/// Locks the lines of `len` bytes (at most a line's length) at `offset`.
pub fn lines(object: u32, offset: u64, len: u64, tid: u32) -> Held {
    let end = offset + len - 1;
    let first = Held::one(of_page(object, offset) as u64, offset);
    let last = Held::one(of_page(object, end) as u64, end);
    let held = Held {
        first: first.first,
        last: last.last,
    };
    let (first, last) = (&line_at(held.first).lock, &line_at(held.last).lock);
    loop {
        acquire(first, tid);
        // Never waits with a lock held: others take them in another order.
        if held.first == held.last || try_acquire(last, tid) {
            return held;
        }
        release(first);
        acquire(last, tid);
        release(last);
    }
}

/// The locks of a page, or of those of its lines that hold some range.
#[derive(Clone, Copy)]
pub struct Span {
    page: u32,
    /// First and last line.
    lines: (u32, u32),
}

impl Span {
    /// Of `len` bytes within the page at `offset`.
    pub fn new(object: u32, offset: u64, len: u64) -> Self {
        let line = |at: u64| (at / LINE) as u32 % PER_PAGE as u32;
        Self {
            page: of_page(object, offset) as u32,
            lines: (line(offset), line(offset + len - 1)),
        }
    }

    /// Of the whole page at `offset`.
    pub fn page(object: u32, offset: u64) -> Self {
        Self::new(object, offset & !(PAGE - 1), PAGE)
    }

    /// Whether they are the same locks, of whatever object.
    pub fn same_page(self, other: Self) -> bool {
        self.page == other.page
    }

    fn each(self) -> impl Iterator<Item = &'static Line> {
        let (first, last) = self.lines;
        (first..=last).map(move |n| {
            let within = within_page(u64::from(n) * LINE);
            line_at(self.page + within as u32)
        })
    }

    /// Locks them. Of those who lock more than one span, only the holder of the
    /// pages' lock may come here with one held.
    pub fn lock(self, tid: u32) {
        self.each().for_each(|line| acquire(&line.lock, tid));
    }

    /// Unlocks them.
    pub fn unlock(self) {
        self.each().for_each(|line| release(&line.lock));
    }

    /// The tick of an access to all of them.
    pub fn tick(self) -> u64 {
        let ticks = self.each().map(|line| line.tick.load(Ordering::Relaxed));
        let tick = stage::above(ticks.max().unwrap_or_default());
        self.each()
            .for_each(|line| line.tick.store(tick, Ordering::Relaxed));
        tick
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

#[inline(always)]
fn try_acquire(lock: &AtomicU32, tid: u32) -> bool {
    // At once: to look first would fetch the lock's line from its last owner twice.
    lock.compare_exchange(0, tid, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Takes a lock.
#[inline]
pub fn acquire(lock: &AtomicU32, tid: u32) {
    if !try_acquire(lock, tid) {
        wait(lock, tid);
    }
}

/// Gives it back.
#[inline(always)]
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
            if lock.load(Ordering::Relaxed) == 0 && try_acquire(lock, tid) {
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
