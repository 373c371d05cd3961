//! Every error, split by whose fault it is.
//!
//! | type                | whose fault                                | where it appears               |
//! |---------------------|--------------------------------------------|--------------------------------|
//! | [`Refused`] with a [`SubmitError`], [`StdinError`], [`GetValuesError`](crate::GetValuesError), [`ConfigError`](crate::ConfigError) | the embedder | returned by the call |
//! | [`ProtocolError`]   | the application: bytes that are not FastCGI | inside [`RequestError`]      |
//! | [`ConnectError`], [`ConnectionLostReason`] | the transport                 | inside [`RequestError`]        |
//! | [`RequestError`]    | what became of a request, one of these inside it | [`Failure`], in `End` |
//!
//! Each text is whole, what is inside included; none has a source besides. Each error that ends or refuses a request has
//! an `http_status`: what a server answers its own client.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::report::Report;
use crate::request::Request;
use crate::wire::{DecodeError, RecordType};

mod http_status;

/// A request that was not accepted, and why. Nothing was sent, and no `End` follows.
///
/// The request is given back as it was, so that another client can have it:
///
/// ```
/// # use std::time::Instant;
/// # use mio_fcgi::{Commands, Refused, Request, RequestHandle, Tag};
/// fn submit_to_either(
///     first: &mut impl Commands,
///     second: &mut impl Commands,
///     (now, request, tag): (Instant, Request, Tag),
/// ) -> Result<RequestHandle, Box<Refused>> {
///     first.submit(now, request, tag).or_else(|it| second.submit(now, it.request, tag))
/// }
/// ```
///
/// A body may hold a reader that threads cannot share: where an error has to be `Sync`, keep the reason alone, with
/// `SubmitError::from`.
#[derive(Debug, Error)]
#[error("{error}")]
#[non_exhaustive]
pub struct Refused {
    /// Why.
    pub error: SubmitError,
    /// The request. Its body was read, perhaps in part, if the reason is [`SubmitError::BodyRead`] or
    /// [`SubmitError::BodyTooLarge`].
    pub request: Request,
}

/// The reason alone; the request is dropped.
impl From<Box<Refused>> for SubmitError {
    fn from(refused: Box<Refused>) -> Self {
        refused.error
    }
}

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// As many requests wait for a connection as the limits allow, and none can be opened: answer 503, or try later.
    #[error(
        "the queue is full: {limit} requests wait for a connection already; try later, or raise max_queued_requests"
    )]
    QueueFull {
        /// [`Limits::max_queued_requests`](crate::Limits::max_queued_requests).
        limit: usize,
    },
    /// `shutdown` was called.
    #[error("the client is shutting down and takes no further request")]
    ShuttingDown,
    /// A pair that one record cannot carry.
    #[error(
        "a parameter of {len} bytes does not fit one record ({limit}): shorten it, or set split_long_pairs if the application can join records"
    )]
    PairTooLarge {
        /// Encoded length of the longest pair.
        len: usize,
        /// The most that fits.
        limit: usize,
    },
    /// A name or a value of 2^31 bytes or more, whose length cannot be encoded (FastCGI 1.0, 3.4); or on a machine of 32
    /// bits, pairs that exceed its memory.
    #[error(
        "a parameter's name or value is longer than 2147483647 bytes, the most that FastCGI can state: shorten it"
    )]
    ParamLengthTooLong,
    /// All parameters together are too long.
    #[error("parameters of {len} bytes: shorten them, or raise max_params_len, which is {limit}")]
    ParamsTooLarge {
        /// Encoded length.
        len: usize,
        /// [`Config::max_params_len`](crate::Config::max_params_len).
        limit: usize,
    },
    /// `CONTENT_LENGTH` or `FCGI_DATA_LENGTH` is not a number, or was given twice with two values.
    #[error("{name} is not a number, or was given twice with two values")]
    InvalidLength {
        /// The parameter.
        name: &'static str,
    },
    /// `CONTENT_LENGTH` or `FCGI_DATA_LENGTH` does not say the length of the body.
    #[error(
        "{name} says {declared}, but the body has {actual} bytes: leave it out, and it is set right"
    )]
    LengthMismatch {
        /// The parameter.
        name: &'static str,
        /// What it says.
        declared: u64,
        /// The body's length.
        actual: u64,
    },
    /// A body of unknown length, which the configuration refuses: a proxy answers 411.
    #[error(
        "the body's length is unknown: give it, declare CONTENT_LENGTH, or choose another Config::unknown_length"
    )]
    LengthRequired,
    /// A body of unknown length that is longer than may be buffered: a proxy answers 413.
    #[error(
        "the body, of unknown length, is longer than the {limit} bytes that UnknownLength::Buffer allows"
    )]
    BodyTooLarge {
        /// [`UnknownLength::Buffer`](crate::UnknownLength::Buffer)'s limit.
        limit: usize,
    },
    /// The body's reader failed while it was buffered.
    #[error("the body could not be read from its reader: {0}")]
    BodyRead(io::ErrorKind),
    /// A body on a role that has none, or `FCGI_DATA` for a role other than Filter, or pushed `FCGI_DATA`.
    #[error(
        "the role has no such stream: an Authorizer has no body, and only a Filter has data, which cannot be pushed"
    )]
    StreamNotAllowed,
}

