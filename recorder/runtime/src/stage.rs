//! The process's clock, and records that accesses to shared memory leave on their
//! way to the ring. Both are out of the reach of the protection key, so that an
//! access costs no change of rights; the ring is not, and gets many at a time.
//!
//! Ticks order what happens one after the other. An event that passes through the
//! kernel takes its tick from the session clock, and begins by putting that ahead of
//! all the process did before ([`publish`]). An access to shared memory takes one
//! above the process's own and its line's ([`above`]): two processes that never look
//! at the same lines do not meet at the session clock either, but for every
//! [`DRIFT`] ticks, so that all clocks tell about the same time.

use crate::log::{control, copy_padded, cursor};
use crate::shm;
use core::sync::atomic::Ordering;
use orch_abi::layout::{STAGE_LEN, STAGE_OFFSET, slot_address};
use orch_abi::record::{Head, Kind, pad8};
use orch_abi::shared::{DRIFT, STAGE_BYTES, Stage};

/// Most bytes that the records of one access have: of a load and a store that
/// replaces what was not seen, of a line each.
const MOST: usize = 512;

static mut STAGE: *mut Stage = core::ptr::null_mut();

#[inline(always)]
fn stage() -> &'static Stage {
    // SAFETY: set by `open`, mapped for as long as the process lives.
    unsafe { &*STAGE }
}

/// Takes the stage of slot `index`. The clock goes on where it was.
pub fn open(index: u32) {
    // SAFETY: as for `stage`; only the baton's holder is here.
    unsafe {
        let before = if STAGE.is_null() { 0 } else { last() };
        STAGE = (slot_address(index) + STAGE_OFFSET) as *mut Stage;
        stage().tick.store(before, Ordering::Relaxed);
    }
    clear();
}

/// The memory that the protection key must leave open: address and length.
pub fn memory() -> (u64, u64) {
    (&raw const *stage() as u64, STAGE_LEN)
}

// ------------------------------------------------------------------- ticks

/// The last tick that the process took.
#[inline(always)]
pub fn last() -> u64 {
    stage().tick.load(Ordering::Relaxed)
}

/// A tick of the session clock, for what passes through the kernel.
#[inline(always)]
pub fn tick() -> u64 {
    let clock = &control().clock;
    let mut tick = clock.fetch_add(1, Ordering::AcqRel);
    if tick <= last() {
        tick = last() + 1;
        clock.fetch_max(tick + 1, Ordering::AcqRel);
    }
    stage().tick.store(tick, Ordering::Relaxed);
    tick
}

/// What [`tick`] would answer at least.
pub fn next_tick() -> u64 {
    control().clock.load(Ordering::Relaxed).max(last() + 1)
}

/// The process is about to do something that others may learn of by the kernel:
/// what follows from it elsewhere has a higher tick than what precedes it here.
#[inline(always)]
pub fn publish() {
    if shm::any() {
        let clock = &control().clock;
        if clock.load(Ordering::Relaxed) <= last() {
            clock.fetch_max(last() + 1, Ordering::AcqRel);
        }
    }
}

/// A tick above `line`, for an access under that line's lock.
#[inline(always)]
pub fn above(line: u64) -> u64 {
    let clock = control().clock.load(Ordering::Relaxed);
    let tick = (last().max(line) + 1).max(clock);
    stage().tick.store(tick, Ordering::Relaxed);
    tick
}

// ----------------------------------------------------------------- records

/// Bytes that are staged.
#[inline(always)]
pub fn len() -> usize {
    stage().len.load(Ordering::Relaxed) as usize
}

/// What is staged.
pub fn records() -> &'static [u8] {
    &stage().bytes[..len()]
}

/// What was staged is in the ring.
pub fn clear() {
    stage().len.store(0, Ordering::Relaxed);
}

/// Whether an access may be logged as things are: there is room, and the clocks
/// are together.
#[inline(always)]
pub fn is_ready() -> bool {
    len() <= STAGE_BYTES - MOST
        && last() < control().clock.load(Ordering::Relaxed).wrapping_add(DRIFT)
}

/// Makes it so. Needs the runtime's rights.
#[cold]
pub fn make_ready() {
    if len() > STAGE_BYTES - MOST {
        crate::log::unstage();
    }
    publish();
}

/// A record that is being staged.
pub struct Record {
    /// Where it ends so far.
    at: usize,
}

/// Begins a record of `len` payload bytes, for which there is room. `site` tells
/// records of one place from others: alike as they are, they are kept in few bytes.
#[inline(always)]
pub fn begin(kind: Kind, flags: u8, site: u32, tick: u64, len: usize) -> Record {
    let mut record = Record { at: self::len() };
    if record.at == 0 {
        stage().base.store(cursor(), Ordering::Relaxed);
    }
    record.part(&Head {
        kind: kind as u8,
        flags,
        aux: site as u16,
        len: len as u32,
        tick,
    });
    record
}

impl Record {
    /// Adds a plain structure, of a multiple of 8 bytes.
    #[inline(always)]
    pub fn part<T: Copy>(&mut self, value: &T) {
        // SAFETY: `is_ready` has made room; all parts are aligned to 8.
        unsafe { self.end_at().cast::<T>().write(*value) };
        self.at += size_of::<T>();
    }

    /// Adds bytes, and zeros up to a multiple of 8.
    #[inline(always)]
    pub fn bytes(&mut self, from: *const u8, len: usize) {
        // SAFETY: as for `part`; the caller's bytes are readable.
        unsafe { copy_padded(from, self.end_at(), len) };
        self.at += pad8(len);
    }

    #[inline(always)]
    fn end_at(&self) -> *mut u8 {
        // SAFETY: within the stage.
        unsafe { (&raw mut (*STAGE).bytes).cast::<u8>().add(self.at) }
    }

    /// It is whole.
    #[inline(always)]
    pub fn end(self) {
        stage().len.store(self.at as u64, Ordering::Release);
    }
}
