//! Connections come and go: dialled, opened, refused, closed, lost.

use std::io;

use log::debug;
use slab::Slab;

use super::clock::Progress;
use super::close_reason::CloseReason;
use super::connection::{Connection, Input as ConnectionInput, State, Step as ConnectionStep};
use super::deadlines::Owner;
use super::exchange::{Exchange, Life};
use super::ids::IdTable;
use super::outbox::Outbox;
use super::pool::{Place, Seeker};
use super::server::Sharing;
use super::time::Time;
use super::{Action, Engine};
use crate::config::RequestIds;
use crate::error::{ConnectError, RequestError};
use crate::wire::Demux;

impl Engine {
    /// Opens a connection to a server.
    pub(super) fn dial(&mut self, now: Time, index: usize) {
        let generation = self.generation();
        let server = &mut self.servers[index];
        // Whether a server that was down is back is found out beside the requests: they need not wait for it.
        let promised = match server.failures {
            0 if self.config.keep_connections => server.sharing.max_requests(),
            0 => 1,
            _ => 0,
        };
        let is_late = server.failures > 0;
        let connection = Connection {
            generation,
            server: index as u16,
            state: State::Connecting { since: now },
            promised,
            is_late,
            question: None,
            max_requests: 1,
            live: 0,
            aborting: 0,
            paused: 0,
            full: 0,
            served: 0,
            held: 0,
            redials: 0,
            flush_asked: false,
            read_asked: false,
            read_blocked: false,
            unblocked: None,
            more_read: false,
            is_available: false,
            unread: false,
            is_ending: false,
            reads_first: false,
            is_feeding: false,
            idle_offset: 0,
            overdue: None,
            quiet: true,
            spent: None,
            serial: self.next_serial,
            opened: now,
            took_us: 0,
            moved: now,
            demux: Demux::default(),
            outbox: Outbox::default(),
            ids: IdTable::default(),
            round: Default::default(),
            unsent: Default::default(),
        };
        self.next_serial += 1;
        server.total += 1;
        server.connecting += 1;
        server.late += usize::from(is_late);
        self.late += usize::from(is_late);
        self.loads[index] += 1;
        self.prospects += promised as usize;
        let key = self.connections.insert(connection) as u32;
        let connection = self.connections[key as usize].handle(key);
        self.actions.push_back(Action::Connect {
            connection,
            server: index,
        });
        self.arm_connection(key);
        let address = &self.config.servers[index];
        debug!("connection {key}: connecting to server {index}, {address}");
    }

    /// A connection has been on its way for long: requests that can go to another server, or over another connection,
    /// no longer wait for it (RFC 8305, 5).
    pub(super) fn stop_waiting_for(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let promised = std::mem::take(&mut connection.promised);
        self.prospects -= promised as usize;
        connection.is_late = true;
        self.servers[usize::from(connection.server)].late += 1;
        self.late += 1;
        debug!("connection {key}: still connecting, not waited for");
    }

    /// A connection is no longer on its way: its promise is kept or broken.
    fn settle_promise(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let promised = std::mem::take(&mut connection.promised);
        self.prospects -= promised as usize;
        let server = &mut self.servers[usize::from(connection.server)];
        server.connecting -= 1;
        self.loads[usize::from(connection.server)] -= 1;
        if std::mem::take(&mut connection.is_late) {
            server.late -= 1;
            self.late -= 1;
        }
    }

    /// Step `Open`: the transport is there.
    pub(super) fn open(&mut self, now: Time, key: u32) {
        self.settle_promise(key);
        let connection = &mut self.connections[key as usize];
        let server = &mut self.servers[usize::from(connection.server)];
        let was_down = server.failures > 0;
        server.failures = 0;
        server.refused = None;
        server.shortages = 0;
        if server.overloads == 0 {
            server.aside_until = None;
        }
        let is_known = matches!(server.sharing, Sharing::Plain | Sharing::Upto(_));
        if was_down
            && is_known
            && !server.may_die_of_questions
            && self.config.multiplex.is_auto()
            && self.config.keep_connections
        {
            // What listens there now may be another program.
            server.sharing = Sharing::Unknown;
            server.max_conns = None;
            server.max_reqs = None;
            self.unasked += 1;
        }
        if was_down {
            server.forget_ids();
        }
        connection.max_requests = if self.config.keep_connections {
            server.sharing.max_requests()
        } else {
            1
        };
        if connection.max_requests == 1 {
            connection.make_room_for_one();
            let is_always_one = self.config.request_ids == RequestIds::AlwaysOne;
            connection.ids.set_always_one(is_always_one);
        }
        connection.state = State::Open;
        connection.moved = now;
        let took = now.saturating_duration_since(connection.opened);
        connection.took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.counters.connected += 1;
        debug!("connection {key}: open");
        self.pool(now, key);
    }

