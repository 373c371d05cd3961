//! The pool: which connection a waiting request gets, when one is opened, which are too many.
//!
//! For the request at the front of the queue, a server is chosen: the one with
//! the fewest requests, among those that can take one and are not set aside; equals take turns. On it,
//! in this order: a shared connection with room that no paused request obstructs, the last to have come by its
//! room, so that others empty; the idle connection used last; a new connection, if the cap allows; a shared one
//! with room that is obstructed, unless another is on its way. A request whose connection turned out stale takes
//! only a connection opened after that. One that may not be sent again takes none that has served as many requests as the
//! server closes its connections after: a new one costs less than a request that nobody answers. For the same reason the
//! first such request to a server takes none that has served, while it is not known whether the application answers other
//! request IDs than 1.

use super::close_reason::CloseReason;
use super::exchange::Exchange;
use super::server::{KnownIds, Sharing};
use super::time::Time;
use super::{Engine, Running};
use crate::config::{Multiplex, RequestIds};

/// Where a waiting request can go.
pub(super) enum Place {
    On(u32),
    /// The same, but a paused request may keep it from being read.
    Behind(u32),
    Dial {
        server: usize,
    },
    /// The same, after closing an idle connection that is not good enough.
    Replace {
        server: usize,
        idle: u32,
    },
    Nowhere,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeker {
    /// The server that is to be asked for its values; a request goes to any.
    pub(super) probed: Option<u16>,
    /// Connections opened before this one (a serial number) are not good enough.
    pub(super) oldest_connection: u64,
    /// It may not be sent a second time.
    pub(super) runs_once: bool,
}

impl Seeker {
    #[inline]
    pub(super) fn of(exchange: &Exchange) -> Self {
        Self {
            probed: exchange.server.filter(|_| exchange.is_probe),
            oldest_connection: exchange.oldest_connection,
            runs_once: !exchange.may_be_repeated(),
        }
    }
}

impl Engine {
    /// The connection that a new request can have while no other waits.
    #[inline]
    pub(super) fn place_at_once(&self, now: Time, key: u32) -> Option<u32> {
        let seeker = Seeker::of(&self.exchanges[key as usize]);
        match self.find_place(now, seeker, 1) {
            Place::On(connection) | Place::Behind(connection) => Some(connection),
            Place::Dial { .. } | Place::Replace { .. } | Place::Nowhere => None,
        }
    }

    /// The place that there is now; `waiting` is how many look for one.
    pub(super) fn find_place(&self, now: Time, seeker: Seeker, waiting: usize) -> Place {
        if let Some(server) = seeker.probed {
            return self.place_on(now, seeker, usize::from(server));
        }
        let count = self.servers.len();
        if count == 1 {
            let place = self.place_on(now, seeker, 0);
            let is_there = matches!(place, Place::On(_) | Place::Nowhere);
            return if is_there || !self.is_enough(0, waiting) {
                place
            } else {
                Place::Nowhere
            };
        }
        // Nothing is opened while what is on its way has room for all: then only what is there counts.
        let place_on = |server| match self.place_on(now, seeker, server) {
            Place::Dial { .. } | Place::Replace { .. } | Place::Behind(_)
                if self.is_enough(server, waiting) =>
            {
                Place::Nowhere
            }
            place => place,
        };
        let start = self.rotation % count;
        // As a rule the one with the least has a place, and the others need not be asked.
        match self.least_loaded(start).map(place_on) {
            Some(Place::Nowhere) | None => {}
            Some(place) => return place,
        }
        let mut best = Place::Nowhere;
        let mut least = u32::MAX;
        for server in (start..count).chain(0..start) {
            if self.loads[server] < least {
                match place_on(server) {
                    Place::Nowhere => {}
                    place => {
                        least = self.loads[server];
                        best = place;
                    }
                }
            }
        }
        best
    }

