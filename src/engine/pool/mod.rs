//! The pool: which connection a request gets, when a connection is opened, and which connections exceed the limits.
//!
//! For each server the pool keeps the lists of its connections ([`lists`]), its failures and pauses ([`backoff`]), its
//! capabilities ([`capabilities`]) and the new connections that wait for their first byte ([`preempt`]). The pool reads
//! connections and changes only itself: changes to a connection or a request are returned as values. [`placement`]
//! chooses the connection for a request.

mod backoff;
mod capabilities;
mod expected;
#[cfg(debug_assertions)]
mod invariants;
mod limits;
mod lists;
mod placement;
mod preempt;
mod server;
mod servers;
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
use capabilities::Capabilities;
use lists::Lists;
use server::Server;
use servers::Servers;

/// All servers, and sums over them that are needed for each request.
#[derive(Debug)]
pub(super) struct Pool {
    servers: Servers,
    /// The number of requests that the connections being opened can take.
    expected_slots: usize,
    /// Whether a server has not answered a check at some time.
    has_hung: bool,
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
    /// The most connections that the driver can hold.
    capacity: usize,
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

impl Pool {
    pub(super) fn new(config: &Config) -> Self {
        let multiplexing = multiplexing_at_first(config);
        let servers = Servers::new(&config.servers, multiplexing);
        let is_unknown = multiplexing == Multiplexing::Unknown;
        Self {
            expected_slots: 0,
            has_hung: false,
            late: 0,
            short: 0,
            unprobed: if is_unknown { servers.len() } else { 0 },
            next_serial: 0,
            is_unsettled: false,
            capacity: usize::MAX,
            failures: Vec::new(),
            servers,
        }
    }

    // --- the list of servers ---

    /// Replaces the servers, see [`Servers::set`].
    pub(super) fn set_servers(
        &mut self,
        config: &Config,
        list: &[crate::Server],
    ) -> Option<Vec<u16>> {
        let leaving = self.servers.set(list, multiplexing_at_first(config))?;
        let all = || self.servers.iter();
        let is_unknown = |it: &&Server| it.capabilities().multiplexing() == Multiplexing::Unknown;
        self.unprobed = all().filter(is_unknown).count();
        self.short = all().filter(|it| it.health().waits_for_resources()).count();
        self.is_unsettled = true;
        Some(leaving)
    }

    /// The servers, for reading.
    #[inline]
    pub(super) fn servers(&self) -> &Servers {
        &self.servers
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
        self.servers[usize::from(server)].lists()
    }

    /// For noting what a connection can be used for. Changes with further effects have methods of the pool.
    #[inline]
    pub(super) fn lists_mut(&mut self, server: u16) -> &mut Lists {
        self.servers[usize::from(server)].lists_mut()
    }

    /// Counts a connection that is being opened to a server. Returns its serial number and the slots expected of it.
    pub(super) fn dial(&mut self, server: usize, keep_connections: bool) -> (u64, Expected) {
        let of = &mut self.servers[server];
        let is_late = of.health().is_down();
        let expected = Expected {
            // A server that was down is tried in parallel to the requests: they need not wait for the result.
            slots: match is_late {
                false if keep_connections => of.capabilities().max_requests(),
                false => 1,
                true => 0,
            },
            is_late,
        };
        of.lists_mut().dial(expected);
        self.late += usize::from(is_late);
        self.servers.add_load(server);
        self.expected_slots += expected.slots as usize;
        self.next_serial += 1;
        (self.next_serial - 1, expected)
    }

    /// Counts a connection that is being opened to a server and that no request waits for. Returns its serial number and
    /// what is expected of it: nothing.
    pub(super) fn dial_unexpected(&mut self, server: usize) -> (u64, Expected) {
        let expected = Expected::default();
        self.servers[server].lists_mut().dial(expected);
        self.servers.add_load(server);
        self.next_serial += 1;
        (self.next_serial - 1, expected)
    }

    /// A connection has become late: only requests to its own server still wait for it.
    pub(super) fn note_late(&mut self, server: u16, expected: Expected) {
        self.expected_slots -= expected.slots as usize;
        let lists = self.servers[usize::from(server)].lists_mut();
        lists.note_late(expected);
        self.late += 1;
    }

