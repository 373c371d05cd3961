//! Memory of parameters, kept for the next requests.

use super::Requests;
use crate::params::Params;

#[derive(Default)]
pub(super) struct ParamsPool {
    kept: Vec<Params>,
    /// The longest parameters of late, in bytes: new memory has this size and does not grow.
    expected_len: usize,
}

/// The most buffers kept, and the largest buffer kept: 16 MiB in all at most.
const MAX_KEPT: usize = 1024;
const MAX_KEPT_LEN: usize = 16 * 1024;

/// By how many bytes the size of new memory changes, and the largest size.
const STEP: usize = 64;
const MAX_EXPECTED_LEN: usize = 4 * 1024;

impl ParamsPool {
    /// Memory for the parameters of a new request: that of an ended one, or new memory as large as will be needed, as
    /// far as earlier requests tell. `None` while none tells.
    pub(super) fn take(&mut self) -> Option<Params> {
        let fresh = || (self.expected_len > 0).then(|| Params::with_room(self.expected_len));
        self.kept.pop().or_else(fresh)
    }

    /// Notes the length of the parameters of a request that was accepted.
    #[inline]
    pub(super) fn note(&mut self, len: usize) {
        if len < self.expected_len / 2 {
            // One request that was longer than the others is forgotten.
            self.expected_len -= STEP;
        } else {
            // In steps, so that requests that differ a little do not grow theirs.
            let needed = len.min(MAX_EXPECTED_LEN).next_multiple_of(STEP);
            self.expected_len = self.expected_len.max(needed);
        }
    }

    /// Keeps the memory of parameters that are no longer needed. The parameters are empty afterwards.
    #[inline]
    pub(super) fn give_back(&mut self, params: &mut Params) {
        // The parameters of a probe have no memory.
        if self.kept.len() < MAX_KEPT && (1..=MAX_KEPT_LEN).contains(&params.capacity()) {
            params.clear();
            self.kept.push(std::mem::take(params));
        }
    }
}

impl Requests {
    /// The response of a request has begun: it is not sent again, so the next request may have the memory of its
    /// parameters.
    #[inline]
    pub(in crate::engine) fn reuse_params(&mut self, key: u32) {
        let request = self.places.at_mut(key);
        debug_assert!(request.upload().is_head_framed() && request.output().has_begun());
        self.params_pool.give_back(request.params_mut());
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
            assert_eq!(pool.kept.len(), kept);
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
            assert_eq!(pool.kept.len(), kept, "{len}");
        }
    }

    #[test]
    fn new_memory_is_as_large_as_late_requests_needed() {
        let mut pool = ParamsPool::default();
        assert!(pool.take().is_none());
        let mut room = |len| {
            pool.note(len);
            pool.take().map_or(0, |it| it.capacity())
        };
        assert_eq!(room(0), 0);
        assert_eq!([room(1), room(64), room(65), room(800)], [64, 64, 128, 832]);
        assert_eq!(room(801), 832);
        assert_eq!(room(usize::MAX / 2), MAX_EXPECTED_LEN);
        for _ in 0..MAX_EXPECTED_LEN / STEP {
            room(800);
        }
        assert_eq!(room(800), 1600);
        for _ in 0..MAX_EXPECTED_LEN / STEP {
            room(0);
        }
        assert_eq!(room(0), 0);
    }

    #[test]
    fn what_has_no_memory_is_not_kept_in_its_place() {
        let mut pool = ParamsPool::default();
        pool.give_back(&mut Params::default());
        assert!(pool.take().is_none());
    }
}
