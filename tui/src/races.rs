//! What orders the accesses of a history, which of them race, and histories of more bytes or
//! fewer.

use crate::data::{Access, History, Ordered};
use crate::event::{Effect, Request, Way};
use crate::state::State;
use std::sync::Arc;

/// Most bytes of a history: a page.
const MOST: u64 = 4096;

impl State {
    /// What orders the accesses that are shown; of a large session, only if that is `wanted`.
    pub(crate) fn ask_for_order(&mut self, wanted: bool) -> Vec<Effect> {
        let Some(history) = self.history.as_ref().filter(|h| h.bytes.is_some()) else {
            return Vec::new();
        };
        let request = Request::Order(history.asked.clone(), wanted);
        match wanted {
            true => self.ask(request),
            false => self.ask_quietly(request),
        }
    }

    /// It is known; none, if to find it would have taken long.
    pub(crate) fn set_order(&mut self, asked: &Request, found: Option<Vec<Option<Ordered>>>) {
        let Request::Order(place, _) = asked else {
            return;
        };
        let jump = self.race.take();
        let Some(history) = self.history.as_mut().filter(|h| h.asked == *place) else {
            return;
        };
        let Some(found) = found else { return };
        let history = Arc::make_mut(history);
        for (row, order) in history.rows.iter_mut().zip(found) {
            row.order = order;
        }
        history.ordered = true;
        if let Some(way) = jump {
            self.go_find_race(way);
        }
    }

    /// Selects an access that races with another one.
    pub(crate) fn find_race(&mut self, way: Way) -> Vec<Effect> {
        let Some(history) = &self.history else {
            return Vec::new();
        };
        if history.bytes.is_none() {
            self.tell("this is memory of one process alone: there are no races");
            return Vec::new();
        }
        if !history.ordered {
            self.race = Some(way);
            return self.ask_for_order(true);
        }
        self.go_find_race(way);
        Vec::new()
    }

    fn go_find_race(&mut self, way: Way) {
        let rows = self.rows();
        let at = self.accesses.list.selected;
        let races = |row: &Access| row.order.as_ref().is_some_and(|order| order.race);
        let found = match way {
            Way::On => {
                let behind = rows.iter().enumerate().skip(at + 1);
                behind.clone().find(|(_, row)| races(row)).map(|(n, _)| n)
            }
            Way::Back => {
                let mut until = rows.iter().take(at + 1).rev();
                let order = until.find(|row| races(row)).and_then(|r| r.order.as_ref());
                order.and_then(|o| rows.iter().rposition(|row| row.position == o.before))
            }
        };
        match found {
            Some(n) => self.accesses.list.selected = n,
            None if way == Way::On => self.tell("no later access is in a race"),
            None => self.tell("neither this access nor one before it is in a race"),
        }
    }

    /// A history of twice as many bytes, or of half, around the selected access.
    pub(crate) fn widen(&mut self, more: bool) -> Vec<Effect> {
        let history = self.history.as_deref();
        let Some((history, bytes)) = history.and_then(|h| Some((h, h.bytes.as_ref()?))) else {
            self.tell("only shared memory has bytes beside these that can be shown");
            return Vec::new();
        };
        let row = self.rows().get(self.accesses.list.selected).copied();
        let first = bytes.offset;
        let last = first.saturating_add(bytes.len.max(1) - 1);
        let (at, len) = match more {
            true => (first, (bytes.len + 1).next_power_of_two()),
            false => {
                let at = row.map_or(first, |row| row.offset.clamp(first, last));
                (at, bytes.len.next_power_of_two() / 2)
            }
        };
        if !(1..=MOST).contains(&len) {
            self.tell("these are all bytes that are shown at once, or the last one");
            return Vec::new();
        }
        // A block of that size, unless these bytes are in two of them.
        let start = at & !(len - 1);
        let len = if more { len.max(last - start + 1) } else { len };
        let place = format!("{}+{start:#x} {len}", bytes.object);
        let aim = row.map(|row| (row.recording, row.tick));
        let from = history.asked.1.clone();
        self.aim = aim;
        self.ask(Request::Blame(place, from))
    }

    fn tell(&mut self, text: &str) {
        self.message = Some((text.to_owned(), false));
    }

    /// Takes a history, and selects the access that was meant, or else the last one that is
    /// not behind what is shown.
    pub(crate) fn show_history(&mut self, mut history: History, asked: Request) -> Vec<Effect> {
        let cursor = self.picture.as_ref().map_or(u64::MAX, |p| p.tick);
        let aim = self.aim.take();
        let meant = |row: &Access| aim == Some((row.recording, row.tick));
        let until = history.rows.iter().rposition(meant);
        let until = until.or_else(|| history.rows.iter().rposition(|row| row.tick <= cursor));
        self.accesses = crate::state::Rows::default();
        self.accesses.list.selected = until.unwrap_or(history.rows.len().saturating_sub(1));
        if let Request::Blame(place, from) = asked {
            history.asked = (place, from);
        }
        self.history = Some(Arc::new(history));
        self.ask_for_order(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Bytes, Ordered};
    use crate::event::{Event, Key, Loaded};
    use crate::state::View;
    use crate::theme::Theme;

    #[test]
    fn a_search_that_is_given_up_leads_nowhere() {
        let mut state = State::new((120, 36), Theme::default());
        state.view = View::History;
        let rows = vec![Access::default(); 3];
        state.history = Some(Arc::new(History {
            bytes: Some(Bytes::default()),
            rows,
            ..History::default()
        }));
        let asked = state.on(Event::Key(Key::Char('r')));
        let Some(Effect::Ask(ticket, request)) = asked.first() else {
            panic!("races are searched: {asked:?}");
        };
        assert_eq!(state.busy().map(|p| &p.request), Some(request));
        let cancelled = state.on(Event::Key(Key::Esc));
        assert_eq!(cancelled, vec![Effect::Cancel(vec![*ticket])]);
        // They come in another way, later.
        let order = Ordered {
            race: true,
            ..Ordered::default()
        };
        let (found, asked) = (vec![None, Some(order), None], state.ask_for_order(false));
        let Some(Effect::Ask(ticket, _)) = asked.first() else {
            panic!("they are asked for: {asked:?}");
        };
        let _ = state.on(Event::Loaded(
            *ticket,
            Box::new(Loaded::Order(Ok(Some(found)))),
        ));
        assert!(state.history.as_ref().is_some_and(|h| h.ordered));
        assert_eq!(state.accesses.list.selected, 0);
    }
}
