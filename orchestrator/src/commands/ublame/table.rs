//! Accesses as a table for people.

use super::order;
use super::row::{Rows, kind_name};
use super::value::{Format, show, show_old};
use crate::describe::safe;
use crate::output::{self, Output, Style, cut};
use orch_blame::access::{Access, Kind};
use orch_blame::graph::order::Orders;
use orch_blame::index::Query;
use orch_blame::place;
use orch_blame::symbols::Code;
use orch_recorder::trace::RecordingId;
use std::io::{self, Write as _};

/// Columns that a row takes, unless the terminal has fewer.
const WIDEST: usize = 100;
/// Rows that are looked at to find the widths of columns.
const AHEAD: usize = 256;

/// Prints rows as they come.
pub struct Table<'q> {
    query: &'q Query,
    /// What orders accesses, where that is asked for.
    orders: Option<&'q Orders>,
    format: Format,
    /// Show what is asked for of a longer access, not all of it.
    only: bool,
    width: usize,
    /// Rows that wait until the widths are known.
    waiting: Vec<Line>,
    widths: Option<[usize; COLUMNS]>,
    /// A time was not known exactly.
    estimated: bool,
}

const COLUMNS: usize = 7;
/// The last of them.
const ORDER: usize = COLUMNS - 1;
/// That of values.
const VALUES: usize = 5;

struct Line {
    recording: RecordingId,
    kind: Kind,
    /// Position, time, program and thread, kind, place, values, order.
    cells: [String; COLUMNS],
    code: String,
    is_race: bool,
}

/// Most columns for each cell.
const MOST: [usize; COLUMNS] = [20, 10, 18, 7, 16, 30, 30];

impl<'q> Table<'q> {
    pub fn new(query: &'q Query, format: Format, only: bool, orders: Option<&'q Orders>) -> Self {
        let widest = WIDEST + orders.map_or(0, |_| MOST[ORDER] + 1);
        Self {
            query,
            orders,
            format,
            only,
            width: output::width().map_or(widest, |w| w.min(widest)),
            waiting: Vec::new(),
            widths: None,
            estimated: false,
        }
    }

    pub fn push(
        &mut self,
        out: &mut Output,
        rows: &mut Rows<'_>,
        access: Access,
    ) -> io::Result<()> {
        let line = self.line(rows, &access);
        match self.widths {
            Some(widths) => self.print(out, &widths, &line),
            None => {
                self.waiting.push(line);
                if self.waiting.len() >= AHEAD {
                    self.begin(out, rows)?;
                }
                Ok(())
            }
        }
    }

    pub fn end(&mut self, out: &mut Output, rows: &mut Rows<'_>) -> io::Result<()> {
        if self.widths.is_none() && !self.waiting.is_empty() {
            self.begin(out, rows)?;
        }
        Ok(())
    }

    fn line(&mut self, rows: &mut Rows<'_>, access: &Access) -> Line {
        let site = rows.site(access);
        let recorded = site.kind.is_recorded();
        let position = rows.position(access).to_string();
        let time = rows.clock.at(access.tick);
        self.estimated |= time.is_some_and(|t| !t.exact);
        let time = time.map_or_else(|| "?".to_owned(), |t| seconds(t.nanos));
        let program = rows.program(site.recording).unwrap_or("?");
        let who = match recorded {
            true => format!("{program}/{}", site.tid),
            false => "-".to_owned(),
        };
        let kind = match site.kind {
            Kind::CallStore => "syscall",
            kind => kind_name(kind),
        };
        let by_page = if site.by_page { "~" } else { "" };
        let place = format!("{:+#x}/{}{by_page}", access.offset, access.new.len());
        let value = self.value(site.kind, access);
        let order = self
            .orders
            .and_then(|orders| order::find(orders, rows, access));
        Line {
            is_race: order.is_some_and(|order| order.by.is_none()),
            recording: site.recording,
            kind: site.kind,
            code: safe(code(&rows.code(access)).as_bytes()),
            cells: [
                if recorded {
                    position
                } else {
                    format!("<{position}")
                },
                time,
                safe(who.as_bytes()),
                kind.to_owned(),
                place,
                value,
                order.map_or_else(String::new, order::words),
            ],
        }
    }

    fn value(&self, kind: Kind, access: &Access) -> String {
        let end = self.query.offset.saturating_add(self.query.len);
        let of_access = |at: u64| at.saturating_sub(access.offset) as usize;
        let all = access.new.len();
        let part = match self.only {
            true => of_access(self.query.offset).min(all)..of_access(end).min(all),
            false => 0..all,
        };
        let new_bytes = &access.new[part.clone()];
        let new = show(self.format, new_bytes);
        match (&access.old, kind) {
            (_, Kind::Load | Kind::CallLoad) => format!("sees {new}"),
            (Some(old), _) => change(&show_old(self.format, new_bytes, &old.part(part)), &new),
            (None, Kind::Initial) => new,
            (None, _) => change("?", &new),
        }
    }