/// Why bytes of a pushed body were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StdinError {
    /// After `finish_stdin`.
    #[error("the body was finished already: nothing can be added to it")]
    Finished,
    /// The request has ended: its `End` is queued or was taken.
    #[error("the request has ended: its End event says how")]
    Gone,
    /// The request's body is not [`Body::pushed`](crate::Body::pushed).
    #[error("the request's body is not a pushed one: give it Body::pushed")]
    NotPushed,
    /// More bytes than were declared. Nothing of this call was taken.
    #[error(
        "{declared} bytes of body were declared and {offered} offered in all: finish it before these, or abort"
    )]
    TooLong {
        /// The length given with the body or as `CONTENT_LENGTH`.
        declared: u64,
        /// Taken so far plus offered now.
        offered: u64,
    },
    /// `finish_stdin` before the declared length was reached. The request fails with
    /// [`BodyError::TooShort`].
    #[error(
        "{declared} bytes of body were declared and {written} written before its end: the request fails"
    )]
    TooShort {
        /// The length given with the body or as `CONTENT_LENGTH`.
        declared: u64,
        /// Written in all.
        written: u64,
    },
    /// A body of unknown length is longer than may be buffered. Nothing of this call was taken.
    #[error(
        "the body, of unknown length, is longer than the {limit} bytes that UnknownLength::Buffer allows"
    )]
    BodyTooLarge {
        /// [`UnknownLength::Buffer`](crate::UnknownLength::Buffer)'s limit.
        limit: usize,
    },
}

/// A request that did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{error} ({delivery})")]
#[non_exhaustive]
pub struct Failure {
    /// What happened.
    pub error: RequestError,
    /// How far it had come.
    pub phase: Phase,
    /// Whether the application can have acted on it: what a retry is decided from.
    pub delivery: Delivery,
    /// What it took.
    pub report: Report,
}

impl Failure {
    /// A failure as the client reports it, for code that stands in for the client.
    #[must_use]
    pub const fn new(
        error: RequestError,
        phase: Phase,
        delivery: Delivery,
        report: Report,
    ) -> Self {
        Self {
            error,
            phase,
            delivery,
            report,
        }
    }
}

/// How far a request had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Its body was being collected, to know its length.
    Buffering,
    /// In the queue, a connection perhaps being opened for it.
    Queued,
    /// Being sent.
    Sending,
    /// Sent as a whole; no output yet.
    Sent,
    /// Output had begun.
    Receiving,
}

/// For a log, behind the failure.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffering => "while its body was collected",
            Self::Queued => "before it had a connection",
            Self::Sending => "while it was sent",
            Self::Sent => "after it was sent, before any output",
            Self::Receiving => "after its output had begun",
        })
    }
}

/// Whether the application can have acted on a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// It cannot: no byte was handed to the transport, or it refused the request. Safe to send again.
    NotProcessed,
    /// It may have: bytes were handed to the transport, none came back. Safe only for idempotent requests.
    MaybeProcessed,
    /// It has: output arrived.
    Responded,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotProcessed => "not sent: safe to send again",
            Self::MaybeProcessed => "sent, no answer: the application may have acted",
            Self::Responded => "a response had begun",
        })
    }
}

/// What became of a request that did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No server could be connected to.
    #[error("no connection to the application: {0}")]
    Connect(ConnectError),
    /// The connection ended before the request did. A response in progress is cut short.
    #[error("the connection to the application was lost: {0}; its log may say why")]
    ConnectionLost(ConnectionLostReason),
    /// The application sent something that is not FastCGI; its connection was closed.
    #[error("the application broke the protocol: {0}")]
    Protocol(ProtocolError),
    /// A time limit.
    #[error("timed out: {0}")]
    TimedOut(TimeoutKind),
    /// The embedder asked.
    #[error("aborted by this program")]
    Aborted,
    /// `FCGI_OVERLOADED`, also after the retries.
    #[error("the application is overloaded: try later, or lower max_connections_per_server")]
    Overloaded,
    /// `FCGI_CANT_MPX_CONN`, also after the retries.
    #[error("the application refuses to share a connection: use Multiplex::Off")]
    CantMultiplex,
    /// `FCGI_UNKNOWN_ROLE`.
    #[error("the application does not know the role: most are Responders and nothing else")]
    UnknownRole,
    /// A protocol status that FastCGI 1.0 does not define (5.5).
    #[error("the application ended the request with the unknown protocol status {0}: a bug in it")]
    UnknownStatus(u8),
    /// A paused request's output filled its budget, and
    /// [`OverflowPolicy::FailRequest`](crate::OverflowPolicy::FailRequest) was chosen.
    #[error(
        "given up while paused: {held} bytes of its output were held, and Config::pause_buffer allows no more"
    )]
    PauseBufferFull {
        /// Bytes held for the request, now dropped.
        held: usize,
    },
    /// It had to wait after all, and the queue is full: the connection that was being opened for it was not, or takes
    /// fewer requests than expected.
    #[error(
        "no connection could be had for it, and the queue is full: {limit} requests wait; try later, or raise max_queued_requests"
    )]
    QueueFull {
        /// [`Limits::max_queued_requests`](crate::Limits::max_queued_requests).
        limit: usize,
    },
    /// The embedder's body broke its promise.
    #[error("the request's body: {0}")]
    Body(BodyError),
    /// The deadline given to `shutdown` came first.
    #[error("the client was shut down before the request was done")]
    ShutDown,
}

