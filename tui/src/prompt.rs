//! The line in which the user types.

use crate::event::Key;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A place to blame.
    Blame,
    /// A filter.
    Filter,
    /// A position.
    Position,
    /// Memory to show.
    Memory,
    /// A breakpoint to set, or one that there is to clear.
    Stops,
    /// An expression to show, or one that is shown to remove.
    Expression,
    /// The other end of a message.
    Peer,
    /// A note on a position that is to be kept.
    Note,
    /// A position that was kept.
    Bookmarks,
    /// A command.
    Command,
}

/// Something to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What it stands for: the text that is typed, or a command's number.
    pub value: String,
    /// What is shown.
    pub text: String,
    /// To the right of it.
    pub key: String,
    /// The access that it is: recording and tick.
    pub at: Option<(u32, u64)>,
}

/// A line, and what may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What for.
    pub ask: Ask,
    /// What is typed.
    pub text: String,
    /// Where, in characters.
    pub at: usize,
    /// What may be chosen in place of typing.
    pub choices: Vec<Choice>,
    /// Why there is nothing to choose.
    pub note: String,
    /// What it is about: the position that is to be kept.
    pub about: String,
    /// Which one is: none if what is typed counts.
    pub chosen: Option<usize>,
    /// The text is a proposal: what is typed takes its place.
    pub proposed: bool,
}

impl Prompt {
    /// An empty one, or with `text`.
    #[must_use]
    pub fn new(ask: Ask, text: &str) -> Self {
        Self {
            ask,
            text: text.to_owned(),
            at: text.chars().count(),
            choices: Vec::new(),
            note: String::new(),
            about: String::new(),
            chosen: None,
            proposed: false,
        }
    }

    /// What is asked, in words.
    #[must_use]
    pub const fn question(&self) -> &'static str {
        match self.ask {
            Ask::Blame => "who wrote (OBJECT+OFFSET, p3:VARIABLE or p3:0xADDRESS, then bytes): ",
            Ask::Filter => "filter: ",
            Ask::Position => "position (p3@18402, p3@exit, p3@50%): ",
            Ask::Memory => "memory ($rsp:64, job.name, 0x7f0012345678:16): ",
            Ask::Stops => "breakpoint (FILE:LINE, FUNCTION, 0xADDRESS; Enter on one removes it): ",
            Ask::Expression => {
                "expression (job.name, *p, a[3], p->next->x; Enter on one removes it): "
            }
            Ask::Peer => "other end: ",
            Ask::Note => "note (what is here; may be empty): ",
            Ask::Bookmarks => "bookmark (words of it; Del removes one): ",
            Ask::Command => "command: ",
        }
    }

    /// Edits the line, or moves in the choices; `false` if the key does neither.
    pub fn edit(&mut self, key: Key) -> bool {
        let place = |at: usize, text: &str| {
            let mut all = text.char_indices();
            all.nth(at).map_or(text.len(), |(n, _)| n)
        };
        if std::mem::take(&mut self.proposed) && matches!(key, Key::Char(c) if !c.is_control()) {
            self.text.clear();
            self.at = 0;
        }
        let len = self.text.chars().count();
        match key {
            Key::Char(c) if !c.is_control() => {
                self.text.insert(place(self.at, &self.text), c);
                self.at += 1;
                self.chosen = None;
            }
            Key::Backspace if self.at > 0 => {
                self.at -= 1;
                self.text.remove(place(self.at, &self.text));
            }
            Key::Delete if self.at < len => {
                self.text.remove(place(self.at, &self.text));
            }
            Key::Ctrl('u') => {
                self.text.clear();
                self.at = 0;
            }
            Key::Ctrl('w') => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |n| n + 1);
                self.text.truncate(kept);
                self.at = self.text.chars().count();
            }
            Key::Left => self.at = self.at.saturating_sub(1),
            Key::Right => self.at = (self.at + 1).min(len),
            Key::Home | Key::Ctrl('a') => self.at = 0,
            Key::End | Key::Ctrl('e') => self.at = len,
            Key::Up | Key::BackTab | Key::Ctrl('p') => self.choose(-1),
            Key::Down | Key::Tab | Key::Ctrl('n') => self.choose(1),
            Key::Backspace | Key::Delete => {}
            _ => return false,
        }
        true
    }

    fn choose(&mut self, by: i32) {
        let last = self.choices.len().saturating_sub(1);
        if !self.choices.is_empty() {
            self.chosen = Some(match self.chosen {
                None => 0,
                Some(n) if by < 0 => n.saturating_sub(1),
                Some(n) => (n + 1).min(last),
            });
        }
    }

    /// The access that was chosen.
    #[must_use]
    pub fn aim(&self) -> Option<(u32, u64)> {
        self.choices.get(self.chosen?)?.at
    }

    /// What was chosen, or else typed.
    #[must_use]
    pub fn value(&self) -> &str {
        let chosen = self.chosen.and_then(|n| self.choices.get(n));
        chosen.map_or(self.text.trim(), |c| &c.value)
    }
}
