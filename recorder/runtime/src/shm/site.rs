//! Stubs in place: which code has one, how the program comes to it, and how
//! addresses in stubs and in the program correspond.
//!
//! A stub stands for a *window* of the program's code: the instruction that
//! accessed shared memory and, where that one is shorter than a jump, its
//! followers. The first fault makes the stub; where the window has room a jump
//! takes its place, whose bytes at which an instruction began are ones that
//! fault, so that a branch to there is sent to the stub as well. Where it
//! has none, each access faults and is sent to the stub.

use super::code;
use super::pages::{Chains, Pages};
use crate::signal::Context;
use crate::sys::{self, call, mm, nr};
use crate::thread::Thread;
use crate::{arch, log, patch, preempt, replay, stop, table};
use core::sync::atomic::Ordering;
use orch_abi::access::{Moved, Site, Stub, kind};
use orch_abi::layout::{PAGE, SHARED_BASE, TASK_END, is_ours};
use orch_abi::record::{Kind, Map};
use orch_abi::shared::{option, request};
use orch_abi::stop::{Layout, Window};
use orch_abi::window::JUMP;

const MAX_WINDOWS: usize = 1 << 15;
const MAX_SITES: usize = 1 << 16;
const MAX_MOVED: usize = 1 << 18;
const ENTRIES: usize = 1 << 18;
/// How much of the code from an access on, and before it, the host gets to see.
const AFTER: usize = 256;
const BEFORE: usize = 768;

/// Most bytes of a window.
const MAX_WINDOW: usize = 40;

struct Tables {
    windows: [Window; MAX_WINDOWS],
    window_count: usize,
    sites: [Site; MAX_SITES],
    site_count: usize,
    moved: [Moved; MAX_MOVED],
    moved_count: usize,
    /// Open-addressed: address of an instruction, and its window + 1, or
    /// 0; and perhaps [`REFUSED`] and [`DISPLACED`].
    entries: [(u64, u32); ENTRIES],
    entry_count: usize,
    areas: [(u64, u64); MAX_AREAS],
    area_count: usize,
    pads: [u64; MAX_PADS],
    pad_count: usize,
    /// Which of the windows begin on a page, which of the stubs, and which pages are pads.
    by_code: Chains<MAX_WINDOWS>,
    by_stub: Chains<MAX_WINDOWS>,
    pad_pages: Pages,
}

const NUMBER: u32 = REFUSED - 1;
/// No stub of its own can be made for it.
const REFUSED: u32 = 1 << 30;
/// A jump is where the instruction was.
const DISPLACED: u32 = 1 << 31;
const MAX_AREAS: usize = 256;
const MAX_PADS: usize = 1 << 14;
const AREA_LEN: u64 = 64 * PAGE;
/// Room that a stub may need.
const ROOM: u64 = 4096;
const _: () = assert!(JUMP == 5);
const _: () = assert!(size_of::<Tables>() as u64 <= orch_abi::layout::SHARED_TABLES_LEN);

static mut MAPPED: bool = false;

fn tables() -> Option<&'static mut Tables> {
    // SAFETY: mapped at this address, all zeros, which is a valid value; only
    // the baton's holder is here.
    unsafe { MAPPED.then(|| &mut *(SHARED_BASE as *mut Tables)) }
}

fn make_tables() -> Option<&'static mut Tables> {
    // SAFETY: as for `tables`.
    unsafe {
        if !MAPPED {
            let len = size_of::<Tables>().div_ceil(PAGE as usize) as u64 * PAGE;
            if sys::map_anonymous(SHARED_BASE, len, mm::READ | mm::WRITE) < 0 {
                return None;
            }
            MAPPED = true;
        }
    }
    tables()
}

/// A site by its index.
pub fn site(index: u32) -> &'static Site {
    match tables() {
        Some(t) if (index as usize) < t.site_count => &t.sites[index as usize],
        _ => crate::fail("a stub names no site"),
    }
}

impl Tables {
    fn entry(&mut self, ip: u64) -> Option<&mut (u64, u32)> {
        const FAR: usize = 256;
        table::row(&self.entries, ip, FAR).map(|i| &mut self.entries[i])
    }

    fn window_of(&mut self, ip: u64) -> Option<Window> {
        let &mut (at, n) = self.entry(ip)?;
        let n = n & NUMBER;
        (at == ip && n != 0).then(|| self.windows[n as usize - 1])
    }

