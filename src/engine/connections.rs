//! Connections come and go: dialled, opened, refused, closed, lost.

use log::debug;
use slab::Slab;

use super::connection::{
    CloseReason, Connection, Input as ConnectionInput, Purpose, State, Step as ConnectionStep,
};
use super::exchange::{Exchange, Input, Life, Progress, Step};
use super::ids::RequestIds;
use super::outbox::Outbox;
use super::server::Sharing;
use super::time::Time;
use super::{Action, Engine};
use crate::error::{ConnectError, RequestError};
use crate::wire::Demux;

impl Engine {
    /// Opens a connection to a server.
    pub(super) fn dial(&mut self, now: Time, index: usize, purpose: Purpose) {
        let generation = self.generation();
        let server = &mut self.servers[index];
        let promised = match purpose {
            // Whether a server that was down is back is found out beside the requests: they need not wait for it.
            Purpose::Requests if server.failures > 0 => 0,
            Purpose::Requests => server.sharing.max_requests(),
            Purpose::Probe => 0,
        };
        let connection = Connection {
            generation,
            server: index as u16,
            state: State::Connecting { since: now },
            purpose,
            promised,
            max_requests: 1,
            live: 0,
            aborting: 0,
            paused: 0,
            full: 0,
            served: 0,
            held: 0,
            redials: 0,
            flush_asked: false,
            read_blocked: false,
            unblocked: None,
            more_read: false,
            quiet: true,
            spent: None,
            serial: self.next_serial,
            opened: now,
            took_us: 0,
            moved: now,
            demux: Demux::default(),
            outbox: Outbox::default(),
            ids: RequestIds::default(),
            round: Default::default(),
            unsent: Default::default(),
        };
        self.next_serial += 1;
        server.total += 1;
        if purpose == Purpose::Requests {
            server.connecting += 1;
            self.loads[index] += 1;
        }
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

    /// A connection is no longer on its way: its promise is kept or broken.
    fn settle_promise(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        let promised = std::mem::take(&mut connection.promised);
        self.prospects -= promised as usize;
        if connection.purpose == Purpose::Requests {
            self.servers[usize::from(connection.server)].connecting -= 1;
            self.loads[usize::from(connection.server)] -= 1;
        }
    }

    /// Step `Open`: the transport is there.
    pub(super) fn open(&mut self, now: Time, key: u32) {
        self.settle_promise(key);
        let connection = &mut self.connections[key as usize];
        let server = &mut self.servers[usize::from(connection.server)];
        let was_down = server.failures > 0;
        server.failures = 0;
        if server.overloads == 0 {
            server.aside_until = None;
        }
        let is_known = matches!(server.sharing, Sharing::Plain | Sharing::Upto(_));
        if was_down && is_known && self.config.multiplex.is_auto() {
            // What listens there now may be another program.
            server.sharing = Sharing::Unknown;
            self.unasked += 1;
        }
        connection.max_requests = server.sharing.max_requests();
        if connection.max_requests == 1 {
            connection.make_room_for_one();
        }
        connection.state = State::Open;
        connection.moved = now;
        let took = now.saturating_duration_since(connection.opened);
        connection.took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.counters.connected += 1;
        debug!("connection {key}: open");
        match connection.purpose {
            Purpose::Requests => self.pool(now, key),
            Purpose::Probe => self.begin_probe(now, key, None),
        }
    }

    /// Step `Failed`: it could not be connected. The server is set aside, unless it is only busy; requests
    /// that have nowhere else to go and no patience left fail.
    pub(super) fn connect_failed(&mut self, now: Time, key: u32, error: ConnectError) {
        let connection = &self.connections[key as usize];
        let (started, serial) = (connection.opened, connection.serial);
        let index = usize::from(connection.server);
        // Meanwhile a refusal may have told, or the server may have come back as another program.
        if connection.purpose == Purpose::Probe && self.servers[index].sharing == Sharing::Asking {
            self.servers[index].sharing = Sharing::Unknown;
            self.unasked += 1;
        }
        self.counters.connect_failures += 1;
        self.remove(key, CloseReason::ConnectFailed);
        let server = &mut self.servers[index];
        // Connects that were under way together count as one failure.
        if error != ConnectError::Busy && serial >= server.blind_until {
            server.blind_until = self.next_serial;
            server.failures = server.failures.saturating_add(1);
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
            if !stays && impatient && queued <= started && self.waits_for(exchange_key, index) {
                self.queue.remove(&mut self.exchanges, exchange_key);
                self.end_with(now, exchange_key, RequestError::Connect(error), 0);
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

    /// Takes a connection away and deals with the requests that are still on it.
    pub(super) fn lose(&mut self, now: Time, key: u32, reason: CloseReason, error: RequestError) {
        let probe = self.take_probe(key);
        let mut live: Vec<u32> = self.connections[key as usize].ids.live().collect();
        live.sort_unstable_by_key(|it| self.exchanges[*it as usize].first_offset);
        let server = usize::from(self.connections[key as usize].server);
        let (progress, stale) = {
            let connection = &self.connections[key as usize];
            (
                connection.progress(),
                connection.quiet && connection.served > 0,
            )
        };
        self.loads[server] -= self.connections[key as usize].live;
        let is_useless = matches!(
            reason,
            CloseReason::ClosedIdle | CloseReason::OutOfTurn | CloseReason::Protocol
        );
        if is_useless && self.connections[key as usize].served == 0 {
            self.pause_refill(now, server);
        }
        self.remove(key, reason);
        let (again, over): (Vec<u32>, Vec<u32>) = live
            .into_iter()
            .partition(|it| self.may_retry(now, *it, progress.transmitted, stale));
        // Each that is sent again goes to the front of the queue: the last first.
        for exchange in over {
            self.lose_exchange(now, exchange, Input::Lost, &error, progress);
        }
        for exchange in again.into_iter().rev() {
            self.lose_exchange(now, exchange, Input::LostMayRetry, &error, progress);
        }
        if let Some(probe) = probe {
            self.end_probe(now, server, &probe, Err(error));
        }
    }

    fn lose_exchange(
        &mut self,
        now: Time,
        key: u32,
        input: Input,
        error: &RequestError,
        progress: Progress,
    ) {
        match self.exchanges[key as usize].life.step(input) {
            Step::Retry => self.retry(now, key, error, progress.transmitted),
            Step::End => self.end_with(now, key, error.clone(), progress.transmitted),
            Step::Gone => self.forget(key),
            Step::Begin | Step::Abandon | Step::Close | Step::None | Step::Impossible => {
                debug_assert!(false, "an exchange with an id is Active or Aborting");
            }
        }
    }

    /// Forgets a connection; its requests are dealt with by the caller.
    pub(super) fn remove(&mut self, key: u32, reason: CloseReason) {
        if self.connections[key as usize].is_connecting() {
            self.settle_promise(key);
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
                    ConnectionStep::Close => !self.probe_was_asked(connection),
                    ConnectionStep::Drain => connection.live == 0,
                    ConnectionStep::Open
                    | ConnectionStep::Redial
                    | ConnectionStep::Dial
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
