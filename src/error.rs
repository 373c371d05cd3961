//! The errors of the client, by whose fault they are.
//!
//! | type                | whose fault                                | where it appears               |
//! |---------------------|--------------------------------------------|--------------------------------|
//! | [`Refused`] with a [`SubmitError`], [`StdinError`], [`GetValuesError`](crate::GetValuesError), [`ConfigError`](crate::ConfigError) | the embedder | returned by the call |
//! | [`ProtocolError`]   | the application: bytes that are not FastCGI | inside [`RequestError`]      |
//! | [`ConnectError`], [`ConnectionLostReason`] | the transport                 | inside [`RequestError`]        |
//! | [`RequestError`]    | any: why a request failed, with one of the errors above inside | [`Failure`], in `End` |
//!
//! The text of an error contains the text of the error inside it, and `source` returns `None`. Each error that ends or
//! refuses a request has a method `http_status`: the status that a server answers its client with.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::report::Report;
use crate::server::ServerId;

mod http_status;
mod protocol;
mod refused;

pub use protocol::ProtocolError;
pub use refused::Refused;

/// Why `submit` did not accept a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue is full, and no connection can be opened for the request. Try later; a proxy answers 503.
    #[error(
        "the queue is full: {limit} requests wait for a connection already; try later, or raise max_queued_requests"
    )]
    QueueFull {
        /// [`Limits::max_queued_requests`](crate::Limits::max_queued_requests).
        limit: usize,
    },
    /// The client is shutting down, since `shutdown` was called.
    #[error("the client is shutting down and takes no further request")]
    ShuttingDown,
    /// A name-value pair does not fit one record, and [`Config::split_long_pairs`](crate::Config::split_long_pairs) is
    /// off.
    #[error(
        "a parameter of {len} bytes does not fit one record ({limit}): shorten it, or set split_long_pairs if the application can join records"
    )]
    PairTooLarge {
        /// The encoded length of the longest pair, in bytes.
        len: usize,
        /// The most bytes that fit one record.
        limit: usize,
    },
    /// A name or a value has 2^31 bytes or more, a length that cannot be encoded (FastCGI 1.0, 3.4). On a 32-bit
    /// machine also: the pairs exceed the address space.
    #[error(
        "a parameter's name or value is longer than 2147483647 bytes, the most that FastCGI can state: shorten it"
    )]
    ParamLengthTooLong,
    /// The parameters together are longer than the configuration allows.
    #[error("parameters of {len} bytes: shorten them, or raise max_params_len, which is {limit}")]
    ParamsTooLarge {
        /// The encoded length of all parameters, in bytes.
        len: usize,
        /// [`Config::max_params_len`](crate::Config::max_params_len).
        limit: usize,
    },
    /// `CONTENT_LENGTH` or `FCGI_DATA_LENGTH` is not a number, or occurs twice with different values.
    #[error("{name} is not a number, or was given twice with two values")]
    InvalidLength {
        /// The parameter.
        name: &'static str,
    },
    /// `CONTENT_LENGTH` or `FCGI_DATA_LENGTH` differs from the length of the body. Without the parameter, the client
    /// adds the right one.
    #[error(
        "{name} says {declared}, but the body has {actual} bytes: leave it out, and it is set right"
    )]
    LengthMismatch {
        /// The parameter.
        name: &'static str,
        /// The value of the parameter.
        declared: u64,
        /// The length of the body, in bytes.
        actual: u64,
    },
    /// The length of the body is unknown, and the configuration refuses such bodies. A proxy answers 411.
    #[error(
        "the body's length is unknown: give it, declare CONTENT_LENGTH, or choose another Config::unknown_length"
    )]
    LengthRequired,
    /// The body has an unknown length and is longer than may be buffered. A proxy answers 413.
    #[error(
        "the body, of unknown length, is longer than the {limit} bytes that UnknownLength::Buffer allows"
    )]
    BodyTooLarge {
        /// The limit of [`UnknownLength::Buffer`](crate::UnknownLength::Buffer), in bytes.
        limit: usize,
    },
    /// The reader of the body failed while the body was being buffered.
    #[error("the body could not be read from its reader: {0}")]
    BodyRead(io::ErrorKind),
    /// The role does not have the stream: an Authorizer with a body, a role other than Filter with `FCGI_DATA`, or a
    /// Filter with pushed `FCGI_DATA`.
    #[error(
        "the role has no such stream: an Authorizer has no body, and only a Filter has data, which cannot be pushed"
    )]
    StreamNotAllowed,
    /// The client has no server with the ID that the request [names](crate::Request::server): it never had, or `set_servers`
    /// has removed it.
    #[error("the client has no server {server}: it was removed, or never existed")]
    NoSuchServer {
        /// The server that the request names.
        server: ServerId,
    },
}

