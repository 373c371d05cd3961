//! Chooses the connection for a request.
//!
//! A server is chosen first: the one with the fewest requests for its weight among those that can take one and are not
//! backing off. Servers with equal load take turns. Backup servers are chosen only while no active server is up. A
//! request that names its server goes to that one. It then takes, in this order: (1) a shared connection with a free slot
//! that no paused request blocks, most recently freed first, so that the others drain; (2) the most recently used idle
//! connection; (3) a new connection, if the limit allows; (4) a blocked shared connection, unless another one is being
//! opened. A server where another connection would have to be closed for it is chosen last.
//!
//! There are exceptions for idle connections. A request whose connection turned out stale takes only a connection
//! opened after that. A request that must not be sent twice avoids an idle connection that has served as many requests
//! as the server closes its connections after: a new connection costs less than a request that is never answered. For
//! the same reason the first such request to a server avoids all connections that have served, while it is unknown
//! whether the application answers request IDs other than 1. If a new connection is not possible, the request takes one
//! of these after all.

use slab::Slab;

use super::{Connection, Pool, Server, Time};
use crate::config::Config;
use crate::server::ServerMode;

/// Where a queued request can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// To this connection.
    Use(u32),
    /// To this connection, although a paused request may keep it from being read.
    UseBlocked(u32),
    /// To a new connection, which is to be opened.
    Dial {
        server: usize,
    },
    /// To a new connection, once this unsuitable idle one is closed.
    Replace(u32),
    None,
}

/// The requirements of a request for its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeker {
    /// The server that the request names. Other requests may go to any server that takes requests.
    pub(crate) server: Option<u16>,
    /// Whether this is a probe, which needs a connection without a request.
    pub(crate) is_probe: bool,
    /// The lowest acceptable serial number of a connection.
    pub(crate) first_serial: u64,
    /// Whether the request must not be sent twice.
    pub(crate) runs_once: bool,
}

impl Placement {
    /// Whether a connection is closed for it: that is the last choice.
    fn closes_another(self) -> bool {
        matches!(self, Self::Replace(_))
    }
}

impl Pool {
    /// Chooses a placement; `waiting` is the number of requests that look for one.
    pub(crate) fn place(
        &self,
        now: Time,
        seeker: Seeker,
        waiting: usize,
        connections: &Slab<Connection>,
        config: &Config,
    ) -> Placement {
        if let Some(server) = seeker.server {
            return self.place_on(now, seeker, usize::from(server), connections, config);
        }
        if self.servers.len() == 1 && self.servers.is_uniform() {
            let placement = self.place_on(now, seeker, 0, connections, config);
            return self.unless_enough(placement, self.slots_for_any(now), 0, waiting);
        }
        self.place_on_any(now, seeker, waiting, connections, config)
    }

    /// Chooses among several servers.
    fn place_on_any(
        &self,
        now: Time,
        seeker: Seeker,
        waiting: usize,
        connections: &Slab<Connection>,
        config: &Config,
    ) -> Placement {
        let slots = self.slots_for_any(now);
        let place_on = |server| {
            let placement = self.place_on(now, seeker, server, connections, config);
            self.unless_enough(placement, slots, server, waiting)
        };
        if !self.servers.is_uniform() {
            return self.place_by_weight(now, place_on);
        }
        let count = self.servers.len();
        let start = self.servers.first_choice();
        // Usually the server with the least load has a place, and the others need not be checked.
        match self.servers.least_loaded(start).map(place_on) {
            Some(Placement::None | Placement::Replace(_)) | None => {}
            Some(placement) => return placement,
        }
        let mut best = Placement::None;
        let mut least = (true, u32::MAX);
        for server in (start..count).chain(0..start) {
            let load = self.servers.load(server);
            if (false, load) < least {
                let placement = place_on(server);
                let rank = (placement.closes_another(), load);
                if placement != Placement::None && rank < least {
                    least = rank;
                    best = placement;
                }
            }
        }
        best
    }

