//! From keys and the mouse to what they do.

use crate::bookmarks;
use crate::data::{FORMATS, Message};
use crate::event::{Effect, Key, Request, To};
use crate::keys::{self, Action, COMMANDS};
use crate::layout;
use crate::panes::{self, Pane};
use crate::prompt::{Ask, Choice, Prompt};
use crate::state::{Held, Overlay, Place, State, View};
use crate::stops;
use crate::timeline;

/// A key.
pub fn key(state: &mut State, key: Key) -> Vec<Effect> {
    state.message = None;
    if key == Key::Ctrl('c') {
        return quit(state);
    }
    let key = match state.prompt {
        // What is typed is text.
        Some(_) => key,
        None => state.keymap.meant(key),
    };
    if key == Key::Ctrl('z') {
        return vec![Effect::Suspend];
    }
    if state.prompt.is_some() {
        return in_prompt(state, key);
    }
    match state.overlay {
        Some(Overlay::Help(from)) => {
            state.overlay = in_help(state, from, key).map(Overlay::Help);
            return Vec::new();
        }
        Some(Overlay::Tour) => {
            state.overlay = None;
            // The other keys do what they do without it.
            if matches!(key, Key::Esc | Key::Char(' ')) {
                return Vec::new();
            }
        }
        None => {}
    }
    if key == Key::Esc {
        return escape(state);
    }
    if state.view == View::Recording
        && state.pane == Pane::Memory
        && let Some(effects) = panes::in_memory(state, key)
    {
        return effects;
    }
    match keys::find(state.view, key) {
        Some(action) => act(state, action),
        None => {
            let text = "this key does nothing here; ? shows what keys do".to_owned();
            state.message = Some((text, false));
            Vec::new()
        }
    }
}

/// The row from which on help is shown then; none if the key closes it.
fn in_help(state: &State, from: usize, key: Key) -> Option<usize> {
    let page = usize::from(layout::body(state).height).max(3) - 2;
    Some(match key {
        Key::Down | Key::Char('j') => from + 1,
        Key::Up | Key::Char('k') => from.saturating_sub(1),
        Key::PageDown | Key::Ctrl('d') | Key::Char(' ') => from + page,
        Key::PageUp | Key::Ctrl('u') => from.saturating_sub(page),
        Key::Home | Key::Char('g') => 0,
        // What is too far is the last page.
        Key::End | Key::Char('G') => usize::MAX,
        _ => return None,
    })
}

/// What is being worked at is given up; else a filter.
fn escape(state: &mut State) -> Vec<Effect> {
    if state.busy().is_some() {
        return state.cancel();
    }
    state.refilter(String::new())
}

fn quit(state: &mut State) -> Vec<Effect> {
    state.over = true;
    vec![Effect::Quit]
}

