//! All assembly of the runtime.
//!
//! Register and frame facts: System V ABI for AMD64; kernel
//! arch/x86/entry/entry_64.S (a system call preserves everything but rax,
//! rcx and r11).

use crate::thread::{Guard, Thread};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use orch_abi::access::Access;
use orch_abi::record::Regs;

const fn reg(offset: usize) -> usize {
    offset_of!(Thread, regs) + offset
}

global_asm!(
    // Start of the image: the supervisor sets rip here, with the slot index
    // in rdi and the arena's descriptor in rsi.
    ".section .text.entry,\"ax\"",
    ".global _start",
    "_start:",
    "lea rsp, [rip + {boot_stack} + {boot_stack_len}]",
    "xor ebp, ebp",
    "call {boot}",
    "jmp {resume}",
    boot_stack = sym BOOT_STACK,
    boot_stack_len = const BOOT_STACK_LEN,
    boot = sym crate::boot::boot,
    resume = sym resume,
);

const BOOT_STACK_LEN: usize = 64 << 10;
/// Stack until thread area 0 exists.
static mut BOOT_STACK: [u8; BOOT_STACK_LEN] = [0; BOOT_STACK_LEN];

#[expect(
    improper_ctypes,
    reason = "assembly only passes pointers to `Thread` on"
)]
unsafe extern "C" {
    /// Where a patched site's trampoline jumps to: the program's rsp is
    /// saved, rsp is the runtime stack with the site's index on top.
    pub fn patched_entry();
    /// Where a stub jumps to before a shared access.
    pub fn access_before();
    /// Where a stub jumps to after an access that the runtime has nothing to do with any more.
    pub fn access_done();
    /// Where a thread goes on whose access to shared memory failed; `Thread::regs` are set.
    pub fn access_failed();
    /// Where a stub jumps to after a shared store.
    pub fn access_after();
    /// Where a trapped call continues after the SIGSYS handler has returned.
    pub fn trapped_entry();
    /// Where an interrupted thread continues after the handler has returned.
    pub fn interrupted_entry();
    /// Loads `Thread::regs` and jumps to `Thread::resume_ip`.
    fn resume();
    /// A system call that is given up (returning [`ABANDONED`]) if a signal
    /// was caught before it began.
    pub fn window_syscall(nr: u64, args: *const u64) -> i64;
    /// Jumps back to the program, and to stubs.
    static resume_jump: u8;
    static exit_before: u8;
    static exit_done: u8;
    static exit_after: u8;
    static window_start: u8;
    static window_end: u8;
    static window_abandon: u8;
    /// `clone` whose child starts in [`crate::thread::started`] with `child` as its thread.
    pub fn spawn_syscall(
        flags: u64,
        stack: u64,
        parent_tid: u64,
        child_tid: u64,
        tls: u64,
        child: *mut Thread,
    ) -> i64;
    /// Handler of SIGSYS.
    pub fn enter_sigsys();
    /// Handler of signals that instructions raise.
    pub fn enter_fault();
    /// Handler of the other signals.
    pub fn enter_signal();
    /// Return address of our signal handlers: rt_sigreturn(2).
    pub fn restorer();
    /// Saves the callee-saved registers on the stack, stores rsp behind
    /// `from`, takes `to` as stack and returns there.
    pub fn switch_stack(from: *mut u64, to: u64);
    /// First code of a replayed thread: like [`spawn_syscall`]'s child.
    fn fresh_context();
    /// Calls `f(arg)`; returns 1, or 0 if it touched memory it may not.
    fn guarded_call(f: unsafe extern "C" fn(*mut u8), arg: *mut u8, guard: *mut Guard) -> u64;
    /// Where the fault handler sends a guarded call that faulted.
    static guarded_failed: u8;
}

/// CF, PF, AF, ZF, SF, OF in rflags.
const ARITHMETIC: i32 = 0x8d5;
/// Those that are set while a program runs: IF, and bit 1.
const ALWAYS: i32 = 0x202;

/// What [`window_syscall`] returns when it did not make the call
/// (outside the range of errno values).
pub const ABANDONED: i64 = -5000;

