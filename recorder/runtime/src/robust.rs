//! Robust futexes: a thread keeps a list of the locks that it has, and the kernel marks those
//! of a thread that ends, and wakes who waits (get_robust_list(2); "A description of what
//! robust futexes are" and "The robust futex ABI" in the kernel's documentation).
//!
//! The program's list is none of the kernel's when recorded: it leads through memory that is
//! closed, and what the kernel did to the process's own memory would be missing in replay.
//! Locks in private memory are marked here, when their thread ends. Of those in shared
//! memory there is another list, by their aliases, for the kernel, which marks them however
//! the process ends. That list is made while the locks are taken and given back.

use crate::arch::x86_64 as arch;
use crate::call::signal::fetch;
use crate::sys::{self, call, mm, nr};
use crate::thread::{Life, Thread};
use crate::{log, memory, shm};
use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};
use orch_abi::layout::{PAGE, ROBUST_BASE, SHARED_BASE};
use orch_abi::syscalls::Call;

/// `FUTEX_TID_MASK`, `FUTEX_OWNER_DIED` and `FUTEX_WAITERS` of futex(2).
const TID: u32 = 0x3fff_ffff;
const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;
/// The lowest bit of an entry's address: its futex inherits priority.
const PI: u64 = 1;
/// So many entries the kernel follows (`ROBUST_LIST_LIMIT`).
const MOST: usize = 2048;
/// From the alias of a futex to its entry in the kernel's list.
const DISTANCE: u64 = ROBUST_BASE - SHARED_BASE;

/// `struct robust_list_head` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Head {
    /// The first entry, which begins with the address of the next; the last one has the head's.
    next: u64,
    /// From an entry to its futex.
    offset: u64,
    /// An entry that is being added or removed, or 0.
    pending: u64,
}

/// Its size, by which the kernel knows it.
pub const HEAD_LEN: u64 = size_of::<Head>() as u64;

/// A thread's lists.
pub struct Robust {
    /// The program's, or 0.
    pub program: u64,
    /// The kernel's.
    kernel: Head,
    /// Alias of the shared futex that an instruction is changing, or 0.
    changing: u64,
}

/// set_robust_list(2): what it answers.
pub fn set_list(t: &mut Thread, list: u64, len: u64) -> i64 {
    if len != HEAD_LEN {
        return -sys::errno::EINVAL;
    }
    t.robust.program = list;
    let head = &raw const t.robust.kernel as u64;
    t.robust.kernel = Head {
        next: head,
        offset: DISTANCE.wrapping_neg(),
        pending: 0,
    };
    if log::recording() {
        call(nr::SET_ROBUST_LIST, &[head, HEAD_LEN]);
    }
    0
}

/// The shared futex that the program says it is changing, and its entry's lowest bit.
fn pending(t: &mut Thread) -> Option<(u64, u64)> {
    let list = t.robust.program;
    if list == 0 {
        return None;
    }
    let mut head = None;
    // SAFETY: guarded; it may be read where it is private, as it nearly always is.
    arch::guarded(t, || head = Some(unsafe { (list as *const Head).read() }));
    let Head {
        offset, pending, ..
    } = head.filter(|h| h.pending != 0)?;
    Some(((pending & !PI).wrapping_add(offset), pending & PI))
}

/// Whether the program is taking or giving back a robust futex.
#[inline(always)]
pub fn is_changing(t: &mut Thread) -> bool {
    t.robust.program != 0 && pending(t).is_some()
}

/// Recording: a call is about to be made, perhaps one by which the kernel gives a futex that
/// inherits priority from one thread to the next.
pub fn before_call(t: &mut Thread, c: &Call, args: &[u64; 6]) {
    if memory::in_place(c) && shm::touches(args[0], 4) {
        before(t, args[0]);
    }
}

/// Recording: what may change the futex at `addr` in shared memory comes next.
pub fn before(t: &mut Thread, addr: u64) {
    let Some((_, pi)) = pending(t).filter(|&(futex, _)| futex == addr) else {
        return;
    };
    let entry = shm::alias(addr) + DISTANCE;
    // It may reach over to the next page, which may have entries already.
    for byte in [entry, entry + 7] {
        // SAFETY: guarded; nothing but entries is there.
        let there = arch::guarded(t, || unsafe {
            (byte as *const u8).read_volatile();
        });
        if !there {
            sys::map_anonymous(byte & !(PAGE - 1), PAGE, mm::READ | mm::WRITE);
        }
    }
    t.robust.changing = entry - DISTANCE;
    // From now on the kernel looks whose it is, should the process end.
    t.robust.kernel.pending = entry | pi;
}

