//! One server: its share of the requests, its connections, and what is known about it.

use std::time::Duration;

use super::backoff::Health;
use super::capabilities::{Capabilities, Multiplexing};
use super::lists::Lists;
use super::preempt::Preempt;
use super::{Connection, Time};
use crate::address::Address;
use crate::config::RequestIds;
use crate::engine::server_info::ServerInfo;
use crate::event::ConnectionHandle;
use crate::limits::Limits;
use crate::server::{ServerId, ServerMode};

#[derive(Debug)]
pub(crate) struct Server {
    id: ServerId,
    address: Address,
    weight: u16,
    mode: ServerMode,
    /// Whether the embedder has removed the server. Its requests in flight finish.
    is_removed: bool,
    /// When the server's next turn begins, in a time that passes with the requests: each request puts it off, by less
    /// for a greater weight.
    turn: u64,
    /// Requests that were put on a connection. A request that is sent again counts again.
    assigned: u64,
    /// Requests that the application has completed.
    completed: u64,
    lists: Lists,
    health: Health,
    capabilities: Capabilities,
    preempt: Preempt,
    /// When the server was last checked, or found to need no check.
    checked: Option<Time>,
    /// The connection of the last check.
    check: Option<ConnectionHandle>,
    /// `completed` at that time.
    completed_then: u64,
}

/// By how much a request puts off the next turn of a server of weight 1.
const STRIDE: u64 = 1 << 16;

impl Server {
    pub(super) fn new(id: ServerId, server: &crate::Server, multiplexing: Multiplexing) -> Self {
        Self {
            id,
            address: server.address.clone(),
            weight: server.weight,
            mode: server.mode,
            is_removed: false,
            turn: 0,
            assigned: 0,
            completed: 0,
            lists: Lists::default(),
            health: Health::default(),
            capabilities: Capabilities::new(multiplexing),
            preempt: Preempt::default(),
            checked: None,
            check: None,
            completed_then: 0,
        }
    }

    #[inline]
    pub(super) fn lists(&self) -> &Lists {
        &self.lists
    }

    #[inline]
    pub(super) fn lists_mut(&mut self) -> &mut Lists {
        &mut self.lists
    }

    #[inline]
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    #[inline]
    pub(super) fn health_mut(&mut self) -> &mut Health {
        &mut self.health
    }

    #[inline]
    pub(super) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    #[inline]
    pub(super) fn capabilities_mut(&mut self) -> &mut Capabilities {
        &mut self.capabilities
    }

    #[inline]
    pub(super) fn preempt(&self) -> &Preempt {
        &self.preempt
    }

    #[inline]
    pub(super) fn preempt_mut(&mut self) -> &mut Preempt {
        &mut self.preempt
    }

