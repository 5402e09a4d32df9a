//! Making a recording file.

use super::codec::{self, BLOCK_TARGET, Encoder, HEAD_LEN};
use super::frame::{FILE_HEAD_LEN, FRAME_HEAD_LEN, FileHead, FrameHead, FrameKind, Tail, VERSION};
use super::index::Index;
use super::record::Record;
use super::summary::Summary;
use super::{Block, RecordingId, RecordingReader, Tick, TraceError};
use rustix::io::{ReadWriteFlags, pwritev2};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Compressor;

/// Compression level: the fastest of the regular ones.
const LEVEL: i32 = 1;

/// Writes a recording. What was appended reaches the file block by block, with
/// [`flush`](Self::flush), with [`finish`](Self::finish), or when dropped.
#[derive(Debug)]
pub struct RecordingWriter {
    path: PathBuf,
    file: File,
    encoder: Encoder,
    index: Index,
    summary: Summary,
    /// Highest tick so far.
    tick: u64,
    /// What `tick` was after the first record of the block.
    first_tick: Option<u64>,
    /// Frames that could not be written yet.
    unwritten: Vec<u8>,
    /// Bytes in the file.
    written: u64,
    /// Raw bytes in the frames that are in the file.
    kept: u64,
    finished: bool,
    /// Bulk data is stored as it is.
    plain: bool,
}

/// Encoded bytes for each record from which on a block is bulk data.
const BULK: usize = 2048;

/// Memory for making a frame, shared by all writers of a thread.
struct Scratch {
    compressor: Option<Compressor<'static>>,
    encoded: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { compressor: None, encoded: Vec::new() }) };
}

