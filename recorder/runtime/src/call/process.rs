//! Calls that make, change or end processes and threads.

use crate::arch::x86_64::{self as arch, ABANDONED};
use crate::call::limits;
use crate::call::signal::{fetch, store};
use crate::dispatch::{Outcome, body, input, refuse};
use crate::log::{self, Pieces};
use crate::process::process;
use crate::sys::{self, call, errno, nr};
use crate::thread::{self, Life, Thread};
use crate::{digest, replay, robust, scratch, shm, signal};
use core::sync::atomic::Ordering;
use orch_abi::layout::MAX_SLOTS;
use orch_abi::record::{Exit, Forked, Kind, Spawn, Syscall};
use orch_abi::shared::{option, request, state};
use orch_abi::syscalls::Call;

#[allow(missing_docs)]
mod flag {
    pub const VM: u64 = 0x100;
    pub const FILES: u64 = 0x400;
    pub const PIDFD: u64 = 0x1000;
    pub const VFORK: u64 = 0x4000;
    pub const PARENT: u64 = 0x8000;
    pub const PARENT_SETTID: u64 = 0x10_0000;
    pub const CHILD_CLEARTID: u64 = 0x20_0000;
    pub const CHILD_SETTID: u64 = 0x100_0000;
    pub const SETTLS: u64 = 0x8_0000;
    pub const THREAD: u64 = 0x1_0000;
    pub const NEWPID: u64 = 0x2000_0000;
    /// What the runtime does itself.
    pub const OURS: u64 = CHILD_CLEARTID | CHILD_SETTID;
}

const SIGCHLD: u64 = 17;

/// What clone, clone3, fork and vfork have in common.
#[derive(Clone, Copy)]
struct Wish {
    flags: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
}

/// Performs or replays one of them.
pub fn perform(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    let a = args;
    let number = u64::from(c.nr);
    match number {
        nr::FORK => spawn(
            t,
            c,
            a,
            Wish {
                flags: SIGCHLD,
                stack: 0,
                parent_tid: 0,
                child_tid: 0,
                tls: 0,
            },
        ),
        nr::VFORK => {
            let flags = flag::VM | flag::VFORK | SIGCHLD;
            spawn(
                t,
                c,
                a,
                Wish {
                    flags,
                    stack: 0,
                    parent_tid: 0,
                    child_tid: 0,
                    tls: 0,
                },
            )
        }
        nr::CLONE => spawn(
            t,
            c,
            a,
            Wish {
                flags: a[0],
                stack: a[1],
                parent_tid: a[2],
                child_tid: a[3],
                tls: a[4],
            },
        ),
        // Its flags may ask for more than clone can say; libc falls back to clone.
        nr::CLONE3 => refuse(t, Some(c), number, a, errno::ENOSYS, false),
        nr::UNSHARE if a[0] & flag::NEWPID != 0 => {
            refuse(t, Some(c), number, a, errno::EPERM, true)
        }
        nr::SETNS if log::recording() && enters_pid_namespace(a) => {
            refuse(t, Some(c), number, a, errno::EPERM, true)
        }
        nr::UNSHARE | nr::SETNS => input(t, c, a),
        nr::GETRLIMIT | nr::SETRLIMIT | nr::PRLIMIT64 => limits::perform(t, c, a),
        nr::EXECVE | nr::EXECVEAT => exec(t, c, a),
        nr::EXIT => exit(t, c, a, process().threads == 1),
        nr::EXIT_GROUP => exit(t, c, a, true),
        _ => refuse(t, Some(c), number, a, errno::ENOSYS, true),
    }
}

/// setns(2): by its flags (a pidfd has several namespaces) or, without, by the descriptor.
/// The supervisor would take the process ids of what is forked there for others.
fn enters_pid_namespace(args: &[u64; 6]) -> bool {
    const IOCTL: u64 = 16;
    const NS_GET_NSTYPE: u64 = 0xb703;
    let kind = match args[1] & 0xffff_ffff {
        0 => call(IOCTL, &[args[0], NS_GET_NSTYPE]),
        flags => flags as i64,
    };
    kind > 0 && kind as u64 & flag::NEWPID != 0
}

