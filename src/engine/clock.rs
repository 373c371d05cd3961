//! The clock of an exchange: what happened to it and when, and what is due next.

use std::time::Duration;

use super::exchange::{Exchange, Life};
use super::time::Time;
use crate::config::Config;
use crate::error::{ConnectError, TimeoutKind};
use crate::report::Elapsed;

/// When things happened to it; of the last attempt, but for `submitted`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) submitted: Time,
    /// Since when it waits in the queue: `submitted`, or the last retry.
    pub(super) queued: Time,
    pub(super) assigned: Option<Time>,
    pub(super) connecting: Option<Elapsed>,
    pub(super) sent: Option<Time>,
    pub(super) first_octet: Option<Time>,
    pub(super) last_octet: Option<Time>,
    pub(super) resumed: Option<Time>,
}

impl Clock {
    pub(super) fn starting(now: Time) -> Self {
        Self {
            submitted: now,
            queued: now,
            assigned: None,
            connecting: None,
            sent: None,
            first_octet: None,
            last_octet: None,
            resumed: None,
        }
    }
}

/// A deadline and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Time,
    pub(super) kind: DueKind,
}

/// What an exchange's deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DueKind {
    TimedOut(TimeoutKind),
    /// The servers have refused connections for as long as it may outwait that.
    Refused(ConnectError),
    AbortGrace,
}

/// What the exchange's connection knows of the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// When octets last left, or the outbox was last empty.
    pub(super) moved: Time,
    pub(super) transmitted: u64,
    pub(super) read_blocked: bool,
    /// When it was last read again after it had not been.
    pub(super) unblocked: Option<Time>,
}

impl Exchange {
    /// The earliest deadline as things stand; `progress` of its connection, when it has one.
    pub(super) fn due(&self, progress: Option<Progress>, config: &Config) -> Option<Due> {
        let timed_out = |from: Time, limit: Option<Duration>, kind| {
            let at = from.checked_add(limit?)?;
            Some(Due {
                at,
                kind: DueKind::TimedOut(kind),
            })
        };
        let total = timed_out(
            self.clock.submitted,
            self.timeouts.total,
            TimeoutKind::Total,
        );
        let phase = match self.life {
            Life::Collecting { .. } | Life::Holding => None,
            Life::Waiting { .. } => {
                let queue = timed_out(self.clock.queued, self.timeouts.queue, TimeoutKind::Queue);
                let refused = self.refused.and_then(|error| {
                    let at = self.clock.queued.checked_add(config.connect_patience)?;
                    let kind = DueKind::Refused(error);
                    Some(Due { at, kind })
                });
                match (queue, refused) {
                    (Some(queue), Some(refused)) if queue.at < refused.at => Some(queue),
                    (queue, refused) => refused.or(queue),
                }
            }
            Life::Active { .. } => self.active_due(progress, timed_out),
            Life::Aborting { since, .. } => {
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

    fn active_due(
        &self,
        progress: Option<Progress>,
        timed_out: impl Fn(Time, Option<Duration>, TimeoutKind) -> Option<Due>,
    ) -> Option<Due> {
        let assigned = self.clock.assigned?;
        let resumed = self.clock.resumed.unwrap_or(assigned);
        // What the application has not been sent, or what is not read, is not its silence; nor has an application that is
        // not read a duty to read.
        let progress = progress.filter(|progress| !self.paused && !progress.read_blocked);
        let write = progress
            // In the round: its turn to frame more does not come while others' octets fill the outbox.
            .filter(|progress| self.in_round || progress.transmitted < self.last_offset)
            .and_then(|progress| {
                let from = progress.moved.max(assigned).max(resumed);
                let from = from.max(progress.unblocked.unwrap_or(from));
                timed_out(from, self.timeouts.write, TimeoutKind::Write)
            });
        let waited_for = progress.and_then(|progress| Some((self.clock.sent?, progress.unblocked)));
        let read = waited_for.and_then(|(sent, unblocked)| {
            let from = sent.max(resumed).max(unblocked.unwrap_or(sent));
            match self.clock.last_octet {
                Some(last) => {
                    let from = from.max(last);
                    timed_out(from, self.timeouts.silence, TimeoutKind::Silence)
                }
                None => timed_out(from, self.timeouts.first_octet, TimeoutKind::FirstOctet),
            }
        });
        // Never both: with its last octet sent, nothing is left to be written.
        read.or(write)
    }
}
