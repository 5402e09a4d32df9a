//! How the view of a recording is divided, in each of its layouts.

use super::{below, body};
use crate::panes::Pane;
use crate::split::{Layout, share};
use crate::state::State;
use ratatui::layout::Rect;

/// Its parts; what there is no room for has none.
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
    /// There are too few rows for borders that can be moved.
    pub low: bool,
}

/// In fewer columns there is nothing beside the source, and threads are not listed.
pub const NARROW: u16 = 100;

/// In fewer columns stack and variables take turns where they are below the source.
const HALVES: u16 = 80;

/// In fewer rows there is one part below the source: the one that the cursor is in.
const LOW: u16 = 9;

/// Columns of a row of memory: address, 16 bytes in two groups, their text.
const MEMORY: u16 = 80;

/// No part that others are beside gets narrower.
const LEAST_WIDTH: u16 = 30;

/// No part that others are above or below gets lower: a title, and two rows.
const LEAST_HEIGHT: u16 = 3;

/// Lines above the parts, that say where it is.
const fn head(layout: Layout) -> u16 {
    match layout {
        Layout::Beside | Layout::Stacked => 2,
        Layout::Code => 1,
    }
}

/// Divides it.
#[must_use]
pub fn recording(state: &State) -> Recording {
    let layout = state.split.layout;
    let all = below(body(state), head(layout));
    match layout {
        Layout::Code => code(state, all),
        _ if all.height < LOW => low(state, all),
        Layout::Beside => beside(state, all),
        Layout::Stacked => stacked(state, all),
    }
}

/// An area's first rows, and the others.
fn split(all: Rect, rows: u16) -> (Rect, Rect) {
    let first = Rect {
        height: rows.min(all.height),
        ..all
    };
    (first, below(all, rows))
}

/// A number that is not less than the least, if there is room for that.
fn between(least: u16, n: u16, most: u16) -> u16 {
    n.max(least).min(most)
}

/// The source, and below it what the cursor is in.
fn low(state: &State, all: Rect) -> Recording {
    let rows = all.height - between(2, all.height / 3, LEAST_HEIGHT).min(all.height);
    let (source, rest) = split(all, rows);
    let mut parts = Recording {
        source,
        low: true,
        ..Recording::default()
    };
    match state.pane {
        Pane::Stack | Pane::Source => parts.stack = rest,
        Pane::Variables => parts.variables = rest,
        Pane::Memory => parts.memory = rest,
    }
    parts
}

/// The source, and nothing else but what the cursor is in.
fn code(state: &State, all: Rect) -> Recording {
    match state.pane {
        Pane::Variables | Pane::Memory if all.height < LOW => low(state, all),
        Pane::Variables | Pane::Memory => {
            let upper = state.split.code.upper.map(|upper| share(all.height, upper));
            let upper = upper.unwrap_or(all.height - (all.height / 3).min(11));
            let upper = between(LEAST_HEIGHT, upper, all.height - LEAST_HEIGHT);
            let (source, rest) = split(all, upper);
            let mut parts = Recording {
                source,
                ..Recording::default()
            };
            match state.pane {
                Pane::Memory => parts.memory = rest,
                _ => parts.variables = rest,
            }
            parts
        }
        Pane::Stack | Pane::Source => Recording {
            source: all,
            ..Recording::default()
        },
    }
}

/// Registers and memory, beside each other or in turns.
fn lower(state: &State, all: Rect) -> Recording {
    let memory = match state.pane {
        _ if all.width >= 120 => MEMORY,
        Pane::Memory => all.width,
        _ => 0,
    };
    let part = |x, width| Rect {
        x,
        width,
        height: if width > 0 { all.height } else { 0 },
        ..all
    };
    let registers = all.width - memory;
    Recording {
        registers: part(0, registers),
        memory: part(registers, memory),
        ..Recording::default()
    }
}

/// Rows for threads, if there are several and there is room for one.
fn threads(state: &State, room: u16) -> u16 {
    let threads = state.picture.as_ref().map_or(0, |p| p.threads.len());
    let rows = match threads {
        0 | 1 => 0,
        _ => u16::try_from(threads + 1).unwrap_or(5).min(5),
    };
    if room < 2 { 0 } else { rows.min(room) }
}

