//! Looking for a place at the cost of nanoseconds a pass: a jump at the
//! place's address leads to a stub that counts, compares all general registers
//! and a few words of memory with those wanted, and calls the runtime only
//! where all are equal; otherwise it executes the displaced instructions and
//! jumps back.
//!
//! The bytes of the jump at which a displaced instruction began are ones that
//! no program may execute, so a branch to there that nobody foresaw faults and
//! is sent to the moved instruction: the stub's address is chosen for that.

use crate::sys::{call, mm, nr};
use crate::thread::Thread;
use crate::{log, shm, stop};
use core::mem::offset_of;
use orch_abi::access::Access;
use orch_abi::layout::{PAGE, TASK_END, is_ours};
use orch_abi::record::{Point, Regs};
use orch_abi::shared::request;
use orch_abi::stop::{Layout, SearchStub};
use orch_abi::window::{JUMP, MAX_WINDOW, Window, window};

/// Index that the stub passes to `arch::patched_entry`: no site's.
pub const SITE: u32 = u32::MAX;
/// How many words of memory a stub compares.
pub const WORDS: usize = 8;

/// What a stub works with; part of [`Thread`], reached through GS.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Probe {
    rax: u64,
    flags: u64,
    /// How often the place was passed.
    pub passes: u64,
    /// Countdown of shared accesses, registers and words that are wanted.
    countdown: i64,
    want: Regs,
    words: [(u64, u64); WORDS],
    /// The word to replace next.
    next: usize,
}

/// The stub that is in place.
pub struct Stub {
    on: bool,
    /// Its pages.
    pages: (u64, u64),
    /// Address of the jump, and what belongs there.
    ip: u64,
    window: Window,
    original: [u8; MAX_WINDOW],
    jump: [u8; JUMP],
    /// First moved instruction, and offsets from it of them all.
    moved: u64,
    offsets: [u8; 8],
    /// Branches to the middle of the jump.
    astray: u64,
}

static mut STUB: Stub = Stub {
    on: false,
    pages: (0, 0),
    ip: 0,
    window: Window { len: 0, starts: 0 },
    original: [0; MAX_WINDOW],
    jump: [0; JUMP],
    moved: 0,
    offsets: [0; 8],
    astray: 0,
};

fn stub() -> &'static mut Stub {
    // SAFETY: only replay's one thread searches.
    unsafe { &mut *&raw mut STUB }
}

/// Code at `ip`, as far as it can be read.
pub fn code_at(t: &mut Thread, ip: u64) -> ([u8; MAX_WINDOW + 15], usize) {
    let mut code = [0; MAX_WINDOW + 15];
    let mut n = 0;
    crate::arch::x86_64::guarded(t, || {
        while n < code.len() {
            // SAFETY: guarded; a fault ends the walk.
            code[n] = unsafe { ((ip + n as u64) as *const u8).read() };
            n += 1;
        }
    });
    (code, n)
}

/// Where the program goes on when its instruction pointer is `ip`: at the
/// moved instruction, if that one is displaced.
pub fn resume_address(ip: u64) -> u64 {
    let s = stub();
    if s.on && ip > s.ip {
        s.displaced(ip).unwrap_or(ip)
    } else {
        ip
    }
}

impl Stub {
    fn displaced(&self, ip: u64) -> Option<u64> {
        let at = ip
            .checked_sub(self.ip)
            .filter(|&n| n < self.window.len as u64)? as u32;
        if self.window.starts >> at & 1 == 0 {
            return None;
        }
        let index = (self.window.starts & ((1 << at) - 1)).count_ones();
        Some(self.moved + u64::from(self.offsets[index as usize]))
    }
}

/// A fault in the middle of the jump: where to go on from.
pub fn astray(ip: u64) -> Option<u64> {
    let s = stub();
    if !s.on || ip <= s.ip || ip >= s.ip + JUMP as u64 {
        return None;
    }
    s.astray += 1;
    s.displaced(ip)
}

/// Whether the program comes to the middle of the jump so often that a
/// breakpoint costs less.
pub fn unsuitable(t: &Thread) -> bool {
    stub().astray > 1000 + 2 * t.probe.passes
}

