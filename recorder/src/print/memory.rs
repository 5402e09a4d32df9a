//! Memory behind a pointer argument, decoded where a few characters can tell it.

use super::{SyscallView, hex, pointer, signal_name, value_name};
use orch_abi::syscalls::{Buf, Call, Len, names};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a buffer that are shown.
const SHOWN: usize = 32;
/// Elements of an array that are shown.
const ELEMENTS: usize = 16;

/// A NUL-terminated string, in full.
pub(super) fn text(record: &SyscallView, addr: u64) -> String {
    match bytes_at(record, addr, true) {
        Some(bytes) => quote(until_nul(bytes), usize::MAX),
        None => pointer(addr),
    }
}

/// Argument `index` of `call`, a pointer to memory of shape `buf`.
pub(super) fn shape(
    record: &SyscallView,
    call: &Call,
    index: usize,
    buf: Buf,
    outgoing: bool,
) -> String {
    let args = &record.syscall.args;
    let addr = args[index];
    if let Buf::CStr = buf {
        return text(record, addr);
    }
    let Some(bytes) = bytes_at(record, addr, outgoing) else {
        return pointer(addr);
    };
    let name = call.args[index].name;
    match buf {
        Buf::Iovec { count } => iovec(record, bytes, args[usize::from(count)], outgoing),
        Buf::CStrVec => strings(record, bytes),
        Buf::FdSet { .. } => fd_set(bytes),
        Buf::Bytes {
            cap: Len::Fixed(size),
            ..
        } => fixed(call.name, name, size, bytes).unwrap_or_else(|| quote(bytes, SHOWN)),
        _ => array(name, bytes).unwrap_or_else(|| quote(bytes, SHOWN)),
    }
}

/// What the record knows of memory from `addr` on; memory that went the right
/// way first, because the same buffer can be read and written.
fn bytes_at<'a>(record: &SyscallView<'a>, addr: u64, outgoing: bool) -> Option<&'a [u8]> {
    let inside = |wanted: bool| {
        record
            .chunks
            .iter()
            .filter(move |chunk| chunk.outgoing == wanted)
            .find_map(|chunk| {
                let skip = usize::try_from(addr.checked_sub(chunk.addr)?).ok()?;
                let rest = chunk.bytes.get(skip..)?;
                (skip == 0 || !rest.is_empty()).then_some(rest)
            })
    };
    inside(outgoing).or_else(|| inside(!outgoing))
}

/// A structure of a known size; `None` where its bytes are as good.
fn fixed(call: &str, arg: &str, size: u32, bytes: &[u8]) -> Option<String> {
    let bytes = bytes.get(..usize::try_from(size).ok()?)?;
    Some(match (size, arg) {
        (4, "wstatus") => format!("[{{{}}}]", wait_status(u32_at(bytes, 0)?)),
        (4, _) => format!("[{}]", u32_at(bytes, 0)?.cast_signed()),
        (8, "pipefd" | "sv") => {
            format!(
                "[{}, {}]",
                u32_at(bytes, 0)?.cast_signed(),
                u32_at(bytes, 4)?.cast_signed()
            )
        }
        (8, "arg") if call == "ioctl" => return None,
        (8, _) => format!("[{}]", u64_at(bytes, 0)?.cast_signed()),
        (12, "event") => {
            format!(
                "{{events={:#x}, data={:#x}}}",
                u32_at(bytes, 0)?,
                u64_at(bytes, 4)?
            )
        }
        (16, "rlim" | "new_limit" | "old_limit") => {
            format!(
                "{{rlim_cur={}, rlim_max={}}}",
                limit(bytes, 0)?,
                limit(bytes, 8)?
            )
        }
        (16, _) if is_time(arg) => time(call, bytes, 0)?,
        (32, "new_value" | "old_value" | "curr_value") => format!(
            "{{it_interval={}, it_value={}}}",
            time(call, bytes, 0)?,
            time(call, bytes, 16)?
        ),
        (32, "act" | "oldact") => sigaction(bytes)?,
        (144, "statbuf") => {
            format!(
                "{{st_mode={:#o}, st_size={}, ...}}",
                u32_at(bytes, 24)?,
                u64_at(bytes, 48)?
            )
        }
        _ => return None,
    })
}

/// Memory of a length that another argument tells.
fn array(arg: &str, bytes: &[u8]) -> Option<String> {
    match arg {
        "addr" | "dest_addr" | "src_addr" => sockaddr(bytes),
        "set" | "oldset" | "mask" | "sigmask" if bytes.len() == 8 => {
            Some(sigset(u64_at(bytes, 0)?))
        }
        "fds" => Some(list(bytes.chunks_exact(8).map(|p| {
            let short = |at| u16::from_le_bytes([p[at], p[at + 1]]);
            let fd = u32_at(p, 0).unwrap_or_default().cast_signed();
            format!(
                "{{fd={fd}, events={:#x}, revents={:#x}}}",
                short(4),
                short(6)
            )
        }))),
        "events" => Some(list(bytes.chunks_exact(12).map(|e| {
            let events = u32_at(e, 0).unwrap_or_default();
            format!(
                "{{events={events:#x}, data={:#x}}}",
                u64_at(e, 4).unwrap_or_default()
            )
        }))),
        _ => None,
    }
}

