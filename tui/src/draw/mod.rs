//! Drawing: from the state to a screen, and nothing else.

mod arrows;
mod canvas;
mod history;
mod lines;
mod memory;
mod overlay;
mod prompt;
mod recording;
mod syntax;
mod system;
mod variables;

use crate::keys::{Action, COMMANDS, Command};
use crate::layout::{self, LEAST};
use crate::panes::Pane;
use crate::prompt::Ask;
use crate::state::{Overlay, State, View};
use canvas::{Canvas, wrap};
pub use overlay::last_of_help;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
#[cfg(test)]
pub use system::at as column_of;
pub use system::lanes;

/// Draws the state; tells where the terminal's cursor goes, if somewhere.
pub fn draw(state: &State, buffer: &mut Buffer) -> Option<(u16, u16)> {
    let (width, height) = (buffer.area.width, buffer.area.height);
    let mut canvas = Canvas::new(buffer, state.theme);
    let cursor = if width < LEAST.0 || height < LEAST.1 {
        too_small(&mut canvas, (width, height));
        None
    } else {
        whole(state, &mut canvas)
    };
    state.theme.reduce(buffer);
    cursor
}

fn too_small(canvas: &mut Canvas<'_>, (width, height): (u16, u16)) {
    let (columns, rows) = LEAST;
    let lines = [
        format!("{width}x{height} is too small"),
        format!("at least {columns}x{rows}"),
        "q quits".to_owned(),
    ];
    for (y, line) in (0..height).zip(&lines) {
        canvas.text(0, y, width, line, Style::new());
    }
}

fn whole(state: &State, canvas: &mut Canvas<'_>) -> Option<(u16, u16)> {
    head(state, canvas);
    let body = layout::body(state);
    match state.view {
        View::System => system::draw(state, canvas, body),
        View::Recording => recording::draw(state, canvas, body),
        View::History => history::draw(state, canvas, body),
        View::Console | View::Events => lines::draw(state, canvas, body),
    }
    match state.overlay {
        Some(Overlay::Help(from)) => overlay::help(state, canvas, body, from),
        Some(Overlay::Tour) => overlay::tour(canvas, body),
        None => {}
    }
    let bottom = state.size.1 - 2;
    let cursor = match &state.prompt {
        Some(prompt) => Some(prompt::draw(canvas, prompt, bottom)),
        None => {
            message(state, canvas, bottom);
            None
        }
    };
    keys(state, canvas, bottom + 1);
    cursor
}

/// The first line: views, and where one is.
fn head(state: &State, canvas: &mut Canvas<'_>) {
    let theme = canvas.theme;
    canvas.text(1, 0, 4, "orch", theme.bold());
    let mut end = 6;
    for ((view, columns), number) in layout::tabs(state).into_iter().zip(1..) {
        let name = match state.size.0 < 72 {
            true => view.name().get(..3).unwrap_or_default(),
            false => view.name(),
        };
        let width = columns.end - columns.start;
        let style = match view == state.view {
            true => theme.here(),
            false => Style::new(),
        };
        canvas.fill(Rect::new(columns.start, 0, width, 1), style);
        canvas.text(columns.start + 1, 0, 1, &number.to_string(), theme.dim());
        canvas.text(columns.start + 3, 0, width, name, style);
        end = columns.end;
    }
    let room = state.size.0.saturating_sub(end + 2);
    let mut taken = 0;
    if let Some(picture) = &state.picture {
        let style = theme.recording(picture.recording);
        canvas.right(0, room, &picture.position, style.patch(theme.bold()));
        taken = canvas::width(&picture.position) + 2;
    }
    if state.is_live() {
        let room = room.saturating_sub(taken);
        // Where there is no room for the word, the sign says it.
        let text = ["recording…", "●"]
            .into_iter()
            .find(|t| canvas::width(t) <= room);
        let text = text.unwrap_or_default();
        let x = state.size.0.saturating_sub(taken + canvas::width(text) + 1);
        canvas.text(x, 0, room, text, theme.warn());
    }
}

