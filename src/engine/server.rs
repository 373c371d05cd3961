//! One server: what is known of it, how loaded it is, whether it is set aside.

use std::collections::VecDeque;
use std::time::Duration;

use super::time::Time;
use crate::event::{ConnectionHandle, RequestHandle};

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) sharing: Sharing,
    /// The embedder's last `get_values`.
    pub(super) asked: Option<RequestHandle>,
    /// Connections of any state.
    pub(super) total: usize,
    /// Connections on their way to being open, those for probes left out.
    pub(super) connecting: usize,
    /// Idle connections that a request may have; the last used at the back.
    pub(super) idle: VecDeque<u32>,
    /// Open connections that requests share, with room for one more; at the back the last that was full, or idle,
    /// before. Those that are so now are left out: among 60 full ones, looking at each costs 800 instructions for a
    /// request.
    pub(super) roomy: Vec<u32>,
    /// New connections whose first request is not answered yet, the one to be yielded to first at the front.
    pub(super) unanswered: VecDeque<Unanswered>,
    /// How long requests wait for their first octet: a mean in which the latest weigh most.
    pub(super) answer_time: Duration,
    /// Connects that failed, in a row.
    pub(super) failures: u32,
    /// Connections opened before this one (a serial number) could not know of the last failure.
    pub(super) blind_until: u64,
    /// Requests refused for overload, in a row.
    pub(super) overloads: u32,
    /// No connection is opened beforehand until then: the last such was closed before it served.
    pub(super) refill_at: Option<Time>,
    /// Set aside until then: down, or overloaded.
    pub(super) aside_until: Option<Time>,
}

/// A new connection that waits for its first octet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    pub(super) connection: ConnectionHandle,
    /// When it has waited for `wait`. Another connection is to be closed in its favour once the server's `answer_time`
    /// has passed as well: until then, the application may just be slow.
    pub(super) due: Time,
    /// How long it was given.
    pub(super) wait: Duration,
}

/// Whether requests may share a connection to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Not asked yet; one request per connection until then.
    #[default]
    Unknown,
    /// A probe is under way.
    Asking,
    /// One request per connection.
    Plain,
    /// So many.
    Upto(u32),
}

impl Sharing {
    pub(super) fn max_requests(self) -> u32 {
        match self {
            Self::Unknown | Self::Asking | Self::Plain => 1,
            Self::Upto(max) => max,
        }
    }
}

impl Server {
    /// Whether it is to be left alone for now.
    #[inline]
    pub(super) fn is_aside(&self, now: Time) -> bool {
        self.aside_until.is_some_and(|until| until > now)
    }

    /// Notes a connection that waits for its first octet; keeps the order.
    pub(super) fn note_unanswered(&mut self, unanswered: Unanswered) {
        let later = |other: &Unanswered| other.due <= unanswered.due;
        let index = self.unanswered.partition_point(later);
        self.unanswered.insert(index, unanswered);
    }

    /// A request has waited so long for its first octet. The wait of a connection in the backlog counts as well: only
    /// the application knows which are there. It raises the mean by an eighth of itself, less than the others wait.
    #[inline]
    pub(super) fn note_answered(&mut self, time: Duration) {
        self.answer_time = if self.answer_time.is_zero() {
            time
        } else {
            self.answer_time - self.answer_time / 8 + time / 8
        };
    }

    /// When a connection is to be closed in favour of the one that has waited longest.
    pub(super) fn yields_at(&self) -> Option<Time> {
        let front = self.unanswered.front()?;
        front.due.checked_add(self.answer_time)
    }

    /// Removes a connection from the idle ones; false when it was not there.
    pub(super) fn remove_idle(&mut self, connection: u32) -> bool {
        // As a rule it is the one used last.
        if self.idle.back() == Some(&connection) {
            return self.idle.pop_back().is_some();
        }
        let position = self.idle.iter().rposition(|key| *key == connection);
        position.is_some_and(|index| self.idle.remove(index).is_some())
    }

    /// Removes a connection from those with room, if it is there.
    pub(super) fn remove_roomy(&mut self, connection: u32) {
        if let Some(index) = self.roomy.iter().rposition(|key| *key == connection) {
            self.roomy.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_aside_until_its_instant_and_not_at_it() {
        let pause = Duration::from_millis(5);
        let server = Server {
            aside_until: Some(Time::START + pause),
            ..Server::default()
        };
        assert!(server.is_aside(Time::START));
        assert!(!server.is_aside(Time::START + pause));
    }

    #[test]
    fn unanswered_connections_stand_by_their_instants_and_equals_as_they_came() {
        let mut server = Server::default();
        for (index, wait) in [(0, 3), (1, 1), (2, 3), (3, 2)] {
            let wait = Duration::from_millis(wait);
            server.note_unanswered(Unanswered {
                connection: ConnectionHandle {
                    index,
                    generation: 0,
                },
                due: Time::START + wait,
                wait,
            });
        }
        let order: Vec<u32> = server
            .unanswered
            .iter()
            .map(|it| it.connection.index)
            .collect();
        assert_eq!(order, [1, 3, 0, 2]);
    }
}
