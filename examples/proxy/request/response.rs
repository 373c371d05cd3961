//! The response to the client: its head, its body, its end.

use std::fs::File;
use std::io::{ErrorKind, Read};

use mio_fcgi::cgi::{HeadError, HeadParser};

use super::http::response_head::{self, Asked, ChunkSize, Framing, LAST_CHUNK};
use super::net::socket::Socket;
use super::site::context::Context;

/// A response and its progress.
#[derive(Debug)]
pub(crate) struct Response {
    asked: Asked,
    state: State,
    /// 0: no head was written yet.
    status: u16,
    /// Bytes of the body that were sent.
    body_len: u64,
}

#[derive(Debug)]
enum State {
    /// The application was not asked yet.
    Unasked,
    /// Nothing but interim heads was sent.
    Awaited(Box<HeadParser>),
    Body(Framing),
    File {
        file: File,
        left: u64,
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
    /// Nothing was sent. The application was asked, and its head is expected.
    Awaited,
    /// The body of an application's response is being sent.
    Body,
    /// A file is being sent.
    File,
    Complete,
    Cut,
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
    },
}

impl Response {
    pub(crate) fn new(asked: Asked) -> Self {
        Self {
            asked,
            state: State::Unasked,
            status: 0,
            body_len: 0,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Unasked => Phase::Unasked,
            State::Awaited(_) => Phase::Awaited,
            State::Body(_) => Phase::Body,
            State::File { .. } => Phase::File,
            State::Complete => Phase::Complete,
            State::Cut => Phase::Cut,
        }
    }

    /// The status and the number of body bytes, for the log.
    pub(crate) fn sent(&self) -> (u16, u64) {
        (self.status, self.body_len)
    }

