//! Passes the output of one request on to an HTTP/1 client as it arrives.

use super::head_parser::HeadParser;
use super::reply_framing::is_chunked;
use super::reply_head::{ReplyHead, write_interim, write_own};
use super::reply_progress::{BodyPart, Progress, State};
use super::{HeadError, HeadRules, ResponseError, wants_keep_alive};
use crate::event::{Event, EventKind, Outcome};
use crate::settings::settings;

/// Turns the events of one request into the bytes of an HTTP/1.1 response, as they arrive.
///
/// Every server in front of an application has this to do: pass the head on without the fields that concern a
/// connection, frame the body for the client, and find out at the end whether the response is whole. A reply appends to
/// a buffer of the embedder's and holds no output, apart from an incomplete head. To hold the whole response, use a
/// [`Collector`](super::Collector).
///
/// ```
/// use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
/// use mio_fcgi::{Completion, Report};
///
/// let mut out = Vec::new(); // to be sent to the client
/// let mut reply = Reply::new(ReplyTo::new().with_method("GET"));
/// // Pass each event of the request to `on_event`, or pass the pieces:
/// reply.stdout(b"Content-Type: text/plain\n\nhello ", &mut out);
/// reply.stdout(b"world", &mut out);
/// let verdict = reply.end(&Ok(Completion::new(0, Report::default())), &mut out);
///
/// assert_eq!(verdict, Some(Verdict::Keep));
/// assert_eq!(
///     out,
///     b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
///     6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
/// );
///
/// // The next request of this client, with the same memory. Its application answers nothing.
/// out.clear();
/// reply.begin(ReplyTo::new().with_method("GET"));
/// let verdict = reply.end(&Ok(Completion::new(0, Report::default())), &mut out);
/// assert_eq!(verdict, Some(Verdict::NothingSent { status: 502 }));
/// reply.answer(502, &[("Content-Type", "text/plain")], b"try later", &mut out);
/// assert_eq!(
///     out,
///     b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\ntry later"
/// );
/// ```
///
/// # What the client gets
///
/// - **The head**: status line and fields in the application's order, repeated ones included. Left out are fields that
///   [concern the connection](super::is_hop_by_hop) or [are for the server](super::is_for_server), and those listed in
///   `Connection`, of which the first 32 options count. Add fields of the server's own, such as `Date`, with [`head`](Self::head).
/// - **Interim heads** (1xx), except to HTTP/1.0. `100 Continue` is left out: the server sends it itself to a client
///   that expects it.
/// - **The body** with the application's `Content-Length`, or in chunks, or for HTTP/1.0 up to the end of the
///   connection. Bytes beyond the `Content-Length` are dropped. There is no body for HEAD and the statuses 204, 205 and
///   304, whatever the application sends.
/// - **The application's own `Transfer-Encoding`** is removed: a chunked body is decoded, and framed for the client. A
///   compressed one is an error, [`ResponseError::TransferEncoding`].
///
/// # Without a copy
///
/// [`stdout`](Self::stdout) copies the body into the buffer. To write it from where it was read, use
/// [`body`](Self::body).
#[derive(Debug, Default)]
pub struct Reply {
    parser: HeadParser,
    progress: Progress,
}

impl Reply {
    /// A reply to this request.
    #[must_use]
    pub fn new(to: ReplyTo) -> Self {
        Self::default().with_request(to)
    }

    /// Sets the rules for the head. They stay when another reply [begins](Self::begin).
    #[must_use]
    pub fn with_head_rules(mut self, rules: HeadRules) -> Self {
        self.parser = HeadParser::new(rules);
        self
    }

    fn with_request(mut self, to: ReplyTo) -> Self {
        self.progress.to = to;
        self
    }

    /// Begins a reply to another request, with the memory of this one.
    pub fn begin(&mut self, to: ReplyTo) {
        self.parser.clear();
        self.progress = Progress {
            to,
            ..Progress::default()
        };
    }

    /// Takes an event of the request, and appends what results from it to `out`. Returns the verdict if this event
    /// decides it: with `StdoutEnd`, `End`, or output that cannot be passed on. Every reply has one verdict.
    ///
    /// After a verdict, further output is dropped. If the verdict comes before `End`, the request is still running:
    /// after an error the embedder may abort it.
    pub fn on_event(&mut self, event: &Event<&[u8]>, out: &mut Vec<u8>) -> Option<Verdict> {
        match &event.kind {
            EventKind::Stdout(data) => self.stdout(data, out),
            EventKind::StdoutEnd => self.stdout_end(out),
            EventKind::End(outcome) => self.end(outcome, out),
            EventKind::Stderr(_) | EventKind::StdinReady | EventKind::Values(_) => None,
        }
    }

