//! A small seeded generator: the same seed gives the same numbers on every platform.

use std::ops::Range;

/// splitmix64. For faults and fragments, not for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
    /// Bytes that are used up first, from the end.
    given: Vec<u8>,
}

impl Rng {
    /// A generator. Any seed is as good as another.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: seed,
            given: Vec::new(),
        }
    }

    /// A generator whose first numbers are made of these bytes, for a fuzzer: each number takes as many as it needs.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let given = bytes.iter().rev().copied().collect();
        Self { state: 0, given }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        match self.take_given(u64::MAX) {
            Some(number) => number,
            None => self.next_generated(),
        }
    }

    /// A number up to `most` from the bytes that were given.
    fn take_given(&mut self, most: u64) -> Option<u64> {
        let len = (u64::BITS - most.leading_zeros()).div_ceil(8) as usize;
        let rest = self.given.len().checked_sub(len)?;
        let bytes = self.given.drain(rest..);
        let number = bytes.fold(0, |number, byte| number << 8 | u64::from(byte));
        Some(match most.checked_add(1) {
            Some(bound) => number % bound,
            None => number,
        })
    }

    const fn next_generated(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        if let Some(number) = self.take_given(bound - 1) {
            return number;
        }
        // The high half of a 128-bit product: no division, and a bias below 2^-40 for what tests need.
        ((self.next_generated() as u128 * bound as u128) >> 64) as u64
    }

    /// A number in a range, or its start if the range is empty.
    pub fn between(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// True in `percent` of 100 calls.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the choices.
    ///
    /// # Panics
    /// If there is no choice.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// A second generator, made from the next number of this one. What is drawn from it does not change this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }
}
