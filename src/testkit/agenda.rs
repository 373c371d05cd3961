//! The virtual clock, and what will happen later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// The time, and the appointments that are due later. Appointments of the same instant are kept in the order in which
/// they were made.
#[derive(Debug)]
pub(super) struct Agenda {
    origin: Instant,
    now: Instant,
    entries: BinaryHeap<Reverse<(Instant, u64, Appointment)>>,
    made: u64,
}

/// What happens at an instant. The first number is a connection, except in `Wake`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Appointment {
    /// The connect of this connection has succeeded or failed.
    Decided(usize),
    /// Bytes, or the end of them, arrive at the application.
    AtApplication(usize),
    /// Bytes, or the end of them, arrive at the client.
    AtClient(usize),
    /// A reset arrives at the client, because it has written to a closed connection.
    ResetAtClient(usize),
    /// An application is called again. The numbers are its server, the connection, and the token that it has chosen.
    Wake(usize, usize, u64),
}

impl Agenda {
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            origin,
            now: origin,
            entries: BinaryHeap::new(),
            made: 0,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// The time between the first instant and `at`.
    pub(super) fn since_origin(&self, at: Instant) -> Duration {
        at - self.origin
    }

    /// Moves the clock forward; never back.
    pub(super) fn advance_to(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(super) fn appoint(&mut self, at: Instant, what: Appointment) {
        self.made += 1;
        self.entries.push(Reverse((at, self.made, what)));
    }

    /// The instant of the next appointment.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next appointment, if it is due at `until` or before.
    pub(super) fn take_until(&mut self, until: Instant) -> Option<(Instant, Appointment)> {
        self.next().filter(|at| *at <= until)?;
        let Reverse((at, _, what)) = self.entries.pop()?;
        Some((at, what))
    }
}
