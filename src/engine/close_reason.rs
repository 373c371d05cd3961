//! Why connections end.

use std::fmt;

/// Why a connection was closed, by whichever side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// Idle for [`Limits::idle_timeout`](crate::Limits::idle_timeout).
    IdleTimeout,
    /// More idle connections than [`Limits::max_idle`](crate::Limits::max_idle).
    MaxIdle,
    /// Older than [`Limits::max_age`](crate::Limits::max_age).
    MaxAge,
    /// Served [`Limits::max_requests_per_connection`](crate::Limits::max_requests_per_connection), or
    /// ran out of request IDs.
    MaxRequests,
    /// [`Config::keep_connections`](crate::Config::keep_connections) is off.
    KeepOff,
    /// The application answers requests with ID 1 only, see [`RequestIds`](crate::RequestIds).
    OnlyIdOne,
    /// A request that was alone on it was aborted or timed out: closing is the only abort that php-fpm and
    /// libfcgi notice.
    Aborted,
    /// The application ended a request before it was sent as a whole.
    EarlyEnd,
    /// Records came for a request that had ended.
    Stray,
    /// Closed so that the application's process can turn to a connection that waits, see
    /// [`Config::yield_after`](crate::Config::yield_after).
    Yielded,
    /// A fresh connection was needed in its place.
    Replaced,
    /// The probe's answer was in, or did not come.
    ProbeDone,
    /// A request did not end within the grace time after its abort.
    AbortGrace,
    /// The limits were lowered, or the client was shut down.
    Retired,
    /// Bytes on it while it was idle.
    OutOfTurn,
    /// The application broke the protocol.
    Protocol,
    /// The connect failed or timed out.
    ConnectFailed,
    /// This side had no descriptor, port or memory for it.
    Shortage,
    /// The application closed it, or the system reported an error, while it was idle.
    ClosedIdle,
    /// The same, with requests on it.
    Lost,
}

impl CloseReason {
    /// All reasons, in the order of [`Counters::closed_by_reason`](crate::Counters::closed_by_reason).
    pub const ALL: &'static [Self] = &[
        Self::IdleTimeout,
        Self::MaxIdle,
        Self::MaxAge,
        Self::MaxRequests,
        Self::KeepOff,
        Self::OnlyIdOne,
        Self::Aborted,
        Self::EarlyEnd,
        Self::Stray,
        Self::Yielded,
        Self::Replaced,
        Self::ProbeDone,
        Self::AbortGrace,
        Self::Retired,
        Self::OutOfTurn,
        Self::Protocol,
        Self::ConnectFailed,
        Self::Shortage,
        Self::ClosedIdle,
        Self::Lost,
    ];
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdleTimeout => "idle for limits.idle_timeout",
            Self::MaxIdle => "more idle than limits.max_idle",
            Self::MaxAge => "older than limits.max_age",
            Self::MaxRequests => "served limits.max_requests_per_connection, or out of request IDs",
            Self::KeepOff => "connections are not kept",
            Self::OnlyIdOne => "the application answers requests with ID 1 only",
            Self::Aborted => "its request was given up",
            Self::EarlyEnd => "its request ended before it was sent as a whole",
            Self::Stray => "records came for a request that had ended",
            Self::Yielded => "the application has others to turn to",
            Self::Replaced => "a fresh connection was needed in its place",
            Self::ProbeDone => "the probe is over",
            Self::AbortGrace => "a request did not end after its abort",
            Self::Retired => "the limits were lowered or the client shut down",
            Self::OutOfTurn => "the application spoke out of turn",
            Self::Protocol => "the application broke the protocol",
            Self::ConnectFailed => "it could not be established",
            Self::Shortage => "no descriptor, port or memory was left for it",
            Self::ClosedIdle => "closed by the other side while idle",
            Self::Lost => "lost with requests on it",
        })
    }
}
