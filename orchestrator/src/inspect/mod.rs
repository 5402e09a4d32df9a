//! What there is to see of a process that stands still: where each thread is
//! and how it came there, its registers, memory, code and source.
//!
//! A process is anything that is [`Still`]. How it is shown is `commands/inspect`.

pub mod address;
pub mod backtrace;
mod cfi;
pub mod code;
mod guess;
pub mod known;
pub mod memory;
pub mod names;
pub mod registers;
mod replayed;
pub mod source;
pub mod unwind;
pub mod variables;

#[cfg(test)]
pub mod tests;

use crate::travel::Xstate;
use anyhow::Result;
use orch_abi::record::Regs;
use orch_recorder::files::FileId;

/// A process that stands still.
pub trait Still {
    /// Registers of the thread that runs.
    fn regs(&self) -> Result<Regs>;

    /// All threads.
    fn threads(&mut self) -> Result<Vec<Thread>>;

    /// x87 and vector registers of the thread that runs, where they can be had.
    fn extended(&mut self) -> Result<Option<Xstate>> {
        Ok(None)
    }

    /// Reads the program's own memory (code as the program has it, not as it was
    /// patched) from `addr` on; returns how many bytes precede the first unreadable one.
    fn read(&self, addr: u64, to: &mut [u8]) -> usize;

    /// What the program has mapped, in order of addresses, without what orch put there.
    fn maps(&self) -> Result<Vec<Mapping>>;
}

/// A thread of such a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number in the recording, from 0.
    pub index: u32,
    /// Kernel thread id.
    pub tid: u32,
    /// Whether it is the one that runs; the others wait, in calls or for their turn.
    pub running: bool,
    /// Its registers.
    pub regs: Regs,
    /// Base of the FS segment: where its thread-local data are.
    pub fs_base: u64,
}

/// A piece of its address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// What is there.
    pub what: What,
}

/// What a piece of an address space shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A captured file, from this offset on.
    File {
        /// Which.
        file: FileId,
        /// Offset of the first byte.
        offset: u64,
    },
    /// Something else: `[heap]`, `[stack]`, a shared object; empty if there is nothing to say.
    Named(String),
}

/// `PROT_EXEC` (mmap(2)).
const EXEC: u32 = 4;

impl Mapping {
    /// Whether an address is in it.
    pub const fn has(&self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    /// Whether it may be executed.
    pub const fn is_code(&self) -> bool {
        self.prot & EXEC != 0
    }

    /// The captured file and the offset in it that an address shows.
    pub const fn file_at(&self, addr: u64) -> Option<(FileId, u64)> {
        match self.what {
            What::File { file, offset } if self.has(addr) => {
                Some((file, offset.wrapping_add(addr - self.start)))
            }
            _ => None,
        }
    }

    /// The captured file and the offset in it where a next mapping would go on with this one.
    const fn behind(&self) -> Option<(FileId, u64)> {
        match self.what {
            What::File { file, offset } => Some((file, offset.wrapping_add(self.end - self.start))),
            What::Named(_) => None,
        }
    }
}

/// The mapping that an address is in.
pub fn mapping(maps: &[Mapping], addr: u64) -> Option<&Mapping> {
    maps.iter().find(|map| map.has(addr))
}

/// The word at an address.
pub fn word(still: &(impl Still + ?Sized), addr: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    (still.read(addr, &mut bytes) == 8).then(|| u64::from_le_bytes(bytes))
}
