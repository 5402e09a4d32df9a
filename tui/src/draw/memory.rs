//! Memory, in hexadecimal and as text.

use super::canvas::{Canvas, width};
use crate::data::Picture;
use crate::layout::{self, below, byte_columns};
use crate::panes::{Pane, ROW};
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
    let title = format!("Memory {}", memory.what);
    canvas.pane(area, &title, &note, own);
    legend(state, canvas, area, (&title, &note));
    let area = below(area, 1);
    let old = state.before.as_ref().map(|p| &p.memory);
    let old = old.filter(|old| old.addr == memory.addr);
    let top = layout::memory_top(state);
    let rows = memory.bytes.chunks(ROW as usize).enumerate().skip(top);
    let mut end = area.y;
    for ((row, bytes), y) in rows.zip(area.y..area.bottom()) {
        let addr = memory.addr.saturating_add(row as u64 * ROW);
        canvas.text(area.x + 1, y, 12, &format!("{addr:012x}"), theme.dim());
        for (n, (at, byte)) in (row * ROW as usize..).zip(bytes).enumerate() {
            let is_new = old.is_some_and(|old| old.bytes.get(at).is_some_and(|b| b != byte));
            let mut style = match (is_new, state.writer(at), byte) {
                (true, ..) => theme.warn(),
                (false, Some(writer), _) => theme.recording(writer),
                (false, None, 0) => theme.dim(),
                _ => theme.text(),
            };
            if own && at == state.byte {
                style = theme.cursor();
            }
            let (hex, text) = byte_columns(u16::try_from(n).unwrap_or(0));
            canvas.text(area.x + hex, y, 2, &format!("{byte:02x}"), style);
            let visible = if (0x20..0x7f).contains(byte) {
                *byte as char
            } else {
                '.'
            };
            canvas.text(area.x + text, y, 1, visible.encode_utf8(&mut [0; 4]), style);
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
