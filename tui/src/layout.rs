//! Where things are on the screen: for drawing, and for the mouse.

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

/// How the recording view is divided: source, stack, registers, memory.
#[must_use]
pub fn recording(state: &State) -> [Rect; 4] {
    let all = body(state);
    // Two lines say where it is.
    let (top, height) = (all.y + 2, all.height.saturating_sub(2));
    let lower = (height / 3).clamp(3, 11);
    let upper = height.saturating_sub(lower);
    let memory = state.memory.is_some() && all.width >= 120;
    if all.width >= 100 {
        let left = all.width * 3 / 5;
        let right = all.width - left;
        let registers = if memory { all.width - 80 } else { all.width };
        return [
            Rect::new(0, top, left, upper),
            Rect::new(left, top, right, upper),
            Rect::new(0, top + upper, registers, lower),
            Rect::new(registers, top + upper, all.width - registers, lower),
        ];
    }
    let stack = (upper / 3).max(3).min(upper);
    let source = upper - stack;
    let narrow = state.memory.is_some();
    let [registers, bytes] = if narrow { [0, lower] } else { [lower, 0] };
    [
        Rect::new(0, top, all.width, source),
        Rect::new(0, top + source, all.width, stack),
        Rect::new(0, top + upper, all.width, registers),
        Rect::new(0, top + upper, all.width, bytes),
    ]
}

/// Where the view's list is, without its head.
#[must_use]
pub fn list(state: &State) -> Rect {
    let all = body(state);
    let head = match state.view {
        View::Recording => {
            let stack = recording(state)[1];
            return below(stack, 1);
        }
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
