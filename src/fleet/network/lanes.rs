//! Sets of up to 512 elements that are computed with as a whole. Pure.

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// Number of elements of a set. More at once would not stay in registers.
pub(super) const LANES: usize = WORDS * WORD_BITS;

const WORDS: usize = 8;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of numbers below [`LANES`], as large as a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Lanes([u64; WORDS]);

impl Lanes {
    pub(super) const EMPTY: Self = Self([0; WORDS]);

    pub(super) const fn insert(&mut self, lane: usize) {
        self.0[lane / WORD_BITS] |= 1 << (lane % WORD_BITS);
    }
}

impl BitAnd for Lanes {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }
}

impl BitOr for Lanes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }
}

impl BitOrAssign for Lanes {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl Not for Lanes {
    type Output = Self;

    fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }
}

/// Weights of up to [`LANES`] elements, summed up in advance: for each eight elements those of all
/// subsets of the first four and of the last four.
pub(super) struct Sums(Vec<[[u128; 16]; 2]>);

impl Sums {
    pub(super) fn new(weights: impl Iterator<Item = u128>) -> Self {
        let mut sums = vec![[[0; 16]; 2]; LANES / 8];
        for (lane, weight) in weights.enumerate() {
            for (subset, sum) in sums[lane / 8][lane % 8 / 4].iter_mut().enumerate() {
                if subset >> (lane % 4) & 1 == 1 {
                    *sum += weight;
                }
            }
        }
        Self(sums)
    }

    /// Returns the weight of all elements of a set.
    pub(super) fn of(&self, lanes: &Lanes) -> u128 {
        let mut sum = 0;
        for (word, sums) in lanes.0.iter().zip(self.0.chunks_exact(WORD_BITS / 8)) {
            // Where few disagree, most words are empty.
            if *word != 0 {
                for (byte, [first, last]) in word.to_le_bytes().into_iter().zip(sums) {
                    sum += first[usize::from(byte & 15)] + last[usize::from(byte >> 4)];
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_weight_of_a_set_is_the_sum_over_its_elements(
            elements in prop::collection::btree_set(0..LANES, 0..LANES),
            weights in prop::collection::vec(any::<u64>().prop_map(u128::from), 0..=LANES),
        ) {
            let mut lanes = Lanes::EMPTY;
            for lane in &elements {
                lanes.insert(*lane);
            }
            let expected: u128 = elements.iter().filter_map(|lane| weights.get(*lane)).sum();
            prop_assert_eq!(Sums::new(weights.iter().copied()).of(&lanes), expected);
        }
    }
}
