//! From bodies to the outbox: which request may frame how much, and what follows once it has left.
//!
//! Requests with more to send stand in their connection's round and frame one record each in turn: at
//! most 16 KiB of content while others wait, 65,528 octets when alone. The outbox is filled up to 64 KiB, or
//! 256 KiB with a body in memory on a connection that is not shared. So a new request's parameters wait
//! behind at most 128 KiB of other requests' bodies, headers and padding aside.

use log::{debug, trace};
use std::time::Instant;

use super::Engine;
use super::exchange::{Exchange, Life, Sending};
use super::outbox::{BodySlice, Stream};
use super::source::{Ready, Source};
use super::time::Time;
use crate::error::BodyError;
use crate::event::{ConnectionHandle, Event};
use crate::wire::{self, HEADER_LEN, Header, MAX_ALIGNED_CONTENT_LEN, RecordType, Role};

/// Most content of one record while other requests of the connection have something to send.
const FAIR_RECORD: usize = 16 * 1024;
/// Unsent octets up to which an outbox is filled.
const FULL: usize = 64 * 1024;
/// The same, for a body in memory on a connection that serves one request at a time.
const FULL_ALONE: usize = 256 * 1024;
/// Content up to this length is copied behind its header: cheaper than a slice of its own.
const COPIED: usize = 4 * 1024;
/// Most octets asked of a reader at a time.
const READ: usize = 32 * 1024;

/// What became of one turn.
enum Fed {
    More,
    /// The embedder has to push more.
    Starved,
    Done,
}

impl Engine {
    /// The driver handed `len` octets of [`transmit`](Self::transmit) to the transport. Then look at
    /// `transmit` again: there may be more.
    pub fn handle_transmitted(&mut self, now: Instant, connection: ConnectionHandle, len: usize) {
        let now = self.tick(now);
        let Some(key) = self.connection_key(connection) else {
            return;
        };
        if len == 0 {
            return;
        }
        let connection = &mut self.connections[key];
        let half = self.config.stdin_high_water / 2;
        let (exchanges, events) = (&mut self.exchanges, &mut self.events);
        let before = connection.outbox.transmitted();
        connection.moved = now;
        connection.reads_first = false;
        connection
            .outbox
            .consume(len, &mut self.spares.outbox, |slice: BodySlice| {
                if let Some(exchange) = exchanges.get_mut(slice.exchange as usize) {
                    if let Some(source) = exchange.source(slice.stream) {
                        source.release(slice.len);
                    }
                    announce_room(exchange, slice.exchange, half, events);
                }
            });
        self.counters.octets_sent += connection.outbox.transmitted() - before;
        self.note_sent(now, key as u32);
        self.fill(now, key as u32);
        self.settle(now);
    }

    /// Appends what is to be written to a connection next to `out`, and counts it as handed over: for completion-based
    /// I/O, where a write goes on while the engine is used. The number of bytes appended, 0 when there is nothing or the
    /// handle is stale; at most about 256 KiB a call, and more may follow.
    ///
    /// From here on the bytes may reach the application, so a request fails as [`Delivery::MaybeSent`] even if the write
    /// does not complete. Keep `out` until it has, also when [`Action::Close`] comes meanwhile. When it takes less, write
    /// the rest before anything else.
    ///
    /// [`Delivery::MaybeSent`]: crate::Delivery::MaybeSent
    /// [`Action::Close`]: super::Action::Close
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

    /// Requests whose last octet has left wait for their response from now on.
    fn note_sent(&mut self, now: Time, key: u32) {
        loop {
            let connection = &mut self.connections[key as usize];
            let transmitted = connection.outbox.transmitted();
            match connection.unsent.front() {
                Some((offset, _)) if *offset <= transmitted => {}
                _ => return,
            }
            let Some((_, handle)) = connection.unsent.pop_front() else {
                return;
            };
            let own_handle = connection.handle(key);
            if let Some(exchange_key) = self.exchange_key(handle) {
                let exchange = &mut self.exchanges[exchange_key as usize];
                // It may have been refused, and be on its way elsewhere.
                if exchange.life.connection() != Some(own_handle) || !exchange.is_sent(transmitted)
                {
                    continue;
                }
                debug!("request {exchange_key}: sent");
                exchange.clock.sent = Some(now);
                let limit = match exchange.clock.last_octet {
                    Some(_) => exchange.timeouts.silence,
                    None => exchange.timeouts.first_octet,
                };
                self.arm_limit(now, exchange_key, limit);
            }
        }
    }

