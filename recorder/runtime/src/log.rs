//! The log: every non-deterministic input passes through here, on its way
//! into the ring (recording) or out of it (replay).

use crate::arch::x86_64::fetch_for_writing;
use crate::process::process;
use crate::sys::{self, call, nr};
use crate::{shm, stage};
use core::mem::{MaybeUninit, offset_of};
use core::sync::atomic::{AtomicU64, Ordering};
use orch_abi::layout::{ARENA_BASE, RING_LEN, SLOT_HEADER_LEN, slot_address};
use orch_abi::record::{Data, Head, Kind, MAX_DATA, Switch, Syscall, flag, pad8};
use orch_abi::shared::{Bell, Control, Slot, mode, request, state, verdict};
use orch_abi::stop::Layout;

pub use crate::stage::tick;

struct Log {
    slot: *mut Slot,
    ring: *mut u8,
    /// Record: bytes written, published or not. Replay: bytes read.
    cursor: u64,
    recording: bool,
    /// Record: there is room up to here, as far as is known.
    limit: u64,
    /// Record: ring the doorbell when the cursor has come here.
    half: u64,
    /// Replay: offset in the stream of the record that comes next, until it is taken.
    offset: u64,
    /// Replay: the next record's head has been read.
    head: Option<Head>,
}

static mut LOG: Log = Log {
    slot: core::ptr::null_mut(),
    ring: core::ptr::null_mut(),
    cursor: 0,
    recording: true,
    limit: 0,
    half: 0,
    offset: 0,
    head: None,
};

#[inline(always)]
fn log() -> &'static mut Log {
    // SAFETY: only the baton's holder uses the log.
    unsafe { &mut *&raw mut LOG }
}

/// The session's control block.
#[inline(always)]
pub fn control() -> &'static Control {
    // SAFETY: mapped at boot, for as long as the process lives; all fields
    // that change are atomic.
    unsafe { &*(ARENA_BASE as *const Control) }
}

/// This recording's slot.
#[inline(always)]
pub fn slot() -> &'static Slot {
    // SAFETY: as for `control`.
    unsafe { &*log().slot }
}

/// Another slot.
pub fn slot_at(index: u32) -> &'static Slot {
    // SAFETY: as for `control`; the index is below MAX_SLOTS.
    unsafe { &*(slot_address(index) as *const Slot) }
}

/// Whether calls are performed and logged, rather than replayed.
#[inline(always)]
pub fn recording() -> bool {
    log().recording
}

/// Takes `index` as this process's slot.
pub fn open(index: u32) {
    let l = log();
    l.slot = slot_address(index) as *mut Slot;
    l.ring = (slot_address(index) + SLOT_HEADER_LEN) as *mut u8;
    l.recording = control().mode.load(Ordering::Relaxed) == mode::RECORD;
    l.head = None;
    l.cursor = if l.recording {
        slot().head.load(Ordering::Relaxed)
    } else {
        slot().tail.load(Ordering::Relaxed)
    };
    l.limit = 0;
    l.half = l.cursor + RING_LEN / 2;
    l.offset = 0;
    stage::open(index);
    process().recording = slot().recording.load(Ordering::Relaxed);
}

/// Offset in the stream behind what was written.
#[inline(always)]
pub fn cursor() -> u64 {
    log().cursor
}

/// Replay: goes on with another recording in the same slot, which the
/// supervisor has refilled.
pub fn reopen(recording: u32) {
    let l = log();
    l.cursor = 0;
    l.offset = 0;
    l.head = None;
    process().recording = recording;
}

/// Bytes of a plain structure of the record format.
pub fn bytes_of<T>(value: &T) -> &[u8] {
    // SAFETY: only used with the `repr(C)` records, which have no padding.
    unsafe { core::slice::from_raw_parts((&raw const *value).cast(), size_of::<T>()) }
}

/// Wakes the supervisor.
pub fn ring_doorbell() {
    ring(&control().doorbell);
}