    fn sites_of(&self, w: &Window) -> &[Site] {
        &self.sites[w.sites as usize..(w.sites + w.site_count) as usize]
    }

    fn moved_of(&self, w: &Window) -> &[Moved] {
        &self.moved[w.moved as usize..(w.moved + w.count) as usize]
    }

    /// Where in a stub the instruction at `ip` is.
    fn entry_of(&self, w: &Window, ip: u64) -> Option<u64> {
        let at = ip.checked_sub(w.ip)? as u32;
        let m = self.moved_of(w).iter().find(|m| m.at == at)?;
        Some(w.stub + u64::from(m.entry))
    }

    /// The window in whose stub `ip` lies.
    fn window_at(&self, ip: u64) -> Option<&Window> {
        if !self.areas[..self.area_count]
            .iter()
            .any(|&(a, _)| ip.wrapping_sub(a) < AREA_LEN)
        {
            return None;
        }
        // It begins on this page or on the one before.
        self.by_stub
            .on(ip - ROOM, ip + 1)
            .map(|i| &self.windows[i])
            .find(|w| ip.wrapping_sub(w.stub) < w.stub_len.into())
    }

    /// The windows that begin on a page that has, or nearly has, some of `start..end`.
    fn near(&self, start: u64, end: u64) -> impl Iterator<Item = &Window> {
        let first = start.saturating_sub(MAX_WINDOW as u64);
        self.by_code.on(first, end).map(|i| &self.windows[i])
    }
}

/// Whether `ip` lies in a stub, or on the way to one.
pub fn in_stub(ip: u64) -> bool {
    tables().is_some_and(|t| {
        let areas = &t.areas[..t.area_count];
        areas.iter().any(|&(a, _)| ip.wrapping_sub(a) < AREA_LEN)
            || t.pad_pages.get(ip & !(PAGE - 1)) != 0
    })
}

/// Whether a jump to a stub, or what it displaced, is in the way.
pub fn displaces(start: u64, len: u64) -> bool {
    tables().is_some_and(|t| {
        t.near(start, start + len)
            .any(|w| w.patched != 0 && w.ip < start + len && start < w.ip + u64::from(w.len))
    })
}

/// Where the program goes on when its instruction pointer is `ip`, if a jump
/// has displaced the instruction there.
pub fn resume_address(ip: u64) -> Option<u64> {
    let t = tables()?;
    let &mut (at, n) = t.entry(ip)?;
    if at != ip || n & DISPLACED == 0 {
        return None;
    }
    let w = t.window_of(ip)?;
    t.entry_of(&w, ip)
}

/// An instruction in a stub faulted: its address in the program. The scratch
/// register that held its operand's address becomes what the program had there.
pub fn original(t: &Thread, c: &mut Context) {
    let Some(tables) = tables() else { return };
    let ip = c.regs.rip;
    let Some(w) = tables.window_at(ip) else {
        return;
    };
    for s in tables.sites_of(w) {
        if s.perform == ip || s.perform_private == ip {
            *super::access::register(&mut c.regs, s.scratch[0]) = t.access.scratch[0];
            c.regs.rip = s.ip;
            return;
        }
    }
    to_original(c);
}

/// If a stub at `ip` looks for changes: the site that it does so for.
pub fn comparing(ip: u64) -> Option<u32> {
    let tables = tables()?;
    let w = tables.window_at(ip)?;
    let sites = tables.sites_of(w);
    // What is performed follows the comparison.
    let next = (0..).zip(sites).filter(|(_, s)| s.perform >= ip);
    let (i, s) = next.min_by_key(|(_, s)| s.perform)?;
    (s.perform != ip && s.kind == kind::LOAD).then_some(w.sites + i)
}

/// An instruction that was moved as it is: its address in the program.
pub fn to_original(c: &mut Context) {
    let Some(tables) = tables() else { return };
    let Some(w) = tables.window_at(c.regs.rip) else {
        return;
    };
    let ip = c.regs.rip;
    let sites = tables.sites_of(w);
    if sites
        .iter()
        .any(|s| s.perform == ip || s.perform_private == ip)
    {
        return;
    }
    // A call is several instructions, of which only the first ones can fault.
    let at = ip - w.stub;
    let mut before = tables.moved_of(w).iter().rev();
    let Some(m) = before.find(|m| u64::from(m.entry) <= at) else {
        return;
    };
    let ip = w.ip + u64::from(m.at);
    if sites.iter().all(|s| s.ip != ip) {
        c.regs.rip = ip;
    }
}

