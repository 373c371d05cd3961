//! What is reported of a request: its figures, the phase it was in when it failed, and whether the application can have
//! acted on it.

use super::request::Request;
use super::state::State;
use crate::engine::time::Time;
use crate::error::{Delivery, Failure, Phase, RequestError};
use crate::report::Report;

impl Request {
    /// The phase for a report; `transmitted` is that of the request's connection, if it has one.
    pub(super) fn phase(&self, transmitted: u64) -> Phase {
        match self.state() {
            State::Buffering { .. } => Phase::Buffering,
            State::Queued => Phase::Queued,
            State::Draining => Phase::Receiving,
            State::Active { .. } | State::Aborting { .. } => {
                if self.output().has_begun() {
                    Phase::Receiving
                } else if self.upload().is_sent(transmitted) {
                    Phase::Sent
                } else {
                    Phase::Sending
                }
            }
        }
    }

    /// Whether the application can have acted on the request, in any attempt.
    fn delivery(&self, transmitted: u64) -> Delivery {
        if !self.output().has_begun() && self.attempts().maybe_processed() {
            return Delivery::MaybeProcessed;
        }
        self.delivery_of_attempt(transmitted)
    }

    /// Whether the application can have acted on this attempt.
    pub(crate) fn delivery_of_attempt(&self, transmitted: u64) -> Delivery {
        if self.output().has_begun() {
            return Delivery::Responded;
        }
        match self.state() {
            State::Buffering { .. } | State::Queued => Delivery::NotProcessed,
            State::Draining => Delivery::Responded,
            State::Active { .. } | State::Aborting { .. } => {
                if self.upload().has_begun(transmitted) {
                    Delivery::MaybeProcessed
                } else {
                    Delivery::NotProcessed
                }
            }
        }
    }

    /// Whether the application may have acted on an earlier attempt.
    pub(crate) fn maybe_processed(&self) -> bool {
        self.attempts().maybe_processed()
    }

    pub(crate) fn report(&self, now: Time, transmitted: u64) -> Report {
        Report {
            bytes_sent: self.upload().sent(transmitted),
            bytes_received: self.output().received(),
            server: self.server(),
            retries: self.attempts().retries(),
            reused: self.is_reused(),
            stdout_ended: self.output().has_ended(),
            timings: self.clock().timings(now),
        }
    }

    pub(crate) fn failure(&self, now: Time, error: RequestError, transmitted: u64) -> Failure {
        Failure {
            error,
            phase: self.phase(transmitted),
            delivery: self.delivery(transmitted),
            report: self.report_until(now, transmitted),
        }
    }
}
