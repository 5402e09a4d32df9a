//! Where the kernel writes instead of the program's memory while another thread
//! runs program code: that memory changes only when the caller has the baton
//! again, at a place that replay knows. And instead of shared memory, where
//! a store takes locks and a tick.

use crate::memory::{self, fd_set_len};
use crate::sys::{self, call, mm, nr};
use crate::thread::Thread;
use crate::{arch::x86_64 as arch, shm};
use orch_abi::layout::{BULK_BASE, BULK_LEN, MAX_THREADS, PAGE, THREAD_AREA_LEN, THREADS_BASE};
use orch_abi::syscalls::{Buf, Call, Ty};

const BASE: u64 = THREADS_BASE + MAX_THREADS as u64 * THREAD_AREA_LEN;
const LEN: u64 = 128 << 10;
/// So much of the memory for what is longer stays mapped.
const KEPT: u64 = 1 << 20;
/// Most parts of a call.
pub const MAX: usize = 40;

/// Memory that is written somewhere else for the time of a call.
#[derive(Clone, Copy)]
struct Part {
    arg: usize,
    program: u64,
    scratch: u64,
    room: u64,
}

/// How far scratch memory is used.
#[derive(Clone, Copy)]
struct Used {
    parts: usize,
    short: u64,
    long: u64,
}

/// What was moved for one call.
pub struct Moved {
    parts: [Part; MAX],
    used: Used,
}

impl Moved {
    fn add(&mut self, t: &mut Thread, arg: usize, program: u64, room: u64) -> Option<u64> {
        let index = u64::from(t.index);
        let len = room.checked_next_multiple_of(16)?;
        let mut used = self.used;
        if used.parts == MAX {
            return None;
        }
        let scratch = if used.short + len <= LEN {
            used.short += len;
            BASE + index * LEN + self.used.short
        } else {
            used.long = used.long.checked_add(len).filter(|&n| n <= BULK_LEN)?;
            let base = BULK_BASE + index * BULK_LEN;
            if used.long > t.bulk {
                let more = (used.long - t.bulk).next_multiple_of(PAGE);
                if sys::map_anonymous(base + t.bulk, more, mm::READ | mm::WRITE) < 0 {
                    return None;
                }
                t.bulk += more;
            }
            base + self.used.long
        };
        self.parts[used.parts] = Part {
            arg,
            program,
            scratch,
            room,
        };
        used.parts += 1;
        self.used = used;
        Some(scratch)
    }
}

/// Gives back what is not needed often.
fn shrink(t: &mut Thread) {
    if t.bulk > KEPT {
        let base = BULK_BASE + u64::from(t.index) * BULK_LEN;
        call(nr::MUNMAP, &[base + KEPT, t.bulk - KEPT]);
        t.bulk = KEPT;
    }
}

/// Which outputs are redirected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All: another thread runs meanwhile.
    All,
    /// Those in shared memory: what others see of them has its place among
    /// all stores there.
    Shared,
}

/// Redirects the outputs of a call in `kernel_args`. What does not fit, and
/// what msghdr structures lead to, stays where it is (docs/recording.md).
pub fn redirect(
    t: &mut Thread,
    c: &Call,
    args: &[u64; 6],
    kernel_args: &mut [u64; 6],
    which: Which,
) -> Moved {
    let part = Part {
        arg: 0,
        program: 0,
        scratch: 0,
        room: 0,
    };
    let mut moved = Moved {
        parts: [part; MAX],
        used: Used {
            parts: 0,
            short: 0,
            long: 0,
        },
    };
    if !t.has_scratch {
        let base = BASE + u64::from(t.index) * LEN;
        t.has_scratch = sys::map_anonymous(base, LEN, mm::READ | mm::WRITE) >= 0;
        if !t.has_scratch {
            return moved;
        }
    }
    for i in 0..c.args.len() {
        let (buf, reads) = match c.ty(i, args) {
            Ty::Out(b) => (b, false),
            Ty::InOut(b) | Ty::OutAlways(b) => (b, true),
            _ => continue,
        };
        let vector = matches!(buf, Buf::Iovec { .. });
        if args[i] == 0 || which == Which::Shared && !vector && shm::alias(args[i]) == args[i] {
            continue;
        }
        let room = match buf {
            Buf::Bytes { cap, .. } => memory::len(cap, args, 0, u64::MAX),
            Buf::FdSet { nfds } => fd_set_len(args[usize::from(nfds)]),
            Buf::Iovec { count } => {
                vectors(
                    t,
                    i,
                    args,
                    usize::from(count),
                    kernel_args,
                    &mut moved,
                    which,
                );
                continue;
            }
            _ => continue,
        };
        let before = moved.used;
        let Some(scratch) = moved.add(t, i, args[i], room) else {
            continue;
        };
        // Read by the kernel, or perhaps written only in part.
        if !(reads || room <= 4096) || copy(t, args[i], scratch, room) {
            kernel_args[i] = scratch;
        } else {
            moved.used = before;
        }
    }
    moved
}

/// readv(2): vectors of our own that lead to scratch memory.
fn vectors(
    t: &mut Thread,
    arg: usize,
    args: &[u64; 6],
    count: usize,
    kernel_args: &mut [u64; 6],
    moved: &mut Moved,
    which: Which,
) {
    let n = args[count];
    if n > 32 {
        return;
    }
    let mut list = [[0_u64; 2]; 32];
    let before = moved.used;
    let (from, len) = (args[arg], n * 16);
    if !copy(t, from, list.as_mut_ptr() as u64, len) {
        return;
    }
    let shared = |v: &[u64; 2]| shm::alias(v[0]) != v[0];
    if which == Which::Shared && !list[..n as usize].iter().any(shared) {
        return;
    }
    // No output itself, so that nothing of it is copied back.
    let Some(own) = moved.add(t, usize::MAX, 0, len) else {
        return;
    };
    for v in &mut list[..n as usize] {
        match moved.add(t, arg, v[0], v[1]) {
            Some(scratch) => v[0] = scratch,
            None => {
                moved.used = before;
                return;
            }
        }
    }
    copy(t, list.as_ptr() as u64, own, len);
    kernel_args[arg] = own;
}

fn copy(t: &mut Thread, from: u64, to: u64, len: u64) -> bool {
    if shm::alias(to) != to {
        shm::store_by_call(t, to, from, len);
        return true;
    }
    let from = shm::alias(from);
    arch::guarded(t, || {
        // SAFETY: guarded; one side is the runtime's, the other the program's own buffer.
        unsafe { (from as *const u8).copy_to_nonoverlapping(to as *mut u8, len as usize) };
    })
}

/// The caller has the baton again: puts the outputs in their places.
pub fn deliver(t: &mut Thread, c: &Call, args: &[u64; 6], result: i64, moved: &Moved) {
    let mut arg = usize::MAX;
    let mut left = 0;
    for p in &moved.parts[..moved.used.parts] {
        if p.arg == usize::MAX {
            continue;
        }
        let ty = c.ty(p.arg, args);
        let buf = match ty {
            Ty::Out(b) | Ty::InOut(b) if result >= 0 => b,
            Ty::OutAlways(b) => b,
            _ => continue,
        };
        let n = match buf {
            Buf::Bytes { used, .. } => memory::len(used, args, result, p.room).min(p.room),
            Buf::Iovec { .. } => {
                if arg != p.arg {
                    (arg, left) = (p.arg, result.max(0) as u64);
                }
                let n = p.room.min(left);
                left -= n;
                n
            }
            _ => p.room,
        };
        copy(t, p.scratch, p.program, n);
    }
    shrink(t);
}
