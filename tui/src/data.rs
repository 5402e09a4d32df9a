//! What the screens show, as plain data: whoever reads recordings fills it.

use std::fmt;

/// The session in a few lines, and its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The command that was recorded.
    pub command: String,
    /// When, how long, how it ended.
    pub note: String,
    /// Whether it is still being recorded.
    pub recording: bool,
    /// What cannot be read of it, and what to do.
    pub damage: Option<String>,
    /// All recordings, children below their parents.
    pub processes: Vec<Process>,
}

/// A recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number: 3 of `p3`.
    pub id: u32,
    /// Lines that show its place in the tree.
    pub branch: String,
    /// Process id.
    pub pid: Option<u32>,
    /// Last part of the program's path.
    pub program: String,
    /// The command line.
    pub command: String,
    /// First and last tick.
    pub span: (u64, u64),
    /// How it ended, in words.
    pub ending: String,
    /// How bad that is.
    pub end: End,
    /// How many events it has.
    pub events: u64,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// As it should, or nobody knows.
    #[default]
    Good,
    /// It goes on in another recording.
    Exec,
    /// With an exit code that is not 0.
    Failed,
    /// By a signal that another process, or the user, sends to end one.
    Killed,
    /// By a signal for what it did itself.
    Crashed,
    /// Its recording cannot be read, or not to its end.
    Damaged,
}

/// What happened when, of all recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// First and last tick of the session.
    pub span: (u64, u64),
    /// Ticks in a part of each density.
    pub each: u64,
    /// By recording.
    pub lanes: Vec<Lane>,
}

/// One recording's part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Which.
    pub recording: u32,
    /// Events in equal parts of the session's time, from tick 0 on; behind the last, none.
    pub density: Vec<u32>,
    /// The same of accesses to shared memory: stores, and loads that saw something new.
    pub shared: Vec<u32>,
    /// Ticks of signals.
    pub signals: Vec<u64>,
}

/// An event of one recording that cannot have happened without one of another: recordings
/// and ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// The earlier one.
    pub from: (u32, u64),
    /// The later one.
    pub to: (u32, u64),
}

/// A way to show the bytes of an access.
pub const FORMATS: [&str; 8] = [
    "auto", "int", "int8", "int16", "int32", "hex", "text", "float",
];

/// Who accessed some memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What was asked for, in full.
    pub place: String,
    /// What else is to be said of the place.
    pub note: String,
    /// In the order in which they happened.
    pub rows: Vec<Access>,
    /// Which bytes these are, of shared memory.
    pub bytes: Option<Bytes>,
    /// As it was asked for: the place, and the position that it was seen from.
    pub asked: (String, Option<String>),
    /// Whether it is known what orders the accesses.
    pub ordered: bool,
}

/// Bytes of a shared object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Its name.
    pub object: String,
    /// The first one.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

/// An access, and the last one before it that it conflicts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordered {
    /// `race p3@18402`, `after p3@18402 pipe`.
    pub text: String,
    /// The position of the one before.
    pub before: String,
    /// Whether nothing puts them in order.
    pub race: bool,
    /// Whether it stored over what its recording had not seen.
    pub unseen: bool,
}

/// A row of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `p3@18402`.
    pub position: String,
    /// Its tick.
    pub tick: u64,
    /// Whose, or who noticed.
    pub recording: u32,
    /// Seconds since the session began.
    pub time: String,
    /// Program.
    pub program: String,
    /// `store`, `load`, `syscall`, `outside`, `initial`.
    pub kind: &'static str,
    /// Offset and size.
    pub place: String,
    /// Offset in the object.
    pub offset: u64,
    /// By [`FORMATS`].
    pub values: Vec<Value>,
    /// Function.
    pub function: String,
    /// File and line.
    pub file: String,
    /// What orders it, once that is known.
    pub order: Option<Ordered>,
}

/// The bytes of an access as they are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// What was there before, of what changed them.
    pub old: Option<String>,
    /// What is there then.
    pub new: String,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.old {
            Some(old) => write!(f, "{old} → {}", self.new),
            None => f.write_str(&self.new),
        }
    }
}

/// A shared access that a recording has just made: what may be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near {
    /// The place, as it is typed: `/dev/shm/q+0x40:4`.
    pub place: String,
    /// The access in words.
    pub text: String,
    /// Recording and tick.
    pub at: (u32, u64),
}

