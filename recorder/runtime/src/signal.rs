//! Signals: the program's dispositions, masks and alternate stacks are kept
//! here; the kernel only ever runs our handlers. Frames are built by the
//! runtime, the same way when recording and replaying.
//!
//! Sources: signal(7), sigaction(2), sigreturn(2), sigaltstack(2); layouts
//! from arch/x86/include/uapi/asm/{sigcontext,ucontext}.h and
//! arch/x86/kernel/signal_64.c.

use crate::arch::x86_64 as arch;
use crate::log;
use crate::process::process;
use crate::sys::{self, call, nr};
use crate::thread::{self, Life, Thread};
use crate::{dispatch, generated, insn, preempt, replay, shm, stop};
use core::sync::atomic::Ordering;
use orch_abi::layout::is_ours;
use orch_abi::record::{Kind, Regs, Signal};
use orch_abi::syscalls::COMPAT;

/// The program's disposition of one signal (`struct kernel_sigaction`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action {
    /// SIG_DFL, SIG_IGN or a function.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Return address for the handler.
    pub restorer: u64,
    /// Signals blocked in the handler.
    pub mask: u64,
}

impl Action {
    /// SIG_DFL.
    pub const DEFAULT: Self = Self {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: 0,
    };

    /// Whether it is a function of the program.
    pub fn caught(&self) -> bool {
        self.handler > 1
    }
}

/// `stack_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct AltStack {
    /// First address.
    pub sp: u64,
    /// `SS_*` (32 bits and padding).
    pub flags: u64,
    /// Bytes.
    pub size: u64,
}

/// `ucontext_t` up to the mask.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Context {
    flags: u64,
    link: u64,
    stack: AltStack,
    /// General registers.
    pub regs: Regs,
    segments: u64,
    pub err: u64,
    trapno: u64,
    oldmask: u64,
    cr2: u64,
    fpstate: u64,
    reserved: [u64; 8],
    mask: u64,
}

impl Context {
    /// Signals that are blocked when the handler has returned.
    pub fn mask(&self) -> u64 {
        self.mask
    }

    /// Sets them.
    pub fn set_mask(&mut self, mask: u64) {
        self.mask = mask;
    }

    /// Blocks all that can be.
    pub fn block_all(&mut self) {
        self.mask = !NEVER_BLOCKED;
    }
}

/// `struct rt_sigframe`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Frame {
    restorer: u64,
    context: Context,
    info: [u64; 16],
}

/// A signal that was caught and not yet delivered.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PendingSignal {
    number: u32,
    fault: u32,
    err: u64,
    trapno: u64,
    cr2: u64,
    info: [u64; 16],
}

impl PendingSignal {
    /// One that no instruction has raised.
    const fn sent(number: u32, info: [u64; 16]) -> Self {
        Self {
            number,
            fault: 0,
            err: 0,
            trapno: 0,
            cr2: 0,
            info,
        }
    }
}

#[allow(missing_docs)]
mod sig {
    pub const ILL: u32 = 4;
    pub const TRAP: u32 = 5;
    pub const BUS: u32 = 7;
    pub const FPE: u32 = 8;
    pub const KILL: u32 = 9;
    pub const SEGV: u32 = 11;
    pub const CHLD: u32 = 17;
    pub const CONT: u32 = 18;
    pub const STOP: u32 = 19;
    pub const TSTP: u32 = 20;
    pub const TTIN: u32 = 21;
    pub const TTOU: u32 = 22;
    pub const URG: u32 = 23;
    pub const WINCH: u32 = 28;
    pub const SYS: u32 = 31;
}

/// `trapno` of a page fault (SDM vol. 3, 7.15).
const PAGE_FAULT: u64 = 14;
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTART: u64 = 0x1000_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_SIGINFO: u64 = 4;
const SA_FOR_KERNEL: u64 = 3; // NOCLDSTOP | NOCLDWAIT
const SS_DISABLE: u64 = 2;
const SS_ONSTACK: u64 = 1;
const SS_AUTODISARM: u64 = 1 << 31;

/// Signals that the runtime itself needs unblocked, as [`Thread::held`] has them.
const HELD: [u32; 4] = [sig::SYS, sig::SEGV, sig::TRAP, sig::BUS];

