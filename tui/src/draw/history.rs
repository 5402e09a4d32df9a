//! Who accessed some memory.

use super::canvas::{Canvas, Column, cut, cut_front, width, widths};
use crate::data::{Access, FORMATS, Value};
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
/// From so many columns on, the place has one, whatever is in it.
const MEDIUM: u16 = 100;
/// Its column.
const PLACE: usize = 4;
/// That of values.
const VALUE: usize = 5;

const COLUMNS: [Column; 9] = [
    column("POSITION", 20, 0),
    Column {
        right: true,
        ..column("TIME s", 11, 150)
    },
    column("PROGRAM", 16, 0),
    column("KIND", 10, 0),
    column("PLACE", 14, 0),
    column("VALUE", 130, 0),
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
    let mut columns = COLUMNS;
    // Rows that differ in nothing else are told apart by it.
    if rows.iter().all(|row| row.place == rows[0].place) {
        columns[PLACE].from = MEDIUM - 2;
    }
    let mut cells: Vec<Vec<String>> = shown.iter().map(|row| cells(row, state.format)).collect();
    let widths = widths(&columns, &cells, body.width.saturating_sub(2));
    for (row, cells) in shown.iter().zip(&mut cells) {
        if let Some(value) = row.values.get(state.format) {
            cells[VALUE] = fitted(value, widths[VALUE]);
        }
    }
    let heads: Vec<String> = columns.iter().map(|c| c.name.to_owned()).collect();
    let y = area.y.saturating_sub(1);
    canvas.row((2, y), &columns, &widths, &heads, |_| theme.dim());
    if let Some(row) = selected
        && area.bottom() < body.bottom()
    {
        let area = Rect::new(2, area.bottom(), body.width - 2, layout::DETAIL);
        detail(canvas, area, row, state.format, widths[VALUE]);
    }
    for (n, ((row, cells), y)) in shown.iter().zip(&cells).zip(area.y..).enumerate() {
        canvas.row((2, y), &columns, &widths, cells, |column| match column {
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

/// The value of the selected row, if its column has no room for it.
fn detail(canvas: &mut Canvas<'_>, area: Rect, row: &Access, format: usize, room: u16) {
    let theme = canvas.theme;
    let Some(value) = row
        .values
        .get(format)
        .filter(|v| width(&v.to_string()) > room)
    else {
        return;
    };
    let place = format!("{} {}", row.position, row.place);
    canvas.text(area.x, area.y, area.width, &place, theme.dim());
    let x = area.x + width(&place) + 2;
    let room = (area.x + area.width).saturating_sub(x + 9);
    let lines = match &value.old {
        Some(old) => {
            let (old, new) = both(old, &value.new, (room, room));
            vec![("before", old), ("now", new)]
        }
        None => vec![("", value.new.clone())],
    };
    for ((name, text), y) in lines.iter().zip(area.y..area.bottom()) {
        canvas.text(x, y, 7, name, theme.dim());
        let at = if name.is_empty() { x } else { x + 8 };
        canvas.text(at, y, room, text, ratatui::style::Style::new());
    }
}

/// A value in at most so many columns.
fn fitted(value: &Value, room: u16) -> String {
    /// Columns of ` → `.
    const ARROW: u16 = 3;
    let whole = value.to_string();
    let (Some(old), true) = (&value.old, width(&whole) > room) else {
        return whole;
    };
    let room = room.saturating_sub(ARROW);
    let of_old = room.saturating_sub(width(&value.new)).max(room / 2);
    let of_new = room - width(old).min(of_old);
    let (old, new) = both(old, &value.new, (of_old, of_new));
    format!("{old} → {new}")
}

/// Old and new in so many columns each: where they differ first is seen in both.
fn both(old: &str, new: &str, (of_old, of_new): (u16, u16)) -> (String, String) {
    if width(old) <= of_old && width(new) <= of_new {
        return (old.to_owned(), new.to_owned());
    }
    let pairs = old.char_indices().zip(new.chars());
    let same: Vec<usize> = pairs
        .take_while(|((_, a), b)| a == b)
        .map(|((at, _), _)| at)
        .collect();
    // Some of what is the same is left before it.
    let from = match same.len() > usize::from(of_old.min(of_new) / 2) {
        true => same.get(same.len().saturating_sub(2)).copied(),
        false => None,
    };
    let shown = |text: &str, room: u16| match from {
        Some(from) => cut(&format!("…{}", &text[from..]), room),
        None => cut(text, room),
    };
    (shown(old, of_old), shown(new, of_new))
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
        row.values
            .get(format)
            .map(ToString::to_string)
            .unwrap_or_default(),
        row.order
            .as_ref()
            .map_or_else(String::new, |order| order.text.clone()),
        row.function.clone(),
        row.file.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_in_little_room() {
        let shown = |old: &str, new: &str, room| {
            let (old, new) = (Some(old.to_owned()), new.to_owned());
            fitted(&Value { old, new }, room)
        };
        assert_eq!(shown("0", "2594104980", 14), "0 → 2594104980");
        assert_eq!(shown("0", "2594104980", 10), "0 → 25941…");
        let (old, new) = (format!("{}01", "ab".repeat(30)), "ab".repeat(31));
        assert_eq!(shown(&old, &new, 25), "…ab01 → …abab");
        assert_eq!(
            shown(&"写".repeat(30), &"写".repeat(31), 21),
            "…写写 → …写写写"
        );
        for room in 0..150 {
            let text = shown(&old, &new, room);
            assert!(width(&text) <= room.max(5), "{room}: {text}");
            let (before, now) = text.split_once(" → ").expect("both");
            assert!(room < 17 || before != now, "{room}: {text}");
        }
        let seen = Value {
            old: None,
            new: "sees 17".to_owned(),
        };
        assert_eq!(fitted(&seen, 3), "sees 17");
    }
}
