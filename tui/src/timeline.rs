//! The ticks that the system view shows: zoomed, panned, and dragged by the mouse.

use crate::draw::lanes;
use crate::event::Effect;
use crate::state::{Held, State, View};
use ratatui::layout::{Position, Rect};

/// A place of the time line that the mouse has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grabbed {
    /// Column and row where it was taken.
    pub at: (u16, u16),
    /// The tick that stays under the mouse.
    pub tick: u64,
    /// Whether the mouse has moved: else it is a click.
    pub moved: bool,
}

/// First and last tick that are shown.
pub fn shown(state: &State) -> (u64, u64) {
    state.zoom.unwrap_or_else(|| all(state))
}

/// First and last tick of the session.
fn all(state: &State) -> (u64, u64) {
    let all = state.lanes.as_ref().map(|l| l.span).or_else(|| {
        let processes = &state.overview.as_ref()?.processes;
        let first = processes.iter().map(|p| p.span.0).min()?;
        Some((first, processes.iter().map(|p| p.span.1).max()?))
    });
    all.unwrap_or((0, 1))
}

/// Shows a time that is so many times as long, around the cursor; without one, around the end of
/// the process that is selected.
pub fn zoom(state: &mut State, times: u64, of: u64) -> Vec<Effect> {
    let (from, to) = shown(state);
    let all = all(state);
    let len = ((to - from) / of).saturating_mul(times).max(10);
    let tick = state.picture.as_ref().map(|p| p.tick);
    // Enter goes to the end of what is selected.
    let selected = || {
        let processes = state.processes();
        let process = processes.get(state.system.list.selected);
        process.map(|process| process.span.1)
    };
    let is_shown = |t: &u64| (from..=to).contains(t);
    let middle = tick
        .filter(is_shown)
        .or_else(|| selected().filter(is_shown));
    let middle = middle.unwrap_or(from.midpoint(to));
    state.zoom = None;
    if len < all.1.saturating_sub(all.0) {
        let from = middle.saturating_sub(len / 2).max(all.0).min(all.1 - len);
        state.zoom = Some((from, from + len));
    }
    Vec::new()
}

/// Shows an earlier or a later time.
pub fn pan(state: &mut State, by: i32) -> Vec<Effect> {
    if let Some((from, to)) = state.zoom_to_move() {
        let step = (to - from) / 4 + 1;
        state.move_to(match by < 0 {
            true => from.saturating_sub(step),
            false => from.saturating_add(step),
        });
    }
    Vec::new()
}

/// How many ticks a column is behind the first one; that tick is drawn there, or (where columns
/// are more than ticks) in the next one that has a tick.
fn behind(column: i128, ticks: u64, lanes: Rect) -> i128 {
    let last = i128::from(lanes.width).max(2) - 1;
    -(-column * i128::from(ticks)).div_euclid(last)
}

impl State {
    /// Takes the time line, if that is at this place: the lanes, and the ticks above them.
    pub(crate) fn grab(&self, x: u16, y: u16) -> Option<Grabbed> {
        if self.view != View::System || self.overview.is_none() {
            return None;
        }
        let lanes = lanes(self);
        let axis = Rect::new(lanes.x, lanes.y - 1, lanes.width, lanes.height + 1);
        if lanes.width < 2 || !axis.contains(Position { x, y }) {
            return None;
        }
        let (from, to) = shown(self);
        let behind = behind((x - lanes.x).into(), to - from, lanes);
        let tick = from.saturating_add(u64::try_from(behind).unwrap_or(0));
        let (at, moved) = ((x, y), false);
        Some(Grabbed { at, tick, moved })
    }

