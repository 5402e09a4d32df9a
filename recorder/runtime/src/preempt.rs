//! Interruptions between two instructions: a thread that computes while a
//! signal or another thread waits is stopped where it is. The record (`Point`)
//! holds what identifies the dynamic instruction; replay finds it again with
//! a stub at its address (`stub`), or a breakpoint where none can be put,
//! comparing registers first, then memory around them, then a digest of all.

use crate::arch::x86_64 as arch;
use crate::process::process;
use crate::signal::{self, Context};
use crate::sys;
use crate::thread::{self, Thread};
use crate::{digest, log, nearby, patch, replay, shm, stop, stub};
use core::sync::atomic::Ordering;
use orch_abi::digest::{Difference, Digest};
use orch_abi::layout::{PAGE, is_ours};
use orch_abi::record::{Kind, Point, Regs};
use orch_abi::stop::Layout;
use orch_abi::window as displaced;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const TF: u64 = 0x100;
/// Set in the flags that a fault leaves (SDM vol. 3, "Resume Flag").
pub const RF: u64 = 0x1_0000;
/// The breakpoint instruction.
pub const INT3: u8 = 0xcc;
/// Memory of more pages is not hashed.
const MAX_PAGES: u64 = 16 << 10;
/// How far a thread may go on to a place where replay can put a stub.
const MAX_STEPS: u32 = 32;

/// The place that replay looks for.
struct Search {
    on: bool,
    point: Point,
    /// The breakpoint is in the code; this byte belongs there.
    inserted: bool,
    original: u8,
    /// One instruction is being stepped, with the breakpoint removed.
    stepping: bool,
    /// The runtime itself is stepped, on its way to that instruction.
    leaving: bool,
    passes: u64,
    closest: Closest,
    /// Pages that differed where nothing else did, and the hashes that they had when recorded:
    /// most likely to differ again.
    doubtful: [(u64, u64); MAX_DOUBTFUL],
    doubtful_count: usize,
}

const MAX_DOUBTFUL: usize = 16;

/// How much was as recorded at the pass where most was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Closest {
    Nothing,
    /// The registers, but not the word at an address.
    Registers(u64),
    /// Also all such words, but not what is around them.
    Words,
    /// All but memory elsewhere.
    Around,
}

impl core::fmt::Display for Closest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Nothing => f.write_str("its registers were others each time"),
            Self::Registers(at) => write!(f, "where its registers were the same, {at:#x} was not"),
            Self::Words => f.write_str("where its registers were the same, memory near was not"),
            Self::Around => f.write_str("where all near it was the same, other memory was not"),
        }
    }
}

static mut SEARCH: Search = Search {
    on: false,
    point: Point {
        regs: Regs {
            r8: 0,
            r9: 0,
            r10: 0,
            r11: 0,
            r12: 0,
            r13: 0,
            r14: 0,
            r15: 0,
            rdi: 0,
            rsi: 0,
            rbp: 0,
            rbx: 0,
            rdx: 0,
            rax: 0,
            rcx: 0,
            rsp: 0,
            rip: 0,
            rflags: 0,
        },
        accesses: 0,
        near: 0,
        digest: Digest::EMPTY,
    },
    inserted: false,
    original: 0,
    stepping: false,
    leaving: false,
    passes: 0,
    closest: Closest::Nothing,
    doubtful: [(0, 0); MAX_DOUBTFUL],
    doubtful_count: 0,
};

/// The breakpoint behind a string instruction that is being executed, and what belongs there.
static mut BEHIND: Option<(u64, u8)> = None;

fn behind() -> &'static mut Option<(u64, u8)> {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut BEHIND }
}

fn search() -> &'static mut Search {
    // SAFETY: only the baton's holder (in replay: the one thread) searches.
    unsafe { &mut *&raw mut SEARCH }
}

/// Where a debugger finds the search.
pub fn describe(to: &mut Layout) {
    let s = search();
    to.search_stepping = (&raw const s.stepping) as u64;
    to.search_inserted = (&raw const s.inserted) as u64;
    to.search_address = (&raw const s.point.regs.rip) as u64;
    to.search_original = (&raw const s.original) as u64;
}

/// Whether a place is being looked for: no other event may come before it.
pub fn searching() -> bool {
    search().on
}

fn normalised(regs: &Regs) -> Regs {
    Regs {
        rflags: regs.rflags & !(TF | RF),
        ..*regs
    }
}

// ---------------------------------------------------------------- recording

