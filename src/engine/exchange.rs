//! One exchange: a request and its response, from `submit` to `End`.
//!
//! # States
//!
//! | state      | assigned | ended | refused | abort   | deadline | lost | lost, may retry | taken |
//! |------------|----------|-------|---------|---------|----------|------|-----------------|-------|
//! | Collecting | -        | -     | -       | End     | End      | -    | -               | -     |
//! | Waiting    | Begin    | -     | -       | End     | End      | -    | -               | -     |
//! | Active     | -        | End   | Retry   | Abandon | Abandon  | End  | Retry           | -     |
//! | Holding    | -        | -     | -       | End     | End      | -    | -               | End   |
//! | Aborting   | -        | Gone  | Gone    | none    | Close    | Gone | Gone            | -     |
//!
//! *Collecting*: a body of unknown length is being buffered. *Waiting*: in the queue. *Active*: has a
//! connection and a request ID. *Holding*: the application has ended it, but output held back by a
//! pause is still to be taken. *Aborting*: its `End` is out; `FCGI_ABORT_REQUEST` was sent on a shared
//! connection and the ID is quarantined until the connection closes.
//!
//! Inputs: a connection was *assigned*; the application *ended* it (`FCGI_END_REQUEST`) or *refused* it
//! with a retry left; the embedder's *abort*; a *deadline*; the connection was *lost*, with or without
//! leave to *retry*; the held output was *taken*.
//!
//! Steps: `Begin` sends it; `End` reports and removes it (by way of Holding while output is held);
//! `Retry` puts it back to Waiting; `Abandon` reports it, then closes its connection or, where others
//! share that, goes to Aborting; `Gone` removes it silently; `Close` gives its connection up; `-` cannot
//! happen.

use super::clock::Clock;
use super::held::Held;
use super::queue::Line;
use super::source::Source;
use super::time::Time;
use crate::config::Timeouts;
use crate::error::{ConnectError, Delivery, Failure, Phase, RequestError};
use crate::event::{ConnectionHandle, RequestHandle, Tag};
use crate::params::Params;
use crate::report::{Report, Timings};
use crate::request::Retry;
use crate::wire::Role;

pub(super) struct Exchange {
    pub(super) generation: u32,
    pub(super) life: Life,
    pub(super) tag: Tag,
    pub(super) paused: bool,
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    /// It is a `get_values`, not a request.
    pub(super) is_probe: bool,
    /// Its stall budget is used up.
    pub(super) is_full: bool,
    /// It is in its connection's round of senders.
    pub(super) in_round: bool,
    /// `write_stdin` took less than was offered.
    pub(super) wants_room: bool,
    pub(super) role: Role,
    pub(super) retry: Retry,
    pub(super) retries: u8,
    /// An earlier attempt may have reached the application.
    pub(super) maybe_acted: bool,
    /// A stale connection cost it one attempt already.
    pub(super) stale_once: bool,
    /// Connections opened before this one (a serial number) are not good enough.
    pub(super) oldest_connection: u64,
    /// Position of its first octet in the octets of its connection.
    pub(super) first_offset: u64,
    /// Position behind the last octet framed for it.
    pub(super) last_offset: u64,
    pub(super) framed: u64,
    pub(super) received: u64,
    pub(super) server: Option<u16>,
    pub(super) reused: bool,
    pub(super) clock: Clock,
    pub(super) held: Option<Box<Held>>,
    pub(super) timeouts: Timeouts,
    pub(super) params: Params,
    pub(super) stdin: Source,
    /// A Filter's only.
    pub(super) data: Option<Box<Source>>,
    /// How the attempt before has ended, while it waits for another one.
    pub(super) lost: Option<Box<Failure>>,
    /// Why no server could be connected to, while it outwaits that.
    pub(super) refused: Option<ConnectError>,
}

/// The state, with what only makes sense in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Collecting {
        limit: usize,
    },
    Waiting {
        before: Option<u32>,
        after: Option<u32>,
        line: Line,
    },
    Active {
        connection: ConnectionHandle,
        id: u16,
    },
    Holding,
    Aborting {
        connection: ConnectionHandle,
        id: u16,
        since: Time,
    },
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Assigned,
    Ended,
    Refused,
    Abort,
    Deadline,
    Lost,
    LostMayRetry,
    Taken,
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin,
    End,
    Retry,
    Abandon,
    Gone,
    Close,
    None,
    Impossible,
}