    /// Shows the time in which the tick that the mouse has taken is where the mouse is now.
    pub(crate) fn drag_time(&mut self, mut grabbed: Grabbed, x: u16, y: u16) {
        grabbed.moved |= (x, y) != grabbed.at;
        self.held = Some(Held::Time(grabbed));
        // A hand is not quite still.
        if !grabbed.moved || self.view != View::System {
            return;
        }
        if let Some((from, to)) = self.zoom_to_move() {
            let lanes = lanes(self);
            let column = i128::from(x) - i128::from(lanes.x);
            let from_there = i128::from(grabbed.tick) - behind(column, to - from, lanes);
            self.move_to(u64::try_from(from_there.max(0)).unwrap_or(u64::MAX));
        }
    }

    /// What is shown; nothing can be moved where that is all.
    fn zoom_to_move(&mut self) -> Option<(u64, u64)> {
        if self.zoom.is_none() {
            let text = "all of the session is shown; + shows less of it".to_owned();
            self.message = Some((text, false));
        }
        self.zoom
    }

    /// Shows as much time from another tick on, as far as the session has it.
    fn move_to(&mut self, from: u64) {
        let ((first, last), all) = (shown(self), all(self));
        let len = last - first;
        let from = from.min(all.1.saturating_sub(len)).max(all.0);
        self.zoom = Some((from, from.saturating_add(len)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Lanes, Overview, Process};
    use crate::draw::column_of;
    use crate::event::Event;
    use crate::theme::Theme;
    use proptest::prelude::*;

    fn state(size: (u16, u16), span: (u64, u64)) -> State {
        let mut state = State::new(size, Theme::default());
        let process = |id| Process {
            id,
            program: "a-program".to_owned(),
            span,
            ..Process::default()
        };
        state.overview = Some(Overview {
            processes: (1..4).map(process).collect(),
            ..Overview::default()
        });
        let lanes = Vec::new();
        state.lanes = Some(Lanes {
            span,
            each: 1,
            lanes,
        });
        state
    }

    proptest! {
        /// As far as the session goes, the tick that was taken stays under the mouse; what is
        /// shown stays as long, and back where it was taken, all is as it was.
        #[test]
        fn the_tick_that_is_taken_stays_under_the_mouse(
            size in (0..240_u16, 0..70_u16),
            (first, len) in (0..1_000_000_u64, prop_oneof![
                0..400_u64, 0..1_000_000_u64, Just(u64::MAX - 1_000_000),
            ]),
            zooms in 0..12_usize,
            pans in -3..4_i32,
            press in (0..240_u16, 0..12_u16),
            moves in prop::collection::vec((0..260_u16, 0..80_u16), 1..12),
        ) {
            let span = (first, first + len);
            let mut state = state(size, span);
            for _ in 0..zooms {
                let _ = zoom(&mut state, 1, 2);
            }
            for _ in 0..pans.abs() {
                let _ = pan(&mut state, pans.signum());
            }
            let before = state.clone();
            let _ = state.on(Event::Press(press.0, press.1));
            let held = state.held;
            for (x, y) in moves {
                let _ = state.on(Event::Drag(x, y));
                let Some(Held::Time(Grabbed { tick, .. })) = held else {
                    prop_assert_eq!(state.zoom, before.zoom);
                    continue;
                };
                let ((from, to), old) = (shown(&state), shown(&before));
                prop_assert!(span.0 <= from && to <= span.1 && to - from == old.1 - old.0);
                let lanes = lanes(&state);
                let inside = (lanes.x..lanes.right()).contains(&x);
                // Where columns are more than ticks, not each has one.
                let fine = to - from >= lanes.width.into();
                if inside && fine && span.0 < from && to < span.1 {
                    prop_assert_eq!(column_of(&state, lanes, tick), Some(x));
                }
            }
            let _ = state.on(Event::Drag(press.0, press.1));
            prop_assert_eq!(state.zoom, before.zoom);
            let selected = state.system.list.selected;
            let _ = state.on(Event::Release);
            let dragged = matches!(held, Some(Held::Time(_)));
            prop_assert!(!dragged || state.system.list.selected == selected);
            prop_assert_eq!(state.held, None);
        }
    }
}
