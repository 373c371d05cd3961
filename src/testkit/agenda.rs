//! The virtual clock, and what happens when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// The time, and what is to happen later, each thing at its instant and in the order of its making.
#[derive(Debug)]
pub(super) struct Agenda {
    origin: Instant,
    now: Instant,
    entries: BinaryHeap<Reverse<(Instant, u64, Appointment)>>,
    made: u64,
}

/// What happens at an instant. Numbers are those of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Appointment {
    /// A connect has succeeded, or failed.
    Decided(usize),
    AtApplication(usize),
    AtClient(usize),
    ResetAtClient(usize),
    /// Of a server's application: the connection and the token that it gave.
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

    /// The time from the beginning to an instant.
    pub(super) fn since_origin(&self, at: Instant) -> Duration {
        at - self.origin
    }

    /// Moves the clock on; never back.
    pub(super) fn advance_to(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(super) fn appoint(&mut self, at: Instant, what: Appointment) {
        self.made += 1;
        self.entries.push(Reverse((at, self.made, what)));
    }

    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next appointment, if it is due by then.
    pub(super) fn take_until(&mut self, until: Instant) -> Option<(Instant, Appointment)> {
        self.next().filter(|at| *at <= until)?;
        let Reverse((at, _, what)) = self.entries.pop()?;
        Some((at, what))
    }
}
