//! Calls that change the memory map: performed when recording, performed
//! again at the recorded addresses when replaying.

use crate::dispatch::{Outcome, body, refuse};
use crate::log::{self, Pieces};
use crate::process::process;
use crate::sys::{call, errno, mm, nr};
use crate::thread::Thread;
use crate::{memory, patch, replay};
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
    let mut pieces = Pieces::new();
    let mut b = body(t, c, args, &mut pieces);
    if !log::recording() {
        return again(t, c, &b);
    }
    if number == nr::MMAP && args[3] & mm::ANONYMOUS == 0 {
        match capture(args[4]) {
            Captured::File(file) => {
                let m = Map {
                    addr: args[0],
                    len: args[1],
                    prot: args[2] as u32,
                    flags: args[3] as u32,
                    file,
                    offset: args[5],
                };
                log::write(Kind::Map, 0, 0, log::tick(), &[log::bytes_of(&m)]);
            }
            Captured::Zero => {}
            Captured::No => return refuse(t, Some(c), number, args, errno::ENODEV, true),
        }
    }
    b.result = really(number, args);
    after(number, args, b.result);
    memory::collect_outputs(t, c, args, b.result, &mut pieces);
    log::syscall(Kind::Syscall, c.nr, 0, log::tick(), &b, &pieces);
    Outcome::Done(b.result)
}

fn really(number: u64, args: &[u64; 6]) -> i64 {
    let mut args = *args;
    if number == nr::MADVISE && args[2] == mm::MADV_FREE {
        // When the kernel would take the pages is not deterministic; at once is allowed.
        args[2] = mm::MADV_DONTNEED;
    }
    call(number, &args)
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

/// Keeps the runtime's own view of the map in step.
fn after(number: u64, args: &[u64; 6], result: i64) {
    if result < 0 && result > -4096 {
        return;
    }
    match number {
        nr::MMAP => patch::forget(result as u64, args[1]),
        nr::MUNMAP => patch::forget(args[0], args[1]),
        nr::MREMAP => patch::forget(args[0], args[1]),
        nr::BRK => process().brk = result as u64,
        _ => {}
    }
}

enum Captured {
    /// Number of the copy + 1.
    File(u64),
    /// /dev/zero: anonymous memory.
    Zero,
    /// A device whose memory cannot be recorded.
    No,
}

/// Finds or makes the session's copy of the file behind `fd`.
fn capture(fd: u64) -> Captured {
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

/// Replay: does to the memory map what the recording did.
fn again(t: &mut Thread, c: &Call, b: &Syscall) -> Outcome {
    let mut file = None;
    if log::peek().is_some_and(|h| h.kind == Kind::Map as u8) {
        log::take();
        file = Some(log::read::<Map>());
    }
    let (_, recorded) = replay::expect_syscall(t, Kind::Syscall, u64::from(c.nr), b);
    let r = recorded.result;
    let a = recorded.args;
    let ok = match u64::from(c.nr) {
        nr::BRK => brk(r as u64),
        _ if (-4095..0).contains(&r) => true,
        nr::MMAP => {
            let m = file.unwrap_or(Map {
                len: a[1],
                prot: a[2] as u32,
                flags: a[3] as u32,
                ..Map::default()
            });
            replay::map(&Map {
                addr: r as u64,
                ..m
            }) == r
        }
        nr::MREMAP => mremap(&a, r),
        nr::MADVISE => {
            // Advice changes no contents but for these; the rest may fail here.
            if matches!(a[2], mm::MADV_DONTNEED | mm::MADV_FREE) {
                call(nr::MADVISE, &[a[0], a[1], mm::MADV_DONTNEED]) == 0
            } else {
                true
            }
        }
        nr::SHMAT | nr::SHMDT | nr::MSEAL => true,
        nr::PKEY_MPROTECT => call(nr::MPROTECT, &[a[0], a[1], a[2]]) == 0,
        number => call(number, &a) == r,
    };
    if !ok {
        replay::diverge(
            t,
            Kind::Syscall,
            u64::from(c.nr),
            b,
            format_args!("the memory map cannot be changed the same way"),
        );
    }
    after(u64::from(c.nr), &a, r);
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
