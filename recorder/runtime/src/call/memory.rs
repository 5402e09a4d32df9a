//! Calls that change the memory map: performed when recording, performed
//! again at the recorded addresses when replaying.

use super::views;
use crate::dispatch::{Outcome, body, refuse};
use crate::log::{self, Pieces};
use crate::process::process;
use crate::ranges::{Range, Ranges, end};
use crate::shm::What;
use crate::sys::{call, errno, mm, nr};
use crate::thread::Thread;
use crate::{generated, image, memory, patch, replay, shm};
use core::sync::atomic::Ordering;
use orch_abi::layout::{PAGE, is_ours};
use orch_abi::record::{Kind, Map, Syscall};
use orch_abi::shared::request;
use orch_abi::syscalls::Call;

/// Performs or replays one of them.
pub fn perform(t: &mut Thread, c: &Call, args: &[u64; 6]) -> Outcome {
    let number = u64::from(c.nr);
    if touches_us(number, args) {
        return refuse(t, Some(c), number, args, errno::EINVAL, true);
    }
    if is_newer(number, args) {
        return refuse(t, Some(c), number, args, errno::EINVAL, false);
    }
    if number == nr::MREMAP && shm::touches(args[0], args[1].max(1)) && !movable(args) {
        return refuse(t, Some(c), number, args, errno::ENOMEM, true);
    }
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    if !log::recording() {
        return again(t, c, &b);
    }
    let (mut shared, mut file, mut view) = (sharing(number, args), None, None);
    if number == nr::MMAP && args[3] & mm::ANONYMOUS == 0 {
        let wants_shared = matches!(args[3] & mm::TYPE, mm::SHARED | mm::SHARED_VALIDATE);
        match capture(args[4], wants_shared, args[2]) {
            Captured::File(number) => {
                shared = None;
                let changes = !wants_shared && can_write(args[4]);
                file = Some(log_map(args, number, if changes { CHANGES } else { 0 }));
                view = changes.then_some(args[4]);
            }
            Captured::Zero => {}
            Captured::Shared => {
                shared = Some(What::File(args[4]));
                log_map(args, 0, ACTIVE);
            }
            Captured::No => return refuse(t, Some(c), number, args, errno::ENODEV, true),
            Captured::NotToExecute => return refuse(t, Some(c), number, args, errno::EPERM, true),
        }
    }
    let (mut len, file) = (args[1], file.unwrap_or_default());
    if number == nr::SHMAT {
        len = segment_len(args[0]);
        log_map(&[0, len, mm::READ | mm::WRITE, mm::SHARED, 0, 0], 0, ACTIVE);
    }
    if makes_regions(number, args, shared.is_some()) && !shm::has_room(added(number, args, len)) {
        return refuse(t, Some(c), number, args, errno::ENOMEM, true);
    }
    make_way(number, args);
    b.result = match number {
        nr::MPROTECT => {
            shm::protect(args[0], args[1], args[2]).unwrap_or_else(|| really(number, args))
        }
        _ => really(number, args),
    };
    after(number, args, len, b.result, shared);
    if view.is_some() && b.result > 0 {
        views::add(b.result as u64, len, view, args[5]);
    }
    code(&file, b.result);
    if number == nr::MADVISE && empties(args[2]) {
        views::collect(t, number, args, b.result, &mut pieces);
    }
    memory::collect_outputs(t, c, args, b.result, &mut pieces);
    log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
    Outcome::Done(b.result)
}

/// In [`orch_abi::record::Head::aux`] of a `Map` record: shared memory that others may have.
const ACTIVE: u16 = 1;
/// The same: a private view of a file that the process may change.
const CHANGES: u16 = 2;

/// What others can have of what is mapped, if not a file's.
fn sharing(number: u64, args: &[u64; 6]) -> Option<What> {
    match number {
        nr::SHMAT => Some(What::Segment(args[0])),
        nr::MMAP if args[3] & mm::TYPE != mm::PRIVATE => Some(What::Anonymous),
        _ => None,
    }
}

