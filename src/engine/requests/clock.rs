//! The times of a request's events, and its next deadline.

use std::time::Duration;

use super::request::Request;
use super::state::State;
use crate::config::Config;
use crate::engine::listing::RequestState;
use crate::engine::time::Time;
use crate::error::{ConnectError, TimeoutKind};
use crate::report::{Elapsed, Timings};
use crate::timeouts::Timeouts;

/// The times of a request's events. Except for `submitted`, those of the last attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    submitted: Time,
    /// When the request entered the queue: at `submitted` or at the last retry.
    queued: Time,
    assigned: Option<Time>,
    /// How long the connect took, if the request was the first on its connection.
    connecting: Option<Elapsed>,
    sent: Option<Time>,
    first_byte: Option<Time>,
    last_byte: Option<Time>,
    /// When the request was last paused or resumed.
    pause_changed: Option<Time>,
}

impl Clock {
    pub(super) fn starting(now: Time) -> Self {
        Self {
            submitted: now,
            queued: now,
            assigned: None,
            connecting: None,
            sent: None,
            first_byte: None,
            last_byte: None,
            pause_changed: None,
        }
    }

    /// Another attempt begins.
    pub(super) fn restart(&mut self, now: Time) {
        *self = Self {
            submitted: self.submitted,
            ..Self::starting(now)
        };
    }

    pub(super) fn note_queued(&mut self, now: Time) {
        self.queued = now;
    }

    #[inline]
    pub(super) fn note_assigned(&mut self, now: Time, connecting: Option<Elapsed>) {
        self.assigned = Some(now);
        self.connecting = connecting;
    }

    #[inline]
    pub(super) fn note_sent(&mut self, now: Time) {
        self.sent = Some(now);
    }

    /// Output has come. Returns whether it is the first record of the response.
    #[inline]
    pub(super) fn note_output(&mut self, now: Time) -> bool {
        self.first_byte.get_or_insert(now);
        self.note_received(now)
    }

    /// A record has come. Returns whether it is the first one.
    #[inline]
    pub(super) fn note_received(&mut self, now: Time) -> bool {
        self.last_byte.replace(now).is_none()
    }

    /// The request was paused or resumed.
    pub(super) fn note_pause_changed(&mut self, now: Time) {
        self.pause_changed = Some(now);
    }

    pub(super) fn submitted(&self) -> Time {
        self.submitted
    }

    pub(super) fn queued(&self) -> Time {
        self.queued
    }

    pub(super) fn assigned(&self) -> Option<Time> {
        self.assigned
    }

    pub(super) fn sent(&self) -> Option<Time> {
        self.sent
    }

    pub(super) fn last_byte(&self) -> Option<Time> {
        self.last_byte
    }

    /// When a state began, as far as the events tell.
    pub(super) fn entered(&self, state: RequestState) -> Time {
        let at = match state {
            RequestState::Buffering | RequestState::Queued => None,
            RequestState::Sending | RequestState::Aborting => self.assigned,
            RequestState::Sent => self.sent.or(self.assigned),
            RequestState::Receiving | RequestState::Draining => self.first_byte.or(self.last_byte),
        };
        at.unwrap_or(self.queued)
    }

    /// The last of the events.
    pub(super) fn last_event(&self) -> Time {
        let events = [self.assigned, self.sent, self.last_byte];
        events.into_iter().flatten().fold(self.queued, Time::max)
    }

    /// Whether a record has come.
    pub(super) fn has_received(&self) -> bool {
        self.last_byte.is_some()
    }

    pub(super) fn timings(&self, now: Time) -> Timings {
        let since = |at: Time| at.saturating_elapsed_since(self.submitted);
        Timings {
            queued: self.assigned.map(since),
            connect: self.connecting,
            sent: self.sent.map(since),
            first_byte: self.first_byte.map(since),
            last_byte: self.last_byte.map(since),
            total: since(now),
        }
    }
}

/// A deadline and its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) at: Time,
    pub(crate) kind: DueKind,
}

/// The purpose of a request's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DueKind {
    TimedOut(TimeoutKind),
    /// The servers have refused connections for the whole time that the request may wait for one.
    Refused(ConnectError),
    AbortGrace,
}

