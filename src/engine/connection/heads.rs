//! The heads of requests: `FCGI_BEGIN_REQUEST` and `FCGI_PARAMS`.
//!
//! A head is framed when the outbox has room for it, not when its request is put on the connection. Until then the
//! parameters are in memory once, the application has no part of the request, and giving the request up costs neither
//! an ID nor a record (if it is the last one that has not ended, the connection is closed as for any other). The heads of a
//! connection are framed in the order in which their requests were put on it.
//!
//! [`frame_head`](Connection::frame_head) is the only function that frames one.

use std::collections::VecDeque;

use log::trace;

use super::outbox::BufferPool;
use super::send::Sender;
use super::{Connection, Requests};
use crate::engine::requests::Request;
use crate::event::RequestHandle;
use crate::wire::{self, RecordType};

/// The unsent bytes up to which heads are framed.
const FULL: usize = 64 * 1024;
/// The bytes of heads that are framed before a body that waits gets its turn: as many as the body's record has.
const FAIR_TURN: usize = 16 * 1024;

/// The requests whose heads wait for room. In a box, because most connections are never shared.
#[derive(Debug, Default)]
pub(super) struct Heads(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// In order. Requests that were given up are still in it.
    queue: VecDeque<RequestHandle>,
    /// Bytes of heads that were framed since a body last had its turn.
    turn: usize,
}

impl Heads {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|it| it.queue.is_empty())
    }

    /// A body had its turn: heads are framed again.
    #[inline]
    pub(super) fn end_turn(&mut self) {
        if let Some(waiting) = &mut self.0 {
            waiting.turn = 0;
        }
    }

    #[inline]
    fn is_turn_over(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.turn >= FAIR_TURN)
    }

    /// Adds a request to the end. Once more than twice the `live` requests are in the queue, those that no longer wait
    /// are removed.
    pub(super) fn add(
        &mut self,
        request: RequestHandle,
        live: u16,
        is_waiting: impl FnMut(&RequestHandle) -> bool,
    ) {
        let waiting = self.0.get_or_insert_default();
        // There may be as many that were given up as there are others.
        if waiting.queue.len() > 2 * usize::from(live) {
            waiting.queue.retain(is_waiting);
        }
        waiting.queue.push_back(request);
    }

    /// Removes the first request.
    #[inline]
    fn take(&mut self) -> Option<RequestHandle> {
        self.0.as_mut()?.queue.pop_front()
    }

    #[inline]
    fn note_framed(&mut self, len: usize) {
        if let Some(waiting) = &mut self.0 {
            waiting.turn += len;
        }
    }

    fn iter(&self) -> impl Iterator<Item = RequestHandle> + '_ {
        self.0.iter().flat_map(|it| it.queue.iter().copied())
    }

    pub(super) fn heap_len(&self) -> usize {
        self.0.as_ref().map_or(0, |it| {
            size_of::<Waiting>() + it.queue.capacity() * size_of::<RequestHandle>()
        })
    }

    /// Whether there is memory that an idle connection need not keep.
    pub(super) fn is_large(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn shrink_idle(&mut self) {
        self.0 = None;
    }
}

impl Connection {
    /// Whether the head of a request that is put on the connection now is framed at once.
    #[inline]
    pub(super) fn takes_head(&self) -> bool {
        self.heads.is_empty() && self.has_room_for_head()
    }

    /// Lets a request wait until there is room for its head.
    pub(super) fn add_head(&mut self, key: u32, request_key: u32, requests: &mut Requests) {
        let request = &mut requests[request_key];
        request.upload_mut().set_queued(true);
        let handle = request.handle(request_key);
        let own = self.handle(key);
        let is_waiting = |it: &_| requests.of(*it).is_some_and(|it| it.waits_on(own));
        self.heads.add(handle, self.live, is_waiting);
    }

    /// Frames the heads that have waited, as far as there is room.
    pub(super) fn frame_heads(
        &mut self,
        key: u32,
        requests: &mut Requests,
        keep: bool,
        pool: &mut BufferPool,
    ) {
        let own = self.handle(key);
        while self.has_room_for_head()
            && let Some(handle) = self.heads.take()
        {
            if let Some(request) = requests.of_mut(handle).filter(|it| it.waits_on(own)) {
                self.frame_head(handle.index, request, keep, pool);
            }
        }
    }

    /// Whether a head waits that can be framed now.
    #[inline]
    pub(super) fn can_frame_head(&self) -> bool {
        !self.heads.is_empty() && self.has_room_for_head()
    }

    /// Whether a head waits although nothing is unsent.
    #[cfg(debug_assertions)]
    pub(crate) fn has_forgotten_head(&self, key: u32, requests: &Requests) -> bool {
        let own = self.handle(key);
        let waits = |it: RequestHandle| requests.of(it).is_some_and(|it| it.waits_on(own));
        !self.has_unsent() && self.heads.iter().any(waits)
    }

    /// Whether the outbox has room for a head, and it is not a body's turn.
    #[inline]
    fn has_room_for_head(&self) -> bool {
        self.unsent() < FULL && (!self.heads.is_turn_over() || self.sending.next_sender().is_none())
    }

