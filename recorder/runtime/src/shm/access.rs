//! What stubs ask the runtime, and what all accesses have in common: seeing
//! what others stored, and storing.

use super::{Region, find, lock, site, step};
use crate::log;
use crate::process::process;
use crate::signal::Context;
use crate::thread::{self, Thread};
use crate::{arch, patch, preempt, replay, scratch, signal};
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use orch_abi::access::{NO_PAGE, PAGES, Page, Site, kind};
use orch_abi::layout::{PAGE, is_ours};
use orch_abi::record::{Chunk, Kind, Regs, Shared, Store, flag, pad8};
use orch_abi::shared::LINE;

/// A countdown that does not run out.
const NEVER: i64 = i64::MAX / 2;

/// A store that a stub is about to make, with its lines locked.
struct Pending {
    live: bool,
    site: u32,
    addr: u64,
    alias: u64,
    copy: u64,
    tick: u64,
    held: lock::Held,
    /// What was overwritten was not what this process saw last.
    unseen: bool,
    old: [u8; LINE as usize],
}

static mut PENDING: Pending = Pending {
    live: false,
    site: 0,
    addr: 0,
    alias: 0,
    copy: 0,
    tick: 0,
    held: lock::NONE,
    unseen: false,
    old: [0; LINE as usize],
};

fn pending() -> &'static mut Pending {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut PENDING }
}

// ---------------------------------------------------------------- counting

/// A new thread: no access yet.
pub fn init(t: &mut Thread) {
    t.access.before = arch::x86_64::access_before as *const () as u64;
    t.access.after = arch::x86_64::access_after as *const () as u64;
    t.accesses = 0;
    arm(t, NEVER);
}

/// Lets `n` more loads go on alone.
fn arm(t: &mut Thread, n: i64) {
    t.accesses = ordinal(t);
    t.armed = n;
    t.access.countdown = n;
}

/// How many shared accesses the thread has made.
fn ordinal(t: &Thread) -> u64 {
    t.accesses
        .wrapping_add_signed(t.armed.wrapping_sub(t.access.countdown))
}

/// How many shared accesses the thread has made, its calls' included.
pub fn made(t: &Thread) -> u64 {
    ordinal(t)
}

/// The call before which it had made `n` accesses is none: it comes again, and
/// whether it began the first time is not recorded.
pub fn take_back(t: &mut Thread, n: u64) {
    t.access.countdown += ordinal(t).wrapping_sub(n).cast_signed();
}

/// Counts an access; returns its ordinal.
fn count(t: &mut Thread) -> u64 {
    t.access.countdown -= 1;
    ordinal(t)
}

/// Replay: the countdown when the thread has made `n` accesses, if none of those
/// until then asks the runtime.
pub fn countdown_at(t: &mut Thread, n: u64) -> i64 {
    arm(t, NEVER);
    NEVER.wrapping_sub_unsigned(n.wrapping_sub(ordinal(t)))
}

/// Replay: the next access for which there is a record asks the runtime.
pub fn rearm(t: &mut Thread) {
    if log::recording() || !super::any() || preempt::searching() {
        return;
    }
    let n = match log::peek() {
        Some(h) if h.kind == Kind::Point as u8 => return preempt::look_ahead_for_point(t),
        Some(h) if h.kind == Kind::Ended as u8 => log::ended_early(),
        None => log::ended_early(),
        Some(h) if h.kind == Kind::Shared as u8 && h.flags & flag::BY_CALL == 0 => {
            log::peek_word(1).wrapping_sub(ordinal(t)) as i64 - 1
        }
        Some(_) => NEVER,
    };
    arm(t, n);
}

/// Recording: the next shared access is a place to stop at. The thread is in
/// the program or in a stub.
pub fn hurry(t: &mut Thread) {
    if super::any() {
        arm(t, 0);
    }
}

