//! Copies of programs and libraries that sessions have in common: made once, and
//! hard-linked into each session that needs them.
//!
//! Only what cannot be changing is kept: an ELF file (programs are not written to while
//! they are mapped) whose last change was long enough ago that another one would show in
//! its times. A session needs nothing of this: what it links stays when the cache goes.

use super::FileVersion;
use super::cpuid::RULES;
use crate::{limit, session};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How much it may hold: a number of MiB, 0 for no cache.
const LIMIT: &str = "ORCH_CACHE";
/// If that is not set.
const DEFAULT_MIB: u64 = 512;
/// File systems tell times only so well.
const SETTLED: Duration = Duration::from_secs(2);
/// What follows the name of a copy for what is known of it.
const ABOUT: &str = ".json";

/// What is known of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// XXH3-128 of the content, hexadecimal.
    pub hash: String,
    /// Offsets of each `cpuid` in it, if they were looked for.
    pub cpuids: Option<Vec<u64>>,
    /// By which rules ([`super::cpuid::RULES`]).
    pub rules: u32,
}

/// A directory of copies, and a file of what is known about it for each.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Bytes.
    limit: u64,
}

impl Cache {
    /// The user's, in `$XDG_CACHE_HOME/orch/files`, if there can be one.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let dir = session::base_dir("XDG_CACHE_HOME", ".cache")?;
        Self::open(&dir.join("orch/files"), limit::bytes(LIMIT, DEFAULT_MIB))
    }

    /// That in `dir`; none if others can write there.
    pub(super) fn open(dir: &Path, limit: u64) -> Option<Self> {
        const OTHERS: u32 = 0o022;
        if limit == 0 {
            return None;
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let meta = made.and_then(|()| fs::symlink_metadata(dir)).ok()?;
        let own = meta.is_dir()
            && meta.uid() == nix::unistd::geteuid().as_raw()
            && meta.mode() & OTHERS == 0;
        own.then(|| Self {
            dir: dir.to_owned(),
            limit,
        })
    }

    fn path(&self, v: &FileVersion) -> PathBuf {
        let FileVersion {
            dev,
            ino,
            size,
            mtime,
            ctime,
        } = v;
        self.dir
            .join(format!("{dev:x}-{ino:x}-{size:x}-{mtime:x}-{ctime:x}"))
    }

    /// Puts the copy of a version at `to`, where there is nothing yet.
    pub(super) fn link(&self, version: &FileVersion, to: &Path) -> Option<About> {
        let path = self.path(version);
        let known = about(&path);
        let found: About = serde_json::from_slice(&fs::read(&known).ok()?).ok()?;
        if found.rules != RULES {
            return None;
        }
        fs::hard_link(&path, to).ok()?;
        if fs::metadata(to).is_ok_and(|m| m.size() == version.size) {
            // For who looks for what was not used for longest.
            let now = File::options().write(true).open(&known);
            let _ignored = now.and_then(|f| f.set_modified(SystemTime::now()));
            return Some(found);
        }
        let _ignored: io::Result<()> = fs::remove_file(to);
        None
    }

    /// Keeps `copy`, which was made of `file`, if that is safe. What fails leaves it out.
    pub(super) fn keep(&self, file: &File, version: &FileVersion, copy: &Path, found: &About) {
        if version.size <= self.limit && is_elf(file) && is_settled(version) {
            let _ignored: io::Result<()> = self.try_keep(version, copy, found);
        }
    }

    fn try_keep(&self, version: &FileVersion, copy: &Path, found: &About) -> io::Result<()> {
        let path = self.path(version);
        match fs::hard_link(copy, &path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        // Only whole ones are ever seen.
        let new = self.dir.join(format!(".new.{}", std::process::id()));
        fs::write(&new, serde_json::to_vec(found)?)?;
        fs::rename(&new, about(&path))?;
        self.make_room()
    }

    /// Removes what was not used for longest, if there is too much.
    fn make_room(&self) -> io::Result<()> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some() {
                continue;
            }
            let (Ok(size), used) = (
                fs::metadata(&path).map(|m| m.size()),
                fs::metadata(about(&path)).and_then(|m| m.modified()),
            ) else {
                continue;
            };
            all.push((used.unwrap_or(UNIX_EPOCH), size, path));
        }
        for path in limit::surplus(all, self.limit) {
            let _ignored: io::Result<()> = fs::remove_file(about(&path));
            fs::remove_file(&path)?;
        }
        Ok(())
    }
}