/// A moved instruction faulted at `ip`: the address that it has for the program.
pub fn original_address(ip: u64) -> u64 {
    let s = stub();
    if !s.on || !(s.pages.0..s.pages.0 + s.pages.1).contains(&ip) {
        return ip;
    }
    let at = ip.wrapping_sub(s.moved);
    let mut index = 0;
    for offset in 0..s.window.len {
        if s.window.starts >> offset & 1 == 1 {
            if u64::from(s.offsets[index]) == at {
                return s.ip + offset as u64;
            }
            index += 1;
        }
    }
    ip
}

/// Whether memory at `addr` shows the jump instead of the program's code.
pub fn covers(addr: u64) -> bool {
    let s = stub();
    s.on && addr + 8 > s.ip && addr < s.ip + JUMP as u64
}

/// Whether the stub's jump, or what it displaces, lies in the range.
pub fn lies_in(start: u64, len: u64) -> bool {
    let s = stub();
    s.on && start < s.ip + s.window.len as u64 && s.ip < start + len
}

/// Where execution goes on after a pass that is not the one.
pub fn passed() -> u64 {
    stub().moved
}

/// Makes the stub compare one more word of memory.
pub fn watch_word(t: &mut Thread, addr: u64, value: u64) {
    let p = &mut t.probe;
    p.words[p.next] = (addr, value);
    p.next = (p.next + 1) % WORDS;
}

/// Says what stubs shall look for.
pub fn look_for(t: &mut Thread, point: &Point) {
    let always = (&raw const t.this as u64, t.this as u64);
    t.probe = Probe {
        rax: 0,
        flags: 0,
        passes: 0,
        countdown: shm::countdown_at(t, point.accesses),
        want: point.regs,
        words: [always; WORDS],
        next: 0,
    };
}

/// Puts a stub at the place; false where the code there cannot be displaced.
pub fn install(t: &mut Thread) -> bool {
    let ip = t.probe.want.rip;
    let (code, n) = stop::without_breakpoints(|| code_at(t, ip));
    let Some(w) = window(&code[..n]) else {
        return false;
    };
    let s = stub();
    s.ip = ip;
    s.window = w;
    s.original[..w.len].copy_from_slice(&code[..w.len]);
    s.astray = 0;
    let Some(at) = place(ip, w) else { return false };
    if !write(at, s) {
        withdraw();
        return false;
    }
    s.on = true;
    *shown() = SearchStub {
        on: 1,
        len: w.len as u32,
        starts: w.starts,
        reserved: 0,
        pages: [s.pages.0, s.pages.1],
        ip,
        moved: s.moved,
        offsets: s.offsets,
        original: core::array::from_fn(|i| s.original.get(i).copied().unwrap_or(0)),
    };
    show();
    stop::code_moved();
    true
}

static mut SHOWN: SearchStub = SearchStub {
    on: 0,
    len: 0,
    starts: 0,
    reserved: 0,
    pages: [0; 2],
    ip: 0,
    moved: 0,
    offsets: [0; 8],
    original: [0; 24],
};

/// The stub as a debugger sees it.
fn shown() -> &'static mut SearchStub {
    // SAFETY: as for `stub`.
    unsafe { &mut *&raw mut SHOWN }
}

/// Where a debugger finds that.
pub fn describe(to: &mut Layout) {
    to.search = core::ptr::from_ref(shown()) as u64;
}

/// The code that the jump hides, and its address.
pub fn hidden() -> Option<(u64, &'static [u8])> {
    let s = stub();
    s.on.then(|| (s.ip, &s.original[..JUMP]))
}

/// The jump goes into the code.
pub fn show() {
    let s = stub();
    crate::preempt::write_code(s.ip, &s.jump);
}

/// The original code comes back.
pub fn hide() {
    let s = stub();
    crate::preempt::write_code(s.ip, &s.original[..JUMP]);
}

/// The search is over; the code is as it was.
pub fn withdraw() {
    let s = stub();
    s.on = false;
    shown().on = 0;
    stop::code_moved();
    call(nr::MUNMAP, &[s.pages.0, s.pages.1]);
}

/// The countdown, the registers, the words.
const COMPARISONS: usize = 1 + REGISTERS.len() + WORDS;
/// Bytes of a stub, at most.
const ROOM: u64 = 768;

