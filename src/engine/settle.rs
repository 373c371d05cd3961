//! The consequences of a change: serves the queue, and brings the pool within its limits.
//!
//! Each public method that may free a slot, end a connection or add a request calls [`settle`](Engine::settle) once, at
//! its end. No internal function calls it, so that a change cannot trigger another run, however many changes there are. Only
//! the queue is served again within a run, where the body of a request that it has served cannot be read.
//! The order is: requests that no server can take, the queue, the limits on connections, probes, connections opened in
//! advance.

use log::debug;

use super::Engine;
use super::close_reason::CloseReason;
use super::pool::{ConnectFailure, Placement, Seeker};
use super::requests::Line;
use super::submit::seeker;
use super::time::Time;
use crate::error::{ConnectError, RequestError};

/// The most requests of a line passed over in one run because they do not take just any connection.
const MOST_PASSED_OVER: usize = 64;

impl Engine {
    /// Assigns waiting requests to connections, opens connections for the others, and closes connections above the
    /// limits.
    #[inline(always)]
    pub(super) fn settle(&mut self, now: Time) {
        if !self.requests.queue().is_empty()
            || self.pool.is_unsettled()
            || self.requests.has_fallen_below()
            || self.lifecycle.always_settles()
        {
            self.settle_all(now);
        }
    }

    #[inline(never)]
    fn settle_all(&mut self, now: Time) {
        self.reopen_reads();
        self.apply_connect_failures(now);
        if !self.requests.queue().is_empty() {
            self.serve_queue(now);
            self.enforce_queue_limit(now);
        }
        if self.pool.take_unsettled() {
            self.trim(now);
        }
        if !self.lifecycle.is_running() {
            if self.requests.queue().is_empty() {
                self.retire_unused(now);
            }
            self.clear_timers_if_idle();
            return;
        }
        self.probe_servers(now);
        if self.config.limits.min_idle_per_server > 0 && self.requests.queue().is_empty() {
            let mut from = 0;
            while let Some(server) = self.refill(now, from) {
                self.dial(now, server);
                from = server;
            }
        }
    }

    fn refill(&self, now: Time, from: usize) -> Option<usize> {
        let open = self.connections.len();
        self.pool.refill(now, from, open, &self.config)
    }

    /// Handles failed connects: requests that waited for them and may not wait longer fail.
    pub(super) fn apply_connect_failures(&mut self, now: Time) {
        while let Some(failure) = self.pool.take_failure() {
            self.fail_waiting(now, failure);
        }
    }

    /// Handles one failed connect: requests that can use no other server and have no time left to wait fail. Those that
    /// could not use this one either are not affected.
    fn fail_waiting(&mut self, now: Time, failure: ConnectFailure) {
        // The server is up, only busy: the failure ends at most one request, for which the connection was opened.
        let is_busy = failure.error == ConnectError::BacklogFull;
        let is_elsewhere = (!is_busy && self.pool.servers().has_usable(now))
            || !self.pool.takes_any(now, failure.server);
        for line in [Line::Pinned(failure.server), Line::Urgent, Line::Usual] {
            if is_elsewhere && !matches!(line, Line::Pinned(_)) {
                return;
            }
            let has_failed = self.fail_waiting_in(now, line, failure);
            if is_busy && has_failed {
                return;
            }
        }
    }

    /// Handles one failed connect for a line of the queue. If the server is only busy, stops after the first request that
    /// leaves the line. Returns whether one has left it.
    fn fail_waiting_in(&mut self, now: Time, line: Line, failure: ConnectFailure) -> bool {
        let is_busy = failure.error == ConnectError::BacklogFull;
        let mut has_left = false;
        let mut next = self.requests.queue().first_of(line);
        while let Some(key) = next {
            next = self.requests.queue().after_in_line(key);
            let request = &self.requests[key];
            let queued = request.queued_at();
            if now.saturating_duration_since(queued) < self.config.connect_retry_timeout {
                if !is_busy {
                    self.requests[key].set_refused(Some(failure.error));
                    self.arm_request(key);
                }
                continue;
            }
            if queued > failure.opened {
                continue;
            }
            // A connection that was passed over in favor of a new one is better than none.
            let sought = Seeker {
                runs_once: false,
                ..seeker(request)
            };
            let placement = self.place(now, sought, 0);
            self.requests.dequeue(key);
            has_left = true;
            match placement {
                Placement::Use(connection) => self.assign(now, key, connection),
                _ => self.fail(now, key, RequestError::Connect(failure.error), 0),
            }
            if is_busy {
                break;
            }
        }
        has_left
    }

