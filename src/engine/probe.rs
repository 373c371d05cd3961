//! `FCGI_GET_VALUES` (FastCGI 1.0, 4.1): does this server multiplex?
//!
//! The question goes out on a connection of its own, while requests go one per connection; a request waits for
//! the answer only where the cap leaves no other connection, and never longer than the time-out. Only
//! `FCGI_MPXS_CONNS=1` counts as yes. Silence until the time-out, an early close, `FCGI_UNKNOWN_TYPE`, an
//! empty or unreadable answer all mean no. The answer holds for the server until it has been down.

use log::debug;
use std::time::Instant;

use super::Engine;
use super::connection::{CloseReason, Connection, Probe, Purpose, State};
use super::exchange::Life;
use super::server::Sharing;
use super::source::Source;
use super::time::Time;
use crate::config::Timeouts;
use crate::error::{RequestError, SubmitError};
use crate::event::{Completion, Event, RequestHandle, ServerValues, Tag};
use crate::wire::{self, Pairs, Role};

/// Octets of an answer that are looked at; three short pairs need below 64.
const MAX_ANSWER: usize = 1024;
/// Requests that share a connection at most when a server sets no limit of its own.
const MAX_SHARING: u32 = 1024;

impl Engine {
    /// Asks a server what it says of itself, on a connection that no request uses meanwhile: a health
    /// check that runs no script. [`Event::Values`] and `End` follow; it waits at the front of the queue.
    ///
    /// | without an answer, `End` says | as a rule |
    /// |-------------------------------|-----------|
    /// | [`TimeoutKind::Queue`](crate::TimeoutKind::Queue) | every connection of this client is busy |
    /// | [`TimeoutKind::Probe`](crate::TimeoutKind::Probe), [`ConnectError::Busy`](crate::ConnectError::Busy) | every process of the application is busy |
    /// | [`RequestError::Connect`] otherwise | the server is down |
    /// | [`RequestError::Protocol`], [`RequestError::Lost`] | something else listens there; lost also while the application restarts |
    ///
    /// What is connected to and says nothing need not be an application: some HTTP servers wait for the end of a line.
    ///
    /// # Errors
    /// [`SubmitError::ShuttingDown`]; [`SubmitError::QueueFull`] with a limit of 1 while this server is being
    /// asked already.
    ///
    /// # Panics
    /// When `server` is not an index of [`Config::servers`](crate::Config::servers).
    pub fn get_values(
        &mut self,
        now: Instant,
        server: usize,
        tag: Tag,
    ) -> Result<RequestHandle, SubmitError> {
        assert!(server < self.servers.len(), "no server {server}");
        let now = self.tick(now);
        if self.running != super::Running::Yes {
            return Err(SubmitError::ShuttingDown);
        }
        let asked = self.servers[server].asked;
        if asked.is_some_and(|asked| self.exchange_key(asked).is_some()) {
            return Err(SubmitError::QueueFull { limit: 1 });
        }
        let params = self.spares.params.pop().unwrap_or_default();
        let key = self.add_exchange(now, Role::Responder, tag, params, Source::empty());
        let exchange = &mut self.exchanges[key as usize];
        exchange.is_probe = true;
        exchange.server = Some(server as u16);
        exchange.timeouts = Timeouts {
            queue: self.config.timeouts.queue,
            ..Timeouts::NONE
        };
        let handle = exchange.handle(key);
        self.servers[server].asked = Some(handle);
        self.counters.submitted += 1;
        self.queue.push_front(&mut self.exchanges, key);
        self.arm_exchange(key);
        self.settle(now);
        Ok(handle)
    }

    /// Sends the question on an open connection without a request.
    pub(super) fn begin_probe(&mut self, now: Time, key: u32, asked_by: Option<u32>) {
        let asked_by = asked_by.map(|exchange| self.exchanges[exchange as usize].handle(exchange));
        let connection = &mut self.connections[key as usize];
        connection.state = State::Probing(Box::new(Probe {
            since: now,
            asked_by,
            content: Vec::new(),
        }));
        let buffer = connection.outbox.buffer(&mut self.spares.outbox);
        let before = buffer.len();
        let names = [wire::MAX_CONNS, wire::MAX_REQS, wire::MPXS_CONNS];
        let fits = wire::write_get_values(buffer, &names);
        debug_assert!(fits.is_ok(), "three short names fit one record");
        connection.outbox.framed(before);
        self.ask_flush(key);
        self.arm_connection(key);
        debug!("connection {key}: asking for the server's values");
    }

    /// Opens probes for servers in use that were not asked yet.
    pub(super) fn ask_servers(&mut self, now: Time) {
        for index in 0..self.servers.len() {
            let server = &self.servers[index];
            let is_down = server.failures > 0 || server.is_aside(now);
            if server.sharing != Sharing::Unknown || server.total == 0 || is_down {
                continue;
            }
            let idle = server.idle.back().copied();
            if server.total < self.config.limits.max_connections {
                self.servers[index].sharing = Sharing::Asking;
                self.unasked -= 1;
                self.dial(now, index, Purpose::Probe);
            } else if let Some(key) = idle.filter(|_| self.queue.len() == 0) {
                self.servers[index].sharing = Sharing::Asking;
                self.unasked -= 1;
                self.servers[index].remove_idle(key);
                self.connections[key as usize].purpose = Purpose::Probe;
                self.begin_probe(now, key, None);
            }
        }
    }

