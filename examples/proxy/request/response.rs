//! The response to the client: its head, its body, its end.

use std::fs::File;
use std::io::{self, ErrorKind};

use mio_fcgi::Outcome;
use mio_fcgi::cgi::{Head, Reply, ReplyTo, Verdict};

use super::elsewhere::Elsewhere;
use super::http::response_head;
use super::net::lent::Output;
use super::net::socket::Socket;
use super::piece::{append, copy_piece};
use super::site::budget::Held;
use super::site::context::Context;

/// A response and its progress.
#[derive(Debug)]
pub(crate) struct Response {
    to: ReplyTo,
    state: State,
    /// 0: no head was written yet. In [`State::Application`] the reply counts.
    status: u16,
    /// Bytes of the body that were sent. In [`State::Application`] the reply counts.
    body_len: u64,
    /// How many bytes may be kept for a client that reads slowly. 0: the application waits for the client.
    spill_limit: u64,
}

#[derive(Debug)]
enum State {
    /// The application was not asked yet.
    Unasked,
    /// The application was asked.
    Application(Box<Reply>),
    /// The application named where the response is. Its body is dropped.
    Redirected {
        to: Elsewhere,
        dropped: usize,
    },
    File {
        file: File,
        left: u64,
        _held: Held,
    },
    Complete,
    /// The response ended early: the connection has to show that to the client.
    Cut,
}

/// The progress of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was sent, and the application was not asked.
    Unasked,
    /// Nothing was sent. The application was asked, and its head or the end of a local redirect is expected.
    Awaited,
    /// The body of an application's response is being sent.
    Body,
    /// A file is being sent.
    File,
    Complete,
    Cut,
}

impl Phase {
    /// The name for the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unasked => "reading the request",
            Self::Awaited => "waiting for the head",
            Self::Body => "body",
            Self::File => "file",
            Self::Complete | Self::Cut => "after the response",
        }
    }
}

/// What became of an application's response.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// Why the response is not whole.
    pub(crate) problem: Option<String>,
}

/// The body of a response of the proxy's own.
#[derive(Debug)]
pub(crate) enum OwnBody<'a> {
    /// No body and no field that describes one: 204 and 304.
    None,
    Text {
        content_type: &'a str,
        text: &'a str,
    },
    /// `len` bytes of a file, from its current position.
    File {
        content_type: &'a str,
        file: File,
        len: u64,
        /// The file as a part of the budget, if it is longer than [`IN_MEMORY`].
        held: Held,
    },
}

impl Response {
    pub(crate) fn new(to: ReplyTo) -> Self {
        Self {
            to,
            state: State::Unasked,
            status: 0,
            body_len: 0,
            spill_limit: 0,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match &self.state {
            State::Unasked => Phase::Unasked,
            State::Application(reply) if reply.status().is_none() => Phase::Awaited,
            State::Redirected { .. } => Phase::Awaited,
            State::Application(_) => Phase::Body,
            State::File { .. } => Phase::File,
            State::Complete => Phase::Complete,
            State::Cut => Phase::Cut,
        }
    }

    /// The status and the number of body bytes, for the log.
    pub(crate) fn sent(&self) -> (u16, u64) {
        match &self.state {
            State::Application(reply) => (reply.status().unwrap_or(self.status), reply.body_len()),
            _ => (self.status, self.body_len),
        }
    }

    /// Whether the connection can be kept after this response.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.to.keep_alive
    }

    /// Makes the connection end with this response.
    pub(crate) fn close_after(&mut self) {
        self.to.keep_alive = false;
    }

    /// The application was asked: its head is expected.
    pub(crate) fn await_head(&mut self, cx: &mut Context) {
        self.state = State::Application(cx.buffers().take_reply(self.to));
        self.spill_limit = cx.options().buffer_response;
    }