/// The same, as a mask.
pub const NEVER_BLOCKED: u64 = bit(HELD[0]) | bit(HELD[1]) | bit(HELD[2]) | bit(HELD[3]);

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

/// Signals raised by the instruction that runs.
const FAULTS: u64 = bit(sig::SEGV) | bit(sig::BUS) | bit(sig::ILL) | bit(sig::FPE) | bit(sig::TRAP);

/// Extended state that belongs to the program's state: all but PKRU and AMX tiles.
pub fn xstate_mask() -> u64 {
    arch::xcr0() & 0xe7
}

/// Bytes of the standard format for [`xstate_mask`] (SDM vol. 1, 13.4:
/// offsets of AVX 576, opmask 1088, ZMM_Hi256 1152, Hi16_ZMM 1664).
fn xstate_len(mask: u64) -> u64 {
    match mask {
        m if m & 0x80 != 0 => 2688,
        m if m & 0x40 != 0 => 1664,
        m if m & 0x20 != 0 => 1152,
        m if m & 0x4 != 0 => 832,
        _ => 576,
    }
}

// ------------------------------------------------------- dispositions, masks

fn kernel_action(signal: u32, handler: u64, flags: u64) {
    let full = !NEVER_BLOCKED;
    let act = Action {
        handler,
        flags: flags | SA_RESTORER,
        restorer: arch::restorer as *const () as u64,
        mask: if handler > 1 { full } else { 0 },
    };
    call(
        nr::RT_SIGACTION,
        &[u64::from(signal), &raw const act as u64, 0, 8],
    );
}

/// Installs the handlers that the runtime always has.
pub fn install_own() {
    kernel_action(
        sig::SYS,
        arch::enter_sigsys as *const () as u64,
        SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART,
    );
    kernel_action(
        sig::SEGV,
        arch::enter_fault as *const () as u64,
        SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
    );
    kernel_action(
        sig::TRAP,
        arch::enter_fault as *const () as u64,
        SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
    );
    kernel_action(
        sig::BUS,
        arch::enter_fault as *const () as u64,
        SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART,
    );
}

/// The kernel's mask of this thread.
pub fn kernel_mask() -> u64 {
    let mut mask = 0;
    call(nr::RT_SIGPROCMASK, &[0, 0, &raw mut mask as u64, 8]);
    mask
}

/// In a process that has no more than [`install_own`] of the kernel's: the mask, and
/// the program's handlers that replay needs.
pub fn install_again(mask: u64) {
    for signal in (1..=64).filter(|&s| FAULTS & bit(s) != 0) {
        set_action(signal, process().own.actions[signal as usize - 1]);
    }
    call(nr::RT_SIGPROCMASK, &[2, &raw const mask as u64, 0, 8]);
}

/// Which signals are ignored (after exec the only disposition besides the default).
pub fn find_ignored() -> u64 {
    let mut ignored = 0;
    for s in 1..=64 {
        let mut act = Action::DEFAULT;
        call(nr::RT_SIGACTION, &[u64::from(s), 0, &raw mut act as u64, 8]);
        if act.handler == SIG_IGN {
            ignored |= bit(s);
        }
    }
    ignored
}

/// Takes over the ignored signals of the image.
pub fn set_ignored(ignored: u64) {
    for s in 1..=64 {
        process().own.actions[s as usize - 1] = Action {
            handler: u64::from(ignored & bit(s) != 0),
            ..Action::DEFAULT
        };
    }
}

/// The program sets a disposition; its kernel side follows.
pub fn set_action(signal: u32, act: Action) {
    process().own.actions[signal as usize - 1] = act;
    if !log::recording() && FAULTS & bit(signal) == 0 {
        return;
    }
    if matches!(signal, sig::SYS | sig::SEGV | sig::TRAP | sig::BUS) {
        return;
    }
    let own = SA_SIGINFO | SA_ONSTACK | act.flags & SA_FOR_KERNEL;
    if !act.caught() {
        kernel_action(signal, act.handler, act.flags & SA_FOR_KERNEL);
    } else if FAULTS & bit(signal) != 0 {
        kernel_action(signal, arch::enter_fault as *const () as u64, own);
    } else {
        kernel_action(signal, arch::enter_signal as *const () as u64, own);
    }
}

