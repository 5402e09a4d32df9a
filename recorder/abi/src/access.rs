//! What a stub of a shared access, the runtime's assembly and the runtime agree on.
//!
//! A *stub* does what one instruction of the program does (and, where that
//! instruction is shorter than a jump, what its followers do), but reaches
//! shared memory where the runtime says. The host makes it (`shm-tracker`),
//! the runtime puts it in place, and the program jumps or is sent to it.
//!
//! For each instruction with a memory operand a stub
//!
//! 1. saves its three scratch registers, which the instruction does not use,
//!    and the flags, in [`Access`];
//! 2. computes the effective address;
//! 3. goes on alone if the page is known as private; or if it is known as
//!    shared, the instruction only loads, alias and copy are equal there, and
//!    the countdown has not run out: then it loads from the copy;
//! 4. otherwise asks the runtime ([`Access::before`]), which answers with the
//!    address to use, or has already done all there is to do;
//! 5. restores flags and all scratch registers but the first, and performs the
//!    instruction with that register as its address;
//! 6. after a store to shared memory tells the runtime ([`Access::after`]).
//!
//! It uses neither the program's stack nor any memory but `Access`, by GS.

/// Offset from the thread's GS base of its [`Access`].
pub const ACCESS_OFFSET: usize = 8;
/// Rows of [`Access::pages`]; page number modulo this is the row.
pub const PAGES: usize = 64;
/// No page's number.
pub const NO_PAGE: u64 = u64::MAX;

/// A page of the program, as stubs know it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its number (address / 4096) if it is shared and may be read, or [`NO_PAGE`].
    pub shared: u64,
    /// Its number if it is not shared, or [`NO_PAGE`].
    pub private: u64,
    /// What to add to an address for the alias (wrapping).
    pub alias: u64,
    /// What to add to an address for the copy (wrapping).
    pub copy: u64,
    /// Its number if it is shared and may be read and written, or [`NO_PAGE`].
    pub writable: u64,
    /// Index of the first of its lines in [`crate::shared::Control::lines`].
    pub lines: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

/// A thread's data for stubs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// rax, while it is needed to save or restore flags.
    pub rax: u64,
    /// The program's arithmetic flags: `lahf`, then `seto %al`.
    pub flags: u64,
    /// The program's values of the site's scratch registers.
    pub scratch: [u64; 3],
    /// To the runtime: the effective address. From it: the address to use.
    pub address: u64,
    /// To the runtime: the value that a [`kind::STORE`] with
    /// [`Site::value`] stores, in the first bytes.
    pub value: [u64; 8],
    /// To the runtime: index of the [`Site`].
    pub site: u64,
    /// To the runtime: where in the stub to go on. `before` may change it.
    pub back: u64,
    /// How many loads may yet go on alone; decremented by each.
    pub countdown: i64,
    /// Where to jump before an access that cannot go on alone.
    pub before: u64,
    /// Where to jump after a store that was not private.
    pub after: u64,
    /// Known pages.
    pub pages: [Page; PAGES],
}

/// What an instruction does to its memory operand.
pub mod kind {
    /// It loads.
    pub const LOAD: u8 = 1;
    /// It stores, whatever was there.
    pub const STORE: u8 = 2;
    /// It loads and may store, or stores only in part: a store shows in what it changed.
    pub const UPDATE: u8 = 3;
    /// It loads, and stores whatever was there.
    pub const EXCHANGE: u8 = 4;
}

/// One instruction with a memory operand, in a stub.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Its address in the program.
    pub ip: u64,
    /// Address in the stub of the instruction that is performed after the
    /// runtime was asked; a fault there is the program's, and but for the
    /// first scratch register all registers are as the program has them.
    pub perform: u64,
    /// The same for what goes on alone. A load has one place for both.
    pub perform_private: u64,
    /// Where `before` makes a stub go on that has nothing left to do: the
    /// instruction was done by the runtime. 0 for a load.
    pub done: u64,
    /// Bytes that it accesses.
    pub size: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// The scratch registers, as numbered in instructions (rax 0, rcx 1, rdx 2, rbx 3, …).
    pub scratch: [u8; 3],
    /// 1 if the value it stores is in [`Access::value`], so that the runtime
    /// may store it and go on at `done`; 2 if it may where the address is a multiple
    /// of the size (elsewhere the instruction faults).
    pub value: u8,
    /// 1 if the instruction has a `lock` prefix, or is `xchg`.
    pub atomic: u8,
    /// 1 if [`Access::flags`] has the program's flags; otherwise they are lost,
    /// since the window sets them all before anything reads them.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// Head of the host's answer to [`crate::shared::request::STUB`]. Followed by
/// `instructions` × [`Moved`], `sites` × [`Site`], and `code` bytes of code.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stub {
    /// Bytes of the program's code that the stub stands for.
    pub window: u32,
    /// 1 if a jump to the stub may be put in its place.
    pub patch: u32,
    /// Instructions in the window.
    pub instructions: u32,
    /// How many of them have a [`Site`].
    pub sites: u32,
    /// Bytes of code.
    pub code: u32,
    /// Bytes of the window before the instruction that was asked for.
    pub before: u32,
}

/// One instruction of a window.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Its offset in the window.
    pub at: u32,
    /// Offset in the stub's code where what it does begins.
    pub entry: u32,
}
