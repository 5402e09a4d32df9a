//! Code that the program makes itself (compilers at run time) may change under
//! a patch: it is never patched.

use orch_abi::layout::PAGE;

const MAX: usize = 64;

struct Ranges {
    list: [(u64, u64); MAX],
    count: usize,
    /// More than there is room for: any code may be generated.
    all: bool,
}

static mut RANGES: Ranges = Ranges {
    list: [(0, 0); MAX],
    count: 0,
    all: false,
};

fn ranges() -> &'static mut Ranges {
    // SAFETY: only the baton's holder is here.
    unsafe { &mut *&raw mut RANGES }
}

/// Memory without a file became executable, or was mapped so.
pub fn generated(start: u64, len: u64) {
    let r = ranges();
    let end = start.saturating_add(len.div_ceil(PAGE) * PAGE);
    if let Some(known) = r.list[..r.count]
        .iter_mut()
        .find(|(from, to)| start <= *to && *from <= end)
    {
        *known = (known.0.min(start), known.1.max(end));
    } else if r.count < MAX {
        r.list[r.count] = (start, end);
        r.count += 1;
    } else {
        r.all = true;
    }
}

/// Whether the code at `ip` may change.
pub fn is_generated(ip: u64) -> bool {
    let r = ranges();
    r.all
        || r.list[..r.count]
            .iter()
            .any(|&(from, to)| (from..to).contains(&ip))
}
