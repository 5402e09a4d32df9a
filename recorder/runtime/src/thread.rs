//! Threads of the program: their data, the baton, creation and end.
//!
//! One thread at a time runs program code (docs/ARCHITECTURE.md, "baton").
//! When recording, each is a kernel thread; when replaying, all are contexts
//! on one kernel thread, switched where the recording switched.

use crate::arch::x86_64 as arch;
use crate::log;
use crate::process::{MAX, Own, process};
use crate::robust::Robust;
use crate::shm;
use crate::signal::{AltStack, PendingSignal};
use crate::stub::Probe;
use crate::sys::{self, call, mm, nr};
use crate::xstate::Kept;
use core::sync::atomic::{AtomicU32, Ordering};
use orch_abi::access::{ACCESS_OFFSET, Access};
use orch_abi::layout::{THREAD_AREA_LEN, THREADS_BASE};
use orch_abi::record::Regs;

/// Where a guarded call's stack was, or 0 (written by the assembly).
#[repr(C)]
pub struct Guard {
    /// Stack pointer to go back to.
    pub rsp: u64,
}

/// Bytes kept for a context's extended state (XSAVE, without AMX tiles).
pub const XSAVE_LEN: usize = 8192;

/// Extended state of a context that does not run.
#[repr(C, align(64))]
pub struct Xsave(pub [u8; XSAVE_LEN]);

/// Life of a thread index.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Free.
    Unused,
    /// A thread of this process.
    Alive,
    /// A child in this memory, until it calls execve or exits.
    Vfork,
}

/// One thread, at the end of its area; GS points here.
#[repr(C)]
pub struct Thread {
    /// Address of this structure.
    pub this: *mut Thread,
    /// What stubs of shared accesses work with.
    pub access: Access,
    /// Shared accesses of the thread when the countdown was last set.
    pub accesses: u64,
    /// What it was set to.
    pub armed: i64,
    /// The access to shared memory that is being made.
    pub pending_access: shm::Pending,
    /// The program's registers while the runtime runs.
    pub regs: Regs,
    /// End of the runtime stack.
    pub stack_top: u64,
    /// Where patched sites go: `arch::patched_entry`.
    pub entry: u64,
    /// Where to go when the runtime is done: `regs.rip`, or the trampoline
    /// that holds the displaced instructions of a patched site.
    pub resume_ip: u64,
    /// 1 while a caught signal waits to be delivered.
    pub caught: u32,
    /// 1 if the supervisor's interrupt arrived since a call began.
    pub kicked: u32,
    /// 1 if the thread was stopped between two instructions by the supervisor.
    pub preempted: u32,
    /// Recording: how many instructions may still be stepped to a better place to stop.
    pub steps: u32,
    /// 1 if a protection key keeps the program off the runtime's data.
    pub keyed: u32,
    /// The program's rights to protection keys while the runtime runs.
    pub program_pkru: u32,
    /// Mask that adds the runtime's own right.
    pub grant: u32,
    /// Not 0 while a stub makes a store with the runtime's rights (replay).
    pub open: u32,
    /// Its scratch memory is mapped.
    pub has_scratch: bool,
    /// So many bytes of memory for what is too long for that are mapped.
    pub bulk: u64,
    /// What somebody sent of `signal::HELD` while the program blocks it.
    pub held: [Option<[u64; 16]>; 4],
    /// Index in the process.
    pub index: u32,
    /// Kernel thread id, as recorded.
    pub tid: u32,
    /// Life of this area.
    pub life: Life,
    /// For guarded access to the program's memory.
    pub guard: Guard,
    /// The caught signal.
    pub pending: PendingSignal,
    /// The program's signal mask.
    pub mask: u64,
    /// Mask to go back to after a call with a temporary one (sigsuspend …).
    pub restore_mask: Option<u64>,
    /// The program's alternate signal stack.
    pub altstack: AltStack,
    /// Word to clear and wake at exit, or 0.
    pub clear_tid: u64,
    /// Robust futexes.
    pub robust: Robust,
    /// Replay: stack of the parked context.
    pub parked_rsp: u64,
    /// Replay: FS base of the parked context.
    pub fs_base: u64,
    /// Of a vfork child: the process whose memory it is in.
    pub vfork_of: u32,
    /// Of a vfork child: while it runs, what the process it is in has; else its own.
    pub own: Own,
    /// That is its own.
    pub is_own: bool,
    /// 1 until the kernel thread is gone: its stack must not be used again before.
    pub kernel_alive: AtomicU32,
    /// What the stubs for `xsavec` work with.
    pub kept: Kept,
    /// Replay: what a search stub works with.
    pub probe: Probe,
    /// Replay: extended state of the parked context.
    pub xsave: Xsave,
}