    /// Takes a piece of output, as [`on_event`](Self::on_event).
    pub fn stdout(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Option<Verdict> {
        let was_over = self.verdict().is_some();
        let mut rest = piece;
        while let Some(part) = self.body(&mut rest, out) {
            out.extend_from_slice(part.data);
            out.extend_from_slice(part.suffix);
        }
        if was_over { None } else { self.verdict() }
    }

    /// The output is complete, as [`on_event`](Self::on_event).
    pub fn stdout_end(&mut self, out: &mut Vec<u8>) -> Option<Verdict> {
        self.progress.complete(out)
    }

    /// The request has ended, as [`on_event`](Self::on_event).
    ///
    /// A failed request after a body that has all its bytes is no error: the client has the whole response.
    pub fn end(&mut self, outcome: &Outcome, out: &mut Vec<u8>) -> Option<Verdict> {
        let error = match (&self.progress.state, outcome) {
            (State::Withheld | State::Over(_), _) => return None,
            (State::Body(body), Err(failure)) if !body.is_complete() => {
                ResponseError::Failed(failure.clone())
            }
            (State::Body(_), _) => return self.progress.complete(out),
            (State::Head, Err(failure)) => ResponseError::Failed(failure.clone()),
            (State::Head, Ok(_)) => match self.parser.end() {
                Err(HeadError::Missing) | Ok(()) => ResponseError::Empty,
                Err(error) => ResponseError::Head(error),
            },
        };
        Some(self.progress.fail(error))
    }

    /// Reads heads from the front of a piece. Returns the final head once it is complete, before a byte of it is
    /// written; interim heads have been written to `out`. The rest of the piece belongs to the body.
    ///
    /// Call this before [`body`](Self::body) to look at the head, to add fields, or to answer in another way. `None`:
    /// the head is incomplete or was returned before, or there is a [`verdict`](Self::verdict).
    ///
    /// ```
    /// use mio_fcgi::cgi::{Reply, ReplyTo};
    ///
    /// let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    /// let mut rest = &b"X-Powered-By: PHP\nContent-Length: 4\n\nbody"[..];
    /// if let Some(head) = reply.head(&mut rest, &mut out) {
    ///     if head.head().local_redirect().is_some() {
    ///         // Run that path instead: abort this request, submit another one, and `begin`.
    ///     }
    ///     let head = head.with_defaults(&[("Server", "mine")]);
    ///     head.without(&["X-Powered-By"]).write(&mut out);
    /// }
    /// reply.stdout(rest, &mut out);
    /// assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nServer: mine\r\n\r\nbody");
    /// ```
    pub fn head<'r, 'd: 'r>(
        &'r mut self,
        piece: &mut &'d [u8],
        out: &mut Vec<u8>,
    ) -> Option<ReplyHead<'r>> {
        if !matches!(self.progress.state, State::Head) {
            return None;
        }
        let (part, is_chunked) = loop {
            let taken = match self.parser.read(piece) {
                Ok(Some(taken)) => taken,
                Ok(None) => {
                    *piece = &[];
                    return None;
                }
                Err(error) => {
                    self.progress.fail(error.into());
                    return None;
                }
            };
            let (part, rest) = piece.split_at(taken);
            *piece = rest;
            let head = self.parser.head(part);
            if !head.is_interim() {
                match is_chunked(&head) {
                    Ok(is_chunked) => break (part, is_chunked),
                    Err(error) => {
                        self.progress.fail(error);
                        return None;
                    }
                }
            }
            if self.progress.to.http11 && head.status() != 100 {
                write_interim(out, &head);
            }
        };
        self.progress.state = State::Withheld;
        let head = self.parser.head(part);
        Some(ReplyHead::new(head, &mut self.progress, is_chunked))
    }

    /// Takes a part of the body from the front of a piece of output, without copying it. Send the bytes in `out`, then
    /// the part, then its suffix. Call it again until it returns `None`: nothing is left of the piece then.
    ///
    /// Appends what comes before the part to `out`: the head, if [`head`](Self::head) was not called, and the size of a
    /// chunk. So `out` has to be sent, or the part appended to it, before the next call.
    ///
    /// ```
    /// use std::io::{self, IoSlice, Write};
    ///
    /// use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
    ///
    /// /// Writes a piece of output to a client, which takes all of it here.
    /// fn pass_on(reply: &mut Reply, mut piece: &[u8], client: &mut impl Write) -> io::Result<Option<Verdict>> {
    ///     let mut framing = Vec::new();
    ///     while let Some(part) = reply.body(&mut piece, &mut framing) {
    ///         let slices = [&framing[..], part.data, part.suffix].map(IoSlice::new);
    ///         let _len = client.write_vectored(&slices)?;
    ///         framing.clear();
    ///     }
    ///     client.write_all(&framing)?; // interim heads, or a head without a body yet
    ///     Ok(reply.verdict())
    /// }
    ///
    /// let (mut client, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    /// pass_on(&mut reply, b"A: b\n\nbody", &mut client)?;
    /// assert_eq!(client, b"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n");
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn body<'d>(&mut self, piece: &mut &'d [u8], out: &mut Vec<u8>) -> Option<BodyPart<'d>> {
        if matches!(self.progress.state, State::Head)
            && let Some(head) = self.head(piece, out)
        {
            head.write(out);
        }
        while !piece.is_empty() {
            if let Some(part) = self.progress.take(piece, out) {
                return Some(part);
            }
        }
        None
    }

    /// Writes a response of the server's own: an error page after [`Verdict::NothingSent`], a redirect, a file in place
    /// of an application's response whose [head](Self::head) was dropped. `Content-Length` and `Connection` are added;
    /// a client that sent HEAD gets no body. The fields are written as they are; a 503 should have `Retry-After`.
    ///
    /// Returns the verdict: `Keep` or `Close`. If a final head was already written, nothing is written, and the verdict
    /// stays what it was, or is `Cut`.
    pub fn answer(
        &mut self,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Verdict {
        let progress = &mut self.progress;
        match progress.state {
            State::Head | State::Withheld | State::Over(Verdict::NothingSent { .. }) => {
                let len = write_own(out, progress.to, status, fields, body);
                (progress.status, progress.body_len) = (status, len as u64);
                progress.finish()
            }
            State::Body(_) => progress.cut(),
            State::Over(verdict) => verdict,
        }
    }

    /// Ends the client's connection with this response. Has no effect once a final head was written.
    pub fn close_after(&mut self) {
        if matches!(
            self.progress.state,
            State::Head | State::Withheld | State::Over(Verdict::NothingSent { .. })
        ) {
            self.progress.to.keep_alive = false;
        }
    }

    /// The verdict, once there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self.progress.state {
            State::Over(verdict) => Some(verdict),
            State::Head | State::Withheld | State::Body(_) => None,
        }
    }

    /// Why the verdict is [`Cut`](Verdict::Cut) or [`NothingSent`](Verdict::NothingSent), for a log.
    #[must_use]
    pub fn error(&self) -> Option<&ResponseError> {
        self.progress.error.as_ref()
    }

    /// Whether the client has every byte of the body, or there can be none. The application may still send what is
    /// [dropped](Self::discarded), without end: abort it after some bytes, or some time.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.progress.state {
            State::Body(body) => body.is_complete(),
            State::Over(verdict) => matches!(verdict, Verdict::Keep | Verdict::Close),
            State::Head | State::Withheld => false,
        }
    }

    /// The status of the final head, once it is written.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        (self.progress.status != 0).then_some(self.progress.status)
    }

    /// The bytes of the body that were passed on, without the framing.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.progress.body_len
    }

    /// The bytes of output that were dropped: a body where none is allowed, output beyond the `Content-Length` or after
    /// the verdict.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.progress.discarded
    }
}

