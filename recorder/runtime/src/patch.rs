//! Patched system-call sites: after a second hit, `mov $nr,%eax; syscall`, or
//! `syscall` and a known follower, becomes a jump to a trampoline, so that
//! the site no longer costs a trap. Sites that fit no pattern keep trapping.
//! `cpuid`, of which the start of a program executes dozens, is treated likewise.

use crate::sys::{call, mm, nr};
use crate::{log, preempt, replay, shm, stop, table, thread};
use orch_abi::layout::PAGE;
use orch_abi::record::{Kind, Map};
use orch_abi::shared::option;
use orch_abi::stop::{Layout, PatchedSite};
use orch_abi::window;

/// [`PatchedSite::number`] of a `cpuid`.
pub const CPUID: u32 = u32::MAX - 1;
/// [`PatchedSite::number`] of an `xsave` or `xsavec`.
pub const SAVE: u32 = u32::MAX - 2;

const MAX_SITES: usize = 2048;
const TABLE: usize = 4096;
const NEAR: usize = 256;
const NEAR_MOST: usize = 192;
const MAX_CPUIDS: usize = 64;
const AREA_LEN: u64 = 16 * PAGE;
const MAX_AREAS: usize = 32;

struct Patches {
    /// Open-addressed: hash of `after` -> index + 1; or, with bit 31, a site seen once.
    /// The first go to a page of their own, as most processes have no more, and each
    /// page that is written to must be copied.
    near: [(u64, u32); NEAR],
    table: [(u64, u32); TABLE],
    /// How many keys there are.
    seen: usize,
    sites: [PatchedSite; MAX_SITES],
    count: usize,
    /// Sites of `cpuid`.
    cpuids: [u32; MAX_CPUIDS],
    cpuid_count: usize,
    areas: [(u64, u64); MAX_AREAS],
    area_count: usize,
    entry: u64,
    /// Code that can be written to for now: first address, and the one behind.
    open: (u64, u64),
}

const NONE: PatchedSite = PatchedSite {
    after: 0,
    resume: 0,
    start: 0,
    trampoline: 0,
    number: 0,
    follower: 0,
    live: 0,
    len: 0,
    original: [0; 16],
};
const REJECTED: u32 = 1 << 30;
const SEEN: u32 = 1 << 31;

static mut PATCHES: Patches = Patches {
    near: [(0, 0); NEAR],
    table: [(0, 0); TABLE],
    seen: 0,
    sites: [NONE; MAX_SITES],
    count: 0,
    cpuids: [0; MAX_CPUIDS],
    cpuid_count: 0,
    areas: [(0, 0); MAX_AREAS],
    area_count: 0,
    entry: 0,
    open: (0, 0),
};

fn patches() -> &'static mut Patches {
    // SAFETY: only the baton's holder patches.
    unsafe { &mut *&raw mut PATCHES }
}

/// Remembers where the program lies.
pub fn init(entry: u64) {
    patches().entry = entry;
}

/// Where the program's own file begins to run.
pub fn entry() -> u64 {
    patches().entry
}

/// A site by its index.
pub fn site(index: u32) -> &'static PatchedSite {
    &patches().sites[index as usize]
}

/// The entry of a site, or the one that it would have.
fn probe(after: u64) -> Option<&'static mut (u64, u32)> {
    let p = patches();
    match lookup(&mut p.near, after) {
        Some(entry) if entry.0 == after || p.seen < NEAR_MOST => Some(entry),
        _ => lookup(&mut p.table, after),
    }
}

fn lookup(rows: &mut [(u64, u32)], after: u64) -> Option<&mut (u64, u32)> {
    const FAR: usize = 64;
    table::row(rows, after, FAR).map(|i| &mut rows[i])
}

