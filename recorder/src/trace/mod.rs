//! Recordings on disk: what a process took from outside, in order.
//!
//! A recording is a stream of records ([`orch_abi::record`]) cut into blocks.
//! Each block is transformed ([`codec`]), compressed and framed by
//! itself, so that reading can start at any of them and damage stays in one.
//! docs/trace-format.md describes the file byte by byte.

mod bytes;
pub mod codec;
mod error;
mod frame;
mod id;
mod index;
mod reader;
pub mod record;
mod summary;
mod writer;

pub use error::TraceError;
pub use frame::VERSION;
pub use id::{ParseIdError, Position, RecordingId, Tick};
pub use reader::{Block, RecordingReader, Records};
pub use record::{Record, RecordError};
pub use summary::{End, Origin, Program, Rare, Summary};
pub use writer::RecordingWriter;
