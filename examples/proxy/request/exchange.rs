//! A request and its response.
//!
//! # Back-pressure
//! The faster side waits for the slower one, and the bytes queued between them are bounded.
//!
//! **To the client.** A few bytes of output are queued until the end of the loop's turn, so that a head, a body and the
//! end of the body leave in one write. Larger pieces of one read are written together, from the buffer they were read into
//! ([`Socket::send_lent`]). What the socket does not take is kept: in memory, then in a file, up to `--buffer-response` and
//! within the budget of all clients ([`Socket::make_room`]). So the application is done when it has sent its output, and
//! a client that reads slowly holds no worker. When no more can be kept, the request is paused: no more output is read
//! for it until there is room. It is paused at once, until the socket has taken everything, with `--buffer-response 0`,
//! if the application asks for it, and after an error of the file system ([`Response::has_room`]). The next piece of a
//! file of the site is sent, on Linux without reading it, when the socket has taken the last one.
//!
//! **To the application.** A body is collected before the application is asked, so that a client that sends slowly
//! holds none of its workers: in memory while it is short, then in a file, within a budget over all clients. A longer
//! body than the options allow, and one that cannot be kept, is passed on as far as the FastCGI client takes it. When
//! that takes no more, the client's connection is not read ([`Upload::wants_input`]) until `StdinReady`. The rest stays
//! in the system's buffers, and the client waits. Nor is the next request read before this response is complete.

use std::fmt::Arguments;
use std::time::Instant;

use mio_fcgi::cgi::{PassOnError, ReplyTo};
use mio_fcgi::{Request, Tag};

use super::error_page::{self, Fields};
use super::net::client_address::ClientAddress;
use super::net::socket::Socket;
use super::response::{OwnBody, Phase, Response};
use super::site::applications::RequestHandle;
use super::site::context::Context;
use super::site::options::Options;
use super::trace::Trace;
use super::upload::{NotTaken, Upload};

/// A request and its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The tag of the client's connection, for events of the FastCGI client.
    tag: Tag,
    /// The number of the application that is asked.
    application: usize,
    /// The FastCGI request, while it is running.
    request: Option<RequestHandle>,
    upload: Upload,
    response: Response,
    /// The request is paused because the client does not take the output.
    is_paused: bool,
    /// The head of the request while the application may still name where the response is.
    head: Vec<u8>,
    /// Local redirects followed so far.
    redirects: u32,
    trace: Trace,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// Request and response are complete, or one of them cannot be completed.
    Done,
    /// The response was cut off: the connection has to be closed.
    Cut,
}

/// What the connection needs to know of an exchange that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finished {
    pub(crate) keeps_alive: bool,
    pub(crate) is_body_read: bool,
}

mod output;

impl Exchange {
    /// A request without a response. `line` is the request line, for the log.
    pub(crate) fn open(cx: &mut Context, tag: Tag, to: ReplyTo, line: &[u8]) -> Self {
        Self {
            tag,
            application: 0,
            request: None,
            // More bytes may be on their way.
            upload: Upload::endless(),
            response: Response::new(to),
            is_paused: false,
            head: Vec::new(),
            redirects: 0,
            trace: Trace::new(cx.log_entry(line)),
        }
    }

    /// What the log says of the request.
    pub(crate) fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// As [`trace`](Self::trace), to look at.
    pub(crate) fn traced(&self) -> &Trace {
        &self.trace
    }

    /// Logs a failure of this request.
    pub(crate) fn report(&self, cx: &mut Context, socket: &Socket, what: Arguments<'_>) {
        self.report_in(cx, socket, self.response.phase(), what);
    }

    /// As [`report`](Self::report), in a phase of the response that may be over.
    fn report_in(&self, cx: &mut Context, socket: &Socket, phase: Phase, what: Arguments<'_>) {
        let client = socket.client();
        self.trace.report(cx, client, self.request, phase, what);
    }

    /// Whether this is the exchange's FastCGI request.
    pub(crate) fn is_of(&self, request: RequestHandle) -> bool {
        self.request == Some(request)
    }

    /// Whether output of the application can still be of use to the client.
    pub(crate) fn wants_output(&self) -> bool {
        !matches!(
            self.response.phase(),
            Phase::File | Phase::Complete | Phase::Cut
        )
    }

    /// Whether an application was asked, or will be.
    pub(crate) fn has_application(&self) -> bool {
        self.request.is_some() || self.upload.is_wanted()
    }