/// Whether the thread shall stop before the access it is about to make.
fn interrupted(t: &mut Thread) -> bool {
    if log::recording() {
        let others = process().threads > 1
            && process().hurry.load(Ordering::Relaxed) != 0
            && log::slot().baton_waiters.load(Ordering::Relaxed) > 0;
        return t.caught != 0 || others;
    }
    !preempt::searching()
        && log::peek().is_some_and(|h| {
            h.kind == Kind::Shared as u8
                && h.flags & flag::INTERRUPTED != 0
                && log::peek_word(1) == ordinal(t) + 1
        })
}

/// Replay: the recording's access failed here. Takes the record that says so.
pub fn interrupted_again(t: &mut Thread) -> bool {
    let stops = !log::recording() && interrupted(t);
    if stops {
        note_interruption(t, 0);
    }
    stops
}

fn note_interruption(t: &mut Thread, ip: u64) {
    let ordinal = count(t);
    if log::recording() {
        let body = Shared {
            ip,
            ordinal,
            caller: 0,
        };
        let parts = [log::bytes_of(&body)];
        log::write(Kind::Shared, 0, flag::INTERRUPTED, log::tick(), &parts);
        arm(t, NEVER);
    } else {
        log::take();
        log::read::<Shared>();
    }
}

// ------------------------------------------------------------------- stubs

/// What [`before`] answers.
mod answer {
    /// Go on, without the runtime's rights.
    pub const GO_ON: u64 = 0;
    /// The thread was interrupted.
    pub const INTERRUPTED: u64 = 1;
    /// Go on, and come back by [`super::after`].
    pub const COME_BACK: u64 = 2;
}

/// A stub asks before an access.
pub extern "C" fn before(t: &mut Thread) -> u64 {
    t.access.after = arch::x86_64::access_done as *const () as u64;
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
    let ordinal = count(t);
    if s.kind == kind::LOAD {
        remember(t, addr, Some(r));
        see(t, r, s.ip, ordinal, addr, size, 0);
        t.access.address = r.copy(addr);
        rearm(t);
        return answer::GO_ON;
    }
    let recording = log::recording();
    let p = pending();
    p.site = t.access.site as u32;
    p.addr = addr;
    (p.alias, p.copy) = (r.alias(addr), r.copy(addr));
    p.unseen = false;
    p.live = true;
    if recording {
        p.held = lock::lines(r.object, r.object_offset(addr), size, t.tid);
    }
    if s.kind != kind::STORE {
        see(t, r, s.ip, ordinal, addr, size, 0);
    } else if recording && differs(p.alias, p.copy, size) {
        p.unseen = true;
        copy_bytes(p.alias, p.old.as_mut_ptr() as u64, size);
    }
    if recording {
        // Before the store is made: who sees it has a later one.
        p.tick = log::tick();
    }
    if s.value != 0 {
        put(p.alias, t.access.value, s.size);
        put(p.copy, t.access.value, s.size);
        finish(t, s, p);
        t.access.back = s.done;
        return answer::GO_ON;
    }
    t.access.address = p.alias;
    t.access.after = arch::x86_64::access_after as *const () as u64;
    answer::COME_BACK
}

/// A stub has made a store.
pub extern "C" fn after(t: &mut Thread) {
    let p = pending();
    let s = site::site(p.site);
    let size = u64::from(s.size);
    if s.kind != kind::UPDATE || differs(p.alias, p.copy, size) {
        copy_bytes(p.alias, p.copy, size);
        finish(t, s, p);
    } else {
        // Nothing was stored: a comparison failed, say.
        release(t, p);
    }
}

/// The instruction of a stub faulted: it has stored nothing.
pub fn abandon() {
    let p = pending();
    if p.live {
        p.live = false;
        if log::recording() {
            lock::unlock_lines(p.held);
        }
    }
}

/// Logs (or checks) a store that was made; the copy has it.
#[inline]
fn finish(t: &mut Thread, s: &Site, p: &mut Pending) {
    let size = u64::from(s.size);
    let caller = caller(t, s.ip);
    if log::recording() && size <= 8 && !p.unseen {
        // SAFETY: within the copy.
        let value = unsafe { read_part(p.copy, size) };
        log::store(p.tick, [s.ip, p.addr, size, caller, value]);
    } else {
        let old = p.unseen.then_some(&p.old[..size as usize]);
        let store = Store {
            ip: s.ip,
            addr: p.addr,
            len: size,
            caller,
        };
        stored(t, p.copy, &store, p.tick, 0, old);
    }
    release(t, p);
}

