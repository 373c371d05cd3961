//! One server: what is known of it, how loaded it is, whether it is set aside.

use std::collections::VecDeque;
use std::time::Duration;

use log::warn;

use super::time::Time;
use crate::error::ConnectError;
use crate::event::{ConnectionHandle, RequestHandle};

#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) sharing: Sharing,
    /// The embedder's last `get_values`.
    pub(super) asked: Option<RequestHandle>,
    /// Connections of any state.
    pub(super) total: usize,
    /// Connections on their way to being open.
    pub(super) connecting: usize,
    /// Of these, those that have been on their way for long, or lead to a server that was down: requests that can go
    /// elsewhere do not wait for them.
    pub(super) late: usize,
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
    /// Not connected to until then: this side had no descriptor, port or memory for it.
    pub(super) short_until: Option<Time>,
    /// Such shortages in a row.
    pub(super) shortages: u32,
    /// Why the last connect failed.
    pub(super) refused: Option<ConnectError>,
    /// A connection was lost with the client's question on it.
    pub(super) may_die_of_questions: bool,
    /// Most connections that the application takes, where it said so.
    pub(super) max_conns: Option<u32>,
    /// Most requests that it serves at a time, over all connections.
    pub(super) max_reqs: Option<u32>,
    /// Requests after which it closed a connection right behind an answer, the last time that it did, and when.
    closes_after: Option<(u32, Time)>,
    /// Which request IDs it answers.
    pub(super) ids: KnownIds,
    /// A request that may not be sent again has had a new connection, and so ID 1.
    is_spared: bool,
    /// Connections lost in a row, each with a request whose ID was not 1 and that was not answered.
    unanswered_ids: u8,
}

/// A server that closes a connection after so many requests does it in this time from the last answer.
const CLOSES_WITHIN: Duration = Duration::from_millis(50);

/// What was learned of that holds for so long, unless it happens again.
const HOLDS_FOR: Duration = Duration::from_secs(10);

/// Which request IDs an application answers with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum KnownIds {
    /// No answer for another ID than 1 yet.
    #[default]
    Unknown,
    /// Those of the requests.
    Any,
    /// With 1, whatever the request's was.
    OnlyOne,
}

/// Requests with another ID than 1 that are lost in a row before an application that never answered such a one is
/// taken for one that knows ID 1 only.
const MOST_UNANSWERED_IDS: u8 = 3;

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
    pub(super) fn new(sharing: Sharing) -> Self {
        Self {
            sharing,
            ..Self::default()
        }
    }

    /// Whether it is to be left alone for now.
    #[inline]
    pub(super) fn is_aside(&self, now: Time) -> bool {
        self.aside_until.is_some_and(|until| until > now)
    }

    /// Whether this side has had no socket for it a moment ago.
    #[inline]
    pub(super) fn is_short(&self, now: Time) -> bool {
        self.short_until.is_some_and(|until| until > now)
    }

    /// Most connections to it.
    #[inline]
    pub(super) fn max_connections(&self, limit: usize) -> usize {
        match self.max_conns {
            Some(told) => limit.min(told as usize),
            None => limit,
        }
    }

    /// Whether it serves as many requests as it said it can.
    #[inline]
    pub(super) fn is_at_capacity(&self, load: u32) -> bool {
        let requests = (load as usize).saturating_sub(self.connecting);
        self.max_reqs.is_some_and(|most| requests >= most as usize)
    }

    /// A connection was closed by the application right behind an answer, perhaps before the client knew it, when it had
    /// served so many requests: php-fpm's children end after `pm.max_requests`. What comes between their last answer and
    /// the close is accepted by the system, and never looked at.
    pub(super) fn note_closed_behind_answer(&mut self, now: Time, served: u32) {
        self.closes_after = Some((served, now));
    }

    /// A connection has ended so many requests, and goes on.
    #[inline]
    pub(super) fn note_served(&mut self, served: u32) {
        if self.closes_after.is_some_and(|(most, _)| served > most) {
            self.closes_after = None;
        }
    }

    /// Whether a connection that has served so many requests, and idles since an instant, is likely to be closed now. One
    /// that was closed for another reason, as when a server is started anew, must not be held against it for ever.
    #[inline]
    pub(super) fn is_about_to_close(&self, now: Time, served: u32, since: Time) -> bool {
        self.closes_after.is_some_and(|(most, seen)| {
            served >= most && since + CLOSES_WITHIN > now && seen + HOLDS_FOR > now
        })
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

    /// The application answers with ID 1 only.
    pub(super) fn only_id_1(&mut self, number: u16) {
        self.ids = KnownIds::OnlyOne;
        warn!(
            "server {number}: answers no request but those with ID 1: one request per connection"
        );
    }

    /// A connection was lost with a request whose ID was not 1 and that was not answered.
    pub(super) fn note_unanswered_id(&mut self, number: u16) {
        if self.ids != KnownIds::Unknown {
            return;
        }
        self.unanswered_ids += 1;
        if self.unanswered_ids == MOST_UNANSWERED_IDS {
            self.only_id_1(number);
        }
    }

    /// A request that may not be sent again has got a new connection.
    pub(super) fn note_spared(&mut self) {
        self.is_spared = true;
    }

    /// Whether a request that may not be sent again may have another ID than 1: not the first one to a server of which it
    /// is not known whether it answers others. Where only such requests come, one of them has to try.
    #[inline]
    pub(super) fn takes_other_ids(&self) -> bool {
        self.ids != KnownIds::Unknown || self.is_spared
    }

    /// What listens there now may be another program.
    pub(super) fn forget_ids(&mut self) {
        self.ids = KnownIds::Unknown;
        self.unanswered_ids = 0;
        self.is_spared = false;
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