    /// Chooses among servers with modes and weights.
    fn place_by_weight(&self, now: Time, place_on: impl Fn(usize) -> Placement) -> Placement {
        match self.best_of(ServerMode::Active, &place_on) {
            Placement::None if !self.is_active_up(now) => {
                self.best_of(ServerMode::Backup, &place_on)
            }
            placement => placement,
        }
    }

    /// Whether at least one active server is up. Backups are not used then.
    fn is_active_up(&self, now: Time) -> bool {
        let mut active = self.takers_of(ServerMode::Active);
        active.any(|server| self.servers[server].is_up(now))
    }

    /// Whether a server gets requests that name no server.
    pub(crate) fn takes_any(&self, now: Time, server: u16) -> bool {
        let of = &self.servers[usize::from(server)];
        let is_in_use = of.serves(ServerMode::Active)
            || (of.serves(ServerMode::Backup) && !self.is_active_up(now));
        is_in_use && !self.is_avoided(now, of)
    }

    /// Whether a server gets only requests that name it because it hangs, and another one is usable.
    #[inline]
    fn is_avoided(&self, now: Time, server: &Server) -> bool {
        server.health().hangs() && self.servers.has_usable(now)
    }

    fn best_of(&self, mode: ServerMode, place_on: impl Fn(usize) -> Placement) -> Placement {
        let mut best: Option<(usize, Placement)> = None;
        for server in self.takers_of(mode) {
            let is_better = |closes_another: bool| {
                best.is_none_or(|(other, placement)| {
                    match (closes_another, placement.closes_another()) {
                        (false, true) => true,
                        (true, false) => false,
                        _ => self.servers.is_preferred(server, other),
                    }
                })
            };
            if is_better(false) {
                let placement = place_on(server);
                if placement != Placement::None && is_better(placement.closes_another()) {
                    best = Some((server, placement));
                }
            }
        }
        best.map_or(Placement::None, |(_, placement)| placement)
    }

