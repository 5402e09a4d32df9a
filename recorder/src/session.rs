//! Sessions: the directory of one `orch record` run.
//!
//! A session holds `session.json` ([`Meta`]), the captured files in `files/`
//! ([`FileStore`]), a file for each recording (`p3.events`), and while it runs
//! the arena that its processes share. (A directory for each recording would be
//! tidier, but making one costs as much as the file in it.)

mod meta;
mod place;
mod watch;

pub use meta::{CpuModel, FORMAT, Meta, Refused};
pub use place::{base_dir, default_dir, link_latest, list, locate, root};

use crate::files::{FileStore, FileStoreError};
use crate::regular;
use crate::trace::{
    Origin, Program, RecordingId, RecordingReader, RecordingWriter, Summary, TraceError,
};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the file that makes a directory a session.
const META_FILE: &str = "session.json";
/// Most bytes of it; a command and its environment have some MiB (execve(2)).
const MOST_META: u64 = 64 << 20;
/// What follows a recording's name in that of its file.
const EVENTS: &str = ".events";

/// A session that cannot be made, found, opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The directory to record to has a session already.
    #[error("{} already exists; record to another directory, or remove it with `orch sessions`", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// No session there.
    #[error("{} is not a session of orch: it has no session.json", path.display())]
    NotASession {
        /// The directory.
        path: PathBuf,
    },
    /// Its `session.json` makes no sense.
    #[error("{} is damaged: {source}", path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Made by another version.
    #[error(
        "session {} has format {found} (made by orch {orch}), this orch reads format {}; \
         use the orch that made it, or record again",
        path.display(), FORMAT
    )]
    Version {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Version of the orch that made it.
        orch: String,
    },
    /// Still being recorded.
    #[error("session {} is still being recorded by process {supervisor}", path.display())]
    Running {
        /// The directory.
        path: PathBuf,
        /// Process id of its supervisor.
        supervisor: u32,
    },
    /// There are no sessions.
    #[error("there is no session in {}; make one with `orch record -- COMMAND`, or name one with -s", path.display())]
    None {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Neither `XDG_DATA_HOME` nor `HOME` is set.
    #[error(
        "no place for sessions: neither XDG_DATA_HOME nor HOME is set; give a directory with -o or -s"
    )]
    NoHome,
}

impl SessionError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Where a recording's process comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The recording, who forked it, who forked that one, and so on to the one that began with a
    /// program.
    pub recordings: Vec<RecordingId>,
    /// That program; none if the recording is empty.
    pub program: Option<Program>,
}

/// A session's directory, and what `session.json` says.
#[derive(Clone, Debug)]
pub struct Session {
    dir: PathBuf,
    meta: Meta,
}

