//! Where things are on the screen: for drawing, and for the mouse.

mod recording;

pub use recording::{NARROW, Recording, recording};

use crate::panes::{Pane, Units};
use crate::state::{State, View};
use ratatui::layout::Rect;
use std::ops::Range;

/// The smallest screen that shows something.
pub const LEAST: (u16, u16) = (40, 10);

/// Lines below a history, for what its columns have no room for.
pub const DETAIL: u16 = 2;

/// From so many lines on there are these.
const HIGH: u16 = 14;

/// Between the first line and the last two.
#[must_use]
pub const fn body(state: &State) -> Rect {
    let (width, height) = state.size;
    Rect::new(0, 1, width, height.saturating_sub(3))
}

/// The names of views in the first line, and their columns.
#[must_use]
pub fn tabs(state: &State) -> Vec<(View, Range<u16>)> {
    let mut at = 6;
    let short = state.size.0 < 72;
    let mut tabs = Vec::new();
    for view in View::ALL {
        let name = if short { 3 } else { view.name().len() };
        let width = u16::try_from(name).unwrap_or(9) + 4;
        tabs.push((view, at..at + width));
        at += width;
    }
    tabs
}

/// The first function of the stack that is shown.
#[must_use]
pub fn stack_top(state: &State) -> usize {
    let height = usize::from(recording(state).stack.height)
        .saturating_sub(1)
        .max(1);
    (state.frame + 1).saturating_sub(height)
}

/// The first line of source, or instruction, that is shown in so many rows: the current one
/// in the middle, but the cursor among them.
#[must_use]
pub fn source_top(state: &State, height: usize) -> usize {
    let (len, here) = state.source_rows();
    let top = here.saturating_sub(height / 2);
    let top = top.min(len.saturating_sub(height));
    let cursor = state.cursor.unwrap_or(here);
    top.min(cursor).max((cursor + 1).saturating_sub(height))
}

/// The first row of memory that is shown.
#[must_use]
pub fn memory_top(state: &State) -> usize {
    let height = usize::from(recording(state).memory.height)
        .saturating_sub(1)
        .max(1);
    (state.byte / state.units.row() as usize + 1).saturating_sub(height)
}

/// Where the unit is shown that has a byte of a row of memory: its first column, how many it
/// has; and the column of the byte as text, if that is beside it.
#[must_use]
pub const fn unit_columns(units: Units, n: u16) -> (u16, u16, Option<u16>) {
    const FIRST: u16 = 14;
    const TEXT: u16 = 63;
    let gap = if n >= 8 { 1 } else { 0 };
    match units {
        Units::Hex => (FIRST + 3 * n + gap, 2, Some(TEXT + n)),
        Units::Int8 => (FIRST + 4 * n, 3, None),
        Units::Int16 => (FIRST + 7 * (n / 2), 6, None),
        Units::Int32 => (FIRST + 12 * (n / 4), 11, Some(TEXT + n)),
        Units::Int64 => (FIRST + 21 * (n / 8), 20, Some(TEXT + n)),
        Units::Text => (FIRST + n, 1, None),
    }
}

/// The byte of a row that is shown in a column.
#[must_use]
pub fn byte_at(units: Units, column: u16) -> Option<usize> {
    let shown = |&n: &u16| {
        let (first, wide, text) = unit_columns(units, n);
        (first..first + wide).contains(&column) || text == Some(column)
    };
    let row = u16::try_from(units.row()).unwrap_or(16);
    (0..row).find(shown).map(usize::from)
}

/// Where the view's list is, without its head.
#[must_use]
pub fn list(state: &State) -> Rect {
    let all = body(state);
    let head = match state.view {
        View::Recording if state.pane == Pane::Variables => {
            return below(recording(state).variables, 1);
        }
        View::Recording if state.pane == Pane::Source => return below(recording(state).source, 1),
        View::Recording => return below(recording(state).stack, 1),
        View::History if all.height >= HIGH => {
            let height = all.height - DETAIL;
            return below(Rect { height, ..all }, 3);
        }
        View::History | View::System => 3,
        View::Console | View::Events => 1,
    };
    below(all, head)
}

/// What is left below some lines.
#[must_use]
pub fn below(area: Rect, lines: u16) -> Rect {
    let lines = lines.min(area.height);
    Rect::new(area.x, area.y + lines, area.width, area.height - lines)
}