    /// A piece of `FCGI_GET_VALUES_RESULT`.
    pub(super) fn values(&mut self, now: Time, key: u32, data: &[u8], last: bool) {
        let connection = &mut self.connections[key as usize];
        let State::Probing(probe) = &mut connection.state else {
            self.counters.records_ignored += 1;
            self.quarrel_if_idle(now, key);
            return;
        };
        let room = MAX_ANSWER - probe.content.len();
        probe
            .content
            .extend_from_slice(&data[..data.len().min(room)]);
        if !last {
            return;
        }
        let values = read_values(&probe.content);
        self.finish_probe(now, key, Ok(values));
    }

    /// `FCGI_UNKNOWN_TYPE`: the answer of applications that do not know the question.
    pub(super) fn unknown_type(&mut self, now: Time, key: u32, record_type: u8) {
        let is_probing = matches!(self.connections[key as usize].state, State::Probing(_));
        if is_probing && record_type == u8::from(wire::RecordType::GetValues) {
            self.finish_probe(now, key, Ok(ServerValues::default()));
        } else {
            self.counters.records_ignored += 1;
            self.quarrel_if_idle(now, key);
        }
    }

    /// The answer is in: the connection joins the pool where requests may share it, and is closed
    /// where it would hold a process.
    fn finish_probe(&mut self, now: Time, key: u32, answer: Result<ServerValues, RequestError>) {
        let Some(probe) = self.take_probe(key) else {
            return;
        };
        let server = usize::from(self.connections[key as usize].server);
        self.end_probe(now, server, &probe, answer);
        let connection = &mut self.connections[key as usize];
        let was_asked = connection.live > 0;
        connection.max_requests = self.servers[server].sharing.max_requests();
        if was_asked {
            self.leave(now, key);
        } else if connection.max_requests > 1 {
            self.pool(now, key);
        } else {
            self.close(now, key, CloseReason::ProbeDone);
        }
    }

    /// Ends the probing state of a connection.
    pub(super) fn take_probe(&mut self, key: u32) -> Option<Box<Probe>> {
        let connection = &mut self.connections[key as usize];
        match std::mem::replace(&mut connection.state, State::Open) {
            State::Probing(probe) => Some(probe),
            other => {
                connection.state = other;
                None
            }
        }
    }

    /// Draws the conclusion from an answer, or from its absence.
    pub(super) fn end_probe(
        &mut self,
        now: Time,
        server: usize,
        probe: &Probe,
        answer: Result<ServerValues, RequestError>,
    ) {
        if probe.asked_by.is_none() || self.servers[server].sharing == Sharing::Unknown {
            self.learn(server, answer.as_ref().ok().copied().unwrap_or_default());
        }
        let Some(key) = probe.asked_by.and_then(|it| self.exchange_key(it)) else {
            return;
        };
        match answer {
            Ok(values) => {
                let exchange = &mut self.exchanges[key as usize];
                exchange.clock.last_octet = Some(now);
                let report = exchange.report(now, 0);
                self.events.push_back(Event::Values {
                    request: exchange.handle(key),
                    tag: exchange.tag,
                    values,
                });
                exchange.life = Life::Holding;
                let app_status = 0;
                let outcome = Ok(Completion { app_status, report });
                if let Some(event) = self.end_event(key, outcome) {
                    self.events.push_back(event);
                }
            }
            Err(error) => self.end_with(now, key, error, u64::MAX),
        }
    }

    fn learn(&mut self, index: usize, values: ServerValues) {
        if !self.config.multiplex.is_auto() {
            return;
        }
        let server = &mut self.servers[index];
        if server.sharing == Sharing::Unknown {
            self.unasked -= 1;
        }
        server.sharing = match (values.multiplexes, values.max_reqs) {
            (Some(true), Some(most)) if most > 0 => Sharing::Upto(most.min(MAX_SHARING)),
            (Some(true), _) => Sharing::Upto(MAX_SHARING),
            (Some(false) | None, _) => Sharing::Plain,
        };
        debug!("server {index}: {values:?}, so {:?}", server.sharing);
        let max_requests = server.sharing.max_requests();
        if max_requests > 1 {
            for (key, connection) in &mut self.connections {
                if usize::from(connection.server) == index {
                    let busy = matches!(connection.state, State::Open) && connection.live > 0;
                    // 3.5: begun without FCGI_KEEP_CONN, it is closed by the application at the first end.
                    if busy && connection.max_requests == 1 && !self.config.keep_connections {
                        continue;
                    }
                    connection.max_requests = max_requests;
                    let server = &mut self.servers[index];
                    server.remove_roomy(key as u32);
                    if connection.is_roomy() {
                        server.roomy.push(key as u32);
                    }
                }
            }
        }
    }

    pub(super) fn probe_was_asked(&self, connection: &Connection) -> bool {
        match &connection.state {
            State::Probing(probe) => probe.asked_by.is_some(),
            State::Connecting { .. } | State::Redialing { .. } | State::Open | State::Draining => {
                false
            }
        }
    }
}

/// The known names in an answer; what is not a number counts as not said.
fn read_values(content: &[u8]) -> ServerValues {
    let mut values = ServerValues::default();
    for (name, value) in Pairs::new(content).map_while(Result::ok) {
        let number = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<u32>().ok());
        if name == wire::MAX_CONNS.as_bytes() {
            values.max_conns = number;
        } else if name == wire::MAX_REQS.as_bytes() {
            values.max_reqs = number;
        } else if name == wire::MPXS_CONNS.as_bytes() {
            values.multiplexes = match number {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            };
        }
    }
    values
}
