//! What the requests on a connection keep unread, and whether the connection is read.

use super::Connection;
use crate::config::{OverflowPolicy, PauseBuffer};
use crate::engine::requests::OutputWeight;
use crate::engine::time::Time;

/// The counts are no larger than there are request IDs.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Requests that the embedder has paused.
    paused: u16,
    /// Requests for which as much output is kept as may be.
    full: u16,
    /// Bytes of output that are kept for its requests.
    buffered: usize,
    /// The driver was told, by `wants_read`, not to read.
    read_blocked: bool,
    /// When the driver was last told to read again.
    unblocked: Option<Time>,
}

/// What has become of reading a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Unchanged,
    /// It is not read; limits that are over and waited for what is in the socket wait no longer.
    Blocked,
    /// It is read again.
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

    /// Bytes of output that are kept for its requests.
    pub(crate) fn buffered(&self) -> usize {
        self.budget.buffered
    }

    /// The requests, those being aborted, the paused ones, the full ones and the bytes that are kept.
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

    /// A request has left it, or its output was discarded.
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

    /// Output of a request is kept, up to its limit where `is_full`.
    pub(crate) fn note_kept(&mut self, more: usize, is_full: bool) {
        self.budget.buffered += more;
        self.budget.full += u16::from(is_full);
    }

    /// Output of a request was taken; `is_room` when as much was kept as may be, and is no longer.
    pub(crate) fn note_taken(&mut self, less: usize, has_room: bool) {
        self.budget.buffered -= less;
        self.budget.full -= u16::from(has_room);
    }

    /// Whether anything bears on whether it is read. As a rule nothing is paused.
    #[inline]
    pub(crate) fn may_be_blocked(&self) -> bool {
        let budget = &self.budget;
        budget.paused > 0 || budget.buffered > 0 || budget.read_blocked
    }

    /// Decides whether it is to be read; `in_all` is what is kept over all connections.
    pub(crate) fn decide_on_reads(
        &mut self,
        now: Time,
        in_all: usize,
        stall: &PauseBuffer,
    ) -> Reads {
        let is_alone = self.live == 1;
        let budget = &mut self.budget;
        let is_used_up = budget.full > 0
            || (budget.buffered > 0
                && (budget.buffered >= stall.per_connection || in_all >= stall.per_client));
        let blocked = (is_alone && budget.paused == 1)
            || (is_used_up && (is_alone || stall.overflow == OverflowPolicy::PauseConnection));
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
}