    /// Prints the head and what has been waiting.
    fn begin(&mut self, out: &mut Output, rows: &Rows<'_>) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut widths: [usize; COLUMNS] = std::array::from_fn(|n| {
            let cells = waiting.iter().map(|line| line.cells[n].chars().count());
            cells.max().unwrap_or(0).min(MOST[n])
        });
        // What matters least goes first where there is not enough room.
        for (column, room) in [(1, 72), (2, 64), (4, 56)] {
            if self.width < room {
                widths[column] = 0;
            }
        }
        self.widths = Some(widths);
        self.head(out, rows)?;
        waiting
            .iter()
            .try_for_each(|line| self.print(out, &widths, line))
    }

    fn head(&self, out: &mut Output, rows: &Rows<'_>) -> io::Result<()> {
        const MOST_MAPPERS: usize = 6;
        let mapped = place::mapped(rows.catalog, self.query.object);
        let mut who: Vec<String> = Vec::new();
        for m in &mapped {
            let inside = self
                .query
                .offset
                .checked_sub(m.offset)
                .filter(|&d| d < m.len);
            if let Some(distance) = inside {
                let program = rows.program(m.recording).unwrap_or("?");
                who.push(format!(
                    "{} {program} at {:#x}",
                    m.recording,
                    m.addr.wrapping_add(distance)
                ));
            }
        }
        let more = who.len().saturating_sub(MOST_MAPPERS);
        who.truncate(MOST_MAPPERS);
        if more > 0 {
            who.push(format!("{more} more (orch shm)"));
        }
        let range = rows.range(self.query);
        writeln!(out, "{}", out.style(Style::Bold, &cut(&range, self.width)))?;
        let mappers = match who.is_empty() {
            true => "nobody maps these bytes".to_owned(),
            false => format!("mapped by {}", who.join(", ")),
        };
        for line in wrapped(&safe(mappers.as_bytes()), self.width) {
            writeln!(out, "{}", out.style(Style::Dim, &line))?;
        }
        if self.estimated && self.widths.is_some_and(|w| w[1] > 0) {
            let known = rows.clock.known();
            let text = format!("times are estimated between the {known} that are known");
            writeln!(out, "{}", out.style(Style::Dim, &text))?;
        }
        Ok(())
    }

    fn print(&self, out: &mut Output, widths: &[usize; COLUMNS], line: &Line) -> io::Result<()> {
        let mut used = 0;
        for (n, (cell, &width)) in line.cells.iter().zip(widths).enumerate() {
            if width == 0 {
                continue;
            }
            let cell = cut(cell, width);
            let cell = match n {
                1 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            };
            let style = match (n, line.kind) {
                (0, _) if line.kind.is_recorded() => Style::Of(line.recording),
                (1, _) => Style::Dim,
                (3, Kind::Outside) => Style::Warn,
                (ORDER, _) if line.is_race => Style::Warn,
                (ORDER, _) => Style::Dim,
                (_, Kind::Initial) => Style::Dim,
                _ => Style::Plain,
            };
            write!(out, "{} ", out.style(style, &cell))?;
            used += width + 1;
        }
        let left = self.width.saturating_sub(used);
        let code = if left >= 8 {
            cut(&line.code, left)
        } else {
            String::new()
        };
        writeln!(out, "{code}")
    }
}

/// What was there, and what is there now, both in the room that there is for values.
fn change(old: &str, new: &str) -> String {
    let room = MOST[VALUES] - 3;
    let new_len = new.chars().count();
    let old = cut(old, room.saturating_sub(new_len).max(room / 2));
    let new = cut(new, room - old.chars().count());
    format!("{old} → {new}")
}

/// Seconds since the session began.
pub fn seconds(nanos: u64) -> String {
    let (whole, micros) = (nanos / 1_000_000_000, nanos / 1000 % 1_000_000);
    match whole {
        0..1000 => format!("{whole}.{micros:06}"),
        _ => format!("{whole}.{:03}", micros / 1000),
    }
}

/// Function and line, as short as they are still clear.
fn code(code: &Code) -> String {
    let Some(frame) = code.main() else {
        return String::new();
    };
    let function = frame.function.as_deref().unwrap_or("?");
    let file = frame.file.as_deref().and_then(|f| f.rsplit('/').next());
    let mut text = match (file, frame.line) {
        (Some(file), Some(line)) => format!("{function} {file}:{line}"),
        (Some(file), None) => format!("{function} {file}"),
        _ => function.to_owned(),
    };
    if let Some(called) = code.called().and_then(|frame| frame.function.as_deref()) {
        text += &format!(" ({})", plain(called));
    }
    text
}

/// A function of libc without what tells for which processors it was made
/// (`__memcpy_avx_unaligned_erms`: glibc, sysdeps/x86_64/multiarch).
pub fn plain(function: &str) -> &str {
    const MADE_FOR: [&str; 4] = ["_sse", "_avx", "_evex", "_erms"];
    let cuts = MADE_FOR.iter().filter_map(|suffix| function.find(suffix));
    match (function.strip_prefix("__"), cuts.min()) {
        (Some(name), Some(end)) if end > 2 => &name[..end - 2],
        _ => function,
    }
}

/// Words in lines of at most `width`, the second and later ones indented.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split_inclusive(", ") {
        match lines.last_mut() {
            Some(line) if line.chars().count() + part.trim_end().chars().count() <= width => {
                line.push_str(part);
            }
            Some(_) => lines.push(format!("  {part}")),
            None => lines.push(part.to_owned()),
        }
    }
    lines
        .iter()
        .map(|line| cut(line.trim_end(), width))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_of_libc() {
        assert_eq!(plain("__memcpy_avx512_unaligned_erms"), "memcpy");
        assert_eq!(plain("__memset_sse2_unaligned"), "memset");
        assert_eq!(plain("__strnlen_evex"), "strnlen");
        assert_eq!(plain("my_sse"), "my_sse");
    }
}
