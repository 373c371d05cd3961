//! The pool: which connection a request gets, when a connection is opened, and which connections exceed the limits.
//!
//! For each server the pool keeps the lists of its connections ([`lists`]), its failures and pauses ([`backoff`]), its
//! capabilities ([`capabilities`]) and the new connections that wait for their first byte ([`preempt`]). The pool reads
//! connections and changes only itself: changes to a connection or a request are returned as values. [`placement`]
//! chooses the connection for a request.

mod backoff;
mod capabilities;
#[cfg(debug_assertions)]
mod invariants;
mod lists;
mod placement;
mod preempt;
#[cfg(test)]
mod tests;

pub(super) use capabilities::{KnownIds, Multiplexing};
pub(super) use placement::{Placement, Seeker};

use std::time::Duration;

use log::debug;
use slab::Slab;

use super::connection::{Connection, Expected, FirstReply};
use super::time::Time;
use crate::config::{Backoff, Config, Multiplex, RequestIds};
use crate::error::ConnectError;
use crate::event::{ConnectionHandle, ServerValues};
use crate::limits::Limits;
use backoff::Health;
use capabilities::Capabilities;
use lists::Lists;
use preempt::Preempt;

/// All servers, and sums over them that are needed for each request.
#[derive(Debug)]
pub(super) struct Pool {
    servers: Vec<Server>,
    /// For each server: the requests on its connections plus the connections being opened. A separate `Vec`, because
    /// each request searches for the least: this saves 590 of 7,050 instructions with 64 servers.
    loads: Vec<u32>,
    /// Where the search for a server begins, so that servers with equal load take turns.
    first_choice: usize,
    /// The number of requests that the connections being opened can take.
    expected_slots: usize,
    /// Late connections, being opened for so long that only requests to their own server wait for them.
    late: usize,
    /// Servers for which this side had no descriptor, port or memory.
    short: usize,
    /// Servers that were not yet probed for multiplexing.
    unprobed: usize,
    /// The serial number of the next connection.
    next_serial: u64,
    /// Whether to check the limits on connections, or for requests that no server can take.
    is_unsettled: bool,
    /// Failed connects whose effect on waiting requests is not applied yet.
    failures: Vec<ConnectFailure>,
}

/// A connect that failed, or a connection that was of no use.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectFailure {
    pub(super) server: u16,
    /// When the connection was opened. Requests that came later did not wait for it.
    pub(super) opened: Time,
    pub(super) error: ConnectError,
}

#[derive(Debug, Default)]
struct Server {
    lists: Lists,
    health: Health,
    capabilities: Capabilities,
    preempt: Preempt,
}

