//! What an application does, for the request that it is about.

use mio_fcgi::Outcome;

use super::super::net::client_address::ClientAddress;
use super::super::net::lent::Output;
use super::super::net::socket::Socket;
use super::super::request::elsewhere::Elsewhere;
use super::super::request::exchange::Exchange;
use super::super::request::start;
use super::super::request::trace::Trace;
use super::super::site::applications::RequestHandle;
use super::super::site::context::Context;
use super::{Connection, Stage};

impl Connection {
    /// The exchange that a request belongs to. `None` if the client is gone or already got another response.
    fn exchange_of(&mut self, request: RequestHandle) -> Option<(&mut Exchange, &mut Socket)> {
        match &mut self.stage {
            Stage::Exchange(exchange) if exchange.is_of(request) => {
                Some((exchange, &mut self.socket))
            }
            _ => None,
        }
    }

    /// What the log says of a request, and its client if that is still there.
    pub(crate) fn trace_of(&self, request: RequestHandle) -> Option<(&Trace, ClientAddress)> {
        match &self.stage {
            Stage::Exchange(exchange) if exchange.is_of(request) => {
                Some((exchange.traced(), self.socket.client()))
            }
            _ => None,
        }
    }

    /// Whether output of this request can still be of use to the client.
    pub(crate) fn wants(&self, request: RequestHandle) -> bool {
        match &self.stage {
            Stage::Exchange(exchange) => exchange.is_of(request) && exchange.wants_output(),
            _ => false,
        }
    }

    /// Handles output of the application: a head, part of a head, or part of the body.
    pub(crate) fn take_stdout(
        &mut self,
        cx: &mut Context,
        request: RequestHandle,
        output: Output<'_>,
    ) {
        if let Some((exchange, socket)) = self.exchange_of(request) {
            let redirect = exchange.take_stdout(cx, socket, output);
            self.follow(cx, redirect);
        }
    }

    /// Sends what one read of the application has brought. `memory` is the read buffer.
    pub(crate) fn send_lent(&mut self, cx: &mut Context, memory: &[u8]) {
        let now = cx.now();
        let is_done = self.socket.send_lent(now, memory, cx.buffers());
        if is_done && let Stage::Exchange(exchange) = &mut self.stage {
            exchange.pause_if_full(cx, &mut self.socket);
        }
    }

    /// Handles the end of the application's output.
    pub(crate) fn end_output(&mut self, cx: &mut Context, request: RequestHandle) {
        if let Some((exchange, socket)) = self.exchange_of(request) {
            let redirect = exchange.end_output(cx, socket);
            self.follow(cx, redirect);
        }
    }

    /// Responds with what is elsewhere, if the application says so.
    fn follow(&mut self, cx: &mut Context, to: Option<Elsewhere>) {
        if let (Stage::Exchange(exchange), Some(to)) = (&mut self.stage, to) {
            start::follow(exchange, cx, &mut self.socket, to);
            self.wants_turn |= exchange.sends_file();
        }
    }

    /// Handles that the application takes bytes of the body again.
    pub(crate) fn resume_upload(&mut self, cx: &mut Context, request: RequestHandle) {
        if let Some((exchange, socket)) = self.exchange_of(request)
            && exchange.resume_upload(cx, socket)
        {
            socket.note_progress(cx.now());
            self.wants_turn = true;
        }
    }

    /// Handles the end of the application's request.
    pub(crate) fn end_request(
        &mut self,
        cx: &mut Context,
        request: RequestHandle,
        outcome: Outcome,
    ) {
        if let Some((exchange, socket)) = self.exchange_of(request) {
            let redirect = exchange.end_request(cx, socket, outcome);
            self.follow(cx, redirect);
        }
    }
}
