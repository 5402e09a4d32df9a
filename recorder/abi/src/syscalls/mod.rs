//! The system-call model: for each call its arguments, the memory it reads
//! and writes, whether it can block and how it is recorded.
//!
//! Sources: syscalls(2), each call's page of the man-pages project, and
//! arch/x86/entry/syscalls/syscall_64.tbl. The recorder, the replayer and the
//! event printer all work from these tables.

#[macro_use]
mod rows;

mod fcntl;
mod file;
mod filesystem;
mod identity;
mod io;
mod ioctl;
mod ipc;
mod keys;
mod memory;
mod metadata;
pub mod names;
mod poll;
mod prctl;
mod process;
mod refused;
mod resolve;
mod sched;
mod signal;
mod socket;
mod system;
mod thread;
mod time;
mod xattr;

pub use resolve::{Direction, encoded_ioctl};

/// The families, one module each.
const FAMILIES: &[&[Call]] = &[
    file::CALLS,
    filesystem::CALLS,
    identity::CALLS,
    io::CALLS,
    ipc::CALLS,
    keys::CALLS,
    memory::CALLS,
    metadata::CALLS,
    poll::CALLS,
    process::CALLS,
    refused::CALLS,
    sched::CALLS,
    signal::CALLS,
    socket::CALLS,
    system::CALLS,
    thread::CALLS,
    time::CALLS,
    xattr::CALLS,
];

/// One more than the highest number in the table.
pub const COUNT: usize = 470;

/// Every call, at the index of its number.
pub static TABLE: [Option<&'static Call>; COUNT] = dense();

const fn dense() -> [Option<&'static Call>; COUNT] {
    let mut table = [None; COUNT];
    let mut family = 0;
    while family < FAMILIES.len() {
        let calls: &'static [Call] = FAMILIES[family];
        let mut row = 0;
        while row < calls.len() {
            let nr = calls[row].nr as usize;
            assert!(table[nr].is_none(), "two rows for one system call");
            table[nr] = Some(&calls[row]);
            row += 1;
        }
        family += 1;
    }
    table
}

/// By so much the numbers of calls are higher that a program makes as 32-bit ones do
/// (`int $0x80`). None of them is in the table.
pub const COMPAT: u64 = 0x8000;

/// The call with this number; `None` if the model does not know it.
#[must_use]
pub fn lookup(nr: u64) -> Option<&'static Call> {
    *TABLE.get(usize::try_from(nr).ok()?)?
}

/// One system call.
#[derive(Debug)]
pub struct Call {
    /// Number on x86-64.
    pub nr: u16,
    /// Name, as in the man page.
    pub name: &'static str,
    /// Arguments.
    pub args: &'static [Arg],
    /// How to print the result.
    pub ret: Ret,
    /// How it is recorded and replayed.
    pub does: Does,
    /// Whether it can wait for something outside the process.
    pub blocks: bool,
    /// What happens when a signal handler interrupts it.
    pub restart: Restart,
    /// Others can see its effect: its tick is taken before it is performed
    /// (send), not after (receive).
    pub publishes: bool,
    /// Arguments whose type depends on the value of another (ioctl, fcntl, prctl …).
    pub variants: &'static [Variant],
    /// The variants list all selector values there are: another value is
    /// refused with this errno, because nobody knows what it reads and writes.
    pub unlisted: Option<u16>,
}

/// An argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Name, as in the man page.
    pub name: &'static str,
    /// Type.
    pub ty: Ty,
}

/// For calls with `args[selector] & mask == value`, argument `arg` has type `ty`.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// Index of the argument that selects.
    pub selector: u8,
    /// Bits of it that count.
    pub mask: u64,
    /// Value that selects this row; the first row that matches wins.
    pub value: u64,
    /// Name of the value, for printing (`TCGETS`).
    pub name: &'static str,
    /// Index of the argument whose type this row gives.
    pub arg: u8,
    /// That type.
    pub ty: Ty,
    /// How this row is recorded, where that differs from the call.
    pub does: Option<Does>,
}

/// Type of an argument.
#[derive(Debug, Clone, Copy)]
pub enum Ty {
    /// Signed 32-bit integer; the register's upper half does not count.
    Int,
    /// Signed 64-bit integer (file offsets).
    Long,
    /// Unsigned integer, size, count.
    Uint,
    /// Printed in hexadecimal.
    Hex,
    /// Printed in octal (file modes).
    Octal,
    /// File descriptor (or AT_FDCWD).
    Fd,
    /// Process or thread id.
    Pid,
    /// Signal number.
    Signal,
    /// Address whose memory the call does not touch as data (mmap, futex word).
    Addr,
    /// One of the listed values.
    Enum(Names),
    /// A set of the listed bits.
    Flags(Names),
    /// One of `values` in the bits of `mask`, a set of `flags` in the others
    /// (open's access mode, mmap's type, futex's operation).
    Mixed {
        /// Bits that hold the value.
        mask: u64,
        /// Names of the values.
        values: Names,
        /// Names of the other bits.
        flags: Names,
    },
    /// NUL-terminated string that the kernel reads; logged for people.
    Path,
    /// Memory that the kernel reads.
    In(Buf),
    /// Memory that the kernel writes, if the call succeeds.
    Out(Buf),
    /// Memory that the kernel reads, and writes if the call succeeds.
    InOut(Buf),
    /// Memory that the kernel writes (after reading) also when the call fails
    /// (the remaining time of select; nanosleep's rem on EINTR).
    OutAlways(Buf),
}

