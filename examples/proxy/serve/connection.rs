//! A client's connection: one request after the other, until it ends.

use std::mem::MaybeUninit;
use std::time::Instant;

use mio::event::Event;
use mio_fcgi::{Outcome, RequestHandle, Tag};

use super::http::head::{self, FieldSpace, MAX_FIELDS, Refusal};
use super::http::request_reader::{Found, RequestReader, request_line};
use super::http::response_head::Asked;
use super::net::outbox::SMALL;
use super::net::socket::Socket;
use super::request::exchange::{Exchange, Over};
use super::request::start;
use super::request::upload::Upload;
use super::site::context::Context;
use super::teardown::{self, Next, Teardown};

/// A client's connection.
///
/// # Memory
/// Idle: this struct, no buffer. In a head: the bytes that came, below 32 KiB. In an upload: one read of the client, 64
/// KiB, and what the FastCGI client holds of it, 64 KiB; in chunks, 64 KiB and the rest in a file. In an answer: what a
/// client that does not read leaves of one read of the application, 64 KiB, and the 16 KiB before it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Comes back with each event of an application.
    tag: Tag,
    socket: Socket,
    reader: RequestReader,
    stage: Stage,
    /// There is something to do for it although its socket says nothing new.
    wants_turn: bool,
}

/// What a connection is at.
#[derive(Debug)]
enum Stage {
    /// Between requests, or in a head.
    Head,
    Exchange(Exchange),
    /// After the last answer.
    Teardown(Teardown),
    Gone,
}

impl Connection {
    pub(crate) fn new(tag: Tag, socket: Socket) -> Self {
        Self {
            tag,
            socket,
            reader: RequestReader::default(),
            stage: Stage::Head,
            wants_turn: false,
        }
    }

    /// Between requests since some time, with nothing to read.
    pub(crate) fn is_idle_since(&self, since: Instant) -> bool {
        matches!(self.stage, Stage::Head)
            && self.reader.is_empty()
            && self.socket.is_sent()
            && !self.socket.is_readable()
            && self.socket.last_progress() <= since
    }