    /// Whether the connection can be kept after this response.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.asked.keeps_alive
    }

    /// Makes the connection end with this response.
    pub(crate) fn close_after(&mut self) {
        self.asked.keeps_alive = false;
    }

    /// The application was asked: its head is expected.
    pub(crate) fn await_head(&mut self, parser: Box<HeadParser>) {
        self.state = State::Awaited(parser);
    }

    /// Passes output of the application on: heads, or parts of one, and the body. True if a part of the body was sent.
    ///
    /// # Errors
    /// A head that cannot be parsed.
    pub(crate) fn push(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        data: &[u8],
    ) -> Result<bool, HeadError> {
        let data = match self.state {
            State::Awaited(_) => self.push_heads(cx, socket, data)?,
            _ => data,
        };
        Ok(self.push_body(cx, socket, data))
    }

    /// Writes the heads. Returns the output after the final one.
    fn push_heads<'d>(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        mut data: &'d [u8],
    ) -> Result<&'d [u8], HeadError> {
        let State::Awaited(parser) = &mut self.state else {
            return Ok(data);
        };
        if socket.is_sent() {
            socket.note_progress(cx.now());
        }
        let out = socket.tail(cx.buffers());
        while let Some((head, rest)) = parser.push(data)? {
            data = rest;
            if head.is_interim() {
                // The proxy itself has already sent `100 Continue` if the client expected it.
                if self.asked.is_http11 && head.status() != 100 {
                    response_head::write_interim(out, &head);
                }
                continue;
            }
            self.asked.keeps_alive &= cx.keeps_clients();
            self.status = head.status();
            let written = response_head::write_head(out, &head, self.asked, cx.http_date());
            self.asked.keeps_alive = written.keeps_alive;
            self.become_state(cx, State::Body(written.framing));
            return Ok(data);
        }
        Ok(&[])
    }

    /// Sends a part of the body, framed for the client. False if no byte results from it.
    fn push_body(&mut self, cx: &mut Context, socket: &mut Socket, data: &[u8]) -> bool {
        let State::Body(framing) = &mut self.state else {
            return false;
        };
        if data.is_empty() {
            return false;
        }
        let len = match framing {
            Framing::None => return false,
            // Bytes beyond Content-Length are dropped: the client would take them for the next response.
            Framing::Counted { left } => {
                let len = usize::try_from(*left).map_or(data.len(), |left| left.min(data.len()));
                *left -= len as u64;
                len
            }
            Framing::Chunked | Framing::Close => data.len(),
        };
        self.body_len += len as u64;
        if *framing == Framing::Chunked {
            let size = ChunkSize::new(len);
            socket.put(cx.now(), [size.line(), data, b"\r\n"], cx.buffers());
        } else {
            socket.put(cx.now(), [&data[..len], b"", b""], cx.buffers());
        }
        true
    }

    /// The application's output is complete. So is the response, unless it is shorter than declared: then it is cut.
    pub(crate) fn complete(&mut self, cx: &mut Context, socket: &mut Socket) {
        let State::Body(framing) = self.state else {
            return;
        };
        match framing {
            Framing::Counted { left: 1.. } => {
                let what = format_args!("a response is shorter than its Content-Length");
                cx.log_problem(what);
                self.cut(socket);
            }
            Framing::Chunked => {
                self.state = State::Complete;
                socket.put(cx.now(), [LAST_CHUNK, b"", b""], cx.buffers());
            }
            Framing::None | Framing::Counted { left: 0 } | Framing::Close => {
                self.state = State::Complete;
            }
        }
    }

    /// The error for output that ended before the end of its head.
    pub(crate) fn missing_head(&self) -> HeadError {
        match &self.state {
            State::Awaited(parser) => parser.end().err().unwrap_or(HeadError::Missing),
            _ => HeadError::Missing,
        }
    }

    /// Ends the response early, so that the client notices that it is incomplete.
    pub(crate) fn cut(&mut self, socket: &Socket) {
        if matches!(self.state, State::Body(Framing::Close)) {
            // The end of the connection would be the end of the body. Only a reset is different.
            socket.reset_when_closed();
        }
        self.state = State::Cut;
    }

    /// The client is gone. `status` is logged if there is no status yet.
    pub(crate) fn abandon(&mut self, status: u16) {
        if !matches!(self.state, State::Complete | State::Cut) && self.status == 0 {
            self.status = status;
        }
    }

    /// Writes a response of the proxy's own. [`send_file`](Self::send_file) sends the body of a file.
    pub(crate) fn write_own(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        status: u16,
        fields: &[(&[u8], &[u8])],
        body: OwnBody<'_>,
    ) {
        let out = socket.tail(cx.buffers());
        response_head::start_own(out, status, cx.http_date());
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
        response_head::write_connection(out, self.asked.keeps_alive, self.asked.is_http11);
        self.status = status;
        let state = match body {
            OwnBody::Text { text, .. } if !self.asked.is_head => {
                out.extend_from_slice(text.as_bytes());
                self.body_len = len;
                State::Complete
            }
            OwnBody::File { file, len: 1.., .. } if !self.asked.is_head => {
                State::File { file, left: len }
            }
            OwnBody::None | OwnBody::Text { .. } | OwnBody::File { .. } => State::Complete,
        };
        self.become_state(cx, state);
    }

    /// Sends more of a file while the client takes it. True if the client could take more.
    pub(crate) fn send_file(
        &mut self,
        cx: &mut Context,
        socket: &mut Socket,
        scratch: &mut [u8],
    ) -> bool {
        for _ in 0..PIECES {
            let State::File { file, left } = &mut self.state else {
                return false;
            };
            let most = scratch.len();
            let wanted = usize::try_from(*left).map_or(most, |left| left.min(most));
            let len = match file.read(&mut scratch[..wanted]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => {
                    let what = format_args!("a file is cut short: it shrank, or cannot be read");
                    cx.log_problem(what);
                    self.cut(socket);
                    return false;
                }
                Ok(len) => len,
            };
            *left -= len as u64;
            if *left == 0 {
                self.state = State::Complete;
            }
            self.body_len += len as u64;
            socket.put(cx.now(), [&scratch[..len], b"", b""], cx.buffers());
            if !socket.is_writable() {
                return false;
            }
        }
        true
    }

    /// Changes the state and gives the parser back for reuse.
    fn become_state(&mut self, cx: &mut Context, state: State) {
        if let State::Awaited(parser) = std::mem::replace(&mut self.state, state) {
            cx.buffers().give_back_parser(parser);
        }
    }

    /// Gives the memory of the response back.
    pub(crate) fn give_back(mut self, cx: &mut Context) {
        self.become_state(cx, State::Complete);
    }
}

/// How often a file is read per turn.
const PIECES: usize = 4;