/// Where the program goes on when its instruction pointer is `ip`: `ip`,
/// unless a patch displaced the instruction there.
pub fn resume_address(ip: u64) -> u64 {
    match probe(ip) {
        Some(&mut (at, n)) if at == ip && n != 0 && n & (SEEN | REJECTED) == 0 => {
            let s = &patches().sites[n as usize - 1];
            if s.live != 0 { s.resume } else { ip }
        }
        _ => within_cpuid_site(ip)
            .or_else(|| shm::resume_address(ip))
            .unwrap_or_else(|| crate::stub::resume_address(ip)),
    }
}

/// Behind `cpuid` several instructions may have been displaced.
fn within_cpuid_site(ip: u64) -> Option<u64> {
    let p = patches();
    p.cpuids[..p.cpuid_count].iter().find_map(|&i| {
        let s = &p.sites[i as usize];
        let inside = s.live != 0 && (s.after..s.after + u64::from(s.follower)).contains(&ip);
        inside.then(|| s.resume + (ip - s.after))
    })
}

/// Whether `ip` lies in a trampoline.
pub fn is_trampoline(ip: u64) -> bool {
    let p = patches();
    p.areas[..p.area_count]
        .iter()
        .any(|&(a, _)| (a..a + AREA_LEN).contains(&ip))
}

/// Memory is unmapped or replaced: patches in it are gone.
pub fn forget(addr: u64, len: u64) {
    let p = patches();
    let end = addr.saturating_add(len);
    for s in &mut p.sites[..p.count] {
        if s.live != 0 && s.start < end && s.start + 8 > addr {
            s.live = 0;
            if let Some(e) = probe(s.after) {
                // The address may come back with other code: look at it anew.
                e.1 = SEEN;
            }
        }
    }
}

/// Followers that may be executed elsewhere: no branch, no rip-relative
/// operand, no memory. Three bytes at least, to make room for the jump.
const FOLLOWERS: [&[u8]; 9] = [
    &[0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff], // cmp $-4096,%rax
    &[0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff], // cmp $-4095,%rax
    &[0x3d, 0x00, 0xf0, 0xff, 0xff],       // cmp $-4096,%eax
    &[0x48, 0x83, 0xf8, 0xff],             // cmp $-1,%rax
    &[0x48, 0x89, 0xc7],                   // mov %rax,%rdi
    &[0x48, 0x89, 0xc2],                   // mov %rax,%rdx
    &[0x48, 0x89, 0xc3],                   // mov %rax,%rbx
    &[0x48, 0x85, 0xc0],                   // test %rax,%rax
    &[0x48, 0x98, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff], // cltq; cmp
];

fn is_allowed() -> bool {
    crate::process::process().options & option::NO_PATCH == 0
}

/// A call trapped at `after`: patches its site at the second hit.
pub fn consider(after: u64, number: u64) {
    if is_allowed()
        && !shm::may_change(after)
        && let Some(entry) = second_hit(after)
    {
        let shape = || shape(after, number);
        entry.1 = patch(after, shape).map_or(REJECTED, |i| i + 1);
    }
}

/// A `cpuid` faulted that ends at `after`: patches it at the second hit, while
/// no other thread can be stopped within its followers.
pub fn consider_cpuid(after: u64) {
    if is_allowed()
        && !shm::may_change(after)
        && crate::process::process().threads == 1
        && let Some(entry) = second_hit(after)
    {
        entry.1 = patch_cpuid(after, Followers::Registers).map_or(REJECTED, |i| i + 1);
    }
}

fn patch_cpuid(after: u64, followers: Followers) -> Option<u32> {
    let p = patches();
    let room = p.cpuids.get_mut(p.cpuid_count)?;
    let site = patch(after, || cpuid_shape(after, followers))?;
    *room = site;
    p.cpuid_count += 1;
    Some(site)
}

/// What a site can be known to be before it is executed.
pub enum Site {
    /// A call, with its number.
    Call(u32),
    /// A `cpuid`.
    Cpuid(Followers),
}

/// Patches a site that ends at `after`, in code that has not run.
pub fn ahead(after: u64, site: Site) {
    let Some(entry) = probe(after).filter(|entry| entry.0 == 0 && is_allowed()) else {
        return;
    };
    let site = match site {
        Site::Call(number) => patch(after, || shape(after, number.into())),
        Site::Cpuid(followers) => patch_cpuid(after, followers),
    };
    if let Some(i) = site {
        *entry = (after, i + 1);
        patches().seen += 1;
    }
}

