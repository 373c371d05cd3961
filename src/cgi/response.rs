//! A response as a value, whole or in part.

use std::fmt;

use thiserror::Error;

use super::{ChunkedError, HeadError};
use crate::error::Failure;
use crate::event::Outcome;
use crate::params::Params;

/// The name and the value of a field.
pub type Field = (Vec<u8>, Vec<u8>);

/// A whole response, or a part of one inside [`Incomplete`].
///
/// `Debug` shows names and lengths, no values and no content.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status: see [`Head::status`](super::Head::status).
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Vec<u8>,
    /// The fields in order, repeated ones included, without `Status` and `Transfer-Encoding`. A server leaves out
    /// further fields: see [`is_hop_by_hop`](super::is_hop_by_hop).
    pub fields: Vec<Field>,
    /// The `Content-Length` that the head states. In a whole response it is the length of `body`, unless the response
    /// has no body (see [`has_body`](super::has_body)).
    pub content_length: Option<u64>,
    /// The path of a local redirect: see [`Head::local_redirect`](super::Head::local_redirect).
    pub local_redirect: Option<Vec<u8>>,
    /// The value of the first `Transfer-Encoding` field. An application should leave this field to the server, so it is
    /// not among `fields`. The body is not decoded.
    pub transfer_encoding: Option<Vec<u8>>,
    /// The interim heads before the final one.
    pub interim: Vec<Interim>,
    /// The body.
    pub body: Vec<u8>,
    /// Bytes of output that were dropped: a body where none is allowed, and output after its end.
    pub stdout_discarded: u64,
    /// What the application wrote to stderr. It does not show whether the request succeeded.
    pub stderr: Vec<u8>,
    /// Bytes of stderr that were not kept.
    pub stderr_discarded: u64,
    /// Why the response is known to be whole.
    pub completeness: Completeness,
    /// How the request ended.
    pub outcome: Outcome,
}

impl Response {
    /// The first value of a field. Names are compared without case.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// All values of a field, in order. Names are compared without case.
    pub fn get_all(&self, name: impl AsRef<[u8]>) -> impl Iterator<Item = &[u8]> {
        self.fields
            .iter()
            .filter(move |field| field.0.eq_ignore_ascii_case(name.as_ref()))
            .map(|field| field.1.as_slice())
    }

    /// Whether an Authorizer allows the request: its status is 200 (FastCGI 1.0, 6.3). With any other status, the
    /// response goes to the client.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.status == 200
    }

    /// The variables that an Authorizer passes on in `Variable-NAME` fields (FastCGI 1.0, 6.3). The names come without
    /// that prefix.
    pub fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().filter_map(|(name, value)| {
            let (prefix, rest) = name.split_at_checked(VARIABLE.len())?;
            let named = prefix.eq_ignore_ascii_case(VARIABLE) && !rest.is_empty();
            named.then_some((rest, value.as_slice()))
        })
    }

    /// Pushes the [variables](Self::variables) to the parameters of the request that was authorized. Call this before
    /// [`Env::write_to`](super::Env::write_to), which does not replace a parameter.
    pub fn write_variables(&self, params: &mut Params) {
        for (name, value) in self.variables() {
            params.push(name, value);
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("fields", &Names(&self.fields))
            .field("interim", &self.interim)
            .field("body_len", &self.body.len())
            .field("stderr_len", &self.stderr.len())
            .field("completeness", &self.completeness)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// An interim (1xx) head, such as 103 with its `Link` fields (RFC 8297).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interim {
    /// The status: 100 to 199, never 101.
    pub status: u16,
    /// The fields, in order.
    pub fields: Vec<Field>,
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interim")
            .field("status", &self.status)
            .field("fields", &Names(&self.fields))
            .finish()
    }
}

