//! Breakpoints and watchpoints: what keys do to them, and runs from one to the next.

use crate::data::{Stop, StopAt};
use crate::event::{Effect, Request, Way};
use crate::panes::Pane;
use crate::prompt::{Ask, Choice, Prompt};
use crate::state::State;

/// What the cursor is on in source or instructions, or the line of the selected function.
enum Spot {
    Line(String, u32),
    Address(u64),
}

impl State {
    /// The code that a breakpoint would be set on.
    fn spot(&self) -> Option<Spot> {
        let picture = self.picture.as_ref()?;
        let cursor = self.cursor.filter(|_| self.pane == Pane::Source);
        if self.code {
            let here = || picture.code.iter().position(|i| i.current);
            let at = cursor.or_else(here)?;
            return Some(Spot::Address(picture.code.get(at)?.addr));
        }
        let frame = picture.frames.get(self.frame)?;
        let Some(source) = &frame.source else {
            return Some(Spot::Address(frame.pc));
        };
        let line = cursor.and_then(|n| source.lines.get(n));
        let line = line.map_or(source.line, |l| l.0);
        Some(Spot::Line(source.file.clone(), line))
    }

    /// A stop that was found is one from now on.
    pub(crate) fn set_stop(&mut self, stop: Stop) {
        let here = self.picture.as_ref().map(|p| p.recording);
        let here = here.map(|id| (id, stop.addresses(id).count()));
        let text = match here {
            Some((id, 0)) => format!("breakpoint {}: no code of p{id}, but of others", stop.text),
            _ => format!("breakpoint {}; c runs to it, C backwards", stop.text),
        };
        self.message = Some((text, false));
        self.stops.retain(|old| old.text != stop.text);
        self.stops.push(stop);
    }

    /// Takes stops away; whether there were any.
    fn clear_stops(&mut self, is_it: impl Fn(&Stop) -> bool) -> bool {
        let gone: Vec<String> = self.stops.iter().filter(|s| is_it(s)).map(label).collect();
        self.stops.retain(|s| !is_it(s));
        if !gone.is_empty() {
            self.message = Some((format!("no {} any more", gone.join(", ")), false));
        }
        !gone.is_empty()
    }
}

/// What it is, in words.
fn label(stop: &Stop) -> String {
    match stop.at {
        StopAt::Code { .. } => format!("breakpoint {}", stop.text),
        StopAt::Memory { .. } => format!("watchpoint {}", stop.text),
    }
}

/// Sets or clears a breakpoint where the cursor is.
pub fn toggle(state: &mut State) -> Vec<Effect> {
    let id = state.picture.as_ref().map(|p| p.recording);
    let (Some(spot), Some(id)) = (state.spot(), id) else {
        let text = "no code is shown here; :break FILE:LINE sets a breakpoint anywhere";
        state.message = Some((text.to_owned(), false));
        return Vec::new();
    };
    let text = match &spot {
        Spot::Line(file, line) => format!("{file}:{line}"),
        Spot::Address(addr) => format!("{addr:#x}"),
    };
    let cleared = match spot {
        Spot::Line(file, line) => state.clear_stops(|s| s.is_at(&file, line)),
        Spot::Address(addr) => state.clear_stops(|s| s.addresses(id).any(|a| a == addr)),
    };
    match cleared {
        true => Vec::new(),
        false => state.ask(Request::Break(text, Some(id))),
    }
}

/// Sets or clears a breakpoint by its name.
pub fn toggle_named(state: &mut State, text: &str) -> Vec<Effect> {
    if state.clear_stops(|s| s.text == text) {
        return Vec::new();
    }
    let id = state.picture.as_ref().map(|p| p.recording);
    state.ask(Request::Break(text.to_owned(), id))
}

/// Watches the variable or byte under the cursor, or no longer.
pub fn watch(state: &mut State) -> Vec<Effect> {
    let Some((recording, addr, len)) = state.pointed_memory() else {
        let text = match state.pane {
            Pane::Variables => "this is in no memory: it cannot be watched",
            _ => "w puts the cursor on a variable or a byte; W there watches it",
        };
        state.message = Some((text.to_owned(), false));
        return Vec::new();
    };
    let at = StopAt::Memory {
        recording,
        addr,
        len,
    };
    if state.clear_stops(|s| s.at == at) {
        return Vec::new();
    }
    let others = state.stops.iter().filter_map(|s| match s.at {
        StopAt::Memory {
            recording: of,
            addr,
            len,
        } if of == recording => Some(words(addr, len)),
        _ => None,
    });
    let (used, needed) = (others.sum::<usize>(), words(addr, len));
    if used + needed > WORDS {
        let text = format!(
            "{len} bytes are too many to watch: the processor watches {WORDS} words of at most 8 \
             aligned bytes, and {used} are in use; L lists them"
        );
        state.message = Some((text, true));
        return Vec::new();
    }
    let name = state.variables().get(state.variable.selected);
    let name = name.filter(|_| state.pane == Pane::Variables);
    let place = format!("p{recording}:{addr:#x}");
    let text = match name {
        Some(variable) => format!("{} ({place}, {len} bytes)", variable.name),
        None => format!("{place} ({len} bytes)"),
    };
    state.message = Some((
        format!("watching {text}; c runs to the next change, C back before the last"),
        false,
    ));
    state.stops.push(Stop { text, at });
    Vec::new()
}

/// What a processor watches (Intel SDM volume 3, 18.2).
const WORDS: usize = 4;

/// Of how many aligned words some memory is made, as far as it matters.
fn words(addr: u64, len: u64) -> usize {
    let (mut at, mut left, mut words) = (addr, len, 0);
    while left > 0 && words <= WORDS {
        let fits = |size: &u64| at.is_multiple_of(*size) && *size <= left;
        let size = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
        (at, left, words) = (at.wrapping_add(size), left - size, words + 1);
    }
    words
}

/// Runs to the next stop, or the one before.
pub fn run(state: &mut State, way: Way) -> Vec<Effect> {
    // Keys that are held down do not pile up.
    if state.travels() {
        return Vec::new();
    }
    let Some(picture) = &state.picture else {
        return crate::act::nowhere(state);
    };
    let from = picture.position.clone();
    let look = state.look();
    crate::act::remember(state);
    state.ask(Request::Run(from, state.stops.clone(), way, look))
}

/// Lists them: one that is chosen is removed, one that is typed is added.
pub fn list(state: &mut State) -> Vec<Effect> {
    let mut prompt = Prompt::new(Ask::Stops, "");
    let choice = |stop: &Stop| Choice {
        value: stop.text.clone(),
        text: label(stop),
        key: String::new(),
        at: None,
    };
    prompt.choices = state.stops.iter().map(choice).collect();
    if prompt.choices.is_empty() {
        "There are none: B sets one where the cursor is, W watches a variable or a byte"
            .clone_into(&mut prompt.note);
    }
    state.prompt = Some(prompt);
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_memory() {
        for (addr, len, wanted) in [
            (0x1000, 8, 1),
            (0x1000, 32, 4),
            (0x1000, 33, 5),
            (0x1003, 8, 4),
            (0x1001, 1, 1),
            (u64::MAX, 8, 4),
        ] {
            assert_eq!(words(addr, len), wanted, "{addr:#x} {len}");
        }
    }
}