/// Whether there is one more view of shared memory after the call, or two.
fn makes_regions(number: u64, args: &[u64; 6], shared: bool) -> bool {
    match number {
        nr::MUNMAP | nr::MPROTECT | nr::PKEY_MPROTECT => shm::splits(args[0], args[1]),
        nr::MREMAP => shm::touches(args[0], args[1]),
        _ => shared,
    }
}

/// How much shared memory it adds.
fn added(number: u64, args: &[u64; 6], len: u64) -> u64 {
    match number {
        nr::MMAP | nr::SHMAT => len,
        nr::MREMAP => args[2],
        _ => 0,
    }
}

/// Whether the mapping can be moved: a part of one view, which leaves no second one behind.
fn movable(args: &[u64; 6]) -> bool {
    args[1] > 0 && args[3] & mm::MREMAP_DONTUNMAP == 0 && shm::within_one(args[0], args[1])
}

fn log_map(args: &[u64; 6], file: u64, aux: u16) -> Map {
    let m = Map {
        addr: args[0],
        len: args[1],
        prot: args[2] as u32,
        flags: args[3] as u32,
        file,
        offset: args[5],
    };
    log::write(Kind::Map, aux, 0, log::tick(), &[log::bytes_of(&m)]);
    m
}

/// A file has been mapped, if `result` is no error: code of it may need changes.
fn code(m: &Map, result: i64) {
    if m.file != 0 && !(-4095..0).contains(&result) {
        let addr = result as u64;
        image::mapped(&Map { addr, ..*m });
    }
}

/// Bytes of a System V segment (shmctl(2), IPC_STAT; struct shmid64_ds).
fn segment_len(id: u64) -> u64 {
    const SHMCTL: u64 = 31;
    const IPC_STAT: u64 = 2;
    let mut ds = [0_u64; 16];
    call(SHMCTL, &[id, IPC_STAT, ds.as_mut_ptr() as u64]);
    ds[48 / 8]
}

fn really(number: u64, args: &[u64; 6]) -> i64 {
    let mut args = *args;
    if number == nr::MADVISE && args[2] == mm::MADV_FREE {
        // When the kernel takes the pages is not deterministic; at once is allowed.
        let result = call(number, &args);
        if result < 0 {
            return result;
        }
        args[2] = mm::MADV_DONTNEED;
    }
    if number == nr::MMAP && generates(&args) || protects(number) {
        args[2] = generated::prot(args[2]);
    }
    call(number, &args)
}

fn protects(number: u64) -> bool {
    matches!(number, nr::MPROTECT | nr::PKEY_MPROTECT)
}

/// Whether a program may make code in what mmap maps.
fn generates(args: &[u64; 6]) -> bool {
    args[3] & mm::ANONYMOUS != 0 && args[3] & mm::TYPE == mm::PRIVATE
}

/// Pages that fault without being protected, or that the kernel may empty at any time: as
/// kernels before 6.13 and 6.11 we have none (madvise(2), MADV_GUARD_INSTALL; mmap(2),
/// MAP_DROPPABLE).
fn is_newer(number: u64, args: &[u64; 6]) -> bool {
    const GUARD_INSTALL: u64 = 102;
    const GUARD_REMOVE: u64 = 103;
    const DROPPABLE: u64 = 8;
    match number {
        nr::MADVISE => matches!(args[2] & 0xffff_ffff, GUARD_INSTALL | GUARD_REMOVE),
        nr::MMAP => args[3] & mm::TYPE == DROPPABLE,
        _ => false,
    }
}

fn touches_us(number: u64, args: &[u64; 6]) -> bool {
    let (start, len) = (args[0], args[1]);
    match number {
        nr::MMAP if args[3] & (mm::FIXED | mm::FIXED_NOREPLACE) == 0 => false,
        nr::MMAP | nr::MUNMAP | nr::MPROTECT | nr::PKEY_MPROTECT | nr::MADVISE | nr::MSEAL => {
            len > 0 && (is_ours(start) || is_ours(start.saturating_add(len - 1)))
        }
        nr::MREMAP => is_ours(start) || (args[3] & mm::MREMAP_FIXED != 0 && is_ours(args[4])),
        _ => false,
    }
}