    #[inline]
    pub(super) fn id(&self) -> ServerId {
        self.id
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn weight(&self) -> u16 {
        self.weight
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    #[inline]
    pub(super) fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// Whether the server gets the requests of a mode.
    #[inline]
    pub(super) fn serves(&self, mode: ServerMode) -> bool {
        self.mode == mode && !self.is_removed
    }

    /// Whether the server gets no request but those that name it.
    #[inline]
    pub(super) fn is_leaving(&self) -> bool {
        self.is_removed || self.mode == ServerMode::Draining
    }

    /// Whether the server neither refuses connections nor is overloaded.
    pub(super) fn is_up(&self, now: Time) -> bool {
        !self.health.is_down() && !self.health.is_backing_off(now)
    }

    /// Takes over the weight and the mode of a server in a new list. `multiplexing` is what is known at first.
    pub(super) fn update(&mut self, server: &crate::Server, multiplexing: Multiplexing) {
        self.weight = server.weight;
        self.mode = server.mode;
        if std::mem::take(&mut self.is_removed) {
            self.forget(multiplexing);
        }
    }

    /// Another program may listen there now. `multiplexing` is what is known at first.
    pub(super) fn forget(&mut self, multiplexing: Multiplexing) {
        let known = &mut self.capabilities;
        known.reset_ids();
        if known.may_be_probed_again() && multiplexing == Multiplexing::Unknown {
            known.reset_capacity();
            known.set_multiplexing(multiplexing);
        }
    }

    pub(super) fn remove(&mut self) {
        self.is_removed = true;
        self.health.end_shortage();
        // Nothing is to be learned any more.
        if self.capabilities.multiplexing() == Multiplexing::Unknown {
            self.capabilities.set_multiplexing(Multiplexing::Single);
        }
    }

    #[inline]
    pub(super) fn note_assigned(&mut self) {
        self.assigned += 1;
    }

    /// The server gets a request in its turn, which begins no earlier than `earliest`. Returns the turn.
    pub(super) fn take_turn(&mut self, earliest: u64) -> u64 {
        let turn = self.turn.max(earliest);
        self.turn = turn + STRIDE / u64::from(self.weight);
        turn
    }

    #[inline]
    pub(super) fn note_completed(&mut self) {
        self.completed += 1;
        self.health.completed();
    }

    #[inline]
    fn max_connections(&self, limits: &Limits) -> usize {
        let limit = limits.max_connections_per_server;
        self.capabilities.max_connections(limit)
    }

    /// The most connections to the server, for requests or with the one that is kept for probes. While a probe runs, it
    /// holds that one or another one.
    #[inline]
    pub(super) fn most(&self, is_probe: bool, limits: &Limits) -> usize {
        let most = self.max_connections(limits);
        match limits.reserve_for_get_values && !is_probe && !self.capabilities.is_probed() {
            true => most.saturating_sub(1).max(1),
            false => most,
        }
    }

    /// Whether the server has more connections than allowed.
    #[inline]
    pub(super) fn exceeds(&self, limits: &Limits) -> bool {
        self.lists.total() > self.most(false, limits)
    }

    /// Whether the server has more idle connections than allowed.
    #[inline]
    pub(super) fn has_too_many_idle(&self, limits: &Limits) -> bool {
        let most = match self.is_leaving() {
            true => 0,
            false => limits.max_idle_per_server,
        };
        self.lists.idle_len() > most
    }

    /// When the next check is due; `interval` is not zero.
    pub(super) fn next_check(&self, now: Time, interval: Duration) -> Option<Time> {
        match self.checked {
            Some(checked) => checked.checked_add(interval),
            None => Some(now),
        }
    }

    pub(super) fn check(&self) -> Option<ConnectionHandle> {
        self.check
    }

    pub(super) fn set_check(&mut self, connection: ConnectionHandle) {
        self.check = Some(connection);
    }

    /// A check is due. Returns whether it is to be made: nothing has shown since the last one that the server is alive.
    pub(super) fn begin_check(&mut self, now: Time) -> bool {
        self.checked = Some(now);
        self.completed == std::mem::replace(&mut self.completed_then, self.completed)
    }

    /// Whether a request that must not be sent twice may use an idle connection.
    #[inline]
    pub(super) fn is_safe(&self, now: Time, connection: &Connection, ids: RequestIds) -> bool {
        let served = connection.served();
        let known = &self.capabilities;
        served == 0
            || (!known.is_about_to_close(now, served, connection.last_activity())
                && (known.takes_other_ids()
                    || connection.max_requests() > 1
                    || ids == RequestIds::AlwaysOne))
    }

    /// The server as an item of a list; `load` is the number of its requests and of its connections being opened.
    pub(super) fn info(&self, now: Time, load: u32) -> ServerInfo<'_> {
        let requests = (load as usize).saturating_sub(self.lists.connecting());
        ServerInfo {
            server: self.id,
            address: &self.address,
            weight: self.weight,
            mode: self.mode,
            is_removed: self.is_removed,
            connections: self.lists.total(),
            connecting: self.lists.connecting(),
            idle: self.lists.idle_len(),
            requests,
            assigned: self.assigned,
            completed: self.completed,
            connect_error: self.health.last_error(),
            set_aside_for: self.health.set_aside_for(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backoff;

    fn server(multiplexing: Multiplexing) -> Server {
        let address: Address = "127.0.0.1:9000".parse().expect("an address");
        Server::new(ServerId::new(0), &address.into(), multiplexing)
    }

    #[test]
    fn an_overloaded_server_is_not_up_although_it_can_be_connected_to() {
        let mut server = server(Multiplexing::Single);
        assert!(server.is_up(Time::START));
        let backoff = Backoff::default();
        server.health_mut().overloaded(Time::START, backoff);
        assert!(!server.health().is_down() && !server.is_up(Time::START));
        assert!(server.is_up(Time::START + backoff.max));
    }

    #[test]
    fn nothing_is_to_be_learned_of_a_server_that_was_removed() {
        for (known, then) in [
            (Multiplexing::Unknown, Multiplexing::Single),
            (Multiplexing::Limited(9), Multiplexing::Limited(9)),
        ] {
            let mut server = server(known);
            server.remove();
            assert_eq!(server.capabilities().multiplexing(), then);
        }
    }
}
