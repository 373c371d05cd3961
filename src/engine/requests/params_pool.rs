//! Memory of parameters, kept for the next requests.

use crate::params::Params;

#[derive(Default)]
pub(super) struct ParamsPool(Vec<Params>);

/// The most buffers kept, and the largest buffer kept: 16 MiB in all at most.
const MAX_KEPT: usize = 1024;
const MAX_KEPT_LEN: usize = 16 * 1024;

impl ParamsPool {
    pub(super) fn take(&mut self) -> Option<Params> {
        self.0.pop()
    }

    /// Keeps the memory of parameters that are no longer needed. The parameters are empty afterwards.
    #[inline]
    pub(super) fn give_back(&mut self, params: &mut Params) {
        // The parameters of a probe have no memory.
        if self.0.len() < MAX_KEPT && (1..=MAX_KEPT_LEN).contains(&params.capacity()) {
            params.clear();
            self.0.push(std::mem::take(params));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffers_that_are_kept_are_bounded_in_number() {
        for (given, kept) in [(3, 3), (MAX_KEPT + 1, MAX_KEPT)] {
            let mut pool = ParamsPool::default();
            for _ in 0..given {
                let mut params = Params::default();
                params.push("A", "1");
                pool.give_back(&mut params);
            }
            assert_eq!(pool.0.len(), kept);
        }
    }

    #[test]
    fn memory_that_was_given_back_is_there_for_the_next_request_and_empty() {
        let mut pool = ParamsPool::default();
        let mut params = Params::default();
        params.push("A", "1");
        let capacity = params.capacity();
        pool.give_back(&mut params);
        assert_eq!(params.capacity(), 0);
        let taken = pool.take().expect("what was given back");
        assert_eq!((taken.capacity(), taken.encoded_len()), (capacity, 0));
        assert!(pool.take().is_none());
    }

    #[test]
    fn the_buffers_that_are_kept_are_bounded_in_length() {
        for (len, kept) in [(MAX_KEPT_LEN, 1), (MAX_KEPT_LEN + 1, 0)] {
            let mut pool = ParamsPool::default();
            let mut params = Params::default();
            // The name, and lengths of one byte and four.
            params.push("A", "x".repeat(len - 6));
            assert_eq!(params.capacity(), len);
            pool.give_back(&mut params);
            assert_eq!(pool.0.len(), kept, "{len}");
        }
    }

    #[test]
    fn what_has_no_memory_is_not_kept_in_its_place() {
        let mut pool = ParamsPool::default();
        pool.give_back(&mut Params::default());
        assert!(pool.take().is_none());
    }
}