fn second_hit(after: u64) -> Option<&'static mut (u64, u32)> {
    let entry = probe(after)?;
    if entry.0 == 0 {
        *entry = (after, SEEN);
        patches().seen += 1;
        return None;
    }
    (entry.1 == SEEN).then_some(entry)
}

type Shape = (u64, usize, usize, u32);

fn patch(after: u64, shape: impl FnOnce() -> Option<Shape>) -> Option<u32> {
    let p = patches();
    if p.count == MAX_SITES {
        return None;
    }
    // A follower is moved as the program has it.
    let ((start, len, follower, nr), (tramp, size)) = stop::without_breakpoints(|| {
        let (start, len, follower, nr) = shape()?;
        let trampoline = write_trampoline(p.count as u32, start, len, follower, after)?;
        Some(((start, len, follower, nr), trampoline))
    })?;
    let resume = if follower > 0 {
        tramp + TRAMPOLINE_HEAD
    } else {
        after
    };
    let site = PatchedSite {
        after,
        resume,
        start,
        trampoline: tramp,
        number: nr,
        follower: follower as u32,
        len: size as u32,
        ..NONE
    };
    add(site, len)
}

/// Puts the jump to a site's trampoline into the code, `len` bytes of which it displaces.
fn add(mut site: PatchedSite, len: usize) -> Option<u32> {
    let p = patches();
    // SAFETY: who asks has read these bytes.
    stop::without_breakpoints(|| unsafe {
        (site.start as *const u8).copy_to(site.original.as_mut_ptr(), len.min(16));
    });
    if site.number == CPUID && site.original[..2] == CLTS {
        site.original[..2].copy_from_slice(&CPUID_CODE);
        let replaced = p.sites[..p.count].iter_mut();
        replaced
            .filter(|s| s.start == site.start)
            .for_each(|s| s.live = 0);
    }
    write_jump(site.start, site.trampoline, len)?;
    site.live = 1;
    p.sites[p.count] = site;
    p.count += 1;
    if p.open == (0, 0) {
        stop::code_moved();
    }
    Some(p.count as u32 - 1)
}

/// `cpuid`.
pub const CPUID_CODE: [u8; 2] = [0x0f, 0xa2];
/// `clts`: faults as `cpuid` does where the processor can have it fault.
pub const CLTS: [u8; 2] = [0x0f, 0x06];

/// [`CLTS`] is to come in the place of the `cpuid` at `start`; false if there is none,
/// or no room to keep it in mind.
pub fn replaced(start: u64) -> bool {
    let p = patches();
    if p.count == MAX_SITES {
        return false;
    }
    let mut site = PatchedSite {
        after: start + 2,
        resume: start + 2,
        start,
        number: CPUID,
        live: 1,
        ..NONE
    };
    // Five bytes are shown to a debugger.
    let t = thread::current();
    // SAFETY: guarded.
    let read = crate::arch::x86_64::guarded(t, || unsafe {
        (start as *const u8).copy_to(site.original.as_mut_ptr(), 5);
    });
    if !read || site.original[..2] != CPUID_CODE {
        return false;
    }
    p.sites[p.count] = site;
    p.count += 1;
    true
}

/// Has `code` executed instead of the `len` bytes of one instruction at `start`. The
/// thread must not be in it.
pub fn divert(start: u64, len: usize, code: &[u8]) -> Option<u32> {
    const MOST: usize = 128;
    let size = code.len() + 5;
    let at = allocate(start, size as u64)?;
    let after = start + len as u64;
    let mut all = [0; MOST + 5];
    all[..code.len()].copy_from_slice(code);
    all[code.len()..size].copy_from_slice(&jump_to(at + code.len() as u64, after)?);
    // SAFETY: `allocate` gave out these bytes of a writable area.
    unsafe { (at as *mut u8).copy_from(all.as_ptr(), size) };
    let site = PatchedSite {
        after,
        resume: after,
        start,
        trampoline: at,
        number: SAVE,
        len: size as u32,
        ..NONE
    };
    add(site, len)
}

