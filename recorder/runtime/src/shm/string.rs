//! String instructions (movs, stos, lods; SDM vol. 2, "REP"): done here, a page at a
//! time and as an access of just those bytes. Those that compare, and those that go
//! backwards, are stepped.

use super::access::{self, count};
use super::bytes::differs;
use super::{Region, find, lock};
use crate::arch::x86_64::{self as arch, guarded};
use crate::signal::Context;
use crate::sys::mm;
use crate::thread::Thread;
use crate::{log, preempt, replay, signal, stop};
use orch_abi::layout::PAGE;
use orch_abi::record::{Regs, Store};

const DIRECTION: u64 = 0x400;

/// What it does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Move,
    Store,
    Load,
    Compare,
}

/// A string instruction.
pub struct Instruction {
    /// Its own bytes.
    len: u64,
    what: What,
    /// Bytes of an element.
    size: u64,
    repeated: bool,
    /// Its addresses have 32 bits.
    short: bool,
}

impl Instruction {
    /// The instruction at `ip`, if it is one.
    pub fn at(t: &mut Thread, ip: u64) -> Option<Self> {
        let mut code = [0_u8; 6];
        // SAFETY: guarded.
        guarded(t, || unsafe {
            (ip as *const u8).copy_to(code.as_mut_ptr(), 6)
        });
        let (mut repeated, mut short, mut word, mut wide) = (false, false, false, false);
        for (len, &byte) in (1..).zip(&code) {
            let what = match byte {
                0xf2 | 0xf3 => {
                    repeated = true;
                    continue;
                }
                0x66 => {
                    word = true;
                    continue;
                }
                0x67 => {
                    short = true;
                    continue;
                }
                0x40..=0x4f => {
                    wide = byte & 8 != 0;
                    continue;
                }
                0xa4 | 0xa5 => What::Move,
                0xaa | 0xab => What::Store,
                0xac | 0xad => What::Load,
                0xa6 | 0xa7 | 0xae | 0xaf => What::Compare,
                _ => return None,
            };
            let size = match (byte & 1, wide, word) {
                (0, ..) => 1,
                (_, true, _) => 8,
                (_, _, true) => 2,
                _ => 4,
            };
            return Some(Self {
                len,
                what,
                size,
                repeated,
                short,
            });
        }
        None
    }
}

/// Does the instruction at `c`, whose address in the program is `ip`, up to its end or
/// to what cannot be accessed so. False if that is where it begins.
pub fn perform(t: &mut Thread, c: &mut Context, ip: u64) -> bool {
    let Some(i) = Instruction::at(t, c.regs.rip) else {
        return false;
    };
    let single_load = i.what != What::Load || !i.repeated;
    if i.short || i.what == What::Compare || !single_load || c.regs.rflags & DIRECTION != 0 {
        return false;
    }
    // For those who look at the stack.
    t.regs.rsp = c.regs.rsp;
    let regs = Regs { rip: ip, ..c.regs };
    let r = &mut c.regs;
    let count = if i.repeated { r.rcx } else { 1 };
    let mut run = Run {
        i: &i,
        ip,
        regs,
        from: r.rsi,
        to: r.rdi,
        value: r.rax,
        left: count.saturating_mul(i.size),
        loaded: 0,
    };
    let all = run.left;
    let stopped = loop {
        if run.left == 0 {
            break None;
        }
        if let Err(why) = run.part(t) {
            break Some(why);
        }
    };
    let elements = (all - run.left) / i.size;
    if elements == 0 && matches!(stopped, Some(Stopped::Refused)) {
        return false;
    }
    if i.what != What::Store {
        r.rsi = r.rsi.wrapping_add(elements * i.size);
    }
    if i.what != What::Load {
        r.rdi = r.rdi.wrapping_add(elements * i.size);
    } else {
        load(r, i.size, run.loaded);
    }
    if i.repeated {
        r.rcx -= elements;
    }
    if let Some(Stopped::Absent(addr)) = stopped {
        fail(t, c, ip, addr);
        return true;
    }
    if stopped.is_none() {
        r.rip += i.len;
    }
    if !log::recording() {
        access::rearm(t);
        if stopped.is_none() {
            replay::after_event(t, c);
        }
    }
    true
}

/// Why an instruction does not go on.
enum Stopped {
    /// The program may not access what comes next.
    Refused,
    /// A page of shared memory beyond the end of its file is next.
    Absent(u64),
}

/// The program gets a bus error, at an access of its own number.
fn fail(t: &mut Thread, c: &mut Context, ip: u64, addr: u64) {
    const TF: u64 = 0x100;
    let entry = if log::recording() {
        count(t);
        t.access.address = addr;
        arch::access_failed as *const () as u64
    } else {
        access::interrupted_again(t);
        t.preempted = 1;
        arch::interrupted_entry as *const () as u64
    };
    t.regs = c.regs;
    t.regs.rip = ip;
    t.regs.rflags &= !(TF | preempt::RF);
    signal::send_to(c, entry, t.stack_top);
}

/// lods: eax is extended, ax and al are not.
fn load(r: &mut Regs, size: u64, value: u64) {
    r.rax = match size {
        1 => r.rax & !0xff | value,
        2 => r.rax & !0xffff | value,
        _ => value,
    };
}

