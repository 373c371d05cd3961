//! How a request ends, or is put back into the queue.

use super::close_reason::CloseReason;
use super::requests::State;
use super::time::Time;
use super::{Engine, RawEvent};
use crate::error::{Failure, RequestError};
use crate::event::Outcome;

impl Engine {
    /// Ends a request, which is no probe, that is on no connection. Returns its `End`, or `None` while buffered output has to be taken
    /// first.
    #[inline]
    pub(super) fn finish(&mut self, key: u32, outcome: Outcome) -> Option<RawEvent> {
        let event = self.requests.finish(key, outcome);
        match event {
            Some(_) => self.clear_timers_if_idle(),
            None => self.arm_request(key),
        }
        event
    }

    /// Ends a request that is on no connection, and queues its `End`.
    pub(super) fn end(&mut self, key: u32, outcome: Outcome) {
        if self.requests[key].is_probe() {
            self.probe_ended(key);
        }
        if let Some(event) = self.finish(key, outcome) {
            self.pending.event(event);
        }
    }

    #[cold]
    fn probe_ended(&mut self, key: u32) {
        if let Some(server) = self.requests[key].pinned() {
            self.pool.known_mut(server).set_probed(false);
            // The connection that is kept for probes may be used no longer.
            self.pool.unsettle();
        }
    }

    /// Ends a request that is on no connection with an error, and queues its `End`.
    pub(super) fn fail(&mut self, now: Time, key: u32, error: RequestError, transmitted: u64) {
        let failure = self.requests[key].failure(now, error, transmitted);
        self.end(key, Err(failure));
    }

    /// Puts a request that will be sent again back into the queue.
    pub(super) fn requeue(&mut self, key: u32, failed: Failure) {
        let limit = self.config.limits.max_queued_requests;
        let expected = self.expected();
        self.requests.requeue(key, failed, expected, limit);
        self.arm_request(key);
    }

    /// Whether a request has an attempt left, and time for it.
    pub(super) fn has_attempt_left(&self, now: Time, request_key: u32) -> bool {
        let total = self.requests.timeouts(request_key).total;
        self.requests[request_key].has_attempt_left(now, total, self.config.max_retries)
    }

    /// Whether the only server that a request may use was removed.
    pub(super) fn is_without_server(&self, request_key: u32) -> bool {
        let pinned = self.requests[request_key].pinned();
        pinned.is_some_and(|slot| self.pool.servers().is_removed(slot))
    }

    /// Takes a request off its connection, which stays open; [`release`](Self::release) must follow.
    ///
    /// If the request was not sent as a whole, a shared connection ends its streams and quarantines its ID. A
    /// connection with one request at a time is not used again, since the application may take the remaining bytes for
    /// the next request.
    #[inline(always)]
    pub(super) fn unassign(&mut self, now: Time, key: u32, request_key: u32) {
        let request = &mut self.requests[request_key];
        let State::Active { id, .. } = request.state() else {
            return;
        };
        let connection = &mut self.connections[key as usize];
        connection.remove_weight(request.output().weight());
        request.unfill_output();
        if request.upload().is_sent(connection.transmitted()) {
            connection.release_id(id);
        } else {
            self.unassign_early(now, key, request_key, id);
        }
    }

    fn unassign_early(&mut self, now: Time, key: u32, request_key: u32, id: u16) {
        let connection = &mut self.connections[key as usize];
        connection.quarantine_id(id);
        let is_plain = connection.max_requests() == 1;
        if is_plain {
            connection.retire(CloseReason::EarlyEnd);
        }
        // Other requests may share it, although it was lowered to one request at a time.
        let goes_on = !is_plain || connection.live() > 1;
        if goes_on
            && connection.end_streams(now, request_key, id, &mut self.requests, &mut self.buffers)
        {
            self.ask_flush(key);
        }
    }
}
