//! A process at a position.

use super::canvas::{Canvas, width};
use super::syntax::{self, Language};
use super::{memory, variables};
use crate::data::{Picture, Source, Stop};
use crate::layout::{self, below};
use crate::panes::Pane;
use crate::split::Layout;
use crate::state::State;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws it.
pub fn draw(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let theme = canvas.theme;
    let Some(picture) = &state.picture else {
        canvas.rule(body, "A recording at a position", "");
        let text = match state.travels() {
            true => "The process is replayed to this position.",
            false => {
                "Choose a process in 1 System, a line in 4 Console or an access in 3 History \
                 with Enter, or press @ and type a position."
            }
        };
        let area = Rect::new(2, body.y + 2, body.width.saturating_sub(4), body.height - 2);
        canvas.wrapped(area, text, theme.dim());
        return;
    };
    let style = theme.recording(picture.recording).patch(theme.bold());
    let x = canvas.text(1, body.y, body.width, &picture.position, style);
    match state.split.layout {
        Layout::Code => context(canvas, state, picture, (x + 1, body.y)),
        Layout::Beside | Layout::Stacked => {
            canvas.text(x + 1, body.y, body.width, &picture.title, Style::new());
            canvas.text(1, body.y + 1, body.width - 1, &picture.event, theme.dim());
        }
    }
    let parts = layout::recording(state);
    if state.code {
        code(canvas, state, picture, parts.source);
    } else {
        source(canvas, state, picture, parts.source);
    }
    stack(canvas, state, picture, parts.stack);
    threads(canvas, picture, parts.threads);
    variables::draw(state, canvas, parts.variables);
    registers(canvas, state, picture, parts.registers);
    memory::draw(state, canvas, picture, parts.memory);
}

/// Where there is no stack: which function of it is shown, and what the process does.
fn context(canvas: &mut Canvas<'_>, state: &State, picture: &Picture, (x, y): (u16, u16)) {
    let (count, theme) = (picture.frames.len(), canvas.theme);
    let mut x = x;
    if let Some(frame) = picture.frames.get(state.frame) {
        let level = format!("{} of {count}", state.frame + 1);
        x = canvas.text(x, y, canvas.width(), &level, theme.dim()) + 1;
        x = canvas.text(x, y, canvas.width(), &frame.function, Style::new()) + 1;
    }
    canvas.text(x, y, canvas.width(), &picture.event, theme.dim());
}

fn source(canvas: &mut Canvas<'_>, state: &State, picture: &Picture, area: Rect) {
    let (frame, own) = (state.frame, state.pane == Pane::Source);
    let source = picture.frames.get(frame).and_then(|f| f.source.as_ref());
    let Some(source) = source else {
        canvas.pane(area, "Source", "", own);
        let text = match (&picture.hint, frame) {
            (Some(hint), 0) => hint.clone(),
            _ => "This function has no line: it was built without -g.".to_owned(),
        };
        let text = format!("{text}\nd shows its instructions, ↓ the caller's source.");
        let area = below(area, 2);
        let area = Rect::new(2, area.y, area.width.saturating_sub(4), area.height);
        canvas.wrapped(area, &text, canvas.theme.dim());
        return;
    };
    let (name, dir) = match source.file.rsplit_once('/') {
        Some((dir, name)) => (name, dir),
        None => (&source.file[..], ""),
    };
    canvas.pane(area, &format!("{name}:{}", source.line), dir, own);
    let mut area = below(area, 1);
    if let Some(problem) = &source.problem {
        let inside = Rect::new(2, area.y, area.width.saturating_sub(4), area.height);
        let used = canvas.wrapped(inside, problem, canvas.theme.warn());
        area = below(area, used);
    }
    source_lines(canvas, state, source, area);
}

fn source_lines(canvas: &mut Canvas<'_>, state: &State, source: &Source, area: Rect) {
    let theme = canvas.theme;
    let height = usize::from(area.height);
    let top = layout::source_top(state, height);
    let cursor = state.cursor.filter(|_| state.pane == Pane::Source);
    let last = source.lines.last().map_or(0, |l| l.0);
    let number_width = width(&last.to_string());
    let language = Language::of(&source.file);
    let mut inside = false;
    for (_, text) in source.lines.iter().take(top) {
        syntax::pieces(language, text, &mut inside);
    }
    let rows = source.lines.iter().enumerate().skip(top).take(height);
    for ((n, (number, text)), y) in rows.zip(area.y..) {
        let text = &text.replace('\t', "    ");
        let shift = number_width - width(&number.to_string());
        canvas.text(
            area.x + 3 + shift,
            y,
            number_width,
            &number.to_string(),
            theme.dim(),
        );
        let x = area.x + 5 + number_width;
        let room = area.right().saturating_sub(x + 1);
        canvas.text(x, y, room, text, Style::new());
        for (piece, kind) in syntax::pieces(language, text, &mut inside) {
            let from = width(&text[..piece.start]).min(room);
            let to = width(&text[..piece.end]).min(room);
            let style = syntax::style(theme, kind);
            canvas.fill(Rect::new(x + from, y, to - from, 1), style);
        }
        let row = Rect::new(area.x, y, area.width - 1, 1);
        let stops = state.stops.iter().any(|s| s.is_at(&source.file, *number));
        mark(
            canvas,
            row,
            stops,
            *number == source.line,
            cursor == Some(n),
        );
    }
}