fn about(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ABOUT);
    name.into()
}

fn is_elf(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == *b"\x7fELF"
}

/// Whether a change made now would have other times.
fn is_settled(version: &FileVersion) -> bool {
    let nanos = u64::try_from(version.ctime.max(version.mtime)).unwrap_or(0);
    let changed = UNIX_EPOCH + Duration::from_nanos(nanos);
    SystemTime::now()
        .duration_since(changed)
        .is_ok_and(|age| age >= SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use tempfile::TempDir;

    const AGE: i64 = 10_000_000_000;

    fn place() -> (TempDir, File, FileVersion, PathBuf) {
        let dir = TempDir::new().unwrap();
        let copy = dir.path().join("copy");
        fs::write(&copy, b"\x7fELF and so on").unwrap();
        let file = File::open(&copy).unwrap();
        let mut version = FileVersion::of(&file).unwrap();
        version.mtime -= AGE;
        version.ctime -= AGE;
        (dir, file, version, copy)
    }

    fn found() -> About {
        About {
            hash: "12".to_owned(),
            cpuids: Some(vec![7]),
            rules: RULES,
        }
    }

    #[test]
    fn what_is_kept_is_found() {
        let (dir, file, version, copy) = place();
        let cache = Cache::open(&dir.path().join("a/b"), 1 << 20).unwrap();
        let to = dir.path().join("to");
        assert_eq!(cache.link(&version, &to), None);
        cache.keep(&file, &version, &copy, &found());
        cache.keep(&file, &version, &copy, &found());
        assert_eq!(cache.link(&version, &to), Some(found()));
        assert_eq!(fs::read(&to).unwrap(), fs::read(&copy).unwrap());
        let other = FileVersion {
            ctime: version.ctime + 1,
            ..version
        };
        assert_eq!(cache.link(&other, &dir.path().join("other")), None);
    }

    #[test]
    fn what_may_change_unseen_is_not_kept() {
        let (dir, file, version, copy) = place();
        let cache = Cache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        let fresh = FileVersion::of(&file).unwrap();
        cache.keep(&file, &fresh, &copy, &found());
        fs::write(&copy, b"data").unwrap();
        cache.keep(&file, &version, &copy, &found());
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 0);
    }

    #[test]
    fn a_copy_that_was_cut_off_is_not_used() {
        let (dir, file, version, copy) = place();
        let cache = Cache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        cache.keep(&file, &version, &copy, &found());
        fs::write(&copy, b"\x7fELF").unwrap();
        let to = dir.path().join("to");
        assert_eq!(cache.link(&version, &to), None);
        assert!(!to.exists());
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let (dir, file, version, copy) = place();
        let cache = Cache::open(&dir.path().join("cache"), 2 * version.size).unwrap();
        let versions = [0, 1, 2].map(|n| FileVersion { ino: n, ..version });
        let to = |n: usize| dir.path().join(format!("to{n}"));
        cache.keep(&file, &versions[0], &copy, &found());
        cache.keep(&file, &versions[1], &copy, &found());
        std::thread::sleep(Duration::from_millis(20));
        cache.link(&versions[0], &to(0)).unwrap();
        cache.keep(&file, &versions[2], &copy, &found());
        assert!(cache.link(&versions[0], &to(1)).is_some());
        assert!(cache.link(&versions[1], &to(2)).is_none());
        assert!(cache.link(&versions[2], &to(3)).is_some());
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_used() {
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(dir.path(), 1 << 20).is_none());
        assert!(Cache::open(&dir.path().join("own"), 0).is_none());
    }
}
