//! What comes to the state, and what it asks for.

use crate::arrows::Around;
use crate::data::{
    Arrow, Bookmark, Change, History, Lanes, Lines, Message, Near, Ordered, Overview, Picture, Stop,
};

/// A key, as far as the screens know keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A character.
    Char(char),
    /// With Ctrl.
    Ctrl(char),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Tabulator.
    Tab,
    /// Shift and tabulator.
    BackTab,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// To the start.
    Home,
    /// To the end.
    End,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// The first mouse button is pressed: column and row.
    Press(u16, u16),
    /// The mouse, with its first button held.
    Drag(u16, u16),
    /// The button is let go.
    Release,
    /// The wheel: up is negative.
    Scroll(u16, u16, i8),
    /// The terminal has so many columns and rows.
    Resize(u16, u16),
    /// Time has passed: a session that is being recorded may have grown.
    Tick,
    /// A request is answered.
    Loaded(u64, Box<Loaded>),
    /// A request is worked at: what is done.
    Progress(u64, String),
}

/// An answer; an error is a text for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// To [`Request::Overview`].
    Overview(Result<Overview, String>),
    /// To [`Request::Lanes`].
    Lanes(Result<Lanes, String>),
    /// To [`Request::Arrows`]: none, if it would take long and was not asked for.
    Arrows(Result<Option<Vec<Arrow>>, String>),
    /// To [`Request::Blame`].
    History(Result<History, String>),
    /// To [`Request::Order`]: of each row; none, if it would take long and was not asked for.
    Order(Result<Option<Vec<Option<Ordered>>>, String>),
    /// To [`Request::Near`].
    Near(Result<Vec<Near>, String>),
    /// To [`Request::Message`].
    Messages(Result<Vec<Message>, String>),
    /// To [`Request::Bookmarks`].
    Bookmarks(Result<Vec<Bookmark>, String>),
    /// To [`Request::Writers`]: of each byte, if it is known. None, if to know it would take long.
    Writers(Result<Vec<Option<u32>>, String>),
    /// To [`Request::Break`].
    Stop(Result<Stop, String>),
    /// To [`Request::Visit`], [`Request::Move`] and [`Request::Run`].
    Picture(Result<Box<Picture>, String>),
    /// To [`Request::Console`].
    Console(Result<Lines, String>),
    /// To [`Request::Events`].
    Events(Result<Lines, String>),
    /// To [`Request::Seek`].
    Sought(Result<Lines, String>),
}

/// What the state wants to know. Those of a lane are done one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The processes.
    Overview,
    /// When they did how much.
    Lanes,
    /// What one of them had to do with others; whether it may take long.
    Arrows(Around, bool),
    /// Who accessed a place (text of the user's), as seen from a position.
    Blame(String, Option<String>),
    /// What orders the accesses to a place (as in `Blame`); whether it may take long.
    Order((String, Option<String>), bool),
    /// Shared accesses of a recording until a tick, the last first.
    Near(u32, u64),
    /// A process at a position (text of the user's).
    Visit(String, Look),
    /// The same a step on from a position.
    Move(String, Motion, Look),
    /// The same at the first of these stops behind a position, or the last one before it.
    Run(String, Vec<Stop>, Way, Look),
    /// An event near a position that has to do with another recording.
    Message(String, To),
    /// The bookmarks that the session keeps, once these changes are made to them.
    Bookmarks(Vec<Change>),
    /// Who wrote the bytes that are at an address of a process at a position.
    Writers(String, u64, Vec<u8>),
    /// Where code is that the user names, maybe by an address of a recording.
    Break(String, Option<u32>),
    /// All that was printed.
    Console,
    /// Events around a tick, of one recording or of all.
    Events(Option<u32>, u64),
    /// Those of them that a filter lets through, wherever they are.
    Seek(Option<u32>, u64, String),
}

/// What is to be seen of a process beside what always is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Memory: an address, a register, a variable.
    pub memory: String,
    /// The function of the stack whose variables are meant; none: the one that is shown first.
    pub frame: Option<usize>,
    /// Expressions, of each function: `job.name`, `*p`, `a[3]`.
    pub expressions: Vec<String>,
}

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To what comes later.
    On,
    /// To what was before.
    Back,
}

/// Which event that has to do with another recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The next one of the same recording.
    Next,
    /// The one before.
    Previous,
    /// The other recording's end.
    Peer,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Motion {
    /// By what.
    pub by: By,
    /// Backwards.
    pub back: bool,
    /// Of which function of the stack: 0 is the innermost.
    pub frame: usize,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One instruction, or the event that is next.
    Instruction,
    /// To another source line of the function or its caller.
    Line,
    /// To the next event that people care for.
    Event,
}

/// Who works at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Replays.
    Travel,
    /// Reads recordings.
    Read,
    /// Searches what all of them have done.
    Search,
}

impl Request {
    /// Who works at it.
    #[must_use]
    pub const fn worker(&self) -> Worker {
        match self {
            Self::Visit(..) | Self::Move(..) | Self::Run(..) => Worker::Travel,
            Self::Overview | Self::Lanes | Self::Console => Worker::Read,
            Self::Events(..) | Self::Seek(..) => Worker::Read,
            _ => Worker::Search,
        }
    }

    /// What is being done, in words.
    #[must_use]
    pub fn note(&self) -> String {
        match self {
            Self::Overview => "reading the session".to_owned(),
            Self::Lanes => "counting events".to_owned(),
            Self::Arrows(..) => "searching what processes had from each other".to_owned(),
            Self::Blame(place, _) => format!("searching who accessed {place}"),
            Self::Order(..) => "searching for races".to_owned(),
            Self::Near(..) => "searching what it accessed".to_owned(),
            Self::Visit(position, _) => format!("replaying to {position}"),
            Self::Move(..) => "replaying".to_owned(),
            Self::Run(_, _, Way::On, _) => "running".to_owned(),
            Self::Run(_, _, Way::Back, _) => "running backwards".to_owned(),
            Self::Message(..) => "searching what processes had from each other".to_owned(),
            Self::Writers(..) => "searching who wrote this memory".to_owned(),
            Self::Bookmarks(changes) if changes.is_empty() => "reading bookmarks".to_owned(),
            Self::Bookmarks(_) => "saving bookmarks".to_owned(),
            Self::Break(text, _) => format!("searching {text} in all programs"),
            Self::Console => "reading what was printed".to_owned(),
            Self::Events(..) => "reading events".to_owned(),
            Self::Seek(_, _, filter) => format!("searching all events for {filter}"),
        }
    }
}

/// What the state has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Work at this, and answer with its ticket.
    Ask(u64, Request),
    /// Nobody waits for these tickets any more.
    Cancel(Vec<u64>),
    /// The program is to stop, until the shell has it go on.
    Suspend,
    /// The end.
    Quit,
}