#[inline]
fn release(t: &mut Thread, p: &mut Pending) {
    p.live = false;
    if log::recording() {
        lock::unlock_lines(p.held);
    } else {
        rearm(t);
    }
}

/// The thread was interrupted before an access: what was waiting happens now,
/// and then the program comes to the access again.
pub extern "C" fn at_access(t: &mut Thread) {
    unwind(t);
    if log::recording() {
        signal::deliver_pending(t);
        thread::maybe_yield(t);
    } else {
        replay::settle(t);
    }
    rearm(t);
    t.resume_ip = patch::resume_address(t.regs.rip);
}

/// The thread's registers as they were before the instruction of its stub.
fn unwind(t: &mut Thread) {
    let s = site::site(t.access.site as u32);
    for (number, value) in s.scratch.iter().zip(t.access.scratch) {
        *register(&mut t.regs, *number) = value;
    }
    // lahf keeps the flags as they are in the low byte of rflags, in ah.
    const ARITHMETIC: u64 = 0x8d5;
    const OVERFLOW: u64 = 0x800;
    // What the program does not look at any more is nothing, in replay too.
    let saved = if s.flags != 0 { t.access.flags } else { 0 };
    let overflow = if saved & 1 != 0 { OVERFLOW } else { 0 };
    t.regs.rflags = t.regs.rflags & !ARITHMETIC | saved >> 8 & 0xd5 | overflow;
    t.regs.rip = s.ip;
}

/// A bus error at `addr`: true if it is an access of the program's, beyond the
/// end of a file that it maps, which the runtime or a stub was making for it.
pub fn bus(t: &mut Thread, c: &mut Context, addr: u64) -> bool {
    let Some(r) = super::regions()
        .iter()
        .find(|r| addr.wrapping_sub(r.alias) < r.len)
    else {
        return false;
    };
    if !log::recording() || t.guard.rsp != 0 {
        return false;
    }
    let program = step::address().unwrap_or(r.start + (addr - r.alias));
    if is_ours(c.regs.rip) && step::abort(t) {
        // What a step was about to do is undone.
    } else if is_ours(c.regs.rip) {
        unwind(t);
    } else if let Some(index) = site::comparing(c.regs.rip) {
        // A load that was about to go on alone.
        t.access.site = index.into();
        t.regs = c.regs;
        unwind(t);
        count(t);
    } else {
        site::original(t, c);
        t.regs = c.regs;
    }
    abandon();
    t.access.address = program;
    signal::send_to(
        c,
        arch::x86_64::access_failed as *const () as u64,
        t.stack_top,
    );
    true
}

/// The access failed: the program gets its bus error at a place that replay,
/// whose memory has no end, knows by the number of accesses.
pub extern "C" fn failed(t: &mut Thread) {
    let ordinal = ordinal(t);
    let body = Shared {
        ip: t.regs.rip,
        ordinal,
        caller: 0,
    };
    let parts = [log::bytes_of(&body)];
    log::write(Kind::Shared, 0, flag::INTERRUPTED, log::tick(), &parts);
    arm(t, NEVER);
    signal::raise_bus(t, t.access.address);
    signal::deliver_pending(t);
    signal::apply_mask(t);
    t.resume_ip = patch::resume_address(t.regs.rip);
}

/// The register with this number in an instruction.
pub fn register(r: &mut Regs, number: u8) -> &mut u64 {
    match number {
        0 => &mut r.rax,
        1 => &mut r.rcx,
        2 => &mut r.rdx,
        3 => &mut r.rbx,
        5 => &mut r.rbp,
        6 => &mut r.rsi,
        7 => &mut r.rdi,
        8 => &mut r.r8,
        9 => &mut r.r9,
        10 => &mut r.r10,
        11 => &mut r.r11,
        12 => &mut r.r12,
        13 => &mut r.r13,
        14 => &mut r.r14,
        15 => &mut r.r15,
        _ => &mut r.rsp,
    }
}

