//! Where sessions are.

use super::{META_FILE, Session, SessionError};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The link to the newest session.
const LATEST: &str = "latest";
/// The environment variable that names a session.
const VARIABLE: &str = "ORCH_SESSION";

/// The directory that sessions go to: `$XDG_DATA_HOME/orch`, or `~/.local/share/orch`.
pub fn root() -> Result<PathBuf, SessionError> {
    base_dir("XDG_DATA_HOME", ".local/share")
        .map(|data| data.join("orch"))
        .ok_or(SessionError::NoHome)
}

/// The directory that a variable names, or else `below` the user's home. Relative paths
/// are to be ignored (XDG Base Directory Specification).
#[must_use]
pub fn base_dir(variable: &str, below: &str) -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below)))
}

/// Makes the first free `PROGRAM-N` in [`root`]; two runs at a time get different ones.
pub fn default_dir(program: &OsStr) -> Result<PathBuf, SessionError> {
    default_dir_in(&root()?, program)
}

pub(super) fn default_dir_in(root: &Path, program: &OsStr) -> Result<PathBuf, SessionError> {
    let create = |action, path: &Path, recursive| {
        DirBuilder::new()
            .recursive(recursive)
            .mode(0o700)
            .create(path)
            .map_err(SessionError::io(action, path))
    };
    create("create", root, true)?;
    let name = Path::new(program)
        .file_name()
        .unwrap_or(OsStr::new("session"));
    // A file name has at most NAME_MAX (255) bytes.
    let name = OsStr::from_bytes(&name.as_bytes()[..name.len().min(200)]);
    let mut n = 1 + highest_number(root, name)?;
    loop {
        let mut numbered = name.to_owned();
        numbered.push(format!("-{n}"));
        let path = root.join(numbered);
        match create("create", &path, false) {
            Err(SessionError::Io { source, .. })
                if source.kind() == io::ErrorKind::AlreadyExists =>
            {
                n += 1;
            }
            made => return made.map(|()| path),
        }
    }
}

/// The highest N of all `NAME-N` in `root`: numbers are not used again
/// unless the newest session was removed.
fn highest_number(root: &Path, name: &OsStr) -> Result<u64, SessionError> {
    let mut highest = 0;
    for entry in fs::read_dir(root).map_err(SessionError::io("list", root))? {
        let entry = entry.map_err(SessionError::io("list", root))?.file_name();
        let number = entry.as_bytes().strip_prefix(name.as_bytes());
        let number = number.and_then(|rest| str::from_utf8(rest.strip_prefix(b"-")?).ok());
        highest = highest.max(number.and_then(|n| n.parse().ok()).unwrap_or(0));
    }
    Ok(highest)
}

/// Lets `latest` point to the session in `dir`.
pub fn link_latest(dir: &Path) -> Result<(), SessionError> {
    link_latest_in(&root()?, dir)
}

pub(super) fn link_latest_in(root: &Path, dir: &Path) -> Result<(), SessionError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(SessionError::io("create", root))?;
    let (link, new) = (
        root.join(LATEST),
        root.join(format!(".latest.{}", std::process::id())),
    );
    let _ignored: io::Result<()> = fs::remove_file(&new);
    symlink(dir, &new).map_err(SessionError::io("create", &new))?;
    fs::rename(&new, &link).map_err(SessionError::io("replace", &link))
}

/// Points `latest` to the newest session that is left, if it pointed to `removed`.
pub(super) fn unlink_latest(removed: &Path) {
    let Ok(root) = root() else { return };
    let link = root.join(LATEST);
    if fs::read_link(&link).is_ok_and(|target| target == removed) {
        let _ignored: io::Result<()> = fs::remove_file(&link);
        if let Ok(Some(newest)) = newest(&root) {
            let _ignored: Result<(), SessionError> = link_latest_in(&root, &newest);
        }
    }
}

/// The session to read: the one that was named, else that of `ORCH_SESSION`, else the newest.
pub fn locate(named: Option<&Path>) -> Result<Session, SessionError> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    match named.map(Path::to_owned).or(variable.map(PathBuf::from)) {
        Some(dir) => Session::open(&dir),
        None => locate_in(&root()?),
    }
}

pub(super) fn locate_in(root: &Path) -> Result<Session, SessionError> {
    // The link may be dangling, or left from a session that was recorded with -o and moved.
    let latest = root.join(LATEST);
    if latest.join(META_FILE).exists() {
        return Session::open(&latest);
    }
    match newest(root)? {
        Some(dir) => Session::open(&dir),
        None => Err(SessionError::None {
            path: root.to_owned(),
        }),
    }
}

/// The directories in [`root`] that hold a session, newest first.
pub fn list() -> Result<Vec<PathBuf>, SessionError> {
    list_in(&root()?)
}

pub(super) fn list_in(root: &Path) -> Result<Vec<PathBuf>, SessionError> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(SessionError::io("list", root))?,
    };
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(SessionError::io("list", root))?;
        let made = fs::metadata(entry.path().join(META_FILE)).and_then(|meta| meta.modified());
        // The link is another name of one of them (or of one elsewhere).
        if let (Ok(made), true) = (made, entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            found.push((made, entry.path()));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn newest(root: &Path) -> Result<Option<PathBuf>, SessionError> {
    Ok(list_in(root)?.into_iter().next())
}

/// Bytes on disk of everything in `dir`. Extents shared with other files (reflinks) count.
pub(super) fn disk_usage(dir: &Path) -> Result<u64, SessionError> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).map_err(SessionError::io("list", dir))? {
        let entry = entry.map_err(SessionError::io("list", dir))?;
        let path = entry.path();
        // What vanishes meanwhile (the arena of a session that ends) takes no room.
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        bytes += if meta.is_dir() {
            disk_usage(&path)?
        } else {
            meta.blocks() * 512
        };
    }
    Ok(bytes)
}
