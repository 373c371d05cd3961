//! New connections that wait for their first byte, perhaps because every process is bound to an idle connection.
//!
//! A php-fpm worker stays bound to its connection until that is closed. When a new connection has waited for longer than
//! requests to its server do on average, another one is closed in its favour.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;

use crate::engine::connection::{self, Connection};
use crate::engine::time::Time;
use crate::event::ConnectionHandle;

#[derive(Debug, Default)]
pub(super) struct Preempt {
    /// New connections whose first request is not answered yet, the one to be helped first at the front.
    awaiting: VecDeque<Awaiting>,
    /// How long requests wait for their first byte: a mean in which the latest weigh most.
    mean: Duration,
}

/// A new connection that waits for its first byte.
#[derive(Clone, Copy, Debug)]
struct Awaiting {
    connection: ConnectionHandle,
    /// When it has waited for `wait`. Another connection is to be closed in its favour once the mean has passed as well:
    /// until then, the application may just be slow.
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

    /// Keeps the order.
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

    /// A request has waited this long for its first byte. The wait of a connection in the backlog counts as well: only
    /// the application knows which are there. It raises the mean by an eighth of itself, less than the others wait.
    #[inline]
    pub(super) fn note_first_byte(&mut self, waited: Duration) {
        self.mean = if self.mean.is_zero() {
            waited
        } else {
            self.mean - self.mean / 8 + waited / 8
        };
    }

    /// When a connection is to be closed in favour of the one that has waited longest.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.awaiting.front()?.due.checked_add(self.mean)
    }

    /// Whether a connection is to be closed now. The one that waited then has to wait twice as long for the next one: the
    /// process that was set free may have turned to somebody else.
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
