//! The index of a session: every access to shared memory, by place and time,
//! in a file of the session's directory. docs/trace-format.md describes it.

mod build;
mod file;
mod frame;
mod join;
mod read;
mod segment;

pub use read::{Index, Query};

use serde::{Deserialize, Serialize};

/// Hears now and then which part of an index is made, between 0 and 1, and says whether to go
/// on.
pub type Progress<'a> = dyn FnMut(f64) -> bool + 'a;

/// Name of the file in the session's directory.
pub const INDEX_FILE: &str = "blame.index";
/// Version of its format.
pub const VERSION: u32 = 3;

/// Accesses to one window of one object, of a span of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Segment {
    object: u64,
    /// Number of the window: offset / [`crate::timeline::WINDOW`].
    window: u64,
    first_tick: u64,
    last_tick: u64,
    frames: Vec<FrameEntry>,
}

/// Where a frame is, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FrameEntry {
    /// Where it begins in the file.
    at: u64,
    /// Bytes in the file.
    len: u32,
    /// Bytes before compression.
    raw: u32,
    /// XXH3-64 of the bytes in the file.
    checksum: u64,
    /// Lowest and highest centre of its accesses.
    first: u32,
    last: u32,
    /// A bit for each level of a centre that is there.
    levels: u32,
    first_tick: u64,
    last_tick: u64,
}

/// The place of an access in a frame: the middle of the smallest block that
/// holds it, of all blocks of a power of two bytes, at least 64, that begin at a
/// multiple of their size. Accesses that touch a byte have the centre of one of
/// the blocks around it: there are few of those.
fn centre(offset: u32, len: u32) -> u32 {
    let last = offset + len.max(1) - 1;
    match (offset ^ last).checked_ilog2() {
        Some(bit @ 6..) => last >> bit << bit,
        _ => (offset & !63) + 32,
    }
}

/// How large the block of a centre is: its size is 2 to this power.
const fn level(centre: u32) -> u32 {
    centre.trailing_zeros() + 1
}

/// Centres of the blocks larger than 64 bytes around `at`, and their levels.
fn around(at: u32) -> impl Iterator<Item = (u32, u32)> {
    (7..=22).map(move |level| ((at >> level << level) + (1 << (level - 1)), level))
}

/// Whether accesses that touch `from..=to` may have centres in `first..=last`,
/// of which those of `levels` (a bit each) are there.
fn may_touch(from: u32, to: u32, first: u32, last: u32, levels: u32) -> bool {
    let within = (from & !63) + 32..=(to & !63) + 32;
    let mut blocks = around(from).chain(around(to));
    *within.start() <= last && first <= *within.end()
        || blocks.any(|(c, level)| levels >> level & 1 == 1 && (first..=last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn who_touches_a_range_is_found_by_its_centre(
            a in 0..5000_u32, len in 1..4000_u32, from in 0..5000_u32, more in 0..3000_u32,
        ) {
            let centre = centre(a, len);
            let touches = a <= from + more && from < a + len;
            prop_assert!(!touches || may_touch(from, from + more, centre, centre, 1 << level(centre)));
        }
    }

    #[test]
    fn the_description_is_of_this_version() {
        let text = include_str!("../../../docs/trace-format.md");
        assert!(text.contains(&format!("Version {VERSION}. `{INDEX_FILE}` holds")));
    }

    #[test]
    fn centres_of_different_blocks_differ() {
        assert_eq!(centre(0, 64), 32);
        assert_eq!(centre(60, 8), 64);
        assert_eq!(centre(64, 1), 96);
        assert_eq!(centre(100, 100), 128);
        assert_eq!(centre(4090, 10), 4096);
        // Few frames are looked at for a byte.
        assert!(!may_touch(8, 15, 96, 160, 1 << 6));
        assert_eq!(
            (level(32), level(64), level(96), level(4096)),
            (6, 7, 6, 13)
        );
    }
}
