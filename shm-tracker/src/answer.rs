//! The bytes of an answer: `orch_abi::access::Stub`, its rows, its code. Fields
//! one by one, in their order, which is how `repr(C)` without padding has them.

use crate::Stub;
use orch_abi::access::{self, Moved, Site};

impl Stub {
    /// The answer to `request::STUB`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            size_of::<access::Stub>()
                + size_of_val(&self.moved[..])
                + size_of_val(&self.sites[..])
                + self.code.len(),
        );
        for n in [
            self.window,
            usize::from(self.patch),
            self.moved.len(),
            self.sites.len(),
            self.code.len(),
            self.before,
        ] {
            out.extend(u32::try_from(n).expect("a stub is small").to_le_bytes());
        }
        for &Moved { at, entry } in &self.moved {
            out.extend([at, entry].into_iter().flat_map(u32::to_le_bytes));
        }
        for s in &self.sites {
            site(s, &mut out);
        }
        out.extend(&self.code);
        out
    }
}

fn site(s: &Site, out: &mut Vec<u8>) {
    let addresses = [s.ip, s.perform, s.perform_private, s.done];
    out.extend(addresses.into_iter().flat_map(u64::to_le_bytes));
    out.extend(s.size.to_le_bytes());
    out.push(s.kind);
    out.extend(s.scratch);
    out.extend([s.value, s.atomic, s.flags]);
    out.extend(s.reserved);
}
