//! Places in a session as the user writes them: `p3@18402`, `p3@18402+57`,
//! `p3@start`, `p3@~12.5s`, `p3@50%`; `@18402` is that moment in every recording.

mod parse;
mod resolve;
#[cfg(test)]
mod tests;

use orch_recorder::trace::{RecordingId, Tick};
use std::fmt;

/// A place in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which recording.
    pub recording: RecordingId,
    /// Where in it.
    pub at: At,
}

/// A place in a recording, or a moment of the whole session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// In this recording.
    At(Position),
    /// In every recording: no instructions, no pass, and not [`At::Exit`].
    Everywhere(At),
}

/// Where in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Before its first event.
    Start,
    /// Behind its last event.
    End,
    /// At the last event that is the process's own: its exit, the signal that
    /// killed it, or the exec that replaced it.
    Exit,
    /// At the last event before a wall time.
    Time {
        /// Nanoseconds since the session began.
        nanos: u64,
    },
    /// At the event that has this part of all events before it.
    Part {
        /// Thousandths of a percent, at most [`At::WHOLE`].
        thousandths: u32,
    },
    /// At an event, or behind it.
    Tick {
        /// The event's tick.
        tick: Tick,
        /// How the thread has come to an instruction since.
        pass: Option<Pass>,
        /// Instructions that have run since (the event, or the pass).
        instructions: u64,
    },
}

/// The moment before an instruction is executed once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    /// Address of the instruction.
    pub addr: u64,
    /// Which time it is since the event, from 1.
    pub nth: u64,
}

impl Position {
    /// The place of an event.
    pub const fn event(recording: RecordingId, tick: u64) -> Self {
        let at = At::tick(Tick(tick));
        Self { recording, at }
    }
}

impl At {
    /// 100 %.
    pub const WHOLE: u32 = 100_000;

    /// An event.
    pub const fn tick(tick: Tick) -> Self {
        Self::Tick {
            tick,
            pass: None,
            instructions: 0,
        }
    }

    /// Whether it lies behind the event that it is named by, and not at or before one.
    pub const fn is_behind(self) -> bool {
        !matches!(
            self,
            Self::Start
                | Self::Tick {
                    pass: None,
                    instructions: 0,
                    ..
                }
        )
    }

    /// How it lies to the event that [`crate::describe::at`] tells of.
    pub const fn relation(self) -> &'static str {
        match self {
            Self::Start => "before",
            at if at.is_behind() => "behind",
            _ => "at",
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.recording, self.at)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(position) => position.fmt(f),
            Self::Everywhere(at) => write!(f, "@{at}"),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Start => f.write_str("start"),
            Self::End => f.write_str("end"),
            Self::Exit => f.write_str("exit"),
            Self::Time { nanos } => write!(f, "~{}s", Decimal(nanos, 9)),
            Self::Part { thousandths } => write!(f, "{}%", Decimal(thousandths.into(), 3)),
            Self::Tick {
                tick,
                pass,
                instructions,
            } => {
                tick.fmt(f)?;
                if let Some(Pass { addr, nth }) = pass {
                    write!(f, ":{addr:#x}#{nth}")?;
                }
                match instructions {
                    0 => Ok(()),
                    n => write!(f, "+{n}"),
                }
            }
        }
    }
}

/// A number with this many digits behind the point, of which those that say
/// nothing are left out.
struct Decimal(u64, usize);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(self.1 as u32);
        let digits = format!("{:0width$}", self.0 % unit, width = self.1);
        match digits.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / unit),
            digits => write!(f, "{}.{digits}", self.0 / unit),
        }
    }
}
