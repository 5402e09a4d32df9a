//! A page of an object: its bytes, and what the last stores replaced.

use std::collections::VecDeque;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// How many stores, and how many replaced bytes, are remembered.
const MOST: (usize, usize) = (1024, 32 << 10);

/// See the module.
pub struct Page {
    bytes: [u8; PAGE],
    /// A bit for each byte that is known.
    known: [u64; PAGE / 64],
    /// The last stores, newest last.
    stores: VecDeque<Replaced>,
    /// What they replaced, one behind the other.
    replaced: VecDeque<u8>,
    /// Of the stores that were forgotten, the last end.
    forgotten: Option<u64>,
}

struct Replaced {
    /// From this tick on nobody sees what was replaced.
    until: u64,
    at: u16,
    len: u16,
    /// Whether all bytes were known.
    known: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            bytes: [0; PAGE],
            known: [0; PAGE / 64],
            stores: VecDeque::new(),
            replaced: VecDeque::new(),
            forgotten: None,
        }
    }
}

impl Page {
    fn is_known(&self, at: usize) -> bool {
        self.known[at / 64] >> (at % 64) & 1 == 1
    }

    /// The bytes from `at` on, and which are known.
    pub fn get(&self, at: usize, bytes: &mut [u8], known: &mut [bool]) {
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        for (i, known) in known.iter_mut().enumerate() {
            *known = self.is_known(at + i);
        }
    }

    /// Stores `new` at `at`, which all see from the tick `until` on.
    pub fn set(&mut self, until: u64, at: usize, new: &[u8]) {
        let range = at..at + new.len();
        self.stores.push_back(Replaced {
            until,
            at: at as u16,
            len: new.len() as u16,
            known: range.clone().all(|i| self.is_known(i)),
        });
        self.replaced.extend(&self.bytes[range.clone()]);
        self.bytes[range.clone()].copy_from_slice(new);
        for i in range {
            self.known[i / 64] |= 1 << (i % 64);
        }
        while self.stores.len() > MOST.0 || self.replaced.len() > MOST.1 {
            let Some(first) = self.stores.pop_front() else {
                break;
            };
            self.replaced.drain(..usize::from(first.len));
            self.forgotten = self.forgotten.max(Some(first.until));
        }
    }

    /// Whether the byte at `at` was `value` at some time behind `since`. If
    /// that is no longer known, it may have been.
    pub fn was(&self, at: usize, value: u8, since: u64) -> bool {
        let mut end = self.replaced.len();
        for store in self.stores.iter().rev() {
            end -= usize::from(store.len);
            let inside = at.wrapping_sub(usize::from(store.at));
            if inside >= usize::from(store.len) {
                continue;
            }
            // A store to the same byte waits for the one before it.
            if store.until <= since {
                return false;
            }
            if !store.known || self.replaced[end + inside] == value {
                return true;
            }
        }
        self.forgotten.is_some_and(|until| until > since)
    }
}