/// Address in the program of what is performed at `ip`.
pub fn program_ip(ip: u64) -> u64 {
    let Some(tables) = tables() else { return ip };
    let Some(w) = tables.window_at(ip) else {
        return ip;
    };
    tables
        .sites_of(w)
        .iter()
        .find(|s| s.perform == ip || s.perform_private == ip)
        .map_or(ip, |s| s.ip)
}

/// A branch into the middle of a jump: it goes on in the stub.
pub fn astray(c: &mut Context) -> bool {
    match resume_address(c.regs.rip) {
        Some(to) => {
            c.regs.rip = to;
            true
        }
        None => false,
    }
}

/// The program's code around an instruction.
struct Code {
    bytes: [u8; BEFORE + AFTER],
    /// Bytes before the instruction, and from it on.
    before: usize,
    after: usize,
}

/// The program's code around `ip`, as it was before jumps and breakpoints were put there.
fn pristine(t: &mut Thread, ip: u64) -> Code {
    let mut code = Code {
        bytes: [0; BEFORE + AFTER],
        before: BEFORE,
        after: 0,
    };
    let page = (ip & (PAGE - 1)) as usize;
    let to = code.bytes.as_mut_ptr();
    // SAFETY: guarded; as many bytes as there is room for.
    if !arch::x86_64::guarded(t, || unsafe {
        ((ip - BEFORE as u64) as *const u8).copy_to(to, BEFORE);
    }) {
        code.before = page.min(BEFORE);
        // SAFETY: on the page of the instruction.
        unsafe { ((ip - code.before as u64) as *const u8).copy_to(to, code.before) };
    }
    let before = code.before;
    arch::x86_64::guarded(t, || {
        while code.after < AFTER {
            // SAFETY: guarded; a fault ends the walk.
            code.bytes[before + code.after] =
                unsafe { ((ip + code.after as u64) as *const u8).read() };
            code.after += 1;
        }
    });
    let (start, len) = (ip - before as u64, before + code.after);
    let seen = &mut code.bytes[..len];
    if let Some(tables) = tables() {
        let near = tables.near(start, start + len as u64);
        for w in near.filter(|w| w.patched != 0) {
            overlay(start, seen, w.ip, &w.code[..JUMP]);
        }
    }
    preempt::overlay(start, seen);
    // A patched system call is none that may be moved: it ends what can be seen.
    if let Some(at) = patch::first_in(ip, ip + code.after as u64) {
        code.after = (at - ip) as usize;
    }
    code
}

/// Puts `bytes`, which belong at `at`, into the code that was read at `start`.
pub fn overlay(start: u64, code: &mut [u8], at: u64, bytes: &[u8]) {
    for (at, byte) in (at..).zip(bytes) {
        if let Some(to) = code.get_mut(at.wrapping_sub(start) as usize) {
            *to = *byte;
        }
    }
}

/// Sends a thread that faulted at `c` to the stub of its instruction, which is
/// made the first time. False if it has none.
pub fn send_to_stub(t: &mut Thread, c: &mut Context) -> bool {
    if process_options() & option::NO_PATCH != 0 {
        return false;
    }
    let ip = c.regs.rip;
    if in_stub(ip) || is_ours(ip) {
        return false;
    }
    let Some(tables) = make_tables() else {
        return false;
    };
    let Some(&mut (at, n)) = tables.entry(ip) else {
        return false;
    };
    if at == ip && n & REFUSED != 0 {
        return false;
    }
    if at == ip
        && let Some(w) = tables.window_of(ip)
        && let Some(to) = tables.entry_of(&w, ip)
        && tables.sites_of(&w).iter().any(|s| s.ip == ip)
        && (w.patched != 0 || is_unchanged(t, &w))
    {
        c.regs.rip = to;
        return true;
    }
    let made = make(t, tables, ip);
    // Where it went was the next record.
    super::rearm(t);
    match made {
        Some(to) => {
            c.regs.rip = to;
            true
        }
        None => {
            if let Some(e) = tables.entry(ip) {
                *e = (ip, REFUSED | e.1);
            }
            false
        }
    }
}

