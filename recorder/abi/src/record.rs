//! The records of a recording, in the raw form they have in a ring.
//!
//! A record is a [`Head`] and a payload of `len` bytes, a multiple of 8, all
//! little-endian. docs/trace-format.md says how they are kept on disk.

use crate::digest::Digest;

/// First 16 bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// One of [`Kind`], as a number.
    pub kind: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// System-call number, signal number; of an access to shared memory any number that
    /// those of the same instruction have; or 0.
    pub aux: u16,
    /// Payload bytes, a multiple of 8.
    pub len: u32,
    /// When: higher than that of all that could influence it (docs/trace-format.md).
    pub tick: u64,
}

/// What happened.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A program image starts after exec: [`Start`]. First record of an exec recording.
    Start = 1,
    /// A mapping exists or is about to be made: [`Map`].
    Map = 2,
    /// Bytes came into memory from outside: [`Data`], then the bytes.
    Data = 3,
    /// A system call ended: [`Syscall`], then chunks ([`Chunk`]).
    Syscall = 4,
    /// A thread entered a call and let the others run: [`Syscall`] with result 0.
    Enter = 5,
    /// Another thread runs from here: [`Switch`].
    Switch = 6,
    /// A signal is delivered to a handler: [`Signal`], then siginfo (128 bytes).
    Signal = 7,
    /// A non-deterministic instruction was emulated: [`Insn`].
    Insn = 8,
    /// A process or thread is about to be made: [`Spawn`].
    Spawn = 9,
    /// An execve is about to be tried: [`Syscall`], then chunks.
    Exec = 10,
    /// The process (or thread) ends: [`Exit`].
    Exit = 11,
    /// The thread was interrupted between two instructions: [`Point`], then page hashes.
    Point = 12,
    /// The runtime took memory beside the program's: [`Map`].
    RuntimeMap = 13,
    /// First record of a forked recording: [`Forked`].
    Forked = 14,
    /// Digest of all memory at this place: [`Digest`].
    Digest = 15,
    /// How the process ended, as the supervisor learned: [`Ended`]. Last record.
    Ended = 16,
    /// What the runtime found when it was put in: [`Boot`].
    Boot = 17,
    /// Shared memory held something new when the thread was about to access
    /// it: [`Shared`], then [`Chunk`]s with what it saw.
    Shared = 18,
    /// An object of shared memory that this recording maps for the first time:
    /// [`Object`], then its name and NUL.
    Object = 19,
    /// Where an object is mapped from here on: [`View`].
    View = 20,
    /// The process stored to shared memory: [`Store`], then the new bytes, padded
    /// to 8, and with [`flag::UNSEEN`] the old ones, padded too.
    Store = 21,
}

impl Kind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_u8(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Start,
            2 => Self::Map,
            3 => Self::Data,
            4 => Self::Syscall,
            5 => Self::Enter,
            6 => Self::Switch,
            7 => Self::Signal,
            8 => Self::Insn,
            9 => Self::Spawn,
            10 => Self::Exec,
            11 => Self::Exit,
            12 => Self::Point,
            13 => Self::RuntimeMap,
            14 => Self::Forked,
            15 => Self::Digest,
            16 => Self::Ended,
            17 => Self::Boot,
            18 => Self::Shared,
            19 => Self::Object,
            20 => Self::View,
            21 => Self::Store,
            _ => return None,
        })
    }
}

/// Bits of [`Head::flags`].
pub mod flag {
    /// The call cannot be recorded and was answered without the kernel.
    pub const REFUSED: u8 = 1;
    /// The call was interrupted and its handler lets it start again.
    pub const RESTARTED: u8 = 2;
    /// Bytes that went to the console are in the chunks.
    pub const CONSOLE: u8 = 4;
    /// [`super::Kind::Shared`], [`super::Kind::Store`]: a system call made the access, not an instruction.
    pub const BY_CALL: u8 = 8;
    /// [`super::Kind::Shared`]: the thread was interrupted before the access, which it did not make.
    pub const INTERRUPTED: u8 = 16;
    /// [`super::Kind::Store`]: the old bytes are not what this recording saw last; they follow.
    pub const UNSEEN: u8 = 32;
    /// [`super::Kind::Shared`], [`super::Kind::Store`]: found by comparing the whole page: the
    /// instruction did not necessarily access each of the bytes.
    pub const BY_PAGE: u8 = 64;
    /// [`super::Kind::Shared`], [`super::Kind::Store`]: the instruction that the record before is
    /// about did this, too; no process can stand in between.
    pub const CONTINUED: u8 = 128;
}

