//! The time limits of a request.

use std::time::Duration;

/// Time limits of a request, one for each phase and one for the whole.
///
/// A request that exceeds a limit fails with [`RequestError::TimedOut`](crate::RequestError::TimedOut) and the
/// [`TimeoutKind`](crate::TimeoutKind) of the limit. `None` and [`Duration::MAX`] mean no limit. A request on a
/// connection times out only after its socket was read once more and did not bring the answer, except for `paused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// How long a request may wait for a connection, including the time to open one. The clock restarts before each
    /// further attempt. If it is shorter than [`Config::connect_timeout`](crate::Config::connect_timeout), a connect that hangs and a full backlog are
    /// reported as this limit. Default: 10 s.
    pub queue: Option<Duration>,
    /// How long a request may wait for its bytes to leave. The clock belongs to the connection: it runs while the
    /// connection has unsent bytes and restarts whenever the transport takes some. On a shared connection a request
    /// therefore times out together with its neighbours. The clock stops while the request is paused, or its connection
    /// is not read because a neighbour is paused. Default: 30 s.
    pub write: Option<Duration>,
    /// How long the application may take from the last byte of the request to the first byte of output. The clock stops
    /// as that of [`write`](Self::write) does. Default: 60 s.
    pub first_byte: Option<Duration>,
    /// How long the application may take from one byte of output to the next, and from the last byte to
    /// `FCGI_END_REQUEST`. The clock runs only after the whole request was sent, and stops as that of
    /// [`write`](Self::write) does. Default: 60 s.
    pub between_bytes: Option<Duration>,
    /// How long a request may stay paused, from [`pause`](crate::Engine::pause) to [`resume`](crate::Engine::resume).
    /// An HTTP client that takes no output keeps a connection occupied; this limit frees the connection. Each pause
    /// counts by itself.
    ///
    /// The clock runs while the request is on a connection, and then as long as output buffered for it is left. It does
    /// not run in the queue: if the request was paused before it was sent, the clock begins with the connection, and so
    /// it does for each further attempt. When the limit is exceeded, buffered output is dropped. `End` reports the limit
    /// even if the application has completed the request meanwhile. With zero, a request fails in the next
    /// [`handle_timeout`](crate::Engine::handle_timeout), unless it is resumed before. Default: `None`, no limit.
    pub paused: Option<Duration>,
    /// How long a request may take from `submit` to `End`, including the wait in the queue and all retries. The clock
    /// does not stop while the request is paused. Default: `None`, no limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            queue: Some(Duration::from_secs(10)),
            write: Some(Duration::from_secs(30)),
            first_byte: Some(Duration::from_secs(60)),
            between_bytes: Some(Duration::from_secs(60)),
            paused: None,
            total: None,
        }
    }
}

impl Timeouts {
    /// No time limits.
    pub const NONE: Self = Self {
        queue: None,
        write: None,
        first_byte: None,
        between_bytes: None,
        paused: None,
        total: None,
    };
}
