//! What `orch ls` says of a recording, without reading it.

use super::id::{RecordingId, Tick};
use super::record::Record;
use orch_abi::record::{Kind, ended};
use serde::{Deserialize, Serialize};

/// A recording in a few numbers. A finished one keeps this at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Which recording.
    pub recording: RecordingId,
    /// Number of records.
    pub events: u64,
    /// Raw bytes of all records.
    pub bytes: u64,
    /// How many threads it ever had; unknown where the recording was cut off.
    pub threads: Option<u32>,
    /// Tick of the first record.
    pub first_tick: Tick,
    /// Highest tick.
    pub last_tick: Tick,
    /// How it began; unknown where not even the first record was kept.
    pub origin: Option<Origin>,
    /// How it ended; unknown where the recording was cut off.
    pub end: Option<End>,
    /// Whether the recording was closed properly.
    pub finished: bool,
    /// Blocks to read for what is rare; unknown where the recording was cut off or damaged.
    #[serde(default)]
    pub rare: Option<Rare>,
}

/// Numbers of the blocks that have records of a kind, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rare {
    /// A signal is delivered.
    pub signals: Vec<u32>,
    /// The map of the process's memory changes.
    pub maps: Vec<u32>,
    /// Shared memory is mapped or unmapped, or has a name; unknown in older recordings.
    #[serde(default)]
    pub shared: Option<Vec<u32>>,
}

impl Default for Rare {
    fn default() -> Self {
        Self {
            signals: Vec::new(),
            maps: Vec::new(),
            shared: Some(Vec::new()),
        }
    }
}

/// Calls that change the map of memory: mmap, munmap, brk, mremap, shmat
/// (arch/x86/entry/syscalls/syscall_64.tbl).
const MAPPING: [u16; 5] = [9, 11, 12, 25, 30];

impl Rare {
    /// Takes note of a record in block number `block`.
    fn observe(&mut self, record: &Record<'_>, block: u32) {
        let list = match Kind::from_u8(record.head.kind) {
            Some(Kind::Object | Kind::View) => match &mut self.shared {
                Some(shared) => shared,
                None => return,
            },
            Some(Kind::Signal) => &mut self.signals,
            Some(Kind::Start | Kind::Boot | Kind::Map) => &mut self.maps,
            Some(Kind::Syscall) if MAPPING.contains(&record.head.aux) => &mut self.maps,
            _ => return,
        };
        if list.last() != Some(&block) {
            list.push(block);
        }
    }
}

/// How a recording began. Text that is not UTF-8 is shown with replacements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A program was executed.
    Exec {
        /// Recording that did it; none for the root.
        parent: Option<RecordingId>,
        /// Process id.
        pid: u32,
        /// Whether the process of the parent went on in this recording.
        same_process: bool,
        /// What was executed.
        #[serde(flatten)]
        program: Program,
        /// Wall time, nanoseconds since the epoch.
        time: u64,
    },
    /// A process forked.
    Fork {
        /// Recording that did it.
        parent: RecordingId,
        /// Process id of the child.
        pid: u32,
        /// Tick of the fork in the parent.
        tick: Tick,
    },
}

/// A program as it was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its path.
    #[serde(rename = "program")]
    pub path: String,
    /// Its arguments, its own name first.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: String,
}

impl Program {
    /// What it is called: as by who started it, since the file may be behind links (`python3`,
    /// not `python3.11`).
    #[must_use]
    pub fn name(&self) -> &str {
        fn last(path: &str) -> Option<&str> {
            path.rsplit('/').next().filter(|name| !name.is_empty())
        }
        let called = self.args.first().and_then(|own| last(own));
        // A login shell has a dash in front (bash(1), INVOCATION).
        let called = called.map(|name| name.strip_prefix('-').unwrap_or(name));
        let called = called.filter(|name| !name.is_empty() && !name.contains(char::is_whitespace));
        called.or_else(|| last(&self.path)).unwrap_or("?")
    }
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The process exited with this code.
    Exited(u32),
    /// The process was killed by this signal.
    Killed(u32),
    /// The process goes on in this recording, with another program.
    Execed(RecordingId),
    /// Nobody saw.
    Unknown,
}

impl Summary {
    /// Id of its process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.origin.as_ref().map(|origin| match origin {
            Origin::Exec { pid, .. } | Origin::Fork { pid, .. } => *pid,
        })
    }

    pub(super) fn new(recording: RecordingId) -> Self {
        Self {
            recording,
            events: 0,
            bytes: 0,
            threads: Some(1),
            first_tick: Tick(0),
            last_tick: Tick(0),
            origin: None,
            end: None,
            finished: false,
            rare: Some(Rare::default()),
        }
    }

    /// Takes from a record, in block number `block`, what it says about the whole.
    pub(super) fn observe(&mut self, record: &Record<'_>, block: u32) {
        if let Some(rare) = &mut self.rare {
            rare.observe(record, block);
        }
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Start | Kind::Forked) if self.origin.is_none() => {
                self.origin = origin(record);
            }
            Some(Kind::Spawn) => {
                let thread = record.spawn().is_ok_and(|spawn| spawn.what == 1);
                self.threads = self.threads.map(|n| n.saturating_add(thread.into()));
            }
            Some(Kind::Ended) => self.end = end(record),
            _ => {}
        }
    }
}

fn origin(record: &Record<'_>) -> Option<Origin> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Ok(forked) = record.forked() {
        return Some(Origin::Fork {
            parent: RecordingId(forked.parent),
            pid: forked.pid,
            tick: Tick(forked.tick),
        });
    }
    let view = record.start().ok()?;
    Some(Origin::Exec {
        parent: (view.start.parent != 0).then_some(RecordingId(view.start.parent)),
        pid: view.start.pid,
        same_process: view.start.same_process != 0,
        program: Program {
            path: text(view.path),
            args: view.args.into_iter().map(text).collect(),
            cwd: text(view.cwd),
        },
        time: view.start.time,
    })
}

fn end(record: &Record<'_>) -> Option<End> {
    let ended = record.ended().ok()?;
    Some(match ended.how {
        ended::EXITED => End::Exited(ended.value),
        ended::KILLED => End::Killed(ended.value),
        ended::EXECED => End::Execed(RecordingId(ended.value)),
        _ => End::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_called_as_who_started_them_called_them() {
        let name = |program: &str, own: &[&str]| {
            let program = Program {
                path: program.to_owned(),
                args: own.iter().map(ToString::to_string).collect(),
                cwd: String::new(),
            };
            program.name().to_owned()
        };
        let redis = "/usr/bin/redis-check-rdb";
        assert_eq!(name(redis, &["redis-server", "--port"]), "redis-server");
        assert_eq!(name("/bin/bash", &["-bash"]), "bash");
        assert_eq!(name("/bin/x", &["./dir/x"]), "x");
        for unfit in [&[][..], &[""], &["/"], &["-"], &["two words"]] {
            assert_eq!(name("/bin/x", unfit), "x");
        }
    }
}