fn ring(Bell(bell): &Bell) {
    bell.fetch_add(1, Ordering::Release);
    sys::futex_wake(bell, 1);
}

/// Whether `orch` is still there.
pub fn supervisor_lives() -> bool {
    let pid = control().supervisor.load(Ordering::Relaxed);
    call(nr::KILL, &[u64::from(pid), 0]) != -3
}

// ---------------------------------------------------------------- recording

impl Log {
    #[cold]
    fn wait_for_room(&self, need: u64) {
        let slot = slot();
        loop {
            let moved = slot.moved.load(Ordering::Acquire);
            slot.waiting.store(1, Ordering::SeqCst);
            if RING_LEN - (self.cursor - slot.tail.load(Ordering::SeqCst)) >= need {
                break;
            }
            ring_doorbell();
            sys::futex_wait(&slot.moved, moved, 200);
            if !supervisor_lives() {
                crate::fail(
                    "the recorder (orch record) is gone and the log is full; ending this process",
                );
            }
        }
        slot.waiting.store(0, Ordering::Relaxed);
    }

    /// Writes `len` bytes and zeros up to a multiple of 8.
    #[inline(always)]
    fn put_raw(&mut self, from: *const u8, len: usize) {
        let padded = pad8(len);
        if self.cursor + padded as u64 > self.limit {
            self.make_room(padded as u64);
        }
        let at = (self.cursor % RING_LEN) as usize;
        if at + padded <= RING_LEN as usize {
            // SAFETY: there is room for `padded` bytes; the source is readable.
            unsafe { copy_padded(from, self.ring.add(at), len) };
        } else {
            let first = RING_LEN as usize - at;
            // SAFETY: as above, in two parts at the wrap (a multiple of 8).
            unsafe {
                copy_padded(from, self.ring.add(at), first.min(len));
                if first < len {
                    copy_padded(from.add(first), self.ring, len - first);
                }
            }
        }
        self.cursor += padded as u64;
    }

    /// Where `len` bytes go, if there is room for them in one piece.
    #[inline(always)]
    fn room(&self, len: usize) -> Option<*mut u8> {
        let at = (self.cursor % RING_LEN) as usize;
        let is_there = self.cursor + len as u64 <= self.limit && at + len <= RING_LEN as usize;
        // SAFETY: within the ring.
        is_there.then(|| unsafe { self.ring.add(at) })
    }

    #[cold]
    fn make_room(&mut self, len: u64) {
        self.limit = slot().tail.load(Ordering::Acquire) + RING_LEN;
        if self.cursor + len > self.limit {
            self.wait_for_room(len);
            self.limit = slot().tail.load(Ordering::Acquire) + RING_LEN;
        }
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.put_raw(bytes.as_ptr(), bytes.len());
    }

    /// Begins a record, behind what is staged.
    #[inline(always)]
    fn head(&mut self, head: &Head) {
        if stage::len() > 0 {
            self.unstage();
        }
        self.put(bytes_of(head));
    }

    /// Takes the staged records to the ring. They count there, and no more in the
    /// stage, from the moment on that the ring's head has moved.
    #[cold]
    #[inline(never)]
    fn unstage(&mut self) {
        self.put(stage::records());
        self.publish();
        stage::clear();
    }

    fn publish(&mut self) {
        slot().head.store(self.cursor, Ordering::Release);
        if self.cursor > self.half {
            self.half = self.cursor + RING_LEN / 2;
            ring_doorbell();
        }
    }
}

/// Copies `len` bytes and fills up with zeros to a multiple of 8. Short ones
/// word by word: `rep movs` takes longer to start than most records to write.
///
/// # Safety
/// `from` has `len` readable bytes, `to` is aligned to 8 and has room.
#[inline(always)]
pub unsafe fn copy_padded(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: by the caller. Volatile, or the loop becomes a call of memcpy.
    unsafe {
        let (words, rest) = (len / 8, len % 8);
        if words <= 24 {
            for i in 0..words {
                let word = from.cast::<u64>().add(i).read_unaligned();
                to.cast::<u64>().add(i).write_volatile(word);
            }
        } else {
            core::ptr::copy_nonoverlapping(from, to, words * 8);
        }
        if rest > 0 {
            let mut last = 0;
            for i in 0..rest {
                last |= u64::from(from.add(words * 8 + i).read()) << (8 * i);
            }
            to.cast::<u64>().add(words).write_volatile(last);
        }
    }
}