    /// A connection is no longer being opened.
    pub(super) fn dial_over(&mut self, server: u16, expected: Expected) {
        let server = usize::from(server);
        self.expected_slots -= expected.slots as usize;
        self.servers[server].lists_mut().dial_over(expected);
        self.late -= usize::from(expected.is_late);
        self.servers.remove_load(server, 1);
    }

    /// A connect succeeded. Returns the most requests that the connection may have at a time.
    pub(super) fn connected(&mut self, server: u16, config: &Config) -> u32 {
        let server = usize::from(server);
        let of = &mut self.servers[server];
        if of.health_mut().connected() {
            let is_known = of.capabilities().multiplexing() != Multiplexing::Unknown;
            of.forget(multiplexing_at_first(config));
            let is_unknown = of.capabilities().multiplexing() == Multiplexing::Unknown;
            self.unprobed += usize::from(is_known && is_unknown);
        }
        self.max_requests(server as u16, config.keep_connections)
    }

    /// The most requests that a connection to a server may have at a time.
    pub(super) fn max_requests(&self, server: u16, keep_connections: bool) -> u32 {
        let of = self.servers[usize::from(server)].capabilities();
        if keep_connections {
            of.max_requests()
        } else {
            1
        }
    }

    /// Removes a connection that is no longer being opened.
    pub(super) fn remove(&mut self, server: u16, key: u32, handle: ConnectionHandle) {
        let of = &mut self.servers[usize::from(server)];
        of.lists_mut().remove(key);
        of.preempt_mut().remove(handle);
    }

    /// Takes a connection off the lists: it gets no further request.
    pub(super) fn withdraw(&mut self, server: u16, key: u32) {
        let lists = self.lists_mut(server);
        lists.remove_idle(key);
        lists.remove_shareable(key);
    }

    /// Adds a connection without a request to the idle list.
    #[inline(always)]
    pub(super) fn add_idle(&mut self, server: u16, key: u32, config: &Config) {
        let of = &mut self.servers[usize::from(server)];
        of.lists_mut().add_idle(key);
        self.is_unsettled |= of.has_too_many_idle(&config.limits) || of.exceeds(&config.limits);
    }

    /// Whether there is an idle connection to a server, or to any one.
    pub(super) fn has_idle_for(&self, server: Option<u16>) -> bool {
        match server {
            Some(server) => self.lists(server).idle_len() > 0,
            None => self.servers.iter().any(|it| it.lists().idle_len() > 0),
        }
    }

    // --- limits ---

    /// Limits the connections to what the driver can hold.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

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
        self.servers.note_assigned(server);
        if others == 0 {
            self.servers[server].lists_mut().remove_idle(key);
        }
    }

    /// A request has left its connection, which has now served `served` requests.
    #[inline]
    pub(super) fn released(&mut self, server: u16, served: u32) {
        let server = usize::from(server);
        self.servers.remove_load(server, 1);
        self.servers[server].capabilities_mut().note_served(served);
    }