impl Pool {
    pub(super) fn new(config: &Config) -> Self {
        let multiplexing = match config.multiplex {
            Multiplex::Off => Multiplexing::Single,
            Multiplex::On { max } => Multiplexing::Limited(max),
            // Multiplexing is of no use if each connection serves one request.
            Multiplex::Auto if !config.keep_connections => Multiplexing::Single,
            Multiplex::Auto => Multiplexing::Unknown,
        };
        let server = |_| Server {
            capabilities: Capabilities::new(multiplexing),
            ..Server::default()
        };
        let servers: Vec<Server> = config.servers.iter().map(server).collect();
        let is_unknown = multiplexing == Multiplexing::Unknown;
        Self {
            loads: vec![0; servers.len()],
            first_choice: 0,
            expected_slots: 0,
            late: 0,
            short: 0,
            unprobed: if is_unknown { servers.len() } else { 0 },
            next_serial: 0,
            is_unsettled: false,
            failures: Vec::new(),
            servers,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.servers.len()
    }

    /// The serial number of the next connection. Connections opened from now on have this number or a higher one.
    pub(super) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    // --- connections are opened and removed ---

    #[inline]
    pub(super) fn lists(&self, server: u16) -> &Lists {
        &self.servers[usize::from(server)].lists
    }

    /// For noting what a connection can be used for. Changes with further effects have methods of the pool.
    #[inline]
    pub(super) fn lists_mut(&mut self, server: u16) -> &mut Lists {
        &mut self.servers[usize::from(server)].lists
    }

    /// Counts a connection that is being opened to a server. Returns its serial number and the slots expected of it.
    pub(super) fn dial(&mut self, server: usize, keep_connections: bool) -> (u64, Expected) {
        let of = &mut self.servers[server];
        let is_late = of.health.is_down();
        let expected = Expected {
            // A server that was down is tried in parallel to the requests: they need not wait for the result.
            slots: match is_late {
                false if keep_connections => of.capabilities.max_requests(),
                false => 1,
                true => 0,
            },
            is_late,
        };
        of.lists.dial(is_late);
        self.late += usize::from(is_late);
        self.loads[server] += 1;
        self.expected_slots += expected.slots as usize;
        self.next_serial += 1;
        (self.next_serial - 1, expected)
    }

    /// A connection has become late: only requests to its own server still wait for it.
    pub(super) fn note_late(&mut self, server: u16, expected: Expected) {
        self.expected_slots -= expected.slots as usize;
        self.servers[usize::from(server)].lists.note_late();
        self.late += 1;
    }

    /// A connection is no longer being opened.
    pub(super) fn dial_over(&mut self, server: u16, expected: Expected) {
        let server = usize::from(server);
        self.expected_slots -= expected.slots as usize;
        self.servers[server].lists.dial_over(expected.is_late);
        self.late -= usize::from(expected.is_late);
        self.loads[server] -= 1;
    }

    /// A connect succeeded. Returns the most requests that the connection may have at a time.
    pub(super) fn connected(&mut self, server: u16, config: &Config) -> u32 {
        let server = usize::from(server);
        let of = &mut self.servers[server];
        if of.health.connected() {
            // Another program may listen there now.
            of.capabilities.reset_ids();
            if of.capabilities.may_be_probed_again()
                && config.multiplex.is_auto()
                && config.keep_connections
            {
                of.capabilities.reset_capacity();
                self.set_multiplexing(server, Multiplexing::Unknown);
            }
        }
        self.max_requests(server as u16, config.keep_connections)
    }

    /// The most requests that a connection to a server may have at a time.
    pub(super) fn max_requests(&self, server: u16, keep_connections: bool) -> u32 {
        let of = &self.servers[usize::from(server)].capabilities;
        if keep_connections {
            of.max_requests()
        } else {
            1
        }
    }

    /// Removes a connection that is no longer being opened.
    pub(super) fn remove(&mut self, server: u16, key: u32, handle: ConnectionHandle) {
        let of = &mut self.servers[usize::from(server)];
        of.lists.remove(key);
        of.preempt.remove(handle);
    }

    /// Takes a connection off the lists: it gets no further request.
    pub(super) fn withdraw(&mut self, server: u16, key: u32) {
        let lists = self.lists_mut(server);
        lists.remove_idle(key);
        lists.remove_shareable(key);
    }

    /// Adds a connection without a request to the idle list.
    #[inline]
    pub(super) fn add_idle(&mut self, server: u16, key: u32, config: &Config) {
        let of = &mut self.servers[usize::from(server)];
        of.lists.add_idle(key);
        let limits = &config.limits;
        self.is_unsettled |= of.lists.idle_len() > limits.max_idle_per_server
            || of.exceeds(limits.max_connections_per_server);
    }

    /// Whether there is an idle connection to any server.
    pub(super) fn has_idle(&self) -> bool {
        self.servers.iter().any(|it| it.lists.idle_len() > 0)
    }

    /// Whether a connection is idle and one of the `kept` connections that are not closed for being idle.
    pub(super) fn is_kept_idle(&self, server: u16, key: u32, kept: usize) -> bool {
        let lists = self.lists(server);
        lists.idle_len() <= kept && lists.is_idle(key)
    }

    /// Whether a server has more connections than allowed.
    pub(super) fn has_too_many(&self, server: u16, config: &Config) -> bool {
        self.servers[usize::from(server)].exceeds(config.limits.max_connections_per_server)
    }

    /// Whether a server has more idle connections than allowed.
    pub(super) fn has_too_many_idle(&self, server: u16, config: &Config) -> bool {
        self.lists(server).idle_len() > config.limits.max_idle_per_server
    }

    // --- limits ---

    pub(super) fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }

    /// Requests a check of the limits.
    pub(super) fn unsettle(&mut self) {
        self.is_unsettled = true;
    }

