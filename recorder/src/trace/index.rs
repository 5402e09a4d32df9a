//! Where the blocks of a recording are: written at its end, or found by
//! walking the frames' heads where nobody came to write it.

use super::bytes::{Input, put_varint};
use super::codec::{MAX_ENCODED, MAX_RAW};
use super::frame::{FILE_HEAD_LEN, FRAME_HEAD_LEN, FrameHead, FrameKind};
use std::fs::File;
use std::os::unix::fs::FileExt;
use xxhash_rust::xxh3::xxh3_64;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its frame begins in the file.
    pub file_offset: u64,
    /// Bytes of its frame, head included.
    pub frame_len: u64,
    /// Raw bytes before it.
    pub first_offset: u64,
    /// Raw bytes in it.
    pub raw_len: u64,
    /// Records before it.
    pub first_index: u64,
    /// Records in it.
    pub records: u64,
    /// Ticks, as in [`FrameHead`].
    pub first_tick: u64,
    pub last_tick: u64,
}

/// All blocks, in order and without gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub entries: Vec<Entry>,
}

impl Index {
    /// Where the next frame begins in the file.
    pub fn file_end(&self) -> u64 {
        self.entries
            .last()
            .map_or(FILE_HEAD_LEN as u64, |e| e.file_offset + e.frame_len)
    }

    /// Raw bytes in all blocks.
    pub fn raw_end(&self) -> u64 {
        self.entries
            .last()
            .map_or(0, |e| e.first_offset + e.raw_len)
    }

    /// Records in all blocks.
    pub fn records(&self) -> u64 {
        self.entries.last().map_or(0, |e| e.first_index + e.records)
    }

    /// The highest tick in all blocks.
    pub fn last_tick(&self) -> u64 {
        self.entries.last().map_or(0, |e| e.last_tick)
    }

    /// Adds the block behind the last, unless it does not fit there.
    pub fn push(&mut self, head: &FrameHead) -> Option<()> {
        let fits = head.kind == FrameKind::Block
            && head.sequence == self.entries.len() as u64
            && head.first_offset == self.raw_end()
            && head.first_index == self.records()
            && head.first_tick >= self.last_tick()
            && head.last_tick >= head.first_tick
            && head.raw_len as usize <= MAX_RAW
            && head.encoded_len as usize <= MAX_ENCODED;
        let entry = Entry {
            file_offset: self.file_end(),
            frame_len: FRAME_HEAD_LEN as u64 + u64::from(head.body_len),
            first_offset: head.first_offset,
            raw_len: head.raw_len.into(),
            first_index: head.first_index,
            records: head.records.into(),
            first_tick: head.first_tick,
            last_tick: head.last_tick,
        };
        fits.then(|| self.entries.push(entry))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut tick = 0;
        for entry in &self.entries {
            put_varint(&mut out, entry.frame_len);
            put_varint(&mut out, entry.raw_len);
            put_varint(&mut out, entry.records);
            put_varint(&mut out, entry.first_tick - tick);
            put_varint(&mut out, entry.last_tick - entry.first_tick);
            tick = entry.last_tick;
        }
        out
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut index = Self::default();
        let mut input = Input(bytes);
        while !input.is_empty() {
            let (frame_len, raw_len) = (input.varint()?, input.varint()?);
            let (records, gap, span) = (input.varint()?, input.varint()?, input.varint()?);
            let first_tick = index.last_tick().checked_add(gap)?;
            // Bounds that keep the sums of Self::push from overflowing.
            let head = FrameHead {
                kind: FrameKind::Block,
                sequence: index.entries.len() as u64,
                raw_len: u32::try_from(raw_len).ok()?,
                encoded_len: 0,
                body_len: u32::try_from(frame_len.checked_sub(FRAME_HEAD_LEN as u64)?).ok()?,
                records: u32::try_from(records).ok()?,
                first_offset: index.raw_end(),
                first_index: index.records(),
                first_tick,
                last_tick: first_tick.checked_add(span)?,
                checksum: 0,
            };
            index.push(&head)?;
        }
        Some(index)
    }

    /// Finds the blocks of a file that has no index: all up to the first frame
    /// that is not intact. Reads heads only, and the last body.
    pub fn scan(file: &File, file_len: u64) -> std::io::Result<Self> {
        let mut index = Self::default();
        let mut head = [0; FRAME_HEAD_LEN];
        loop {
            let at = index.file_end();
            if file_len.saturating_sub(at) < FRAME_HEAD_LEN as u64 {
                break;
            }
            file.read_exact_at(&mut head, at)?;
            let Some(head) = FrameHead::parse(&head) else {
                break;
            };
            let left = file_len - at - FRAME_HEAD_LEN as u64;
            if u64::from(head.body_len) > left || index.push(&head).is_none() {
                break;
            }
        }
        while let Some(entry) = index.entries.last() {
            if body_is_intact(file, entry)? {
                break;
            }
            index.entries.pop();
        }
        Ok(index)
    }
}

/// Whether the body of a block has the checksum that its head gives.
fn body_is_intact(file: &File, entry: &Entry) -> std::io::Result<bool> {
    let mut bytes = vec![0; entry.frame_len as usize];
    file.read_exact_at(&mut bytes, entry.file_offset)?;
    let head = FrameHead::parse(&bytes);
    Ok(head.is_some_and(|head| head.checksum == xxh3_64(&bytes[FRAME_HEAD_LEN..])))
}
