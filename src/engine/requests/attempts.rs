//! The attempts to send a request: their number, their outcome, and whether another one is allowed.

use std::time::Duration;

use crate::engine::time::Time;
use crate::error::{ConnectError, Delivery, Failure};
use crate::retry::Retry;

#[derive(Debug)]
pub(crate) struct Attempts {
    retry: Retry,
    retries: u8,
    /// Whether the application may have acted on an earlier attempt.
    maybe_processed: bool,
    /// Whether an earlier attempt failed because its connection was stale.
    was_stale: bool,
    /// The lowest acceptable serial number of a connection.
    first_serial: u64,
    /// The failure of the previous attempt, while the request waits to be sent again.
    failed: Option<Box<Failure>>,
    /// Why no server could be connected to, while the request waits for one.
    refused: Option<ConnectError>,
}

/// What may have caused the loss of a connection without a byte of response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossCause {
    /// The client's own probe: the application may have crashed on it.
    OwnProbe,
    /// The connection had served before and nothing has come since: the application may have closed it earlier.
    Stale,
    /// The request.
    Request,
    /// Part of a record has come: the application had begun to respond.
    Answering,
}

impl Attempts {
    pub(super) fn new(retry: Retry) -> Self {
        Self {
            retry,
            retries: 0,
            maybe_processed: false,
            was_stale: false,
            first_serial: 0,
            failed: None,
            refused: None,
        }
    }

    /// Whether the request may be sent again after bytes of it were sent, as far as its body allows that.
    #[inline]
    pub(super) fn may_be_repeated(&self) -> bool {
        self.retry >= Retry::IfStale && !self.was_stale
    }

    /// Whether the request may be sent again after the loss of its connection. `idle` is the time since its last byte
    /// was sent. `is_repeatable` is whether it may be sent again after bytes of it were sent.
    pub(super) fn may_retry(
        &self,
        delivery: Delivery,
        cause: LossCause,
        idle: Duration,
        stale_window: Duration,
        is_repeatable: bool,
    ) -> bool {
        match delivery {
            Delivery::Responded => false,
            Delivery::NotProcessed => self.retry >= Retry::IfNotProcessed,
            Delivery::MaybeProcessed => {
                let is_soon = idle < stale_window;
                let is_excused = match cause {
                    LossCause::OwnProbe => true,
                    LossCause::Stale => is_soon,
                    LossCause::Request => is_soon && self.retry == Retry::IfUnanswered,
                    LossCause::Answering => false,
                };
                is_excused && is_repeatable
            }
        }
    }

    pub(super) fn is_never_retried(&self) -> bool {
        self.retry == Retry::Never
    }

    pub(super) fn retries(&self) -> u8 {
        self.retries
    }

    pub(super) fn first_serial(&self) -> u64 {
        self.first_serial
    }

    pub(super) fn maybe_processed(&self) -> bool {
        self.maybe_processed
    }

    pub(super) fn refused(&self) -> Option<ConnectError> {
        self.refused
    }

    pub(super) fn set_refused(&mut self, refused: Option<ConnectError>) {
        self.refused = refused;
    }

    /// The connection was lost after part of the request was sent. The next one must have been opened later.
    pub(super) fn note_lost(&mut self, delivery: Delivery, next_serial: u64) {
        if delivery == Delivery::MaybeProcessed {
            self.maybe_processed = true;
            self.was_stale = true;
        }
        self.first_serial = next_serial;
    }

    /// The request will be sent again.
    pub(super) fn note_retry(&mut self, failed: Failure) {
        self.failed = Some(Box::new(failed));
        self.retries += 1;
    }

    /// The request was put on a connection.
    #[inline]
    pub(super) fn note_assigned(&mut self) {
        self.failed = None;
        self.refused = None;
    }

    /// Takes the failure of the previous attempt.
    pub(super) fn take_failed(&mut self) -> Option<Box<Failure>> {
        self.failed.take()
    }
}

/// Whether a time limit that began at an instant has not expired.
pub(super) fn is_in_time(now: Time, from: Time, limit: Option<Duration>) -> bool {
    limit.is_none_or(|limit| now.saturating_duration_since(from) < limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Phase, RequestError};

    #[test]
    fn a_connection_ends_what_was_remembered_of_those_before() {
        let mut attempts = Attempts::new(Retry::IfStale);
        let failure = Failure::new(
            RequestError::Aborted,
            Phase::Queued,
            Delivery::NotProcessed,
            Default::default(),
        );
        attempts.note_retry(failure);
        attempts.set_refused(Some(ConnectError::TimedOut));
        attempts.note_assigned();
        assert_eq!(attempts.refused(), None);
        assert!(attempts.take_failed().is_none());
        assert_eq!(attempts.retries(), 1);
    }
}