impl Life {
    /// In no queue: to be assigned at once.
    pub(super) const WAITING: Self = Self::Waiting {
        before: None,
        after: None,
        line: Line::Usual,
    };

    /// The table. What follows from a step is the engine's.
    pub(super) fn step(self, input: Input) -> Step {
        use Input as I;
        match (self, input) {
            (Self::Collecting { .. }, I::Abort | I::Deadline) => Step::End,
            (
                Self::Collecting { .. },
                I::Assigned | I::Ended | I::Refused | I::Lost | I::LostMayRetry | I::Taken,
            ) => Step::Impossible,
            (Self::Waiting { .. }, I::Assigned) => Step::Begin,
            (Self::Waiting { .. }, I::Abort | I::Deadline) => Step::End,
            (
                Self::Waiting { .. },
                I::Ended | I::Refused | I::Lost | I::LostMayRetry | I::Taken,
            ) => Step::Impossible,
            (Self::Active { .. }, I::Ended | I::Lost) => Step::End,
            (Self::Active { .. }, I::Refused | I::LostMayRetry) => Step::Retry,
            (Self::Active { .. }, I::Abort | I::Deadline) => Step::Abandon,
            (Self::Active { .. }, I::Assigned | I::Taken) => Step::Impossible,
            (Self::Holding, I::Abort | I::Deadline | I::Taken) => Step::End,
            (Self::Holding, I::Assigned | I::Ended | I::Refused | I::Lost | I::LostMayRetry) => {
                Step::Impossible
            }
            (Self::Aborting { .. }, I::Ended | I::Refused | I::Lost | I::LostMayRetry) => {
                Step::Gone
            }
            (Self::Aborting { .. }, I::Abort) => Step::None,
            (Self::Aborting { .. }, I::Deadline) => Step::Close,
            (Self::Aborting { .. }, I::Assigned | I::Taken) => Step::Impossible,
        }
    }

    pub(super) fn connection(self) -> Option<ConnectionHandle> {
        match self {
            Self::Active { connection, .. } | Self::Aborting { connection, .. } => Some(connection),
            Self::Collecting { .. } | Self::Waiting { .. } | Self::Holding => None,
        }
    }
}

/// How far the request has been put into the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Stdin,
    Data,
    Done,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Nothing,
    Output,
    OutputEnded,
}

impl Exchange {
    pub(super) fn handle(&self, index: u32) -> RequestHandle {
        RequestHandle {
            index,
            generation: self.generation,
        }
    }

    #[inline]
    pub(super) fn note_output(&mut self, now: Time, len: usize) {
        self.received += len as u64;
        self.clock.first_octet.get_or_insert(now);
        self.clock.last_octet = Some(now);
        if self.receiving == Receiving::Nothing {
            self.receiving = Receiving::Output;
        }
    }

    pub(super) fn has_responded(&self) -> bool {
        self.receiving != Receiving::Nothing
    }

    /// Whether everything of it was handed to the transport.
    #[inline]
    pub(super) fn is_sent(&self, transmitted: u64) -> bool {
        self.sending == Sending::Done && transmitted >= self.last_offset
    }

    /// Whether it may be sent again although some of it was sent.
    pub(super) fn may_be_repeated(&self) -> bool {
        self.retry >= Retry::IfStale
            && !self.stale_once
            && self.stdin.is_repeatable()
            && self.data.as_ref().is_none_or(|data| data.is_repeatable())
    }

    /// Forgets the attempt, for another one; false when a body cannot be rewound.
    pub(super) fn rewind(&mut self, now: Time) -> bool {
        let data_rewinds = |data: &mut Box<Source>| data.rewind();
        if !(self.stdin.rewind() && self.data.as_mut().is_none_or(data_rewinds)) {
            return false;
        }
        self.sending = Sending::Stdin;
        self.in_round = false;
        self.framed = 0;
        self.clock = Clock {
            submitted: self.clock.submitted,
            ..Clock::starting(now)
        };
        true
    }