/// Tells the thread's stubs about a page.
fn remember(t: &mut Thread, addr: u64, region: Option<&Region>) {
    let number = addr / PAGE;
    t.access.pages[number as usize % PAGES] = match region {
        None => Page {
            shared: NO_PAGE,
            private: number,
            alias: 0,
            copy: 0,
        },
        Some(r) => Page {
            shared: if r.prot & 1 != 0 { number } else { NO_PAGE },
            private: NO_PAGE,
            alias: r.alias.wrapping_sub(r.start),
            copy: r.copy.wrapping_sub(r.start),
        },
    };
}

/// Where the function that accesses memory at `ip` was called from, perhaps.
fn caller(t: &mut Thread, ip: u64) -> u64 {
    /// How far from its entry a program's own code reaches.
    const OWN: u64 = 256 << 20;
    if ip.abs_diff(patch::entry()) < OWN {
        return 0;
    }
    let (rsp, mut word) = (t.regs.rsp, 0);
    // SAFETY: guarded.
    arch::x86_64::guarded(t, || unsafe { word = (rsp as *const u64).read_unaligned() });
    word
}

// ------------------------------------------------------------------ seeing

/// Brings the copy of `len` bytes at `addr` up to date: what others changed is
/// logged, or put in from the log.
#[inline]
pub fn see(t: &mut Thread, r: &Region, ip: u64, ordinal: u64, addr: u64, len: u64, flags: u8) {
    if !log::recording() {
        see_again(t, r, ordinal);
        return;
    }
    if !differs(r.alias(addr), r.copy(addr), len) {
        return;
    }
    if len > LINE {
        see_spans(t, r, ip, ordinal, addr, len, flags);
        return;
    }
    // Taken into the copy first: what is logged is what is used.
    copy_bytes(r.alias(addr), r.copy(addr), len);
    if len <= 8 && flags == 0 {
        let caller = caller(t, ip);
        // SAFETY: within the copy.
        let value = unsafe { read_part(r.copy(addr), len) };
        log::load(log::tick(), [ip, ordinal, caller, addr, len, value]);
        return;
    }
    let body = Shared {
        ip,
        ordinal,
        caller: caller(t, ip),
    };
    let size = size_of::<Shared>() + size_of::<Chunk>() + pad8(len as usize);
    log::begin(Kind::Shared, flags, size);
    log::part(log::bytes_of(&body));
    put_chunk(r, addr, len);
    log::end();
}

/// As `see`, of so many bytes that only what changed is logged.
#[cold]
fn see_spans(t: &mut Thread, r: &Region, ip: u64, ordinal: u64, addr: u64, len: u64, flags: u8) {
    let mut spans = [Span::default(); 32];
    let n = changes(r.alias(addr), r.copy(addr), len, &mut spans);
    let body = Shared {
        ip,
        ordinal,
        caller: caller(t, ip),
    };
    let size: usize = spans[..n]
        .iter()
        .map(|s| size_of::<Chunk>() + pad8(s.len as usize))
        .sum();
    for s in &spans[..n] {
        copy_bytes(r.alias(addr) + s.from, r.copy(addr) + s.from, s.len);
    }
    log::begin(Kind::Shared, flags, size_of::<Shared>() + size);
    log::part(log::bytes_of(&body));
    for s in &spans[..n] {
        put_chunk(r, addr + s.from, s.len);
    }
    log::end();
}

fn put_chunk(r: &Region, addr: u64, len: u64) {
    log::part(log::bytes_of(&Chunk {
        addr,
        len: len as u32,
        outgoing: 0,
    }));
    // SAFETY: within the region's copy.
    log::part(unsafe { core::slice::from_raw_parts(r.copy(addr) as *const u8, len as usize) });
}