    /// Step `Postpone`: this side has no descriptor, port or memory for another connection. That is no failure of the
    /// server: requests wait, those that are connected go on, and it is tried again when a socket of this client's was
    /// closed, or after a pause.
    pub(super) fn postpone(&mut self, now: Time, key: u32, kind: io::ErrorKind) {
        let index = usize::from(self.connections[key as usize].server);
        self.counters.shortages += 1;
        self.remove(key, CloseReason::Shortage);
        let server = &mut self.servers[index];
        server.shortages = server.shortages.saturating_add(1);
        let pause = self.config.backoff.after(server.shortages);
        let until = now + pause;
        self.short += usize::from(server.short_until.replace(until).is_none());
        self.deadlines.arm(Owner::Server(index as u32), until);
        debug!("server {index}: no socket to connect with, {kind}; again in {pause:?}");
    }

    /// A socket of this client's was closed: what it took may serve another.
    fn end_shortages(&mut self) {
        if self.short > 0 {
            for server in &mut self.servers {
                server.short_until = None;
            }
            self.short = 0;
        }
    }

    /// Step `Failed`: it could not be connected. The server is set aside, unless it is only busy; requests
    /// that have nowhere else to go and no patience left fail.
    pub(super) fn connect_failed(&mut self, now: Time, key: u32, error: ConnectError) {
        let connection = &self.connections[key as usize];
        let (started, serial) = (connection.opened, connection.serial);
        let index = usize::from(connection.server);
        self.counters.connect_failures += 1;
        self.remove(key, CloseReason::ConnectFailed);
        self.server_failed(now, index, (started, serial), error);
    }

    /// A connection to a server could not be had or was of no use. When it was opened, and its serial number, say which
    /// waiting requests it was for, and with which others it counts as one failure.
    pub(super) fn server_failed(
        &mut self,
        now: Time,
        index: usize,
        (started, serial): (Time, u64),
        error: ConnectError,
    ) {
        let server = &mut self.servers[index];
        // Connects that were under way together count as one failure.
        if error != ConnectError::Busy && serial >= server.blind_until {
            server.blind_until = self.next_serial;
            server.failures = server.failures.saturating_add(1);
            server.refused = Some(error);
            let pause = self.config.backoff.after(server.failures);
            self.set_aside(now, index, pause);
        }
        let elsewhere = error != ConnectError::Busy && self.has_usable_server(now);
        let mut next = self.queue.first();
        while let Some(exchange_key) = next {
            next = self.queue.after(&self.exchanges, exchange_key);
            let exchange = &self.exchanges[exchange_key as usize];
            let queued = exchange.clock.queued;
            let stays = elsewhere && !exchange.is_probe;
            let impatient = now.saturating_duration_since(queued) >= self.config.connect_patience;
            if !stays && !impatient && error != ConnectError::Busy {
                self.exchanges[exchange_key as usize].refused = Some(error);
                self.arm_exchange(exchange_key);
            }
            if !stays && impatient && queued <= started && self.waits_for(exchange_key, index) {
                // One that was passed over for a new connection is better than none.
                let seeker = Seeker {
                    runs_once: false,
                    ..Seeker::of(&self.exchanges[exchange_key as usize])
                };
                if let Place::On(connection) = self.find_place(now, seeker, 0) {
                    self.queue.remove(&mut self.exchanges, exchange_key);
                    self.assign(now, exchange_key, connection);
                } else {
                    self.queue.remove(&mut self.exchanges, exchange_key);
                    self.end_with(now, exchange_key, RequestError::Connect(error), 0);
                }
                // A full backlog takes no more than its own connection.
                if error == ConnectError::Busy {
                    break;
                }
            }
        }
    }

    /// Whether a waiting exchange had hopes of a server.
    fn waits_for(&self, key: u32, server: usize) -> bool {
        let exchange = &self.exchanges[key as usize];
        !exchange.is_probe || exchange.server.map(usize::from) == Some(server)
    }

