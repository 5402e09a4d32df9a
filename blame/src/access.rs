//! An access to shared memory.

use orch_recorder::trace::{RecordingId, Tick};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// An instruction stored.
    Store,
    /// A system call stored.
    CallStore,
    /// An instruction loaded what another had stored.
    Load,
    /// A system call loaded what another had stored.
    CallLoad,
    /// Bytes changed, and no recorded access did it: a process that is not
    /// recorded, or a `write` to the file behind the object.
    Outside,
    /// What was there when the bytes were first looked at.
    Initial,
}

impl Kind {
    /// Whether the bytes are others afterwards, or were found to be.
    #[must_use]
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Load | Self::CallLoad)
    }

    /// Whether a recorded process made the access.
    #[must_use]
    pub const fn is_recorded(self) -> bool {
        !matches!(self, Self::Outside | Self::Initial)
    }
}

/// What many accesses have in common: who made them, and where in the program.
/// Of [`Kind::Outside`] and [`Kind::Initial`] only the recording counts, which
/// is the one that noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Site {
    /// Which recording.
    pub recording: RecordingId,
    /// Kernel thread id.
    pub tid: u32,
    /// Address of the instruction, or behind the `syscall` instruction.
    pub ip: u64,
    /// If that is in a library: perhaps where its function was called from
    /// ([`orch_abi::record::Store::caller`]); 0 otherwise.
    pub caller: u64,
    /// What kind of access.
    pub kind: Kind,
    /// Found by comparing a page: not each of the bytes was necessarily accessed.
    pub by_page: bool,
}

/// Bytes before a store, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Old {
    /// The bytes; 0 where they are unknown.
    pub bytes: Vec<u8>,
    /// Which of them are known; empty if all are.
    pub known: Vec<bool>,
}

impl Old {
    /// The byte at `at`, if it is known.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<u8> {
        let known = self.known.is_empty() || self.known.get(at).copied().unwrap_or(false);
        self.bytes.get(at).copied().filter(|_| known)
    }

    /// Some of the bytes.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let known = self.known.get(range.clone()).unwrap_or_default();
        let bytes = self.bytes.get(range).unwrap_or_default();
        Self {
            bytes: bytes.to_vec(),
            known: known.to_vec(),
        }
    }
}

/// An access, or the part of a long one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// When: the true order among stores to the same bytes.
    pub tick: Tick,
    /// Index of its [`Site`] in the catalog.
    pub site: u32,
    /// Where in the object, bytes.
    pub offset: u64,
    /// The bytes afterwards; of a load, what it saw.
    pub new: Vec<u8>,
    /// The bytes before; none of a load, or where nothing is known.
    pub old: Option<Old>,
    /// It is long, or a piece of a long one: these are cut at the bounds of pages.
    pub piece: bool,
}

impl Access {
    /// Offset behind its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.new.len() as u64)
    }
}