    /// How far it has come, for a failure; `transmitted` of its connection, when it has one.
    pub(super) fn phase(&self, transmitted: u64) -> Phase {
        match self.life {
            Life::Collecting { .. } => Phase::Collecting,
            Life::Waiting { .. } => Phase::Waiting,
            Life::Holding => Phase::Receiving,
            Life::Active { .. } | Life::Aborting { .. } => {
                if self.has_responded() {
                    Phase::Receiving
                } else if self.is_sent(transmitted) {
                    Phase::Sent
                } else {
                    Phase::Sending
                }
            }
        }
    }

    /// Whether the application can have acted on it.
    pub(super) fn delivery(&self, transmitted: u64) -> Delivery {
        if self.has_responded() {
            return Delivery::Responded;
        }
        if self.maybe_acted {
            return Delivery::MaybeSent;
        }
        self.delivery_of_attempt(transmitted)
    }

    /// The same for this attempt alone.
    pub(super) fn delivery_of_attempt(&self, transmitted: u64) -> Delivery {
        if self.has_responded() {
            return Delivery::Responded;
        }
        match self.life {
            Life::Collecting { .. } | Life::Waiting { .. } => Delivery::NotSent,
            Life::Holding => Delivery::Responded,
            Life::Active { .. } | Life::Aborting { .. } if transmitted <= self.first_offset => {
                Delivery::NotSent
            }
            Life::Active { .. } | Life::Aborting { .. } => Delivery::MaybeSent,
        }
    }

    pub(super) fn report(&self, now: Time, transmitted: u64) -> Report {
        let submitted = self.clock.submitted;
        let since = |at: Time| at.saturating_elapsed_since(submitted);
        Report {
            sent: transmitted
                .saturating_sub(self.first_offset)
                .min(self.framed),
            received: self.received,
            server: self.server,
            retries: self.retries,
            reused: self.reused,
            stdout_ended: self.receiving == Receiving::OutputEnded,
            timings: Timings {
                assigned: self.clock.assigned.map(since),
                connecting: self.clock.connecting,
                sent: self.clock.sent.map(since),
                first_octet: self.clock.first_octet.map(since),
                last_octet: self.clock.last_octet.map(since),
                end: since(now),
            },
        }
    }

    pub(super) fn failure(&self, now: Time, error: RequestError, transmitted: u64) -> Failure {
        Failure {
            error,
            phase: self.phase(transmitted),
            delivery: self.delivery(transmitted),
            report: self.report(now, transmitted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Table, cell};
    use super::*;

    #[test]
    fn every_cell_of_the_table_above_is_what_the_code_does() {
        let since = Time::START;
        let connection = ConnectionHandle {
            index: 0,
            generation: 0,
        };
        let states = [
            Life::Collecting { limit: 1 },
            Life::Waiting {
                before: None,
                after: None,
                line: Line::Usual,
            },
            Life::Active { connection, id: 1 },
            Life::Holding,
            Life::Aborting {
                connection,
                id: 1,
                since,
            },
        ];
        // Without a wildcard, so that a new state or input asks for its place in the table.
        let states = states.map(|state| match state {
            Life::Collecting { .. } => ("Collecting", state),
            Life::Waiting { .. } => ("Waiting", state),
            Life::Active { .. } => ("Active", state),
            Life::Holding => ("Holding", state),
            Life::Aborting { .. } => ("Aborting", state),
        });
        let inputs = [
            Input::Assigned,
            Input::Ended,
            Input::Refused,
            Input::Abort,
            Input::Deadline,
            Input::Lost,
            Input::LostMayRetry,
            Input::Taken,
        ];
        let inputs = inputs.map(|input| match input {
            Input::Assigned => ("assigned", input),
            Input::Ended => ("ended", input),
            Input::Refused => ("refused", input),
            Input::Abort => ("abort", input),
            Input::Deadline => ("deadline", input),
            Input::Lost => ("lost", input),
            Input::LostMayRetry => ("lost, may retry", input),
            Input::Taken => ("taken", input),
        });
        let table = Table::parse(include_str!("exchange.rs"));
        table.check(&states, &inputs, |state, input| cell(state.step(input)));
    }
}