/// The supervisor's interrupt arrived at `c`: stops there if that is program code.
pub fn interrupt(t: &mut Thread, c: &mut Context) {
    process().hurry.store(1, Ordering::Relaxed);
    t.kicked = 1;
    let ip = c.regs.rip;
    if !log::recording() || shm::stepping() || is_ours(ip) || patch::is_trampoline(ip) {
        return;
    }
    if t.steps > 0 {
        return;
    }
    let others = process().threads > 1 && log::slot().baton_waiters.load(Ordering::Relaxed) > 0;
    if t.caught == 0 && !others {
        return;
    }
    if shm::in_stub(ip) {
        shm::hurry(t);
        return;
    }
    // The kernel looks for signals on its way back from a page fault, too: the program has
    // a page that it will write to, which replay does not know of until it has done so.
    if !step(t, c, MAX_STEPS) {
        stop(t, c);
    }
}

/// Stops the thread if its place is one where replay can put a stub; lets it
/// execute one more instruction otherwise, at most `steps` times.
fn stop_or_step(t: &mut Thread, c: &mut Context, steps: u32) {
    let (code, n) = stub::code_at(t, c.regs.rip);
    if steps == 0 || displaced::window(&code[..n]).is_some() || !step(t, c, steps) {
        stop(t, c);
    }
}

/// Lets the thread execute one instruction; false if it is none that can be stepped.
fn step(t: &mut Thread, c: &mut Context, steps: u32) -> bool {
    let (code, n) = stub::code_at(t, c.regs.rip);
    let may = may_step(&code[..n], c.regs.rip);
    if may {
        t.steps = steps;
        c.regs.rflags |= execute(t, c.regs.rip);
    }
    may
}

/// Lets the thread trap when it has executed the instruction at `ip`, with the flag that comes
/// back. A repeated string instruction is not divided: where one is interrupted by
/// a page fault, it may have stored more already than its registers say.
fn execute(t: &mut Thread, ip: u64) -> u64 {
    let (code, n) = stub::code_at(t, ip);
    let Some(len) = displaced::repeated(&code[..n]) else {
        return TF;
    };
    let at = ip + len as u64;
    *behind() = Some((at, poke(at, INT3)));
    0
}

/// The instruction has been executed, or has failed.
fn executed(c: &mut Context) {
    c.regs.rflags &= !TF;
    if let Some((at, byte)) = behind().take() {
        poke(at, byte);
        if c.regs.rip == at + 1 {
            c.regs.rip = at;
        }
    }
}

fn stop(t: &mut Thread, c: &mut Context) {
    t.steps = 0;
    t.regs = c.regs;
    t.preempted = 1;
    signal::send_to(c, arch::interrupted_entry as *const () as u64, t.stack_top);
}

/// Whether the instruction can be stepped: it does not lead into the runtime,
/// and does not show the trap flag to the program.
fn may_step(code: &[u8], ip: u64) -> bool {
    let Some(insn) = displaced::decode(code) else {
        return false;
    };
    if code[0] != 0xe9 {
        return true;
    }
    let offset = i32::from_le_bytes([code[1], code[2], code[3], code[4]]);
    let to = (ip + insn.len as u64).wrapping_add_signed(offset.into());
    !patch::is_trampoline(to) && !shm::in_stub(to)
}

/// Logs the place and lets happen what was waiting.
pub fn stopped(t: &mut Thread) {
    t.preempted = 0;
    t.regs = normalised(&t.regs);
    let p = identify(t, true);
    log::write(
        Kind::Point,
        0,
        0,
        log::tick(),
        &[log::bytes_of(&p), nearby::collect(t)],
    );
    signal::deliver_pending(t);
    thread::maybe_yield(t);
}

fn identify(t: &mut Thread, all: bool) -> Point {
    let regs = t.regs;
    let mut p = Point {
        regs,
        accesses: shm::made(t),
        near: near(t, &regs),
        ..Point::default()
    };
    if all {
        p.digest = digest::of_memory_up_to(MAX_PAGES);
    }
    p
}

/// Hash of the memory around what the registers point to.
fn near(t: &mut Thread, r: &Regs) -> u64 {
    let mut hash = 0;
    for p in nearby::pointers(r) {
        hash = window(t, hash, p & !63, nearby::HASHED);
    }
    window(t, hash, r.rsp, nearby::STACK_HASHED)
}

