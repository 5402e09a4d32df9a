//! Words of memory at a point: where all registers are the same at each pass
//! of a loop (a counter in memory), these tell the passes apart at a word's
//! price. They come with the `Point`; its hashes remain the judge.

use crate::arch::x86_64 as arch;
use crate::log;
use crate::stub;
use crate::thread::Thread;
use orch_abi::layout::is_ours;
use orch_abi::record::Regs;

const MAX: usize = 1024;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Word {
    addr: u64,
    value: u64,
}

struct Words {
    list: [Word; MAX],
    count: usize,
}

static mut WORDS: Words = Words {
    list: [Word { addr: 0, value: 0 }; MAX],
    count: 0,
};

fn words() -> &'static mut Words {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut WORDS }
}

/// How far around the point operands of the code are looked for.
const CODE: u64 = 64;

/// Recording: the words at the thread's place, as they go into the record.
pub fn collect(t: &mut Thread) -> &'static [u8] {
    words().count = 0;
    let r = t.regs;
    // What is hashed, and so must not differ.
    for p in pointers(&r) {
        range(t, p & !63, HASHED / 8);
    }
    range(t, (r.rsp & !7) - 64, 8 + STACK_HASHED / 8);
    range(t, (r.rbp & !7).wrapping_sub(128), 16);
    operands(t, r.rip);
    follow(t, r.rip);
    let w = words();
    // SAFETY: the list is plain words, `count` of them filled in.
    unsafe { core::slice::from_raw_parts(w.list.as_ptr().cast(), w.count * size_of::<Word>()) }
}

/// Bytes that are hashed from the beginning of the line on that a register points to.
pub const HASHED: u64 = 192;
/// Bytes of the stack that are.
pub const STACK_HASHED: u64 = 1024;

/// General registers but rsp that may point to memory of the program's.
pub fn pointers(r: &Regs) -> impl Iterator<Item = u64> {
    let all = [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx,
        r.rax, r.rcx,
    ];
    let may = |&p: &u64| p > 0x1_0000 && p >> 47 == 0 && !is_ours(p);
    all.into_iter().filter(may)
}

fn range(t: &mut Thread, addr: u64, count: u64) {
    if addr < 0x1_0000 || addr >> 47 != 0 || is_ours(addr) {
        return;
    }
    arch::guarded(t, || {
        for i in 0..count {
            let w = words();
            let at = addr + 8 * i;
            if w.count < MAX {
                // SAFETY: guarded; memory that cannot be read ends the range.
                let value = unsafe { (at as *const u64).read_unaligned() };
                w.list[w.count] = Word { addr: at, value };
                w.count += 1;
            }
        }
    });
}

/// What the words point to, breadth first: an interpreter keeps the state of
/// the program that it runs two or three pointers away from its registers.
fn follow(t: &mut Thread, ip: u64) {
    let mut seen = [0_u64; 64];
    let mut i = 0;
    while i < words().count && words().count < MAX {
        let p = words().list[i].value;
        i += 1;
        let slot = (p >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        let bit = 1 << (slot & 63);
        // Pointers into the code that runs are return addresses.
        if p & 7 == 0 && p.abs_diff(ip) > 1 << 20 && seen[(slot >> 6) as usize] & bit == 0 {
            seen[(slot >> 6) as usize] |= bit;
            range(t, p, 8);
        }
    }
}

/// What looks like rip-relative operands near `ip` (ModRM mod 0, rm 5; an
/// immediate of up to four bytes may follow): global variables of a loop.
/// Guesses that are wrong do no harm.
fn operands(t: &mut Thread, ip: u64) {
    const ANY: u64 = 16 << 20;
    let mut code = [0_u8; 2 * CODE as usize];
    let start = ip.wrapping_sub(CODE);
    // SAFETY: guarded.
    arch::guarded(t, || unsafe {
        code.as_mut_ptr().copy_from(start as *const u8, code.len())
    });
    for (i, w) in code.windows(5).enumerate() {
        let offset = i64::from(i32::from_le_bytes([w[1], w[2], w[3], w[4]]));
        if w[0] & 0xc7 == 5 && offset.unsigned_abs() < ANY {
            let behind = start + i as u64 + 5;
            let at = behind.wrapping_add_signed(offset);
            range(t, at, 1);
            range(t, at + 4, 1);
        }
    }
}

/// Replay: takes the words that follow a point, `len` bytes.
pub fn read(len: u64) {
    let w = words();
    w.count = (len as usize / size_of::<Word>()).min(MAX);
    let taken = (w.count * size_of::<Word>()) as u64;
    log::read_into(w.list.as_mut_ptr() as u64, taken);
    log::skip(len - taken);
}

/// Replay: a word that is not what it was.
pub fn differing(t: &mut Thread) -> Option<(u64, u64)> {
    let mut found = None;
    let w = words();
    arch::guarded(t, || {
        for word in &w.list[..w.count] {
            // SAFETY: guarded; the recording could read these words, and the
            // mappings have not changed since.
            let now = unsafe { (word.addr as *const u64).read_unaligned() };
            if now != word.value && !stub::covers(word.addr) {
                found = Some((word.addr, word.value));
                return;
            }
        }
    });
    found
}
