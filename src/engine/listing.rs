//! Lists of the requests and of the connections, to find out which request hangs, and where.

use std::fmt;
use std::time::{Duration, Instant};

use super::connection;
use super::{CloseReason, Engine};
use crate::error::ConnectError;
use crate::event::{ConnectionHandle, RequestHandle, Tag};
use crate::report::Report;
use crate::server::ServerId;

impl Engine {
    /// The requests that are present, one item each, in no particular order: those that have not reported their `End`,
    /// and those that are being aborted. Requests of [`get_values`](Self::get_values) are included.
    ///
    /// The iterator reads what is there and allocates nothing. An item holds no parameter and no content. `Display` of
    /// an item is one line for a log or a status page:
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use mio_fcgi::{Config, Engine, Request, RequestState, Tag};
    ///
    /// let mut engine = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
    /// let start = Instant::now();
    /// engine.submit(start, Request::responder().param("SCRIPT_NAME", "/x.php"), Tag(7))?;
    ///
    /// let now = start + Duration::from_secs(2);
    /// let oldest = engine.requests(now).max_by_key(|it| it.age()).expect("one request");
    /// assert_eq!((oldest.tag, oldest.state), (Tag(7), RequestState::Queued));
    /// assert_eq!(
    ///     oldest.to_string(),
    ///     "request 0, tag 7: queued for 2.0s; 0 bytes sent, 0 received; total 2.0s"
    /// );
    /// let connection = engine.connections(now).next().expect("one that is being opened");
    /// assert_eq!(connection.to_string(), "connection 0 to server 0: connecting, opened 2.0s ago");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn requests(&self, now: Instant) -> impl Iterator<Item = RequestInfo> + '_ {
        let now = self.timeline.peek(now);
        self.requests.iter().map(move |(key, request)| {
            let connection = request.connection();
            let connection = connection.and_then(|it| connection::get(&self.connections, it));
            request.info(now, key, connection.map(|it| it.progress()))
        })
    }

    /// The connections that are present, one item each, in no particular order: those being opened, idle or in use.
    ///
    /// The iterator reads what is there and allocates nothing. An item costs a look at each request on its connection.
    /// `Display` of an item is one line; [`requests`](Self::requests) has an example.
    pub fn connections(&self, now: Instant) -> impl Iterator<Item = ConnectionInfo> + '_ {
        let now = self.timeline.peek(now);
        let all = self.connections.iter();
        all.map(move |(key, connection)| {
            let server = self.pool.servers().id_of(connection.server());
            connection.info(now, key as u32, server, &self.requests)
        })
    }
}

/// A request that is present, as [`Engine::requests`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The handle that `submit` returned.
    pub request: RequestHandle,
    /// The tag passed to `submit`.
    pub tag: Tag,
    /// What the request is doing.
    pub state: RequestState,
    /// How long the request has been in its state. After a retry, the time of the current attempt.
    pub time_in_state: Duration,
    /// How long the request has made no progress, at most `time_in_state`. Progress is a change of state or output of
    /// the request; while it is being sent, also bytes that its connection has sent for any request. Bytes that the
    /// embedder writes to a body are not noted.
    pub since_progress: Duration,
    /// The connection of the request, from its assignment until the application has ended the request.
    pub connection: Option<ConnectionHandle>,
    /// Whether the embedder has paused the request.
    pub is_paused: bool,
    /// Bytes of output buffered because of a pause.
    pub bytes_buffered: usize,
    /// Whether nothing can be sent until the embedder provides more of the body: bytes to
    /// [`write_stdin`](Engine::write_stdin), or its end.
    pub awaits_body: bool,
    /// Whether this is a request of [`get_values`](Engine::get_values).
    pub is_probe: bool,
    /// Why no server can be connected to, while the request waits in the queue for one.
    pub connect_error: Option<ConnectError>,
    /// The figures of the request until now: bytes, server, retries, times. If the application has ended the request,
    /// or the connection was lost, all but the total time are those of that moment.
    pub report: Report,
}

impl RequestInfo {
    /// The time since `submit`.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.report.timings.total()
    }
}

/// What a request is doing.
///
/// The states are those of [`RequestGauges`](crate::RequestGauges), with two differences. `Queued` includes the
/// requests for which a connection is being opened. The gauge `active` is divided by
/// [`Phase`](crate::Phase) into `Sending`, `Sent` and `Receiving`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestState {
    /// Its body is being buffered to determine its length.
    Buffering,
    /// It is in the queue. A connection may be being opened for it.
    Queued,
    /// It is on a connection and was not sent as a whole.
    Sending,
    /// It was sent as a whole, and no output has arrived.
    Sent,
    /// Output has arrived.
    Receiving,
    /// The application has ended it, or its connection was lost, and output buffered during a pause was not taken.
    Draining,
    /// It has reported its `End`, and the application has not ended it.
    Aborting,
}

