//! Code that the program makes itself, in a session that was recorded where the
//! processor has no fault for `cpuid`. Memory that is writable and executable is at
//! first only writable; where a page of it is executed, each `cpuid` in it is
//! replaced before. (A Java virtual machine asks the processor that way. What is
//! written to the page later is not looked at.)

use crate::process::process;
use crate::ranges::{Range, Ranges, end};
use crate::signal::Context;
use crate::sys::{call, mm, nr};
use crate::thread::Thread;
use crate::{arch::x86_64 as arch, patch};
use orch_abi::layout::PAGE;
use orch_abi::shared::option;
use orch_abi::window::{self, asked_for, executed};

const CPUID: [u8; 2] = [0x0f, 0xa2];

/// Where the program believes that it may execute.
static mut RANGES: Ranges<(), 128> = Ranges::new(());

fn ranges() -> &'static mut Ranges<(), 128> {
    // SAFETY: the baton's holder, or who has a fault of its own code, while the others
    // wait for the baton.
    unsafe { &mut *&raw mut RANGES }
}

/// Whether each `cpuid` is to be replaced.
pub fn is_on() -> bool {
    process().options & option::REPLACE_CPUID != 0
}

/// What to ask the kernel for, if the program wants `prot` for memory.
pub fn prot(prot: u64) -> u64 {
    const BOTH: u64 = mm::WRITE | mm::EXEC;
    if is_on() && prot & BOTH == BOTH {
        prot & !mm::EXEC
    } else {
        prot
    }
}

/// The program got `wanted` for a range of memory, as it believes.
pub fn note(start: u64, len: u64, wanted: u64) {
    if !is_on() {
        return;
    }
    let end = end(start, len);
    forget(start, end - start);
    let what = ();
    if prot(wanted) != wanted && !ranges().add(Range { start, end, what }) {
        call(nr::MPROTECT, &[start, end - start, wanted]);
    }
}

/// The range has other rights, or is gone.
pub fn forget(start: u64, len: u64) {
    let lost = |r: Range<()>| {
        let rwx = mm::READ | mm::WRITE | mm::EXEC;
        call(nr::MPROTECT, &[r.start, r.end - r.start, rwx]);
    };
    ranges().cut(start, end(start, len), |()| (), lost);
}

/// A fault: true if it came from executing such memory, which may be done now.
pub fn fetched(t: &mut Thread, c: &Context, address: u64) -> bool {
    const FETCH: u64 = 1 << 4;
    if c.err & FETCH == 0 || !ranges().list().iter().any(|r| r.has(address)) {
        return false;
    }
    let page = address & !(PAGE - 1);
    arch::guarded(t, || replace_in(page, c.regs.rip));
    let rwx = mm::READ | mm::WRITE | mm::EXEC;
    call(nr::MPROTECT, &[page, PAGE, rwx]) == 0
}

/// Replaces each `cpuid` in a page that can be written and is entered at `ip`. Generated code
/// has data in its midst: only what is executed from there is certain, and what data does
/// not look like.
fn replace_in(page: u64, ip: u64) {
    // SAFETY: by the caller, who is guarded.
    let code = unsafe { &mut *(page as *mut [u8; PAGE as usize]) };
    let mut found = None;
    for at in 0..code.len() - 1 {
        if code[at..at + 2] != CPUID {
            continue;
        }
        let executed = found.get_or_insert_with(|| executed(code, begins(page, ip)));
        if executed.has(at) || asked_for(&code[..at]) {
            code[at..at + 2].copy_from_slice(&patch::CLTS);
        }
    }
}

/// Where on the page the first instruction begins of those that are executed from `ip` on:
/// the one there may reach over from the page before.
fn begins(page: u64, ip: u64) -> usize {
    if ip >= page {
        return (ip - page) as usize;
    }
    // SAFETY: the page before is executed; the caller is guarded.
    let code = unsafe { core::slice::from_raw_parts(ip as *const u8, 15) };
    let len = window::decode(code).map_or(0, |insn| insn.len as u64);
    (ip + len).checked_sub(page).unwrap_or(PAGE) as usize
}
