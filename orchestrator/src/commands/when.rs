//! Points in time as arguments: a tick of the session, or a position.

use crate::position::{Position, number};
use anyhow::Result;
use orch_recorder::session::Session;
use orch_recorder::trace::Tick;

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// A tick of the session clock.
    Tick(u64),
    /// A place in a recording.
    At(Position),
}

/// Parses one.
pub fn when(text: &str) -> Result<When, String> {
    match number(text) {
        Some(tick) => Ok(When::Tick(tick)),
        None => match text.parse() {
            Ok(position) => Ok(When::At(position)),
            Err(_) => Err("write a tick (18402) or a position (p3@18402, p3@start)".to_owned()),
        },
    }
}

impl When {
    /// Its tick.
    pub fn tick(self, session: &Session) -> Result<Tick> {
        match self {
            Self::Tick(tick) => Ok(Tick(tick)),
            Self::At(position) => {
                super::recordings(session, Some(position.recording))?;
                Ok(position.tick(session)?)
            }
        }
    }
}
