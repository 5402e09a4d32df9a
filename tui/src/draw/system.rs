//! All processes over time.

use super::canvas::{Canvas, Column, cut_front, widths};
use crate::data::{End, Process};
use crate::layout;
use crate::state::State;
use crate::timeline::shown;
use ratatui::layout::Rect;
use ratatui::style::Style;

const fn column(name: &'static str, most: u16, right: bool, from: u16) -> Column {
    Column {
        name,
        most,
        right,
        from,
    }
}

const COLUMNS: [Column; 5] = [
    column("RECORDING", 22, false, 0),
    column("PROGRAM", 18, false, 0),
    column("PID", 8, true, 100),
    column("EVENTS", 9, true, 140),
    column("ENDED", 20, false, 0),
];

const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Where shared memory was accessed.
const SHADES: [&str; 3] = ["░", "▒", "▓"];

/// What is in the lanes, as far as there is room to say so.
const LEGEND: [&str; 7] = [
    "▁▃▅█ events",
    "░▒▓ shared memory",
    "○┄▼ had from another",
    "! signal",
    "> exec",
    "✗ crash",
    "│ cursor",
];

/// The rows that are shown, and how they are divided.
struct Table<'s> {
    rows: Vec<&'s Process>,
    cells: Vec<Vec<String>>,
    widths: Vec<u16>,
    /// Behind the columns.
    lanes: Rect,
}

impl<'s> Table<'s> {
    fn of(state: &'s State) -> Self {
        let area = layout::list(state);
        let rows = state.processes().into_iter();
        let rows = rows.skip(state.system.list.top).take(area.height.into());
        let rows: Vec<&Process> = rows.collect();
        let mut cells: Vec<Vec<String>> = rows.iter().map(|p| cells(p)).collect();
        let mut widths = widths(&COLUMNS, &cells, area.width);
        // Of deep trees the id is left, and of tools that have the same beginning the end.
        for cells in &mut cells {
            for (cell, &wide) in cells.iter_mut().zip(&widths).take(2) {
                *cell = cut_front(cell, wide);
            }
        }
        let ends = cells.iter().map(|c| super::canvas::width(&c[4])).max();
        widths[4] = ends.unwrap_or(0).clamp(5, 20);
        let taken: u16 = widths.iter().filter(|&&w| w > 0).map(|w| w + 2).sum();
        let width = area.width.saturating_sub(taken + 3);
        Self {
            rows,
            cells,
            widths,
            lanes: Rect::new(2 + taken, area.y, width, area.height),
        }
    }
}

/// Where time is shown.
pub fn lanes(state: &State) -> Rect {
    Table::of(state).lanes
}

/// Draws it.
pub fn draw(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let theme = canvas.theme;
    let Some(overview) = &state.overview else {
        canvas.rule(body, "Session", "");
        return;
    };
    let (count, all) = (state.count(), overview.processes.len());
    let note = match count == all {
        true => overview.note.clone(),
        false => format!("filter “{}”: {count} of {all}", state.system.filter),
    };
    canvas.rule(body, &overview.command, &note);
    let area = layout::list(state);
    let Table {
        rows,
        cells,
        widths,
        lanes,
    } = Table::of(state);
    let heads: Vec<String> = COLUMNS.iter().map(|c| c.name.to_owned()).collect();
    let y = area.y - 1;
    canvas.row((2, y), &COLUMNS, &widths, &heads, |_| theme.dim());
    axis(state, canvas, Rect::new(lanes.x, y, lanes.width, 1));
    for (n, ((process, cells), y)) in rows.into_iter().zip(&cells).zip(area.y..).enumerate() {
        canvas.row((2, y), &COLUMNS, &widths, cells, |column| {
            match (column, process.end) {
                (0 | 1, _) => theme.recording(process.id),
                (4, End::Crashed | End::Damaged) => theme.bad(),
                (4, End::Failed | End::Killed) => theme.warn(),
                (4, End::Good) => Style::new(),
                _ => theme.dim(),
            }
        });
        lane(
            state,
            canvas,
            process,
            Rect::new(lanes.x, y, lanes.width, 1),
        );
        if state.system.list.top + n == state.system.list.selected {
            canvas.fill(Rect::new(0, y, body.width, 1), theme.selected());
            canvas.text(0, y, 1, "▶", theme.key());
        }
    }
    if count == 0 && all > 0 {
        let text = "no process has that; Esc shows all";
        canvas.text(2, area.y + 1, body.width, text, theme.dim());
    }
    super::arrows::draw(state, canvas, lanes);
    let last = area.y + u16::try_from(cells.len()).unwrap_or(area.height);
    if last < area.bottom() && lanes.width > 50 {
        let (mut x, y) = (lanes.x, area.bottom() - 1);
        for text in LEGEND {
            if x + super::canvas::width(text) <= lanes.right() {
                x = canvas.text(x, y, lanes.width, text, theme.dim()) + 3;
            }
        }
    }
}

fn cells(process: &Process) -> Vec<String> {
    vec![
        format!("{}p{}", process.branch, process.id),
        process.program.clone(),
        process.pid.map_or_else(String::new, |pid| pid.to_string()),
        process.events.to_string(),
        process.ending.clone(),
    ]
}

/// The column of a tick, if it is shown.
pub fn at(state: &State, area: Rect, tick: u64) -> Option<u16> {
    let (from, to) = shown(state);
    if area.width == 0 || tick < from || tick > to {
        return None;
    }
    let part =
        u128::from(tick - from) * u128::from(area.width - 1) / u128::from((to - from).max(1));
    Some(area.x + u16::try_from(part).unwrap_or(0))
}