/// Replay: puts in what the recording saw at this access, if it saw anything new.
fn see_again(t: &mut Thread, r: &Region, ordinal: u64) {
    if preempt::searching() {
        return;
    }
    let Some(head) = log::peek() else {
        log::ended_early()
    };
    if head.kind == Kind::Ended as u8 {
        log::ended_early();
    }
    if head.kind != Kind::Shared as u8 || log::peek_word(1) != ordinal {
        return;
    }
    log::take();
    log::read::<Shared>();
    let mut left = head.len as usize - size_of::<Shared>();
    while left > 0 {
        let c = log::read::<Chunk>();
        let len = u64::from(c.len);
        if !r.contains(c.addr, len) {
            replay::diverge_at(
                t,
                Kind::Shared,
                format_args!("other memory at {:#x} was seen", c.addr),
            );
        }
        log::read_into(r.copy(c.addr), len);
        log::skip_pad(len);
        copy_bytes(r.copy(c.addr), r.alias(c.addr), len);
        left -= size_of::<Chunk>() + pad8(c.len as usize);
    }
}

/// A page is about to be opened to an instruction.
pub fn see_page(t: &mut Thread, r: &Region, ip: u64, page: u64) {
    let ordinal = count(t);
    see(t, r, ip, ordinal, page, PAGE, flag::BY_PAGE);
}

/// The kernel is about to read shared memory for the thread.
pub fn see_by_call(t: &mut Thread, r: &Region, addr: u64, len: u64) {
    let ordinal = count(t);
    let ip = t.regs.rip;
    see(t, r, ip, ordinal, addr, len, flag::BY_CALL);
}

// ----------------------------------------------------------------- storing

/// Logs a store of what is at `copy` now, or checks it against the log.
fn stored(t: &mut Thread, copy: u64, store: &Store, tick: u64, flags: u8, old: Option<&[u8]>) {
    if !log::recording() {
        check(t, copy, store);
        return;
    }
    let flags = flags | if old.is_some() { flag::UNSEEN } else { 0 };
    // SAFETY: within the region's copy.
    let new = unsafe { core::slice::from_raw_parts(copy as *const u8, store.len as usize) };
    let parts = [log::bytes_of(store), new, old.unwrap_or(&[])];
    log::write(Kind::Store, 0, flags, tick, &parts);
}

/// Logs (or checks) that the instruction at `ip` stored what the copy has at `addr`.
pub fn stored_at(t: &mut Thread, r: &Region, ip: u64, addr: u64, len: u64, tick: u64, flags: u8) {
    let store = Store {
        ip,
        addr,
        len,
        caller: caller(t, ip),
    };
    stored(t, r.copy(addr), &store, tick, flags, None);
}

/// Replay: the store must be the one that comes next in the log.
fn check(t: &mut Thread, copy: u64, store: &Store) {
    let &Store { ip, addr, len, .. } = store;
    if preempt::searching() {
        preempt::missed(t);
    }
    let rip = core::mem::replace(&mut t.regs.rip, ip);
    let head = match log::peek() {
        Some(head) if head.kind == Kind::Store as u8 => head,
        Some(head) if head.kind == Kind::Ended as u8 => log::ended_early(),
        None => log::ended_early(),
        Some(_) => other_store(t, store, "another kind of event was recorded"),
    };
    let recorded = (log::peek_word(0), log::peek_word(1), log::peek_word(2));
    if recorded != (ip, addr, len) {
        other_store(t, store, "another store was recorded");
    }
    log::take();
    log::read::<Store>();
    let padded = pad8(len as usize) as u64;
    let mut at = 0;
    while at < padded {
        let recorded = log::read::<u64>();
        let n = (len - at).min(8);
        let mask = u64::MAX >> (64 - 8 * n);
        // SAFETY: within the copy.
        let here = unsafe { read_part(copy + at, n) };
        if (recorded ^ here) & mask != 0 {
            replay::diverge_at(
                t,
                Kind::Store,
                format_args!(
                    "stores {here:#x} to shared memory at {:#x}, recorded {recorded:#x}",
                    addr + at
                ),
            );
        }
        at += 8;
    }
    if head.flags & flag::UNSEEN != 0 {
        log::skip(padded);
    }
    t.regs.rip = rip;
}

