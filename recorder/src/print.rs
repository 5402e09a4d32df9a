//! System calls as people read them: `openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3`.
//!
//! Works from the tables of [`orch_abi::syscalls`] and what a record holds:
//! memory is shown where the record has a copy of it, as an address otherwise.

mod memory;

pub use memory::quote;

use nix::errno::Errno;
use orch_abi::record::Syscall;
use orch_abi::syscalls::{COMPAT, Call, Names, Ret, Ty, lookup, names};

/// A piece of memory that a record holds.
#[derive(Debug, Clone, Copy)]
pub struct ChunkView<'a> {
    /// First address.
    pub addr: u64,
    /// Its content.
    pub bytes: &'a [u8],
    /// The kernel read it; otherwise the kernel wrote it.
    pub outgoing: bool,
}

/// A system call as recorded.
#[derive(Debug, Clone, Copy)]
pub struct SyscallView<'a> {
    /// Its number.
    pub nr: u16,
    /// Arguments and result.
    pub syscall: &'a Syscall,
    /// Memory that it read and wrote.
    pub chunks: &'a [ChunkView<'a>],
}

/// The call on one line, with its result.
#[must_use]
pub fn call(record: &SyscallView) -> String {
    let args: Vec<String> = args(record).into_iter().map(|(_, value)| value).collect();
    format!(
        "{}({}) = {}",
        name(record.nr),
        args.join(", "),
        result(record)
    )
}

/// The call's name; `syscall_N` for one that the model does not know.
#[must_use]
pub fn name(nr: u16) -> String {
    match lookup(u64::from(nr)) {
        Some(call) => call.name.to_owned(),
        None if u64::from(nr) >= COMPAT => format!("i386_syscall_{}", u64::from(nr) - COMPAT),
        None => format!("syscall_{nr}"),
    }
}

/// The argument that says what is wanted of a call (a request of ioctl, an option of prctl);
/// empty if the call wants one thing only.
#[must_use]
pub fn request(nr: u16, args: [u64; 6]) -> String {
    let Some(call) = lookup(u64::from(nr)) else {
        return String::new();
    };
    let syscall = Syscall {
        args,
        ..Syscall::default()
    };
    let record = SyscallView {
        nr,
        syscall: &syscall,
        chunks: &[],
    };
    let selector = call.variants.first().map(|row| usize::from(row.selector));
    selector.map_or_else(String::new, |index| arg(&record, call, index))
}

/// Names and values of the arguments.
#[must_use]
pub fn args(record: &SyscallView) -> Vec<(String, String)> {
    let values = &record.syscall.args;
    match lookup(u64::from(record.nr)) {
        Some(call) => (0..shown(call, values))
            .map(|index| (call.args[index].name.to_owned(), arg(record, call, index)))
            .collect(),
        None => (0..values.len())
            .map(|i| (format!("arg{i}"), hex(values[i])))
            .collect(),
    }
}

/// The result: `3`, `0x7f…`, `-1 ENOENT (No such file or directory)`, or `?`
/// where there is none.
#[must_use]
pub fn result(record: &SyscallView) -> String {
    const MAX_ERRNO: i64 = 4095;
    let value = record.syscall.result;
    let ret = lookup(u64::from(record.nr)).map_or(Ret::Int, |call| call.ret);
    if let Ret::None = ret {
        return "?".to_owned();
    }
    if (-MAX_ERRNO..0).contains(&value) {
        let errno = i32::try_from(-value).unwrap_or_default();
        return match description(errno) {
            Some(text) => format!("-1 {} ({text})", errno_name(errno)),
            None => format!("-1 {}", errno_name(errno)),
        };
    }
    match ret {
        Ret::Addr => hex(value.cast_unsigned()),
        _ => value.to_string(),
    }
}

