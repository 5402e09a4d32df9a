//! Where things live in a tracee's address space, and in the arena file.
//!
//! The ranges are away from what the kernel hands out (executables at
//! `0x55…`, mmap areas from `0x7eff…` up), from the shadow and heap ranges of
//! the sanitizers, from Go's arena hints (`0xc0…`) and from the JVM's heaps.

/// First address of the runtime image. The seccomp filter lets system calls
/// pass whose instruction pointer has the same upper 32 bits.
pub const RUNTIME_BASE: u64 = 0x7000_0000_0000;
/// Upper half of every address the filter trusts.
pub const RUNTIME_HIGH: u32 = (RUNTIME_BASE >> 32) as u32;
/// Bytes reserved for the runtime image (text, constants, data, bss), in
/// memory and at the start of the arena file.
pub const RUNTIME_LEN: u64 = 1 << 20;

/// Thread areas: one of [`THREAD_AREA_LEN`] for each thread index.
pub const THREADS_BASE: u64 = RUNTIME_BASE + (1 << 28);
/// Bytes of one thread area, guard page included.
pub const THREAD_AREA_LEN: u64 = 256 << 10;
/// How many threads one process may have at a time.
pub const MAX_THREADS: usize = 8192;

/// Where the shared part of the arena file (control block and slots) is mapped.
pub const ARENA_BASE: u64 = 0x7010_0000_0000;
/// Offset of the shared part in the arena file: the runtime image precedes it.
pub const ARENA_FILE_OFFSET: u64 = RUNTIME_LEN;
/// Bytes of the control block ([`crate::shared::Control`]).
pub const CONTROL_LEN: u64 = 2 << 20;
/// Bytes of one slot: header page and ring.
pub const SLOT_LEN: u64 = 1 << 20;
/// Bytes of a slot's header ([`crate::shared::Slot`], [`crate::shared::Stage`]).
pub const SLOT_HEADER_LEN: u64 = 24 << 10;
/// Bytes of a slot's [`crate::shared::Stage`], at the end of the header.
pub const STAGE_LEN: u64 = 8 << 10;
/// Where in the slot that is.
pub const STAGE_OFFSET: u64 = SLOT_HEADER_LEN - STAGE_LEN;
/// Bytes of a slot's ring; records wrap around at this size.
pub const RING_LEN: u64 = SLOT_LEN - SLOT_HEADER_LEN;
/// How many processes can be live at a time.
pub const MAX_SLOTS: usize = 4096;
/// Bytes of the mapped arena.
pub const ARENA_LEN: u64 = CONTROL_LEN + SLOT_LEN * MAX_SLOTS as u64;

/// Second views and private copies of shared memory.
pub const SHARED_BASE: u64 = 0x7020_0000_0000;
/// Bytes of that range.
pub const SHARED_LEN: u64 = 0x20_0000_0000;

/// Bytes at its start that are kept for tables.
pub const SHARED_TABLES_LEN: u64 = 64 << 20;

/// Where the kernel writes what is long while other threads run: [`BULK_LEN`] for each
/// thread index.
pub const BULK_BASE: u64 = SHARED_BASE + SHARED_LEN;
/// Bytes for one thread.
pub const BULK_LEN: u64 = 64 << 20;

/// Entries of the lists of robust futexes that the kernel knows: that of a futex in shared
/// memory is as far from here as the alias of its word from [`SHARED_BASE`].
pub const ROBUST_BASE: u64 = BULK_BASE + BULK_LEN * MAX_THREADS as u64;

/// Highest address a program can use (47 bits).
pub const TASK_END: u64 = 0x7fff_ffff_f000;
/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Address of slot `index` in a tracee.
#[must_use]
pub const fn slot_address(index: u32) -> u64 {
    ARENA_BASE + CONTROL_LEN + SLOT_LEN * index as u64
}

/// Whether `address` lies in memory that belongs to the recorder.
#[must_use]
pub const fn is_ours(address: u64) -> bool {
    (address >= RUNTIME_BASE && address < RUNTIME_BASE + (1 << 32))
        || (address >= ARENA_BASE && address < ARENA_BASE + ARENA_LEN)
        || (address >= SHARED_BASE && address < ROBUST_BASE + SHARED_LEN)
}