/// Whether the code of a window without a jump is as it was: it may be generated.
fn is_unchanged(t: &mut Thread, w: &Window) -> bool {
    let mut code = [0; MAX_WINDOW];
    let len = w.len as usize;
    // SAFETY: guarded, and the window has room in `code`.
    arch::x86_64::guarded(t, || unsafe {
        (w.ip as *const u8).copy_to(code.as_mut_ptr(), len);
    });
    preempt::overlay(w.ip, &mut code[..len]);
    code[..len] == w.code[..len]
}

fn process_options() -> u32 {
    crate::process::process().options
}

/// Makes the stub for the code at `ip`; returns its address.
fn make(t: &mut Thread, tables: &mut Tables, ip: u64) -> Option<u64> {
    if tables.window_count == MAX_WINDOWS || tables.entry_count > ENTRIES / 2 {
        return full();
    }
    let code = stop::without_breakpoints(|| pristine(t, ip));
    let at = room(t, tables, ip)?;
    let scratch = log::scratch();
    // SAFETY: the slot's message is this process's until it asks.
    unsafe { scratch.copy_from(code.bytes.as_ptr(), code.before + code.after) };
    let first = tables.site_count as u64;
    let lens = (code.before as u64) << 32 | code.after as u64;
    let len = log::ask(request::STUB, &[ip, at, lens, first]);
    if len == 0 {
        return None;
    }
    let answer = scratch.cast::<u8>();
    // SAFETY: the host has put an answer of this form there.
    let head = unsafe { answer.cast::<Stub>().read() };
    let (count, sites) = (head.instructions as usize, head.sites as usize);
    if head.window as usize > MAX_WINDOW
        || head.before as usize > code.before
        || u64::from(head.code) > ROOM
    {
        return None;
    }
    if tables.moved_count + count > MAX_MOVED
        || tables.site_count + sites > MAX_SITES
        || !tables.by_code.has_room(ip - u64::from(head.before))
        || !tables.by_stub.has_room(at)
    {
        return full();
    }
    let from = code.before - head.before as usize;
    let asked = ip;
    let ip = ip - u64::from(head.before);
    let w = Window {
        ip,
        len: head.window,
        moved: tables.moved_count as u32,
        count: head.instructions,
        patched: 0,
        stub: at,
        stub_len: head.code,
        sites: tables.site_count as u32,
        site_count: head.sites,
        code: core::array::from_fn(|i| code.bytes.get(from + i).copied().unwrap_or(0)),
    };
    // SAFETY: the answer's parts follow each other; the tables and the area have room.
    unsafe {
        let rows = answer.add(size_of::<Stub>());
        let site_rows = rows.add(count * size_of::<Moved>());
        let bytes = site_rows.add(sites * size_of::<Site>());
        rows.copy_to(
            (&raw mut tables.moved[tables.moved_count]).cast(),
            count * size_of::<Moved>(),
        );
        site_rows.copy_to(
            (&raw mut tables.sites[tables.site_count]).cast(),
            sites * size_of::<Site>(),
        );
        bytes.copy_to(at as *mut u8, head.code as usize);
        scratch.write(0);
    }
    tables.moved_count += count;
    tables.site_count += sites;
    commit(tables, at, head.code.into());
    tables.by_code.add(ip, tables.window_count);
    tables.by_stub.add(at, tables.window_count);
    tables.windows[tables.window_count] = w;
    tables.window_count += 1;
    let number = tables.window_count as u32;
    let patched = head.patch != 0 && put_jump(t, tables, number as usize - 1);
    let mut entry = None;
    for i in 0..count {
        let m = tables.moved[w.moved as usize + i];
        let ip = ip + u64::from(m.at);
        if ip == asked {
            entry = Some(at + u64::from(m.entry));
        } else if !patched {
            // Where no jump is in place only the instruction itself comes this way.
            continue;
        }
        tables.entry_count += 1;
        if let Some(e) = tables.entry(ip) {
            let displaced = if i > 0 && patched {
                DISPLACED
            } else {
                e.1 & DISPLACED
            };
            // A stub of its own is better than one that it is moved to as it is.
            let known = e.1 & NUMBER;
            let to = if ip != asked && known != 0 {
                known
            } else {
                number
            };
            *e = (ip, to | displaced);
        }
    }
    entry
}

/// There is no room for another stub, of which the user is told.
fn full() -> Option<u64> {
    // It stays 2 once that is done.
    log::slot().stubs_full.fetch_max(1, Ordering::Relaxed);
    None
}