#[cold]
fn other_store(t: &Thread, store: &Store, what: &str) -> ! {
    let Store { addr, len, .. } = store;
    let (done, next) = (ordinal(t), log::peek_word(1));
    let why = format_args!(
        "stores {len} bytes to shared memory at {addr:#x}, after {done} accesses; {what} (word {next})"
    );
    replay::diverge_at(t, Kind::Store, why)
}

/// The kernel has written there through the alias (recording), or the log has
/// (replay): this process has seen it. What [`store_by_call`] has logged is
/// no news, whatever others have stored there since.
pub fn written(addr: u64, len: u64) {
    let logged = |d: &(u64, u64)| d.0 <= addr && addr + len <= d.0 + d.1;
    if !super::any() || delivered().ranges().iter().any(logged) {
        return;
    }
    each_piece(addr, len, |r, at, n| {
        let (alias, copy) = (r.alias(at), r.copy(at));
        if log::recording() && differs(alias, copy, n) {
            copy_bytes(alias, copy, n);
            let t = thread::current();
            let (ip, tick) = (t.regs.rip, log::tick());
            stored_at(t, r, ip, at, n, tick, flag::BY_CALL);
        } else {
            copy_bytes(alias, copy, n);
        }
    });
}

/// What a call has stored, until the call is logged.
struct Delivered {
    list: [(u64, u64); scratch::MAX],
    count: usize,
}

static mut DELIVERED: Delivered = Delivered {
    list: [(0, 0); scratch::MAX],
    count: 0,
};

fn delivered() -> &'static mut Delivered {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut DELIVERED }
}

impl Delivered {
    fn ranges(&self) -> &[(u64, u64)] {
        &self.list[..self.count]
    }
}

/// The call is logged.
pub fn call_logged() {
    delivered().count = 0;
}

/// Recording: a call of the thread stores what is at `from` at `addr`, which is shared.
pub fn store_by_call(t: &mut Thread, addr: u64, from: u64, len: u64) {
    let d = delivered();
    d.list[d.count] = (addr, len);
    d.count += 1;
    each_piece(addr, len, |r, at, n| {
        let source = from + (at - addr);
        let offset = r.object_offset(at);
        lock::page(r.object, offset, t.tid);
        let store = Store {
            ip: t.regs.rip,
            addr: at,
            len: n,
            caller: 0,
        };
        let tick = log::tick();
        copy_bytes(source, r.alias(at), n);
        copy_bytes(source, r.copy(at), n);
        stored(t, r.copy(at), &store, tick, flag::BY_CALL, None);
        lock::unlock_page(r.object, offset);
    });
}

/// Calls `f` with the parts of a range that are shared, page by page.
fn each_piece(addr: u64, len: u64, mut f: impl FnMut(&Region, u64, u64)) {
    let end = addr.saturating_add(len);
    for r in super::regions() {
        let (from, to) = (addr.max(r.start), end.min(r.start + r.len));
        let mut at = from;
        while at < to {
            let next = ((at & !(PAGE - 1)) + PAGE).min(to);
            f(r, at, next - at);
            at = next;
        }
    }
}

// ------------------------------------------------------------------- bytes

/// Bytes that changed.
#[derive(Clone, Copy, Default)]
pub struct Span {
    /// Offset.
    pub from: u64,
    /// How many.
    pub len: u64,
}

/// Where `len` bytes at two places differ, in at most 32 spans that are
/// multiples of 8 but for the ends.
pub fn changes(a: u64, b: u64, len: u64, spans: &mut [Span; 32]) -> usize {
    let mut n = 0_usize;
    let mut at = 0;
    while at < len {
        let step = (8 - ((a + at) & 7)).min(len - at);
        // SAFETY: both are mapped for as long as the region is.
        let differ = unsafe { read_part(a + at, step) != read_part(b + at, step) };
        if differ {
            let last = n.saturating_sub(1);
            let end = spans[last].from + spans[last].len;
            if n > 0 && (end + 16 >= at || n == spans.len()) {
                spans[last].len = at + step - spans[last].from;
            } else {
                spans[n] = Span {
                    from: at,
                    len: step,
                };
                n += 1;
            }
        }
        at += step;
    }
    n
}

