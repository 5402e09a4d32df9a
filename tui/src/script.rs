//! Keys without a terminal: for tests and for documentation.

use crate::event::{Effect, Event, Key};
use crate::state::State;
use crate::{Backend, INTERVAL};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key.
    Key(Key),
    /// A click.
    Click(u16, u16),
    /// The mouse, with its button held from one place to the other.
    Drag((u16, u16), (u16, u16)),
    /// Another size.
    Resize(u16, u16),
    /// So long what is being recorded grows.
    Wait(Duration),
    /// Shows the screen as it is now.
    Show,
}

/// Text that is no script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseScriptError(String);

impl std::fmt::Display for ParseScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} is no key; a script has words: j, Enter, Esc, Tab, S-Tab, Up, Down, Left, Right, \
             Home, End, PgUp, PgDn, Bksp, Del, Space, C-z, 'text' that is typed, click:X,Y, \
             drag:X,Y-X,Y, size:80x24, wait:2 (seconds in which what is being recorded grows), and show, which prints \
             the screen",
            self.0
        )
    }
}

impl std::error::Error for ParseScriptError {}

/// Columns and rows, as `120x36`.
#[must_use]
pub fn size(text: &str) -> Option<(u16, u16)> {
    let (width, height) = text.split_once('x')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    let sound = (1..=1000).contains(&width) && (1..=1000).contains(&height);
    sound.then_some((width, height))
}

/// Reads a script.
///
/// # Errors
/// If a word is no key.
pub fn parse(text: &str) -> Result<Vec<Step>, ParseScriptError> {
    let mut steps = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let Some((typed, behind)) = quoted.split_once('\'') else {
                return Err(ParseScriptError(rest.to_owned()));
            };
            steps.extend(typed.chars().map(|c| Step::Key(Key::Char(c))));
            rest = behind.trim_start();
            continue;
        }
        let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        steps.push(self::word(word).ok_or_else(|| ParseScriptError(word.to_owned()))?);
        rest = behind.trim_start();
    }
    Ok(steps)
}

fn word(word: &str) -> Option<Step> {
    let place = |text: &str| {
        let (x, y) = text.split_once(',')?;
        Some((x.parse().ok()?, y.parse().ok()?))
    };
    if let Some(text) = word.strip_prefix("click:") {
        let (x, y) = place(text)?;
        return Some(Step::Click(x, y));
    }
    if let Some(text) = word.strip_prefix("drag:") {
        let (from, to) = text.split_once('-')?;
        return Some(Step::Drag(place(from)?, place(to)?));
    }
    if let Some(text) = word.strip_prefix("size:") {
        let (width, height) = size(text)?;
        return Some(Step::Resize(width, height));
    }
    if let Some(seconds) = word.strip_prefix("wait:") {
        let seconds: u16 = seconds.parse().ok()?;
        return Some(Step::Wait(Duration::from_secs(seconds.into())));
    }
    match word {
        "show" => Some(Step::Show),
        word => key(word).map(Step::Key),
    }
}

/// Keys that are written with a word.
const NAMES: [(&str, Key); 15] = [
    ("Enter", Key::Enter),
    ("Esc", Key::Esc),
    ("Tab", Key::Tab),
    ("S-Tab", Key::BackTab),
    ("Up", Key::Up),
    ("Down", Key::Down),
    ("Left", Key::Left),
    ("Right", Key::Right),
    ("Home", Key::Home),
    ("End", Key::End),
    ("PgUp", Key::PageUp),
    ("PgDn", Key::PageDown),
    ("Bksp", Key::Backspace),
    ("Del", Key::Delete),
    ("Space", Key::Char(' ')),
];

/// The key that is written so.
#[must_use]
pub fn key(word: &str) -> Option<Key> {
    if let Some(&(_, key)) = NAMES.iter().find(|named| named.0 == word) {
        return Some(key);
    }
    let mut chars = word.strip_prefix("C-").unwrap_or(word).chars();
    match (chars.next(), chars.next(), word.starts_with("C-")) {
        (Some(c), None, true) => Some(Key::Ctrl(c)),
        (Some(c), None, false) => Some(Key::Char(c)),
        _ => None,
    }
}

