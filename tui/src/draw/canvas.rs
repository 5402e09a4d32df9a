//! Text on a screen.

use crate::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

/// Where to draw.
pub struct Canvas<'b> {
    buffer: &'b mut Buffer,
    /// Its colours.
    pub theme: Theme,
}

/// Columns that a text takes.
pub fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// A text in at most so many columns: what does not fit is replaced by `…`.
pub fn cut(text: &str, most: u16) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > most {
            break;
        }
        used += wide;
        short.push(c);
    }
    if most > 0 {
        short.push('…');
    }
    short
}

/// The same, but its end is kept.
pub fn cut_front(text: &str, most: u16) -> String {
    let mut kept = text;
    while width(kept) + 1 > most && width(text) > most {
        let mut chars = kept.chars();
        if chars.next().is_none() {
            break;
        }
        kept = chars.as_str();
    }
    if kept.len() == text.len() || most == 0 {
        kept.to_owned()
    } else {
        format!("…{kept}")
    }
}

/// Lines of text of at most so many columns, if its words have no more.
pub fn wrap(text: &str, most: u16) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut rest = String::new();
        for word in line.split_inclusive(' ') {
            if width(&rest) + width(word.trim_end()) > most && !rest.is_empty() {
                lines.push(rest.trim_end().to_owned());
                rest.clear();
            }
            rest.push_str(word);
        }
        lines.push(rest.trim_end().to_owned());
    }
    lines
}

impl<'b> Canvas<'b> {
    /// On this buffer.
    pub fn new(buffer: &'b mut Buffer, theme: Theme) -> Self {
        Self { buffer, theme }
    }

    /// Columns of the whole screen.
    pub fn width(&self) -> u16 {
        self.buffer.area.width
    }

    /// What is in a column, if it is one of the screen.
    pub fn symbol(&self, x: u16, y: u16) -> &str {
        let cell = self.buffer.cell((x, y));
        cell.map_or("", |cell| cell.symbol())
    }

    /// Writes a text in at most `most` columns; tells the column behind it.
    pub fn text(&mut self, x: u16, y: u16, most: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if x >= area.right() || y >= area.bottom() {
            return x;
        }
        let most = most.min(area.right() - x);
        let text = cut(&text.replace('\t', "    "), most);
        self.buffer.set_stringn(x, y, text, most.into(), style).0
    }

    /// Writes at the right border.
    pub fn right(&mut self, y: u16, most: u16, text: &str, style: Style) {
        let text = cut(text, most);
        let x = self.width().saturating_sub(width(&text) + 1);
        self.text(x, y, most, &text, style);
    }

    /// Adds a style to what is there.
    pub fn fill(&mut self, area: Rect, style: Style) {
        self.buffer
            .set_style(area.intersection(self.buffer.area), style);
    }

    /// Takes away what is there.
    pub fn blank(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
    }

    /// A line across an area, with a title in it and a note at its end.
    pub fn rule(&mut self, area: Rect, title: &str, note: &str) {
        if area.height == 0 || area.width < 4 {
            return;
        }
        let line = "─".repeat(area.width.into());
        let dim = self.theme.dim();
        self.text(area.x, area.y, area.width, &line, dim);
        let room = area.width.saturating_sub(5);
        let title = cut(title, room);
        self.text(
            area.x + 2,
            area.y,
            room,
            &format!(" {title} "),
            self.theme.bold(),
        );
        let left = room.saturating_sub(width(&title) + 6);
        if !note.is_empty() && left > 8 {
            let note = format!(" {} ", cut_front(note, left));
            let x = area.right().saturating_sub(width(&note) + 2);
            self.text(x, area.y, area.width, &note, dim);
        }
    }

    /// The same for a part of a view; where the cursor is, that is marked.
    pub fn pane(&mut self, area: Rect, title: &str, note: &str, own: bool) {
        self.rule(area, title, note);
        if own && area.width >= 4 && area.height > 0 {
            self.text(area.x, area.y, 2, "▶▶", self.theme.key());
        }
    }

    /// Lines of text, wrapped between words; tells how many.
    pub fn wrapped(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        let lines = wrap(text, area.width);
        for (line, y) in lines.iter().zip(area.y..area.bottom()) {
            self.text(area.x, y, area.width, line, style);
        }
        u16::try_from(lines.len()).unwrap_or(u16::MAX)
    }

    /// Keys and what they do, as many as fit; the last so many always.
    pub fn keys(&mut self, y: u16, all: &[(&str, &str)], always: usize) {
        let len = |(key, label): &(&str, &str)| width(key) + width(label) + 2;
        let (first, last) = all.split_at(all.len().saturating_sub(always));
        // A column is free before them.
        let mut room = self
            .width()
            .saturating_sub(last.iter().map(len).sum::<u16>() + 1);
        let mut shown = Vec::new();
        for one in first {
            if len(one) <= room {
                room -= len(one);
                shown.push(one);
            }
        }
        shown.extend(last);
        let (mut x, most) = (1, self.width());
        for (key, label) in shown {
            x = self.text(x, y, most, key, self.theme.key());
            x = self.text(x + 1, y, most, label, self.theme.dim()) + 1;
        }
    }
}

/// A column of a table: heading, widest, and whether it is aligned at its right.
pub struct Column {
    /// What is above it.
    pub name: &'static str,
    /// Columns at most.
    pub most: u16,
    /// Whether it ends where the heading ends.
    pub right: bool,
    /// Given up below so many columns of the screen.
    pub from: u16,
}

/// The widths of columns, from the cells that there are; 0: left out. The last takes what is
/// left, and what it needs beyond that from the widest of the others.
pub fn widths(columns: &[Column], cells: &[Vec<String>], room: u16) -> Vec<u16> {
    let mut widths: Vec<u16> = columns
        .iter()
        .enumerate()
        .map(|(n, column)| {
            let cells = cells.iter().filter_map(|row| row.get(n));
            let widest = cells.map(|cell| width(cell)).max().unwrap_or(0);
            match room < column.from {
                true => 0,
                false => widest.max(width(column.name)).min(column.most),
            }
        })
        .collect();
    /// No column gets narrower than this for another.
    const LEAST: u16 = 12;
    let used = |widths: &[u16]| {
        widths
            .iter()
            .filter(|&&w| w > 0)
            .map(|w| w + 2)
            .sum::<u16>()
    };
    while used(&widths) > room + 1 {
        let others = widths.iter_mut().rev().skip(1);
        match others.max_by_key(|w| **w).filter(|w| **w > LEAST) {
            Some(widest) => *widest -= 1,
            None => break,
        }
    }
    let used = used(&widths);
    if let Some(last) = widths.last_mut().filter(|w| **w > 0) {
        *last = (*last + room)
            .saturating_sub(used.saturating_sub(1))
            .min(200);
    }
    widths
}

impl Canvas<'_> {
    /// A row of a table; `style` tells how each cell looks.
    pub fn row(
        &mut self,
        (x, y): (u16, u16),
        columns: &[Column],
        widths: &[u16],
        cells: &[String],
        style: impl Fn(usize) -> Style,
    ) {
        let mut x = x;
        for (n, ((cell, column), &wide)) in cells.iter().zip(columns).zip(widths).enumerate() {
            if wide == 0 {
                continue;
            }
            let shift = match column.right {
                true => wide.saturating_sub(width(cell)),
                false => 0,
            };
            self.text(x + shift, y, wide - shift, cell, style(n));
            x += wide + 2;
        }
    }
}
