//! Calls on file descriptors, as far as they matter to pipes and socket pairs.

use super::facts::int;
use orch_recorder::trace::record::{Chunks, SyscallView};
use orch_recorder::trace::{Position, RecordingId};

/// A call, or another event that changes descriptors.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where.
    pub at: Position,
    /// Order within the recording.
    pub nth: u64,
    /// Which thread of the recording.
    pub thread: u32,
    /// What.
    pub what: What,
}

/// What it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A new pipe: read end, write end; and whether exec closes them.
    Pipe(i64, i64, bool),
    /// A new pair of sockets, and whether messages keep their bounds.
    Pair(i64, i64, bool, bool),
    /// A second descriptor for the same thing, and whether exec closes it.
    Duplicate(i64, i64, bool),
    /// Descriptors from the first to the last one are closed, or will be by exec.
    Close(i64, i64, bool),
    /// Whether exec closes a descriptor.
    CloseOnExec(i64, bool),
    /// Bytes went out, and descriptors with them.
    Write(i64, u64, Vec<i64>),
    /// Bytes came in, and descriptors with them.
    Read(i64, u64, Vec<i64>),
    /// A recording was forked.
    Fork(RecordingId),
    /// A thread was made that is a process in the same memory.
    Vfork(u32),
    /// An execve is tried.
    TriesExec,
    /// A program starts that the recording executed (0: nobody).
    Exec(RecordingId),
}

const O_CLOEXEC: u64 = 0o2_000_000;

/// What a call that returned did; `None` if it is of no interest. Numbers:
/// arch/x86/entry/syscalls/syscall_64.tbl.
pub fn of_call(view: &SyscallView<'_>) -> Option<What> {
    let (args, result) = (view.call.args, view.call.result);
    if result < 0 {
        return None;
    }
    // File descriptors are 32 bits; the upper half of the register does not count.
    let fd = |n: usize| i64::from(args[n] as u32 as i32);
    let bytes = result.cast_unsigned();
    Some(match view.nr {
        // read, readv, recvfrom
        0 | 19 => What::Read(fd(0), bytes, Vec::new()),
        45 if args[3] & MSG_PEEK == 0 => What::Read(fd(0), bytes, Vec::new()),
        // write, writev, sendto
        1 | 20 | 44 => What::Write(fd(0), bytes, Vec::new()),
        // sendmsg, recvmsg
        46 => What::Write(fd(0), bytes, rights(view.chunks, args[1])),
        47 if args[2] & MSG_PEEK == 0 => What::Read(fd(0), bytes, rights(view.chunks, args[1])),
        // close, close_range
        3 => What::Close(fd(0), fd(0), false),
        436 => {
            const CLOEXEC: u64 = 4;
            let last = i64::from(args[1] as u32).min(i64::from(i32::MAX));
            What::Close(fd(0), last, args[2] & CLOEXEC != 0)
        }
        // pipe, pipe2
        22 | 293 => {
            let (a, b) = two(view.chunks, args[0])?;
            What::Pipe(a, b, view.nr == 293 && args[1] & O_CLOEXEC != 0)
        }
        // socketpair
        53 => {
            const SOCK_TYPE: u64 = 0xf;
            const SOCK_STREAM: u64 = 1;
            let (a, b) = two(view.chunks, args[3])?;
            let messages = args[1] & SOCK_TYPE != SOCK_STREAM;
            What::Pair(a, b, messages, args[1] & O_CLOEXEC != 0)
        }
        // dup, dup2, dup3
        32 | 33 => What::Duplicate(fd(0), result, false),
        292 => What::Duplicate(fd(0), result, args[2] & O_CLOEXEC != 0),
        // fcntl: F_DUPFD, F_DUPFD_CLOEXEC, F_SETFD
        72 => match args[1] {
            0 => What::Duplicate(fd(0), result, false),
            1030 => What::Duplicate(fd(0), result, true),
            2 => What::CloseOnExec(fd(0), args[2] & 1 != 0),
            _ => return None,
        },
        _ => return None,
    })
}

const MSG_PEEK: u64 = 2;

/// Two descriptors that the kernel wrote to `addr`.
fn two(mut chunks: Chunks<'_>, addr: u64) -> Option<(i64, i64)> {
    let chunk = chunks.find(|c| !c.outgoing && c.addr == addr)?;
    Some((int(chunk.bytes, 0)?, int(chunk.bytes, 4)?))
}

/// The descriptors in the control data of a message (unix(7), SCM_RIGHTS; cmsg(3)).
fn rights(chunks: Chunks<'_>, message: u64) -> Vec<i64> {
    const SOL_SOCKET: i64 = 1;
    const SCM_RIGHTS: i64 = 1;
    /// Offset of `msg_control` in `struct msghdr`.
    const CONTROL: usize = 32;
    let word = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let find = |addr| {
        let mut chunks = chunks;
        chunks.find(|c| c.addr == addr)
    };
    let control = find(message).and_then(|c| word(c.bytes, CONTROL));
    let control = control.filter(|&addr| addr != 0).and_then(find);
    let mut rest = control.map_or(&[][..], |c| c.bytes);
    let mut out = Vec::new();
    while let (Some(len), Some(level), Some(what)) = (word(rest, 0), int(rest, 8), int(rest, 12)) {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
        if len < 16 {
            break;
        }
        if (level, what) == (SOL_SOCKET, SCM_RIGHTS) {
            out.extend(rest[16..len].chunks_exact(4).filter_map(|fd| int(fd, 0)));
        }
        rest = &rest[len.next_multiple_of(8).min(rest.len())..];
    }
    out
}
