//! The transformation before compression: records become columns of
//! differences, so that a call in a loop becomes a run of equal bytes.
//!
//! Records of one kind, call and call site share a *context*, which remembers
//! the words (8 bytes) of the last such record. Of a record only the words that
//! differ are kept. Which words there are follows from the record's kind
//! (`shape`); what no rule covers is kept as plain bytes. Any sequence of
//! well-delimited records comes back exactly, sense or nonsense.

mod context;
mod decode;
mod encode;

pub use decode::Decoder;
pub use encode::Encoder;

use super::bytes::Input;
use orch_abi::record::{Head, Kind, MAX_PAYLOAD};

/// Bytes of a record's head.
pub const HEAD_LEN: usize = 16;
/// Raw bytes after which a block is closed.
pub const BLOCK_TARGET: usize = 256 << 10;
/// Most raw bytes in one block.
pub const MAX_RAW: usize = BLOCK_TARGET + HEAD_LEN + MAX_PAYLOAD;
/// Most bytes a block can have after transformation: a record's head takes at
/// most 32 of them, a word 9 and an eighth.
pub const MAX_ENCODED: usize = 2 * MAX_RAW + 1024;

/// Columns of an encoded block.
pub(crate) const COLUMNS: usize = 7;

/// Bytes that are no record, or no encoded block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A record's head or payload reaches beyond the input.
    #[error("a record is cut off")]
    CutOff,
    /// A record claims more than [`MAX_PAYLOAD`] bytes.
    #[error("a record claims a payload of {0} bytes, more than any has")]
    TooLong(u32),
    /// A record's length is no multiple of 8.
    #[error("a record claims a payload of {0} bytes, no multiple of 8")]
    Unaligned(u32),
    /// A record has kind 0, as empty memory would.
    #[error("a record has kind 0")]
    NoKind,
    /// A column ends early, or has bytes left over.
    #[error("a block's columns do not fit its records")]
    Columns,
    /// A record refers to a context that no record before it made.
    #[error("a block refers to a context it does not define")]
    Context,
    /// The block decodes to another length than its frame says.
    #[error("a block does not have the length that its frame gives")]
    Length,
    /// zstd could not decompress.
    #[error("a block does not decompress")]
    Decompress,
}

/// The head at the start of `bytes`, checked, and the length of its record.
#[inline]
pub fn split_head(bytes: &[u8]) -> Result<(Head, usize), CodecError> {
    let mut input = Input(bytes);
    let head = (|| {
        Some(Head {
            kind: input.u8()?,
            flags: input.u8()?,
            aux: input.u16()?,
            len: input.u32()?,
            tick: input.u64()?,
        })
    })()
    .ok_or(CodecError::CutOff)?;
    let len = head.len as usize;
    if head.kind == 0 {
        return Err(CodecError::NoKind);
    }
    if len > MAX_PAYLOAD {
        return Err(CodecError::TooLong(head.len));
    }
    if !len.is_multiple_of(8) {
        return Err(CodecError::Unaligned(head.len));
    }
    if bytes.len() - HEAD_LEN < len {
        return Err(CodecError::CutOff);
    }
    Ok((head, HEAD_LEN + len))
}

/// How the payload of a kind of record divides.
#[derive(Clone, Copy)]
struct Shape {
    /// The first word is an instruction pointer: part of the context, not coded.
    site: bool,
    /// How many words follow.
    words: usize,
    /// What is behind the words: chunks, or else plain bytes.
    chunks: bool,
}

/// The shape of records of `kind` with `len` bytes of payload. Part of the file format.
#[inline]
fn shape(kind: u8, len: usize) -> Shape {
    const ALL: usize = MAX_PAYLOAD / 8;
    const START: u8 = Kind::Start as u8;
    const DATA: u8 = Kind::Data as u8;
    const SYSCALL: u8 = Kind::Syscall as u8;
    const ENTER: u8 = Kind::Enter as u8;
    const EXEC: u8 = Kind::Exec as u8;
    const SIGNAL: u8 = Kind::Signal as u8;
    const INSN: u8 = Kind::Insn as u8;
    const POINT: u8 = Kind::Point as u8;
    const SHARED: u8 = Kind::Shared as u8;
    const STORE: u8 = Kind::Store as u8;
    let (site, words, chunks) = match kind {
        SYSCALL | ENTER | EXEC => (true, 8, true),
        SHARED => (true, 2, true),
        // Address, length, caller, and what a single store can store.
        STORE if len <= 32 + 128 => (true, ALL, false),
        STORE => (true, 3, false),
        SIGNAL | INSN => (true, ALL, false),
        START => (false, 21, false),
        DATA => (false, 2, false),
        POINT => (false, ALL, false),
        _ => (false, if len <= 64 { ALL } else { 0 }, false),
    };
    let site = site && len >= 8;
    let words = words.min(len / 8 - usize::from(site));
    Shape {
        site,
        words,
        chunks,
    }
}

/// Whether a chunk's data are coded as words: what the kernel returns in small
/// structures changes by small differences. 144 bytes is `struct stat`.
#[inline]
const fn chunk_is_words(len: usize) -> bool {
    len <= 64 || len == 144
}

/// The most a difference may be to be kept as a varint (5 bytes); greater ones
/// keep the word itself in the column `wide`.
const NARROW: u64 = 1 << 35;

#[cfg(test)]
mod tests;