/// First byte, length, follower's length and number to load, if the code
/// around the site has a form that can be patched.
fn shape(after: u64, number: u64) -> Option<Shape> {
    let mut code = [0_u8; 18];
    let t = thread::current();
    // SAFETY: guarded.
    if !crate::arch::x86_64::guarded(t, || unsafe {
        (after as *const u8).sub(7).copy_to(code.as_mut_ptr(), 18);
    }) {
        return None;
    }
    if code[5..7] != [0x0f, 0x05] {
        return None;
    }
    let mov = u32::from_le_bytes([code[1], code[2], code[3], code[4]]);
    // The five bytes of the mov make room for the jump; the `syscall` stays.
    if code[0] == 0xb8 && u64::from(mov) == number && number < 1024 {
        return Some((after - 7, 5, 0, mov));
    }
    // The signal restorer of glibc and gdb's unwinders know each other by these bytes.
    if number == nr::RT_SIGRETURN {
        return None;
    }
    let f = FOLLOWERS.iter().find(|f| code[7..].starts_with(f))?;
    Some((after - 2, 2 + f.len(), f.len(), u32::MAX))
}

/// What may follow a `cpuid` that is displaced together with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Followers {
    /// What works on registers.
    Registers,
    /// On memory too: of the dynamic linker's own, which neither faults nor is shared.
    Memory,
}