    /// It has ended, and is to be dropped.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Gone)
    }

    /// Whether something waits that the client could take.
    pub(crate) fn wants_to_send(&self) -> bool {
        !self.socket.is_sent() && self.socket.is_writable()
    }

    /// Whether it has to have a turn, which it asks for once.
    pub(crate) fn take_wish_for_turn(&mut self) -> bool {
        std::mem::take(&mut self.wants_turn)
    }

    pub(crate) fn note_event(&mut self, event: &Event) {
        self.socket.note_event(event);
    }

    /// Until when the client has to do something.
    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        let options = cx.options();
        let limit = match &self.stage {
            _ if !self.socket.is_sent() => options.client_timeout,
            Stage::Head if self.reader.is_empty() => options.keepalive_timeout,
            Stage::Head => options.header_timeout,
            Stage::Exchange(exchange) if exchange.waits_for_client() => options.client_timeout,
            Stage::Exchange(_) | Stage::Gone => return None,
            Stage::Teardown(_) => teardown::TIME_LIMIT,
        };
        Some(self.socket.last_progress() + limit)
    }

    /// What it can do now: send, read once, and go on with what it read.
    pub(crate) fn serve(&mut self, cx: &mut Context, scratch: &mut [u8]) {
        self.send(cx, scratch);
        if self.socket.is_failed() {
            return;
        }
        if self.socket.is_ended() && self.is_waited_for() {
            // As nginx and Go see it: who ends the stream while being served has gone. A file goes on: it costs nobody
            // else anything, and the socket says when there is no one to take it.
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
        let held = self.reader.copy_to(scratch);
        match self.socket.read(&mut scratch[held..]) {
            None => {}
            Some(0) => self.end_of_stream(cx),
            Some(len) => {
                self.note_read(cx.now());
                let bytes = &scratch[..held + len];
                self.reader.clear();
                let used = self.consume(cx, bytes);
                self.reader.hold(&bytes[used..], cx.buffers());
                // One read in a turn: whoever has more goes to the back of the queue.
                self.wants_turn |= self.socket.is_readable() && self.wants_input();
            }
        }
    }

    /// Sends what waits, and fetches more once all of that is sent.
    pub(crate) fn send(&mut self, cx: &mut Context, scratch: &mut [u8]) {
        let is_head_begun = matches!(self.stage, Stage::Head) && !self.reader.is_empty();
        if self.socket.flush() && !is_head_begun {
            self.socket.note_progress(cx.now());
        }
        if self.socket.is_sent()
            && !self.socket.is_failed()
            && let Stage::Exchange(exchange) = &mut self.stage
        {
            self.wants_turn |= exchange.fetch(cx, &mut self.socket, scratch);
        }
    }

    /// Whether the application, or the rest of a body, is waited for.
    fn is_waited_for(&self) -> bool {
        match &self.stage {
            Stage::Exchange(exchange) => exchange.waits(),
            Stage::Head | Stage::Teardown(_) | Stage::Gone => false,
        }
    }

    /// Whether bytes from the client are of use now. While they are not, they stay in the system's buffer.
    fn wants_input(&self) -> bool {
        match &self.stage {
            // A client that asks and asks and does not take the answers.
            Stage::Head => self.socket.is_writable() && self.socket.unsent() < SMALL,
            Stage::Exchange(exchange) => exchange.wants_input(),
            Stage::Teardown(teardown) => teardown.wants_input(),
            Stage::Gone => false,
        }
    }

    /// Neither a head nor the end of a connection is put off by bytes that trickle in.
    fn note_read(&mut self, now: Instant) {
        let is_progress = match self.stage {
            Stage::Head => self.reader.is_empty(),
            Stage::Exchange(_) => true,
            Stage::Teardown(_) | Stage::Gone => false,
        };
        if is_progress {
            self.socket.note_progress(now);
        }
    }

    /// Uses what was held; true when that is all that can be done now.
    fn use_held(&mut self, cx: &mut Context, max: usize) -> bool {
        let held = self.reader.take();
        let used = self.consume(cx, &held);
        self.reader.put_back(held, used);
        if used > 0 && matches!(self.stage, Stage::Head) {
            // A head that came after another request begins now.
            self.socket.note_progress(cx.now());
        }
        !self.wants_input() || self.reader.len() >= max
    }

    fn end_of_stream(&mut self, cx: &mut Context) {
        match self.stage {
            Stage::Exchange(_) => self.end(cx, CLIENT_GONE),
            // Answers to earlier requests are on their way.
            Stage::Head if !self.socket.is_sent() => {
                self.stage = Stage::Teardown(Teardown::new(false));
            }
            Stage::Head | Stage::Teardown(_) | Stage::Gone => self.stage = Stage::Gone,
        }
    }

    /// Uses bytes from the client as far as possible; returns how many.
    fn consume(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if !self.wants_input() || rest.is_empty() {
                return used;
            }
            match &mut self.stage {
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

    fn go_on(&mut self, cx: &Context, next: Next) {
        match next {
            Next::Wait => {}
            Next::Progress => self.socket.note_progress(cx.now()),
            Next::Close => self.stage = Stage::Gone,
        }
    }

    /// Starts an exchange if there is a whole head; returns the bytes used.
    fn take_head(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
        let (raw, following) = match self.reader.find_head(bytes) {
            Found::Part { used } => return used,
            Found::Refused { bytes: of, refusal } => {
                self.refuse(cx, of, refusal);
                return bytes.len();
            }
            Found::Head { head, following } => (head, following),
        };
        let mut space: FieldSpace<'_> = [MaybeUninit::uninit(); MAX_FIELDS];
        let taken = match head::parse(raw, &mut space) {
            Ok(head) => {
                let asked = start::asked(cx, &head);
                let body = start::unwanted_body(&head);
                let mut exchange = Exchange::open(cx, self.tag, asked, body, request_line(raw));
                let socket = &mut self.socket;
                let taken = start::start(&mut exchange, cx, socket, &head, following);
                self.begin(exchange);
                taken
            }
            Err(refusal) => {
                self.refuse(cx, raw, refusal);
                0
            }
        };
        bytes.len() - following.len() + taken
    }

    /// Answers bytes that are no request.
    fn refuse(&mut self, cx: &mut Context, bytes: &[u8], refusal: Refusal) {
        let asked = Asked {
            is_http11: true,
            is_head: bytes.starts_with(b"HEAD "),
            keeps_alive: false,
        };
        // Where it ends is not known, and more of it may be on its way.
        let upload = Upload::endless();
        let mut exchange = Exchange::open(cx, self.tag, asked, upload, request_line(bytes));
        exchange.fail(cx, &mut self.socket, refusal.status, refusal.why);
        self.begin(exchange);
    }

    fn begin(&mut self, exchange: Exchange) {
        // An end that came along with the request is not announced again; a file is sent in turns.
        self.wants_turn |= self.socket.is_ended() || exchange.sends_file();
        self.stage = Stage::Exchange(exchange);
    }

    /// The exchange that a request belongs to, unless the client has gone or was answered otherwise.
    fn exchange_of(&mut self, request: RequestHandle) -> Option<(&mut Exchange, &mut Socket)> {
        match &mut self.stage {
            Stage::Exchange(exchange) if exchange.is_of(request) => {
                Some((exchange, &mut self.socket))
            }
            _ => None,
        }
    }

    /// Output of the application: a head, or a part of one, or a body.
    pub(crate) fn take_stdout(&mut self, cx: &mut Context, request: RequestHandle, data: &[u8]) {
        if let Some((exchange, socket)) = self.exchange_of(request) {
            exchange.take_stdout(cx, socket, data);
        }
    }

    /// The application's output is complete.
    pub(crate) fn end_output(&mut self, cx: &mut Context, request: RequestHandle) {
        if let Some((exchange, socket)) = self.exchange_of(request) {
            exchange.end_output(cx, socket);
        }
    }

    /// The application takes bytes of the body again.
    pub(crate) fn resume_upload(&mut self, cx: &Context, request: RequestHandle) {
        if let Some((exchange, socket)) = self.exchange_of(request)
            && exchange.resume_upload()
        {
            socket.note_progress(cx.now());
            self.wants_turn = true;
        }
    }

    /// The application's request is over.
    pub(crate) fn end_request(
        &mut self,
        cx: &mut Context,
        request: RequestHandle,
        outcome: Outcome,
    ) {
        if let Some((exchange, socket)) = self.exchange_of(request) {
            exchange.end_request(cx, socket, outcome);
        }
    }

    /// The client did not do in time what it had to do.
    pub(crate) fn expire(&mut self, cx: &mut Context) {
        let is_stuck = !self.socket.is_sent();
        let is_in_head = !self.reader.is_empty();
        match &mut self.stage {
            _ if is_stuck => self.end(cx, CLIENT_GONE),
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

    /// What follows from what was just done to it: it goes on to its next request, or it ends.
    pub(crate) fn conclude(&mut self, cx: &mut Context) {
        if self.socket.is_failed() {
            return self.end(cx, CLIENT_GONE);
        }
        let is_sent = self.socket.is_sent();
        match &mut self.stage {
            Stage::Exchange(exchange) => match exchange.conclude(is_sent) {
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
            Stage::Head | Stage::Teardown(_) | Stage::Gone => {}
        }
    }

    /// Logs the exchange; then comes the next one, or the end.
    fn finish_exchange(&mut self, cx: &mut Context) {
        let stage = std::mem::replace(&mut self.stage, Stage::Head);
        let Stage::Exchange(exchange) = stage else {
            self.stage = stage;
            return;
        };
        self.socket.note_progress(cx.now());
        let finished = exchange.finish(cx, self.socket.client());
        if !finished.keeps_alive || cx.is_stopping() {
            let is_unread =
                !finished.is_body_read || self.socket.is_readable() || !self.reader.is_empty();
            self.stage = Stage::Teardown(Teardown::new(is_unread));
        }
        self.wants_turn = true;
    }

    /// Ends it as it is; `status` is for the log, where the request has got none.
    pub(crate) fn end(&mut self, cx: &mut Context, status: u16) {
        if let Stage::Exchange(exchange) = &mut self.stage {
            exchange.abandon(cx, status);
            self.finish_exchange(cx);
        }
        self.stage = Stage::Gone;
    }

    /// Gives the memory back that nothing is in.
    #[inline]
    pub(crate) fn give_back(&mut self, cx: &mut Context) {
        self.socket.give_back(cx.buffers());
        self.reader.give_back(cx.buffers());
    }
}

/// What only the tests look at.
#[cfg(test)]
impl Connection {
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Bytes that came and were not used.
    pub(crate) fn held(&self) -> usize {
        self.reader.len()
    }
}

/// In the log only, as nginx has it: the client did not wait for an answer.
const CLIENT_GONE: u16 = 499;
/// In the log only, as nginx has it: the connection was closed without an answer.
pub(crate) const NOT_ANSWERED: u16 = 444;