global_asm!(
    ".text",
    ".global patched_entry",
    "patched_entry:",
    "mov gs:[{rax}], rax",
    "mov gs:[{rbx}], rbx",
    "mov gs:[{rcx}], rcx",
    "mov gs:[{rdx}], rdx",
    "mov gs:[{rsi}], rsi",
    "mov gs:[{rdi}], rdi",
    "mov gs:[{rbp}], rbp",
    "mov gs:[{r8}], r8",
    "mov gs:[{r9}], r9",
    "mov gs:[{r10}], r10",
    "mov gs:[{r11}], r11",
    "mov gs:[{r12}], r12",
    "mov gs:[{r13}], r13",
    "mov gs:[{r14}], r14",
    "mov gs:[{r15}], r15",
    "pop rsi",
    "pushfq",
    "pop qword ptr gs:[{rflags}]",
    "cld",
    // The program may not touch the runtime's data; the runtime may.
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "xor ecx, ecx",
    "rdpkru",
    "mov gs:[{program_pkru}], eax",
    "and eax, gs:[{grant}]",
    "xor edx, edx",
    "wrpkru",
    "9:",
    "xor ebp, ebp",
    "mov rdi, gs:[{this}]",
    "call {patched}",
    "jmp {resume}",
    "",
    // Shared accesses (recorder/abi/src/access.rs). Rust keeps the other registers.
    ".global access_before",
    "access_before:",
    // All registers: the thread may go on from elsewhere.
    "mov gs:[{rbx}], rbx",
    "mov gs:[{rbp}], rbp",
    "mov gs:[{r12}], r12",
    "mov gs:[{r13}], r13",
    "mov gs:[{r14}], r14",
    "mov gs:[{r15}], r15",
    "mov gs:[{rax}], rax",
    "mov gs:[{rcx}], rcx",
    "mov gs:[{rdx}], rdx",
    "mov gs:[{rsi}], rsi",
    "mov gs:[{rdi}], rdi",
    "mov gs:[{r8}], r8",
    "mov gs:[{r9}], r9",
    "mov gs:[{r10}], r10",
    "mov gs:[{r11}], r11",
    "mov gs:[{rsp}], rsp",
    "mov rsp, gs:[{stack_top}]",
    "pushfq",
    "pop qword ptr gs:[{rflags}]",
    "cld",
    "mov rdi, gs:[{this}]",
    "call {quick}",
    "test eax, eax",
    "jz 3f",
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "xor ecx, ecx",
    "rdpkru",
    "mov gs:[{program_pkru}], eax",
    "and eax, gs:[{grant}]",
    "xor edx, edx",
    "wrpkru",
    "9:",
    "mov rdi, gs:[{this}]",
    "call {before}",
    "cmp eax, 1",
    "je 5f",
    // Replay: the runtime's rights are kept until `access_after`.
    "mov gs:[{open}], eax",
    "ja 9f",
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "mov eax, gs:[{program_pkru}]",
    "xor ecx, ecx",
    "xor edx, edx",
    "wrpkru",
    "9:",
    "3:",
    "test dword ptr gs:[{rflags}], 0x400",
    "je 4f",
    "std",
    "4:",
    "mov rcx, gs:[{rcx}]",
    "mov rdx, gs:[{rdx}]",
    "mov rsi, gs:[{rsi}]",
    "mov rdi, gs:[{rdi}]",
    "mov r8, gs:[{r8}]",
    "mov r9, gs:[{r9}]",
    "mov r10, gs:[{r10}]",
    "mov r11, gs:[{r11}]",
    "mov rsp, gs:[{rsp}]",
    "mov rax, gs:[{rax}]",
    ".global exit_before",
    "exit_before:",
    "jmp qword ptr gs:[{back}]",
    "",
    "5:",
    "mov rdi, gs:[{this}]",
    "call {at_access}",
    "jmp {resume}",
    "",
    // Where the fault handler sends an access beyond a file's end.
    ".global access_failed",
    "access_failed:",
    "cld",
    "mov dword ptr gs:[{open}], 0",
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "xor ecx, ecx",
    "rdpkru",
    "mov ecx, eax",
    "and ecx, gs:[{grant}]",
    "cmp ecx, eax",
    // Who had the rights has left the program's here.
    "je 9f",
    "mov gs:[{program_pkru}], eax",
    "mov eax, ecx",
    "xor ecx, ecx",
    "xor edx, edx",
    "wrpkru",
    "9:",
    "mov rdi, gs:[{this}]",
    "call {failed}",
    "jmp {resume}",
    "",
    // Where nothing is left to do after an access.
    ".global access_done",
    "access_done:",
    ".global exit_done",
    "exit_done:",
    "jmp qword ptr gs:[{back}]",
    "",
    // The instruction's flags are the program's; in replay, the rights are the runtime's still.
    ".global access_after",
    "access_after:",
    "mov gs:[{rax}], rax",
    "mov gs:[{rcx}], rcx",
    "mov gs:[{rdx}], rdx",
    "mov gs:[{rsi}], rsi",
    "mov gs:[{rdi}], rdi",
    "mov gs:[{r8}], r8",
    "mov gs:[{r9}], r9",
    "mov gs:[{r10}], r10",
    "mov gs:[{r11}], r11",
    "mov gs:[{rsp}], rsp",
    "mov rsp, gs:[{stack_top}]",
    "pushfq",
    "pop qword ptr gs:[{rflags}]",
    "cld",
    "mov rdi, gs:[{this}]",
    "cmp dword ptr gs:[{open}], 0",
    "jne 6f",
    "call {quick_after}",
    "jmp 9f",
    "6:",
    "call {after}",
    "mov dword ptr gs:[{open}], 0",
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "mov eax, gs:[{program_pkru}]",
    "xor ecx, ecx",
    "xor edx, edx",
    "wrpkru",
    "9:",
    "mov rcx, gs:[{rflags}]",
    "test ecx, 0x400",
    "je 4f",
    "std",
    "4:",
    "mov eax, ecx",
    "shr eax, 11",
    "and eax, 1",
    "mov ah, cl",
    "add al, 127",
    "sahf",
    "mov rcx, gs:[{rcx}]",
    "mov rdx, gs:[{rdx}]",
    "mov rsi, gs:[{rsi}]",
    "mov rdi, gs:[{rdi}]",
    "mov r8, gs:[{r8}]",
    "mov r9, gs:[{r9}]",
    "mov r10, gs:[{r10}]",
    "mov r11, gs:[{r11}]",
    "mov rsp, gs:[{rsp}]",
    "mov rax, gs:[{rax}]",
    ".global exit_after",
    "exit_after:",
    "jmp qword ptr gs:[{back}]",
    "",
    ".global trapped_entry",
    "trapped_entry:",
    "cld",
    // The program may not touch the runtime's data; the runtime may.
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "xor ecx, ecx",
    "rdpkru",
    "mov gs:[{program_pkru}], eax",
    "and eax, gs:[{grant}]",
    "xor edx, edx",
    "wrpkru",
    "9:",
    "xor ebp, ebp",
    "mov rdi, gs:[{this}]",
    "call {trapped}",
    "jmp {resume}",
    "",
    ".global interrupted_entry",
    "interrupted_entry:",
    "cld",
    // The program may not touch the runtime's data; the runtime may.
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    // A stub's access faulted, with the runtime's rights.
    "cmp dword ptr gs:[{open}], 0",
    "mov dword ptr gs:[{open}], 0",
    "jne 9f",
    "xor ecx, ecx",
    "rdpkru",
    "mov gs:[{program_pkru}], eax",
    "and eax, gs:[{grant}]",
    "xor edx, edx",
    "wrpkru",
    "9:",
    "xor ebp, ebp",
    "mov rdi, gs:[{this}]",
    "call {interrupted}",
    "",
    ".global resume",
    "resume:",
    "mov rsp, gs:[{stack_top}]",
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "mov eax, gs:[{program_pkru}]",
    "xor ecx, ecx",
    "xor edx, edx",
    "wrpkru",
    "9:",
    // popfq takes as long as all the rest: only for other flags than those of
    // arithmetic (and IF, and the bit that is always set).
    "mov eax, gs:[{rflags}]",
    "test eax, {other_flags}",
    "jnz 8f",
    "mov ecx, eax",
    "shr ecx, 11",
    "and ecx, 1",
    "mov ah, al",
    "mov al, cl",
    // 1 + 127 overflows; then the others, which sahf takes from ah.
    "add al, 127",
    "sahf",
    "7:",
    "mov rax, gs:[{rax}]",
    "mov rbx, gs:[{rbx}]",
    "mov rcx, gs:[{rcx}]",
    "mov rdx, gs:[{rdx}]",
    "mov rsi, gs:[{rsi}]",
    "mov rdi, gs:[{rdi}]",
    "mov rbp, gs:[{rbp}]",
    "mov r8, gs:[{r8}]",
    "mov r9, gs:[{r9}]",
    "mov r10, gs:[{r10}]",
    "mov r11, gs:[{r11}]",
    "mov r12, gs:[{r12}]",
    "mov r13, gs:[{r13}]",
    "mov r14, gs:[{r14}]",
    "mov r15, gs:[{r15}]",
    "mov rsp, gs:[{rsp}]",
    ".global resume_jump",
    "resume_jump:",
    "jmp qword ptr gs:[{resume_ip}]",
    "8:",
    "push qword ptr gs:[{rflags}]",
    "popfq",
    "jmp 7b",
    "",
    // rdi = nr, rsi = args[6]
    ".global window_syscall",
    "window_syscall:",
    "mov rax, rdi",
    "mov r11, rsi",
    "mov rdi, [r11]",
    "mov rsi, [r11 + 8]",
    "mov rdx, [r11 + 16]",
    "mov r10, [r11 + 24]",
    "mov r8, [r11 + 32]",
    "mov r9, [r11 + 40]",
    ".global window_start",
    "window_start:",
    "cmp dword ptr gs:[{caught}], 0",
    "jne window_abandon",
    "syscall",
    ".global window_end",
    "window_end:",
    "ret",
    ".global window_abandon",
    "window_abandon:",
    "mov rax, {abandoned}",
    "ret",
    "",
    // rdi flags, rsi stack, rdx parent_tid, rcx child_tid, r8 tls, r9 child
    ".global spawn_syscall",
    "spawn_syscall:",
    "mov r10, rcx",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "je 2f",
    "ret",
    "2:",
    "xor ebp, ebp",
    "mov rdi, r9",
    "call {started}",
    "jmp resume",
    "",
    ".global fresh_context",
    "fresh_context:",
    "xor ebp, ebp",
    "mov rdi, gs:[{this}]",
    "call {started}",
    "jmp resume",
    "",
    // The kernel enters handlers with the default rights to protection keys.
    ".global enter_sigsys",
    "enter_sigsys:",
    "lea r8, [rip + {on_sigsys}]",
    "jmp 7f",
    ".global enter_fault",
    "enter_fault:",
    "lea r8, [rip + {on_fault}]",
    "jmp 7f",
    ".global enter_signal",
    "enter_signal:",
    "lea r8, [rip + {on_signal}]",
    "jmp 7f",
    "7:",
    "cmp dword ptr gs:[{guarded}], 0",
    "je 9f",
    "mov r9, rdx",
    "xor ecx, ecx",
    "rdpkru",
    "and eax, gs:[{grant}]",
    "xor edx, edx",
    "wrpkru",
    "mov rdx, r9",
    "9:",
    "jmp r8",
    "",
    ".global restorer",
    "restorer:",
    "mov eax, 15",
    "syscall",
    "",
    ".global switch_stack",
    "switch_stack:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rdi], rsp",
    "mov rsp, rsi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    "",
    // rdi f, rsi arg, rdx guard
    ".global guarded_call",
    "guarded_call:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push rdx",
    "mov [rdx], rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "mov eax, 1",
    "guarded_return:",
    "pop rdx",
    "mov qword ptr [rdx], 0",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    // The fault handler has set rsp to the guard's value.
    ".global guarded_failed",
    "guarded_failed:",
    "cld",
    "xor eax, eax",
    "jmp guarded_return",
    quick = sym crate::shm::quick,
    quick_after = sym crate::shm::quick_after,
    before = sym crate::shm::before,
    after = sym crate::shm::after,
    at_access = sym crate::shm::at_access,
    failed = sym crate::shm::failed,
    back = const offset_of!(Thread, access) + offset_of!(Access, back),
    this = const offset_of!(Thread, this),
    stack_top = const offset_of!(Thread, stack_top),
    resume_ip = const offset_of!(Thread, resume_ip),
    caught = const offset_of!(Thread, caught),
    guarded = const offset_of!(Thread, keyed),
    program_pkru = const offset_of!(Thread, program_pkru),
    grant = const offset_of!(Thread, grant),
    open = const offset_of!(Thread, open),
    on_sigsys = sym crate::signal::on_sigsys,
    on_fault = sym crate::signal::on_fault,
    on_signal = sym crate::signal::on_signal,
    rax = const reg(offset_of!(Regs, rax)),
    rbx = const reg(offset_of!(Regs, rbx)),
    rcx = const reg(offset_of!(Regs, rcx)),
    rdx = const reg(offset_of!(Regs, rdx)),
    rsi = const reg(offset_of!(Regs, rsi)),
    rdi = const reg(offset_of!(Regs, rdi)),
    rbp = const reg(offset_of!(Regs, rbp)),
    rsp = const reg(offset_of!(Regs, rsp)),
    r8 = const reg(offset_of!(Regs, r8)),
    r9 = const reg(offset_of!(Regs, r9)),
    r10 = const reg(offset_of!(Regs, r10)),
    r11 = const reg(offset_of!(Regs, r11)),
    r12 = const reg(offset_of!(Regs, r12)),
    r13 = const reg(offset_of!(Regs, r13)),
    r14 = const reg(offset_of!(Regs, r14)),
    r15 = const reg(offset_of!(Regs, r15)),
    rflags = const reg(offset_of!(Regs, rflags)),
    abandoned = const ABANDONED,
    other_flags = const !(ARITHMETIC | ALWAYS),
    patched = sym crate::dispatch::patched,
    trapped = sym crate::dispatch::trapped,
    interrupted = sym crate::dispatch::interrupted,
    started = sym crate::thread::started,
    resume = sym resume,
);

