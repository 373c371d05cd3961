//! What can be wrong with a configuration.

use thiserror::Error;

use crate::address::AddressError;
#[cfg(doc)]
use crate::config::{Config, Multiplex};

/// Why a [`Config`] cannot be used. The embedder has to change it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// [`Config::servers`] is empty.
    #[error("no server: give at least one address")]
    NoServer,
    /// [`Config::servers`] has more entries than a client can hold.
    #[error("{count} servers, but a client holds at most {limit}")]
    TooManyServers {
        /// The number of servers in the configuration.
        count: usize,
        /// The most servers that a client can hold.
        limit: usize,
    },
    /// A server has an address that the system cannot use, such as a path that is too long for a Unix socket. It occurs
    /// only for an address that was not parsed.
    #[error("server {index}: {error}")]
    Address {
        /// The index of the server in the list.
        index: usize,
        /// What is wrong with the address.
        error: AddressError,
    },
    /// A server has a [`weight`](crate::Server::weight) of zero.
    #[error("server {index} has weight 0: use a weight of at least 1, or the mode Draining")]
    WeightZero {
        /// The index of the server in the list.
        index: usize,
    },
    /// A server is a host name, and an [`Engine`](crate::Engine) needs a numeric address.
    #[error("'{name}' is a name: resolve it with Address::resolve before the loop starts")]
    UnresolvedHost {
        /// The host name.
        name: String,
    },
    /// [`Limits::max_connections_per_server`](crate::Limits::max_connections_per_server) or
    /// [`Limits::max_total_connections`](crate::Limits::max_total_connections) is zero.
    #[error(
        "max_connections_per_server or max_total_connections is 0: no request could ever be sent"
    )]
    MaxConnectionsZero,
    /// [`Limits::reserve_for_get_values`](crate::Limits::reserve_for_get_values) is set, and the limits allow only one
    /// connection.
    #[error(
        "reserve_for_get_values leaves no connection for requests: allow at least 2 connections, or do not reserve one"
    )]
    ReservedOnly,
    /// [`Limits::max_requests_per_connection`](crate::Limits::max_requests_per_connection) is zero.
    #[error("max_requests_per_connection is 0: use None for no limit")]
    MaxRequestsZero,
    /// [`Limits::min_idle_per_server`](crate::Limits::min_idle_per_server) is above `max_idle_per_server` or
    /// `max_connections_per_server`.
    #[error(
        "min_idle_per_server is {min_idle}, above max_idle_per_server or max_connections_per_server: lower it, or raise those"
    )]
    MinIdle {
        /// The value of `min_idle_per_server`.
        min_idle: usize,
    },
    /// [`Multiplex::On`] has a `max` of zero.
    #[error("multiplexing with at most 0 requests: use Multiplex::Off")]
    MultiplexZero,
    /// [`Config::stdin_high_water`] is zero.
    #[error("stdin_high_water is 0: no pushed body could ever be taken")]
    StdinHighWaterZero,
    /// In [`Config::backoff`], `initial` is zero or above `max`.
    #[error("the back-off's first pause must be above zero and not above its longest")]
    Backoff,
    /// The token range is too short: [`Client`](crate::Client) needs one token for each connection that the limits
    /// allow.
    #[error(
        "the token range holds {tokens} tokens for {connections} connections (max_connections_per_server for each address of each server): \
         widen it, or lower max_connections_per_server or max_total_connections"
    )]
    TooFewTokens {
        /// The number of tokens in the range.
        tokens: usize,
        /// `max_connections_per_server` times the number of servers, at most `max_total_connections`. A host name counts once
        /// for each of its addresses.
        connections: usize,
    },
    /// The token range of [`Clients`](crate::Clients) has no tokens left for another client.
    #[error(
        "the token range holds tokens for {limit} clients, which are present: widen it, or remove one first"
    )]
    TooManyClients {
        /// The most clients that the range has tokens for.
        limit: usize,
    },
}
