//! What stubs ask the runtime before and after an access.
//!
//! [`quick`] answers most of the time when recording: without the runtime's rights
//! to its own data, which take longer to get than all the rest. It writes to the
//! thread's data, to the stage, to the lines' locks, to alias and copy, and to nothing else.

use super::access::{
    caller, check, count, interrupted, made, note_interruption, rearm, register, see_again,
};
use super::bytes::{copy_bytes, differs, put, read_part};
use super::lock::Held;
use super::{Region, find, lock, site};
use crate::arch::x86_64 as arch;
use crate::thread::Thread;
use crate::{log, robust, stage, stop};
use orch_abi::access::{NO_PAGE, PAGES, Page, Site, kind};
use orch_abi::layout::PAGE;
use orch_abi::record::{Chunk, Kind, Regs, Shared, Store, flag, pad8};
use orch_abi::shared::LINE;

/// An access that is being made, with its lines locked.
#[derive(Clone, Copy)]
pub struct Pending {
    live: bool,
    /// It saw something new.
    news: bool,
    /// What it overwrites was not what this process saw last.
    unseen: bool,
    site: u32,
    held: Held,
    addr: u64,
    alias: u64,
    copy: u64,
    old: [u8; LINE as usize],
}

/// What a stub is told.
mod answer {
    /// Go on.
    pub const GO_ON: u64 = 0;
    /// The thread was interrupted.
    pub const INTERRUPTED: u64 = 1;
    /// Go on with the runtime's rights, and come back by [`super::after`].
    pub const COME_BACK: u64 = 2;
}

/// A stub asks before an access: 1 if it must ask [`before`].
pub extern "C" fn quick(t: &mut Thread) -> u64 {
    let addr = t.access.address;
    let s = site::site(t.access.site as u32);
    let number = addr / PAGE;
    let page = t.access.pages[number as usize % PAGES];
    let known = if s.kind == kind::LOAD {
        page.shared
    } else {
        page.writable
    };
    let one_line = addr % LINE + u64::from(s.size) <= LINE;
    if known != number || !one_line || !log::recording() || !stage::is_ready() || interrupted(t) {
        return 1;
    }
    if s.atomic != 0 && robust::is_changing(t) {
        return 1;
    }
    let held = Held::one(page.lines, addr);
    let (alias, copy) = (addr.wrapping_add(page.alias), addr.wrapping_add(page.copy));
    if s.kind != kind::LOAD {
        // On its way while the lock is.
        arch::prefetch_to_write(alias);
    }
    if !held.try_lock(t.tid) {
        return 1;
    }
    meet(t, s, addr, alias, copy, held);
    0
}

/// The same, with the runtime's rights.
pub extern "C" fn before(t: &mut Thread) -> u64 {
    t.access.after = arch::access_done as *const () as u64;
    let addr = t.access.address;
    let s = site::site(t.access.site as u32);
    let size = u64::from(s.size);
    let Some(r) = find(addr) else {
        remember(t, addr, None);
        return answer::GO_ON;
    };
    let needed = match s.kind {
        kind::LOAD => 1,
        kind::STORE => 2,
        _ => 3,
    };
    if r.prot & needed != needed || !r.contains(addr, size) {
        // The instruction faults on the closed view, and is looked at there.
        return answer::GO_ON;
    }
    if interrupted(t) {
        note_interruption(t, s.ip);
        return answer::INTERRUPTED;
    }
    remember(t, addr, Some(r));
    if !log::recording() {
        let next = made(t) + 1;
        stop::before_access(t, || program_regs(t), next, s.kind != kind::LOAD);
        return again(t, s, r);
    }
    stage::make_ready();
    if s.atomic != 0 {
        robust::before(t, addr);
    }
    let held = lock::lines(r.object, r.object_offset(addr), size, t.tid);
    meet(t, s, addr, r.alias(addr), r.copy(addr), held);
    answer::GO_ON
}