// What the compiler calls for moves of structures. `rep movs` and `rep stos`
// take longer to start than most of these copies to make.
global_asm!(
    ".text",
    ".global memcpy",
    "memcpy:",
    "mov rax, rdi",
    "cmp rdx, 512",
    "ja 4f",
    "mov rcx, rdx",
    "shr rcx, 3",
    "jz 2f",
    "6:",
    "mov r8, [rsi]",
    "mov [rdi], r8",
    "add rsi, 8",
    "add rdi, 8",
    "dec rcx",
    "jnz 6b",
    "2:",
    "and edx, 7",
    "jz 5f",
    "3:",
    "movzx r8d, byte ptr [rsi]",
    "mov [rdi], r8b",
    "inc rsi",
    "inc rdi",
    "dec edx",
    "jnz 3b",
    "ret",
    "4:",
    "mov rcx, rdx",
    "rep movsb",
    "5:",
    "ret",
    "",
    ".global memset",
    "memset:",
    "mov r9, rdi",
    "movzx eax, sil",
    "cmp rdx, 512",
    "ja 4f",
    "mov r8, 0x0101010101010101",
    "imul rax, r8",
    "mov rcx, rdx",
    "shr rcx, 3",
    "jz 2f",
    "6:",
    "mov [rdi], rax",
    "add rdi, 8",
    "dec rcx",
    "jnz 6b",
    "2:",
    "and edx, 7",
    "jz 5f",
    "3:",
    "mov [rdi], al",
    "inc rdi",
    "dec edx",
    "jnz 3b",
    "5:",
    "mov rax, r9",
    "ret",
    "4:",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r9",
    "ret",
);