impl RecordingWriter {
    /// Makes the file, which must not exist.
    pub fn create(path: &Path, recording: RecordingId) -> Result<Self, TraceError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path).map_err(TraceError::io("create", path))?;
        let mut writer = Self {
            path: path.to_owned(),
            file,
            encoder: Encoder::default(),
            index: Index::default(),
            summary: Summary::new(recording),
            tick: 0,
            first_tick: None,
            unwritten: FileHead {
                version: VERSION,
                recording: recording.0,
            }
            .to_bytes(),
            written: 0,
            kept: 0,
            finished: false,
            plain: false,
        };
        writer.write()?;
        assert_eq!(writer.written, FILE_HEAD_LEN as u64);
        Ok(writer)
    }

    /// Goes on behind the last intact block of a file that nobody finished;
    /// what is behind that is overwritten. `None` if it is finished.
    pub fn resume(path: &Path) -> Result<Option<Self>, TraceError> {
        let mut reader = RecordingReader::open(path)?;
        if reader.is_finished() {
            return Ok(None);
        }
        let mut summary = Summary::new(reader.recording());
        let mut block = Block::default();
        for n in 0..reader.blocks_len() {
            if reader.read_block(n, &mut block).is_err() {
                // Damage stays in its block; what was in it is not known.
                summary.threads = None;
                summary.rare = None;
                continue;
            }
            for record in block.records().flatten() {
                if record.index == 0 {
                    summary.first_tick = Tick(record.head.tick);
                }
                summary.observe(&record, n as u32);
            }
        }
        summary.events = reader.records_len();
        summary.bytes = reader.end();
        let index = reader.into_index();
        let written = index.file_end();
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(TraceError::io("open", path))?;
        file.set_len(written)
            .map_err(TraceError::io("write to", path))?;
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            encoder: Encoder::default(),
            summary,
            tick: index.last_tick(),
            first_tick: None,
            unwritten: Vec::new(),
            written,
            kept: index.raw_end(),
            index,
            finished: false,
            plain: false,
        }))
    }

    /// Adds whole records. All are taken, even if writing fails: they wait in
    /// memory ([`unwritten`](Self::unwritten)) for the next call to succeed.
    /// Of malformed input, the records before the malformed one are taken.
    pub fn append(&mut self, raw: &[u8]) -> Result<(), TraceError> {
        let mut failed = Ok(());
        let mut at = 0;
        while at < raw.len() {
            let (head, len) =
                self.encoder
                    .push(&raw[at..])
                    .map_err(|source| TraceError::Input {
                        path: self.path.clone(),
                        at,
                        source,
                    })?;
            if self.summary.events == 0 {
                self.summary.first_tick = Tick(head.tick);
            }
            self.tick = self.tick.max(head.tick);
            self.first_tick.get_or_insert(self.tick);
            let record = Record {
                offset: self.summary.bytes,
                index: self.summary.events,
                head,
                payload: &raw[at + HEAD_LEN..at + len],
            };
            let block = self.index.entries.len() as u32;
            self.summary.observe(&record, block);
            self.summary.events += 1;
            self.summary.bytes += len as u64;
            at += len;
            if self.encoder.raw_len() >= BLOCK_TARGET {
                failed = self.flush();
            }
        }
        failed
    }

    /// From now on, stores blocks that hold much data and few events as they are: the
    /// processor has better things to do. (Events compress tenfold, and fast.)
    pub fn set_plain(&mut self, plain: bool) {
        self.plain = plain;
    }

    /// Writes what there is, as a short block if need be.
    pub fn flush(&mut self) -> Result<(), TraceError> {
        if self.encoder.raw_len() > 0 {
            self.close_block()?;
        }
        self.write()
    }

    /// Writes what there is, then the index and the summary. To be called once,
    /// but again where it failed.
    pub fn finish(&mut self) -> Result<(), TraceError> {
        if self.finished {
            return self.write();
        }
        self.flush()?;
        let index = self.index.file_end();
        let body = self.index.to_bytes();
        self.put_frame(FrameKind::Index, 0, &body);
        let summary = index + self.unwritten.len() as u64;
        self.summary.last_tick = Tick(self.tick);
        self.summary.finished = true;
        let body = serde_json::to_vec(&self.summary).expect("plain data has a JSON form");
        self.put_frame(FrameKind::Summary, 1, &body);
        self.unwritten.extend(Tail { index, summary }.to_bytes());
        self.finished = true;
        self.write()
    }

    /// Raw bytes that have reached the file: they outlive this process.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Bytes that could not be written yet.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// Bytes in the file.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.written
    }

    /// Raw bytes appended: the offset that the next record has.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.summary.bytes
    }

    /// The recording so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            last_tick: Tick(self.tick),
            ..self.summary.clone()
        }
    }

    /// The head of a frame behind all others.
    fn head(&self, kind: FrameKind, skip: u64) -> FrameHead {
        FrameHead {
            kind,
            sequence: self.index.entries.len() as u64 + skip,
            raw_len: 0,
            encoded_len: 0,
            body_len: 0,
            records: 0,
            first_offset: self.index.raw_end(),
            first_index: self.index.records(),
            first_tick: self.tick,
            last_tick: self.tick,
            checksum: 0,
        }
    }

    /// Adds a frame that is not a block.
    fn put_frame(&mut self, kind: FrameKind, skip: u64, body: &[u8]) {
        let len = u32::try_from(body.len()).expect("an index of less than 4 GiB");
        let (raw_len, encoded_len, body_len) = (len, len, len);
        let checksum = xxh3_64(body);
        let head = FrameHead {
            raw_len,
            encoded_len,
            body_len,
            checksum,
            ..self.head(kind, skip)
        };
        self.unwritten.extend(head.to_bytes());
        self.unwritten.extend_from_slice(body);
    }

    /// Turns the encoder's block into a frame.
    fn close_block(&mut self) -> Result<(), TraceError> {
        let (raw_len, records) = (self.encoder.raw_len() as u32, self.encoder.records());
        SCRATCH.with_borrow_mut(
            |Scratch {
                 compressor,
                 encoded,
             }| {
                let failed = TraceError::io("compress a block for", &self.path);
                let compressor = match compressor {
                    Some(compressor) => compressor,
                    None => match Compressor::new(LEVEL) {
                        Ok(new) => compressor.insert(new),
                        Err(error) => return Err(failed(error)),
                    },
                };
                encoded.clear();
                self.encoder.finish(encoded);
                assert!(
                    encoded.len() <= codec::MAX_ENCODED,
                    "a block within its bound"
                );

                let start = self.unwritten.len();
                let body = start + FRAME_HEAD_LEN;
                if self.plain && encoded.len() / records.max(1) as usize >= BULK {
                    self.unwritten.resize(body, 0);
                    store(encoded, &mut self.unwritten);
                } else {
                    self.unwritten
                        .resize(body + zstd::zstd_safe::compress_bound(encoded.len()), 0);
                    let compressed =
                        compressor.compress_to_buffer(encoded, &mut self.unwritten[body..]);
                    let body_len = compressed.map_err(failed)?;
                    self.unwritten.truncate(body + body_len);
                }
                let body_len = self.unwritten.len() - body;
                let head = FrameHead {
                    raw_len,
                    encoded_len: encoded.len() as u32,
                    body_len: body_len as u32,
                    records,
                    first_tick: self.first_tick.take().unwrap_or(self.tick),
                    checksum: xxh3_64(&self.unwritten[body..]),
                    ..self.head(FrameKind::Block, 0)
                };
                self.unwritten[start..body].copy_from_slice(&head.to_bytes());
                self.index
                    .push(&head)
                    .expect("a block that continues the last");
                Ok(())
            },
        )
    }

    /// Writes the frames that wait. A partly written frame is written over.
    fn write(&mut self) -> Result<(), TraceError> {
        let done = write_uncached(&self.file, &self.unwritten, self.written);
        self.file
            .write_all_at(&self.unwritten[done..], self.written + done as u64)
            .map_err(TraceError::io("write to", &self.path))?;
        self.written += self.unwritten.len() as u64;
        self.unwritten.clear();
        self.kept = self.index.raw_end();
        Ok(())
    }
}

