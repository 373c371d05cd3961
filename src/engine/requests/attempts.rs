//! How often a request was sent, what became of it, and whether it may be sent again.

use std::time::Duration;

use crate::engine::time::Time;
use crate::error::{ConnectError, Delivery, Failure};
use crate::request::Retry;

#[derive(Debug)]
pub(crate) struct Attempts {
    retry: Retry,
    retries: u8,
    /// The application may have acted on an earlier attempt.
    maybe_processed: bool,
    /// A stale connection cost it one attempt already.
    was_stale: bool,
    /// Connections with an earlier number are not good enough.
    first_serial: u64,
    /// How the attempt before has ended, while it waits for another one.
    failed: Option<Box<Failure>>,
    /// Why no server could be connected to, while it outwaits that.
    refused: Option<ConnectError>,
}

/// What the loss of a connection without a byte of response may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossCause {
    /// The client's own question: the application may have died of it.
    Question,
    /// The connection had served before, and nothing has come since: the application may have closed it before.
    Stale,
    /// The request.
    Request,
    /// A part of a record has come: the application had begun to answer.
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

    /// Whether it may be sent again although some of it was sent, as far as its body allows.
    #[inline]
    pub(super) fn may_be_repeated(&self) -> bool {
        self.retry >= Retry::IfStale && !self.was_stale
    }

    /// Whether it may be sent again after the loss of its connection. `idle` is how long ago its last byte left;
    /// `is_repeatable` whether it may be sent again although some of it was sent.
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
                    LossCause::Question => true,
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

    /// Its connection was lost after a part of it was sent: only a connection opened from now on will do.
    pub(super) fn note_lost(&mut self, delivery: Delivery, next_serial: u64) {
        if delivery == Delivery::MaybeProcessed {
            self.maybe_processed = true;
            self.was_stale = true;
        }
        self.first_serial = next_serial;
    }

    /// It is to be sent again.
    pub(super) fn note_retry(&mut self, failed: Failure) {
        self.failed = Some(Box::new(failed));
        self.retries += 1;
    }

    /// It is on a connection.
    #[inline]
    pub(super) fn note_assigned(&mut self) {
        self.failed = None;
        self.refused = None;
    }

    /// How the attempt before has ended; forgotten after this.
    pub(super) fn take_failed(&mut self) -> Option<Box<Failure>> {
        self.failed.take()
    }
}

/// Whether a time limit, counted from an instant, is not over.
pub(super) fn is_in_time(now: Time, from: Time, limit: Option<Duration>) -> bool {
    limit.is_none_or(|limit| now.saturating_duration_since(from) < limit)
}
