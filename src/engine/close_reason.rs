//! The reasons why connections end.

use std::fmt;

/// Why a connection was closed, by either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// Idle for [`Limits::idle_timeout`](crate::Limits::idle_timeout).
    IdleTimeout,
    /// There were more idle connections than [`Limits::max_idle_per_server`](crate::Limits::max_idle_per_server).
    MaxIdle,
    /// Older than [`Limits::max_lifetime`](crate::Limits::max_lifetime).
    MaxLifetime,
    /// Served [`Limits::max_requests_per_connection`](crate::Limits::max_requests_per_connection) requests, or ran out
    /// of request IDs.
    MaxRequests,
    /// [`Config::keep_connections`](crate::Config::keep_connections) is off.
    KeepAliveOff,
    /// The application answers only requests with ID 1, see [`RequestIds`](crate::RequestIds).
    OnlyIdOne,
    /// Its only request was aborted or timed out. Closing the connection is the only abort that php-fpm and libfcgi
    /// notice.
    Aborted,
    /// The application ended a request before it was sent as a whole.
    EarlyEnd,
    /// Records arrived for a request that had ended.
    LateRecord,
    /// Closed so that the application's process can serve a waiting connection, see
    /// [`Config::preempt_idle_after`](crate::Config::preempt_idle_after).
    Preempted,
    /// A new connection was needed in place of this one.
    Replaced,
    /// The probe was answered or timed out.
    ProbeDone,
    /// A request did not end within [`Config::abort_grace`](crate::Config::abort_grace) after its abort.
    AbortGrace,
    /// The limits were lowered, or the client is shutting down.
    Retired,
    /// The application sent bytes while the connection was idle.
    UnsolicitedData,
    /// The application broke the protocol.
    Protocol,
    /// The connect failed or timed out.
    ConnectFailed,
    /// This side had no descriptor, port or memory for the connection.
    Shortage,
    /// The application closed the connection while it was idle, or the system reported an error.
    ClosedIdle,
    /// The application closed the connection while it had requests, or the system reported an error.
    Lost,
}

impl CloseReason {
    /// All reasons, in the order of [`Counters::closed_by_reason`](crate::Counters::closed_by_reason).
    pub const ALL: &'static [Self] = &[
        Self::IdleTimeout,
        Self::MaxIdle,
        Self::MaxLifetime,
        Self::MaxRequests,
        Self::KeepAliveOff,
        Self::OnlyIdOne,
        Self::Aborted,
        Self::EarlyEnd,
        Self::LateRecord,
        Self::Preempted,
        Self::Replaced,
        Self::ProbeDone,
        Self::AbortGrace,
        Self::Retired,
        Self::UnsolicitedData,
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
            Self::MaxIdle => "more idle than limits.max_idle_per_server",
            Self::MaxLifetime => "older than limits.max_lifetime",
            Self::MaxRequests => "served limits.max_requests_per_connection, or out of request IDs",
            Self::KeepAliveOff => "connections are not kept",
            Self::OnlyIdOne => "the application answers requests with ID 1 only",
            Self::Aborted => "its request was given up",
            Self::EarlyEnd => "its request ended before it was sent as a whole",
            Self::LateRecord => "records came for a request that had ended",
            Self::Preempted => "closed to free a process for a waiting connection",
            Self::Replaced => "a fresh connection was needed in its place",
            Self::ProbeDone => "the probe is over",
            Self::AbortGrace => "a request did not end after its abort",
            Self::Retired => "the limits were lowered or the client shut down",
            Self::UnsolicitedData => "the application sent bytes while it was idle",
            Self::Protocol => "the application broke the protocol",
            Self::ConnectFailed => "it could not be established",
            Self::Shortage => "no descriptor, port or memory was left for it",
            Self::ClosedIdle => "closed by the other side while idle",
            Self::Lost => "lost with requests on it",
        })
    }
}