    /// Serves the lines of the queue.
    fn serve_queue(&mut self, now: Time) {
        loop {
            let failed = self.requests.failed();
            // A line that becomes empty leaves the list, so the list is walked from its end.
            for index in (0..self.requests.queue().named().len()).rev() {
                let server = self.requests.queue().named()[index];
                self.serve_line(now, Line::Pinned(server));
            }
            self.serve_line(now, Line::Urgent);
            self.serve_line(now, Line::Usual);
            // Where the body of a request that was served could not be read, its place is free for those before it.
            if self.requests.failed() == failed || self.requests.queue().is_empty() {
                return;
            }
        }
    }

    /// Serves a line of the queue from its front.
    fn serve_line(&mut self, now: Time, line: Line) {
        let mut passed_over = 0;
        let mut next = self.requests.queue().first_of(line);
        while let Some(key) = next {
            let sought = seeker(&self.requests[key]);
            // Some requests take only a new connection, and a probe only one without a request: requests after them may
            // use other ones.
            let is_choosy = passed_over < MOST_PASSED_OVER
                && (sought.is_probe
                    || sought.first_serial > 0
                    || (sought.runs_once && self.pool.has_idle_for(sought.server)));
            let waiting = self.waiting(now, line, is_choosy.then_some(passed_over));
            match self.place(now, sought, waiting) {
                Placement::Use(connection) | Placement::UseBlocked(connection) => {
                    next = self.requests.queue().after_in_line(key);
                    self.requests.dequeue(key);
                    self.assign(now, key, connection);
                }
                // The same request is looked at again: then it waits for the connection that is being opened, or one is
                // opened in the place of the one that was closed.
                Placement::Dial { server } if self.should_dial(line, waiting) => {
                    self.dial(now, server);
                }
                Placement::Replace(idle) if self.should_dial(line, waiting) => {
                    self.close(now, idle, CloseReason::Replaced);
                }
                Placement::Dial { .. } | Placement::Replace(_) | Placement::None => {
                    passed_over += 1;
                    next = is_choosy
                        .then(|| self.requests.queue().after_in_line(key))
                        .flatten();
                }
            }
        }
    }

    /// The number of requests that need a connection when a request of a line is looked at: all of its line, or, when it
    /// is one that others may overtake, those that were passed over and itself.
    fn waiting(&self, now: Time, line: Line, passed_over: Option<usize>) -> usize {
        let queue = self.requests.queue();
        let of_line = passed_over.map_or_else(|| queue.len_of(line), |it| it + 1);
        match line {
            Line::Pinned(_) => of_line,
            Line::Urgent => of_line + self.taken_by_pinned(now),
            // The urgent line is served first.
            Line::Usual => of_line + queue.len_of(Line::Urgent) + self.taken_by_pinned(now),
        }
    }

    /// Whether to open a connection for the waiting requests of a line: those being opened do not suffice.
    fn should_dial(&self, line: Line, waiting: usize) -> bool {
        match line {
            Line::Pinned(server) => self.pool.expected_of(server, &self.config) < waiting,
            // Otherwise no placement was found.
            Line::Urgent | Line::Usual => true,
        }
    }

    /// Ends the last requests of a queue that is too long, because a connection that was being opened failed, or
    /// because requests were put back to be sent again.
    fn enforce_queue_limit(&mut self, now: Time) {
        // Usually all were served.
        if self.requests.queue().is_empty() {
            return;
        }
        let limit = self.config.limits.max_queued_requests;
        while self.requests.exceeds_ceiling(self.expected(), limit) {
            let Some(key) = self.requests.queue().last() else {
                return;
            };
            self.requests.dequeue(key);
            match self.requests[key].take_failed() {
                Some(failure) => {
                    debug!("request {key}: not sent again, the queue is full");
                    self.end(key, Err(*failure));
                }
                None => {
                    let error = self.pool.servers().refusal(self.requests[key].pinned());
                    let error = error.map_or(RequestError::QueueFull { limit }, Into::into);
                    self.fail(now, key, error, 0);
                }
            }
        }
    }

    /// Closes idle connections above the limits, the longest idle first.
    fn trim(&mut self, now: Time) {
        for index in 0..self.pool.len() {
            while let Some(key) = self.pool.lists(index as u16).longest_idle() {
                let server = index as u16;
                let has_served = self.connections[key as usize].served() > 0;
                let reason = if self.pool.servers().is_leaving(server)
                    || self.pool.has_too_many(server, &self.config)
                    || self.pool.exceeds(self.connections.len(), &self.config)
                {
                    CloseReason::Retired
                } else if has_served && self.pool.serves_once(server, &self.config) {
                    CloseReason::OnlyIdOne
                } else if self.pool.has_too_many_idle(server, &self.config) {
                    CloseReason::MaxIdle
                } else {
                    break;
                };
                self.close(now, key, reason);
            }
        }
    }
}
