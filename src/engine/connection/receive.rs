//! Receiving on a connection: parses bytes into records, and finds the request of each record.

use log::trace;

use super::ids::Slot;
use super::received::{FirstReply, Look, Received};
use super::{Connection, Request, Requests};
use crate::engine::requests::OutputKind;
use crate::engine::time::Time;
use crate::error::ProtocolError;
use crate::event::ServerValues;
use crate::wire::{Demux, Item, RecordType};

#[derive(Debug)]
pub(super) struct Receiving {
    demux: Demux,
    /// Whether the read that is being parsed has bytes after the current record.
    has_unparsed_input: bool,
    /// Whether the driver has announced bytes or an end that it has not read yet.
    is_unread: bool,
    /// Whether the end of the application's stream was announced.
    is_ending: bool,
    /// Whether the bytes of a read are being parsed and the socket is empty after them.
    is_feeding: bool,
    /// Whether an action that asks the driver to read is queued and not yet taken.
    is_read_asked: bool,
    /// Whether no byte has come since the connection was last idle.
    has_no_reply_yet: bool,
    /// `Some` when a time limit has expired and waits until the socket is found empty, or for this number of reads.
    overdue: Option<u8>,
}

impl Default for Receiving {
    fn default() -> Self {
        Self {
            demux: Demux::default(),
            has_unparsed_input: false,
            is_unread: false,
            is_ending: false,
            is_feeding: false,
            is_read_asked: false,
            has_no_reply_yet: true,
            overdue: None,
        }
    }
}

/// After this many reads an expired time limit takes effect although the socket was never found empty: no socket buffer
/// holds that many bytes.
const READS: u8 = 128;

/// The header of a record for a request.
#[derive(Clone, Copy, Debug)]
struct Record {
    record_type: RecordType,
    request_id: u16,
}

impl Connection {
    /// Parses the next record, or a piece of one. Sets `reply` at the first record since the connection was idle.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        now: Time,
        key: u32,
        input: &mut &[u8],
        requests: &mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Received {
        let before = input.len();
        let next = self.receiving.demux.next(input);
        self.received += (before - input.len()) as u64;
        self.receiving.has_unparsed_input = !input.is_empty();
        let item = match next {
            Ok(Some(item)) => item,
            Ok(None) => return Received::Nothing,
            Err(error) => return Received::Violation(ProtocolError::Decode(error)),
        };
        match item {
            Item::Stream {
                record_type: record_type @ (RecordType::Stdout | RecordType::Stderr),
                request_id,
                data,
            } => {
                let record = Record {
                    record_type,
                    request_id,
                };
                self.output(now, key, record, data, requests, reply)
            }
            Item::StreamEnd {
                record_type: RecordType::Stdout,
                request_id,
            } => {
                let record = Record {
                    record_type: RecordType::Stdout,
                    request_id,
                };
                self.output_end(now, key, record, requests, reply)
            }
            Item::StreamEnd {
                record_type: RecordType::Stderr,
                request_id,
            } => {
                let record = Record {
                    record_type: RecordType::Stderr,
                    request_id,
                };
                match self.find(now, key, record, requests, reply) {
                    Some(_) => Received::Unremarkable,
                    None => self.not_found(record, requests),
                }
            }
            Item::End { request_id, body } => {
                let record = Record {
                    record_type: RecordType::EndRequest,
                    request_id,
                };
                match self.find(now, key, record, requests, reply) {
                    Some((key, _)) => Received::Ended { key, body },
                    None => self.not_found(record, requests),
                }
            }
            other => self.receive_management(key, other),
        }
    }

    /// Handles a record that does not belong to a request.
    #[inline(never)]
    fn receive_management(&mut self, key: u32, item: Item<'_>) -> Received {
        match item {
            Item::Values {
                record_type: RecordType::GetValuesResult,
                data,
                last,
                ..
            } if self.is_answer(last) => match self.collect_answer(data, last) {
                Some(Some(values)) => Received::Values(values),
                Some(None) => Received::Unremarkable,
                None => Received::Unsolicited,
            },
            Item::Values {
                record_type: RecordType::GetValuesResult,
                ..
            } => Received::Unsolicited,
            // The reply of applications that do not know `FCGI_GET_VALUES`.
            Item::UnknownType { record_type, .. }
                if self.is_asked() && record_type == u8::from(RecordType::GetValues) =>
            {
                Received::Values(ServerValues::default())
            }
            Item::UnknownType { .. } => Received::Unsolicited,
            Item::Unassigned { record_type, .. } => {
                trace!("connection {key}: record of unassigned type {record_type} skipped");
                Received::Unsolicited
            }
            Item::Begin { .. } => unexpected_direction(RecordType::BeginRequest),
            Item::Abort { .. } => unexpected_direction(RecordType::AbortRequest),
            Item::End { .. } => unexpected_direction(RecordType::EndRequest),
            Item::Stream { record_type, .. }
            | Item::StreamEnd { record_type, .. }
            | Item::Values { record_type, .. } => unexpected_direction(record_type),
        }
    }

