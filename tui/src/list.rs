//! A list of rows of which one is selected.

/// Which row is selected, and which is the first that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Selected row.
    pub selected: usize,
    /// First row on the screen.
    pub top: usize,
}

impl List {
    /// Moves by so many rows of `len`.
    pub fn move_by(&mut self, rows: i64, len: usize) {
        let at = i64::try_from(self.selected).unwrap_or(i64::MAX);
        let to = at.saturating_add(rows).max(0);
        self.select(usize::try_from(to).unwrap_or(usize::MAX), len);
    }

    /// Selects a row, or the last one.
    pub fn select(&mut self, row: usize, len: usize) {
        self.selected = row.min(len.saturating_sub(1));
    }

    /// What is selected has come to another row: it stays where it is on the screen.
    pub fn follow(&mut self, row: usize) {
        self.top = (self.top + row).saturating_sub(self.selected);
        self.selected = row;
    }

    /// Sees to it that the selected row is among `height` that are shown.
    pub fn settle(&mut self, len: usize, height: usize) {
        self.select(self.selected, len);
        let height = height.max(1);
        self.top = self.top.min(len.saturating_sub(height));
        self.top = self.top.min(self.selected);
        self.top = self.top.max((self.selected + 1).saturating_sub(height));
    }
}

/// Whether a row has a filter's words, in any order and case.
#[must_use]
pub fn matches(filter: &str, row: &str) -> bool {
    if filter.is_empty() {
        return true;
    }
    let row = row.to_lowercase();
    let filter = filter.to_lowercase();
    filter.split_whitespace().all(|word| row.contains(word))
}