    /// The server with the least to do; the first such from `start` on.
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
    fn place_on(&self, now: Time, seeker: Seeker, index: usize) -> Place {
        let server = &self.servers[index];
        if server.is_aside(now) && server.overloads > 0 {
            return Place::Nowhere;
        }
        // What it is asked is no request.
        if seeker.probed.is_none() && server.is_at_capacity(self.loads[index]) {
            return Place::Nowhere;
        }
        let limits = &self.config.limits;
        let good = |key: &u32| {
            let connection = &self.connections[*key as usize];
            connection.serial >= seeker.oldest_connection && !connection.is_used_up(now, limits)
        };
        // One that has idled for too long is closed by the next tick, unless it is one of those to be kept.
        let may_idle = server.idle.len() <= limits.min_idle;
        let is_fresh = |key: &u32| {
            let since = self.connections[*key as usize].moved;
            may_idle || since == now || since + limits.idle_timeout > now
        };
        let mut obstructed = None;
        if seeker.probed.is_none() {
            for key in server.roomy.iter().rev().filter(|key| good(key)) {
                let connection = &self.connections[*key as usize];
                if !connection.takes_more() {
                    continue;
                }
                if connection.paused == 0 {
                    return Place::On(*key);
                }
                obstructed = Some(*key);
            }
        }
        let is_safe = |key: &u32| {
            let connection = &self.connections[*key as usize];
            let served = connection.served;
            !seeker.runs_once
                || served == 0
                || (!server.is_about_to_close(now, served, connection.moved)
                    && (server.takes_other_ids()
                        || connection.max_requests > 1
                        || self.config.request_ids == RequestIds::AlwaysOne))
        };
        let is_good = |key: &&u32| good(key) && is_fresh(key) && is_safe(key);
        if let Some(key) = server.idle.iter().rev().find(is_good) {
            return Place::On(*key);
        }
        let full = server.total >= server.max_connections(limits.max_connections);
        if self.may_dial(now, index) {
            if !full {
                return Place::Dial { server: index };
            }
            if let Some(idle) = server.idle.front().copied() {
                return Place::Replace {
                    server: index,
                    idle,
                };
            }
        }
        // Where a new connection cannot be had, one that was passed over for it is better than none.
        if seeker.runs_once
            && !self.may_dial(now, index)
            && let Some(key) = server
                .idle
                .iter()
                .rev()
                .find(|key| good(key) && is_fresh(key))
        {
            return Place::On(*key);
        }
        match obstructed {
            Some(key) if server.connecting == 0 => Place::Behind(key),
            _ => Place::Nowhere,
        }
    }

    /// Whether a server may be connected to now, the cap left aside.
    fn may_dial(&self, now: Time, index: usize) -> bool {
        let server = &self.servers[index];
        if server.is_short(now) {
            return false;
        }
        if server.failures == 0 {
            return !server.is_aside(now);
        }
        // After a failure, one connection at a time finds out whether it is back: when its pause
        // is over, or for each new request when there is nowhere else to go.
        let last_resort = self.config.connect_patience.is_zero()
            && self.servers.iter().all(|other| other.is_aside(now));
        server.connecting == 0 && (!server.is_aside(now) || last_resort)
    }

    /// Whether some server is neither down nor overloaded.
    pub(super) fn has_usable_server(&self, now: Time) -> bool {
        self.servers.iter().any(|server| !server.is_aside(now))
    }

    /// Whether a connection is to be closed in favour of another, see
    /// [`Config::yield_after`](crate::Config::yield_after): one to `server` has waited too long for its first octet, and
    /// longer than others do. It then has to wait twice as long for the next one: the process that was set free may
    /// have turned to somebody else.
    pub(super) fn must_yield(&mut self, now: Time, server: u16) -> bool {
        while let Some(front) = self.servers[usize::from(server)].unanswered.front() {
            let mut front = *front;
            let waits = self
                .connection(front.connection)
                .is_some_and(|it| it.quiet && it.served == 0);
            let of = &self.servers[usize::from(server)];
            if waits && of.yields_at().is_none_or(|at| at > now) {
                self.arm_yield(u32::from(server));
                return false;
            }
            let of = &mut self.servers[usize::from(server)];
            of.unanswered.pop_front();
            if waits {
                front.wait = front.wait.saturating_mul(2);
                if let Some(due) = now.checked_add(front.wait) {
                    front.due = due;
                    of.note_unanswered(front);
                }
                self.arm_yield(u32::from(server));
                return true;
            }
        }
        false
    }

    /// A connection's last request is off: it becomes idle, or is closed where a limit says so.
    pub(super) fn pool(&mut self, now: Time, key: u32) {
        let limits = &self.config.limits;
        let keep = self.config.keep_connections;
        let connection = &self.connections[key as usize];
        let number = connection.server;
        let shared = connection.max_requests > 1;
        let server = &self.servers[usize::from(number)];
        let is_over = self.running != Running::Yes && self.queue.is_empty();
        let reason = if let Some(reason) = connection.spent {
            Some(reason)
        } else if is_over {
            Some(CloseReason::Retired)
        } else if !keep && connection.served > 0 {
            Some(CloseReason::KeepOff)
        } else if connection.served > 0 && self.serves_once(number) {
            Some(CloseReason::OnlyIdOne)
        } else if connection.has_served_most(limits) || !connection.ids.has_room() {
            Some(CloseReason::MaxRequests)
        } else if connection.is_old(now, limits) {
            Some(CloseReason::MaxAge)
        } else if server.total > server.max_connections(limits.max_connections) {
            Some(CloseReason::Retired)
        } else if !shared && connection.served > 0 && self.must_yield(now, number) {
            Some(CloseReason::Yielded)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.close(now, key, reason);
            return;
        }
        let connection = &mut self.connections[key as usize];
        connection.moved = now;
        connection.quiet = true;
        connection.overdue = None;
        self.servers[usize::from(number)].remove_roomy(key);
        // Otherwise when the read is used up, the padding has come, and the socket was found empty: what is behind the
        // end of a request must not reach the next one.
        let connection = &mut self.connections[key as usize];
        connection.is_available = false;
        if !shared && self.ask_on_idle(now, key) {
            self.arm_connection(key);
            return;
        }
        let connection = &mut self.connections[key as usize];
        if connection.is_clean() {
            self.make_available(key);
        } else if connection.demux.at_record_boundary() && connection.more_read && !shared {
            connection.spent = Some(CloseReason::OutOfTurn);
        }
        self.arm_connection(key);
    }