    fn takers_of(&self, mode: ServerMode) -> impl Iterator<Item = usize> + '_ {
        (0..self.servers.len()).filter(move |index| self.servers[*index].serves(mode))
    }

    /// Opens nothing while the connections being opened suffice for all waiting requests: only open connections count
    /// then.
    #[inline]
    fn unless_enough(
        &self,
        placement: Placement,
        slots: usize,
        server: usize,
        waiting: usize,
    ) -> Placement {
        match placement {
            Placement::Use(_) | Placement::None => placement,
            _ if self.suffice(slots, server, waiting) => Placement::None,
            _ => placement,
        }
    }

    /// The placement that one server offers.
    #[inline(always)]
    fn place_on(
        &self,
        now: Time,
        seeker: Seeker,
        index: usize,
        connections: &Slab<Connection>,
        config: &Config,
    ) -> Placement {
        let server = &self.servers[index];
        if server.health().is_overloaded(now) {
            return Placement::None;
        }
        if seeker.server.is_none() && self.is_avoided(now, server) {
            return Placement::None;
        }
        // A probe does not count as a request.
        if !seeker.is_probe {
            let load = self.servers.load(index) as usize;
            let requests = load.saturating_sub(server.lists().connecting());
            if server.capabilities().is_full(requests) {
                return Placement::None;
            }
        }
        let limits = &config.limits;
        let is_good = |connection: &Connection| {
            connection.serial() >= seeker.first_serial && !connection.is_used_up(now, limits)
        };
        let mut blocked = None;
        if !seeker.is_probe {
            for key in server.lists().shareable() {
                let connection = &connections[key as usize];
                if !is_good(connection) || !connection.has_free_slot() {
                    continue;
                }
                if !connection.has_paused() {
                    return Placement::Use(key);
                }
                blocked = Some(key);
            }
        }
        // A connection that was idle for too long is closed by the next tick, unless it is one of those to keep.
        let may_idle = server.lists().idle_len() <= limits.min_idle_per_server;
        let is_usable = |connection: &Connection| {
            let since = connection.last_activity();
            is_good(connection) && (may_idle || since == now || since + limits.idle_timeout > now)
        };
        let is_first_choice = |key: u32| {
            let connection = &connections[key as usize];
            is_usable(connection)
                && (!seeker.runs_once || server.is_safe(now, connection, config.request_ids))
        };
        if let Some(key) = server.lists().find_idle(is_first_choice) {
            return Placement::Use(key);
        }
        let may_dial = self.may_dial(now, index, seeker.server.is_some(), config);
        if may_dial {
            let (open, most) = (connections.len(), self.most(seeker.is_probe, limits));
            let (own, own_most) = (server.lists().total(), server.most(seeker.is_probe, limits));
            if own < own_most && open < most {
                return Placement::Dial { server: index };
            }
            // One that is closed makes a place, unless there are more than allowed: a probe may have the one kept for it.
            let idle = match open <= most {
                true if own < own_most => self.longest_idle(connections),
                true if own == own_most => server.lists().longest_idle(),
                _ => None,
            };
            if let Some(idle) = idle {
                return Placement::Replace(idle);
            }
        }
        if seeker.runs_once
            && let Some(key) = server
                .lists()
                .find_idle(|key| is_usable(&connections[key as usize]))
        {
            return Placement::Use(key);
        }
        match blocked {
            Some(key) if server.lists().connecting_for_requests() == 0 => {
                Placement::UseBlocked(key)
            }
            _ => Placement::None,
        }
    }

    /// Whether a server may be connected to now, regardless of the limit on connections. `is_named` is whether this is
    /// for a request that can use no other server.
    fn may_dial(&self, now: Time, index: usize, is_named: bool, config: &Config) -> bool {
        let server = &self.servers[index];
        if server.is_removed() || server.health().is_short(now) {
            return false;
        }
        if !server.health().is_down() {
            return !server.health().is_paused(now);
        }
        // After a failure, one connection at a time tests whether the server is back: when the pause has expired, or
        // for each new request when no other server is usable. A server that hangs is tested by the next check, too, but
        // not every server is checked: nobody waits for one.
        let is_last_resort =
            config.connect_retry_timeout.is_zero() && (is_named || !self.servers.has_usable(now));
        server.lists().connecting() == 0 && (!server.health().is_paused(now) || is_last_resort)
    }

    /// The connection that has been idle for longest, to any server.
    #[cold]
    fn longest_idle(&self, connections: &Slab<Connection>) -> Option<u32> {
        let all = self.servers.iter();
        let idle = all.filter_map(|it| it.lists().longest_idle());
        idle.min_by_key(|key| connections[*key as usize].last_activity())
    }

    /// The first server, from index `from` on, that needs another connection in advance for `min_idle_per_server`;
    /// `open` is the number of connections to all servers.
    pub(crate) fn refill(
        &self,
        now: Time,
        from: usize,
        open: usize,
        config: &Config,
    ) -> Option<usize> {
        let limits = &config.limits;
        if open >= self.most(false, limits) {
            return None;
        }
        (from..self.servers.len()).find(|index| {
            let server = &self.servers[*index];
            let lists = server.lists();
            lists.idle_len() + lists.connecting() < limits.min_idle_per_server
                && lists.connecting() < MAX_DIALS_IN_ADVANCE
                && lists.total() < server.most(false, limits)
                && !server.health().is_backing_off(now)
                && !server.health().is_refill_paused(now)
                && !server.is_leaving()
                && self.may_dial(now, *index, false, config)
        })
    }
}

/// The most connections being opened to a server at a time if they are opened in advance for `min_idle_per_server`.
const MAX_DIALS_IN_ADVANCE: usize = 16;
