//! What comes on a connection: bytes become records, and each record finds its request.

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
    /// The read that is being parsed has bytes after the record that is being dealt with.
    has_unparsed_input: bool,
    /// The driver has announced bytes or an end that it has not read yet.
    is_unread: bool,
    /// What was announced is the end of the application's stream.
    is_ending: bool,
    /// What was read is being parsed, and the socket is empty after it.
    is_feeding: bool,
    /// The driver has been asked to read, and has not taken note of it.
    is_read_asked: bool,
    /// No byte has come since it was last idle.
    has_no_reply_yet: bool,
    /// A time limit is over and waits for the socket to be found empty, or for this number of reads.
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

/// After how many reads a time limit that is over counts although its connection was never found empty: no socket's
/// buffer holds as much as they bring.
const READS: u8 = 128;

/// A record of a request.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// The connection's key.
    on: u32,
    record_type: RecordType,
    request_id: u16,
}

impl Connection {
    /// Takes the next record, or piece of one, out of bytes that were read. `reply` is set when it is the first.
    #[inline(always)]
    pub(crate) fn receive(
        &mut self,
        now: Time,
        key: u32,
        input: &mut &[u8],
        requests: &mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Received {
        let next = self.receiving.demux.next(input);
        self.receiving.has_unparsed_input = !input.is_empty();
        let item = match next {
            Ok(Some(item)) => item,
            Ok(None) => return Received::Nothing,
            Err(error) => return Received::Violation(ProtocolError::Decode(error)),
        };
        let record = |record_type, request_id| Record {
            on: key,
            record_type,
            request_id,
        };
        match item {
            Item::Stream {
                record_type: RecordType::Stdout,
                request_id,
                data,
            } => {
                let record = record(RecordType::Stdout, request_id);
                self.output(now, record, data, requests, reply)
            }
            Item::Stream {
                record_type: RecordType::Stderr,
                request_id,
                data,
            } => {
                let record = record(RecordType::Stderr, request_id);
                self.output(now, record, data, requests, reply)
            }
            Item::StreamEnd {
                record_type: RecordType::Stdout,
                request_id,
            } => {
                let record = record(RecordType::Stdout, request_id);
                self.output_end(now, record, requests, reply)
            }
            Item::StreamEnd {
                record_type: RecordType::Stderr,
                request_id,
            } => {
                let record = record(RecordType::Stderr, request_id);
                match self.find(now, record, requests, reply) {
                    Some(_) => Received::Unremarkable,
                    None => self.not_found(record, requests),
                }
            }
            Item::End { request_id, body } => {
                let record = record(RecordType::EndRequest, request_id);
                match self.find(now, record, requests, reply) {
                    Some((key, _)) => Received::Ended { key, body },
                    None => self.not_found(record, requests),
                }
            }
            other => self.receive_management(key, other),
        }
    }

    /// What is no request's.
    #[inline(never)]
    fn receive_management(&mut self, key: u32, item: Item<'_>) -> Received {
        match item {
            Item::Values {
                record_type: RecordType::GetValuesResult,
                data,
                last,
                ..
            } => match self.collect_answer(data, last) {
                Some(Some(values)) => Received::Values(values),
                Some(None) => Received::Unremarkable,
                None => Received::Unsolicited,
            },
            // The answer of applications that do not know the question.
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

    #[inline(always)]
    fn output(
        &mut self,
        now: Time,
        record: Record,
        data: &[u8],
        requests: &mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Received {
        let Some((key, request)) = self.find(now, record, requests, reply) else {
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

    #[inline]
    fn output_end(
        &mut self,
        now: Time,
        record: Record,
        requests: &mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Received {
        let Some((key, request)) = self.find(now, record, requests, reply) else {
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

    /// The request that a record is for, if it is to have it.
    #[inline]
    fn find<'r>(
        &mut self,
        now: Time,
        record: Record,
        requests: &'r mut Requests,
        reply: &mut Option<FirstReply>,
    ) -> Option<(u32, &'r mut Request)> {
        let Record {
            on,
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

    /// Why no request is to have a record.
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
            // Not a byte of the request has left, or of the one in flight: the record cannot be its.
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

    /// Whether a connection with one request at a time has one of which not a byte was sent: what comes meanwhile is left
    /// over from another, and may not be all of it.
    fn is_before_its_request(&self, requests: &Requests) -> bool {
        self.max_requests == 1
            && self
                .only_request(requests)
                .is_some_and(|it| !it.upload().has_begun(self.transmitted()))
    }

    /// The first of its requests: the only one, where it has one at a time.
    pub(crate) fn only_request<'a>(&self, requests: &'a Requests) -> Option<&'a Request> {
        self.requests().next().map(|key| &requests[key])
    }

    /// Whether the end of a request with ID 1 shows that the application gives this ID to whatever it answers, as far as
    /// this connection tells: a request that ended is ended again, and the one in flight has another ID, was sent as a
    /// whole and is not answered.
    pub(crate) fn is_answered_as_1(&self, request_id: u16, requests: &Requests) -> bool {
        request_id == 1
            && self.max_requests == 1
            && self.has_no_reply_yet()
            && self
                .only_request(requests)
                .is_some_and(|it| it.upload().is_sent(self.transmitted()))
    }

    // --- what is known of its socket ---

    /// The driver has announced something that it has not read.
    #[inline]
    pub(crate) fn note_readable(&mut self) {
        self.receiving.is_unread = true;
    }

    /// The end of the application's stream was announced.
    pub(crate) fn note_ending(&mut self) {
        self.receiving.is_ending = true;
    }

    /// The socket is empty after the bytes that are to be fed next.
    #[inline]
    pub(crate) fn note_drained(&mut self) {
        self.receiving.is_unread = false;
        self.receiving.is_feeding = true;
        self.end_reading_first();
    }

    /// A read found the socket empty: an end that was announced would have been found.
    pub(crate) fn note_no_end(&mut self) {
        self.receiving.is_ending = false;
    }

    /// A read is used up. Whether a time limit that is over counts now.
    #[inline]
    pub(crate) fn finish_read(&mut self) -> bool {
        self.end_rest_of_ids();
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

    /// Whether it stands between two records, nothing of a read is left, and the socket is empty as far as the driver
    /// knows.
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

    /// Whether the rest of a record is missing, and not in the socket.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.is_at_record_boundary() && !self.receiving.is_unread
    }

    /// Whether an idle connection has begun to speak: bytes of a record that is nobody's have come.
    pub(crate) fn speaks_unasked(&self) -> bool {
        (self.is_available || !self.receiving.demux.is_skipping())
            && self.question.is_none()
            && !self.is_at_record_boundary()
    }

    pub(crate) fn has_no_reply_yet(&self) -> bool {
        self.receiving.has_no_reply_yet
    }

    /// It is idle, or was until now: the next byte is the first reply.
    #[inline]
    pub(crate) fn await_reply(&mut self) {
        self.receiving.has_no_reply_yet = true;
    }

    // --- time limits that are over ---

    /// A time limit is over, and what it waits for may be in the socket already, announced or not: this process may have
    /// been stopped, or busy. The limit counts once the socket was found empty, or was read a number of times.
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

    /// Whether a time limit is over and waits for what may be in the socket.
    pub(super) fn is_looked_into(&self) -> bool {
        self.receiving.overdue.is_some()
    }

    /// Time limits that were over have counted, or it is idle.
    #[inline]
    pub(crate) fn end_look(&mut self) {
        self.receiving.overdue = None;
    }

    /// Whether the driver is to be asked to read: it was not yet.
    pub(crate) fn ask_read(&mut self) -> bool {
        !std::mem::replace(&mut self.receiving.is_read_asked, true)
    }

    /// The driver has been told to read.
    pub(crate) fn note_read_asked(&mut self) {
        self.receiving.is_read_asked = false;
    }
}

fn unexpected_direction(record_type: RecordType) -> Received {
    Received::Violation(ProtocolError::UnexpectedRecord { record_type })
}