/// Makes the kernel's mask of this thread the program's (recording).
pub fn apply_mask(t: &Thread) {
    let mask = t.mask & !NEVER_BLOCKED;
    call(nr::RT_SIGPROCMASK, &[2, &raw const mask as u64, 0, 8]);
}

/// Blocks all signals; [`apply_mask`] undoes it.
pub fn block_all() {
    let mask = !NEVER_BLOCKED;
    call(nr::RT_SIGPROCMASK, &[2, &raw const mask as u64, 0, 8]);
}

/// Whether the caught signal's handler lets an interrupted call start again.
pub fn restarts(t: &Thread) -> bool {
    if t.caught == 0 {
        return false;
    }
    let action = process().own.actions[t.pending.number as usize - 1];
    action.flags & SA_RESTART != 0 || !action.caught()
}

/// Whether a signal must be delivered before the call that was just entered.
pub fn due_first(t: &mut Thread) -> bool {
    if log::recording() {
        return t.caught != 0;
    }
    if preempt::searching() {
        // Returning from a handler is no event; all other calls are.
        if t.regs.rax != nr::RT_SIGRETURN {
            preempt::missed(t);
        }
        preempt::returning();
        return false;
    }
    t.regs.rip -= 2;
    let due = is_due(t);
    t.regs.rip += 2;
    due
}

// ------------------------------------------------------------ our handlers

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Info {
    signo: i32,
    errno: i32,
    code: i32,
    pad: i32,
    rest: [u64; 14],
}

impl Info {
    /// SIGSYS: whether the call was one of a 32-bit program's (`int $0x80`); `si_arch` is in the
    /// high half of the second word.
    fn is_of_i386(&self) -> bool {
        const AUDIT_ARCH_I386: u64 = 0x4000_0003;
        self.rest[1] >> 32 == AUDIT_ARCH_I386
    }

    /// Whether the supervisor has sent it; `si_pid` is in the low half of the first word.
    fn by_supervisor(&self) -> bool {
        self.rest[0] as u32 == log::control().supervisor.load(Ordering::Relaxed)
    }

    /// All of it.
    fn words(&self) -> [u64; 16] {
        // SAFETY: the kernel's siginfo_t has 128 bytes.
        unsafe { core::ptr::from_ref(self).cast::<[u64; 16]>().read() }
    }
}

/// SIGSYS: a system call of the program, or one that somebody sent.
pub extern "C" fn on_sigsys(_: i32, info: &Info, c: &mut Context) {
    const SYS_SECCOMP: i32 = 1;
    let t = thread::current();
    if info.code != SYS_SECCOMP {
        sent(t, sig::SYS, info, c);
        return;
    }
    t.regs = c.regs;
    if info.is_of_i386() {
        t.regs.rax = COMPAT | t.regs.rax & (COMPAT - 1);
    }
    send_to(c, arch::trapped_entry as *const () as u64, t.stack_top);
}

/// Makes the handler's return go to `ip` in the runtime.
pub fn send_to(c: &mut Context, ip: u64, sp: u64) {
    const TRAP_AND_DIRECTION: u64 = 0x500;
    c.regs.rip = ip;
    c.regs.rsp = sp;
    c.regs.rflags &= !TRAP_AND_DIRECTION;
}

/// A signal from outside: kept until the next safe point.
pub extern "C" fn on_signal(signal: u32, info: &Info, c: &mut Context) {
    let t = thread::current();
    catch(t, signal, info, c, 0);
    if let Some(ip) = arch::abandon_window(c.regs.rip) {
        c.regs.rip = ip;
    }
    if !is_ours(c.regs.rip) {
        // A spin on shared memory comes to no other safe point.
        shm::hurry(t);
    }
    log::slot().signal_waits.store(1, Ordering::Relaxed);
}

