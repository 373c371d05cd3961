//! What is known of a server: whether it multiplexes, how much it takes, which request IDs it answers.

use std::time::Duration;

use log::warn;

use crate::engine::time::Time;
use crate::event::{RequestHandle, ServerValues};

#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    multiplexing: Multiplexing,
    /// The embedder's last question.
    probe_request: Option<RequestHandle>,
    /// A connection was lost with the client's question on it.
    may_die_of_questions: bool,
    /// The most connections that the application takes, where it said so.
    max_conns: Option<u32>,
    /// The most requests that it serves at a time, over all connections.
    max_reqs: Option<u32>,
    /// The number of requests after which it closed a connection right after an answer, the last time that it did, and
    /// when.
    closes_after: Option<(u32, Time)>,
    ids: KnownIds,
    /// A request that may not be sent twice has had a new connection, and so ID 1.
    has_spared: bool,
    /// Connections lost in a row, each with a request whose ID was not 1 and that was not answered.
    unanswered_ids: u8,
}

/// A server that closes a connection after a number of requests does it within this time from the last answer.
const CLOSES_WITHIN: Duration = Duration::from_millis(50);

/// What was learned of that holds for this long, unless it happens again.
const HOLDS_FOR: Duration = Duration::from_secs(10);

/// Requests with another ID than 1 that are lost in a row before an application that never answered such a one is
/// taken for one that knows ID 1 only.
const MOST_UNANSWERED_IDS: u8 = 3;

/// Requests that share a connection at most when a server sets no limit of its own.
const MAX_SHARING: u32 = 1024;

/// Whether requests may share a connection to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Multiplexing {
    /// Not asked yet; one request per connection until then.
    #[default]
    Unknown,
    /// The question was sent.
    Probing,
    /// One request per connection.
    Single,
    /// At most this number.
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
    /// No answer for another ID than 1 yet.
    #[default]
    Unknown,
    /// Those of the requests.
    Any,
    /// With 1, whatever the request's was.
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

    /// Gives what was known before.
    pub(super) fn set_multiplexing(&mut self, multiplexing: Multiplexing) -> Multiplexing {
        std::mem::replace(&mut self.multiplexing, multiplexing)
    }

    pub(super) fn max_requests(&self) -> u32 {
        self.multiplexing.max_requests()
    }

    /// The most connections to it.
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

    /// Whether it serves as many requests as it said it can.
    #[inline]
    pub(super) fn is_full(&self, requests: usize) -> bool {
        self.max_reqs.is_some_and(|most| requests >= most as usize)
    }

    /// What follows from its answer; the capacity counts only where it multiplexes.
    pub(super) fn apply(&mut self, values: ServerValues) -> Multiplexing {
        let is_shared = values.multiplexes == Some(true);
        let capacity = |told: Option<u32>| told.filter(|most| is_shared && *most > 0);
        self.max_conns = capacity(values.max_conns);
        self.max_reqs = capacity(values.max_reqs);
        match (values.multiplexes, values.max_reqs) {
            (Some(true), Some(most)) if most > 0 => Multiplexing::Limited(most.min(MAX_SHARING)),
            (Some(true), _) => Multiplexing::Limited(MAX_SHARING),
            (Some(false) | None, _) => Multiplexing::Single,
        }
    }

    pub(super) fn forget_capacity(&mut self) {
        self.max_conns = None;
        self.max_reqs = None;
    }

    /// Whether a server that was down is asked again: what listens there now may be another program.
    pub(super) fn may_be_asked_again(&self) -> bool {
        let is_known = matches!(
            self.multiplexing,
            Multiplexing::Single | Multiplexing::Limited(_)
        );
        is_known && !self.may_die_of_questions
    }

    pub(crate) fn note_death_by_question(&mut self) {
        self.may_die_of_questions = true;
    }

    pub(crate) fn probe_request(&self) -> Option<RequestHandle> {
        self.probe_request
    }

    pub(crate) fn set_probe_request(&mut self, request: RequestHandle) {
        self.probe_request = Some(request);
    }

    /// A connection was closed by the application right after an answer, perhaps before the client knew it: php-fpm's
    /// children end after `pm.max_requests`. What comes between their last answer and the close is accepted by the
    /// system, and never looked at.
    pub(crate) fn closed_after(&mut self, now: Time, served: u32) {
        self.closes_after = Some((served, now));
    }

    /// A connection has ended this number of requests, and goes on.
    #[inline]
    pub(super) fn note_served(&mut self, served: u32) {
        if self.closes_after.is_some_and(|(most, _)| served > most) {
            self.closes_after = None;
        }
    }

    /// Whether a connection that has served this number of requests, and is idle since then, is likely to be closed now.
    /// One that was closed for another reason, as when a server is started anew, must not be held against it for ever.
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

    /// Whether a request that may not be sent twice may have another ID than 1: not the first one to a server of which it
    /// is not known whether it answers others. Where only such requests come, one of them has to try.
    #[inline]
    pub(super) fn takes_other_ids(&self) -> bool {
        self.ids != KnownIds::Unknown || self.has_spared
    }

    pub(super) fn forget_ids(&mut self) {
        self.ids = KnownIds::Unknown;
        self.unanswered_ids = 0;
        self.has_spared = false;
    }
}
