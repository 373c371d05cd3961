//! The time limits of the requests. Most requests have the usual ones, which are kept once: six limits take 96 bytes, a
//! quarter of a request in flight.

use std::num::NonZeroU32;
use std::time::Duration;

use slab::Slab;

use super::Requests;
use crate::timeouts::Timeouts;

#[derive(Debug)]
pub(super) struct LimitsTable {
    /// Those of the configuration.
    usual: Timeouts,
    /// Those of requests that have their own.
    own: Slab<Timeouts>,
}

/// Where the limits of a request are. `None`: it has the usual ones.
#[derive(Debug, Default)]
pub(super) struct LimitsKey(Option<NonZeroU32>);

impl LimitsTable {
    pub(super) fn new(usual: Timeouts) -> Self {
        Self {
            usual,
            own: Slab::new(),
        }
    }

    /// Adds the limits of a request; `None` for the usual ones.
    #[inline]
    pub(super) fn add(&mut self, own: Option<Timeouts>) -> LimitsKey {
        // There are no more of them than requests, whose keys are below `u32::MAX`.
        LimitsKey(own.and_then(|own| NonZeroU32::new(self.own.insert(own) as u32 + 1)))
    }

    #[inline]
    pub(super) fn get(&self, key: &LimitsKey) -> &Timeouts {
        match key.0 {
            None => &self.usual,
            Some(place) => &self.own[place.get() as usize - 1],
        }
    }

    /// Removes the limits of a request.
    #[inline]
    pub(super) fn remove(&mut self, key: &LimitsKey) {
        if let Some(place) = key.0 {
            self.own.remove(place.get() as usize - 1);
        }
    }
}

impl Requests {
    /// The time limits of a request.
    #[inline]
    pub(in crate::engine) fn timeouts(&self, key: u32) -> &Timeouts {
        self.time_limits.get(self[key].time_limits())
    }

    /// The time limit on the next byte of a request's response.
    #[inline]
    pub(in crate::engine) fn read_limit(&self, key: u32) -> Option<Duration> {
        let timeouts = self.timeouts(key);
        if self[key].clock().has_received() {
            timeouts.between_bytes
        } else {
            timeouts.first_byte
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_without_limits_of_their_own_take_no_place() {
        let mut table = LimitsTable::new(Timeouts::NONE);
        let usual = [table.add(None), table.add(None)];
        let limits = [1, 2].map(|seconds| Timeouts {
            total: Some(Duration::from_secs(seconds)),
            ..Timeouts::NONE
        });
        let own = limits.map(|it| table.add(Some(it)));
        assert!(usual.iter().all(|it| *table.get(it) == Timeouts::NONE));
        assert_eq!(own.each_ref().map(|it| *table.get(it)), limits);
        assert_eq!(table.own.len(), 2);
        for key in usual.iter().chain(&own) {
            table.remove(key);
        }
        assert!(table.own.is_empty());
    }
}