/// Logs a record of plain parts.
pub fn write(kind: Kind, aux: u16, flags: u8, tick: u64, parts: &[&[u8]]) {
    let l = log();
    let len: usize = parts.iter().map(|p| pad8(p.len())).sum();
    l.head(&Head {
        kind: kind as u8,
        flags,
        aux,
        len: len as u32,
        tick,
    });
    for part in parts {
        l.put(part);
    }
    l.publish();
}

/// Begins a record of `len` payload bytes, put in with [`part`].
pub fn begin(kind: Kind, flags: u8, tick: u64, len: usize) {
    let head = Head {
        kind: kind as u8,
        flags,
        len: len as u32,
        tick,
        ..Head::default()
    };
    log().head(&head);
}

/// Takes to the ring what is staged.
pub fn unstage() {
    if stage::len() > 0 {
        log().unstage();
    }
}

/// Adds to a record, with zeros up to a multiple of 8.
pub fn part(bytes: &[u8]) {
    log().put(bytes);
}

/// Publishes the record.
pub fn end() {
    log().publish();
}

/// Memory that a call read or wrote.
#[derive(Clone, Copy)]
pub struct Piece {
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
    /// 1 if it went out.
    #[expect(dead_code, reason = "written to the ring with the rest")]
    pub outgoing: u32,
}

/// Pieces of one call. Those that do not fit go ahead as `Data` records.
pub struct Pieces {
    /// The first `count` are set.
    list: [MaybeUninit<Piece>; 24],
    count: usize,
    bytes: usize,
}

impl Pieces {
    /// None.
    #[inline(always)]
    pub fn new() -> Self {
        let mut new = MaybeUninit::<Self>::uninit();
        let p = new.as_mut_ptr();
        // SAFETY: a list of `MaybeUninit` needs no value; a constant one would be
        // copied or zeroed, 384 bytes at each call.
        unsafe {
            (&raw mut (*p).count).write(0);
            (&raw mut (*p).bytes).write(0);
            new.assume_init()
        }
    }

    #[inline(always)]
    fn list(&self) -> &[Piece] {
        // SAFETY: `add` has set the first `count`.
        unsafe { core::slice::from_raw_parts(self.list.as_ptr().cast(), self.count) }
    }

    /// Adds memory that the kernel wrote.
    pub fn incoming(&mut self, addr: u64, len: u64) {
        self.add(addr, len, 0);
    }

    /// Adds memory that the kernel read and that people want to see.
    pub fn outgoing(&mut self, addr: u64, len: u64) {
        self.add(addr, len, 1);
    }

    fn add(&mut self, addr: u64, len: u64, outgoing: u32) {
        const INLINE: usize = 48 << 10;
        if addr == 0 || len == 0 {
            return;
        }
        if outgoing == 0 {
            shm::written(addr, len);
        }
        if self.count < self.list.len() && self.bytes + (len as usize) < INLINE {
            self.list[self.count] = MaybeUninit::new(Piece {
                addr,
                len: len as u32,
                outgoing,
            });
            self.count += 1;
            self.bytes += len as usize;
        } else if outgoing == 0 {
            data(addr, len);
        }
    }
}

