//! The consequences of a record, and of the end of a read.

use log::{debug, warn};

use super::close_reason::CloseReason;
use super::connection::{Received, State};
use super::pool::KnownIds;
use super::requests::{Input, Step};
use super::time::Time;
use super::{Engine, RawEvent};
use crate::config::OverflowPolicy;
use crate::error::{Delivery, ProtocolError, RequestError};
use crate::event::{Completion, Event, EventKind, ServerValues};
use crate::wire::{EndRequest, ProtocolStatus, RecordType};

impl Engine {
    /// Acts on what a connection received. Returns the event that follows from it, if any.
    #[inline(always)]
    pub(super) fn received(&mut self, now: Time, key: u32, received: Received) -> Option<RawEvent> {
        match received {
            Received::Output {
                request,
                tag,
                kind,
                len,
                is_first,
            } => {
                self.note_received(now, request.index, is_first);
                Some(Event::new(request, tag, kind.event_kind(len)))
            }
            Received::OutputEnd {
                request,
                tag,
                is_first,
            } => {
                self.note_received(now, request.index, is_first);
                Some(Event::new(request, tag, EventKind::StdoutEnd))
            }
            Received::Ended {
                key: request_key,
                body,
            } => self.ended(now, key, request_key, body),
            received => {
                self.received_other(now, key, received);
                None
            }
        }
    }

    /// A record has come for a request. From the first one on, the time between two records is limited, and the
    /// parameters are no longer needed.
    #[inline(always)]
    fn note_received(&mut self, now: Time, key: u32, is_first: bool) {
        if is_first {
            let limit = self.requests.timeouts(key).between_bytes;
            self.timers.arm_limit(now, key, limit);
            self.requests.reuse_params(key);
        }
    }

    fn received_other(&mut self, now: Time, key: u32, received: Received) {
        match received {
            Received::Kept {
                key: request_key,
                more,
                in_all,
            } => self.kept(now, key, request_key, more, in_all),
            Received::Ignored => self.counters.note_ignored(),
            Received::Late {
                record_type,
                request_id,
            } => self.late_record(now, key, record_type, request_id),
            Received::Unsolicited => {
                self.counters.note_ignored();
                self.close_if_unsolicited(now, key);
            }
            Received::Values(values) => self.answered(now, key, values),
            Received::Violation(error) => self.protocol_error(now, key, error),
            Received::Nothing
            | Received::Unremarkable
            | Received::Output { .. }
            | Received::OutputEnd { .. }
            | Received::Ended { .. } => {}
        }
    }

    /// The application has ended a request. Its connection continues, and its `End` is returned; or the request was
    /// rejected and is sent again.
    fn ended(
        &mut self,
        now: Time,
        key: u32,
        request_key: u32,
        body: EndRequest,
    ) -> Option<RawEvent> {
        let request = &self.requests[request_key];
        if request.state().step(Input::Ended) == Step::Gone {
            self.finish_abort(now, request_key);
            return None;
        }
        let connection = &self.connections[key as usize];
        let (server, transmitted) = (connection.server(), connection.transmitted());
        let error = match body.protocol_status {
            ProtocolStatus::RequestComplete => {
                let completion = Completion {
                    app_status: body.app_status,
                    report: request.report(now, transmitted),
                };
                self.pool.completed(server);
                self.unassign(now, key, request_key);
                let event = self.finish(request_key, Ok(completion));
                self.release(now, key);
                return event;
            }
            ProtocolStatus::CantMultiplex => RequestError::CantMultiplex,
            ProtocolStatus::Overloaded => RequestError::Overloaded,
            ProtocolStatus::UnknownRole => RequestError::UnknownRole,
            ProtocolStatus::Unassigned(status) => RequestError::UnknownStatus(status),
        };
        // 5.5: with these statuses the request was rejected. Other numbers have no defined meaning.
        let is_rejected = !request.output().has_begun()
            && !matches!(body.protocol_status, ProtocolStatus::Unassigned(_));
        let mut failure = request.failure(now, error, transmitted);
        if is_rejected && !request.maybe_processed() {
            failure.delivery = Delivery::NotProcessed;
        }
        let is_retried = is_rejected
            && self.note_rejection(now, server, &failure.error)
            && self.may_retry_rejected(now, request_key);
        self.unassign(now, key, request_key);
        if is_retried && self.requests.retry(now, request_key, transmitted, None) {
            // The connection is released first: the queue that it then sees does not include the request that has just
            // left it.
            self.release(now, key);
            self.requeue(request_key, failure);
            return None;
        }
        let event = self.finish(request_key, Err(failure));
        self.release(now, key);
        event
    }

    /// Notes what a rejection shows about the server. Returns whether the request may be sent to another one.
    fn note_rejection(&mut self, now: Time, server: u16, error: &RequestError) -> bool {
        match error {
            RequestError::CantMultiplex => self.lower_to_single(server),
            RequestError::Overloaded => {
                self.pool.overloaded(now, server, self.config.backoff);
                self.arm_server(now, server);
            }
            _ => return false,
        }
        true
    }

    fn may_retry_rejected(&self, now: Time, request_key: u32) -> bool {
        let request = &self.requests[request_key];
        request.may_retry_rejected()
            && !self.is_without_server(request_key)
            && self.has_attempt_left(now, request_key)
            && !self.lifecycle.has_stopped()
    }

