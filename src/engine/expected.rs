//! The number of queued requests that connections being opened will serve.

use super::Engine;
use super::requests::Line;
use super::time::Time;

impl Engine {
    /// The number of queued requests for which a connection is being opened. A connection counts first for the requests
    /// that name its server, and then for those that name none, if its server takes these.
    pub(super) fn expected(&self) -> usize {
        self.expected_with(self.timeline.now(), None)
    }

    /// Like [`expected`](Self::expected), with one more request in a line.
    #[inline]
    pub(super) fn expected_with(&self, now: Time, one_more: Option<Line>) -> usize {
        let queue = self.requests.queue();
        let for_others = self.pool.expected_for_any(now);
        let (mut named, mut of_takers) = self.expected_for_pinned(now);
        if let Some(Line::Pinned(server)) = one_more {
            let more = self.expected_for_one_more(server);
            named += more;
            of_takers += self.if_taker(now, server, more);
        }
        let others = queue.len_of(Line::Urgent)
            + queue.len_of(Line::Usual)
            + usize::from(one_more == Some(Line::Usual));
        named + others.min(for_others.saturating_sub(of_takers))
    }

    /// 1 if a connection that is being opened to a server can take one more of the requests that name it.
    fn expected_for_one_more(&self, server: u16) -> usize {
        let waiting = self.requests.queue().len_of(Line::Pinned(server));
        usize::from(waiting < self.pool.expected_of(server, &self.config))
    }

    /// The number of slots of connections being opened that requests in pinned lines will take, and how many of these
    /// requests that name no server could take otherwise.
    fn expected_for_pinned(&self, now: Time) -> (usize, usize) {
        let queue = self.requests.queue();
        let (mut named, mut of_takers) = (0, 0);
        for server in queue.named() {
            let waiting = queue.len_of(Line::Pinned(*server));
            let taken = waiting.min(self.pool.expected_of(*server, &self.config));
            named += taken;
            of_takers += self.if_taker(now, *server, taken);
        }
        (named, of_takers)
    }

    /// The number of slots of connections being opened that requests in pinned lines will take, although requests that
    /// name no server could take them.
    pub(super) fn taken_by_pinned(&self, now: Time) -> usize {
        self.expected_for_pinned(now).1
    }

    fn if_taker(&self, now: Time, server: u16, slots: usize) -> usize {
        match self.pool.takes_any(now, server) {
            true => slots,
            false => 0,
        }
    }
}
