//! Records that are not of calls or signals.

use super::{Told, Value, safe};
use orch_abi::record::{Kind, ended, flag, object};
use orch_recorder::print::{self, quote};
use orch_recorder::trace::{Record, RecordError, RecordingId};

type Answer = Result<Told, RecordError>;

fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn told(name: &str, args: Vec<(String, String)>, text: String) -> Told {
    Told {
        name: name.to_owned(),
        args,
        text,
        ..Told::default()
    }
}

pub(super) fn start(record: &Record<'_>) -> Answer {
    let view = record.start()?;
    let path = String::from_utf8_lossy(view.path).into_owned();
    let argv: Vec<String> = view.args.iter().map(|a| quote(a, usize::MAX)).collect();
    let argv = format!("[{}]", argv.join(", "));
    let cwd = quote(view.cwd, usize::MAX);
    let pid = view.start.pid;
    let text = format!(
        "starts {} {argv} in {cwd}, pid {pid}",
        quote(view.path, usize::MAX)
    );
    let mut args = vec![pair("argv", argv), pair("cwd", cwd), pair("pid", pid)];
    if view.start.parent != 0 {
        args.push(pair("parent", RecordingId(view.start.parent)));
    }
    Ok(told(&path, args, text))
}

pub(super) fn map(record: &Record<'_>) -> Answer {
    let map = record.map()?;
    let letter = |bit: u32, letter: char| if map.prot & bit != 0 { letter } else { '-' };
    let prot: String = [letter(1, 'r'), letter(2, 'w'), letter(4, 'x')]
        .iter()
        .collect();
    let (addr, end) = (map.addr, map.addr.wrapping_add(map.len));
    let what = match map.file {
        0 => "anonymous".to_owned(),
        n => format!("file {} + {:#x}", n - 1, map.offset),
    };
    let name = if record.head.kind == Kind::RuntimeMap as u8 {
        "runtime map"
    } else {
        "map"
    };
    let text = format!("{name} {addr:#x}-{end:#x} {prot} {what}");
    let range = format!("{addr:#x}-{end:#x}");
    let args = vec![pair("range", range), pair("prot", prot), pair("of", what)];
    Ok(told(name, args, text))
}

pub(super) fn data(record: &Record<'_>) -> Answer {
    let (addr, bytes) = record.data()?;
    let len = bytes.len();
    let content = quote(bytes, 32);
    let text = format!("data {len} bytes at {addr:#x}: {content}");
    let addr = format!("{addr:#x}");
    let args = vec![pair("addr", addr), pair("len", len), pair("bytes", content)];
    Ok(told("data", args, text))
}

pub(super) fn switch(record: &Record<'_>) -> Answer {
    let switch = record.switch()?;
    let args = vec![pair("thread", switch.thread), pair("tid", switch.tid)];
    let text = format!("thread {} (tid {}) runs", switch.thread, switch.tid);
    Ok(told("switch", args, text))
}

pub(super) fn insn(record: &Record<'_>) -> Answer {
    let insn = record.insn()?;
    // The runtime says in aux whether TSC_AUX was read too.
    let name = if record.head.aux == 0 {
        "rdtsc"
    } else {
        "rdtscp"
    };
    let (ip, tsc) = (format!("{:#x}", insn.ip), insn.tsc);
    let text = format!("{name} at {ip} = {tsc}");
    let result = Value::Number(tsc.cast_signed());
    let told = told(name, vec![pair("ip", ip), pair("aux", insn.aux)], text);
    Ok(Told { result, ..told })
}

pub(super) fn spawn(record: &Record<'_>) -> Answer {
    let spawn = record.spawn()?;
    let (name, child) = match spawn.what {
        0 => ("fork", RecordingId(spawn.child).to_string()),
        1 => ("thread", format!("thread {}", spawn.child)),
        _ => ("vfork", format!("thread {}", spawn.child)),
    };
    let text = match spawn.what {
        0 => format!("forks {child}"),
        1 => format!("starts {child}"),
        _ => format!("starts a process in the same memory, as {child}"),
    };
    let told = told(name, vec![pair("child", &child)], text);
    let result = Value::Text(child);
    Ok(Told { result, ..told })
}

pub(super) fn exit(record: &Record<'_>) -> Answer {
    let exit = record.exit()?;
    let name = match (record.head.aux, exit.whole) {
        (0, 0) => "exit".to_owned(),
        (0, _) => "exit_group".to_owned(),
        (nr, _) => print::name(nr),
    };
    let status = exit.status;
    let whose = match exit.whole {
        0 => " (this thread)",
        2 => " (the child in the same memory)",
        _ => "",
    };
    let text = format!("{name}({status}){whose}");
    Ok(told(&name, vec![pair("status", status)], text))
}

pub(super) fn point(record: &Record<'_>) -> Answer {
    let view = record.point()?;
    let (ip, pages) = (format!("{:#x}", view.regs.rip), view.digest.pages);
    let text = format!("interrupted at {ip} ({pages} page hashes)");
    Ok(told(
        "point",
        vec![pair("ip", ip), pair("pages", pages)],
        text,
    ))
}