/// Room for a stub within reach of `ip`.
fn room(t: &mut Thread, tables: &mut Tables, ip: u64) -> Option<u64> {
    let reach = |a: u64| a.abs_diff(ip) < (1 << 31) - (1 << 24);
    for &(base, used) in &tables.areas[..tables.area_count] {
        if reach(base) && used + ROOM <= AREA_LEN {
            return Some(base + used);
        }
    }
    if tables.area_count == MAX_AREAS {
        return full();
    }
    let base = patch::map_near(t, ip, AREA_LEN)?;
    tables.areas[tables.area_count] = (base, 0);
    tables.area_count += 1;
    Some(base)
}

fn commit(tables: &mut Tables, at: u64, len: u64) {
    let areas = &mut tables.areas[..tables.area_count];
    if let Some((base, used)) = areas
        .iter_mut()
        .find(|(base, _)| at.wrapping_sub(*base) < AREA_LEN)
    {
        *used = (at + len).div_ceil(16) * 16 - *base;
    }
}

// -------------------------------------------------------------------- jumps

/// Puts a jump to its stub in a window's place.
fn put_jump(t: &mut Thread, tables: &mut Tables, number: usize) -> bool {
    let w = tables.windows[number];
    if w.len < 5 || overlaps(&w) || code::may_change(w.ip) {
        return false;
    }
    let starts =
        tables.moved_of(&w).iter().fold(
            0_u32,
            |bits, m| if m.at < 5 { bits | 1 << m.at } else { bits },
        );
    let to = w.stub + u64::from(tables.moved_of(&w)[0].entry);
    let jump = if starts == 1 {
        jump_to(w.ip, to)
    } else {
        pad(t, tables, &w, starts, to)
    };
    let Some(jump) = jump else { return false };
    if !patch::write(w.ip, &jump) {
        return false;
    }
    tables.windows[number].patched = 1;
    stop::code_moved();
    true
}

/// Whether another window's jump or a patched system call is in the way.
fn overlaps(w: &Window) -> bool {
    patch::first_in(w.ip, w.ip + u64::from(w.len)).is_some() || displaces(w.ip, w.len.into())
}

fn jump_to(from: u64, to: u64) -> Option<[u8; 5]> {
    let offset = i32::try_from(to.wrapping_sub(from + 5) as i64).ok()?;
    let b = offset.to_le_bytes();
    Some([0xe9, b[0], b[1], b[2], b[3]])
}

/// A jump by way of a pad at an address that makes the bytes faulting ones
/// where an instruction began.
fn pad(t: &mut Thread, tables: &mut Tables, w: &Window, starts: u32, to: u64) -> Option<[u8; 5]> {
    // ins, outs, in, out, hlt, cli, sti: a general-protection fault (SDM vol. 2).
    const PRIVILEGED: [u8; 8] = [0x6c, 0xec, 0xf4, 0x6d, 0xed, 0xfa, 0x6e, 0xee];
    // Near above and below, within reach of the stub.
    const TOPS: [u8; 8] = [0x00, 0xff, 0x01, 0xfe, 0x02, 0xfd, 0x03, 0xfc];
    let held = |n: u32| starts >> n & 1 == 1;
    for i in 0..512_usize {
        let (a, b, c) = (i % 8, i / 8 % 8, i / 64);
        let top = if held(4) { PRIVILEGED[a] } else { TOPS[a] };
        let third = if held(3) {
            PRIVILEGED[b]
        } else {
            (w.ip >> 12) as u8 ^ (0x11 * b as u8)
        };
        let second = if held(2) {
            PRIVILEGED[c]
        } else {
            (w.ip >> 4) as u8 ^ (0x21 * c as u8)
        };
        let first = if held(1) { PRIVILEGED[c] } else { 0 };
        let offset = i64::from(i32::from_le_bytes([first, second, third, top]));
        let Some(at) = (w.ip + 5).checked_add_signed(offset) else {
            continue;
        };
        // The whole pad lies on one page.
        if at & (PAGE - 1) > PAGE - 5 {
            continue;
        }
        let Some(jump) = jump_to(at, to) else {
            continue;
        };
        let page = at & !(PAGE - 1);
        if !own_page(t, tables, page) {
            continue;
        }
        // SAFETY: the page is ours; all zeros there means unused.
        let free = unsafe { core::slice::from_raw_parts(at as *const u8, 5) }
            .iter()
            .all(|&b| b == 0);
        if !free {
            continue;
        }
        if !patch::write(at, &jump) {
            return None;
        }
        return Some([0xe9, first, second, third, top]);
    }
    None
}

