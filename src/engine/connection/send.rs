//! Sending on a connection: how a request begins and ends, and how much of it was sent.

use std::collections::VecDeque;
use std::time::Duration;

use log::debug;

use super::outbox::{BufferPool, Outbox, Transmit};
use super::{Connection, KEPT, Requests, State};
use crate::engine::requests::{Assignment, Request, State as RequestState};
use crate::engine::time::Time;
use crate::event::RequestHandle;
use crate::report::Elapsed;
use crate::wire::{self, Demux, Item, RecordType};

#[derive(Debug)]
pub(super) struct Sending {
    outbox: Outbox,
    /// Requests with more body to send, in turn. Those that are no longer here may be in it.
    queue: VecDeque<Sender>,
    /// Requests that were framed as a whole, with the position after their last byte.
    marks: VecDeque<(u64, RequestHandle)>,
    /// The position after the last byte that was framed before the connection was last idle.
    idle_offset: u64,
    /// When the connection became idle, when bytes last left it, or when its outbox was last empty.
    last_activity: Time,
}

/// A request with more body to send. The ID tells it from an earlier attempt of the same request on the connection, and
/// from an earlier request under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) request_key: u32,
    pub(super) id: u16,
}

impl Sending {
    pub(super) fn new(now: Time) -> Self {
        Self {
            outbox: Outbox::default(),
            queue: VecDeque::new(),
            marks: VecDeque::new(),
            idle_offset: 0,
            last_activity: now,
        }
    }

    pub(super) fn last_activity(&self) -> Time {
        self.last_activity
    }

    // --- for framing ---

    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// The request whose turn it is, and whether it is the only one with something to send.
    #[inline]
    pub(super) fn next_sender(&self) -> Option<(Sender, bool)> {
        let next = self.queue.front().copied()?;
        Some((next, self.queue.len() == 1))
    }

    /// Removes the request whose turn it is from the queue.
    pub(super) fn remove_sender(&mut self) {
        self.queue.pop_front();
    }

    /// A request has more to send.
    pub(super) fn add_sender(&mut self, sender: Sender) {
        self.queue.push_back(sender);
    }

    /// A request was framed as a whole.
    #[inline]
    pub(super) fn add_mark(&mut self, request: RequestHandle) {
        self.marks.push_back((self.outbox.end_offset(), request));
    }

    // --- memory ---

    pub(super) fn reserve_one(&mut self) {
        self.queue.reserve_exact(1);
        self.marks.reserve_exact(1);
    }

    pub(super) fn heap_len(&self) -> usize {
        self.outbox.heap_len()
            + self.queue.capacity() * size_of::<Sender>()
            + self.marks.capacity() * size_of::<(u64, RequestHandle)>()
    }

    pub(super) fn is_large(&self) -> bool {
        self.queue.capacity() > KEPT || self.marks.capacity() > KEPT
    }

    pub(super) fn shrink_idle(&mut self) {
        if self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        if self.marks.capacity() > KEPT {
            self.marks = VecDeque::new();
        }
    }
}

impl Connection {
    // --- bytes to send ---

    /// The next bytes to write, in order; not necessarily all.
    #[inline]
    pub(crate) fn transmit<'a>(&'a self, requests: &'a Requests) -> Transmit<'a> {
        self.sending.outbox.slices(|slice| requests.body(slice))
    }