/// Does something.
pub fn act(state: &mut State, action: Action) -> Vec<Effect> {
    match action {
        Action::Show(view) => show(state, view),
        Action::Next => neighbour(state, 1),
        Action::Previous => neighbour(state, View::ALL.len() - 1),
        Action::Rows(by) => move_by(state, by.into()),
        Action::Pages(by) => {
            let height = i64::from(layout::list(state).height).max(2) - 1;
            move_by(state, i64::from(by) * height)
        }
        Action::Top => move_by(state, i64::MIN / 2),
        Action::Bottom => move_by(state, i64::MAX / 2),
        Action::Enter => enter(state),
        Action::Back => back(state),
        Action::Filter => {
            let filter = state.list().map(|rows| rows.filter.clone());
            state.prompt = filter.map(|text| Prompt {
                about: text.clone(),
                ..Prompt::new(Ask::Filter, &text)
            });
            Vec::new()
        }
        Action::Format => {
            match state.view {
                View::Recording => state.units = state.units.next(),
                _ => state.format = (state.format + 1) % FORMATS.len(),
            }
            Vec::new()
        }
        Action::Blame => blame(state),
        Action::Goto => prompt(state, Ask::Position, ""),
        Action::Memory => {
            state.prompt = Some(Prompt {
                proposed: true,
                ..Prompt::new(Ask::Memory, &state.memory)
            });
            Vec::new()
        }
        Action::Code => {
            state.code = !state.code;
            state.cursor = None;
            Vec::new()
        }
        Action::Pane => {
            state.pane = state.pane.next();
            Vec::new()
        }
        Action::Step(mut motion) => {
            motion.frame = state.frame;
            // Keys that are held down do not pile up.
            if state.travels() {
                return Vec::new();
            }
            match &state.picture {
                Some(p) => {
                    let from = p.position.clone();
                    state.ask(Request::Move(from, motion, state.look()))
                }
                None => nowhere(state),
            }
        }
        Action::Run(way) => stops::run(state, way),
        Action::Race(way) => state.find_race(way),
        Action::Widen(more) => state.widen(more),
        Action::Break => stops::toggle(state),
        Action::Watch => stops::watch(state),
        Action::Stops => stops::list(state),
        Action::Message(to) => message(state, to),
        Action::Expression => expressions(state),
        Action::Mark => bookmarks::ask(state),
        Action::Bookmarks => bookmarks::list(state),
        Action::ZoomIn => timeline::zoom(state, 1, 2),
        Action::ZoomOut => timeline::zoom(state, 2, 1),
        Action::Pan(by) => timeline::pan(state, by),
        Action::Arrows => state.toggle_arrows(),
        Action::Fit => {
            state.zoom = None;
            Vec::new()
        }
        Action::Only => {
            state.only = !state.only;
            state.aim_at_event();
            state.load_view()
        }
        Action::Help => {
            state.overlay = Some(Overlay::Help(0));
            Vec::new()
        }
        Action::Unsplit => {
            state.split = state.split.undone();
            Vec::new()
        }
        Action::Arrange(layout) => {
            state.arrange(layout);
            Vec::new()
        }
        Action::NextLayout => {
            state.arrange(state.split.layout.next());
            Vec::new()
        }
        Action::Tour => {
            state.overlay = Some(Overlay::Tour);
            Vec::new()
        }
        Action::Palette => {
            let mut prompt = Prompt::new(Ask::Command, "");
            prompt.choices = commands(state, "");
            prompt.chosen = Some(0);
            state.prompt = Some(prompt);
            Vec::new()
        }
        Action::Theme => {
            state.theme.light = !state.theme.light;
            Vec::new()
        }
        Action::Suspend => vec![Effect::Suspend],
        Action::Quit => quit(state),
    }
}

fn show(state: &mut State, view: View) -> Vec<Effect> {
    state.view = view;
    state.load_view()
}

fn neighbour(state: &mut State, by: usize) -> Vec<Effect> {
    let at = View::ALL.iter().position(|&v| v == state.view).unwrap_or(0);
    show(state, View::ALL[(at + by) % View::ALL.len()])
}

fn move_by(state: &mut State, rows: i64) -> Vec<Effect> {
    let len = state.count();
    if state.view == View::Recording && state.pane == Pane::Variables {
        state.variable.move_by(rows, len);
    } else if state.view == View::Recording && state.pane == Pane::Source {
        let mut rows_of = crate::list::List {
            selected: state.cursor.unwrap_or_else(|| state.source_rows().1),
            top: 0,
        };
        rows_of.move_by(rows, len);
        state.cursor = Some(rows_of.selected);
    } else if let Some(list) = state.list() {
        list.list.move_by(rows, len);
    } else {
        state.variable.selected = 0;
        state.cursor = None;
        let at = i64::try_from(state.frame).unwrap_or(0).saturating_add(rows);
        state.frame = usize::try_from(at.max(0))
            .unwrap_or(0)
            .min(len.saturating_sub(1));
    }
    Vec::new()
}

