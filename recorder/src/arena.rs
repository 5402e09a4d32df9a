//! The arena: the file that a session's processes and its supervisor share.

use crate::blob;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap};
use orch_abi::layout::{
    ARENA_FILE_OFFSET, ARENA_LEN, CONTROL_LEN, MAX_SLOTS, RING_LEN, SLOT_HEADER_LEN, SLOT_LEN,
    STAGE_OFFSET,
};
use orch_abi::record::{Map, Regs};
use orch_abi::shared::{Bell, Control, FIRST_MAPS, MAGIC, Slot, Stage, request};
use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A mapped arena. It stays mapped: signal handlers ring its doorbell until the
/// process ends.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<c_void>,
    path: PathBuf,
    file: File,
}

// SAFETY: all access goes through atomics, or through the copying methods,
// whose protocol (head and tail) keeps both sides apart.
#[expect(unsafe_code, reason = "shared memory")]
unsafe impl Send for Arena {}
// SAFETY: as for Send.
#[expect(unsafe_code, reason = "shared memory")]
unsafe impl Sync for Arena {}

#[expect(unsafe_code, reason = "shared memory with other processes")]
impl Arena {
    /// Makes a new arena file (mode 0600) with the runtime in it, and maps it.
    ///
    /// # Errors
    /// If the file cannot be made or mapped.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(&blob::image().bytes)?;
        file.set_len(ARENA_FILE_OFFSET + ARENA_LEN)?;
        let arena = Self::map(file, path)?;
        arena.reserve(0)?;
        arena.control().magic.store(MAGIC, Ordering::Relaxed);
        arena
            .control()
            .supervisor
            .store(std::process::id(), Ordering::Relaxed);
        // SAFETY: only computes the field's address.
        arena.set_path(
            unsafe { &raw mut (*arena.base.cast::<Control>().as_ptr()).arena },
            path,
        );
        arena.control().clock.store(1, Ordering::Relaxed);
        arena.control().next_recording.store(1, Ordering::Relaxed);
        Ok(arena)
    }

    /// Maps an arena that a dead supervisor left.
    ///
    /// # Errors
    /// If the file is no arena of this version.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != ARENA_FILE_OFFSET + ARENA_LEN {
            return Err(io::Error::other("not an arena of this version"));
        }
        let arena = Self::map(file, path)?;
        if arena.control().magic.load(Ordering::Relaxed) != MAGIC {
            return Err(io::Error::other("not an arena of this version"));
        }
        Ok(arena)
    }

    fn map(file: File, path: &Path) -> io::Result<Self> {
        let len =
            NonZeroUsize::new(usize::try_from(ARENA_LEN).expect("64 bits")).expect("not zero");
        let offset = i64::try_from(ARENA_FILE_OFFSET).expect("small");
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            mmap(
                None,
                len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE,
                &file,
                offset,
            )?
        };
        // Rings are touched page by page; reading ahead would be for nothing.
        // SAFETY: tells only how it is used.
        unsafe { madvise(base, len.get(), MmapAdvise::MADV_RANDOM)? };
        Ok(Self {
            base,
            path: path.to_owned(),
            file,
        })
    }

    /// Locks the file for as long as this process lives: false if another
    /// process holds it. Who holds it owns what the rings hold.
    ///
    /// # Errors
    /// If the file system has no locks.
    pub fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// Takes room on the disk for the first `slots` slots: a process that
    /// touches a page for which there is none is killed (mmap(2), SIGBUS).
    ///
    /// # Errors
    /// If there is no room.
    pub fn reserve(&self, slots: u32) -> io::Result<()> {
        let len = ARENA_FILE_OFFSET + CONTROL_LEN + SLOT_LEN * u64::from(slots);
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, flags, 0, len) {
            // The file system cannot promise room.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Whether the path still leads to this file.
    #[must_use]
    pub fn is_current(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let id = |m: io::Result<std::fs::Metadata>| m.ok().map(|m| (m.dev(), m.ino()));
        id(self.file.metadata()) == id(std::fs::metadata(&self.path))
    }

    /// The arena's file, open.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Path of the arena's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The control block.
    #[must_use]
    pub fn control(&self) -> &Control {
        // SAFETY: mapped for as long as `self`; zeroes are a valid `Control`.
        unsafe { self.base.cast::<Control>().as_ref() }
    }

    fn slot_pointer(&self, index: u32) -> NonNull<u8> {
        assert!((index as usize) < MAX_SLOTS, "slot index in range");
        let offset = CONTROL_LEN + SLOT_LEN * u64::from(index);
        // SAFETY: within the mapping, by the assertion.
        unsafe {
            self.base
                .cast::<u8>()
                .add(usize::try_from(offset).expect("64 bits"))
        }
    }

    /// Slot `index`.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn slot(&self, index: u32) -> &Slot {
        // SAFETY: as for `control`.
        unsafe { self.slot_pointer(index).cast::<Slot>().as_ref() }
    }

    fn stage(&self, index: u32) -> &Stage {
        let offset = usize::try_from(STAGE_OFFSET).expect("small");
        // SAFETY: within the slot, as for `control`.
        unsafe {
            self.slot_pointer(index)
                .add(offset)
                .cast::<Stage>()
                .as_ref()
        }
    }

    /// Records that a process which runs no more has left on their way to the ring.
    #[must_use]
    pub fn staged(&self, index: u32) -> Vec<u8> {
        let stage = self.stage(index);
        let len = usize::try_from(stage.len.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        let head = self.slot(index).head.load(Ordering::Acquire);
        if stage.base.load(Ordering::Relaxed) != head {
            return Vec::new();
        }
        // SAFETY: nobody writes there any more; the length is checked.
        let bytes = unsafe { (&raw const stage.bytes).read_volatile() };
        bytes.get(..len).unwrap_or_default().to_vec()
    }

    /// A tick of the session clock, above all that the process of a slot took.
    #[must_use]
    pub fn tick_after(&self, index: u32) -> u64 {
        let clock = &self.control().clock;
        let last = self.stage(index).tick.load(Ordering::Relaxed);
        clock.fetch_max(last.saturating_add(1), Ordering::AcqRel);
        clock.fetch_add(1, Ordering::AcqRel)
    }

    /// Claims a free slot.
    #[must_use]
    pub fn claim(&self) -> Option<u32> {
        use orch_abi::shared::state::{CLAIMED, FREE};
        (0..u32::try_from(MAX_SLOTS).expect("small")).find(|&i| {
            let taken = self
                .slot(i)
                .state
                .compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
            if taken {
                self.control().slots_used.fetch_max(i + 1, Ordering::AcqRel);
            }
            taken
        })
    }

    /// Sets the registers a new image starts with; the slot must be claimed and not yet active.
    pub fn set_boot_regs(&self, index: u32, regs: Regs) {
        let slot = self.slot_pointer(index).cast::<Slot>();
        // SAFETY: nobody reads the field before the tracee is let go.
        unsafe { (&raw mut (*slot.as_ptr()).boot_regs).write(regs) }
    }

    /// Leaves the first mappings of code in a slot's message.
    pub fn set_first_maps(&self, index: u32, maps: &[Map]) {
        let slot = self.slot_pointer(index).cast::<Slot>();
        let mut message = [Map::default(); FIRST_MAPS];
        for (to, from) in message.iter_mut().zip(maps) {
            *to = *from;
        }
        // SAFETY: nobody reads the field before the tracee is let go; there is room.
        unsafe {
            (&raw mut (*slot.as_ptr()).message)
                .cast::<[Map; FIRST_MAPS]>()
                .write_unaligned(message);
        }
    }

    /// The text in a slot's `message`.
    #[must_use]
    pub fn message(&self, index: u32) -> String {
        let slot = self.slot_pointer(index).cast::<Slot>();
        // SAFETY: bytes; at worst half-written ones.
        let text = unsafe { (&raw const (*slot.as_ptr()).message).read_volatile() };
        let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    }

    /// Forgets the text in a slot's `message`.
    pub fn clear_message(&self, index: u32) {
        let slot = self.slot_pointer(index).cast::<Slot>();
        // SAFETY: as for `message`.
        unsafe {
            (&raw mut (*slot.as_ptr()).message)
                .cast::<u8>()
                .write_volatile(0)
        }
    }

    /// The first `len` bytes of a slot's `message`, which a request uses.
    #[must_use]
    pub fn scratch(&self, index: u32, len: usize) -> Vec<u8> {
        let slot = self.slot_pointer(index).cast::<Slot>();
        // SAFETY: as for `message`; the asking process waits.
        let text = unsafe { (&raw const (*slot.as_ptr()).message).read_volatile() };
        text[..len.min(text.len())].to_vec()
    }

    /// Puts the bytes of an answer into a slot's `message`.
    ///
    /// # Panics
    /// If there are more than it has room for.
    pub fn set_scratch(&self, index: u32, bytes: &[u8]) {
        let slot = self.slot_pointer(index).cast::<Slot>();
        assert!(bytes.len() <= 4096, "an answer fits");
        // SAFETY: in bounds by the assertion; the asking process waits.
        unsafe {
            (&raw mut (*slot.as_ptr()).message)
                .cast::<u8>()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        }
    }

    /// Sets the directory from which a replay opens captured files.
    ///
    /// # Panics
    /// If the path is longer than the kernel allows.
    pub fn set_files_dir(&self, dir: &Path) {
        // SAFETY: only computes the field's address.
        self.set_path(
            unsafe { &raw mut (*self.base.cast::<Control>().as_ptr()).files_dir },
            dir,
        );
    }

    fn set_path(&self, field: *mut [u8; 4096], path: &Path) {
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = path.as_os_str().as_bytes();
        assert!(bytes.len() < 4096, "path within PATH_MAX");
        // SAFETY: set before any process runs; the assertion keeps it in bounds.
        unsafe {
            field.cast::<u8>().copy_from(bytes.as_ptr(), bytes.len());
            field.cast::<u8>().add(bytes.len()).write(0);
        }
    }

    /// Copies what the process has published from offset `from` on to `out`;
    /// returns how much. The room is not free before [`free`](Self::free).
    pub fn read(&self, index: u32, from: u64, out: &mut Vec<u8>) -> u64 {
        let slot = self.slot(index);
        let head = slot.head.load(Ordering::Acquire);
        let n = head.saturating_sub(from).min(RING_LEN);
        if n > 0 {
            self.copy_out(index, from, n, out);
        }
        n
    }

    /// Frees the room of what precedes offset `to`: it is in a file, and so
    /// outlives the arena.
    pub fn free(&self, index: u32, to: u64) {
        let slot = self.slot(index);
        if slot.tail.load(Ordering::Relaxed) >= to {
            return;
        }
        slot.tail.store(to, Ordering::SeqCst);
        if slot.waiting.swap(0, Ordering::SeqCst) != 0 {
            slot.moved.fetch_add(1, Ordering::Release);
            futex_wake(&slot.moved);
        }
    }

    /// Sets the offset at which the ring of a claimed slot continues a recording.
    pub fn start_at(&self, index: u32, offset: u64) {
        let slot = self.slot(index);
        slot.head.store(offset, Ordering::Relaxed);
        slot.tail.store(offset, Ordering::Release);
    }

    fn copy_out(&self, index: u32, from: u64, len: u64, out: &mut Vec<u8>) {
        let ring = self.ring(index);
        let at = usize::try_from(from % RING_LEN).expect("64 bits");
        let len = usize::try_from(len).expect("64 bits");
        let first = len.min(ring_len() - at);
        out.reserve(len);
        // SAFETY: the producer has published these bytes and does not touch
        // them until `tail` has moved.
        unsafe {
            let end = out.as_mut_ptr().add(out.len());
            end.copy_from_nonoverlapping(ring.add(at), first);
            end.add(first).copy_from_nonoverlapping(ring, len - first);
            out.set_len(out.len() + len);
        }
    }

    fn ring(&self, index: u32) -> *mut u8 {
        // SAFETY: the ring lies behind the header, within the slot.
        unsafe {
            self.slot_pointer(index)
                .as_ptr()
                .add(usize::try_from(SLOT_HEADER_LEN).expect("small"))
        }
    }

    /// Puts as much of `bytes` into the ring as there is room for, where this
    /// process is the producer; returns how much.
    pub fn feed(&self, index: u32, bytes: &[u8]) -> usize {
        let slot = self.slot(index);
        let head = slot.head.load(Ordering::Relaxed);
        let tail = slot.tail.load(Ordering::Acquire);
        let room =
            usize::try_from(RING_LEN - head.wrapping_sub(tail).min(RING_LEN)).expect("64 bits");
        let n = bytes.len().min(room);
        if n == 0 {
            return 0;
        }
        let at = usize::try_from(head % RING_LEN).expect("64 bits");
        let first = n.min(ring_len() - at);
        // SAFETY: the consumer does not look at this room until `head` has moved.
        unsafe {
            let ring = self.ring(index);
            ring.add(at).copy_from_nonoverlapping(bytes.as_ptr(), first);
            ring.copy_from_nonoverlapping(bytes.as_ptr().add(first), n - first);
        }
        slot.head.store(head + n as u64, Ordering::SeqCst);
        self.wake_reader(index);
        n
    }

    /// Replay: wakes a process that waits for more.
    pub fn wake_reader(&self, index: u32) {
        let slot = self.slot(index);
        if slot.waiting.swap(0, Ordering::SeqCst) != 0 {
            slot.moved.fetch_add(1, Ordering::Release);
            futex_wake(&slot.moved);
        }
    }

    /// Answers the request of a slot.
    pub fn answer(&self, index: u32, reply: u64) {
        let slot = self.slot(index);
        slot.reply.store(reply, Ordering::Release);
        slot.request
            .store(orch_abi::shared::request::NONE, Ordering::Release);
        slot.answered.fetch_add(1, Ordering::Release);
        futex_wake(&slot.answered);
    }

    /// Frees a slot for the next process.
    pub fn release(&self, index: u32) {
        let slot = self.slot(index);
        slot.recording.store(0, Ordering::Relaxed);
        slot.head.store(0, Ordering::Relaxed);
        slot.tail.store(0, Ordering::Relaxed);
        slot.complete.store(0, Ordering::Relaxed);
        slot.verdict.store(0, Ordering::Relaxed);
        slot.boot_flags.store(0, Ordering::Relaxed);
        slot.baton_waiters.store(0, Ordering::Relaxed);
        slot.signal_waits.store(0, Ordering::Relaxed);
        slot.stubs_full.store(0, Ordering::Relaxed);
        slot.request.store(request::NONE, Ordering::Relaxed);
        let stop = &slot.stop;
        stop.at.store(0, Ordering::Relaxed);
        for word in [&stop.traced, &stop.state, &stop.command, &stop.moved] {
            word.store(0, Ordering::Relaxed);
        }
        stop.breakpoints[0].store(0, Ordering::Relaxed);
        let stage = self.stage(index);
        stage.len.store(0, Ordering::Relaxed);
        stage.tick.store(0, Ordering::Relaxed);
        slot.state
            .store(orch_abi::shared::state::FREE, Ordering::Release);
    }

    /// Waits until a slot rings, `seen` being the doorbell's value before the
    /// slots were last looked at; true if it did not until the time was over.
    pub fn wait_doorbell(&self, seen: u32, time: Duration) -> bool {
        let bell = &self.control().doorbell;
        wait(bell, seen, time);
        bell.rung() == seen
    }
}

fn ring_len() -> usize {
    usize::try_from(RING_LEN).expect("64 bits")
}

/// Waits until the bell is rung more than `seen` times, at most `time`.
pub fn wait(Bell(bell): &Bell, seen: u32, time: Duration) {
    futex_wait(bell, seen, time);
}

/// Rings the bell.
pub fn ring(Bell(bell): &Bell) {
    bell.fetch_add(1, Ordering::Release);
    futex_wake(bell);
}

/// Wakes everybody who waits on `word`, in whatever process.
#[expect(unsafe_code, reason = "futex(2) has no wrapper in nix")]
pub fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word is valid memory; FUTEX_WAKE does not access it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Waits while `*word == value`, at most `time`.
#[expect(unsafe_code, reason = "futex(2) has no wrapper in nix")]
pub fn futex_wait(word: &AtomicU32, value: u32, time: Duration) {
    let time = libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // SAFETY: word and timespec are valid for the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            &raw const time,
        )
    };
}
