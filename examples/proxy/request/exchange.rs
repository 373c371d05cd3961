//! A request and its response.
//!
//! # Back-pressure
//! Whoever is faster waits for whoever is slower, and what waits between them is bounded.
//!
//! **To the client.** A few bytes of output wait for the end of the loop's turn, so that a head, its body and the end of
//! the body leave in one write. More are written at once, out of the buffer they were read into
//! ([`Socket::put`]). What the socket does not take is kept, and from then on the request is paused: nothing more is
//! read for it until the socket took all of that. So a client that does not read costs what one read of the application
//! brought, and no more. A file is read on when the socket took what was read of it.
//!
//! **To the application.** A body is handed on as far as the FastCGI client takes it. When that takes no more, the
//! connection is not read ([`Upload::wants_input`]) until `StdinReady` comes: the rest stays in the system's buffers, and
//! the client waits. Nor is the next request read before the answer to this one is complete.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mio_fcgi::cgi::HeadError;
use mio_fcgi::{Outcome, Request, RequestHandle, SubmitError, Tag};

use super::error_page;
use super::http::head::Refusal;
use super::http::response_head::Asked;
use super::log::access_log::{LogEntry, Served};
use super::net::socket::Socket;
use super::response::{OwnBody, Phase, Response};
use super::site::context::Context;
use super::upload::{NotTaken, Upload};

/// A request and its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The connection's, for the FastCGI client.
    tag: Tag,
    /// While the application works on it.
    request: Option<RequestHandle>,
    upload: Upload,
    response: Response,
    /// The client does not take what the application sends.
    is_paused: bool,
    entry: LogEntry,
    submitted: Option<Instant>,
    application_time: Option<Duration>,
}

/// How an exchange is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Both halves are done, or one cannot be.
    Done,
    /// The response was cut: the connection is closed.
    Cut,
}

/// What the connection has to know of an exchange that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) keeps_alive: bool,
    pub(crate) is_body_read: bool,
}

impl Exchange {
    /// A request that has no answer yet; `line` is its first, for the log.
    pub(crate) fn open(
        cx: &mut Context,
        tag: Tag,
        asked: Asked,
        upload: Upload,
        line: &[u8],
    ) -> Self {
        Self {
            tag,
            request: None,
            upload,
            response: Response::new(asked),
            is_paused: false,
            entry: cx.log_entry(line),
            submitted: None,
            application_time: None,
        }
    }

    /// Notes the fields that are logged.
    pub(crate) fn note_fields(&mut self, referrer: Option<&[u8]>, agent: Option<&[u8]>) {
        self.entry.set_fields(referrer, agent);
    }

    /// Whether the application works on this request for it.
    pub(crate) fn is_of(&self, request: RequestHandle) -> bool {
        self.request == Some(request)
    }

    /// Whether the application or the rest of the body is waited for.
    pub(crate) fn waits(&self) -> bool {
        self.request.is_some() || !self.upload.is_done()
    }

    /// Whether bytes of the client are of use now.
    pub(crate) fn wants_input(&self) -> bool {
        self.upload.wants_input()
    }

