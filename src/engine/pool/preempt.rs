//! New connections that wait for their first byte, perhaps because every process is bound to an idle connection.
//!
//! A php-fpm worker stays bound to its connection until the connection is closed. When a new connection has waited for
//! longer than the average request to its server, another connection is closed to free a worker.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

use crate::engine::connection::{self, Connection};
use crate::engine::time::Time;
use crate::event::ConnectionHandle;
use crate::report::Elapsed;

#[derive(Debug, Default)]
pub(super) struct Preempt {
    /// New connections whose first request is not answered yet, the one with the earliest `due` at the front.
    awaiting: VecDeque<Awaiting>,
    /// How long requests wait for their first byte, in nanoseconds: a moving average that weighs recent requests most.
    mean: u64,
}

/// A new connection that waits for its first byte.
#[derive(Clone, Copy, Debug)]
struct Awaiting {
    connection: ConnectionHandle,
    /// When the connection has waited for `wait`. Another connection is closed for it once the mean has passed as well;
    /// until then the application may just be slow.
    due: Time,
    wait: Duration,
}

impl Preempt {
    pub(super) fn await_first_byte(
        &mut self,
        now: Time,
        connection: ConnectionHandle,
        wait: Duration,
    ) {
        if let Some(due) = now.checked_add(wait) {
            self.add(Awaiting {
                connection,
                due,
                wait,
            });
        }
    }

    /// Inserts in the order of `due`.
    fn add(&mut self, awaiting: Awaiting) {
        let earlier = |other: &Awaiting| other.due <= awaiting.due;
        let index = self.awaiting.partition_point(earlier);
        self.awaiting.insert(index, awaiting);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.awaiting.is_empty()
    }

    pub(super) fn remove(&mut self, connection: ConnectionHandle) {
        self.awaiting.retain(|it| it.connection != connection);
    }

    /// A request has waited this long for its first byte. The time that a connection spends in the backlog is included,
    /// because only the application knows which connections are there. Each wait raises the mean by at most an eighth
    /// of itself.
    #[inline]
    pub(super) fn note_first_byte(&mut self, waited: Elapsed) {
        let waited = waited.nanos();
        self.mean = if self.mean == 0 {
            waited
        } else {
            self.mean - self.mean / 8 + waited / 8
        };
    }

    /// When a connection must be closed for the one that has waited longest.
    pub(super) fn next_due(&self) -> Option<Time> {
        let mean = Duration::from_nanos(self.mean);
        self.awaiting.front()?.due.checked_add(mean)
    }

    /// Whether a connection must be closed now. If so, the waiting connection's `wait` doubles before the next one is
    /// closed: the freed process may have accepted another connection.
    pub(super) fn must_preempt(&mut self, now: Time, connections: &Slab<Connection>) -> bool {
        while let Some(front) = self.awaiting.front() {
            let waits = connection::get(connections, front.connection)
                .is_some_and(Connection::waits_for_first_byte);
            if waits && self.next_due().is_none_or(|at| at > now) {
                return false;
            }
            let Some(mut front) = self.awaiting.pop_front() else {
                return false;
            };
            if waits {
                front.wait = front.wait.saturating_mul(2);
                if let Some(due) = now.checked_add(front.wait) {
                    front.due = due;
                    self.add(front);
                }
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_connections_are_ordered_by_their_instants_and_equals_as_they_came() {
        let mut preempt = Preempt::default();
        for (index, wait) in [(0, 3), (1, 1), (2, 3), (3, 2)] {
            let generation = 0;
            let connection = ConnectionHandle { index, generation };
            preempt.await_first_byte(Time::START, connection, Duration::from_millis(wait));
        }
        let order: Vec<u32> = preempt
            .awaiting
            .iter()
            .map(|it| it.connection.index)
            .collect();
        assert_eq!(order, [1, 3, 0, 2]);
    }

    #[test]
    fn a_connection_that_is_gone_is_waited_for_no_longer() {
        let mut preempt = Preempt::default();
        assert!(preempt.is_empty());
        let connection = |index| ConnectionHandle {
            index,
            generation: 0,
        };
        for index in [0, 1] {
            preempt.await_first_byte(Time::START, connection(index), Duration::ZERO);
        }
        preempt.remove(connection(0));
        assert!(!preempt.is_empty());
        preempt.remove(connection(1));
        assert!(preempt.is_empty());
    }
}