/// Why `write_stdin` or `finish_stdin` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StdinError {
    /// `finish_stdin` was called before.
    #[error("the body was finished already: nothing can be added to it")]
    Finished,
    /// The request has ended. Its `End` event is queued or was taken.
    #[error("the request has ended: its End event says how")]
    Gone,
    /// The body of the request is not [`Body::pushed`](crate::Body::pushed).
    #[error("the request's body is not a pushed one: give it Body::pushed")]
    NotPushed,
    /// The body would be longer than declared. No byte of this call was taken, and the request continues.
    #[error(
        "{declared} bytes of body were declared and {offered} offered in all: finish it before these, or abort"
    )]
    TooLong {
        /// The length given with the body or as `CONTENT_LENGTH`.
        declared: u64,
        /// The bytes taken so far and offered now.
        offered: u64,
    },
    /// `finish_stdin` was called before the declared length was reached. The request fails with
    /// [`BodyError::TooShort`].
    #[error(
        "{declared} bytes of body were declared and {written} written before its end: the request fails"
    )]
    TooShort {
        /// The length given with the body or as `CONTENT_LENGTH`.
        declared: u64,
        /// The bytes written before `finish_stdin`.
        written: u64,
    },
    /// The body has an unknown length and would be longer than may be buffered. No byte of this call was taken.
    #[error(
        "the body, of unknown length, is longer than the {limit} bytes that UnknownLength::Buffer allows"
    )]
    BodyTooLarge {
        /// The limit of [`UnknownLength::Buffer`](crate::UnknownLength::Buffer), in bytes.
        limit: usize,
    },
}

/// How and why a request failed, in its [`End`](crate::EventKind::End) event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{error} ({delivery})")]
#[non_exhaustive]
pub struct Failure {
    /// What happened.
    pub error: RequestError,
    /// How far the request had come.
    pub phase: Phase,
    /// Whether the application can have acted on the request, and so whether it is safe to send again.
    pub delivery: Delivery,
    /// The times, bytes and retries of the request.
    pub report: Report,
}

impl Failure {
    /// A failure as the client reports it, for tests and for code that replaces the client.
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

/// How far a request had come when it failed. Whether it is safe to send again depends on [`Delivery`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// The body of the request was being buffered to determine its length.
    Buffering,
    /// The request was in the queue. A connection may have been being opened for it.
    Queued,
    /// The request was being sent.
    Sending,
    /// The whole request was sent, and no output had arrived.
    Sent,
    /// Output of the request had arrived.
    Receiving,
}

/// A clause for a log line, to follow the text of the failure.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffering => "while its body was buffered",
            Self::Queued => "before it had a connection",
            Self::Sending => "while it was sent",
            Self::Sent => "after it was sent, before any output",
            Self::Receiving => "after its output had begun",
        })
    }
}

/// Whether the application can have acted on a failed request, and so whether the request is safe to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// The application cannot have acted: no byte was handed to the transport, or the application rejected the
    /// request. It is safe to send again.
    NotProcessed,
    /// The application may have acted: bytes were handed to the transport, and no output arrived. Only an
    /// idempotent request is safe to send again. Also when [`Report::bytes_sent`] is 0, if the request was given up on a
    /// shared connection: its first records may wait in front of those of other requests, and are sent after its `End`,
    /// with an `FCGI_ABORT_REQUEST`.
    MaybeProcessed,
    /// The application has acted, at least in part: output arrived.
    Responded,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotProcessed => "not processed: safe to send again",
            Self::MaybeProcessed => "sent, no answer: the application may have acted",
            Self::Responded => "a response had begun",
        })
    }
}