    /// Passes output of the application on. True if a part of the body was sent. `id` is the ID of the request, unless the
    /// application names one itself. `follows`: a local redirect is not passed on.
    pub(crate) fn push(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        output: Output<'_>,
        id: &str,
        follows: bool,
    ) -> bool {
        let data = output.bytes();
        let reply = match &mut self.state {
            State::Application(reply) => reply,
            State::Redirected { dropped, .. } => {
                *dropped += data.len();
                return false;
            }
            _ => return false,
        };
        if socket.is_sent() {
            socket.note_progress(cx.now());
        }
        let mut rest = data;
        if reply.status().is_none() {
            if !cx.keeps_clients() {
                reply.close_after();
            }
            let out = socket.tail(cx.buffers());
            if let Some(head) = reply.head(&mut rest, out) {
                if let Some(to) = Elsewhere::of(head.head(), follows) {
                    let dropped = rest.len();
                    self.become_state(cx, State::Redirected { to, dropped });
                    return false;
                }
                if is_unbuffered(head.head()) {
                    self.spill_limit = 0;
                }
                let fields = [
                    ("Date", cx.http_date()),
                    ("Server", response_head::SERVER),
                    (response_head::REQUEST_ID, id),
                ];
                head.with_defaults(&fields).write(out);
            }
        }
        let mut is_sent = false;
        while let Some(part) = reply.body(&mut rest, socket.tail(cx.buffers())) {
            socket.lend(cx.now(), output, part.data, part.suffix, cx.buffers());
            is_sent = true;
        }
        if reply.is_complete() {
            // The client has the whole response, to HEAD for instance, whatever the application still sends.
            reply.stdout_end(socket.tail(cx.buffers()));
        }
        is_sent
    }

    /// Whether the socket takes more of the body, or there is room to keep it. A response that asks for it is not kept:
    /// its application is to notice how fast its client reads.
    ///
    /// # Errors
    /// The file system's error. No more of this response is kept then.
    pub(crate) fn has_room(&mut self, cx: &mut Context, socket: &mut Socket) -> io::Result<bool> {
        let room = socket.make_room(self.spill_limit, cx.budget());
        if room.is_err() {
            self.spill_limit = 0;
        }
        room
    }

    /// Where the response is: a file at once; another path of the site once the application's output is complete or too
    /// long. Returns it once: nothing was sent, and another response can begin.
    pub(crate) fn take_redirect(&mut self, is_complete: bool) -> Option<Elsewhere> {
        let is_due = match &self.state {
            State::Redirected {
                to: Elsewhere::File(_),
                ..
            } => true,
            State::Redirected { dropped, .. } => is_complete || *dropped > MAX_DROPPED,
            _ => false,
        };
        if !is_due {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Unasked) {
            State::Redirected { to, .. } => Some(to),
            _ => None,
        }
    }

    /// Whether the application named where the response is.
    pub(crate) fn is_redirected(&self) -> bool {
        matches!(self.state, State::Redirected { .. })
    }

    /// The application's output is complete.
    pub(crate) fn end_output(&mut self, cx: &mut Context, socket: &mut Socket) {
        if let State::Application(reply) = &mut self.state {
            reply.stdout_end(start(cx, socket));
        }
    }

    /// The application's request has ended.
    pub(crate) fn end(&mut self, cx: &mut Context, socket: &mut Socket, outcome: &Outcome) {
        if let State::Application(reply) = &mut self.state {
            reply.end(outcome, start(cx, socket));
        }
    }

    /// What became of the application's response, once that is known. Returns it once.
    pub(crate) fn take_verdict(&mut self, cx: &mut Context, socket: &Socket) -> Option<Judged> {
        let State::Application(reply) = &self.state else {
            return None;
        };
        let verdict = reply.verdict()?;
        let problem = reply.error().map(|error| match verdict {
            Verdict::NothingSent { status } => format!("answered with {status}: {error}"),
            _ => format!("a response is cut short: {error}"),
        });
        match verdict {
            Verdict::Keep => self.become_state(cx, State::Complete),
            Verdict::Close => {
                self.close_after();
                self.become_state(cx, State::Complete);
            }
            Verdict::NothingSent { .. } => self.become_state(cx, State::Unasked),
            verdict => {
                if verdict == (Verdict::Cut { needs_reset: true }) {
                    socket.reset_when_closed();
                }
                self.become_state(cx, State::Cut);
            }
        }
        Some(Judged { verdict, problem })
    }

    /// The client is gone. `status` is logged if there is no status yet. `unsent`: the bytes that the client did not
    /// take.
    pub(crate) fn abandon(&mut self, cx: &mut Context, status: u16, unsent: u64) {
        let was_over = matches!(self.state, State::Complete | State::Cut);
        self.become_state(cx, State::Cut);
        if !was_over && self.status == 0 {
            self.status = status;
        }
        // A little less than the client got: the sizes of chunks are not part of the body.
        self.body_len = self.body_len.saturating_sub(unsent);
    }

