//! A real terminal: raw while it is used, and as it was in every case afterwards.

use crate::event::{Effect, Event, Key};
use crate::state::State;
use crate::{Backend, INTERVAL};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    self as input, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste,
    EnableMouseCapture, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use std::io::{self, Stdout, stdout};
use std::time::{Duration, Instant};

/// How often answers are looked for while no key is pressed.
const TICK: Duration = Duration::from_millis(25);

/// How the program is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user has quit.
    Quit,
    /// A signal came.
    Signal(i32),
}

/// The terminal, as long as it is ours.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn take() -> io::Result<Self> {
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()));
        if terminal.is_err() {
            leave();
        }
        Ok(Self(terminal?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    let entered = execute!(
        stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        EnableBracketedPaste
    );
    entered.inspect_err(|_| leave())
}

/// Gives the terminal back. It may be gone: then there is nothing to give.
fn leave() {
    let _ = execute!(
        stdout(),
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

/// A panic's message is to be read: the terminal is given back before it is printed.
/// Of another thread, the screen goes on: it tells what its worker said ([`Backend`]).
fn give_back_on_panic() {
    let before = std::panic::take_hook();
    let own = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == own {
            leave();
            before(panic);
        }
    }));
}

/// Shows the state and does what keys say, until the end.
///
/// # Errors
/// If the terminal cannot be used.
pub fn run(state: &mut State, backend: &mut dyn Backend, first: Vec<Effect>) -> io::Result<End> {
    give_back_on_panic();
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP])?;
    let mut screen = Screen::take()?;
    let size = screen.0.size()?;
    let mut effects = first;
    effects.extend(state.on(Event::Resize(size.width, size.height)));
    let mut changed = true;
    let mut looked = Instant::now();
    loop {
        for signal in signals.pending() {
            match signal {
                SIGTSTP => effects.push(Effect::Suspend),
                signal => return Ok(End::Signal(signal)),
            }
        }
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Ask(ticket, request) => backend.ask(ticket, request),
                Effect::Cancel(tickets) => backend.cancel(&tickets),
                Effect::Quit => return Ok(End::Quit),
                Effect::Suspend => {
                    suspend(&mut screen)?;
                    let size = screen.0.size()?;
                    let _ = state.on(Event::Resize(size.width, size.height));
                    changed = true;
                }
            }
        }
        if std::mem::take(&mut changed) {
            show(&mut screen, state)?;
        }
        while let Ok(event) = backend.answers().try_recv() {
            effects.extend(state.on(event));
            changed = true;
        }
        if looked.elapsed() >= INTERVAL {
            looked = Instant::now();
            effects.extend(state.on(Event::Tick));
        }
        if effects.is_empty() && wait()? {
            for event in translate(input::read()?) {
                effects.extend(state.on(event));
            }
            changed = true;
        }
    }
}

/// Waits for the user; a signal ends that early.
fn wait() -> io::Result<bool> {
    match input::poll(TICK) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(false),
        other => other,
    }
}

fn show(screen: &mut Screen, state: &State) -> io::Result<()> {
    let mut at = None;
    screen.0.draw(|frame| {
        // The terminal may have another size since it was told last.
        let area = frame.area();
        if (area.width, area.height) == state.size {
            at = crate::draw(state, frame.buffer_mut());
            if let Some(at) = at {
                frame.set_cursor_position(at);
            }
        }
    })?;
    Ok(())
}

/// Stops this process as the terminal's own Ctrl-Z would, with the terminal as it was.
fn suspend(screen: &mut Screen) -> io::Result<()> {
    leave();
    signal_hook::low_level::emulate_default_handler(SIGTSTP)?;
    enter()?;
    screen.0.clear()
}

fn translate(event: input::Event) -> Vec<Event> {
    match event {
        input::Event::Key(key) if key.kind != KeyEventKind::Release => {
            self::key(key).map(Event::Key).into_iter().collect()
        }
        input::Event::Paste(text) => {
            let keys = text.chars().filter(|c| !c.is_control());
            keys.map(|c| Event::Key(Key::Char(c))).collect()
        }
        input::Event::Resize(width, height) => vec![Event::Resize(width, height)],
        input::Event::Mouse(mouse) => {
            let (x, y) = (mouse.column, mouse.row);
            match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => vec![Event::Press(x, y)],
                MouseEventKind::Drag(MouseButton::Left) => vec![Event::Drag(x, y)],
                MouseEventKind::Up(MouseButton::Left) => vec![Event::Release],
                MouseEventKind::ScrollUp => vec![Event::Scroll(x, y, -1)],
                MouseEventKind::ScrollDown => vec![Event::Scroll(x, y, 1)],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

fn key(key: KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            Key::Ctrl(c.to_ascii_lowercase())
        }
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}
