//! All commands, as a table: what keys do, the last line, help and the palette are made from it.

use crate::event::{By, Key, Motion, To, Way};
use crate::split::Layout;
use crate::state::View;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Shows a view.
    Show(View),
    /// The view to the right.
    Next,
    /// The view to the left.
    Previous,
    /// Moves in the list by so many rows.
    Rows(i32),
    /// Moves in the list by pages.
    Pages(i32),
    /// To the first row.
    Top,
    /// To the last row.
    Bottom,
    /// Goes to what is selected.
    Enter,
    /// Returns to where one was before.
    Back,
    /// Asks for a filter.
    Filter,
    /// Another format of values.
    Format,
    /// Asks for a place to blame.
    Blame,
    /// Asks for a position.
    Goto,
    /// Asks for memory to show.
    Memory,
    /// Source or instructions.
    Code,
    /// The next part of the recording view.
    Pane,
    /// A step of the process.
    Step(Motion),
    /// Runs to the next breakpoint or change, or the one before.
    Run(Way),
    /// Sets or clears a breakpoint.
    Break,
    /// Watches memory, or no longer.
    Watch,
    /// To an event that has to do with another recording.
    Message(To),
    /// Shows the value of an expression.
    Expression,
    /// Keeps a position.
    Mark,
    /// Lists what was kept.
    Bookmarks,
    /// Lists breakpoints and watchpoints.
    Stops,
    /// To an access that races with another one.
    Race(Way),
    /// A history of more bytes, or of fewer.
    Widen(bool),
    /// Shows a shorter time.
    ZoomIn,
    /// Shows a longer time.
    ZoomOut,
    /// Shows a time before or after.
    Pan(i32),
    /// Shows all the time.
    Fit,
    /// What the selected process had to do with others.
    Arrows,
    /// Events of one recording, or of all.
    Only,
    /// What keys do.
    Help,
    /// All commands.
    Palette,
    /// Divides the view of a recording as it was at first.
    Unsplit,
    /// The view of a recording in this layout.
    Arrange(Layout),
    /// The same in the layout behind that.
    NextLayout,
    /// The tour of the first start.
    Tour,
    /// Light or dark.
    Theme,
    /// Stops until the shell has it go on.
    Suspend,
    /// Ends.
    Quit,
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// What it does.
    pub action: Action,
    /// Keys that do it.
    pub keys: &'static [Key],
    /// How they are written.
    pub shown: &'static str,
    /// In a word or two, for the last line; empty: not shown there.
    pub label: &'static str,
    /// In a sentence.
    pub help: &'static str,
    /// Where; empty: everywhere.
    pub views: &'static [View],
}

const fn step(by: By, back: bool) -> Action {
    Action::Step(Motion { by, back, frame: 0 })
}

const RECORDING: &[View] = &[View::Recording];
const HISTORY: &[View] = &[View::History];
const SYSTEM: &[View] = &[View::System];
const LISTS: &[View] = &[View::History, View::System, View::Console, View::Events];

use Key::Char;

