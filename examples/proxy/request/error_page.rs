//! The proxy's own error responses.

use mio_fcgi::{ConnectError, RequestError, TimeoutKind};

use super::http::response_head;

/// The body of an error response.
pub(crate) fn text(status: u16, why: &str) -> String {
    format!("{status} {}: {why}\n", response_head::reason(status))
}

/// The fields that a status requires.
pub(crate) fn fields(status: u16) -> &'static [(&'static [u8], &'static [u8])] {
    match status {
        503 => &[(b"Retry-After", b"1")],
        405 => &[(b"Allow", b"GET, HEAD")],
        _ => &[],
    }
}

/// The status for a failed request.
pub(crate) fn status_of(error: &RequestError) -> u16 {
    match error {
        RequestError::Connect(ConnectError::BacklogFull)
        | RequestError::TimedOut(TimeoutKind::Queue)
        | RequestError::QueueFull { .. }
        | RequestError::Overloaded
        | RequestError::ShutDown => 503,
        RequestError::Connect(ConnectError::TimedOut) | RequestError::TimedOut(_) => 504,
        RequestError::Body(_) => 500,
        _ => 502,
    }
}

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