pub fn nowhere(state: &mut State) -> Vec<Effect> {
    let text = "no position yet: choose a row of another view with Enter, or type one with @";
    state.message = Some((text.to_owned(), false));
    Vec::new()
}

fn prompt(state: &mut State, ask: Ask, text: &str) -> Vec<Effect> {
    state.prompt = Some(Prompt::new(ask, text));
    Vec::new()
}

/// Asks for an expression; those that are shown can be chosen, to be removed.
fn expressions(state: &mut State) -> Vec<Effect> {
    let mut prompt = Prompt::new(Ask::Expression, "");
    let choice = |text: &String| Choice {
        value: text.clone(),
        text: text.clone(),
        key: String::new(),
        at: None,
    };
    prompt.choices = state.expressions.iter().map(choice).collect();
    state.prompt = Some(prompt);
    Vec::new()
}

/// Asks for a place; what the recording has just accessed is there to choose.
fn blame(state: &mut State) -> Vec<Effect> {
    let in_memory = matches!(state.pane, Pane::Variables | Pane::Memory);
    if state.view == View::Recording && in_memory {
        return match state.pointed() {
            Some(place) => search(state, place),
            None => {
                let text = "this is in no memory: there is no history of it";
                state.message = Some((text.to_owned(), false));
                Vec::new()
            }
        };
    }
    let mut prompt = Prompt::new(Ask::Blame, "");
    // What is selected among the processes counts there, wherever one was before.
    let selected = match state.view {
        View::System => {
            let processes = state.processes();
            let process = processes.get(state.system.list.selected);
            process.map(|p| (p.id, p.span.1))
        }
        _ => None,
    };
    let shown = state.picture.as_ref().map(|p| (p.recording, p.tick));
    let Some((recording, tick)) = selected.or(shown) else {
        "Where a process is shown, what it has accessed is offered".clone_into(&mut prompt.note);
        state.prompt = Some(prompt);
        return Vec::new();
    };
    state.prompt = Some(prompt);
    state.ask(Request::Near(recording, tick))
}

/// Shows who accessed a place, as seen from here.
fn search(state: &mut State, place: String) -> Vec<Effect> {
    remember(state);
    state.view = View::History;
    let from = state.picture.as_ref().map(|p| p.position.clone());
    state.ask(Request::Blame(place, from))
}

/// So that one can return here.
pub fn remember(state: &mut State) {
    /// Nobody goes back so often.
    const MOST: usize = 200;
    if state.back.len() == MOST {
        state.back.remove(0);
    }
    let history = state.history.as_ref().map(std::sync::Arc::clone);
    state.back.push(Place {
        view: state.view,
        position: state.picture.as_ref().map(|p| p.position.clone()),
        history: history.map(|history| (history, state.accesses.clone())),
    });
}

/// The position that the selected row means.
fn target(state: &State) -> Option<String> {
    Some(match state.view {
        View::System => {
            let processes = state.processes();
            let process = processes.get(state.system.list.selected)?;
            format!("p{}@exit", process.id)
        }
        View::Recording => return None,
        View::History => {
            let rows = state.rows();
            rows.get(state.accesses.list.selected)?.position.clone()
        }
        View::Console => {
            let lines = state.lines(View::Console);
            lines.get(state.printed.list.selected)?.position.clone()
        }
        View::Events => {
            let lines = state.lines(View::Events);
            lines.get(state.happened.list.selected)?.position.clone()
        }
    })
}

/// The position that is shown, or that of the selected row.
pub fn here(state: &State) -> Option<String> {
    match state.view {
        View::Recording => state.picture.as_ref().map(|p| p.position.clone()),
        _ => target(state),
    }
}

/// Looks for an event that has to do with another recording.
fn message(state: &mut State, to: To) -> Vec<Effect> {
    match here(state) {
        Some(_) if state.travels() => Vec::new(),
        Some(position) => state.ask(Request::Message(position, to)),
        None => nowhere(state),
    }
}

