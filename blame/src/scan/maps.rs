//! Which files a process has mapped where, as its records tell.

use super::ranges::Ranges;
use crate::catalog::MapChange;
use orch_abi::record::{Kind, Map};
use orch_recorder::trace::{Record, RecordingId, Tick};

// Numbers of system calls: arch/x86/entry/syscalls/syscall_64.tbl.
const MMAP: u16 = 9;
const MUNMAP: u16 = 11;
const MREMAP: u16 = 25;
const SHMAT: u16 = 30;

/// Follows the mapped files of one recording.
#[derive(Debug, Default)]
pub struct Maps {
    files: Ranges<u64>,
    /// A file that the next mmap maps.
    pending: Option<Map>,
    /// Tick of the image's first record: mappings of that tick are the image's.
    image: Option<u64>,
}

/// What changes: a range, and the file and offset that it shows from now on.
type Change = (u64, u64, Option<u64>, u64);

impl Maps {
    /// Takes a record into account; `tell` hears of what changes.
    pub fn observe(
        &mut self,
        recording: RecordingId,
        record: &Record<'_>,
        mut tell: impl FnMut(MapChange),
    ) {
        let tick = Tick(record.head.tick);
        for (addr, len, file, offset) in self.changes(record).into_iter().flatten() {
            // Memory that shows no file, in the place of none, is of no interest.
            if file.is_none() && self.files.pieces(addr, len).next().is_none() {
                continue;
            }
            self.files.set(addr, len, file, offset);
            tell(MapChange {
                recording,
                tick,
                addr,
                len,
                file,
                offset,
            });
        }
    }

    fn changes(&mut self, record: &Record<'_>) -> [Option<Change>; 2] {
        match Kind::from_u8(record.head.kind) {
            Some(Kind::Start) => {
                self.image = Some(record.head.tick);
                [None; 2]
            }
            Some(Kind::Map) => {
                let Ok(map) = record.map() else {
                    return [None; 2];
                };
                if self.image == Some(record.head.tick) {
                    return [Some(change(map.addr, map.len, &map)), None];
                }
                self.pending = Some(map);
                [None; 2]
            }
            Some(Kind::Syscall) => self.call(record),
            _ => [None; 2],
        }
    }

    fn call(&mut self, record: &Record<'_>) -> [Option<Change>; 2] {
        if !matches!(record.head.aux, MMAP | MUNMAP | MREMAP | SHMAT) {
            return [None; 2];
        }
        let pending = self.pending.take();
        let Ok(view) = record.syscall() else {
            return [None; 2];
        };
        if (-4095..0).contains(&view.call.result) {
            return [None; 2];
        }
        let result = view.call.result.cast_unsigned();
        let [a, b, c, ..] = view.call.args;
        match (record.head.aux, pending) {
            (MMAP, Some(map)) => [Some(change(result, b, &map)), None],
            (MMAP, None) => [Some((result, pages(b), None, 0)), None],
            (SHMAT, map) => [Some((result, map.map_or(0, |m| m.len), None, 0)), None],
            (MUNMAP, _) => [Some((a, pages(b), None, 0)), None],
            _ => self.moved(a, b, result, c),
        }
    }

    /// mremap(2): the file goes along, as far as it was mapped in one piece.
    fn moved(&self, old: u64, old_len: u64, new: u64, new_len: u64) -> [Option<Change>; 2] {
        let was = self.files.at(old);
        let (file, offset) = match was {
            Some(piece) => {
                let offset = piece.offset.wrapping_add(old - piece.addr);
                (Some(piece.what), offset)
            }
            None => (None, 0),
        };
        [
            Some((old, pages(old_len), None, 0)),
            Some((new, pages(new_len), file, offset)),
        ]
    }
}

fn change(addr: u64, len: u64, map: &Map) -> Change {
    (addr, pages(len), map.file.checked_sub(1), map.offset)
}

/// Whole pages.
fn pages(len: u64) -> u64 {
    len.checked_next_multiple_of(4096).unwrap_or(len)
}