/// Sent by kill(2) and friends, not raised by an instruction. What the runtime never blocks
/// waits here while the program does.
fn sent(t: &mut Thread, signal: u32, info: &Info, c: &mut Context) {
    let action = process().own.actions[signal as usize - 1];
    if action.handler == SIG_IGN || !log::recording() {
        return;
    }
    if t.mask & bit(signal) != 0 {
        if let Some(n) = HELD.iter().position(|&s| s == signal) {
            t.held[n] = Some(info.words());
        }
        // A call that it interrupts goes on.
        t.kicked = 1;
    } else if action.caught() {
        on_signal(signal, info, c);
    } else {
        die_of(signal);
    }
}

fn catch(t: &mut Thread, signal: u32, info: &Info, c: &mut Context, fault: u32) {
    // What is not of this fault the kernel leaves as some earlier one has set it.
    let cr2 = if c.trapno == PAGE_FAULT { c.cr2 } else { 0 };
    let (err, trapno, cr2) = if fault != 0 {
        (c.err, c.trapno, cr2)
    } else {
        (0, 0, 0)
    };
    t.pending = PendingSignal {
        number: signal,
        fault,
        err,
        trapno,
        cr2,
        info: info.words(),
    };
    t.caught = 1;
    c.mask = !NEVER_BLOCKED;
}

/// A signal that an instruction raised (or that somebody sent).
pub extern "C" fn on_fault(signal: u32, info: &Info, c: &mut Context) {
    let t = thread::current();
    if info.code <= 0 && signal == sig::BUS && info.by_supervisor() {
        preempt::interrupt(t, c);
        return;
    }
    if info.code <= 0 {
        sent(t, signal, info, c);
        return;
    }
    // Bit 1 of a page fault's error code.
    const WRITE: u64 = 2;
    let ip = c.regs.rip;
    if signal == sig::BUS && shm::bus(t, c, info.rest[0]) {
        return;
    }
    if signal == sig::TRAP && preempt::leaving(c) {
        return;
    }
    if is_ours(ip) {
        if t.guard.rsp != 0 {
            c.regs.rip = arch::guard_failed();
            c.regs.rsp = t.guard.rsp;
            return;
        }
        // SAFETY: si_addr follows the three ints and padding.
        let address = info.rest[0];
        crate::fail_fmt(format_args!(
            "runtime fault: signal {signal} at {ip:#x}, address {address:#x}"
        ));
    }
    // Other faults leave cr2 as the last page fault has set it.
    let accessed = (c.trapno == PAGE_FAULT).then_some(c.cr2);
    let handled = match signal {
        sig::SEGV => {
            accessed.is_some_and(|at| generated::fetched(t, c, at))
                || preempt::astray(t, c)
                || shm::fault(t, c, accessed, c.err & WRITE != 0)
                || insn::emulate(t, c)
        }
        sig::TRAP => {
            let searched = preempt::searching() || t.steps > 0;
            let stepped = shm::stepped(t, c);
            searched && preempt::trap(t, c) || stepped
        }
        _ => false,
    };
    if handled {
        return;
    }
    if shm::stepping() {
        shm::close(t, c);
    }
    shm::abandon(t);
    shm::original(t, c);
    preempt::faulted(t, c);
    t.regs = c.regs;
    catch(t, signal, info, c, 1);
    send_to(c, arch::interrupted_entry as *const () as u64, t.stack_top);
}

/// Recording: the thread gets a bus error for an access at `addr` (sigaction(2), BUS_ADRERR).
pub fn raise_bus(t: &mut Thread, addr: u64) {
    const BUS_ADRERR: u64 = 2;
    let mut info = [0; 16];
    info[0] = sig::BUS.into();
    info[1] = BUS_ADRERR;
    info[2] = addr;
    t.pending = PendingSignal::sent(sig::BUS, info);
    t.caught = 1;
}

/// What the kernel does of itself (signal(7)).
fn act_by_default(signal: u32) {
    const IGNORED: u64 = bit(sig::CHLD) | bit(sig::CONT) | bit(sig::URG) | bit(sig::WINCH);
    const STOPPING: u64 = bit(sig::TSTP) | bit(sig::TTIN) | bit(sig::TTOU);
    if bit(signal) & STOPPING != 0 {
        send_to_self(signal);
    } else if bit(signal) & IGNORED == 0 {
        die_of(signal);
    }
}

