//! Help, and the tour of the first start.

use super::canvas::Canvas;
use crate::keys::COMMANDS;
use crate::script::name;
use crate::state::State;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// What keys do in the view.
pub fn help(state: &State, canvas: &mut Canvas<'_>, body: Rect, from: usize) {
    let theme = canvas.theme;
    canvas.blank(body);
    let own = state.keymap.pairs().iter();
    let own = own.map(|&(pressed, meant)| format!("{} is {}", name(pressed), name(meant)));
    let note = own.collect::<Vec<_>>().join(", ");
    canvas.rule(body, &format!("Keys: {}", state.view.name()), &note);
    let here = COMMANDS.iter().filter(|c| c.works_in(state.view));
    let (own, other): (Vec<_>, Vec<_>) = here
        .filter(|c| !c.keys.is_empty())
        .partition(|c| !c.views.is_empty());
    let rows = own
        .iter()
        .map(Some)
        .chain([None])
        .chain(other.iter().map(Some));
    let rows: Vec<_> = rows.collect();
    let room = usize::from(body.height.saturating_sub(1));
    let from = from.min(rows.len().saturating_sub(room));
    for (row, y) in rows.into_iter().skip(from).take(room).zip(body.y + 1..) {
        if let Some(command) = row {
            canvas.text(3, y, 10, &state.keymap.hint(command.shown), theme.key());
            canvas.text(14, y, body.width - 15, command.help, Style::new());
        }
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
    let height = 9.min(body.height);
    let area = Rect::new(0, body.bottom() - height, body.width, height);
    canvas.blank(area);
    canvas.rule(area, "A tour in five lines", "");
    for ((key, text), y) in TOUR.into_iter().zip(area.y + 2..) {
        canvas.text(3, y, 12, key, theme.key());
        canvas.text(16, y, body.width.saturating_sub(17), text, Style::new());
    }
}
