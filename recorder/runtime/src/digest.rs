//! Digest of a process's memory: what it could write, page by page.
//!
//! All-zero pages do not count, so that where a stack or heap ends, or
//! whether a page was ever touched, makes no difference.

use crate::arch::x86_64 as arch;
use crate::call::views;
use crate::process::process;
use crate::sys::{self, call, nr};
use crate::thread::Thread;
use crate::{log, replay};
use core::sync::atomic::Ordering;
use orch_abi::digest::{Difference, Digest, PARTS, WORDS, page_hash};
use orch_abi::layout::{PAGE, is_ours};
use orch_abi::record::Kind;
use orch_abi::shared::option;

const O_CLOEXEC: u64 = 0o2_000_000;

static mut MAPS: [u8; 16 << 10] = [0; 16 << 10];
static mut PAGEMAP: [u64; 512] = [0; 512];

/// Digest of the memory now; zero pages and digest where /proc is not there.
pub fn of_memory() -> Digest {
    of_memory_up_to(u64::MAX)
}

/// As [`of_memory`], but nothing (zero pages) if there are more than `limit`.
pub fn of_memory_up_to(limit: u64) -> Digest {
    let mut d = Digest::default();
    walk(&mut d, limit);
    if d.pages > limit {
        Digest::default()
    } else {
        d
    }
}

/// With `--digest`: logs one after every [`INTERVAL`]th call.
pub fn now_and_then() {
    const INTERVAL: u64 = 256;
    let wanted = process().options & option::DIGEST != 0;
    if wanted && log::progress().load(Ordering::Relaxed) % INTERVAL == INTERVAL - 1 {
        let d = of_memory();
        log::write(Kind::Digest, 0, 0, log::tick(), &[log::bytes_of(&d)]);
    }
}

/// Replay: the recording has a digest here.
pub fn check(t: &mut Thread) {
    replay::expect_kind(t, Kind::Digest);
    let recorded = log::read::<Digest>();
    // Where there was none to take (no descriptor was left, say) there is none to compare with.
    if recorded.pages == 0 {
        return;
    }
    let here = of_memory();
    if recorded != here {
        report(t, &recorded, &here);
    }
}

fn walk(d: &mut Digest, limit: u64) {
    let maps = sys::open_own(c"/proc/thread-self/maps", O_CLOEXEC);
    let pagemap = sys::open_own(c"/proc/thread-self/pagemap", O_CLOEXEC);
    if maps >= 0 && pagemap >= 0 {
        each_writable(maps as u64, |start, end| {
            add_range(d, limit, pagemap as u64, start, end - start, start);
        });
        crate::shm::each_copy(|copy, len, address| {
            add_range(d, limit, pagemap as u64, copy, len, address);
        });
    }
    for fd in [maps, pagemap] {
        if fd >= 0 {
            call(nr::CLOSE, &[fd as u64]);
        }
    }
}

/// Adds the pages that exist of `len` bytes at `start`, which the program has at `address`.
fn add_range(d: &mut Digest, limit: u64, pagemap: u64, start: u64, len: u64, address: u64) {
    let mut at = 0;
    while at < len {
        let pages = ((len - at) / PAGE).min(512);
        // SAFETY: only the baton's holder is here.
        let entries = unsafe { &mut *&raw mut PAGEMAP };
        let to = entries.as_mut_ptr() as u64;
        let got = call(
            nr::PREAD64,
            &[pagemap, to, pages * 8, (start + at) / PAGE * 8],
        );
        for (i, e) in entries.iter().enumerate().take((got.max(0) / 8) as usize) {
            // Present or swapped, and not a page of a file: which of those happen to be
            // mapped is chance (kernel Documentation/admin-guide/mm/pagemap.rst).
            let page = at + i as u64 * PAGE;
            // What replay puts into a view of a file is no page of a file there.
            let counts = e >> 62 != 0 && e >> 61 & 1 == 0 && !views::touch(address + page, 1);
            if counts && d.pages <= limit {
                add_page(d, start + page, address + page);
            }
        }
        at += pages * PAGE;
    }
}

