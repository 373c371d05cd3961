//! The HTTP status for each error (RFC 9110, 15, and nginx's practice).

use super::{
    BodyError, ConnectError, Failure, Refused, RequestError, StdinError, SubmitError, TimeoutKind,
};
use crate::server::GetValuesError;

impl Refused {
    /// The HTTP status to answer with, see [`SubmitError::http_status`].
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.error.http_status()
    }
}

impl GetValuesError {
    /// The HTTP status to answer with, if an HTTP request asked for the check: 500 for a server that the configuration does
    /// not have, otherwise 503.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::NoSuchServer { .. } => 500,
            Self::InProgress { .. } | Self::QueueFull { .. } | Self::ShuttingDown => 503,
        }
    }
}

impl SubmitError {
    /// The HTTP status to answer with; the [guide](crate::guide::failure#refused-at-once) has a table.
    ///
    /// 503 means that the queue is full or the client shuts down: send it with `Retry-After`. 431, 413, 411 and 400
    /// mean that the HTTP request is at fault, 500 that the embedder is.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::QueueFull { .. } | Self::ShuttingDown => 503,
            Self::PairTooLarge { .. } | Self::ParamLengthTooLong | Self::ParamsTooLarge { .. } => {
                431
            }
            Self::LengthRequired => 411,
            Self::BodyTooLarge { .. } => 413,
            Self::InvalidLength { .. } | Self::LengthMismatch { .. } => 400,
            Self::BodyRead(_) | Self::StreamNotAllowed | Self::NoSuchServer { .. } => 500,
        }
    }
}

impl StdinError {
    /// The HTTP status to answer with, if the embedder gives the request up because of this error; the
    /// [guide](crate::guide::failure#refused-bytes-of-a-body) has a table.
    ///
    /// For [`Gone`](Self::Gone) it is 502; the failure in the request's `End` event has a more precise status.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::TooLong { .. } | Self::TooShort { .. } => 400,
            Self::BodyTooLarge { .. } => 413,
            Self::Finished | Self::NotPushed => 500,
            Self::Gone => 502,
        }
    }
}

impl Failure {
    /// The HTTP status to answer with, see [`RequestError::http_status`].
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.error.http_status()
    }
}

impl RequestError {
    /// The HTTP status to answer with, if the head of the response has not been passed on yet; the
    /// [guide](crate::guide::failure#every-error) has a table.
    ///
    /// 504 means that a time limit other than `queue` and `paused` was exceeded. 503 means that the application or a queue is full, or
    /// that the client was shut down: send it with `Retry-After`. 502 is any other fault of the application or the network. 400 is a
    /// fault of the HTTP client, 500 a fault of this side. Two are for the log, with nginx's numbers: 499, which follows
    /// [`abort`](crate::Client::abort), for a client that closed its connection, and 408 for one that took no output
    /// ([`TimeoutKind::Paused`]).
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Connect(error) => error.http_status(),
            Self::ConnectionLost(_)
            | Self::Protocol(_)
            | Self::CantMultiplex
            | Self::UnknownRole
            | Self::UnknownStatus(_) => 502,
            Self::TimedOut(TimeoutKind::Queue)
            | Self::QueueFull { .. }
            | Self::Overloaded
            | Self::ServerRemoved
            | Self::ShutDown => 503,
            Self::TimedOut(
                TimeoutKind::Write
                | TimeoutKind::FirstByte
                | TimeoutKind::BetweenBytes
                | TimeoutKind::Total
                | TimeoutKind::Probe,
            ) => 504,
            Self::TimedOut(TimeoutKind::Paused) => 408,
            Self::Aborted => 499,
            Self::PauseBufferFull { .. } => 500,
            Self::Body(error) => error.http_status(),
        }
    }
}

impl ConnectError {
    /// The HTTP status to answer with: 503 for a full backlog, 504 for a connect that timed out, otherwise 502.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Failed(_) => 502,
            Self::TimedOut => 504,
            Self::BacklogFull => 503,
        }
    }
}

impl BodyError {
    /// The HTTP status to answer with: 400 for a body of another length than declared, 500 for a reader that failed.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::TooShort { .. } | Self::TooLong { .. } => 400,
            Self::Read(_) => 500,
        }
    }
}
