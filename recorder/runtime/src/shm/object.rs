//! What shared memory is: the same object has the same number in all
//! recordings of a session, wherever and by whomever it is mapped.

use super::lock;
use crate::log;
use crate::sys::{self, call, nr};
use core::sync::atomic::Ordering;
use orch_abi::record::{Kind, Object, View, object};
use orch_abi::shared::MAX_OBJECTS;

const PATH: usize = 4096;

/// Which objects this recording has introduced, a bit each.
static mut TOLD: [u64; MAX_OBJECTS / 64] = [0; MAX_OBJECTS / 64];

fn told() -> &'static mut [u64; MAX_OBJECTS / 64] {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut TOLD }
}

/// Number of the object behind a descriptor.
pub fn of_file(fd: u64, tid: u32) -> u32 {
    let mut stat = [0_u64; 18];
    call(nr::FSTAT, &[fd, stat.as_mut_ptr() as u64]);
    let (number, _) = find(object::FILE, stat[0], stat[1], tid);
    tell(number, |name| {
        const OURS: &[u8] = b"/proc/thread-self/fd/";
        let mut link = [0_u8; 48];
        link[..OURS.len()].copy_from_slice(OURS);
        sys::decimal(fd, &mut link[OURS.len()..]);
        const READLINK: u64 = 89;
        let to = name.as_mut_ptr() as u64;
        call(READLINK, &[link.as_ptr() as u64, to, PATH as u64]).max(0) as usize
    });
    number
}

/// Number of a System V segment.
pub fn of_segment(id: u64, tid: u32) -> u32 {
    let (number, _) = find(object::SYSV, 0, id, tid);
    tell(number, |_| 0);
    number
}

/// A new number, for anonymous memory.
pub fn anonymous(tid: u32) -> u32 {
    let (number, _) = find(object::ANONYMOUS, 0, u64::MAX, tid);
    tell(number, |_| 0);
    number
}

/// Whether there is room for more, whoever else maps something now.
pub fn has_room() -> bool {
    const AT_ONCE: usize = 64;
    let rows = log::control().object_rows.load(Ordering::Acquire) as usize;
    rows + AT_ONCE <= MAX_OBJECTS
}

/// Whether a file is one that the session shares.
pub fn is_known(dev: u64, ino: u64) -> bool {
    let control = log::control();
    let rows = control.object_rows.load(Ordering::Acquire) as usize;
    control.objects[..rows.min(MAX_OBJECTS)].iter().any(|row| {
        row.what.load(Ordering::Relaxed) == object::FILE
            && row.dev.load(Ordering::Relaxed) == dev
            && row.ino.load(Ordering::Relaxed) == ino
    })
}

/// Finds the object, or adds it. Anonymous memory is never found.
fn find(what: u64, dev: u64, ino: u64, tid: u32) -> (u32, bool) {
    let control = log::control();
    lock::acquire(&control.objects_lock, tid);
    let rows = control.object_rows.load(Ordering::Acquire) as usize;
    let known = control.objects[..rows].iter().position(|row| {
        what != object::ANONYMOUS
            && row.what.load(Ordering::Relaxed) == what
            && row.dev.load(Ordering::Relaxed) == dev
            && row.ino.load(Ordering::Relaxed) == ino
    });
    let (row, new) = match known {
        Some(row) => (row, false),
        None if rows < MAX_OBJECTS => {
            let row = &control.objects[rows];
            row.what.store(what, Ordering::Relaxed);
            row.dev.store(dev, Ordering::Relaxed);
            row.ino.store(ino, Ordering::Relaxed);
            let count = rows as u32 + 1;
            control.object_rows.store(count, Ordering::Release);
            (rows, true)
        }
        None => crate::fail("too many objects of shared memory for the recorder"),
    };
    lock::release(&control.objects_lock);
    (row as u32 + 1, new)
}

/// Introduces an object to the recording, once.
fn tell(number: u32, name: impl FnOnce(&mut [u8; PATH]) -> usize) {
    let bit = number as usize - 1;
    let word = &mut told()[bit / 64];
    if *word >> (bit % 64) & 1 == 1 {
        return;
    }
    *word |= 1 << (bit % 64);
    let row = &log::control().objects[bit];
    let body = Object {
        id: number.into(),
        what: row.what.load(Ordering::Relaxed),
        dev: row.dev.load(Ordering::Relaxed),
        ino: row.ino.load(Ordering::Relaxed),
    };
    let mut buffer = [0_u8; PATH];
    let len = name(&mut buffer).min(PATH - 1);
    buffer[len] = 0;
    let parts = [log::bytes_of(&body), &buffer[..=len]];
    log::write(Kind::Object, 0, 0, log::tick(), &parts);
}

/// Logs what a range shows from here on; object 0: nothing shared.
pub fn view(addr: u64, len: u64, object: u32, offset: u64, prot: u64) {
    let body = View {
        addr,
        len,
        object: object.into(),
        offset,
        prot,
    };
    log::write(Kind::View, 0, 0, log::tick(), &[log::bytes_of(&body)]);
}
