//! The HTTP status that a server answers an error of CGI with.

use super::{
    EnvError, ForbiddenReason, HeadError, Incomplete, InvalidTarget, PassOnError, RequestBodyError,
    Resolution, ResponseError,
};

impl EnvError {
    /// The HTTP status to answer with: 431 for too many fields, otherwise 400.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::TooManyFields { .. } => 431,
            Self::Method
            | Self::Protocol
            | Self::TargetForm
            | Self::Target { .. }
            | Self::Script { .. }
            | Self::ServerName { .. }
            | Self::FieldName { .. }
            | Self::FieldValue { .. }
            | Self::Repeated { .. }
            | Self::Host
            | Self::ConnectionOptions { .. } => 400,
        }
    }
}

impl RequestBodyError {
    /// The HTTP status to answer with: 413 for a body beyond the limit, 501 for a transfer coding that is not supported,
    /// 417 for an expectation that is not, otherwise 400. Close the connection after it.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::UnsupportedCoding => 501,
            Self::Expectation => 417,
            Self::LengthAndCoding
            | Self::ContentLength
            | Self::ContentLengths { .. }
            | Self::TransferEncoding
            | Self::TransferEncodingInHttp10
            | Self::Chunked(_)
            | Self::Truncated { .. } => 400,
        }
    }
}

impl PassOnError {
    /// The HTTP status to answer with: that of the error inside, such as 413 for a body that is too long. Close the
    /// connection after it.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Body(error) => error.http_status(),
            Self::Stdin(error) => error.http_status(),
        }
    }
}

impl Resolution {
    /// The HTTP status to answer with, if the target leads neither to a script nor to a file: 301 for a redirect, 404,
    /// 403 or 400.
    #[must_use]
    pub const fn http_status(&self) -> Option<u16> {
        match self {
            Self::Script(_) | Self::StaticFile { .. } | Self::RemoteFile { .. } => None,
            Self::Redirect { .. } => Some(301),
            Self::NotFound => Some(404),
            Self::Forbidden(why) => Some(why.http_status()),
            Self::Invalid(why) => Some(why.http_status()),
        }
    }
}

impl ForbiddenReason {
    /// The HTTP status to answer with: 403.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::OutsideRoot
            | Self::DotFile
            | Self::AbsentDotFile
            | Self::Source
            | Self::NoIndex => 403,
        }
    }
}

impl InvalidTarget {
    /// The HTTP status to answer with: 400.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::NoSlash | Self::Encoding | Self::Control => 400,
        }
    }
}

impl HeadError {
    /// The HTTP status to answer with: 502, the application's answer is not a response.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        502
    }
}

impl Incomplete {
    /// As [`ResponseError::http_status`].
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.error.http_status()
    }
}

impl ResponseError {
    /// The HTTP status to answer with: that of the [`Failure`](crate::Failure) for a request that failed, otherwise 502.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Empty
            | Self::Head(_)
            | Self::Truncated
            | Self::LengthMismatch { .. }
            | Self::BodyTooLarge { .. }
            | Self::TransferEncoding
            | Self::Chunked(_) => 502,
            Self::Failed(failure) => failure.http_status(),
        }
    }
}