    /// Whether the client has to send something.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.upload.waits_for_client()
    }

    /// Whether a file is being sent.
    pub(crate) fn sends_file(&self) -> bool {
        self.response.phase() == Phase::File
    }

    /// Sets how the body goes on, once that is known.
    pub(crate) fn set_upload(&mut self, upload: Upload) {
        self.upload = upload;
    }

    /// Whether the body goes to an application.
    pub(crate) fn wants_body(&self) -> bool {
        self.upload.is_wanted()
    }

    /// Hands a request to the FastCGI client.
    pub(crate) fn submit(&mut self, cx: &mut Context, socket: &mut Socket, request: Request) {
        let now = cx.now();
        match cx.fcgi().submit(now, request, self.tag) {
            Ok(handle) => {
                self.request = Some(handle);
                self.submitted = Some(now);
                self.response.await_head(cx.buffers().take_parser());
            }
            Err(refused) => {
                let error = refused.error;
                let (status, why) = match error {
                    SubmitError::QueueFull { .. } | SubmitError::ShuttingDown => {
                        (503, "the server is busy")
                    }
                    SubmitError::PairTooLarge { .. }
                    | SubmitError::ParamsTooLarge { .. }
                    | SubmitError::ParamLengthTooLong => (431, "the fields are too long"),
                    _ => (500, "the request cannot be passed on"),
                };
                cx.log_problem(format_args!("a request is answered with {status}: {error}"));
                self.fail(cx, socket, status, why);
            }
        }
    }

    /// Uses bytes of the body; returns how many.
    pub(crate) fn take_body(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        bytes: &[u8],
    ) -> usize {
        match self.upload.take(cx, self.request, bytes) {
            Ok(taken) => {
                if let Some(request) = taken.complete {
                    self.submit(cx, socket, request);
                }
                taken.used
            }
            Err(NotTaken::Refused(Refusal { status, why })) => {
                self.fail(cx, socket, status, why);
                bytes.len()
            }
            Err(NotTaken::NotKept(error)) => {
                cx.log_problem(format_args!("a request body cannot be stored: {error}"));
                self.fail(cx, socket, 503, "the body cannot be stored now");
                bytes.len()
            }
        }
    }

    /// The application takes bytes of the body again; false if none are handed on.
    pub(crate) fn resume_upload(&mut self) -> bool {
        self.upload.resume()
    }

    /// Takes output of the application.
    pub(crate) fn take_stdout(&mut self, cx: &mut Context, socket: &mut Socket, data: &[u8]) {
        match self.response.push(cx, socket, data) {
            Ok(true) => self.pause_if_full(cx, socket),
            Ok(false) => {}
            Err(error) => self.fail_bad_head(cx, socket, error),
        }
    }

    fn pause_if_full(&mut self, cx: &mut Context, socket: &Socket) {
        if !socket.is_writable()
            && !socket.is_sent()
            && !self.is_paused
            && let Some(request) = self.request
        {
            self.is_paused = true;
            let now = cx.now();
            cx.fcgi().pause(now, request);
        }
    }

    /// The client took everything: fetches more. True if there is more at once.
    pub(crate) fn fetch(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        scratch: &mut [u8],
    ) -> bool {
        if std::mem::take(&mut self.is_paused)
            && let Some(request) = self.request
        {
            let now = cx.now();
            cx.fcgi().resume(now, request);
        }
        self.response.send_file(cx, socket, scratch)
    }

    /// The application's output is complete; what it does after that concerns no client.
    pub(crate) fn end_output(&mut self, cx: &mut Context, socket: &mut Socket) {
        if self.response.phase() == Phase::Body {
            self.complete(cx, socket);
        }
    }

    /// The application's request is over.
    pub(crate) fn end_request(&mut self, cx: &mut Context, socket: &mut Socket, outcome: Outcome) {
        self.request = None;
        match (outcome, self.response.phase()) {
            (Ok(_), Phase::Body) => self.complete(cx, socket),
            (Ok(_), Phase::Awaited) => {
                let error = self.response.missing_head();
                self.fail_bad_head(cx, socket, error);
            }
            (Err(failure), Phase::Awaited) => {
                let status = error_page::status_of(&failure.error);
                cx.log_problem(format_args!("answered with {status}: {failure}"));
                self.fail(cx, socket, status, "the application did not answer");
            }
            (Err(failure), Phase::Body) => {
                cx.log_problem(format_args!("a response is cut short: {failure}"));
                self.response.cut(socket);
            }
            (_, Phase::Unasked | Phase::File | Phase::Complete | Phase::Cut) => {}
        }
    }

    fn complete(&mut self, cx: &mut Context, socket: &mut Socket) {
        self.application_time = self.time_since_submitted(cx.now());
        self.response.complete(cx, socket);
    }

    fn time_since_submitted(&self, now: Instant) -> Option<Duration> {
        self.submitted.map(|at| now.duration_since(at))
    }

    fn fail_bad_head(&mut self, cx: &mut Context, socket: &mut Socket, error: HeadError) {
        cx.log_problem(format_args!("answered with 502: {error}"));
        self.fail(
            cx,
            socket,
            502,
            "the application's response has no valid head",
        );
    }

    /// Answers a request that nothing was sent for with an error, and ends the application's part in it.
    pub(crate) fn fail(&mut self, cx: &mut Context, socket: &mut Socket, status: u16, why: &str) {
        let now = cx.now();
        if status == 400 {
            // Who sends one thing that cannot be read may have sent another after it.
            self.response.close_after();
        }
        self.application_time = self.time_since_submitted(now);
        self.upload.give_up();
        if let Some(request) = self.request.take() {
            cx.fcgi().abort(now, request);
        }
        let text = &error_page::text(status, why);
        let content_type = error_page::TEXT;
        let body = OwnBody::Text { content_type, text };
        self.answer(cx, socket, status, error_page::fields(status), body);
    }

    /// Answers with something that is not an application's.
    pub(crate) fn answer(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: OwnBody<'_>,
    ) {
        if !self.upload.lets_go_on() {
            self.response.close_after();
        }
        self.response.write_own(cx, socket, status, fields, body);
    }

    /// The client did not do in time what it had to do; false when it is too late to say so.
    pub(crate) fn expire(&mut self, cx: &mut Context, socket: &mut Socket) -> bool {
        match self.response.phase() {
            Phase::Awaited | Phase::Unasked => {
                self.fail(cx, socket, 408, "the body did not arrive in time");
                true
            }
            Phase::Body | Phase::File | Phase::Complete | Phase::Cut => false,
        }
    }

    /// Nobody waits for the answer; `status` is for the log, where there is none yet.
    pub(crate) fn abandon(&mut self, cx: &mut Context, status: u16) {
        if let Some(request) = self.request.take() {
            let now = cx.now();
            cx.fcgi().abort(now, request);
        }
        self.response.abandon(status);
    }

    /// Whether both halves are done, or one cannot be; `is_sent`: the client took everything.
    pub(crate) fn conclude(&mut self, is_sent: bool) -> Option<Over> {
        if self.request.is_none() {
            self.upload.request_ended();
        }
        match self.response.phase() {
            Phase::Cut if is_sent => Some(Over::Cut),
            Phase::Complete if self.upload.is_done() => Some(Over::Done),
            Phase::Complete if !self.upload.is_wanted() => {
                // The rest of its body is read, but not for a connection that ends, and not without end.
                if self.upload.lets_go_on() && self.response.keeps_alive() {
                    return None;
                }
                self.response.close_after();
                Some(Over::Done)
            }
            _ => None,
        }
    }

    /// Logs it and gives back what it had.
    pub(crate) fn finish(self, cx: &mut Context, client: IpAddr) -> Finished {
        let now = cx.now();
        let is_body_read = self.upload.is_done();
        if let Some(request) = self.request
            && !is_body_read
        {
            // The rest of its body will not come, and no time-out runs for an application that waits for it.
            cx.fcgi().abort(now, request);
        }
        let (status, body_len) = self.response.sent();
        // Who was not waited for to the end took until now.
        let until_now = || self.time_since_submitted(now);
        let served = Served {
            status,
            body_len,
            application_time: self.application_time.or_else(until_now),
        };
        let finished = Finished {
            keeps_alive: self.response.keeps_alive(),
            is_body_read,
        };
        self.response.give_back(cx);
        cx.log_request(client, self.entry, served);
        finished
    }
}