/// All of them; in the last line in this order.
pub const COMMANDS: &[Command] = &[
    Command {
        action: Action::Enter,
        keys: &[Key::Enter],
        shown: "Enter",
        label: "go there",
        help: "Go to the recording and position of the selected row",
        views: LISTS,
    },
    Command {
        action: step(By::Instruction, true),
        keys: &[Key::Left, Char('h'), Char('S')],
        shown: "←/→",
        label: "instr",
        help: "Step one instruction back (where the cursor is in memory: S)",
        views: RECORDING,
    },
    Command {
        action: step(By::Instruction, false),
        keys: &[Key::Right, Char('l'), Char('s')],
        shown: "→",
        label: "",
        help: "Step one instruction forward (where the cursor is in memory: s)",
        views: RECORDING,
    },
    Command {
        action: step(By::Line, false),
        keys: &[Char('n')],
        shown: "n/N",
        label: "line",
        help: "Step to the next source line of the selected function, over calls",
        views: RECORDING,
    },
    Command {
        action: step(By::Line, true),
        keys: &[Char('N'), Char('p')],
        shown: "N",
        label: "",
        help: "Step to the source line before, of the selected function, over calls",
        views: RECORDING,
    },
    Command {
        action: step(By::Event, false),
        keys: &[Char('e')],
        shown: "e/E",
        label: "event",
        help: "Go to the next event",
        views: RECORDING,
    },
    Command {
        action: step(By::Event, true),
        keys: &[Char('E')],
        shown: "E",
        label: "",
        help: "Go to the event before",
        views: RECORDING,
    },
    Command {
        action: Action::Run(Way::On),
        keys: &[Char('c')],
        shown: "c/C",
        label: "run",
        help: "Run to the next breakpoint or change of what is watched, or to the end",
        views: RECORDING,
    },
    Command {
        action: Action::Run(Way::Back),
        keys: &[Char('C')],
        shown: "C",
        label: "",
        help: "Run backwards to the last breakpoint or change before this, or to the start",
        views: RECORDING,
    },
    Command {
        action: Action::Break,
        keys: &[Char('B')],
        shown: "B",
        label: "break",
        help: "Set or clear a breakpoint: at the selected function's line, or where w has put the cursor",
        views: RECORDING,
    },
    Command {
        action: Action::Watch,
        keys: &[Char('W')],
        shown: "W",
        label: "",
        help: "Watch the variable or byte under the cursor (w), or no longer: runs stop where it changes",
        views: RECORDING,
    },
    Command {
        action: Action::Stops,
        keys: &[Char('L')],
        shown: "L",
        label: "",
        help: "List breakpoints and watchpoints: type one to set it, choose one to remove it",
        views: &[],
    },
    Command {
        action: Action::Blame,
        keys: &[Char('b')],
        shown: "b",
        label: "who wrote?",
        help: "Blame: who accessed some memory (type a place, or choose one)",
        views: &[],
    },
    Command {
        action: Action::Filter,
        keys: &[Char('/')],
        shown: "/",
        label: "filter",
        help: "Show only rows with some text, while you type",
        views: LISTS,
    },
    Command {
        action: Action::Back,
        keys: &[Key::Backspace],
        shown: "Bksp",
        label: "return",
        help: "Return to where you were before",
        views: &[],
    },
    Command {
        action: Action::Format,
        keys: &[Char('f')],
        shown: "f",
        label: "format",
        help: "Show values in another format: auto, integers, hex, text, float",
        views: HISTORY,
    },
    Command {
        action: Action::Race(Way::Back),
        keys: &[Char('R')],
        shown: "R/r",
        label: "race",
        help: "Go to what this access, or the last one above that is marked, was in a race with",
        views: HISTORY,
    },
    Command {
        action: Action::Race(Way::On),
        keys: &[Char('r')],
        shown: "r",
        label: "",
        help: "Go to the next access that was in a race with one before it",
        views: HISTORY,
    },
    Command {
        action: Action::Widen(true),
        keys: &[Char('+'), Char('=')],
        shown: "+/-",
        label: "bytes",
        help: "Show accesses to twice as many bytes, these among them",
        views: HISTORY,
    },
    Command {
        action: Action::Widen(false),
        keys: &[Char('-')],
        shown: "-",
        label: "",
        help: "Show accesses to half of the bytes, those of the selected access",
        views: HISTORY,
    },
    Command {
        action: Action::Only,
        keys: &[Char('o')],
        shown: "o",
        label: "one/all",
        help: "Events of the current recording, or of all",
        views: &[View::Events],
    },
    Command {
        action: Action::Code,
        keys: &[Char('d')],
        shown: "d",
        label: "disasm",
        help: "Show instructions in place of source, or source again",
        views: RECORDING,
    },
    Command {
        action: Action::Enter,
        keys: &[Key::Enter],
        shown: "Enter",
        label: "",
        help: "Where the cursor is on a variable: show its memory",
        views: RECORDING,
    },
    Command {
        action: Action::Pane,
        keys: &[Char('w')],
        shown: "w",
        label: "pane",
        help: "Cursor to the stack, variables, memory or source; b on the two: who wrote this?",
        views: RECORDING,
    },
    Command {
        action: Action::NextLayout,
        keys: &[Char('v')],
        shown: "v",
        label: "",
        help: "The next layout: stack and variables beside the source, below it, or source only",
        views: RECORDING,
    },
    Command {
        action: Action::Memory,
        keys: &[Char('m')],
        shown: "m",
        label: "memory",
        help: "Show memory: an address, a register ($rsp), a variable or an expression (job.name)",
        views: RECORDING,
    },
    Command {
        action: Action::Format,
        keys: &[Char('f')],
        shown: "f",
        label: "",
        help: "Show memory as bytes and text, as integers of 1, 2, 4 or 8 bytes, or as text alone",
        views: RECORDING,
    },
    Command {
        action: Action::ZoomIn,
        keys: &[Char('+'), Char('=')],
        shown: "+/-",
        label: "zoom",
        help: "Show a shorter time, around the cursor",
        views: SYSTEM,
    },
    Command {
        action: Action::ZoomOut,
        keys: &[Char('-')],
        shown: "-",
        label: "",
        help: "Show a longer time",
        views: SYSTEM,
    },
    Command {
        action: Action::Pan(-1),
        keys: &[Key::Left, Char('h')],
        shown: "←/→",
        label: "pan",
        help: "Show an earlier time",
        views: SYSTEM,
    },
    Command {
        action: Action::Pan(1),
        keys: &[Key::Right, Char('l')],
        shown: "→",
        label: "",
        help: "Show a later time",
        views: SYSTEM,
    },
    Command {
        action: Action::Fit,
        keys: &[Char('0')],
        shown: "0",
        label: "fit",
        help: "Show the whole session",
        views: SYSTEM,
    },
    Command {
        action: Action::Arrows,
        keys: &[Char('a')],
        shown: "a",
        label: "",
        help: "Arrows: what the selected process had from others and gave them; or none",
        views: SYSTEM,
    },
    Command {
        action: Action::Goto,
        keys: &[Char('@')],
        shown: "@",
        label: "position",
        help: "Go to a position: p3@18402, p3@exit, p3@50%, p3@~1.5s",
        views: &[],
    },
    Command {
        action: Action::Expression,
        keys: &[Char('x')],
        shown: "x",
        label: "expr",
        help: "Show an expression's value above the variables (job.name, *p, a[3], p->next->x)",
        views: RECORDING,
    },
    Command {
        action: Action::Message(To::Next),
        keys: &[Char('t')],
        shown: "t/T",
        label: "message",
        help: "Go to the next event that has to do with another recording",
        views: RECORDING,
    },
    Command {
        action: Action::Message(To::Previous),
        keys: &[Char('T')],
        shown: "T",
        label: "",
        help: "Go to the event before that has to do with another recording",
        views: RECORDING,
    },
    Command {
        action: Action::Message(To::Peer),
        keys: &[Char('P')],
        shown: "P",
        label: "",
        help: "Go to the other end: who sent, stored, started or was told what this event is about",
        views: &[View::Recording, View::History, View::Events],
    },
    Command {
        action: Action::Mark,
        keys: &[Char('M')],
        shown: "M",
        label: "",
        help: "Keep this position (or the selected row's) as a bookmark, with a note",
        views: &[],
    },
    Command {
        action: Action::Bookmarks,
        keys: &[Char('J')],
        shown: "J",
        label: "",
        help: "Jump to a bookmark: choose one, or type words of it; Del removes it",
        views: &[],
    },
    Command {
        action: Action::Show(View::System),
        keys: &[Char('1')],
        shown: "1",
        label: "",
        help: "System: all processes over time",
        views: &[],
    },
    Command {
        action: Action::Show(View::Recording),
        keys: &[Char('2')],
        shown: "2",
        label: "",
        help: "Recording: a process at a position",
        views: &[],
    },
    Command {
        action: Action::Show(View::History),
        keys: &[Char('3')],
        shown: "3",
        label: "",
        help: "History: who wrote some memory",
        views: &[],
    },
    Command {
        action: Action::Show(View::Console),
        keys: &[Char('4')],
        shown: "4",
        label: "",
        help: "Console: what was printed",
        views: &[],
    },
    Command {
        action: Action::Show(View::Events),
        keys: &[Char('5')],
        shown: "5",
        label: "",
        help: "Events: what happened, as strace would show it",
        views: &[],
    },
    Command {
        action: Action::Next,
        keys: &[Key::Tab],
        shown: "Tab",
        label: "",
        help: "The view to the right",
        views: &[],
    },
    Command {
        action: Action::Previous,
        keys: &[Key::BackTab],
        shown: "S-Tab",
        label: "",
        help: "The view to the left",
        views: &[],
    },
    Command {
        action: Action::Rows(1),
        keys: &[Key::Down, Char('j')],
        shown: "↓ j",
        label: "",
        help: "Down a row (in a recording: to the caller)",
        views: &[],
    },
    Command {
        action: Action::Rows(-1),
        keys: &[Key::Up, Char('k')],
        shown: "↑ k",
        label: "",
        help: "Up a row (in a recording: to what was called)",
        views: &[],
    },
    Command {
        action: Action::Pages(1),
        keys: &[Key::PageDown, Key::Ctrl('d')],
        shown: "PgDn C-d",
        label: "",
        help: "Down a page",
        views: &[],
    },
    Command {
        action: Action::Pages(-1),
        keys: &[Key::PageUp, Key::Ctrl('u')],
        shown: "PgUp C-u",
        label: "",
        help: "Up a page",
        views: &[],
    },
    Command {
        action: Action::Top,
        keys: &[Key::Home, Char('g')],
        shown: "Home g",
        label: "",
        help: "To the first row",
        views: &[],
    },
    Command {
        action: Action::Bottom,
        keys: &[Key::End, Char('G')],
        shown: "End G",
        label: "",
        help: "To the last row",
        views: &[],
    },
    Command {
        action: Action::Palette,
        keys: &[Char(':')],
        shown: ":",
        label: "commands",
        help: "Search all commands",
        views: &[],
    },
    Command {
        action: Action::Theme,
        keys: &[],
        shown: "",
        label: "",
        help: "Colours for a light or a dark terminal",
        views: &[],
    },
    Command {
        action: Action::Arrange(Layout::Beside),
        keys: &[],
        shown: "",
        label: "",
        help: "Layout: stack and variables beside the source",
        views: RECORDING,
    },
    Command {
        action: Action::Arrange(Layout::Stacked),
        keys: &[],
        shown: "",
        label: "",
        help: "Layout: stacked, the source with all columns on top",
        views: RECORDING,
    },
    Command {
        action: Action::Arrange(Layout::Code),
        keys: &[],
        shown: "",
        label: "",
        help: "Layout: code only, and what the cursor is in (w)",
        views: RECORDING,
    },
    Command {
        action: Action::Unsplit,
        keys: &[],
        shown: "",
        label: "",
        help: "Panes of the sizes that they had at first (the mouse drags their borders)",
        views: RECORDING,
    },
    Command {
        action: Action::Tour,
        keys: &[],
        shown: "",
        label: "",
        help: "Show the tour of the first start",
        views: &[],
    },
    Command {
        action: Action::Suspend,
        keys: &[Key::Ctrl('z')],
        shown: "C-z",
        label: "",
        help: "Suspend; the shell's fg goes on",
        views: &[],
    },
    Command {
        action: Action::Help,
        keys: &[Char('?')],
        shown: "?",
        label: "help",
        help: "What keys do here",
        views: &[],
    },
    Command {
        action: Action::Quit,
        keys: &[Char('q'), Key::Ctrl('c')],
        shown: "q",
        label: "quit",
        help: "Quit",
        views: &[],
    },
];

