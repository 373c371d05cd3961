//! The proxy's own error responses.

use mio_fcgi::cgi;

/// The body of an error response.
pub(crate) fn text(status: u16, why: &str) -> String {
    format!("{status} {}: {why}\n", cgi::reason_phrase(status))
}

/// The fields that a status requires.
pub(crate) fn fields(status: u16) -> Fields<'static> {
    match status {
        503 => &[(b"Retry-After", b"1")],
        405 => NO_METHOD,
        _ => &[],
    }
}

/// Fields of a response.
pub(crate) type Fields<'a> = &'a [(&'a [u8], &'a [u8])];

/// What a target takes, for 405: nothing.
const NO_METHOD: Fields<'static> = &[(b"Allow", b"")];
/// What a file takes, and the status page.
pub(crate) const READ_ONLY: Fields<'static> = &[(b"Allow", b"GET, HEAD")];
/// What a script may take: the proxy refuses none of them.
pub(crate) const ANY_METHOD: Fields<'static> =
    &[(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")];

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