fn spawn(t: &mut Thread, c: &Call, args: &[u64; 6], w: Wish) -> Outcome {
    if w.flags & flag::NEWPID != 0 {
        return refuse(t, Some(c), u64::from(c.nr), args, errno::EPERM, true);
    }
    if !log::recording() && log::peek().is_some_and(|h| h.kind == Kind::Syscall as u8) {
        // There was no room for another thread or process.
        return refuse(t, Some(c), u64::from(c.nr), args, errno::EAGAIN, true);
    }
    let b = body(t, c, args, &mut Pieces::new());
    process().shares_files |= w.flags & (flag::FILES | flag::THREAD) == flag::FILES;
    if w.flags & flag::THREAD != 0 {
        new_thread(t, c, w, b)
    } else if w.flags & flag::VM != 0 {
        vfork(t, c, w, b)
    } else {
        fork(t, c, w, b)
    }
}

fn log_spawn(what: u32, child: u32) {
    log::write(
        Kind::Spawn,
        0,
        0,
        log::tick(),
        &[log::bytes_of(&Spawn { what, child })],
    );
}

/// Ends the call in the creator's log (recording) or takes its end from it.
fn finish(t: &mut Thread, c: &Call, w: &Wish, mut b: Syscall, result: i64) -> i64 {
    if log::recording() {
        b.result = result;
        let mut pieces = Pieces::new();
        if result > 0 {
            if w.flags & flag::PARENT_SETTID != 0 && w.flags & flag::VM != 0 {
                store(t, w.parent_tid, result as u32);
            }
            if w.flags & (flag::PARENT_SETTID | flag::PIDFD) != 0 {
                pieces.incoming(w.parent_tid, 4);
            }
        }
        log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
        return result;
    }
    replay::expect_syscall(t, Kind::Syscall, u64::from(c.nr), &b).1
}

// ---------------------------------------------------------------- threads

fn child_of(t: &Thread, index: u32, life: Life, w: &Wish) -> Option<&'static mut Thread> {
    let child = thread::create(index)?;
    child.regs = t.regs;
    child.regs.rax = 0;
    child.regs.rcx = t.regs.rip;
    child.regs.r11 = t.regs.rflags;
    if w.stack != 0 {
        child.regs.rsp = w.stack;
    }
    child.mask = t.mask;
    (child.keyed, child.program_pkru, child.grant) = (t.keyed, t.program_pkru, t.grant);
    child.life = life;
    if w.flags & flag::CHILD_CLEARTID != 0 {
        child.clear_tid = w.child_tid;
    }
    if life == Life::Vfork {
        child.vfork_of = call(nr::GETPID, &[]) as u32;
        (child.own, child.is_own) = (process().own, false);
        child.altstack = t.altstack;
    }
    Some(child)
}

/// A thread in the kernel, whose first code is the runtime's.
fn start_child(t: &mut Thread, child: &mut Thread, w: &Wish, flags: u64) -> i64 {
    signal::block_all();
    // The kernel clears this word when the thread is really gone.
    let gone = &raw const child.kernel_alive as u64;
    child.kernel_alive.store(1, Ordering::Relaxed);
    let flags = if w.flags & flag::THREAD != 0 {
        flags | flag::CHILD_CLEARTID
    } else {
        flags
    };
    // SAFETY: the child's stack and structure are its own; it starts in `started`.
    let result =
        unsafe { arch::spawn_syscall(flags, child.stack_top, w.parent_tid, gone, w.tls, child) };
    if result < 0 {
        child.life = Life::Unused;
        child.kernel_alive.store(0, Ordering::Relaxed);
    }
    if t.caught == 0 {
        signal::apply_mask(t);
    }
    result
}