impl Session {
    /// Makes the directory (it may exist, empty) and writes `session.json`.
    pub fn create(dir: &Path, meta: Meta) -> Result<Self, SessionError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let empty = fs::read_dir(dir).map(|mut entries| entries.next().is_none());
        if matches!(empty, Ok(false)) {
            return Err(SessionError::Exists {
                path: dir.to_owned(),
            });
        }
        builder
            .create(dir)
            .map_err(SessionError::io("create", dir))?;
        let dir = dir.canonicalize().map_err(SessionError::io("open", dir))?;
        restrict(&dir)?;
        let session = Self { dir, meta };
        session.save()?;
        Ok(session)
    }

    /// Opens a session, running or not.
    pub fn open(dir: &Path) -> Result<Self, SessionError> {
        let path = dir.join(META_FILE);
        let text = regular::read(&path, MOST_META).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SessionError::NotASession {
                path: dir.to_owned(),
            },
            _ => SessionError::Io {
                action: "read",
                path: path.clone(),
                source,
            },
        })?;
        let meta = Meta::parse(&text, dir, &path)?;
        let dir = dir.canonicalize().map_err(SessionError::io("open", dir))?;
        Ok(Self { dir, meta })
    }

    /// Its directory, an absolute path.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `session.json` says.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Changes `session.json`.
    pub fn update(&mut self, change: impl FnOnce(&mut Meta)) -> Result<(), SessionError> {
        change(&mut self.meta);
        self.save()
    }

    /// Replaces `session.json` at once: who reads it sees the old or the new.
    fn save(&self) -> Result<(), SessionError> {
        let (path, new) = (self.dir.join(META_FILE), self.dir.join(".session.json.new"));
        let mut text = serde_json::to_vec_pretty(&self.meta).expect("plain data has a JSON form");
        text.push(b'\n');
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&new)
            .and_then(|mut file| file.write_all(&text))
            .map_err(SessionError::io("write", &new))?;
        fs::rename(&new, &path).map_err(SessionError::io("write", &path))
    }

    /// Path of the arena (there while the session is recorded).
    #[must_use]
    pub fn arena(&self) -> PathBuf {
        self.dir.join("arena")
    }

    /// Directory of the captured files.
    #[must_use]
    pub fn files_dir(&self) -> PathBuf {
        self.dir.join("files")
    }

    /// The captured files.
    pub fn files(&self) -> Result<FileStore, FileStoreError> {
        FileStore::open(&self.files_dir())
    }

    /// Path of a recording's records.
    #[must_use]
    pub fn events_path(&self, id: RecordingId) -> PathBuf {
        self.dir.join(format!("{id}{EVENTS}"))
    }

    /// All recordings, in order.
    pub fn recordings(&self) -> Result<Vec<RecordingId>, SessionError> {
        let entries = fs::read_dir(&self.dir).map_err(SessionError::io("list", &self.dir))?;
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(SessionError::io("list", &self.dir))?;
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_suffix(EVENTS)?.parse::<RecordingId>().ok());
            ids.extend(id);
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Makes a recording.
    pub fn writer(&self, id: RecordingId) -> Result<RecordingWriter, TraceError> {
        RecordingWriter::create(&self.events_path(id), id)
    }

    /// Opens a recording.
    pub fn reader(&self, id: RecordingId) -> Result<RecordingReader, TraceError> {
        RecordingReader::open(&self.events_path(id))
    }

    /// A recording in a few numbers.
    pub fn summary(&self, id: RecordingId) -> Result<Summary, TraceError> {
        let mut summary = RecordingReader::summary_of(&self.events_path(id))?;
        // A parent has a lower number. Who follows parents comes to an end, whatever a file says.
        if matches!(summary.origin, Some(Origin::Fork { parent, .. }) if parent >= id) {
            summary.origin = None;
        }
        Ok(summary)
    }

    /// Where a recording's process comes from.
    pub fn lineage(&self, id: RecordingId) -> Result<Lineage, TraceError> {
        let mut recordings = vec![id];
        let mut of = id;
        loop {
            let program = match self.summary(of)?.origin {
                Some(Origin::Fork { parent, .. }) => {
                    recordings.push(parent);
                    of = parent;
                    continue;
                }
                Some(Origin::Exec { program, .. }) => Some(program),
                None => None,
            };
            return Ok(Lineage {
                recordings,
                program,
            });
        }
    }

    /// Bytes that its files take on disk.
    pub fn disk_usage(&self) -> Result<u64, SessionError> {
        place::disk_usage(&self.dir)
    }

    /// Deletes the session. One that is still being recorded is left alone.
    pub fn remove(self) -> Result<(), SessionError> {
        if let Some(supervisor) = self.meta.running() {
            return Err(SessionError::Running {
                path: self.dir,
                supervisor,
            });
        }
        self.abort()
    }

    /// Deletes a session that this process has begun to record.
    pub fn abort(self) -> Result<(), SessionError> {
        fs::remove_dir_all(&self.dir).map_err(SessionError::io("remove", &self.dir))?;
        place::unlink_latest(&self.dir);
        Ok(())
    }
}

/// Keeps others out of a directory: recordings hold whatever the programs read.
fn restrict(dir: &Path) -> Result<(), SessionError> {
    use std::os::unix::fs::PermissionsExt;
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(dir, private).map_err(SessionError::io("restrict", dir))
}

#[cfg(test)]
mod tests;