    /// Sets the application that is asked.
    pub(crate) fn set_application(&mut self, number: usize) {
        self.application = number;
    }

    pub(crate) fn application(&self) -> usize {
        self.application
    }

    /// Keeps the head of the request, for the response that the application names.
    pub(crate) fn keep_head(&mut self, cx: &mut Context, head: &[u8]) {
        self.head = cx.buffers().take().unwrap_or_default();
        self.head.extend_from_slice(head);
    }

    /// Takes the head of the request out, to respond as the application says. The caller puts it back.
    pub(crate) fn take_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head)
    }

    pub(crate) fn put_head_back(&mut self, head: Vec<u8>) {
        self.head = head;
    }

    /// Whether the exchange waits for the application, or for the rest of the body.
    pub(crate) fn waits(&self) -> bool {
        self.request.is_some() || !self.upload.is_done()
    }

    /// Whether bytes from the client can be used now.
    pub(crate) fn wants_input(&self) -> bool {
        self.upload.wants_input()
    }

    /// When the client has to have sent more of the body: its last progress was at `last_progress`. `None`: the client has
    /// nothing to send.
    pub(crate) fn body_due(&self, options: &Options, last_progress: Instant) -> Option<Instant> {
        if !self.upload.waits_for_client() {
            return None;
        }
        let grace = options.client_timeout;
        let too_slow_at = self.upload.too_slow_at(options.min_rate, grace);
        let idle_at = last_progress + grace;
        Some(too_slow_at.map_or(idle_at, |at| at.min(idle_at)))
    }

    /// Whether a file is being sent.
    pub(crate) fn sends_file(&self) -> bool {
        self.response.phase() == Phase::File
    }

    /// The body of the request.
    pub(crate) fn upload(&mut self) -> &mut Upload {
        &mut self.upload
    }

    /// Submits a request to the FastCGI client.
    pub(crate) fn submit(&mut self, cx: &mut Context, socket: &mut Socket, request: Request) {
        let now = cx.now();
        let (application, tag) = (self.application, self.tag);
        self.trace.note_submit(now, application);
        match cx.fcgi().submit(now, application, request, tag) {
            Ok(handle) => {
                self.request = Some(handle);
                self.response.await_head(cx);
            }
            Err(refused) => {
                let error = refused.error;
                let status = error.http_status();
                let why = match status {
                    503 => "the server is busy",
                    431 => "the fields are too long",
                    _ => "the request cannot be passed on",
                };
                self.trace.note_refused(&error);
                self.report(cx, socket, format_args!("answered with {status}: {error}"));
                self.fail(cx, socket, status, why);
            }
        }
    }

    /// Uses bytes of the body and returns how many.
    pub(crate) fn take_body(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        bytes: &[u8],
    ) -> usize {
        match self.upload.take(cx, self.request, bytes) {
            Ok(taken) => {
                if let Some(request) = taken.request {
                    self.submit(cx, socket, request);
                }
                taken.used
            }
            Err(why) => {
                self.not_taken(cx, socket, why);
                bytes.len()
            }
        }
    }

    /// How many bytes of the body have not arrived, if that is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        self.upload.left()
    }

    /// The memory to read more of the body into, if it is collected there.
    pub(crate) fn body_space(&mut self) -> Option<&mut Vec<u8>> {
        self.upload.space()
    }

    /// Uses the last `len` bytes of the [space](Self::body_space), which were read into it. Those that follow the body are
    /// appended to `following`.
    pub(crate) fn take_read(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        len: usize,
        following: &mut Vec<u8>,
    ) {
        match self.upload.take_read(len, following) {
            Ok(Some(request)) => self.submit(cx, socket, request),
            Ok(None) => {}
            Err(why) => self.not_taken(cx, socket, why),
        }
    }

    fn not_taken(&mut self, cx: &mut Context, socket: &mut Socket, why: NotTaken) {
        match why {
            NotTaken::Refused(error) => self.refuse_body(cx, socket, error),
            NotTaken::NotKept(error) => {
                let what = format_args!("a request body cannot be stored: {error}");
                self.report(cx, socket, what);
                self.fail(cx, socket, 503, "the body cannot be stored now");
            }
        }
    }

    /// Responds to a body that cannot be read. Where the request ends is unknown.
    pub(crate) fn refuse_body(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        error: PassOnError,
    ) {
        let why = match error.http_status() {
            413 => "the body is too long".to_owned(),
            _ => error.to_string(),
        };
        self.fail(cx, socket, error.http_status(), &why);
    }

    /// The application takes bytes of the body again. False if the client is not needed for that.
    pub(crate) fn resume_upload(&mut self, cx: &mut Context, socket: &mut Socket) -> bool {
        match self.upload.resume(cx, self.request) {
            Ok(needs_input) => needs_input,
            Err(why) => {
                self.not_taken(cx, socket, why);
                false
            }
        }
    }

    /// Responds with an error if nothing was sent yet, and aborts the application's request.
    pub(crate) fn fail(&mut self, cx: &mut Context, socket: &mut Socket, status: u16, why: &str) {
        self.fail_with(cx, socket, status, why, error_page::fields(status));
    }

    /// As [`fail`](Self::fail), with 405. `allow` is what the target takes.
    pub(crate) fn refuse_method(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        allow: Fields<'_>,
    ) {
        let why = "the target does not take this method";
        self.fail_with(cx, socket, 405, why, allow);
    }

    fn fail_with(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        status: u16,
        why: &str,
        fields: Fields<'_>,
    ) {
        let now = cx.now();
        if status == 400 {
            // A client that sent one malformed request may have sent another one after it.
            self.response.close_after();
        }
        self.trace.note_answer(now);
        self.upload.give_up();
        if let Some(request) = self.request.take() {
            cx.fcgi().abort(now, request);
        }
        let text = &error_page::text(status, why);
        let content_type = error_page::TEXT;
        let body = OwnBody::Text { content_type, text };
        self.answer(cx, socket, status, fields, body);
    }

    /// Sends a response that does not come from an application.
    pub(crate) fn answer(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: OwnBody<'_>,
    ) {
        if !self.upload.can_keep_connection() {
            self.response.close_after();
        }
        let id = self.trace.id();
        self.response
            .write_own(cx, socket, status, fields, id, body);
    }

    /// The client's time limit is over. False if it is too late for a response.
    pub(crate) fn expire(&mut self, cx: &mut Context, socket: &mut Socket) -> bool {
        match self.response.phase() {
            Phase::Awaited | Phase::Unasked => {
                self.fail(cx, socket, 408, "the body did not arrive in time");
                true
            }
            Phase::Body | Phase::File | Phase::Complete | Phase::Cut => false,
        }
    }

    /// The client is gone. `status` is logged if there is no status yet. `unsent`: the bytes that the client did not
    /// take.
    pub(crate) fn abandon(&mut self, cx: &mut Context, status: u16, unsent: u64) {
        if let Some(request) = self.request.take() {
            let now = cx.now();
            cx.fcgi().abort(now, request);
        }
        self.response.abandon(cx, status, unsent);
    }

    /// Whether the exchange is over, and how.
    pub(crate) fn conclude(&mut self, now: Instant, socket: &Socket) -> Option<Over> {
        if self.request.is_none() {
            self.upload.request_ended(now);
        }
        match self.response.phase() {
            Phase::Cut if socket.is_sent() => Some(Over::Cut),
            // The log line of a response comes when little of it is left, whose client may still vanish.
            Phase::Complete if self.upload.is_done() => {
                (!socket.is_spilled()).then_some(Over::Done)
            }
            Phase::Complete if !self.upload.is_wanted() => {
                // The rest of the body is read so that the connection can be kept: not if it ends anyway, and not
                // without limit.
                if self.upload.can_keep_connection() && self.response.keeps_alive() {
                    return None;
                }
                self.response.close_after();
                Some(Over::Done)
            }
            _ => None,
        }
    }

    /// Logs the exchange and gives its buffers back. The exchange is dropped then.
    pub(crate) fn finish(&mut self, cx: &mut Context, client: ClientAddress) -> Finished {
        let now = cx.now();
        let is_body_read = self.upload.is_done();
        if let Some(request) = self.request {
            cx.keep_until_end(request, self.upload.take_held());
            if !is_body_read || self.is_paused {
                // The rest of the body will not arrive, and no timeout applies to an application that waits for it. Nor
                // does one apply to a request that is paused, and nobody is left to resume it.
                cx.fcgi().abort(now, request);
            }
        }
        let (status, body_len) = self.response.sent();
        let finished = Finished {
            keeps_alive: self.response.keeps_alive(),
            is_body_read,
        };
        self.response.give_back(cx);
        cx.buffers().give_back(self.take_head());
        self.trace.finish(cx, client, status, body_len);
        finished
    }
}

/// Why an application's response is replaced by an error.
const NO_ANSWER: &str = "the application did not answer, or not with a valid response";
