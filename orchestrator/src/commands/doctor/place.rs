//! Where sessions are kept, and what reads them.

use super::Finding;
use crate::output;
use nix::sys::statvfs::statvfs;
use orch_recorder::session;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) fn findings() -> Vec<Finding> {
    let root = session::root();
    let place = root
        .ok()
        .and_then(|root| existing(&root).map(|there| (root, there)));
    let Some((root, there)) = place else {
        let fix = "Set XDG_DATA_HOME or HOME, or record with -o DIR.";
        let means = "There is no place to keep sessions in.";
        return vec![
            Finding::limited("sessions", "no directory".into(), means, fix),
            gdb(),
        ];
    };
    vec![space(&root, &there), reflink(&there), gdb()]
}

/// The directory, or the nearest above it that exists.
fn existing(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|dir| dir.is_dir()).map(Path::to_owned)
}

fn space(root: &Path, there: &Path) -> Finding {
    const WHAT: &str = "disk space";
    const ENOUGH: u64 = 5_000_000_000;
    let fix = "Record with -o to a directory with more room, or remove old sessions with `orch sessions remove`.";
    match statvfs(there) {
        Ok(fs) => {
            let free = fs.blocks_available().saturating_mul(fs.fragment_size());
            let found = format!("{} free for {}", output::bytes(free), root.display());
            if free >= ENOUGH {
                Finding::ok(WHAT, found, "Enough for most sessions.")
            } else {
                Finding::limited(
                    WHAT,
                    found,
                    "Long recordings, and copies of what programs map, may not fit.",
                    fix,
                )
            }
        }
        Err(e) => Finding::limited(
            WHAT,
            format!("{}: {e}", there.display()),
            "Nobody knows how much fits.",
            fix,
        ),
    }
}

fn reflink(there: &Path) -> Finding {
    const WHAT: &str = "file system";
    let kind = file_system(there).unwrap_or_else(|| "unknown".to_owned());
    match clone(there) {
        Ok(()) => Finding::ok(
            WHAT,
            format!("{kind}, shares extents"),
            "Copies of mapped files take no room.",
        ),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Finding::limited(
            WHAT,
            format!("{kind}, {} cannot be written to", there.display()),
            "Sessions cannot be kept in the usual place.",
            "Set XDG_DATA_HOME to a directory of yours, or record with -o DIR.",
        ),
        Err(_) => Finding::limited(
            WHAT,
            format!("{kind}, shares no extents"),
            "Files that programs map are copied: programs and libraries once, others once a session.",
            "A file system with reflinks (btrfs, xfs) for sessions avoids it.",
        ),
    }
}

/// Clones a file without a name to another.
fn clone(dir: &Path) -> rustix::io::Result<()> {
    let new = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    };
    let (mut from, to) = (new()?, new()?);
    let _ = from.write_all(&[1; 4096]);
    rustix::fs::ioctl_ficlone(&to, &from)
}

/// Type of the file system, from the longest mount point that holds `dir`.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(point), Some(kind)) = (words.next(), words.next())
            && dir.starts_with(point)
            && best.is_none_or(|(len, _)| point.len() >= len)
        {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

fn gdb() -> Finding {
    const WHAT: &str = "gdb";
    let output = Command::new("gdb").args(["--nx", "--version"]).output();
    match output.ok().filter(|o| o.status.success()) {
        Some(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let first = text.lines().next().unwrap_or_default().to_owned();
            Finding::ok(
                WHAT,
                first,
                "`orch gdb` can debug recordings, `orch log` print from them.",
            )
        }
        None => Finding::limited(
            WHAT,
            "not found".into(),
            "`orch gdb` and `orch log` need it; all else works without.",
            "Install it (`apt install gdb`, `dnf install gdb`).",
        ),
    }
}
