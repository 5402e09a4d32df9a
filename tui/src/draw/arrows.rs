//! Arrows between lanes: from `○`, where something was sent, to `▼` or `▲`, where it was seen.

use super::canvas::Canvas;
use super::system::at;
use crate::data::Arrow;
use crate::state::State;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws them over the lanes.
pub fn draw(state: &State, canvas: &mut Canvas<'_>, lanes: Rect) {
    let rows: Vec<u32> = state.processes().iter().map(|p| p.id).collect();
    let top = i64::try_from(state.system.list.top).unwrap_or(0);
    let row = |id: u32| {
        let at = rows.iter().position(|&row| row == id)?;
        Some(i64::try_from(at).unwrap_or(0) - top)
    };
    for arrow in state.arrows() {
        if let (Some(from), Some(to)) = (row(arrow.from.0), row(arrow.to.0)) {
            one(state, canvas, lanes, arrow, (from, to));
        }
    }
}

/// One, between these rows; they may be above or below those that are shown.
fn one(state: &State, canvas: &mut Canvas<'_>, lanes: Rect, arrow: &Arrow, (from, to): (i64, i64)) {
    let Some(end) = at(state, lanes, arrow.to.1) else {
        return;
    };
    let start = at(state, lanes, arrow.from.1);
    let style = canvas.theme.recording(arrow.from.0);
    let style = style.patch(canvas.theme.bold());
    let down = from < to;
    let inside = |row: i64| {
        let row = u16::try_from(row).ok().filter(|&row| row < lanes.height);
        row.map(|row| lanes.y + row)
    };
    // How a process ended matters more.
    let mark = |canvas: &mut Canvas<'_>, x: u16, y: u16, text: &str| {
        if canvas.symbol(x, y) != "✗" {
            canvas.text(x, y, 1, text, style);
        }
    };
    for y in (from.min(to) + 1..from.max(to)).filter_map(inside) {
        mark(canvas, end, y, "┆");
    }
    if let Some(y) = inside(from) {
        // On its way it hides nothing that was done meanwhile.
        for x in start.unwrap_or(lanes.x)..end {
            quiet(canvas, x, y, style);
        }
        mark(canvas, end, y, if down { "┐" } else { "┘" });
        if let Some(start) = start {
            mark(canvas, start, y, "○");
        }
    }
    if let Some(y) = inside(to) {
        mark(canvas, end, y, if down { "▼" } else { "▲" });
    }
}

/// Goes through a column in which nothing happened.
fn quiet(canvas: &mut Canvas<'_>, x: u16, y: u16, style: Style) {
    if matches!(canvas.symbol(x, y), " " | "─") {
        canvas.text(x, y, 1, "┄", style);
    }
}
