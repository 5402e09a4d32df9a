//! Replay that stops: what a debugger and the process that it looks at tell
//! each other, and where in the process its parts are.
//!
//! The process looks at [`Stop::at`] at each event. When it has come there it
//! says so and waits for a [`command`]; it can be attached to meanwhile.
//! Everything else (steps, breakpoints) is the debugger's, with ptrace(2).

use crate::record::Regs;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// Part of a slot.
#[repr(C)]
pub struct Stop {
    /// Offset + 1 in the recording's stream of the record to stop at; 0 if the
    /// process shall not stop. It stops before that event, or, where the event
    /// is behind something that the process cannot stop in, as soon after as it can.
    pub at: AtomicU64,
    /// The recording that is meant: its ancestors are run through.
    pub recording: AtomicU32,
    /// 1 if a tracer waits: the process then tells it with an `int3`.
    pub traced: AtomicU32,
    /// One of [`state`].
    pub state: AtomicU32,
    /// Futex: one of [`command`]. The process sets it to [`command::NONE`].
    pub command: AtomicU32,
    /// What the command is about.
    pub argument: AtomicU64,
    /// Offset of the record that comes next.
    pub offset: AtomicU64,
    /// Index of the thread that runs.
    pub thread: AtomicU32,
    /// One of [`why`].
    pub why: AtomicU32,
    /// Set, before an `int3`, when other code than before is displaced, so that
    /// breakpoints may have to go elsewhere.
    pub moved: AtomicU32,
    /// Zero.
    pub reserved: AtomicU32,
    /// Its registers, as the program has them.
    pub regs: Regs,
    /// Where things are.
    pub layout: Layout,
    /// Breakpoints that are in the code: address, and in the upper eight bits
    /// the byte that belongs there. 0 where there is none.
    pub breakpoints: [AtomicU64; MAX_BREAKPOINTS],
}

/// How many breakpoints can be in the code at a time.
pub const MAX_BREAKPOINTS: usize = 512;

/// What the process does.
pub mod state {
    /// It runs.
    pub const RUNNING: u32 = 0;
    /// It waits for a command.
    pub const STOPPED: u32 = 1;
}

/// What the process shall do.
pub mod command {
    /// Wait.
    pub const NONE: u32 = 0;
    /// Go on.
    pub const GO: u32 = 1;
    /// Make a copy of itself, which takes the claimed slot `argument`, and waits there.
    pub const FORK: u32 = 2;
    /// End.
    pub const END: u32 = 3;
    /// Trap where the process can be saved, or a saved one can be put in its place. The
    /// tracer, who has attached, reads or writes memory and registers there; in what was
    /// put there, rax is the claimed slot and 1, otherwise 0.
    pub const SAVE: u32 = 4;
}

/// Where the process stopped.
pub mod why {
    /// Before an event.
    pub const BEFORE: u32 = 0;
    /// Behind an event, where the program goes on.
    pub const BEHIND: u32 = 1;
    /// The recording has no more events.
    pub const END: u32 = 2;
}

/// Addresses in the process, all of them the runtime's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Offset in the recording's stream of the record that comes next.
    pub offset: u64,
    /// Flags (one byte each) of which thread areas are in use.
    pub mapped: u64,
    /// Offset in a thread's area of its structure, and offsets in that.
    pub thread: u64,
    /// [`Regs`].
    pub thread_regs: u64,
    /// Kernel thread id (32 bits).
    pub thread_tid: u64,
    /// 0 if the thread is not alive (32 bits).
    pub thread_life: u64,
    /// FS base of a thread that does not run.
    pub thread_fs_base: u64,
    /// Signal mask.
    pub thread_mask: u64,
    /// [`PatchedSite`]s, and how many (64 bits).
    pub sites: u64,
    /// See above.
    pub site_count: u64,
    /// [`Window`]s, how many (64 bits), and [`crate::access::Moved`]; there is nothing
    /// at these addresses while there are none.
    pub windows: u64,
    /// See above.
    pub window_count: u64,
    /// See above.
    pub moved: u64,
    /// Pages of jumps to stubs (64 bits each), and how many (64 bits).
    pub pads: u64,
    /// See above.
    pub pad_count: u64,
    /// [`SearchStub`].
    pub search: u64,
    /// [`Region`]s, and how many (64 bits).
    pub regions: u64,
    /// See above.
    pub region_count: u64,
    /// Not 0 while an instruction is stepped on an open page (64 bits).
    pub open_pages: u64,
    /// Not 0 while an instruction is stepped in a search (8 bits).
    pub search_stepping: u64,
    /// The breakpoint of a search: 1 if it is in the code (8 bits), its address
    /// (64 bits), and the byte that belongs there.
    pub search_inserted: u64,
    /// See above.
    pub search_address: u64,
    /// See above.
    pub search_original: u64,
    /// Jumps by which the runtime goes back to the program or a stub.
    pub exits: [u64; 4],
    /// The `syscall` with which its signal handlers return (rt_sigreturn(2)).
    pub sigreturn: u64,
    /// Dispositions of signals, 32 bytes each (`struct kernel_sigaction`).
    pub actions: u64,
}

