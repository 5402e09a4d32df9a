//! A session that is still being recorded: what is shown grows, and the cursor stays on
//! what it is on. Who is at the end of what was printed, or of what happened, stays there.

use crate::data::{Line, Lines, Overview};
use crate::event::{Effect, Request};
use crate::list::filtered;
use crate::state::{Rows, State, View};
use std::time::Duration;

/// How often there is a look whether there is more.
pub const INTERVAL: Duration = Duration::from_secs(1);

impl State {
    /// Whether the session is still being recorded.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.overview.as_ref().is_some_and(|o| o.recording)
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self) -> Vec<Effect> {
        match self.is_live() && !self.pending.iter().any(|p| p.quiet) {
            true => self.ask_quietly(Request::Overview),
            false => Vec::new(),
        }
    }

    /// The session as it is now. What is shown of it is read again, if there is more.
    pub(crate) fn grow(&mut self, overview: Overview) -> Vec<Effect> {
        if self.overview.as_ref() == Some(&overview) {
            return Vec::new();
        }
        let selected = self.system.list.selected;
        let selected = self.processes().get(selected).map(|p| p.id);
        if self.is_live() && !overview.recording {
            let text = format!("the recording has ended: {}", overview.note);
            self.message = Some((text, false));
        }
        self.overview = Some(overview);
        let at = self.processes().iter().position(|p| Some(p.id) == selected);
        if let Some(at) = at {
            self.system.list.follow(at);
        }
        let mut effects = self.ask_quietly(Request::Lanes);
        if self.console.is_some() {
            effects.extend(self.ask_quietly(Request::Console));
        }
        // What was found in all events stays.
        if self.sought.is_none() && self.events_of.take().is_some() && self.view == View::Events {
            let (recording, tick) = self.events_wanted();
            self.events_of = Some((recording, tick));
            effects.extend(self.ask_quietly(Request::Events(recording, tick)));
        }
        effects
    }

    /// It cannot be read any more: what is shown is what was read last.
    pub(crate) fn freeze(&mut self) {
        if let Some(overview) = &mut self.overview {
            overview.recording = false;
        }
        self.give_up_arrows();
    }

    /// More was printed.
    pub(crate) fn grow_console(&mut self, lines: Lines) {
        grow(&mut self.console, &mut self.printed, lines);
    }

    /// More has happened.
    pub(crate) fn grow_events(&mut self, lines: Lines) {
        grow(&mut self.events, &mut self.happened, lines);
    }
}

/// What is shown becomes `lines`, with the cursor on the same one.
fn grow(shown: &mut Option<Lines>, rows: &mut Rows, lines: Lines) {
    let old = shown.replace(lines);
    let at = found_again(
        old.as_ref(),
        shown.as_ref(),
        &rows.filter,
        rows.list.selected,
    );
    rows.list.follow(at);
}

/// Where the selected line is among others, of those that a filter lets through.
fn found_again(old: Option<&Lines>, new: Option<&Lines>, filter: &str, selected: usize) -> usize {
    let old = passing(old, filter);
    let new = passing(new, filter);
    let last = new.len().saturating_sub(1);
    let Some(line) = old.get(selected).filter(|_| selected + 1 < old.len()) else {
        return last;
    };
    // A write may print several lines: they have one position.
    let same = |other: &&&Line| other.position == line.position;
    let nth = old[..selected].iter().rev().take_while(same).count();
    let mut again = new.iter().enumerate().filter(|(_, l)| same(l));
    let again = again.nth(nth).map(|(at, _)| at);
    again.unwrap_or_else(|| new.partition_point(|l| l.tick < line.tick).min(last))
}

fn passing<'l>(lines: Option<&'l Lines>, filter: &str) -> Vec<&'l Line> {
    let all = lines.iter().flat_map(|l| &l.lines);
    filtered(filter, all, |l| l.searched())
}
