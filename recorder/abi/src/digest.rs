//! Digest of a process's memory that tells, where two differ, in which pages.

use crate::layout::PAGE;

/// Pages are spread over so many parts by their number.
pub const PARTS: usize = 8;

/// A digest of memory, made of a hash of each page.
///
/// Each part has two sums: of the hashes, and of the hashes times the numbers of their
/// pages. Where one page of a part differs, the second difference is the first times its
/// number, which so comes out. (As with the lists that an invertible Bloom filter holds.)
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Pages that went into it.
    pub pages: u64,
    /// Sum of their hashes, of each part.
    pub hashes: [u64; PARTS],
    /// Sum of their hashes times their numbers, of each part.
    pub weighted: [u64; PARTS],
}

/// Where a part of the memory differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// In the page at this address.
    Page(u64),
    /// In more than one page.
    Several,
}

impl Digest {
    /// Adds the page at `address`, whose contents have the hash `hash`.
    pub fn add(&mut self, address: u64, hash: u64) {
        let number = address / PAGE;
        let i = part(number);
        self.hashes[i] = self.hashes[i].wrapping_add(hash);
        self.weighted[i] = self.weighted[i].wrapping_add(hash.wrapping_mul(number));
        self.pages += 1;
    }

    /// All of it in one number.
    pub fn sum(&self) -> u64 {
        self.hashes.iter().fold(0, |sum, &h| sum.wrapping_add(h))
    }

    /// Where the memories of this one and the other differ.
    pub fn differences(&self, other: &Self) -> [Option<Difference>; PARTS] {
        core::array::from_fn(|i| {
            let x = self.hashes[i].wrapping_sub(other.hashes[i]);
            let y = self.weighted[i].wrapping_sub(other.weighted[i]);
            match (x, y) {
                (0, 0) => None,
                _ => Some(
                    quotient(y, x)
                        .filter(|&n| part(n) == i)
                        .map_or(Difference::Several, |n| Difference::Page(n * PAGE)),
                ),
            }
        })
    }
}

/// Consecutive pages, which often differ together, are in different parts.
fn part(number: u64) -> usize {
    (number % PARTS as u64) as usize
}

/// The page number `n` with `n * x == y` (modulo 2^64), if there is one.
fn quotient(y: u64, x: u64) -> Option<u64> {
    const NUMBERS: u32 = 36;
    let zeros = x.trailing_zeros();
    if zeros > 64 - NUMBERS {
        return None;
    }
    let n = (y >> zeros).wrapping_mul(inverse(x >> zeros)) << zeros >> zeros;
    (n >> NUMBERS == 0 && n.wrapping_mul(x) == y).then_some(n)
}

/// Of an odd number, modulo 2^64. (Newton: each round doubles the bits that are right,
/// of which there are three at first.)
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |x, _| {
        x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pages: &[(u64, u64)]) -> Digest {
        let mut d = Digest::default();
        for &(address, hash) in pages {
            d.add(address, hash);
        }
        d
    }

    #[test]
    fn one_page_of_each_part_is_found() {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..10_000 {
            let mut next = || {
                x = x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                x ^ x >> 29
            };
            let at = next() >> 29 << 12 & 0x7fff_ffff_f000;
            let (a, b) = (next(), next());
            let common = [(0x1000, 5), (0x7000_0000, 99)];
            let one = digest(&[common[0], (at, a), common[1], (at + PAGE, 1)]);
            let two = digest(&[(at, b), (at + PAGE, 2), common[0], common[1]]);
            let found = one.differences(&two);
            let mut expected = [None; PARTS];
            expected[part(at / PAGE)] = Some(Difference::Page(at));
            expected[part(at / PAGE + 1)] = Some(Difference::Page(at + PAGE));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_page_that_is_missing_is_found() {
        let (one, two) = (digest(&[(0x5000, 1 << 20)]), digest(&[]));
        assert_eq!(one.differences(&two)[5], Some(Difference::Page(0x5000)));
    }

    #[test]
    fn two_pages_of_a_part_are_several() {
        let one = digest(&[(0x1000, 0x1234_5678_9abc_def1), (0x9000, 77)]);
        let two = digest(&[(0x1000, 0x0fed_cba9_8765_4321), (0x9000, 78)]);
        assert_eq!(one.differences(&two)[1], Some(Difference::Several));
    }
}
