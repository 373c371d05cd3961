//! The number of requests that the connections being opened will serve.
//!
//! A connection counts for the requests that may use it: one to a server that takes only requests that name it does not
//! count for the others. So [`Pool::takes_any`] decides here as it does when a connection is chosen.

use super::{Config, Lists, Pool, Time};

impl Pool {
    /// The number of requests to a server that the connections being opened to it can take, late ones included.
    pub(crate) fn expected_of(&self, server: u16, config: &Config) -> usize {
        let max_requests = self.max_requests(server, config.keep_connections) as usize;
        let connecting = self.lists(server).connecting_for_requests();
        connecting.saturating_mul(max_requests)
    }

    /// The number of requests that name no server that the connections being opened can take.
    #[inline]
    pub(crate) fn expected_for_any(&self, now: Time) -> usize {
        let late = match self.late {
            0 => 0,
            _ => self.sum_of_takers(now, Lists::late),
        };
        self.slots_for_any(now) + late
    }

    /// Like [`expected_for_any`](Self::expected_for_any), without late connections: no request waits for these instead
    /// of using another server.
    #[inline]
    pub(super) fn slots_for_any(&self, now: Time) -> usize {
        // The usual cases.
        if self.expected_slots == 0 || (self.servers.is_uniform() && !self.has_hung) {
            return self.expected_slots;
        }
        self.sum_of_takers(now, Lists::slots)
    }

    #[cold]
    fn sum_of_takers(&self, now: Time, count: impl Fn(&Lists) -> usize) -> usize {
        let takers = (0..self.servers.len()).filter(|it| self.takes_any(now, *it as u16));
        takers.map(|it| count(self.servers[it].lists())).sum()
    }

    /// Whether the connections being opened suffice for all waiting requests that name no server. `slots` is the number
    /// of [`slots_for_any`](Self::slots_for_any). A late connect counts only for its own server.
    #[inline]
    pub(super) fn suffice(&self, slots: usize, server: usize, waiting: usize) -> bool {
        slots + self.servers[server].lists().late() >= waiting
    }
}
