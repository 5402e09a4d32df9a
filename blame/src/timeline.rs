//! The history of a window of an object: what the bytes were before each
//! access, and what happened that no recording tells of.
//!
//! Accesses come in the order of their ticks, which is their true order: each takes
//! its tick while it keeps all others from these bytes.

mod page;

use page::{PAGE, Page};

/// Bytes of an object that have a history of their own: bounds the memory
/// that is needed to make it.
pub const WINDOW: u64 = 4 << 20;

/// What a history is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When.
    pub tick: u64,
    /// Offset in the window, bytes.
    pub offset: u32,
    /// Bytes afterwards, or seen.
    pub new: &'a [u8],
    /// What it is.
    pub what: What<'a>,
}

/// What happened to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// They were stored.
    Store {
        /// Before, they were these, if the recorder says so.
        old: Option<&'a [u8]>,
    },
    /// They were seen.
    Load,
}

/// An access with what was there before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Whether a recording tells of it, and if not, what it is.
    pub what: Origin,
    /// Offset in the window, bytes.
    pub offset: u32,
    /// Bytes afterwards.
    pub new: &'a [u8],
    /// Bytes before; those that are not known are 0. Empty of loads.
    pub old: &'a [u8],
    /// Which bytes of `old` are known.
    pub known: &'a [bool],
}

/// Where an access comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A recording tells of it.
    Recorded,
    /// No recorded store explains what was there.
    Outside,
    /// It was there before anything was known.
    Initial,
}

/// The bytes of a window, as far as they are known.
#[derive(Default)]
pub struct Window {
    pages: Vec<Option<Box<Page>>>,
    old: Vec<u8>,
    known: Vec<bool>,
}

impl Window {
    /// Takes in the next access, and tells of it, and before it of what it shows
    /// to have happened unseen.
    ///
    /// # Errors
    /// Those of `tell`.
    pub fn apply<E>(
        &mut self,
        event: &Event<'_>,
        mut tell: impl FnMut(&Told<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match event.what {
            What::Store { old } => {
                if let Some(old) = old {
                    self.check(event, old, &mut tell)?;
                }
                self.get(event.offset, event.new.len());
                tell(&Told {
                    what: Origin::Recorded,
                    offset: event.offset,
                    new: event.new,
                    old: &self.old,
                    known: &self.known,
                })?;
                self.set(event.offset, event.new);
            }
            What::Load => {
                self.check(event, event.new, &mut tell)?;
                tell(&Told {
                    what: Origin::Recorded,
                    offset: event.offset,
                    new: event.new,
                    old: &[],
                    known: &[],
                })?;
            }
        }
        Ok(())
    }

    /// `seen` was there: if it was not, by what is known, it is put there, and told.
    fn check<E>(
        &mut self,
        event: &Event<'_>,
        seen: &[u8],
        tell: &mut impl FnMut(&Told<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.get(event.offset, seen.len());
        if self.known.iter().all(|&k| k) && self.old == seen {
            return Ok(());
        }
        let origins: Vec<Option<Origin>> =
            (0..seen.len()).map(|i| self.origin(i, seen[i])).collect();
        let mut from = 0;
        for run in origins.chunk_by(|a, b| a == b) {
            let to = from + run.len();
            if let Some(what) = run[0] {
                let unknown = what == Origin::Initial;
                tell(&Told {
                    what,
                    offset: event.offset + from as u32,
                    new: &seen[from..to],
                    old: if unknown { &[] } else { &self.old[from..to] },
                    known: if unknown { &[] } else { &self.known[from..to] },
                })?;
                self.set(event.offset + from as u32, &seen[from..to]);
            }
            from = to;
        }
        Ok(())
    }

    /// How byte `i` of what was got came to be `seen`; `None` if a store explains it.
    fn origin(&self, i: usize, seen: u8) -> Option<Origin> {
        if !self.known[i] {
            return Some(Origin::Initial);
        }
        (self.old[i] != seen).then_some(Origin::Outside)
    }

    /// Puts into `old` and `known` what is at `offset`.
    fn get(&mut self, offset: u32, len: usize) {
        self.old.clear();
        self.known.clear();
        self.old.resize(len, 0);
        self.known.resize(len, false);
        for (page, at, from, to) in pages(offset, len) {
            if let Some(Some(page)) = self.pages.get(page) {
                page.get(at, &mut self.old[from..to], &mut self.known[from..to]);
            }
        }
    }

    fn set(&mut self, offset: u32, new: &[u8]) {
        for (page, at, from, to) in pages(offset, new.len()) {
            if self.pages.len() <= page {
                self.pages.resize_with(page + 1, || None);
            }
            let page = self.pages[page].get_or_insert_with(Box::default);
            page.set(at, &new[from..to]);
        }
    }
}

/// The pages of a range: number, first byte in it, and which bytes of the range it has.
fn pages(offset: u32, len: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let (start, end) = (offset as usize, offset as usize + len);
    (start / PAGE..end.div_ceil(PAGE)).map(move |page| {
        let from = start.max(page * PAGE);
        let to = end.min((page + 1) * PAGE);
        (page, from % PAGE, from - start, to - start)
    })
}

#[cfg(test)]
mod tests;