    /// Like [`transmit`](Self::transmit), while bytes of a request are lent.
    pub(crate) fn transmit_lent<'a>(
        &'a self,
        requests: &'a Requests,
        lender: u32,
        lent: &'a [u8],
    ) -> Transmit<'a> {
        let upload = requests[lender].upload();
        self.sending.outbox.slices(|slice| {
            let is_lenders = slice.request == lender;
            let lent = is_lenders.then(|| upload.lent(slice, lent)).flatten();
            lent.unwrap_or_else(|| requests.body(slice))
        })
    }

    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    pub(super) fn unsent(&self) -> usize {
        self.sending.outbox.unsent()
    }

    /// Bytes given to the transport since the connection was opened.
    pub(crate) fn transmitted(&self) -> u64 {
        self.sending.outbox.transmitted()
    }

    /// The position of the next byte to be framed.
    pub(super) fn end_offset(&self) -> u64 {
        self.sending.outbox.end_offset()
    }

    /// Restarts the clock of progress: time before `now` does not count as lack of progress.
    #[inline]
    pub(crate) fn touch(&mut self, now: Time) {
        self.sending.last_activity = now;
    }

    /// Bytes are about to be framed. Time in which there was nothing to send does not count as lack of progress.
    #[inline]
    fn begin_framing(&mut self, now: Time) {
        if self.sending.outbox.unsent() == 0 {
            self.sending.last_activity = now;
        }
    }

    /// Whether to ask the driver to write: there are bytes, and it was not asked yet.
    #[inline]
    pub(crate) fn ask_flush(&mut self) -> bool {
        let is_new = self.has_unsent() && !self.is_flush_asked;
        if is_new {
            self.is_flush_asked = true;
        }
        is_new
    }

    /// The driver has taken the action that asks it to write.
    #[inline]
    pub(crate) fn note_flush_asked(&mut self) {
        self.is_flush_asked = false;
    }

    /// Whether the socket must be read once before anything is written.
    pub(crate) fn reads_first(&self) -> bool {
        self.reads_first
    }

    #[inline]
    pub(super) fn end_reading_first(&mut self) {
        self.reads_first = false;
    }

    /// Gives the memory of the outbox to the pool.
    pub(crate) fn give_back(&mut self, pool: &mut BufferPool) {
        self.sending.outbox.give_back(pool);
    }

    // --- a request begins ---

    /// Puts a request on the connection. Its head is framed at once if there is room for it. False when there is no ID
    /// for it.
    #[inline(always)]
    pub(crate) fn begin(
        &mut self,
        now: Time,
        key: u32,
        request_key: u32,
        requests: &mut Requests,
        keep: bool,
        pool: &mut BufferPool,
    ) -> bool {
        debug_assert!(matches!(self.state, State::Open));
        let Some(id) = self.ids.allocate(request_key) else {
            debug_assert!(false, "has_free_id was checked");
            return false;
        };
        let request = requests.begin(request_key, self.served > 0);
        self.assign(now, key, id, request);
        debug!(
            "request {request_key}: begins on connection {key} as id {id}, {}, {} bytes of params",
            request.role(),
            request.params().encoded_len()
        );
        if self.takes_head() {
            self.frame_head(request_key, request, keep, pool);
        } else {
            self.add_head(key, request_key, requests);
        }
        true
    }

    /// Puts an embedder's probe on the connection. A probe has no ID of its own.
    pub(crate) fn begin_probe(
        &mut self,
        now: Time,
        key: u32,
        request_key: u32,
        requests: &mut Requests,
        pool: &mut BufferPool,
    ) {
        let request = requests.begin(request_key, self.served > 0);
        self.assign(now, key, wire::MANAGEMENT_ID, request);
        let start = self.end_offset();
        self.probe(now, request.handle(request_key));
        self.frame_probe(now, key, pool);
        // It has no body whose end could be framed. Its bytes are not counted as bytes of a request.
        let upload = request.upload_mut();
        upload.note_head_framed(start);
        upload.note_framed(0, self.end_offset());
        upload.stop();
    }

    #[inline(always)]
    fn assign(&mut self, now: Time, key: u32, id: u16, request: &mut Request) {
        let runs_once = !request.may_be_repeated();
        let end = self.sending.outbox.end_offset();
        if self.live == 0 {
            self.await_reply();
            self.take_available();
            self.reads_first = false;
            self.sending.idle_offset = end;
        }
        // True as long as no byte was sent since the connection was idle, whichever request came first.
        let is_untouched = self.transmitted() <= self.sending.idle_offset;
        self.reads_first |= self.served > 0 && is_untouched && runs_once;
        let is_first = self.served == 0 && self.live == 0;
        self.begin_framing(now);
        let to = Assignment {
            connection: self.handle(key),
            id,
            is_reused: self.served > 0,
            connecting: is_first.then(|| Elapsed::from_nanos(u64::from(self.took_us) * 1000)),
        };
        request.assign(now, to);
        self.add_request(request.output().weight());
    }

    /// Sends `FCGI_GET_VALUES`.
    pub(crate) fn frame_probe(&mut self, now: Time, key: u32, pool: &mut BufferPool) {
        self.begin_framing(now);
        let names = [wire::MAX_CONNS, wire::MAX_REQS, wire::MPXS_CONNS];
        let framed = self
            .sending
            .outbox
            .frame(pool, |buffer| wire::write_get_values(buffer, &names));
        debug_assert!(framed.is_ok(), "three short names fit one record");
        debug!("connection {key}: asking for the server's values");
    }

    // --- bodies ---

    /// The embedder has pushed more of a body: its request enters the send queue again.
    pub(crate) fn send_more(&mut self, now: Time, request_key: u32, request: &mut Request) {
        self.begin_framing(now);
        if !request.upload().is_queued() {
            let Some(id) = request.id() else {
                return;
            };
            request.upload_mut().set_queued(true);
            self.sending.add_sender(Sender { request_key, id });
        }
    }

    /// Bytes were given to the transport. Returns how many count, at most those that were unsent.
    #[inline(always)]
    pub(crate) fn sent(
        &mut self,
        now: Time,
        len: usize,
        requests: &mut Requests,
        half: usize,
        pool: &mut BufferPool,
    ) -> u64 {
        let before = self.transmitted();
        self.sending.last_activity = now;
        self.reads_first = false;
        self.sending
            .outbox
            .consume(len, pool, |slice| requests.release_body(slice, half));
        self.transmitted() - before
    }

    /// The next request whose last byte was sent, and the time limit on its response, which begins now.
    #[inline]
    pub(crate) fn next_sent(
        &mut self,
        now: Time,
        key: u32,
        requests: &mut Requests,
    ) -> Option<(u32, Option<Duration>)> {
        let transmitted = self.transmitted();
        let own = self.handle(key);
        while let Some((offset, handle)) = self.sending.marks.front().copied() {
            if offset > transmitted {
                break;
            }
            self.sending.marks.pop_front();
            let Some(request) = requests.of_mut(handle) else {
                continue;
            };
            // The request may have been rejected and be on another connection, or be in its abort.
            if request.connection() == Some(own)
                && !request.is_aborting()
                && request.upload().is_sent(transmitted)
            {
                debug!("request {}: sent", handle.index);
                request.note_sent(now);
                return Some((handle.index, requests.read_limit(handle.index)));
            }
        }
        None
    }

    // --- a request ends before it was sent ---

    /// Ends the streams of a request that are not ended yet; its body slices in the outbox are copied. False when all
    /// streams were ended already.
    pub(crate) fn end_streams(
        &mut self,
        now: Time,
        request_key: u32,
        id: u16,
        requests: &mut Requests,
        pool: &mut BufferPool,
    ) -> bool {
        self.inline_bodies(request_key, requests);
        let upload = requests[request_key].upload_mut();
        let streams = upload.open_streams();
        upload.stop();
        if streams.is_empty() {
            return false;
        }
        self.begin_framing(now);
        self.sending.outbox.frame(pool, |buffer| {
            for record_type in streams {
                wire::write_stream_end(buffer, *record_type, id);
            }
        });
        true
    }

    /// Sends `FCGI_ABORT_REQUEST`.
    pub(crate) fn frame_abort(&mut self, now: Time, key: u32, id: u16, pool: &mut BufferPool) {
        self.begin_framing(now);
        self.sending
            .outbox
            .frame(pool, |buffer| wire::write_abort_request(buffer, id));
        debug!("connection {key}: FCGI_ABORT_REQUEST for id {id}, which is out of use now");
    }

    /// Copies the body slices of a request in the outbox, before the request is removed.
    pub(crate) fn inline_bodies(&mut self, request_key: u32, requests: &Requests) {
        self.sending
            .outbox
            .inline_bodies(request_key, |slice| requests.body(slice));
    }

    /// Takes body bytes that cannot be read again back from the outbox, if no byte of the request was sent.
    pub(crate) fn take_back_bodies(&self, request_key: u32, requests: &mut Requests) {
        let request = &requests[request_key];
        let RequestState::Active { id, .. } = request.state() else {
            return;
        };
        let upload = request.upload();
        let is_untouched = upload.is_head_framed() && !upload.has_begun(self.transmitted());
        if upload.is_repeatable() || request.is_probe() || !is_untouched {
            return;
        }
        let (mut stdin, mut data) = (Vec::new(), Vec::new());
        let mut demux = Demux::default();
        let first = upload.first_offset();
        let body = |slice| requests.body(slice);
        self.sending.outbox.pieces_from(first, body, |mut bytes| {
            while let Ok(Some(item)) = demux.next(&mut bytes) {
                let Item::Stream {
                    record_type,
                    request_id,
                    data: content,
                } = item
                else {
                    continue;
                };
                match record_type {
                    RecordType::Stdin if request_id == id => stdin.extend_from_slice(content),
                    RecordType::Data if request_id == id => data.extend_from_slice(content),
                    _ => {}
                }
            }
        });
        requests[request_key].upload_mut().take_back(stdin, data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_a_burst_made_large_are_given_back() {
        for (queue, marks) in [(4, 4), (5, 4), (4, 5), (5, 5)] {
            let mut sending = Sending::new(Time::START);
            sending.queue = VecDeque::with_capacity(queue);
            sending.marks = VecDeque::with_capacity(marks);
            assert_eq!(sending.heap_len(), queue * 8 + marks * 16);
            assert_eq!(sending.is_large(), queue + marks > 8);
            sending.shrink_idle();
            let left = [sending.queue.capacity(), sending.marks.capacity()];
            assert_eq!(left, [queue, marks].map(|it| if it > 4 { 0 } else { it }));
            assert!(!sending.is_large());
        }
    }

    #[test]
    fn room_is_made_for_one_request_and_no_more() {
        let mut sending = Sending::new(Time::START);
        sending.reserve_one();
        let room = [sending.queue.capacity(), sending.marks.capacity()];
        assert_eq!(room, [1, 1]);
    }

    #[test]
    fn the_memory_of_what_was_to_be_sent_is_given_back() {
        let mut pool = BufferPool::default();
        let mut connection = Connection::new(Time::START, 0, 0, Default::default());
        connection.frame_probe(Time::START, 0, &mut pool);
        assert!(connection.sending.outbox.heap_len() > 0);
        connection.give_back(&mut pool);
        assert_eq!(connection.sending.outbox.heap_len(), 0);
    }
}
