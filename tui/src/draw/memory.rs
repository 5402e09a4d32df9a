//! Memory, in hexadecimal and as text.

use super::canvas::{Canvas, width};
use crate::data::Picture;
use crate::layout::{self, below, unit_columns};
use crate::panes::{Pane, Units};
use crate::state::State;
use ratatui::layout::Rect;

/// Who wrote it, in their colours, between title and note.
fn legend(state: &State, canvas: &mut Canvas<'_>, area: Rect, (title, note): (&str, &str)) {
    let writers = state.all_writers();
    let end = area.right().saturating_sub(width(note) + 6);
    let mut x = area.x + width(title) + 5;
    if writers.is_empty() || x + 20 > end {
        return;
    }
    x = canvas.text(x, area.y, end - x, " by ", canvas.theme.dim());
    for id in writers {
        let name = format!("{} ", state.name(id));
        if x + width(&name) > end {
            canvas.text(x, area.y, 2, "… ", canvas.theme.dim());
            break;
        }
        let style = canvas.theme.recording(id);
        x = canvas.text(x, area.y, end - x, &name, style);
    }
}

/// Draws it.
pub fn draw(state: &State, canvas: &mut Canvas<'_>, picture: &Picture, area: Rect) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let theme = canvas.theme;
    let memory = &picture.memory;
    let own = state.pane == Pane::Memory;
    let note = match (own, state.writer(state.byte)) {
        (true, writer) => {
            let by = writer.map_or_else(String::new, |id| format!(" by {}", state.name(id)));
            format!("{:#x}{by}", memory.addr.saturating_add(state.byte as u64))
        }
        (false, _) => String::new(),
    };
    let title = match state.units {
        Units::Hex => format!("Memory {}", memory.what),
        units => format!("Memory {} as {}", memory.what, units.name()),
    };
    canvas.pane(area, &title, &note, own);
    legend(state, canvas, area, (&title, &note));
    let area = below(area, 1);
    let old = state.before.as_ref().map(|p| &p.memory);
    let old = old.filter(|old| old.addr == memory.addr);
    let top = layout::memory_top(state);
    let (row_len, size) = (state.units.row() as usize, state.units.size() as usize);
    let rows = memory.bytes.chunks(row_len).enumerate().skip(top);
    let is_new = |at: usize, byte: u8| {
        old.is_some_and(|old| old.bytes.get(at).is_some_and(|&before| before != byte))
    };
    let mut end = area.y;
    for ((row, bytes), y) in rows.zip(area.y..area.bottom()) {
        let first = row * row_len;
        let addr = memory.addr.saturating_add(first as u64);
        canvas.text(area.x + 1, y, 12, &format!("{addr:012x}"), theme.dim());
        for (at, unit) in (first..).step_by(size).zip(bytes.chunks(size)) {
            let cursor = own && (at..at + size).contains(&state.byte);
            let one = |at: usize, byte: u8| match (is_new(at, byte), state.writer(at), byte) {
                _ if cursor => theme.cursor(),
                (true, ..) => theme.warn(),
                (false, Some(writer), _) => theme.recording(writer),
                (false, None, 0) => theme.dim(),
                _ => theme.text(),
            };
            // Of several bytes, those that have changed or were written count.
            let mut bytes = (at..).zip(unit.iter().copied());
            let told = bytes.clone().find(|&(at, byte)| is_new(at, byte));
            let told =
                told.or_else(|| bytes.find(|&(at, byte)| state.writer(at).is_some() || byte != 0));
            let style = told.map_or_else(|| one(at, unit[0]), |(at, byte)| one(at, byte));
            let n = u16::try_from(at - first).unwrap_or(0);
            let (column, wide, _) = unit_columns(state.units, n);
            let text = shown(state.units, unit);
            let shift = wide.saturating_sub(width(&text));
            canvas.text(area.x + column + shift, y, wide, &text, style);
            for (at, &byte) in (at..).zip(unit) {
                let n = u16::try_from(at - first).unwrap_or(0);
                if let (_, _, Some(text)) = unit_columns(state.units, n) {
                    canvas.text(area.x + text, y, 1, &visible(byte), one(at, byte));
                }
            }
        }
        end = y + 1;
    }
    if let Some(problem) = &memory.problem {
        let area = Rect::new(
            area.x + 2,
            end,
            area.width.saturating_sub(3),
            area.bottom().saturating_sub(end),
        );
        canvas.wrapped(area, problem, theme.warn());
    }
}

/// A unit, as it is written.
fn shown(units: Units, bytes: &[u8]) -> String {
    if bytes.len() as u64 != units.size() {
        // The end of what can be read is in it.
        return "?".to_owned();
    }
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let n = u64::from_le_bytes(word);
    let unused = 64 - 8 * u32::try_from(bytes.len()).unwrap_or(8);
    let signed = n.wrapping_shl(unused).cast_signed() >> unused;
    match units {
        Units::Hex => format!("{n:02x}"),
        Units::Text => visible(bytes[0]),
        Units::Int8 => n.to_string(),
        // Negative numbers are small ones, as in a history.
        _ if signed < 0 && signed > -(1 << 24) => signed.to_string(),
        _ => n.to_string(),
    }
}

/// A byte as a character.
fn visible(byte: u8) -> String {
    let is_visible = (0x20..0x7f).contains(&byte);
    char::from(if is_visible { byte } else { b'.' }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_into_their_columns() {
        for units in Units::ALL {
            let mut end = 0;
            for n in (0..u16::try_from(units.row()).expect("few")).step_by(units.size() as usize) {
                let (column, wide, text) = unit_columns(units, n);
                assert!(column > end && column + wide <= 80, "{units:?} {n}");
                assert!(text.is_none_or(|text| text > 62), "{units:?} {n}");
                end = column + wide - 1;
                let size = units.size() as usize;
                for byte in [0, 0x7f, 0x80, 0xff] {
                    assert!(width(&shown(units, &vec![byte; size])) <= wide);
                }
                assert_eq!(layout::byte_at(units, column), Some(usize::from(n)));
            }
        }
        assert_eq!(shown(Units::Int16, &[0xfe, 0xff]), "-2");
        assert_eq!(
            shown(Units::Int32, &2_594_104_980_u32.to_le_bytes()),
            "2594104980"
        );
        assert_eq!(shown(Units::Int64, &[1, 2]), "?");
        assert_eq!(shown(Units::Text, b"a"), "a");
    }
}
