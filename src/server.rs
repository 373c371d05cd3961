//! The servers of a client, their IDs, and the errors of `get_values`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use thiserror::Error;

use crate::address::{Address, AddressError};

/// A server of a client: the address of an application, and its share of the requests.
///
/// An [`Address`] converts into a server with the defaults.
///
/// ```
/// use mio_fcgi::{Config, Server, ServerMode};
///
/// let big = Server::new("10.0.0.1:9000".parse()?).with_weight(3);
/// let small = Server::new("10.0.0.2:9000".parse()?);
/// let spare = Server::new("10.0.0.3:9000".parse()?).with_mode(ServerMode::Backup);
/// let config = Config::from_servers([big, small, spare]);
/// # Ok::<(), mio_fcgi::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Server {
    /// The address of the application.
    pub address: Address,
    /// The server's share of the requests, compared to the other servers. A server of weight 2 gets twice as many
    /// requests as one of weight 1. Not zero. Default: 1.
    pub weight: u16,
    /// Which requests the server gets. Default: [`ServerMode::Active`].
    pub mode: ServerMode,
}

impl Server {
    /// A server with the default weight and mode.
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self {
            address,
            weight: 1,
            mode: ServerMode::Active,
        }
    }
}

/// Parses an address, and uses the default weight and mode.
impl FromStr for Server {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        text.parse().map(Self::new)
    }
}

impl From<Address> for Server {
    fn from(address: Address) -> Self {
        Self::new(address)
    }
}

/// Which requests a server gets. A request that [names its server](crate::Request::server) goes to that server, whatever
/// the mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerMode {
    /// Its share of the requests.
    #[default]
    Active,
    /// Requests only while no active server can be used: each of them refuses connections or is overloaded. That every
    /// connection to the active servers is busy is no reason: the requests wait then.
    Backup,
    /// No request but those that name it. Its idle connections are closed, requests in flight finish. For maintenance.
    Draining,
}

/// The ID of a server: a number that no other server of the client ever gets.
///
/// The servers of [`Config::servers`](crate::Config::servers) are numbered from 0 in their order. A server that
/// [`set_servers`](crate::Engine::set_servers) adds gets the next number, and one that it keeps keeps its number.
/// [`Engine::servers`](crate::Engine::servers) lists the servers with their IDs. `Display` writes the number without the
/// word *server* before it.
///
/// A host name that a [`Client`](crate::Client) has resolved counts as one server for each of its addresses.
///
/// ```
/// use mio_fcgi::{Config, Engine, ServerId};
///
/// let engine = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
/// let server = ServerId::new(0);
/// let address = engine.server_address(server).expect("the first server");
/// assert_eq!(format!("server {server}, {address}"), "server 0, 127.0.0.1:9000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(NonZeroU32);

impl ServerId {
    /// The ID with a number. The two largest numbers of the type are one ID.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        // One more, so that an `Option` of an ID is no larger than the ID.
        Self(NonZeroU32::MIN.saturating_add(number))
    }

    /// The number of the ID.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get() - 1
    }
}

impl Default for ServerId {
    fn default() -> Self {
        Self::new(0)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerId({})", self.number())
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// Why [`Engine::get_values`](crate::Engine::get_values) did not ask a server. No byte was sent, and no `End` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GetValuesError {
    /// The client has no server with this ID: it never had, or `set_servers` has removed it.
    #[error("the client has no server {server}: it was removed, or never existed")]
    NoSuchServer {
        /// The server that was to be asked.
        server: ServerId,
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
