//! What all accesses have in common: counting, stopping before one, seeing what
//! others stored, and storing.

use super::bytes::{Span, changes, copy_bytes, differs, read_part};
use super::gate::{abandon, unwind};
use super::{Region, lock, site, step};
use crate::log;
use crate::process::process;
use crate::signal::Context;
use crate::sys::mm;
use crate::thread::{self, Thread};
use crate::{arch, patch, preempt, replay, scratch, signal, stop};
use core::sync::atomic::Ordering;
use orch_abi::layout::{PAGE, is_ours};
use orch_abi::record::{Chunk, Kind, Regs, Shared, Store, flag, pad8};

/// A countdown that does not run out.
const NEVER: i64 = i64::MAX / 2;

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
#[inline(always)]
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
#[inline(always)]
pub fn count(t: &mut Thread) -> u64 {
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
#[inline(always)]
pub fn interrupted(t: &mut Thread) -> bool {
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

pub fn note_interruption(t: &mut Thread, ip: u64) {
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

// ------------------------------------------------------------ interruptions

/// The thread was interrupted before an access: what was waiting happens now,
/// and then the program comes to the access again.
pub extern "C" fn at_access(t: &mut Thread) {
    unwind(t);
    if log::recording() {
        signal::deliver_pending(t);
        thread::maybe_yield(t);
    } else {
        replay::settle(t);
        stop::behind(t);
    }
    rearm(t);
    t.resume_ip = patch::resume_address(t.regs.rip);
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
    abandon(t);
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
    // Replay comes here without a fault.
    t.regs.rflags &= !preempt::RF;
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

/// Where the function that accesses memory at `ip` was called from, perhaps.
#[inline(always)]
pub fn caller(t: &mut Thread, ip: u64) -> u64 {
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

/// Brings the copy of `len` bytes at `addr`, which are in one page, up to date: what
/// others changed is logged, or put in from the log. `span` is locked.
fn see(t: &mut Thread, r: &Region, addr: u64, len: u64, span: lock::Span, flags: u8, ip: u64) {
    let ordinal = count(t);
    if !log::recording() {
        see_again(t, r, ordinal);
        return;
    }
    if !differs(r.alias(addr), r.copy(addr), len) {
        return;
    }
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
    log::begin(Kind::Shared, flags, span.tick(), size_of::<Shared>() + size);
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

/// Replay: puts in what the recording saw at this access. False if it saw nothing new.
pub fn see_again(t: &mut Thread, r: &Region, ordinal: u64) -> bool {
    if preempt::searching() {
        return false;
    }
    let Some(head) = log::peek() else {
        log::ended_early()
    };
    if head.kind == Kind::Ended as u8 {
        log::ended_early();
    }
    if head.kind != Kind::Shared as u8 || log::peek_word(1) != ordinal {
        return false;
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
    true
}

/// A page, of which all lines are locked, is about to be opened to an instruction.
pub fn see_page(t: &mut Thread, r: &Region, ip: u64, page: u64, flags: u8) {
    let span = lock::Span::page(r.object, r.object_offset(page));
    see(t, r, page, PAGE, span, flags, ip);
}

/// The kernel is about to read shared memory for the thread.
pub fn see_by_call(t: &mut Thread, r: &Region, addr: u64, len: u64) {
    let ip = t.regs.rip;
    see_locked(t, r, addr, len, flag::BY_CALL, ip);
}

/// An instruction loads bytes of one page.
pub fn see_bytes(t: &mut Thread, r: &Region, addr: u64, len: u64, ip: u64) {
    see_locked(t, r, addr, len, 0, ip);
}

fn see_locked(t: &mut Thread, r: &Region, addr: u64, len: u64, flags: u8, ip: u64) {
    let span = lock::Span::new(r.object, r.object_offset(addr), len);
    if log::recording() {
        span.lock(t.tid);
    }
    see(t, r, addr, len, span, flags, ip);
    if log::recording() {
        span.unlock();
    }
}

/// Whether the page at `alias` is within its file; in replay, whether it was.
pub fn is_there(t: &mut Thread, alias: u64) -> bool {
    if !log::recording() {
        return !interrupted(t);
    }
    // SAFETY: guarded.
    arch::x86_64::guarded(t, || unsafe {
        (alias as *const u8).read_volatile();
    })
}

// ----------------------------------------------------------------- storing

/// Logs a store of what is at `copy` now, or checks it against the log.
pub fn stored(t: &mut Thread, copy: u64, store: &Store, tick: u64, flags: u8, old: Option<&[u8]>) {
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
pub fn check(t: &mut Thread, copy: u64, store: &Store) {
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
        if !log::recording() {
            copy_bytes(alias, copy, n);
            return;
        }
        let t = thread::current();
        let span = lock::Span::new(r.object, r.object_offset(at), n);
        span.lock(t.tid);
        if differs(alias, copy, n) {
            copy_bytes(alias, copy, n);
            let ip = t.regs.rip;
            stored_at(t, r, ip, at, n, span.tick(), flag::BY_CALL);
        }
        span.unlock();
    });
}

/// What one argument leads to, and the others themselves.
const MAX_DELIVERED: usize = scratch::MAX_SHARED + 8;

/// What a call has stored, until the call is logged.
struct Delivered {
    list: [(u64, u64); MAX_DELIVERED],
    count: usize,
}

static mut DELIVERED: Delivered = Delivered {
    list: [(0, 0); MAX_DELIVERED],
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
        let span = lock::Span::new(r.object, r.object_offset(at), n);
        span.lock(t.tid);
        let store = Store {
            ip: t.regs.rip,
            addr: at,
            len: n,
            caller: 0,
        };
        copy_bytes(source, r.alias(at), n);
        copy_bytes(source, r.copy(at), n);
        stored(t, r.copy(at), &store, span.tick(), flag::BY_CALL, None);
        span.unlock();
    });
}

/// Calls `f` with the parts of a range that are shared and may be stored to, page by page.
fn each_piece(addr: u64, len: u64, mut f: impl FnMut(&Region, u64, u64)) {
    let end = addr.saturating_add(len);
    let open = |r: &&mut Region| r.prot & mm::WRITE != 0;
    for r in super::regions().iter_mut().filter(open) {
        let (from, to) = (addr.max(r.start), end.min(r.start + r.len));
        let mut at = from;
        while at < to {
            let next = ((at & !(PAGE - 1)) + PAGE).min(to);
            f(r, at, next - at);
            at = next;
        }
    }
}