// Without `#[from]`, which would make them sources: the text of each is in that of the whole already.
impl From<ConnectError> for RequestError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<ProtocolError> for RequestError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<BodyError> for RequestError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

/// Why no connection could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The system refused: no listener, no such socket, no permission. A shortage on this side, such as of file
    /// descriptors, is none: the request waits.
    #[error("{}", Refusal(*.0))]
    Failed(io::ErrorKind),
    /// No answer within [`Config::connect_timeout`](crate::Config::connect_timeout).
    #[error("no answer within connect_timeout: check the address, and the network in between")]
    TimedOut,
    /// The Unix socket's backlog stayed full: the application is there, but busy.
    #[error(
        "the listener's backlog is full: the application is busy, or has fewer processes than connections"
    )]
    BacklogFull,
}

/// What a failed connect says, and what to look at.
struct Refusal(io::ErrorKind);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what_to_check = match self.0 {
            io::ErrorKind::ConnectionRefused => "connection refused: nobody listens there",
            io::ErrorKind::NotFound => {
                "no such socket: is the application running, and is the path right?"
            }
            io::ErrorKind::PermissionDenied => {
                "permission denied: this program's user may not write to the socket"
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                "the host cannot be reached: check the address, and the network in between"
            }
            io::ErrorKind::Unsupported => "this system has no sockets of that kind",
            // Many errors have no kind of their own.
            other => return write!(f, "{other}; the log says more at level debug"),
        };
        f.write_str(what_to_check)
    }
}

/// Why a connection that had been open ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionLostReason {
    /// The application closed it.
    #[error("closed by the application")]
    Closed,
    /// The system reported an error, a reset as a rule.
    #[error("{0}")]
    Io(io::ErrorKind),
}

/// Bytes from the application that are not what FastCGI 1.0 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A record that cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A record for a request ID that was never used on this connection.
    #[error("{record_type} for request ID {request_id}, which was never used")]
    UnknownRequest {
        /// Its type.
        record_type: RecordType,
        /// Its request ID.
        request_id: u16,
    },
    /// A record that came before a byte of the request in flight was sent: it belongs to an earlier one.
    #[error(
        "{record_type} for request ID {request_id}, before a byte of the request in flight was sent"
    )]
    Premature {
        /// Its type.
        record_type: RecordType,
        /// Its request ID.
        request_id: u16,
    },
    /// A request with another ID was answered with ID 1. From then on each connection to this server serves one
    /// request, with ID 1; see [`RequestIds`](crate::RequestIds).
    #[error(
        "a request with another ID was answered as request 1: the application knows no other ID; RequestIds::AlwaysOne is for such"
    )]
    OnlyIdOne,
    /// A record that only a Web server sends.
    #[error("{record_type}, which only a Web server sends")]
    UnexpectedRecord {
        /// Its type.
        record_type: RecordType,
    },
}

/// Which time limit passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// [`Timeouts::queue`](crate::Timeouts::queue).
    Queue,
    /// [`Timeouts::write`](crate::Timeouts::write).
    Write,
    /// [`Timeouts::first_byte`](crate::Timeouts::first_byte).
    FirstByte,
    /// [`Timeouts::between_bytes`](crate::Timeouts::between_bytes).
    BetweenBytes,
    /// [`Timeouts::total`](crate::Timeouts::total).
    Total,
    /// [`Config::probe_timeout`](crate::Config::probe_timeout), for `get_values`.
    Probe,
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "no connection became free within timeouts.queue",
            Self::Write => "the application took no byte of the request within timeouts.write",
            Self::FirstByte => "no byte of a response within timeouts.first_byte",
            Self::BetweenBytes => "the response stopped for longer than timeouts.between_bytes",
            Self::Total => "not done within timeouts.total",
            Self::Probe => "no answer to FCGI_GET_VALUES within probe_timeout",
        })
    }
}

/// What was wrong with a body while it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It ended before its length.
    #[error("ended after {sent} of {declared} bytes")]
    TooShort {
        /// The promised length.
        declared: u64,
        /// What there was.
        sent: u64,
    },
    /// Its reader had more than its length; the excess was not sent.
    #[error("longer than the {declared} bytes declared")]
    TooLong {
        /// The promised length.
        declared: u64,
    },
    /// Its reader failed.
    #[error("could not be read: {0}")]
    Read(io::ErrorKind),
}
