//! Captured files: what the programs mapped or executed, as it was then.
//!
//! The copies are `files/0`, `files/1`, …; `files/index.jsonl` tells of each
//! where it came from. Where the file system can share extents (FICLONE) a copy
//! takes no room; otherwise equal content is kept once. Sessions share copies of programs
//! and libraries ([`Cache`]).

mod cache;
mod cpuid;

use crate::regular;
use cache::About;
pub use cache::Cache;
use cpuid::{Candidates, RULES};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// Name of the list in the store's directory.
const INDEX_FILE: &str = "index.jsonl";
/// Most bytes of it; a line has some hundred.
const MOST_INDEX: u64 = 1 << 30;
/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;

/// Number of a captured file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u64);

/// What tells a version of a file from others: a write changes the times or the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileVersion {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
    /// `st_size`, bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i64,
}

/// A line of the list: a version of a file, and the copy that has its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedFile {
    /// Number of the copy. Several lines may have the same.
    pub id: FileId,
    /// XXH3-128 of the content, hexadecimal.
    pub hash: String,
    /// Where the file was, as well as is known.
    pub path: PathBuf,
    /// Offsets of each `cpuid` in it, where they were looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpuids: Vec<u64>,
    /// Which version of it.
    #[serde(flatten)]
    pub version: FileVersion,
}

/// A file that cannot be captured, or a store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileStoreError {
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
    /// Only regular files have content to keep.
    #[error("cannot use {}: it is not a regular file", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
    },
    /// The content changed under the copy.
    #[error("cannot capture {}: it changes while it is read", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// The list makes no sense.
    #[error("the list of captured files {} is damaged in line {line}: {source}", path.display())]
    Index {
        /// The list.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

impl FileStoreError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// The captured files of a session.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    captured: Vec<CapturedFile>,
    versions: HashMap<FileVersion, FileId>,
    contents: HashMap<(String, u64), FileId>,
    next: u64,
    /// Bytes of the list that hold whole lines.
    list_len: u64,
    /// Look for each `cpuid` in what is captured.
    find_cpuids: bool,
    /// Where copies may be had and left.
    cache: Option<Cache>,
}

