//! Records of system calls.

use super::{Told, Value};
use orch_abi::record::{Kind, Syscall, flag};
use orch_recorder::print::{self, ChunkView, SyscallView};
use orch_recorder::trace::{Record, RecordError};

/// Whether the record is of a call that was refused.
pub(super) fn refused(record: &Record<'_>) -> bool {
    record.head.kind == Kind::Syscall as u8 && record.head.flags & flag::REFUSED != 0
}

/// Calls `tell` with the view that the printer takes.
fn with_view<T>(
    record: &Record<'_>,
    tell: impl FnOnce(&SyscallView<'_>) -> T,
) -> Result<T, RecordError> {
    let view = record.syscall()?;
    let chunks: Vec<ChunkView<'_>> = view
        .chunks
        .map(|c| ChunkView {
            addr: c.addr,
            bytes: c.bytes,
            outgoing: c.outgoing,
        })
        .collect();
    Ok(tell(&SyscallView {
        nr: view.nr,
        syscall: &view.call,
        chunks: &chunks,
    }))
}

/// `name(a, b)` of arguments that are printed already.
fn head(name: &str, args: &[(String, String)]) -> String {
    let values: Vec<&str> = args.iter().map(|(_, value)| &**value).collect();
    format!("{name}({})", values.join(", "))
}

/// A call that returned.
pub(super) fn ended(record: &Record<'_>) -> Result<Told, RecordError> {
    let mut told = with_view(record, |view| {
        let (name, args) = (print::name(view.nr), print::args(view));
        let value = view.syscall.result;
        let failed = (-4095..0).contains(&value);
        let errno = i32::try_from(-value).ok().filter(|_| failed);
        Told {
            text: format!("{} = {}", head(&name, &args), print::result(view)),
            name,
            args,
            result: Value::Number(value),
            error: errno.map(print::errno_name),
        }
    })?;
    if refused(record) {
        told.text.push_str(" (refused: cannot be recorded)");
    }
    if record.head.flags & flag::RESTARTED != 0 {
        told.text.push_str(" (interrupted, starts again)");
    }
    Ok(told)
}

/// A call whose end comes later, after other threads have run.
pub(super) fn entered(record: &Record<'_>) -> Result<Told, RecordError> {
    started(record, " ...")
}

/// An execve about to be tried. If it succeeds, no other record tells.
pub(super) fn exec(record: &Record<'_>) -> Result<Told, RecordError> {
    started(record, "")
}

fn started(record: &Record<'_>, behind: &str) -> Result<Told, RecordError> {
    with_view(record, |view| {
        let (name, args) = (print::name(view.nr), print::args(view));
        Told {
            text: format!("{}{behind}", head(&name, &args)),
            name,
            args,
            ..Told::default()
        }
    })
}

/// A call of which nothing but numbers is known.
pub fn attempted(nr: u16, args: [u64; 6]) -> String {
    let syscall = Syscall {
        args,
        ..Syscall::default()
    };
    let view = SyscallView {
        nr,
        syscall: &syscall,
        chunks: &[],
    };
    head(&print::name(nr), &print::args(&view))
}
