//! What follows from a change: the queue is served, and the pool is brought within its limits.

use log::debug;

use super::close_reason::CloseReason;
use super::exchange::Life;
use super::pool::{Place, Seeker};
use super::queue::Line;
use super::time::Time;
use super::{Engine, Running};
use crate::error::RequestError;

impl Engine {
    /// What follows from a change, whichever it was: waiting requests get the places there are, connections are opened
    /// for the others, and those that are too many are closed. Each public method that may change something calls this
    /// once, at its end, and nothing inside does: no change can set off another one of its kind, however many there are.
    #[inline(always)]
    pub(super) fn settle(&mut self, now: Time) {
        if !self.queue.is_empty() || self.is_untrimmed || self.is_always_unsettled {
            self.settle_pool(now);
        }
    }

    #[inline(never)]
    fn settle_pool(&mut self, now: Time) {
        if !self.queue.is_empty() {
            self.serve_queue(now, Line::Urgent);
            self.serve_queue(now, Line::Usual);
            self.keep_to_the_limit();
        }
        if std::mem::take(&mut self.is_untrimmed) {
            self.trim_all(now);
        }
        if self.running != Running::Yes {
            if self.queue.is_empty() {
                self.retire_unused(now);
            }
            return;
        }
        if self.unasked > 0 && self.queued() > 0 {
            self.ask_servers(now);
        }
        if self.config.limits.min_idle > 0 {
            self.replenish(now);
        }
    }

    /// Requests that wait for a connection while none is being opened for them.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        let expected = self.prospects + self.late;
        self.queue.len().saturating_sub(expected)
    }

    /// More requests wait than may, because a connection that was being opened for some was not, or because some were
    /// put back to be sent again: those that came last end.
    #[inline]
    fn keep_to_the_limit(&mut self) {
        // As a rule all were served.
        if !self.queue.is_empty() {
            self.end_what_is_too_much();
        }
    }

    fn end_what_is_too_much(&mut self) {
        let limit = self.config.limits.max_queue;
        loop {
            let waiting = self.queued() + self.collecting;
            // What waits above a limit that was lowered may wait on.
            self.queue_ceiling = self.queue_ceiling.min(waiting).max(limit);
            if waiting <= self.queue_ceiling {
                return;
            }
            let Some(key) = self.queue.last() else {
                return;
            };
            let refusals = self.servers.iter().map(|server| server.refused);
            let refused = refusals.min_by_key(Option::is_some).flatten();
            let exchange = &mut self.exchanges[key as usize];
            let failure = exchange.lost.take();
            self.queue.remove(&mut self.exchanges, key);
            match failure {
                Some(failure) => {
                    debug!("request {key}: not sent again, the queue is full");
                    self.exchanges[key as usize].life = Life::Holding;
                    if let Some(event) = self.end_event(key, Err(*failure)) {
                        self.events.push_back(event);
                    }
                }
                None => {
                    let error = refused.map_or(RequestError::QueueFull { limit }, Into::into);
                    self.end_with(self.timeline.now(), key, error, 0);
                }
            }
        }
    }

    /// Serves a line of the queue from its front.
    fn serve_queue(&mut self, now: Time, line: Line) {
        let mut passed_over = 0;
        let mut next = self.queue.first_of(line);
        while let Some(key) = next {
            let seeker = Seeker::of(&self.exchanges[key as usize]);
            // A question waits for one server, and some requests take a new connection only: those behind them may
            // have others.
            let is_choosy = passed_over < MOST_PASSED_OVER
                && (seeker.probed.is_some()
                    || (line == Line::Usual && seeker.runs_once && self.has_idle()));
            let waiting = if is_choosy && seeker.probed.is_none() {
                self.queue.len_of(Line::Urgent) + passed_over + 1
            } else {
                self.waiting_in(line)
            };
            match self.find_place(now, seeker, waiting) {
                Place::On(connection) | Place::Behind(connection) => {
                    self.queue.remove(&mut self.exchanges, key);
                    self.assign(now, key, connection);
                    next = self.queue.first_of(line);
                }
                Place::Dial { server } if self.may_hope_for(waiting, key, server) => {
                    self.dial(now, server);
                }
                Place::Replace { server, idle } if self.may_hope_for(waiting, key, server) => {
                    debug_assert!(self.servers[server].total > 0);
                    self.close(now, idle, CloseReason::Replaced);
                    next = self.queue.first_of(line);
                }
                Place::Dial { .. } | Place::Replace { .. } | Place::Nowhere => {
                    passed_over += 1;
                    next = is_choosy
                        .then(|| self.queue.after_in_line(&self.exchanges, key))
                        .flatten();
                }
            }
        }
    }

    fn has_idle(&self) -> bool {
        self.servers.iter().any(|server| !server.idle.is_empty())
    }

    /// Requests that the connections on their way are for, before any behind them: the urgent line is served first.
    #[inline]
    fn waiting_in(&self, line: Line) -> usize {
        match line {
            Line::Urgent => self.queue.len_of(Line::Urgent),
            Line::Usual => self.queue.len(),
        }
    }

    /// Whether a connection is to be opened for the waiting requests: those on their way have no room for all of
    /// them, or none goes where a probe has to.
    fn may_hope_for(&self, waiting: usize, key: u32, server: usize) -> bool {
        let is_probe = self.exchanges[key as usize].is_probe;
        !self.is_enough(server, waiting) || (is_probe && self.servers[server].connecting == 0)
    }

    /// Whether what is on its way has room for all that wait. A connect that hangs counts for its own server only: it
    /// holds nobody back from another.
    #[inline]
    pub(super) fn is_enough(&self, server: usize, waiting: usize) -> bool {
        self.prospects + self.servers[server].late >= waiting
    }

    /// Whether one more request would be accepted: it is sent at once, or a connection is being opened for it or can be,
    /// or it may wait.
    pub(super) fn has_room(
        &self,
        now: Time,
        probed: Option<u16>,
        runs_once: impl FnOnce() -> bool,
    ) -> bool {
        let waiting = self.queue.len() + 1;
        let expected = self.prospects + self.late;
        let queued = waiting.saturating_sub(expected) + self.collecting;
        if queued <= self.config.limits.max_queue {
            return true;
        }
        let seeker = Seeker {
            probed,
            oldest_connection: 0,
            runs_once: runs_once(),
        };
        !matches!(self.find_place(now, seeker, waiting), Place::Nowhere)
    }
}

/// Requests that are passed over, because they take a new connection only, for those behind them.
const MOST_PASSED_OVER: usize = 64;
