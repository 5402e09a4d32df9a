//! Ranges of pages that do not overlap, and what is known of each.

use orch_abi::layout::PAGE;

/// One of them: its first address, and the one behind it.
#[derive(Clone, Copy)]
pub struct Range<T> {
    pub start: u64,
    pub end: u64,
    pub what: T,
}

impl<T> Range<T> {
    pub fn has(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    pub fn touches(&self, start: u64, end: u64) -> bool {
        self.start < end && start < self.end
    }
}

/// At most `N` of them.
pub struct Ranges<T, const N: usize> {
    list: [Range<T>; N],
    count: usize,
}

impl<T: Copy + PartialEq, const N: usize> Ranges<T, N> {
    /// None; `unused` means nothing.
    pub const fn new(unused: T) -> Self {
        let unused = Range {
            start: 0,
            end: 0,
            what: unused,
        };
        Self {
            list: [unused; N],
            count: 0,
        }
    }

    /// In no order.
    pub fn list(&self) -> &[Range<T>] {
        &self.list[..self.count]
    }

    /// Adds one that overlaps no other; false if there is no room.
    pub fn add(&mut self, new: Range<T>) -> bool {
        let joins =
            |r: &&mut Range<T>| r.what == new.what && (r.start == new.end || r.end == new.start);
        if new.start >= new.end {
            return true;
        }
        if let Some(r) = self.list[..self.count].iter_mut().find(joins) {
            (r.start, r.end) = (r.start.min(new.start), r.end.max(new.end));
            return true;
        }
        let Some(free) = self.list.get_mut(self.count) else {
            return false;
        };
        *free = new;
        self.count += 1;
        true
    }

    /// Takes a part out: `taken` hears what was known there, `lost` what beside it there is no
    /// room for any more.
    pub fn cut(
        &mut self,
        start: u64,
        end: u64,
        mut taken: impl FnMut(T),
        mut lost: impl FnMut(Range<T>),
    ) {
        let mut i = 0;
        while i < self.count {
            let r = self.list[i];
            if !r.touches(start, end) {
                i += 1;
                continue;
            }
            taken(r.what);
            self.count -= 1;
            self.list[i] = self.list[self.count];
            // What is put behind does not overlap; what took this place is looked at next.
            let (before, behind) = (start.min(r.end), end.max(r.start));
            for rest in [Range { end: before, ..r }, Range { start: behind, ..r }] {
                if !self.add(rest) {
                    lost(rest);
                }
            }
        }
    }
}

/// Behind the last page of `len` bytes at `start`.
pub fn end(start: u64, len: u64) -> u64 {
    start.saturating_add(len.div_ceil(PAGE) * PAGE)
}
