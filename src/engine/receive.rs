//! From octets to events: each record finds its request.

use log::{trace, warn};
use std::time::Instant;

use super::close_reason::CloseReason;
use super::connection::State;
use super::exchange::{Input, Life, Receiving, Step};
use super::ids::Slot;
use super::server::KnownIds;
use super::time::Time;
use super::{Engine, Received};
use crate::error::{Delivery, ProtocolError, RequestError};
use crate::event::{Completion, ConnectionHandle, Event, Outcome};
use crate::wire::{EndRequest, Item, ProtocolStatus, RecordType};

/// Which stream a piece of output belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

impl Engine {
    /// Takes the next event out of octets that were read from a connection; call it until `None`.
    ///
    /// `input` moves past what was consumed, and is empty with `None`: nothing is to be kept by the driver. Events
    /// borrow from `input`. Octets for a stale handle are dropped. A protocol error closes the connection; what
    /// that means to its requests comes out of [`poll_event`](Self::poll_event).
    #[inline]
    #[must_use = "an event is not announced twice"]
    pub fn poll_received<'b>(
        &mut self,
        now: Instant,
        connection: ConnectionHandle,
        input: &mut &'b [u8],
    ) -> Option<Event<'b>> {
        let whole = *input;
        let received = self.next_received(now, connection, input)?;
        Some(received.lend(&whole[..whole.len() - input.len()]))
    }

    /// As [`poll_received`](Self::poll_received); output is what `input` held last before the octets it is left with.
    pub(crate) fn next_received(
        &mut self,
        now: Instant,
        connection: ConnectionHandle,
        input: &mut &[u8],
    ) -> Option<Received> {
        let now = self.tick(now);
        loop {
            let Some(key) = self.connection_key(connection) else {
                *input = &[];
                self.settle(now);
                return None;
            };
            let before = input.len();
            let own = &mut self.connections[key];
            let next = own.demux.next(input);
            own.more_read = !input.is_empty();
            self.counters.octets_received += (before - input.len()) as u64;
            let key = key as u32;
            match next {
                Ok(Some(item)) => {
                    if let Some(received) = self.receive(now, key, item) {
                        if let Received::Other(_) = received {
                            self.settle(now);
                        }
                        return Some(received);
                    }
                }
                Ok(None) => {
                    self.finish_read(now, key);
                    self.settle(now);
                    return None;
                }
                Err(error) => self.protocol_error(now, key, ProtocolError::Decode(error)),
            }
        }
    }

    /// A read is used up. What it ended may be used again: IDs at once, an idle connection if it stands at a
    /// record's end. One that has begun to speak while it was idle may not.
    pub(super) fn finish_read(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.ids.end_rest();
        connection.is_feeding = false;
        if let Some(reads) = &mut connection.overdue {
            *reads = reads.saturating_sub(1);
            if *reads == 0 || !connection.unread {
                self.look_is_over(now, key);
            }
        }
        let Some(connection) = self.connections.get(key as usize) else {
            return;
        };
        if !connection.is_idle() {
            return;
        }
        if let Some(reason) = connection.spent {
            self.close(now, key, reason);
            return;
        }
        if !connection.is_clean() {
            let is_unasked = connection.is_available || !connection.demux.is_skipping();
            let is_unasked = is_unasked && connection.question.is_none();
            if is_unasked && !connection.demux.at_record_boundary() {
                if connection.max_requests == 1 {
                    self.close(now, key, CloseReason::OutOfTurn);
                } else {
                    self.servers[usize::from(connection.server)].remove_idle(key);
                    self.connections[key as usize].is_available = false;
                }
            }
            self.arm_connection(key);
            return;
        }
        if !connection.is_available {
            self.make_available(key);
            // It idles until another instant than the one by which its last record was to be complete.
            self.arm_connection(key);
        }
    }

    fn receive(&mut self, now: Time, key: u32, item: Item<'_>) -> Option<Received> {
        match item {
            Item::Stream {
                record_type: RecordType::Stdout,
                request_id,
                data,
            } => self.output(now, key, request_id, Output::Stdout, data),
            Item::Stream {
                record_type: RecordType::Stderr,
                request_id,
                data,
            } => self.output(now, key, request_id, Output::Stderr, data),
            Item::StreamEnd {
                record_type: RecordType::Stdout,
                request_id,
            } => self.stdout_end(now, key, request_id),
            Item::StreamEnd {
                record_type: RecordType::Stderr,
                request_id,
            } => {
                self.find(now, key, request_id, RecordType::Stderr);
                None
            }
            Item::End { request_id, body } => self.end_request(now, key, request_id, body),
            Item::Values {
                record_type: RecordType::GetValuesResult,
                data,
                last,
                ..
            } => {
                self.values(now, key, data, last);
                None
            }
            Item::UnknownType { record_type, .. } => {
                self.unknown_type(now, key, record_type);
                None
            }
            Item::Unassigned { record_type, .. } => {
                trace!("connection {key}: record of unassigned type {record_type} skipped");
                self.counters.records_ignored += 1;
                self.quarrel_if_idle(now, key);
                None
            }
            Item::Begin { .. } => self.wrong_way(now, key, RecordType::BeginRequest),
            Item::Abort { .. } => self.wrong_way(now, key, RecordType::AbortRequest),
            Item::Stream { record_type, .. }
            | Item::StreamEnd { record_type, .. }
            | Item::Values { record_type, .. } => self.wrong_way(now, key, record_type),
        }
    }

    fn wrong_way(&mut self, now: Time, key: u32, record_type: RecordType) -> Option<Received> {
        self.protocol_error(now, key, ProtocolError::Direction { record_type });
        None
    }

    /// The exchange that a record is for, if it is to have it.
    fn find(
        &mut self,
        now: Time,
        key: u32,
        request_id: u16,
        record_type: RecordType,
    ) -> Option<u32> {
        let connection = &mut self.connections[key as usize];
        trace!("connection {key}: {record_type} for id {request_id}");
        match connection.ids.get(request_id) {
            Some(Slot::Live(exchange)) => {
                let own = &self.exchanges[exchange as usize];
                if !own.has_responded() && connection.outbox.transmitted() <= own.first_offset {
                    // Not a byte of the request has left: the record cannot be its.
                    let error = ProtocolError::Premature {
                        record_type,
                        request_id,
                    };
                    self.protocol_error(now, key, error);
                    return None;
                }
                if std::mem::take(&mut connection.quiet) {
                    self.note_answered(now, key, exchange, request_id);
                }
                return Some(exchange);
            }
            Some(stray @ (Slot::Free | Slot::Quarantined)) => {
                if stray == Slot::Free {
                    connection.ids.quarantine(request_id);
                }
                if self.is_before_its_request(key) {
                    let error = ProtocolError::Premature {
                        record_type,
                        request_id,
                    };
                    self.protocol_error(now, key, error);
                } else if record_type == RecordType::EndRequest
                    && self.answers_as_1(key, request_id)
                {
                    self.protocol_error(now, key, ProtocolError::OnlyIdOne);
                } else {
                    self.stray(now, key);
                }
            }
            None => {
                let error = ProtocolError::UnknownRequest {
                    record_type,
                    request_id,
                };
                self.protocol_error(now, key, error);
            }
        }
        None
    }

    /// The first octet has come for the first request since a connection was idle.
    fn note_answered(&mut self, now: Time, key: u32, exchange: u32, request_id: u16) {
        let server = &mut self.servers[usize::from(self.connections[key as usize].server)];
        if request_id != 1 {
            server.ids = KnownIds::Any;
        }
        if let Some(assigned) = self.exchanges[exchange as usize].clock.assigned {
            server.note_answered(now.saturating_duration_since(assigned));
        }
    }

    /// Whether a connection with one request at a time has one of which not a byte was sent: what comes meanwhile is left
    /// over from another, and may not be all of it.
    fn is_before_its_request(&self, key: u32) -> bool {
        let connection = &self.connections[key as usize];
        let transmitted = connection.outbox.transmitted();
        let mut live = connection.ids.live();
        connection.max_requests == 1
            && live
                .next()
                .is_some_and(|it| transmitted <= self.exchanges[it as usize].first_offset)
    }

    /// Whether the end of a request with ID 1 shows that the application gives this ID to whatever it answers: a request
    /// that ended is ended again, the one in flight has another ID, was sent as a whole and is not answered, and nothing
    /// ever came from this server for another ID. Remembered; the response is nobody's.
    fn answers_as_1(&mut self, key: u32, request_id: u16) -> bool {
        let connection = &self.connections[key as usize];
        let server = &mut self.servers[usize::from(connection.server)];
        let transmitted = connection.outbox.transmitted();
        let mut live = connection.ids.live();
        let is_so = request_id == 1
            && server.ids == KnownIds::Unknown
            && connection.max_requests == 1
            && connection.quiet
            && live
                .next()
                .is_some_and(|it| self.exchanges[it as usize].is_sent(transmitted));
        if is_so {
            server.only_id_1(connection.server);
            self.is_untrimmed = true;
        }
        is_so
    }

    /// A record for a request that has ended: dropped. A connection that serves one request at a time is
    /// not used again after that; one that is shared goes on without the ID.
    fn stray(&mut self, now: Time, key: u32) {
        self.counters.records_ignored += 1;
        let connection = &mut self.connections[key as usize];
        if connection.max_requests > 1 {
            if connection.is_idle() && !connection.ids.has_room() {
                self.close(now, key, CloseReason::Stray);
            }
            return;
        }
        connection.spent.get_or_insert(CloseReason::Stray);
        if connection.is_idle() {
            self.close(now, key, CloseReason::Stray);
        }
    }

    /// Anything on an idle connection that serves one request at a time: it is closed.
    pub(super) fn quarrel_if_idle(&mut self, now: Time, key: u32) {
        let connection = &self.connections[key as usize];
        if connection.is_idle() && connection.max_requests == 1 {
            self.close(now, key, CloseReason::OutOfTurn);
        }
    }

    fn output(
        &mut self,
        now: Time,
        key: u32,
        request_id: u16,
        output: Output,
        data: &[u8],
    ) -> Option<Received> {
        let record_type = match output {
            Output::Stdout => RecordType::Stdout,
            Output::Stderr => RecordType::Stderr,
        };
        let exchange_key = self.find(now, key, request_id, record_type)?;
        let exchange = &mut self.exchanges[exchange_key as usize];
        if matches!(exchange.life, Life::Aborting { .. })
            || (output == Output::Stdout && exchange.receiving == Receiving::OutputEnded)
        {
            self.counters.records_ignored += 1;
            return None;
        }
        let is_first = exchange.clock.last_octet.is_none();
        exchange.note_output(now, data.len());
        if exchange.paused || exchange.held.is_some() {
            self.hold(now, exchange_key, output, data);
            return None;
        }
        let (request, tag) = (exchange.handle(exchange_key), exchange.tag);
        if is_first {
            let limit = exchange.timeouts.silence;
            self.arm_limit(now, exchange_key, limit);
        }
        let len = data.len();
        Some(match output {
            Output::Stdout => Received::Stdout { request, tag, len },
            Output::Stderr => Received::Stderr { request, tag, len },
        })
    }

    fn stdout_end(&mut self, now: Time, key: u32, request_id: u16) -> Option<Received> {
        let exchange_key = self.find(now, key, request_id, RecordType::Stdout)?;
        let exchange = &mut self.exchanges[exchange_key as usize];
        if matches!(exchange.life, Life::Aborting { .. })
            || exchange.receiving == Receiving::OutputEnded
        {
            return None;
        }
        exchange.receiving = Receiving::OutputEnded;
        let is_first = exchange.clock.last_octet.replace(now).is_none();
        if exchange.paused || exchange.held.is_some() {
            exchange.held.get_or_insert_default().stdout_end();
            return None;
        }
        let (request, tag) = (exchange.handle(exchange_key), exchange.tag);
        if is_first {
            let limit = exchange.timeouts.silence;
            self.arm_limit(now, exchange_key, limit);
        }
        Some(Received::Other(Event::StdoutEnd { request, tag }))
    }

    fn end_request(
        &mut self,
        now: Time,
        key: u32,
        request_id: u16,
        body: EndRequest,
    ) -> Option<Received> {
        let exchange_key = self.find(now, key, request_id, RecordType::EndRequest)?;
        let exchange = &self.exchanges[exchange_key as usize];
        if exchange.life.step(Input::Ended) == Step::Gone {
            self.finish_aborting(now, exchange_key);
            return None;
        }
        let transmitted = self.connections[key as usize].outbox.transmitted();
        // 5.5: with these it was rejected; what another number means, nobody knows.
        let refused = !exchange.has_responded()
            && !matches!(body.protocol_status, ProtocolStatus::Unassigned(_));
        let error = match body.protocol_status {
            ProtocolStatus::RequestComplete => {
                let server = usize::from(self.connections[key as usize].server);
                self.servers[server].overloads = 0;
                let outcome = Ok(Completion {
                    app_status: body.app_status,
                    report: exchange.report(now, transmitted),
                });
                return self.end_received(now, key, exchange_key, outcome);
            }
            ProtocolStatus::CantMultiplex => RequestError::CantMultiplex,
            ProtocolStatus::Overloaded => RequestError::Overloaded,
            ProtocolStatus::UnknownRole => RequestError::UnknownRole,
            ProtocolStatus::Unassigned(status) => RequestError::UnknownStatus(status),
        };
        let mut failure = exchange.failure(now, error, transmitted);
        if refused && !exchange.maybe_acted {
            failure.delivery = Delivery::NotSent;
        }
        if refused && self.refused(now, key, exchange_key, &failure) {
            return None;
        }
        self.end_received(now, key, exchange_key, Err(failure))
    }

    /// The application has ended a request: its connection goes on, its `End` comes out.
    #[inline]
    fn end_received(
        &mut self,
        now: Time,
        key: u32,
        exchange_key: u32,
        outcome: Outcome,
    ) -> Option<Received> {
        self.detach(now, key, exchange_key);
        let event = self.end_event(exchange_key, outcome);
        self.leave(now, key);
        event.map(Received::Other)
    }

    /// Octets that are not FastCGI: the connection is closed, its requests fail or are sent again.
    pub(super) fn protocol_error(&mut self, now: Time, key: u32, error: ProtocolError) {
        let connection = &self.connections[key as usize];
        let handle = connection.handle(key);
        let server = &self.config.servers[usize::from(connection.server)];
        warn!("connection {key}: the application at {server} broke the protocol: {error}");
        self.counters.protocol_errors += 1;
        let reason = match connection.state {
            State::Open if connection.live == 0 => CloseReason::OutOfTurn,
            _ => CloseReason::Protocol,
        };
        self.actions.push_back(super::Action::Close {
            connection: handle,
            reason,
        });
        self.lose(now, key, reason, RequestError::Protocol(error));
    }
}
