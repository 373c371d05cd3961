//! Which connection a request gets.
//!
//! A server is chosen first: the one with the fewest requests, among those that can take one and are not backing off;
//! equals take turns. A request then takes, in this order: (1) a shared connection with a free slot that no paused
//! request blocks, most recently freed first, so that the others drain; (2) the most recently used idle connection;
//! (3) a new connection, if the limit allows; (4) a blocked shared connection, unless another one is being opened.
//!
//! A request whose connection turned out stale takes only a connection opened after that. A request that may not be sent
//! twice takes no idle connection that has served as many requests as the server closes its connections after: a new
//! one costs less than a request that nobody answers. For the same reason the first such request to a server takes none
//! that has served, while it is not known whether the application answers other request IDs than 1. Where a new
//! connection cannot be had, it takes one of these after all.

use slab::Slab;

use super::{Connection, Pool, Time};
use crate::config::{Config, RequestIds};

/// Where a queued request can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// To this connection.
    Use(u32),
    /// To this connection, though a paused request may keep it from being read.
    UseBlocked(u32),
    /// To a connection that is to be opened.
    Dial {
        server: usize,
    },
    /// To a connection that is to be opened in place of an idle one that is not good enough.
    Replace {
        server: usize,
        idle: u32,
    },
    None,
}

/// What a request asks of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeker {
    /// The server that is to be asked for its values; a request goes to any.
    pub(crate) probed: Option<u16>,
    /// Connections with an earlier number are not good enough.
    pub(crate) first_serial: u64,
    /// It may not be sent a second time.
    pub(crate) runs_once: bool,
}

impl Pool {
    /// The place that there is now; `waiting` is how many look for one.
    pub(crate) fn place(
        &self,
        now: Time,
        seeker: Seeker,
        waiting: usize,
        connections: &Slab<Connection>,
        config: &Config,
    ) -> Placement {
        let place_on = |server| self.place_on(now, seeker, server, connections, config);
        if let Some(server) = seeker.probed {
            return place_on(usize::from(server));
        }
        let count = self.servers.len();
        if count == 1 {
            return self.unless_enough(place_on(0), 0, waiting);
        }
        let place_on = |server| self.unless_enough(place_on(server), server, waiting);
        let start = self.first_choice % count;
        // As a rule the one with the least load has a place, and the others need not be asked.
        match self.least_loaded(start).map(place_on) {
            Some(Placement::None) | None => {}
            Some(placement) => return placement,
        }
        let mut best = Placement::None;
        let mut least = u32::MAX;
        for server in (start..count).chain(0..start) {
            if self.loads[server] < least {
                match place_on(server) {
                    Placement::None => {}
                    placement => {
                        least = self.loads[server];
                        best = placement;
                    }
                }
            }
        }
        best
    }

    /// Nothing is opened while what is being opened has room for all: then only what is there counts.
    #[inline]
    fn unless_enough(&self, placement: Placement, server: usize, waiting: usize) -> Placement {
        match placement {
            Placement::Use(_) | Placement::None => placement,
            _ if self.is_enough(server, waiting) => Placement::None,
            _ => placement,
        }
    }

    /// The server with the least load; the first such from `start` on.
    fn least_loaded(&self, start: usize) -> Option<usize> {
        let least = self.loads.iter().copied().min()?;
        let (before, after) = self.loads.split_at(start);
        let mut after = after.iter();
        match after.position(|load| *load == least) {
            Some(index) => Some(start + index),
            None => before.iter().position(|load| *load == least),
        }
    }

    /// The place that one server has.
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
        if server.health.is_overloaded(now) {
            return Placement::None;
        }
        // What it is asked is no request.
        if seeker.probed.is_none() {
            let requests = (self.loads[index] as usize).saturating_sub(server.lists.connecting());
            if server.capabilities.is_full(requests) {
                return Placement::None;
            }
        }
        let limits = &config.limits;
        let is_good = |connection: &Connection| {
            connection.serial() >= seeker.first_serial && !connection.is_used_up(now, limits)
        };
        let mut blocked = None;
        if seeker.probed.is_none() {
            for key in server.lists.shareable() {
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
        // One that has idled for too long is closed by the next tick, unless it is one of those to be kept.
        let may_idle = server.lists.idle_len() <= limits.min_idle_per_server;
        let is_usable = |connection: &Connection| {
            let since = connection.last_activity();
            is_good(connection) && (may_idle || since == now || since + limits.idle_timeout > now)
        };
        let is_first_choice = |key: u32| {
            let connection = &connections[key as usize];
            is_usable(connection)
                && (!seeker.runs_once || server.is_safe(now, connection, config.request_ids))
        };
        if let Some(key) = server.lists.find_idle(is_first_choice) {
            return Placement::Use(key);
        }
        let may_dial = self.may_dial(now, index, config);
        if may_dial {
            let most = server.max_connections(limits);
            if server.lists.total() < most {
                return Placement::Dial { server: index };
            }
            if let Some(idle) = server.lists.longest_idle() {
                return Placement::Replace {
                    server: index,
                    idle,
                };
            }
        } else if seeker.runs_once
            && let Some(key) = server
                .lists
                .find_idle(|key| is_usable(&connections[key as usize]))
        {
            return Placement::Use(key);
        }
        match blocked {
            Some(key) if server.lists.connecting() == 0 => Placement::UseBlocked(key),
            _ => Placement::None,
        }
    }

    /// Whether a server may be connected to now, the limit on connections left aside.
    fn may_dial(&self, now: Time, index: usize, config: &Config) -> bool {
        let server = &self.servers[index];
        if server.health.is_short(now) {
            return false;
        }
        if !server.health.is_down() {
            return !server.health.is_aside(now);
        }
        // After a failure, one connection at a time finds out whether it is back: when its pause is over, or for each new
        // request when there is nowhere else to go.
        let is_last_resort = config.connect_retry_timeout.is_zero() && !self.has_usable_server(now);
        server.lists.connecting() == 0 && (!server.health.is_aside(now) || is_last_resort)
    }

    /// The server, from a number on, to which a connection is to be opened beforehand, because `min_idle_per_server` asks for it.
    pub(crate) fn refill(&self, now: Time, from: usize, config: &Config) -> Option<usize> {
        let limits = &config.limits;
        (from..self.servers.len()).find(|index| {
            let server = &self.servers[*index];
            let lists = &server.lists;
            lists.idle_len() + lists.connecting() < limits.min_idle_per_server
                && lists.connecting() < MOST_BEFOREHAND
                && lists.total() < server.max_connections(limits)
                && !server.health.is_aside(now)
                && !server.health.is_refill_paused(now)
                && self.may_dial(now, *index, config)
        })
    }
}

impl super::Server {
    /// Whether an idle connection may have a request that must not be sent twice.
    fn is_safe(&self, now: Time, connection: &Connection, ids: RequestIds) -> bool {
        let served = connection.served();
        let known = &self.capabilities;
        served == 0
            || (!known.is_about_to_close(now, served, connection.last_activity())
                && (known.takes_other_ids()
                    || connection.max_requests() > 1
                    || ids == RequestIds::AlwaysOne))
    }
}

/// Connections to a server that are being opened beforehand at a time, whatever `min_idle_per_server` says.
const MOST_BEFOREHAND: usize = 16;
