//! The pool: which connection a request gets, when one is opened, and which connections are too many.
//!
//! The pool keeps, for each server, the lists of its connections ([`lists`]), what went wrong with it ([`backoff`]), what is
//! known of it ([`capabilities`]) and who waits for its first byte ([`preempt`]). It reads connections and writes only
//! itself: what has to be done to a connection or a request comes back as a value. [`placement`] decides who goes where.

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
use crate::config::{Backoff, Config, Limits, Multiplex, RequestIds};
use crate::error::ConnectError;
use crate::event::{ConnectionHandle, ServerValues};
use backoff::Health;
use capabilities::Capabilities;
use lists::Lists;
use preempt::Preempt;

/// All servers, and the sums over them that each request looks at.
#[derive(Debug)]
pub(super) struct Pool {
    servers: Vec<Server>,
    /// By server: the requests on its connections and the connections being opened. Apart from the rest, because each
    /// request looks for the least: spares 590 of 7,050 instructions among 64 servers.
    loads: Vec<u32>,
    /// Where the search for a server begins, so that equals take turns.
    first_choice: usize,
    /// Requests that the connections being opened will have room for.
    expected_slots: usize,
    /// Connections that have been opening for so long that only their own server waits for them.
    late: usize,
    /// Servers for which this side had no descriptor, port or memory.
    short: usize,
    /// Servers that were not asked yet whether they multiplex.
    unprobed: usize,
    /// The number of the next connection.
    next_serial: u64,
    /// There may be more connections, or idle ones, than the limits allow, or requests that no server can be had for.
    is_unsettled: bool,
    /// Connections that could not be had, and that requests wait for.
    failures: Vec<ConnectFailure>,
}