/// A system call of the runtime's own.
///
/// # Safety
/// The caller vouches for every pointer among the arguments, and that the
/// call does not disturb memory or state that the program or runtime relies on.
#[inline(always)]
pub unsafe fn syscall6(nr: u64, a: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: the caller vouches for the call; the clobbers are the kernel's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr as i64 => result,
            in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Fetches the cache line at `at`, to be written soon. What is not mapped is left alone
/// (AMD64 APM vol. 3, PREFETCHW).
#[inline(always)]
pub fn fetch_for_writing(at: *const u8) {
    // SAFETY: a hint, which never faults.
    unsafe {
        asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags));
    }
}

/// The calling thread's data.
#[inline(always)]
pub fn current() -> *mut Thread {
    let thread: *mut Thread;
    // SAFETY: GS points at the thread's own `Thread`, whose first field is its address.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) thread, const offset_of!(Thread, this),
             options(nostack, readonly, preserves_flags));
    }
    thread
}

/// If `ip` is where [`window_syscall`] has checked for signals but not yet
/// made its call, the place to go on from instead.
pub fn abandon_window(ip: u64) -> Option<u64> {
    let start = &raw const window_start as u64;
    let end = &raw const window_end as u64;
    (start..end)
        .contains(&ip)
        .then_some(&raw const window_abandon as u64)
}

