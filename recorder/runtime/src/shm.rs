//! Memory that processes share. The program's view of it has no permissions;
//! an access faults, what others changed on the page since this process last
//! looked is logged, the one instruction runs on the real page, and the view
//! is closed again. Replay has a page of its own in the same place and puts
//! the logged changes in at the same access.
//!
//! For each region there are an *alias*, a second view that is always open
//! to the runtime, and a *copy*, private, of what this process last saw.

use crate::signal::Context;
use crate::sys::{self, call, mm, nr};
use crate::thread::Thread;
use crate::{arch, log, preempt, replay};
use core::sync::atomic::Ordering;
use orch_abi::layout::{PAGE, SHARED_BASE, SHARED_LEN};
use orch_abi::record::{Chunk, Head, Kind, Shared};

const MAX_REGIONS: usize = 512;
const TF: u64 = 0x100;

/// A shared mapping.
#[derive(Clone, Copy)]
struct Region {
    start: u64,
    len: u64,
    /// What the program asked for.
    prot: u64,
    /// 0 while only this process has it: then the program's view is open.
    alias: u64,
    copy: u64,
}

struct State {
    regions: [Region; MAX_REGIONS],
    count: usize,
    /// Next free address for aliases and copies.
    next: u64,
    /// Accesses so far.
    ordinal: u64,
    /// Pages that are open for the instruction being stepped.
    open: [u64; 8],
    open_count: usize,
    /// Signal mask to go back to after the step.
    mask: u64,
    /// A `rep` instruction runs to a breakpoint behind it: address, byte that belongs there.
    behind: Option<(u64, u8)>,
}

static mut STATE: State = State {
    regions: [Region {
        start: 0,
        len: 0,
        prot: 0,
        alias: 0,
        copy: 0,
    }; MAX_REGIONS],
    count: 0,
    next: SHARED_BASE,
    ordinal: 0,
    open: [0; 8],
    open_count: 0,
    mask: 0,
    behind: None,
};

fn state() -> &'static mut State {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut STATE }
}

fn find(addr: u64) -> Option<&'static mut Region> {
    let s = state();
    s.regions[..s.count]
        .iter_mut()
        .find(|r| addr.wrapping_sub(r.start) < r.len)
}

fn active(addr: u64) -> Option<&'static mut Region> {
    if state().count == 0 {
        return None;
    }
    find(addr).filter(|r| r.alias != 0)
}

/// Address at which the kernel and the runtime reach what the program sees at `addr`.
#[inline]
pub fn alias(addr: u64) -> u64 {
    active(addr).map_or(addr, |r| r.alias + (addr - r.start))
}

/// Address of what this process last saw at `addr`.
#[inline]
pub fn copy(addr: u64) -> u64 {
    active(addr).map_or(addr, |r| r.copy + (addr - r.start))
}

/// Whether the calling thread is between opening a page and closing it.
pub fn stepping() -> bool {
    state().open_count > 0
}

// ------------------------------------------------------------------ regions

/// A shared mapping was made. `now`: others may have it already.
pub fn add(start: u64, len: u64, prot: u64, now: bool) {
    let s = state();
    if s.count == MAX_REGIONS {
        crate::fail("too many shared mappings for the recorder");
    }
    let len = len.div_ceil(PAGE) * PAGE;
    s.regions[s.count] = Region {
        start,
        len,
        prot,
        alias: 0,
        copy: 0,
    };
    s.count += 1;
    if now {
        // What is in it already is news to this process, to be logged when it looks.
        activate(s.count - 1, false);
    }
}

/// Others will have this process's shared memory from now on (fork).
pub fn activate_all() {
    for i in 0..state().count {
        if state().regions[i].alias == 0 {
            activate(i, true);
        }
    }
}

