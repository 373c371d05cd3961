//! The settings of a client. Each limit states its unit and the memory that it bounds.

use std::time::Duration;

use crate::address::Address;
use crate::config_error::ConfigError;
use crate::limits::Limits;
use crate::server::Server;
use crate::timeouts::Timeouts;

/// The settings of a [`Client`](crate::Client) or an [`Engine`](crate::Engine): servers, limits, time limits, retries.
///
/// The defaults suit a php-fpm pool on the same machine. Only [`limits`](Self::limits) and [`servers`](Self::servers) can
/// be changed while the client runs, with [`Engine::set_limits`](crate::Engine::set_limits) and
/// [`Engine::set_servers`](crate::Engine::set_servers).
///
/// # Fields and chains
/// A setting in this crate is a public field, as a rule. The method `with_<field>` sets the field and returns the struct, so
/// that calls can be chained. Where the field is an `Option<T>`, the method takes a `T`; in [`Config`], [`Limits`],
/// [`Timeouts`] and [`Request`](crate::Request) it takes `None` as well.
///
/// [`blocking::Call`](crate::blocking::Call) and [`cgi::Collector`](crate::cgi::Collector) have state of their own and
/// no public fields, and so have `testkit`'s `Link` and `Quirks`. They only have `with_*` methods.
/// [`ScriptMap::with_links_into`](crate::cgi::ScriptMap::with_links_into) can fail and has no field.
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
    /// The servers: at least one, at most 1,024. A request goes to the server with the fewest requests in flight for its
    /// weight, unless it [names its server](crate::Request::server). A connect that hangs delays a request that could
    /// go to another server by at most 250 ms. [`Engine::set_servers`](crate::Engine::set_servers) changes the servers
    /// while the client runs.
    pub servers: Vec<Server>,
    /// Limits on connections and on the queue. Default: [`Limits::default`].
    pub limits: Limits,
    /// Time limits for requests that have none of their own, see [`Request::timeouts`](crate::Request::timeouts).
    /// Default: [`Timeouts::default`].
    pub timeouts: Timeouts,
    /// How long a connection may take to open, from the start of the connect. The wait for a full Unix backlog is
    /// included. Default: 3 s; [`Duration::MAX`]: no limit.
    pub connect_timeout: Duration,
    /// How long a request that was not sent waits while every server refuses connections. During this time the servers
    /// are tried again, see [`backoff`](Self::backoff); then the request fails. Set it to bridge a restart of the
    /// application. Default: zero, the request fails at the first refusal that leaves no other server.
    pub connect_retry_timeout: Duration,
    /// The pause before a server is tried again after it refused a connection, after it was overloaded, or after this
    /// side had no descriptor, port or memory for a connect. The pause doubles with each failure in a row. Default:
    /// from 50 ms to 2 s. A Unix socket with a full backlog is tried again after at most four times the first pause.
    pub backoff: Backoff,
    /// Whether the application is asked to keep connections open after a request (`FCGI_KEEP_CONN`). Default: true.
    /// When false, each connection serves one request, whatever `multiplex` is, and is closed right after
    /// `FCGI_END_REQUEST`, or after the answer to a `get_values`.
    pub keep_connections: bool,
    /// Whether several requests may share a connection. Default: [`Multiplex::Auto`].
    pub multiplex: Multiplex,
    /// How the client chooses the request IDs on a connection. Default: [`RequestIds::Distinct`].
    pub request_ids: RequestIds,
    /// How long a connection without a request waits for the answer to `FCGI_GET_VALUES`. Default: 1 s.
    pub probe_timeout: Duration,
    /// How long the application may take to end an aborted request on a shared connection. After this time the
    /// connection takes no further request. Default: 5 s.
    pub abort_grace: Duration,
    /// How many times a request may be sent again without a call by the embedder, for all reasons together. Default: 2;
    /// 0: no request is sent again. [`Request::retry`](crate::Request::retry) chooses the reasons.
    pub max_retries: u8,
    /// A connection that is lost this soon after the last byte of a request was sent counts as stale: the application had
    /// closed it before the request arrived. A request that [`Request::retry`](crate::Request::retry) allows to be sent
    /// again is sent again after a loss within this time, and fails after a later one. A request of which no byte was
    /// sent can be sent again at any time. Default: 1 s; zero: never.
    pub stale_window: Duration,
    /// How much output is buffered for paused requests that share a connection, and what happens when the buffer is
    /// full. Default: [`PauseBuffer::default`].
    pub pause_buffer: PauseBuffer,
    /// How many unsent bytes of a pushed body are buffered per request before `write_stdin` takes no more. Not zero. The
    /// memory for them is at most four times as long. Default: 64 KiB.
    pub stdin_high_water: usize,
    /// What happens to a request body whose length is not known. Default: [`UnknownLength::Refuse`].
    pub unknown_length: UnknownLength,
    /// The largest encoded size of one request's parameters, in bytes; `submit` refuses a request with more. Default:
    /// 1 MiB.
    pub max_params_len: usize,
    /// Whether a name-value pair that does not fit one record (65,535 bytes) is split over several records. Default:
    /// false, `submit` refuses such a request. Given a split pair, php-fpm resets the connection and flup misreads it.
    pub split_long_pairs: bool,
    /// How long a new connection may wait for its first byte before another connection is closed in its favor.
    ///
    /// A php-fpm worker stays bound to its connection until the connection is closed. If there are more connections
    /// than workers, a new connection can wait in the listener's backlog for as long as the bound ones are kept busy.
    /// When a new connection has waited for its first byte this much longer than requests do on average, the client
    /// closes an idle connection, or the next one to become idle, which frees its worker. While the new connection
    /// still waits, another one is closed after a further wait of twice this time plus the average, and so on.
    ///
    /// The rule applies to servers that serve one request per connection. A slow request on a new connection closes
    /// some other connections, one for each doubling of its wait; an application that is slow as a whole does not.
    /// Default: 20 ms; `None` disables the rule.
    pub preempt_idle_after: Option<Duration>,
    /// How often a server that serves no request is checked, so that a dead one is known before a request finds it.
    ///
    /// A check opens a connection to the server, asks `FCGI_GET_VALUES` on it, and closes it. The server fails the
    /// check when it refuses the connection, or when it does not answer within [`probe_timeout`](Self::probe_timeout)
    /// although it has answered such a question before. It is then set aside: after a refused connection as usual, see
    /// [`backoff`](Self::backoff), and otherwise until it answers a check or completes a request. Requests that can use
    /// no other server, and [`get_values`](crate::Engine::get_values), try it after the pause in either case. A
    /// [`Draining`](crate::ServerMode::Draining) server is not checked, and neither is one that has completed a request
    /// since its last check or has requests in flight. A check that would exceed a limit on connections is left out,
    /// and a server that did not answer is then used again. An application that has once ended a connection over the
    /// question is connected to and not asked.
    ///
    /// Default: `None`, no checks. Less than 1 ms counts as 1 ms.
    pub check_interval: Option<Duration>,
}

