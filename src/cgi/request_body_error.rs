//! Why the body of an HTTP request cannot be read.

use thiserror::Error;

use super::ChunkedError;

/// Why the body of an HTTP request cannot be read. It is the client's fault, except for a limit that is too low.
///
/// Answer with the [status](Self::http_status), and close the connection: where the request ends is unknown. No value of
/// a field is shown but lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// The request has both `Content-Length` and `Transfer-Encoding` (RFC 9112, 6.1).
    #[error("the request has both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    /// A `Content-Length` is not a number below 2^64, or its name has blanks around it.
    #[error("the request's Content-Length is not a number below 2^64")]
    ContentLength,
    /// The request has two different values of `Content-Length`. Equal ones count as one (RFC 9110, 8.6).
    #[error("the request states two lengths: {first} and {second}")]
    ContentLengths {
        /// The first length.
        first: u64,
        /// The second length.
        second: u64,
    },
    /// `Transfer-Encoding` does not end in `chunked`, has it twice, or is malformed, so that the end of the body is
    /// unknown (RFC 9112, 6.3).
    #[error("the request's Transfer-Encoding does not end in a single chunked")]
    TransferEncoding,
    /// A request in HTTP/1.0 has `Transfer-Encoding`, which only HTTP/1.1 knows (RFC 9112, 6.1).
    #[error("the request has Transfer-Encoding in HTTP/1.0")]
    TransferEncodingInHttp10,
    /// The body has a transfer coding other than `chunked`, such as `gzip, chunked`.
    #[error("the only supported transfer coding is chunked")]
    UnsupportedCoding,
    /// The request has an `Expect` other than `100-continue`.
    #[error("the only supported expectation is 100-continue")]
    Expectation,
    /// The content has more bytes than the limit given to [`RequestBody::new`](super::RequestBody::new).
    #[error("the body of the request exceeds {limit} bytes: raise max_len if that is right")]
    TooLarge {
        /// The value of `max_len`.
        limit: u64,
    },
    /// The body is not chunked as it should be.
    #[error("the body of the request cannot be read: {0}")]
    Chunked(ChunkedError),
    /// The client ended its stream before the end of the body.
    #[error("the client ended its stream after {received} bytes of the body")]
    Truncated {
        /// The bytes of content that were consumed.
        received: u64,
    },
}

impl From<ChunkedError> for RequestBodyError {
    fn from(error: ChunkedError) -> Self {
        Self::Chunked(error)
    }
}
