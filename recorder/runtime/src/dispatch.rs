//! A system call of the program: from the site, through the table, to the
//! code that records or replays it.

use crate::arch::x86_64::{ABANDONED, window_syscall};
use crate::log::{self, Pieces};
use crate::memory;
use crate::process::{Console, process};
use crate::sys::{errno, nr};
use crate::thread::Thread;
use crate::{
    call, digest, insn, patch, preempt, replay, robust, scratch, shm, signal, stage, stop, stub,
    thread,
};
use core::sync::atomic::Ordering;
use orch_abi::record::{Kind, Regs, Syscall, flag};
use orch_abi::syscalls::{self, Call, Does, Restart};

/// How a call came out.
pub enum Outcome {
    /// Go on behind the `syscall` instruction with this result.
    Done(i64),
    /// Interrupted by a signal whose handler lets it start again.
    Restart,
    /// A signal must be delivered first; the call was not made.
    SignalFirst,
    /// The registers are already what they shall be (sigreturn).
    Jumped,
}

/// A call that arrived through a patched site, `site` being its index.
pub extern "C" fn patched(t: &mut Thread, site: u32) {
    if site == stub::SITE {
        preempt::pass(t);
        return;
    }
    let s = patch::site(site);
    if s.number == patch::CPUID {
        insn::cpuid(&mut t.regs);
        t.resume_ip = s.resume;
        return;
    }
    t.regs.rip = s.after;
    if s.number != u32::MAX {
        t.regs.rax = u64::from(s.number);
    }
    let (after, resume) = (s.after, s.resume);
    syscall(t);
    t.resume_ip = if t.regs.rip == after {
        resume
    } else {
        patch::resume_address(t.regs.rip)
    };
}

/// A call that arrived through SIGSYS: `regs` are as at the instruction,
/// rip behind it.
pub extern "C" fn trapped(t: &mut Thread) {
    let (after, rax) = (t.regs.rip, t.regs.rax);
    syscall(t);
    if t.regs.rip == after {
        patch::consider(after, rax);
    }
    t.resume_ip = patch::resume_address(t.regs.rip);
}

/// A thread that was interrupted by a fault or by the supervisor.
pub extern "C" fn interrupted(t: &mut Thread) {
    insn::interrupted(t);
    stop::behind(t);
    shm::rearm(t);
    t.resume_ip = patch::resume_address(t.regs.rip);
}