/// What is being worked at, or what there is to tell.
fn message(state: &State, canvas: &mut Canvas<'_>, y: u16) {
    let (theme, width) = (canvas.theme, canvas.width());
    let message = state.message.clone();
    let idle = state.busy().is_none();
    let whole = || Some((variables::whole(state).filter(|_| idle)?, false));
    if let Some((text, bad)) = message.or_else(whole) {
        let style = if bad { theme.bad() } else { theme.dim() };
        // Of a long text, its end may be what helps.
        let lines = wrap(&text, width.saturating_sub(2));
        let first = (y + 1).saturating_sub(u16::try_from(lines.len()).unwrap_or(1).min(8));
        let skipped = lines.len().saturating_sub(8);
        for (y, line) in (first..=y).zip(&lines[skipped..]) {
            canvas.fill(Rect::new(0, y, width, 1), Style::reset());
            canvas.blank(Rect::new(0, y, width, 1));
            canvas.text(1, y, width - 1, line, style);
        }
        return;
    }
    let Some(pending) = state.busy() else {
        return;
    };
    let note = pending.request.note();
    let progress = match pending.progress.as_str() {
        "" => String::new(),
        text => format!(", {text}"),
    };
    canvas.text(
        1,
        y,
        width - 1,
        &format!("{note}{progress} … Esc cancels"),
        theme.warn(),
    );
}

/// The last line: the keys that work now. What does not fit is left out, whole: the way out
/// is not among the last.
fn keys(state: &State, canvas: &mut Canvas<'_>, y: u16) {
    let mut all: Vec<(&str, &str)> = match (&state.prompt, state.overlay) {
        (Some(prompt), _) => match prompt.ask {
            Ask::Filter => vec![("Enter", "keep"), ("Esc", "show all again")],
            Ask::Command => vec![("Enter", "do it"), ("↑/↓", "choose"), ("Esc", "close")],
            Ask::Note => vec![("Enter", "keep"), ("Esc", "do not")],
            Ask::Bookmarks => vec![
                ("Enter", "go"),
                ("Esc", "close"),
                ("↑/↓", "choose"),
                ("Del", "remove"),
            ],
            Ask::Stops | Ask::Expression => {
                vec![("Enter", "add"), ("Esc", "close"), ("↑/↓ Enter", "remove")]
            }
            _ => vec![("Enter", "go"), ("↑/↓", "choose"), ("Esc", "close")],
        },
        (None, Some(Overlay::Help(_))) => {
            vec![("↑/↓", "scroll"), ("PgDn/PgUp", "page"), ("Esc", "close")]
        }
        (None, Some(Overlay::Tour)) => vec![("any key", "begin, with what it does")],
        (None, None) => Vec::new(),
    };
    if state.prompt.is_none() && state.overlay.is_none() && in_pane(state) {
        all = pane_keys(state.pane);
    }
    if all.is_empty() {
        let here = COMMANDS.iter().filter(|c| does_something(state, c));
        all = here
            .filter(|c| !c.label.is_empty())
            .map(|c| (c.shown, c.label))
            .collect();
        if !state.filter().is_empty() {
            all.insert(0, ("Esc", "show all"));
        }
        if state.busy().is_some() {
            all.insert(0, ("Esc", "cancel"));
        }
    }
    let hints: Vec<String> = match state.prompt {
        Some(_) => all.iter().map(|key| key.0.to_owned()).collect(),
        None => all.iter().map(|key| state.keymap.hint(key.0)).collect(),
    };
    let all: Vec<(&str, &str)> = hints.iter().zip(&all).map(|(h, k)| (&h[..], k.1)).collect();
    // Those of a view end with the way out; those of what covers it begin with it.
    let covered = state.prompt.is_some() || state.overlay.is_some();
    canvas.keys(y, &all, if covered { 0 } else { 3 });
}

/// Whether a command does something as things are.
fn does_something(state: &State, command: &Command) -> bool {
    let for_picture = command.views == [View::Recording];
    command.works_in(state.view)
        && (command.action != Action::Back || !state.back.is_empty())
        && (!for_picture || state.picture.is_some())
}

/// Whether the cursor is in a part of the recording view where keys mean something else.
fn in_pane(state: &State) -> bool {
    state.view == View::Recording && state.pane != Pane::Stack && state.busy().is_none()
}

fn pane_keys(pane: Pane) -> Vec<(&'static str, &'static str)> {
    let (first, step) = match pane {
        Pane::Memory => (("←↓↑→", "byte"), ("s/S", "instr")),
        Pane::Source => (("↓/↑", "line"), ("←/→", "instr")),
        _ => (("↓/↑", "variable"), ("←/→", "instr")),
    };
    let (ask, stop) = match pane {
        Pane::Source => (("B", "breakpoint"), ("L", "list")),
        _ => (("b", "who wrote this?"), ("W", "watch")),
    };
    vec![
        first,
        ask,
        stop,
        ("c/C", "run"),
        ("w", "pane"),
        ("Bksp", "return"),
        ("m", "memory"),
        ("n/N", "line"),
        step,
        ("e/E", "event"),
        (":", "commands"),
        ("?", "help"),
        ("q", "quit"),
    ]
}