    /// Frames `FCGI_BEGIN_REQUEST` and `FCGI_PARAMS`. If the request has a body, it gets into the send queue.
    #[inline]
    pub(super) fn frame_head(
        &mut self,
        request_key: u32,
        request: &mut Request,
        keep: bool,
        pool: &mut BufferPool,
    ) {
        let Some(id) = request.id() else {
            debug_assert!(false, "a request on a connection has an ID");
            return;
        };
        self.ids.note_framed(id);
        let handle = request.handle(request_key);
        // A request without a body skips the send queue, which saves 240 of 8,500 instructions.
        let is_whole = request.upload().is_empty();
        let (role, parts) = (request.role(), request.params().encoded_parts());
        let outbox = self.sending.outbox();
        let start = outbox.end_offset();
        outbox.frame(pool, |buffer| {
            wire::write_begin_request(buffer, id, role, keep);
            wire::write_params_records(buffer, id, &parts);
            wire::write_stream_end(buffer, RecordType::Params, id);
            if is_whole {
                wire::write_stream_end(buffer, RecordType::Stdin, id);
            }
        });
        let end = outbox.end_offset();
        self.heads.note_framed((end - start) as usize);
        let upload = request.upload_mut();
        upload.note_head_framed(start);
        upload.note_framed(end - start, end);
        upload.set_queued(!is_whole);
        if is_whole {
            upload.stop();
            self.sending.add_mark(handle);
        } else {
            self.sending.add_sender(Sender { request_key, id });
        }
        trace!(
            "request {request_key}: head of {} bytes framed",
            end - start
        );
    }

    /// The requests on the connection, in the order in which they were framed or will be.
    pub(crate) fn requests_in_order(&self, key: u32, requests: &Requests) -> Vec<u32> {
        let framed = |key: &u32| requests[*key].upload().is_head_framed();
        let mut all: Vec<u32> = self.requests().filter(framed).collect();
        all.sort_unstable_by_key(|it| requests[*it].upload().first_offset());
        let own = Some(self.handle(key));
        let waits = |it: &RequestHandle| {
            let request = requests.of(*it).filter(|it| it.connection() == own);
            request.is_some_and(|it| !it.upload().is_head_framed())
        };
        all.extend(self.heads.iter().filter(waits).map(|it| it.index));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::Connection;
    use super::{Heads, Waiting};
    use crate::engine::time::Time;
    use crate::event::RequestHandle;
    use crate::{Action, Config, Engine, Multiplex, Request, Tag};

    fn handle(index: u32) -> RequestHandle {
        RequestHandle {
            index,
            generation: 1,
        }
    }

    #[test]
    fn those_that_no_longer_wait_are_removed_only_where_they_are_the_most() {
        let mut heads = Heads::default();
        for index in 0..=10 {
            heads.add(handle(index), 5, |_| panic!("there are few"));
        }
        // Three more than the most: a request has ended since.
        heads.add(handle(11), 4, |it| it.index % 2 == 0);
        let kept: Vec<u32> = heads.iter().map(|it| it.index).collect();
        assert_eq!(kept, [0, 2, 4, 6, 8, 10, 11]);
    }

    #[test]
    fn the_memory_of_many_that_wait_is_counted_and_given_back() {
        let mut heads = Heads::default();
        assert_eq!((heads.heap_len(), heads.is_large()), (0, false));
        for index in 0..1000 {
            heads.add(handle(index), 1000, |_| true);
        }
        let least = size_of::<Waiting>() + 1000 * size_of::<RequestHandle>();
        assert!((least..2 * least).contains(&heads.heap_len()));
        assert!(heads.is_large());
        heads.shrink_idle();
        assert_eq!((heads.heap_len(), heads.is_large()), (0, false));
    }

    #[test]
    fn giving_up_requests_that_wait_again_and_again_takes_no_memory() {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.multiplex = Multiplex::On { max: 1000 };
        config.limits.max_connections_per_server = 1;
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let submit = |engine: &mut Engine, len| {
            let request = Request::responder().param("N", "x".repeat(len));
            engine.submit(now, request, Tag(0)).expect("accepted")
        };
        for _ in 0..2 {
            submit(&mut engine, super::FULL / 2);
        }
        let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
            panic!("a connect");
        };
        engine.handle_connected(now, connection);
        for _ in 0..3 {
            submit(&mut engine, 0);
        }
        for _ in 0..10_000 {
            let handle = submit(&mut engine, 0);
            engine.abort(now, handle);
            assert!(engine.connections[0].heads.heap_len() <= 256);
        }
    }

    #[test]
    fn a_head_is_taken_while_there_is_room_and_only_if_none_waits_before_it() {
        let mut connection = Connection::new(Time::START, 0, 0, Default::default());
        connection.connected(Time::START, 9, false);
        assert!(connection.takes_head());
        assert!(!connection.can_frame_head() && !connection.wants_fill());
        connection.heads.add(handle(1), 1, |_| true);
        assert!(!connection.takes_head(), "it would be the first");
        assert!(connection.can_frame_head() && connection.wants_fill());
        let full = |buffer: &mut Vec<u8>| buffer.resize(super::FULL, 0);
        connection
            .sending
            .outbox()
            .frame(&mut Default::default(), full);
        assert!(!connection.takes_head() && !connection.can_frame_head());
        connection.heads.shrink_idle();
        assert!(!connection.takes_head());
    }
}
