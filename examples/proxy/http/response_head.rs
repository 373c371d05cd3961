//! The head of a response, and the framing of its body (RFC 9112, 6).

use mio_fcgi::cgi::{self, Head};

/// How the client finds the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body: HEAD, 1xx, 204, 205, 304. If the application sends one all the same, it is dropped.
    None,
    /// Content-Length; `left` bytes are still to be sent.
    Counted { left: u64 },
    /// The last chunk ends the body.
    Chunked,
    /// The end of the connection ends the body, for HTTP/1.0.
    Close,
}

/// What a response needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) is_http11: bool,
    pub(crate) is_head: bool,
    /// Whether the connection can be kept after this response.
    pub(crate) keeps_alive: bool,
}

/// What is known once the head is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) framing: Framing,
    pub(crate) keeps_alive: bool,
}

/// Turns the head of an application's response into an HTTP head.
pub(crate) fn write_head(out: &mut Vec<u8>, head: &Head<'_>, asked: Asked, date: &str) -> Written {
    let status = head.status();
    let method = if asked.is_head { "HEAD" } else { "GET" };
    let framing = match head.content_length() {
        _ if status == RESET_CONTENT || !cgi::has_body(method, status) => Framing::None,
        Some(left) => Framing::Counted { left },
        None if asked.is_http11 => Framing::Chunked,
        None => Framing::Close,
    };
    let keeps_alive = asked.keeps_alive && framing != Framing::Close;
    write_status(out, status, head.reason());
    let (mut has_date, mut has_server) = (false, false);
    for (name, value) in head.fields() {
        match name.len() {
            // Includes `Transfer-Encoding`: an application that sets it has not framed its body, FastCGI has.
            _ if cgi::is_hop_by_hop(name) => continue,
            // RFC 9110, 8.6: there is none with 204. In other responses the framing uses it.
            14 if matches!(status, 204 | RESET_CONTENT)
                && name.eq_ignore_ascii_case(b"content-length") =>
            {
                continue;
            }
            4 => has_date |= name.eq_ignore_ascii_case(b"date"),
            6 => has_server |= name.eq_ignore_ascii_case(b"server"),
            _ => {}
        }
        write_field(out, name, value);
    }
    if !has_date {
        write_field(out, b"Date", date.as_bytes());
    }
    if !has_server {
        write_field(out, b"Server", SERVER.as_bytes());
    }
    if status == RESET_CONTENT {
        write_number(out, b"Content-Length", 0);
    }
    if framing == Framing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    write_connection(out, keeps_alive, asked.is_http11);
    Written {
        framing,
        keeps_alive,
    }
}

/// Passes an interim head (1xx) on.
pub(crate) fn write_interim(out: &mut Vec<u8>, head: &Head<'_>) {
    write_status(out, head.status(), head.reason());
    for (name, value) in head.fields() {
        if !cgi::is_hop_by_hop(name) && !name.eq_ignore_ascii_case(b"content-length") {
            write_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Begins a head of the proxy's own. The caller adds the remaining fields, such as `Content-Length`.
pub(crate) fn start_own(out: &mut Vec<u8>, status: u16, date: &str) {
    write_status(out, status, b"");
    write_field(out, b"Date", date.as_bytes());
    write_field(out, b"Server", SERVER.as_bytes());
}

/// Ends a head.
pub(crate) fn write_connection(out: &mut Vec<u8>, keeps_alive: bool, is_http11: bool) {
    match (keeps_alive, is_http11) {
        (true, true) => out.extend_from_slice(b"\r\n"),
        (true, false) => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n\r\n"),
    }
}

pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn write_number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    write_field(out, name, itoa::Buffer::new().format(value).as_bytes());
}

/// The reason phrase of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}

/// The size line of a chunk, built without allocation.
pub(crate) struct ChunkSize {
    text: [u8; 18],
    start: usize,
}

impl ChunkSize {
    /// `len` must not be 0: that would be the last chunk.
    pub(crate) fn new(len: usize) -> Self {
        let mut text = *b"0000000000000000\r\n";
        let mut start = text.len() - 2;
        let mut left = len;
        while left > 0 {
            start -= 1;
            text[start] = b"0123456789abcdef"[left & 15];
            left >>= 4;
        }
        Self { text, start }
    }

    pub(crate) fn line(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn write_status(out: &mut Vec<u8>, status: u16, phrase: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    if phrase.is_empty() {
        out.extend_from_slice(reason(status).as_bytes());
    } else {
        out.extend_from_slice(phrase);
    }
    out.extend_from_slice(b"\r\n");
}

/// Has no body, and unlike 204 has to say so with `Content-Length: 0` (RFC 9110, 15.3.6).
const RESET_CONTENT: u16 = 205;

const SERVER: &str = concat!("mio-fcgi/", env!("CARGO_PKG_VERSION"));