/// Recording: makes the access, or has the stub make it, and logs what it saw
/// and stored. `held` is locked.
#[inline(always)]
fn meet(t: &mut Thread, s: &Site, addr: u64, alias: u64, copy: u64, held: Held) {
    let ordinal = count(t);
    let size = u64::from(s.size);
    let p = &mut t.pending_access;
    p.held = held;
    p.live = true;
    // The lock is held: nobody stores between the comparison and what follows.
    let differ = differs(alias, copy, size);
    if differ && s.kind != kind::STORE {
        copy_bytes(alias, copy, size);
        saw(t, s, ordinal, addr, copy, held.tick());
    }
    let p = &mut t.pending_access;
    if s.kind == kind::LOAD {
        t.access.address = copy;
        p.live = false;
        held.unlock();
        return;
    }
    p.site = t.access.site as u32;
    (p.addr, p.alias, p.copy) = (addr, alias, copy);
    p.news = differ;
    p.unseen = differ && s.kind == kind::STORE;
    if p.unseen {
        copy_bytes(alias, p.old.as_mut_ptr() as u64, size);
    }
    if is_told(s, addr) {
        put_value(t, alias, copy, s.size);
        finish(t, s);
        t.access.back = s.done;
    } else {
        t.access.address = alias;
        t.access.after = arch::access_after as *const () as u64;
    }
}

/// Whether the stub has told the value that is to be stored, and nothing but that is left.
#[inline(always)]
fn is_told(s: &Site, addr: u64) -> bool {
    s.value == 1 || s.value == 2 && addr.is_multiple_of(u64::from(s.size))
}

/// Stores it.
#[inline(always)]
fn put_value(t: &Thread, alias: u64, copy: u64, size: u32) {
    let value = &t.access.value;
    if size <= 8 {
        put(alias, value[0], size);
        put(copy, value[0], size);
    } else {
        copy_bytes(value.as_ptr() as u64, alias, size.into());
        copy_bytes(value.as_ptr() as u64, copy, size.into());
    }
}

/// Recording: a stub has made a store. Needs no rights.
pub extern "C" fn quick_after(t: &mut Thread) {
    let p = &t.pending_access;
    let s = site::site(p.site);
    if stored(p, s) {
        copy_bytes(p.alias, p.copy, s.size.into());
        finish(t, s);
    } else {
        let held = p.held;
        t.pending_access.live = false;
        held.unlock();
    }
    robust::after(t);
}

/// Whether the instruction made a store that is told of. One that may leave what
/// was there (a comparison failed, say) is if it changed anything; an exchange
/// also if what it found was new: one that puts back what this process knows to be there,
/// as in a spin, says nothing to anybody.
#[inline(always)]
fn stored(p: &Pending, s: &Site) -> bool {
    s.kind == kind::STORE
        || s.kind == kind::EXCHANGE && p.news
        || differs(p.alias, p.copy, s.size.into())
}

/// Logs what a load saw. The copy has it.
#[inline(always)]
fn saw(t: &mut Thread, s: &Site, ordinal: u64, addr: u64, copy: u64, tick: u64) {
    let size = s.size as usize;
    let body = Shared {
        ip: s.ip,
        ordinal,
        caller: caller(t, s.ip),
    };
    let chunk = Chunk {
        addr,
        len: s.size,
        outgoing: 0,
    };
    let len = size_of::<Shared>() + size_of::<Chunk>() + pad8(size);
    let mut record = stage::begin(Kind::Shared, 0, t.access.site as u32, tick, len);
    record.part(&body);
    record.part(&chunk);
    put_bytes(&mut record, copy, size);
    record.end();
}

/// Logs a store that was made, and unlocks. The copy has it.
#[inline(always)]
fn finish(t: &mut Thread, s: &Site) {
    let caller = caller(t, s.ip);
    let p = &mut t.pending_access;
    let size = s.size as usize;
    let store = Store {
        ip: s.ip,
        addr: p.addr,
        len: size as u64,
        caller,
    };
    let flags = match (p.unseen, p.news) {
        (true, _) => flag::UNSEEN,
        // It has logged what it loaded.
        (false, true) => flag::CONTINUED,
        (false, false) => 0,
    };
    let sides = 1 + usize::from(p.unseen);
    let len = size_of::<Store>() + sides * pad8(size);
    let mut record = stage::begin(Kind::Store, flags, p.site, p.held.tick(), len);
    record.part(&store);
    put_bytes(&mut record, p.copy, size);
    if p.unseen {
        put_bytes(&mut record, p.old.as_ptr() as u64, size);
    }
    record.end();
    p.live = false;
    p.held.unlock();
}