/// Goes there; of several ends, one is to be chosen.
pub fn go_to_message(state: &mut State, found: Vec<Message>, asked: &Request) -> Vec<Effect> {
    let peer = matches!(asked, Request::Message(_, To::Peer));
    if let [message] = &found[..] {
        state.message = Some((message.text.clone(), false));
        let position = message.position.clone();
        if peer {
            return visit(state, position);
        }
        return state.ask(Request::Visit(position, state.look()));
    }
    let mut prompt = Prompt::new(Ask::Peer, "");
    let choice = |message: Message| Choice {
        value: message.position,
        text: message.text,
        key: String::new(),
        at: None,
    };
    prompt.choices = found.into_iter().map(choice).collect();
    prompt.chosen = Some(0).filter(|_| !prompt.choices.is_empty());
    if state.prompt.is_none() {
        state.prompt = Some(prompt);
    }
    Vec::new()
}

fn enter(state: &mut State) -> Vec<Effect> {
    match target(state) {
        Some(position) => visit(state, position),
        None if state.view == View::Recording && state.pane == Pane::Source => stops::toggle(state),
        // The memory of a variable.
        None if state.view == View::Recording && state.pane == Pane::Variables => {
            let selected = state.variables().get(state.variable.selected);
            match selected.and_then(|v| v.place) {
                Some((addr, _)) => {
                    state.byte = 0;
                    state.look_at(format!("{addr:#x}"))
                }
                None => Vec::new(),
            }
        }
        None => Vec::new(),
    }
}

/// Goes to a position, and remembers where one was.
pub fn visit(state: &mut State, position: String) -> Vec<Effect> {
    remember(state);
    state.view = View::Recording;
    state.visits = true;
    state.ask(Request::Visit(position, state.look()))
}

fn back(state: &mut State) -> Vec<Effect> {
    let Some(place) = state.back.pop() else {
        state.message = Some(("this is where you began".to_owned(), false));
        return Vec::new();
    };
    state.view = place.view;
    if let Some((history, rows)) = place.history {
        (state.history, state.accesses) = (Some(history), rows);
    }
    let now = state.picture.as_ref().map(|p| &p.position);
    match place.position {
        Some(position) if Some(&position) != now => {
            state.ask(Request::Visit(position, state.look()))
        }
        _ => state.load_view(),
    }
}

/// A command that has a place behind it.
const BREAK: &str = "break ";

/// The commands that have the characters, best first.
fn commands(state: &State, pattern: &str) -> Vec<Choice> {
    // What is typed behind this word is no search.
    if let Some(place) = pattern.trim_start().strip_prefix(BREAK) {
        return vec![Choice {
            value: format!("{BREAK}{}", place.trim()),
            text: format!(
                "Set a breakpoint at {place} (FILE:LINE, FUNCTION or 0xADDRESS), or clear it"
            ),
            key: String::new(),
            at: None,
        }];
    }
    let here = COMMANDS
        .iter()
        .enumerate()
        .filter(|(_, c)| c.works_in(state.view) && c.action != Action::Palette);
    let mut found: Vec<(i32, usize)> = here
        .filter_map(|(n, c)| Some((c.fits(pattern)?, n)))
        .collect();
    found.sort_by_key(|&(score, n)| (-score, n));
    let choice = |&(_, n): &(i32, usize)| Choice {
        value: n.to_string(),
        text: COMMANDS[n].help.to_owned(),
        key: state.keymap.hint(COMMANDS[n].shown),
        at: None,
    };
    found.iter().map(choice).collect()
}

