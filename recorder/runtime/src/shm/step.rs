//! Accesses that no stub makes: for one instruction the program gets a page of
//! its own, with what it has seen of the shared one, whose lines are all
//! locked. What others changed is logged before; what the instruction changed is
//! stored in the shared page and logged after. Slow, and right for whatever
//! the instruction does, also while the kernel writes to the same page.

use super::bytes::{self, Span};
use super::string;
use super::{Region, access, find, lock, regions, site};
use crate::signal::{self, Context};
use crate::sys::{call, mm, nr};
use crate::thread::Thread;
use crate::{arch, log, preempt, replay, stop, stub};
use orch_abi::layout::PAGE;
use orch_abi::record::{Regs, flag};
use orch_abi::stop::Layout;
use orch_abi::window::repeated;

const TF: u64 = 0x100;

struct Step {
    /// Pages that are open for the instruction.
    open: [u64; 8],
    /// Whether the locks of their lines were taken with them.
    locked: [bool; 8],
    count: usize,
    /// Signal mask to go back to.
    mask: u64,
    /// Address of the instruction in the program.
    ip: u64,
    /// Recording: where the log was before it.
    began: u64,
    /// A `rep` instruction runs to a breakpoint behind it: address, byte that belongs there.
    behind: Option<(u64, u8)>,
    /// The access whose page is being opened, and the program's registers.
    opening: Option<(u64, Regs)>,
}

static mut STEP: Step = Step {
    open: [0; 8],
    locked: [false; 8],
    count: 0,
    mask: 0,
    ip: 0,
    began: 0,
    behind: None,
    opening: None,
};

fn step() -> &'static mut Step {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut STEP }
}

/// Whether the calling thread is between opening a page and closing it.
pub fn stepping() -> bool {
    step().count > 0
}

/// Where a debugger finds that.
pub fn describe(to: &mut Layout) {
    to.open_pages = (&raw const step().count) as u64;
}

/// In the child of a fork: nothing of the parent's is open.
pub fn after_fork() {
    step().count = 0;
}

/// A fault, perhaps of an access to `addr`: sends the thread to a stub, or opens the page
/// for one instruction, if this is shared memory that the program may access so.
pub fn fault(t: &mut Thread, c: &mut Context, addr: Option<u64>, write: bool) -> bool {
    if site::astray(c) {
        preempt::forget_steps(t, c);
        return true;
    }
    let Some((addr, r)) = addr.and_then(|a| Some((a, *find(a)?))) else {
        return false;
    };
    let page = addr & !(PAGE - 1);
    let needed = if write { mm::WRITE } else { mm::READ };
    let s = step();
    if r.prot & needed == 0 || s.open[..s.count].contains(&page) {
        return false;
    }
    if s.count == 0 {
        // A displaced instruction faults as what it is in the program.
        let at = c.regs.rip;
        c.regs.rip = stub::original_address(at);
        site::to_original(c);
        if site::send_to_stub(t, c) {
            preempt::forget_steps(t, c);
            return true;
        }
        let ip = site::program_ip(c.regs.rip);
        // Where it was a jump is: it is done in the stub that it was moved to, in
        // which a call is several instructions, a step each.
        c.regs.rip = at;
        if string::perform(t, c, ip) {
            preempt::forget_steps(t, c);
            return true;
        }
        if !log::recording() {
            let regs = Regs { rip: ip, ..c.regs };
            stop::before_access(t, || regs, access::made(t) + 1, true);
        }
        begin(t, c, ip);
    } else if s.count == s.open.len() {
        if s.behind.is_none() {
            return false;
        }
        // The instruction has moved on from its first pages.
        close_all(t);
    }
    s.opening = Some((addr, c.regs));
    if access::interrupted_again(t) {
        // The recording came this far, and got a bus error.
        abort(t);
        t.preempted = 1;
        let entry = arch::x86_64::interrupted_entry as *const () as u64;
        signal::send_to(c, entry, t.stack_top);
        return true;
    }
    open_page(t, &r, page);
    s.opening = None;
    true
}

/// Address of the access that is about to be made.
pub fn address() -> Option<u64> {
    step().opening.map(|(addr, _)| addr)
}

/// The page that was to be opened is not there (beyond a file's end): closes
/// the others. `t.regs` become the program's. False if none was being opened.
pub fn abort(t: &mut Thread) -> bool {
    let s = step();
    let Some((addr, regs)) = s.opening.take() else {
        return false;
    };
    t.regs = regs;
    t.regs.rip = s.ip;
    t.regs.rflags &= !(TF | preempt::RF);
    if log::recording()
        && s.locked[s.count]
        && let Some(r) = find(addr)
    {
        locks(r, addr).unlock();
    }
    close_all(t);
    if let Some((at, byte)) = s.behind.take() {
        preempt::poke(at, byte);
    }
    if log::recording() {
        lock::unlock_pages();
    }
    true
}

