//! Open-addressed tables of fixed size.

/// The row of `key`, which is not 0, or the one that it would have; of those that are
/// looked at, `far` at most. The number of rows is a power of two.
pub fn row(rows: &[(u64, u32)], key: u64, far: usize) -> Option<usize> {
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let first = (hash >> (64 - rows.len().trailing_zeros())) as usize;
    (first..first + far)
        .map(|i| i % rows.len())
        .find(|&i| rows[i].0 == key || rows[i].0 == 0)
}
