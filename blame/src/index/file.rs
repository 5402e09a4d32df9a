//! The fixed parts of an index file: head and tail, and compressed parts
//! between them.

use crate::error::BlameError;
use orch_recorder::regular;
use orch_recorder::session::Session;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const HEAD_MAGIC: [u8; 8] = *b"orchblm\n";
const TAIL_MAGIC: [u8; 8] = *b"blamend\n";
/// Bytes of a head.
pub const HEAD_LEN: usize = 32;
/// Bytes of a tail.
pub const TAIL_LEN: usize = 64;
/// Most bytes of a part after decompression.
const MAX_PART: u64 = 1 << 30;

/// The head: format version and the recordings it was made from.
pub fn head(fingerprint: u64) -> Vec<u8> {
    let mut out = HEAD_MAGIC.to_vec();
    out.extend(super::VERSION.to_le_bytes());
    out.extend([0; 4]);
    out.extend(fingerprint.to_le_bytes());
    seal(out)
}

/// Whether `bytes` are the head of an index of this version and fingerprint.
pub fn is_head(bytes: &[u8], fingerprint: u64) -> bool {
    bytes == head(fingerprint)
}

/// A compressed part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub at: u64,
    /// Bytes in the file.
    pub len: u64,
    /// XXH3-64 of them.
    pub checksum: u64,
}

/// The tail: where the catalog and the directory of segments are.
pub fn tail(catalog: Part, segments: Part) -> Vec<u8> {
    let mut out = TAIL_MAGIC.to_vec();
    for part in [catalog, segments] {
        for n in [part.at, part.len, part.checksum] {
            out.extend(n.to_le_bytes());
        }
    }
    seal(out)
}

/// Reads what [`tail`] made.
pub fn parse_tail(bytes: &[u8; TAIL_LEN]) -> Option<(Part, Part)> {
    let (content, checksum) = bytes.split_last_chunk::<8>()?;
    let word = |n: usize| {
        let bytes = bytes.get(8 * n..8 * n + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let part = |n: usize| {
        Some(Part {
            at: word(n)?,
            len: word(n + 1)?,
            checksum: word(n + 2)?,
        })
    };
    let sound = bytes.starts_with(&TAIL_MAGIC) && xxh3_64(content) == u64::from_le_bytes(*checksum);
    sound.then(|| Some((part(1)?, part(4)?)))?
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    bytes
}

/// The bytes of a part, decompressed; `None` if it is damaged.
pub fn read_part(file: &File, file_len: u64, part: Part) -> Option<Vec<u8>> {
    if part.len > file_len || part.at > file_len - part.len {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(part.len).ok()?];
    file.read_exact_at(&mut bytes, part.at).ok()?;
    if xxh3_64(&bytes) != part.checksum {
        return None;
    }
    let mut out = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(&bytes[..]).ok()?;
    decoder.take(MAX_PART).read_to_end(&mut out).ok()?;
    Some(out)
}

/// What tells the recordings of a session, as they are now, from others: their
/// lengths, and their last bytes, which in a finished one are checksums.
pub fn fingerprint(session: &Session) -> Result<u64, BlameError> {
    let mut hash = Xxh3::new();
    for id in session.recordings()? {
        let path = session.events_path(id);
        let (len, end) = ending(&path).unwrap_or_default();
        hash.update(&id.0.to_le_bytes());
        hash.update(&len.to_le_bytes());
        hash.update(&end);
    }
    Ok(hash.digest())
}

fn ending(path: &Path) -> std::io::Result<(u64, [u8; 32])> {
    let file = regular::open(path)?;
    let len = file.metadata()?.len();
    let mut end = [0; 32];
    let have = len.min(32) as usize;
    file.read_exact_at(&mut end[..have], len - have as u64)?;
    Ok((len, end))
}
