//! What can go wrong with an index or a query.

use orch_recorder::session::SessionError;
use orch_recorder::trace::TraceError;
use std::io;
use std::path::{Path, PathBuf};

/// An index that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BlameError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A part of the index is not what was written.
    #[error("the index {} is damaged ({what}); remove it, and it is made again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// To order accesses would take more memory than is well spent.
    #[error(
        "more than {most} events between these accesses have to do with other recordings; \
         ask for a shorter time, or for the last accesses only"
    )]
    TooMany {
        /// How many are kept.
        most: usize,
    },
    /// Somebody asked for it.
    #[error("interrupted")]
    Interrupted,
    /// The session cannot be read.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A recording cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

impl BlameError {
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