fn begin(t: &mut Thread, c: &mut Context, ip: u64) {
    let s = step();
    if log::recording() {
        lock::pages(t.tid);
        log::unstage();
        s.began = log::cursor();
    }
    s.mask = c.mask();
    s.ip = ip;
    t.regs.rsp = c.regs.rsp;
    c.block_all();
    let (code, n) = stub::code_at(t, c.regs.rip);
    match repeated(&code[..n]) {
        // A trap for each of its rounds would take too long.
        Some(n) => {
            let at = c.regs.rip + n as u64;
            s.behind = Some((at, preempt::poke(at, preempt::INT3)));
        }
        None => c.regs.rflags |= TF,
    }
}

/// Those of the next record of the instruction.
fn flags() -> u8 {
    if log::cursor() == step().began {
        flag::BY_PAGE
    } else {
        flag::BY_PAGE | flag::CONTINUED
    }
}

/// The locks of a page's lines.
fn locks(r: &Region, page: u64) -> lock::Span {
    lock::Span::page(r.object, r.object_offset(page & !(PAGE - 1)))
}

fn open_page(t: &mut Thread, r: &Region, page: u64) {
    let s = step();
    let own = locks(r, page);
    // Pages of other objects may have the same locks.
    s.locked[s.count] = !s.open[..s.count]
        .iter()
        .zip(s.locked)
        .any(|(&p, locked)| locked && find(p).is_some_and(|o| locks(o, p).same_page(own)));
    if log::recording() && s.locked[s.count] {
        own.lock(t.tid);
    }
    access::see_page(t, r, s.ip, page, flags());
    crate::sys::map_anonymous(page, PAGE, mm::READ | mm::WRITE);
    bytes::copy_bytes(r.copy(page), page, PAGE);
    call(nr::MPROTECT, &[page, PAGE, r.prot & (mm::READ | mm::WRITE)]);
    s.open[s.count] = page;
    s.count += 1;
}

/// The instruction is done (or failed): closes what was open.
pub fn close(t: &mut Thread, c: &mut Context) {
    close_all(t);
    let s = step();
    if let Some((at, byte)) = s.behind.take() {
        preempt::poke(at, byte);
    }
    if log::recording() {
        lock::unlock_pages();
    }
    c.regs.rflags &= !TF;
    c.set_mask(s.mask);
}

fn close_all(t: &mut Thread) {
    let s = step();
    for &page in &s.open[..s.count] {
        close_page(t, page);
    }
    for (&page, locked) in s.open[..s.count].iter().zip(s.locked) {
        if log::recording()
            && locked
            && let Some(r) = find(page)
        {
            locks(r, page).unlock();
        }
    }
    s.count = 0;
}

/// Closes a page; stores and logs what the instruction stored there.
fn close_page(t: &mut Thread, page: u64) {
    let Some(r) = regions().iter().find(|r| r.contains(page, PAGE)).copied() else {
        return;
    };
    call(nr::MPROTECT, &[page, PAGE, mm::READ]);
    let mut spans = [Span::default(); 32];
    let n = bytes::changes(page, r.copy(page), PAGE, &mut spans);
    let ip = step().ip;
    for span in &spans[..n] {
        let span = bytes::trim(page, r.copy(page), *span);
        let at = page + span.from;
        bytes::copy_changes(at, r.copy(at), r.alias(at), span.len);
        bytes::copy_bytes(at, r.copy(at), span.len);
        let tick = if log::recording() {
            locks(&r, page).tick()
        } else {
            0
        };
        access::stored_at(t, &r, ip, at, span.len, tick, flags());
    }
    // The shared page again, closed (old length 0: mremap(2)).
    let flags = mm::MREMAP_MAYMOVE | mm::MREMAP_FIXED;
    if call(nr::MREMAP, &[r.alias(page), 0, PAGE, flags, page]) != page as i64 {
        crate::fail("a page of shared memory cannot be mapped again");
    }
    call(nr::MPROTECT, &[page, PAGE, 0]);
}

/// The trap after the one instruction; false if there was none.
pub fn stepped(t: &mut Thread, c: &mut Context) -> bool {
    let s = step();
    if s.count == 0 {
        return false;
    }
    if let Some((at, _)) = s.behind {
        if c.regs.rip != at + 1 {
            return false;
        }
        c.regs.rip = at;
    }
    close(t, c);
    if !log::recording() {
        access::rearm(t);
        replay::after_event(t, c);
    }
    true
}
