//! Memory that processes share. The program's view of it has no permissions;
//! the runtime reaches it by an *alias*, a second view that is always open,
//! and keeps a *copy*, private, of what this process last saw.
//!
//! A load that finds alias and copy equal is one that replay can repeat alone;
//! one that does not takes the locks of its lines and a tick, brings the copy up to
//! date and logs what it saw. A store does the same, and is logged with what it stored.
//! So the ticks of all accesses to the same bytes are in their true order.
//! Replay has memory of its own in place of the alias, puts in what the loads
//! saw at the same accesses, and compares what is stored.
//!
//! Most accesses are made by stubs (`gate`, `site`): the program's code jumps
//! to them, or its faults are sent there. String instructions are done by the runtime
//! (`string`). What has no stub runs on the page itself, opened for one instruction (`step`).

mod access;
mod bytes;
mod code;
mod gate;
mod lock;
mod object;
mod pages;
mod site;
mod step;
mod string;

pub use access::{
    at_access, bus, call_logged, countdown_at, failed, hurry, made, rearm, store_by_call,
    take_back, written,
};
pub use code::{generated, may_change};
pub use gate::{Pending, abandon, after, before, quick, quick_after};
pub use object::is_known;
pub use site::{displaces, forget, in_stub, original, overlay, restore, resume_address};
pub use step::{close, fault, stepped, stepping};

use crate::sys::{self, call, mm, nr};
use crate::thread::{self, Thread};
use crate::{log, robust, stage};
use orch_abi::access::{PAGES, Page};
use orch_abi::layout::{PAGE, SHARED_BASE, SHARED_LEN, SHARED_TABLES_LEN};
use orch_abi::stop::{Layout, Region};

const MAX_REGIONS: usize = 1024;
/// Where aliases and copies are.
const PLACES: core::ops::Range<u64> = SHARED_BASE + SHARED_TABLES_LEN..SHARED_BASE + SHARED_LEN;

struct State {
    regions: [Region; MAX_REGIONS],
    count: usize,
    /// Where an address was found last.
    last: usize,
    /// Where aliases and copies are looked for a place next.
    next: u64,
}

const NOWHERE: Region = Region {
    start: 0,
    len: 0,
    prot: 0,
    alias: 0,
    copy: 0,
    object: 0,
    reserved: 0,
    offset: 0,
};

static mut STATE: State = State {
    regions: [NOWHERE; MAX_REGIONS],
    count: 0,
    last: 0,
    next: PLACES.start,
};

fn state() -> &'static mut State {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut STATE }
}

fn regions() -> &'static mut [Region] {
    let s = state();
    &mut s.regions[..s.count]
}

#[inline]
fn find(addr: u64) -> Option<&'static Region> {
    let s = state();
    let last = &s.regions[s.last];
    if addr.wrapping_sub(last.start) < last.len && s.last < s.count {
        return Some(last);
    }
    let found = s.regions[..s.count]
        .iter()
        .position(|r| addr.wrapping_sub(r.start) < r.len)?;
    s.last = found;
    Some(&s.regions[found])
}

/// Whether the process has any shared memory.
#[inline]
pub fn any() -> bool {
    state().count > 0
}

/// Address at which the kernel and the runtime reach what the program sees at `addr`.
#[inline]
pub fn alias(addr: u64) -> u64 {
    find(addr).map_or(addr, |r| r.alias(addr))
}

/// Whether the program may store to all of the range that is shared.
pub fn may_store(start: u64, len: u64) -> bool {
    let end = start.saturating_add(len);
    let mut inside = regions()
        .iter()
        .filter(|r| r.start < end && start < r.start + r.len);
    inside.all(|r| r.prot & mm::WRITE != 0)
}

/// Address of what this process last saw at `addr`.
#[inline]
pub fn copy(addr: u64) -> u64 {
    find(addr).map_or(addr, |r| r.copy(addr))
}

