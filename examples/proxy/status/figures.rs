//! What one loop publishes: its counters, and how much there is of everything now.

use std::time::Instant;

use mio_fcgi::Stats;

use super::counters::Counters;
use super::site::applications::Applications;
use super::site::budget::Used;

/// The figures of one loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) stats: Stats,
    pub(crate) clients: usize,
    /// Number of HTTP requests answered.
    pub(crate) answered: u64,
    pub(crate) counters: Counters,
    pub(crate) servers: Vec<ServerNow>,
    /// What is kept for clients.
    pub(crate) kept: Used,
}

/// An application as one loop sees it.
#[derive(Clone, Debug)]
pub(crate) struct ServerNow {
    pub(crate) name: String,
    pub(crate) connections: u64,
    pub(crate) idle: u64,
    pub(crate) requests: u64,
    /// No request is sent to it for now.
    pub(crate) is_set_aside: bool,
    /// Why it cannot be connected to.
    pub(crate) problem: Option<String>,
}

/// The servers of all applications.
pub(crate) fn servers(fcgi: &Applications, now: Instant) -> Vec<ServerNow> {
    let servers = fcgi.clients().flat_map(|(_, client)| client.servers(now));
    let servers = servers.take(MAX_SERVERS);
    let servers = servers.map(|it| ServerNow {
        name: it.address.to_string(),
        connections: it.connections as u64,
        idle: it.idle as u64,
        requests: it.requests as u64,
        is_set_aside: it.set_aside_for.is_some(),
        problem: it.connect_error.map(|error| error.to_string()),
    });
    servers.collect()
}

/// The most applications that are listed.
const MAX_SERVERS: usize = 64;