/// Keeps the runtime's own view of the map in step. `len` is what was mapped.
fn after(number: u64, args: &[u64; 6], len: u64, result: i64, shared: Option<What>) {
    if result < 0 && result > -4096 {
        return;
    }
    let at = result as u64;
    match number {
        nr::MMAP | nr::SHMAT => {
            forget(at, len);
            shm::remove(at, len);
            let prot = match number {
                nr::SHMAT if args[2] & SHM_RDONLY != 0 => mm::READ,
                nr::SHMAT => mm::READ | mm::WRITE,
                _ => args[2],
            };
            let offset = if number == nr::MMAP { args[5] } else { 0 };
            match shared {
                Some(What::Anonymous) if len > 0 => shm::add(at, len, prot, What::Anonymous, 0),
                Some(what) if len > 0 => shm::add(at, len, prot, what, offset),
                _ => {}
            }
            let anonymous = args[3] & mm::ANONYMOUS != 0 || prot & mm::WRITE != 0;
            if number == nr::MMAP && generates(args) {
                generated::note(at, len, prot);
            }
            if number == nr::MMAP && prot & mm::EXEC != 0 && anonymous {
                shm::generated(at, len, prot);
            }
        }
        nr::MPROTECT | nr::PKEY_MPROTECT => {
            if !shm::touches(args[0], args[1]) {
                generated::note(args[0], args[1], args[2]);
            }
            shm::generated(args[0], args[1], args[2]);
        }
        nr::MUNMAP => {
            forget(args[0], args[1]);
            shm::remove(args[0], args[1]);
        }
        nr::SHMDT => shm::remove(args[0], shm::len_at(args[0])),
        nr::MADVISE if inheritance(args[2]) => {
            note_inheritance(args[0], args[1], Some(args[2]));
        }
        nr::MREMAP => {
            let inherited = inherited(args[0]);
            forget(args[0], args[1]);
            if inherited.is_some() {
                note_inheritance(at, args[2], inherited);
            }
            if shm::touches(args[0], args[1]) {
                shm::moved(args[0], args[1], at, args[2]);
            }
        }
        nr::BRK => process().brk = at,
        _ => {}
    }
}

const SHM_RDONLY: u64 = 0o10000;

/// What may be written from now on has nothing of the runtime's in it.
fn make_way(number: u64, args: &[u64; 6]) {
    if protects(number) && args[2] & mm::WRITE != 0 {
        shm::restore(args[0], args[1]);
    }
}

/// Code that was there is no more.
fn forget(addr: u64, len: u64) {
    generated::forget(addr, len);
    views::forget(addr, len);
    patch::forget(addr, len);
    shm::forget(addr, len);
    note_inheritance(addr, len, None);
}

enum Captured {
    /// Number of the copy + 1.
    File(u64),
    /// /dev/zero: anonymous memory.
    Zero,
    /// A file that is memory (tmpfs: /dev/shm, memfd), mapped shared.
    Shared,
    /// A device whose memory cannot be recorded.
    No,
    /// Memory that one mapping writes to and the other executes: nothing sees what is
    /// executed. Compilers at run time do without, if it is denied as on a file system
    /// that is mounted noexec (mmap(2), EPERM).
    NotToExecute,
}