fn syscall(t: &mut Thread) {
    let number = t.regs.rax;
    let before = t.regs.rip - 2;
    let args = [
        t.regs.rdi, t.regs.rsi, t.regs.rdx, t.regs.r10, t.regs.r8, t.regs.r9,
    ];
    if log::recording() {
        thread::end_orphan(t);
        stage::publish();
    } else if number != nr::RT_SIGRETURN && !preempt::searching() {
        let regs = Regs {
            rip: before,
            ..t.regs
        };
        stop::before(t, &regs);
    }
    let outcome = if signal::due_first(t) {
        Outcome::SignalFirst
    } else {
        perform(t, number, &args)
    };
    // What has no record (the end of a handler, a call that a signal prevents) is no place
    // where replay looks for a digest or for another thread's turn.
    let in_log = matches!(outcome, Outcome::Done(_) | Outcome::Restart);
    match outcome {
        Outcome::Done(result) => {
            t.regs.rax = result as u64;
            t.regs.rcx = t.regs.rip;
            t.regs.r11 = t.regs.rflags;
        }
        Outcome::Restart => {
            t.regs.rip = before;
            t.regs.rax = number;
        }
        Outcome::SignalFirst => {
            t.regs.rip = before;
            t.regs.rax = number;
        }
        Outcome::Jumped => {}
    }
    if log::recording() {
        if in_log {
            digest::now_and_then();
        }
        if signal::deliver_pending(t) || in_log {
            thread::maybe_yield(t);
        }
    } else {
        replay::settle(t);
        stop::behind(t);
        shm::rearm(thread::current());
        if let Some(mask) = t.restore_mask.take() {
            t.mask = mask;
        }
    }
    // Only this process writes it, under the baton.
    let progress = log::progress();
    progress.store(progress.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn perform(t: &mut Thread, number: u64, args: &[u64; 6]) -> Outcome {
    let Some(c) = syscalls::lookup(number) else {
        return refuse(t, None, number, args, errno::ENOSYS, true);
    };
    if number == nr::PRCTL
        && let Some(outcome) = call::thread::prctl(t, c, args)
    {
        return outcome;
    }
    match c.does_with(args) {
        Does::Input => input(t, c, args),
        Does::Refused(e) => refuse(t, Some(c), number, args, i64::from(e), true),
        Does::Absent(e) => refuse(t, Some(c), number, args, i64::from(e), false),
        Does::Memory => call::memory::perform(t, c, args),
        Does::Process => call::process::perform(t, c, args),
        Does::Signal => call::signal::perform(t, c, args),
        Does::Thread => call::thread::perform(t, c, args),
    }
}

/// Body of a call's record as far as it is known before the call.
pub fn body(t: &mut Thread, c: &Call, args: &[u64; 6], show: &mut Pieces) -> Syscall {
    // Registers beyond the call's arguments hold whatever was there before.
    let n = c.args.len();
    // By masks: the compiler would call memset for the rest.
    let known = core::array::from_fn(|i| args[i] & 0_u64.wrapping_sub(u64::from(i < n)));
    let in_hash = memory::hash_inputs(t, c, args, show);
    Syscall {
        ip: t.regs.rip,
        result: 0,
        args: known,
        in_hash,
    }
}

/// Answers a call without the kernel.
pub fn refuse(
    t: &mut Thread,
    c: Option<&Call>,
    number: u64,
    args: &[u64; 6],
    e: i64,
    report: bool,
) -> Outcome {
    let n = c.map_or(6, |c| c.args.len());
    let mut known = [0; 6];
    known[..n].copy_from_slice(&args[..n]);
    let mut b = Syscall {
        ip: t.regs.rip,
        result: -e,
        args: known,
        in_hash: 0,
    };
    if log::recording() {
        let flags = if report { flag::REFUSED } else { 0 };
        log::syscall(
            Kind::Syscall,
            number as u16,
            flags,
            log::tick(),
            &b,
            &Pieces::new(),
        );
    } else {
        b.result = 0;
        b.result = replay::expect_syscall(t, Kind::Syscall, u64::from(number as u16), &b).1;
    }
    Outcome::Done(b.result)
}

/// A call that is performed when recording and read from the log when replaying.
pub fn input(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    let mut pieces = Pieces::new();
    let accesses = shm::made(t);
    let mut b = body(t, c, args, &mut pieces);
    if !log::recording() {
        if log::peek().is_some_and(|h| h.kind == Kind::Signal as u8) {
            shm::take_back(t, accesses);
            return Outcome::SignalFirst;
        }
        return replay_input(t, c, &b);
    }
    let mut flags = 0;
    if let Some((addr, len)) = console_bytes(c, args) {
        pieces.outgoing(addr, len.min(16 << 10));
        flags |= flag::CONSOLE;
    }
    let publishes = c.publishes_with(args);
    let mut tick = if publishes { log::tick() } else { 0 };
    let (result, made) = if c.blocks_with(args) && process().threads > 1 {
        blocking(t, c, args, tick, &b)
    } else if shm::any() {
        (with_shared_memory(t, c, args), true)
    } else {
        // SAFETY: the program's own call with its own arguments.
        let result = unsafe { window_syscall(u64::from(c.nr), args.as_ptr()) };
        (result, true)
    };
    b.result = result;
    if b.result == ABANDONED {
        shm::call_logged();
        shm::take_back(t, accesses);
        return Outcome::SignalFirst;
    }
    if !publishes || process().threads > 1 {
        tick = log::tick();
    }
    if sends_signal(c.nr.into()) && b.result == 0 && t.caught == 0 {
        // A thread that waits for its turn may have got it, and would be in its handler by now.
        process().hurry.store(1, Ordering::Relaxed);
    }
    let interrupted = b.result == -errno::EINTR && c.restart == Restart::WithFlag;
    let restart = !made || interrupted && signal::restarts(t);
    if restart {
        flags |= flag::RESTARTED;
    }
    if u64::from(c.nr) == nr::RT_SIGPENDING && b.result == 0 && signal::held(t) != 0 {
        let kernel = call::signal::fetch::<u64>(t, args[0]).unwrap_or(0);
        call::signal::store(t, args[0], kernel | signal::held(t));
    }
    memory::collect_outputs(t, c, args, b.result, &mut pieces);
    call::views::collect(t, c.nr.into(), args, b.result, &mut pieces);
    log::syscall(Kind::Syscall, c.nr, flags, tick, &b, &pieces);
    shm::call_logged();
    forget_console(c, args, b.result);
    if restart {
        Outcome::Restart
    } else {
        Outcome::Done(b.result)
    }
}

fn sends_signal(number: u64) -> bool {
    matches!(
        number,
        nr::KILL
            | nr::TKILL
            | nr::TGKILL
            | nr::RT_SIGQUEUEINFO
            | nr::RT_TGSIGQUEUEINFO
            | nr::PIDFD_SEND_SIGNAL
    )
}

/// A call whose arguments may lead to shared memory.
fn with_shared_memory(t: &mut Thread, c: &Call, args: &[u64; 6]) -> i64 {
    let moved = scratch::redirect(t, c, args, scratch::Which::Shared);
    robust::before_call(t, c, args);
    // SAFETY: the program's own call with its own arguments.
    let result = unsafe { window_syscall(u64::from(c.nr), moved.args.as_ptr()) };
    robust::after(t);
    if result != ABANDONED {
        scratch::deliver(t, c, args, result, &moved);
    }
    result
}

/// Lets the other threads run while this one is in the kernel. False if a signal came first:
/// the call was entered in the log, but never made, and has not failed either, which many
/// never do (futex(2), FUTEX_WAKE).
fn blocking(t: &mut Thread, c: &Call, args: &[u64; 6], tick: u64, b: &Syscall) -> (i64, bool) {
    if t.caught != 0 {
        return (ABANDONED, true);
    }
    let tick = if tick == 0 { log::tick() } else { tick };
    log::syscall(Kind::Enter, c.nr, 0, tick, b, &Pieces::new());
    let moved = scratch::redirect(t, c, args, scratch::Which::All);
    robust::before_call(t, c, args);
    thread::change_own(t);
    thread::release_baton();
    t.kicked = 0;
    // SAFETY: the program's own call with its own arguments.
    let mut result = unsafe { window_syscall(u64::from(c.nr), moved.args.as_ptr()) };
    while result == -errno::EINTR && t.kicked != 0 && t.caught == 0 {
        // Not a signal of the program's: the supervisor's interrupt came late.
        t.kicked = 0;
        // SAFETY: as above.
        result = unsafe { window_syscall(u64::from(c.nr), moved.args.as_ptr()) };
    }
    let made = result != ABANDONED;
    if !made {
        result = -errno::EINTR;
    }
    thread::acquire_baton(t);
    thread::change_own(t);
    robust::after(t);
    scratch::deliver(t, c, args, result, &moved);
    (result, made)
}

fn replay_input(t: &mut Thread, c: &Call, b: &Syscall) -> Outcome {
    if log::peek().is_some_and(|h| h.kind == Kind::Enter as u8) {
        replay::expect_syscall(t, Kind::Enter, u64::from(c.nr), b);
        thread::change_own(t);
        thread::follow_switches(t);
        thread::change_own(t);
    }
    let (head, result) = replay::expect_syscall(t, Kind::Syscall, u64::from(c.nr), b);
    if replay::restarted(&head) {
        Outcome::Restart
    } else {
        Outcome::Done(result)
    }
}

/// What a write to the console writes, if it is one.
fn console_bytes(c: &Call, args: &[u64; 6]) -> Option<(u64, u64)> {
    if u64::from(c.nr) != nr::WRITE || args[0] > 2 {
        return None;
    }
    let state = &mut process().own.console[args[0] as usize];
    if *state == Console::Unknown {
        let mut stat = [0_u64; 18];
        crate::sys::call(nr::FSTAT, &[args[0], stat.as_mut_ptr() as u64]);
        let hit = log::control().console.iter().any(|[dev, ino]| {
            dev.load(Ordering::Relaxed) == stat[0] && ino.load(Ordering::Relaxed) == stat[1]
        });
        *state = if hit { Console::Yes } else { Console::No };
    }
    (*state == Console::Yes && args[2] > 0).then_some((args[1], args[2]))
}

fn forget_console(c: &Call, args: &[u64; 6], result: i64) {
    let console = &mut process().own.console;
    match u64::from(c.nr) {
        nr::CLOSE if args[0] < 3 => console[args[0] as usize] = Console::Unknown,
        nr::DUP2 | nr::DUP3 if (0..3).contains(&result) => {
            console[result as usize] = Console::Unknown
        }
        nr::CLOSE_RANGE => *console = [Console::Unknown; 3],
        _ => {}
    }
}
