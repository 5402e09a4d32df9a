//! Accesses in the order of place and time, however many there are: sorted in
//! memory in portions, which are kept in a temporary file and merged.

use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Accesses in a portion, and bytes of what they stored.
const PORTION: (usize, usize) = (1 << 20, 64 << 20);
/// Bytes that are read at a time of a portion while merging.
const PIECE: usize = 128 << 10;

/// An access that has a place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// What orders it before all else: the number of a window of an object.
    pub window: u32,
    /// Tick.
    pub tick: u64,
    /// Recording, and number in it: they order accesses of one tick.
    pub recording: u32,
    /// See above.
    pub nth: u64,
    /// Offset in the window, bytes.
    pub offset: u32,
    /// Number of its site.
    pub site: u32,
    /// It is a piece of a longer access.
    pub piece: bool,
    /// Bytes afterwards.
    pub new: &'a [u8],
    /// Bytes before.
    pub old: Option<&'a [u8]>,
}

type Key = (u32, u64, u32, u64, u32);

impl Item<'_> {
    const fn key(&self) -> Key {
        (
            self.window,
            self.tick,
            self.recording,
            self.nth,
            self.offset,
        )
    }
}

/// An item in a portion; its bytes are elsewhere.
#[derive(Clone, Copy)]
struct Slot {
    key: Key,
    site: u32,
    piece: bool,
    has_old: bool,
    /// Where its bytes are.
    at: u32,
    len: u32,
}

/// Takes accesses in any order.
pub struct Sorter {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    /// Portions that were written: first and last byte in the file.
    runs: Vec<(u64, u64)>,
    file: Option<File>,
    written: u64,
    limit: (usize, usize),
}

impl Sorter {
    pub fn new() -> Self {
        Self::with_portions(PORTION)
    }

    fn with_portions(limit: (usize, usize)) -> Self {
        Self {
            slots: Vec::new(),
            bytes: Vec::new(),
            runs: Vec::new(),
            file: None,
            written: 0,
            limit,
        }
    }

    /// Adds one. `dir` is where a temporary file may be made.
    pub fn push(&mut self, item: &Item<'_>, dir: &Path) -> io::Result<()> {
        let slot = Slot {
            key: item.key(),
            site: item.site,
            piece: item.piece,
            has_old: item.old.is_some(),
            at: self.bytes.len() as u32,
            len: item.new.len() as u32,
        };
        self.bytes.extend_from_slice(item.new);
        self.bytes.extend_from_slice(item.old.unwrap_or_default());
        self.slots.push(slot);
        if self.slots.len() >= self.limit.0 || self.bytes.len() >= self.limit.1 {
            self.spill(dir)?;
        }
        Ok(())
    }

    fn sort(&mut self) {
        // Each recording comes in nearly the right order, which this sort uses.
        self.slots.sort_by_key(|slot| slot.key);
    }

