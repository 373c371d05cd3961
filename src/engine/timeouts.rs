//! When requests, connections and servers are to be looked at next, and for what.
//!
//! A timer's entry is never later than what is due; traffic moves that on without touching the timers. When an entry
//! fires, its owner is asked again, here.

use std::time::{Duration, Instant};

use super::Engine;
use super::connection::{self, Connection, State};
use super::requests::Due;
use super::time::Time;
use super::timers::Owner;

/// How long requests wait for a connection that is being opened before it counts for its own server only: the pause
/// between two attempts of RFC 8305, 5.
const WAITED_FOR: Duration = Duration::from_millis(250);

/// How long the rest of a record may take to come once no request is left: a connection that waits for it serves nobody.
const REST_AWAITED: Duration = Duration::from_secs(1);

/// How long an idle connection keeps what a burst of requests made large: bursts that follow each other allocate nothing.
const LISTS_KEPT: Duration = Duration::from_secs(1);

/// What a connection's deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionDue {
    Connect,
    /// The rest of the last record, its padding as a rule, has not come.
    Unfinished,
    /// It has been connecting for so long that nobody waits for it.
    Late,
    Redial,
    Probe,
    Idle,
    Age,
    /// Lists that a burst made large were not used again.
    Lists,
}

impl Engine {
    /// Makes sure that a request is looked at when its next deadline comes.
    pub(super) fn arm_request(&mut self, key: u32) {
        if let Some(due) = self.request_due(key) {
            self.timers.arm(Owner::Request(key), due.at);
        }
    }

    /// The next deadline of a request.
    pub(super) fn request_due(&self, key: u32) -> Option<Due> {
        let request = self.requests.get(key)?;
        let connection = request.connection();
        let on = connection.and_then(|it| connection::get(&self.connections, it));
        request.due(on.map(Connection::progress), &self.config)
    }

    /// Makes sure that a connection is looked at when its next deadline comes.
    #[inline]
    pub(super) fn arm_connection(&mut self, key: u32) {
        if let Some((at, _)) = self.connection_due(key) {
            self.timers.arm(Owner::Connection(key), at);
        }
    }

    /// The next deadline of a connection.
    pub(super) fn connection_due(&self, key: u32) -> Option<(Time, ConnectionDue)> {
        let connection = self.connections.get(key as usize)?;
        match connection.state() {
            State::Connecting { since } => {
                let last = since.checked_add(self.config.connect_timeout);
                // Where a request can go elsewhere: to another server, or over another connection that is shared.
                let slots = connection.expected().slots;
                let can_help = slots > u32::from(self.pool.len() == 1);
                let waited_for = can_help.then_some(*since + WAITED_FOR);
                match (waited_for, last) {
                    (Some(at), None) => Some((at, ConnectionDue::Late)),
                    (Some(at), Some(last)) if at < last => Some((at, ConnectionDue::Late)),
                    (_, last) => last.map(|at| (at, ConnectionDue::Connect)),
                }
            }
            State::Redialing { since, until } => {
                let last = since.checked_add(self.config.connect_timeout);
                match last.filter(|last| last < until) {
                    Some(last) => Some((last, ConnectionDue::Connect)),
                    None => Some((*until, ConnectionDue::Redial)),
                }
            }
            State::Probing(probe) => {
                let at = probe.since().checked_add(self.config.probe_timeout)?;
                Some((at, ConnectionDue::Probe))
            }
            State::Open if connection.live() == 0 => self.idle_due(connection),
            State::Open | State::Draining => None,
        }
    }

    fn idle_due(&self, connection: &Connection) -> Option<(Time, ConnectionDue)> {
        let since = connection.last_activity();
        if connection.has_question() {
            let at = since.checked_add(self.config.probe_timeout)?;
            return Some((at, ConnectionDue::Probe));
        }
        if connection.is_unfinished() {
            return Some((since + REST_AWAITED, ConnectionDue::Unfinished));
        }
        let limits = &self.config.limits;
        let idle = since.checked_add(limits.idle_timeout);
        let age = limits
            .max_lifetime
            .and_then(|age| connection.opened().checked_add(age));
        let end = match (idle, age) {
            (Some(idle), Some(age)) if age < idle => Some((age, ConnectionDue::Age)),
            (Some(idle), _) => Some((idle, ConnectionDue::Idle)),
            (None, age) => age.map(|age| (age, ConnectionDue::Age)),
        };
        if !connection.is_large() {
            return end;
        }
        let lists = since + LISTS_KEPT;
        end.filter(|(at, _)| *at <= lists)
            .or(Some((lists, ConnectionDue::Lists)))
    }

    /// Makes sure that a server is looked at when its next pause is over, or a connection to it has waited for long.
    pub(super) fn arm_server(&mut self, now: Time, server: u16) {
        if let Some(at) = self.pool.next_due(usize::from(server), now) {
            self.timers.arm(Owner::Server(u32::from(server)), at);
        }
    }

    /// Without a request or a connection there is nobody to look at.
    pub(super) fn clear_timers_if_idle(&mut self) {
        if self.connections.is_empty() && self.requests.is_empty() {
            self.timers.clear();
        }
    }

    /// The next deadline and what it is for, as far as that is known without walking all of them.
    pub(super) fn next_due(&self) -> Option<(Instant, String)> {
        let (at, owner) = self.timers.peek()?;
        let what = match owner {
            Owner::Request(key) => self
                .request_due(key)
                .map_or_else(|| "none".to_owned(), |due| format!("{:?}", due.kind)),
            Owner::Connection(key) => self
                .connection_due(key)
                .map_or_else(|| "none".to_owned(), |(_, due)| format!("{due:?}")),
            Owner::Server(index) => format!("server {index}"),
            Owner::Shutdown => "shutdown".to_owned(),
        };
        Some((self.timeline.instant(at)?, what))
    }
}