impl Ty {
    /// Whether it is an address of the program's.
    #[must_use]
    pub fn is_pointer(self) -> bool {
        matches!(
            self,
            Ty::Addr | Ty::Path | Ty::In(_) | Ty::Out(_) | Ty::InOut(_) | Ty::OutAlways(_)
        )
    }
}

/// Names of values or bits, in the order to try them.
pub type Names = &'static [(u64, &'static str)];

/// Shape of memory behind a pointer. A null pointer is skipped.
#[derive(Debug, Clone, Copy)]
pub enum Buf {
    /// Flat bytes: room for `cap`, of which `used` are valid afterwards.
    Bytes {
        /// How many bytes the caller has room for (or hands in).
        cap: Len,
        /// How many the kernel wrote.
        used: Len,
    },
    /// NUL-terminated string, at most a page.
    CStr,
    /// Null-terminated array of strings (argv, envp).
    CStrVec,
    /// `struct iovec[args[count]]`; going out, at most the result's bytes are valid.
    Iovec {
        /// Index of the argument that counts.
        count: u8,
    },
    /// `struct msghdr` with name, iovec and control data.
    Msghdr,
    /// `struct mmsghdr[args[count]]`; after the call, the result's number of them are valid.
    Mmsghdr {
        /// Index of the argument that counts.
        count: u8,
    },
    /// As many bytes as the 32-bit integer behind `args[len]` says: read before
    /// the call for the room, after it for the length (`accept`'s address).
    /// The integer itself is an argument of its own ([`Ty::InOut`]).
    Sized {
        /// Index of the argument that points to the length.
        len: u8,
    },
    /// A structure whose first 32-bit integer tells how many bytes follow its
    /// `head` bytes, at most a page (`struct file_handle`: 8; with a head of 0
    /// the integer counts the whole structure). Afterwards the room from
    /// before the call is valid, whatever the integer says then.
    Counted {
        /// Bytes that are not counted.
        head: u32,
    },
    /// `fd_set` for `args[nfds]` descriptors, in units of 8 bytes.
    FdSet {
        /// Index of the argument that counts.
        nfds: u8,
    },
}

/// A length in bytes.
#[derive(Debug, Clone, Copy)]
pub enum Len {
    /// That many.
    Fixed(u32),
    /// `args[.0]`.
    Arg(u8),
    /// `args[.0] * .1`.
    ArgTimes(u8, u32),
    /// `args[.0] + .1` (System V messages: the type precedes the text).
    ArgPlus(u8, u32),
    /// A bit for each of `args[.0]`, in units of 8 bytes (node masks).
    Bits(u8),
    /// A byte for each page of `args[.0]` bytes, rounded up (mincore).
    Pages(u8),
    /// Two bytes for each semaphore of the set `args[.0]`: only
    /// `semctl(IPC_STAT)` knows how many that are (`sem_nsems`).
    Semaphores(u8),
    /// The result, at most the capacity.
    Result,
    /// The result plus `.0`, at most the capacity.
    ResultPlus(u32),
    /// The result times `.0`, at most the capacity.
    ResultTimes(u32),
}

/// How to print a result.
#[derive(Debug, Clone, Copy)]
pub enum Ret {
    /// Signed integer.
    Int,
    /// Address.
    Addr,
    /// Descriptor.
    Fd,
    /// Does not return.
    None,
}

/// How a call is recorded and replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Performed and logged; replay takes result and memory from the log.
    Input,
    /// Changes the process's memory map: replay performs it again, at the
    /// recorded addresses.
    Memory,
    /// Makes, changes or ends processes and threads: own code in the runtime.
    Process,
    /// Signal state that the runtime keeps for the program: own code.
    Signal,
    /// Thread state that replay must have too (FS base, robust list, …): own code.
    Thread,
    /// Cannot be recorded: answered with this errno and reported.
    Refused(u16),
    /// Cannot be recorded, but programs cope without: answered with this
    /// errno and not reported (rseq).
    Absent(u16),
}

/// What happens when a signal handler interrupts the call (signal(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Started again if the handler has SA_RESTART (ERESTARTSYS).
    WithFlag,
    /// Fails with EINTR (ERESTARTNOHAND, ERESTART_RESTARTBLOCK, or EINTR itself).
    Never,
}