/// A system-call site, or `cpuid`, that became a jump.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchedSite {
    /// Address behind the instruction.
    pub after: u64,
    /// Where to go on: behind the site, or the displaced follower.
    pub resume: u64,
    /// First patched byte.
    pub start: u64,
    /// Where the jump leads.
    pub trampoline: u64,
    /// System-call number that the patched `mov` loads, `u32::MAX` if there
    /// is no such, or `u32::MAX - 1` for a `cpuid`, `u32::MAX - 2` for an `xsave` or `xsavec`.
    pub number: u32,
    /// Bytes of the displaced instructions.
    pub follower: u32,
    /// 1 if it is in place.
    pub live: u32,
    /// Bytes of the trampoline.
    pub len: u32,
    /// What belongs where the jump is, and after it up to eight bytes.
    pub original: [u8; 16],
}

/// Code of the program that a stub stands for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First address.
    pub ip: u64,
    /// Address of the stub.
    pub stub: u64,
    /// Bytes of the window.
    pub len: u32,
    /// Its instructions, in the table of them.
    pub moved: u32,
    /// How many.
    pub count: u32,
    /// 1 if the jump is in place.
    pub patched: u32,
    /// Bytes of the stub.
    pub stub_len: u32,
    /// First of its sites, and how many.
    pub sites: u32,
    /// See above.
    pub site_count: u32,
    /// The program's code there.
    pub code: [u8; 40],
}

/// The stub of a search for a place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchStub {
    /// 1 if it is in place.
    pub on: u32,
    /// Bytes of the displaced instructions.
    pub len: u32,
    /// Bit `n`: an instruction begins at offset `n`.
    pub starts: u32,
    /// Zero.
    pub reserved: u32,
    /// Its pages: address and length.
    pub pages: [u64; 2],
    /// Address of the jump.
    pub ip: u64,
    /// First moved instruction.
    pub moved: u64,
    /// Offsets from it of them all.
    pub offsets: [u8; 8],
    /// What belongs where the jump is, and behind it.
    pub original: [u8; 24],
}

/// A shared mapping.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// `PROT_*`, as the program asked for it.
    pub prot: u64,
    /// Address of the view through which the runtime and the kernel reach it.
    pub alias: u64,
    /// Address of what the process saw last.
    pub copy: u64,
    /// Number of the object.
    pub object: u32,
    /// Zero.
    pub reserved: u32,
    /// Offset of `start` in it.
    pub offset: u64,
}

impl Region {
    /// Whether `len` bytes at `addr` lie in it.
    #[must_use]
    pub const fn contains(&self, addr: u64, len: u64) -> bool {
        let d = addr.wrapping_sub(self.start);
        d < self.len && len <= self.len - d
    }

    /// Where the alias has what the program has at `addr`.
    #[must_use]
    pub const fn alias(&self, addr: u64) -> u64 {
        self.alias + (addr - self.start)
    }

    /// Where the copy has it.
    #[must_use]
    pub const fn copy(&self, addr: u64) -> u64 {
        self.copy + (addr - self.start)
    }

    /// Offset in the object of what the program has at `addr`.
    #[must_use]
    pub const fn object_offset(&self, addr: u64) -> u64 {
        self.offset + (addr - self.start)
    }
}
