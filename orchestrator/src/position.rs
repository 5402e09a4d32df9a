//! Places in a session as the user writes them: `p3@18402`, `p3@18402+57`,
//! `p3@start`, `p3@end`.

use orch_recorder::session::Session;
use orch_recorder::trace::{RecordingId, Tick, TraceError};
use std::fmt;
use std::str::FromStr;

/// A place in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which recording.
    pub recording: RecordingId,
    /// Where in it.
    pub at: At,
}

/// Where in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// Before its first event.
    Start,
    /// Behind its last event.
    End,
    /// At an event, or a number of instructions behind it.
    Tick {
        /// The event's tick.
        tick: Tick,
        /// Instructions that have run since.
        instructions: u64,
    },
}

/// Text that is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position; write p3@18402, p3@18402+57, p3@start or p3@end")]
pub struct ParsePositionError(String);

impl Position {
    /// The place of an event.
    pub const fn event(recording: RecordingId, tick: u64) -> Self {
        let tick = Tick(tick);
        let at = At::Tick {
            tick,
            instructions: 0,
        };
        Self { recording, at }
    }

    /// Its tick: for the start and the end, that of the first and the last event.
    pub fn tick(&self, session: &Session) -> Result<Tick, TraceError> {
        Ok(match self.at {
            At::Tick { tick, .. } => tick,
            At::Start => session.summary(self.recording)?.first_tick,
            At::End => session.summary(self.recording)?.last_tick,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.recording, self.at)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::End => f.write_str("end"),
            Self::Tick {
                tick,
                instructions: 0,
            } => tick.fmt(f),
            Self::Tick { tick, instructions } => write!(f, "{tick}+{instructions}"),
        }
    }
}

/// Digits only: `u64::from_str` would also take a sign.
pub fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn at(text: &str) -> Option<At> {
    Some(match text {
        "start" => At::Start,
        "end" => At::End,
        _ => {
            let (tick, instructions) = match text.split_once('+') {
                Some((tick, instructions)) => (tick, number(instructions)?),
                None => (text, 0),
            };
            At::Tick {
                tick: Tick(number(tick)?),
                instructions,
            }
        }
    })
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let parse = || {
            let (recording, place) = text.split_once('@')?;
            Some(Self {
                recording: recording.parse().ok()?,
                at: at(place)?,
            })
        };
        parse().ok_or_else(|| ParsePositionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_as_written() {
        let at = |at| Position {
            recording: RecordingId(3),
            at,
        };
        let tick = |tick, instructions| At::Tick {
            tick: Tick(tick),
            instructions,
        };
        for (text, position) in [
            ("p3@18402", at(tick(18402, 0))),
            ("p3@18402+57", at(tick(18402, 57))),
            ("p3@start", at(At::Start)),
            ("p3@end", at(At::End)),
        ] {
            assert_eq!(text.parse(), Ok(position));
            assert_eq!(position.to_string(), text);
        }
        assert_eq!("p3@7+0".parse(), Ok(at(tick(7, 0))));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "p3",
            "p3@",
            "@3",
            "p0@3",
            "3@3",
            "p3@+1",
            "p3@1+",
            "p3@-1",
            "p3@1+-1",
            "p3@1+1+1",
            "p3@End",
            "p3@99999999999999999999",
            "p3@1 ",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(recording in 1_u32.., tick: u64, instructions: u64, which in 0..3) {
            let at = match which {
                0 => At::Start,
                1 => At::End,
                _ => At::Tick { tick: Tick(tick), instructions },
            };
            let position = Position { recording: RecordingId(recording), at };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn no_text_breaks_the_parser(text in "p?[0-9]{0,3}@?.{0,8}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string().parse(), Ok(position));
            }
        }
    }
}
