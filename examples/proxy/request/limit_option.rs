//! The option of the proxy behind a limit: the library names its own setting, which no operator can set.

use mio_fcgi::{ConnectError, RequestError, SubmitError, TimeoutKind};

/// The option whose limit ended a request.
pub(super) fn of_request(error: &RequestError) -> Option<&'static str> {
    Some(match error {
        RequestError::TimedOut(TimeoutKind::Queue) => "--queue-timeout",
        RequestError::TimedOut(TimeoutKind::Write) => "--write-timeout",
        RequestError::TimedOut(TimeoutKind::FirstByte | TimeoutKind::BetweenBytes) => {
            "--read-timeout"
        }
        RequestError::TimedOut(TimeoutKind::Total) => "--request-timeout",
        RequestError::Connect(ConnectError::TimedOut) => "--connect-timeout",
        RequestError::QueueFull { .. } => "--queue",
        _ => return None,
    })
}

/// The option whose limit kept a request from being accepted.
pub(super) fn of_submit(error: &SubmitError) -> Option<&'static str> {
    matches!(error, SubmitError::QueueFull { .. }).then_some("--queue")
}
