//! Names of places in a session: `p3`, `p3@18402`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Number of a recording in its session, written `p3`. The root is `p1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordingId(pub u32);

/// A number from the session-wide clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Tick(pub u64);

/// A recording and a tick, written `p3@18402`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which recording.
    pub recording: RecordingId,
    /// Where in it.
    pub tick: Tick,
}

/// Text that is not a recording or position.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is not a {what}; write it like {example}")]
pub struct ParseIdError {
    text: String,
    what: &'static str,
    example: &'static str,
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.recording, self.tick)
    }
}

/// Digits only: `u64::from_str` would also take a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

impl FromStr for RecordingId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let id = text
            .strip_prefix('p')
            .and_then(number)
            .filter(|&id| id != 0);
        id.map(Self).ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            what: "recording",
            example: "p3",
        })
    }
}

impl FromStr for Position {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parse = || {
            let (recording, tick) = text.split_once('@')?;
            Some(Self {
                recording: recording.parse().ok()?,
                tick: Tick(number(tick)?),
            })
        };
        parse().ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            what: "position",
            example: "p3@18402",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        assert_eq!("p3".parse(), Ok(RecordingId(3)));
        let at = Position {
            recording: RecordingId(3),
            tick: Tick(18402),
        };
        assert_eq!("p3@18402".parse(), Ok(at));
        assert_eq!(at.to_string(), "p3@18402");
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "p", "3", "p0", "p+3", "p-1", "px", "p99999999999"] {
            assert!(text.parse::<RecordingId>().is_err(), "{text}");
        }
        for text in ["p3", "p3@", "p3@+1", "@3", "p3@99999999999999999999"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