impl Command {
    /// Whether it works in a view.
    #[must_use]
    pub fn works_in(&self, view: View) -> bool {
        self.views.is_empty() || self.views.contains(&view)
    }

    /// How well it fits to what the user types: its name before the words of its help, and these
    /// before mere letters. `None` if it does not.
    #[must_use]
    pub fn fits(&self, pattern: &str) -> Option<i32> {
        /// More than letters can come to.
        const WORDS: i32 = 10_000;
        let pattern = pattern.trim().to_lowercase();
        let help = self.help.to_lowercase();
        let is_word = |c: char| c.is_alphanumeric();
        let begins = |rest: &str| {
            let whole = !rest[pattern.len()..].starts_with(is_word);
            if whole { 2 } else { 1 }
        };
        let in_help = help.match_indices(&pattern);
        let in_help = in_help.filter(|&(at, _)| !help[..at].ends_with(is_word));
        let rank = match () {
            () if pattern.is_empty() => 0,
            () if self.label == pattern => 6,
            () if self.label.starts_with(&pattern) => 5,
            () if help.starts_with(&pattern) => 2 + begins(&help),
            () => in_help
                .map(|(at, _)| begins(&help[at..]))
                .max()
                .unwrap_or(0),
        };
        let letters = fuzzy(&pattern, self.help);
        let score = letters.or_else(|| (rank > 0).then_some(0))?;
        Some(rank * WORDS + score)
    }
}