fn activate(i: usize, seen: bool) {
    let s = state();
    let r = &mut s.regions[i];
    let (alias, copy) = (s.next, s.next + r.len);
    s.next += 2 * r.len;
    if s.next > SHARED_BASE + SHARED_LEN {
        crate::fail("too much shared memory for the recorder");
    }
    // Old length 0 makes a second mapping of the same pages (mremap(2)).
    let flags = mm::MREMAP_MAYMOVE | mm::MREMAP_FIXED;
    let rw = mm::READ | mm::WRITE;
    if call(nr::MREMAP, &[r.start, 0, r.len, flags, alias]) != alias as i64 {
        crate::fail("shared memory cannot be mapped a second time");
    }
    call(nr::MPROTECT, &[alias, r.len, rw]);
    sys::map_anonymous(copy, r.len, rw);
    if seen && r.prot & mm::READ != 0 {
        copy_present(r.start, copy, r.len);
    }
    call(nr::MPROTECT, &[r.start, r.len, 0]);
    (r.alias, r.copy) = (alias, copy);
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
        if s.count == MAX_REGIONS {
            crate::fail("too many shared mappings for the recorder");
        }
        let d = at - r.start;
        let inside = |base: u64| if base == 0 { 0 } else { base + d };
        s.regions[i].len = d;
        s.regions[s.count] = Region {
            start: at,
            len: r.len - d,
            prot: r.prot,
            alias: inside(r.alias),
            copy: inside(r.copy),
        };
        s.count += 1;
        return;
    }
}

/// The program unmaps or replaces a range.
pub fn remove(start: u64, len: u64) {
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
        if r.alias != 0 {
            call(nr::MUNMAP, &[r.alias, r.len]);
            call(nr::MUNMAP, &[r.copy, r.len]);
        }
        s.count -= 1;
        s.regions[i] = s.regions[s.count];
    }
}

/// Length of the region that begins at `start`, or 0.
pub fn len_at(start: u64) -> u64 {
    find(start)
        .filter(|r| r.start == start)
        .map_or(0, |r| r.len)
}

/// mprotect(2) of shared memory: true if the view stays closed.
pub fn protect(start: u64, len: u64, prot: u64) -> bool {
    let s = state();
    if s.count == 0 {
        return false;
    }
    let end = start.saturating_add(len.div_ceil(PAGE) * PAGE);
    split(start);
    split(end);
    let mut closed = false;
    for r in &mut s.regions[..s.count] {
        if r.start >= start && r.start < end {
            r.prot = prot;
            closed |= r.alias != 0;
        }
    }
    closed
}

/// Whether any part of the range is a closed view.
pub fn touches(start: u64, len: u64) -> bool {
    let s = state();
    s.regions[..s.count]
        .iter()
        .any(|r| r.alias != 0 && r.start < start.saturating_add(len) && start < r.start + r.len)
}

/// Replay, in a forked child: its shared memory is its own, with what it last saw.
pub fn separate() {
    let s = state();
    for r in s.regions[..s.count].iter().filter(|r| r.alias != 0) {
        let flags = mm::SHARED | mm::ANONYMOUS | mm::FIXED | mm::NORESERVE;
        call(
            nr::MMAP,
            &[r.start, r.len, mm::READ | mm::WRITE, flags, u64::MAX, 0],
        );
        call(
            nr::MREMAP,
            &[
                r.start,
                0,
                r.len,
                mm::MREMAP_MAYMOVE | mm::MREMAP_FIXED,
                r.alias,
            ],
        );
        copy_present(r.copy, r.alias, r.len);
        call(nr::MPROTECT, &[r.start, r.len, 0]);
    }
}

// --------------------------------------------------------------------- lock

fn lock(tid: u32) {
    if !log::recording() {
        return;
    }
    let c = log::control();
    let word = &c.shared_lock;
    for _ in 0..200 {
        if word
            .compare_exchange_weak(0, tid, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            return;
        }
        core::hint::spin_loop();
    }
    c.shared_waiters.fetch_add(1, Ordering::SeqCst);
    loop {
        match word.compare_exchange(0, tid, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => break,
            Err(owner) => {
                sys::futex_wait(word, owner, 50);
                // A holder that was killed holds nothing.
                const ESRCH: i64 = 3;
                if word.load(Ordering::Relaxed) == owner
                    && call(nr::KILL, &[u64::from(owner), 0]) == -ESRCH
                {
                    let _ = word.compare_exchange(owner, 0, Ordering::AcqRel, Ordering::Relaxed);
                }
            }
        }
    }
    c.shared_waiters.fetch_sub(1, Ordering::Relaxed);
}

fn unlock() {
    if !log::recording() {
        return;
    }
    let c = log::control();
    c.shared_lock.store(0, Ordering::SeqCst);
    if c.shared_waiters.load(Ordering::SeqCst) > 0 {
        sys::futex_wake(&c.shared_lock, 1);
    }
}

// ----------------------------------------------------------------- accesses