fn in_prompt(state: &mut State, key: Key) -> Vec<Effect> {
    let Some(prompt) = &mut state.prompt else {
        return Vec::new();
    };
    let leaves = key == Key::Esc || key == Key::Backspace && prompt.text.is_empty();
    if leaves {
        let filter = prompt.ask == Ask::Filter;
        state.prompt = None;
        return match filter {
            true => state.refilter(String::new()),
            false => Vec::new(),
        };
    }
    if key != Key::Enter {
        let text = prompt.text.clone();
        if key == Key::Delete && prompt.ask == Ask::Bookmarks {
            return bookmarks::remove(state);
        }
        prompt.edit(key);
        if prompt.text != text {
            let text = prompt.text.clone();
            match prompt.ask {
                Ask::Command => {
                    let choices = commands(state, &text);
                    if let Some(prompt) = &mut state.prompt {
                        prompt.chosen = Some(0).filter(|_| !choices.is_empty());
                        prompt.choices = choices;
                    }
                }
                Ask::Filter => return state.refilter(text),
                Ask::Bookmarks => {
                    let choices = bookmarks::choices(state, &text);
                    if let Some(prompt) = &mut state.prompt {
                        prompt.chosen = Some(0).filter(|_| !choices.is_empty());
                        prompt.choices = choices;
                    }
                }
                _ => {}
            }
        }
        return Vec::new();
    }
    let (ask, value) = (prompt.ask, prompt.value().to_owned());
    state.aim = prompt.aim();
    let about = std::mem::take(&mut prompt.about);
    state.prompt = None;
    match ask {
        Ask::Note => bookmarks::add(state, about, value),
        Ask::Filter => state.seek(about.trim() == value),
        _ => answer(state, ask, value),
    }
}

fn answer(state: &mut State, ask: Ask, value: String) -> Vec<Effect> {
    match ask {
        Ask::Blame if !value.is_empty() => {
            let place = state.variable_at(&value).unwrap_or(value);
            search(state, place)
        }
        Ask::Position | Ask::Bookmarks | Ask::Peer if !value.is_empty() => visit(state, value),
        Ask::Memory => {
            if state.picture.is_none() {
                return nowhere(state);
            }
            state.byte = 0;
            state.pane = Pane::Memory;
            let value = if value.is_empty() {
                "$rsp".to_owned()
            } else {
                value
            };
            state.look_at(value)
        }
        Ask::Expression if !value.is_empty() => {
            let old = state.expressions.len();
            state.expressions.retain(|text| *text != value);
            if state.expressions.len() == old {
                state.told = Some(value.clone());
                state.expressions.push(value);
            }
            state.variable = crate::list::List::default();
            state.look_again()
        }
        Ask::Stops if !value.is_empty() => stops::toggle_named(state, &value),
        Ask::Command if value.starts_with(BREAK) => {
            stops::toggle_named(state, value[BREAK.len()..].trim())
        }
        Ask::Command => match value.parse().ok().and_then(|n: usize| COMMANDS.get(n)) {
            Some(command) => act(state, command.action),
            None => {
                state.message = Some(("no command is called so".to_owned(), true));
                Vec::new()
            }
        },
        _ => Vec::new(),
    }
}

/// The button is pressed: that takes a border or the time line, or is a click.
pub fn press(state: &mut State, x: u16, y: u16) -> Vec<Effect> {
    (state.message, state.held) = (None, None);
    if state.prompt.take().is_some() || state.overlay.take().is_some() {
        return Vec::new();
    }
    if y == 0 {
        let hit = layout::tabs(state).into_iter().find(|t| t.1.contains(&x));
        return hit.map_or_else(Vec::new, |(view, _)| show(state, view));
    }
    state.held = match state.border(x, y) {
        Some(border) => Some(Held::Border(border)),
        None => state.grab(x, y).map(Held::Time),
    };
    match state.held {
        Some(_) => Vec::new(),
        None => click(state, x, y),
    }
}

/// The mouse, with the button held.
pub fn drag(state: &mut State, x: u16, y: u16) {
    match state.held {
        Some(Held::Border(border)) => state.move_border(border, x, y),
        Some(Held::Time(grabbed)) => state.drag_time(grabbed, x, y),
        None => {}
    }
}

