//! Why connections end.

use std::fmt;

/// Why a connection was closed, by whichever side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// Idle for [`Limits::idle_timeout`](crate::Limits::idle_timeout).
    IdleTimeout,
    /// More idle connections than [`Limits::max_idle_per_server`](crate::Limits::max_idle_per_server).
    MaxIdle,
    /// Older than [`Limits::max_lifetime`](crate::Limits::max_lifetime).
    MaxLifetime,
    /// Served [`Limits::max_requests_per_connection`](crate::Limits::max_requests_per_connection), or
    /// ran out of request IDs.
    MaxRequests,
    /// [`Config::keep_connections`](crate::Config::keep_connections) is off.
    KeepAliveOff,
    /// The application answers requests with ID 1 only, see [`RequestIds`](crate::RequestIds).
    OnlyIdOne,
    /// A request that was alone on it was aborted or timed out: closing is the only abort that php-fpm and
    /// libfcgi notice.
    Aborted,
    /// The application ended a request before it was sent as a whole.
    EarlyEnd,
    /// Records came for a request that had ended.
    LateRecord,
    /// Closed so that the application's process can turn to a connection that waits, see
    /// [`Config::preempt_idle_after`](crate::Config::preempt_idle_after).
    Preempted,
    /// A fresh connection was needed in its place.
    Replaced,
    /// The probe's answer was in, or did not come.
    ProbeDone,
    /// A request did not end within the grace time after its abort.
    AbortGrace,
    /// The limits were lowered, or the client was shut down.
    Retired,
    /// Bytes on it while it was idle.
    UnsolicitedData,
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
            Self::Preempted => "the application has others to turn to",
            Self::Replaced => "a fresh connection was needed in its place",
            Self::ProbeDone => "the probe is over",
            Self::AbortGrace => "a request did not end after its abort",
            Self::Retired => "the limits were lowered or the client shut down",
            Self::UnsolicitedData => "the application spoke out of turn",
            Self::Protocol => "the application broke the protocol",
            Self::ConnectFailed => "it could not be established",
            Self::Shortage => "no descriptor, port or memory was left for it",
            Self::ClosedIdle => "closed by the other side while idle",
            Self::Lost => "lost with requests on it",
        })
    }
}
