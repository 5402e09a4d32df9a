//! Who accessed some memory.

use super::canvas::{Canvas, Column, cut_front, widths};
use crate::data::{Access, FORMATS};
use crate::layout::{self, below};
use crate::state::State;
use ratatui::layout::Rect;

const fn column(name: &'static str, most: u16, from: u16) -> Column {
    Column {
        name,
        most,
        right: false,
        from,
    }
}

/// From so many columns on, what orders an access has a column.
const WIDE: u16 = 130;
/// That column.
const ORDER: usize = 6;

const COLUMNS: [Column; 9] = [
    column("POSITION", 20, 0),
    Column {
        right: true,
        ..column("TIME s", 11, 150)
    },
    column("PROGRAM", 16, 0),
    column("KIND", 10, 0),
    column("PLACE", 14, 100),
    column("VALUE", 44, 0),
    column("ORDER", 30, WIDE - 2),
    column("FUNCTION", 30, 76),
    column("LINE", 40, 0),
];

/// Draws it.
pub fn draw(state: &State, canvas: &mut Canvas<'_>, body: Rect) {
    let theme = canvas.theme;
    let Some(history) = &state.history else {
        let text = "\
Who wrote to some memory that processes share, who saw it, from which line: press b and type \
a place, or choose one of those that the current recording has just accessed.

  /dev/shm/queue+0x88 4     a shared object, an offset, and how many bytes
  p3:counters+8             a variable of a recorded program
  p3:0x7f0012345678         an address in a recording";
        canvas.rule(body, "Who wrote that?", "");
        let area = Rect::new(2, body.y + 2, body.width.saturating_sub(4), body.height - 2);
        canvas.wrapped(area, text, theme.dim());
        return;
    };
    let rows = state.rows();
    let all = history.rows.len();
    let count = match rows.len() {
        n if n == all && n == 1 => "1 access".to_owned(),
        n if n == all => format!("{n} accesses"),
        n => format!("{n} of {all} accesses"),
    };
    let format = FORMATS.get(state.format).copied().unwrap_or_default();
    let mut note = format!("{count}, shown as {format}");
    if !state.accesses.filter.is_empty() {
        note = format!("filter “{}”: {note}", state.accesses.filter);
    }
    canvas.rule(body, &format!("Accesses to {}", history.place), &note);
    let selected = rows.get(state.accesses.list.selected);
    let order = selected.and_then(|row| Some((&row.position, row.order.as_ref()?)));
    match order.filter(|_| body.width < WIDE) {
        Some((position, order)) => {
            let text = format!("{position}: {}", order.text);
            let style = if order.race {
                theme.warn()
            } else {
                theme.dim()
            };
            canvas.text(2, body.y + 1, body.width - 2, &text, style);
        }
        None => {
            canvas.text(2, body.y + 1, body.width - 2, &history.note, theme.dim());
        }
    }
    let area = layout::list(state);
    let shown: Vec<&Access> = rows
        .iter()
        .skip(state.accesses.list.top)
        .take(area.height.into())
        .copied()
        .collect();
    let cells: Vec<Vec<String>> = shown.iter().map(|row| cells(row, state.format)).collect();
    let widths = widths(&COLUMNS, &cells, body.width.saturating_sub(2));
    let heads: Vec<String> = COLUMNS.iter().map(|c| c.name.to_owned()).collect();
    let y = area.y.saturating_sub(1);
    canvas.row((2, y), &COLUMNS, &widths, &heads, |_| theme.dim());
    for (n, ((row, cells), y)) in shown.iter().zip(&cells).zip(area.y..).enumerate() {
        canvas.row((2, y), &COLUMNS, &widths, cells, |column| match column {
            0 | 2 if row.kind != "outside" && row.kind != "initial" => {
                theme.recording(row.recording)
            }
            3 if row.kind == "outside" => theme.warn(),
            3 | ORDER if row.order.as_ref().is_some_and(|order| order.race) => theme.warn(),
            3 if row.kind != "load" => theme.bold(),
            ORDER => theme.dim(),
            0..=4 => theme.dim(),
            _ => ratatui::style::Style::new(),
        });
        if state.accesses.list.top + n == state.accesses.list.selected {
            canvas.fill(Rect::new(0, y, body.width, 1), theme.selected());
            canvas.text(0, y, 1, "▶", theme.key());
        }
    }
    if rows.is_empty() && area.height > 1 {
        let why = match history.rows.is_empty() {
            true => "no access to it is known",
            false => "no row has that; Esc shows all",
        };
        canvas.text(2, below(area, 1).y, body.width, why, theme.dim());
    }
}

fn cells(row: &Access, format: usize) -> Vec<String> {
    vec![
        row.position.clone(),
        row.time.clone(),
        cut_front(&row.program, COLUMNS[2].most),
        match &row.order {
            Some(order) if order.race && order.unseen => format!("{} !!", row.kind),
            Some(order) if order.race => format!("{} !", row.kind),
            _ => row.kind.to_owned(),
        },
        row.place.clone(),
        row.values.get(format).cloned().unwrap_or_default(),
        row.order
            .as_ref()
            .map_or_else(String::new, |order| order.text.clone()),
        row.function.clone(),
        row.file.clone(),
    ]
}