pub(super) fn shared(record: &Record<'_>) -> Answer {
    let view = record.shared()?;
    let mut args = vec![
        pair("pc", format!("{:#x}", view.shared.ip)),
        pair("access", view.shared.ordinal),
    ];
    if view.shared.caller != 0 {
        args.push(pair("caller", format!("{:#x}", view.shared.caller)));
    }
    let mut text = String::from("sees");
    for chunk in view.chunks {
        args.push(pair("address", format!("{:#x}", chunk.addr)));
        args.push(pair("bytes", hex(chunk.bytes)));
        text += &format!(" {:#x}: {}", chunk.addr, hex(chunk.bytes));
    }
    if record.head.flags & flag::INTERRUPTED != 0 {
        text = String::from("is interrupted before a shared access");
    }
    Ok(told("shared", args, text))
}

pub(super) fn store(record: &Record<'_>) -> Answer {
    let view = record.store()?;
    let address = format!("{:#x}", view.store.addr);
    let text = format!("stores {address}: {}", hex(view.new));
    let mut args = vec![
        pair("pc", format!("{:#x}", view.store.ip)),
        pair("address", address),
        pair("bytes", hex(view.new)),
    ];
    if view.store.caller != 0 {
        args.push(pair("caller", format!("{:#x}", view.store.caller)));
    }
    Ok(told("store", args, text))
}

/// The first bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const MOST: usize = 32;
    let mut text: String = bytes
        .iter()
        .take(MOST)
        .map(|b| format!("{b:02x}"))
        .collect();
    if bytes.len() > MOST {
        text += &format!("… ({} bytes)", bytes.len());
    }
    text
}

pub(super) fn object(record: &Record<'_>) -> Answer {
    let (object, name) = record.object()?;
    let name = match object.what {
        object::ANONYMOUS => format!("anon:{}", object.id),
        object::SYSV => format!("sysv:{}", object.ino),
        _ => safe(name),
    };
    let text = format!("shared object {}: {name}", object.id);
    let args = vec![pair("object", object.id), pair("name", name)];
    Ok(told("object", args, text))
}

pub(super) fn view(record: &Record<'_>) -> Answer {
    let v = record.view()?;
    let range = format!("{:#x}..{:#x}", v.addr, v.addr.saturating_add(v.len));
    let text = if v.object == 0 {
        format!("{range} is not shared any more")
    } else {
        format!("{range} shows object {}+{:#x}", v.object, v.offset)
    };
    let args = vec![
        pair("address", format!("{:#x}", v.addr)),
        pair("len", v.len),
        pair("object", v.object),
        pair("offset", v.offset),
    ];
    Ok(told("view", args, text))
}

pub(super) fn forked(record: &Record<'_>) -> Answer {
    let forked = record.forked()?;
    let parent = format!("{}@{}", RecordingId(forked.parent), forked.tick);
    let text = format!("forked from {parent}, pid {}", forked.pid);
    let args = vec![pair("from", parent), pair("pid", forked.pid)];
    Ok(told("forked", args, text))
}

pub(super) fn digest(record: &Record<'_>) -> Answer {
    let digest = record.digest()?;
    let (value, pages) = (format!("{:#018x}", digest.sum()), digest.pages);
    let text = format!("memory has digest {value} ({pages} pages)");
    let told = told("digest", vec![pair("pages", pages)], text);
    let result = Value::Text(value);
    Ok(Told { result, ..told })
}

pub(super) fn ended(record: &Record<'_>) -> Answer {
    let end = record.ended()?;
    let (name, value, text) = match end.how {
        ended::EXITED => (
            "exited",
            end.value.to_string(),
            format!("exited with {}", end.value),
        ),
        ended::KILLED => {
            let signal = print::signal_name(end.value);
            let text = format!("killed by {signal}");
            ("killed", signal, text)
        }
        ended::EXECED => {
            let next = RecordingId(end.value).to_string();
            let text = format!("goes on as {next}");
            ("execed", next, text)
        }
        _ => ("unknown", String::new(), "ended; nobody saw how".to_owned()),
    };
    let result = match end.how {
        ended::EXITED => Value::Number(end.value.into()),
        ended::KILLED | ended::EXECED => Value::Text(value),
        _ => Value::None,
    };
    let told = told(name, Vec::new(), format!("+++ {text} +++"));
    Ok(Told { result, ..told })
}

pub(super) fn boot(record: &Record<'_>) -> Answer {
    let boot = record.boot()?;
    let (mask, ignored) = (format!("{:#x}", boot.mask), format!("{:#x}", boot.ignored));
    let brk = format!("{:#x}", boot.brk);
    let text = format!("runtime is in: signal mask {mask}, ignored {ignored}, heap ends at {brk}");
    let args = vec![
        pair("mask", mask),
        pair("ignored", ignored),
        pair("brk", brk),
    ];
    Ok(told("boot", args, text))
}
