//! Replay: reads what the recording says happened next and checks it against
//! what the program does.

use crate::call::views;
use crate::signal::{self, Context};
use crate::sys::{self, mm, nr};
use crate::thread::{self, Life, Thread};
use crate::{digest, log, preempt, shm};
use core::sync::atomic::Ordering;
use orch_abi::record::{Chunk, Head, Kind, Map, Regs, Start, Syscall, flag, pad8};
use orch_abi::shared::verdict;

/// Reports that the program did something else than its recording.
#[cold]
pub fn diverge(t: &Thread, kind: Kind, nr: u64, body: &Syscall, why: core::fmt::Arguments) -> ! {
    let d = &log::slot().divergence;
    d.offset.store(log::position(), Ordering::Relaxed);
    d.thread.store(u64::from(t.index), Ordering::Relaxed);
    d.kind.store(kind as u64, Ordering::Relaxed);
    d.nr.store(nr, Ordering::Relaxed);
    d.ip.store(body.ip, Ordering::Relaxed);
    for (to, from) in d.args.iter().zip(body.args) {
        to.store(from, Ordering::Relaxed);
    }
    d.in_hash.store(body.in_hash, Ordering::Relaxed);
    crate::leave_message(why);
    log::finish_replay(verdict::DIVERGED)
}

/// A divergence at something that is not a call.
#[cold]
pub fn diverge_at(t: &Thread, kind: Kind, why: core::fmt::Arguments) -> ! {
    let body = Syscall {
        ip: t.regs.rip,
        ..Syscall::default()
    };
    diverge(t, kind, 0, &body, why)
}

/// The next record's head; deals with the recording's end and with a vfork
/// child that was killed.
fn next(t: &mut Thread) -> Head {
    if preempt::searching() {
        preempt::missed(t);
    }
    log::apply_data();
    let Some(head) = log::peek() else {
        log::ended_early()
    };
    if head.kind == Kind::Ended as u8 {
        log::ended_early();
    }
    if head.kind == Kind::Switch as u8 && t.life == Life::Vfork {
        thread::leave_context(t);
    }
    head
}

/// Whether no event follows: the process was killed here (or its supervisor).
pub fn at_end() -> bool {
    log::peek().is_none_or(|head| head.kind == Kind::Ended as u8)
}

/// The program dies of a fault of its own, as recorded if nothing follows.
pub fn dies(t: &Thread, signal: u32) -> ! {
    if !at_end() {
        diverge_at(
            t,
            Kind::Signal,
            format_args!("the program dies of signal {signal} here, and has more recorded"),
        );
    }
    log::ended_early()
}

/// Takes the next record's head, which must be of `kind`.
pub fn expect_kind(t: &mut Thread, kind: Kind) -> Head {
    let head = next(t);
    if head.kind != kind as u8 {
        diverge_at(t, kind, format_args!("another kind of event was recorded"));
    }
    log::take();
    head
}

/// Checks a call against the next record (of `kind`), puts the memory in
/// place that the kernel wrote, and returns head and result.
pub fn expect_syscall(t: &mut Thread, kind: Kind, nr: u64, body: &Syscall) -> (Head, i64) {
    let head = next(t);
    if head.kind != kind as u8 {
        diverge(
            t,
            kind,
            nr,
            body,
            format_args!("another kind of event was recorded"),
        );
    }
    if u64::from(head.aux) != nr {
        diverge(
            t,
            kind,
            nr,
            body,
            format_args!("another system call was recorded"),
        );
    }
    let result = log::read_body(body, |what| {
        diverge(t, kind, nr, body, format_args!("{what} differ"))
    });
    let mut left = head.len as usize - size_of::<Syscall>();
    while left > 0 {
        let chunk = log::read::<Chunk>();
        if chunk.outgoing != 0 {
            log::skip(u64::from(chunk.len));
        } else {
            apply(chunk.addr, u64::from(chunk.len));
        }
        log::skip_pad(u64::from(chunk.len));
        left -= size_of::<Chunk>() + pad8(chunk.len as usize);
    }
    (head, result)
}

/// Writes recorded bytes, which come next in the log, to the program's memory.
pub fn apply(addr: u64, len: u64) {
    let t = thread::current();
    let there = if views::touch(addr, len) {
        views::put(addr, len)
    } else {
        crate::arch::x86_64::guarded(t, || log::read_into(shm::alias(addr), len))
    };
    if !there {
        diverge_at(
            t,
            Kind::Data,
            format_args!("memory at {addr:#x} that the recording wrote is not there"),
        );
    }
    shm::written(addr, len);
}

