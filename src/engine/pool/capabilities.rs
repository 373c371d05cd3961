//! What is known about a server: whether it multiplexes, its capacity, the request IDs it answers.

use std::time::Duration;

use log::warn;

use crate::config::Multiplex;
use crate::engine::time::Time;
use crate::event::ServerValues;

#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    multiplexing: Multiplexing,
    /// Whether a probe of the embedder (`get_values`) has not ended.
    is_probed: bool,
    /// Whether a probe was ever answered.
    has_answered: bool,
    /// Whether a connection was lost while it carried a probe of this client.
    was_lost_with_probe: bool,
    /// The most connections that the application accepts, if it reported a number.
    max_conns: Option<u32>,
    /// The most requests that the application serves at a time, over all connections, if it reported a number.
    max_reqs: Option<u32>,
    /// After how many requests the application last closed a connection right after a response, and when that was.
    closes_after: Option<(u32, Time)>,
    ids: KnownIds,
    /// Whether a request that must not be sent twice was already given a new connection, and so ID 1.
    has_spared: bool,
    /// Connections lost in a row, each with an unanswered request whose ID was not 1.
    unanswered_ids: u8,
}

/// An application that closes connections after a number of requests does so within this time after the last response.
const CLOSES_WITHIN: Duration = Duration::from_millis(50);

/// How long an observed `closes_after` is used, unless it is observed again.
const HOLDS_FOR: Duration = Duration::from_secs(10);

/// After this many lost requests in a row with an ID other than 1, an application that never answered such an ID is
/// assumed to know only ID 1.
const MOST_UNANSWERED_IDS: u8 = 3;

/// Whether requests may share a connection to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Multiplexing {
    /// Not probed yet. One request per connection until then.
    #[default]
    Unknown,
    /// The probe was sent.
    Probing,
    /// One request per connection.
    Single,
    /// At most this number of requests per connection.
    Limited(u32),
}

impl Multiplexing {
    #[inline]
    pub(crate) fn max_requests(self) -> u32 {
        match self {
            Self::Unknown | Self::Probing | Self::Single => 1,
            Self::Limited(max) => max,
        }
    }
}

/// Which request IDs an application answers with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum KnownIds {
    /// No response with an ID other than 1 has come yet.
    #[default]
    Unknown,
    /// The ID of the request.
    Any,
    /// Always 1, whatever the ID of the request.
    OnlyOne,
}

impl Capabilities {
    pub(super) fn new(multiplexing: Multiplexing) -> Self {
        Self {
            multiplexing,
            ..Self::default()
        }
    }

    pub(crate) fn multiplexing(&self) -> Multiplexing {
        self.multiplexing
    }

    /// Returns the previous value.
    pub(super) fn set_multiplexing(&mut self, multiplexing: Multiplexing) -> Multiplexing {
        std::mem::replace(&mut self.multiplexing, multiplexing)
    }

    pub(super) fn max_requests(&self) -> u32 {
        self.multiplexing.max_requests()
    }

    /// The most connections to the server: the configured limit or the number reported by the server, whichever is
    /// lower.
    #[inline]
    pub(super) fn max_connections(&self, limit: usize) -> usize {
        match self.max_conns {
            Some(told) => limit.min(told as usize),
            None => limit,
        }
    }

    pub(super) fn limits_connections(&self) -> bool {
        self.max_conns.is_some()
    }

    /// Whether the server serves as many requests as it reported it can.
    #[inline]
    pub(super) fn is_full(&self, requests: usize) -> bool {
        self.max_reqs.is_some_and(|most| requests >= most as usize)
    }

    /// Applies the server's reply to a probe. Its capacity counts only if it multiplexes.
    pub(super) fn apply(&mut self, values: ServerValues) -> Multiplexing {
        let is_shared = values.multiplexes == Some(true);
        let capacity = |told: Option<u32>| told.filter(|most| is_shared && *most > 0);
        self.max_conns = capacity(values.max_conns);
        self.max_reqs = capacity(values.max_reqs);
        match (values.multiplexes, values.max_reqs) {
            (Some(true), Some(most)) if most > 0 => {
                Multiplexing::Limited(most.min(Multiplex::MAX_SHARED))
            }
            (Some(true), _) => Multiplexing::Limited(Multiplex::MAX_SHARED),
            (Some(false) | None, _) => Multiplexing::Single,
        }
    }

    pub(super) fn reset_capacity(&mut self) {
        self.max_conns = None;
        self.max_reqs = None;
    }

    /// Whether a server that was down is probed again: another program may listen there now.
    pub(super) fn may_be_probed_again(&self) -> bool {
        let is_known = matches!(
            self.multiplexing,
            Multiplexing::Single | Multiplexing::Limited(_)
        );
        is_known && !self.was_lost_with_probe
    }

    pub(crate) fn note_lost_with_probe(&mut self) {
        self.was_lost_with_probe = true;
    }

    /// Whether a connection was lost while it carried a probe of this client.
    pub(crate) fn was_lost_with_probe(&self) -> bool {
        self.was_lost_with_probe
    }

    pub(crate) fn is_probed(&self) -> bool {
        self.is_probed
    }

    pub(crate) fn set_probed(&mut self, is_probed: bool) {
        self.is_probed = is_probed;
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.has_answered
    }

    pub(crate) fn note_answer(&mut self) {
        self.has_answered = true;
    }

