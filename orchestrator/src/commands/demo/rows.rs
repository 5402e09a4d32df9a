//! What commands print with `--json`, as far as a tour needs it.

use serde::Deserialize;

/// A line of `orch console`.
#[derive(Deserialize)]
pub struct Line {
    pub recording: String,
    pub tick: u64,
    pub text: String,
}

/// An object of `orch shm`.
#[derive(Deserialize)]
pub struct Object {
    pub object: String,
    pub stores: u64,
}

/// A recording of `orch ls`.
#[derive(Deserialize)]
pub struct Process {
    pub recording: String,
    pub pid: u32,
    pub command: String,
    pub next: Option<String>,
}

/// An access of `orch ublame`.
#[derive(Clone, Deserialize)]
pub struct Row {
    pub position: String,
    pub tick: u64,
    pub recording: Option<String>,
    pub pid: Option<u32>,
    pub program: Option<String>,
    pub kind: String,
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub offset: u64,
    pub old: Option<String>,
    pub new: String,
}

impl Row {
    pub fn is_store(&self) -> bool {
        self.kind == "store"
    }

    pub fn is_load(&self) -> bool {
        self.kind == "load"
    }

    /// What was stored or seen in the eight bytes at `offset`.
    pub fn new_word(&self, offset: u64) -> Option<u64> {
        word(&self.new, offset.checked_sub(self.offset)?)
    }

    /// What was there before.
    pub fn old_word(&self, offset: u64) -> Option<u64> {
        word(self.old.as_deref()?, offset.checked_sub(self.offset)?)
    }

    /// Whether the code is in this file, by its own lines.
    pub fn is_in(&self, file: &str) -> bool {
        self.file() == Some(file) && self.line.is_some()
    }

    /// File without its folders.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()?.rsplit('/').next()
    }

    /// Who: `submit (p8, pid 29308)`.
    pub fn who(&self) -> String {
        let program = self.program.as_deref().unwrap_or("?");
        let recording = self.recording.as_deref().unwrap_or("?");
        let pid = self.pid.map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!("{program} ({recording}, pid {pid})")
    }

    /// Where: `set_title, submit.cpp:16`.
    pub fn place(&self) -> String {
        let function = self.function.as_deref().unwrap_or("?");
        match (self.file(), self.line) {
            (Some(file), Some(line)) => format!("{function}, {file}:{line}"),
            _ => function.to_owned(),
        }
    }
}

/// Eight bytes, little-endian, at `at` of bytes in hexadecimal.
fn word(hex: &str, at: u64) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let digits = hex.get(2 * at..2 * at + 16)?;
    u64::from_str_radix(digits, 16).ok().map(u64::swap_bytes)
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn words() {
        assert_eq!(word("00112700000000000000", 1), Some(10001));
        assert_eq!(word("00??27000000000000", 1), None);
        assert_eq!(word("00", 1), None);
    }
}