/// Marks a line or instruction: a breakpoint, the current one, the cursor.
fn mark(canvas: &mut Canvas<'_>, row: Rect, stops: bool, here: bool, cursor: bool) {
    let theme = canvas.theme;
    if stops {
        canvas.text(row.x, row.y, 1, "●", theme.bad());
    }
    match (here, cursor) {
        (true, _) => {
            canvas.text(row.x + 1, row.y, 1, "▶", theme.key());
            canvas.fill(row, theme.here());
        }
        (false, true) => {
            canvas.text(row.x + 1, row.y, 1, "▷", theme.key());
            canvas.fill(row, theme.selected());
        }
        (false, false) => {}
    }
}

fn code(canvas: &mut Canvas<'_>, state: &State, picture: &Picture, area: Rect) {
    let theme = canvas.theme;
    let function = picture
        .code
        .iter()
        .find(|i| i.current)
        .map(|i| i.function.as_str());
    let own = state.pane == Pane::Source;
    canvas.pane(area, "Instructions", function.unwrap_or_default(), own);
    let area = below(area, 1);
    let height = usize::from(area.height);
    let top = layout::source_top(state, height);
    let cursor = state.cursor.filter(|_| own);
    let rows = picture.code.iter().enumerate().skip(top).take(height);
    for ((n, i), y) in rows.zip(area.y..) {
        let x = canvas.text(area.x + 3, y, 14, &format!("{:#x}", i.addr), theme.dim());
        let most = area.right().saturating_sub(x + 3);
        canvas.text(x + 2, y, most, &i.text, Style::new());
        let row = Rect::new(area.x, y, area.width - 1, 1);
        let is_it = |stop: &Stop| stop.addresses(picture.recording).any(|a| a == i.addr);
        let stops = state.stops.iter().any(is_it);
        mark(canvas, row, stops, i.current, cursor == Some(n));
    }
}

fn stack(canvas: &mut Canvas<'_>, state: &State, picture: &Picture, area: Rect) {
    if area.height == 0 {
        return;
    }
    let (theme, selected) = (canvas.theme, state.frame);
    let note = format!(
        "{} of {}",
        (selected + 1).min(picture.frames.len()),
        picture.frames.len()
    );
    canvas.pane(area, "Stack", &note, state.pane == Pane::Stack);
    let area = below(area, 1);
    let height = usize::from(area.height);
    let top = layout::stack_top(state);
    let shown = picture.frames.iter().enumerate().skip(top).take(height);
    for ((n, frame), y) in shown.zip(area.y..) {
        let level = format!("{n:>2}");
        let x = canvas.text(area.x + 2, y, 3, &level, theme.dim()) + 1;
        let x = canvas.text(
            x,
            y,
            area.right().saturating_sub(x + 1),
            &frame.function,
            Style::new(),
        ) + 2;
        let room = area.right().saturating_sub(x + 1);
        if room > 8 {
            let place = super::canvas::cut_front(&frame.place, room);
            canvas.text(x, y, room, &place, theme.dim());
        }
        if n == selected {
            canvas.fill(Rect::new(area.x, y, area.width, 1), theme.selected());
            canvas.text(area.x + 1, y, 1, "▶", theme.key());
        }
    }
    let y = area.y
        + u16::try_from(picture.frames.len())
            .unwrap_or(u16::MAX)
            .min(area.height);
    if let Some(cut) = picture.cut.as_ref().filter(|_| y < area.bottom()) {
        let most = area.width.saturating_sub(4);
        canvas.text(area.x + 3, y, most, &format!("… {cut}"), theme.dim());
    }
}