    /// The application closed a connection right after a response, perhaps before the client could notice: php-fpm's
    /// children exit after `pm.max_requests`. Bytes sent between the last response and the close are accepted by the
    /// system and never read.
    pub(crate) fn closed_after(&mut self, now: Time, served: u32) {
        self.closes_after = Some((served, now));
    }

    /// A connection has completed this number of requests and stays open.
    #[inline]
    pub(super) fn note_served(&mut self, served: u32) {
        if self.closes_after.is_some_and(|(most, _)| served > most) {
            self.closes_after = None;
        }
    }

    /// Whether a connection that has served `served` requests and is idle since `since` will probably be closed now.
    /// The observation expires: the connection may have been closed for another reason, such as a restart of the
    /// server.
    #[inline]
    pub(super) fn is_about_to_close(&self, now: Time, served: u32, since: Time) -> bool {
        self.closes_after.is_some_and(|(most, seen)| {
            served >= most && since + CLOSES_WITHIN > now && seen + HOLDS_FOR > now
        })
    }

    pub(crate) fn ids(&self) -> KnownIds {
        self.ids
    }

    #[inline]
    pub(super) fn answers_any_id(&mut self) {
        self.ids = KnownIds::Any;
    }

    pub(super) fn knows_only_id_1(&mut self, number: u16) {
        self.ids = KnownIds::OnlyOne;
        warn!(
            "server {number}: answers no request but those with ID 1: one request per connection"
        );
    }

    pub(super) fn other_id_unanswered(&mut self, number: u16) {
        if self.ids != KnownIds::Unknown {
            return;
        }
        self.unanswered_ids += 1;
        if self.unanswered_ids == MOST_UNANSWERED_IDS {
            self.knows_only_id_1(number);
        }
    }

    pub(crate) fn spared(&mut self) {
        self.has_spared = true;
    }

    /// Whether a request that must not be sent twice may have an ID other than 1. The first such request may not while
    /// it is unknown whether the server answers other IDs. Later ones may: if only such requests come, one of them has
    /// to try.
    #[inline]
    pub(super) fn takes_other_ids(&self) -> bool {
        self.ids != KnownIds::Unknown || self.has_spared
    }

    pub(super) fn reset_ids(&mut self) {
        self.ids = KnownIds::Unknown;
        self.unanswered_ids = 0;
        self.has_spared = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_a_server_tells_counts_where_it_multiplexes_and_is_more_than_nothing() {
        let told = |multiplexes, max_reqs, max_conns| {
            let mut known = Capabilities::default();
            let multiplexing = known.apply(ServerValues {
                multiplexes,
                max_reqs,
                max_conns,
            });
            let most = known.max_connections(9);
            (
                multiplexing,
                known.is_full(6),
                most,
                known.limits_connections(),
            )
        };
        let limited = Multiplexing::Limited;
        assert_eq!(
            told(Some(true), Some(7), Some(3)),
            (limited(7), false, 3, true)
        );
        assert_eq!(
            told(Some(true), Some(6), Some(20)),
            (limited(6), true, 9, true)
        );
        let most = (limited(Multiplex::MAX_SHARED), false, 9, false);
        assert_eq!(told(Some(true), Some(5000), None), most);
        assert_eq!(told(Some(true), Some(0), Some(0)), most);
        assert_eq!(told(Some(true), None, None), most);
        let single = (Multiplexing::Single, false, 9, false);
        assert_eq!(told(Some(false), Some(1), Some(1)), single);
        assert_eq!(told(None, Some(1), Some(1)), single);
    }

    #[test]
    fn a_server_about_to_close_is_one_that_closed_lately_after_as_many_and_for_a_short_while() {
        let seen = Time::START;
        let is_about_to = |served, idle: Duration, later: Duration| {
            let mut known = Capabilities::default();
            known.closed_after(seen, 3);
            let now = seen + later;
            known.is_about_to_close(now + idle, served, now)
        };
        let none = Duration::ZERO;
        assert!(!is_about_to(2, none, none));
        assert!(is_about_to(3, none, none));
        assert!(is_about_to(4, none, none));
        let within = CLOSES_WITHIN - MS;
        assert!(is_about_to(3, within, none));
        assert!(!is_about_to(3, CLOSES_WITHIN, none));
        assert!(is_about_to(3, none, HOLDS_FOR - MS));
        assert!(!is_about_to(3, none, HOLDS_FOR));
    }

    #[test]
    fn a_connection_that_serves_more_shows_that_the_server_does_not_close_after_so_many() {
        for (served, is_held) in [(2, true), (3, true), (4, false)] {
            let mut known = Capabilities::default();
            known.closed_after(Time::START, 3);
            known.note_served(served);
            let is_about_to = known.is_about_to_close(Time::START, 3, Time::START);
            assert_eq!(is_about_to, is_held, "{served} served");
        }
    }

    #[test]
    fn a_server_is_asked_again_when_its_answer_is_in_and_it_does_not_die_of_questions() {
        let limited = Multiplexing::Limited(2);
        for (multiplexing, is_answered) in [
            (Multiplexing::Unknown, false),
            (Multiplexing::Probing, false),
            (Multiplexing::Single, true),
            (limited, true),
        ] {
            let mut known = Capabilities::new(multiplexing);
            assert_eq!(known.may_be_probed_again(), is_answered, "{multiplexing:?}");
            known.note_lost_with_probe();
            assert!(!known.may_be_probed_again(), "{multiplexing:?}");
        }
    }
}
