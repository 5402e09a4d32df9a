//! Files on disk that several processes with threads map, each for itself, shared
//! and writable. Unlike other shared memory they are not recorded access by
//! access: the user is told.

use orch_abi::record::Kind;
use std::collections::{HashMap, HashSet};

/// Who maps which file.
#[derive(Debug, Default)]
pub struct SharedFiles {
    /// Device and inode, and the recording that mapped it first.
    mapped: HashMap<(u64, u64), u32>,
    told: HashSet<(u64, u64)>,
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl SharedFiles {
    /// Looks at a record; `identity` tells device and inode of a captured
    /// file. What comes back is for the user.
    pub fn observe(
        &mut self,
        recording: u32,
        kind: u8,
        payload: &[u8],
        identity: impl Fn(u64) -> Option<(u64, u64)>,
    ) -> Option<String> {
        const PRIVATE: u64 = 2;
        const WRITE: u64 = 2;
        if kind == Kind::Map as u8 {
            // struct Map: addr, len, prot and flags (32 bits each), file, offset.
            let (prot_flags, file) = (word(payload, 16)?, word(payload, 24)?);
            if file == 0 || prot_flags & WRITE == 0 || prot_flags >> 32 & 0xf == PRIVATE {
                return None;
            }
            let key = identity(file - 1)?;
            let first = *self.mapped.entry(key).or_insert(recording);
            if first != recording && self.told.insert(key) {
                return Some(format!(
                    "p{first} and p{recording} share a writable mapping of a file on disk; \
                     what one writes there for the other to read is not recorded"
                ));
            }
        }
        None
    }
}
