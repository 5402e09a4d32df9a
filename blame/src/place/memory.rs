//! What a recording has in its memory at a tick, whether shared or not: read
//! from the recording itself, for what the index does not know.

use crate::error::BlameError;
use crate::scan::{Piece, Ranges};
use orch_abi::record::{Kind, Map};
use orch_recorder::session::Session;
use orch_recorder::trace::{Block, Origin, Record, RecordingId, Tick};

// Numbers of system calls: arch/x86/entry/syscalls/syscall_64.tbl.
const MMAP: u16 = 9;
const MUNMAP: u16 = 11;
const BRK: u16 = 12;
const MREMAP: u16 = 25;
const SHMAT: u16 = 30;

/// What kind of memory is somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// The stack that the program began with.
    Stack,
    /// What `brk` made.
    Heap,
    /// A captured file, mapped for this process alone or only read.
    File(u64),
    /// A file that is not captured, or memory, mapped to be shared.
    Shared,
    /// Memory of this process alone.
    Anonymous,
}

/// The memory map of a recording at a tick.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    ranges: Ranges<Mapping>,
    pending: Option<Map>,
    image: Option<u64>,
    brk: u64,
}

const MAP_TYPE: u64 = 0xf;
const MAP_PRIVATE: u64 = 2;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_GROWSDOWN: u32 = 0x100;

/// Whole pages.
fn pages(len: u64) -> u64 {
    len.checked_next_multiple_of(4096).unwrap_or(len)
}

impl Memory {
    /// Reads the recording (and, of a forked one, its parents) up to a tick.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn read(session: &Session, id: RecordingId, tick: Tick) -> Result<Self, BlameError> {
        let mut chain = vec![(id, tick)];
        while let Some(&(id, _)) = chain.last() {
            match session.summary(id)?.origin {
                Some(Origin::Fork { parent, tick, .. }) => chain.push((parent, tick)),
                _ => break,
            }
        }
        let mut memory = Self::default();
        for (id, tick) in chain.into_iter().rev() {
            let mut reader = session.reader(id)?;
            let mut block = Block::default();
            for n in reader.blocks_with(|rare| &rare.maps) {
                reader.read_block(n, &mut block)?;
                if block.first_tick > tick {
                    break;
                }
                for record in block.records().flatten() {
                    if record.head.tick <= tick.0 {
                        memory.observe(&record);
                    }
                }
            }
        }
        Ok(memory)
    }

    /// What is at `addr`: all of it that is in one piece.
    #[must_use]
    pub fn at(&self, addr: u64) -> Option<Piece<Mapping>> {
        if let Some(piece) = self.ranges.at(addr) {
            return Some(piece);
        }
        // The stack grows where it is touched, up to 8 MiB as a rule (RLIMIT_STACK).
        let above = self.ranges.iter().find(|p| p.addr > addr)?;
        (above.what == Mapping::Stack && above.addr - addr < 8 << 20).then_some(above)
    }

    /// The nearest mappings below and above `addr`.
    #[must_use]
    pub fn around(&self, addr: u64) -> (Option<Piece<Mapping>>, Option<Piece<Mapping>>) {
        let below = self.ranges.iter().take_while(|p| p.addr <= addr).last();
        (below, self.ranges.iter().find(|p| p.addr > addr))
    }

    fn observe(&mut self, record: &Record<'_>) {
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Start) => {
                *self = Self::default();
                self.image = Some(record.head.tick);
            }
            Some(Kind::Boot) => self.brk = record.boot().map_or(0, |b| b.brk),
            Some(Kind::Map) => {
                let Ok(map) = record.map() else { return };
                if self.image == Some(record.head.tick) {
                    let what = match map.file.checked_sub(1) {
                        Some(file) => Mapping::File(file),
                        None if map.flags & MAP_GROWSDOWN != 0 => Mapping::Stack,
                        None => Mapping::Anonymous,
                    };
                    self.set(map.addr, map.len, Some(what), map.offset);
                } else {
                    self.pending = Some(map);
                }
            }
            Some(Kind::Syscall) => self.call(record),
            _ => {}
        }
    }

    fn set(&mut self, addr: u64, len: u64, what: Option<Mapping>, offset: u64) {
        self.ranges.set(addr, pages(len), what, offset);
    }

    fn call(&mut self, record: &Record<'_>) {
        if !matches!(record.head.aux, MMAP | MUNMAP | BRK | MREMAP | SHMAT) {
            return;
        }
        let pending = self.pending.take();
        let Ok(view) = record.syscall() else { return };
        if (-4095..0).contains(&view.call.result) {
            return;
        }
        let result = view.call.result.cast_unsigned();
        let [a, b, c, d, _, offset] = view.call.args;
        match record.head.aux {
            MMAP => {
                let what = match pending.and_then(|map| map.file.checked_sub(1)) {
                    Some(file) => Mapping::File(file),
                    None if d & MAP_TYPE != MAP_PRIVATE => Mapping::Shared,
                    None => Mapping::Anonymous,
                };
                let offset = if d & MAP_ANONYMOUS != 0 { 0 } else { offset };
                self.set(result, b, Some(what), offset);
            }
            SHMAT => {
                let len = pending.map_or(0, |map| map.len);
                self.set(result, len, Some(Mapping::Shared), 0);
            }
            MUNMAP => self.set(a, b, None, 0),
            BRK => {
                let (old, new) = (pages(self.brk), result);
                if new > old {
                    self.set(old, new - old, Some(Mapping::Heap), 0);
                } else {
                    let new = pages(new);
                    self.set(new, old.saturating_sub(new), None, 0);
                }
                self.brk = result;
            }
            _ => {
                let was = self.ranges.at(a).map(|p| p.what);
                self.set(a, b, None, 0);
                self.set(result, c, was.or(Some(Mapping::Anonymous)), 0);
            }
        }
    }
}
