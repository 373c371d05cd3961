//! Whether a connection may take one more request, or has served long enough.

use super::Connection;
use crate::engine::time::Time;
use crate::limits::Limits;

impl Connection {
    /// Whether the connection has served, or serves, its maximum number of requests.
    #[inline]
    pub(crate) fn has_served_most(&self, limits: &Limits) -> bool {
        limits
            .max_requests_per_connection
            .is_some_and(|most| self.served.saturating_add(self.live()) >= most)
    }

    /// Whether there is no ID for another request.
    pub(crate) fn is_out_of_ids(&self) -> bool {
        !self.ids.has_free_id()
    }

    /// Whether the connection has reached its maximum lifetime. A connection that has not served yet is never too old,
    /// however long the connect took: a new one would take as long.
    #[inline]
    pub(crate) fn is_old(&self, now: Time, limits: &Limits) -> bool {
        (self.served > 0 || self.live > 0)
            && limits
                .max_lifetime
                .is_some_and(|age| now.saturating_duration_since(self.opened) >= age)
    }

    /// Whether a limit keeps the connection from taking one more request.
    #[inline]
    pub(crate) fn is_used_up(&self, now: Time, limits: &Limits) -> bool {
        self.has_served_most(limits) || self.is_old(now, limits)
    }
}
