//! Directories of files that may be made again, and have a limit.

use std::path::PathBuf;
use std::time::SystemTime;

/// As many bytes as an environment variable says, in MiB; `default` MiB if it does not.
#[must_use]
pub fn bytes(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok().and_then(|v| v.parse().ok());
    set.unwrap_or(default).saturating_mul(1 << 20)
}

/// Of `files` (when it was used, bytes, path of each) those that were not used for
/// longest, so many that the others have at most `limit` bytes.
#[must_use]
pub fn surplus(mut files: Vec<(SystemTime, u64, PathBuf)>, limit: u64) -> Vec<PathBuf> {
    files.sort_unstable();
    let mut sum: u64 = files.iter().map(|(_, len, _)| len).sum();
    let too_much = files.into_iter().take_while(|(_, len, _)| {
        let goes = sum > limit;
        sum -= len;
        goes
    });
    too_much.map(|(_, _, path)| path).collect()
}
