//! The start of an exchange: from the head of a request, or from bytes that are none.

use mio_fcgi::cgi::ReplyTo;

use super::super::http::head::{self, FieldSpace};
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
                let to = start::reply_to(cx, &head);
                let mut exchange = Exchange::open(cx, self.tag, to, request_line(raw));
                let socket = &mut self.socket;
                let taken = start::start(&mut exchange, cx, socket, &head, following);
                if exchange.has_application() {
                    exchange.keep_head(cx, raw);
                }
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

    /// Responds to bytes that are not a request.
    pub(super) fn refuse(&mut self, cx: &mut Context, bytes: &[u8], refusal: Refusal) {
        let to = ReplyTo::new()
            .with_head_only(bytes.starts_with(b"HEAD "))
            .with_keep_alive(false);
        let mut exchange = Exchange::open(cx, self.tag, to, request_line(bytes));
        exchange.fail(cx, &mut self.socket, refusal.status, refusal.why);
        self.begin(exchange);
    }

    fn begin(&mut self, exchange: Exchange) {
        // If the client's end of stream arrived together with the request, no further event reports it. A file is sent
        // in turns.
        self.wants_turn |= self.socket.is_ended() || exchange.sends_file();
        self.stage = Stage::Exchange(exchange);
    }
}