/// What is mapped.
#[derive(Clone, Copy)]
pub enum What {
    /// Anonymous memory.
    Anonymous,
    /// The file behind a descriptor.
    File(u64),
    /// A System V segment.
    Segment(u64),
}

/// A shared mapping was made. What is in it already is news to this process,
/// to be logged when it looks.
pub fn add(start: u64, len: u64, prot: u64, what: What, offset: u64) {
    let tid = thread::current().tid;
    if !any() {
        open_lines();
        open_stage();
    }
    let object = if !log::recording() {
        0
    } else {
        match what {
            What::Anonymous => object::anonymous(tid),
            What::File(fd) => object::of_file(fd, tid),
            What::Segment(id) => object::of_segment(id, tid),
        }
    };
    let len = len.div_ceil(PAGE) * PAGE;
    let (alias, copy) = reserve(len);
    // Old length 0 makes a second mapping of the same pages (mremap(2)).
    let flags = mm::MREMAP_MAYMOVE | mm::MREMAP_FIXED;
    if call(nr::MREMAP, &[start, 0, len, flags, alias]) != alias as i64 {
        crate::fail("shared memory cannot be mapped a second time");
    }
    call(nr::MPROTECT, &[alias, len, alias_prot(prot)]);
    sys::map_anonymous(copy, len, mm::READ | mm::WRITE);
    call(nr::MPROTECT, &[start, len, 0]);
    push(Region {
        start,
        len,
        prot,
        alias,
        copy,
        object,
        reserved: 0,
        offset,
    });
    if log::recording() {
        object::view(start, len, object, offset, prot);
    }
    flush();
}

/// Accesses come without rights to what the protection key keeps.
fn open(addr: u64, len: u64) {
    if log::recording() && thread::current().keyed != 0 {
        const NO_KEY: u64 = 0;
        let prot = mm::READ | mm::WRITE;
        call(nr::PKEY_MPROTECT, &[addr, len, prot, NO_KEY]);
    }
}

fn open_lines() {
    let lines = &log::control().lines;
    open(&raw const *lines as u64, size_of_val(lines) as u64);
}

/// Each process has its own.
fn open_stage() {
    let (addr, len) = stage::memory();
    open(addr, len);
}

/// A mapping that can only be read has an alias that can only be read: the
/// kernel would not let it be opened for writing. One that is closed has none: system
/// calls fail there.
fn alias_prot(prot: u64) -> u64 {
    match prot {
        _ if !log::recording() => mm::READ | mm::WRITE,
        0 => 0,
        _ => mm::READ | prot & mm::WRITE,
    }
}

/// A free place for `len` bytes and as many more: behind the last one that was found, as
/// long as there is one.
fn place(len: u64) -> Option<u64> {
    let size = len.checked_mul(2)?;
    let (mut at, mut around) = (state().next, false);
    loop {
        let end = at.checked_add(size)?;
        if end > PLACES.end {
            if around {
                return None;
            }
            (at, around) = (PLACES.start, true);
            continue;
        }
        let taken = |r: &Region| {
            let ends = [r.alias, r.copy].map(|a| (a, a + r.len));
            ends.into_iter().find(|&(from, to)| from < end && at < to)
        };
        match regions().iter().find_map(taken) {
            Some((_, to)) => at = to,
            None => return Some(at),
        }
    }
}

fn reserve(len: u64) -> (u64, u64) {
    let Some(alias) = place(len) else {
        crate::fail("too much shared memory for the recorder");
    };
    state().next = alias + 2 * len;
    (alias, alias + len)
}

/// Whether `len` more bytes can be mapped, or the ends of a range be made ends of regions.
pub fn has_room(len: u64) -> bool {
    let most = len.checked_next_multiple_of(PAGE);
    state().count + 3 <= MAX_REGIONS && object::has_room() && most.and_then(place).is_some()
}

/// Whether the range ends within a region.
pub fn splits(start: u64, len: u64) -> bool {
    let end = start.saturating_add(len.div_ceil(PAGE) * PAGE);
    let inside = |at: u64| find(at).is_some_and(|r| r.start != at);
    inside(start) || inside(end)
}

