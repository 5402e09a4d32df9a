//! Code that the program makes itself (compilers at run time). While it can be written to it
//! may change under a patch, and is not patched. Before it becomes writable again its patches
//! are taken out; where that happens often, none is put in any more.

use crate::ranges::{Range, Ranges, end};
use crate::sys::mm;

/// So often code may become writable.
const OFTEN: u32 = 8;

/// What is known of such code.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Code {
    writable: bool,
    /// How often it has become so.
    changes: u32,
}

struct State {
    ranges: Ranges<Code, 1024>,
    /// More than there is room for: any code may be generated.
    all: bool,
}

static mut STATE: State = State {
    ranges: Ranges::new(Code {
        writable: false,
        changes: 0,
    }),
    all: false,
};

fn state() -> &'static mut State {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut STATE }
}

impl State {
    /// Takes a part out; returns how often any of it has become writable.
    fn cut(&mut self, start: u64, end: u64) -> u32 {
        let Self { ranges, all } = self;
        let mut most = 0;
        let taken = |code: Code| most = most.max(code.changes);
        ranges.cut(start, end, taken, |_| *all = true);
        most
    }
}

/// Memory without a file was mapped as executable, or any got these rights.
pub fn generated(start: u64, len: u64, prot: u64) {
    let (s, end) = (state(), end(start, len));
    if prot & mm::EXEC == 0 && !s.ranges.list().iter().any(|r| r.touches(start, end)) {
        return;
    }
    let writable = prot & mm::WRITE != 0;
    let changes = s.cut(start, end) + u32::from(writable);
    let what = Code { writable, changes };
    s.all |= !s.ranges.add(Range { start, end, what });
}

/// A range is unmapped, or mapped anew.
pub fn forget(start: u64, len: u64) {
    state().cut(start, end(start, len));
}

/// Whether the code at `ip` may change.
pub fn may_change(ip: u64) -> bool {
    let s = state();
    let may = |r: &Range<Code>| r.has(ip) && (r.what.writable || r.what.changes > OFTEN);
    s.all || s.ranges.list().iter().any(may)
}
