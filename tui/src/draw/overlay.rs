//! Help, and the tour of the first start.

use super::canvas::{Canvas, wrap};
use crate::keys::{COMMANDS, Command};
use crate::layout;
use crate::script::name;
use crate::state::State;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::iter::repeat_with;

/// Columns before the explanations.
const KEYS: u16 = 14;

/// A line of help: keys, and a line of what they do.
type Line = (String, String);

/// What keys do in the view: its own, then those that are the same everywhere.
fn lines(state: &State) -> Vec<Line> {
    let wide = state.size.0.saturating_sub(KEYS + 1);
    let here = COMMANDS.iter().filter(|c| c.works_in(state.view));
    let (own, other): (Vec<_>, Vec<_>) = here
        .filter(|c| !c.keys.is_empty())
        .partition(|c| !c.views.is_empty());
    let lines = |command: &Command| {
        let key = state.keymap.hint(command.shown);
        let keys = [key].into_iter().chain(repeat_with(String::new));
        keys.zip(wrap(command.help, wide)).collect::<Vec<_>>()
    };
    let mut all: Vec<Line> = own.into_iter().flat_map(lines).collect();
    all.push(Line::default());
    all.extend(other.into_iter().flat_map(lines));
    all
}

/// The first line that is shown of the last page.
pub fn last_of_help(state: &State) -> usize {
    let room = layout::body(state).height.saturating_sub(1);
    lines(state).len().saturating_sub(room.into())
}

/// Shows it.
pub fn help(state: &State, canvas: &mut Canvas<'_>, body: Rect, from: usize) {
    let theme = canvas.theme;
    canvas.blank(body);
    let own = state.keymap.pairs().iter();
    let own = own.map(|&(pressed, meant)| format!("{} is {}", name(pressed), name(meant)));
    let note = own.collect::<Vec<_>>().join(", ");
    canvas.rule(body, &format!("Keys: {}", state.view.name()), &note);
    let lines = lines(state);
    for ((key, text), y) in lines.iter().skip(from).zip(body.y + 1..body.bottom()) {
        canvas.text(3, y, KEYS - 4, key, theme.key());
        canvas.text(KEYS, y, body.width - KEYS - 1, text, Style::new());
    }
}

const TOUR: [(&str, &str); 5] = [
    (
        "1 System",
        "all processes over time; those that crashed stand out, Enter goes there",
    ),
    (
        "2 Recording",
        "a process as it was: source, stack, registers; ← → n e step both ways",
    ),
    (
        "b",
        "asks who wrote some memory: rows of all processes, Enter goes to that line",
    ),
    (
        "4 Console",
        "what was printed; Enter goes to the write that printed it",
    ),
    (
        "?  :",
        "what keys do here, and all commands; Backspace returns, q quits",
    ),
];

/// Five lines to begin with.
pub fn tour(canvas: &mut Canvas<'_>, body: Rect) {
    let theme = canvas.theme;
    let wide = body.width.saturating_sub(17);
    let lines = TOUR.map(|(key, text)| (key, wrap(text, wide)));
    let rows: usize = lines.iter().map(|(_, text)| text.len()).sum();
    let height = u16::try_from(rows + 4).unwrap_or(9).min(body.height);
    let area = Rect::new(0, body.bottom() - height, body.width, height);
    canvas.blank(area);
    canvas.rule(area, "A tour in five lines", "");
    let mut y = area.y + 2.min(height.saturating_sub(u16::try_from(rows).unwrap_or(5)));
    for (key, text) in lines {
        canvas.text(3, y, 12, key, theme.key());
        for line in text {
            canvas.text(16, y, wide, &line, Style::new());
            y += 1;
        }
    }
}
