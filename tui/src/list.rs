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

/// What rows are to have: words, in any order and case.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    words: Vec<String>,
}

impl Filter {
    /// With the words of a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let words = text.split_whitespace().map(str::to_lowercase);
        let words = words.collect();
        Self { words }
    }

    /// Whether a row has the words as they are.
    #[must_use]
    pub fn is_in(&self, row: &str) -> bool {
        let row = row.to_lowercase();
        self.words.iter().all(|word| row.contains(word))
    }

    /// Whether it has each of them, or its letters in this order in one word: `cknslp` is in
    /// `clock_nanosleep`.
    #[must_use]
    pub fn is_nearly_in(&self, row: &str) -> bool {
        let row = row.to_lowercase();
        let has = |word: &String| row.contains(word) || has_letters(&row, word);
        self.words.iter().all(has)
    }
}

/// Whether one word of a row has these letters in this order, the first one at the beginning
/// of it or of a part of it. Of numbers, and of one or two letters, there would be too many.
fn has_letters(row: &str, letters: &str) -> bool {
    const LEAST: usize = 3;
    let count = letters.chars().count();
    if count < LEAST || !letters.chars().all(char::is_alphabetic) {
        return false;
    }
    let mut words = row.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.any(|word| {
        let parts = word.char_indices().map(|(at, _)| at);
        let mut parts = parts.filter(|&at| at == 0 || word[..at].ends_with('_'));
        parts.any(|at| {
            let mut letters = letters.chars().peekable();
            let is_first = letters.peek() == word[at..].chars().next().as_ref();
            for c in word[at..].chars() {
                letters.next_if_eq(&c);
            }
            is_first && letters.peek().is_none()
        })
    })
}

/// The rows that a filter lets through: those that have its words; where there are none, those
/// that have their letters.
pub fn filtered<T>(
    filter: &str,
    rows: impl Iterator<Item = T> + Clone,
    text: impl Fn(&T) -> String,
) -> Vec<T> {
    let filter = Filter::new(filter);
    if filter.words.is_empty() {
        return rows.collect();
    }
    let exact: Vec<T> = rows
        .clone()
        .filter(|row| filter.is_in(&text(row)))
        .collect();
    match exact.is_empty() {
        true => rows.filter(|row| filter.is_nearly_in(&text(row))).collect(),
        false => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_then_letters() {
        let rows = [
            "p2@10 clock_nanosleep(0, 0)",
            "p3@12 replace(\"race\")",
            "p31@13 replaced()",
            "p4@14 write(2, \"hello-unix\")",
        ];
        let found = |filter: &str| {
            let rows = rows.iter().enumerate();
            let all = filtered(filter, rows, |(_, row)| (**row).to_owned());
            all.into_iter().map(|(n, _)| n).collect::<Vec<_>>()
        };
        assert_eq!(found(""), [0, 1, 2, 3]);
        assert_eq!(found("cknslp"), [0]);
        assert_eq!(found("nslp"), [0]);
        assert_eq!(found("WRT helo"), [3]);
        // Who finds the word itself sees nothing else.
        assert_eq!(found("race"), [1]);
        assert_eq!(found("rplcd"), [2]);
        // Letters in the middle of a word, of two words, or of numbers are none.
        assert_eq!(found("lckn"), [0_usize; 0]);
        assert_eq!(found("wrthello"), [0_usize; 0]);
        assert_eq!(found("p1"), [0_usize; 0]);
        assert_eq!(found("wt"), [0_usize; 0]);
    }
}