/// What a response depends on in its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyTo {
    /// The method is HEAD: the response has no body. Default: false.
    pub head_only: bool,
    /// The client speaks HTTP/1.1, and so understands chunks and interim heads. False for HTTP/1.0. Default: true.
    pub http11: bool,
    /// Whether client and server want to keep the connection after this response. Default: true.
    pub keep_alive: bool,
}

impl ReplyTo {
    /// A GET in HTTP/1.1, over a connection that is kept.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head_only: false,
            http11: true,
            keep_alive: true,
        }
    }

    /// What the head of a request says: its method, whether its version is HTTP/1.1, and its fields, see
    /// [`wants_keep_alive`](super::wants_keep_alive).
    ///
    /// ```
    /// use mio_fcgi::cgi::ReplyTo;
    ///
    /// let to = ReplyTo::of("HEAD", true, [(&b"Connection"[..], &b"close"[..])]);
    /// assert_eq!(to, ReplyTo::new().with_method("HEAD").with_keep_alive(false));
    /// ```
    #[must_use]
    pub fn of<'f>(
        method: impl AsRef<[u8]>,
        http11: bool,
        fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Self {
        Self::new()
            .with_method(method)
            .with_http11(http11)
            .with_keep_alive(wants_keep_alive(http11, fields))
    }

    /// Sets [`head_only`](Self::head_only) by the method.
    #[must_use]
    pub fn with_method(mut self, method: impl AsRef<[u8]>) -> Self {
        self.head_only = method.as_ref() == b"HEAD";
        self
    }
}

impl Default for ReplyTo {
    fn default() -> Self {
        Self::new()
    }
}

settings! { ReplyTo {
    with_head_only(head_only: bool),
    with_http11(http11: bool),
    with_keep_alive(keep_alive: bool),
} }

/// How a response ended, and what to do with the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The response is complete, and the connection can take the next request.
    Keep,
    /// The response is complete. Close the connection when all bytes were sent, over TLS with a `close_notify`. If the
    /// client may still send, [linger](crate::guide::http_server#the-end-of-a-connection).
    Close,
    /// The response is incomplete: close the connection so that the client notices, over TLS without a `close_notify`.
    Cut {
        /// The end of the connection would be the end of the body, so that the client would take the body for complete.
        /// Only a reset shows that it is not: set `SO_LINGER` to 0 before closing. Neither mio nor `std` can; the crate
        /// `socket2` does: `socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))?`. Over TLS, the missing
        /// `close_notify` shows it too.
        needs_reset: bool,
    },
    /// No final head was written: answer with this status. [`Reply::answer`] does.
    NothingSent {
        /// The status that fits the failure, such as 504 for a time limit.
        status: u16,
    },
}
