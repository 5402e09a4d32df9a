//! Filters of lists: what is selected stays so; and events that are searched in all of a
//! recording.

use crate::data::Lines;
use crate::event::{Effect, Request};
use crate::state::{State, View};

impl State {
    /// Which of all rows of the view's list its filter lets through.
    fn passing(&self) -> Vec<usize> {
        fn numbers<T>(all: &[T], passing: &[&T]) -> Vec<usize> {
            let mut passing = passing.iter().peekable();
            let mut numbers = Vec::new();
            for (n, row) in all.iter().enumerate() {
                if passing.next_if(|next| std::ptr::eq(**next, row)).is_some() {
                    numbers.push(n);
                }
            }
            numbers
        }
        let none = Vec::new;
        match self.view {
            View::System => self
                .overview
                .as_ref()
                .map_or_else(none, |o| numbers(&o.processes, &self.processes())),
            View::Recording => none(),
            View::History => self
                .history
                .as_ref()
                .map_or_else(none, |h| numbers(&h.rows, &self.rows())),
            View::Console => self
                .console
                .as_ref()
                .map_or_else(none, |l| numbers(&l.lines, &self.lines(View::Console))),
            View::Events => self
                .events
                .as_ref()
                .map_or_else(none, |l| numbers(&l.lines, &self.lines(View::Events))),
        }
    }

    /// What rows of the view's list must have.
    pub(crate) fn filter(&self) -> &str {
        match self.view {
            View::System => &self.system.filter,
            View::Recording => "",
            View::History => &self.accesses.filter,
            View::Console => &self.printed.filter,
            View::Events => &self.happened.filter,
        }
    }

    /// Another filter of the view's list. The row that is selected stays so, or else the next
    /// one that the filter lets through is.
    pub(crate) fn refilter(&mut self, text: String) -> Vec<Effect> {
        let before = self.passing();
        let Some(rows) = self.list() else {
            return Vec::new();
        };
        if rows.filter == text {
            return Vec::new();
        }
        let old = before.get(rows.list.selected).copied().or(rows.lost.take());
        rows.filter = text;
        let now = self.passing();
        let Some(rows) = self.list() else {
            return Vec::new();
        };
        match (old, now.len().checked_sub(1)) {
            (Some(old), Some(last)) => {
                let at = now.partition_point(|&n| n < old).min(last);
                rows.list.follow(at);
            }
            (old, _) => rows.lost = old,
        }
        match self.view {
            View::Events => self.no_longer_sought(),
            _ => Vec::new(),
        }
    }

    /// In place of what was found in all events, those around the selected one are shown.
    fn no_longer_sought(&mut self) -> Vec<Effect> {
        if self.sought.take().is_none() {
            return Vec::new();
        }
        self.aim_at_event();
        let (recording, tick) = self.events_wanted();
        self.events_of = Some((recording, tick));
        let tick = self.event.map_or(tick, |(_, tick)| tick);
        self.ask(Request::Events(recording, tick))
    }

    /// The event that is selected is to be so among others.
    pub(crate) fn aim_at_event(&mut self) {
        let lines = self.lines(View::Events);
        let line = lines.get(self.happened.list.selected);
        let event = line.map(|line| (line.recording, line.tick));
        self.event = event;
    }

    /// Searches all events for what the filter wants, where none of those that were read has
    /// it, or the user asks once more.
    pub(crate) fn seek(&mut self, again: bool) -> Vec<Effect> {
        let filter = self.happened.filter.trim().to_owned();
        let is_part = self.events.as_ref().is_some_and(|events| events.part);
        let is_wanted = again || self.lines(View::Events).is_empty();
        if filter.is_empty() || !is_part || !is_wanted || self.view != View::Events {
            return Vec::new();
        }
        let (recording, tick) = self.events_wanted();
        self.ask(Request::Seek(recording, tick, filter))
    }

    /// All events that the filter wants; where there are none, those that were read stay.
    pub(crate) fn set_sought(&mut self, asked: &Request, lines: Lines) {
        let Request::Seek(_, tick, filter) = asked else {
            return;
        };
        // It may be another one by now.
        if self.happened.filter.trim() != filter {
            return;
        }
        self.sought = Some(filter.clone());
        if !lines.lines.is_empty() {
            let at = lines.lines.partition_point(|line| line.tick < *tick);
            self.happened.list.selected = at.min(lines.lines.len() - 1);
            self.events = Some(lines);
        }
    }

    /// Selects the event that was selected before, or else that at the cursor.
    pub(crate) fn follow(&mut self) {
        let wanted = self.event.take();
        let cursor = self.picture.as_ref().map(|p| (p.recording, p.tick));
        let cursor = cursor.filter(|_| self.happened.filter.is_empty());
        let lines = self.lines(View::Events);
        let at = match (wanted, cursor) {
            (Some((recording, tick)), _) => {
                let same = |l: &&crate::data::Line| (l.recording, l.tick) == (recording, tick);
                let next = || lines.partition_point(|l| l.tick < tick);
                Some(lines.iter().position(same).unwrap_or_else(next))
            }
            (None, Some((recording, tick))) => lines
                .iter()
                .rposition(|l| l.recording == recording && l.tick <= tick),
            (None, None) => None,
        };
        if let Some(at) = at {
            self.happened.list.selected = at;
        }
    }
}