/// Addresses of the jumps by which the runtime goes back to the program or a stub.
pub fn exits() -> [u64; 4] {
    [
        &raw const resume_jump as u64,
        &raw const exit_before as u64,
        &raw const exit_done as u64,
        &raw const exit_after as u64,
    ]
}

/// Tells the tracer.
pub fn breakpoint() {
    // SAFETY: the tracer takes the trap.
    unsafe { asm!("int3", options(nostack)) }
}

/// Vector and x87 registers as `xsave` stores them (SDM vol. 1, 13.4).
#[repr(C, align(64))]
struct Vectors([u8; 16 << 10]);

static mut VECTORS: Vectors = Vectors([0; 16 << 10]);

/// Traps for a tracer that saves the process, or puts a saved one in its place; returns
/// what it leaves in rax, 0 otherwise. Vector registers are as they were either way.
pub fn picture() -> u64 {
    // PKRU is the runtime's own, AMX's tiles would need more room (SDM vol. 1, 13.1).
    const LEFT_OUT: u64 = 1 << 9 | 3 << 17;
    let result;
    // SAFETY: the area has room for all other components, and is used by the only
    // kernel thread of a replay.
    unsafe {
        asm!(
            "xor ecx, ecx",
            "xgetbv",
            "and eax, esi",
            "mov esi, eax",
            "xor edx, edx",
            "xsave64 [rdi]",
            "xor eax, eax",
            "int3",
            "mov r8, rax",
            "test rax, rax",
            "jz 2f",
            "mov eax, esi",
            "xor edx, edx",
            "xrstor64 [rdi]",
            "2:",
            in("rdi") &raw mut VECTORS,
            inout("rsi") !LEFT_OUT & 0xffff_ffff => _,
            out("rax") _, out("rcx") _, out("rdx") _,
            out("r8") result,
            options(nostack),
        );
    }
    result
}

