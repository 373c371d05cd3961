//! Settings of a client. Each limit states its unit and the memory it bounds.

use std::time::Duration;

use crate::address::Address;
use crate::config_error::ConfigError;
use crate::server::ServerId;

/// Everything that can be set when a client is made.
///
/// The defaults suit a php-fpm pool on the same machine. [`Limits`] can be changed later, see
/// [`Engine::set_limits`](crate::Engine::set_limits).
///
/// # Fields and chains
/// Every setting in this crate is a public field. The method `with_<field>` sets the field and returns the whole, for
/// chains. Where the field is an `Option<T>`, the method takes a `T`; in [`Config`], [`Limits`], [`Timeouts`] and
/// [`Request`](crate::Request) it takes `None` as well.
///
/// [`blocking::Call`](crate::blocking::Call) and [`cgi::Collector`](crate::cgi::Collector) have state of their own and no
/// public fields. They are set with their `with_*` methods alone.
///
/// ```
/// use std::time::Duration;
/// use mio_fcgi::{Config, Limits};
///
/// let address: mio_fcgi::Address = "unix:/run/php/php8.2-fpm.sock".parse()?;
/// let chained = Config::new(address.clone())
///     .with_connect_timeout(Duration::from_secs(1))
///     .with_limits(Limits::default().with_max_connections_per_server(16));
///
/// let mut config = Config::new(address);
/// config.connect_timeout = Duration::from_secs(1);
/// config.limits.max_connections_per_server = 16;
/// assert_eq!(config, chained);
/// # Ok::<(), mio_fcgi::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The servers; requests go to the one with the fewest in flight. At least one, at most 1,024. A connect that hangs
    /// keeps no request from another server for longer than 250 ms.
    pub servers: Vec<Address>,
    /// Caps on connections and on the queue.
    pub limits: Limits,
    /// Time limits of a request that has none of its own.
    pub timeouts: Timeouts,
    /// Longest time from the start of a connect to its success, waiting for a full Unix backlog
    /// included. Default 3 s; [`Duration::MAX`]: no limit.
    pub connect_timeout: Duration,
    /// How long a request that was not sent may outwait servers that refuse connections, being
    /// tried again with back-off, before it fails. Default zero: it fails with the first refusal
    /// that leaves no other server.
    pub connect_retry_timeout: Duration,
    /// First and longest pause before a server is tried again that refused, was overloaded, or could not be connected to
    /// for want of a descriptor, port or memory on this side; doubled each time. Default 50 ms to 2 s. A Unix socket
    /// whose backlog is full is tried again after at most four times the first pause.
    pub backoff: Backoff,
    /// Ask the application to keep connections open (`FCGI_KEEP_CONN`). Default true. When false, each connection serves
    /// one request, whatever `multiplex` is, and is closed right after `FCGI_END_REQUEST`.
    pub keep_connections: bool,
    /// Whether several requests may share a connection. Default [`Multiplex::Auto`].
    pub multiplex: Multiplex,
    /// Which request IDs follow each other on a connection. Default [`RequestIds::Distinct`].
    pub request_ids: RequestIds,
    /// Longest wait for the answer to `FCGI_GET_VALUES`, on a connection without a request. Default 1 s.
    pub probe_timeout: Duration,
    /// How long a shared connection may take to end a request that was aborted. Default 5 s.
    pub abort_grace: Duration,
    /// Times a request is sent again by itself, all reasons together. Default 2.
    pub max_retries: u8,
    /// How long after the last byte of a request was sent the loss of its connection can mean that the application had
    /// closed the connection before: a request that may be sent again is, then, and not later. Default 1 s; zero: never.
    pub stale_window: Duration,
    /// How much is held for paused requests that share a connection, and what happens then.
    pub pause_buffer: PauseBuffer,
    /// Bytes of a pushed body held for a request before `write_stdin` takes no more. Default 64 KiB.
    pub stdin_high_water: usize,
    /// What to do with a body whose length is not known. Default: refuse.
    pub unknown_length: UnknownLength,
    /// Encoded bytes of one request's parameters. Default 1 MiB.
    pub max_params_len: usize,
    /// Allow a name-value pair that does not fit one record (65,535 bytes) and split it. php-fpm
    /// resets the connection then and flup misreads it; default false: refused by `submit`.
    pub split_long_pairs: bool,
    /// On a server that serves one request per connection: when a *new* connection has waited for its
    /// first byte this much longer than requests do on average, one that is idle, or the next to end
    /// its request, is closed rather than used again, so that the process behind it can turn to the
    /// waiting one. Again when it has waited for that average and twice this time, and so on, while it
    /// still waits. A slow request on a new connection costs some others their connection in that way, one
    /// for each doubling of its wait; an application that is slow as a whole does not. Default 20 ms;
    /// `None` never does.
    pub preempt_idle_after: Option<Duration>,
}

