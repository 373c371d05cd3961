//! What a request took: times, octets, attempts.

use std::fmt;
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

/// One line for a log: `56 octets sent, 10 received, server 0, reused; assigned after 1ms, …, ended after 7ms`.
/// What did not happen is left out.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets sent, {} received", self.sent, self.received)?;
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
        for (what, when) in [
            ("assigned", timings.assigned),
            ("sent", timings.sent),
            ("first octet", timings.first_octet),
            ("last octet", timings.last_octet),
        ] {
            if let Some(when) = when {
                write!(f, "{what} after {when:.1?}, ")?;
            }
        }
        write!(f, "ended after {:.1?}", timings.end)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_without_what_did_not_happen() {
        let waited = Report {
            timings: Timings {
                end: Duration::from_millis(1500),
                ..Timings::default()
            },
            ..Report::default()
        };
        assert_eq!(
            waited.to_string(),
            "0 octets sent, 0 received; ended after 1.5s"
        );
        let served = Report {
            sent: 56,
            received: 10,
            server: Some(2),
            retries: 1,
            reused: true,
            timings: Timings {
                assigned: Some(Duration::ZERO),
                first_octet: Some(Duration::from_micros(2500)),
                ..waited.timings
            },
            ..Report::default()
        };
        assert_eq!(
            served.to_string(),
            "56 octets sent, 10 received, server 2, retries 1, reused; \
             assigned after 0.0ns, first octet after 2.5ms, ended after 1.5s"
        );
    }
}