/// Logs memory ahead of the call that it belongs to.
fn data(addr: u64, len: u64) {
    let l = log();
    let mut done = 0;
    while done < len {
        let n = (len - done).min(MAX_DATA as u64) as usize;
        let body = Data {
            addr: addr + done,
            len: n as u64,
        };
        let head = Head {
            kind: Kind::Data as u8,
            len: (size_of::<Data>() + pad8(n)) as u32,
            tick: stage::next_tick(),
            ..Head::default()
        };
        l.head(&head);
        l.put(bytes_of(&body));
        l.put_raw(shm::copy(addr + done) as *const u8, n);
        l.publish();
        done += n as u64;
    }
}

/// Logs a call and the memory that came with it.
pub fn syscall(kind: Kind, nr: u16, flags: u8, tick: u64, body: &Syscall, pieces: &Pieces) {
    let l = log();
    let list = pieces.list();
    let len: usize = size_of::<Syscall>()
        + list
            .iter()
            .map(|p| size_of::<Piece>() + pad8(p.len as usize))
            .sum::<usize>();
    let head = Head {
        kind: kind as u8,
        flags,
        aux: nr,
        len: len as u32,
        tick,
    };
    if stage::len() > 0 {
        l.unstage();
    }
    if let Some(mut to) = l.room(size_of::<Head>() + len) {
        // SAFETY: there is room for all of it, and all of it is readable.
        each_part(&head, body, list, |from, len| unsafe {
            copy_padded(from, to, len);
            to = to.add(pad8(len));
        });
        l.cursor += (size_of::<Head>() + len) as u64;
        // The supervisor has had the lines of the next record: they take long to come.
        for line in 0..3 {
            fetch_for_writing(to.wrapping_add(64 * line));
        }
    } else {
        each_part(&head, body, list, |from, len| l.put_raw(from, len));
    }
    l.publish();
}

/// What a call's record has, in order: where it is, and how many bytes.
#[inline(always)]
fn each_part(head: &Head, body: &Syscall, list: &[Piece], mut put: impl FnMut(*const u8, usize)) {
    put(bytes_of(head).as_ptr(), size_of::<Head>());
    put(bytes_of(body).as_ptr(), size_of::<Syscall>());
    for piece in list {
        put(bytes_of(piece).as_ptr(), size_of::<Piece>());
        put(shm::copy(piece.addr) as *const u8, piece.len as usize);
    }
}

/// Logs that thread `index` runs from here.
pub fn switch(index: u32, tid: u32) {
    write(
        Kind::Switch,
        0,
        0,
        tick(),
        &[bytes_of(&Switch { thread: index, tid })],
    );
}

/// Says that the process will log no more.
pub fn close() {
    slot().state.store(state::DONE, Ordering::Release);
    ring_doorbell();
}

/// Asks the supervisor for something and waits for the answer.
pub fn ask(what: u32, args: &[u64]) -> u64 {
    ask_slot(slot(), what, args)
}

/// Room in the slot for what a request passes besides its arguments.
pub fn scratch() -> *mut u8 {
    // SAFETY: only computes an address within the slot.
    unsafe { (&raw mut (*log().slot).message).cast() }
}

fn ask_slot(slot: &Slot, what: u32, args: &[u64]) -> u64 {
    for (to, from) in slot.args.iter().zip(args) {
        to.store(*from, Ordering::Relaxed);
    }
    let answered = slot.answered.load(Ordering::Acquire);
    slot.request.store(what, Ordering::Release);
    let control = control();
    match what {
        request::STUB if control.stub_maker.load(Ordering::Relaxed) != 0 => {
            ring(&control.stub_bell);
        }
        _ => ring_doorbell(),
    }
    // The answer is usually here before a sleeping processor would be awake again.
    const SPINS: u32 = 2000;
    for _ in 0..SPINS {
        if slot.request.load(Ordering::Acquire) == request::NONE {
            break;
        }
        core::hint::spin_loop();
    }
    while slot.request.load(Ordering::Acquire) != request::NONE {
        sys::futex_wait(&slot.answered, answered, 20);
        if slot.request.load(Ordering::Acquire) != request::NONE && !supervisor_lives() {
            crate::fail("the recorder (orch record) is gone; ending this process");
        }
    }
    slot.reply.load(Ordering::Acquire)
}

