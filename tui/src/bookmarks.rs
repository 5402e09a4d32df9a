//! Positions that are kept with the session, and notes on them.

use crate::act;
use crate::data::{Bookmark, Change};
use crate::event::{Effect, Request};
use crate::list::filtered;
use crate::prompt::{Ask, Choice, Prompt};
use crate::state::State;

/// Asks for a note on the position that is shown, or selected.
pub fn ask(state: &mut State) -> Vec<Effect> {
    let Some(position) = act::here(state) else {
        return act::nowhere(state);
    };
    let old = state.bookmarks.iter().find(|b| b.position == position);
    let note = old.map_or_else(String::new, |b| b.note.clone());
    let mut prompt = Prompt::new(Ask::Note, &note);
    prompt.note = format!("Bookmark {position}");
    prompt.about = position;
    state.prompt = Some(prompt);
    Vec::new()
}

/// Keeps a position.
pub fn add(state: &mut State, position: String, note: String) -> Vec<Effect> {
    state.message = Some((format!("bookmark {position}; J lists all"), false));
    change(state, Change::Add(Bookmark { position, note }))
}

/// Makes a change, and asks for it to be saved with those that could not be yet.
fn change(state: &mut State, change: Change) -> Vec<Effect> {
    change.apply(&mut state.bookmarks);
    state.unsaved.push(change);
    let unsaved = state.unsaved.clone();
    state.ask(Request::Bookmarks(unsaved))
}

impl Change {
    /// Makes it.
    pub fn apply(&self, all: &mut Vec<Bookmark>) {
        match self {
            Self::Add(bookmark) => {
                let old = all.iter_mut().find(|b| b.position == bookmark.position);
                match old {
                    Some(old) => old.note.clone_from(&bookmark.note),
                    None => all.push(bookmark.clone()),
                }
            }
            Self::Remove(position) => all.retain(|b| b.position != *position),
        }
    }
}

/// Lists them: one that is chosen is gone to.
pub fn list(state: &mut State) -> Vec<Effect> {
    let mut prompt = Prompt::new(Ask::Bookmarks, "");
    prompt.choices = choices(state, "");
    prompt.chosen = Some(0).filter(|_| !prompt.choices.is_empty());
    if prompt.choices.is_empty() {
        "There are none: M keeps the position that is shown, or selected"
            .clone_into(&mut prompt.note);
    }
    state.prompt = Some(prompt);
    Vec::new()
}

/// Those that have some words.
pub fn choices(state: &State, filter: &str) -> Vec<Choice> {
    let widest = state.bookmarks.iter().map(|b| b.position.len()).max();
    let widest = widest.unwrap_or(0);
    let choice = |bookmark: &Bookmark| {
        let (position, note) = (&bookmark.position, &bookmark.note);
        Choice {
            value: position.clone(),
            text: format!("{position:<widest$}  {note}").trim_end().to_owned(),
            key: String::new(),
            at: None,
        }
    };
    let all = state.bookmarks.iter().map(choice);
    filtered(filter, all, |choice| choice.text.clone())
}

/// Removes the one that is chosen in the list.
pub fn remove(state: &mut State) -> Vec<Effect> {
    let Some(prompt) = &mut state.prompt else {
        return Vec::new();
    };
    let Some(chosen) = prompt.chosen.filter(|&n| n < prompt.choices.len()) else {
        return Vec::new();
    };
    let gone = prompt.choices.remove(chosen).value;
    let last = prompt.choices.len().checked_sub(1);
    prompt.chosen = last.map(|last| chosen.min(last));
    change(state, Change::Remove(gone))
}

impl State {
    /// The session has these.
    pub(crate) fn set_bookmarks(&mut self, all: Vec<Bookmark>) {
        self.bookmarks = all;
        self.unsaved.clear();
    }
}
