//! Time travel: a recording's process at any of its instants, and execution
//! from there both ways.
//!
//! A replaying process runs at full speed to an event and waits there
//! (`recorder/runtime/src/stop.rs`); a waiting process can make a copy of
//! itself, which is a *checkpoint*. Between events the engine moves it with
//! ptrace: instruction by instruction, or to breakpoints. What the runtime has
//! put into the program's code is translated, so that the user sees nothing
//! but the program's own code and addresses ([`code`]).
//!
//! Backwards is forwards from an earlier checkpoint, up to the last hit before now.

pub mod code;
mod crossings;
mod engine;
mod event;
mod hits;
mod instruction;
mod memory;
mod motion;
mod process;
mod reverse;
mod saved;
mod scratch;
mod segments;
mod tracee;
mod xstate;

pub use crossings::{Crossing, Crossings, Made, What};
pub use engine::{Instant, State, Travel};
pub use hits::{Hits, Since, Wanted};
pub use instruction::is_call;
pub use motion::{Reason, Stops, Watch};
pub use saved::Along;
pub use scratch::Ran;
pub use xstate::{Component, Xstate};

/// Why one cannot get there.
#[derive(Debug, thiserror::Error)]
pub enum TravelError {
    /// The recording ends before.
    #[error("the recording ends here")]
    End,
    /// The recording starts here.
    #[error("the recording starts here")]
    Start,
    /// The replay differed from the recording.
    #[error(
        "the replay of {recording} differs from its recording: {why}; see `orch replay -p {recording}`"
    )]
    Diverged {
        /// Which.
        recording: orch_recorder::trace::RecordingId,
        /// How.
        why: String,
    },
    /// The process is gone for another reason.
    #[error("the replaying process ended: {0}")]
    Gone(String),
    /// Somebody asked for it.
    #[error("interrupted")]
    Interrupted,
}
