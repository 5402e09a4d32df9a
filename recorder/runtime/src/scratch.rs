//! What the kernel gets instead of the program's memory. While another thread runs program
//! code it writes elsewhere: that memory changes only when the caller has the baton
//! again, at a place that replay knows. So it does instead of shared memory, where a store
//! takes locks and a tick. What it reads there it reads through the alias: the program's
//! view is closed.

use crate::call::signal::fetch;
use crate::memory::{self, fd_set_len};
use crate::sys::{self, call, mm, nr};
use crate::thread::Thread;
use crate::{arch::x86_64 as arch, shm};
use core::mem::offset_of;
use orch_abi::layout::{BULK_BASE, BULK_LEN, MAX_THREADS, PAGE, THREAD_AREA_LEN, THREADS_BASE};
use orch_abi::syscalls::{Buf, Call, Ty};

const BASE: u64 = THREADS_BASE + MAX_THREADS as u64 * THREAD_AREA_LEN;
const LEN: u64 = 128 << 10;
/// So much of the memory for what is longer stays mapped.
const KEPT: u64 = 1 << 20;
/// What is no longer than this may be written only in part: the rest stays what it was.
const SHORT: u64 = 4096;
/// Most parts of a vector (readv(2)), and most messages of a call (recvmmsg(2)).
const IOV_MAX: u64 = 1024;
/// Most pieces of shared memory that a call stores to in their order among others' stores.
pub const MAX_SHARED: usize = 1 << 10;

/// What an argument leads to, which the kernel finds somewhere else for the time of a call.
#[derive(Clone, Copy)]
enum Part {
    /// Bytes: of the program's, instead of them, and how many there is room for.
    Flat(u64, u64, u64),
    Vector(Vector),
    Messages(Messages),
}

/// `struct iovec[count]` (readv(2)): the program's as it was before the call, and one that
/// leads to scratch memory. Both are in scratch memory themselves.
#[derive(Clone, Copy)]
struct Vector {
    program: u64,
    kernel: u64,
    count: u64,
}

/// `struct msghdr` (recvmsg(2)), or several `struct mmsghdr`, in the same way: what the
/// program has at `at`, as it was before, and what the kernel gets.
#[derive(Clone, Copy)]
struct Messages {
    at: u64,
    program: u64,
    kernel: u64,
    count: u64,
    size: u64,
}

/// `struct msghdr`, and what `struct mmsghdr` adds.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Message {
    name: u64,
    name_len: u64,
    vector: u64,
    count: u64,
    control: u64,
    control_len: u64,
    flags: u64,
    len: u64,
}

impl Message {
    const SIZE: u64 = 56;
    const SIZE_OF_SEVERAL: u64 = 64;
}

/// How far scratch memory is used.
#[derive(Clone, Copy)]
struct Used {
    short: u64,
    long: u64,
}

/// A call's arguments for the kernel, and what they lead to.
pub struct Moved {
    /// What to call with.
    pub args: [u64; 6],
    parts: [Option<Part>; 6],
    used: Used,
}

impl Moved {
    /// Room for so many bytes.
    fn room(&mut self, t: &mut Thread, len: u64) -> Option<u64> {
        let index = u64::from(t.index);
        let len = len.checked_next_multiple_of(16)?;
        let Used { short, long } = self.used;
        let base = BASE + index * LEN;
        if !t.has_scratch {
            t.has_scratch = sys::map_anonymous(base, LEN, mm::READ | mm::WRITE) >= 0;
        }
        if t.has_scratch && len <= LEN - short {
            self.used.short += len;
            return Some(base + short);
        }
        let end = long.checked_add(len).filter(|&n| n <= BULK_LEN)?;
        let base = BULK_BASE + index * BULK_LEN;
        if end > t.bulk {
            let more = (end - t.bulk).next_multiple_of(PAGE);
            if sys::map_anonymous(base + t.bulk, more, mm::READ | mm::WRITE) < 0 {
                return None;
            }
            t.bulk += more;
        }
        self.used.long = end;
        Some(base + long)
    }

    /// Room for `len` bytes that the kernel writes, and perhaps reads, instead of those at
    /// `program`.
    fn instead(&mut self, t: &mut Thread, program: u64, len: u64, reads: bool) -> Option<u64> {
        let scratch = self.room(t, len)?;
        (!reads && len > SHORT || copy(t, program, scratch, len)).then_some(scratch)
    }

