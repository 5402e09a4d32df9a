//! The fixed-size parts of a recording file: its head, the head of each frame, its tail.

use super::bytes::Input;
use xxhash_rust::xxh3::xxh3_64;

/// Version of the file format that is written and read.
pub const VERSION: u32 = 7;

/// First bytes of a recording file.
const FILE_MAGIC: [u8; 8] = *b"orchrec\n";
/// First bytes of every frame.
const FRAME_MAGIC: [u8; 4] = *b"oFrm";
/// First bytes of the tail.
const TAIL_MAGIC: [u8; 8] = *b"orchend\n";

/// Bytes of [`FileHead`] in a file.
pub(super) const FILE_HEAD_LEN: usize = 32;
/// Bytes of [`FrameHead`] in a file.
pub(super) const FRAME_HEAD_LEN: usize = 80;
/// Bytes of [`Tail`] in a file.
pub(super) const TAIL_LEN: usize = 32;

/// Start of a recording file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHead {
    pub version: u32,
    pub recording: u32,
}

impl FileHead {
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = FILE_MAGIC.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.recording.to_le_bytes());
        out.extend([0; 8]);
        seal(out, FILE_HEAD_LEN)
    }

    /// The version is to be looked at by the caller, before anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(unseal(bytes, FILE_HEAD_LEN)?);
        (input.take(8)? == FILE_MAGIC).then_some(())?;
        Some(Self {
            version: input.u32()?,
            recording: input.u32()?,
        })
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Records: transformed, then compressed.
    Block = 1,
    /// The index of all blocks.
    Index = 2,
    /// The recording's summary, JSON.
    Summary = 3,
}

/// Start of a frame; the body follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub kind: FrameKind,
    /// Number of the frame, from 0.
    pub sequence: u64,
    /// Bytes of raw records.
    pub raw_len: u32,
    /// Bytes after the transformation.
    pub encoded_len: u32,
    /// Bytes in the file.
    pub body_len: u32,
    /// How many records.
    pub records: u32,
    /// Raw bytes in all frames before.
    pub first_offset: u64,
    /// Records in all frames before.
    pub first_index: u64,
    pub first_tick: u64,
    pub last_tick: u64,
    /// XXH3-64 of the body.
    pub checksum: u64,
}

impl FrameHead {
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = FRAME_MAGIC.to_vec();
        out.extend([self.kind as u8, 0, 0, 0]);
        out.extend(self.sequence.to_le_bytes());
        for n in [self.raw_len, self.encoded_len, self.body_len, self.records] {
            out.extend(n.to_le_bytes());
        }
        let Self {
            first_offset,
            first_index,
            first_tick,
            last_tick,
            checksum,
            ..
        } = self;
        for n in [first_offset, first_index, first_tick, last_tick, checksum] {
            out.extend(n.to_le_bytes());
        }
        seal(out, FRAME_HEAD_LEN)
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(unseal(bytes, FRAME_HEAD_LEN)?);
        (input.take(4)? == FRAME_MAGIC).then_some(())?;
        let kind = match input.take(4)? {
            [1, 0, 0, 0] => FrameKind::Block,
            [2, 0, 0, 0] => FrameKind::Index,
            [3, 0, 0, 0] => FrameKind::Summary,
            _ => return None,
        };
        Some(Self {
            kind,
            sequence: input.u64()?,
            raw_len: input.u32()?,
            encoded_len: input.u32()?,
            body_len: input.u32()?,
            records: input.u32()?,
            first_offset: input.u64()?,
            first_index: input.u64()?,
            first_tick: input.u64()?,
            last_tick: input.u64()?,
            checksum: input.u64()?,
        })
    }
}

/// End of a finished recording file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Where the index frame begins in the file.
    pub index: u64,
    /// Where the summary frame begins in the file.
    pub summary: u64,
}

impl Tail {
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = TAIL_MAGIC.to_vec();
        out.extend(self.index.to_le_bytes());
        out.extend(self.summary.to_le_bytes());
        seal(out, TAIL_LEN)
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(unseal(bytes, TAIL_LEN)?);
        (input.take(8)? == TAIL_MAGIC).then_some(())?;
        Some(Self {
            index: input.u64()?,
            summary: input.u64()?,
        })
    }
}

/// Appends the checksum of what is there.
fn seal(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    assert_eq!(bytes.len(), len, "a part of fixed size");
    bytes
}

/// The bytes before the checksum, if it fits.
fn unseal(bytes: &[u8], len: usize) -> Option<&[u8]> {
    let (content, checksum) = bytes.get(..len)?.split_last_chunk::<8>()?;
    (xxh3_64(content) == u64::from_le_bytes(*checksum)).then_some(content)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_is_of_this_version() {
        let (session, recording) = (crate::session::FORMAT, super::VERSION);
        let text = include_str!("../../../docs/trace-format.md");
        assert!(text.contains(&format!(
            "Session format {session}, recording format {recording}."
        )));
    }
}