/// A connection that is present, as [`Engine::connections`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The handle of the connection. Its [`index`](ConnectionHandle::index) is the number in the client's logs.
    pub connection: ConnectionHandle,
    /// The server that the connection leads to.
    pub server: ServerId,
    /// What the connection is doing.
    pub state: ConnectionState,
    /// The time since the client began to open the connection.
    pub age: Duration,
    /// The time since the last activity. Activity is: something was given to the connection to send, bytes were sent,
    /// output arrived for a request that is still on it, or it became idle.
    pub since_activity: Duration,
    /// Requests on the connection, including those that are being aborted.
    pub requests: usize,
    /// Requests on the connection that are being aborted.
    pub aborting: usize,
    /// The most requests that the connection takes at a time.
    pub max_requests: usize,
    /// Requests that have ended on the connection.
    pub served: u32,
    /// Bytes given to the transport.
    pub bytes_sent: u64,
    /// Bytes ready to be sent that the transport has not taken. If they stay, the application does not read.
    pub bytes_unsent: usize,
    /// Bytes received on the connection and fed to the engine, including record headers and padding.
    pub bytes_received: u64,
    /// Bytes of output buffered for the paused requests on the connection.
    pub bytes_buffered: usize,
    /// Whether the connection is not read because of a pause, see [`Engine::wants_read`].
    pub is_read_blocked: bool,
    /// Why the connection takes no further request and is closed once its requests have ended.
    pub close_reason: Option<CloseReason>,
}

/// What a connection is doing. The states are those of [`ConnectionGauges`](crate::ConnectionGauges), but `connecting`
/// is divided into `Connecting` and `Redialing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It is being opened.
    Connecting,
    /// The listener's backlog was full. The connection is opened again after a pause.
    Redialing,
    /// It has no request, and a probe of the server's values was sent on it.
    Probing,
    /// It has no request and is ready to be used.
    Idle,
    /// It has requests, or bytes of the last response are still expected or unread.
    Busy,
    /// It has requests and takes no further one.
    Draining,
}

/// A line for a log or a status page. What does not apply is left out. The part after the first semicolon is the
/// [`Report`]:
/// `request 5, tag 7: receiving for 12.3s on connection 2, last progress 3.1s ago, paused, 4096 bytes buffered; 56 bytes
/// sent, 8192 received, server 0; queued 1.0ms, sent 1.2ms, first byte 5.0ms, last byte 9.2s, total 12.3s`.
impl fmt::Display for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}, tag {}", self.request.index, self.tag.0)?;
        let probe = if self.is_probe { ", get_values" } else { "" };
        write!(f, "{probe}: {} for {:.1?}", self.state, self.time_in_state)?;
        if let Some(connection) = self.connection {
            write!(f, " on connection {}", connection.index())?;
        }
        if self.since_progress < self.time_in_state {
            write!(f, ", last progress {:.1?} ago", self.since_progress)?;
        }
        if self.awaits_body {
            f.write_str(", awaits its body")?;
        }
        if self.is_paused {
            f.write_str(", paused")?;
        }
        if self.bytes_buffered > 0 {
            write!(f, ", {} bytes buffered", self.bytes_buffered)?;
        }
        if let Some(error) = &self.connect_error {
            write!(f, ", {error}")?;
        }
        write!(f, "; {}", self.report)
    }
}

/// A clause for a log line, to be followed by a time: `awaiting output`, where the variant is `Sent`.
impl fmt::Display for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffering => "buffering",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "awaiting output",
            Self::Receiving => "receiving",
            Self::Draining => "draining",
            Self::Aborting => "aborting",
        })
    }
}

/// A line for a log or a status page. Zeros and what does not apply are left out:
/// `connection 2 to server 0: busy, opened 40.2s ago, last activity 3.1s ago, requests 3 of 8, aborting 1, served 120,
/// 81234 bytes sent, 4096 unsent, 52100 bytes received, 8192 buffered, not read because of a pause`.
impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connection, server) = (self.connection.index(), self.server);
        write!(f, "connection {connection} to server {server}: ")?;
        write!(f, "{}, opened {:.1?} ago", self.state, self.age)?;
        if self.since_activity < self.age {
            write!(f, ", last activity {:.1?} ago", self.since_activity)?;
        }
        if self.requests > 0 {
            write!(f, ", requests {} of {}", self.requests, self.max_requests)?;
        }
        if self.aborting > 0 {
            write!(f, ", aborting {}", self.aborting)?;
        }
        if self.served > 0 {
            write!(f, ", served {}", self.served)?;
        }
        if self.bytes_sent > 0 {
            write!(f, ", {} bytes sent", self.bytes_sent)?;
        }
        if self.bytes_unsent > 0 {
            write!(f, ", {} unsent", self.bytes_unsent)?;
        }
        if self.bytes_received > 0 {
            write!(f, ", {} bytes received", self.bytes_received)?;
        }
        if self.bytes_buffered > 0 {
            write!(f, ", {} buffered", self.bytes_buffered)?;
        }
        if self.is_read_blocked {
            f.write_str(", not read because of a pause")?;
        }
        if let Some(reason) = self.close_reason {
            write!(f, ", closes: {reason}")?;
        }
        Ok(())
    }
}

/// The word for a log line: the name in [`ConnectionGauges`](crate::ConnectionGauges), or `redialing`.
impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Redialing => "redialing",
            Self::Probing => "probing",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
        })
    }
}