/// A connection to a server could not be had, or was of no use.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectFailure {
    pub(super) server: u16,
    /// Requests that came later did not wait for it.
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
            // Of no use where each connection serves one request.
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

    /// The number that the next connection will have: what is opened from now on has this one or a later one.
    pub(super) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    // --- connections come and go ---

    #[inline]
    pub(super) fn lists(&self, server: u16) -> &Lists {
        &self.servers[usize::from(server)].lists
    }

    /// To note what a connection to a server can be used for. What has consequences beyond that is told the pool.
    #[inline]
    pub(super) fn lists_mut(&mut self, server: u16) -> &mut Lists {
        &mut self.servers[usize::from(server)].lists
    }

    /// A connection to a server is being opened: its number, and what is expected of it.
    pub(super) fn dial(&mut self, server: usize, keep_connections: bool) -> (u64, Expected) {
        let of = &mut self.servers[server];
        let is_late = of.health.is_down();
        let expected = Expected {
            // Whether a server that was down is back is found out beside the requests: they need not wait for it.
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

    /// A connection has been opening for so long that only its own server waits for it.
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

    /// A connect succeeded; the most requests that the connection may have at a time.
    pub(super) fn connected(&mut self, server: u16, config: &Config) -> u32 {
        let server = usize::from(server);
        let of = &mut self.servers[server];
        if of.health.connected() {
            // What listens there now may be another program.
            of.capabilities.forget_ids();
            if of.capabilities.may_be_asked_again()
                && config.multiplex.is_auto()
                && config.keep_connections
            {
                of.capabilities.forget_capacity();
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

    /// A connection is gone; it is no longer being opened.
    pub(super) fn remove(&mut self, server: u16, key: u32, handle: ConnectionHandle) {
        let of = &mut self.servers[usize::from(server)];
        of.lists.remove(key);
        of.preempt.remove(handle);
    }

    /// A connection takes no further request.
    pub(super) fn withdraw(&mut self, server: u16, key: u32) {
        let lists = self.lists_mut(server);
        lists.remove_idle(key);
        lists.remove_shareable(key);
    }

    /// A connection without a request may be handed out.
    #[inline]
    pub(super) fn add_idle(&mut self, server: u16, key: u32, config: &Config) {
        let of = &mut self.servers[usize::from(server)];
        of.lists.add_idle(key);
        let limits = &config.limits;
        self.is_unsettled |= of.lists.idle_len() > limits.max_idle_per_server
            || of.exceeds(limits.max_connections_per_server);
    }

    /// Whether there is an idle connection, to whichever server.
    pub(super) fn has_idle(&self) -> bool {
        self.servers.iter().any(|it| it.lists.idle_len() > 0)
    }

    /// Whether a connection is idle, and among the `kept` that stay whatever their age.
    pub(super) fn is_kept_idle(&self, server: u16, key: u32, kept: usize) -> bool {
        let lists = self.lists(server);
        lists.idle_len() <= kept && lists.is_idle(key)
    }

    /// Whether a server has more connections than it may have.
    pub(super) fn has_too_many(&self, server: u16, config: &Config) -> bool {
        self.servers[usize::from(server)].exceeds(config.limits.max_connections_per_server)
    }

    /// Whether a server has more idle connections than it may have.
    pub(super) fn has_too_many_idle(&self, server: u16, config: &Config) -> bool {
        self.lists(server).idle_len() > config.limits.max_idle_per_server
    }

    // --- what is too many ---

    pub(super) fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }

    /// The limits are to be looked at.
    pub(super) fn unsettle(&mut self) {
        self.is_unsettled = true;
    }

    /// Whether the limits are to be looked at; no longer, after this.
    pub(super) fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.is_unsettled)
    }

    // --- requests come and go ---

    /// A request was put on a connection that had `others` before.
    #[inline(always)]
    pub(super) fn assigned(&mut self, server: u16, key: u32, others: u32) {
        let server = usize::from(server);
        self.first_choice = server + 1;
        self.loads[server] += 1;
        if others == 0 {
            self.servers[server].lists.remove_idle(key);
        }
    }

    /// A request has left its connection, which has served so many.
    #[inline]
    pub(super) fn released(&mut self, server: u16, served: u32) {
        let server = usize::from(server);
        self.loads[server] -= 1;
        self.servers[server].capabilities.note_served(served);
    }

    /// A connection is lost with so many requests.
    pub(super) fn lost(&mut self, server: u16, requests: u32) {
        self.loads[usize::from(server)] -= requests;
    }

    /// Requests that the connections being opened are for.
    #[inline]
    pub(super) fn expected(&self) -> usize {
        self.expected_slots + self.late
    }

    /// Whether what is being opened has room for all that wait. A connect that hangs counts for its own server only: it
    /// holds nobody back from another.
    #[inline]
    pub(super) fn is_enough(&self, server: usize, waiting: usize) -> bool {
        self.expected_slots + self.servers[server].lists.late() >= waiting
    }

    // --- what went wrong ---

    /// A connection could not be had, or was of no use. Connects that were under way together count as one failure.
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

    /// The next connection that could not be had.
    pub(super) fn take_failure(&mut self) -> Option<ConnectFailure> {
        // As a rule there is one; the order among more says nothing.
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

    /// This side had nothing to connect to a server with; how long that is waited for.
    pub(super) fn ran_short(&mut self, now: Time, server: u16, backoff: Backoff) -> Duration {
        let health = &mut self.servers[usize::from(server)].health;
        self.short += usize::from(!health.waits_for_resources());
        health.ran_short(now, backoff)
    }

    /// A socket of this client's was closed: what it took may serve another.
    pub(super) fn end_shortages(&mut self) {
        if self.short > 0 {
            for server in &mut self.servers {
                server.health.end_shortage();
            }
            self.short = 0;
        }
    }

    /// A connection has ended before it served. Another one that `min_idle_per_server` asks for would be opened and lost without a
    /// pause.
    pub(super) fn pause_refill(&mut self, now: Time, server: u16, backoff: Backoff) {
        self.servers[usize::from(server)]
            .health
            .pause_refill(now, backoff);
    }

    /// Why the last connect to each server failed, where none has succeeded since.
    pub(super) fn last_errors(&self) -> impl Iterator<Item = Option<ConnectError>> + '_ {
        self.servers.iter().map(|it| it.health.last_error())
    }

    /// Why the last connect to the first server failed, where none has succeeded since with any.
    pub(super) fn error_of_all(&self) -> Option<ConnectError> {
        let mut errors = self.last_errors();
        let first = errors.next()?;
        first.filter(|_| errors.all(|it| it.is_some()))
    }

    /// Whether some server is neither down nor overloaded.
    pub(super) fn has_usable_server(&self, now: Time) -> bool {
        self.servers.iter().any(|it| !it.health.is_aside(now))
    }

    /// Pauses that are over end.
    pub(super) fn end_pauses(&mut self, now: Time, server: usize) {
        let was_short = self.servers[server].health.end_pauses(now);
        self.short -= usize::from(was_short);
    }

    /// When a server is to be looked at next.
    pub(super) fn next_due(&self, server: usize, now: Time) -> Option<Time> {
        let of = &self.servers[server];
        let preempts = of.preempt.next_due().filter(|at| *at > now);
        of.health.next_due(now).into_iter().chain(preempts).min()
    }

    // --- what is known of a server ---

    #[inline]
    pub(super) fn known(&self, server: u16) -> &Capabilities {
        &self.servers[usize::from(server)].capabilities
    }

    /// To note what was learned of a server. What has consequences for connections is told the pool.
    pub(super) fn known_mut(&mut self, server: u16) -> &mut Capabilities {
        &mut self.servers[usize::from(server)].capabilities
    }

    pub(super) fn unprobed(&self) -> usize {
        self.unprobed
    }

    /// Whether requests may share a connection to a server has become known, or is asked.
    pub(super) fn set_multiplexing(&mut self, server: usize, multiplexing: Multiplexing) {
        let of = &mut self.servers[server].capabilities;
        let before = of.set_multiplexing(multiplexing);
        self.unprobed -= usize::from(before == Multiplexing::Unknown);
        self.unprobed += usize::from(multiplexing == Multiplexing::Unknown);
    }

    /// Takes over what a server says of itself; the most requests a connection to it may have.
    pub(super) fn apply_capabilities(&mut self, server: u16, values: ServerValues) -> u32 {
        let server = usize::from(server);
        let of = &mut self.servers[server].capabilities;
        let multiplexing = of.apply(values);
        self.is_unsettled |= of.limits_connections();
        self.set_multiplexing(server, multiplexing);
        debug!("server {server}: {values:?}, so {multiplexing:?}");
        multiplexing.max_requests()
    }

    /// A connection was lost with a request whose ID was not 1 and that was not answered.
    pub(super) fn other_id_unanswered(&mut self, server: u16) {
        let of = &mut self.servers[usize::from(server)].capabilities;
        of.other_id_unanswered(server);
        self.is_unsettled = true;
    }

    /// The application answers requests with ID 1 only.
    pub(super) fn knows_only_id_1(&mut self, server: u16) {
        let of = &mut self.servers[usize::from(server)].capabilities;
        of.knows_only_id_1(server);
        self.is_unsettled = true;
    }

    /// Whether each connection to a server serves one request, because its application answers with ID 1 only and two
    /// requests that follow each other could not be told apart.
    pub(super) fn serves_once(&self, server: u16, config: &Config) -> bool {
        self.known(server).ids() == KnownIds::OnlyOne && config.request_ids == RequestIds::Distinct
    }

    /// The first byte has come for the first request since a connection was idle.
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

    /// A new connection has its first request: in `wait` it should have been answered.
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

    /// Whether a new connection to a server waits for its first byte.
    #[inline]
    pub(super) fn awaits_first_byte(&self, server: u16) -> bool {
        !self.servers[usize::from(server)].preempt.is_empty()
    }

    /// Whether a connection to a server is to be closed so that its process can turn to one that waits, see
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

    /// Whether it has more connections than it may have.
    fn exceeds(&self, limit: usize) -> bool {
        self.lists.total() > self.capabilities.max_connections(limit)
    }
}