    /// Where the kernel finds `len` bytes of the program's: elsewhere, if that is wanted.
    fn place(&mut self, t: &mut Thread, which: Which, at: u64, len: u64) -> Option<u64> {
        match which {
            Which::None => Some(shm::alias(at)),
            Which::Shared if !is_shared(at) => Some(at),
            // The kernel fails there, or comes as far as it may.
            _ if !shm::may_store(at, len) => Some(shm::alias(at)),
            Which::Shared | Which::All => self.instead(t, at, len, false),
        }
    }

    /// A vector of the kernel's own.
    fn vector(&mut self, t: &mut Thread, which: Which, at: u64, count: u64) -> Option<Vector> {
        if count > IOV_MAX {
            return None;
        }
        let program = self.instead(t, at, count * 16, true)?;
        let kernel = self.room(t, count * 16)?;
        let vector = Vector {
            program,
            kernel,
            count,
        };
        for i in 0..count {
            let [base, len] = vector.get(program, i);
            vector.set(kernel, i, [self.place(t, which, base, len)?, len]);
        }
        Some(vector)
    }

    /// An array of strings that is shared, or leads to what is, for the kernel to read; and
    /// its length.
    fn strings(&mut self, t: &mut Thread, at: u64) -> Option<(u64, u64)> {
        let (mut len, mut any, mut string) = (0, is_shared(at), 1);
        while string != 0 {
            string = fetch(t, at + len)?;
            any |= is_shared(string);
            len += size_of::<u64>() as u64;
        }
        let kernel = self.room(t, len).filter(|_| any)?;
        for entry in (0..len).step_by(size_of::<u64>()) {
            let string: u64 = fetch(t, at + entry)?;
            // SAFETY: scratch memory of that length.
            unsafe { *((kernel + entry) as *mut u64) = shm::alias(string) };
        }
        Some((kernel, len))
    }

    fn messages(
        &mut self,
        t: &mut Thread,
        which: Which,
        at: u64,
        (count, size): (u64, u64),
    ) -> Option<Messages> {
        if count > IOV_MAX {
            return None;
        }
        if !shm::may_store(at, count * size) {
            return None;
        }
        let program = self.instead(t, at, count * size, true)?;
        let kernel = self.room(t, count * size)?;
        let all = Messages {
            at,
            program,
            kernel,
            count,
            size,
        };
        for i in 0..count {
            let (mut was, mut own) = (all.get(program, i), all.get(program, i));
            let vector = self.vector(t, which, was.vector, was.count)?;
            (was.vector, own.vector) = (vector.program, vector.kernel);
            for (at, len) in [
                (&mut own.name, was.name_len & 0xffff_ffff),
                (&mut own.control, was.control_len),
            ] {
                if *at != 0 {
                    *at = self.place(t, which, *at, len)?;
                }
            }
            all.set(program, i, &was);
            all.set(kernel, i, &own);
        }
        Some(all)
    }
}

/// What the kernel gets for an argument, and what it leads to.
type Redirected = (u64, Part);