    /// A connection is lost with `requests` requests.
    pub(super) fn lost(&mut self, server: u16, requests: u32) {
        self.servers.remove_load(usize::from(server), requests);
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
        let health = self.servers[usize::from(server)].health_mut();
        if let Some(pause) = health.connect_failed(now, serial, self.next_serial, error, backoff) {
            let server = self.servers.id_of(server);
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
        let health = self.servers[usize::from(server)].health_mut();
        let pause = health.overloaded(now, backoff);
        let server = self.servers.id_of(server);
        debug!("server {server}: set aside for {pause:?}");
    }

    /// A server completed a request.
    #[inline]
    pub(super) fn completed(&mut self, server: u16) {
        self.servers[usize::from(server)].note_completed();
    }

    /// This side had no descriptor, port or memory for a connect. Returns the pause before the next try.
    pub(super) fn ran_short(&mut self, now: Time, server: u16, backoff: Backoff) -> Duration {
        let health = self.servers[usize::from(server)].health_mut();
        self.short += usize::from(!health.waits_for_resources());
        health.ran_short(now, backoff)
    }

    /// Ends all shortages: a socket of this client was closed, so that its resources are free again.
    pub(super) fn end_shortages(&mut self) {
        if self.short > 0 {
            for server in self.servers.iter_mut() {
                server.health_mut().end_shortage();
            }
            self.short = 0;
        }
    }

    /// A connection ended before it served. Without a pause, `min_idle_per_server` would open and lose others in a loop.
    pub(super) fn pause_refill(&mut self, now: Time, server: u16, backoff: Backoff) {
        self.servers[usize::from(server)]
            .health_mut()
            .pause_refill(now, backoff);
    }

    /// Ends the pauses of a server that have expired.
    pub(super) fn end_pauses(&mut self, now: Time, server: usize) {
        let was_short = self.servers[server].health_mut().end_pauses(now);
        self.short -= usize::from(was_short);
    }

    /// When a pause of a server expires or a connection to it may have to be preempted, whichever is next.
    pub(super) fn next_due(&self, server: usize, now: Time) -> Option<Time> {
        let of = &self.servers[server];
        let preempts = of.preempt().next_due().filter(|at| *at > now);
        of.health().next_due(now).into_iter().chain(preempts).min()
    }

    // --- capabilities of a server ---

    #[inline]
    pub(super) fn known(&self, server: u16) -> &Capabilities {
        self.servers[usize::from(server)].capabilities()
    }

    /// For noting what was learned about a server. Changes with consequences for connections have methods of the pool.
    pub(super) fn known_mut(&mut self, server: u16) -> &mut Capabilities {
        self.servers[usize::from(server)].capabilities_mut()
    }

    pub(super) fn unprobed(&self) -> usize {
        self.unprobed
    }

    /// Records whether requests may share a connection to a server, or that a probe is on its way.
    pub(super) fn set_multiplexing(&mut self, server: usize, multiplexing: Multiplexing) {
        let of = self.servers[server].capabilities_mut();
        let before = of.set_multiplexing(multiplexing);
        self.unprobed -= usize::from(before == Multiplexing::Unknown);
        self.unprobed += usize::from(multiplexing == Multiplexing::Unknown);
    }

    /// A server has answered a probe.
    pub(super) fn answered_probe(&mut self, server: u16) {
        let of = &mut self.servers[usize::from(server)];
        of.capabilities_mut().note_answer();
        of.health_mut().answered();
    }

    /// Applies the values that a server reported. Returns the most requests that a connection to it may have.
    pub(super) fn apply_capabilities(&mut self, server: u16, values: ServerValues) -> u32 {
        let server = usize::from(server);
        let of = self.servers[server].capabilities_mut();
        let multiplexing = of.apply(values);
        if of.limits_connections() {
            self.is_unsettled = true;
        }
        self.set_multiplexing(server, multiplexing);
        let id = self.servers[server].id();
        debug!("server {id}: {values:?}, so {multiplexing:?}");
        multiplexing.max_requests()
    }

    /// A connection was lost with an unanswered request whose ID was not 1.
    pub(super) fn other_id_unanswered(&mut self, server: u16) {
        let of = self.servers[usize::from(server)].capabilities_mut();
        of.other_id_unanswered(server);
        self.is_unsettled = true;
    }

    /// The application answers only requests with ID 1.
    pub(super) fn knows_only_id_1(&mut self, server: u16) {
        let of = self.servers[usize::from(server)].capabilities_mut();
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
            of.capabilities_mut().answers_any_id();
        }
        if let Some(waited) = reply.waited {
            of.preempt_mut().note_first_byte(waited);
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
            .preempt_mut()
            .await_first_byte(now, connection, wait);
    }

    /// Whether a new connection to a server is waiting for its first byte.
    #[inline]
    pub(super) fn awaits_first_byte(&self, server: u16) -> bool {
        !self.servers[usize::from(server)].preempt().is_empty()
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
            .preempt_mut()
            .must_preempt(now, connections)
    }
}

/// What is known of a server's multiplexing before it has told anything.
fn multiplexing_at_first(config: &Config) -> Multiplexing {
    match config.multiplex {
        Multiplex::Off => Multiplexing::Single,
        Multiplex::On { max } => Multiplexing::Limited(max),
        // Multiplexing is of no use if each connection serves one request.
        Multiplex::Auto if !config.keep_connections => Multiplexing::Single,
        Multiplex::Auto => Multiplexing::Unknown,
    }
}