    /// Whether a piece of `FCGI_GET_VALUES_RESULT` answers a probe. The first piece decides for the whole record: it may
    /// have been sent for another question, or for none, if it was there before a byte of the probe had left.
    fn is_answer(&mut self, is_last: bool) -> bool {
        let is_unsolicited = self.is_unsolicited || !self.is_asked();
        self.is_unsolicited = is_unsolicited && !is_last;
        !is_unsolicited
    }

    #[inline(always)]
    fn output(
        &mut self,
        now: Time,
        on: u32,
        record: Record,
        data: &[u8],
        requests: &mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Received {
        let Some((key, request)) = self.find(now, on, record, requests, reply) else {
            return self.not_found(record, requests);
        };
        let kind = match record.record_type {
            RecordType::Stderr => OutputKind::Stderr,
            _ => OutputKind::Stdout,
        };
        let is_over = kind == OutputKind::Stdout && request.output().has_ended();
        if request.is_aborting() || is_over {
            return Received::Ignored;
        }
        let Some(is_first) = request.note_output(now, data.len()) else {
            let (more, in_all) = requests.keep(key, kind, data);
            return Received::Kept { key, more, in_all };
        };
        Received::Output {
            request: request.handle(key),
            tag: request.tag(),
            kind,
            len: data.len(),
            is_first,
        }
    }

    #[inline(always)]
    fn output_end(
        &mut self,
        now: Time,
        on: u32,
        record: Record,
        requests: &mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Received {
        let Some((key, request)) = self.find(now, on, record, requests, reply) else {
            return self.not_found(record, requests);
        };
        if request.is_aborting() || request.output().has_ended() {
            return Received::Unremarkable;
        }
        match request.note_output_end(now) {
            Some(is_first) => Received::OutputEnd {
                request: request.handle(key),
                tag: request.tag(),
                is_first,
            },
            None => Received::Unremarkable,
        }
    }

    /// The request of a record, unless the record must be dropped or is a violation.
    #[inline(always)]
    fn find<'r>(
        &mut self,
        now: Time,
        on: u32,
        record: Record,
        requests: &'r mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Option<(u32, &'r mut Request)> {
        let Record {
            record_type,
            request_id,
        } = record;
        trace!("connection {on}: {record_type} for id {request_id}");
        let Some(Slot::Live(key)) = self.ids.get(request_id) else {
            return None;
        };
        let request = &mut requests[key];
        if !request.output().has_begun() && !request.upload().has_begun(self.transmitted()) {
            return None;
        }
        if std::mem::take(&mut self.receiving.has_no_reply_yet) {
            *reply = Some(FirstReply {
                request_id,
                waited: request.assigned_for(now),
            });
        }
        Some((key, request))
    }

    /// Why a record does not go to a request.
    #[cold]
    fn not_found(&mut self, record: Record, requests: &Requests) -> Received {
        let Record {
            record_type,
            request_id,
            ..
        } = record;
        let slot = self.ids.get(request_id);
        if slot == Some(Slot::Free) {
            self.quarantine_id(request_id);
        }
        match slot {
            None => Received::Violation(ProtocolError::UnknownRequest {
                record_type,
                request_id,
            }),
            // No byte of the request with this ID, or of the request in flight, was sent: the record cannot belong to
            // it.
            Some(slot) if matches!(slot, Slot::Live(_)) || self.is_before_its_request(requests) => {
                Received::Violation(ProtocolError::Premature {
                    record_type,
                    request_id,
                })
            }
            Some(_) => Received::Late {
                record_type,
                request_id,
            },
        }
    }

    /// Whether a connection with one request at a time has a request of which no byte was sent. A record that arrives
    /// then is left over from another request, and more may follow.
    fn is_before_its_request(&self, requests: &Requests) -> bool {
        self.max_requests == 1
            && self
                .only_request(requests)
                .is_some_and(|it| !it.upload().has_begun(self.transmitted()))
    }

    /// The first request on the connection. With one request at a time it is the only one.
    pub(crate) fn only_request<'a>(&self, requests: &'a Requests) -> Option<&'a Request> {
        self.requests().next().map(|key| &requests[key])
    }

    /// Whether the end of a request with ID 1 shows that the application answers every request with ID 1. As far as
    /// this connection shows, that is so when a request that had ended is ended again while the request in flight has
    /// another ID, was sent as a whole and is not answered.
    pub(crate) fn is_answered_as_1(&self, request_id: u16, requests: &Requests) -> bool {
        request_id == 1
            && self.max_requests == 1
            && self.has_no_reply_yet()
            && self
                .only_request(requests)
                .is_some_and(|it| it.upload().is_sent(self.transmitted()))
    }

    /// Bytes received since the connection was opened.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    // --- state of the socket ---

    /// The driver has announced something that it has not read yet.
    #[inline]
    pub(crate) fn note_readable(&mut self) {
        self.receiving.is_unread = true;
    }

    /// The end of the application's stream was announced.
    pub(crate) fn note_ending(&mut self) {
        self.receiving.is_ending = true;
    }

    /// The socket is empty after the bytes that are fed next.
    #[inline]
    pub(crate) fn note_drained(&mut self) {
        self.receiving.is_unread = false;
        self.receiving.is_feeding = true;
        self.end_reading_first();
    }

    /// A read found the socket empty: there is no end, although one may have been announced.
    pub(crate) fn note_no_end(&mut self) {
        self.receiving.is_ending = false;
    }

    /// A read is used up. Returns whether an expired time limit takes effect now.
    #[inline]
    pub(crate) fn finish_read(&mut self) -> bool {
        self.ids.make_reusable();
        let receiving = &mut self.receiving;
        receiving.is_feeding = false;
        let Some(reads) = &mut receiving.overdue else {
            return false;
        };
        *reads = reads.saturating_sub(1);
        *reads == 0 || !receiving.is_unread
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.receiving.is_unread
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.receiving.is_ending
    }

    pub(super) fn has_unparsed_input(&self) -> bool {
        self.receiving.has_unparsed_input
    }

    /// Whether the connection is between two records, nothing of a read is left, and the socket is empty as far as the
    /// driver has reported.
    #[inline]
    pub(super) fn is_drained(&self) -> bool {
        let receiving = &self.receiving;
        receiving.demux.at_record_boundary()
            && !receiving.has_unparsed_input
            && !receiving.is_unread
    }

    pub(crate) fn is_at_record_boundary(&self) -> bool {
        self.receiving.demux.at_record_boundary()
    }

    /// Whether the rest of a record is missing and nothing in the socket is unread.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.is_at_record_boundary() && !self.receiving.is_unread
    }

    /// Whether the application has begun a record on an idle connection that belongs to no request.
    pub(crate) fn has_unsolicited_record(&self) -> bool {
        (self.is_available || !self.receiving.demux.is_skipping())
            && self.own_probe.is_none()
            && !self.is_at_record_boundary()
    }

    pub(crate) fn has_no_reply_yet(&self) -> bool {
        self.receiving.has_no_reply_yet
    }

    /// The connection is idle, or was until now: the next byte is the first reply.
    #[inline]
    pub(crate) fn await_reply(&mut self) {
        self.receiving.has_no_reply_yet = true;
    }

    // --- expired time limits ---

    /// A time limit has expired, but the bytes it waits for may already be in the socket, announced or not, because
    /// this process was stopped or busy. The limit takes effect once the socket was found empty or was read a number of
    /// times.
    pub(crate) fn look_first(&mut self) -> Look {
        let receiving = &mut self.receiving;
        match receiving.overdue {
            _ if self.budget.is_read_blocked() => Look::Done,
            Some(reads) if reads > 0 && (receiving.is_unread || receiving.is_feeding) => {
                Look::Waits
            }
            Some(_) => Look::Done,
            None => {
                receiving.overdue = Some(READS);
                if receiving.is_feeding {
                    return Look::Waits;
                }
                receiving.is_unread = true;
                Look::Ask
            }
        }
    }

    /// Whether an expired time limit waits for the socket to be read.
    pub(super) fn is_looked_into(&self) -> bool {
        self.receiving.overdue.is_some()
    }

    /// Expired time limits have taken effect, or the connection is idle.
    #[inline]
    pub(crate) fn end_look(&mut self) {
        self.receiving.overdue = None;
    }

    /// Whether to ask the driver to read: it was not asked yet.
    pub(crate) fn ask_read(&mut self) -> bool {
        !std::mem::replace(&mut self.receiving.is_read_asked, true)
    }

    /// The driver has taken the action that asks it to read.
    pub(crate) fn note_read_asked(&mut self) {
        self.receiving.is_read_asked = false;
    }
}

fn unexpected_direction(record_type: RecordType) -> Received {
    Received::Violation(ProtocolError::UnexpectedRecord { record_type })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CloseReason;

    #[test]
    fn an_expired_limit_looks_into_the_socket_until_that_is_over() {
        let mut connection = Connection::new(Time::START, 0, 0, Default::default());
        assert!(!connection.is_looked_into());
        assert_eq!(connection.look_first(), Look::Ask);
        assert!(connection.is_looked_into());
        connection.end_look();
        assert!(!connection.is_looked_into());
    }

    #[test]
    fn a_connection_is_ready_if_it_is_available_and_to_be_used_further() {
        let mut connection = Connection::new(Time::START, 0, 0, Default::default());
        connection.connected(Time::START, 1, false);
        assert!(!connection.is_available() && !connection.is_ready());
        assert!(connection.set_available());
        assert!(connection.is_available() && connection.is_ready());
        connection.retire(CloseReason::Retired);
        assert!(!connection.is_ready());
    }
}
