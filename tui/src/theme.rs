//! Colours: few, and none that means something alone.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Dark text on a light ground.
    pub light: bool,
    /// Whether there are colours (NO_COLOR, no-color.org).
    pub colour: bool,
    /// ASCII only.
    pub ascii: bool,
    /// Colours that the user wants to be others.
    pub colours: Colours,
}

/// Colours of the user's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colours {
    /// That tell recordings apart; none: those that were meant.
    pub recordings: [Option<Color>; 6],
    /// For what matters less.
    pub dim: Option<Color>,
    /// For what went wrong.
    pub bad: Option<Color>,
    /// For what needs attention.
    pub warn: Option<Color>,
    /// For keys.
    pub key: Option<Color>,
    /// Texts in source.
    pub text: Option<Color>,
    /// Numbers in source.
    pub number: Option<Color>,
    /// Reserved words in source.
    pub word: Option<Color>,
}

impl Default for Theme {
    fn default() -> Self {
        Self {
            light: false,
            colour: true,
            ascii: false,
            colours: Colours::default(),
        }
    }
}

/// Colours of recordings on a dark and on a light ground.
const RECORDINGS: [(Color, Color); 6] = [
    (Color::Cyan, Color::Indexed(30)),
    (Color::Yellow, Color::Indexed(94)),
    (Color::Magenta, Color::Indexed(90)),
    (Color::Green, Color::Indexed(28)),
    (Color::Indexed(75), Color::Indexed(25)),
    (Color::Indexed(209), Color::Indexed(166)),
];

impl Theme {
    const fn pick(self, own: Option<Color>, dark: Color, light: Color) -> Style {
        Style::new().fg(match own {
            Some(own) => own,
            None if self.light => light,
            None => dark,
        })
    }

    /// The colour that tells a recording from others.
    #[must_use]
    pub const fn recording(self, id: u32) -> Style {
        let n = id as usize % RECORDINGS.len();
        let (dark, light) = RECORDINGS[n];
        self.pick(self.colours.recordings[n], dark, light)
    }

    /// For all else.
    #[must_use]
    pub const fn text(self) -> Style {
        Style::new()
    }

    /// Texts in source.
    #[must_use]
    pub const fn quoted(self) -> Style {
        self.pick(self.colours.text, Color::Indexed(114), Color::Indexed(28))
    }

    /// Numbers in source.
    #[must_use]
    pub const fn number(self) -> Style {
        self.pick(self.colours.number, Color::Indexed(180), Color::Indexed(94))
    }

    /// Reserved words in source.
    #[must_use]
    pub const fn word(self) -> Style {
        self.pick(self.colours.word, Color::Indexed(110), Color::Indexed(25))
    }

    /// The byte that the cursor is on.
    #[must_use]
    pub const fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// For what matters less.
    #[must_use]
    pub const fn dim(self) -> Style {
        self.pick(self.colours.dim, Color::Indexed(245), Color::Indexed(242))
    }

    /// For headings.
    #[must_use]
    pub const fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// For what went wrong.
    #[must_use]
    pub const fn bad(self) -> Style {
        self.pick(self.colours.bad, Color::Indexed(203), Color::Indexed(160))
            .add_modifier(Modifier::BOLD)
    }

    /// For what needs attention.
    #[must_use]
    pub const fn warn(self) -> Style {
        self.pick(self.colours.warn, Color::Yellow, Color::Indexed(130))
    }

    /// For keys.
    #[must_use]
    pub const fn key(self) -> Style {
        self.pick(self.colours.key, Color::Cyan, Color::Indexed(30))
            .add_modifier(Modifier::BOLD)
    }

    /// The row that is selected.
    #[must_use]
    pub const fn selected(self) -> Style {
        if !self.colour {
            return Style::new().add_modifier(Modifier::REVERSED);
        }
        Style::new().bg(if self.light {
            Color::Indexed(254)
        } else {
            Color::Indexed(237)
        })
    }

    /// The current line of source.
    #[must_use]
    pub const fn here(self) -> Style {
        self.selected().add_modifier(Modifier::BOLD)
    }

    /// Takes away from a screen what the terminal cannot show.
    pub fn reduce(self, buffer: &mut Buffer) {
        for cell in &mut buffer.content {
            if !self.colour {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
            if self.ascii && !cell.symbol().is_ascii() {
                let plain = plain(cell.symbol());
                cell.set_symbol(plain);
            }
        }
    }
}

/// What stands for a character where there is only ASCII.
fn plain(symbol: &str) -> &'static str {
    match symbol {
        "─" | "━" | "–" | "·" => "-",
        "│" => "|",
        "├" | "└" | "┌" | "┐" | "┘" | "╭" | "╮" | "╰" | "╯" => "+",
        "→" | "▶" => ">",
        "←" => "<",
        "↑" => "^",
        "↓" => "v",
        "…" => "~",
        "●" => "*",
        "▷" => "-",
        "█" | "▇" => "#",
        "░" | "┆" => ":",
        "▒" => "%",
        "▓" => "@",
        "┄" => "-",
        "○" => "o",
        "▼" => "v",
        "▲" => "^",
        "▆" | "▅" => "=",
        "▄" | "▃" => "-",
        "▂" | "▁" => ".",
        "✗" => "X",
        "“" | "”" => "\"",
        _ => "?",
    }
}
