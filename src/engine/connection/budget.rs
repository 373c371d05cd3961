//! The output buffered for the requests on a connection, and whether the connection is read.

use super::Connection;
use crate::config::{OverflowPolicy, PauseBuffer};
use crate::engine::requests::OutputWeight;
use crate::engine::time::Time;

/// The `u16` counts are at most the number of request IDs.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Requests that the embedder has paused.
    paused: u16,
    /// Requests whose output buffer is full.
    full: u16,
    /// Bytes of output buffered for the requests on the connection.
    buffered: usize,
    /// Whether `wants_read` is false because of this budget.
    read_blocked: bool,
    /// When the connection was last unblocked.
    unblocked: Option<Time>,
}

/// How a decision changed the reading of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Unchanged,
    /// The connection is not read. Expired limits that waited for bytes in the socket take effect now.
    Blocked,
    /// The connection is read again.
    Reopened,
}

impl Budget {
    pub(super) fn is_read_blocked(&self) -> bool {
        self.read_blocked
    }

    pub(super) fn unblocked(&self) -> Option<Time> {
        self.unblocked
    }
}

impl Connection {
    pub(crate) fn has_paused(&self) -> bool {
        self.budget.paused > 0
    }

    pub(crate) fn is_read_blocked(&self) -> bool {
        self.budget.read_blocked
    }

    /// Bytes of output buffered for the requests on the connection.
    pub(crate) fn buffered(&self) -> usize {
        self.budget.buffered
    }

    /// The numbers of requests, of those being aborted, paused and with a full buffer, and the bytes buffered.
    #[cfg(debug_assertions)]
    pub(crate) fn counts(&self) -> [usize; 5] {
        let budget = &self.budget;
        let (live, aborting) = (self.live as usize, self.aborting as usize);
        let (paused, full) = (budget.paused as usize, budget.full as usize);
        [live, aborting, paused, full, budget.buffered]
    }

    #[inline]
    pub(super) fn add_weight(&mut self, weight: OutputWeight) {
        self.budget.paused += u16::from(weight.is_paused);
        self.budget.full += u16::from(weight.is_full);
        self.budget.buffered += weight.buffered;
    }

    /// Subtracts the output of a request that has left the connection, or whose output was discarded.
    #[inline]
    pub(crate) fn remove_weight(&mut self, weight: OutputWeight) {
        self.budget.paused -= u16::from(weight.is_paused);
        self.budget.full -= u16::from(weight.is_full);
        self.budget.buffered -= weight.buffered;
    }

    pub(crate) fn note_paused(&mut self) {
        self.budget.paused += 1;
    }

    pub(crate) fn note_resumed(&mut self) {
        self.budget.paused -= 1;
    }

    /// Adds buffered output of a request; `is_full` when this has filled the request's buffer.
    pub(crate) fn note_kept(&mut self, more: usize, is_full: bool) {
        self.budget.buffered += more;
        self.budget.full += u16::from(is_full);
    }

    /// Subtracts buffered output that was taken; `was_full` when the request's buffer was full and no longer is.
    pub(crate) fn note_taken(&mut self, less: usize, was_full: bool) {
        self.budget.buffered -= less;
        self.budget.full -= u16::from(was_full);
    }

    /// Whether anything can keep the connection from being read. Usually nothing is paused.
    #[inline]
    pub(crate) fn may_be_blocked(&self) -> bool {
        let budget = &self.budget;
        budget.paused > 0 || budget.buffered > 0 || budget.read_blocked
    }

    /// Decides whether the connection is read; `in_all` is the output buffered for all connections.
    pub(crate) fn decide_on_reads(
        &mut self,
        now: Time,
        in_all: usize,
        limits: &PauseBuffer,
    ) -> Reads {
        let is_alone = self.live == 1;
        let budget = &mut self.budget;
        let is_used_up = budget.full > 0
            || (budget.buffered > 0
                && (budget.buffered >= limits.per_connection || in_all >= limits.per_client));
        let blocked = (is_alone && budget.paused == 1)
            || (is_used_up && (is_alone || limits.overflow == OverflowPolicy::PauseConnection));
        let was_blocked = std::mem::replace(&mut budget.read_blocked, blocked);
        if blocked && self.is_looked_into() {
            return Reads::Blocked;
        }
        if was_blocked && !blocked {
            self.budget.unblocked = Some(now);
            return Reads::Reopened;
        }
        Reads::Unchanged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::connection::Expected;

    #[test]
    fn what_is_paused_or_kept_bears_on_whether_a_connection_is_read() {
        let mut connection = Connection::new(Time::START, 0, 0, Expected::default());
        assert!(!connection.may_be_blocked());
        connection.note_paused();
        assert!(connection.may_be_blocked());
        connection.note_resumed();
        assert!(!connection.may_be_blocked());
        connection.note_kept(1, false);
        assert!(connection.may_be_blocked());
        connection.note_taken(1, false);
        assert!(!connection.may_be_blocked());
    }

    #[test]
    fn the_output_of_a_request_counts_for_its_connection_until_it_leaves() {
        let mut connection = Connection::new(Time::START, 0, 0, Expected::default());
        let one = OutputWeight {
            is_paused: true,
            is_full: true,
            buffered: 5,
        };
        connection.add_weight(one);
        connection.add_weight(one);
        assert_eq!(connection.counts()[2..], [2, 2, 10]);
        connection.remove_weight(one);
        assert_eq!(connection.counts()[2..], [1, 1, 5]);
    }
}
