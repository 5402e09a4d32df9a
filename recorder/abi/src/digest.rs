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

    /// Nothing.
    pub const EMPTY: Self = Self {
        pages: 0,
        hashes: [0; PARTS],
        weighted: [0; PARTS],
    };

    /// All of it in one number.
    pub fn sum(&self) -> u64 {
        self.hashes.iter().fold(0, |sum, &h| sum.wrapping_add(h))
    }

    /// What the page at `address`, which has added `hash` (0 if nothing), would have to add for
    /// its part to be that of `other`.
    #[must_use]
    pub fn hash_in(&self, other: &Self, address: u64, hash: u64) -> u64 {
        let i = part(address / PAGE);
        let more = other.hashes[i].wrapping_sub(self.hashes[i]);
        hash.wrapping_add(more)
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

/// Words of a page.
pub const WORDS: usize = PAGE as usize / 8;

/// A hash of the page at `address`; `None` if it is all zeros.
///
/// Four chains of 64-bit multiplications whose halves are folded together: without vector
/// registers they are quicker than XXH3. Meant for accidents, not for attacks.
#[must_use]
pub fn page_hash(page: &[u64; WORDS], address: u64) -> Option<u64> {
    // Digits of pi, as good as any.
    const KEYS: [u64; 5] = [
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
        0x4528_21e6_38d0_1377,
    ];
    let mut chains = [0, 1, 2, 3].map(|i| address ^ KEYS[i]);
    let mut all = 0;
    for words in page.chunks_exact(8) {
        for (i, chain) in chains.iter_mut().enumerate() {
            let (a, b) = (words[2 * i], words[2 * i + 1]);
            all |= a | b;
            *chain = fold(a ^ *chain, b ^ KEYS[4]).wrapping_add(*chain);
        }
    }
    let hash = chains.into_iter().fold(0, |h, c| fold(h ^ c, KEYS[4]));
    (all != 0).then_some(hash)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
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

    #[test]
    fn the_hash_that_a_page_had_comes_out() {
        let before = digest(&[(0x1000, 11), (0x9000, 22), (0x2000, 33)]);
        let after = digest(&[(0x1000, 11), (0x9000, 70), (0x2000, 33)]);
        assert_eq!(after.hash_in(&before, 0x9000, 70), 22);
        // A page that was all zeros.
        let before = digest(&[(0x1000, 11), (0x2000, 33)]);
        assert_eq!(after.hash_in(&before, 0x9000, 70), 0);
    }

    fn digest(pages: &[(u64, u64)]) -> Digest {
        let mut d = Digest::default();
        for &(address, hash) in pages {
            d.add(address, hash);
        }
        d
    }

    #[test]
    fn each_bit_and_place_changes_the_hash() {
        let mut page: [u64; WORDS] =
            core::array::from_fn(|i| if i % 3 == 0 { 0 } else { i as u64 });
        let hash = page_hash(&page, 0x5000).unwrap();
        assert_ne!(page_hash(&page, 0x6000), Some(hash));
        for bit in 0..64 * WORDS {
            page[bit / 64] ^= 1 << (bit % 64);
            assert_ne!(page_hash(&page, 0x5000), Some(hash), "bit {bit}");
            page[bit / 64] ^= 1 << (bit % 64);
        }
        for (i, j) in (0..WORDS).flat_map(|i| (0..i).map(move |j| (i, j))) {
            if page[i] != page[j] {
                page.swap(i, j);
                assert_ne!(page_hash(&page, 0x5000), Some(hash), "words {i} and {j}");
                page.swap(i, j);
            }
        }
        assert_eq!(page_hash(&[0; WORDS], 0x5000), None);
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