/// Whether the page is one of pads; takes it if it is free.
fn own_page(t: &mut Thread, tables: &mut Tables, page: u64) -> bool {
    if tables.pad_pages.get(page) != 0 {
        return true;
    }
    if tables.pad_count == MAX_PADS || page < 0x1_0000 || page + PAGE > TASK_END || is_ours(page) {
        return false;
    }
    if !map_page(t, page) {
        return false;
    }
    tables.pads[tables.pad_count] = page;
    tables.pad_count += 1;
    tables.pad_pages.set(page, 1)
}

/// Maps a page at `page` if nothing is there. Where it was possible when
/// recording, it is in replay.
fn map_page(t: &mut Thread, page: u64) -> bool {
    let flags = mm::PRIVATE | mm::ANONYMOUS | mm::FIXED_NOREPLACE;
    let prot = mm::READ | mm::EXEC;
    if !log::recording() {
        replay::expect_kind(t, Kind::RuntimeMap);
        let m = log::read::<Map>();
        return m.len != 0 && sys::map_anonymous(page, PAGE, prot) == page as i64;
    }
    let got = call(nr::MMAP, &[page, PAGE, prot, flags, u64::MAX, 0]);
    if got > 0 && got != page as i64 {
        // A kernel before 4.17 took the flag for a hint.
        call(nr::MUNMAP, &[got as u64, PAGE]);
    }
    let m = Map {
        addr: page,
        len: if got == page as i64 { PAGE } else { 0 },
        prot: prot as u32,
        ..Map::default()
    };
    log::write(Kind::RuntimeMap, 0, 0, log::tick(), &[log::bytes_of(&m)]);
    m.len != 0
}

/// Memory is unmapped or replaced: stubs for code in it are gone.
pub fn forget(addr: u64, len: u64) {
    code::forget(addr, len);
    each_window(addr, len, forget_window);
}

/// Code is about to become writable: it is as the program has made it.
pub fn restore(addr: u64, len: u64) {
    let mut any = false;
    each_window(addr, len, |t, i| {
        let w = t.windows[i];
        if w.patched != 0 {
            any |= patch::write(w.ip, &w.code[..JUMP]);
        }
        forget_window(t, i);
    });
    if any {
        stop::code_moved();
    }
}

/// Calls `f` with each window that has something of the range.
fn each_window(addr: u64, len: u64, mut f: impl FnMut(&mut Tables, usize)) {
    let Some(t) = tables() else { return };
    let end = addr.saturating_add(len);
    let mut look = |t: &mut Tables, i: usize| {
        let w = &t.windows[i];
        if w.ip < end && w.ip + u64::from(w.len) > addr {
            f(t, i);
        }
    };
    let first = addr.saturating_sub(MAX_WINDOW as u64) & !(PAGE - 1);
    if (end - first) / PAGE > t.window_count as u64 {
        for i in 0..t.window_count {
            look(t, i);
        }
        return;
    }
    for page in (first..end).step_by(PAGE as usize) {
        let mut next = t.by_code.first(page);
        while let Some(i) = next {
            next = t.by_code.after(i);
            look(t, i);
        }
    }
}

fn forget_window(t: &mut Tables, i: usize) {
    let w = t.windows[i];
    t.windows[i].patched = 0;
    for k in 0..w.count {
        let ip = w.ip + u64::from(t.moved[(w.moved + k) as usize].at);
        if let Some(e) = t.entry(ip)
            && e.0 == ip
            && (e.1 & NUMBER) as usize == i + 1
        {
            e.1 = 0;
        }
    }
}

/// Where a debugger finds the windows, once there are any.
pub fn describe(to: &mut Layout) {
    let t = SHARED_BASE as *const Tables;
    // SAFETY: only computes addresses.
    unsafe {
        to.windows = (&raw const (*t).windows) as u64;
        to.window_count = (&raw const (*t).window_count) as u64;
        to.moved = (&raw const (*t).moved) as u64;
        to.pads = (&raw const (*t).pads) as u64;
        to.pad_count = (&raw const (*t).pad_count) as u64;
    }
}