    /// Whether each connection to a server serves one request, because its application answers with ID 1 only and two
    /// requests that follow each other could not be told apart.
    pub(super) fn serves_once(&self, server: u16) -> bool {
        self.servers[usize::from(server)].ids == KnownIds::OnlyOne
            && self.config.request_ids == RequestIds::Distinct
    }

    /// An idle connection has consumed all of its last record, padding included, and its socket is empty: it may be
    /// handed out.
    pub(super) fn make_available(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let server = &mut self.servers[usize::from(connection.server)];
        if std::mem::replace(&mut connection.is_available, true) {
            return;
        }
        server.idle.push_back(key);
        let limits = &self.config.limits;
        self.is_untrimmed |= server.idle.len() > limits.max_idle
            || server.total > server.max_connections(limits.max_connections);
    }

    /// Closes idle connections above what the limits allow, the longest idle first.
    fn trim(&mut self, now: Time, index: usize) {
        while let Some(key) = self.servers[index].idle.front().copied() {
            let server = &self.servers[index];
            let limits = &self.config.limits;
            let has_served = self.connections[key as usize].served > 0;
            let reason = if server.total > server.max_connections(limits.max_connections) {
                CloseReason::Retired
            } else if has_served && self.serves_once(index as u16) {
                CloseReason::OnlyIdOne
            } else if server.idle.len() > limits.max_idle {
                CloseReason::MaxIdle
            } else {
                break;
            };
            self.close(now, key, reason);
        }
    }

    /// Closes idle connections that new limits find too old or too often used.
    pub(super) fn close_used_up(&mut self, now: Time) {
        let limits = self.config.limits;
        let used_up: Vec<(u32, CloseReason)> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.is_idle())
            .filter_map(|(key, connection)| {
                let reason = if connection.has_served_most(&limits) {
                    CloseReason::MaxRequests
                } else if connection.is_old(now, &limits) {
                    CloseReason::MaxAge
                } else {
                    return None;
                };
                Some((key as u32, reason))
            })
            .collect();
        for (key, reason) in used_up {
            self.close(now, key, reason);
        }
    }

    pub(super) fn trim_all(&mut self, now: Time) {
        for server in 0..self.servers.len() {
            self.trim(now, server);
        }
    }

    /// Opens what `min_idle` asks for.
    pub(super) fn replenish(&mut self, now: Time) {
        if !self.queue.is_empty() {
            return;
        }
        let limits = self.config.limits;
        for index in 0..self.servers.len() {
            loop {
                let server = &self.servers[index];
                let ready = server.idle.len() + server.connecting;
                if ready >= limits.min_idle
                    || server.connecting >= MOST_BEFOREHAND
                    || server.total >= server.max_connections(limits.max_connections)
                    || server.is_aside(now)
                    || server.refill_at.is_some_and(|at| at > now)
                    || !self.may_dial(now, index)
                {
                    break;
                }
                self.dial(now, index);
            }
        }
    }

    pub(super) fn set_up_servers(&mut self) {
        let sharing = match self.config.multiplex {
            Multiplex::Off => Sharing::Plain,
            Multiplex::On { max } => Sharing::Upto(max),
            // Of no use where each connection serves one request.
            Multiplex::Auto if !self.config.keep_connections => Sharing::Plain,
            Multiplex::Auto => Sharing::Unknown,
        };
        self.servers
            .resize_with(self.config.servers.len(), || super::Server::new(sharing));
        self.loads.resize(self.servers.len(), 0);
        if sharing == Sharing::Unknown {
            self.unasked = self.servers.len();
        }
    }
}

/// Connections to a server that are being opened beforehand at a time, whatever `min_idle` says.
const MOST_BEFOREHAND: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Config, ConnectionHandle, Request, Tag};
    use std::time::Instant;

    fn connect(engine: &mut Engine) -> Option<ConnectionHandle> {
        while let Some(action) = engine.poll_action() {
            if let Action::Connect { connection, .. } = action {
                return Some(connection);
            }
        }
        None
    }

    #[test]
    fn requests_wait_for_a_connection_on_its_way_rather_than_behind_a_paused_one() {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.multiplex = Multiplex::On { max: 100 };
        config.limits.max_connections = 2;
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let submit = |engine: &mut Engine| {
            engine
                .submit(now, Request::responder(), Tag(0))
                .expect("accepted")
        };
        let paused = submit(&mut engine);
        let first = connect(&mut engine).expect("the first request's");
        engine.handle_connected(now, first);
        engine.pause(now, paused);
        for _ in 0..5 {
            submit(&mut engine);
        }
        let second = connect(&mut engine).expect("one beside the paused request's");
        assert_eq!(engine.stats().requests.connecting, 5);
        engine.handle_connected(now, second);
        assert_eq!(engine.stats().requests.connecting, 0);
        let key = engine.connection_key(second).expect("it is open");
        assert_eq!(engine.connections[key].live, 5);
    }
}