/// Ticks above the lanes.
fn axis(state: &State, canvas: &mut Canvas<'_>, area: Rect) {
    let (from, to) = shown(state);
    let theme = canvas.theme;
    let (first, last) = (format!("@{from}"), format!("@{to}"));
    if area.width < 24 {
        return;
    }
    canvas.text(area.x, area.y, area.width, &first, theme.dim());
    let end = area.right().saturating_sub(super::canvas::width(&last));
    canvas.text(end, area.y, area.width, &last, theme.dim());
    let now = state.picture.as_ref().map(|p| p.tick);
    if let Some((now, x)) = now.and_then(|now| Some((now, at(state, area, now)?))) {
        let text = format!("@{now}");
        let wide = super::canvas::width(&text);
        let x = x.min(area.right().saturating_sub(wide));
        // Of another label, no part is left.
        let from = match x <= area.x + super::canvas::width(&first) {
            true => area.x,
            false => x - 1,
        };
        let to = if x + wide < end {
            x + wide + 1
        } else {
            area.right()
        };
        canvas.blank(Rect::new(from, area.y, to - from, 1));
        canvas.text(x, area.y, area.width, &text, theme.key());
    }
}

/// The life of a process, and how much it did when.
fn lane(state: &State, canvas: &mut Canvas<'_>, process: &Process, area: Rect) {
    let theme = canvas.theme;
    let (from, to) = shown(state);
    let (first, last) = process.span;
    let lane = state.lanes.as_ref().and_then(|l| {
        let found = l.lanes.iter().find(|lane| lane.recording == process.id)?;
        Some((l.each, found))
    });
    let style = theme.recording(process.id);
    if first <= to && last >= from {
        let start = at(state, area, first.max(from)).unwrap_or(area.x);
        let end = at(state, area, last.min(to)).unwrap_or(area.right() - 1);
        for x in start..=end {
            let part = |x: u16| {
                from + ((u128::from(x - area.x) * u128::from(to - from + 1))
                    / u128::from(area.width)) as u64
            };
            let column = |each: u64, parts: &[u32], signs: &[&'static str]| {
                bar(each, parts, (part(x), part(x + 1)), signs)
            };
            let bar = lane.and_then(|(each, lane)| {
                let shared = column(each, &lane.shared, &SHADES);
                shared.or_else(|| column(each, &lane.density, &BARS))
            });
            canvas.text(x, area.y, 1, bar.unwrap_or("─"), style);
        }
        if last <= to {
            match process.end {
                End::Crashed => canvas.text(end, area.y, 1, "✗", theme.bad()),
                End::Killed => canvas.text(end, area.y, 1, "!", theme.warn()),
                End::Exec => canvas.text(end, area.y, 1, ">", style),
                _ => end,
            };
        }
    }
    if let Some((_, lane)) = lane {
        for &tick in &lane.signals {
            if let Some(x) = at(state, area, tick)
                && !(process.end == End::Crashed && at(state, area, last) == Some(x))
            {
                canvas.text(x, area.y, 1, "!", theme.warn());
            }
        }
    }
    if let Some(picture) = &state.picture
        && let Some(x) = at(state, area, picture.tick)
    {
        let own = picture.recording == process.id;
        let style = if own { theme.key() } else { theme.dim() };
        canvas.text(x, area.y, 1, "│", style);
    }
}

/// The sign for how much there is between two ticks, of parts that are so many ticks long.
fn bar(
    each: u64,
    parts: &[u32],
    (from, to): (u64, u64),
    signs: &[&'static str],
) -> Option<&'static str> {
    let each = each.max(1);
    let (first, last) = (from / each, (to / each).max(from / each + 1));
    let slice = parts.get(first as usize..last.min(parts.len() as u64) as usize)?;
    let most = slice.iter().copied().max().filter(|&n| n > 0)?;
    let all = parts.iter().copied().max().unwrap_or(most);
    // A column with one event is to be seen beside one with thousands.
    let (a, b) = (f64::from(most).ln_1p(), f64::from(all).ln_1p());
    let height = ((a / b) * signs.len() as f64).ceil() as usize;
    signs.get(height.clamp(1, signs.len()) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Overview;
    use crate::theme::Theme;

    fn seen(width: u16, process: Process) -> Vec<String> {
        let mut state = State::new((width, 24), Theme::default());
        state.overview = Some(Overview {
            processes: vec![process],
            ..Overview::default()
        });
        Table::of(&state).cells.remove(0)
    }

    #[test]
    fn long_names_of_programs_keep_their_ends() {
        let of = |program: &str| {
            let process = Process {
                program: program.to_owned(),
                ..Process::default()
            };
            seen(120, process).remove(1)
        };
        assert_eq!(of("x86_64-linux-gnu-gcc-12"), "…-linux-gnu-gcc-12");
        assert_ne!(of("x86_64-linux-gnu-as"), of("x86_64-linux-gnu-ld"));
        assert_eq!(of("report"), "report");
    }

    #[test]
    fn ids_are_seen_in_deep_trees() {
        for (width, depth) in [(80, 30), (100, 11), (160, 12), (160, 3), (40, 9)] {
            let process = Process {
                id: 1234,
                branch: format!("{}└─", "│ ".repeat(depth)),
                program: "a-program-of-a-long-name".to_owned(),
                ending: "killed by SIGABRT (core dumped)".to_owned(),
                ..Process::default()
            };
            let cell = seen(width, process).remove(0);
            assert!(cell.ends_with("└─p1234"), "{width}: {cell}");
            assert_eq!(cell.starts_with('…'), depth > 7, "{width}: {cell}");
        }
    }
}