/// What the page that the program has at `address` adds to a digest's hashes: nothing, for example,
/// as long as it is a file's.
pub fn share_of_page(address: u64) -> u64 {
    let pagemap = sys::open_own(c"/proc/thread-self/pagemap", O_CLOEXEC);
    let mut d = Digest::default();
    if pagemap >= 0 {
        let at = crate::shm::copy(address);
        add_range(&mut d, u64::MAX, pagemap as u64, at, PAGE, address);
        call(nr::CLOSE, &[pagemap as u64]);
    }
    d.sum()
}

/// Hash of the page that the program has at `address`, 0 if it is all zeros; `None` if it has none.
pub fn of_page(t: &mut Thread, address: u64) -> Option<u64> {
    let at = crate::shm::copy(address);
    let mut hash = None;
    // SAFETY: guarded.
    arch::guarded(t, || {
        let page = unsafe { &*(at as *const [u64; WORDS]) };
        hash = Some(page_hash(page, address).unwrap_or(0));
    });
    hash
}

/// Adds the page at `at`, which the program has at `address`.
fn add_page(d: &mut Digest, at: u64, address: u64) {
    // SAFETY: the page is mapped and readable.
    let page = unsafe { &*(at as *const [u64; WORDS]) };
    if let Some(hash) = page_hash(page, address) {
        d.add(address, hash);
    }
}

/// Calls `f` for each writable private mapping of the program.
fn each_writable(fd: u64, mut f: impl FnMut(u64, u64)) {
    // SAFETY: only the baton's holder is here.
    let buf = unsafe { &mut *&raw mut MAPS };
    let mut kept = 0;
    loop {
        let n = call(
            nr::READ,
            &[
                fd,
                buf[kept..].as_mut_ptr() as u64,
                (buf.len() - kept) as u64,
            ],
        );
        if n <= 0 {
            return;
        }
        let have = kept + n as usize;
        let mut line = 0;
        while let Some(len) = buf[line..have].iter().position(|&b| b == b'\n') {
            if let Some((start, end)) = writable(&buf[line..line + len]) {
                f(start, end);
            }
            line += len + 1;
        }
        buf.copy_within(line..have, 0);
        kept = have - line;
    }
}

/// Range of a line of /proc/thread-self/maps, if it is writable, private and the program's.
fn writable(line: &[u8]) -> Option<(u64, u64)> {
    let (start, n) = hex(line)?;
    let (end, m) = hex(&line[n + 1..])?;
    let perms = line.get(n + m + 2..n + m + 6)?;
    (perms[0] == b'r' && perms[1] == b'w' && perms[3] == b'p' && !is_ours(start))
        .then_some((start, end))
}

fn hex(s: &[u8]) -> Option<(u64, usize)> {
    let mut v = 0;
    let mut n = 0;
    while let Some(d) = s.get(n).and_then(|&b| (b as char).to_digit(16)) {
        v = v << 4 | u64::from(d);
        n += 1;
    }
    (n > 0).then_some((v, n))
}

/// Reports that memory differs although every event matched, and where.
pub fn report(t: &Thread, recorded: &Digest, here: &Digest) -> ! {
    let places = Places(recorded.differences(here));
    let (n, m) = (here.pages, recorded.pages);
    replay::diverge_at(
        t,
        Kind::Digest,
        format_args!("memory differs{places} ({n} non-zero writable pages here, {m} recorded)"),
    )
}

/// Pages that differ, as part of a sentence.
struct Places([Option<Difference>; PARTS]);

impl core::fmt::Display for Places {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut sep = " in ";
        for d in self.0.iter().flatten() {
            match d {
                Difference::Page(at) => write!(f, "{sep}the page at {at:#x}")?,
                Difference::Several => write!(f, "{sep}several pages")?,
            }
            sep = ", ";
        }
        Ok(())
    }
}