impl Config {
    /// Settings for one server, with defaults for everything else.
    #[must_use]
    pub fn new(server: Address) -> Self {
        Self::from_servers([server])
    }

    /// Settings for several servers or addresses, with defaults for everything else.
    #[must_use]
    pub fn from_servers<S: Into<Server>>(servers: impl IntoIterator<Item = S>) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
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
            check_interval: None,
        }
    }

    /// Checks the settings without connecting to a server.
    ///
    /// # Errors
    /// The first [`ConfigError`] found, except [`TooFewTokens`](ConfigError::TooFewTokens),
    /// [`TooManyClients`](ConfigError::TooManyClients) and [`UnresolvedHost`](ConfigError::UnresolvedHost), which depend on
    /// the client.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_servers(&self.servers)?;
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

/// Checks the servers of a configuration, or a list that replaces them.
///
/// # Errors
/// [`ConfigError::NoServer`], [`ConfigError::TooManyServers`], [`ConfigError::Address`], [`ConfigError::WeightZero`].
pub(crate) fn check_servers(servers: &[Server]) -> Result<(), ConfigError> {
    if servers.is_empty() {
        return Err(ConfigError::NoServer);
    }
    let (count, limit) = (servers.len(), MAX_SERVERS);
    if count > limit {
        return Err(ConfigError::TooManyServers { count, limit });
    }
    for (index, server) in servers.iter().enumerate() {
        if let Err(error) = server.address.check() {
            return Err(ConfigError::Address { index, error });
        }
        if server.weight == 0 {
            return Err(ConfigError::WeightZero { index });
        }
    }
    Ok(())
}

/// The most servers of a client.
const MAX_SERVERS: usize = 1024;

