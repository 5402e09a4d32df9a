//! Whether the processors have anything to do besides the programs.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The machine's load.
pub struct Load {
    /// /proc/loadavg, open.
    file: Option<File>,
    processors: usize,
}

impl Load {
    pub fn new() -> Self {
        let processors = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
        Self {
            file: File::open("/proc/loadavg").ok(),
            processors: processors
                .ok()
                .flatten()
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(usize::MAX),
        }
    }

    /// Whether more threads can run right now (this one among them) than there
    /// are processors.
    pub fn is_full(&self) -> bool {
        let mut text = [0; 64];
        let read = |f: &File| f.read_at(&mut text, 0).ok();
        let len = self.file.as_ref().and_then(read).unwrap_or(0);
        runnable(&text[..len]).is_some_and(|n| n > self.processors)
    }
}

/// The fourth field of proc_loadavg(5), before the slash.
fn runnable(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    let field = text.split_ascii_whitespace().nth(3)?;
    field.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_runnable_threads() {
        assert_eq!(runnable(b"1.42 40.74 61.48 3/152 8117\n"), Some(3));
        assert_eq!(runnable(b""), None);
    }
}