/// Brings this process's copy of a page up to date: what others changed is
/// logged, or put in from the log. The lock is held.
fn sync_page(r: &Region, page: u64) {
    let s = state();
    s.ordinal += 1;
    let (alias, copy) = (r.alias + (page - r.start), r.copy + (page - r.start));
    if !log::recording() {
        if preempt::searching() {
            return;
        }
        while let Some(head) = log::peek() {
            if head.kind != Kind::Shared as u8 || log::peek_word(1) != s.ordinal {
                break;
            }
            log::take();
            put_changes(&head, page, alias, copy);
        }
        return;
    }
    let mut spans = [Span { from: 0, len: 0 }; 32];
    let n = changes(alias, copy, &mut spans);
    if n == 0 {
        return;
    }
    let body = Shared {
        ip: 0,
        ordinal: s.ordinal,
    };
    let len: usize = spans[..n].iter().map(|p| 16 + p.len as usize).sum();
    log::begin(Kind::Shared, size_of::<Shared>() + len);
    log::part(log::bytes_of(&body));
    for p in &spans[..n] {
        // Taken into the copy first: what is logged is what was seen.
        // SAFETY: within the page, in the alias and in the copy.
        let bytes = unsafe {
            ((alias + p.from) as *const u8)
                .copy_to_nonoverlapping((copy + p.from) as *mut u8, p.len as usize);
            core::slice::from_raw_parts((copy + p.from) as *const u8, p.len as usize)
        };
        log::part(log::bytes_of(&Chunk {
            addr: page + p.from,
            len: p.len,
            outgoing: 0,
        }));
        log::part(bytes);
    }
    log::end();
}

/// Bytes of a page that changed: multiples of 8.
#[derive(Clone, Copy)]
struct Span {
    from: u64,
    len: u32,
}

fn changes(alias: u64, copy: u64, spans: &mut [Span; 32]) -> usize {
    let mut n = 0;
    // SAFETY: both pages are mapped for as long as the region is.
    let (a, b) = unsafe {
        (
            core::slice::from_raw_parts(alias as *const u64, 512),
            core::slice::from_raw_parts(copy as *const u64, 512),
        )
    };
    for i in 0..512 {
        if a[i] == b[i] {
            continue;
        }
        let from = i as u64 * 8;
        if n > 0
            && (spans[n - 1].from + u64::from(spans[n - 1].len) + 16 >= from || n == spans.len())
        {
            spans[n - 1].len = (from + 8 - spans[n - 1].from) as u32;
        } else {
            spans[n] = Span { from, len: 8 };
            n += 1;
        }
    }
    n
}

fn put_changes(head: &Head, page: u64, alias: u64, copy: u64) {
    let _ = log::read::<Shared>();
    let mut left = head.len as usize - size_of::<Shared>();
    while left > 0 {
        let c = log::read::<Chunk>();
        let offset = c.addr.wrapping_sub(page);
        if offset >= PAGE || u64::from(c.len) > PAGE - offset {
            crate::fail("a shared-memory record names bytes outside its page");
        }
        log::read_into(copy + offset, u64::from(c.len));
        log::skip_pad(u64::from(c.len));
        // SAFETY: within the page, by the check above.
        unsafe {
            ((copy + offset) as *const u8)
                .copy_to_nonoverlapping((alias + offset) as *mut u8, c.len as usize);
        }
        left -= size_of::<Chunk>() + (c.len as usize).div_ceil(8) * 8;
    }
}

/// A fault at `addr`: opens the page for one instruction if it is shared.
pub fn fault(t: &mut Thread, c: &mut Context, addr: u64, write: bool) -> bool {
    let s = state();
    let page = addr & !(PAGE - 1);
    let Some(r) = active(addr).copied() else {
        return false;
    };
    let needed = if write { mm::WRITE } else { mm::READ };
    if r.prot & needed == 0 || s.open[..s.open_count].contains(&page) {
        return false;
    }
    if s.open_count == 0 {
        lock(t.tid);
        s.mask = c.mask();
        c.block_all();
        match rep_len(t, c.regs.rip) {
            // A trap for each of its rounds would take too long.
            Some(n) => {
                s.behind = Some((c.regs.rip + n, preempt::poke(c.regs.rip + n, preempt::INT3)))
            }
            None => c.regs.rflags |= TF,
        }
    } else if s.open_count == s.open.len() {
        if s.behind.is_none() {
            return false;
        }
        // The instruction has moved on from its first pages.
        close_page(s.open[0]);
        s.open.copy_within(1.., 0);
        s.open_count -= 1;
    }
    sync_page(&r, page);
    call(nr::MPROTECT, &[page, PAGE, mm::READ | mm::WRITE]);
    s.open[s.open_count] = page;
    s.open_count += 1;
    true
}

