//! Ranges of addresses, and what they show; a later range takes the place of
//! what it overlaps.

use std::collections::BTreeMap;

/// Ranges that show parts of things that are told apart by a `T`.
#[derive(Clone, Debug)]
pub struct Ranges<T> {
    /// First address → what is there.
    map: BTreeMap<u64, Range<T>>,
}

#[derive(Clone, Copy, Debug)]
struct Range<T> {
    /// Address behind the last.
    end: u64,
    what: T,
    offset: u64,
}

/// Part of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<T> {
    /// First address.
    pub addr: u64,
    /// Bytes.
    pub len: u64,
    /// What it shows.
    pub what: T,
    /// From which offset in that on.
    pub offset: u64,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
        }
    }
}

impl<T: Copy + PartialEq> Ranges<T> {
    /// Lets `addr..addr + len` show `what` from `offset` on, or nothing.
    pub fn set(&mut self, addr: u64, len: u64, what: Option<T>, offset: u64) {
        let end = addr.saturating_add(len);
        if end <= addr {
            return;
        }
        self.cut(addr);
        self.cut(end);
        let within: Vec<u64> = self.map.range(addr..end).map(|(&a, _)| a).collect();
        for a in within {
            self.map.remove(&a);
        }
        if let Some(what) = what {
            self.map.insert(addr, Range { end, what, offset });
        }
    }

    /// Sees to it that no range reaches across `at`.
    fn cut(&mut self, at: u64) {
        let Some((&start, range)) = self.map.range_mut(..at).next_back() else {
            return;
        };
        if range.end > at {
            let offset = range.offset.wrapping_add(at - start);
            let rest = Range { offset, ..*range };
            range.end = at;
            self.map.insert(at, rest);
        }
    }

    /// What is at `addr`: all of it that is in one piece.
    #[must_use]
    pub fn at(&self, addr: u64) -> Option<Piece<T>> {
        let (&start, range) = self.map.range(..=addr).next_back()?;
        (addr < range.end).then_some(Piece {
            addr: start,
            len: range.end - start,
            what: range.what,
            offset: range.offset,
        })
    }

    /// The parts of `addr..addr + len` that show something, in order.
    pub fn pieces(&self, addr: u64, len: u64) -> impl Iterator<Item = Piece<T>> {
        let end = addr.saturating_add(len);
        let first = self.at(addr).map_or(addr, |piece| piece.addr);
        self.map
            .range(first..end.max(first))
            .map(move |(&start, range)| {
                let from = start.max(addr);
                Piece {
                    addr: from,
                    len: range.end.min(end) - from,
                    what: range.what,
                    offset: range.offset.wrapping_add(from - start),
                }
            })
    }

    /// All ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = Piece<T>> {
        self.map.iter().map(|(&addr, range)| Piece {
            addr,
            len: range.end - addr,
            what: range.what,
            offset: range.offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Like a memory of which each byte is set by itself.
        #[test]
        fn each_byte_shows_what_was_set_last(
            sets in proptest::collection::vec((0..64_u64, 0..32_u64, proptest::option::of(0..3_u8), 0..100_u64), 0..40),
            (from, len) in (0..80_u64, 0..80_u64),
        ) {
            let mut ranges = Ranges::default();
            let mut model = [None; 200];
            for (addr, len, what, offset) in sets {
                ranges.set(addr, len, what, offset);
                for i in 0..len {
                    model[(addr + i) as usize] = what.map(|w| (w, offset + i));
                }
            }
            for addr in 0..200 {
                let found = ranges.at(addr).map(|p| (p.what, p.offset + (addr - p.addr)));
                prop_assert_eq!(found, model[addr as usize]);
            }
            let mut found = vec![None; len as usize];
            for piece in ranges.pieces(from, len) {
                for i in 0..piece.len {
                    found[(piece.addr - from + i) as usize] = Some((piece.what, piece.offset + i));
                }
            }
            prop_assert_eq!(&found[..], &model[from as usize..(from + len) as usize]);
        }
    }
}
