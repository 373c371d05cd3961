//! A client's connection: it serves one request after the other until it ends.

use std::time::Instant;

use mio::event::Event;
use mio_fcgi::Tag;

use super::http::refusal::Refusal;
use super::http::request_reader::RequestReader;
use super::net::outbox::MAX_BATCHED;
use super::net::socket::Socket;
use super::preamble::{self, Preamble};
use super::request::exchange::{Exchange, Over};
use super::site::addresses::Place;
use super::site::context::Context;
use super::teardown::{self, Next, Teardown};

/// A client's connection.
///
/// # Memory
/// - Idle: this struct, no buffer. After the first request, also the parameters that its requests share: 300 bytes.
/// - While a head arrives: the bytes received so far, less than `--max-head`.
/// - After requests that were sent at once: one read of them (72 KiB).
/// - While a body arrives, and while an application's head is awaited: the head of the request, to respond with a file or
///   a path that the application names, and its parameters.
/// - While a body is collected and the application works on it: up to 1 MiB of it. The sum over all clients is bounded
///   by the budget; more is in files.
/// - While a body is passed on as it arrives: one read of the client (128 KiB) and what the FastCGI client has queued of
///   it (128 KiB).
/// - While a response is sent to a client that does not read: 64 KiB of the response and one read of the application
///   (128 KiB) more; or 16 KiB if the rest is in a file. If no more may be kept, what is unsent of one read, and the
///   16 KiB queued before it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The tag of this connection's requests; each event of an application carries it.
    tag: Tag,
    socket: Socket,
    reader: RequestReader,
    stage: Stage,
    /// The connection needs a turn although its socket reported no event.
    wants_turn: bool,
    /// Counted until the connection is dropped.
    place: Option<Place>,
}

/// What a connection is doing.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "in a box, each request would allocate"
)]
enum Stage {
    /// The header of the PROXY protocol is awaited.
    Preamble,
    /// Between requests, or while a head arrives.
    Head,
    Exchange(Exchange),
    /// After the last response.
    Teardown(Teardown),
    Gone,
}

mod application;
mod begin;
mod input;

impl Connection {
    /// `place` counts among the connections of the client's address. `expects_proxy_header`: the connection begins with a
    /// header of the PROXY protocol.
    pub(crate) fn new(
        tag: Tag,
        socket: Socket,
        place: Option<Place>,
        expects_proxy_header: bool,
    ) -> Self {
        Self {
            tag,
            socket,
            reader: RequestReader::default(),
            stage: match expects_proxy_header {
                true => Stage::Preamble,
                false => Stage::Head,
            },
            wants_turn: false,
            place,
        }
    }

    /// Whether the connection has been idle since `since` or longer: between requests, nothing to read, nothing to
    /// send.
    pub(crate) fn is_idle_since(&self, since: Instant) -> bool {
        matches!(self.stage, Stage::Preamble | Stage::Head)
            && self.reader.is_empty()
            && self.socket.is_sent()
            && !self.socket.is_readable()
            && self.socket.last_progress() <= since
    }

