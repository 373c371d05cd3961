//! The ID of a server, and the errors of `get_values`.

use std::fmt;

use thiserror::Error;

/// A server of a client, as its index in [`Config::servers`](crate::Config::servers), counted from 0.
///
/// A client holds at most 1,024 servers. A host name that a [`Client`](crate::Client) has resolved counts as one server
/// for each of its addresses: [`Client::config`](crate::Client::config) has the resolved list. `Display` writes the
/// number without the word *server* before it.
///
/// ```
/// use mio_fcgi::{Config, ServerId};
///
/// let config = Config::new("127.0.0.1:9000".parse()?);
/// let server = ServerId(0);
/// let address = &config.servers[server.index()];
/// assert_eq!(format!("server {server}, {address}"), "server 0, 127.0.0.1:9000");
/// # Ok::<(), mio_fcgi::AddressError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u16);

impl ServerId {
    /// The index of the server in [`Config::servers`](crate::Config::servers).
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why [`Engine::get_values`](crate::Engine::get_values) did not ask a server. No byte was sent, and no `End` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GetValuesError {
    /// The configuration has no server with this ID.
    #[error("no server {server}: the client has {count}, counted from 0")]
    NoSuchServer {
        /// The server that was to be asked.
        server: ServerId,
        /// The number of servers in [`Config::servers`](crate::Config::servers).
        count: usize,
    },
    /// An earlier `get_values` for this server has not ended, and only one at a time is allowed. Wait for its `End`.
    #[error("server {server} is being asked already: wait for the End event of that get_values")]
    InProgress {
        /// The server that is being asked.
        server: ServerId,
    },
    /// The queue is full, and no connection can be opened for it. Try later.
    #[error(
        "get_values would have to wait, and the queue is full: {limit} requests wait; try later, or raise max_queued_requests"
    )]
    QueueFull {
        /// [`Limits::max_queued_requests`](crate::Limits::max_queued_requests).
        limit: usize,
    },
    /// The client is shutting down, since `shutdown` was called.
    #[error("the client is shutting down and asks no server")]
    ShuttingDown,
}
