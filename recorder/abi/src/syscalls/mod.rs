//! The system-call model: for each call its arguments, the memory it reads
//! and writes, whether it can block and how it is recorded.
//!
//! Sources: syscalls(2), each call's page of the man-pages project, and
//! arch/x86/entry/syscalls/syscall_64.tbl. The recorder, the replayer and the
//! event printer all work from these tables.

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
}

/// Type of an argument.
#[derive(Debug, Clone, Copy)]
pub enum Ty {
    /// Signed integer.
    Int,
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
    /// `args[.0] * args[.1]`.
    ArgTimesArg(u8, u8),
    /// The result, at most the capacity.
    Result,
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
