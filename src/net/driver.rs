//! The driver: what is between an engine, which it is lent for the time of a call, and a transport.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::read_buf::{Owner, ReadBuf};
use super::transport::{Readiness, Transport};
use super::turns::Turns;
use crate::engine::{Engine, RawEvent};
use crate::error::StdinError;
use crate::event::{ConnectionHandle, Event, RequestHandle};

/// The sockets and their turns, and the position in the read buffer. The methods are those of [`Client`](super::Client).
#[derive(Debug)]
pub(crate) struct Driver<T: Transport> {
    /// The sockets, and the order of their turns.
    turns: Turns<T>,
    /// The connection whose bytes are in the read buffer.
    reading: Option<ConnectionHandle>,
    /// Identifies this client to the read buffer.
    owner: Owner,
}

impl<T: Transport> Driver<T> {
    /// `are_used`: the tokens were those of another client, of which late events may come.
    pub(crate) fn new(transport: T, tokens: Range<usize>, are_used: bool) -> Self {
        Self {
            turns: Turns::new(transport, tokens, are_used),
            reading: None,
            owner: Owner::default(),
        }
    }

    pub(super) fn tokens(&self) -> &Range<usize> {
        self.turns.tokens()
    }

    /// The number of turns that are due.
    pub(super) fn turns_due(&self) -> usize {
        self.turns.len()
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn transport(&self) -> &T {
        self.turns.transport()
    }

    pub(crate) fn transport_mut(&mut self) -> &mut T {
        self.turns.transport_mut()
    }

    pub(crate) fn has_work(&self, engine: &Engine) -> bool {
        self.reading.is_some() || !self.turns.is_empty() || engine.has_output()
    }

    pub(crate) fn timeout(&self, engine: &Engine, now: Instant) -> Option<Duration> {
        if self.has_work(engine) {
            return Some(Duration::ZERO);
        }
        engine.timeout(now)
    }

    #[inline]
    pub(crate) fn handle_event(
        &mut self,
        engine: &mut Engine,
        token: usize,
        event: Readiness,
    ) -> bool {
        self.turns.note_event(engine, token, event)
    }

    pub(crate) fn handle_timeout(&mut self, engine: &mut Engine, now: Instant) {
        if self.turns.has_connects() && engine.timeout(now) == Some(Duration::ZERO) {
            self.turns.finish_connects(engine, now);
        }
        engine.handle_timeout(now);
    }

    pub(crate) fn write_stdin(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        let (turns, reading) = (&mut self.turns, self.reading);
        engine.write_stdin_with(now, request, bytes, |connection, slices| match reading {
            // Its bytes are in the read buffer, and may end the request.
            Some(reading) if reading == connection => 0,
            _ => turns.write_now(connection, slices),
        })
    }

    #[inline(always)]
    pub(crate) fn poll_event<'b>(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        buf: &'b mut ReadBuf,
    ) -> Option<Event<&'b [u8]>> {
        buf.claim(&self.owner, self.reading.is_some());
        engine.note_shutdown_seen();
        loop {
            if let Some(received) = self.next_received(engine, now, buf) {
                return Some(received.into_event(buf.consumed()));
            }
            if let Some(received) = engine.next_event(buf.memory()) {
                return Some(received.into_event_at_front(buf.memory()));
            }
            self.advance(engine, now, buf)?;
        }
    }

    /// Like [`poll_event`](Self::poll_event), but the output of the event is still to be [lent](ReadBuf::lend).
    pub(super) fn next_event(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        buf: &mut ReadBuf,
    ) -> Option<RawEvent> {
        buf.claim(&self.owner, self.reading.is_some());
        engine.note_shutdown_seen();
        loop {
            let received = self.next_received(engine, now, buf);
            let received = received.or_else(|| engine.next_event(buf.memory()));
            if received.is_some() {
                return received;
            }
            self.advance(engine, now, buf)?;
        }
    }

    /// The next event of the bytes in the buffer, without I/O.
    pub(super) fn next_of_read(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        buf: &mut ReadBuf,
    ) -> Option<RawEvent> {
        buf.claim(&self.owner, self.reading.is_some());
        self.next_received(engine, now, buf)
    }

    /// The next event of the bytes in the buffer.
    #[inline(always)]
    fn next_received(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        buf: &mut ReadBuf,
    ) -> Option<RawEvent> {
        let connection = self.reading?;
        let mut input = buf.unread();
        let received = engine.next_received(now, connection, &mut input);
        let left = input.len();
        buf.keep_last(left);
        if received.is_none() {
            self.reading = None;
            buf.release();
        }
        received
    }

    /// Carries out an action of the engine, or gives the next connection its turn. `None` when the embedder has to
    /// handle its own sockets first.
    #[inline(always)]
    fn advance(&mut self, engine: &mut Engine, now: Instant, buf: &mut ReadBuf) -> Option<()> {
        if let Some(action) = engine.poll_action() {
            self.turns.act(engine, now, action);
        } else {
            let index = self.turns.next(buf.len())?;
            self.reading = self.turns.take(engine, now, index, buf);
        }
        Some(())
    }
}