/// Where there are several; the one that runs first.
fn threads(canvas: &mut Canvas<'_>, picture: &Picture, area: Rect) {
    if area.height == 0 {
        return;
    }
    let theme = canvas.theme;
    canvas.rule(area, "Threads", &picture.threads.len().to_string());
    let area = below(area, 1);
    let mut all: Vec<_> = picture.threads.iter().collect();
    all.sort_by_key(|t| (!t.running, t.index));
    for (thread, y) in all.into_iter().zip(area.y..area.bottom()) {
        let style = if thread.running {
            theme.bold()
        } else {
            theme.dim()
        };
        let what = if thread.running { "runs " } else { "waits" };
        let text = format!("{:>2} {} {what} {}", thread.index, thread.tid, thread.place);
        canvas.text(area.x + 2, y, area.width.saturating_sub(3), &text, style);
    }
}

/// In columns; those that the last step changed are marked.
fn registers(canvas: &mut Canvas<'_>, state: &State, picture: &Picture, area: Rect) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let theme = canvas.theme;
    let before = state.before.as_ref().map(|p| &p.registers);
    let changed = |name: &str, value: u64| {
        let old = before.and_then(|b| b.iter().find(|r| r.0 == name));
        old.is_some_and(|old| old.1 != value)
    };
    let count = picture
        .registers
        .iter()
        .filter(|r| changed(r.0, r.1))
        .count();
    let note = match before {
        None => String::new(),
        Some(_) => format!("{count} changed (*)"),
    };
    let inside = below(area, 1);
    let rows = usize::from(inside.height).max(1);
    let columns = register_columns(&picture.registers, rows, inside.width);
    let shown = columns.len() * rows;
    let more = picture.registers.len().saturating_sub(shown);
    let note = match more {
        0 => note,
        _ => format!("{more} more; {note}")
            .trim_end_matches("; ")
            .to_owned(),
    };
    canvas.rule(area, "Registers", &note);
    let area = inside;
    for (n, (name, value, meaning)) in picture.registers.iter().enumerate() {
        let Some(&(from, wide)) = columns.get(n / rows) else {
            break;
        };
        let x = area.x + from;
        let y = area.y + u16::try_from(n % rows).unwrap_or(0);
        let is_new = changed(name, *value);
        let style = if is_new { theme.warn() } else { Style::new() };
        // The flags' name is longer; what they mean says more.
        let name = if *name == "rflags" { "flg" } else { name };
        canvas.text(x, y, 3, name, theme.dim());
        canvas.text(x + 3, y, 1, if is_new { "*" } else { " " }, style);
        let end = canvas.text(x + 4, y, 16, &format!("{value:x}"), style);
        let room = (x + wide).saturating_sub(end + 2);
        if room > 6 {
            canvas.text(end + 1, y, room, meaning, theme.dim());
        }
    }
}

/// Where columns of registers begin, and how wide they are: as many as are needed for so many
/// rows, but no more than there is room for.
fn register_columns(all: &[(&str, u64, String)], rows: usize, room: u16) -> Vec<(u16, u16)> {
    /// Of a name, its mark, and what is left free behind a value.
    const OTHER: u16 = 5;
    /// No column gets wider.
    const MOST: u16 = 60;
    let digits = |value: u64| u16::try_from(value.max(1).ilog(16) + 1).unwrap_or(16);
    let widest = |part: &[(&str, u64, String)]| part.iter().map(|r| digits(r.1)).max();
    let mut wide: Vec<u16> = all
        .chunks(rows)
        .map(|part| widest(part).unwrap_or(1) + OTHER)
        .collect();
    // The last one needs nothing behind it.
    while wide.len() > 1 && wide.iter().sum::<u16>() > room + 1 {
        wide.pop();
    }
    let count = u16::try_from(wide.len()).unwrap_or(1).max(1);
    // Where there is room for it, all have the same width: then a step moves none.
    if wide.iter().all(|&wide| wide <= room / count) {
        wide.fill(room / count);
    }
    let each = room.saturating_sub(wide.iter().sum()) / count;
    let mut at = 0;
    let columns = wide.into_iter().map(|wide| {
        let column = (at, (wide + each).min(MOST));
        at += column.1;
        column
    });
    columns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is in them, a blank is between a value and the next name.
        #[test]
        fn registers_do_not_touch(
            values in prop::collection::vec(prop_oneof![0..100_u64, any::<u64>()], 0..20),
            rows in 1..12_usize,
            room in 21..200_u16,
        ) {
            let all: Vec<_> = values.iter().map(|&v| ("rax", v, String::new())).collect();
            let columns = register_columns(&all, rows, room);
            for (n, value) in values.iter().enumerate() {
                let Some(&(from, wide)) = columns.get(n / rows) else {
                    break;
                };
                let end = from + 4 + width(&format!("{value:x}"));
                prop_assert!(end <= room);
                let next = columns.get(n / rows + 1);
                prop_assert!(next.is_none_or(|next| end < next.0 && from + wide <= next.0));
            }
            prop_assert!(all.is_empty() || !columns.is_empty());
        }
    }
}
