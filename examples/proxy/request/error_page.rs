//! The proxy's own error responses.

use mio_fcgi::cgi;

/// The body of an error response.
pub(crate) fn text(status: u16, why: &str) -> String {
    format!("{status} {}: {why}\n", cgi::reason_phrase(status))
}

/// The fields that a status requires.
pub(crate) fn fields(status: u16) -> &'static [(&'static [u8], &'static [u8])] {
    match status {
        503 => &[(b"Retry-After", b"1")],
        405 => &[(b"Allow", b"GET, HEAD")],
        _ => &[],
    }
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