// ------------------------------------------------------------------- replay

impl Log {
    /// False at the end of the recording.
    #[inline(always)]
    fn available(&self, need: u64) -> bool {
        slot().head.load(Ordering::Acquire) - self.cursor >= need || self.wait_for(need)
    }

    #[cold]
    fn wait_for(&self, need: u64) -> bool {
        let slot = slot();
        loop {
            let moved = slot.moved.load(Ordering::Acquire);
            if slot.head.load(Ordering::Acquire) - self.cursor >= need {
                return true;
            }
            if slot.complete.load(Ordering::Acquire) != 0 {
                return slot.head.load(Ordering::Acquire) - self.cursor >= need;
            }
            slot.tail.store(self.cursor, Ordering::Release);
            slot.waiting.store(1, Ordering::SeqCst);
            if slot.head.load(Ordering::SeqCst) - self.cursor >= need
                || slot.complete.load(Ordering::SeqCst) != 0
            {
                continue;
            }
            sys::futex_wait(&slot.moved, moved, 1000);
            if !supervisor_lives() {
                sys::exit_group(1);
            }
        }
    }

    /// Word `n` of what comes next, which is available.
    #[inline(always)]
    fn word(&self, n: usize) -> u64 {
        // Records are 8-byte aligned in a ring whose size is a multiple of 8.
        let at = (self.cursor as usize + 8 * n) % RING_LEN as usize;
        // SAFETY: eight bytes are there, within the ring.
        unsafe { self.ring.add(at).cast::<u64>().read() }
    }

    fn get_raw(&mut self, to: *mut u8, len: usize) {
        if !self.available(len as u64) {
            ended_early();
        }
        let at = (self.cursor % RING_LEN) as usize;
        let first = len.min(RING_LEN as usize - at);
        // SAFETY: `len` bytes are there, in two parts at the wrap; the target
        // is ours, or program memory that the recording says was written.
        unsafe {
            core::ptr::copy_nonoverlapping(self.ring.add(at), to, first);
            if first < len {
                core::ptr::copy_nonoverlapping(self.ring, to.add(first), len - first);
            }
        }
        self.skip(len);
    }

    fn skip(&mut self, len: usize) {
        self.cursor += len as u64;
        self.offset += len as u64;
        let slot = slot();
        let behind = self.cursor - slot.tail.load(Ordering::Relaxed);
        if behind > RING_LEN / 4 {
            slot.tail.store(self.cursor, Ordering::Release);
            slot.moved.fetch_add(1, Ordering::Release);
            if slot.waiting.swap(0, Ordering::SeqCst) != 0 {
                sys::futex_wake(&slot.moved, 8);
            }
        }
    }
}

/// Reads a plain structure.
#[inline]
pub fn read<T: Copy + Default>() -> T {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let l = log();
    if !l.available(size_of::<T>() as u64) {
        ended_early();
    }
    let mut value = T::default();
    let to = (&raw mut value).cast::<u64>();
    for n in 0..size_of::<T>() / 8 {
        // SAFETY: within `value`, which is plain data.
        unsafe { to.add(n).write_unaligned(l.word(n)) };
    }
    l.skip(size_of::<T>());
    value
}

/// Reads bytes into memory.
pub fn read_into(addr: u64, len: u64) {
    log().get_raw(addr as *mut u8, len as usize);
}

/// Skips bytes.
pub fn skip(len: u64) {
    let l = log();
    if !l.available(len) {
        ended_early();
    }
    l.skip(len as usize);
}

/// Skips the padding behind `len` bytes.
pub fn skip_pad(len: u64) {
    let pad = pad8(len as usize) as u64 - len;
    if pad > 0 {
        skip(pad);
    }
}