/// Whether several requests may share a connection (`FCGI_MPXS_CONNS`, FastCGI 1.0, 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Multiplex {
    /// A connection serves one request at a time.
    Off,
    /// Requests share connections without asking the application. Choose it only for an application known to multiplex.
    On {
        /// The most requests in flight on a connection. Not zero. [`Multiplex::MAX_SHARED`] where nothing else is known.
        max: u32,
    },
    /// A connection serves one request at a time until the server reports that it multiplexes.
    ///
    /// The server is asked once, with `FCGI_GET_VALUES` on a connection that is idle or serves a request, when requests
    /// are queued and no connection can be opened for them. If it multiplexes, at most [`MAX_SHARED`](Self::MAX_SHARED)
    /// requests share a connection. `FCGI_MAX_CONNS` and `FCGI_MAX_REQS` are taken as totals over all connections to the server.
    #[default]
    Auto,
}

impl Multiplex {
    /// The most requests on a shared connection to a server that says it multiplexes, whatever limit it reports: 1,024.
    pub const MAX_SHARED: u32 = 1024;

    pub(crate) fn is_auto(self) -> bool {
        self == Self::Auto
    }
}

/// How the client chooses request IDs on a connection that serves one request at a time.
///
/// FastCGI 1.0, 3.3, lets the client choose the ID, and the application answers with the ID of the request. With
/// different IDs, a late record for one request cannot be taken for output of the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestIds {
    /// Consecutive requests have different IDs.
    ///
    /// Some applications know only ID 1: they answer every request with it, or leave requests with other IDs
    /// unanswered. After one such answer, or three unanswered requests in a row, the server gets one request per
    /// connection. The request that was answered with the wrong ID fails with
    /// [`ProtocolError::OnlyIdOne`](crate::ProtocolError::OnlyIdOne) if it may not be sent again. Until the application
    /// has answered another ID once, the first request that may not be sent again gets a new connection.
    #[default]
    Distinct,
    /// Every request has ID 1. For applications that know no other ID and are trusted to send nothing after the end of
    /// a request. Shared connections are not affected.
    AlwaysOne,
}

/// The pauses before a server is tried again, see [`Config::backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure. Not zero. Default: 50 ms.
    pub initial: Duration,
    /// The longest pause after repeated failures. At least `initial`; more than an hour counts as an hour. Default:
    /// 2 s.
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
    /// The pause after this number of failures in a row.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let doubled = 1_u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let pause = self.initial.saturating_mul(doubled.max(1));
        pause.min(self.max).min(HOUR)
    }
}

/// How much output is buffered for paused requests on shared connections, and what happens when the buffer is full.
///
/// A request that is alone on its connection is paused by not reading the socket. Only the rest of the last read is
/// buffered for it. This rest, at most the size of the read buffer for each connection, may also come on top of each
/// limit here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PauseBuffer {
    /// The most bytes buffered for one request. Default: 64 KiB.
    pub per_request: usize,
    /// The most bytes buffered for all requests on one connection. Default: 1 MiB.
    pub per_connection: usize,
    /// The most bytes buffered for all requests of the client. Default: 64 MiB.
    pub per_client: usize,
    /// What happens when one of the limits is reached. Default: [`OverflowPolicy::PauseConnection`].
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

/// What happens when the output of paused requests reaches a limit of [`PauseBuffer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The connection is not read until the buffer has space again. The other requests on the connection wait too.
    #[default]
    PauseConnection,
    /// The paused request fails with [`RequestError::PauseBufferFull`](crate::RequestError::PauseBufferFull). The other
    /// requests on the connection continue.
    FailRequest,
}

/// What happens to a request body whose length is neither known nor declared as a parameter.
///
/// php-fpm takes a body without `CONTENT_LENGTH` for an empty one. [`Refuse`](Self::Refuse) and
/// [`Buffer`](Self::Buffer) are safe for every application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownLength {
    /// `submit` refuses the request with [`SubmitError::LengthRequired`](crate::SubmitError::LengthRequired). A proxy
    /// answers 411.
    #[default]
    Refuse,
    /// The body is buffered in memory, then sent with `CONTENT_LENGTH`. A body that exceeds the limit is refused with
    /// [`SubmitError::BodyTooLarge`](crate::SubmitError::BodyTooLarge), or, if it is pushed, with
    /// [`StdinError::BodyTooLarge`](crate::StdinError::BodyTooLarge).
    Buffer {
        /// The most bytes of one body.
        limit: usize,
    },
    /// The body is sent as it comes, without `CONTENT_LENGTH`. For applications that read to the end of `FCGI_STDIN`,
    /// such as Go's.
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