const ALT_STACK: (u64, u64) = (4 << 10, 64 << 10);
/// Offset in a thread area of its [`Thread`].
pub const STACK_TOP: u64 = 196 << 10;
const _: () = assert!(core::mem::offset_of!(Thread, access) == ACCESS_OFFSET);
const _: () = assert!(STACK_TOP as usize + size_of::<Thread>() <= THREAD_AREA_LEN as usize);

/// Maps and fills in the area of thread `index`, which nothing uses.
pub fn create(index: u32) -> Option<&'static mut Thread> {
    let base = THREADS_BASE + u64::from(index) * THREAD_AREA_LEN;
    let start = base + ALT_STACK.0;
    let p = process();
    let used = p.mapped[index as usize];
    if !used {
        if sys::map_anonymous(start, THREAD_AREA_LEN - ALT_STACK.0, mm::READ | mm::WRITE) < 0 {
            return None;
        }
        p.mapped[index as usize] = true;
    }
    let address = base + STACK_TOP;
    // SAFETY: the area was mapped for this index alone, and an all-zero
    // `Thread` is valid (null pointer, zeros, `Life::Unused`, `None`).
    let t = unsafe {
        let t = address as *mut Thread;
        // New memory is zero already, and most of it is never touched.
        if used {
            t.cast::<u8>().write_bytes(0, size_of::<Thread>());
        }
        &mut *t
    };
    t.this = t;
    t.index = index;
    t.stack_top = address;
    t.entry = arch::patched_entry as *const () as u64;
    crate::shm::init_thread(t);
    t.life = Life::Alive;
    Some(t)
}

/// The thread with this index.
pub fn get(index: u32) -> &'static mut Thread {
    let address = THREADS_BASE + u64::from(index) * THREAD_AREA_LEN + STACK_TOP;
    crate::assert_ours(process().mapped[index as usize], "thread index in use");
    // SAFETY: mapped above; only the baton's holder looks at threads.
    unsafe { &mut *(address as *mut Thread) }
}

/// Calls `f` with each thread area that was ever used.
pub fn each(mut f: impl FnMut(&mut Thread)) {
    let p = process();
    for i in (0..p.mapped.len()).filter(|&i| p.mapped[i]) {
        f(get(i as u32));
    }
}

/// The calling thread.
pub fn current() -> &'static mut Thread {
    // SAFETY: GS was set by `adopt` to this thread's own structure.
    unsafe { &mut *arch::current() }
}

/// Makes `t` the calling kernel thread's data: GS base and alternate stack.
pub fn adopt(t: &mut Thread) {
    const ARCH_SET_GS: u64 = 0x1001;
    call(nr::ARCH_PRCTL, &[ARCH_SET_GS, t.this as u64]);
    let base = t.this as u64 - STACK_TOP;
    let stack: [u64; 3] = [base + ALT_STACK.0, 0, ALT_STACK.1];
    call(nr::SIGALTSTACK, &[stack.as_ptr() as u64, 0]);
}

/// An unused index, lowest first.
pub fn unused_index() -> Option<u32> {
    let p = process();
    let free = |t: &Thread| t.life == Life::Unused && t.kernel_alive.load(Ordering::Acquire) == 0;
    (0..MAX)
        .find(|&i| !p.mapped[i] || free(get(i as u32)))
        .map(|i| i as u32)
}

/// The baton: held by the thread that runs program code.
pub struct Baton {
    word: AtomicU32,
}

