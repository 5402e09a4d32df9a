//! Reading a recording file.

use super::codec::{CodecError, Decoder, MAX_ENCODED};
use super::frame::{
    FILE_HEAD_LEN, FRAME_HEAD_LEN, FileHead, FrameHead, FrameKind, TAIL_LEN, Tail, VERSION,
};
use super::index::{Entry, Index};
use super::record::Record;
use super::summary::{Rare, Summary};
use super::{RecordingId, Tick, TraceError};
use crate::regular;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Decompressor;

/// Reads a recording block by block, from any place on.
pub struct RecordingReader {
    file: Source,
    index: Index,
    summary: Option<Summary>,
    /// The block that is read next.
    next: usize,
    decoder: Decoder,
    decompressor: Decompressor<'static>,
    encoded: Vec<u8>,
}

/// Consecutive records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Their bytes.
    pub raw: Vec<u8>,
    /// Where they begin in the recording's stream.
    pub offset: u64,
    /// How many records precede them.
    pub first_index: u64,
    /// Highest tick up to and with the first of them.
    pub first_tick: Tick,
    /// Highest tick up to and with the last of them.
    pub last_tick: Tick,
}

/// The open file and what its fixed parts say.
struct Source {
    path: PathBuf,
    file: File,
    len: u64,
    recording: RecordingId,
    tail: Option<Tail>,
}

impl Source {
    fn open(path: &Path) -> Result<Self, TraceError> {
        let io = || TraceError::io("read", path);
        let file = regular::open(path).map_err(TraceError::io("open", path))?;
        let len = file.metadata().map_err(io())?.len();
        let not_one = || TraceError::NotARecording {
            path: path.to_owned(),
        };
        if len < FILE_HEAD_LEN as u64 {
            return Err(not_one());
        }
        let mut head = [0; FILE_HEAD_LEN];
        file.read_exact_at(&mut head, 0).map_err(io())?;
        let head = FileHead::parse(&head).ok_or_else(not_one)?;
        if head.version != VERSION {
            return Err(TraceError::Version {
                path: path.to_owned(),
                found: head.version,
            });
        }
        let mut tail = None;
        if len >= (FILE_HEAD_LEN + TAIL_LEN) as u64 {
            let mut bytes = [0; TAIL_LEN];
            file.read_exact_at(&mut bytes, len - TAIL_LEN as u64)
                .map_err(io())?;
            tail = Tail::parse(&bytes);
        }
        let recording = RecordingId(head.recording);
        Ok(Self {
            path: path.to_owned(),
            file,
            len,
            recording,
            tail,
        })
    }

    fn damaged(&self, offset: u64, what: &'static str) -> TraceError {
        TraceError::Damaged {
            path: self.path.clone(),
            offset,
            what,
        }
    }

    fn codec(&self, offset: u64) -> impl FnOnce(CodecError) -> TraceError {
        let path = self.path.clone();
        move |source| TraceError::Codec {
            path,
            offset,
            source,
        }
    }

    /// The frame at `offset`: its head, and its bytes including the head.
    fn frame(&self, offset: u64) -> Result<(FrameHead, Vec<u8>), TraceError> {
        let io = || TraceError::io("read", &self.path);
        let mut head = [0; FRAME_HEAD_LEN];
        if self.len.saturating_sub(offset) < FRAME_HEAD_LEN as u64 {
            return Err(self.damaged(offset, "the file ends before the frame"));
        }
        self.file.read_exact_at(&mut head, offset).map_err(io())?;
        let head = FrameHead::parse(&head)
            .ok_or_else(|| self.damaged(offset, "a frame's head has another checksum"))?;
        let start = offset + FRAME_HEAD_LEN as u64;
        if u64::from(head.body_len) > self.len - start {
            return Err(self.damaged(offset, "the file ends within the frame"));
        }
        let mut body = vec![0; head.body_len as usize];
        self.file.read_exact_at(&mut body, start).map_err(io())?;
        if xxh3_64(&body) != head.checksum {
            return Err(self.damaged(offset, "a frame's body has another checksum"));
        }
        Ok((head, body))
    }

    /// The index at the file's end, if it is there and sound.
    fn stored_index(&self) -> Option<Index> {
        let tail = self.tail?;
        let (head, body) = self.frame(tail.index).ok()?;
        let index = Index::parse(&body)?;
        (head.kind == FrameKind::Index && index.file_end() == tail.index).then_some(index)
    }

    /// The summary at the file's end, if it is there and sound.
    fn stored_summary(&self) -> Option<Summary> {
        let (head, body) = self.frame(self.tail?.summary).ok()?;
        if head.kind != FrameKind::Summary {
            return None;
        }
        serde_json::from_slice(&body).ok()
    }
}