fn window(t: &mut Thread, seed: u64, at: u64, len: u64) -> u64 {
    let mut hash = seed;
    arch::guarded(t, || {
        // SAFETY: guarded; unmapped memory leaves the hash as it was.
        let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, len as usize) };
        hash = xxh3_64_with_seed(bytes, seed);
    });
    hash
}

// ------------------------------------------------------------------- replay

/// The next event is a `Point`: looks for it from here on.
pub fn look_for_point(t: &mut Thread) {
    let s = take_point(t);
    t.regs = normalised(&t.regs);
    let here = t.regs.rip == s.point.regs.rip;
    if here && matches(t) {
        s.on = false;
    } else if stub::install(t) {
        // From the place itself the program goes through the stub once more.
    } else if here {
        s.stepping = true;
        t.regs.rflags |= execute(t, t.regs.rip);
        s.leaving = t.regs.rflags & TF != 0;
    } else {
        insert();
    }
}

/// As [`look_for_point`], of a thread that is in a stub of a shared access: it
/// comes to the point by way of the code there, if it is next.
pub fn look_ahead_for_point(t: &mut Thread) {
    take_point(t);
    put(t);
}

fn take_point(t: &mut Thread) -> &'static mut Search {
    let head = replay::expect_kind(t, Kind::Point);
    let s = search();
    s.point = log::read::<Point>();
    nearby::read(u64::from(head.len) - size_of::<Point>() as u64);
    s.on = true;
    s.passes = 0;
    s.closest = Closest::Nothing;
    s.doubtful_count = 0;
    stub::look_for(t, &s.point);
    s
}

/// Puts a stub at the place that is looked for, or a breakpoint.
fn put(t: &mut Thread) {
    if !stub::install(t) {
        insert();
    }
}

/// Replaces a byte of code, whatever its page's protection; returns the old one.
pub fn poke(at: u64, byte: u8) -> u8 {
    // SAFETY: the caller asks about code that the program executes.
    let old = unsafe { (at as *const u8).read() };
    write_code(at, &[byte]);
    old
}

/// Puts what belongs to the program into code read at `start`, where a search has changed it.
pub fn overlay(start: u64, code: &mut [u8]) {
    let s = search();
    if s.inserted {
        shm::overlay(start, code, s.point.regs.rip, &[s.original]);
    }
    if let Some((at, byte)) = *behind() {
        shm::overlay(start, code, at, &[byte]);
    }
    if let Some((at, bytes)) = stub::hidden() {
        shm::overlay(start, code, at, bytes);
    }
}

/// Writes to the program's code, whatever its protection.
pub fn write_code(at: u64, bytes: &[u8]) {
    if !sys::overwrite(at, bytes) {
        crate::fail_fmt(format_args!("cannot set a breakpoint at {at:#x}"));
    }
}

/// Changes the program's code by `change`, under what a search has put there.
pub fn beneath(start: u64, len: u64, change: impl FnOnce() -> bool) -> bool {
    let t = thread::current();
    let s = search();
    let at = s.point.regs.rip;
    let breakpoint = s.inserted && at.wrapping_sub(start) < len;
    if !breakpoint && !stub::lies_in(start, len) {
        return change();
    }
    if s.inserted {
        remove();
    } else {
        stub::hide();
        stub::withdraw();
    }
    let changed = change();
    put(t);
    changed
}

fn insert() {
    let s = search();
    s.original = poke(s.point.regs.rip, INT3);
    s.inserted = true;
}

fn remove() {
    let s = search();
    if s.inserted {
        poke(s.point.regs.rip, s.original);
        s.inserted = false;
    }
}

fn matches(t: &mut Thread) -> bool {
    search().passes += 1;
    let s = search();
    if t.regs != s.point.regs || shm::made(t) != s.point.accesses {
        return false;
    }
    stop::without_breakpoints(|| is_the_place(t))
}

fn is_the_place(t: &mut Thread) -> bool {
    let s = search();
    let here = identify(t, false);
    if here.near != s.point.near {
        s.closest = s.closest.max(Closest::Words);
        return false;
    }
    if s.point.digest.pages == 0 {
        return true;
    }
    s.closest = Closest::Around;
    if is_doubtful(t, |_| true) {
        return false;
    }
    let here = digest::of_memory_up_to(MAX_PAGES);
    if here == s.point.digest {
        return true;
    }
    for d in s.point.digest.differences(&here) {
        if let Some(Difference::Page(at)) = d
            && s.doubtful_count < MAX_DOUBTFUL
        {
            let recorded = here.hash_in(&s.point.digest, at, digest::share_of_page(at));
            s.doubtful[s.doubtful_count] = (at, recorded);
            s.doubtful_count += 1;
        }
    }
    false
}