fn new_thread(t: &mut Thread, c: &Call, w: Wish, b: Syscall) -> Outcome {
    let p = process();
    if !log::recording() {
        replay::expect_kind(t, Kind::Spawn);
        let s = log::read::<Spawn>();
        let result = finish(t, c, &w, b, 0);
        if result > 0 {
            let Some(child) = child_of(t, s.child, Life::Alive, &w) else {
                crate::fail("no memory for a thread")
            };
            child.tid = result as u32;
            thread::prepare_context(child, (w.flags & flag::SETTLS != 0).then_some(w.tls));
            if w.flags & flag::CHILD_SETTID != 0 {
                store(t, w.child_tid, result as u32);
            }
            p.threads += 1;
        }
        return Outcome::Done(result);
    }
    let Some(child) = thread::unused_index().and_then(|i| child_of(t, i, Life::Alive, &w)) else {
        return refuse(t, Some(c), u64::from(c.nr), &b.args, errno::EAGAIN, true);
    };
    log_spawn(1, child.index);
    p.threads += 1;
    let result = start_child(t, child, &w, w.flags & !(flag::OURS | flag::PARENT_SETTID));
    if result < 0 {
        p.threads -= 1;
    } else if w.flags & flag::CHILD_SETTID != 0 {
        store(t, w.child_tid, result as u32);
    }
    Outcome::Done(finish(t, c, &w, b, result))
}

/// A child in this memory: it takes the baton along until it calls execve or exits.
fn vfork(t: &mut Thread, c: &Call, w: Wish, b: Syscall) -> Outcome {
    let p = process();
    if !log::recording() {
        replay::expect_kind(t, Kind::Spawn);
        let s = log::read::<Spawn>();
        let Some(child) = child_of(t, s.child, Life::Vfork, &w) else {
            crate::fail("no memory for a child")
        };
        thread::prepare_context(child, (w.flags & flag::SETTLS != 0).then_some(w.tls));
        p.threads += 1;
        thread::follow_switches(t);
        p.threads -= 1;
        vfork_is_over(child);
        let result = finish(t, c, &w, b, 0);
        clear_word(t, &w, result);
        return Outcome::Done(result);
    }
    let Some(child) = thread::unused_index().and_then(|i| child_of(t, i, Life::Vfork, &w)) else {
        return refuse(t, Some(c), u64::from(c.nr), &b.args, errno::EAGAIN, true);
    };
    log_spawn(2, child.index);
    p.threads += 1;
    let flags = (w.flags | flag::VFORK) & !flag::OURS;
    let result = start_child(t, child, &w, flags);
    if p.failed.load(Ordering::Relaxed) {
        // In the child, which has said why, and has ended itself and this process's log.
        sys::exit_group(1);
    }
    p.threads -= 1;
    vfork_is_over(child);
    if result > 0 {
        p.running = t.index;
        log::switch(t.index, t.tid);
    }
    log::slot().running.store(t.tid, Ordering::Relaxed);
    let result = finish(t, c, &w, b, result);
    clear_word(t, &w, result);
    Outcome::Done(result)
}

/// clone(2), CLONE_CHILD_CLEARTID: the child, whose `result` this is, no longer uses the memory.
fn clear_word(t: &mut Thread, w: &Wish, result: i64) {
    const FUTEX_WAKE: u64 = 1;
    let clears = result > 0 && w.flags & flag::CHILD_CLEARTID != 0;
    if clears && store(t, w.child_tid, 0_u32) && log::recording() {
        call(nr::FUTEX, &[w.child_tid, FUTEX_WAKE, 1]);
    }
}

/// Execve, an exit, or killed, while it ran or while others did.
fn vfork_is_over(child: &mut Thread) {
    child.life = Life::Unused;
    if !child.is_own {
        process().own = child.own;
    }
}

// ------------------------------------------------------------------- fork