/// Maps room for a stub where the jump to it has an unexecutable byte wherever
/// a displaced instruction began; fills in the jump.
fn place(ip: u64, w: Window) -> Option<u64> {
    // ins, outs, in, out, hlt, cli, sti: a general-protection fault (SDM vol. 2)
    // that leaves rip where it is; SIGSEGV. The first and last bytes of the
    // displacement are tried in this order: near above, near below.
    const PRIVILEGED: [u8; 8] = [0x6c, 0xec, 0xf4, 0x6d, 0xed, 0xfa, 0x6e, 0xee];
    const FAR: [u8; 12] = [
        0x00, 0xff, 0x01, 0xfe, 0x02, 0xfd, 0x08, 0xf0, 0x18, 0xe0, 0x30, 0xd0,
    ];
    // What a stub of a shared access displaces faults there, and must go on doing so.
    let elsewhere = |n: usize| shm::resume_address(ip + n as u64).is_some();
    let held = |n: usize| w.starts >> n & 1 == 1 || elsewhere(n);
    let s = stub();
    for i in 0..96_usize {
        let top = if held(4) {
            PRIVILEGED[i % 8]
        } else {
            FAR[i % 12]
        };
        let third = if held(3) {
            PRIVILEGED[i / 12]
        } else {
            0x11 + 0x1d * (i / 12) as u8
        };
        let second = if held(2) { PRIVILEGED[i / 12] } else { 0x40 };
        let first = if held(1) { PRIVILEGED[i / 12] } else { 0 };
        s.jump = [0xe9, first, second, third, top];
        let offset = i64::from(i32::from_le_bytes([first, second, third, top]));
        let Some(at) = (ip + JUMP as u64).checked_add_signed(offset) else {
            continue;
        };
        let start = at & !(PAGE - 1);
        let len = (at + ROOM - start).div_ceil(PAGE) * PAGE;
        if start < 0x1_0000 || start + len > TASK_END || is_ours(start) || is_ours(start + len) {
            continue;
        }
        let flags = mm::PRIVATE | mm::ANONYMOUS | mm::FIXED_NOREPLACE;
        let got = call(
            nr::MMAP,
            &[start, len, mm::READ | mm::WRITE, flags, u64::MAX, 0],
        );
        if got == start as i64 {
            s.pages = (start, len);
            return Some(at);
        }
        if got > 0 {
            // A kernel before 4.17 took the flag for a hint.
            call(nr::MUNMAP, &[got as u64, len]);
        }
    }
    None
}

/// The stub's code, growing.
struct Code {
    bytes: [u8; ROOM as usize],
    len: usize,
    /// Offsets of the 32-bit displacements of jumps to the miss path.
    misses: [usize; COMPARISONS],
    jumps: usize,
}

impl Code {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// An instruction whose operand is `gs:[field]` (ModRM and SIB included in `op`).
    fn gs(&mut self, op: &[u8], field: usize) {
        self.put(&[0x65]);
        self.put(op);
        self.put(&(field as u32).to_le_bytes());
    }

    fn jne_miss(&mut self) {
        self.put(&[0x0f, 0x85, 0, 0, 0, 0]);
        self.misses[self.jumps] = self.len - 4;
        self.jumps += 1;
    }

    fn compare(&mut self, register: u8, field: usize) {
        let rex = if register < 8 { 0x48 } else { 0x4c };
        self.gs(&[rex, 0x3b, (register & 7) << 3 | 4, 0x25], field);
        self.jne_miss();
    }

    /// Flags and rax as the program had them: cmp changes only what lahf and
    /// seto keep, and no memory of the program's is needed for it.
    fn restore(&mut self) {
        self.gs(&LOAD_RAX, probe(offset_of!(Probe, flags)));
        self.put(&[0x04, 0x7f]); // add $127,%al
        self.put(&[0x9e]); // sahf
        self.gs(&LOAD_RAX, probe(offset_of!(Probe, rax)));
    }
}

const fn probe(offset: usize) -> usize {
    offset_of!(Thread, probe) + offset
}

const fn want(offset: usize) -> usize {
    probe(offset_of!(Probe, want)) + offset
}

const LOAD_RAX: [u8; 4] = [0x48, 0x8b, 0x04, 0x25];
const STORE_RAX: [u8; 4] = [0x48, 0x89, 0x04, 0x25];