/// States of the baton.
mod baton {
    pub const FREE: u32 = 0;
    pub const HELD: u32 = 1;
    /// Held, and waited for.
    pub const WANTED: u32 = 2;
    /// Free for those that wait only.
    pub const HANDED: u32 = 3;
}

impl Baton {
    /// Free.
    pub const fn new() -> Self {
        Self {
            word: AtomicU32::new(baton::FREE),
        }
    }

    /// Held by the only thread.
    pub fn reset(&self) {
        self.word.store(baton::HELD, Ordering::Relaxed);
    }

    /// Calls `waiting` about once a second.
    fn acquire(&self, waiting: impl Fn()) {
        let quick = self.word.compare_exchange(
            baton::FREE,
            baton::HELD,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if quick.is_err() {
            self.wait(waiting);
        }
    }

    fn wait(&self, waiting: impl Fn()) {
        let slot = log::slot();
        slot.baton_waiters.fetch_add(1, Ordering::Relaxed);
        while !self.take() {
            sys::futex_wait(&self.word, baton::WANTED, 1000);
            waiting();
        }
        slot.baton_waiters.fetch_sub(1, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        let was = self.word.swap(baton::WANTED, Ordering::Acquire);
        was == baton::FREE || was == baton::HANDED
    }

    fn release(&self) {
        if self.word.swap(baton::FREE, Ordering::Release) == baton::WANTED {
            sys::futex_wake(&self.word, 1);
        }
    }

    /// Gives it to a thread that waits, and waits for it. One that is woken takes some 50 µs
    /// to come: were the baton free, it would be taken again long before.
    fn pass_on(&self, waiting: impl Fn()) {
        const LONGEST: u64 = 2;
        if self.word.swap(baton::HANDED, Ordering::Release) == baton::WANTED {
            sys::futex_wake(&self.word, 1);
            // Nobody comes if the one that waited was killed.
            sys::futex_wait(&self.word, baton::HANDED, LONGEST);
        }
        self.wait(waiting);
    }
}

/// Lets other threads run (recording). The caller has logged why.
pub fn release_baton() {
    log::slot().running.store(0, Ordering::Relaxed);
    process().baton.release();
}

/// Waits for the turn of `t` and logs that it runs from here (recording).
pub fn acquire_baton(t: &mut Thread) {
    process().baton.acquire(|| end_orphan(t));
    runs(t);
}

/// Gives the turn of `t` to a thread that waits, and waits for the next (recording).
fn pass_on_baton(t: &mut Thread) {
    log::slot().running.store(0, Ordering::Relaxed);
    process().baton.pass_on(|| end_orphan(t));
    runs(t);
}

fn runs(t: &Thread) {
    let p = process();
    if p.running != t.index {
        p.running = t.index;
        log::switch(t.index, t.tid);
    }
    log::slot().running.store(t.tid, Ordering::Relaxed);
}

/// A vfork child goes to where others may run, or comes back: they have their own state.
pub fn change_own(t: &mut Thread) {
    if t.life == Life::Vfork {
        core::mem::swap(&mut process().own, &mut t.own);
        t.is_own = !t.is_own;
    }
}

/// Ends a vfork child whose process is gone: it has no log, and may wait for the baton of
/// a thread that was killed.
pub fn end_orphan(t: &Thread) {
    const WHY: &str = "orch: a child of vfork ran on when its parent, in whose recording it \
        was, had been killed: it was ended\n";
    if t.life == Life::Vfork && call(nr::GETPPID, &[]) != i64::from(t.vfork_of) {
        call(nr::WRITE, &[2, WHY.as_ptr() as u64, WHY.len() as u64]);
        sys::exit_group(128 + 9);
    }
}

/// Before the whole process ends: vfork children, which would go on, call execve or exit
/// first. Not if they wait for just that.
pub fn outlive_vfork_children(t: &mut Thread) {
    const LONGEST: u32 = 2000;
    if t.life == Life::Vfork {
        return;
    }
    if !log::recording() {
        follow_switches(t);
        return;
    }
    for _ in 0..LONGEST {
        let p = process();
        let lives = |i: usize| p.mapped[i] && get(i as u32).life == Life::Vfork;
        if p.threads < 2 || !(0..MAX).any(lives) {
            return;
        }
        release_baton();
        sys::futex_wait(&AtomicU32::new(0), 0, 1);
        acquire_baton(t);
    }
}

/// At a safe point: lets a waiting thread have its turn. A vfork child does so only where it
/// blocks: replay takes another thread's turn elsewhere for its end.
pub fn maybe_yield(t: &mut Thread) {
    let p = process();
    if p.threads < 2 || !log::recording() || t.life == Life::Vfork {
        return;
    }
    p.turns += 1;
    let hurried = p.hurry.swap(0, Ordering::Relaxed) != 0;
    if (hurried || p.turns >= 1000) && log::slot().baton_waiters.load(Ordering::Relaxed) > 0 {
        p.turns = 0;
        pass_on_baton(t);
    }
}

/// Replay: runs the thread that the recording ran next, if it is another.
/// Returns when the recording came back to `t`.
pub fn follow_switches(t: &mut Thread) {
    while let Some(next) = log::take_switch() {
        process().running = next;
        if next != t.index {
            run_context(t, get(next));
        }
    }
}

fn run_context(from: &mut Thread, to: &mut Thread) {
    const ARCH_SET_FS: u64 = 0x1002;
    const ARCH_GET_FS: u64 = 0x1003;
    const ARCH_SET_GS: u64 = 0x1001;
    let mask = crate::signal::xstate_mask();
    // SAFETY: the areas are aligned, large enough for `mask`, and `to`'s was
    // saved here or is that of a new thread, copied from its creator.
    unsafe {
        arch::xsave(from.xsave.0.as_mut_ptr() as u64, mask);
        call(nr::ARCH_PRCTL, &[ARCH_GET_FS, &raw mut from.fs_base as u64]);
        call(nr::ARCH_PRCTL, &[ARCH_SET_FS, to.fs_base]);
        call(nr::ARCH_PRCTL, &[ARCH_SET_GS, to.this as u64]);
        arch::xrstor(to.xsave.0.as_ptr() as u64, mask);
        arch::switch_stack(&raw mut from.parked_rsp, to.parked_rsp);
    }
}

/// Replay: parks the calling context for good; another one goes on.
pub fn leave_context(t: &mut Thread) -> ! {
    t.life = Life::Unused;
    let next = log::take_switch().unwrap_or_else(|| log::ended_early());
    process().running = next;
    run_context(t, get(next));
    crate::fail("a thread that ended was run again");
}

/// Replay: a context that starts where a recorded thread started.
pub fn prepare_context(child: &mut Thread, fs_base: Option<u64>) {
    const ARCH_GET_FS: u64 = 0x1003;
    // SAFETY: the area is aligned and large enough; the stack is the child's own.
    unsafe {
        arch::xsave(
            child.xsave.0.as_mut_ptr() as u64,
            crate::signal::xstate_mask(),
        );
        child.parked_rsp = arch::prepare_stack(child.stack_top);
    }
    match fs_base {
        Some(base) => child.fs_base = base,
        None => {
            call(
                nr::ARCH_PRCTL,
                &[ARCH_GET_FS, &raw mut child.fs_base as u64],
            );
        }
    }
}

/// First code of a new thread (record) or context (replay).
pub extern "C" fn started(t: &mut Thread) {
    if log::recording() {
        adopt(t);
        t.tid = call(nr::GETTID, &[]) as u32;
        if t.life == Life::Vfork {
            // The creator waits in the kernel and has left us the baton.
            let p = process();
            p.running = t.index;
            log::switch(t.index, t.tid);
            log::slot().running.store(t.tid, Ordering::Relaxed);
        } else {
            acquire_baton(t);
        }
        crate::signal::apply_mask(t);
    } else {
        crate::replay::settle(t);
        crate::stop::behind(t);
        crate::shm::rearm(t);
    }
    t.resume_ip = crate::patch::resume_address(t.regs.rip);
}
