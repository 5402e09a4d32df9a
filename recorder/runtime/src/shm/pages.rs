//! What begins on a page, found without looking at everything there is.

use crate::table;
use orch_abi::layout::PAGE;

/// Rows of a table.
const ROWS: usize = 1 << 15;
/// Most rows that are looked at.
const FAR: usize = 128;

/// Pages, and a number above 0 for each.
pub struct Pages {
    rows: [(u64, u32); ROWS],
}

impl Pages {
    fn row(&self, page: u64) -> Option<usize> {
        table::row(&self.rows, page, FAR)
    }

    /// The number of the page at `page`, or 0.
    pub fn get(&self, page: u64) -> u32 {
        self.row(page).map_or(0, |i| self.rows[i].1)
    }

    /// Sets it; false if there is no room.
    pub fn set(&mut self, page: u64, number: u32) -> bool {
        let Some(i) = self.row(page) else {
            return false;
        };
        self.rows[i] = (page, number);
        true
    }
}

/// For each page a chain of the windows that begin there, the newest first.
pub struct Chains<const MOST: usize> {
    heads: Pages,
    /// Of each window the one before + 1, or 0.
    next: [u32; MOST],
}

impl<const MOST: usize> Chains<MOST> {
    /// Whether what is at `address` could be added.
    pub fn has_room(&self, address: u64) -> bool {
        self.heads.row(address & !(PAGE - 1)).is_some()
    }

    /// Adds what is at `address`, the `index`th, for which there is room.
    pub fn add(&mut self, address: u64, index: usize) {
        let page = address & !(PAGE - 1);
        self.next[index] = self.heads.get(page);
        self.heads.set(page, index as u32 + 1);
    }

    /// The first on the page at `page`.
    pub fn first(&self, page: u64) -> Option<usize> {
        (self.heads.get(page) as usize).checked_sub(1)
    }

    /// The one that follows on the same page.
    pub fn after(&self, index: usize) -> Option<usize> {
        (self.next[index] as usize).checked_sub(1)
    }

    /// Those on all pages that `start..end` touches.
    pub fn on(&self, start: u64, end: u64) -> impl Iterator<Item = usize> {
        let pages = (start & !(PAGE - 1)..end).step_by(PAGE as usize);
        pages.flat_map(|page| core::iter::successors(self.first(page), |&i| self.after(i)))
    }
}