fn push(r: Region) {
    let s = state();
    if s.count == MAX_REGIONS {
        crate::fail("too many shared mappings for the recorder");
    }
    s.regions[s.count] = r;
    s.count += 1;
}

/// What stubs know about pages holds no longer.
fn flush() {
    thread::each(|t| t.access.pages = [Page::default(); PAGES]);
}

/// Copies the pages that exist (reading the others would make them).
fn copy_present(from: u64, to: u64, len: u64) {
    const MINCORE: u64 = 27;
    let mut present = [0_u8; 256];
    let mut at = 0;
    while at < len {
        let pages = ((len - at) / PAGE).min(256);
        if call(
            MINCORE,
            &[from + at, pages * PAGE, present.as_mut_ptr() as u64],
        ) < 0
        {
            present.fill(1);
        }
        for i in (0..pages).filter(|&i| present[i as usize] & 1 != 0) {
            let offset = at + i * PAGE;
            // SAFETY: both pages are mapped and readable, or writable.
            unsafe {
                ((from + offset) as *const u8)
                    .copy_to_nonoverlapping((to + offset) as *mut u8, PAGE as usize);
            }
        }
        at += pages * PAGE;
    }
}

/// Splits regions so that none crosses `at`.
fn split(at: u64) {
    let s = state();
    for i in 0..s.count {
        let r = s.regions[i];
        if at <= r.start || at >= r.start + r.len {
            continue;
        }
        let d = at - r.start;
        s.regions[i].len = d;
        push(Region {
            start: at,
            len: r.len - d,
            alias: r.alias + d,
            copy: r.copy + d,
            offset: r.offset + d,
            ..r
        });
        return;
    }
}

/// The program unmaps or replaces a range.
pub fn remove(start: u64, len: u64) {
    if !touches(start, len) {
        return;
    }
    let s = state();
    let end = start.saturating_add(len.div_ceil(PAGE) * PAGE);
    split(start);
    split(end);
    let mut i = 0;
    while i < s.count {
        let r = s.regions[i];
        if r.start < start || r.start >= end {
            i += 1;
            continue;
        }
        thread::each(|t| robust::unmapped(t, r.alias, r.len));
        call(nr::MUNMAP, &[r.alias, r.len]);
        call(nr::MUNMAP, &[r.copy, r.len]);
        if log::recording() {
            object::view(r.start, r.len, 0, 0, 0);
        }
        s.count -= 1;
        s.regions[i] = s.regions[s.count];
    }
    flush();
}

/// Length of the region that begins at `start`, or 0.
pub fn len_at(start: u64) -> u64 {
    find(start)
        .filter(|r| r.start == start)
        .map_or(0, |r| r.len)
}

/// mprotect(2) of shared memory: what the call answers, if the range is part of
/// a view, which stays closed.
pub fn protect(start: u64, len: u64, prot: u64) -> Option<i64> {
    if !touches(start, len) {
        return None;
    }
    let end = start.saturating_add(len.div_ceil(PAGE) * PAGE);
    split(start);
    split(end);
    for r in regions()
        .iter_mut()
        .filter(|r| r.start >= start && r.start < end)
    {
        // The alias of a file that was opened for reading cannot be written.
        let result = call(nr::MPROTECT, &[r.alias, r.len, alias_prot(prot)]);
        if result < 0 {
            return Some(result);
        }
        r.prot = prot;
        if log::recording() {
            object::view(r.start, r.len, r.object, r.offset, prot);
        }
    }
    flush();
    Some(0)
}

