//! Records, read and made.

pub mod build;
mod plain;
mod view;

pub use plain::Plain;
pub use view::{ChunkView, Chunks, SharedView, SignalView, StartView, StoreView, SyscallView};

use super::bytes::Input;
use super::codec::{CodecError, split_head};
use orch_abi::digest::Digest;
use orch_abi::record::{
    Boot, Data, Ended, Exit, Forked, Head, Insn, Kind, Map, Point, Spawn, Switch, View,
};

/// One record of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where its head begins in the recording's stream.
    pub offset: u64,
    /// How many records precede it.
    pub index: u64,
    /// What it is.
    pub head: Head,
    /// The rest, `head.len` bytes.
    pub payload: &'a [u8],
}

/// A record that does not hold what its kind should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No kind has this number.
    #[error("the record at {offset} has kind {kind}, which this orch does not know")]
    UnknownKind {
        /// Where it is in the stream.
        offset: u64,
        /// The number.
        kind: u8,
    },
    /// Read as another kind than it is.
    #[error("the record at {offset} has kind {found}, not {expected:?}")]
    OtherKind {
        /// Where it is in the stream.
        offset: u64,
        /// The number.
        found: u8,
        /// The kind that was asked for.
        expected: Kind,
    },
    /// Its payload is too short, or contradicts itself.
    #[error("the record at {offset} does not hold a whole {kind:?}")]
    Payload {
        /// Where it is in the stream.
        offset: u64,
        /// What it should be.
        kind: Kind,
    },
}

impl<'a> Record<'a> {
    /// The record at the start of `bytes`, and its length.
    pub fn parse(bytes: &'a [u8], offset: u64, index: u64) -> Result<(Self, usize), CodecError> {
        let (head, len) = split_head(bytes)?;
        let payload = &bytes[super::codec::HEAD_LEN..len];
        Ok((
            Self {
                offset,
                index,
                head,
                payload,
            },
            len,
        ))
    }

    /// Its kind.
    pub fn kind(&self) -> Result<Kind, RecordError> {
        let unknown = RecordError::UnknownKind {
            offset: self.offset,
            kind: self.head.kind,
        };
        Kind::from_u8(self.head.kind).ok_or(unknown)
    }

    /// Checks the kind, and reads the fixed part of the payload.
    fn fixed<T: Plain>(&self, kinds: &[Kind]) -> Result<(T, &'a [u8]), RecordError> {
        let kind = self.kind()?;
        if !kinds.contains(&kind) {
            let (found, expected) = (self.head.kind, kinds[0]);
            return Err(RecordError::OtherKind {
                offset: self.offset,
                found,
                expected,
            });
        }
        let mut input = Input(self.payload);
        let value = T::read(&mut input).ok_or(self.malformed(kind))?;
        Ok((value, input.0))
    }

    fn malformed(&self, kind: Kind) -> RecordError {
        RecordError::Payload {
            offset: self.offset,
            kind,
        }
    }

    /// Its [`Map`] ([`Kind::Map`] or [`Kind::RuntimeMap`]).
    pub fn map(&self) -> Result<Map, RecordError> {
        Ok(self.fixed(&[Kind::Map, Kind::RuntimeMap])?.0)
    }

    /// Its address and bytes ([`Kind::Data`]).
    pub fn data(&self) -> Result<(u64, &'a [u8]), RecordError> {
        let (data, rest) = self.fixed::<Data>(&[Kind::Data])?;
        let len = usize::try_from(data.len).unwrap_or(usize::MAX);
        let bytes = rest.get(..len).ok_or(self.malformed(Kind::Data))?;
        Ok((data.addr, bytes))
    }

    /// Its [`Switch`].
    pub fn switch(&self) -> Result<Switch, RecordError> {
        Ok(self.fixed(&[Kind::Switch])?.0)
    }

    /// The place of an interruption ([`Kind::Point`]).
    pub fn point(&self) -> Result<Point, RecordError> {
        Ok(self.fixed(&[Kind::Point])?.0)
    }

    /// Its [`Insn`].
    pub fn insn(&self) -> Result<Insn, RecordError> {
        Ok(self.fixed(&[Kind::Insn])?.0)
    }

    /// Its [`Spawn`].
    pub fn spawn(&self) -> Result<Spawn, RecordError> {
        Ok(self.fixed(&[Kind::Spawn])?.0)
    }

    /// Its [`Exit`].
    pub fn exit(&self) -> Result<Exit, RecordError> {
        Ok(self.fixed(&[Kind::Exit])?.0)
    }

    /// Its [`Forked`].
    pub fn forked(&self) -> Result<Forked, RecordError> {
        Ok(self.fixed(&[Kind::Forked])?.0)
    }

    /// Its [`Digest`].
    pub fn digest(&self) -> Result<Digest, RecordError> {
        Ok(self.fixed(&[Kind::Digest])?.0)
    }

    /// Its [`Ended`].
    pub fn ended(&self) -> Result<Ended, RecordError> {
        Ok(self.fixed(&[Kind::Ended])?.0)
    }

    /// Its [`View`].
    pub fn view(&self) -> Result<View, RecordError> {
        Ok(self.fixed(&[Kind::View])?.0)
    }

    /// Its [`Boot`].
    pub fn boot(&self) -> Result<Boot, RecordError> {
        Ok(self.fixed(&[Kind::Boot])?.0)
    }
}

#[cfg(test)]
mod tests;