impl Moved {
    /// Something else for argument `i`; `None` if that is not needed, or there is no room.
    fn part(
        &mut self,
        t: &mut Thread,
        c: &Call,
        i: usize,
        args: &[u64; 6],
        which: Which,
    ) -> Option<Redirected> {
        let ty = c.ty(i, args);
        let reads_only = matches!(ty, Ty::In(_));
        let (buf, reads) = match ty {
            _ if memory::in_place(c) => return None,
            Ty::Out(b) => (b, false),
            Ty::InOut(b) | Ty::OutAlways(b) => (b, true),
            Ty::In(b @ (Buf::Iovec { .. } | Buf::Msghdr | Buf::CStrVec)) if shm::any() => (b, true),
            _ => return None,
        };
        let at = args[i];
        let arg = |i: u8| args[usize::from(i)];
        let all = which == Which::All && !reads_only;
        let wanted = |shared| shared <= MAX_SHARED && (all || shared > 0);
        let places = if reads_only || memory::sends(c) {
            Which::None
        } else {
            which
        };
        let room = match buf {
            Buf::Bytes { cap, .. } => memory::len(cap, args, 0, u64::MAX),
            Buf::FdSet { nfds } => fd_set_len(arg(nfds)),
            Buf::Sized { len } => half(t, arg(len)),
            Buf::Counted { head } => (half(t, at) + u64::from(head)).min(PAGE),
            Buf::Iovec { count } => {
                let vector = self.vector(t, places, at, arg(count))?;
                let is = wanted(vector.shared());
                return is.then_some((vector.kernel, Part::Vector(vector)));
            }
            Buf::Msghdr | Buf::Mmsghdr { .. } => {
                let count = match buf {
                    Buf::Mmsghdr { count } => (arg(count), Message::SIZE_OF_SEVERAL),
                    _ => (1, Message::SIZE),
                };
                let messages = self.messages(t, places, at, count)?;
                let is = wanted(messages.shared());
                return is.then_some((messages.kernel, Part::Messages(messages)));
            }
            Buf::CStrVec => {
                let (strings, len) = self.strings(t, at)?;
                return Some((strings, Part::Flat(at, strings, len)));
            }
            Buf::CStr => return None,
        };
        if !wanted(is_shared(at).into()) || !shm::may_store(at, room) {
            return None;
        }
        let scratch = self.instead(t, at, room, reads)?;
        Some((scratch, Part::Flat(at, scratch, room)))
    }
}

impl Vector {
    fn get(&self, of: u64, i: u64) -> [u64; 2] {
        // SAFETY: scratch memory with `count` entries.
        unsafe { *(of as *const [u64; 2]).add(i as usize) }
    }

    fn set(&self, of: u64, i: u64, part: [u64; 2]) {
        // SAFETY: as above.
        unsafe { *(of as *mut [u64; 2]).add(i as usize) = part }
    }

    /// How many of its parts are shared memory.
    fn shared(&self) -> usize {
        let parts = (0..self.count).map(|i| self.get(self.program, i)[0]);
        parts.filter(|&at| is_shared(at)).count()
    }

    /// The kernel has written so many bytes.
    fn deliver(&self, t: &mut Thread, bytes: u64) {
        let mut left = bytes;
        for i in 0..self.count {
            let [program, room] = self.get(self.program, i);
            let n = room.min(left);
            bring(t, self.get(self.kernel, i)[0], program, n);
            left -= n;
        }
    }
}

impl Messages {
    fn get(&self, of: u64, i: u64) -> Message {
        let mut m = Message::default();
        // SAFETY: scratch memory with `count` headers.
        unsafe {
            let from = (of + i * self.size) as *const u8;
            from.copy_to((&raw mut m).cast(), self.size as usize);
        }
        m
    }

    fn set(&self, of: u64, i: u64, m: &Message) {
        // SAFETY: as above.
        unsafe {
            let to = (of + i * self.size) as *mut u8;
            to.copy_from((&raw const *m).cast(), self.size as usize);
        }
    }

    /// At most how many times shared memory is stored to.
    fn shared(&self) -> usize {
        let each = |i| {
            let was = self.get(self.program, i);
            let others = [was.name, was.control].into_iter();
            let fields = if is_shared(self.at) { 4 } else { 0 };
            self.vector(i).shared() + others.filter(|&at| is_shared(at)).count() + fields
        };
        (0..self.count).map(each).sum()
    }

    fn vector(&self, i: u64) -> Vector {
        let was = self.get(self.program, i);
        Vector {
            program: was.vector,
            kernel: self.get(self.kernel, i).vector,
            count: was.count,
        }
    }

    /// The call has had this result.
    fn deliver(&self, t: &mut Thread, sends: bool, result: u64) {
        let several = self.size == Message::SIZE_OF_SEVERAL;
        let done = if several { result } else { self.count };
        for i in 0..done.min(self.count) {
            let (was, own) = (self.get(self.program, i), self.get(self.kernel, i));
            let (at, from) = (self.at + i * self.size, self.kernel + i * self.size);
            if several {
                copy(
                    t,
                    from + offset_of!(Message, len) as u64,
                    at + offset_of!(Message, len) as u64,
                    4,
                );
            }
            if sends {
                continue;
            }
            let bytes = if several {
                own.len & 0xffff_ffff
            } else {
                result
            };
            self.vector(i).deliver(t, bytes);
            let name_len = own.name_len.min(was.name_len) & 0xffff_ffff;
            for (from, to, n) in [
                (own.name, was.name, name_len),
                (
                    own.control,
                    was.control,
                    own.control_len.min(was.control_len),
                ),
            ] {
                bring(t, from, to, n);
            }
            for (field, n) in [
                (offset_of!(Message, name_len), 4),
                (offset_of!(Message, control_len), 8),
                (offset_of!(Message, flags), 4),
            ] {
                copy(t, from + field as u64, at + field as u64, n);
            }
        }
    }
}

