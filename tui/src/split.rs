//! How the recording view is divided: the mouse moves the borders of its parts.

use crate::layout::{self, NARROW};
use crate::state::{State, View};
use ratatui::layout::{Position, Rect};

/// Shares of a thousand; none: as fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Of the width: source.
    pub source: Option<u16>,
    /// Of the height: what is above registers and memory.
    pub upper: Option<u16>,
    /// Of that, the stack.
    pub stack: Option<u16>,
}

/// A border that can be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// To the right of the source.
    Source,
    /// Above registers and memory.
    Lower,
    /// Between stack and variables; in a narrow window, above the stack.
    Stack,
}

/// A share of so many columns or rows.
#[must_use]
pub fn share(of: u16, thousandth: u16) -> u16 {
    let part = u32::from(of) * u32::from(thousandth.min(1000)) / 1000;
    u16::try_from(part).unwrap_or(of)
}

/// Which share that is: of those that round to it, one in the middle.
fn thousandth(part: u16, of: u16) -> u16 {
    let twice = u32::from(part.min(of)) * 2 + 1;
    u16::try_from(twice * 500 / u32::from(of.max(1)))
        .unwrap_or(1000)
        .min(1000)
}

impl State {
    /// The border at a place of the screen: the title of a part, or the source's last columns.
    pub(crate) fn border(&self, x: u16, y: u16) -> Option<Border> {
        if self.view != View::Recording || self.picture.is_none() {
            return None;
        }
        let parts = layout::recording(self);
        let title = |area: Rect| y == area.y && area.contains(Position { x, y });
        let [lower, stack] = [
            [parts.registers, parts.memory],
            [parts.stack, parts.variables],
        ];
        if lower.into_iter().any(title) {
            return Some(Border::Lower);
        }
        if self.size.0 < NARROW {
            return stack.into_iter().any(title).then_some(Border::Stack);
        }
        let beside = parts.source.right();
        if parts.source.height > 0 && (beside - 1..=beside).contains(&x) {
            let inside = parts.source.y..parts.source.bottom();
            return inside.contains(&y).then_some(Border::Source);
        }
        let below = [parts.variables, parts.threads].into_iter().any(title);
        below.then_some(Border::Stack)
    }

    /// Moves a border to where the mouse is.
    pub(crate) fn move_border(&mut self, border: Border, x: u16, y: u16) {
        let parts = layout::recording(self);
        let (all, top, end) = (layout::body(self), parts.source.y, parts.registers.y);
        let (above, upper) = (y.saturating_sub(top), end.saturating_sub(top));
        let split = &mut self.split;
        match border {
            Border::Source => split.source = Some(thousandth(x, all.width)),
            Border::Lower => {
                split.upper = Some(thousandth(above, all.bottom().saturating_sub(top)));
            }
            Border::Stack if self.size.0 < NARROW => {
                split.stack = Some(thousandth(end.saturating_sub(y), upper));
            }
            Border::Stack => {
                let room = upper.saturating_sub(parts.threads.height);
                split.stack = Some(thousandth(above, room));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_its_share() {
        for of in 1..400 {
            for part in 0..=of {
                assert_eq!(share(of, thousandth(part, of)), part, "{part} of {of}");
            }
        }
        assert_eq!(share(80, u16::MAX), 80);
        assert_eq!(thousandth(5, 0), 500);
    }
}
