//! What the process that is selected had from others, and what others had from it: as arrows
//! between the lanes.

use crate::data::Arrow;
use crate::event::{Effect, Request};
use crate::state::{State, View};
use crate::timeline::shown;

/// For whom, in which span, and near which tick arrows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// The recording.
    pub recording: u32,
    /// First and last tick.
    pub span: (u64, u64),
    /// Those near this one count most.
    pub tick: u64,
}

/// What is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrows {
    /// The user does not want them.
    off: bool,
    /// The user wants them, however long it takes to find them.
    asked: bool,
    /// What was asked for last.
    around: Option<Around>,
    /// The answer; none if it would have taken long.
    known: Option<Vec<Arrow>>,
}

impl State {
    /// Those to be drawn.
    #[must_use]
    pub fn arrows(&self) -> &[Arrow] {
        self.arrows.known.as_deref().unwrap_or_default()
    }

    /// What is to be asked for, if it is not what was asked for.
    pub(crate) fn ask_for_arrows(&mut self) -> Vec<Effect> {
        if self.view != View::System || self.arrows.off || self.is_live() && !self.arrows.asked {
            return Vec::new();
        }
        let processes = self.processes();
        let Some(process) = processes.get(self.system.list.selected) else {
            return Vec::new();
        };
        let span = shown(self);
        let tick = self.picture.as_ref().map(|p| p.tick);
        let around = Around {
            recording: process.id,
            span,
            tick: tick
                .filter(|t| (span.0..=span.1).contains(t))
                .unwrap_or(process.span.1),
        };
        if self.arrows.around == Some(around) {
            return Vec::new();
        }
        self.arrows.around = Some(around);
        let request = Request::Arrows(around, self.arrows.asked);
        match self.arrows.asked && self.arrows.known.is_none() {
            true => self.ask(request),
            false => self.ask_quietly(request),
        }
    }

    /// Shows them, or no longer.
    pub(crate) fn toggle_arrows(&mut self) -> Vec<Effect> {
        let old = std::mem::take(&mut self.arrows);
        if old.known.is_some() {
            self.arrows.off = true;
        } else {
            self.arrows.asked = true;
        }
        Vec::new()
    }

    /// They are known; none, if to find them would have taken long.
    pub(crate) fn set_arrows(&mut self, found: Option<Vec<Arrow>>) {
        if !self.arrows.off {
            self.arrows.known = found;
        }
    }

    /// They cannot be found: that is told once.
    pub(crate) fn give_up_arrows(&mut self) {
        self.arrows = Arrows {
            off: true,
            ..Arrows::default()
        };
    }
}
