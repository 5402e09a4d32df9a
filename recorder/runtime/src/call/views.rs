//! Private mappings of files that the process may change. What it writes to such a file later
//! shows in the mapping, where that was not written itself: mmap(2) leaves it open, Linux does
//! it. Replay maps a copy that stays as it was; so what a call changes there is logged as what
//! it wrote.

use crate::arch::x86_64 as arch;
use crate::log::{self, Pieces};
use crate::sys::{self, call, nr};
use crate::thread::Thread;
use orch_abi::layout::PAGE;

/// More of them are not looked at.
const MOST: usize = 64;

#[derive(Clone, Copy)]
struct View {
    start: u64,
    end: u64,
    /// Device and inode, when recording.
    file: (u64, u64),
    /// Where in the file it begins.
    offset: u64,
}

struct State {
    list: [View; MOST],
    count: usize,
}

static mut STATE: State = State {
    list: [View {
        start: 0,
        end: 0,
        file: (0, 0),
        offset: 0,
    }; MOST],
    count: 0,
};

fn state() -> &'static mut State {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut STATE }
}

fn views() -> &'static [View] {
    let s = state();
    &s.list[..s.count]
}

fn push(view: View) {
    let s = state();
    if s.count < MOST && view.start < view.end {
        s.list[s.count] = view;
        s.count += 1;
    }
}

/// Device and inode of an open file (fstat(2)).
fn file(fd: u64) -> (u64, u64) {
    let mut stat = [0_u64; 18];
    call(nr::FSTAT, &[fd, stat.as_mut_ptr() as u64]);
    (stat[0], stat[1])
}

/// Whether what is mapped privately by this descriptor may be changed through it.
pub fn may_change(fd: u64) -> bool {
    const FCNTL: u64 = 72;
    const F_GETFL: u64 = 3;
    const O_RDWR: i64 = 2;
    call(FCNTL, &[fd, F_GETFL, 0]) & 3 == O_RDWR
}

/// One was mapped; by `fd`, when recording.
pub fn add(start: u64, len: u64, fd: Option<u64>, offset: u64) {
    push(View {
        start,
        end: start + len.div_ceil(PAGE) * PAGE,
        file: fd.map(file).unwrap_or_default(),
        offset,
    });
}

/// A range is unmapped, or mapped anew.
pub fn forget(start: u64, len: u64) {
    let end = start.saturating_add(len.div_ceil(PAGE) * PAGE);
    let mut i = 0;
    while i < state().count {
        let s = state();
        let v = s.list[i];
        if v.end <= start || end <= v.start {
            i += 1;
            continue;
        }
        s.count -= 1;
        s.list[i] = s.list[s.count];
        // What is left of it comes last, and does not overlap.
        let cut = end.max(v.start);
        push(View {
            end: start.max(v.start),
            ..v
        });
        push(View {
            start: cut,
            offset: v.offset + (cut - v.start),
            ..v
        });
    }
}

/// Whether any part of a range is in one.
pub fn touch(start: u64, len: u64) -> bool {
    views()
        .iter()
        .any(|v| v.start < start.saturating_add(len) && start < v.end)
}

/// Recording: what a call has changed in them.
pub fn collect(t: &mut Thread, number: u64, args: &[u64; 6], result: i64, out: &mut Pieces) {
    if views().is_empty() || result < 0 {
        return;
    }
    if number == nr::MADVISE {
        // They show the file again, perhaps.
        for v in views() {
            let (start, end) = (v.start.max(args[0]), v.end.min(args[0] + args[1]));
            show(t, start, end, out);
        }
        return;
    }
    let Some((fd, from, to)) = changed(number, args, result as u64) else {
        return;
    };
    let file = file(fd);
    for v in views().iter().filter(|v| v.file == file) {
        let at = |offset: u64| v.start + offset.saturating_sub(v.offset);
        show(t, at(from), at(to).min(v.end), out);
    }
}

/// The descriptor by which a call has changed a file, and which part of the file.
fn changed(number: u64, args: &[u64; 6], done: u64) -> Option<(u64, u64, u64)> {
    const LSEEK: u64 = 8;
    const SEEK_CUR: u64 = 1;
    /// More than any file has, less than addresses overflow by.
    const END: u64 = 1 << 62;
    let fd = args[0];
    match number {
        nr::WRITE | nr::WRITEV if done > 0 => {
            let end = call(LSEEK, &[fd, 0, SEEK_CUR]) as u64;
            Some((fd, end.saturating_sub(done), end))
        }
        nr::PWRITE64 | nr::PWRITEV if done > 0 => Some((fd, args[3], args[3] + done)),
        nr::PWRITEV2 | nr::SENDFILE if done > 0 => Some((fd, 0, END)),
        nr::FTRUNCATE | nr::FALLOCATE => Some((fd, 0, END)),
        nr::COPY_FILE_RANGE | nr::SPLICE if done > 0 => Some((args[2], 0, END)),
        _ => None,
    }
}

/// Adds the pages of a range that can be read.
fn show(t: &mut Thread, start: u64, end: u64, out: &mut Pieces) {
    let mut at = start;
    while at < end {
        let next = ((at & !(PAGE - 1)) + PAGE).min(end);
        // SAFETY: guarded. There is nothing beyond the end of a file.
        let there = arch::guarded(t, || unsafe {
            (at as *const u8).read_volatile();
        });
        if there {
            out.incoming(at, next - at);
        }
        at = next;
    }
}

/// Replay: puts in what the log has next for `len` bytes at `addr`, also where the program
/// may only read. False if there is nothing.
pub fn put(addr: u64, len: u64) -> bool {
    const O_RDWR_CLOEXEC: u64 = 0o2_000_002;
    let mem = sys::open_own(c"/proc/thread-self/mem", O_RDWR_CLOEXEC);
    let mut page = [0_u8; PAGE as usize];
    let mut done = 0;
    let mut ok = mem >= 0;
    while done < len {
        let n = (len - done).min(PAGE);
        let from = page.as_mut_ptr() as u64;
        log::read_into(from, n);
        ok = ok && call(nr::PWRITE64, &[mem as u64, from, n, addr + done]) == n as i64;
        done += n;
    }
    if mem >= 0 {
        call(nr::CLOSE, &[mem as u64]);
    }
    ok
}
