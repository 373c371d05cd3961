//! `FCGI_GET_VALUES` (FastCGI 1.0, 4.1): does this server multiplex?
//!
//! The embedder's question ([`Engine::get_values`]) goes out on a connection that no request uses meanwhile. The client's
//! own, under [`Multiplex::Auto`](crate::Multiplex::Auto), is asked when the answer can help: when a request waits for a
//! connection and none can be opened. It goes out on the next connection that becomes idle. Where none does, because
//! requests hold theirs for long, it follows one of them after a second: one without a body, which the application has read
//! as a whole by then. (libfcgi loses what comes with a body that it has not read, and with it the next request.) An
//! application that shares connections answers at once, the others when the request is done. Until the answer is in, the
//! connection takes no other request; one that has been without a request for `probe_timeout` is closed.
//!
//! Only `FCGI_MPXS_CONNS=1` counts as yes. Silence, the end of the connection, `FCGI_UNKNOWN_TYPE`, an empty or unreadable
//! answer all mean no. The answer holds for the server until it has been down; that a connection was lost with the question
//! holds for good, since the application may have died of it.
//!
//! What an application that shares connections says of its capacity counts for all connections to it together. What
//! another one says is ignored: libfcgi says 1 for each of its processes, however many listen on one socket.

use log::debug;
use std::time::{Duration, Instant};

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::{Answer, Probe, Question, State};
use super::deadlines::Owner;
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
/// How long a request has held its connection before the client's question is sent behind it.
const HELD_FOR_LONG: Duration = Duration::from_secs(1);
/// A request below this length is read by libfcgi at once, with nothing behind it left over.
const MAX_READ_AT_ONCE: u64 = 8 * 1024 - 256;
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
    /// [`SubmitError::ShuttingDown`]; [`SubmitError::QueueFull`], with a limit of 1 while this server is being
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
        if self.is_asked(server) {
            return Err(SubmitError::QueueFull { limit: 1 });
        }
        if !self.has_room(now, Some(server as u16), || false) {
            let limit = self.config.limits.max_queue;
            return Err(SubmitError::QueueFull { limit });
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

    /// Sends the embedder's question on an open connection without a request.
    pub(super) fn begin_probe(&mut self, now: Time, key: u32, asked_by: u32) {
        let asked_by = self.exchanges[asked_by as usize].handle(asked_by);
        let connection = &mut self.connections[key as usize];
        connection.state = State::Probing(Box::new(Probe {
            since: now,
            asked_by,
            answer: Answer::default(),
        }));
        self.frame_question(now, key);
        self.arm_connection(key);
    }

    fn frame_question(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.begin_framing(now);
        let buffer = connection.outbox.buffer(&mut self.spares.outbox);
        let before = buffer.len();
        let names = [wire::MAX_CONNS, wire::MAX_REQS, wire::MPXS_CONNS];
        let fits = wire::write_get_values(buffer, &names);
        debug_assert!(fits.is_ok(), "three short names fit one record");
        connection.outbox.framed(before);
        self.ask_flush(key);
        debug!("connection {key}: asking for the server's values");
    }

    /// A connection has become idle: asks its server, if that was not asked yet and requests wait. True when it was.
    pub(super) fn ask_on_idle(&mut self, now: Time, key: u32) -> bool {
        let connection = &self.connections[key as usize];
        let server = usize::from(connection.server);
        let is_wanted = self.unasked > 0
            && self.running == super::Running::Yes
            && self.servers[server].sharing == Sharing::Unknown
            && connection.served > 0
            && !connection.is_ending
            && !self.is_asked(server)
            && self.queued() > 0;
        if is_wanted {
            self.ask(now, key);
        }
        is_wanted
    }

    /// A request waits, and no connection can be opened for it: asks the servers that were not asked yet behind requests
    /// that hold their connections for long.
    pub(super) fn ask_servers(&mut self, now: Time) {
        let mut asked: Vec<u32> = Vec::new();
        let mut again: Vec<(u16, Time)> = Vec::new();
        for (key, connection) in &self.connections {
            let server = &self.servers[usize::from(connection.server)];
            let may_be_asked = server.sharing == Sharing::Unknown
                && !self.is_asked(usize::from(connection.server))
                && matches!(connection.state, State::Open)
                && connection.spent.is_none()
                && !connection.is_ending
                && connection.live == 1;
            if !may_be_asked {
                continue;
            }
            let transmitted = connection.outbox.transmitted();
            let mut live = connection.ids.live();
            let Some(exchange) = live.next().map(|it| &self.exchanges[it as usize]) else {
                continue;
            };
            // An application may die of a question, and what it works on with it.
            let is_read = exchange.may_be_repeated()
                && exchange.is_sent(transmitted)
                && exchange.stdin.declared() == Some(0)
                && exchange.framed < MAX_READ_AT_ONCE;
            match exchange.clock.sent.map(|sent| sent + HELD_FOR_LONG) {
                Some(at) if is_read && at <= now => asked.push(key as u32),
                Some(at) if is_read => again.push((connection.server, at)),
                _ => {}
            }
        }
        for key in asked {
            let server = self.connections[key as usize].server;
            if self.servers[usize::from(server)].sharing == Sharing::Unknown {
                self.ask(now, key);
            }
        }
        for (server, at) in again {
            self.deadlines.arm(Owner::Server(u32::from(server)), at);
        }
    }

    /// Whether the embedder asks a server: the client learns from that, too.
    fn is_asked(&self, server: usize) -> bool {
        let asked = self.servers[server].asked;
        asked.is_some_and(|asked| self.exchange_key(asked).is_some())
    }

    fn ask(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.question = Some(Box::new(Question {
            since: now,
            offset: connection.outbox.end_offset(),
            answer: Answer::default(),
        }));
        self.servers[usize::from(connection.server)].sharing = Sharing::Asking;
        self.unasked -= 1;
        self.frame_question(now, key);
    }

    /// A piece of `FCGI_GET_VALUES_RESULT`.
    pub(super) fn values(&mut self, now: Time, key: u32, data: &[u8], last: bool) {
        let connection = &mut self.connections[key as usize];
        let answer = match (&mut connection.state, &mut connection.question) {
            (State::Probing(probe), _) => &mut probe.answer,
            (_, Some(question)) => &mut question.answer,
            _ => {
                self.counters.records_ignored += 1;
                self.quarrel_if_idle(now, key);
                return;
            }
        };
        let room = MAX_ANSWER - answer.0.len();
        answer.0.extend_from_slice(&data[..data.len().min(room)]);
        if last {
            let values = read_values(&answer.0);
            self.answered(now, key, values);
        }
    }

    /// `FCGI_UNKNOWN_TYPE`: the answer of applications that do not know the question.
    pub(super) fn unknown_type(&mut self, now: Time, key: u32, record_type: u8) {
        let connection = &self.connections[key as usize];
        let is_asked =
            matches!(connection.state, State::Probing(_)) || connection.question.is_some();
        if is_asked && record_type == u8::from(wire::RecordType::GetValues) {
            self.answered(now, key, ServerValues::default());
        } else {
            self.counters.records_ignored += 1;
            self.quarrel_if_idle(now, key);
        }
    }

    /// The answer is in: the connection may be used again.
    fn answered(&mut self, now: Time, key: u32, values: ServerValues) {
        let server = usize::from(self.connections[key as usize].server);
        let Some(probe) = self.take_probe(key) else {
            self.connections[key as usize].question = None;
            // An idle connection is made available when the read is used up.
            self.learn(server, values);
            self.arm_connection(key);
            return;
        };
        self.end_probe(now, server, &probe, Ok(values));
        let connection = &mut self.connections[key as usize];
        if self.config.keep_connections {
            connection.max_requests = self.servers[server].sharing.max_requests();
        }
        self.leave(now, key);
    }

    /// The client's own question stays without an answer.
    pub(super) fn unanswered(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.question = None;
        let server = usize::from(connection.server);
        if self.servers[server].sharing == Sharing::Asking {
            self.learn(server, ServerValues::default());
        }
    }

    /// A connection ends with the client's own question on it. What the application ended it may have died of; what this
    /// side closes says nothing.
    pub(super) fn question_lost(&mut self, key: u32, reason: CloseReason, was_sent: bool) {
        let server = usize::from(self.connections[key as usize].server);
        let is_theirs = was_sent
            && matches!(
                reason,
                CloseReason::ClosedIdle
                    | CloseReason::Lost
                    | CloseReason::Protocol
                    | CloseReason::OutOfTurn
            );
        if is_theirs {
            self.servers[server].may_die_of_questions = true;
            self.unanswered(key);
            return;
        }
        self.connections[key as usize].question = None;
        if self.servers[server].sharing == Sharing::Asking {
            self.servers[server].sharing = Sharing::Unknown;
            self.unasked += 1;
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
        if let Ok(values) = answer {
            self.learn(server, values);
        }
        let Some(key) = self.exchange_key(probe.asked_by) else {
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
        let is_shared = values.multiplexes == Some(true);
        let capacity = |told: Option<u32>| told.filter(|most| is_shared && *most > 0);
        server.max_conns = capacity(values.max_conns);
        server.max_reqs = capacity(values.max_reqs);
        self.is_untrimmed |= server.max_conns.is_some();
        debug!("server {index}: {values:?}, so {:?}", server.sharing);
        let max_requests = server.sharing.max_requests();
        if max_requests > 1 && self.config.keep_connections {
            for (key, connection) in &mut self.connections {
                if usize::from(connection.server) == index {
                    connection.max_requests = max_requests;
                    connection.ids.set_always_one(false);
                    let server = &mut self.servers[index];
                    server.remove_roomy(key as u32);
                    if connection.is_roomy() {
                        server.roomy.push(key as u32);
                    }
                }
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
