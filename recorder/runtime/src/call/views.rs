//! Private mappings of files that the process may change. What it writes to such a file later
//! shows in the mapping, where that was not written itself: mmap(2) leaves it open, Linux does
//! it. Replay maps a copy that stays as it was; so what a call changes there is logged as what
//! it wrote.

use crate::arch::x86_64 as arch;
use crate::log::{self, Pieces};
use crate::ranges::{Range, Ranges, end};
use crate::sys::{self, call, nr};
use crate::thread::Thread;
use orch_abi::layout::PAGE;

/// What one shows.
#[derive(Clone, Copy, PartialEq, Eq)]
struct View {
    /// Device and inode, when recording.
    file: (u64, u64),
    /// What to add to an address for the offset in the file (wrapping).
    offset: u64,
}

/// More of them are not looked at.
static mut VIEWS: Ranges<View, 64> = Ranges::new(View {
    file: (0, 0),
    offset: 0,
});

fn views() -> &'static mut Ranges<View, 64> {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut VIEWS }
}

/// Device and inode of an open file (fstat(2)).
fn file(fd: u64) -> (u64, u64) {
    let mut stat = [0_u64; 18];
    call(nr::FSTAT, &[fd, stat.as_mut_ptr() as u64]);
    (stat[0], stat[1])
}

/// One was mapped; by `fd`, when recording.
pub fn add(start: u64, len: u64, fd: Option<u64>, offset: u64) {
    let what = View {
        file: fd.map(file).unwrap_or_default(),
        offset: offset.wrapping_sub(start),
    };
    let end = end(start, len);
    views().add(Range { start, end, what });
}

/// A range is unmapped, or mapped anew.
pub fn forget(start: u64, len: u64) {
    views().cut(start, end(start, len), |_| (), |_| ());
}

/// Whether any part of a range is in one.
pub fn touch(start: u64, len: u64) -> bool {
    let end = start.saturating_add(len);
    views().list().iter().any(|v| v.touches(start, end))
}

/// Recording: what a call has changed in them.
pub fn collect(t: &mut Thread, number: u64, args: &[u64; 6], result: i64, out: &mut Pieces) {
    let views = views().list();
    if views.is_empty() || result < 0 {
        return;
    }
    if number == nr::MADVISE {
        // They show the file again, perhaps.
        for v in views {
            let (start, end) = (v.start.max(args[0]), v.end.min(args[0] + args[1]));
            show(t, start, end, out);
        }
        return;
    }
    let Some((fd, from, to)) = changed(number, args, result as u64) else {
        return;
    };
    let file = file(fd);
    for v in views.iter().filter(|v| v.what.file == file) {
        let first = v.start.wrapping_add(v.what.offset);
        let at = |offset: u64| v.start + offset.saturating_sub(first);
        show(t, at(from), at(to).min(v.end), out);
    }
}

/// The descriptor by which a call has changed a file, and which part of the file.
fn changed(number: u64, args: &[u64; 6], done: u64) -> Option<(u64, u64, u64)> {
    const SEEK_CUR: u64 = 1;
    /// More than any file has, less than addresses overflow by.
    const END: u64 = 1 << 62;
    let fd = args[0];
    match number {
        nr::WRITE | nr::WRITEV if done > 0 => {
            let end = call(nr::LSEEK, &[fd, 0, SEEK_CUR]) as u64;
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
    let mut page = [0_u8; PAGE as usize];
    let mut done = 0;
    let mut ok = true;
    while done < len {
        let part = &mut page[..(len - done).min(PAGE) as usize];
        log::read_into(part.as_mut_ptr() as u64, part.len() as u64);
        ok &= sys::overwrite(addr + done, part);
        done += part.len() as u64;
    }
    ok
}
