//! The bytes of a page of an object.

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// See the module.
pub struct Page {
    bytes: [u8; PAGE],
    /// A bit for each byte that is known.
    known: [u64; PAGE / 64],
}

impl Default for Page {
    fn default() -> Self {
        Self {
            bytes: [0; PAGE],
            known: [0; PAGE / 64],
        }
    }
}

impl Page {
    /// The bytes from `at` on, and which are known.
    pub fn get(&self, at: usize, bytes: &mut [u8], known: &mut [bool]) {
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        for (i, known) in (at..).zip(known) {
            *known = self.known[i / 64] >> (i % 64) & 1 == 1;
        }
    }

    /// Stores `new` at `at`.
    pub fn set(&mut self, at: usize, new: &[u8]) {
        let range = at..at + new.len();
        self.bytes[range.clone()].copy_from_slice(new);
        for i in range {
            self.known[i / 64] |= 1 << (i % 64);
        }
    }
}
