//! What a request took: times, octets, attempts.

use std::time::Duration;

/// Figures of one request, in its `End` event whether it succeeded or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Octets of the last attempt handed to the transport, record headers and padding included.
    /// On a shared connection never less than the true figure.
    pub sent: u64,
    /// Content octets of `FCGI_STDOUT` and `FCGI_STDERR` received.
    pub received: u64,
    /// Which server served it last: an index into [`Config::servers`](crate::Config::servers).
    pub server: Option<u16>,
    /// Times it was sent again by itself.
    pub retries: u8,
    /// The connection had served an earlier request.
    pub reused: bool,
    /// The application ended `FCGI_STDOUT` by itself.
    pub stdout_ended: bool,
    /// When things happened.
    pub timings: Timings,
}

/// Times since `submit`; `None` for what did not happen. Of the last attempt, where there were more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// A connection was assigned: the time waited in the queue, connecting included.
    pub assigned: Option<Duration>,
    /// How long that connection took to connect, when it was opened for waiting requests and
    /// this is its first.
    pub connecting: Option<Duration>,
    /// The last octet of the request was handed to the transport.
    pub sent: Option<Duration>,
    /// The first octet of output arrived.
    pub first_octet: Option<Duration>,
    /// The last octet of output so far arrived.
    pub last_octet: Option<Duration>,
    /// The end.
    pub end: Duration,
}
