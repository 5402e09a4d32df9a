//! Where things are on the screen: for drawing, and for the mouse.

use crate::panes::{Pane, ROW};
use crate::split::share;
use crate::state::{State, View};
use ratatui::layout::Rect;
use std::ops::Range;

/// The smallest screen that shows something.
pub const LEAST: (u16, u16) = (40, 10);

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

/// How the recording view is divided; what there is no room for has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Source, or instructions.
    pub source: Rect,
    /// Functions that have not returned.
    pub stack: Rect,
    /// Variables of the selected one.
    pub variables: Rect,
    /// Threads, where there are several.
    pub threads: Rect,
    /// Registers.
    pub registers: Rect,
    /// Memory.
    pub memory: Rect,
}

/// In fewer columns there is nothing beside the source.
pub const NARROW: u16 = 100;

/// Columns of a row of memory: address, 16 bytes in two groups, their text.
const MEMORY: u16 = 80;

/// Divides it.
#[must_use]
pub fn recording(state: &State) -> Recording {
    let all = body(state);
    // Two lines say where it is.
    let (top, height) = (all.y + 2, all.height.saturating_sub(2));
    // No part is made so small that its border cannot be taken again.
    let upper = match state.split.upper {
        None => height - (height / 3).clamp(3, 11).min(height),
        Some(upper) => share(height, upper).max(4).min(height.saturating_sub(3)),
    };
    let lower = height - upper;
    let (all, bottom) = (Rect::new(0, top, all.width, upper), top + upper);
    let (wide, narrow) = (all.width >= 120, all.width < NARROW);
    let memory = match (wide, state.pane) {
        (true, _) => MEMORY,
        (false, Pane::Memory) => all.width,
        (false, _) => 0,
    };
    let registers = all.width - memory;
    let lower = |x, width| Rect::new(x, bottom, width, if width > 0 { lower } else { 0 });
    let mut parts = Recording {
        registers: lower(0, registers),
        memory: lower(registers, memory),
        ..Recording::default()
    };
    if narrow {
        let stack = state.split.stack.map_or(upper / 3, |s| share(upper, s));
        let stack = stack.min(upper.saturating_sub(2)).max(3).min(upper);
        let rest = Rect::new(0, top + upper - stack, all.width, stack);
        parts.source = Rect::new(0, top, all.width, upper - stack);
        match state.pane {
            Pane::Variables => parts.variables = rest,
            _ => parts.stack = rest,
        }
        return parts;
    }
    const LEAST_WIDTH: u16 = 30;
    let left = state.split.source.map_or(all.width * 3 / 5, |s| {
        share(all.width, s).clamp(LEAST_WIDTH, all.width - LEAST_WIDTH)
    });
    let right = all.width - left;
    let threads = state.picture.as_ref().map_or(0, |p| p.threads.len());
    let threads = if threads > 1 {
        u16::try_from(threads + 1).unwrap_or(5).min(5)
    } else {
        0
    };
    let room = upper - threads.min(upper);
    let stack = state
        .split
        .stack
        .map_or(room * 2 / 5, |s| share(room, s).min(room.saturating_sub(2)));
    let stack = stack.max(3).min(upper);
    let threads = threads.min(upper - stack);
    parts.source = Rect::new(0, top, left, upper);
    parts.stack = Rect::new(left, top, right, stack);
    parts.threads = Rect::new(left, top + stack, right, threads);
    parts.variables = Rect::new(left, top + stack + threads, right, upper - stack - threads);
    parts
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
    (state.byte / ROW as usize + 1).saturating_sub(height)
}

/// Where a byte of a row of memory is shown: in hexadecimal, and as text.
#[must_use]
pub const fn byte_columns(n: u16) -> (u16, u16) {
    let gap = if n >= 8 { 1 } else { 0 };
    (14 + 3 * n + gap, 63 + n)
}

/// The byte of a row that is shown in a column.
#[must_use]
pub fn byte_at(column: u16) -> Option<usize> {
    let shown = |&n: &u16| {
        let (hex, text) = byte_columns(n);
        (hex..hex + 2).contains(&column) || text == column
    };
    (0..16).find(shown).map(usize::from)
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
        View::History => 3,
        View::System => 3,
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