/// As [`shape`], for `cpuid`: what follows must be plain moves and arithmetic,
/// into which no branch nearby leads.
fn cpuid_shape(after: u64, followers: Followers) -> Option<Shape> {
    const CODE: usize = 16;
    const AROUND: usize = 256;
    let mut code = [0_u8; AROUND + CODE + AROUND];
    let base = after - AROUND as u64;
    let t = thread::current();
    // SAFETY: guarded.
    if !crate::arch::x86_64::guarded(t, || unsafe {
        (base as *const u8).copy_to(code.as_mut_ptr(), code.len());
    }) {
        return None;
    }
    preempt::overlay(base, &mut code);
    let mut n = 0;
    while n < 3 {
        let rest = &code[AROUND + n..AROUND + CODE];
        let operand = plain_operand(rest)?;
        if operand != Operand::Register && followers == Followers::Registers {
            return None;
        }
        n += window::decode(rest)?.len;
    }
    let displaced = after..after + n as u64;
    let leads_in = |at: usize| {
        let target = |len: usize, offset: i32| {
            let ip = base + (at + len) as u64;
            displaced.contains(&ip.wrapping_add_signed(offset.into()))
        };
        let near = |k: usize| {
            let bytes = code.get(at + k..at + k + 4);
            bytes.is_some_and(|b| target(k + 4, i32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        };
        match code[at] {
            0x70..=0x7f | 0xe0..=0xe3 | 0xeb => code
                .get(at + 1)
                .is_some_and(|&b| target(2, i32::from(b as i8))),
            0xe8 | 0xe9 => near(1),
            0x0f => near(2),
            _ => false,
        }
    };
    if (0..code.len()).any(leads_in) {
        return None;
    }
    Some((after - 2, 2 + n, n, CPUID))
}

/// What a plain move or arithmetic works on, besides general registers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand {
    Register,
    Memory,
    /// Memory by a 32-bit distance, at this offset in the code, from where it ends.
    Relative(usize),
}

fn plain_operand(code: &[u8]) -> Option<Operand> {
    let at = usize::from(code[0] & 0xf0 == 0x40);
    match code[at] {
        // add … cmp, test, mov, lea; groups 1 and 2 with an immediate.
        0x81 | 0x83 | 0x84 | 0x85 | 0x88..=0x8b | 0x8d | 0xc0 | 0xc1 => {}
        op if op < 0x40 && op & 7 < 4 => {}
        // The same with al or eax; mov of an immediate.
        op if op < 0x40 && op & 7 < 6 => return Some(Operand::Register),
        0xb0..=0xbf => return Some(Operand::Register),
        _ => return None,
    }
    // ModRM (SDM vol. 2, table 2-2, and 2.2.1.6).
    Some(match (code[at + 1] >> 6, code[at + 1] & 7) {
        (3, _) => Operand::Register,
        (0, 5) => Operand::Relative(at + 2),
        _ => Operand::Memory,
    })
}

/// Makes instructions from `from` the same at `to`.
fn relocate(code: &mut [u8], from: u64, to: u64) -> Option<()> {
    let mut n = 0;
    while n < code.len() {
        let insn = &mut code[n..];
        if let Some(Operand::Relative(at)) = plain_operand(insn) {
            let distance: &mut [u8; 4] = insn.get_mut(at..at + 4)?.try_into().ok()?;
            let target = i64::from(i32::from_le_bytes(*distance)) + from.wrapping_sub(to) as i64;
            *distance = i32::try_from(target).ok()?.to_le_bytes();
        }
        n += window::decode(&code[n..])?.len;
    }
    Some(())
}

/// Bytes of the part of a trampoline before the displaced follower.
const TRAMPOLINE_HEAD: u64 = 9 + 9 + 5 + 9;

fn write_trampoline(
    index: u32,
    start: u64,
    len: usize,
    follower: usize,
    after: u64,
) -> Option<(u64, usize)> {
    use crate::thread::Thread;
    use core::mem::offset_of;
    let mut code = [0x90_u8; 80];
    let mut n = 0;
    let size = TRAMPOLINE_HEAD as usize + follower + 5;
    let at = allocate(start, size as u64)?;
    let mut put = |bytes: &[u8]| {
        code[n..n + bytes.len()].copy_from_slice(bytes);
        n += bytes.len();
    };
    let rsp = offset_of!(Thread, regs) + offset_of!(orch_abi::record::Regs, rsp);
    put(&[0x65, 0x48, 0x89, 0x24, 0x25]); // mov %rsp,%gs:...
    put(&(rsp as u32).to_le_bytes());
    put(&[0x65, 0x48, 0x8b, 0x24, 0x25]); // mov %gs:...,%rsp
    put(&(offset_of!(Thread, stack_top) as u32).to_le_bytes());
    put(&[0x68]); // push $index
    put(&index.to_le_bytes());
    put(&[0x65, 0x48, 0xff, 0x24, 0x25]); // rex.w jmp *%gs:...
    put(&(offset_of!(Thread, entry) as u32).to_le_bytes());
    if follower > 0 {
        let mut bytes = [0; 32];
        // SAFETY: `shape` has read these bytes.
        unsafe { (after as *const u8).copy_to(bytes.as_mut_ptr(), follower) };
        preempt::overlay(after, &mut bytes);
        relocate(&mut bytes[..follower], after, at + TRAMPOLINE_HEAD)?;
        put(&bytes[..follower]);
    }
    let back = start + len as u64;
    let jump = jump_to(at + n as u64, if follower > 0 { back } else { after })?;
    code[n..n + 5].copy_from_slice(&jump);
    // SAFETY: `allocate` gave out these bytes of a writable area.
    unsafe { (at as *mut u8).copy_from(code.as_ptr(), size) };
    Some((at, size))
}

fn jump_to(from: u64, to: u64) -> Option<[u8; 5]> {
    let offset = i32::try_from(to.wrapping_sub(from + 5) as i64).ok()?;
    let b = offset.to_le_bytes();
    Some([0xe9, b[0], b[1], b[2], b[3]])
}

fn write_jump(start: u64, tramp: u64, len: usize) -> Option<()> {
    let jump = jump_to(start, tramp)?;
    (!shm::displaces(start, len as u64) && write(start, &jump)).then_some(())
}

/// Writes to code that can only be executed. The page becomes this process's
/// own; its text is shared by nobody then.
pub fn write(start: u64, bytes: &[u8]) -> bool {
    let end = start + bytes.len() as u64;
    // SAFETY: the pages are writable, and no other thread runs program code.
    let copy = || unsafe { (start as *mut u8).copy_from(bytes.as_ptr(), bytes.len()) };
    let open = patches().open;
    preempt::beneath(start, bytes.len() as u64, || {
        if open.0 <= start && end <= open.1 {
            copy();
            return true;
        }
        opened(start, end, copy)
    })
}

/// Does what writes to code from `start` to `end`; false if it cannot be written to.
fn opened(start: u64, end: u64, write: impl FnOnce()) -> bool {
    let first = start & !(PAGE - 1);
    let span = (end - first).next_multiple_of(PAGE);
    if call(
        nr::MPROTECT,
        &[first, span, mm::READ | mm::WRITE | mm::EXEC],
    ) < 0
    {
        return false;
    }
    write();
    // Our own code grows.
    if !is_trampoline(start) {
        call(nr::MPROTECT, &[first, span, mm::READ | mm::EXEC]);
    }
    true
}

/// Many changes of the code from `start` to `end`, which cost two changes of its
/// protection together, not each.
pub fn all_at_once(start: u64, end: u64, change: impl FnOnce()) {
    opened(start, end, || {
        patches().open = (start, end);
        change();
        patches().open = (0, 0);
        stop::code_moved();
    });
}

/// First address of a patched site in a range.
pub fn first_in(start: u64, end: u64) -> Option<u64> {
    let p = patches();
    p.sites[..p.count]
        .iter()
        .filter(|s| s.live != 0 && s.start < end && s.after > start)
        .map(|s| s.start.max(start))
        .min()
}

/// `size` bytes within reach of `near`.
fn allocate(near: u64, size: u64) -> Option<u64> {
    let p = patches();
    let reach = |a: u64| a.abs_diff(near) < (1 << 31) - (1 << 20);
    for (base, used) in &mut p.areas[..p.area_count] {
        if reach(*base) && *used + size <= AREA_LEN {
            *used += size;
            return Some(*base + *used - size);
        }
    }
    if p.area_count == MAX_AREAS {
        return None;
    }
    let base = map_near(thread::current(), near, AREA_LEN)?;
    p.areas[p.area_count] = (base, size);
    p.area_count += 1;
    Some(base)
}

/// Maps `len` bytes of code below `near`: the heap grows above the program. Where it came
/// to lie is logged, so that replay puts it at the same place.
pub fn map_near(t: &mut thread::Thread, near: u64, len: u64) -> Option<u64> {
    let prot = mm::READ | mm::WRITE | mm::EXEC;
    if !log::recording() {
        replay::expect_kind(t, Kind::RuntimeMap);
        let m = log::read::<Map>();
        return (m.addr != 0 && crate::sys::map_anonymous(m.addr, m.len, prot) == m.addr as i64)
            .then_some(m.addr);
    }
    let flags = mm::PRIVATE | mm::ANONYMOUS | mm::FIXED_NOREPLACE;
    let mut m = Map {
        len,
        prot: prot as u32,
        ..Map::default()
    };
    let gap = if near > 32 << 20 { 16 << 20 } else { 1 << 20 };
    let mut at = (near & !0xf_ffff).saturating_sub(gap);
    for _ in 0..1500 {
        if at < 0x10_0000 {
            break;
        }
        if call(nr::MMAP, &[at, len, prot, flags, u64::MAX, 0]) == at as i64 {
            m.addr = at;
            break;
        }
        at = at.saturating_sub(1 << 20);
    }
    // Also when there is none (address 0): replay must find none either.
    log::write(Kind::RuntimeMap, 0, 0, log::tick(), &[log::bytes_of(&m)]);
    (m.addr != 0).then_some(m.addr)
}

/// Where a debugger finds the sites.
pub fn describe(to: &mut Layout) {
    let p = patches();
    to.sites = (&raw const p.sites) as u64;
    to.site_count = (&raw const p.count) as u64;
}