impl Config {
    /// Settings for one server, all else by default.
    #[must_use]
    pub fn new(server: Address) -> Self {
        Self::from_servers(vec![server])
    }

    /// Settings for several servers, all else by default.
    #[must_use]
    pub fn from_servers(servers: Vec<Address>) -> Self {
        Self {
            servers,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            connect_timeout: Duration::from_secs(3),
            connect_retry_timeout: Duration::ZERO,
            backoff: Backoff::default(),
            keep_connections: true,
            multiplex: Multiplex::default(),
            request_ids: RequestIds::default(),
            probe_timeout: Duration::from_secs(1),
            abort_grace: Duration::from_secs(5),
            max_retries: 2,
            stale_window: Duration::from_secs(1),
            pause_buffer: PauseBuffer::default(),
            stdin_high_water: 64 * 1024,
            unknown_length: UnknownLength::default(),
            max_params_len: 1024 * 1024,
            split_long_pairs: false,
            preempt_idle_after: Some(Duration::from_millis(20)),
        }
    }

    /// Checks what can be wrong before anything is connected.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.servers.is_empty() {
            return Err(ConfigError::NoServer);
        }
        if self.servers.len() > MAX_SERVERS {
            return Err(ConfigError::TooManyServers {
                count: self.servers.len(),
                limit: MAX_SERVERS,
            });
        }
        for (server, address) in self.servers.iter().enumerate() {
            if let Err(error) = address.check() {
                let server = ServerId(server as u16);
                return Err(ConfigError::Address { server, error });
            }
        }
        if let Multiplex::On { max: 0 } = self.multiplex {
            return Err(ConfigError::MultiplexZero);
        }
        if self.stdin_high_water == 0 {
            return Err(ConfigError::StdinHighWaterZero);
        }
        if self.backoff.initial.is_zero() || self.backoff.max < self.backoff.initial {
            return Err(ConfigError::Backoff);
        }
        self.limits.validate()
    }
}

const MAX_SERVERS: usize = 1024;

/// Caps that can be changed while the client runs. Lowering one closes what is idle above it;
/// what is busy above it goes when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections to one server, connecting and idle ones included. Default 8. A server that multiplexes and answers
    /// [`Multiplex::Auto`] with a lower `FCGI_MAX_CONNS` gets no more than that. A connection costs
    /// a socket, its slab entry (below 512 bytes) and, while it has something unsent, an outbox
    /// of at most about 128 KiB beside the parameters of its requests, until they have left. A shared
    /// one keeps its lists, up to 68 bytes for each request of its largest burst, for a second of idling.
    pub max_connections_per_server: usize,
    /// Idle connections kept to one server. Default 4. Each holds a php-fpm worker.
    pub max_idle_per_server: usize,
    /// Connections to one server that are opened beforehand, from the first turn on, and not closed for idling. At most
    /// 16 are being opened at a time. Default 0.
    pub min_idle_per_server: usize,
    /// Idle time after which a connection takes no request and is closed. Default 10 s.
    pub idle_timeout: Duration,
    /// Age after which a connection takes no further request. Default: no limit.
    pub max_lifetime: Option<Duration>,
    /// Requests after which a connection is closed. Default: no limit.
    pub max_requests_per_connection: Option<u32>,
    /// Requests that wait for a connection while none is being opened for them, over all servers. Default 1,024. Requests
    /// whose body is being [collected](UnknownLength::Buffer) count as well, and so do those that wait to be sent again.
    /// With 0, as many requests are served as the connections have places, and the next is refused; so is every body that
    /// is to be collected from `write_stdin`. A waiting request costs its parameters, its body, and below 1 KiB. Lowering
    /// the limit ends no request that waits.
    pub max_queued_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections_per_server: 8,
            max_idle_per_server: 4,
            min_idle_per_server: 0,
            idle_timeout: Duration::from_secs(10),
            max_lifetime: None,
            max_requests_per_connection: None,
            max_queued_requests: 1024,
        }
    }
}