/// General registers of a thread, in the order of the kernel's signal frame
/// (`struct sigcontext`, arch/x86/include/uapi/asm/sigcontext.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct Regs {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub rflags: u64,
}

impl From<[u64; 18]> for Regs {
    fn from(words: [u64; 18]) -> Self {
        Self {
            r8: words[0],
            r9: words[1],
            r10: words[2],
            r11: words[3],
            r12: words[4],
            r13: words[5],
            r14: words[6],
            r15: words[7],
            rdi: words[8],
            rsi: words[9],
            rbp: words[10],
            rbx: words[11],
            rdx: words[12],
            rax: words[13],
            rcx: words[14],
            rsp: words[15],
            rip: words[16],
            rflags: words[17],
        }
    }
}

impl From<Regs> for [u64; 18] {
    fn from(r: Regs) -> Self {
        [
            r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx,
            r.rdx, r.rax, r.rcx, r.rsp, r.rip, r.rflags,
        ]
    }
}

/// Payload of [`Kind::Start`], followed by the program's path, its arguments
/// and its working directory, each NUL-terminated (`argc` + 2 strings).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Registers at the program's first instruction.
    pub regs: Regs,
    /// Process id.
    pub pid: u32,
    /// Recording that called execve, or that the process was spawned from; 0 for the root.
    pub parent: u32,
    /// Wall time, nanoseconds since the epoch.
    pub time: u64,
    /// Number of arguments.
    pub argc: u32,
    /// 1 if the same process went on (exec), 0 if it is a spawned child's first image.
    pub same_process: u32,
}

/// Payload of [`Kind::Map`] and [`Kind::RuntimeMap`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// `MAP_*`.
    pub flags: u32,
    /// Number of the captured file + 1; 0 where the memory is anonymous.
    pub file: u64,
    /// Offset in the file, bytes.
    pub offset: u64,
}

/// Payload of [`Kind::Data`], followed by `len` bytes and padding to 8.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
}

/// Payload of [`Kind::Syscall`], [`Kind::Enter`] and [`Kind::Exec`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syscall {
    /// Address behind the `syscall` instruction.
    pub ip: u64,
    /// What the call returned (negative: `-errno`).
    pub result: i64,
    /// Arguments.
    pub args: [u64; 6],
    /// Hash (XXH3-64) of all memory that the call read.
    pub in_hash: u64,
}

/// Head of a piece of memory in a [`Syscall`]; `len` bytes and padding to 8 follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u32,
    /// 0: the kernel wrote it; 1: the kernel read it (kept for people, checked in replay).
    pub outgoing: u32,
}

/// Payload of [`Kind::Switch`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// Index of the thread that runs from here.
    pub thread: u32,
    /// Its kernel thread id.
    pub tid: u32,
}

/// Payload of [`Kind::Signal`], followed by `siginfo_t` (128 bytes).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signal {
    /// Instruction pointer in the frame.
    pub ip: u64,
    /// Stack pointer where the thread was.
    pub sp: u64,
    /// 1: caused by the instruction itself (a fault).
    pub fault: u32,
    /// 1: no handler, the process dies of it.
    pub fatal: u32,
    /// Of a fault: the processor's error code (SDM vol. 3, 7.13), which for a page fault says
    /// whether the kernel happened to have the page.
    pub error: u64,
}

/// Payload of [`Kind::Insn`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Insn {
    /// Its address.
    pub ip: u64,
    /// Value of the time-stamp counter.
    pub tsc: u64,
    /// `IA32_TSC_AUX`, for rdtscp.
    pub aux: u64,
}

