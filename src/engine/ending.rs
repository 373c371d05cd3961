//! A request ends, or is put back into the queue.

use super::close_reason::CloseReason;
use super::requests::State;
use super::time::Time;
use super::{Engine, RawEvent};
use crate::error::{Failure, RequestError};
use crate::event::Outcome;

impl Engine {
    /// The `End` of a request that is on no connection any more, and is then gone; `None` while output that was kept has
    /// to be taken first.
    #[inline]
    pub(super) fn finish(&mut self, key: u32, outcome: Outcome) -> Option<RawEvent> {
        let event = self.requests.finish(key, outcome);
        match event {
            Some(_) => self.clear_timers_if_idle(),
            None => self.arm_request(key),
        }
        event
    }

    /// Ends a request that is on no connection any more.
    pub(super) fn end(&mut self, key: u32, outcome: Outcome) {
        if let Some(event) = self.finish(key, outcome) {
            self.pending.event(event);
        }
    }

    /// Ends a request that is on no connection any more with an error.
    pub(super) fn fail(&mut self, now: Time, key: u32, error: RequestError, transmitted: u64) {
        let failure = self.requests[key].failure(now, error, transmitted);
        self.end(key, Err(failure));
    }

    /// Puts a request back that is to be sent again.
    pub(super) fn requeue(&mut self, key: u32, failed: Failure) {
        let limit = self.config.limits.max_queued_requests;
        self.requests
            .requeue(key, failed, self.pool.expected(), limit);
        self.arm_request(key);
    }

    /// Takes a request off its connection, which goes on; [`release`](Self::release) follows.
    ///
    /// Where the request was not sent as a whole, a shared connection gets the ends of its streams and keeps the ID out
    /// of use; a plain one is not used again, since the application may take the rest for the next request.
    #[inline(always)]
    pub(super) fn detach(&mut self, now: Time, key: u32, request_key: u32) {
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
            self.detach_early(now, key, request_key, id);
        }
    }

    fn detach_early(&mut self, now: Time, key: u32, request_key: u32, id: u16) {
        let connection = &mut self.connections[key as usize];
        connection.quarantine_id(id);
        let is_plain = connection.max_requests() == 1;
        if is_plain {
            connection.retire(CloseReason::EarlyEnd);
        }
        // It may have others on it, though it was lowered to one request at a time.
        let goes_on = !is_plain || connection.live() > 1;
        if goes_on
            && connection.end_streams(now, request_key, id, &mut self.requests, &mut self.buffers)
        {
            self.ask_flush(key);
        }
    }
}