/// A fault ends the process.
fn end_by(t: &mut Thread, signal: u32) -> ! {
    match (log::recording(), t.life == Life::Vfork) {
        // The log stays open: how the process ended the supervisor learns from the kernel.
        (true, _) => {}
        (false, false) => replay::dies(t, signal),
        (false, true) => thread::leave_context(t),
    }
    die_of(signal)
}

/// Dies of `signal`, as the program would have.
fn die_of(signal: u32) -> ! {
    let default = Action {
        flags: SA_RESTORER,
        restorer: arch::restorer as *const () as u64,
        ..Action::DEFAULT
    };
    call(
        nr::RT_SIGACTION,
        &[u64::from(signal), &raw const default as u64, 0, 8],
    );
    send_to_self(signal);
    sys::exit_group(128 + signal as i32)
}

fn send_to_self(signal: u32) {
    let unblock = bit(signal);
    call(nr::RT_SIGPROCMASK, &[1, &raw const unblock as u64, 0, 8]);
    let pid = call(nr::GETPID, &[]) as u64;
    let tid = call(nr::GETTID, &[]) as u64;
    call(nr::TGKILL, &[pid, tid, u64::from(signal)]);
}

// ---------------------------------------------------------------- delivery

/// The pending signals that the kernel does not know of.
pub fn held(t: &Thread) -> u64 {
    let held = HELD.iter().zip(&t.held).filter(|(_, info)| info.is_some());
    held.map(|(&signal, _)| bit(signal)).sum()
}

/// Recording: delivers the caught signal; false if there is none.
pub fn deliver_pending(t: &mut Thread) -> bool {
    let mask = t.mask;
    let waiting = HELD.iter().zip(&mut t.held);
    let mut due = waiting.filter(|(signal, info)| info.is_some() && mask & bit(**signal) == 0);
    if t.caught == 0
        && let Some((&number, info)) = due.next()
    {
        t.pending = PendingSignal::sent(number, info.take().unwrap_or_default());
        t.caught = 1;
    }
    if t.caught == 0 {
        if let Some(mask) = t.restore_mask.take() {
            t.mask = mask;
            apply_mask(t);
        }
        return false;
    }
    t.caught = 0;
    log::slot().signal_waits.store(0, Ordering::Relaxed);
    let pending = t.pending;
    let action = process().own.actions[pending.number as usize - 1];
    if action.caught() {
        write_signal(t, &pending, false);
        frame(t, &pending);
    } else {
        // Reset since it was caught: by another thread, or by SA_RESETHAND of an earlier one.
        if action.handler == SIG_DFL {
            act_by_default(pending.number);
        }
        t.mask = t.restore_mask.take().unwrap_or(t.mask);
    }
    apply_mask(t);
    action.caught()
}

/// Replay: whether the signal record that comes next was made where the thread is now.
fn here(t: &Thread) -> bool {
    log::peek_word(0) == t.regs.rip && log::peek_word(1) == t.regs.rsp
}

/// Replay: whether a signal is delivered at the thread's present place.
fn is_due(t: &Thread) -> bool {
    log::peek().is_some_and(|h| h.kind == Kind::Signal as u8) && here(t)
}

/// Replay: delivers the signal that comes next in the log, if this is its place.
pub fn replay_delivery(t: &mut Thread) -> bool {
    if !is_due(t) {
        return false;
    }
    stop::before(t, &t.regs);
    let pending = read_signal(t);
    frame(t, &pending);
    true
}

fn read_signal(t: &mut Thread) -> PendingSignal {
    let head = replay::expect_kind(t, Kind::Signal);
    let recorded = log::read::<Signal>();
    let mut info = [0; 16];
    for w in &mut info {
        *w = log::read::<u64>();
    }
    PendingSignal {
        fault: recorded.fault,
        err: recorded.error,
        ..PendingSignal::sent(u32::from(head.aux), info)
    }
}

