//! Records with something behind the fixed part of the payload.

use super::{Plain, Record, RecordError};
use crate::trace::bytes::Input;
use orch_abi::record::{Chunk, Kind, Object, Shared, Signal, Start, Store, Syscall, flag, pad8};

/// A [`Kind::Start`] record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartView<'a> {
    /// Its fixed part.
    pub start: Start,
    /// Path of the program.
    pub path: &'a [u8],
    /// Its arguments.
    pub args: Vec<&'a [u8]>,
    /// Its working directory.
    pub cwd: &'a [u8],
}

/// A [`Kind::Syscall`], [`Kind::Enter`] or [`Kind::Exec`] record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallView<'a> {
    /// System-call number.
    pub nr: u16,
    /// Its fixed part.
    pub call: Syscall,
    /// The memory that the kernel wrote, and read as far as it was kept.
    pub chunks: Chunks<'a>,
}

/// A [`Kind::Shared`] record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedView<'a> {
    /// Its fixed part.
    pub shared: Shared,
    /// What was there.
    pub chunks: Chunks<'a>,
}

/// A [`Kind::Store`] record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreView<'a> {
    /// Its fixed part.
    pub store: Store,
    /// The bytes stored.
    pub new: &'a [u8],
    /// The bytes overwritten, where this recording had not seen them before.
    pub old: Option<&'a [u8]>,
}

/// The chunks of a system call, or of what was seen in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks<'a>(&'a [u8]);

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkView<'a> {
    /// First address.
    pub addr: u64,
    /// Whether the kernel read it (otherwise it wrote it).
    pub outgoing: bool,
    /// Its content.
    pub bytes: &'a [u8],
}

/// A [`Kind::Signal`] record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalView<'a> {
    /// Signal number.
    pub signo: u16,
    /// Its fixed part.
    pub signal: Signal,
    /// `siginfo_t` as the kernel made it.
    pub info: &'a [u8; 128],
}

impl<'a> Chunks<'a> {
    /// Checks that chunks fill `bytes` exactly.
    fn check(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = split_chunk(rest)?.1;
        }
        Some(Self(bytes))
    }
}

/// The first chunk, and what follows it.
fn split_chunk(bytes: &[u8]) -> Option<(ChunkView<'_>, &[u8])> {
    let mut input = Input(bytes);
    let Chunk {
        addr,
        len,
        outgoing,
    } = Chunk::read(&mut input)?;
    let padded = input.take(pad8(len as usize))?;
    let view = ChunkView {
        addr,
        outgoing: outgoing != 0,
        bytes: &padded[..len as usize],
    };
    Some((view, input.0))
}

impl<'a> Iterator for Chunks<'a> {
    type Item = ChunkView<'a>;

    fn next(&mut self) -> Option<ChunkView<'a>> {
        let (chunk, rest) = split_chunk(self.0)?;
        self.0 = rest;
        Some(chunk)
    }
}

impl<'a> Record<'a> {
    /// Its program, arguments and directory ([`Kind::Start`]).
    pub fn start(&self) -> Result<StartView<'a>, RecordError> {
        let (start, rest) = self.fixed::<Start>(&[Kind::Start])?;
        let malformed = self.malformed(Kind::Start);
        // Each string takes a byte at least: a bound on what argc may claim.
        let count = start.argc as usize;
        if count >= rest.len() {
            return Err(malformed);
        }
        let mut rest = rest;
        let mut string = || {
            let end = rest.iter().position(|&byte| byte == 0)?;
            let string = &rest[..end];
            rest = &rest[end + 1..];
            Some(string)
        };
        let path = string().ok_or(malformed)?;
        let args: Option<Vec<_>> = (0..count).map(|_| string()).collect();
        let cwd = string();
        Ok(StartView {
            start,
            path,
            args: args.ok_or(malformed)?,
            cwd: cwd.ok_or(malformed)?,
        })
    }

    /// The call it tells of ([`Kind::Syscall`], [`Kind::Enter`] or [`Kind::Exec`]).
    pub fn syscall(&self) -> Result<SyscallView<'a>, RecordError> {
        let (call, rest) = self.fixed(&[Kind::Syscall, Kind::Enter, Kind::Exec])?;
        let chunks = Chunks::check(rest).ok_or(self.malformed(Kind::Syscall))?;
        Ok(SyscallView {
            nr: self.head.aux,
            call,
            chunks,
        })
    }

    /// What it saw in shared memory ([`Kind::Shared`]).
    pub fn shared(&self) -> Result<SharedView<'a>, RecordError> {
        let (shared, rest) = self.fixed(&[Kind::Shared])?;
        let chunks = Chunks::check(rest).ok_or(self.malformed(Kind::Shared))?;
        Ok(SharedView { shared, chunks })
    }

    /// What it stored in shared memory ([`Kind::Store`]).
    pub fn store(&self) -> Result<StoreView<'a>, RecordError> {
        let (store, rest) = self.fixed::<Store>(&[Kind::Store])?;
        let malformed = self.malformed(Kind::Store);
        let len = usize::try_from(store.len).unwrap_or(usize::MAX);
        let new = rest.get(..len).ok_or(malformed)?;
        let old = if self.head.flags & flag::UNSEEN != 0 {
            let rest = rest.get(pad8(len)..).ok_or(malformed)?;
            Some(rest.get(..len).ok_or(malformed)?)
        } else {
            None
        };
        Ok(StoreView { store, new, old })
    }

    /// The object it introduces ([`Kind::Object`]), and its name.
    pub fn object(&self) -> Result<(Object, &'a [u8]), RecordError> {
        let (object, rest) = self.fixed(&[Kind::Object])?;
        let end = rest.iter().position(|&byte| byte == 0);
        let name = &rest[..end.ok_or(self.malformed(Kind::Object))?];
        Ok((object, name))
    }

    /// The signal it delivers ([`Kind::Signal`]).
    pub fn signal(&self) -> Result<SignalView<'a>, RecordError> {
        let (signal, rest) = self.fixed(&[Kind::Signal])?;
        let info = rest.first_chunk().ok_or(self.malformed(Kind::Signal))?;
        Ok(SignalView {
            signo: self.head.aux,
            signal,
            info,
        })
    }
}
