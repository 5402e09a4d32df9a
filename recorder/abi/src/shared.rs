//! The memory that a session's processes and its supervisor share: the
//! control block, and one slot (header and ring) for each live recording.
//!
//! Every field that both sides touch is atomic; the others are written by one
//! side before it publishes the slot's `state`, and read by the other after.

use crate::layout::{PAGE, STAGE_LEN};
use crate::record::Regs;
use crate::stop::Stop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Identifies an arena of this layout.
pub const MAGIC: u64 = 0x3530_4148_4352_4f21;

/// What the runtime does in this arena.
pub mod mode {
    /// Perform calls and log them.
    pub const RECORD: u32 = 1;
    /// Read the log and check against it.
    pub const REPLAY: u32 = 2;
}

/// The time-stamp counter as a function of `CLOCK_MONOTONIC_RAW`, in nanoseconds. To read the
/// counter itself, a process would have to allow that and to forbid it again (prctl(2),
/// PR_SET_TSC): two writes to CR4, some 8 µs each in a virtual machine.
#[repr(C)]
pub struct Tsc {
    /// The counter at `nanos`.
    pub ticks: AtomicU64,
    /// The clock then.
    pub nanos: AtomicU64,
    /// Counter ticks in a nanosecond, times 2³².
    pub rate: AtomicU64,
}

impl Tsc {
    /// The counter when the clock shows `nanos`.
    pub fn at(&self, nanos: u64) -> u64 {
        let passed = nanos.wrapping_sub(self.nanos.load(Ordering::Relaxed));
        let rate = self.rate.load(Ordering::Relaxed);
        let ticks = ((u128::from(passed) * u128::from(rate)) >> 32) as u64;
        self.ticks.load(Ordering::Relaxed).wrapping_add(ticks)
    }
}

/// First block of the arena.
#[repr(C)]
pub struct Control {
    /// [`MAGIC`].
    pub magic: AtomicU64,
    /// One of [`mode`].
    pub mode: AtomicU32,
    /// Process id of the supervisor; who waits for it checks that it lives.
    pub supervisor: AtomicU32,
    /// The session clock: no event that passes through the kernel takes a tick
    /// below this. Accesses to shared memory have clocks of their own ([`Line`]).
    pub clock: AtomicU64,
    /// The number the next recording takes (`p1` is 1).
    pub next_recording: AtomicU32,
    /// Rung when a slot wants the supervisor's attention.
    pub doorbell: Bell,
    /// Rung when a slot wants a stub, and somebody waits for that.
    pub stub_bell: Bell,
    /// Whether somebody does.
    pub stub_maker: AtomicU32,
    /// No slot from this index on has ever been used.
    pub slots_used: AtomicU32,
    /// Behaviour switches, bits of [`option`].
    pub options: AtomicU32,
    /// What the time-stamp counter is said to be; set before the first process runs.
    pub tsc: Tsc,
    /// How many rows of `cpuid` are filled.
    pub cpuid_rows: AtomicU32,
    /// How many rows of `files` are filled (they are only appended).
    pub file_rows: AtomicU32,
    /// Device and inode of what the root process had as standard output and
    /// error: writes to it are console output, whose bytes are logged.
    pub console: [[AtomicU64; 2]; 2],
    /// Thread that has whole pages of shared memory open, or 0.
    pub pages_lock: AtomicU32,
    /// Thread that adds to `objects`, or 0.
    pub objects_lock: AtomicU32,
    /// How many rows of `objects` are filled (they are only appended). The
    /// object of row `i` has number `i + 1`.
    pub object_rows: AtomicU32,
    /// How many threads sleep until one of `lines`, or the locks above, is free.
    pub lock_sleepers: AtomicU32,
    /// Replay: at a fork whose child is listed here, go on as the child.
    pub replay_path: [AtomicU32; 256],
    /// What was found in dynamic linkers, by which the next process finds it sooner.
    pub images: [ImageRow; 8],
    /// By number of the captured file, where the processor has no fault for `cpuid`.
    pub code: [CodeRow; 2048],
    /// Offsets in those files.
    pub cpuids: [AtomicU64; 8192],
    /// What `cpuid` answers in every process of the session.
    pub cpuid: [CpuidRow; 512],
    /// Directory of the captured files, NUL-terminated (replay opens them).
    pub files_dir: [u8; 4096],
    /// Files already captured, looked up before a file mapping.
    pub files: [FileRow; 8192],
    /// Objects of shared memory.
    pub objects: [ObjectRow; MAX_OBJECTS],
    /// Path of the arena's file, NUL-terminated: opened before execve.
    pub arena: [u8; 4096],
    /// Locks and clocks of shared memory's lines, by hash. No protection key keeps
    /// the program off them: stubs take them without the runtime's rights.
    pub lines: Lines,
}

