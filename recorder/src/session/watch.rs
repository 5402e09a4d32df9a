//! Who looks at a session while it is recorded says so: what is recorded then reaches the
//! files within a second, not only when a block is full. (Short blocks compress worse.)

use super::Session;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// So long somebody who has said so is taken to look.
const PATIENCE: Duration = Duration::from_secs(5);

impl Session {
    fn watched(&self) -> PathBuf {
        self.dir.join("watched")
    }

    /// Says that somebody looks at it now; to be said again every few seconds.
    ///
    /// # Errors
    /// If the session cannot be written to: it is seen to grow block by block, then.
    pub fn watch(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        // A FIFO, which somebody may have put there, would wait for a reader.
        let options = options.custom_flags(libc::O_NONBLOCK);
        let file = options.open(self.watched())?;
        file.set_modified(SystemTime::now())
    }

    /// Whether somebody looks at it.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        let said = fs::metadata(self.watched()).and_then(|meta| meta.modified());
        // A clock that was set back must not make it watched for long.
        said.is_ok_and(|at| {
            SystemTime::now()
                .duration_since(at)
                .is_ok_and(|d| d < PATIENCE)
        })
    }

    /// There is nothing more to see.
    pub fn unwatch(&self) {
        // It may not be there.
        let _ignored: io::Result<()> = fs::remove_file(self.watched());
    }
}