fn claim_slot() -> Option<u32> {
    let control = log::control();
    for i in 0..MAX_SLOTS as u32 {
        let s = log::slot_at(i);
        if s.state.load(Ordering::Relaxed) == state::FREE
            && s.state
                .compare_exchange(
                    state::FREE,
                    state::CLAIMED,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                )
                .is_ok()
        {
            control.slots_used.fetch_max(i + 1, Ordering::AcqRel);
            return Some(i);
        }
    }
    None
}

fn fork(t: &mut Thread, c: &Call, w: Wish, b: Syscall) -> Outcome {
    if !log::recording() {
        return replay_fork(t, c, w, b);
    }
    let Some(index) = claim_slot() else {
        return refuse(t, Some(c), u64::from(c.nr), &b.args, errno::EAGAIN, true);
    };
    let slot = log::slot_at(index);
    let recording = log::control().next_recording.fetch_add(1, Ordering::AcqRel);
    slot.recording.store(recording, Ordering::Relaxed);
    slot.parent.store(process().recording, Ordering::Relaxed);
    slot.head.store(0, Ordering::Relaxed);
    slot.tail.store(0, Ordering::Relaxed);
    let tick = log::tick();
    log::write(
        Kind::Spawn,
        0,
        0,
        tick,
        &[log::bytes_of(&Spawn {
            what: 0,
            child: recording,
        })],
    );
    signal::block_all();
    // SAFETY: as fork(2): the child continues here on its copy of the stack.
    let result = unsafe {
        arch::syscall6(
            nr::CLONE,
            [w.flags & !flag::OURS, 0, w.parent_tid, 0, w.tls, 0],
        )
    };
    if result == 0 {
        t.caught = 0;
        let parent = process().recording;
        log::open(index);
        t.tid = call(nr::GETTID, &[]) as u32;
        slot.pid.store(t.tid, Ordering::Relaxed);
        slot.running.store(t.tid, Ordering::Relaxed);
        log::write(
            Kind::Forked,
            0,
            0,
            log::tick(),
            &[log::bytes_of(&Forked {
                parent,
                pid: t.tid,
                tick,
            })],
        );
        slot.state.store(state::ACTIVE, Ordering::Release);
        become_child(t, &w);
        signal::apply_mask(t);
        return Outcome::Done(0);
    }
    if result < 0 {
        slot.state.store(state::FREE, Ordering::Release);
    } else if slot.recording.load(Ordering::Acquire) == recording {
        // A child that is killed before its first instruction has a recording, too.
        slot.pid.store(result as u32, Ordering::Relaxed);
        let _ = slot.state.compare_exchange(
            state::CLAIMED,
            state::ACTIVE,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }
    if t.caught == 0 {
        signal::apply_mask(t);
    }
    Outcome::Done(finish(t, c, &w, b, result))
}

fn replay_fork(t: &mut Thread, c: &Call, w: Wish, b: Syscall) -> Outcome {
    replay::expect_kind(t, Kind::Spawn);
    let child = log::read::<Spawn>().child;
    // The kernel tells the parent the child's id after it has copied its memory.
    let tells = w.flags & (flag::PARENT_SETTID | flag::PIDFD) != 0;
    let before = if tells {
        fetch::<u32>(t, w.parent_tid)
    } else {
        None
    };
    // A parent that is killed in the call may leave a child all the same.
    let result = if replay::at_end() {
        1
    } else {
        finish(t, c, &w, b, 0)
    };
    if result <= 0 {
        return Outcome::Done(result);
    }
    let become_it = log::control()
        .replay_path
        .iter()
        .any(|p| p.load(Ordering::Relaxed) == child);
    if become_it {
        log::ask(request::BECOME, &[u64::from(child)]);
        log::reopen(child);
    } else if process().options & option::FOLLOW_FORKS != 0 {
        let Some(index) = claim_slot() else {
            return Outcome::Done(result);
        };
        let slot = log::slot_at(index);
        slot.recording.store(child, Ordering::Relaxed);
        slot.parent.store(process().recording, Ordering::Relaxed);
        slot.head.store(0, Ordering::Relaxed);
        slot.tail.store(0, Ordering::Relaxed);
        slot.complete.store(0, Ordering::Relaxed);
        // It may go on for longer than this process: whoever checks them all is its parent.
        // SAFETY: as in `fork`.
        let r = unsafe { arch::syscall6(nr::CLONE, [SIGCHLD | flag::PARENT, 0, 0, 0, 0, 0]) };
        if r != 0 {
            if r < 0 {
                slot.state.store(state::FREE, Ordering::Release);
                crate::fail_fmt(format_args!("cannot fork to check p{child} (errno {})", -r));
            }
            return Outcome::Done(result);
        }
        sys::end_with_parent();
        log::open(index);
        slot.pid
            .store(call(nr::GETPID, &[]) as u32, Ordering::Relaxed);
        slot.state.store(state::ACTIVE, Ordering::Release);
        log::ring_doorbell();
    } else {
        return Outcome::Done(result);
    }
    if !become_it {
        shm::separate();
    }
    if let Some(before) = before {
        store(t, w.parent_tid, before);
    }
    replay::expect_kind(t, Kind::Forked);
    t.tid = log::read::<Forked>().pid;
    become_child(t, &w);
    Outcome::Done(0)
}

/// What is different in the child of a fork, recorded or replayed.
fn become_child(t: &mut Thread, w: &Wish) {
    const ARCH_SET_FS: u64 = 0x1002;
    let p = process();
    for i in 0..p.mapped.len() {
        if p.mapped[i] && i as u32 != t.index {
            let other = thread::get(i as u32);
            other.life = Life::Unused;
            other.kernel_alive.store(0, Ordering::Relaxed);
        }
    }
    super::memory::disinherit();
    shm::after_fork();
    p.threads = 1;
    p.running = t.index;
    p.baton.reset();
    t.life = Life::Alive;
    t.clear_tid = if w.flags & flag::CHILD_CLEARTID != 0 {
        w.child_tid
    } else {
        0
    };
    t.robust.program = 0;
    if w.stack != 0 {
        t.regs.rsp = w.stack;
    }
    if w.flags & flag::CHILD_SETTID != 0 {
        store(t, w.child_tid, t.tid);
    }
    if w.flags & flag::SETTLS != 0 {
        call(nr::ARCH_PRCTL, &[ARCH_SET_FS, w.tls]);
    }
}

// ------------------------------------------------------------------- exec

fn exec(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    let number = u64::from(c.nr);
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    if !log::recording() {
        replay::expect_syscall(t, Kind::Exec, number, &b);
        return match log::peek() {
            Some(h) if h.kind == Kind::Syscall as u8 => {
                Outcome::Done(replay::expect_syscall(t, Kind::Syscall, number, &b).1)
            }
            Some(h) if h.kind == Kind::Signal as u8 => Outcome::SignalFirst,
            Some(h) if h.kind == Kind::Switch as u8 && t.life == Life::Vfork => {
                thread::leave_context(t)
            }
            _ => log::ended_early(),
        };
    }
    log::syscall(Kind::Exec, c.nr, 0, log::tick(), &b, &pieces);
    let args = &scratch::redirect(t, c, args, scratch::Which::Shared).args;
    let result = if will_fail(number, args) {
        call(number, args)
    } else {
        let vfork = u64::from(t.life == Life::Vfork);
        let tid = call(nr::GETTID, &[]) as u64;
        let arena = open_arena();
        let blocked = t.mask & signal::NEVER_BLOCKED;
        let mut r = -errno::EAGAIN;
        // The new image has no handler for the supervisor's interrupts until it has the runtime.
        log::slot().running.store(0, Ordering::Relaxed);
        if log::ask(request::EXEC, &[tid, vfork, blocked, (arena + 1) as u64]) == 1 {
            // SAFETY: as the program asked; on success nothing of us is left.
            r = unsafe { arch::window_syscall(number, args.as_ptr()) };
            log::ask(request::EXEC_FAILED, &[tid, vfork]);
        }
        log::slot().running.store(t.tid, Ordering::Relaxed);
        if arena >= 0 {
            call(nr::CLOSE, &[arena as u64]);
        }
        r
    };
    if result == ABANDONED {
        return Outcome::SignalFirst;
    }
    b.result = result;
    log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &Pieces::new());
    Outcome::Done(result)
}