/// It is let go: where it has not moved, that was a click.
pub fn release(state: &mut State) -> Vec<Effect> {
    match state.held.take() {
        Some(Held::Time(grabbed)) if !grabbed.moved => {
            let (x, y) = grabbed.at;
            click(state, x, y)
        }
        _ => Vec::new(),
    }
}

/// A click selects a row; one on the selected row goes there.
fn click(state: &mut State, x: u16, y: u16) -> Vec<Effect> {
    if state.view == View::Recording {
        return in_recording(state, x, y);
    }
    let area = layout::list(state);
    let inside = (area.x..area.right()).contains(&x) && (area.y..area.bottom()).contains(&y);
    if !inside {
        return Vec::new();
    }
    let row = usize::from(y - area.y);
    let len = state.count();
    if let Some(rows) = state.list() {
        let at = rows.list.top + row;
        if at >= len {
            return Vec::new();
        }
        if rows.list.selected == at {
            return enter(state);
        }
        rows.list.select(at, len);
    }
    Vec::new()
}

/// A click selects a function, a variable or a byte; a second one on a variable shows
/// its memory.
fn in_recording(state: &mut State, x: u16, y: u16) -> Vec<Effect> {
    let at = ratatui::layout::Position { x, y };
    let panes = layout::recording(state);
    let row = |area: ratatui::layout::Rect| usize::from(y.saturating_sub(area.y + 1));
    let Some(picture) = &state.picture else {
        return Vec::new();
    };
    let frames = picture.frames.len();
    if panes.stack.contains(at) {
        let top = layout::stack_top(state);
        state.pane = Pane::Stack;
        state.cursor = None;
        state.variable.selected = 0;
        state.frame = (top + row(panes.stack)).min(frames.saturating_sub(1));
    } else if panes.variables.contains(at) {
        let (old, was) = (state.variable.selected, state.pane);
        state.pane = Pane::Variables;
        let len = state.variables().len();
        state
            .variable
            .select(state.variable.top + row(panes.variables), len);
        if was == Pane::Variables && state.variable.selected == old {
            return enter(state);
        }
    } else if panes.source.contains(at) {
        return in_source(state, panes.source, y);
    } else if panes.memory.contains(at) {
        state.pane = Pane::Memory;
        let top = layout::memory_top(state);
        if let Some(column) = layout::byte_at(state.units, x.saturating_sub(panes.memory.x)) {
            state.byte = (top + row(panes.memory)) * state.units.row() as usize + column;
        }
    }
    Vec::new()
}

/// A click selects a line of source; a second one sets or clears a breakpoint there.
fn in_source(state: &mut State, area: ratatui::layout::Rect, y: u16) -> Vec<Effect> {
    let (old, was) = (state.cursor, state.pane);
    state.pane = Pane::Source;
    let frame = state
        .picture
        .as_ref()
        .and_then(|p| p.frames.get(state.frame));
    let source = frame.and_then(|f| f.source.as_ref());
    // Behind a warning of several lines, rows are elsewhere.
    let moved = !state.code && source.is_some_and(|s| s.problem.is_some());
    let area = layout::below(area, 1);
    if moved || y < area.y {
        return Vec::new();
    }
    let at = layout::source_top(state, area.height.into()) + usize::from(y - area.y);
    if at < state.source_rows().0 {
        state.cursor = Some(at);
    }
    match was == Pane::Source && state.cursor == old {
        true => stops::toggle(state),
        false => Vec::new(),
    }
}

/// The wheel moves by three rows.
pub fn scroll(state: &mut State, by: i8) -> Vec<Effect> {
    if let Some(Overlay::Help(n)) = state.overlay {
        let to = if by < 0 {
            n.saturating_sub(3)
        } else {
            n.saturating_add(3)
        };
        state.overlay = Some(Overlay::Help(to));
        return Vec::new();
    }
    move_by(state, i64::from(by) * 3)
}
