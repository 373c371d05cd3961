//! The limits on connections and on the queue.

use std::time::Duration;

use crate::config_error::ConfigError;

/// Limits on connections and on the queue. They can be changed while the client runs, with
/// [`Engine::set_limits`](crate::Engine::set_limits).
///
/// When a limit on connections is lowered, idle connections above it are closed at once, and busy ones when they become
/// idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most connections to all servers together, including those that are idle or being opened, and those to
    /// servers that were removed. Not zero. Default: `usize::MAX`, no limit.
    ///
    /// An idle connection to any server is used before another one is closed for a new one, so the shares of the servers
    /// follow the connections that are open. A request that no idle connection can serve replaces the one that has been
    /// idle for longest.
    pub max_total_connections: usize,
    /// The most connections to one server, including those that are idle or being opened. Not zero. Default: 8.
    ///
    /// If a server that multiplexes answers [`Multiplex::Auto`](crate::Multiplex::Auto) with a lower `FCGI_MAX_CONNS`, the lower number holds.
    /// A connection costs a socket, a slab entry (below 512 bytes) and, while it has unsent bytes, an outbox of at most
    /// about 128 KiB plus the parameters of its requests until they are sent. A shared connection that has become idle
    /// keeps its lists for one more second: up to 68 bytes for each request of its largest burst.
    pub max_connections_per_server: usize,
    /// Whether the last connection to each server is kept for [`get_values`](crate::Engine::get_values), so that a health
    /// check is not held up by requests: these use at most `max_connections_per_server - 1` connections to a server and
    /// `max_total_connections - 1` in all. Default: false.
    pub reserve_for_get_values: bool,
    /// The most idle connections kept to one server. Default: 4; 0: a connection is closed when its requests have
    /// ended. Each idle connection to php-fpm binds a worker.
    pub max_idle_per_server: usize,
    /// The number of idle connections to one server that are opened in advance, from the first turn on, and not closed
    /// for `idle_timeout`. At most 16 are being opened at a time. Must not exceed `max_idle_per_server` or
    /// `max_connections_per_server`. Default: 0.
    pub min_idle_per_server: usize,
    /// How long a connection may be idle. After this time it takes no request and is closed. Default: 10 s;
    /// [`Duration::MAX`]: no limit.
    pub idle_timeout: Duration,
    /// The age at which a connection takes no further request. Default: `None`, no limit.
    pub max_lifetime: Option<Duration>,
    /// The number of requests after which a connection is closed. Not zero. Default: `None`, no limit.
    pub max_requests_per_connection: Option<u32>,
    /// The most requests that wait for a connection while none is being opened for them, over all servers. Default:
    /// 1,024.
    ///
    /// Requests that wait to be sent again count as well, and so do requests whose body is being
    /// [buffered](crate::UnknownLength::Buffer). With 0, a request is refused unless a connection has a free slot for it, or
    /// is being or can be opened for it. So is every body of unknown length that would be buffered from `write_stdin`.
    /// A queued request costs its parameters, its body, and less than 1 KiB. Lowering the limit ends no queued request, and
    /// neither does a change of the servers that leaves fewer connections to wait for.
    pub max_queued_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_total_connections: usize::MAX,
            max_connections_per_server: 8,
            reserve_for_get_values: false,
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
    /// Checks each limit, and the limits against each other.
    ///
    /// # Errors
    /// [`ConfigError::MaxConnectionsZero`], [`ConfigError::ReservedOnly`], [`ConfigError::MaxRequestsZero`],
    /// [`ConfigError::MinIdle`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let most = self
            .max_total_connections
            .min(self.max_connections_per_server);
        if most == 0 {
            return Err(ConfigError::MaxConnectionsZero);
        }
        if self.reserve_for_get_values && most == 1 {
            return Err(ConfigError::ReservedOnly);
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