#[inline(always)]
fn put_bytes(record: &mut stage::Record, at: u64, size: usize) {
    if size <= 8 {
        // SAFETY: within the copy, or what was there before.
        record.part(&unsafe { read_part(at, size as u64) });
    } else {
        record.bytes(at as *const u8, size);
    }
}

// ------------------------------------------------------------------- replay

/// Replay: makes the access again, with what the recording saw.
fn again(t: &mut Thread, s: &Site, r: &Region) -> u64 {
    let addr = t.access.address;
    let ordinal = count(t);
    let news = s.kind != kind::STORE && see_again(t, r, ordinal);
    let (alias, copy) = (r.alias(addr), r.copy(addr));
    if s.kind == kind::LOAD {
        t.access.address = copy;
        rearm(t);
        return answer::GO_ON;
    }
    let p = &mut t.pending_access;
    p.site = t.access.site as u32;
    (p.addr, p.alias, p.copy) = (addr, alias, copy);
    p.news = news;
    if is_told(s, addr) {
        put_value(t, alias, copy, s.size);
        compare(t, s);
        t.access.back = s.done;
        return answer::GO_ON;
    }
    t.access.address = alias;
    t.access.after = arch::access_after as *const () as u64;
    answer::COME_BACK
}

/// Replay: a stub has made a store.
pub extern "C" fn after(t: &mut Thread) {
    let p = &t.pending_access;
    let s = site::site(p.site);
    if stored(p, s) {
        copy_bytes(p.alias, p.copy, s.size.into());
        compare(t, s);
    } else {
        rearm(t);
    }
}

fn compare(t: &mut Thread, s: &Site) {
    let p = &t.pending_access;
    let (addr, copy) = (p.addr, p.copy);
    let store = Store {
        ip: s.ip,
        addr,
        len: s.size.into(),
        caller: 0,
    };
    check(t, copy, &store);
    rearm(t);
}

// ------------------------------------------------------------------- others

/// The instruction of a stub faulted: it has stored nothing.
pub fn abandon(t: &mut Thread) {
    let p = &mut t.pending_access;
    if p.live {
        p.live = false;
        p.held.unlock();
    }
}

/// The thread's registers as they were before the instruction of its stub.
pub fn unwind(t: &mut Thread) {
    t.regs = program_regs(t);
}

fn program_regs(t: &Thread) -> Regs {
    let mut regs = t.regs;
    let s = site::site(t.access.site as u32);
    for (number, value) in s.scratch.iter().zip(t.access.scratch) {
        *register(&mut regs, *number) = value;
    }
    // lahf keeps the flags as they are in the low byte of rflags, in ah.
    const ARITHMETIC: u64 = 0x8d5;
    const OVERFLOW: u64 = 0x800;
    // What the program does not look at any more is nothing, in replay too.
    let saved = if s.flags != 0 { t.access.flags } else { 0 };
    let overflow = if saved & 1 != 0 { OVERFLOW } else { 0 };
    regs.rflags = regs.rflags & !ARITHMETIC | saved >> 8 & 0xd5 | overflow;
    regs.rip = s.ip;
    regs
}

/// Tells the thread's stubs about a page.
fn remember(t: &mut Thread, addr: u64, region: Option<&Region>) {
    let number = addr / PAGE;
    let allowed = |r: &Region, prot: u64| {
        if r.prot & prot == prot {
            number
        } else {
            NO_PAGE
        }
    };
    t.access.pages[number as usize % PAGES] = match region {
        None => Page {
            shared: NO_PAGE,
            private: number,
            writable: NO_PAGE,
            ..Page::default()
        },
        Some(r) => Page {
            shared: allowed(r, 1),
            private: NO_PAGE,
            alias: r.alias.wrapping_sub(r.start),
            copy: r.copy.wrapping_sub(r.start),
            writable: allowed(r, 3),
            lines: lock::of_page(r.object, r.object_offset(addr)) as u64,
            reserved: [0; 2],
        },
    };
}
