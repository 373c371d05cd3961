//! The figures of a request: times, bytes, retries.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use crate::server::ServerId;

/// The figures of one request: in its `End` event, whether the request completed or failed, and before that in
/// [`RequestInfo`](crate::RequestInfo).
///
/// Those of a `get_values` hold the server and the times only: its record and the answer are not counted as bytes of a
/// request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The bytes of the last attempt that were handed to the transport, including record headers and padding. On a
    /// shared connection the figure may be too high, but never too low.
    pub bytes_sent: u64,
    /// The content bytes received in `FCGI_STDOUT` and `FCGI_STDERR`, without record headers and padding.
    pub bytes_received: u64,
    /// The server that the request was last sent to. `None`: the request was sent to no server.
    pub server: Option<ServerId>,
    /// How many times the client sent the request again.
    pub retries: u8,
    /// Whether the connection had served an earlier request.
    pub reused: bool,
    /// Whether the application ended `FCGI_STDOUT` before it ended the request.
    pub stdout_ended: bool,
    /// When the request got its connection, was sent, was answered and ended.
    pub timings: Timings,
}

/// One line for a log, with the names of [`Timings`]. Steps that did not happen are left out:
/// `56 bytes sent, 10 received, server 0, reused; queued 1.0ms, sent 1.2ms, first byte 5.0ms, last byte 6.1ms, total 7.0ms`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes sent, {} received",
            self.bytes_sent, self.bytes_received
        )?;
        if let Some(server) = self.server {
            write!(f, ", server {server}")?;
        }
        if self.retries > 0 {
            write!(f, ", retries {}", self.retries)?;
        }
        if self.reused {
            f.write_str(", reused")?;
        }
        f.write_str("; ")?;
        let timings = self.timings;
        for (name, time) in [
            ("queued", timings.queued()),
            ("connect", timings.connect()),
            ("sent", timings.sent()),
            ("first byte", timings.first_byte()),
            ("last byte", timings.last_byte()),
        ] {
            if let Some(time) = time {
                write!(f, "{name} {time:.1?}, ")?;
            }
        }
        write!(f, "total {:.1?}", timings.total())
    }
}

/// The times of a request, measured from `submit`. `None`: the step did not happen.
///
/// If the request was sent more than once, the times are those of the last attempt.
///
/// All times are differences between the instants that you pass to the client. With one instant per turn of the loop, a
/// step that begins and ends within a turn takes zero. To measure short steps, pass a fresh `Instant::now()` to each
/// `poll_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    pub(crate) queued: Option<Elapsed>,
    pub(crate) connect: Option<Elapsed>,
    pub(crate) sent: Option<Elapsed>,
    pub(crate) first_byte: Option<Elapsed>,
    pub(crate) last_byte: Option<Elapsed>,
    pub(crate) total: Elapsed,
}

impl Timings {
    /// When the request got its connection. This is the time in the queue, including the time to connect.
    #[must_use]
    pub fn queued(&self) -> Option<Duration> {
        self.queued.map(Elapsed::duration)
    }

    /// How long the connection took to open, if it was opened for queued requests and this request is its first. The
    /// time is a part of [`queued`](Self::queued) and not measured from `submit`.
    #[must_use]
    pub fn connect(&self) -> Option<Duration> {
        self.connect.map(Elapsed::duration)
    }

    /// When the last byte of the request was handed to the transport.
    #[must_use]
    pub fn sent(&self) -> Option<Duration> {
        self.sent.map(Elapsed::duration)
    }

    /// When the first byte of output arrived.
    #[must_use]
    pub fn first_byte(&self) -> Option<Duration> {
        self.first_byte.map(Elapsed::duration)
    }

    /// When the last byte of output arrived.
    #[must_use]
    pub fn last_byte(&self) -> Option<Duration> {
        self.last_byte.map(Elapsed::duration)
    }

    /// When the request ended. In [`RequestInfo`](crate::RequestInfo): the time until now.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total.duration()
    }
}

/// A duration of at most 584 years, as its nanoseconds plus one. An `Option` of it takes one word, where a `Duration`
/// takes two, and it is computed without a division. With the smaller event this saves 203 of 7,654 instructions per
/// request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed(NonZeroU64);

impl Elapsed {
    #[inline]
    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    #[inline]
    pub(crate) fn nanos(self) -> u64 {
        self.0.get() - 1
    }

    fn duration(self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

impl Default for Elapsed {
    fn default() -> Self {
        Self::from_nanos(0)
    }
}

impl fmt::Debug for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.duration().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_without_what_did_not_happen() {
        let waited = Report {
            timings: Timings {
                total: Elapsed::from_nanos(1_500_000_000),
                ..Timings::default()
            },
            ..Report::default()
        };
        assert_eq!(waited.to_string(), "0 bytes sent, 0 received; total 1.5s");
        let served = Report {
            bytes_sent: 56,
            bytes_received: 10,
            server: Some(ServerId::new(2)),
            retries: 1,
            reused: true,
            timings: Timings {
                queued: Some(Elapsed::from_nanos(400_000)),
                connect: Some(Elapsed::from_nanos(300_000)),
                sent: Some(Elapsed::from_nanos(500_000)),
                first_byte: Some(Elapsed::from_nanos(2_500_000)),
                last_byte: Some(Elapsed::from_nanos(1_400_000_000)),
                ..waited.timings
            },
            ..Report::default()
        };
        assert_eq!(
            served.to_string(),
            "56 bytes sent, 10 received, server 2, retries 1, reused; \
             queued 400.0µs, connect 300.0µs, sent 500.0µs, first byte 2.5ms, last byte 1.4s, total 1.5s"
        );
    }
}