impl RecordingReader {
    /// Opens a recording, finished or not (see [`is_finished`](Self::is_finished)).
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let file = Source::open(path)?;
        let (index, summary) = match file.stored_index() {
            Some(index) => (index, file.stored_summary()),
            None => {
                let scanned = Index::scan(&file.file, file.len);
                (scanned.map_err(TraceError::io("read", path))?, None)
            }
        };
        let decompressor = Decompressor::new().map_err(TraceError::io("read", path))?;
        Ok(Self {
            file,
            index,
            summary,
            next: 0,
            decoder: Decoder::default(),
            decompressor,
            encoded: Vec::new(),
        })
    }

    /// The summary of the recording at `path`, without reading its index where it is finished.
    pub fn summary_of(path: &Path) -> Result<Summary, TraceError> {
        match Source::open(path)?.stored_summary() {
            Some(summary) => Ok(summary),
            None => Ok(Self::open(path)?.summary()),
        }
    }

    /// Where its blocks are.
    pub(super) fn into_index(self) -> Index {
        self.index
    }

    /// Which recording it is.
    #[must_use]
    pub fn recording(&self) -> RecordingId {
        self.file.recording
    }

    /// Whether the recording was closed properly. Otherwise its process or the
    /// supervisor still runs, or was killed; what was written can be read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.summary.is_some()
    }

    /// Bytes at the end of an unfinished file that are no whole frame.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        if self.is_finished() {
            0
        } else {
            self.file.len - self.index.file_end()
        }
    }

    /// Raw bytes in the recording's stream.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.index.raw_end()
    }

    /// Number of records.
    #[must_use]
    pub fn records_len(&self) -> u64 {
        self.index.records()
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks_len(&self) -> usize {
        self.index.entries.len()
    }

    /// Numbers of the blocks to read for what is rare; of all, where nobody has noted them.
    #[must_use]
    pub fn blocks_with(&self, which: impl FnOnce(&Rare) -> &[u32]) -> Vec<usize> {
        let noted = self.noted_blocks(|rare| Some(which(rare)));
        noted.unwrap_or_else(|| (0..self.blocks_len()).collect())
    }

    /// The same; none where nobody has noted them.
    #[must_use]
    pub fn noted_blocks(&self, which: impl FnOnce(&Rare) -> Option<&[u32]>) -> Option<Vec<usize>> {
        let rare = self.summary.as_ref().and_then(|s| s.rare.as_ref())?;
        let numbers = which(rare)?.iter().map(|&n| n as usize);
        Some(numbers.filter(|&n| n < self.blocks_len()).collect())
    }

    /// The recording in a few numbers. Where nobody closed it, its first and
    /// last blocks are read; what is damaged in them stays unknown.
    #[must_use]
    pub fn summary(&mut self) -> Summary {
        if let Some(summary) = &self.summary {
            return summary.clone();
        }
        let mut summary = Summary::new(self.file.recording);
        let mut block = Block::default();
        let ends = [0, self.blocks_len().saturating_sub(1)];
        for n in ends.into_iter().take(self.blocks_len()) {
            if self.read_block(n, &mut block).is_ok() {
                for record in block.records().flatten() {
                    if record.index == 0 {
                        summary.first_tick = Tick(record.head.tick);
                    }
                    summary.observe(&record, n as u32);
                }
            }
        }
        summary.threads = None;
        summary.rare = None;
        summary.events = self.index.records();
        summary.bytes = self.index.raw_end();
        summary.last_tick = Tick(self.index.last_tick());
        summary
    }

    /// Reads the next block; `None` at the end. After an error, goes on with the block behind.
    pub fn next_block(&mut self) -> Result<Option<Block>, TraceError> {
        let mut block = Block::default();
        Ok(self.next_block_into(&mut block)?.then_some(block))
    }

    /// Like [`next_block`](Self::next_block), into memory that is there; `false` at the end.
    pub fn next_block_into(&mut self, block: &mut Block) -> Result<bool, TraceError> {
        if self.next >= self.index.entries.len() {
            return Ok(false);
        }
        self.next += 1;
        self.read_block(self.next - 1, block)?;
        Ok(true)
    }

    /// Reads block `n`, from 0.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn read_block(&mut self, n: usize, block: &mut Block) -> Result<(), TraceError> {
        let entry = self.index.entries[n];
        block.raw.clear();
        let (head, body) = self.file.frame(entry.file_offset)?;
        if !matches_index(&head, n, &entry) {
            return Err(self
                .file
                .damaged(entry.file_offset, "a frame is not what the index says"));
        }
        let codec = self.file.codec(entry.file_offset);
        self.encoded.clear();
        self.encoded.reserve(head.encoded_len as usize);
        let decoded = match self
            .decompressor
            .decompress_to_buffer(&body, &mut self.encoded)
        {
            Ok(len) if len == head.encoded_len as usize => {
                self.decoder
                    .decode(&self.encoded, head.raw_len as usize, &mut block.raw)
            }
            _ => Err(CodecError::Decompress),
        };
        decoded.map_err(codec)?;
        block.offset = entry.first_offset;
        block.first_index = entry.first_index;
        block.first_tick = Tick(entry.first_tick);
        block.last_tick = Tick(entry.last_tick);
        Ok(())
    }

    /// Makes the next block the one with the byte `offset` of the stream (at
    /// the stream's end, none).
    pub fn seek_offset(&mut self, offset: u64) -> Result<(), TraceError> {
        let end = self.end();
        if offset > end {
            return Err(TraceError::OutOfRange {
                path: self.file.path.clone(),
                offset,
                end,
            });
        }
        self.next = self
            .index
            .entries
            .partition_point(|e| e.first_offset + e.raw_len <= offset);
        Ok(())
    }

    /// Makes the next block the one with the first record of `tick` or later
    /// (none, if all are earlier).
    pub fn seek_tick(&mut self, tick: Tick) {
        self.next = self.index.entries.partition_point(|e| e.last_tick < tick.0);
    }

    /// Makes the next block the last one.
    pub fn seek_last_block(&mut self) {
        self.next = self.index.entries.len().saturating_sub(1);
    }

    /// Reads record by record, from the next block on.
    #[must_use]
    pub fn records(self) -> Records {
        Records {
            reader: self,
            block: Block::default(),
            at: 0,
            index: 0,
        }
    }
}