/// Reads the body of a call whose head is next, and compares it; what the call returned.
pub fn read_body(ours: &Syscall, differs: impl FnOnce(&str) -> i64) -> i64 {
    const IP: usize = offset_of!(Syscall, ip) / 8;
    const RESULT: usize = offset_of!(Syscall, result) / 8;
    const ARGS: usize = offset_of!(Syscall, args) / 8;
    const IN_HASH: usize = offset_of!(Syscall, in_hash) / 8;
    let l = log();
    if !l.available(size_of::<Syscall>() as u64) {
        ended_early();
    }
    // In place: a copy would take longer than all that is compared.
    let args_differ = || (0..6).any(|i| l.word(ARGS + i) != ours.args[i]);
    let what = if l.word(IP) != ours.ip {
        "the places in the code"
    } else if args_differ() {
        "the arguments"
    } else if l.word(IN_HASH) != ours.in_hash {
        "the bytes that go out"
    } else {
        let result = l.word(RESULT).cast_signed();
        take();
        l.skip(size_of::<Syscall>());
        return result;
    };
    differs(what)
}

/// Word `n` of the payload whose head `peek` showed.
pub fn peek_word(n: u64) -> u64 {
    let l = log();
    if !l.available(8 * (n + 1)) {
        ended_early();
    }
    l.word(n as usize)
}

/// Offset in the stream of the next record.
pub fn position() -> u64 {
    log().offset
}

/// Address of that, for a debugger.
pub fn describe(to: &mut Layout) {
    to.offset = (&raw const log().offset) as u64;
}

/// Replay: goes on with the log in another slot, which is fed from the next record on.
pub fn move_to(index: u32) {
    let offset = position();
    let l = log();
    l.slot = slot_address(index) as *mut Slot;
    l.ring = (slot_address(index) + SLOT_HEADER_LEN) as *mut u8;
    l.cursor = slot().tail.load(Ordering::Relaxed);
    l.offset = offset;
    l.head = None;
}

/// Head of the next record; `None` at the end of the recording. What is only
/// there for people is passed over.
#[inline(always)]
pub fn peek() -> Option<Head> {
    let head = log().head;
    if head.is_some() { head } else { next_head() }
}

fn next_head() -> Option<Head> {
    let l = log();
    while l.head.is_none() {
        if !l.available(size_of::<Head>() as u64) {
            return None;
        }
        let head = read::<Head>();
        let by_call = head.kind == Kind::Store as u8 && head.flags & flag::BY_CALL != 0;
        if by_call || head.kind == Kind::Object as u8 || head.kind == Kind::View as u8 {
            skip(head.len.into());
        } else {
            l.head = Some(head);
            l.offset -= size_of::<Head>() as u64;
        }
    }
    l.head
}

/// Puts memory in place that goes ahead of its call; the program has come to that call.
pub fn apply_data() {
    while peek().is_some_and(|h| h.kind == Kind::Data as u8) {
        take();
        let body = read::<Data>();
        crate::replay::apply(body.addr, body.len);
        skip_pad(body.len);
    }
}

/// Takes the head that `peek` showed.
pub fn take() {
    let l = log();
    if l.head.take().is_some() {
        l.offset += size_of::<Head>() as u64;
    }
}

/// If the recording switched threads here: the one that ran next.
pub fn take_switch() -> Option<u32> {
    let head = peek()?;
    if head.kind != Kind::Switch as u8 {
        return None;
    }
    take();
    Some(read::<Switch>().thread)
}

/// Replay came to the end of the recording while the program runs on: the
/// recorded process was killed here (or its supervisor).
pub fn ended_early() -> ! {
    crate::stop::at_end();
    finish_replay(verdict::MATCHED)
}

/// Reports how the replay ended and ends the process.
pub fn finish_replay(v: u32) -> ! {
    let slot = slot();
    if !log().recording {
        slot.tail.store(log().cursor, Ordering::Release);
    }
    slot.verdict.store(v, Ordering::Release);
    close();
    sys::exit_group(if v == verdict::MATCHED { 0 } else { 1 });
}

/// A counter that other processes may look at.
pub fn progress() -> &'static AtomicU64 {
    &slot().progress
}