/// Whether one of the pages that differed before, and that are `wanted`, differs still: a
/// look at all of memory would take a thousand times longer.
fn is_doubtful(t: &mut Thread, wanted: impl Fn(u64) -> bool) -> bool {
    let s = search();
    let mut pages = s.doubtful[..s.doubtful_count].iter();
    pages.any(|&(at, hash)| wanted(at) && digest::of_page(t, at) != Some(hash))
}

/// The stub found all registers and some words of memory as they were recorded.
pub fn pass(t: &mut Thread) {
    let s = search();
    t.regs.rip = s.point.regs.rip;
    t.regs = normalised(&t.regs);
    if let Some((addr, value)) = nearby::differing(t) {
        s.closest = s.closest.max(Closest::Registers(addr));
        stub::watch_word(t, addr, value);
    } else if t.regs == s.point.regs
        && !is_doubtful(t, |at| !stub::lies_in(at, PAGE) && !stop::breaks())
    {
        // The hashes cover code, too, where the program has pointers to it.
        stub::hide();
        if matches(t) {
            stub::withdraw();
            s.on = false;
            replay::settle(t);
            stop::behind(t);
            shm::rearm(t);
            t.resume_ip = patch::resume_address(t.regs.rip);
            return;
        }
        stub::show();
    }
    t.resume_ip = stub::passed();
}

/// A fault in the middle of the jump to a stub: the program goes on in the stub.
pub fn astray(t: &mut Thread, c: &mut Context) -> bool {
    let Some(ip) = stub::astray(c.regs.rip) else {
        return false;
    };
    if stub::unsuitable(t) {
        stub::hide();
        stub::withdraw();
        insert();
    } else {
        c.regs.rip = ip;
    }
    true
}

/// The instruction that is stepped goes on in a stub: the thread stops at an access.
pub fn forget_steps(t: &mut Thread, c: &mut Context) {
    if t.steps > 0 {
        t.steps = 0;
        executed(c);
        shm::hurry(t);
    }
}

/// The program faults: traces of stepping and searching are not its own.
pub fn faulted(t: &mut Thread, c: &mut Context) {
    forget_steps(t, c);
    c.regs.rip = stub::original_address(c.regs.rip);
}

/// The instruction that is stepped is the end of a handler, from which no trap comes.
pub fn returning() {
    let s = search();
    if s.stepping {
        s.stepping = false;
        insert();
    }
}

/// A trap on the way to the instruction that is to be stepped.
pub fn leaving(c: &Context) -> bool {
    let s = search();
    let was = s.leaving;
    s.leaving = was && is_ours(c.regs.rip);
    was
}

/// A trap in replay, or while stepping; false if it is the program's own.
pub fn trap(t: &mut Thread, c: &mut Context) -> bool {
    if t.steps > 0 {
        let steps = t.steps - 1;
        t.steps = 0;
        executed(c);
        if shm::in_stub(c.regs.rip) {
            // It has come to an access, before which it can stop.
            shm::hurry(t);
        } else {
            stop_or_step(t, c, steps);
        }
        return true;
    }
    let s = search();
    if !s.on {
        return false;
    }
    if s.stepping {
        s.stepping = false;
        executed(c);
        if c.regs.rip != s.point.regs.rip {
            insert();
            return true;
        }
    } else if s.inserted && c.regs.rip == s.point.regs.rip + 1 {
        c.regs.rip -= 1;
        remove();
    } else {
        return false;
    }
    let saved = t.regs;
    t.regs = normalised(&c.regs);
    if matches(t) {
        s.on = false;
        t.preempted = 1;
        signal::send_to(c, arch::interrupted_entry as *const () as u64, t.stack_top);
    } else {
        t.regs = saved;
        s.stepping = true;
        c.regs.rflags |= execute(t, c.regs.rip);
    }
    true
}

/// The place was found: what happened there happens again.
pub fn found(t: &mut Thread) {
    t.preempted = 0;
    replay::settle(t);
}

/// The program came to another event before the place was found.
#[cold]
pub fn missed(t: &Thread) -> ! {
    let s = search();
    let passes = s.passes.max(t.probe.passes);
    replay::diverge_at(
        t,
        Kind::Point,
        format_args!(
            "the thread was interrupted at {:#x} before this, but that place was not found again in {} passes ({})",
            s.point.regs.rip, passes, s.closest
        ),
    )
}