impl Limits {
    /// Checks the limits against each other.
    ///
    /// # Errors
    /// [`ConfigError::MaxConnectionsZero`], [`ConfigError::MaxRequestsZero`],
    /// [`ConfigError::MinIdle`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.max_connections_per_server == 0 {
            return Err(ConfigError::MaxConnectionsZero);
        }
        if self.max_requests_per_connection == Some(0) {
            return Err(ConfigError::MaxRequestsZero);
        }
        if self.min_idle_per_server > self.max_idle_per_server
            || self.min_idle_per_server > self.max_connections_per_server
        {
            return Err(ConfigError::MinIdle {
                min_idle: self.min_idle_per_server,
            });
        }
        Ok(())
    }
}

/// Time limits of a request; each has an error of its own ([`TimeoutKind`](crate::TimeoutKind)). `None` and
/// [`Duration::MAX`]: no limit. On a connection, a limit counts when the socket was read and has not brought the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Waiting for a connection, connecting included; anew before each further attempt. Default 10 s.
    pub queue: Option<Duration>,
    /// How long a request may wait for its bytes to leave. Default 30 s. The clock belongs to the connection: it runs
    /// while the connection has unsent bytes and restarts whenever the transport takes some. On a shared connection a
    /// request therefore times out together with its neighbours.
    pub write: Option<Duration>,
    /// From the last byte of the request sent to the first byte of output. Default 60 s.
    pub first_byte: Option<Duration>,
    /// Between two bytes of output, and from the last one to `FCGI_END_REQUEST`, once the request is sent as a whole.
    /// Default 60 s. For this limit and the two before it, time does not count in which the request is paused, or its
    /// connection is not read because a neighbour is.
    pub between_bytes: Option<Duration>,
    /// From `submit` to `End`, the wait in the queue and retries included. Default: no limit.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            queue: Some(Duration::from_secs(10)),
            write: Some(Duration::from_secs(30)),
            first_byte: Some(Duration::from_secs(60)),
            between_bytes: Some(Duration::from_secs(60)),
            total: None,
        }
    }
}

impl Timeouts {
    /// No time limit at all.
    pub const NONE: Self = Self {
        queue: None,
        write: None,
        first_byte: None,
        between_bytes: None,
        total: None,
    };
}

/// Whether requests share a connection (`FCGI_MPXS_CONNS`, FastCGI 1.0, 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Multiplex {
    /// One request per connection, always.
    Off,
    /// The embedder knows that the application multiplexes.
    On {
        /// Most requests in flight on a connection.
        max: u32,
    },
    /// Requests go one per connection until the server has said that it multiplexes. It is asked once, with
    /// `FCGI_GET_VALUES` on a connection that is idle or serves a request, when requests wait and no connection can be
    /// opened for them. After a plain yes at most 1,024 requests share a connection, and `FCGI_MAX_CONNS` and
    /// `FCGI_MAX_REQS` are totals over all connections to the server.
    #[default]
    Auto,
}

impl Multiplex {
    pub(crate) fn is_auto(self) -> bool {
        self == Self::Auto
    }
}