    /// Output of a paused request was buffered. At a limit, either its connection is not read, or the request fails.
    fn kept(&mut self, now: Time, key: u32, request_key: u32, more: usize, in_all: usize) {
        let limits = self.config.pause_buffer;
        let is_full = in_all >= limits.per_request && self.requests[request_key].fill_output();
        let connection = &mut self.connections[key as usize];
        connection.note_kept(more, is_full);
        let is_over = in_all > limits.per_request
            || connection.buffered() > limits.per_connection
            || self.requests.kept() > limits.per_client;
        if is_over && connection.live() > 1 && limits.overflow == OverflowPolicy::FailRequest {
            debug!("request {request_key}: {in_all} bytes kept while it was paused, given up");
            self.stop(
                now,
                request_key,
                RequestError::PauseBufferFull { buffered: in_all },
            );
            return;
        }
        self.update_reads(key);
    }

    /// A record for a request that has ended is dropped. After that, a connection with one request at a time is not
    /// used again: its application may be one that ignores IDs, and the next response could be out of step, too.
    ///
    /// A shared connection continues without the ID, also when it is idle. FastCGI 1.0 does not say what follows from such
    /// a record (3.3 and 5.5), and applications that multiplex send it, after an abort as a rule. They tell requests
    /// apart by their IDs, and this ID is never used again on the connection.
    fn late_record(&mut self, now: Time, key: u32, record_type: RecordType, request_id: u16) {
        let connection = &self.connections[key as usize];
        let server = connection.server();
        // What this shows about the server is noted. The response cannot be assigned to a request.
        let answers_as_1 = record_type == RecordType::EndRequest
            && self.pool.known(server).ids() == KnownIds::Unknown
            && connection.is_answered_as_1(request_id, &self.requests);
        if answers_as_1 {
            self.pool.knows_only_id_1(server);
            self.protocol_error(now, key, ProtocolError::OnlyIdOne);
            return;
        }
        self.counters.note_ignored();
        let connection = &mut self.connections[key as usize];
        if connection.max_requests() == 1 {
            connection.retire(CloseReason::LateRecord);
        } else if !connection.is_out_of_ids() {
            return;
        }
        if connection.is_idle() {
            self.close(now, key, CloseReason::LateRecord);
        }
    }

    /// An unsolicited record closes an idle connection with one request at a time.
    fn close_if_unsolicited(&mut self, now: Time, key: u32) {
        let connection = &self.connections[key as usize];
        if connection.is_idle() && connection.max_requests() == 1 {
            self.close(now, key, CloseReason::UnsolicitedData);
        }
    }

    /// The reply to a probe has come: the connection may be used again.
    fn answered(&mut self, now: Time, key: u32, values: ServerValues) {
        let connection = &mut self.connections[key as usize];
        let server = connection.server();
        self.pool.answered_probe(server);
        let Some(request) = connection.take_probe() else {
            connection.set_own_probe(None);
            // An idle connection becomes available when the read is used up.
            self.apply_capabilities(server, values);
            return;
        };
        self.apply_capabilities(server, values);
        if let Some(request_key) = self.requests.key(request) {
            self.requests[request_key].note_answer(now);
            let of = &self.requests[request_key];
            let completion = Completion {
                app_status: 0,
                report: of.report(now, 0),
            };
            let kind = EventKind::Values(values);
            self.pending.event(Event::new(request, of.tag(), kind));
            self.end(request_key, Ok(completion));
        }
        if self.config.keep_connections {
            let max_requests = self.pool.max_requests(server, true);
            self.connections[key as usize].set_max_requests(max_requests);
        }
        self.release(now, key);
    }

    /// A protocol violation: the connection is closed, and its requests fail or are sent again.
    fn protocol_error(&mut self, now: Time, key: u32, error: ProtocolError) {
        let connection = &self.connections[key as usize];
        let handle = connection.handle(key);
        let server = self.pool.servers().address(connection.server());
        warn!("connection {key}: the application at {server} broke the protocol: {error}");
        self.counters.note_protocol_error();
        let reason = match connection.state() {
            State::Open if connection.live() == 0 => CloseReason::UnsolicitedData,
            _ => CloseReason::Protocol,
        };
        self.pending.close(handle, reason);
        self.release_lost(now, key, reason, RequestError::Protocol(error));
    }

    /// A read is used up. Freed IDs may be used again, and so may an idle connection that is at the end of a record. An
    /// idle connection on which a new record has begun may not.
    #[inline(always)]
    pub(super) fn finish_read(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        let is_looked_into = connection.finish_read();
        if is_looked_into || (connection.is_idle() && !connection.is_ready()) {
            self.finish_last_read(now, key, is_looked_into);
        }
    }

    /// Finishes the read of a connection that is idle and not available, or with an expired limit.
    fn finish_last_read(&mut self, now: Time, key: u32, is_looked_into: bool) {
        if is_looked_into {
            self.look_is_over(now, key);
        }
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        if !connection.is_idle() {
            return;
        }
        if let Some(reason) = connection.retire_reason() {
            self.close(now, key, reason);
            return;
        }
        if connection.is_clean() {
            if !connection.is_available() {
                self.make_available(key);
                // Its idle deadline differs from the one by which its last record had to be complete.
                self.arm_connection(key);
            }
            return;
        }
        if connection.has_unsolicited_record() {
            if connection.max_requests() == 1 {
                self.close(now, key, CloseReason::UnsolicitedData);
                return;
            }
            connection.take_available();
            self.pool.lists_mut(connection.server()).remove_idle(key);
        }
        self.arm_connection(key);
    }
}
