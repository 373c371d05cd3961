//! What the application sends, on its way to the client: its response, and where the response is if it says so.

use mio_fcgi::Outcome;
use mio_fcgi::cgi::Verdict;

use super::super::elsewhere::Elsewhere;
use super::super::net::lent::Output;
use super::super::net::socket::Socket;
use super::super::response::Phase;
use super::super::site::context::Context;
use super::{Exchange, NO_ANSWER};

impl Exchange {
    /// Handles output of the application. Returns where the response is, if that is to be followed now.
    pub(crate) fn take_stdout(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        output: Output<'_>,
    ) -> Option<Elsewhere> {
        let follows = cx.options().local_redirects;
        let id = self.trace.id();
        let is_full =
            self.response.push(cx, socket, output, id, follows) && !self.has_room(cx, socket);
        if self.response.phase() == Phase::Body {
            cx.buffers().give_back(self.take_head());
        }
        self.settle_response(cx, socket);
        // Nobody would resume the request of a response that is complete.
        if is_full && self.response.phase() == Phase::Body {
            self.pause(cx);
        }
        self.take_redirect(cx, socket, false)
    }

    /// The client has not taken all of what the application has sent: pauses the request if there is no room for more.
    pub(crate) fn pause_if_full(&mut self, cx: &mut Context, socket: &mut Socket) {
        if self.response.phase() == Phase::Body && !self.has_room(cx, socket) {
            self.pause(cx);
        }
    }

    fn pause(&mut self, cx: &mut Context) {
        if !self.is_paused
            && let Some(request) = self.request
        {
            self.is_paused = true;
            let now = cx.now();
            cx.fcgi().pause(now, request);
        }
    }

    /// Whether the client takes more, or there is room to keep it.
    fn has_room(&mut self, cx: &mut Context, socket: &mut Socket) -> bool {
        self.response
            .has_room(cx, socket)
            .unwrap_or_else(|error| {
                let what = format_args!(
                    "a response cannot be kept in a file, so its application waits for the client: {error}"
                );
                self.report_in(cx, socket, Phase::Body, what);
                false
            })
    }

    /// The client may have taken something: fetches more if there is room. True if there is more to send at once.
    pub(crate) fn fetch(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        scratch: &mut [u8],
    ) -> bool {
        if self.is_paused && self.has_room(cx, socket) {
            self.is_paused = false;
            if let Some(request) = self.request {
                let now = cx.now();
                cx.fcgi().resume(now, request);
            }
        }
        if !socket.is_sent() {
            return false;
        }
        match self.response.send_file(cx, socket, scratch) {
            Ok(is_ready) => is_ready,
            Err(error) => {
                let what = format_args!("a file is cut short: {error}");
                self.report_in(cx, socket, Phase::File, what);
                false
            }
        }
    }

    /// The application's output is complete. What the application does after that does not concern the client. Returns
    /// where the response is, if that is to be followed now.
    pub(crate) fn end_output(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
    ) -> Option<Elsewhere> {
        self.response.end_output(cx, socket);
        self.settle_response(cx, socket);
        self.take_redirect(cx, socket, true)
    }

    /// The application's request has ended. Returns where the response is, if that is to be followed now.
    pub(crate) fn end_request(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        outcome: Outcome,
    ) -> Option<Elsewhere> {
        self.request = None;
        self.trace.note_end(&outcome, self.response.phase());
        if self.response.is_redirected()
            && let Err(failure) = &outcome
        {
            let status = failure.http_status();
            self.report(
                cx,
                socket,
                format_args!("answered with {status}: {failure}"),
            );
            self.fail(cx, socket, status, NO_ANSWER);
            return None;
        }
        self.response.end(cx, socket, &outcome);
        self.settle_response(cx, socket);
        self.take_redirect(cx, socket, true)
    }

    /// Where the response is, if that is to be followed now. A local redirect is followed when the application's output is
    /// complete, so that the application can do what it wants to do after its redirect.
    fn take_redirect(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        is_complete: bool,
    ) -> Option<Elsewhere> {
        let to = self.response.take_redirect(is_complete)?;
        let is_file = matches!(to, Elsewhere::File(_));
        // A request that is not over yet goes on by itself, unless it waits for the rest of its body. After a file, it is
        // watched.
        let is_watched = is_file && self.upload.is_done();
        if !is_watched && let Some(request) = self.request.take() {
            cx.keep_until_end(request, self.upload.take_held());
            if !is_complete || !self.upload.is_done() {
                let now = cx.now();
                cx.fcgi().abort(now, request);
            }
        }
        if !is_watched {
            self.upload.request_ended(cx.now());
        }
        if is_file {
            self.trace.note_answer(cx.now());
            return Some(to);
        }
        if self.redirects == MAX_REDIRECTS {
            let what = format_args!("answered with 502: more than {MAX_REDIRECTS} local redirects");
            self.report(cx, socket, what);
            self.fail(cx, socket, 502, NO_ANSWER);
            return None;
        }
        self.redirects += 1;
        Some(to)
    }

    /// Does what the verdict about the application's response asks for, once there is one.
    fn settle_response(&mut self, cx: &mut Context, socket: &mut Socket) {
        let phase = self.response.phase();
        let Some(judged) = self.response.take_verdict(cx, socket) else {
            return;
        };
        if let Some(problem) = judged.problem {
            self.report_in(cx, socket, phase, format_args!("{problem}"));
        }
        match judged.verdict {
            Verdict::Keep | Verdict::Close => {
                self.trace.note_answer(cx.now());
            }
            Verdict::NothingSent { status } => {
                self.fail(cx, socket, status, NO_ANSWER);
            }
            _ => {
                if let Some(request) = self.request.take() {
                    let now = cx.now();
                    cx.fcgi().abort(now, request);
                }
            }
        }
    }
}

/// The most local redirects that are followed for one request.
const MAX_REDIRECTS: u32 = 10;
