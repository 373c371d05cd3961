//! The start of an exchange: from the head of a request, or from bytes that are none.

use mio_fcgi::cgi::ReplyTo;

use super::super::http::head::{self, FieldSpace, RequestHead};
use super::super::http::refusal::Refusal;
use super::super::http::request_reader::{Found, request_line};
use super::super::request::exchange::Exchange;
use super::super::request::start;
use super::super::site::context::Context;
use super::{Connection, Stage};

impl Connection {
    /// Starts an exchange if the head is complete. Returns the number of bytes used.
    pub(super) fn take_head(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
        let limits = start::head_limits(cx);
        let (raw, following) = match self.reader.find_head(bytes, limits) {
            Found::Part { used } => return used,
            Found::Refused { bytes: of, refusal } => {
                self.refuse(cx, of, refusal);
                return bytes.len();
            }
            Found::Head { head, following } => (head, following),
        };
        let mut space = FieldSpace::new();
        let taken = match head::parse(raw, limits, &mut space) {
            Ok(head) => {
                self.open(cx, start::reply_to(cx, &head), raw);
                let taken = self.start(cx, &head, raw, following);
                self.begin();
                taken
            }
            Err(refusal) => {
                self.refuse(cx, raw, refusal);
                0
            }
        };
        bytes.len() - following.len() + taken
    }

    /// Responds to bytes that are not a request.
    pub(super) fn refuse(&mut self, cx: &mut Context, bytes: &[u8], refusal: Refusal) {
        let to = ReplyTo::new()
            .with_head_only(bytes.starts_with(b"HEAD "))
            .with_keep_alive(false);
        self.open(cx, to, bytes);
        if let Stage::Exchange(exchange) = &mut self.stage {
            exchange.fail(cx, &mut self.socket, refusal.status, refusal.why);
        }
        self.begin();
    }

    /// Makes an exchange, in the place where it stays: it is not moved. `bytes` begin with the request line.
    fn open(&mut self, cx: &mut Context, to: ReplyTo, bytes: &[u8]) {
        let line = request_line(bytes);
        self.stage = Stage::Exchange(Exchange::open(cx, self.tag, to, line));
    }

    /// Starts the exchange. Returns how many of the bytes after the head were used.
    fn start(
        &mut self,
        cx: &mut Context,
        head: &RequestHead<'_, '_>,
        raw: &[u8],
        following: &[u8],
    ) -> usize {
        let Stage::Exchange(exchange) = &mut self.stage else {
            return 0;
        };
        let taken = start::start(exchange, cx, &mut self.socket, head, following);
        if exchange.has_application() {
            exchange.keep_head(cx, raw);
        }
        taken
    }

    /// The exchange was started or refused.
    fn begin(&mut self) {
        // If the client's end of stream arrived together with the request, no further event reports it. A file is sent
        // in turns.
        self.wants_turn |= self.socket.is_ended() || self.sends_file();
    }
}
