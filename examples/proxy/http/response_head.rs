//! The head of a response of the proxy's own. The library writes those of applications.

use mio_fcgi::cgi::{self, ReplyTo};

/// Begins a head of the proxy's own. The caller adds the remaining fields, such as `Content-Length`.
pub(crate) fn start_own(out: &mut Vec<u8>, status: u16, date: &str, id: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(cgi::reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    write_field(out, b"Date", date.as_bytes());
    write_field(out, b"Server", SERVER.as_bytes());
    write_field(out, REQUEST_ID.as_bytes(), id.as_bytes());
}

/// Ends a head.
pub(crate) fn write_connection(out: &mut Vec<u8>, to: ReplyTo) {
    match (to.keep_alive, to.http11) {
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

/// The field with the ID of the request.
pub(crate) const REQUEST_ID: &str = "X-Request-Id";
/// The value of `Server`.
pub(crate) const SERVER: &str = concat!("mio-fcgi/", env!("CARGO_PKG_VERSION"));