/// Source, to the right of it stack and variables.
fn beside(state: &State, all: Rect) -> Recording {
    let shares = state.split.beside;
    // No part is made so small that its border cannot be taken again.
    let upper = match shares.upper {
        None => all.height - (all.height / 3).clamp(LEAST_HEIGHT, 11),
        Some(upper) => between(4, share(all.height, upper), all.height - LEAST_HEIGHT),
    };
    let (upper, rest) = split(all, upper);
    let mut parts = lower(state, rest);
    if all.width < NARROW {
        let stack = shares
            .stack
            .map_or(upper.height / 3, |s| share(upper.height, s));
        let stack = between(LEAST_HEIGHT, stack, upper.height - 2);
        let (source, rest) = split(upper, upper.height - stack);
        parts.source = source;
        match state.pane {
            Pane::Variables => parts.variables = rest,
            _ => parts.stack = rest,
        }
        return parts;
    }
    let left = shares.source.map_or(all.width * 3 / 5, |s| {
        share(all.width, s).clamp(LEAST_WIDTH, all.width - LEAST_WIDTH)
    });
    parts.source = Rect {
        width: left,
        ..upper
    };
    let right = Rect {
        x: left,
        width: all.width - left,
        ..upper
    };
    let room = upper.height - threads(state, upper.height);
    let stack = shares
        .stack
        .map_or(room * 2 / 5, |s| share(room, s).min(room.saturating_sub(2)));
    let (stack, rest) = split(right, between(LEAST_HEIGHT, stack, upper.height - 2));
    let threads = threads(state, rest.height - 2);
    parts.stack = stack;
    (parts.threads, parts.variables) = split(rest, threads);
    parts
}

/// Source on top of all else.
fn stacked(state: &State, all: Rect) -> Recording {
    let shares = state.split.stacked;
    let upper = match shares.upper {
        None => all.height - (all.height / 3).clamp(LEAST_HEIGHT, 11),
        Some(upper) => share(all.height, upper),
    };
    let upper = between(2 * LEAST_HEIGHT, upper, all.height - LEAST_HEIGHT);
    let (upper, rest) = split(all, upper);
    let mut parts = lower(state, rest);
    let source = shares
        .source
        .map_or(upper.height * 3 / 5, |s| share(upper.height, s));
    let source = between(LEAST_HEIGHT, source, upper.height - LEAST_HEIGHT);
    let (source, rest) = split(upper, source);
    parts.source = source;
    if all.width < HALVES {
        match state.pane {
            Pane::Variables => parts.variables = rest,
            _ => parts.stack = rest,
        }
        return parts;
    }
    let left = shares.stack.map_or(all.width / 2, |s| share(all.width, s));
    let left = left.clamp(LEAST_WIDTH, all.width - LEAST_WIDTH);
    parts.variables = Rect {
        x: left,
        width: all.width - left,
        ..rest
    };
    let room = match all.width < NARROW {
        true => 0,
        false => rest.height - LEAST_HEIGHT,
    };
    let stack = Rect {
        width: left,
        ..rest
    };
    (parts.stack, parts.threads) = split(stack, rest.height - threads(state, room));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Picture, Thread};
    use crate::layout::LEAST;
    use crate::split::{Shares, Split};
    use crate::theme::Theme;
    use proptest::prelude::*;

    proptest! {
        /// No part is on another one, all are on the screen, and from the smallest one on there is
        /// room for source, and for what the cursor is in.
        #[test]
        fn parts_share_what_there_is(
            size in (0..230_u16, 0..80_u16),
            layout in prop::sample::select(Layout::ALL.to_vec()),
            pane in prop::sample::select(
                vec![Pane::Stack, Pane::Variables, Pane::Memory, Pane::Source]
            ),
            threads in 0..9_usize,
            shares in prop::array::uniform3(prop::option::of(0..1200_u16)),
        ) {
            let mut state = State::new(size, Theme::default());
            let [source, upper, stack] = shares;
            let own = Shares { source, upper, stack };
            (state.pane, state.split) = (pane, Split {
                layout,
                beside: own,
                stacked: own,
                code: own,
            });
            state.picture = Some(Picture {
                threads: vec![Thread::default(); threads],
                ..Picture::default()
            });
            let parts = recording(&state);
            let all = [
                parts.source, parts.stack, parts.variables, parts.threads, parts.registers,
                parts.memory,
            ];
            let body = below(body(&state), head(layout));
            for (n, part) in all.iter().enumerate() {
                prop_assert!(part.is_empty() || body.intersection(*part) == *part, "{parts:?}");
                let others = all[n + 1..].iter();
                prop_assert!(others.clone().all(|o| !o.intersects(*part)), "{parts:?}");
            }
            let area = all.iter().map(|part| part.area()).sum::<u32>();
            prop_assert_eq!(area, body.area(), "{:?}", parts);
            let own = match pane {
                Pane::Variables => parts.variables,
                Pane::Memory => parts.memory,
                Pane::Stack if layout != Layout::Code => parts.stack,
                _ => parts.source,
            };
            let enough = own.height >= 2 && parts.source.height >= 2;
            prop_assert!(enough || size.0 < LEAST.0 || size.1 < LEAST.1, "{parts:?}");
        }
    }
}