/// A fault of the program's own: the same instruction faults in replay.
pub fn deliver_fault(t: &mut Thread) {
    t.caught = 0;
    let mut pending = t.pending;
    let fatal = {
        let a = process().own.actions[pending.number as usize - 1];
        !a.caught() || t.mask & bit(pending.number) != 0
    };
    if fatal && !preempt::searching() {
        thread::outlive_vfork_children(t);
    }
    if !log::recording() {
        if preempt::searching() {
            preempt::missed(t);
        }
        if log::peek().is_none_or(|h| h.kind != Kind::Signal as u8) || !here(t) {
            replay::diverge_at(
                t,
                Kind::Signal,
                format_args!(
                    "signal {} at {:#x} (address {:#x})",
                    pending.number, t.regs.rip, pending.info[2]
                ),
            );
        }
        stop::before(t, &t.regs);
        let recorded = read_signal(t);
        if recorded.number != pending.number {
            replay::diverge_at(
                t,
                Kind::Signal,
                format_args!("signal {} here", pending.number),
            );
        }
        (pending.info, pending.err) = (recorded.info, recorded.err);
    } else {
        write_signal(t, &pending, fatal);
    }
    if fatal {
        end_by(t, pending.number);
    }
    frame(t, &pending);
    if log::recording() {
        apply_mask(t);
    } else {
        // In replay only faults arrive, and they must.
        let none = 0_u64;
        call(nr::RT_SIGPROCMASK, &[2, &raw const none as u64, 0, 8]);
        replay::settle(t);
    }
}

fn write_signal(t: &Thread, p: &PendingSignal, fatal: bool) {
    let body = Signal {
        ip: t.regs.rip,
        sp: t.regs.rsp,
        fault: p.fault,
        fatal: u32::from(fatal),
        error: p.err,
    };
    log::write(
        Kind::Signal,
        p.number as u16,
        0,
        log::tick(),
        &[log::bytes_of(&body), log::bytes_of(&p.info)],
    );
}

/// Builds the handler's frame and sends the thread there.
fn frame(t: &mut Thread, p: &PendingSignal) {
    let number = p.number;
    let action = process().own.actions[number as usize - 1];
    let on_alt = on_altstack(t, t.regs.rsp);
    let mut sp = t.regs.rsp - 128;
    if action.flags & SA_ONSTACK != 0
        && !on_alt
        && t.altstack.size > 0
        && t.altstack.flags & SS_DISABLE == 0
    {
        sp = t.altstack.sp + t.altstack.size;
    }
    let mask = xstate_mask();
    let len = xstate_len(mask);
    let fpstate = (sp - len - 4) & !63;
    let at = ((fpstate - size_of::<Frame>() as u64 + 8) & !15) - 8;
    let saved = t.restore_mask.take().unwrap_or(t.mask);
    let shown = if t.altstack.size == 0 {
        SS_DISABLE
    } else {
        t.altstack.flags | if on_alt { SS_ONSTACK } else { 0 }
    };
    let f = Frame {
        restorer: action.restorer,
        context: Context {
            flags: 7,
            link: 0,
            stack: AltStack {
                flags: shown,
                ..t.altstack
            },
            regs: t.regs,
            segments: 0x2b << 48 | 0x33,
            err: p.err,
            trapno: p.trapno,
            oldmask: saved,
            cr2: p.cr2,
            fpstate,
            reserved: [0; 8],
            mask: saved,
        },
        info: p.info,
    };
    let ok = arch::guarded(t, || {
        // SAFETY: guarded; the memory is the program's stack below its red zone.
        unsafe {
            save_extended(fpstate, mask, len);
            (at as *mut Frame).write_unaligned(f);
        }
    });
    if !ok {
        // As the kernel: no room for the frame is a segmentation fault.
        end_by(t, sig::SEGV);
    }
    if t.altstack.flags & SS_AUTODISARM != 0 {
        t.altstack = AltStack {
            sp: 0,
            flags: SS_DISABLE,
            size: 0,
        };
    }
    if action.flags & SA_RESETHAND != 0 {
        set_action(number, Action::DEFAULT);
    }
    t.mask |= action.mask
        | if action.flags & SA_NODEFER == 0 {
            bit(number)
        } else {
            0
        };
    t.mask &= !(bit(sig::KILL) | bit(sig::STOP));
    const RF_DF_TF: u64 = 0x1_0500;
    t.regs = Regs {
        rdi: u64::from(number),
        rsi: at + core::mem::offset_of!(Frame, info) as u64,
        rdx: at + core::mem::offset_of!(Frame, context) as u64,
        rax: 0,
        rsp: at,
        rip: action.handler,
        rflags: t.regs.rflags & !RF_DF_TF,
        ..t.regs
    };
}

