//! Records as bytes, for who makes them outside a tracee.

use super::Plain;
use orch_abi::digest::Digest;
use orch_abi::record::{
    Chunk, Data, Ended, Exit, Forked, Head, Insn, Kind, MAX_DATA, MAX_PAYLOAD, Map, Object, Shared,
    Signal, Spawn, Start, Store, Switch, Syscall, View, flag, pad8,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A record of any kind from its payload, which is padded to 8 with zeros.
///
/// # Panics
/// If the payload is longer than [`MAX_PAYLOAD`].
#[must_use]
pub fn record(kind: Kind, flags: u8, aux: u16, tick: u64, payload: &[u8]) -> Vec<u8> {
    let len = pad8(payload.len());
    assert!(len <= MAX_PAYLOAD, "a payload of {len} bytes");
    let mut out = Vec::with_capacity(16 + len);
    Head {
        kind: kind as u8,
        flags,
        aux,
        len: len as u32,
        tick,
    }
    .write(&mut out);
    out.extend_from_slice(payload);
    out.resize(16 + len, 0);
    out
}

/// A record whose payload is one structure.
fn fixed<T: Plain>(kind: Kind, aux: u16, tick: u64, value: &T) -> Vec<u8> {
    let mut payload = Vec::with_capacity(T::LEN);
    value.write(&mut payload);
    record(kind, 0, aux, tick, &payload)
}

/// [`Kind::Start`]. `argc` is set to the number of arguments that are kept: all,
/// unless they do not fit a record.
#[must_use]
pub fn start<A: AsRef<OsStr>>(
    tick: u64,
    start: &Start,
    path: &OsStr,
    args: &[A],
    cwd: &OsStr,
) -> Vec<u8> {
    let mut left = MAX_PAYLOAD - Start::LEN;
    // A path from the kernel has at most PATH_MAX (4096) bytes.
    let cut = |text: &OsStr| {
        let bytes = text.as_bytes();
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        bytes[..end.min(4096)].to_vec()
    };
    let (path, cwd) = (cut(path), cut(cwd));
    left -= path.len() + cwd.len() + 2;
    let mut strings = Vec::new();
    let mut argc = 0;
    for arg in args {
        let arg = arg.as_ref().as_bytes();
        if arg.len() + 1 > left {
            break;
        }
        left -= arg.len() + 1;
        argc += 1;
        strings.extend_from_slice(arg);
        strings.push(0);
    }
    let mut payload = Vec::new();
    Start { argc, ..*start }.write(&mut payload);
    payload.extend_from_slice(&path);
    payload.push(0);
    payload.extend_from_slice(&strings);
    payload.extend_from_slice(&cwd);
    payload.push(0);
    record(Kind::Start, 0, 0, tick, &payload)
}

/// [`Kind::Map`].
#[must_use]
pub fn map(tick: u64, map: &Map) -> Vec<u8> {
    fixed(Kind::Map, 0, tick, map)
}

/// [`Kind::RuntimeMap`].
#[must_use]
pub fn runtime_map(tick: u64, map: &Map) -> Vec<u8> {
    fixed(Kind::RuntimeMap, 0, tick, map)
}

/// [`Kind::Data`]: as many records as `bytes` needs, all of one tick.
#[must_use]
pub fn data(tick: u64, addr: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    for (i, piece) in bytes.chunks(MAX_DATA).enumerate() {
        let mut payload = Vec::with_capacity(Data::LEN + piece.len());
        let addr = addr + (i * MAX_DATA) as u64;
        Data {
            addr,
            len: piece.len() as u64,
        }
        .write(&mut payload);
        payload.extend_from_slice(piece);
        out.extend(record(Kind::Data, 0, 0, tick, &payload));
    }
    out
}

/// [`Kind::Syscall`]; each chunk is address, outgoing, bytes.
#[must_use]
pub fn syscall(
    tick: u64,
    nr: u16,
    flags: u8,
    call: &Syscall,
    chunks: &[(u64, bool, &[u8])],
) -> Vec<u8> {
    let mut payload = Vec::new();
    call.write(&mut payload);
    for &(addr, outgoing, bytes) in chunks {
        chunk(&mut payload, addr, outgoing, bytes);
    }
    record(Kind::Syscall, flags, nr, tick, &payload)
}

fn chunk(payload: &mut Vec<u8>, addr: u64, outgoing: bool, bytes: &[u8]) {
    Chunk {
        addr,
        len: bytes.len() as u32,
        outgoing: outgoing.into(),
    }
    .write(payload);
    payload.extend_from_slice(bytes);
    payload.resize(pad8(payload.len()), 0);
}

/// [`Kind::Switch`].
#[must_use]
pub fn switch(tick: u64, switch: &Switch) -> Vec<u8> {
    fixed(Kind::Switch, 0, tick, switch)
}

/// [`Kind::Signal`].
#[must_use]
pub fn signal(tick: u64, signo: u16, signal: &Signal, info: &[u8; 128]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(Signal::LEN + 128);
    signal.write(&mut payload);
    payload.extend_from_slice(info);
    record(Kind::Signal, 0, signo, tick, &payload)
}

/// [`Kind::Insn`].
#[must_use]
pub fn insn(tick: u64, insn: &Insn) -> Vec<u8> {
    fixed(Kind::Insn, 0, tick, insn)
}

/// [`Kind::Spawn`].
#[must_use]
pub fn spawn(tick: u64, spawn: &Spawn) -> Vec<u8> {
    fixed(Kind::Spawn, 0, tick, spawn)
}

/// [`Kind::Exit`].
#[must_use]
pub fn exit(tick: u64, exit: &Exit) -> Vec<u8> {
    fixed(Kind::Exit, 0, tick, exit)
}

/// [`Kind::Forked`].
#[must_use]
pub fn forked(tick: u64, forked: &Forked) -> Vec<u8> {
    fixed(Kind::Forked, 0, tick, forked)
}

/// [`Kind::Digest`].
#[must_use]
pub fn digest(tick: u64, digest: &Digest) -> Vec<u8> {
    fixed(Kind::Digest, 0, tick, digest)
}

/// [`Kind::Ended`].
#[must_use]
pub fn ended(tick: u64, ended: &Ended) -> Vec<u8> {
    fixed(Kind::Ended, 0, tick, ended)
}

/// [`Kind::Object`].
#[must_use]
pub fn object(tick: u64, object: &Object, name: &OsStr) -> Vec<u8> {
    let mut payload = Vec::new();
    object.write(&mut payload);
    payload.extend_from_slice(name.as_bytes());
    payload.push(0);
    record(Kind::Object, 0, 0, tick, &payload)
}

/// [`Kind::View`].
#[must_use]
pub fn view(tick: u64, view: &View) -> Vec<u8> {
    fixed(Kind::View, 0, tick, view)
}

/// [`Kind::Store`]; with `old`, the flag [`flag::UNSEEN`] is set.
///
/// # Panics
/// If `old` has another length than `new`.
#[must_use]
pub fn store(tick: u64, flags: u8, ip: u64, addr: u64, new: &[u8], old: Option<&[u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    let len = new.len() as u64;
    let caller = 0;
    Store {
        ip,
        addr,
        len,
        caller,
    }
    .write(&mut payload);
    payload.extend_from_slice(new);
    payload.resize(pad8(payload.len()), 0);
    let mut flags = flags;
    if let Some(old) = old {
        assert_eq!(old.len(), new.len(), "as many bytes before as after");
        payload.extend_from_slice(old);
        flags |= flag::UNSEEN;
    }
    record(Kind::Store, flags, 0, tick, &payload)
}

/// [`Kind::Shared`]; each chunk is address, bytes.
#[must_use]
pub fn shared(tick: u64, flags: u8, shared: &Shared, chunks: &[(u64, &[u8])]) -> Vec<u8> {
    let mut payload = Vec::new();
    shared.write(&mut payload);
    for &(addr, bytes) in chunks {
        chunk(&mut payload, addr, false, bytes);
    }
    record(Kind::Shared, flags, 0, tick, &payload)
}
