//! How the recording view is divided: its layouts, and the borders that the mouse moves.

use crate::layout::{self, NARROW, Recording};
use crate::state::{State, View};
use ratatui::layout::{Position, Rect};

/// Where its parts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Stack and variables are beside the source.
    #[default]
    Beside,
    /// The source has all columns, stack and variables are below it.
    Stacked,
    /// There is source only, and the variables or memory while the cursor is in them.
    Code,
}

impl Layout {
    /// All, in the order in which a key shows them.
    pub const ALL: [Self; 3] = [Self::Beside, Self::Stacked, Self::Code];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Beside => "beside",
            Self::Stacked => "stacked",
            Self::Code => "code",
        }
    }

    /// The one that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// The one behind it.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|&layout| layout == self);
        Self::ALL[at.map_or(0, |at| at + 1) % Self::ALL.len()]
    }
}

/// How it is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Where the parts are.
    pub layout: Layout,
    /// How large they are in [`Layout::Beside`].
    pub beside: Shares,
    /// The same in [`Layout::Stacked`].
    pub stacked: Shares,
    /// The same in [`Layout::Code`].
    pub code: Shares,
}

/// Shares of a thousand; none: as fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of the width: source; of the height above registers and memory, where it is stacked.
    pub source: Option<u16>,
    /// Of the height: what is above registers and memory.
    pub upper: Option<u16>,
    /// Of that, the stack; of the width, where source is stacked.
    pub stack: Option<u16>,
}

impl Split {
    /// Of the layout that is shown.
    fn shares(&mut self) -> &mut Shares {
        match self.layout {
            Layout::Beside => &mut self.beside,
            Layout::Stacked => &mut self.stacked,
            Layout::Code => &mut self.code,
        }
    }

    /// The same layout, with parts of the sizes that they had at first.
    #[must_use]
    pub fn undone(self) -> Self {
        Self {
            layout: self.layout,
            ..Self::default()
        }
    }
}

/// A border that can be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// To the right of the source; below it, where it is stacked.
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

/// Whether a place is in the last column of a part, or in the first one behind it.
fn is_right_edge(of: Rect, x: u16, y: u16) -> bool {
    let columns = of.right().saturating_sub(1)..=of.right();
    !of.is_empty() && columns.contains(&x) && (of.y..of.bottom()).contains(&y)
}

impl State {
    /// The border at a place of the screen: the title of a part, or a part's last columns.
    pub(crate) fn border(&self, x: u16, y: u16) -> Option<Border> {
        if self.view != View::Recording || self.picture.is_none() {
            return None;
        }
        let parts = layout::recording(self);
        if parts.low {
            return None;
        }
        let title = |area: &Rect| y == area.y && area.contains(Position { x, y });
        let lower = match self.split.layout {
            Layout::Code => [parts.variables, parts.memory],
            _ => [parts.registers, parts.memory],
        };
        if lower.iter().any(title) {
            return Some(Border::Lower);
        }
        match self.split.layout {
            Layout::Beside => self.border_beside(&parts, (x, y)),
            Layout::Stacked => {
                let below = [parts.stack, parts.variables].iter().any(title);
                let left = [parts.stack, parts.threads];
                let beside = || left.iter().any(|&part| is_right_edge(part, x, y));
                match below {
                    true => Some(Border::Source),
                    false => (!parts.variables.is_empty() && beside()).then_some(Border::Stack),
                }
            }
            Layout::Code => None,
        }
    }

    fn border_beside(&self, parts: &Recording, (x, y): (u16, u16)) -> Option<Border> {
        let title = |area: &Rect| y == area.y && area.contains(Position { x, y });
        if self.size.0 < NARROW {
            let below = [parts.stack, parts.variables];
            return below.iter().any(title).then_some(Border::Stack);
        }
        if is_right_edge(parts.source, x, y) {
            return Some(Border::Source);
        }
        let below = [parts.variables, parts.threads];
        below.iter().any(title).then_some(Border::Stack)
    }

    /// Moves a border to where the mouse is.
    pub(crate) fn move_border(&mut self, border: Border, x: u16, y: u16) {
        let parts = layout::recording(self);
        if parts.low {
            return;
        }
        let (all, top, end) = (layout::body(self), parts.source.y, parts.registers.y);
        let (above, upper) = (y.saturating_sub(top), end.saturating_sub(top));
        let narrow = self.size.0 < NARROW;
        let (layout, shares) = (self.split.layout, self.split.shares());
        match (border, layout) {
            (Border::Lower, _) => {
                shares.upper = Some(thousandth(above, all.bottom().saturating_sub(top)));
            }
            (Border::Source, Layout::Stacked) => shares.source = Some(thousandth(above, upper)),
            (Border::Source, _) => shares.source = Some(thousandth(x, all.width)),
            (Border::Stack, Layout::Stacked) => shares.stack = Some(thousandth(x, all.width)),
            (Border::Stack, _) if narrow => {
                shares.stack = Some(thousandth(end.saturating_sub(y), upper));
            }
            (Border::Stack, _) => {
                let room = upper.saturating_sub(parts.threads.height);
                shares.stack = Some(thousandth(above, room));
            }
        }
    }

    /// Shows another layout.
    pub(crate) fn arrange(&mut self, layout: Layout) {
        self.split.layout = layout;
        let key = self.keymap.hint("v");
        let text = format!("layout: {}; {key} shows the next one", layout.name());
        self.message = Some((text, false));
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

    #[test]
    fn layouts_have_names() {
        for layout in Layout::ALL {
            assert_eq!(Layout::named(layout.name()), Some(layout));
        }
        assert_eq!(Layout::named("other"), None);
        let all = Layout::default().next().next();
        assert_eq!((all, all.next()), (Layout::Code, Layout::Beside));
    }
}
