//! Collects accesses to a window in the order of time, and writes them in the
//! order of place.

use super::frame::{Entry, Writer};
use super::{FrameEntry, Segment, centre, level};
use std::fs::File;
use std::io::{self, Write as _};
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Compressor;

/// Accesses in a segment, and bytes of them.
const MOST: (usize, usize) = (1 << 18, 32 << 20);
/// Compression level: the fastest of the regular ones.
const LEVEL: i32 = 1;

/// Writes the segments of an index.
pub struct SegmentWriter {
    out: io::BufWriter<File>,
    at: u64,
    compressor: Compressor<'static>,
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    segments: Vec<Segment>,
    frame: Writer,
}

struct Slot {
    centre: u32,
    tick: u64,
    offset: u32,
    size: u32,
    site: u32,
    piece: bool,
    has_old: bool,
    at: u32,
}

impl SegmentWriter {
    /// Writes to `out`, in which `at` bytes are already.
    pub fn new(out: File, at: u64) -> io::Result<Self> {
        Ok(Self {
            out: io::BufWriter::with_capacity(1 << 20, out),
            at,
            compressor: Compressor::new(LEVEL)?,
            slots: Vec::new(),
            bytes: Vec::new(),
            segments: Vec::new(),
            frame: Writer::default(),
        })
    }

    /// Adds an access to a window of an object.
    pub fn push(&mut self, object: u64, window: u64, entry: &Entry<'_>) -> io::Result<()> {
        if self.slots.len() >= MOST.0 || self.bytes.len() >= MOST.1 {
            self.end(object, window)?;
        }
        let size = entry.new.len() as u32;
        self.slots.push(Slot {
            centre: centre(entry.offset, size),
            tick: entry.tick,
            offset: entry.offset,
            size,
            site: entry.site,
            piece: entry.piece,
            has_old: !entry.old.is_empty(),
            at: self.bytes.len() as u32,
        });
        self.bytes.extend_from_slice(entry.new);
        self.bytes.extend_from_slice(entry.old);
        self.bytes.extend_from_slice(entry.known);
        Ok(())
    }

    /// Ends the segment: the next access is to another window.
    pub fn end(&mut self, object: u64, window: u64) -> io::Result<()> {
        let (Some(first), Some(last)) = (self.slots.first(), self.slots.last()) else {
            return Ok(());
        };
        let mut segment = Segment {
            object,
            window,
            first_tick: first.tick,
            last_tick: last.tick,
            frames: Vec::new(),
        };
        let mut slots = std::mem::take(&mut self.slots);
        slots.sort_by_key(|slot| slot.centre);
        let mut rest = &slots[..];
        while !rest.is_empty() {
            let mut n = 0;
            while n < rest.len() && !self.frame.is_full() {
                self.frame.push(&entry(&self.bytes, &rest[n]));
                n += 1;
            }
            segment.frames.push(self.write_frame(&rest[..n])?);
            rest = &rest[n..];
        }
        self.segments.push(segment);
        slots.clear();
        self.slots = slots;
        self.bytes.clear();
        Ok(())
    }

    fn write_frame(&mut self, slots: &[Slot]) -> io::Result<FrameEntry> {
        let raw = self.frame.take();
        let body = self.compressor.compress(&raw)?;
        let ticks = slots.iter().map(|slot| slot.tick);
        let entry = FrameEntry {
            at: self.at,
            len: body.len() as u32,
            raw: raw.len() as u32,
            checksum: xxh3_64(&body),
            first: slots.first().map_or(0, |slot| slot.centre),
            last: slots.last().map_or(0, |slot| slot.centre),
            levels: slots.iter().fold(0, |all, s| all | 1 << level(s.centre)),
            first_tick: ticks.clone().min().unwrap_or(0),
            last_tick: ticks.max().unwrap_or(0),
        };
        self.out.write_all(&body)?;
        self.at += body.len() as u64;
        Ok(entry)
    }

    /// The file, the bytes in it, and all segments.
    pub fn finish(self) -> io::Result<(File, u64, Vec<Segment>)> {
        let file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok((file, self.at, self.segments))
    }
}

fn entry<'a>(bytes: &'a [u8], slot: &Slot) -> Entry<'a> {
    let (at, size) = (slot.at as usize, slot.size as usize);
    let (old, known) = if slot.has_old {
        let known = at + 2 * size;
        (&bytes[at + size..known], &bytes[known..known + size])
    } else {
        (&[][..], &[][..])
    };
    Entry {
        tick: slot.tick,
        offset: slot.offset,
        site: slot.site,
        piece: slot.piece,
        new: &bytes[at..at + size],
        old,
        known,
    }
}
