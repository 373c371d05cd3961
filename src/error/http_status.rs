//! The HTTP status that a server answers an error with (RFC 9110, 15; nginx's practice).

use super::{
    BodyError, ConnectError, Failure, Refused, RequestError, StdinError, SubmitError, TimeoutKind,
};

impl Refused {
    /// As [`SubmitError::http_status`].
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.error.http_status()
    }
}

impl SubmitError {
    /// The HTTP status to answer with; the [guide](crate::guide::failure#refused-at-once) has a table.
    ///
    /// 503 while the queue is full or the client shuts down: send it with `Retry-After`. 431, 413, 411 and 400 are about
    /// the HTTP request. 500 is the embedder's own mistake.
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
            Self::BodyRead(_) | Self::StreamNotAllowed => 500,
        }
    }
}

impl StdinError {
    /// The HTTP status to answer with, if the request is given up for this error; the
    /// [guide](crate::guide::failure#refused-bytes-of-a-body) has a table.
    ///
    /// After [`Gone`](Self::Gone) the request's `End` event has the status: 502 stands for it here.
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
    /// As [`RequestError::http_status`].
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.error.http_status()
    }
}

impl RequestError {
    /// The HTTP status to answer with, if the response's head has not been passed on yet; the
    /// [guide](crate::guide::failure#every-error) has a table.
    ///
    /// 504 is a time limit; 503 is an application or a queue that is full, to be sent with `Retry-After`; 502 is any other
    /// fault of the application or the way to it. 400 is a fault of the HTTP client, 500 one of this side. 499 is nginx's
    /// number for a client that has gone: it follows [`abort`](crate::Client::abort), and is for the log.
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
            | Self::ShutDown => 503,
            Self::TimedOut(
                TimeoutKind::Write
                | TimeoutKind::FirstByte
                | TimeoutKind::BetweenBytes
                | TimeoutKind::Total
                | TimeoutKind::Probe,
            ) => 504,
            Self::Aborted => 499,
            Self::PauseBufferFull { .. } => 500,
            Self::Body(error) => error.http_status(),
        }
    }
}

impl ConnectError {
    /// The HTTP status to answer with: 503 for a full backlog, 504 for no answer in time, otherwise 502.
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