/// Finds or makes the session's copy of the file behind `fd`.
fn capture(fd: u64, shared: bool, prot: u64) -> Captured {
    const S_IFMT: u64 = 0o170_000;
    const S_IFREG: u64 = 0o100_000;
    const DEV_ZERO: u64 = 0x105;
    // struct stat: dev, ino, nlink, mode+uid, gid+pad, rdev, size, blksize, blocks, atime, mtime, ctime.
    let mut stat = [0_u64; 18];
    if call(nr::FSTAT, &[fd, stat.as_mut_ptr() as u64]) < 0 {
        return Captured::Zero; // mmap will say EBADF
    }
    if stat[3] & S_IFMT != S_IFREG {
        return if stat[5] == DEV_ZERO {
            Captured::Zero
        } else {
            Captured::No
        };
    }
    let executes = prot & mm::EXEC != 0;
    if shared && executes && on_tmpfs(fd) {
        return Captured::NotToExecute;
    }
    if shared && !executes && is_shared(fd, &stat) {
        return Captured::Shared;
    }
    let key = [
        stat[0],
        stat[1],
        stat[6],
        stat[11].wrapping_mul(1_000_000_000).wrapping_add(stat[12]),
        stat[13].wrapping_mul(1_000_000_000).wrapping_add(stat[14]),
    ];
    let control = log::control();
    let rows = control.file_rows.load(Ordering::Acquire) as usize;
    for row in &control.files[..rows.min(control.files.len())] {
        let have = [&row.dev, &row.ino, &row.size, &row.mtime, &row.ctime];
        if have
            .iter()
            .zip(key)
            .all(|(a, b)| a.load(Ordering::Relaxed) == b)
        {
            return Captured::File(row.file.load(Ordering::Relaxed) + 1);
        }
    }
    match log::ask(request::CAPTURE, &[fd, call(nr::GETTID, &[]) as u64]) {
        0 => Captured::No,
        n => Captured::File(n),
    }
}

/// Whether others may change a file under a mapping of it: it is memory (tmpfs), can
/// be written through this descriptor, or is shared in the session already. What is
/// only read stays as it is: many programs map tables that way, which nobody writes.
fn is_shared(fd: u64, stat: &[u64; 18]) -> bool {
    can_write(fd) || on_tmpfs(fd) || shm::is_known(stat[0], stat[1])
}

/// Whether a file that is mapped can be written by this descriptor too.
fn can_write(fd: u64) -> bool {
    const F_GETFL: u64 = 3;
    const O_RDWR: i64 = 2;
    call(nr::FCNTL, &[fd, F_GETFL, 0]) & 3 == O_RDWR
}

/// Whether a file is on tmpfs (fstatfs(2)).
fn on_tmpfs(fd: u64) -> bool {
    const FSTATFS: u64 = 138;
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    let mut fs = [0_u64; 15];
    call(FSTATFS, &[fd, fs.as_mut_ptr() as u64]) == 0 && fs[0] == TMPFS_MAGIC
}

/// Whether advice has the kernel take pages away.
fn empties(advice: u64) -> bool {
    matches!(advice, mm::MADV_DONTNEED | mm::MADV_FREE)
}

/// Whether advice says what the child of a fork gets.
fn inheritance(advice: u64) -> bool {
    matches!(
        advice,
        mm::MADV_DONTFORK | mm::MADV_DOFORK | mm::MADV_WIPEONFORK | mm::MADV_KEEPONFORK
    )
}

/// Ranges that the child of a fork does not get, or gets empty, and the advice.
static mut KEPT: Ranges<u64, 2048> = Ranges::new(0);

fn kept() -> &'static mut Ranges<u64, 2048> {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut KEPT }
}

/// What was advised of that kind for an address.
fn inherited(addr: u64) -> Option<u64> {
    let found = kept().list().iter().find(|r| r.has(addr));
    found.map(|r| r.what)
}

/// Notes advice of that kind, or that a range is gone.
fn note_inheritance(start: u64, len: u64, advice: Option<u64>) {
    let end = end(start, len);
    kept().cut(start, end, |_| (), |_| ());
    if let Some(what @ (mm::MADV_DONTFORK | mm::MADV_WIPEONFORK)) = advice {
        kept().add(Range { start, end, what });
    }
}

/// In the child of a fork: what it did not get is no shared memory either. In replay
/// it is taken away.
pub fn disinherit() {
    for &Range { start, end, what } in kept().list() {
        if what == mm::MADV_DONTFORK {
            shm::remove(start, end - start);
        }
        if log::recording() {
            continue;
        }
        if what == mm::MADV_DONTFORK {
            call(nr::MUNMAP, &[start, end - start]);
        } else {
            call(nr::MADVISE, &[start, end - start, mm::MADV_DONTNEED]);
        }
    }
}