    /// Lets the requests in the round frame what the outbox has room for.
    pub(super) fn fill(&mut self, now: Time, key: u32) {
        loop {
            let Some(connection) = self.connections.get_mut(key as usize) else {
                return;
            };
            let Some(handle) = connection.round.front().copied() else {
                return;
            };
            let alone = connection.round.len() == 1;
            let own_handle = connection.handle(key);
            let Some(exchange) = self.exchanges.get_mut(handle.index as usize).filter(|it| {
                it.generation == handle.generation
                    && it.life.connection() == Some(own_handle)
                    && it.in_round
            }) else {
                connection.round.pop_front();
                continue;
            };
            let nobody_waits = alone && connection.max_requests == 1;
            let full = match exchange.ready() {
                Ready::Memory(_) if nobody_waits => FULL_ALONE,
                Ready::Memory(_) | Ready::Reader | Ready::Starved | Ready::End => FULL,
            };
            if connection.outbox.unsent() >= full {
                return;
            }
            connection.round.pop_front();
            exchange.in_round = false;
            let quantum = if alone {
                MAX_ALIGNED_CONTENT_LEN
            } else {
                FAIR_RECORD
            };
            match self.feed(key, handle.index, quantum) {
                Ok(Fed::More) => {
                    self.exchanges[handle.index as usize].in_round = true;
                    self.connections[key as usize].round.push_back(handle);
                }
                Ok(Fed::Starved | Fed::Done) => {}
                Err(error) => self.stop_exchange(now, handle.index, error.into()),
            }
        }
    }

    /// Frames one record of a request's body, or the end of a stream.
    fn feed(&mut self, key: u32, exchange_key: u32, quantum: usize) -> Result<Fed, BodyError> {
        let connection = &mut self.connections[key as usize];
        let exchange = &mut self.exchanges[exchange_key as usize];
        let Life::Active { id, .. } = exchange.life else {
            return Ok(Fed::Done);
        };
        let (stream, record_type) = match exchange.sending {
            Sending::Stdin => (Stream::Stdin, RecordType::Stdin),
            Sending::Data => (Stream::Data, RecordType::Data),
            Sending::Done => return Ok(Fed::Done),
        };
        let start = connection.outbox.end_offset();
        let ready = exchange.ready();
        if ready == Ready::Starved {
            return Ok(Fed::Starved);
        }
        let Some(source) = exchange.source(stream) else {
            debug_assert!(false, "only a Filter sends data");
            return Ok(Fed::Done);
        };
        let buffer = connection.outbox.buffer(&mut self.spares.outbox);
        let before = buffer.len();
        let mut ended = false;
        match ready {
            Ready::Starved | Ready::End => ended = true,
            Ready::Memory(left) => {
                let len = left.min(quantum as u64) as usize;
                let header = Header::padded(record_type, id, len as u16);
                buffer.extend_from_slice(&header.encode());
                let copied = len <= COPIED && source.releases_next();
                let offset = source.take(len as u64);
                if copied {
                    buffer.extend_from_slice(source.octets(offset, len));
                    source.release(len);
                    connection.outbox.framed(before);
                } else {
                    connection.outbox.framed(before);
                    let slice = BodySlice {
                        exchange: exchange_key,
                        stream,
                        offset,
                        len,
                    };
                    connection.outbox.weave(slice, &mut self.spares.outbox);
                }
                let buffer = connection.outbox.buffer(&mut self.spares.outbox);
                let before = buffer.len();
                buffer.resize(before + usize::from(header.padding_len), 0);
                connection.outbox.framed(before);
                trace!("connection {key}: {record_type} {len} octets for id {id}");
            }
            Ready::Reader => {
                buffer.extend_from_slice(&[0; HEADER_LEN]);
                match source.read(buffer, quantum.min(READ)) {
                    Ok(0) => {
                        buffer.truncate(before);
                        ended = true;
                    }
                    Ok(len) => {
                        let header = Header::padded(record_type, id, len as u16);
                        buffer[before..before + HEADER_LEN].copy_from_slice(&header.encode());
                        buffer.resize(buffer.len() + usize::from(header.padding_len), 0);
                        connection.outbox.framed(before);
                        trace!("connection {key}: {record_type} {len} octets for id {id}");
                    }
                    Err(error) => {
                        buffer.truncate(before);
                        return Err(error);
                    }
                }
            }
        }
        if ended {
            let buffer = connection.outbox.buffer(&mut self.spares.outbox);
            let before = buffer.len();
            wire::write_stream_end(buffer, record_type, id);
            connection.outbox.framed(before);
            exchange.sending = match (stream, exchange.role) {
                (Stream::Stdin, Role::Filter) => Sending::Data,
                (Stream::Stdin, Role::Responder | Role::Authorizer) | (Stream::Data, _) => {
                    Sending::Done
                }
            };
        }
        exchange.last_offset = connection.outbox.end_offset();
        exchange.framed += exchange.last_offset - start;
        let half = self.config.stdin_high_water / 2;
        announce_room(exchange, exchange_key, half, &mut self.events);
        if exchange.sending == Sending::Done {
            let entry = (exchange.last_offset, exchange.handle(exchange_key));
            connection.unsent.push_back(entry);
            return Ok(Fed::Done);
        }
        Ok(Fed::More)
    }

