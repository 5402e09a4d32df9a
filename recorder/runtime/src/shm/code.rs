//! Code that the program makes itself (compilers at run time). While it can be written to it
//! may change under a patch, and is not patched. Before it becomes writable again its patches
//! are taken out; where that happens often, none is put in any more.

use crate::sys::mm;
use orch_abi::layout::PAGE;

const MAX: usize = 1024;
/// So often code may become writable.
const OFTEN: u32 = 8;

#[derive(Clone, Copy)]
struct Range {
    start: u64,
    end: u64,
    writable: bool,
    /// How often it has become so.
    changes: u32,
}

struct Ranges {
    list: [Range; MAX],
    count: usize,
    /// More than there is room for: any code may be generated.
    all: bool,
}

static mut RANGES: Ranges = Ranges {
    list: [Range {
        start: 0,
        end: 0,
        writable: false,
        changes: 0,
    }; MAX],
    count: 0,
    all: false,
};

fn ranges() -> &'static mut Ranges {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut RANGES }
}

impl Ranges {
    fn known(&self) -> &[Range] {
        &self.list[..self.count]
    }

    fn add(&mut self, new: Range) {
        let joins = |r: &&mut Range| {
            (r.writable, r.changes) == (new.writable, new.changes)
                && (r.start == new.end || r.end == new.start)
        };
        if new.start >= new.end {
        } else if let Some(r) = self.list[..self.count].iter_mut().find(joins) {
            (r.start, r.end) = (r.start.min(new.start), r.end.max(new.end));
        } else if self.count < MAX {
            self.list[self.count] = new;
            self.count += 1;
        } else {
            self.all = true;
        }
    }

    /// Takes a part out; returns how often any of it has become writable.
    fn cut(&mut self, start: u64, end: u64) -> u32 {
        let (mut most, mut i) = (0, 0);
        while i < self.count {
            let r = self.list[i];
            if r.end <= start || end <= r.start {
                i += 1;
                continue;
            }
            most = most.max(r.changes);
            self.count -= 1;
            self.list[i] = self.list[self.count];
            self.add(Range {
                end: start.min(r.end),
                ..r
            });
            self.add(Range {
                start: end.max(r.start),
                ..r
            });
        }
        most
    }
}

fn end(start: u64, len: u64) -> u64 {
    start.saturating_add(len.div_ceil(PAGE) * PAGE)
}

/// Memory without a file was mapped as executable, or any got these rights.
pub fn generated(start: u64, len: u64, prot: u64) {
    let (r, end) = (ranges(), end(start, len));
    let overlaps = |r: &Range| r.start < end && start < r.end;
    if prot & mm::EXEC == 0 && !r.known().iter().any(overlaps) {
        return;
    }
    let writable = prot & mm::WRITE != 0;
    let changes = r.cut(start, end) + u32::from(writable);
    r.add(Range {
        start,
        end,
        writable,
        changes,
    });
}

/// A range is unmapped, or mapped anew.
pub fn forget(start: u64, len: u64) {
    ranges().cut(start, end(start, len));
}

/// Whether the code at `ip` may change.
pub fn may_change(ip: u64) -> bool {
    let r = ranges();
    let may = |r: &Range| (r.start..r.end).contains(&ip) && (r.writable || r.changes > OFTEN);
    r.all || r.known().iter().any(may)
}
