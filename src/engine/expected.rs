//! The number of queued requests that connections being opened will serve.

use super::Engine;
use super::requests::Line;

impl Engine {
    /// The number of queued requests for which a connection is being opened. A connection counts first for the requests
    /// that name its server, and then for those that name none.
    pub(super) fn expected(&self) -> usize {
        self.expected_with(None)
    }

    /// Like [`expected`](Self::expected), with one more request in a line.
    #[inline]
    pub(super) fn expected_with(&self, one_more: Option<Line>) -> usize {
        let queue = self.requests.queue();
        let named = match one_more {
            Some(Line::Pinned(server)) => self.expected_for_one_more(server),
            _ => 0,
        };
        let named = named + self.expected_for_pinned();
        let others = queue.len_of(Line::Urgent)
            + queue.len_of(Line::Usual)
            + usize::from(one_more == Some(Line::Usual));
        named + others.min(self.pool.expected().saturating_sub(named))
    }

    /// 1 if a connection that is being opened to a server can take one more of the requests that name it.
    fn expected_for_one_more(&self, server: u16) -> usize {
        let waiting = self.requests.queue().len_of(Line::Pinned(server));
        usize::from(waiting < self.pool.expected_of(server, &self.config))
    }

    /// The number of slots of connections being opened that requests in pinned lines will take.
    pub(super) fn expected_for_pinned(&self) -> usize {
        let queue = self.requests.queue();
        let of_server = |server: &u16| {
            let waiting = queue.len_of(Line::Pinned(*server));
            waiting.min(self.pool.expected_of(*server, &self.config))
        };
        queue.named().iter().map(of_server).sum()
    }
}