/// A span without the bytes at its ends that are equal.
pub fn trim(a: u64, b: u64, mut span: Span) -> Span {
    // SAFETY: as for `changes`.
    let equal = |at: u64| unsafe { read_part(a + at, 1) == read_part(b + at, 1) };
    while span.len > 1 && equal(span.from) {
        span.from += 1;
        span.len -= 1;
    }
    while span.len > 1 && equal(span.from + span.len - 1) {
        span.len -= 1;
    }
    span
}

/// Whether `len` bytes at two places differ: what others see, and what this process saw last.
#[inline]
pub fn differs(a: u64, b: u64, len: u64) -> bool {
    // SAFETY: as for `changes`.
    unsafe {
        if matches!(len, 8 | 4 | 1 | 2) {
            return read_part(a, len) != read_part(b, len);
        }
        let mut at = 0;
        while at + 8 <= len {
            if read_part(a + at, 8) != read_part(b + at, 8) {
                return true;
            }
            at += 8;
        }
        at < len && read_part(a + at, len - at) != read_part(b + at, len - at)
    }
}

/// A number at any address.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Unaligned<T>(T);

/// Up to eight bytes, each power of two of them read at once.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn read_part(at: u64, len: u64) -> u64 {
    // SAFETY: by the caller. Volatile: others write there.
    unsafe {
        match len {
            8 => (at as *const Unaligned<u64>).read_volatile().0,
            4 => (at as *const Unaligned<u32>).read_volatile().0.into(),
            2 => (at as *const Unaligned<u16>).read_volatile().0.into(),
            1 => (at as *const u8).read_volatile().into(),
            _ => {
                let mut value = 0;
                for i in 0..len {
                    value |= u64::from(((at + i) as *const u8).read_volatile()) << (8 * i);
                }
                value
            }
        }
    }
}

/// Stores the low `size` bytes of `value` at once.
#[inline(always)]
fn put(at: u64, value: u64, size: u32) {
    // Like the program's own store: to memory that others look at meanwhile.
    // SAFETY: `at` is in the alias of a region that contains the whole access;
    // x86 allows any alignment, and the stores are of the access's own size.
    unsafe {
        match size {
            8 if at & 7 == 0 => (*(at as *const AtomicU64)).store(value, Ordering::Relaxed),
            4 if at & 3 == 0 => (*(at as *const AtomicU32)).store(value as u32, Ordering::Relaxed),
            2 if at & 1 == 0 => (*(at as *const AtomicU16)).store(value as u16, Ordering::Relaxed),
            1 => (*(at as *const AtomicU8)).store(value as u8, Ordering::Relaxed),
            8 => (at as *mut u64).write_unaligned(value),
            4 => (at as *mut u32).write_unaligned(value as u32),
            _ => (at as *mut u16).write_unaligned(value as u16),
        }
    }
}

/// Stores in `to` the words of `from` that are not what `seen` has: whoever else
/// writes nearby is not disturbed. All are equally aligned.
pub fn copy_changes(from: u64, seen: u64, to: u64, len: u64) {
    let mut at = 0;
    while at < len {
        let n = (8 - ((from + at) & 7)).min(len - at);
        // SAFETY: as for `changes`.
        if unsafe { read_part(from + at, n) != read_part(seen + at, n) } {
            copy_bytes(from + at, to + at, n);
        }
        at += n;
    }
}

/// Copies between alias and copy, in the largest steps that fit.
#[inline]
pub fn copy_bytes(from: u64, to: u64, len: u64) {
    let mut at = 0;
    // SAFETY: both sides lie within a region's alias or copy.
    unsafe {
        while at + 8 <= len {
            let value = read_part(from + at, 8);
            ((to + at) as *mut u64).write_unaligned(value);
            at += 8;
        }
        for n in [4, 2, 1] {
            if len - at >= n {
                let value = read_part(from + at, n);
                match n {
                    4 => ((to + at) as *mut u32).write_unaligned(value as u32),
                    2 => ((to + at) as *mut u16).write_unaligned(value as u16),
                    _ => ((to + at) as *mut u8).write(value as u8),
                }
                at += n;
            }
        }
    }
}
