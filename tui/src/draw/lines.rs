//! What was printed, and what happened.

use super::canvas::{Canvas, width};
use crate::layout;
use crate::state::{State, View};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws one or the other.
pub fn draw(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let theme = canvas.theme;
    let (data, rows) = match state.view {
        View::Console => (&state.console, &state.printed),
        _ => (&state.events, &state.happened),
    };
    let title = match (state.view, state.events_of) {
        (View::Console, _) => "Printed by all processes".to_owned(),
        (_, Some((Some(id), _))) => format!("Events of p{id}"),
        _ => "Events of all recordings".to_owned(),
    };
    let lines = state.lines(state.view);
    let all = data.as_ref().map_or(0, |d| d.lines.len());
    let is_sought = state.view == View::Events && state.sought.is_some();
    let mut note = match (rows.filter.is_empty(), state.view) {
        (true, View::Console) => format!("{all} lines"),
        (true, _) => format!("{all} events"),
        (false, _) if is_sought => format!("filter “{}”: {} of all", rows.filter, lines.len()),
        (false, _) => format!("filter “{}”: {} of {all}", rows.filter, lines.len()),
    };
    if let Some(missing) = data.as_ref().and_then(|d| d.note.as_ref())
        && !(is_sought && lines.is_empty())
    {
        note = format!("{note}, {missing}");
    }
    let is_part = data.as_ref().is_some_and(|d| d.part) && !is_sought;
    if is_part && !rows.filter.is_empty() {
        note += "; / Enter searches all";
    }
    canvas.rule(body, &title, if data.is_some() { &note } else { "" });
    let area = layout::list(state);
    let shown = lines.iter().skip(rows.list.top).take(area.height.into());
    let column = shown.clone().map(|l| width(&l.position)).max().unwrap_or(0);
    for ((n, line), y) in shown.enumerate().zip(area.y..) {
        let x = canvas.text(
            2,
            y,
            column,
            &line.position,
            theme.recording(line.recording),
        );
        let mut x = x.max(2 + column) + 2;
        if let Some(thread) = line.thread {
            x = canvas.text(x, y, 8, &format!("[{thread}] "), theme.dim());
        }
        let style = if line.bad { theme.warn() } else { Style::new() };
        canvas.text(x, y, body.width.saturating_sub(x + 1), &line.text, style);
        if rows.list.top + n == rows.list.selected {
            canvas.fill(Rect::new(0, y, body.width, 1), theme.selected());
            canvas.text(0, y, 1, "▶", theme.key());
        }
    }
    if lines.is_empty() && data.is_some() {
        let why = match all {
            0 if state.view == View::Console => "nothing was printed",
            0 => "no events here",
            _ if is_part => "none of these has that; Enter searches all, Esc shows these again",
            _ if is_sought => "no event has that; Esc shows all",
            _ => "no line has that; Esc shows all",
        };
        canvas.text(2, area.y + 1, body.width, why, theme.dim());
    }
}