/// Payload of [`Kind::Spawn`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spawn {
    /// 0: fork (own memory); 1: thread; 2: process in the same memory (vfork).
    pub what: u32,
    /// Recording number (fork) or thread index.
    pub child: u32,
}

/// Payload of [`Kind::Exit`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Argument of exit or exit_group.
    pub status: i32,
    /// 1: the whole process; 0: this thread; 2: a vfork child.
    pub whole: u32,
    /// Digest of all memory; zeros where none was taken.
    pub memory: Digest,
}

/// Payload of [`Kind::Point`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// General registers (flags without RF and TF).
    pub regs: Regs,
    /// How many accesses to shared memory the thread has made.
    pub accesses: u64,
    /// Hash of the memory around what the registers point to.
    pub near: u64,
    /// Digest of all memory; of no pages where there were too many to hash.
    pub digest: Digest,
}

/// Payload of [`Kind::Forked`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forked {
    /// Recording that forked.
    pub parent: u32,
    /// Process id of the child.
    pub pid: u32,
    /// Tick of the [`Kind::Spawn`] record in the parent's recording.
    pub tick: u64,
}

/// Payload of [`Kind::Ended`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How: one of [`ended`].
    pub how: u32,
    /// Exit code, signal number, or the recording that goes on.
    pub value: u32,
}

/// Payload of [`Kind::Shared`]. Each [`Chunk`] that follows is an address in the
/// recording, and what was there; with nothing of the access's own bytes changed
/// there are none ([`flag::INTERRUPTED`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Address of the instruction (or behind the `syscall`).
    pub ip: u64,
    /// Which of the thread's shared accesses, counted from 1.
    pub ordinal: u64,
    /// As in [`Store`].
    pub caller: u64,
}

/// Payload of [`Kind::Object`]. An object has the same `id` in all recordings of a session.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its number in the session, from 1.
    pub id: u64,
    /// One of [`object`].
    pub what: u64,
    /// `st_dev`; 0 for anonymous and System V memory.
    pub dev: u64,
    /// `st_ino`, or the System V identifier.
    pub ino: u64,
}

/// Values of [`Object::what`].
pub mod object {
    /// Anonymous memory, shared by inheritance; no name.
    pub const ANONYMOUS: u64 = 1;
    /// A file; the name is its path (of a memfd: `/memfd:NAME (deleted)`).
    pub const FILE: u64 = 2;
    /// A System V segment.
    pub const SYSV: u64 = 3;
}

/// Payload of [`Kind::View`]: the range shows this part of the object until
/// another view, or none, takes its place. A forked recording begins with its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// [`Object::id`]; 0: the range is no longer shared memory.
    pub object: u64,
    /// Offset in the object, bytes.
    pub offset: u64,
    /// `PROT_*`.
    pub prot: u64,
}

/// Payload of [`Kind::Store`]. The old bytes are what this recording saw or
/// stored there last, unless [`flag::UNSEEN`] says otherwise. The record's
/// tick orders it among all stores to the same bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// Address of the instruction (or behind the `syscall`).
    pub ip: u64,
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// The word on top of the stack, if the instruction is not in the program's own
    /// file, or 0: where a function of a library that has not pushed anything was called from.
    pub caller: u64,
}

/// Payload of [`Kind::Boot`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// Signal mask.
    pub mask: u64,
    /// Signals that are ignored.
    pub ignored: u64,
    /// End of the heap.
    pub brk: u64,
}

/// Values of [`Ended::how`].
pub mod ended {
    /// Exited; value is the code.
    pub const EXITED: u32 = 1;
    /// Killed; value is the signal.
    pub const KILLED: u32 = 2;
    /// Called execve; value is the recording of the new image.
    pub const EXECED: u32 = 3;
    /// Vanished; nobody saw how.
    pub const UNKNOWN: u32 = 4;
}

/// Most payload bytes in one record: longer data goes ahead in [`Kind::Data`] records.
pub const MAX_PAYLOAD: usize = 128 << 10;
/// Most bytes in one [`Kind::Data`] record.
pub const MAX_DATA: usize = 64 << 10;

/// `n` rounded up to a multiple of 8.
#[must_use]
pub const fn pad8(n: usize) -> usize {
    (n + 7) & !7
}