/// The descriptor of the arena that the new image maps the runtime from, or -1:
/// then the supervisor finds another way.
fn open_arena() -> i64 {
    const O_RDWR: u64 = 2;
    const AT_FDCWD: u64 = -100_i64 as u64;
    // Who shares the table of descriptors would keep it.
    if process().shares_files {
        return -1;
    }
    let path = log::control().arena.as_ptr() as u64;
    call(nr::OPENAT, &[AT_FDCWD, path, O_RDWR]).max(-1)
}

/// Whether execve will surely fail: the search along PATH need not bother
/// the supervisor.
fn will_fail(number: u64, args: &[u64; 6]) -> bool {
    const X_OK: u64 = 1;
    number == nr::EXECVE && call(nr::ACCESS, &[args[0], X_OK]) < 0
}

// ------------------------------------------------------------------- exit

fn exit(t: &mut Thread, c: &Call, args: &[u64; 6], last: bool) -> Outcome {
    let status = args[0] as i32;
    if t.life == Life::Vfork {
        log_exit(
            t,
            c,
            Exit {
                status,
                whole: 2,
                ..Exit::default()
            },
        );
        if !log::recording() {
            thread::leave_context(t);
        }
        loop {
            call(u64::from(c.nr), &[args[0]]);
        }
    }
    if last {
        thread::outlive_vfork_children(t);
        log_exit(
            t,
            c,
            Exit {
                status,
                whole: 1,
                memory: digest::of_memory(),
            },
        );
        if !log::recording() {
            log::finish_replay(orch_abi::shared::verdict::MATCHED);
        }
        clear_tid(t);
        log::close();
        sys::exit_group(status);
    }
    log_exit(
        t,
        c,
        Exit {
            status,
            whole: 0,
            ..Exit::default()
        },
    );
    robust::owner_died(t);
    let p = process();
    p.threads -= 1;
    let word = t.clear_tid;
    if word != 0 {
        store(t, word, 0_u32);
    }
    if !log::recording() {
        thread::leave_context(t);
    }
    signal::block_all();
    if word != 0 {
        call(nr::FUTEX, &[word, 1, i32::MAX as u64]);
    }
    t.life = Life::Unused;
    thread::release_baton();
    loop {
        call(nr::EXIT, &[args[0]]);
    }
}

fn clear_tid(t: &mut Thread) {
    let word = t.clear_tid;
    if word != 0 && fetch::<u32>(t, word).is_some() {
        store(t, word, 0_u32);
        call(nr::FUTEX, &[word, 1, i32::MAX as u64]);
    }
}

fn log_exit(t: &mut Thread, c: &Call, e: Exit) {
    if log::recording() {
        log::write(Kind::Exit, c.nr, 0, log::tick(), &[log::bytes_of(&e)]);
        return;
    }
    let head = replay::expect_kind(t, Kind::Exit);
    let r = log::read::<Exit>();
    if head.aux != c.nr || r.status != e.status || r.whole != e.whole {
        replay::diverge_at(
            t,
            Kind::Exit,
            format_args!("exit status {} here, {} recorded", e.status, r.status),
        );
    }
    if r.memory.pages != 0 && e.memory.pages != 0 && r.memory != e.memory {
        digest::report(t, &r.memory, &e.memory);
    }
}
