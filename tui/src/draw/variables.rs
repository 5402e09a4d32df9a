//! Parameters and local variables of a function that has not returned.

use super::canvas::{Canvas, width};
use crate::layout::below;
use crate::panes::Pane;
use crate::state::State;
use ratatui::layout::Rect;

/// Draws them.
pub fn draw(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let theme = canvas.theme;
    let all = state.variables();
    let own = state.pane == Pane::Variables;
    let frame = state
        .picture
        .as_ref()
        .and_then(|p| p.frames.get(state.frame));
    let function = frame.map_or("", |f| f.function.as_str());
    canvas.pane(area, "Variables", function, own);
    let area = below(area, 1);
    if all.is_empty() {
        canvas.text(
            area.x + 2,
            area.y,
            area.width.saturating_sub(3),
            "none are known here",
            theme.dim(),
        );
        return;
    }
    let before = changed(state);
    let widest = all.iter().map(|v| width(&v.name)).max().unwrap_or(0);
    let names = widest.min(area.width / 2);
    let shown = all.iter().enumerate().skip(state.variable.top);
    for ((n, variable), y) in shown.zip(area.y..area.bottom()) {
        let is_new = before(&variable.name, &variable.value);
        let style = if is_new { theme.warn() } else { theme.text() };
        let style_of_name = match variable.pinned {
            true => theme.bold(),
            false => theme.dim(),
        };
        canvas.text(area.x + 2, y, names, &variable.name, style_of_name);
        if variable.pinned {
            canvas.text(area.x + 1, y, 1, "=", theme.key());
        }
        let x = area.x + 2 + names;
        canvas.text(x, y, 1, if is_new { "*" } else { " " }, style);
        let room = area.right().saturating_sub(x + 2);
        let style = if variable.place.is_some() {
            style
        } else {
            theme.dim()
        };
        canvas.text(x + 1, y, room, &variable.value, style);
        if own && n == state.variable.selected {
            canvas.fill(Rect::new(area.x, y, area.width, 1), theme.selected());
            canvas.text(area.x, y, 1, "▶", theme.key());
        }
    }
}

/// Whether a variable of the same function had another value before the last step.
fn changed(state: &State) -> impl Fn(&str, &str) -> bool {
    let frame = state
        .picture
        .as_ref()
        .and_then(|p| p.frames.get(state.frame));
    let before = state
        .before
        .as_ref()
        .and_then(|p| p.frames.get(state.frame));
    let before = before.filter(|b| frame.is_some_and(|f| f.function == b.function));
    move |name, value| {
        let mut all = before.iter().flat_map(|b| &b.variables);
        all.any(|old| old.name == name && old.value != value)
    }
}