impl FileVersion {
    /// The version that is open now.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_metadata(&file.metadata()?))
    }

    fn from_metadata(meta: &fs::Metadata) -> Self {
        let time = |s: i64, ns: i64| s.wrapping_mul(1_000_000_000).wrapping_add(ns);
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ctime: time(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl FileStore {
    /// Opens the store in `dir`, which is made if it is not there.
    pub fn open(dir: &Path) -> Result<Self, FileStoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(FileStoreError::io("create", dir))?;
        let mut store = Self {
            dir: dir.to_owned(),
            captured: Vec::new(),
            versions: HashMap::new(),
            contents: HashMap::new(),
            next: 0,
            list_len: 0,
            find_cpuids: false,
            cache: None,
        };
        let path = dir.join(INDEX_FILE);
        let text = match regular::read(&path, MOST_INDEX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            text => text.map_err(FileStoreError::io("read", &path))?,
        };
        for (n, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
            if !line.ends_with(b"\n") {
                // The supervisor was killed while it wrote this line.
                break;
            }
            let captured: CapturedFile = serde_json::from_slice(line).map_err(|source| {
                let (path, line) = (path.clone(), n + 1);
                FileStoreError::Index { path, line, source }
            })?;
            // Who wants a copy opens it by its path.
            let copy = store.path(captured.id);
            if fs::metadata(&copy).is_ok_and(|meta| !meta.is_file()) {
                return Err(FileStoreError::NotRegular { path: copy });
            }
            store.note(captured);
            store.list_len += line.len() as u64;
        }
        Ok(store)
    }

    /// From now on, looks for each `cpuid` in what is captured.
    pub fn find_cpuids(&mut self) {
        self.find_cpuids = true;
    }

    /// From now on, shares copies with other sessions.
    pub fn use_cache(&mut self, cache: Cache) {
        self.cache = Some(cache);
    }

    /// Keeps a copy of the content of `file`, unless there is one. `path` is
    /// noted for people.
    pub fn capture(&mut self, file: &File, path: &Path) -> Result<FileId, FileStoreError> {
        // A file that is being written changes its times: try again, a few times.
        for _ in 0..3 {
            let meta = file
                .metadata()
                .map_err(FileStoreError::io("look at", path))?;
            if !meta.is_file() {
                return Err(FileStoreError::NotRegular {
                    path: path.to_owned(),
                });
            }
            let version = FileVersion::from_metadata(&meta);
            if let Some(&id) = self.versions.get(&version) {
                return Ok(id);
            }
            if let Some((copy, about)) = self.cached(&version) {
                return self.keep(copy, about, path, version);
            }
            let (copy, about) = self.copy(file, path)?;
            let now = FileVersion::of(file).map_err(FileStoreError::io("look at", path))?;
            if now == version {
                if let Some(cache) = &self.cache {
                    cache.keep(file, &version, &copy, &about);
                }
                return self.keep(copy, about, path, version);
            }
            let _ignored: io::Result<()> = fs::remove_file(copy);
        }
        Err(FileStoreError::Changing {
            path: path.to_owned(),
        })
    }

    /// A place for a copy that is not yet in the list.
    fn place(&self) -> PathBuf {
        let copy = self.path(FileId(self.next));
        let _left_over: io::Result<()> = fs::remove_file(&copy);
        copy
    }

    /// A copy that another session had made.
    fn cached(&self, version: &FileVersion) -> Option<(PathBuf, About)> {
        let copy = self.place();
        let mut about = self.cache.as_ref()?.link(version, &copy)?;
        if !self.find_cpuids {
            // Of a machine that has no fault for them: here, none is replaced.
            about.cpuids = None;
        } else if about.cpuids.is_none() {
            return None;
        }
        Some((copy, about))
    }

    /// Copies `file` to a file that is not yet in the list.
    fn copy(&self, file: &File, path: &Path) -> Result<(PathBuf, About), FileStoreError> {
        let copy = self.place();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o400);
        let mut out = options
            .open(&copy)
            .map_err(FileStoreError::io("create", &copy))?;
        let mut candidates = self.find_cpuids.then(Candidates::default);
        let seen = candidates.as_mut();
        let hash = if rustix::fs::ioctl_ficlone(&out, file).is_ok() {
            hash_of(&out, &mut io::sink(), seen).map_err(FileStoreError::io("read", &copy))?
        } else {
            hash_of(file, &mut out, seen).map_err(FileStoreError::io("capture", path))?
        };
        let cpuids = candidates.map(|c| c.instructions(file));
        let rules = RULES;
        Ok((
            copy,
            About {
                hash,
                cpuids,
                rules,
            },
        ))
    }

    /// Takes a copy into the list, or the one that has the same content already.
    fn keep(
        &mut self,
        copy: PathBuf,
        About { hash, cpuids, .. }: About,
        path: &Path,
        version: FileVersion,
    ) -> Result<FileId, FileStoreError> {
        let same = self.contents.get(&(hash.clone(), version.size)).copied();
        let id = same.unwrap_or(FileId(self.next));
        if same.is_some() {
            fs::remove_file(&copy).map_err(FileStoreError::io("remove", &copy))?;
        }
        let captured = CapturedFile {
            id,
            hash,
            path: path.to_owned(),
            cpuids: cpuids.unwrap_or_default(),
            version,
        };
        let mut line = serde_json::to_vec(&captured).expect("plain data has a JSON form");
        line.push(b'\n');
        self.write_line(&line)?;
        self.note(captured);
        Ok(id)
    }

    /// Adds a line to the list, over what may be there of one that was cut off.
    fn write_line(&mut self, line: &[u8]) -> Result<(), FileStoreError> {
        let path = self.dir.join(INDEX_FILE);
        let write = || {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(false).mode(0o600);
            let list = options.open(&path)?;
            list.set_len(self.list_len)?;
            list.write_all_at(line, self.list_len)
        };
        write().map_err(FileStoreError::io("write", &path))?;
        self.list_len += line.len() as u64;
        Ok(())
    }

    fn note(&mut self, captured: CapturedFile) {
        let CapturedFile {
            id,
            ref hash,
            version,
            ..
        } = captured;
        self.versions.insert(version, id);
        self.contents.insert((hash.clone(), version.size), id);
        self.next = self.next.max(id.0.saturating_add(1));
        self.captured.push(captured);
    }

    /// Path of a copy.
    #[must_use]
    pub fn path(&self, id: FileId) -> PathBuf {
        self.dir.join(id.0.to_string())
    }

    /// All that was captured, in order.
    #[must_use]
    pub fn captured(&self) -> &[CapturedFile] {
        &self.captured
    }

    /// What is known of a copy: the first file that it was taken from.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&CapturedFile> {
        self.captured.iter().find(|captured| captured.id == id)
    }
}

/// XXH3-128 of all of `file`, which is copied to `out` on the way. Leaves the
/// file's position alone: the descriptor may be shared with a program.
fn hash_of(
    file: &File,
    out: &mut impl Write,
    mut candidates: Option<&mut Candidates>,
) -> io::Result<String> {
    let mut hasher = Xxh3::new();
    let mut reader = At { file, offset: 0 };
    let mut piece = vec![0; PIECE];
    loop {
        let len = match reader.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if len == 0 {
            return Ok(format!("{:032x}", hasher.digest128()));
        }
        hasher.update(&piece[..len]);
        if let Some(candidates) = &mut candidates {
            candidates.look(&piece[..len]);
        }
        out.write_all(&piece[..len])?;
    }
}

/// Reads a file from an offset of its own.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buf, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests;