/// strerror(3), for errors that have a name.
fn description(errno: i32) -> Option<String> {
    if Errno::from_raw(errno) == Errno::UnknownErrno {
        return None;
    }
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    Some(
        text.split(" (os error")
            .next()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// `ENOENT` for 2; the number itself where it has no name.
#[must_use]
pub fn errno_name(errno: i32) -> String {
    match (errno, Errno::from_raw(errno)) {
        // include/linux/errno.h: seen only where a tracer or a restart looks.
        (512, _) => "ERESTARTSYS".to_owned(),
        (513, _) => "ERESTARTNOINTR".to_owned(),
        (514, _) => "ERESTARTNOHAND".to_owned(),
        (516, _) => "ERESTART_RESTARTBLOCK".to_owned(),
        (_, Errno::UnknownErrno) => errno.to_string(),
        (_, known) => format!("{known:?}"),
    }
}

/// `SIGINT` for 2, `SIGRT_1` for 33; the number itself where it has no name.
#[must_use]
pub fn signal_name(signal: u32) -> String {
    match signal {
        32..=64 => format!("SIGRT_{}", signal - 32),
        _ => value_name(names::SIGNALS, u64::from(signal))
            .map_or_else(|| signal.to_string(), str::to_owned),
    }
}

/// How many arguments tell something: fewer than the call has where its
/// other arguments say that the last are not looked at.
fn shown(call: &Call, values: &[u64; 6]) -> usize {
    const CREATES: u64 = 0o100 | 0o20_000_000;
    let count = call.args.len();
    match call.name {
        "open" if values[1] & CREATES == 0 => count - 1,
        "openat" if values[2] & CREATES == 0 => count - 1,
        "mq_open" if values[1] & CREATES == 0 => count - 2,
        "futex" => match values[1] & 0x7f {
            7 | 8 => 2,
            1 => 3,
            0 | 6 | 13 => 4,
            _ => count,
        },
        _ if call.variants.is_empty() => count,
        _ => {
            let said = |&i: &usize| values[i] != 0 || !matches!(call.ty(i, values), Ty::Hex);
            (0..count).rev().find(said).map_or(0, |last| last + 1)
        }
    }
}

fn arg(record: &SyscallView, call: &Call, index: usize) -> String {
    let values = &record.syscall.args;
    let value = values[index];
    if let Some(row) = call
        .variant(values)
        .filter(|row| usize::from(row.selector) == index)
    {
        return selector(call, index, value, row.mask).unwrap_or_else(|| row.name.to_owned());
    }
    match call.ty(index, values) {
        Ty::Int => signed(value).to_string(),
        Ty::Long => value.cast_signed().to_string(),
        Ty::Uint => value.to_string(),
        Ty::Hex => hex(value),
        Ty::Octal => format!("{value:#o}"),
        Ty::Fd if signed(value) == -100 => "AT_FDCWD".to_owned(),
        Ty::Fd | Ty::Pid => signed(value).to_string(),
        Ty::Signal => u32::try_from(value).map_or_else(|_| hex(value), signal_name),
        Ty::Addr => pointer(value),
        Ty::Enum(names) => value_name(names, value)
            .or_else(|| value_name(names, value & 0xffff_ffff))
            .map_or_else(|| signed(value).to_string(), str::to_owned),
        Ty::Flags(names) => flags(names, value),
        Ty::Mixed {
            mask,
            values,
            flags,
        } => mixed(mask, values, flags, value),
        Ty::Path => memory::text(record, value),
        Ty::In(buf) => memory::shape(record, call, index, buf, true),
        Ty::Out(buf) | Ty::InOut(buf) | Ty::OutAlways(buf) => {
            memory::shape(record, call, index, buf, false)
        }
    }
}

/// A selecting argument that has more to it than the row's name.
fn selector(call: &Call, index: usize, value: u64, mask: u64) -> Option<String> {
    match call.args[index].ty {
        Ty::Mixed {
            mask,
            values,
            flags,
        } => Some(mixed(mask, values, flags, value)),
        // quotactl: the quota's type is in the other bits.
        _ if value & !mask & 0xffff_ffff != 0 => Some(hex(value)),
        _ => None,
    }
}

fn mixed(mask: u64, values: Names, bits: Names, value: u64) -> String {
    let (low, high) = (value & mask, value & !mask);
    let first = match value_name(values, low) {
        Some(name) => Some(name.to_owned()),
        None if low == 0 => None,
        None if values.is_empty() => Some(format!("{low:#o}")),
        None => Some(hex(low)),
    };
    match (first, high) {
        (Some(first), 0) => first,
        (Some(first), _) => format!("{first}|{}", flags(bits, high)),
        (None, _) => flags(bits, high),
    }
}

/// Names of the bits set, joined by `|`, and what is left as a number.
fn flags(names: Names, value: u64) -> String {
    if value == 0 {
        return value_name(names, 0).unwrap_or("0").to_owned();
    }
    let mut left = value;
    let mut words = Vec::new();
    for &(bits, name) in names {
        if bits != 0 && left & bits == bits {
            words.push(name.to_owned());
            left &= !bits;
        }
    }
    if left != 0 {
        words.push(hex(left));
    }
    words.join("|")
}

fn value_name(names: Names, value: u64) -> Option<&'static str> {
    names
        .iter()
        .find(|(n, _)| *n == value)
        .map(|(_, name)| *name)
}

/// The lower half of a register as a signed number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel looks at no more of it"
)]
const fn signed(value: u64) -> i32 {
    value as i32
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}

fn pointer(value: u64) -> String {
    if value == 0 {
        "NULL".to_owned()
    } else {
        hex(value)
    }
}