/// Recording: it has been done.
#[inline(always)]
pub fn after(t: &mut Thread) {
    if t.robust.changing != 0 {
        changed(t);
    }
}

#[cold]
fn changed(t: &mut Thread) {
    let futex = core::mem::take(&mut t.robust.changing);
    let mut owner = 0;
    // SAFETY: guarded: another thread may have unmapped it during a call.
    arch::guarded(t, || unsafe {
        owner = (futex as *const u32).read_volatile() & TID;
    });
    let entry = t.robust.kernel.pending;
    unlink(t, |e| e == entry);
    if owner == t.tid {
        let next = t.robust.kernel.next;
        // SAFETY: `before` has mapped it. The kernel may follow the list at any instant.
        unsafe { ((entry & !PI) as *mut u64).write_volatile(next) };
        compiler_fence(Ordering::Release);
        t.robust.kernel.next = entry;
    }
}

/// Takes entries off the kernel's list.
fn unlink(t: &mut Thread, which: impl Fn(u64) -> bool) {
    let head = &raw mut t.robust.kernel.next;
    let mut at = head;
    for _ in 0..MOST {
        // SAFETY: the head, or an entry that this thread has linked; both are mapped.
        let entry = unsafe { at.read_volatile() };
        if entry == head as u64 {
            return;
        }
        let link = (entry & !PI) as *mut u64;
        if which(entry) {
            // SAFETY: as above.
            unsafe { at.write_volatile(link.read_volatile()) };
        } else {
            at = link;
        }
    }
}

/// Recording: aliases that are no more. The kernel stops at an entry that leads nowhere.
pub fn unmapped(t: &mut Thread, alias: u64, len: u64) {
    if t.life == Life::Alive && t.robust.program != 0 {
        unlink(t, |entry| (entry & !PI) - DISTANCE - alias < len);
        if (t.robust.kernel.pending & !PI).wrapping_sub(DISTANCE + alias) < len {
            t.robust.kernel.pending = 0;
        }
    }
}

/// The thread ends, its process does not: marks the locks that it has, as the kernel will
/// when others have been told already that the thread is gone.
pub fn owner_died(t: &mut Thread) {
    let list = t.robust.program;
    let Some(head) = (list != 0).then(|| fetch::<Head>(t, list)).flatten() else {
        return;
    };
    each_entry(t, head, list, |t, entry| {
        let futex = (entry & !PI).wrapping_add(head.offset);
        if !shm::touches(futex, 4) {
            // Who waits for it does so as for others (call/inherit.rs).
            mark(t, futex, 0);
        }
    });
    if log::recording() {
        // What this stores is news to this process as to all others.
        let head = t.robust.kernel;
        let start = &raw const t.robust.kernel as u64;
        each_entry(t, head, start, |t, entry| {
            mark(t, (entry & !PI) - DISTANCE, entry & PI);
        });
    }
}

/// Calls `f` with each entry of the list whose head, at `start`, is `head`.
fn each_entry(t: &mut Thread, head: Head, start: u64, f: impl Fn(&mut Thread, u64)) {
    let mut entry = head.next;
    for _ in 0..MOST {
        if entry & !PI == start {
            break;
        }
        // First: who is woken may use the entry again.
        let next = fetch::<u64>(t, entry & !PI);
        if entry != head.pending {
            f(t, entry);
        }
        let Some(next) = next else { break };
        entry = next;
    }
    if head.pending != 0 {
        f(t, head.pending);
    }
}

/// Marks a futex at an address that is not closed, if it is the thread's.
fn mark(t: &mut Thread, futex: u64, pi: u64) {
    if !futex.is_multiple_of(4) {
        return;
    }
    let tid = t.tid;
    let mine = |value: u32| (value & TID == tid).then_some(value & WAITERS | OWNER_DIED);
    let mut before = None;
    // SAFETY: guarded. Others wait for it by atomic instructions.
    arch::guarded(t, || unsafe {
        let word = AtomicU32::from_ptr(futex as *mut u32);
        before = word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, mine)
            .ok();
    });
    if log::recording() && before.is_some_and(|value| value & WAITERS != 0) && pi == 0 {
        const FUTEX_WAKE: u64 = 1;
        call(nr::FUTEX, &[futex, FUTEX_WAKE, 1]);
    }
}