/// Whether the frame that was read is the one that was to be.
fn matches_index(head: &FrameHead, n: usize, entry: &Entry) -> bool {
    head.kind == FrameKind::Block
        && head.sequence == n as u64
        && u64::from(head.raw_len) == entry.raw_len
        && head.first_offset == entry.first_offset
        && head.encoded_len as usize <= MAX_ENCODED
}

impl Block {
    /// Its records. After an error there are no more.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'_>, CodecError>> {
        let (mut at, mut index) = (0, self.first_index);
        std::iter::from_fn(move || {
            let rest = self.raw.get(at..).filter(|rest| !rest.is_empty())?;
            let parsed = Record::parse(rest, self.offset + at as u64, index);
            at = parsed.as_ref().map_or(self.raw.len(), |(_, len)| at + len);
            index += 1;
            Some(parsed.map(|(record, _)| record))
        })
    }
}

/// A place in a recording, between two records.
pub struct Records {
    reader: RecordingReader,
    block: Block,
    at: usize,
    index: u64,
}

impl Records {
    /// The record here, which is then behind; `None` at the end. After an
    /// error, goes on with the block behind.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, TraceError> {
        if !self.fill()? {
            return Ok(None);
        }
        let (offset, index) = (self.block.offset + self.at as u64, self.index);
        let parsed = Record::parse(&self.block.raw[self.at..], offset, index);
        let (record, len) = parsed.map_err(self.reader.file.codec(offset))?;
        self.at += len;
        self.index += 1;
        Ok(Some(record))
    }

    /// Sees to it that there is a record here; `false` at the end.
    fn fill(&mut self) -> Result<bool, TraceError> {
        while self.at >= self.block.raw.len() {
            self.at = 0;
            let read = self.reader.next_block_into(&mut self.block);
            if !matches!(read, Ok(true)) {
                self.block.raw.clear();
                return read;
            }
            self.index = self.block.first_index;
        }
        Ok(true)
    }

    /// Moves on while the record here satisfies `skip`.
    fn skip_while(&mut self, skip: impl Fn(&Record<'_>) -> bool) -> Result<(), TraceError> {
        while self.fill()? {
            let (at, index) = (self.at, self.index);
            let record = self.next_record()?;
            if !record.is_some_and(|record| skip(&record)) {
                (self.at, self.index) = (at, index);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Goes to the record that begins at `offset`, or the first behind it.
    pub fn seek_offset(&mut self, offset: u64) -> Result<(), TraceError> {
        self.reader.seek_offset(offset)?;
        self.forget();
        self.skip_while(|record| record.offset < offset)
    }

    /// Goes to the first record of the block with the byte `offset`. If that is the block
    /// here, it is not read again.
    pub fn seek_block(&mut self, offset: u64) -> Result<(), TraceError> {
        let end = self.block.offset + self.block.raw.len() as u64;
        if (self.block.offset..end).contains(&offset) {
            (self.at, self.index) = (0, self.block.first_index);
            return Ok(());
        }
        self.reader.seek_offset(offset)?;
        self.forget();
        Ok(())
    }

    /// Goes to the first record of `tick` or later.
    pub fn seek_tick(&mut self, tick: Tick) -> Result<(), TraceError> {
        self.reader.seek_tick(tick);
        self.forget();
        self.skip_while(|record| record.head.tick < tick.0)
    }

    /// Goes to the first record of the last block.
    pub fn seek_last_block(&mut self) {
        self.reader.seek_last_block();
        self.forget();
    }

    fn forget(&mut self) {
        self.block.raw.clear();
        self.at = 0;
    }

    /// The recording.
    pub fn reader(&self) -> &RecordingReader {
        &self.reader
    }
}
