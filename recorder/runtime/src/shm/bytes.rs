//! Comparing and copying memory that others write to meanwhile.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Bytes that changed.
#[derive(Clone, Copy, Default)]
pub struct Span {
    /// Offset.
    pub from: u64,
    /// How many.
    pub len: u64,
}

/// Where `len` bytes at two places differ, in at most 32 spans that are
/// multiples of 8 but for the ends.
pub fn changes(a: u64, b: u64, len: u64, spans: &mut [Span; 32]) -> usize {
    let mut n = 0_usize;
    let mut at = 0;
    while at < len {
        let step = (8 - ((a + at) & 7)).min(len - at);
        // SAFETY: both are mapped for as long as the region is.
        let differ = unsafe { read_part(a + at, step) != read_part(b + at, step) };
        if differ {
            let last = n.saturating_sub(1);
            let end = spans[last].from + spans[last].len;
            if n > 0 && (end + 16 >= at || n == spans.len()) {
                spans[last].len = at + step - spans[last].from;
            } else {
                spans[n] = Span {
                    from: at,
                    len: step,
                };
                n += 1;
            }
        }
        at += step;
    }
    n
}

/// A span without the bytes at its ends that are equal.
pub fn trim(a: u64, b: u64, mut span: Span) -> Span {
    // SAFETY: as for `changes`.
    let equal = |at: u64| unsafe { read_part(a + at, 1) == read_part(b + at, 1) };
    while span.len > 1 && equal(span.from) {
        span.from += 1;
        span.len -= 1;
    }
    while span.len > 1 && equal(span.from + span.len - 1) {
        span.len -= 1;
    }
    span
}

/// Whether `len` bytes at two places differ: what others see, and what this process saw last.
#[inline(always)]
pub fn differs(a: u64, b: u64, len: u64) -> bool {
    // SAFETY: as for `changes`.
    unsafe {
        if matches!(len, 8 | 4 | 1 | 2) {
            return read_part(a, len) != read_part(b, len);
        }
        let mut at = 0;
        while at + 8 <= len {
            if read_part(a + at, 8) != read_part(b + at, 8) {
                return true;
            }
            at += 8;
        }
        at < len && read_part(a + at, len - at) != read_part(b + at, len - at)
    }
}

/// A number at any address.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Unaligned<T>(T);

/// Up to eight bytes, each power of two of them read at once.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub unsafe fn read_part(at: u64, len: u64) -> u64 {
    // SAFETY: by the caller. Volatile: others write there.
    unsafe {
        match len {
            8 => (at as *const Unaligned<u64>).read_volatile().0,
            4 => (at as *const Unaligned<u32>).read_volatile().0.into(),
            2 => (at as *const Unaligned<u16>).read_volatile().0.into(),
            1 => (at as *const u8).read_volatile().into(),
            _ => {
                let mut value = 0;
                for i in 0..len {
                    value |= u64::from(((at + i) as *const u8).read_volatile()) << (8 * i);
                }
                value
            }
        }
    }
}

/// Stores the low `size` bytes of `value` at once.
#[inline(always)]
pub fn put(at: u64, value: u64, size: u32) {
    // Like the program's own store: to memory that others look at meanwhile.
    // SAFETY: `at` is in the alias of a region that contains the whole access;
    // x86 allows any alignment, and the stores are of the access's own size.
    unsafe {
        match size {
            8 if at & 7 == 0 => (*(at as *const AtomicU64)).store(value, Ordering::Relaxed),
            4 if at & 3 == 0 => (*(at as *const AtomicU32)).store(value as u32, Ordering::Relaxed),
            2 if at & 1 == 0 => (*(at as *const AtomicU16)).store(value as u16, Ordering::Relaxed),
            1 => (*(at as *const AtomicU8)).store(value as u8, Ordering::Relaxed),
            8 => (at as *mut u64).write_unaligned(value),
            4 => (at as *mut u32).write_unaligned(value as u32),
            _ => (at as *mut u16).write_unaligned(value as u16),
        }
    }
}

/// Stores in `to` the words of `from` that are not what `seen` has: whoever else
/// writes nearby is not disturbed. All are equally aligned.
pub fn copy_changes(from: u64, seen: u64, to: u64, len: u64) {
    let mut at = 0;
    while at < len {
        let n = (8 - ((from + at) & 7)).min(len - at);
        // SAFETY: as for `changes`.
        if unsafe { read_part(from + at, n) != read_part(seen + at, n) } {
            copy_bytes(from + at, to + at, n);
        }
        at += n;
    }
}

/// Copies between alias and copy, in the largest steps that fit.
#[inline(always)]
pub fn copy_bytes(from: u64, to: u64, len: u64) {
    let mut at = 0;
    // SAFETY: both sides lie within a region's alias or copy.
    unsafe {
        while at + 8 <= len {
            let value = read_part(from + at, 8);
            ((to + at) as *mut u64).write_unaligned(value);
            at += 8;
        }
        for n in [4, 2, 1] {
            if len - at >= n {
                let value = read_part(from + at, n);
                match n {
                    4 => ((to + at) as *mut u32).write_unaligned(value as u32),
                    2 => ((to + at) as *mut u16).write_unaligned(value as u16),
                    _ => ((to + at) as *mut u8).write(value as u8),
                }
                at += n;
            }
        }
    }
}