fn is_time(arg: &str) -> bool {
    const NAMES: &[&str] = &[
        "req",
        "rem",
        "request",
        "remain",
        "tp",
        "timeout",
        "abs_timeout",
        "tmo_p",
        "res",
        "tv",
    ];
    NAMES.contains(&arg)
}

/// `struct timespec`, or `struct timeval` where the call is older.
fn time(call: &str, bytes: &[u8], at: usize) -> Option<String> {
    let unit = match call {
        "select" | "gettimeofday" | "settimeofday" | "setitimer" | "getitimer" => "tv_usec",
        _ => "tv_nsec",
    };
    let (seconds, rest) = (
        u64_at(bytes, at)?.cast_signed(),
        u64_at(bytes, at + 8)?.cast_signed(),
    );
    Some(format!("{{tv_sec={seconds}, {unit}={rest}}}"))
}

fn limit(bytes: &[u8], at: usize) -> Option<String> {
    Some(match u64_at(bytes, at)? {
        u64::MAX => "RLIM64_INFINITY".to_owned(),
        n => n.to_string(),
    })
}

/// What `wait4` wrote, in the words of wait(2).
fn wait_status(status: u32) -> String {
    let signal = status & 0x7f;
    let code = status >> 8 & 0xff;
    match (signal, status) {
        (0, _) => format!("WIFEXITED(s) && WEXITSTATUS(s) == {code}"),
        (_, 0xffff) => "WIFCONTINUED(s)".to_owned(),
        (0x7f, _) => format!("WIFSTOPPED(s) && WSTOPSIG(s) == {}", signal_name(code)),
        _ => {
            let core = if status & 0x80 == 0 {
                ""
            } else {
                " && WCOREDUMP(s)"
            };
            format!(
                "WIFSIGNALED(s) && WTERMSIG(s) == {}{core}",
                signal_name(signal)
            )
        }
    }
}

fn sigaction(bytes: &[u8]) -> Option<String> {
    let handler = match u64_at(bytes, 0)? {
        0 => "SIG_DFL".to_owned(),
        1 => "SIG_IGN".to_owned(),
        address => hex(address),
    };
    let (flags, mask) = (u64_at(bytes, 8)?, sigset(u64_at(bytes, 24)?));
    Some(format!(
        "{{sa_handler={handler}, sa_mask={mask}, sa_flags={flags:#x}}}"
    ))
}

fn sigset(set: u64) -> String {
    if set == u64::MAX {
        return "~[]".to_owned();
    }
    let members = (1..=64_u32).filter(|signal| set >> (signal - 1) & 1 == 1);
    let names: Vec<String> = members
        .map(|s| signal_name(s).trim_start_matches("SIG").to_owned())
        .collect();
    format!("[{}]", names.join(" "))
}

fn fd_set(bytes: &[u8]) -> String {
    let members = bytes.iter().enumerate().flat_map(|(at, byte)| {
        (0..8)
            .filter(move |bit| byte >> bit & 1 == 1)
            .map(move |bit| (at * 8 + bit).to_string())
    });
    list(members)
}

/// `struct sockaddr` of the commonest families.
fn sockaddr(bytes: &[u8]) -> Option<String> {
    let family = u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    Some(match family {
        1 => match bytes.get(2..)? {
            [0, name @ ..] if !name.is_empty() => {
                format!("{{AF_UNIX, @{}}}", quote(name, usize::MAX))
            }
            name => format!("{{AF_UNIX, {}}}", quote(until_nul(name), usize::MAX)),
        },
        2 => {
            let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            format!("{{AF_INET, {}:{}}}", Ipv4Addr::from(octets), port(bytes)?)
        }
        10 => {
            let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            format!(
                "{{AF_INET6, [{}]:{}}}",
                Ipv6Addr::from(octets),
                port(bytes)?
            )
        }
        _ => {
            let name = value_name(names::FAMILIES, u64::from(family))
                .map_or_else(|| format!("AF_{family}"), str::to_owned);
            format!("{{{name}, {}}}", quote(&bytes[2..], SHOWN))
        }
    })
}

/// The pieces of an `iovec` array whose content the record has.
fn iovec(record: &SyscallView, bytes: &[u8], count: u64, outgoing: bool) -> String {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    list(bytes.chunks_exact(16).take(count).map(|entry| {
        let base = u64_at(entry, 0).unwrap_or_default();
        let len = u64_at(entry, 8).unwrap_or_default();
        let most = usize::try_from(len).unwrap_or(usize::MAX);
        let content = bytes_at(record, base, outgoing)
            .map_or_else(|| pointer(base), |b| quote(&b[..b.len().min(most)], SHOWN));
        format!("{{{content}, {len}}}")
    }))
}

/// An array of pointers to strings.
fn strings(record: &SyscallView, bytes: &[u8]) -> String {
    let pointers = bytes.chunks_exact(8).filter_map(|entry| u64_at(entry, 0));
    list(
        pointers
            .take_while(|addr| *addr != 0)
            .map(|addr| text(record, addr)),
    )
}

fn list(mut items: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = items.by_ref().take(ELEMENTS).collect();
    if items.next().is_some() {
        words.push("...".to_owned());
    }
    format!("[{}]", words.join(", "))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Bytes in quotes, as C would write them; `...` behind when there are more than `most`.
#[must_use]
pub fn quote(bytes: &[u8], most: usize) -> String {
    let mut out = String::from("\"");
    for byte in bytes.iter().take(most) {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    if bytes.len() > most {
        out.push_str("...");
    }
    out
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