/// Replay: does to the memory map what the recording did.
fn again(t: &mut Thread, c: &Call, b: &Syscall) -> Outcome {
    let number = u64::from(c.nr);
    let (mut file, mut changes) = (None, false);
    let mut shared = sharing(number, &b.args);
    if let Some(head) = log::peek().filter(|h| h.kind == Kind::Map as u8) {
        log::take();
        let m = log::read::<Map>();
        shared = (head.aux == ACTIVE).then_some(What::File(0));
        changes = head.aux == CHANGES;
        file = Some(m);
    }
    let (_, r) = replay::expect_syscall(t, Kind::Syscall, number, b);
    let a = b.args;
    make_way(number, &a);
    let m = file.unwrap_or(Map {
        len: a[1],
        prot: a[2] as u32,
        flags: a[3] as u32,
        ..Map::default()
    });
    let ok = match number {
        nr::BRK => brk(r as u64),
        _ if (-4095..0).contains(&r) => true,
        nr::MMAP | nr::SHMAT if shared.is_some() => {
            let flags = mm::SHARED | mm::ANONYMOUS | mm::FIXED | mm::NORESERVE;
            let none = u64::MAX;
            call(
                nr::MMAP,
                &[r as u64, m.len, u64::from(m.prot), flags, none, 0],
            ) == r
        }
        nr::MMAP => {
            let prot = if generates(&a) {
                generated::prot(m.prot.into()) as u32
            } else {
                m.prot
            };
            let addr = r as u64;
            replay::map(&Map { addr, prot, ..m }) == r
        }
        // The view, and what is in it, is made anew below.
        nr::MREMAP if shm::touches(a[0], a[1]) => true,
        nr::MREMAP => mremap(&a, r),
        nr::MADVISE => {
            // Advice changes no contents but for these; the rest may fail here. What a child
            // does not get is not for the kernel to know: checkpoints are children, too.
            if empties(a[2]) && !shm::touches(a[0], a[1]) && !views::touch(a[0], a[1]) {
                call(nr::MADVISE, &[a[0], a[1], mm::MADV_DONTNEED]) == 0
            } else {
                true
            }
        }
        nr::MSEAL => true,
        nr::SHMDT => call(nr::MUNMAP, &[a[0], shm::len_at(a[0])]) == 0,
        nr::MPROTECT if shm::protect(a[0], a[1], a[2]).is_some() => true,
        nr::MPROTECT | nr::PKEY_MPROTECT => {
            call(nr::MPROTECT, &[a[0], a[1], generated::prot(a[2])]) == 0
        }
        _ => call(number, &a) == r,
    };
    if !ok {
        let why = format_args!("the memory map cannot be changed the same way");
        replay::diverge(t, Kind::Syscall, number, b, why);
    }
    after(number, &a, m.len, r, shared);
    if changes && r > 0 {
        views::add(r as u64, m.len, None, m.offset);
    }
    code(&m, r);
    Outcome::Done(r)
}

/// The heap is an ordinary mapping in replay.
fn brk(new: u64) -> bool {
    let page = |a: u64| (a + PAGE - 1) & !(PAGE - 1);
    let (old, new) = (page(process().brk), page(new));
    if new > old {
        let flags = mm::PRIVATE | mm::ANONYMOUS | mm::FIXED;
        return call(
            nr::MMAP,
            &[old, new - old, mm::READ | mm::WRITE, flags, u64::MAX, 0],
        ) == old as i64;
    }
    new == old || call(nr::MUNMAP, &[new, old - new]) == 0
}

fn mremap(a: &[u64; 6], result: i64) -> bool {
    let flags = a[3] & mm::MREMAP_DONTUNMAP;
    if result as u64 == a[0] {
        return call(nr::MREMAP, &[a[0], a[1], a[2], 0]) == result;
    }
    let fixed = mm::MREMAP_MAYMOVE | mm::MREMAP_FIXED | flags;
    call(nr::MREMAP, &[a[0], a[1], a[2], fixed, result as u64]) == result
}
