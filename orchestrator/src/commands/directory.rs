//! Directories for the time of a debugging session. Their owner has them locked (flock(2)): what
//! one leaves behind that was killed, the next one removes.

use anyhow::Result;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How their names begin.
const PREFIX: &str = "orch-gdb-";
/// One that is as young may not be locked yet.
const YOUNG: Duration = Duration::from_secs(60);

/// A directory that is removed with this.
#[derive(Debug)]
pub struct Directory {
    dir: TempDir,
    _lock: Flock<File>,
}

impl Directory {
    /// Makes one, and removes those whose owners are gone.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn make() -> Result<Self> {
        sweep(&std::env::temp_dir(), YOUNG);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let lock = lock(dir.path()).ok_or_else(|| anyhow::anyhow!("somebody else locks it"))?;
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn lock(dir: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(dir).ok()?, FlockArg::LockExclusiveNonblock).ok()
}

/// Removes the directories below `root` that nobody has locked. What cannot be removed is
/// another user's.
fn sweep(root: &Path, young: Duration) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes());
        let old = || {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_dir)?;
            metadata.modified().ok()?.elapsed().ok()
        };
        if ours
            && old().is_some_and(|age| age >= young)
            && let Some(_lock) = lock(&entry.path())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_is_removed() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| root.path().join(name);
        for name in ["orch-gdb-owned", "orch-gdb-left", "other"] {
            fs::create_dir_all(path(name).join("p1/usr")).expect("there is room");
        }
        let _owner = lock(&path("orch-gdb-owned")).expect("nobody else has it");
        sweep(root.path(), YOUNG);
        assert!(path("orch-gdb-left").exists(), "it is young");
        sweep(root.path(), Duration::ZERO);
        assert!(!path("orch-gdb-left").exists());
        assert!(path("orch-gdb-owned").exists() && path("other").exists());
    }
}
