//! The line in which the user types, and what may be chosen.

use super::canvas::{Canvas, width};
use crate::prompt::{Ask, Prompt};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws it in line `y`, the choices above; tells where the cursor is.
pub fn draw(canvas: &mut Canvas<'_>, prompt: &Prompt, y: u16) -> (u16, u16) {
    let (theme, wide) = (canvas.theme, canvas.width());
    canvas.blank(Rect::new(0, y, wide, 1));
    let question = match wide < 100 {
        true => prompt
            .question()
            .split(" (")
            .next()
            .unwrap_or_default()
            .trim_end_matches(": "),
        false => prompt.question().trim_end_matches(": "),
    };
    let x = canvas.text(
        1,
        y,
        wide / 2 + wide / 4,
        &format!("{question}: "),
        theme.key(),
    );
    let before: String = prompt.text.chars().take(prompt.at).collect();
    let room = wide.saturating_sub(x + 1);
    // What is typed last is to be seen.
    let text = super::canvas::cut_front(&prompt.text, room);
    let style = match prompt.proposed {
        true => theme.selected(),
        false => Style::new(),
    };
    canvas.text(x, y, room, &text, style);
    let cursor = (x + width(&before).min(room), y);
    choices(canvas, prompt, y);
    cursor
}

fn choices(canvas: &mut Canvas<'_>, prompt: &Prompt, y: u16) {
    let (theme, wide) = (canvas.theme, canvas.width());
    if prompt.choices.is_empty() {
        if !prompt.note.is_empty() {
            canvas.blank(Rect::new(0, y - 1, wide, 1));
            canvas.text(1, y - 1, wide - 1, &prompt.note, theme.dim());
        }
        return;
    }
    let room = usize::from(y.saturating_sub(3)).min(12);
    let chosen = prompt.chosen.unwrap_or(0);
    let top = (chosen + 1).saturating_sub(room);
    let shown: Vec<_> = prompt
        .choices
        .iter()
        .enumerate()
        .skip(top)
        .take(room)
        .collect();
    let lines = u16::try_from(shown.len()).unwrap_or(1);
    let first = y.saturating_sub(lines + 1);
    let area = Rect::new(0, first, wide, lines + 1);
    canvas.blank(area);
    let title = match prompt.ask {
        Ask::Command => "Commands",
        Ask::Stops => "Breakpoints and watchpoints",
        Ask::Bookmarks => "Bookmarks",
        Ask::Peer => "What this event has to do with",
        Ask::Expression => "Expressions",
        _ => "What it accessed last, newest first",
    };
    canvas.rule(area, title, "");
    for ((n, choice), y) in shown.into_iter().zip(first + 1..) {
        canvas.text(3, y, wide - 14, &choice.text, Style::new());
        canvas.right(y, 10, &choice.key, theme.key());
        if prompt.chosen == Some(n) {
            canvas.fill(Rect::new(0, y, wide, 1), theme.selected());
            canvas.text(1, y, 1, "▶", theme.key());
        }
    }
}