/// Why a request failed. The guide says for [each error](crate::guide::failure#every-error) what to check.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No server could be connected to.
    #[error("no connection to the application: {0}")]
    Connect(ConnectError),
    /// The connection was lost before the request ended. A response that had begun is incomplete.
    #[error("the connection to the application was lost: {0}; its log may say why")]
    ConnectionLost(ConnectionLostReason),
    /// The application sent bytes that violate FastCGI 1.0. Its connection was closed.
    #[error("the application broke the protocol: {0}")]
    Protocol(ProtocolError),
    /// The request exceeded a time limit.
    #[error("timed out: {0}")]
    TimedOut(TimeoutKind),
    /// The embedder called `abort`.
    #[error("aborted by this program")]
    Aborted,
    /// The application rejected the request, and any retries, because it is overloaded (`FCGI_OVERLOADED`).
    #[error("the application is overloaded: try later, or lower max_connections_per_server")]
    Overloaded,
    /// The application rejected the request, and any retries, because it shared a connection (`FCGI_CANT_MPX_CONN`).
    #[error("the application refuses to share a connection: use Multiplex::Off")]
    CantMultiplex,
    /// The application rejected the request because of its role (`FCGI_UNKNOWN_ROLE`).
    #[error("the application does not know the role: most are Responders and nothing else")]
    UnknownRole,
    /// The application ended the request with a protocol status that FastCGI 1.0 does not define (5.5).
    #[error("the application ended the request with the unknown protocol status {0}: a bug in it")]
    UnknownStatus(u8),
    /// The request was paused, its output filled the [`PauseBuffer`](crate::PauseBuffer), and the configuration has
    /// [`OverflowPolicy::FailRequest`](crate::OverflowPolicy::FailRequest).
    #[error(
        "given up while paused: {buffered} bytes of its output were buffered, and Config::pause_buffer allows no more"
    )]
    PauseBufferFull {
        /// The bytes that were buffered for the request. They are dropped.
        buffered: usize,
    },
    /// `set_servers` has removed the server that the request [names](crate::Request::server), before the request was sent.
    #[error(
        "the server that the request names was removed while the request waited: name another one, or none"
    )]
    ServerRemoved,
    /// The request was accepted for a connection that was being opened, and then had to wait while the queue was full.
    /// The connect failed, the connection takes fewer requests than expected, or its server takes none but those that name
    /// it any more: it hangs, or is a backup and an active server is up again.
    #[error(
        "no connection could be had for it, and the queue is full: {limit} requests wait; try later, or raise max_queued_requests"
    )]
    QueueFull {
        /// [`Limits::max_queued_requests`](crate::Limits::max_queued_requests).
        limit: usize,
    },
    /// The body of the request has another length than declared, or its reader failed.
    #[error("the request's body: {0}")]
    Body(BodyError),
    /// The deadline given to `shutdown` passed before the request ended.
    #[error("the client was shut down before the request was done")]
    ShutDown,
}

// Without `#[from]`, which would make them sources: the text of `RequestError` already contains theirs.
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

/// Why no connection to a server could be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The system reported an error, such as no listener, no such socket, no permission. A shortage of file
    /// descriptors, ports or memory on this side is not reported: the request waits.
    #[error("{}", Refusal(*.0))]
    Failed(io::ErrorKind),
    /// The connect was not answered within [`Config::connect_timeout`](crate::Config::connect_timeout).
    #[error("no answer within connect_timeout: check the address, and the network in between")]
    TimedOut,
    /// The backlog of the Unix socket stayed full until the connect timed out. The application is running, but busy.
    #[error(
        "the listener's backlog is full: the application is busy, or has fewer processes than connections"
    )]
    BacklogFull,
}

/// The text of a failed connect: the cause and what to check.
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
            // Many system errors have no `ErrorKind` of their own.
            other => return write!(f, "{other}; the log says more at level debug"),
        };
        f.write_str(what_to_check)
    }
}

/// Why an open connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionLostReason {
    /// The application closed the connection.
    #[error("closed by the application")]
    Closed,
    /// The system reported an error, usually a reset.
    #[error("{0}")]
    Io(io::ErrorKind),
}

/// Which time limit a request exceeded. Each variant names the setting.
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
    /// [`Timeouts::paused`](crate::Timeouts::paused): neither the application nor its connection was too slow, but the
    /// embedder's own client, which took no output. Output that was buffered is dropped, so a response that the
    /// application has completed ends with this error, too.
    Paused,
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
            Self::Paused => {
                "this program's own client took no output: the request was paused for longer than timeouts.paused"
            }
            Self::Total => "not done within timeouts.total",
            Self::Probe => "no answer to FCGI_GET_VALUES within probe_timeout",
        })
    }
}

/// What was wrong with the embedder's body while it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body ended before its declared length.
    #[error("ended after {sent} of {declared} bytes")]
    TooShort {
        /// The declared length, in bytes.
        declared: u64,
        /// The bytes that the body had.
        sent: u64,
    },
    /// The reader of the body had more bytes than declared. The excess was not sent.
    #[error("longer than the {declared} bytes declared")]
    TooLong {
        /// The declared length, in bytes.
        declared: u64,
    },
    /// The reader of the body failed.
    #[error("could not be read: {0}")]
    Read(io::ErrorKind),
}