/// Writes whole pages, if they are many, and lets the kernel have those of its page cache
/// back once they are on disk: the next ones are written to the same memory, where a virtual
/// machine pays for what it never used before. Returns how much was written: nothing where the
/// kernel (before 6.14) or the file system cannot do so.
fn write_uncached(file: &File, bytes: &[u8], offset: u64) -> usize {
    const MANY: usize = 64 << 10;
    const PAGE: u64 = 4096;
    // `RWF_DONTCACHE`, which is newer than the library.
    let flags = ReadWriteFlags::from_bits_retain(0x80);
    // The page that is written to next stays, not to be read again.
    let end = (offset + bytes.len() as u64) & !(PAGE - 1);
    let len = end.saturating_sub(offset) as usize;
    if len < MANY {
        return 0;
    }
    pwritev2(file, &[IoSlice::new(&bytes[..len])], offset, flags).unwrap_or(0)
}

/// A zstd frame of raw blocks (RFC 8878, 3.1.1: a single segment, its size in four
/// bytes; 3.1.1.2: blocks of at most 128 KiB).
fn store(content: &[u8], out: &mut Vec<u8>) {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const SIZE_IN_FOUR_BYTES: u8 = 2 << 6;
    const SINGLE_SEGMENT: u8 = 1 << 5;
    const BLOCK: usize = 128 << 10;
    out.extend(MAGIC);
    out.push(SIZE_IN_FOUR_BYTES | SINGLE_SEGMENT);
    out.extend((content.len() as u32).to_le_bytes());
    let count = content.len().div_ceil(BLOCK);
    for (i, block) in content.chunks(BLOCK).enumerate() {
        let last = u32::from(i + 1 == count);
        let head = last | (block.len() as u32) << 3;
        out.extend(&head.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        if !self.finished {
            // There is nobody to tell; the file stays readable up to here.
            let _ignored: Result<(), TraceError> = self.flush();
        }
    }
}
