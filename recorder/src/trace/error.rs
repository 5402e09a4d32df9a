//! What can go wrong with a recording on disk.

use super::codec::CodecError;
use std::io;
use std::path::{Path, PathBuf};

/// A recording that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The system refused.
    #[error("cannot {action} recording {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file does not begin like a recording.
    #[error("{} is not a recording of orch (or its first bytes are damaged)", path.display())]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another format version.
    #[error(
        "recording {} has format version {found}, this orch reads version {}; \
         use the orch that made it, or record again",
        path.display(), super::VERSION
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A frame is damaged.
    #[error("recording {} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the frame begins in the file.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// A frame is intact but what it holds makes no sense.
    #[error("recording {} is damaged at byte {offset}: {source}", path.display())]
    Codec {
        /// The file.
        path: PathBuf,
        /// Where the frame begins in the file.
        offset: u64,
        /// What does not fit.
        source: CodecError,
    },
    /// Bytes to be appended that are no records.
    #[error("refused to append to recording {}: {source} (at byte {at} of the input)", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// Where the record begins in the input.
        at: usize,
        /// What is wrong with it.
        source: CodecError,
    },
    /// An offset that is not in the recording.
    #[error("recording {} has no byte {offset}: its stream ends at {end}", path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// The offset asked for.
        offset: u64,
        /// Bytes in the stream.
        end: u64,
    },
}

impl TraceError {
    /// For `map_err` on a file operation.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