/// Writes the extended state in the kernel's frame format and resets it.
///
/// # Safety
/// `len` + 4 bytes at `at` are writable, or the caller is guarded.
unsafe fn save_extended(at: u64, mask: u64, len: u64) {
    const HEADER: u64 = 512;
    const MAGIC1: u32 = 0x4650_5853;
    const MAGIC2: u32 = 0x4650_5845;
    // SAFETY: by the caller.
    unsafe {
        (at as *mut u8).write_bytes(0, len as usize + 4);
        arch::xsave(at, mask);
        // Which components are "in use" is not deterministic; all are written.
        ((at + HEADER) as *mut u64).write(mask);
        let reserved = (at + 464) as *mut u32;
        reserved.write(MAGIC1);
        reserved.add(1).write(len as u32 + 4);
        reserved.add(2).cast::<u64>().write_unaligned(mask);
        reserved.add(4).write(len as u32);
        ((at + len) as *mut u32).write_unaligned(MAGIC2);
        let empty = thread::Xsave([0; thread::XSAVE_LEN]);
        arch::xrstor((&raw const empty) as u64, mask & !3);
        let mut legacy = thread::Xsave([0; thread::XSAVE_LEN]);
        legacy.0[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        arch::xrstor((&raw const legacy) as u64, mask & 3);
    }
}

fn on_altstack(t: &Thread, sp: u64) -> bool {
    t.altstack.flags & SS_AUTODISARM == 0
        && sp > t.altstack.sp
        && sp - t.altstack.sp <= t.altstack.size
}

/// rt_sigreturn(2): goes back to what the frame on the stack says.
pub fn sigreturn(t: &mut Thread) -> dispatch::Outcome {
    let at = t.regs.rsp - 8;
    let mut context = None;
    let mask = xstate_mask();
    let ok = arch::guarded(t, || {
        // SAFETY: guarded; a frame that the program damaged faults or is
        // restored as it stands, as the kernel would.
        unsafe {
            let f = (at as *const Frame).read_unaligned();
            if f.context.fpstate != 0 && f.context.fpstate.is_multiple_of(64) {
                arch::xrstor(f.context.fpstate, mask);
            }
            context = Some(f.context);
        }
    });
    let (true, Some(c)) = (ok, context) else {
        end_by(t, sig::SEGV);
    };
    t.regs = c.regs;
    t.mask = c.mask & !(bit(sig::KILL) | bit(sig::STOP));
    t.altstack = AltStack {
        flags: c.stack.flags & !SS_ONSTACK,
        ..c.stack
    };
    if log::recording() {
        apply_mask(t);
    }
    dispatch::Outcome::Jumped
}

/// sigaltstack(2) on the program's virtual stack; returns 0 or `-errno`.
pub fn altstack(t: &mut Thread, new: Option<AltStack>, old: Option<&mut AltStack>) -> i64 {
    let on = on_altstack(t, t.regs.rsp);
    if let Some(old) = old {
        let flags = if t.altstack.size == 0 {
            SS_DISABLE
        } else {
            t.altstack.flags | if on { SS_ONSTACK } else { 0 }
        };
        *old = AltStack {
            flags,
            ..t.altstack
        };
    }
    let Some(new) = new else { return 0 };
    let flags = new.flags & 0xffff_ffff;
    if on {
        return -sys::errno::EPERM;
    }
    if flags & SS_DISABLE != 0 {
        t.altstack = AltStack {
            sp: 0,
            flags: SS_DISABLE,
            size: 0,
        };
        return 0;
    }
    if flags & !(SS_ONSTACK | SS_AUTODISARM) != 0 {
        return -sys::errno::EINVAL;
    }
    if new.size < 2048 {
        return -sys::errno::ENOMEM;
    }
    t.altstack = AltStack {
        flags: flags & !SS_ONSTACK,
        ..new
    };
    0
}
