//! Reading from recordings what concerns shared memory.

mod maps;
mod ranges;
mod recording;

pub use ranges::{Piece, Ranges};
pub use recording::scan;

use crate::access::Kind;
use crate::catalog::{MapChange, Moment, ViewChange};
use orch_abi::record::Object;
use orch_recorder::trace::RecordingId;

/// An access as the recording has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Who.
    pub recording: RecordingId,
    /// Which of its accesses, from 0: tells apart those of one tick.
    pub nth: u64,
    /// When.
    pub tick: u64,
    /// Kernel thread id.
    pub tid: u32,
    /// Address of the instruction.
    pub ip: u64,
    /// See [`crate::Site::caller`].
    pub caller: u64,
    /// What it is; never outside or initial.
    pub kind: Kind,
    /// Found by comparing a page.
    pub by_page: bool,
    /// Number of the object.
    pub object: u64,
    /// Where in the object, bytes.
    pub offset: u64,
    /// Bytes stored or seen.
    pub new: &'a [u8],
    /// Bytes before, where this recording had not seen them.
    pub old: Option<&'a [u8]>,
}

/// Takes what a scan finds, in the order of the recording.
pub trait Sink {
    /// Why it cannot go on.
    type Error;
    /// An object has this number and name.
    fn object(&mut self, object: &Object, name: &[u8]);
    /// A range shows another object.
    fn view(&mut self, view: ViewChange);
    /// A range shows another file.
    fn map(&mut self, map: MapChange);
    /// A wall time is known.
    fn moment(&mut self, moment: Moment);
    /// An access.
    fn access(&mut self, access: &Seen<'_>) -> Result<(), Self::Error>;
    /// Looked at now and then: `part` of the recording is done, between 0 and 1.
    fn progress(&mut self, part: f64) -> Result<(), Self::Error>;
    /// Part of the recording cannot be read.
    fn damage(&mut self, what: String);
}