/// Address for a faulting guarded call to go on from.
pub fn guard_failed() -> u64 {
    &raw const guarded_failed as u64
}

/// Runs `f`; false if it touched memory it may not touch.
///
/// `f` must not own anything that needs dropping: a fault leaves it for good.
#[inline]
pub fn guarded(thread: &mut Thread, mut f: impl FnMut()) -> bool {
    unsafe extern "C" fn call<F: FnMut()>(f: *mut u8) {
        // SAFETY: `f` is the closure that `guarded` passed along.
        unsafe { (*f.cast::<F>())() }
    }
    fn of<F: FnMut()>(_: &F) -> unsafe extern "C" fn(*mut u8) {
        call::<F>
    }
    let function = of(&f);
    let guard = &raw mut thread.guard;
    // SAFETY: `f` outlives the call; the guard is this thread's own.
    unsafe { guarded_call(function, (&raw mut f).cast(), guard) == 1 }
}

/// Prepares the stack of a replayed thread that [`switch_stack`] will enter.
///
/// # Safety
/// `top` is the end of a writable stack that nothing else uses.
pub unsafe fn prepare_stack(top: u64) -> u64 {
    let sp = top - 64;
    // SAFETY: the 64 bytes below `top` belong to the caller's stack.
    unsafe {
        let words = sp as *mut u64;
        for i in 0..6 {
            words.add(i).write(0);
        }
        words.add(6).write(fresh_context as *const () as u64);
    }
    sp
}

/// `xsave64` of the components in `mask` to `area` (64-byte aligned, zeroed).
///
/// # Safety
/// `area` is writable and large enough for the standard format of `mask`.
pub unsafe fn xsave(area: u64, mask: u64) {
    // SAFETY: by the caller.
    unsafe {
        asm!("xsave64 [{}]", in(reg) area, in("eax") mask as u32, in("edx") (mask >> 32) as u32, options(nostack));
    }
}

/// `xrstor64` of the components in `mask` from `area`.
///
/// # Safety
/// `area` holds a valid XSAVE image.
pub unsafe fn xrstor(area: u64, mask: u64) {
    // SAFETY: by the caller.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) area, in("eax") mask as u32, in("edx") (mask >> 32) as u32, options(nostack));
    }
}

/// XCR0: the extended state the kernel has enabled.
pub fn xcr0() -> u64 {
    let (lo, hi): (u32, u32);
    // SAFETY: reads a register; every x86-64 kernel that runs us has OSXSAVE on.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") lo, out("edx") hi, options(nomem, nostack));
    }
    u64::from(hi) << 32 | u64::from(lo)
}

/// Asks for the line at `address`, for oneself alone. Never faults.
#[inline(always)]
pub fn prefetch_to_write(address: u64) {
    // SAFETY: changes nothing but what is in the caches.
    unsafe {
        asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags));
    }
}

/// Rights of the calling thread to protection keys (the CPU must have them).
pub fn rdpkru() -> u32 {
    let value: u32;
    // SAFETY: reads a register.
    unsafe {
        asm!("rdpkru", in("ecx") 0, out("eax") value, out("edx") _, options(nomem, nostack));
    }
    value
}