/// mremap(2) of one whole or partial region: a new region with what was seen of the old one.
/// The program's view has been moved (recording), or there is nothing yet at `to` (replay).
pub fn moved(from: u64, old_len: u64, to: u64, new_len: u64) {
    let old_len = old_len.div_ceil(PAGE) * PAGE;
    let new_len = new_len.div_ceil(PAGE) * PAGE;
    let Some(&old) = find(from) else { return };
    let kept = new_len.min(old_len);
    let (alias, copy) = reserve(new_len);
    let flags = mm::MREMAP_MAYMOVE | mm::MREMAP_FIXED;
    if !log::recording() {
        let own = mm::SHARED | mm::ANONYMOUS | mm::FIXED | mm::NORESERVE;
        let rw = mm::READ | mm::WRITE;
        call(nr::MMAP, &[to, new_len, rw, own, u64::MAX, 0]);
    }
    if call(nr::MREMAP, &[to, 0, new_len, flags, alias]) != alias as i64 {
        crate::fail("shared memory cannot be mapped a second time");
    }
    call(nr::MPROTECT, &[alias, new_len, alias_prot(old.prot)]);
    sys::map_anonymous(copy, new_len, mm::READ | mm::WRITE);
    copy_present(old.copy(from), copy, kept);
    if !log::recording() {
        copy_present(old.copy(from), alias, kept);
    }
    call(nr::MPROTECT, &[to, new_len, 0]);
    let r = Region {
        start: to,
        len: new_len,
        alias,
        copy,
        offset: old.object_offset(from),
        ..old
    };
    remove(from, old_len);
    remove(to, new_len);
    push(r);
    if log::recording() {
        object::view(to, new_len, r.object, r.offset, r.prot);
    }
    flush();
}

/// Whether any part of the range is a closed view.
pub fn touches(start: u64, len: u64) -> bool {
    regions()
        .iter()
        .any(|r| r.start < start.saturating_add(len) && start < r.start + r.len)
}

/// Whether the range lies within one region.
pub fn within_one(start: u64, len: u64) -> bool {
    find(start).is_some_and(|r| r.contains(start, len))
}

/// Replay, in a forked child: its shared memory is its own, with what it last saw.
pub fn separate() {
    for r in regions() {
        let flags = mm::SHARED | mm::ANONYMOUS | mm::FIXED | mm::NORESERVE;
        let rw = mm::READ | mm::WRITE;
        call(nr::MMAP, &[r.start, r.len, rw, flags, u64::MAX, 0]);
        let moved = mm::MREMAP_MAYMOVE | mm::MREMAP_FIXED;
        call(nr::MREMAP, &[r.start, 0, r.len, moved, r.alias]);
        copy_present(r.copy, r.alias, r.len);
        call(nr::MPROTECT, &[r.start, r.len, 0]);
    }
}

/// In the child of a fork: says what it has inherited.
pub fn after_fork() {
    step::after_fork();
    if any() {
        open_stage();
    }
    if log::recording() {
        for r in regions() {
            object::view(r.start, r.len, r.object, r.offset, r.prot);
        }
    }
}

/// Calls `f` with each region's copy, its length, and its address in the program.
pub fn each_copy(mut f: impl FnMut(u64, u64, u64)) {
    for r in regions() {
        f(r.copy, r.len, r.start);
    }
}

// -------------------------------------------------------------- system calls

/// The kernel is about to read `len` bytes at `addr`: brings the copy up to date.
pub fn sync_range(addr: u64, len: u64) {
    if !any() || len == 0 {
        return;
    }
    let end = addr.saturating_add(len);
    for i in 0..state().count {
        let r = state().regions[i];
        if r.prot == 0 {
            // The call will fail.
            continue;
        }
        let (from, to) = (addr.max(r.start), end.min(r.start + r.len));
        let mut at = from;
        while at < to {
            let next = ((at & !(PAGE - 1)) + PAGE).min(to);
            access::see_by_call(thread::current(), &r, at, next - at);
            at = next;
        }
    }
}

/// Where a debugger finds all this.
pub fn describe(to: &mut Layout) {
    let s = state();
    to.regions = (&raw const s.regions) as u64;
    to.region_count = (&raw const s.count) as u64;
    step::describe(to);
    site::describe(to);
}

/// Forgets what `t` knows about pages; its access data start from nothing.
pub fn init_thread(t: &mut Thread) {
    access::init(t);
}