/// Futex: bumped and woken. Who waits for it looks often: it shares no cache line with
/// what changes all the time.
#[repr(C, align(64))]
pub struct Bell(pub AtomicU32);

impl Bell {
    /// How often it was rung, to wait for the next time.
    pub fn rung(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

/// How many mappings of code a new image can have that the supervisor tells of in
/// the slot's message ([`crate::record::Map`]; the last has no length).
pub const FIRST_MAPS: usize = 8;

/// Where a captured file has instructions to be replaced.
#[repr(C)]
pub struct CodeRow {
    /// First in [`Control::cpuids`].
    pub first: AtomicU32,
    /// How many.
    pub count: AtomicU32,
}

/// What is patched in the dynamic linker before it runs.
#[repr(C)]
pub struct ImageRow {
    /// Hash of its first page; 0 while there is nothing here.
    pub key: AtomicU64,
    /// 1 as soon as somebody fills the row in.
    pub claimed: AtomicU32,
    /// How many.
    pub count: AtomicU32,
    /// Where, from the beginning of the code, with what it is in the upper bits.
    pub sites: [AtomicU32; IMAGE_SITES],
}

/// How many of these there are.
pub const IMAGE_SITES: usize = 124;

/// Whole pages.
#[repr(C, align(4096))]
pub struct Lines(pub [Line; LINES]);

const _: () = assert!((size_of::<Lines>() as u64).is_multiple_of(PAGE));

/// A line of shared memory, or several with the same hash. Who accesses it and may
/// find or leave something new there holds the lock and takes a tick above the
/// line's, which becomes the line's: so ticks order all accesses to the same bytes.
#[repr(C, align(16))]
pub struct Line {
    /// The thread that accesses it, or 0.
    pub lock: AtomicU32,
    /// Padding, zero.
    pub reserved: AtomicU32,
    /// Tick of the last access.
    pub tick: AtomicU64,
}

/// How many objects of shared memory a session can have.
pub const MAX_OBJECTS: usize = 8192;
/// How many locks there are for lines of shared memory.
pub const LINES: usize = 1 << 16;
/// Bytes of a line.
pub const LINE: u64 = 64;
/// How far the tick of an access may be ahead of the session clock.
pub const DRIFT: u64 = 64;

/// End of a slot's header: records on their way to the ring, and the process's
/// clock. No protection key keeps the program off it: accesses to shared memory are
/// logged here without the runtime's rights, and taken to the ring many at a time.
#[repr(C, align(4096))]
pub struct Stage {
    /// The last tick that the process took.
    pub tick: AtomicU64,
    /// Offset in the stream of the first record here.
    pub base: AtomicU64,
    /// Bytes of records here; they count as long as `base` is [`Slot::head`].
    pub len: AtomicU64,
    /// Padding, zero.
    pub reserved: AtomicU64,
    /// The records.
    pub bytes: [u8; STAGE_BYTES],
}

/// Room in a stage.
pub const STAGE_BYTES: usize = STAGE_LEN as usize - 32;
const _: () = assert!(size_of::<Stage>() as u64 == STAGE_LEN);
const _: () = assert!(size_of::<Slot>() as u64 <= crate::layout::STAGE_OFFSET);
const _: () = assert!(size_of::<Control>() as u64 <= crate::layout::CONTROL_LEN);

/// Bits of [`Control::options`].
pub mod option {
    /// Never patch system-call sites: every call takes the trapped path.
    pub const NO_PATCH: u32 = 1;
    /// Log a digest of memory at intervals.
    pub const DIGEST: u32 = 2;
    /// Replay: follow forks with a real fork, so that children are checked too.
    pub const FOLLOW_FORKS: u32 = 4;
    /// The session was recorded where the processor has no fault for `cpuid`.
    pub const REPLACE_CPUID: u32 = 8;
}

/// The registers `cpuid` returns for one leaf and subleaf.
#[repr(C)]
pub struct CpuidRow {
    /// eax going in.
    pub leaf: AtomicU32,
    /// ecx going in.
    pub subleaf: AtomicU32,
    /// eax, ebx, ecx, edx coming out.
    pub out: [AtomicU32; 4],
}

/// One captured version of a file.
#[repr(C)]
pub struct FileRow {
    /// `st_dev`.
    pub dev: AtomicU64,
    /// `st_ino`.
    pub ino: AtomicU64,
    /// `st_size`, bytes.
    pub size: AtomicU64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime: AtomicU64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: AtomicU64,
    /// Number of the captured copy.
    pub file: AtomicU64,
}

/// An object of shared memory ([`crate::record::Object`]).
#[repr(C)]
pub struct ObjectRow {
    /// One of [`crate::record::object`].
    pub what: AtomicU64,
    /// `st_dev`, or 0.
    pub dev: AtomicU64,
    /// `st_ino`, or what else identifies it.
    pub ino: AtomicU64,
}

/// Life of a slot.
pub mod state {
    /// Not in use.
    pub const FREE: u32 = 0;
    /// Taken, not yet filled in.
    pub const CLAIMED: u32 = 1;
    /// A process logs to it (record) or reads from it (replay).
    pub const ACTIVE: u32 = 2;
    /// The process ended or left it; what is in the ring is all there is.
    pub const DONE: u32 = 3;
}

/// What a process asks of the supervisor through its slot.
pub mod request {
    /// Nothing is asked.
    pub const NONE: u32 = 0;
    /// Attach before execve of thread `args[0]`; reply 1 when attached. The new
    /// image will have the arena open as descriptor `args[3] - 1`, if that is not 0.
    pub const EXEC: u32 = 1;
    /// That execve failed: let go; reply 1.
    pub const EXEC_FAILED: u32 = 2;
    /// Capture descriptor `args[0]` of process `args[1]`; reply its number + 1, or 0.
    pub const CAPTURE: u32 = 3;
    /// Replay: go on with recording `args[0]` in this slot; reply 1.
    pub const BECOME: u32 = 4;
    /// Replay: move the `args[2]` bytes of code in the slot's message from
    /// address `args[0]` to `args[1]`. Reply: the number of bytes in the message
    /// now, or 0 if they cannot be moved; `args[3]` becomes the new offsets of
    /// the instructions, one byte each, lowest first.
    pub const RELOCATE: u32 = 5;
    /// Make a stub for the instruction at `args[0]`. The slot's message holds `args[2]`
    /// bytes (low half) of the program's code there, after `args[2] >> 32` bytes of what
    /// precedes them; the stub will lie at `args[1]`, and its sites be numbered from `args[3]`.
    /// Reply: the length of the answer in the message ([`crate::access::Stub`]), or 0
    /// if there is none for this instruction.
    pub const STUB: u32 = 6;
}

/// How a replaying process ended, in [`Slot::verdict`].
pub mod verdict {
    /// Still running, or killed.
    pub const NONE: u32 = 0;
    /// The last record was reached and everything matched.
    pub const MATCHED: u32 = 1;
    /// Something differed: see [`super::Slot::divergence`].
    pub const DIVERGED: u32 = 2;
    /// The runtime failed an assertion of its own: see [`super::Slot::message`].
    pub const BROKEN: u32 = 3;
}

/// Header of a slot. The ring follows at [`crate::layout::SLOT_HEADER_LEN`].
#[repr(C)]
pub struct Slot {
    /// One of [`state`].
    pub state: AtomicU32,
    /// Recording number.
    pub recording: AtomicU32,
    /// Recording it was forked from, or 0.
    pub parent: AtomicU32,
    /// Process id as the process sees it.
    pub pid: AtomicU32,
    /// Offset in the recording's stream behind what the producer has
    /// published. An exec recording begins in its file, so its ring does not
    /// start with offset 0.
    pub head: AtomicU64,
    /// Offset before which the ring's room is free. Recording: what precedes
    /// it is in the file; the supervisor may have read further.
    pub tail: AtomicU64,
    /// Futex: bumped by the consumer when it made room (record), by the
    /// producer when it put data in (replay).
    pub moved: AtomicU32,
    /// Set by who waits on `moved`.
    pub waiting: AtomicU32,
    /// Replay: set once the producer has put in the last record.
    pub complete: AtomicU32,
    /// One of [`request`].
    pub request: AtomicU32,
    /// Arguments of the request.
    pub args: [AtomicU64; 4],
    /// Answer to the request.
    pub reply: AtomicU64,
    /// Futex: bumped when a request has been answered.
    pub answered: AtomicU32,
    /// Replay: one of [`verdict`].
    pub verdict: AtomicU32,
    /// Thread that runs program code now (kernel thread id).
    pub running: AtomicU32,
    /// How many threads wait for the baton; with `hurry_since`, tells the
    /// supervisor whom to interrupt.
    pub baton_waiters: AtomicU32,
    /// Bumped at every safe point: no progress means a compute loop.
    pub progress: AtomicU64,
    /// Set while a caught signal waits for a safe point.
    pub signal_waits: AtomicU32,
    /// 1 when there is no room for another stub: what comes now is slow. 2 when the user
    /// was told.
    pub stubs_full: AtomicU32,
    /// Registers of the program when the runtime was put in (boot).
    pub boot_regs: Regs,
    /// Boot: signals that the program before exec had blocked, although the
    /// kernel could not be told.
    pub boot_mask: AtomicU64,
    /// Boot: bits of [`boot`].
    pub boot_flags: AtomicU64,
    /// Replay: what differed.
    pub divergence: Divergence,
    /// Replay: where to stop, and what a debugger finds there.
    pub stop: Stop,
    /// Text for people: a failed assertion, or which part of an event differed.
    pub message: [u8; 4096],
}

const _: () = assert!(size_of::<Slot>() as u64 <= crate::layout::SLOT_HEADER_LEN);

/// Bits of [`Slot::boot_flags`].
pub mod boot {
    /// The seccomp filter is not inherited: install it.
    pub const INSTALL_FILTER: u64 = 1;
    /// The process may not gain privileges, so the filter needs no_new_privs.
    pub const NO_NEW_PRIVS: u64 = 2;
    /// Replay: no image is built; a process that was saved comes in the place of this one.
    pub const GIVE_WAY: u64 = 4;
}

/// What a replay found, and what its recording says.
#[repr(C)]
pub struct Divergence {
    /// Offset in the decoded record stream of the record that was expected.
    pub offset: AtomicU64,
    /// Index of the thread that ran.
    pub thread: AtomicU64,
    /// [`crate::record::Kind`] that the process came to.
    pub kind: AtomicU64,
    /// System-call number, where that was a call.
    pub nr: AtomicU64,
    /// Instruction pointer.
    pub ip: AtomicU64,
    /// Arguments.
    pub args: [AtomicU64; 6],
    /// Hash of the bytes going out.
    pub in_hash: AtomicU64,
}
