//! Outputs of the engine, each taken until `None`: events, actions, bytes to be written.

use std::time::Instant;

use super::connection::Received;
use super::requests::Kept;
use super::{Action, Engine, RawEvent};
use crate::event::{ConnectionHandle, Event, EventKind};

impl Engine {
    /// Parses bytes that were read from a connection and returns the next event; call it until `None`.
    ///
    /// `input` moves past the consumed bytes and is empty when `None` is returned: the driver keeps no unparsed bytes.
    /// Events borrow from `input`. Bytes for a stale handle are dropped. A protocol error closes the connection;
    /// [`poll_pending`](Self::poll_pending) returns what follows from that for its requests.
    #[inline]
    #[must_use = "an event is not announced twice"]
    pub fn poll_received<'b>(
        &mut self,
        now: Instant,
        connection: ConnectionHandle,
        input: &mut &'b [u8],
    ) -> Option<Event<&'b [u8]>> {
        let whole = *input;
        let received = self.next_received(now, connection, input)?;
        Some(received.into_event(&whole[..whole.len() - input.len()]))
    }

    /// Like [`poll_received`](Self::poll_received). The bytes of an output event are the last `len` consumed bytes of
    /// `input`.
    pub(crate) fn next_received(
        &mut self,
        now: Instant,
        connection: ConnectionHandle,
        input: &mut &[u8],
    ) -> Option<RawEvent> {
        let now = self.timeline.tick(now);
        loop {
            let own = self.connections.get_mut(connection.index as usize);
            let Some(own) = own.filter(|it| it.is(connection)) else {
                *input = &[];
                self.settle(now);
                return None;
            };
            let key = connection.index;
            let before = input.len();
            let mut reply = None;
            let received = own.receive(now, key, input, &mut self.requests, &mut reply);
            self.counters.note_received(before - input.len());
            if let Some(reply) = reply {
                self.pool.answered(own.server(), reply);
            }
            if let Received::Nothing = received {
                self.finish_read(now, key);
                self.settle(now);
                return None;
            }
            let is_end = matches!(received, Received::Ended { .. });
            match self.received(now, key, received) {
                Some(event) => {
                    if !event.is_output() {
                        self.settle(now);
                    }
                    return Some(event);
                }
                // A refused request waits again: the limit of the queue holds before the next event.
                None if is_end => self.settle(now),
                None => {}
            }
        }
    }

    /// The next event that is not parsed from bytes just read: an `End`, `StdinReady`, or output of a paused request.
    /// Output is copied to the front of `scratch`, as much as fits.
    ///
    /// The content of `scratch` is overwritten.
    ///
    /// # Panics
    /// When `scratch` is empty and there is output to copy.
    #[inline]
    #[must_use = "an event is not announced twice"]
    pub fn poll_pending<'b>(&mut self, scratch: &'b mut [u8]) -> Option<Event<&'b [u8]>> {
        let Some(event) = self.next_event(scratch) else {
            self.note_shutdown_seen();
            return None;
        };
        Some(event.into_event_at_front(scratch))
    }

    /// Ends the wake-up after a shutdown, which is there until the driver takes a turn after it.
    #[inline]
    pub(crate) fn note_shutdown_seen(&mut self) {
        if !self.lifecycle.is_running() && self.is_stopped_now() {
            self.lifecycle.stopped();
        }
    }

    /// Like [`poll_pending`](Self::poll_pending). The bytes of an output event are at the front of `scratch`.
    #[inline]
    pub(crate) fn next_event(&mut self, scratch: &mut [u8]) -> Option<RawEvent> {
        if !self.pending.has_events() && !self.requests.has_notices() && self.lifecycle.is_running()
        {
            return None;
        }
        self.take_event(scratch)
    }

    fn take_event(&mut self, scratch: &mut [u8]) -> Option<RawEvent> {
        if let Some(event) = self.pending.take_event() {
            return Some(event);
        }
        while let Some(kept) = self.requests.take_notice(scratch) {
            if let Some(event) = self.taken(kept) {
                return Some(event);
            }
        }
        None
    }

    /// Makes an event of a notice that was queued for a request. `None` when the notice gives no event.
    fn taken(&mut self, kept: Kept) -> Option<RawEvent> {
        let key = kept.key();
        let request = &self.requests[key];
        let (handle, tag) = (request.handle(key), request.tag());
        let kind = match kept {
            Kept::Output {
                kind,
                len,
                less,
                left,
                ..
            } => {
                self.note_taken(key, less, left);
                kind.event_kind(len)
            }
            Kept::StdoutEnd(_) => EventKind::StdoutEnd,
            Kept::StdinReady(_) => EventKind::StdinReady,
            Kept::Outcome(_, outcome) => return self.finish(key, outcome),
        };
        Some(Event::new(handle, tag, kind))
    }

    /// Buffered output was taken: more fits into the buffer, and the connection may be read again.
    fn note_taken(&mut self, key: u32, less: usize, left: usize) {
        if let Some(connection) = self.requests[key].connection() {
            let was_full = (left == 0 || left < self.config.pause_buffer.per_request)
                && self.requests[key].unfill_output();
            let own = &mut self.connections[connection.index as usize];
            own.note_taken(less, was_full);
            self.update_reads(connection.index);
        }
        self.reopen_reads();
    }

    /// The next action for the driver, in the order in which the engine asked for them.
    #[inline]
    #[must_use = "an action is asked for once"]
    pub fn poll_action(&mut self) -> Option<Action> {
        while let Some(action) = self.pending.take_action() {
            let (Action::Connect { connection, .. }
            | Action::Close { connection, .. }
            | Action::Flush { connection }
            | Action::Read { connection }) = action;
            let own = self
                .connections
                .get_mut(connection.index as usize)
                .filter(|it| it.is(connection));
            match (action, own) {
                (Action::Flush { .. }, Some(own)) => own.note_flush_asked(),
                (Action::Read { .. }, Some(own)) => own.note_read_asked(),
                (Action::Close { .. }, _) | (Action::Connect { .. }, Some(_)) => {}
                // The connection is gone.
                (_, None) => continue,
            }
            return Some(action);
        }
        None
    }

    /// Appends the bytes to write to a connection next to `out` and counts them as written. Returns the number of bytes
    /// appended: at most about 256 KiB per call, after which there may be more; 0 when there is nothing to write or the
    /// handle is stale. For completion-based I/O, where the engine is used while a write is in progress.
    ///
    /// From this call on the bytes may reach the application, so a request fails as [`Delivery::MaybeProcessed`] even
    /// if the write does not complete. Keep `out` until the write has completed, also if [`Action::Close`] comes
    /// meanwhile. If the write takes fewer bytes, write the rest before anything else.
    ///
    /// [`Delivery::MaybeProcessed`]: crate::Delivery::MaybeProcessed
    /// [`Action::Close`]: crate::Action::Close
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        connection: ConnectionHandle,
        out: &mut Vec<u8>,
    ) -> usize {
        let slices = self.transmit(connection);
        let len = slices.iter().map(|slice| slice.len()).sum();
        out.reserve(len);
        for slice in slices.iter() {
            out.extend_from_slice(slice);
        }
        self.handle_transmitted(now, connection, len);
        len
    }
}