/// How a key is written.
#[must_use]
pub fn name(key: Key) -> String {
    match (NAMES.iter().find(|named| named.1 == key), key) {
        (Some((name, _)), _) => (*name).to_owned(),
        (None, Key::Ctrl(c)) => format!("C-{c}"),
        (None, Key::Char(c)) => c.to_string(),
        // The others have names.
        (None, _) => String::new(),
    }
}

/// What is drawn of a state.
#[must_use]
pub fn screen(state: &State) -> Buffer {
    let (width, height) = state.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    crate::draw(state, &mut buffer);
    buffer
}

/// A screen as text, without what is empty at the ends of lines.
#[must_use]
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            // A wide character stands for the column behind it as well.
            skip = ratatui::text::Span::raw(symbol).width().saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Has done what is to be read at first.
///
/// # Errors
/// If an answer does not come in time.
pub fn begin(
    state: &mut State,
    backend: &mut dyn Backend,
    first: Vec<Effect>,
    limit: Duration,
) -> Result<(), String> {
    act(state, backend, first, limit)
}

/// Runs a script; each screen that it shows, and the last one.
///
/// # Errors
/// If an answer does not come in time.
pub fn run(
    state: &mut State,
    backend: &mut dyn Backend,
    first: Vec<Effect>,
    steps: &[Step],
    limit: Duration,
) -> Result<Vec<Buffer>, String> {
    let mut screens = Vec::new();
    act(state, backend, first, limit)?;
    for step in steps {
        let events = match *step {
            Step::Key(key) => vec![Event::Key(key)],
            Step::Click(x, y) => vec![Event::Press(x, y), Event::Release],
            Step::Resize(width, height) => vec![Event::Resize(width, height)],
            Step::Drag(from, to) => {
                let drag = Event::Drag(to.0, to.1);
                vec![Event::Press(from.0, from.1), drag, Event::Release]
            }
            Step::Wait(long) => {
                let end = Instant::now() + long;
                while Instant::now() < end {
                    std::thread::sleep(INTERVAL.min(end.saturating_duration_since(Instant::now())));
                    let effects = state.on(Event::Tick);
                    act(state, backend, effects, limit)?;
                }
                continue;
            }
            Step::Show => {
                screens.push(screen(state));
                continue;
            }
        };
        for event in events {
            let effects = state.on(event);
            act(state, backend, effects, limit)?;
        }
        if state.over {
            return Ok(screens);
        }
    }
    if steps.last() != Some(&Step::Show) {
        screens.push(screen(state));
    }
    Ok(screens)
}

/// Has everything done that was asked for, and waits for it.
fn act(
    state: &mut State,
    backend: &mut dyn Backend,
    effects: Vec<Effect>,
    limit: Duration,
) -> Result<(), String> {
    perform(backend, effects);
    let end = Instant::now() + limit;
    while let Some(pending) = state.pending.last() {
        let note = pending.request.note();
        match backend
            .answers()
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            Ok(event) => {
                let effects = state.on(event);
                perform(backend, effects);
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("{note}: no answer in {limit:?}"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("{note}: who worked at it is gone"));
            }
        }
    }
    Ok(())
}

fn perform(backend: &mut dyn Backend, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::Ask(ticket, request) => backend.ask(ticket, request),
            Effect::Cancel(tickets) => backend.cancel(&tickets),
            Effect::Suspend | Effect::Quit => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_words() {
        let keys = parse("j Enter 'a b' C-u size:80x24 show").expect("it is a script");
        assert_eq!(keys.len(), 8);
        assert_eq!(keys[3], Step::Key(Key::Char(' ')));
        assert_eq!(keys[5], Step::Key(Key::Ctrl('u')));
        assert_eq!(keys[6], Step::Resize(80, 24));
        assert_eq!(
            parse("wait:2"),
            Ok(vec![Step::Wait(Duration::from_secs(2))])
        );
        assert!(parse("wait:long").is_err());
        for word in ["Enter", "Space", "C-u", "x", "-", "C"] {
            assert_eq!(key(word).map(name).as_deref(), Some(word));
        }
        assert!(parse("Entre").is_err());
        assert!(parse("'open").is_err());
    }
}