/// Registers by their numbers in an instruction, with their places in [`Regs`].
const REGISTERS: [(u8, usize); 16] = [
    (0, offset_of!(Regs, rax)),
    (1, offset_of!(Regs, rcx)),
    (2, offset_of!(Regs, rdx)),
    (3, offset_of!(Regs, rbx)),
    (6, offset_of!(Regs, rsi)),
    (7, offset_of!(Regs, rdi)),
    (8, offset_of!(Regs, r8)),
    (9, offset_of!(Regs, r9)),
    (10, offset_of!(Regs, r10)),
    (11, offset_of!(Regs, r11)),
    (12, offset_of!(Regs, r12)),
    (13, offset_of!(Regs, r13)),
    (14, offset_of!(Regs, r14)),
    (15, offset_of!(Regs, r15)),
    (5, offset_of!(Regs, rbp)),
    (4, offset_of!(Regs, rsp)),
];

fn assemble() -> (Code, usize) {
    let mut c = Code {
        bytes: [0; ROOM as usize],
        len: 0,
        misses: [0; COMPARISONS],
        jumps: 0,
    };
    c.gs(&STORE_RAX, probe(offset_of!(Probe, rax)));
    c.put(&[0x9f]); // lahf
    c.put(&[0x0f, 0x90, 0xc0]); // seto %al
    c.gs(&STORE_RAX, probe(offset_of!(Probe, flags)));
    c.gs(&[0x48, 0xff, 0x04, 0x25], probe(offset_of!(Probe, passes))); // incq
    c.gs(
        &LOAD_RAX,
        offset_of!(Thread, access) + offset_of!(Access, countdown),
    );
    c.compare(0, probe(offset_of!(Probe, countdown)));
    c.gs(&LOAD_RAX, probe(offset_of!(Probe, rax)));
    for (register, field) in REGISTERS {
        c.compare(register, want(field));
    }
    for i in 0..WORDS {
        let word = probe(offset_of!(Probe, words)) + i * size_of::<(u64, u64)>();
        c.gs(&LOAD_RAX, word + offset_of!((u64, u64), 0));
        c.put(&[0x48, 0x8b, 0x00]); // mov (%rax),%rax
        c.compare(0, word + offset_of!((u64, u64), 1));
    }
    c.restore();
    let rsp = offset_of!(Thread, regs) + offset_of!(Regs, rsp);
    c.gs(&[0x48, 0x89, 0x24, 0x25], rsp);
    c.gs(&[0x48, 0x8b, 0x24, 0x25], offset_of!(Thread, stack_top));
    c.put(&[0x68]); // push
    c.put(&SITE.to_le_bytes());
    c.gs(&[0x48, 0xff, 0x24, 0x25], offset_of!(Thread, entry)); // jmp
    let miss = c.len;
    for at in &c.misses[..c.jumps] {
        let offset = (miss - at - 4) as u32;
        c.bytes[*at..*at + 4].copy_from_slice(&offset.to_le_bytes());
    }
    c.restore();
    let len = c.len;
    (c, len)
}

/// Fills the stub at `at`; the supervisor moves the displaced instructions.
fn write(at: u64, s: &mut Stub) -> bool {
    let (code, head) = assemble();
    s.moved = at + head as u64;
    let scratch = log::scratch();
    // SAFETY: the slot's message is this process's until it asks.
    unsafe { scratch.copy_from(s.original.as_ptr(), s.window.len) };
    let len = log::ask(request::RELOCATE, &[s.ip, s.moved, s.window.len as u64, 0]);
    if len == 0 || head as u64 + len > ROOM {
        return false;
    }
    s.offsets = log::slot().args[3]
        .load(core::sync::atomic::Ordering::Relaxed)
        .to_le_bytes();
    // SAFETY: `place` mapped ROOM bytes there, writable; the answer is in the message.
    unsafe {
        (at as *mut u8).copy_from(code.bytes.as_ptr(), head);
        (s.moved as *mut u8).copy_from(scratch, len as usize);
        scratch.write(0);
    }
    // Not writable: memory that a digest covers must not change by a search.
    call(nr::MPROTECT, &[s.pages.0, s.pages.1, mm::READ | mm::EXEC]) == 0
}
