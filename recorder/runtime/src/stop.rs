//! Replay that stops at an event, for a debugger (`orch_abi::stop`): there the
//! process waits, makes copies of itself, or goes on.

use crate::arch::x86_64 as arch;
use crate::process::process;
use crate::sys::{self, call, nr};
use crate::thread::{self, Life, Thread};
use crate::{log, patch, preempt, shm, signal, stub};
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use orch_abi::layout::{MAX_THREADS, THREADS_BASE};
use orch_abi::record::{Kind, Regs};
use orch_abi::shared::state as life;
use orch_abi::stop::{Layout, Stop, command, state, why};

fn stop() -> &'static Stop {
    &log::slot().stop
}

/// Offset of the next record, if the process shall stop at some event.
#[inline]
fn next() -> Option<(u64, u64)> {
    if log::recording() {
        return None;
    }
    let s = stop();
    let at = s.at.load(Ordering::Relaxed).checked_sub(1)?;
    if s.recording.load(Ordering::Relaxed) != process().recording {
        return None;
    }
    log::peek();
    Some((log::position(), at))
}

/// The program has come to an event, with these registers.
#[inline]
pub fn before(t: &Thread, regs: &Regs) {
    if let Some((next, at)) = next()
        && next >= at
    {
        wait(t, regs, why::BEFORE);
    }
}

/// As [`before`], of an access to shared memory that the next record may be about.
pub fn before_access(t: &Thread, regs: impl FnOnce() -> Regs, ordinal: u64, stores: bool) {
    let Some((next, at)) = next() else { return };
    if next < at || preempt::searching() {
        return;
    }
    let regs = regs();
    let here = log::peek().is_some_and(|h| {
        let seen = h.kind == Kind::Shared as u8 && log::peek_word(1) == ordinal;
        let stored = h.kind == Kind::Store as u8 && stores && log::peek_word(0) == regs.rip;
        seen || stored
    });
    if here {
        wait(t, &regs, why::BEFORE);
    }
}

/// The program goes on with `t.regs`: it stops here if it could not stop before the event.
#[inline]
pub fn behind(t: &Thread) {
    if let Some((next, at)) = next()
        && next > at
    {
        wait(t, &t.regs, why::BEHIND);
    }
}

/// Nothing follows.
pub fn at_end() {
    if let Some((_, _)) = next() {
        let t = thread::current();
        wait(t, &t.regs, why::END);
    }
}

#[cold]
fn wait(t: &Thread, regs: &Regs, because: u32) {
    let slot = core::ptr::from_ref(log::slot()).cast_mut();
    // SAFETY: this process alone writes them, and says so by `state`.
    unsafe {
        (&raw mut (*slot).stop.regs).write(*regs);
        (&raw mut (*slot).stop.layout).write(layout());
    }
    let s = stop();
    s.offset.store(log::position(), Ordering::Relaxed);
    s.thread.store(t.index, Ordering::Relaxed);
    s.why.store(because, Ordering::Relaxed);
    announce();
    loop {
        match stop().command.load(Ordering::Acquire) {
            command::GO => break,
            command::FORK => fork(),
            command::SAVE => save(),
            command::END => sys::exit_group(0),
            _ => {
                sys::futex_wait(&stop().command, command::NONE, 1000);
                if !log::supervisor_lives() {
                    sys::exit_group(1);
                }
            }
        }
    }
    let s = stop();
    s.state.store(state::RUNNING, Ordering::Relaxed);
    s.command.store(command::NONE, Ordering::Release);
}

fn announce() {
    // Asked first: from then on somebody may attach, who expects no trap.
    let traced = stop().traced.load(Ordering::Relaxed) != 0;
    stop().state.store(state::STOPPED, Ordering::Release);
    log::ring_doorbell();
    if traced {
        arch::breakpoint();
    }
}

/// The copy goes on with the log from here, in a slot of its own.
fn fork() {
    let index = stop().argument.load(Ordering::Relaxed) as u32;
    stop().command.store(command::NONE, Ordering::Relaxed);
    let from = Standing::now();
    // Earlier copies that have ended.
    const WNOHANG: u64 = 1;
    const WALL: u64 = 0x4000_0000;
    while call(nr::WAIT4, &[u64::MAX, 0, WNOHANG | WALL]) > 0 {}
    // Without a signal when the copy ends: it would come while this process is stepped.
    // SAFETY: a copy of the process, whose stack is its own.
    let r = unsafe { arch::syscall6(nr::CLONE, [0; 6]) };
    if r != 0 {
        if r < 0 {
            log::slot_at(index)
                .state
                .store(life::FREE, Ordering::Release);
        }
        // The next command may be there already.
        log::ring_doorbell();
        return;
    }
    stand(index, &from);
}