    /// Whether the connection has ended and can be dropped.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Gone)
    }

    /// Whether there are unsent bytes and the socket is writable.
    pub(crate) fn wants_to_send(&self) -> bool {
        !self.socket.is_sent() && self.socket.is_writable()
    }

    /// Whether the connection needs a turn. Clears the wish.
    pub(crate) fn take_wants_turn(&mut self) -> bool {
        // After a response there may be nothing to read yet: an event reports the next request.
        let is_idle = matches!(self.stage, Stage::Head)
            && self.reader.is_empty()
            && !(self.socket.is_readable() || self.socket.is_ended() || self.socket.is_spilled());
        std::mem::take(&mut self.wants_turn) && !is_idle
    }

    pub(crate) fn note_event(&mut self, event: &Event) {
        self.socket.note_event(event);
    }

    /// When the client's time limit ends. `None`: the client has nothing to do.
    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        let options = cx.options();
        let last_progress = self.socket.last_progress();
        let limit = match &self.stage {
            _ if self.is_sending() => options.client_timeout,
            Stage::Head if self.reader.is_empty() => options.keepalive_timeout,
            Stage::Preamble | Stage::Head => options.header_timeout,
            // What the client has sent has to be read first.
            Stage::Exchange(it) if self.socket.is_readable() && it.wants_input() => return None,
            Stage::Exchange(exchange) => return exchange.body_due(options, last_progress),
            Stage::Gone => return None,
            Stage::Teardown(_) => teardown::TIME_LIMIT,
        };
        Some(last_progress + limit)
    }

    /// Does what is possible now: sends, reads once, and uses what was read.
    pub(crate) fn serve(&mut self, cx: &mut Context, scratch: &mut [u8]) {
        self.send(cx, scratch);
        if self.socket.is_failed() {
            return;
        }
        let is_gone = self.socket.is_broken() || !cx.options().half_close;
        if self.socket.is_ended() && is_gone && self.is_waited_for() {
            // As in nginx and Go, a client that ends its stream while it is being served is gone. A file is still sent:
            // that keeps no application busy, and the socket reports when the client cannot receive any more.
            return self.end(cx, CLIENT_GONE);
        }
        if !self.wants_input() {
            return;
        }
        if !self.reader.is_empty() && self.use_held(cx, scratch.len()) {
            return;
        }
        if !self.socket.is_readable() {
            return;
        }
        if self.reader.is_empty() && self.read_body(cx) {
            return;
        }
        let held = self.reader.copy_to(scratch);
        let end = scratch.len().min(self.read_len());
        match self.socket.read(&mut scratch[held..end]) {
            None => {}
            Some(0) => self.end_of_stream(cx),
            Some(len) => {
                self.note_read(cx.now());
                let bytes = &scratch[..held + len];
                self.reader.clear();
                let used = self.consume(cx, bytes);
                self.reader.hold(&bytes[used..], cx.buffers());
                // One read per turn: a client with more to read goes to the end of the queue.
                self.wants_turn |= self.socket.is_readable() && self.wants_input();
            }
        }
    }

    /// Sends what is queued. Then fetches more of the response, if there is room.
    pub(crate) fn send(&mut self, cx: &mut Context, scratch: &mut [u8]) {
        let is_head_begun = matches!(self.stage, Stage::Head) && !self.reader.is_empty();
        match self.socket.flush(scratch, self.sends_file()) {
            Ok(true) if !is_head_begun => self.socket.note_progress(cx.now()),
            Ok(_) => {}
            Err(error) => {
                let what = format_args!("a response is cut short: {error}");
                match &self.stage {
                    Stage::Exchange(exchange) => exchange.report(cx, &self.socket, what),
                    _ => cx.log_problem(what),
                }
                self.socket.reset_when_closed();
                return self.end(cx, CLIENT_GONE);
            }
        }
        if let Stage::Exchange(exchange) = &mut self.stage
            && !self.socket.is_failed()
        {
            self.wants_turn |= exchange.fetch(cx, &mut self.socket, scratch);
        }
        // A file is sent in turns.
        self.wants_turn |= self.socket.is_spilled() && self.socket.is_writable();
    }

    fn sends_file(&self) -> bool {
        matches!(&self.stage, Stage::Exchange(exchange) if exchange.sends_file())
    }

    /// Whether the client has not taken all of what there is for it.
    fn is_sending(&self) -> bool {
        !self.socket.is_sent() || self.sends_file()
    }

    /// Whether the response waits for the application, or for the rest of the body.
    fn is_waited_for(&self) -> bool {
        match &self.stage {
            Stage::Exchange(exchange) => exchange.waits(),
            Stage::Preamble | Stage::Head | Stage::Teardown(_) | Stage::Gone => false,
        }
    }

    /// Whether bytes from the client can be used now. If not, they stay in the system's buffer.
    fn wants_input(&self) -> bool {
        match &self.stage {
            Stage::Preamble => true,
            // False for a client that keeps sending requests and does not read the responses.
            Stage::Head => self.socket.is_writable() && self.socket.unsent() < MAX_BATCHED as u64,
            Stage::Exchange(exchange) => exchange.wants_input(),
            Stage::Teardown(teardown) => teardown.wants_input(),
            Stage::Gone => false,
        }
    }

    /// Bytes that trickle in extend the time limit of a body, but not that of a head or of the end of a connection.
    fn note_read(&mut self, now: Instant) {
        let is_progress = match self.stage {
            Stage::Head => self.reader.is_empty(),
            Stage::Exchange(_) => true,
            Stage::Preamble | Stage::Teardown(_) | Stage::Gone => false,
        };
        if is_progress {
            self.socket.note_progress(now);
        }
    }

    /// Uses the bytes held so far. True if nothing more can be done now.
    fn use_held(&mut self, cx: &mut Context, max: usize) -> bool {
        let held = self.reader.take();
        let used = self.consume(cx, &held);
        self.reader.put_back(held, used);
        if used > 0 && matches!(self.stage, Stage::Head) {
            // The head of a pipelined request begins now.
            self.socket.note_progress(cx.now());
        }
        !self.wants_input() || self.reader.len() >= self.read_len().min(max)
    }

    fn end_of_stream(&mut self, cx: &mut Context) {
        match self.stage {
            Stage::Exchange(_) => self.end(cx, CLIENT_GONE),
            // Responses to earlier requests are still being sent.
            Stage::Head if !self.socket.is_sent() => {
                self.stage = Stage::Teardown(Teardown::new(false));
            }
            Stage::Preamble | Stage::Head | Stage::Teardown(_) | Stage::Gone => {
                self.stage = Stage::Gone;
            }
        }
    }

    /// Uses as many of the bytes from the client as possible and returns how many.
    fn consume(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if !self.wants_input() || rest.is_empty() {
                return used;
            }
            match &mut self.stage {
                Stage::Preamble => match self.take_preamble(cx, rest) {
                    0 => return used,
                    len => used += len,
                },
                Stage::Head => match self.take_head(cx, rest) {
                    0 => return used,
                    len => used += len,
                },
                Stage::Exchange(exchange) => {
                    used += exchange.take_body(cx, &mut self.socket, rest);
                }
                Stage::Teardown(teardown) => {
                    let next = teardown.discard(rest.len());
                    self.go_on(cx, next);
                    return bytes.len();
                }
                Stage::Gone => return bytes.len(),
            }
            self.conclude(cx);
        }
    }

    /// Uses the header of the PROXY protocol if it is complete. Returns the number of bytes used.
    fn take_preamble(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
        match preamble::take(cx, &mut self.socket, bytes) {
            Preamble::Part => return 0,
            Preamble::Done { used, place } => {
                self.place = place;
                self.stage = Stage::Head;
                self.socket.note_progress(cx.now());
                return used;
            }
            Preamble::TooMany => {
                let why = "your address has too many connections";
                self.refuse(cx, &[], Refusal { status: 503, why });
            }
            Preamble::Malformed => self.stage = Stage::Gone,
        }
        bytes.len()
    }

    fn go_on(&mut self, cx: &Context, next: Next) {
        match next {
            Next::Wait => {}
            Next::Progress => self.socket.note_progress(cx.now()),
            Next::Close => self.stage = Stage::Gone,
        }
    }

    /// The client's time limit is over.
    pub(crate) fn expire(&mut self, cx: &mut Context) {
        let is_stuck = self.is_sending();
        let is_in_head = !self.reader.is_empty();
        match &mut self.stage {
            _ if is_stuck => self.end(cx, CLIENT_GONE),
            Stage::Preamble => {
                let why = "the header of the PROXY protocol did not arrive in time";
                preamble::close(cx, &self.socket, why);
                self.stage = Stage::Gone;
            }
            Stage::Head if is_in_head => {
                let why = "the head of the request did not arrive in time";
                let bytes = self.reader.take();
                self.refuse(cx, &bytes, Refusal { status: 408, why });
                cx.buffers().give_back(bytes);
            }
            Stage::Exchange(exchange) => {
                if !exchange.expire(cx, &mut self.socket) {
                    self.end(cx, CLIENT_GONE);
                }
            }
            Stage::Head | Stage::Teardown(_) | Stage::Gone => self.stage = Stage::Gone,
        }
    }

    /// Does what follows from the last change: starts the next request, or ends the connection.
    pub(crate) fn conclude(&mut self, cx: &mut Context) {
        if self.socket.is_failed() {
            return self.end(cx, CLIENT_GONE);
        }
        let is_sent = self.socket.is_sent();
        match &mut self.stage {
            Stage::Exchange(exchange) => match exchange.conclude(cx.now(), &self.socket) {
                Some(Over::Done) => self.finish_exchange(cx),
                Some(Over::Cut) => {
                    self.finish_exchange(cx);
                    self.stage = Stage::Gone;
                }
                None => {}
            },
            Stage::Teardown(teardown) if is_sent => {
                let next = teardown.shut_down(&self.socket);
                self.wants_turn |= next == Next::Progress;
                self.go_on(cx, next);
            }
            Stage::Preamble | Stage::Head | Stage::Teardown(_) | Stage::Gone => {}
        }
    }

    /// Logs the exchange. Then the next request begins, or the connection ends.
    fn finish_exchange(&mut self, cx: &mut Context) {
        let Stage::Exchange(exchange) = &mut self.stage else {
            return;
        };
        self.socket.note_progress(cx.now());
        let finished = exchange.finish(cx, self.socket.client());
        self.stage = Stage::Head;
        self.socket.reset_client();
        if !finished.keeps_alive || cx.is_stopping() {
            let is_unread =
                !finished.is_body_read || self.socket.is_readable() || !self.reader.is_empty();
            self.stage = Stage::Teardown(Teardown::new(is_unread));
        }
        self.wants_turn = true;
    }

    /// Ends the connection without another byte. `status` is logged if the request has no status yet.
    pub(crate) fn end(&mut self, cx: &mut Context, status: u16) {
        if let Stage::Exchange(exchange) = &mut self.stage {
            exchange.abandon(cx, status, self.socket.unsent());
            self.finish_exchange(cx);
        }
        self.stage = Stage::Gone;
    }

    /// Gives empty buffers back.
    #[inline]
    pub(crate) fn give_back(&mut self, cx: &mut Context) {
        self.socket.give_back(cx.buffers());
        self.reader.give_back(cx.buffers());
    }
}

/// For tests only.
#[cfg(test)]
impl Connection {
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Bytes received and not yet used.
    pub(crate) fn held(&self) -> usize {
        self.reader.len()
    }
}

/// In the log only, as in nginx: the client closed the connection before the response.
const CLIENT_GONE: u16 = 499;
/// In the log only, as in nginx: the proxy closed the connection without a response.
pub(crate) const NOT_ANSWERED: u16 = 444;