    /// Closes a connection that has no request whose `End` is not out.
    pub(super) fn close(&mut self, now: Time, key: u32, reason: CloseReason) {
        let connection = self.connections[key as usize].handle(key);
        self.actions.push_back(Action::Close { connection, reason });
        // Nobody is left to be told but a probe of the client's own.
        self.lose(now, key, reason, RequestError::Aborted);
    }

    /// Forgets a connection; its requests are dealt with by the caller.
    pub(super) fn remove(&mut self, key: u32, reason: CloseReason) {
        if self.connections[key as usize].is_connecting() {
            self.settle_promise(key);
        }
        if reason != CloseReason::Shortage {
            self.end_shortages();
        }
        let mut connection = self.connections.remove(key as usize);
        let server = &mut self.servers[usize::from(connection.server)];
        server.total -= 1;
        server.remove_idle(key);
        server.remove_roomy(key);
        let handle = connection.handle(key);
        server.unanswered.retain(|it| it.connection != handle);
        connection.outbox.recycle(&mut self.spares.outbox);
        self.counters.closed(reason);
        debug!("connection {key}: closed, {reason:?}");
        if self.connections.is_empty() && self.exchanges.is_empty() {
            self.deadlines.clear();
        }
    }

    /// Step `Drain`: it takes no further request and closes once none is left.
    pub(super) fn drain(&mut self, now: Time, key: u32, reason: CloseReason) {
        let connection = &mut self.connections[key as usize];
        connection.spent.get_or_insert(reason);
        connection.state = State::Draining;
        let server = usize::from(connection.server);
        self.servers[server].remove_idle(key);
        self.servers[server].remove_roomy(key);
        self.connections[key as usize].is_available = false;
        if self.connections[key as usize].live == 0 {
            self.close(now, key, reason);
        }
    }

    /// Closes what is being opened or asked while nobody will use it.
    pub(super) fn retire_unused(&mut self, now: Time) {
        let unused: Vec<u32> = self
            .connections
            .iter()
            .filter(
                |(_, connection)| match connection.state.step(ConnectionInput::Retire) {
                    ConnectionStep::Failed => true,
                    ConnectionStep::Drain => connection.live == 0,
                    ConnectionStep::Open
                    | ConnectionStep::Redial
                    | ConnectionStep::Postpone
                    | ConnectionStep::Dial
                    | ConnectionStep::Close
                    | ConnectionStep::Gone
                    | ConnectionStep::Pool
                    | ConnectionStep::None
                    | ConnectionStep::Impossible => false,
                },
            )
            .map(|(key, _)| key as u32)
            .collect();
        for key in unused {
            if self.connections.contains(key as usize) {
                self.close(now, key, CloseReason::Retired);
            }
        }
    }

    /// A request has left its connection, by `FCGI_END_REQUEST` or after an abort.
    pub(super) fn leave(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        let server = usize::from(connection.server);
        connection.live -= 1;
        connection.served = connection.served.saturating_add(1);
        self.loads[server] -= 1;
        self.servers[server].note_served(connection.served);
        if connection.live + 1 == connection.max_requests && connection.is_roomy() {
            self.servers[server].roomy.push(key);
        }
        self.update_reads(key);
        let connection = &self.connections[key as usize];
        if connection.live > 0 {
            return;
        }
        match connection.state.step(ConnectionInput::LastRequestOff) {
            ConnectionStep::Pool => self.pool(now, key),
            ConnectionStep::Close => {
                let reason = connection.spent.unwrap_or(CloseReason::Retired);
                self.close(now, key, reason);
            }
            ConnectionStep::Open
            | ConnectionStep::Redial
            | ConnectionStep::Postpone
            | ConnectionStep::Dial
            | ConnectionStep::Failed
            | ConnectionStep::Gone
            | ConnectionStep::Drain
            | ConnectionStep::None
            | ConnectionStep::Impossible => {
                debug_assert!(false, "requests are on open connections")
            }
        }
    }
}

/// The progress of the connection that an exchange is on.
pub(super) fn progress_of(connections: &Slab<Connection>, exchange: &Exchange) -> Option<Progress> {
    let (Life::Active { connection, .. } | Life::Aborting { connection, .. }) = exchange.life
    else {
        return None;
    };
    connections
        .get(connection.index as usize)
        .filter(|it| it.generation == connection.generation)
        .map(Connection::progress)
}
