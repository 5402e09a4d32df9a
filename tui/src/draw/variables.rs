//! Parameters and local variables of a function that has not returned.

use super::canvas::{Canvas, width};
use crate::layout::below;
use crate::panes::Pane;
use crate::state::{State, View};
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
    let (names, _) = columns(state, area);
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

/// Columns of names, and of values behind them.
fn columns(state: &State, area: Rect) -> (u16, u16) {
    let names = state.variables().iter().map(|v| width(&v.name));
    let names = names.max().unwrap_or(0).min(area.width / 2);
    (names, area.width.saturating_sub(names + 4))
}

/// The variable that the cursor is on, if there is no room for all of it.
pub fn whole(state: &State) -> Option<String> {
    if state.view != View::Recording || state.pane != Pane::Variables {
        return None;
    }
    let variable = state.variables().get(state.variable.selected)?;
    let (names, values) = columns(state, crate::layout::recording(state).variables);
    let is_cut = width(&variable.name) > names || width(&variable.value) > values;
    is_cut.then(|| format!("{}: {}", variable.name, variable.value))
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