/// What a key does in a view.
#[must_use]
pub fn find(view: View, key: Key) -> Option<Action> {
    let mut all = COMMANDS.iter().filter(|c| c.works_in(view));
    all.find(|c| c.keys.contains(&key)).map(|c| c.action)
}

/// How well `text` has the characters of `pattern`, in order: words' beginnings and
/// neighbours count more. `None` if it has not.
#[must_use]
pub fn fuzzy(pattern: &str, text: &str) -> Option<i32> {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut score, mut at) = (0, 0);
    for c in pattern
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_whitespace())
    {
        let found = at + text.get(at..)?.iter().position(|&t| t == c)?;
        let begins = found == 0 || !text[found - 1].is_alphanumeric();
        score += if begins { 8 } else { 0 };
        score += if found == at && at > 0 { 6 } else { 0 };
        score -= i32::try_from(found - at).unwrap_or(99).min(5);
        at = found + 1;
    }
    Some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_does_two_things_in_a_view() {
        for view in View::ALL {
            let here = COMMANDS.iter().filter(|c| c.works_in(view));
            let mut keys: Vec<Key> = here.flat_map(|c| c.keys.iter().copied()).collect();
            let all = keys.len();
            keys.sort_by_key(|k| format!("{k:?}"));
            keys.dedup();
            assert_eq!(keys.len(), all, "{view:?}");
        }
    }

    #[test]
    fn names_of_commands_come_first() {
        let best = |view: View, pattern: &str| {
            let here = COMMANDS.iter().filter(|c| c.works_in(view));
            let all = here.filter_map(|c| Some((c.fits(pattern)?, c)));
            // Of those that fit alike, the first.
            let best = all.rev().max_by_key(|(score, _)| *score);
            best.map(|(_, c)| c.action)
        };
        let recording = |pattern| best(View::Recording, pattern);
        assert_eq!(recording("break"), Some(Action::Break));
        assert_eq!(recording("memory"), Some(Action::Memory));
        assert_eq!(recording("mem"), Some(Action::Memory));
        assert_eq!(recording("disasm"), Some(Action::Code));
        assert_eq!(recording("show memory"), Some(Action::Memory));
        assert_eq!(recording("code only"), Some(Action::Arrange(Layout::Code)));
        assert_eq!(recording("panes of"), Some(Action::Unsplit));
        assert_eq!(recording("pnssz"), Some(Action::Unsplit));
        assert_eq!(recording("zoom"), None);
        assert_eq!(best(View::System, "zoom"), Some(Action::ZoomIn));
        assert_eq!(best(View::System, "light"), Some(Action::Theme));
        assert_eq!(best(View::System, "quit"), Some(Action::Quit));
    }

    #[test]
    fn words_are_found_by_their_beginnings() {
        assert_eq!(fuzzy("xyz", "Step one instruction"), None);
        assert!(fuzzy("sb", "Step back") > fuzzy("sb", "rows below"));
        assert_eq!(fuzzy("", "anything"), Some(0));
    }
}