    /// Writes the portion in memory to the file.
    fn spill(&mut self, dir: &Path) -> io::Result<()> {
        self.sort();
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(dir)?,
        };
        let start = self.written;
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        let mut buffer = Vec::new();
        for slot in &self.slots {
            buffer.clear();
            buffer = postcard::to_extend(&self.item(slot), buffer).map_err(io::Error::other)?;
            out.write_all(&(buffer.len() as u32).to_le_bytes())?;
            out.write_all(&buffer)?;
            self.written += 4 + buffer.len() as u64;
        }
        out.flush()?;
        drop(out);
        self.file = Some(file);
        self.runs.push((start, self.written));
        self.slots.clear();
        self.bytes.clear();
        Ok(())
    }

    fn item(&self, slot: &Slot) -> Item<'_> {
        let (from, len) = (slot.at as usize, slot.len as usize);
        let (window, tick, recording, nth, offset) = slot.key;
        Item {
            window,
            tick,
            recording,
            nth,
            offset,
            site: slot.site,
            piece: slot.piece,
            new: &self.bytes[from..from + len],
            old: slot
                .has_old
                .then(|| &self.bytes[from + len..from + 2 * len]),
        }
    }

    /// Gives all that were added to `visit`, in order.
    pub fn finish<E: From<io::Error>>(
        mut self,
        dir: &Path,
        mut visit: impl FnMut(&Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            self.sort();
            for slot in &self.slots {
                visit(&self.item(slot))?;
            }
            return Ok(());
        }
        self.spill(dir)?;
        let file = self.file.take().expect("there are runs in it");
        let mut runs: Vec<Run<'_>> = Vec::new();
        let mut heap = BinaryHeap::new();
        for &(at, end) in &self.runs {
            let mut run = Run::new(&file, at, end);
            if let Some(key) = run.advance()? {
                heap.push(Reverse((key, runs.len())));
            }
            runs.push(run);
        }
        while let Some(Reverse((_, n))) = heap.pop() {
            // Mostly the same run goes on.
            loop {
                visit(&runs[n].item()?)?;
                let Some(key) = runs[n].advance()? else { break };
                if heap.peek().is_some_and(|Reverse(first)| (key, n) > *first) {
                    heap.push(Reverse((key, n)));
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A portion in the file, read front to back.
struct Run<'f> {
    file: &'f File,
    /// What of it was not read yet.
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where the current item is in the buffer.
    item: (usize, usize),
}

impl<'f> Run<'f> {
    const fn new(file: &'f File, at: u64, end: u64) -> Self {
        Self {
            file,
            at,
            end,
            buffer: Vec::new(),
            item: (0, 0),
        }
    }

    /// Goes to the next item; `None` at the end.
    fn advance(&mut self) -> io::Result<Option<Key>> {
        let head = self.item.1;
        if !self.fill(head, 4)? {
            return Ok(None);
        }
        let at = self.item.1;
        let len = self.buffer[at..at + 4].try_into().expect("four bytes");
        let len = u32::from_le_bytes(len) as usize;
        if !self.fill(at, 4 + len)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = self.item.1 + 4;
        self.item = (start, start + len);
        Ok(Some(self.item()?.key()))
    }

    /// Sees to it that `len` bytes from `from` on are in the buffer, which
    /// is then counted from another place: `item.1` is where `from` is.
    fn fill(&mut self, from: usize, len: usize) -> io::Result<bool> {
        self.item.1 = from;
        if self.buffer.len() >= from + len {
            return Ok(true);
        }
        self.buffer.drain(..from);
        self.item.1 = 0;
        let have = self.buffer.len();
        let more = (self.end - self.at).min(PIECE.max(len) as u64) as usize;
        self.buffer.resize(have + more, 0);
        self.file.read_exact_at(&mut self.buffer[have..], self.at)?;
        self.at += more as u64;
        Ok(self.buffer.len() >= len)
    }

    fn item(&self) -> io::Result<Item<'_>> {
        postcard::from_bytes(&self.buffer[self.item.0..self.item.1]).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_come_back_in_order(
            items in proptest::collection::vec((0..3_u32, 0..50_u64, 0..300_usize, any::<bool>()), 0..300),
            portion in 1..100_usize,
        ) {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let mut sorter = Sorter::with_portions((portion, 1 << 20));
            let bytes: Vec<u8> = (0..=255).cycle().take(300).collect();
            let mut expected = Vec::new();
            for (nth, &(window, tick, len, has_old)) in items.iter().enumerate() {
                let item = Item {
                    window, tick, recording: 1, nth: nth as u64, offset: 7,
                    site: 5, piece: has_old, new: &bytes[..len], old: has_old.then(|| &bytes[300 - len..]),
                };
                sorter.push(&item, dir.path()).expect("there is room");
                expected.push(item);
            }
            expected.sort_by_key(|item| item.key());
            let mut n = 0;
            sorter.finish(dir.path(), |item| {
                assert_eq!(item, &expected[n]);
                n += 1;
                io::Result::Ok(())
            }).expect("it can be read");
            prop_assert_eq!(n, expected.len());
        }
    }
}