    /// Whether a check of the limits was requested. Resets the request.
    pub(super) fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.is_unsettled)
    }

    // --- requests are assigned and released ---

    /// A request was assigned to a connection that had `others` requests before.
    #[inline(always)]
    pub(super) fn assigned(&mut self, server: u16, key: u32, others: u32) {
        let server = usize::from(server);
        self.first_choice = server + 1;
        self.loads[server] += 1;
        if others == 0 {
            self.servers[server].lists.remove_idle(key);
        }
    }

    /// A request has left its connection, which has now served `served` requests.
    #[inline]
    pub(super) fn released(&mut self, server: u16, served: u32) {
        let server = usize::from(server);
        self.loads[server] -= 1;
        self.servers[server].capabilities.note_served(served);
    }

    /// A connection is lost with `requests` requests.
    pub(super) fn lost(&mut self, server: u16, requests: u32) {
        self.loads[usize::from(server)] -= requests;
    }

    /// The number of queued requests for which a connection is being opened.
    #[inline]
    pub(super) fn expected(&self) -> usize {
        self.expected_slots + self.late
    }

    /// Whether the connections being opened suffice for all waiting requests. A late connect counts only for its own
    /// server: no request waits for it instead of using another server.
    #[inline]
    pub(super) fn is_enough(&self, server: usize, waiting: usize) -> bool {
        self.expected_slots + self.servers[server].lists.late() >= waiting
    }

    // --- failures ---

    /// A connect failed, or a connection was of no use. Connects in progress at the same time count as one failure.
    pub(super) fn connect_failed(
        &mut self,
        now: Time,
        serial: u64,
        failure: ConnectFailure,
        backoff: Backoff,
    ) {
        let ConnectFailure { server, error, .. } = failure;
        let health = &mut self.servers[usize::from(server)].health;
        if let Some(pause) = health.connect_failed(now, serial, self.next_serial, error, backoff) {
            debug!("server {server}: set aside for {pause:?}");
        }
        self.failures.push(failure);
        self.is_unsettled = true;
    }

    /// Takes a failure whose effect is not applied yet.
    pub(super) fn take_failure(&mut self) -> Option<ConnectFailure> {
        // Usually there is one; the order of several does not matter.
        self.failures.pop()
    }

    /// A server rejected a request for overload.
    pub(super) fn overloaded(&mut self, now: Time, server: u16, backoff: Backoff) {
        let health = &mut self.servers[usize::from(server)].health;
        let pause = health.overloaded(now, backoff);
        debug!("server {server}: set aside for {pause:?}");
    }

    /// A server completed a request.
    #[inline]
    pub(super) fn completed(&mut self, server: u16) {
        self.servers[usize::from(server)].health.completed();
    }

    /// This side had no descriptor, port or memory for a connect. Returns the pause before the next try.
    pub(super) fn ran_short(&mut self, now: Time, server: u16, backoff: Backoff) -> Duration {
        let health = &mut self.servers[usize::from(server)].health;
        self.short += usize::from(!health.waits_for_resources());
        health.ran_short(now, backoff)
    }

    /// Ends all shortages: a socket of this client was closed, so that its resources are free again.
    pub(super) fn end_shortages(&mut self) {
        if self.short > 0 {
            for server in &mut self.servers {
                server.health.end_shortage();
            }
            self.short = 0;
        }
    }

    /// A connection ended before it served. Without a pause, `min_idle_per_server` would open and lose others in a loop.
    pub(super) fn pause_refill(&mut self, now: Time, server: u16, backoff: Backoff) {
        self.servers[usize::from(server)]
            .health
            .pause_refill(now, backoff);
    }

    /// Why the last connect to each server failed. `None` for a server whose last connect succeeded.
    pub(super) fn last_errors(&self) -> impl Iterator<Item = Option<ConnectError>> + '_ {
        self.servers.iter().map(|it| it.health.last_error())
    }

    /// Why the last connect to the first server failed, if the last connect to every server failed.
    pub(super) fn error_of_all(&self) -> Option<ConnectError> {
        let mut errors = self.last_errors();
        let first = errors.next()?;
        first.filter(|_| errors.all(|it| it.is_some()))
    }

    /// Whether at least one server is neither down nor overloaded.
    pub(super) fn has_usable_server(&self, now: Time) -> bool {
        self.servers.iter().any(|it| !it.health.is_backing_off(now))
    }

    /// Ends the pauses of a server that have expired.
    pub(super) fn end_pauses(&mut self, now: Time, server: usize) {
        let was_short = self.servers[server].health.end_pauses(now);
        self.short -= usize::from(was_short);
    }

    /// When a pause of a server expires or a connection to it may have to be preempted, whichever is next.
    pub(super) fn next_due(&self, server: usize, now: Time) -> Option<Time> {
        let of = &self.servers[server];
        let preempts = of.preempt.next_due().filter(|at| *at > now);
        of.health.next_due(now).into_iter().chain(preempts).min()
    }

    // --- capabilities of a server ---

    #[inline]
    pub(super) fn known(&self, server: u16) -> &Capabilities {
        &self.servers[usize::from(server)].capabilities
    }

    /// For noting what was learned about a server. Changes with consequences for connections have methods of the pool.
    pub(super) fn known_mut(&mut self, server: u16) -> &mut Capabilities {
        &mut self.servers[usize::from(server)].capabilities
    }

    pub(super) fn unprobed(&self) -> usize {
        self.unprobed
    }

    /// Records whether requests may share a connection to a server, or that a probe is on its way.
    pub(super) fn set_multiplexing(&mut self, server: usize, multiplexing: Multiplexing) {
        let of = &mut self.servers[server].capabilities;
        let before = of.set_multiplexing(multiplexing);
        self.unprobed -= usize::from(before == Multiplexing::Unknown);
        self.unprobed += usize::from(multiplexing == Multiplexing::Unknown);
    }

    /// Applies the values that a server reported. Returns the most requests that a connection to it may have.
    pub(super) fn apply_capabilities(&mut self, server: u16, values: ServerValues) -> u32 {
        let server = usize::from(server);
        let of = &mut self.servers[server].capabilities;
        let multiplexing = of.apply(values);
        self.is_unsettled |= of.limits_connections();
        self.set_multiplexing(server, multiplexing);
        debug!("server {server}: {values:?}, so {multiplexing:?}");
        multiplexing.max_requests()
    }

    /// A connection was lost with an unanswered request whose ID was not 1.
    pub(super) fn other_id_unanswered(&mut self, server: u16) {
        let of = &mut self.servers[usize::from(server)].capabilities;
        of.other_id_unanswered(server);
        self.is_unsettled = true;
    }

    /// The application answers only requests with ID 1.
    pub(super) fn knows_only_id_1(&mut self, server: u16) {
        let of = &mut self.servers[usize::from(server)].capabilities;
        of.knows_only_id_1(server);
        self.is_unsettled = true;
    }

    /// Whether each connection to a server serves one request only: its application answers everything with ID 1, so
    /// that two consecutive requests could not be told apart.
    pub(super) fn serves_once(&self, server: u16, config: &Config) -> bool {
        self.known(server).ids() == KnownIds::OnlyOne && config.request_ids == RequestIds::Distinct
    }

    /// A connection received the first byte for the first request since it was last idle.
    #[inline]
    pub(super) fn answered(&mut self, server: u16, reply: FirstReply) {
        let of = &mut self.servers[usize::from(server)];
        if reply.request_id != 1 {
            of.capabilities.answers_any_id();
        }
        if let Some(waited) = reply.waited {
            of.preempt.note_first_byte(waited);
        }
    }

    // --- connections that wait for their first byte ---

    /// A new connection has its first request. If no byte has come after `wait`, another connection may be preempted.
    pub(super) fn await_first_byte(
        &mut self,
        now: Time,
        server: u16,
        connection: ConnectionHandle,
        wait: Duration,
    ) {
        self.servers[usize::from(server)]
            .preempt
            .await_first_byte(now, connection, wait);
    }

    /// Whether a new connection to a server is waiting for its first byte.
    #[inline]
    pub(super) fn awaits_first_byte(&self, server: u16) -> bool {
        !self.servers[usize::from(server)].preempt.is_empty()
    }

    /// Whether a connection to a server must be closed now so that its process can serve a waiting connection, see
    /// [`Config::preempt_idle_after`].
    pub(super) fn must_preempt(
        &mut self,
        now: Time,
        server: u16,
        connections: &Slab<Connection>,
    ) -> bool {
        self.servers[usize::from(server)]
            .preempt
            .must_preempt(now, connections)
    }
}

impl Server {
    fn max_connections(&self, limits: &Limits) -> usize {
        let limit = limits.max_connections_per_server;
        self.capabilities.max_connections(limit)
    }

    /// Whether the server has more connections than allowed.
    fn exceeds(&self, limit: usize) -> bool {
        self.lists.total() > self.capabilities.max_connections(limit)
    }
}