fn is_shared(at: u64) -> bool {
    shm::alias(at) != at
}

/// Gives back what is not needed often.
fn shrink(t: &mut Thread) {
    if t.bulk > KEPT {
        let base = BULK_BASE + u64::from(t.index) * BULK_LEN;
        call(nr::MUNMAP, &[base + KEPT, t.bulk - KEPT]);
        t.bulk = KEPT;
    }
}

/// Which outputs are redirected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All: another thread runs meanwhile.
    All,
    /// Those in shared memory: what others see of them has its place among
    /// all stores there.
    Shared,
    /// None: the kernel only reads what vectors and messages lead to (sendmmsg(2)).
    None,
}

/// What to call the kernel with: the outputs redirected, the inputs where they can be read.
/// What does not fit stays where it is (docs/recording.md).
pub fn redirect(t: &mut Thread, c: &Call, args: &[u64; 6], which: Which) -> Moved {
    let mut moved = Moved {
        args: *args,
        parts: [None; 6],
        used: Used { short: 0, long: 0 },
    };
    for i in 0..c.args.len() {
        if args[i] == 0 {
            continue;
        }
        let before = moved.used;
        match moved.part(t, c, i, args, which) {
            Some((kernel, part)) => {
                moved.args[i] = kernel;
                moved.parts[i] = Some(part);
            }
            None => {
                moved.used = before;
                if shm::any() && c.ty(i, args).is_pointer() {
                    moved.args[i] = shm::alias(args[i]);
                }
            }
        }
    }
    moved
}

fn copy(t: &mut Thread, from: u64, to: u64, len: u64) -> bool {
    if shm::alias(to) != to {
        shm::store_by_call(t, to, from, len);
        return true;
    }
    let from = shm::alias(from);
    arch::guarded(t, || {
        // SAFETY: guarded; one side is the runtime's, the other the program's own buffer.
        unsafe { (from as *const u8).copy_to_nonoverlapping(to as *mut u8, len as usize) };
    })
}

/// What the kernel has written at `from`, if that is not where the program wants it.
fn bring(t: &mut Thread, from: u64, to: u64, len: u64) {
    if from != to && from != shm::alias(to) {
        copy(t, from, to, len);
    }
}

/// The caller has the baton again: puts the outputs in their places.
pub fn deliver(t: &mut Thread, c: &Call, args: &[u64; 6], result: i64, moved: &Moved) {
    for (i, part) in moved.parts.iter().enumerate() {
        let Some(part) = *part else { continue };
        let buf = match c.ty(i, args) {
            Ty::Out(b) | Ty::InOut(b) if result >= 0 => b,
            Ty::OutAlways(b) => b,
            _ => continue,
        };
        match part {
            Part::Flat(program, scratch, room) => {
                let n = match buf {
                    Buf::Bytes { used, .. } => memory::len(used, args, result, room),
                    Buf::Sized { len } => match moved.parts[usize::from(len)] {
                        Some(Part::Flat(_, length, _)) => half(t, length),
                        _ => half(t, args[usize::from(len)]),
                    },
                    _ => room,
                };
                copy(t, scratch, program, n.min(room));
            }
            Part::Vector(v) => v.deliver(t, result.max(0) as u64),
            Part::Messages(m) => m.deliver(t, memory::sends(c), result.max(0) as u64),
        }
    }
    shrink(t);
}

/// The 32-bit integer there; 0 if none can be read.
fn half(t: &mut Thread, at: u64) -> u64 {
    let mut value = 0_u32;
    copy(t, at, &raw mut value as u64, 4);
    value.into()
}