/// Maps `m` as the recording had it.
pub fn map(m: &Map) -> i64 {
    let base = u64::from(m.flags) & (mm::GROWSDOWN | mm::NORESERVE) | mm::PRIVATE | mm::FIXED;
    if m.file == 0 {
        return sys::call(
            nr::MMAP,
            &[
                m.addr,
                m.len,
                u64::from(m.prot),
                base | mm::ANONYMOUS,
                u64::MAX,
                0,
            ],
        );
    }
    let fd = open_file(m.file - 1);
    if fd < 0 {
        crate::fail_fmt(format_args!(
            "captured file {} is missing from the session (errno {})",
            m.file - 1,
            -fd
        ));
    }
    let r = if u64::from(m.flags) & mm::TYPE == mm::PRIVATE {
        let prot = u64::from(m.prot);
        sys::call(nr::MMAP, &[m.addr, m.len, prot, base, fd as u64, m.offset])
    } else {
        map_shared_file(m, fd as u64)
    };
    sys::call(nr::CLOSE, &[fd as u64]);
    r
}

/// A shared mapping of a file stays shared, so that a digest leaves it out as
/// it did when recording; the file itself must not be written.
fn map_shared_file(m: &Map, fd: u64) -> i64 {
    let flags = mm::SHARED | mm::ANONYMOUS | mm::FIXED | mm::NORESERVE;
    let rw = mm::READ | mm::WRITE;
    let r = sys::call(nr::MMAP, &[m.addr, m.len, rw, flags, u64::MAX, 0]);
    if r >= 0 {
        let mut done = 0;
        while done < m.len {
            let rest = [fd, m.addr + done, m.len - done, m.offset + done];
            match sys::call(nr::PREAD64, &rest) {
                n if n > 0 => done += n as u64,
                _ => break,
            }
        }
        sys::call(nr::MPROTECT, &[m.addr, m.len, u64::from(m.prot)]);
    }
    r
}

fn open_file(number: u64) -> i64 {
    const O_CLOEXEC: u64 = 0o2_000_000;
    // What is no regular file there (a FIFO, in a session from elsewhere) holds nobody up.
    const O_NONBLOCK: u64 = 0o4000;
    let mut path = [0_u8; 4200];
    let dir = &log::control().files_dir;
    let mut n = dir.iter().position(|&b| b == 0).unwrap_or(0);
    path[..n].copy_from_slice(&dir[..n]);
    path[n] = b'/';
    n += 1;
    sys::decimal(number, &mut path[n..]);
    const AT_FDCWD: u64 = -100_i64 as u64;
    sys::call(
        nr::OPENAT,
        &[AT_FDCWD, path.as_ptr() as u64, O_CLOEXEC | O_NONBLOCK],
    )
}

/// Builds the process image from the records at the start of an exec
/// recording; returns the registers.
pub fn build_image() -> Regs {
    let t = thread::current();
    let head = expect_kind(t, Kind::Start);
    let start = log::read::<Start>();
    log::skip(u64::from(head.len) - size_of::<Start>() as u64);
    while let Some(head) = log::peek() {
        if head.kind != Kind::Map as u8 {
            break;
        }
        log::take();
        let m = log::read::<Map>();
        // Initial contents follow as data, also for what is read-only.
        let writable = Map {
            prot: m.prot | mm::WRITE as u32 | mm::READ as u32,
            ..m
        };
        if map(&writable) != m.addr as i64 {
            crate::fail_fmt(format_args!("cannot map {:#x}+{:#x}", m.addr, m.len));
        }
        log::apply_data();
        sys::call(nr::MPROTECT, &[m.addr, m.len, u64::from(m.prot)]);
        crate::image::mapped(&m);
    }
    start.regs
}

/// After an event: follows what the recording did before the thread went on
/// (a signal, a switch of threads, its end).
pub fn settle(t: &mut Thread) {
    if preempt::searching() {
        return;
    }
    while let Some(head) = log::peek() {
        if head.kind == Kind::Point as u8 {
            preempt::look_for_point(t);
            if preempt::searching() {
                return;
            }
        } else if head.kind == Kind::Digest as u8 {
            digest::check(t);
        } else if head.kind == Kind::Signal as u8 {
            if !crate::signal::replay_delivery(t) {
                return;
            }
        } else if head.kind == Kind::Switch as u8 && t.life != Life::Vfork {
            thread::follow_switches(t);
        } else if head.kind == Kind::Ended as u8 {
            log::ended_early();
        } else {
            return;
        }
    }
    log::ended_early();
}

/// After an event that was handled in a signal handler, `c` being where the
/// program goes on: the recording may have interrupted it right behind.
pub fn after_event(t: &mut Thread, c: &mut Context) {
    if preempt::searching() {
        return;
    }
    match log::peek() {
        Some(head) if head.kind == Kind::Point as u8 => {
            t.regs = c.regs;
            preempt::look_for_point(t);
            // This is a handler: it returns to the program at once.
            preempt::leaving(c);
            c.regs.rflags = t.regs.rflags;
            if !preempt::searching() {
                t.preempted = 1;
                let entry = crate::arch::x86_64::interrupted_entry as *const () as u64;
                signal::send_to(c, entry, t.stack_top);
            }
        }
        Some(head) if head.kind == Kind::Ended as u8 => log::ended_early(),
        Some(_) => {}
        None => log::ended_early(),
    }
}

/// Whether the recording says the call was interrupted and starts again.
pub fn restarted(head: &Head) -> bool {
    head.flags & flag::RESTARTED != 0
}