/// How a process stands at an event.
struct Standing {
    regs: Regs,
    layout: Layout,
    recording: u32,
    thread: u32,
    why: u32,
}

impl Standing {
    fn now() -> Self {
        let s = stop();
        Self {
            regs: s.regs,
            layout: s.layout,
            recording: s.recording.load(Ordering::Relaxed),
            thread: s.thread.load(Ordering::Relaxed),
            why: s.why.load(Ordering::Relaxed),
        }
    }
}

/// A new process stands like the one that it was made from, in the slot `index`.
fn stand(index: u32, like: &Standing) {
    log::move_to(index);
    shm::separate();
    let slot = core::ptr::from_ref(log::slot()).cast_mut();
    // SAFETY: the slot was claimed for this process; who claimed it waits.
    unsafe {
        (&raw mut (*slot).stop.regs).write(like.regs);
        (&raw mut (*slot).stop.layout).write(like.layout);
    }
    let s = stop();
    s.recording.store(like.recording, Ordering::Relaxed);
    s.thread.store(like.thread, Ordering::Relaxed);
    s.why.store(like.why, Ordering::Relaxed);
    s.offset.store(log::position(), Ordering::Relaxed);
    s.traced.store(0, Ordering::Relaxed);
    s.command.store(command::NONE, Ordering::Relaxed);
    let pid = call(nr::GETPID, &[]) as u32;
    log::slot().pid.store(pid, Ordering::Relaxed);
    log::slot().state.store(life::ACTIVE, Ordering::Release);
    announce();
}

/// Traps where the process is saved, or replaced by one that was saved here; that one
/// stands where it did then, and what the kernel keeps of it is made anew.
fn save() {
    stop().command.store(command::NONE, Ordering::Relaxed);
    let from = Standing::now();
    let mask = signal::kernel_mask();
    let Some(index) = arch::picture().checked_sub(1) else {
        return;
    };
    // Of the replay that it goes on in, which may be about other recordings.
    process().options = log::control().options.load(Ordering::Relaxed);
    thread::adopt(thread::current());
    signal::install_again(mask);
    stand(index as u32, &from);
}

/// Waits for that.
pub fn give_way(t: &Thread) -> ! {
    loop {
        wait(t, &t.regs, why::BEFORE);
    }
}

fn layout() -> Layout {
    let mut l = Layout {
        mapped: (&raw const process().mapped) as u64,
        thread: thread::STACK_TOP,
        thread_regs: offset_of!(Thread, regs) as u64,
        thread_tid: offset_of!(Thread, tid) as u64,
        thread_life: offset_of!(Thread, life) as u64,
        thread_fs_base: offset_of!(Thread, fs_base) as u64,
        thread_mask: offset_of!(Thread, mask) as u64,
        exits: arch::exits(),
        sigreturn: arch::restorer as *const () as u64 + 5,
        actions: (&raw const process().own.actions) as u64,
        ..Layout::default()
    };
    log::describe(&mut l);
    patch::describe(&mut l);
    stub::describe(&mut l);
    preempt::describe(&mut l);
    shm::describe(&mut l);
    l
}
const _: () = assert!(Life::Unused as u32 == 0);
const _: () = assert!(THREADS_BASE > 0 && MAX_THREADS > 0);

/// Runs `f` while the code is the program's own, without a debugger's breakpoints.
pub fn without_breakpoints<R>(f: impl FnOnce() -> R) -> R {
    set_breakpoints(false);
    let result = f();
    set_breakpoints(true);
    result
}

/// Whether a debugger has breakpoints.
pub fn breaks() -> bool {
    stop().breakpoints[0].load(Ordering::Relaxed) != 0
}

/// Other code than before is displaced: the debugger looks where its breakpoints go.
pub fn code_moved() {
    let s = stop();
    if !log::recording() && s.traced.load(Ordering::Relaxed) != 0 {
        s.moved.store(1, Ordering::Relaxed);
        arch::breakpoint();
    }
}

fn set_breakpoints(on: bool) {
    const ADDRESS: u64 = (1 << 56) - 1;
    if log::recording() {
        return;
    }
    for b in &stop().breakpoints {
        let b = b.load(Ordering::Relaxed);
        if b == 0 {
            return;
        }
        let byte = if on { preempt::INT3 } else { (b >> 56) as u8 };
        preempt::write_code(b & ADDRESS, &[byte]);
    }
}