/// The instruction is done (or failed): closes what was open.
pub fn close(c: &mut Context) {
    let s = state();
    for i in 0..s.open_count {
        close_page(s.open[i]);
    }
    s.open_count = 0;
    if let Some((at, byte)) = s.behind.take() {
        preempt::poke(at, byte);
    }
    unlock();
    c.regs.rflags &= !TF;
    c.set_mask(s.mask);
}

fn close_page(page: u64) {
    if let Some(r) = active(page) {
        // SAFETY: the page is mapped in both.
        unsafe {
            ((r.alias + (page - r.start)) as *const u8)
                .copy_to_nonoverlapping((r.copy + (page - r.start)) as *mut u8, PAGE as usize);
        }
        call(nr::MPROTECT, &[page, PAGE, 0]);
    }
}

/// Length of the instruction at `ip` if it is a repeated string instruction
/// (SDM vol. 2: prefixes f2/f3, 66, 67, rex; opcodes a4-a7, aa-af).
fn rep_len(t: &mut Thread, ip: u64) -> Option<u64> {
    let mut code = [0_u8; 6];
    // SAFETY: guarded.
    arch::x86_64::guarded(t, || unsafe {
        (ip as *const u8).copy_to(code.as_mut_ptr(), 6)
    });
    let mut rep = false;
    for (i, b) in code.iter().enumerate() {
        match b {
            0xf2 | 0xf3 => rep = true,
            0x66 | 0x67 | 0x40..=0x4f => {}
            0xa4..=0xa7 | 0xaa..=0xaf => return rep.then_some(i as u64 + 1),
            _ => return None,
        }
    }
    None
}

/// The trap after the one instruction; false if there was none.
pub fn stepped(t: &mut Thread, c: &mut Context) -> bool {
    let s = state();
    if s.open_count == 0 {
        return false;
    }
    if let Some((at, _)) = s.behind {
        if c.regs.rip != at + 1 {
            return false;
        }
        c.regs.rip = at;
    }
    close(c);
    if !log::recording() {
        replay::after_event(t, c);
    }
    true
}

// -------------------------------------------------------------- system calls

/// The kernel is about to read or write `len` bytes at `addr`: brings the copy
/// up to date.
pub fn sync_range(addr: u64, len: u64) {
    if state().count == 0 || len == 0 {
        return;
    }
    let mut page = addr & !(PAGE - 1);
    while page < addr.saturating_add(len) {
        match active(page).copied() {
            Some(r) => {
                lock(crate::thread::current().tid);
                sync_page(&r, page);
                unlock();
                page += PAGE;
            }
            None if addr.saturating_add(len) - page > 1 << 20 => return,
            None => page += PAGE,
        }
    }
}

/// The kernel (or the log) has written there through the alias: this process
/// has seen it.
pub fn written(addr: u64, len: u64) {
    let Some(r) = active(addr) else { return };
    let n = len.min(r.start + r.len - addr);
    let d = addr - r.start;
    // SAFETY: within the region.
    unsafe {
        ((r.alias + d) as *const u8).copy_to_nonoverlapping((r.copy + d) as *mut u8, n as usize);
    }
}

/// Arguments as the kernel must get them: pointers into shared memory lead to the alias.
pub fn for_kernel(call: &orch_abi::syscalls::Call, args: &[u64; 6]) -> [u64; 6] {
    use orch_abi::syscalls::Ty;
    let mut out = *args;
    if state().count == 0 {
        return out;
    }
    for i in 0..call.args.len() {
        let pointer = matches!(
            call.ty(i, args),
            Ty::Addr | Ty::Path | Ty::In(_) | Ty::Out(_) | Ty::InOut(_) | Ty::OutAlways(_)
        );
        if pointer {
            out[i] = alias(args[i]);
        }
    }
    out
}

/// In the child of a fork: nothing of the parent's is open.
pub fn after_fork() {
    state().open_count = 0;
}
