//! What can be wrong with a configuration.

use thiserror::Error;

use crate::address::AddressError;
#[cfg(doc)]
use crate::config::{Config, Multiplex};
use crate::server::ServerId;

/// What is wrong with a [`Config`]: the embedder's to mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No server was given.
    #[error("no server: give at least one address")]
    NoServer,
    /// More servers than a client can hold.
    #[error("{count} servers, but a client holds at most {limit}")]
    TooManyServers {
        /// As configured.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// An address that no system call would take, such as a path too long for a Unix socket. Only one that was put
    /// together by hand: parsing refuses it.
    #[error("server {server}: {error}")]
    Address {
        /// The server with that address.
        server: ServerId,
        /// What is wrong with it.
        error: AddressError,
    },
    /// A host name where a numeric address is needed.
    #[error("'{name}' is a name: resolve it with Address::resolve before the loop starts")]
    UnresolvedHost {
        /// The name.
        name: String,
    },
    /// `max_connections_per_server` is zero.
    #[error("max_connections_per_server is 0: no request could ever be sent")]
    MaxConnectionsZero,
    /// `max_requests_per_connection` is zero.
    #[error("max_requests_per_connection is 0: use None for no limit")]
    MaxRequestsZero,
    /// `min_idle_per_server` is above `max_idle_per_server` or `max_connections_per_server`.
    #[error(
        "min_idle_per_server is {min_idle}, above max_idle_per_server or max_connections_per_server: lower it, or raise those"
    )]
    MinIdle {
        /// As configured.
        min_idle: usize,
    },
    /// [`Multiplex::On`] with no request.
    #[error("multiplexing with at most 0 requests: use Multiplex::Off")]
    MultiplexZero,
    /// `stdin_high_water` is zero.
    #[error("stdin_high_water is 0: no pushed body could ever be taken")]
    StdinHighWaterZero,
    /// The back-off's first pause is zero or above its longest.
    #[error("the back-off's first pause must be above zero and not above its longest")]
    Backoff,
    /// The token range cannot name every connection that the limits allow.
    #[error(
        "the token range holds {tokens} tokens for {connections} connections (max_connections_per_server for each address of each server): \
         widen it, or lower max_connections_per_server"
    )]
    TooFewTokens {
        /// Length of the range.
        tokens: usize,
        /// `max_connections_per_server` times the number of servers, a host name counted once for each of its addresses.
        connections: usize,
    },
}
