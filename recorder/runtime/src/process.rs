//! What the runtime keeps for the whole process.

use crate::signal::Action;
use crate::thread::Baton;
use core::sync::atomic::{AtomicBool, AtomicU32};

/// Most threads at a time.
pub const MAX: usize = orch_abi::layout::MAX_THREADS;

/// Whether a descriptor leads to the console.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Not looked at since it last changed.
    Unknown,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// State that a child in the same memory (vfork) changes for itself only.
#[derive(Clone, Copy)]
pub struct Own {
    /// Signal dispositions, index signal - 1.
    pub actions: [Action; 64],
    /// Descriptors 0 to 2.
    pub console: [Console; 3],
}

/// The process.
pub struct Process {
    /// State of its own, not shared with vfork children.
    pub own: Own,
    /// Who may run program code.
    pub baton: Baton,
    /// Index of the thread that runs program code.
    pub running: u32,
    /// How many threads there are, vfork children included.
    pub threads: u32,
    /// Safe points since the baton last changed hands.
    pub turns: u32,
    /// Set by the supervisor's interrupt: yield at the next safe point.
    pub hurry: AtomicU32,
    /// The runtime could not go on, maybe in a vfork child, whose end is not the process's.
    pub failed: AtomicBool,
    /// Which thread areas are mapped.
    pub mapped: [bool; MAX],
    /// End of the heap.
    pub brk: u64,
    /// Another process may have the same table of descriptors (CLONE_FILES).
    pub shares_files: bool,
    /// Number of the recording.
    pub recording: u32,
    /// The seccomp filter needs no_new_privs (kept for reports).
    pub options: u32,
}

static mut PROCESS: Process = Process {
    own: Own {
        actions: [Action::DEFAULT; 64],
        console: [Console::Unknown; 3],
    },
    baton: Baton::new(),
    running: 0,
    threads: 1,
    turns: 0,
    hurry: AtomicU32::new(0),
    failed: AtomicBool::new(false),
    mapped: [false; MAX],
    brk: 0,
    shares_files: false,
    recording: 0,
    options: 0,
};

/// The process. Only the holder of the baton changes it.
#[inline(always)]
pub fn process() -> &'static mut Process {
    // SAFETY: the baton serialises every access but that to the atomics.
    unsafe { &mut *&raw mut PROCESS }
}
