//! Some thousand accesses as columns of differences.

use super::{FrameEntry, may_touch};
use crate::access::{Access, Old};
use orch_recorder::trace::Tick;
use serde::{Deserialize, Serialize};

/// Accesses in a frame.
pub const MOST: usize = 4 << 10;
/// Bytes that the accesses of a frame stored, replaced or saw.
pub const MOST_BYTES: usize = 512 << 10;
/// No frame is longer, before compression.
pub const MAX_RAW: usize = 4 << 20;

/// There are old bytes.
const OLD: u8 = 1;
/// Some of them are not known: a byte for each says which.
const MASKED: u8 = 2;
/// A piece of a longer access.
const PIECE: u8 = 4;

/// An access on its way into a frame.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub tick: u64,
    pub offset: u32,
    pub site: u32,
    pub piece: bool,
    pub new: &'a [u8],
    /// As many as `new`, or none.
    pub old: &'a [u8],
    /// As many as `old`; 0: not known.
    pub known: &'a [u8],
}

#[derive(Default, Serialize)]
struct Columns {
    ticks: Vec<i64>,
    offsets: Vec<i64>,
    sizes: Vec<u32>,
    sites: Vec<u32>,
    flags: Vec<u8>,
    #[serde(serialize_with = "as_bytes")]
    new: Vec<u8>,
    #[serde(serialize_with = "as_bytes")]
    old: Vec<u8>,
    #[serde(serialize_with = "as_bytes")]
    known: Vec<u8>,
}

fn as_bytes<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

#[derive(Deserialize)]
struct Parsed<'a> {
    ticks: Vec<i64>,
    offsets: Vec<i64>,
    sizes: Vec<u32>,
    sites: Vec<u32>,
    flags: Vec<u8>,
    new: &'a [u8],
    old: &'a [u8],
    known: &'a [u8],
}

/// Makes a frame.
#[derive(Default)]
pub struct Writer {
    columns: Columns,
    tick: u64,
    offset: u32,
}

impl Writer {
    pub fn push(&mut self, entry: &Entry<'_>) {
        let c = &mut self.columns;
        c.ticks
            .push(entry.tick.wrapping_sub(self.tick).cast_signed());
        c.offsets
            .push(i64::from(entry.offset) - i64::from(self.offset));
        c.sizes.push(entry.new.len() as u32);
        c.sites.push(entry.site);
        (self.tick, self.offset) = (entry.tick, entry.offset);
        let mut flags = if entry.piece { PIECE } else { 0 };
        c.new.extend_from_slice(entry.new);
        if entry.known.contains(&1) {
            flags |= OLD;
            c.old.extend_from_slice(entry.old);
            if entry.known.contains(&0) {
                flags |= MASKED;
                c.known.extend_from_slice(entry.known);
            }
        }
        c.flags.push(flags);
    }

    /// Whether it holds as much as a frame should.
    pub fn is_full(&self) -> bool {
        let c = &self.columns;
        c.sizes.len() >= MOST || c.new.len() + c.old.len() + c.known.len() >= MOST_BYTES
    }

    /// Its bytes; it is empty afterwards.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = postcard::to_stdvec(&self.columns).expect("plain data can be written");
        *self = Self::default();
        bytes
    }
}

/// Which accesses of a frame are wanted.
pub struct Wanted<'a> {
    /// First and last offset in the window.
    pub from: u32,
    pub to: u32,
    /// First and last tick.
    pub ticks: (u64, u64),
    /// For each site whether it is wanted.
    pub sites: &'a [bool],
    /// Offset of the window in its object.
    pub base: u64,
}

impl Wanted<'_> {
    /// Whether any of it may be in a frame, by its place.
    pub fn may_be_in(&self, frame: &FrameEntry) -> bool {
        may_touch(self.from, self.to, frame.first, frame.last, frame.levels)
    }

    fn wants(&self, tick: u64, site: u32, offset: u32, size: u32) -> bool {
        (self.ticks.0..=self.ticks.1).contains(&tick)
            && offset <= self.to
            && u64::from(offset) + u64::from(size) > u64::from(self.from)
            && self.sites.get(site as usize) == Some(&true)
    }
}

/// Appends the accesses of a frame that are wanted to `out`; `None` if the
/// frame makes no sense.
pub fn read(bytes: &[u8], wanted: &Wanted<'_>, out: &mut Vec<Access>) -> Option<()> {
    let parsed: Parsed<'_> = postcard::from_bytes(bytes).ok()?;
    let count = parsed.ticks.len();
    let lengths = [
        parsed.offsets.len(),
        parsed.sizes.len(),
        parsed.sites.len(),
        parsed.flags.len(),
    ];
    if lengths != [count; 4] {
        return None;
    }
    let (mut new, mut old, mut known) = (parsed.new, parsed.old, parsed.known);
    let (mut tick, mut offset) = (0_u64, 0_i64);
    for i in 0..count {
        tick = tick.wrapping_add(parsed.ticks[i].cast_unsigned());
        offset = offset.checked_add(parsed.offsets[i])?;
        let (size, site, flags) = (parsed.sizes[i], parsed.sites[i], parsed.flags[i]);
        let new = take(&mut new, size)?;
        let old = (flags & OLD != 0).then(|| take(&mut old, size));
        let known = (flags & MASKED != 0).then(|| take(&mut known, size));
        let at = u32::try_from(offset).ok()?;
        if !wanted.wants(tick, site, at, size) {
            continue;
        }
        let old = match old {
            None => None,
            Some(old) => Some(Old {
                bytes: old?.to_vec(),
                known: match known {
                    None => Vec::new(),
                    Some(known) => known?.iter().map(|&k| k != 0).collect(),
                },
            }),
        };
        out.push(Access {
            tick: Tick(tick),
            site,
            offset: wanted.base.saturating_add(u64::from(at)),
            new: new.to_vec(),
            old,
            piece: flags & PIECE != 0,
        });
    }
    Some(())
}

fn take<'a>(from: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(len as usize)?;
    *from = rest;
    Some(taken)
}