/// Which request IDs follow each other on a connection that serves one request at a time.
///
/// FastCGI 1.0, 3.3, lets the client choose them, and applications answer with the ID of the request. Different ones
/// keep a record that comes late for one request from being taken for the next one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestIds {
    /// Consecutive requests have different IDs. An application that is found to answer with ID 1 whatever it was asked, or
    /// not to answer another ID three times in a row, gets one request per connection from then on; the request that
    /// showed it fails with [`ProtocolError::OnlyIdOne`](crate::ProtocolError::OnlyIdOne) if it may not be sent again.
    /// Until another ID was answered once, requests that may not be sent again get new connections, the first of them.
    #[default]
    Distinct,
    /// Every request has ID 1: for an application that knows no other, and is trusted not to send anything after the
    /// end of a request. Connections that requests share are not affected.
    AlwaysOne,
}

/// Pauses before a server is tried again, see [`Config::backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure; not zero.
    pub initial: Duration,
    /// The longest, after repeated failures; at least `initial`. More than an hour counts as an hour.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(50),
            max: Duration::from_secs(2),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

impl Backoff {
    /// The pause after a number of failures in a row.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let doubled = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let pause = self.initial.saturating_mul(doubled.max(1));
        pause.min(self.max).min(HOUR)
    }
}

/// Memory for output that arrives for paused requests on shared connections.
///
/// A request alone on its connection is paused by not reading the socket and needs none of this,
/// but for the rest of what one read had already brought in. That same rest, at most the read
/// buffer's size for each connection, may come on top of each figure here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PauseBuffer {
    /// Bytes held for one request. Default 64 KiB.
    pub per_request: usize,
    /// Bytes held for all requests of a connection. Default 1 MiB.
    pub per_connection: usize,
    /// Bytes held for the whole client. Default 64 MiB.
    pub per_client: usize,
    /// What happens when one of them is reached.
    pub overflow: OverflowPolicy,
}

impl Default for PauseBuffer {
    fn default() -> Self {
        Self {
            per_request: 64 * 1024,
            per_connection: 1024 * 1024,
            per_client: 64 * 1024 * 1024,
            overflow: OverflowPolicy::default(),
        }
    }
}

/// What happens when a paused request's output has filled its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The connection is not read until room is made; its other requests wait too.
    #[default]
    PauseConnection,
    /// The slow request fails with [`RequestError::PauseBufferFull`](crate::RequestError::PauseBufferFull); its
    /// neighbours go on.
    FailRequest,
}

/// What to do with a body whose length is not known beforehand and not declared as a parameter.
///
/// php-fpm takes such a body as empty, so the safe choices are the first two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownLength {
    /// `submit` refuses it with [`SubmitError::LengthRequired`](crate::SubmitError::LengthRequired),
    /// which a proxy maps to 411.
    #[default]
    Refuse,
    /// It is collected in memory up to so many bytes, then sent with `CONTENT_LENGTH`.
    Buffer {
        /// Most bytes of one body.
        limit: usize,
    },
    /// It is sent as it comes, without `CONTENT_LENGTH`: for applications that read to the end of
    /// `FCGI_STDIN`, such as Go's.
    Stream,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_an_hour_whatever_the_numbers() {
        let seconds = Duration::from_secs;
        let backoff = |initial, max| Backoff { initial, max };
        let usual = backoff(seconds(1), seconds(10));
        for (failures, pause) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (4, 8),
            (5, 10),
            (33, 10),
            (u32::MAX, 10),
        ] {
            assert_eq!(usual.after(failures), seconds(pause), "{failures}");
        }
        let nanosecond = Duration::from_nanos(1);
        assert_eq!(backoff(nanosecond, nanosecond).after(u32::MAX), nanosecond);
        let slow = backoff(nanosecond, Duration::MAX);
        assert_eq!(slow.after(32), Duration::from_nanos(1 << 31));
        assert_eq!(slow.after(33), Duration::from_nanos(u32::MAX.into()));
        for failures in [0, 1, 33, u32::MAX] {
            assert_eq!(backoff(Duration::MAX, Duration::MAX).after(failures), HOUR);
        }
    }
}
