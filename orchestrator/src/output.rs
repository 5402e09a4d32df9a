//! Standard output of a command: buffered, and coloured on a terminal only.

use orch_recorder::trace::RecordingId;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

/// Where a command prints what it found.
pub struct Output {
    out: BufWriter<StdoutLock<'static>>,
    colour: bool,
}

/// How text is shown on a terminal: the parameter of an SGR sequence (ECMA-48, 8.3.117).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// For what matters less.
    Dim,
    /// For headings.
    Bold,
    /// For what went wrong.
    Bad,
    /// For what needs attention.
    Warn,
    /// For what is as it should be.
    Good,
    /// One of the colours that tell recordings apart.
    Of(RecordingId),
}

/// Text in a style; without one where there is no terminal.
pub struct Styled<'a>(&'a str, Option<u8>);

impl Output {
    /// Standard output of this process.
    pub fn new() -> Self {
        let out = io::stdout().lock();
        let colour = out.is_terminal() && may_colour();
        Self {
            out: BufWriter::with_capacity(64 << 10, out),
            colour,
        }
    }

    /// `text` in `style`, if this is a terminal that shows styles.
    pub fn style<'a>(&self, style: Style, text: &'a str) -> Styled<'a> {
        const OF_RECORDINGS: [u8; 6] = [36, 33, 35, 32, 34, 31];
        let code = match style {
            _ if !self.colour => None,
            Style::Plain => None,
            Style::Dim => Some(2),
            Style::Bold => Some(1),
            Style::Bad => Some(31),
            Style::Warn => Some(33),
            Style::Good => Some(32),
            Style::Of(id) => Some(OF_RECORDINGS[id.0 as usize % OF_RECORDINGS.len()]),
        };
        Styled(text, code)
    }

    /// Prints `value` as a line of JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)?;
        self.out.write_all(b"\n")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl fmt::Display for Styled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(code) => {
                write!(f, "\x1b[{code}m")?;
                f.pad(self.0)?;
                f.write_str("\x1b[0m")
            }
            None => f.pad(self.0),
        }
    }
}

/// What the user says about colours: NO_COLOR (no-color.org), or a terminal without any.
fn may_colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns that a line may take; none where lines are not to be cut.
pub fn width() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|n| n.parse().ok());
    let terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(w, _)| usize::from(w.0));
    columns.or_else(terminal).filter(|&n| n > 0)
}

/// Whether printing failed because nobody reads any more.
pub fn is_closed(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// `text` in at most `width` characters; what does not fit is replaced by `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A number of bytes as people write it.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let (mut tenths, mut unit) = (n / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

/// A number of nanoseconds as people write it.
pub fn duration(nanos: u64) -> String {
    let (ms, s) = (nanos / 1_000_000, nanos / 1_000_000_000);
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}.{} s", ms / 100 % 10),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s / 60 % 60),
    }
}

/// Nanoseconds since the epoch as a date and time, UTC.
pub fn date(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    let (y, m, d) = civil(seconds / 86_400);
    let (h, min, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{y:04}-{m:02}-{d:02} {h:02}:{min:02}:{s:02} UTC")
}

/// Year, month and day of a number of days since 1970-01-01 (the algorithm
/// `civil_from_days` of Howard Hinnant's chrono-compatible date algorithms).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(34_567), "34 kB");
        assert_eq!(bytes(1_234_567_890), "1.2 GB");
        assert_eq!(duration(1_234_567_890), "1.2 s");
        assert_eq!(duration(61_000_000_000), "1 min 1 s");
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_400_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_763_700_000_000_000_000), "2025-11-21 04:40:00 UTC");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