/// An instruction on its way.
struct Run<'a> {
    i: &'a Instruction,
    ip: u64,
    /// Before it.
    regs: Regs,
    from: u64,
    to: u64,
    /// rax.
    value: u64,
    /// Bytes that are left.
    left: u64,
    /// What lods has got so far.
    loaded: u64,
}

impl Run<'_> {
    /// Does the bytes that are next, up to the end of a page.
    fn part(&mut self, t: &mut Thread) -> Result<(), Stopped> {
        let room = |at: u64| PAGE - at % PAGE;
        let (reads, writes) = (self.i.what != What::Store, self.i.what != What::Load);
        let mut n = self.left;
        if reads {
            n = n.min(room(self.from));
        }
        if writes {
            n = n.min(room(self.to));
        }
        let source = reads.then(|| find(self.from).copied()).flatten();
        let target = writes.then(|| find(self.to).copied()).flatten();
        if reads && writes {
            // What is read may have just been written, but not within an element.
            match self.to.wrapping_sub(self.from) {
                0 => {}
                ahead if ahead >= self.i.size => n = n.min(ahead),
                _ if n >= self.i.size => n = self.i.size,
                // It would be read in two parts, the second one changed by the first.
                _ => return Err(Stopped::Refused),
            }
        }
        let sides = [(source, self.from, mm::READ), (target, self.to, mm::WRITE)];
        for (r, at, prot) in sides {
            let Some(r) = r else { continue };
            if r.prot & prot == 0 {
                return Err(Stopped::Refused);
            }
            if !access::is_there(t, r.alias(at)) {
                return Err(Stopped::Absent(at));
            }
        }
        let mut buffer = [0_u8; PAGE as usize];
        let bytes = buffer.as_mut_ptr();
        match source {
            Some(r) => {
                self.may_stop(t, false);
                access::see_bytes(t, &r, self.from, n, self.ip);
                // SAFETY: `n` bytes in a page of the copy.
                unsafe { (r.copy(self.from) as *const u8).copy_to(bytes, n as usize) };
            }
            None if reads => {
                let from = self.from as *const u8;
                // SAFETY: guarded.
                if !guarded(t, || unsafe { from.copy_to(bytes, n as usize) }) {
                    return Err(Stopped::Refused);
                }
            }
            None => {
                let (value, done) = (self.value.to_le_bytes(), self.done());
                for (b, i) in buffer[..n as usize].iter_mut().zip(done..) {
                    *b = value[(i % self.i.size) as usize];
                }
            }
        }
        match target {
            Some(r) => {
                self.may_stop(t, true);
                store(t, &r, self.to, &buffer[..n as usize], self.ip);
            }
            None if writes => {
                let (to, bytes) = (self.to as *mut u8, buffer.as_ptr());
                // SAFETY: guarded.
                if !guarded(t, || unsafe { bytes.copy_to(to, n as usize) }) {
                    return Err(Stopped::Refused);
                }
            }
            None => {
                for (&byte, at) in buffer[..n as usize].iter().zip(self.done()..) {
                    self.loaded |= u64::from(byte) << (8 * at);
                }
            }
        }
        self.from = self.from.wrapping_add(n);
        self.to = self.to.wrapping_add(n);
        self.left -= n;
        Ok(())
    }

    /// How many bytes of the current element are done.
    fn done(&self) -> u64 {
        self.left.wrapping_neg() % self.i.size
    }

    /// Replay: a debugger may want to stop before the next access.
    fn may_stop(&self, t: &Thread, stores: bool) {
        if log::recording() {
            return;
        }
        let regs = || Regs {
            rsi: if self.i.what == What::Store {
                self.regs.rsi
            } else {
                self.from - self.done()
            },
            rdi: if self.i.what == What::Load {
                self.regs.rdi
            } else {
                self.to - self.done()
            },
            rcx: if self.i.repeated {
                self.left.div_ceil(self.i.size)
            } else {
                self.regs.rcx
            },
            ..self.regs
        };
        stop::before_access(t, regs, access::made(t) + 1, stores);
    }
}

/// Stores bytes within a page.
fn store(t: &mut Thread, r: &Region, addr: u64, bytes: &[u8], ip: u64) {
    count(t);
    let len = bytes.len() as u64;
    let (alias, copy) = (r.alias(addr), r.copy(addr));
    let span = lock::Span::new(r.object, r.object_offset(addr), len);
    let store = Store {
        ip,
        addr,
        len,
        caller: access::caller(t, ip),
    };
    let put = |to: u64| {
        // SAFETY: within a page of the alias or the copy.
        unsafe { (to as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) }
    };
    if !log::recording() {
        put(copy);
        put(alias);
        access::check(t, copy, &store);
        return;
    }
    span.lock(t.tid);
    let mut old = [0_u8; PAGE as usize];
    let old = differs(alias, copy, len).then(|| {
        // SAFETY: as above.
        unsafe { (alias as *const u8).copy_to(old.as_mut_ptr(), bytes.len()) };
        &old[..bytes.len()]
    });
    put(copy);
    put(alias);
    access::stored(t, copy, &store, span.tick(), 0, old);
    span.unlock();
}