    /// Writes a response of the proxy's own. [`send_file`](Self::send_file) sends the body of a file.
    pub(crate) fn write_own(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        status: u16,
        fields: &[(&[u8], &[u8])],
        id: &str,
        body: OwnBody<'_>,
    ) {
        let out = socket.tail(cx.buffers());
        response_head::start_own(out, status, cx.http_date(), id);
        for (name, value) in fields {
            response_head::write_field(out, name, value);
        }
        let (content_type, len) = match &body {
            OwnBody::None => ("", 0),
            OwnBody::Text { content_type, text } => (*content_type, text.len() as u64),
            OwnBody::File {
                content_type, len, ..
            } => (*content_type, *len),
        };
        if !matches!(body, OwnBody::None) {
            response_head::write_field(out, b"Content-Type", content_type.as_bytes());
            response_head::write_number(out, b"Content-Length", len);
        }
        response_head::write_connection(out, self.to);
        let mut body_len = 0;
        let state = match body {
            OwnBody::Text { text, .. } if !self.to.head_only => {
                out.extend_from_slice(text.as_bytes());
                body_len = len;
                State::Complete
            }
            OwnBody::File {
                file,
                len: 1..,
                held,
                ..
            } if !self.to.head_only => match len <= IN_MEMORY {
                true => {
                    body_len = append(file, len, out);
                    match body_len == len {
                        true => State::Complete,
                        false => cut_short(cx),
                    }
                }
                false => State::File {
                    file,
                    left: len,
                    _held: held,
                },
            },
            OwnBody::None | OwnBody::Text { .. } | OwnBody::File { .. } => State::Complete,
        };
        self.become_state(cx, state);
        (self.status, self.body_len) = (status, body_len);
    }

    /// Sends more of a file while the client takes it. True if the client could take more.
    ///
    /// # Errors
    /// The file is shorter than it was, or cannot be read: the response is cut.
    pub(crate) fn send_file(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        scratch: &mut [u8],
    ) -> io::Result<bool> {
        for _ in 0..PIECES {
            let State::File { file, left, .. } = &mut self.state else {
                return Ok(false);
            };
            let sent = match socket.send_file(cx.now(), file, *left) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(_) => copy_piece(cx, socket, file, *left, scratch),
                sent => sent,
            };
            match sent {
                Ok(sent) => {
                    *left -= sent as u64;
                    self.body_len += sent as u64;
                    if *left == 0 {
                        self.state = State::Complete;
                    }
                }
                Err(error) => {
                    self.state = State::Cut;
                    return Err(error);
                }
            }
            if !socket.is_writable() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Changes the state and gives the reply back for reuse.
    fn become_state(&mut self, cx: &mut Context, state: State) {
        (self.status, self.body_len) = self.sent();
        if let State::Application(reply) = std::mem::replace(&mut self.state, state) {
            cx.buffers().give_back_reply(reply);
        }
    }

    /// Gives the memory of the response back.
    pub(crate) fn give_back(&mut self, cx: &mut Context) {
        self.become_state(cx, State::Complete);
    }
}

/// The buffer for more of a response. The client's time limit starts now if there was nothing to send before.
fn start<'s>(cx: &mut Context, socket: &'s mut Socket) -> &'s mut Vec<u8> {
    if socket.is_sent() {
        socket.note_progress(cx.now());
    }
    socket.tail(cx.buffers())
}

/// A file ends before its declared length.
fn cut_short(cx: &mut Context) -> State {
    cx.log_problem(format_args!(
        "a file is cut short: it shrank, or cannot be read"
    ));
    State::Cut
}

/// Whether the application wants to notice how fast its client reads: it says so as for nginx, or it sends events, of
/// which a slow client is to get the newest ones.
fn is_unbuffered(head: Head<'_>) -> bool {
    let is_no = |value: &[u8]| value.eq_ignore_ascii_case(b"no");
    let is_events = |value: &[u8]| {
        let split = value.split_at_checked(EVENTS.len());
        split.is_some_and(|(name, rest)| {
            let rest = rest.trim_ascii_start();
            name.eq_ignore_ascii_case(EVENTS) && matches!(rest, [] | [b';', ..])
        })
    };
    // Looked at first, because names are long and these values are rare.
    let mut fields = head.fields();
    if !fields.any(|field| is_no(field.1) || is_events(field.1)) {
        return false;
    }
    head.get("X-Accel-Buffering").is_some_and(is_no)
        || head.get("content-type").is_some_and(is_events)
}

const EVENTS: &[u8] = b"text/event-stream";
/// A file, or a part of one, of at most so many bytes is read at once, so that a client that reads slowly keeps no file
/// open.
pub(crate) const IN_MEMORY: u64 = 64 * 1024;
/// How much of the body of a local redirect is dropped before its request is aborted, in bytes.
const MAX_DROPPED: usize = 1024 * 1024;
/// How often a file is read per turn.
const PIECES: usize = 4;