/// The progress of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// When bytes last left, or when the outbox was last empty.
    pub(crate) last_activity: Time,
    pub(crate) transmitted: u64,
    pub(crate) read_blocked: bool,
    /// When the connection was last unblocked for reading.
    pub(crate) unblocked: Option<Time>,
}

impl Request {
    /// The earliest deadline at the moment; `progress` is that of the request's connection, if it has one, and
    /// `timeouts` its time limits.
    pub(crate) fn due(
        &self,
        progress: Option<Progress>,
        timeouts: &Timeouts,
        config: &Config,
    ) -> Option<Due> {
        let clock = self.clock();
        let timed_out = |from: Time, limit: Option<Duration>, kind| {
            let at = from.checked_add(limit?)?;
            Some(Due {
                at,
                kind: DueKind::TimedOut(kind),
            })
        };
        let total = timed_out(clock.submitted, timeouts.total, TimeoutKind::Total);
        let phase = match self.state() {
            State::Buffering { .. } => None,
            State::Draining => self.paused_due(timeouts.paused, timed_out),
            State::Queued => {
                let queue = timed_out(clock.queued, timeouts.queue, TimeoutKind::Queue);
                let refused = self.attempts().refused().and_then(|error| {
                    let at = clock.queued.checked_add(config.connect_retry_timeout)?;
                    let kind = DueKind::Refused(error);
                    Some(Due { at, kind })
                });
                match (queue, refused) {
                    (Some(queue), Some(refused)) if queue.at < refused.at => Some(queue),
                    (queue, refused) => refused.or(queue),
                }
            }
            State::Active { .. } if self.output().is_paused() => {
                self.paused_due(timeouts.paused, timed_out)
            }
            State::Active { .. } => self.active_due(progress, timeouts, timed_out),
            State::Aborting { since, .. } => {
                let kind = DueKind::AbortGrace;
                let at = since.checked_add(config.abort_grace)?;
                return Some(Due { at, kind });
            }
        };
        match (total, phase) {
            (Some(total), Some(phase)) if phase.at <= total.at => Some(phase),
            (Some(total), _) => Some(total),
            (None, phase) => phase,
        }
    }

    /// The end of the pause. While a request is paused, no other limit runs but the total one.
    fn paused_due(
        &self,
        limit: Option<Duration>,
        timed_out: impl Fn(Time, Option<Duration>, TimeoutKind) -> Option<Due>,
    ) -> Option<Due> {
        let clock = self.clock();
        let assigned = clock.assigned.filter(|_| self.output().is_paused())?;
        let from = clock.pause_changed.unwrap_or(assigned).max(assigned);
        timed_out(from, limit, TimeoutKind::Paused)
    }

    fn active_due(
        &self,
        progress: Option<Progress>,
        timeouts: &Timeouts,
        timed_out: impl Fn(Time, Option<Duration>, TimeoutKind) -> Option<Due>,
    ) -> Option<Due> {
        let clock = self.clock();
        let assigned = clock.assigned?;
        let resumed = clock.pause_changed.unwrap_or(assigned);
        // Silence counts against the application only after the whole request was sent, and only while the connection
        // is read. While the connection is not read, the application need not read either.
        let progress = progress.filter(|progress| !progress.read_blocked);
        let write = progress
            // A request in the send queue counts as unsent: it frames no more while the bytes of others fill the
            // outbox.
            .filter(|progress| self.upload().is_unsent(progress.transmitted))
            .and_then(|progress| {
                let from = progress.last_activity.max(assigned).max(resumed);
                let from = from.max(progress.unblocked.unwrap_or(from));
                timed_out(from, timeouts.write, TimeoutKind::Write)
            });
        let waited_for = progress.and_then(|progress| Some((clock.sent?, progress.unblocked)));
        let read = waited_for.and_then(|(sent, unblocked)| {
            let from = sent.max(resumed).max(unblocked.unwrap_or(sent));
            match clock.last_byte {
                Some(last) => timed_out(
                    from.max(last),
                    timeouts.between_bytes,
                    TimeoutKind::BetweenBytes,
                ),
                None => timed_out(from, timeouts.first_byte, TimeoutKind::FirstByte),
            }
        });
        // At most one of them is set: when the last byte was sent, nothing is left to write.
        read.or(write)
    }
}