    /// More of a pushed body is there: its request enters the round again.
    pub(super) fn send_more(&mut self, now: Time, exchange_key: u32) {
        let exchange = &mut self.exchanges[exchange_key as usize];
        let Life::Active { connection, .. } = exchange.life else {
            return;
        };
        let Some(key) = self.connection_key(connection) else {
            return;
        };
        let exchange = &mut self.exchanges[exchange_key as usize];
        let connection = &mut self.connections[key];
        if connection.outbox.unsent() == 0 {
            // The time without anything to send is nobody's stall.
            connection.moved = now;
        }
        if !exchange.in_round {
            exchange.in_round = true;
            connection.round.push_back(exchange.handle(exchange_key));
        }
        self.fill(now, key as u32);
        self.ask_flush(key as u32);
        self.arm_exchange(exchange_key);
    }

    /// Asks the driver to write, once, if there is anything.
    pub(super) fn ask_flush(&mut self, key: u32) {
        if let Some(connection) = self.connections.get_mut(key as usize)
            && connection.outbox.unsent() > 0
            && !connection.flush_asked
        {
            connection.flush_asked = true;
            let connection = connection.handle(key);
            self.actions.push_back(super::Action::Flush { connection });
        }
    }

    /// Asks the driver to read, once.
    pub(super) fn ask_read(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if !std::mem::replace(&mut connection.read_asked, true) {
            let connection = connection.handle(key);
            self.actions.push_back(super::Action::Read { connection });
        }
    }
}

impl Exchange {
    fn source(&mut self, stream: Stream) -> Option<&mut Source> {
        match stream {
            Stream::Stdin => Some(&mut self.stdin),
            Stream::Data => self.data.as_deref_mut(),
        }
    }

    fn ready(&self) -> Ready {
        match self.sending {
            Sending::Stdin => self.stdin.ready(),
            Sending::Data => self.data.as_ref().map_or(Ready::End, |data| data.ready()),
            Sending::Done => Ready::End,
        }
    }
}

/// Tells the embedder of a full pushed body that half of it has left.
fn announce_room(
    exchange: &mut Exchange,
    key: u32,
    half: usize,
    events: &mut std::collections::VecDeque<Event<'static>>,
) {
    if exchange.wants_room && exchange.stdin.pushed_len() <= half {
        exchange.wants_room = false;
        events.push_back(Event::StdinReady {
            request: exchange.handle(key),
            tag: exchange.tag,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Demux, Item};
    use crate::{Action, Body, Config, Request, Tag};

    #[test]
    fn a_short_piece_behind_a_long_one_is_sent_behind_it() {
        let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let request = Request::responder().with_body(Body::pushed(Some(COPIED as u64 + 11)));
        let request = engine.submit(now, request, Tag(0)).expect("accepted");
        let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
            panic!("a request needs a connection");
        };
        engine.handle_connected(now, connection);
        let mut body = vec![b'a'; COPIED + 1];
        body.extend([b'b'; 10]);
        for piece in [&body[..=COPIED], &body[COPIED + 1..]] {
            let taken = engine.write_stdin(now, request, piece);
            assert_eq!(taken, Ok(piece.len()));
        }
        assert_eq!(engine.finish_stdin(now, request), Ok(()));

        let mut octets = Vec::new();
        loop {
            let slices = engine.transmit(connection);
            let sent: usize = slices.iter().map(|slice| slice.len()).sum();
            for slice in slices.iter() {
                octets.extend_from_slice(slice);
            }
            if sent == 0 {
                break;
            }
            engine.handle_transmitted(now, connection, sent);
        }
        let (mut demux, mut input, mut stdin) = (Demux::default(), &octets[..], Vec::new());
        while let Ok(Some(item)) = demux.next(&mut input) {
            if let Item::Stream {
                record_type: RecordType::Stdin,
                data,
                ..
            } = item
            {
                stdin.extend_from_slice(data);
            }
        }
        assert!(stdin == body, "{} octets, out of order", stdin.len());
    }
}