/// A process as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Where.
    pub position: String,
    /// Which recording.
    pub recording: u32,
    /// Tick of the event that it is at or behind.
    pub tick: u64,
    /// Program, process, thread.
    pub title: String,
    /// The event, and how the position is related to it.
    pub event: String,
    /// Functions that have not returned, innermost first.
    pub frames: Vec<Frame>,
    /// The one whose source is shown first.
    pub frame: usize,
    /// Why there may be more.
    pub cut: Option<String>,
    /// Instructions around the next one.
    pub code: Vec<Instruction>,
    /// Names, values, what is there.
    pub registers: Vec<(&'static str, u64, String)>,
    /// Its threads.
    pub threads: Vec<Thread>,
    /// Memory that was asked for.
    pub memory: Memory,
    /// What would show more.
    pub hint: Option<String>,
    /// Why a run has stopped here.
    pub stopped: Option<String>,
    /// Texts that were to be expressions, and why they are none.
    pub refused: Vec<(String, String)>,
}

/// An event that depends on one of another recording, or has one depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where to go.
    pub position: String,
    /// What was sent between whom.
    pub text: String,
}

/// A position that is kept, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bookmark {
    /// `p3@18402`.
    pub position: String,
    /// What the user said about it.
    pub note: String,
}

/// What is to become of the bookmarks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One more, in place of another of its position.
    Add(Bookmark),
    /// None at this position.
    Remove(String),
}

/// Where a run is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// As the user names it: `report.cpp:12`, `main`, `p3:0x401136`, `job.failures`.
    pub text: String,
    /// What that means.
    pub at: StopAt,
}

/// Addresses, from some ticks on.
pub type Since = Vec<(u64, Vec<u64>)>;

/// What a run is to stop for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// That it comes to some code.
    Code {
        /// Files and lines of it.
        lines: Vec<(String, u32)>,
        /// Its addresses by recording, and from which tick on they count: libraries come
        /// and go.
        since: Vec<(u32, Since)>,
    },
    /// That memory changes.
    Memory {
        /// Of which recording.
        recording: u32,
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
    },
}

impl Stop {
    /// The addresses in a recording that it stops at, some maybe several times.
    pub fn addresses(&self, id: u32) -> impl Iterator<Item = u64> {
        let since = match &self.at {
            StopAt::Code { since, .. } => &since[..],
            StopAt::Memory { .. } => &[],
        };
        let own = since.iter().filter(move |s| s.0 == id);
        own.flat_map(|s| &s.1).flat_map(|s| s.1.iter().copied())
    }

    /// Whether it stops at a line of source.
    #[must_use]
    pub fn is_at(&self, file: &str, line: u32) -> bool {
        match &self.at {
            StopAt::Code { lines, .. } => lines.iter().any(|l| l.0 == file && l.1 == line),
            StopAt::Memory { .. } => false,
        }
    }
}

/// A line of the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Address where it goes on.
    pub pc: u64,
    /// Function.
    pub function: String,
    /// File and line, or the program.
    pub place: String,
    /// Source lines.
    pub source: Option<Source>,
    /// Parameters and local variables, and their members.
    pub variables: Vec<Variable>,
}

/// A variable of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// Its name; a member's with those of what it is in.
    pub name: String,
    /// Its value, or why there is none.
    pub value: String,
    /// First byte and size, if it is in memory.
    pub place: Option<(u64, u64)>,
    /// Whether it is of an expression that the user wants to see.
    pub pinned: bool,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// Its number in the recording.
    pub index: u32,
    /// Kernel thread id.
    pub tid: u32,
    /// Whether it runs; the others wait.
    pub running: bool,
    /// The function that it is in.
    pub place: String,
}

/// Source lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Path.
    pub file: String,
    /// The line that is meant.
    pub line: u32,
    /// Numbers and texts; none if the file cannot be read.
    pub lines: Vec<(u32, String)>,
    /// Why it cannot, or may be another.
    pub problem: Option<String>,
}

/// An instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// Address.
    pub addr: u64,
    /// Whether it is the next one.
    pub current: bool,
    /// Function and offset.
    pub function: String,
    /// As assembly.
    pub text: String,
}

/// Some memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What was asked for.
    pub what: String,
    /// Address of the first byte.
    pub addr: u64,
    /// As far as they can be read.
    pub bytes: Vec<u8>,
    /// Why there are no more.
    pub problem: Option<String>,
}

/// What was printed, or what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// `p3@18402`.
    pub position: String,
    /// Its tick.
    pub tick: u64,
    /// Whose.
    pub recording: u32,
    /// Thread, where there are several.
    pub thread: Option<u32>,
    /// The text.
    pub text: String,
    /// Whether something failed.
    pub bad: bool,
}

impl Line {
    /// What a filter looks at.
    #[must_use]
    pub fn searched(&self) -> String {
        format!("{} {}", self.position, self.text)
    }
}

/// Lines in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Them.
    pub lines: Vec<Line>,
    /// What is missing.
    pub note: Option<String>,
    /// Whether there are others before or behind them, that can be searched.
    pub part: bool,
}
