//! Signals, as strace shows them: `--- SIGSEGV {si_code=SEGV_MAPERR, si_addr=NULL} ---`.

use super::{Told, Value};
use orch_recorder::print;
use orch_recorder::trace::{Record, RecordError};

/// A signal that a handler gets, or that ends the process.
pub(super) fn delivered(record: &Record<'_>) -> Result<Told, RecordError> {
    let view = record.signal()?;
    let name = print::signal_name(view.signo.into());
    let mut args = siginfo(view.signo.into(), view.info);
    let inside: Vec<String> = args.iter().map(|(name, v)| format!("{name}={v}")).collect();
    let result = if view.signal.fatal != 0 {
        "ends the process"
    } else {
        "runs its handler"
    };
    args.push(("ip".to_owned(), format!("{:#x}", view.signal.ip)));
    let text = format!(
        "--- {name} {{{}}} at {:#x}{} ---",
        inside.join(", "),
        view.signal.ip,
        if view.signal.fatal != 0 {
            ", ends the process"
        } else {
            ""
        }
    );
    Ok(Told {
        name,
        args,
        result: Value::Text(result.to_owned()),
        text,
        ..Told::default()
    })
}

/// The fields that matter (sigaction(2); layout: include/uapi/asm-generic/siginfo.h).
fn siginfo(signo: i32, info: &[u8; 128]) -> Vec<(String, String)> {
    let word = |at: usize| i32::from_le_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let code = word(8);
    let mut fields = vec![pair("si_code", code_name(signo, code))];
    match signo {
        _ if matches!(code, 0 | -6 | -1) => {
            fields.push(pair("si_pid", word(16).to_string()));
            fields.push(pair("si_uid", word(20).to_string()));
        }
        libc::SIGCHLD => {
            fields.push(pair("si_pid", word(16).to_string()));
            fields.push(pair("si_status", word(24).to_string()));
        }
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP => {
            let mut address = [0; 8];
            address.copy_from_slice(&info[16..24]);
            let address = u64::from_le_bytes(address);
            fields.push(pair("si_addr", format!("{address:#x}")));
        }
        _ => {}
    }
    fields
}

fn code_name(signo: i32, code: i32) -> String {
    let name = match (signo, code) {
        (_, 0) => "SI_USER",
        (_, 0x80) => "SI_KERNEL",
        (_, -1) => "SI_QUEUE",
        (_, -2) => "SI_TIMER",
        (_, -3) => "SI_MESGQ",
        (_, -4) => "SI_ASYNCIO",
        (_, -6) => "SI_TKILL",
        (libc::SIGSEGV, 1) => "SEGV_MAPERR",
        (libc::SIGSEGV, 2) => "SEGV_ACCERR",
        (libc::SIGSEGV, 4) => "SEGV_PKUERR",
        (libc::SIGBUS, 1) => "BUS_ADRALN",
        (libc::SIGBUS, 2) => "BUS_ADRERR",
        (libc::SIGFPE, 1) => "FPE_INTDIV",
        (libc::SIGCHLD, 1) => "CLD_EXITED",
        (libc::SIGCHLD, 2) => "CLD_KILLED",
        (libc::SIGCHLD, 3) => "CLD_DUMPED",
        (libc::SIGCHLD, 4) => "CLD_TRAPPED",
        (libc::SIGCHLD, 5) => "CLD_STOPPED",
        (libc::SIGCHLD, 6) => "CLD_CONTINUED",
        _ => return code.to_string(),
    };
    name.to_owned()
}