/// Why a response is known to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Completeness {
    /// The request completed.
    Complete,
    /// The application ended its output, but the request did not complete: see [`Response::outcome`].
    StdoutEnded,
    /// The body has its `Content-Length`, or there can be no body, but the request did not complete: see
    /// [`Response::outcome`].
    LengthReached,
    /// The response is not whole. Only inside [`Incomplete`].
    Partial,
}

/// Why there is no whole response, and all that was received.
///
/// A function that fails with [`ResponseError`] may use `?` on it: that keeps the reason and drops the rest.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub struct Incomplete {
    /// Why the response is not whole.
    pub error: ResponseError,
    /// How the request ended.
    pub outcome: Outcome,
    /// The received part of the response. `None` if no head was complete.
    pub response: Option<Response>,
    /// Without a response: the output that is not a valid head, up to [`HeadRules::max_len`](super::HeadRules::max_len)
    /// bytes.
    pub stdout: Vec<u8>,
    /// Without a response: what the application wrote to stderr. [`stderr`](Self::stderr) returns it in either case.
    pub stderr: Vec<u8>,
}

impl Incomplete {
    /// What the application wrote to stderr. It often names the reason.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        self.response
            .as_ref()
            .map_or(&self.stderr, |response| &response.stderr)
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, &self.outcome) {
            (ResponseError::Failed(_), _) | (_, Ok(_)) => write!(f, "{}", self.error),
            (_, Err(failure)) => write!(f, "{}: {failure}", self.error),
        }
    }
}

impl fmt::Debug for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incomplete")
            .field("error", &self.error)
            .field("outcome", &self.outcome)
            .field("response", &self.response)
            .field("stdout_len", &self.stdout.len())
            .field("stderr_len", &self.stderr().len())
            .finish()
    }
}

/// Why there is no whole response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The request completed without any output.
    #[error("the application ended the request without a response: its stderr may say why")]
    Empty,
    /// The head is not valid.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The connection was lost in the middle of the response.
    #[error("the response was cut short")]
    Truncated,
    /// The body does not have the length that the head states.
    #[error("the application declared a body of {declared} bytes and sent {received}")]
    LengthMismatch {
        /// The `Content-Length`, in bytes.
        declared: u64,
        /// The bytes of the body that were received.
        received: u64,
    },
    /// The body exceeds [`ResponseLimits::max_body`](super::ResponseLimits::max_body), or its `Content-Length` does.
    #[error("the response exceeds {limit} bytes: raise max_body, or pass the body on as it comes")]
    BodyTooLarge {
        /// The value of `max_body`.
        limit: usize,
    },
    /// The body has a compressed transfer coding, or is chunked twice. Only a [`Reply`](super::Reply) reports this.
    #[error(
        "the application's head states a Transfer-Encoding that cannot be removed: leave that field to the server"
    )]
    TransferEncoding,
    /// The head states that the body is chunked, and it is not. Only a [`Reply`](super::Reply) reports this.
    #[error(
        "the application states Transfer-Encoding: chunked, but {0}: leave that field to the server"
    )]
    Chunked(ChunkedError),
    /// The request failed.
    #[error("the request failed: {0}")]
    Failed(Failure),
}

impl From<ChunkedError> for ResponseError {
    fn from(error: ChunkedError) -> Self {
        Self::Chunked(error)
    }
}

/// The reason alone; what was received is dropped.
impl From<Incomplete> for ResponseError {
    fn from(incomplete: Incomplete) -> Self {
        incomplete.error
    }
}

/// The reason alone; what was received is dropped.
impl From<Box<Incomplete>> for ResponseError {
    fn from(incomplete: Box<Incomplete>) -> Self {
        incomplete.error
    }
}

/// Shows names and the lengths of values.
struct Names<'a>(&'a [Field]);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let len = format!("{} bytes", value.len());
            (String::from_utf8_lossy(name).into_owned(), len)
        });
        f.debug_map().entries(shown).finish()
    }
}

const VARIABLE: &[u8] = b"Variable-";
