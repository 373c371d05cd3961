//! The list of the servers, with what each of them does.

use std::fmt;
use std::time::{Duration, Instant};

use super::Engine;
use crate::address::Address;
use crate::error::ConnectError;
use crate::server::{ServerId, ServerMode};

impl Engine {
    /// The servers, one item each, in no particular order, with their connections, requests and counts. A removed server
    /// is included while it has connections. `Display` of an item is one line for a log or a status page.
    ///
    /// ```
    /// use std::time::Instant;
    /// use mio_fcgi::{Config, Engine, Request, Tag};
    ///
    /// let mut engine = Engine::new(Config::new("127.0.0.1:9000".parse()?))?;
    /// let now = Instant::now();
    /// engine.submit(now, Request::responder().param("SCRIPT_NAME", "/x.php"), Tag(7))?;
    /// let server = engine.servers(now).next().expect("one server");
    /// assert_eq!(
    ///     server.to_string(),
    ///     "server 0, 127.0.0.1:9000: 0 requests on 1 connection, 1 being opened, 0 idle; \
    ///      0 requests completed, 0 not"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn servers(&self, now: Instant) -> impl Iterator<Item = ServerInfo<'_>> + '_ {
        self.pool.servers().info(self.timeline.peek(now))
    }
}

/// A server, as [`Engine::servers`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo<'a> {
    /// The ID of the server.
    pub server: ServerId,
    /// Its address.
    pub address: &'a Address,
    /// Its weight.
    pub weight: u16,
    /// Its mode.
    pub mode: ServerMode,
    /// Whether [`set_servers`](Engine::set_servers) has removed it, and its last requests have not ended.
    pub is_removed: bool,
    /// Its connections, in any state.
    pub connections: usize,
    /// Its connections that are being opened.
    pub connecting: usize,
    /// Its idle connections that can take a request now.
    pub idle: usize,
    /// The requests on its connections, including those that are being aborted.
    pub requests: usize,
    /// How many times a request was put on one of its connections. A request that is sent again counts again.
    pub assigned: u64,
    /// How many requests its application has completed.
    pub completed: u64,
    /// Why the last connect failed. `None`: the last connect succeeded, or there was none.
    pub connect_error: Option<ConnectError>,
    /// How long no request is sent to the server, because it refused connections or was overloaded. Zero: until it
    /// answers, because it did not answer a check. `None`: it is not set aside.
    pub set_aside_for: Option<Duration>,
}

impl ServerInfo<'_> {
    /// The requests that left the server without being completed: they failed, were aborted, or were sent again.
    #[must_use]
    pub const fn not_completed(&self) -> u64 {
        let over = self.assigned.saturating_sub(self.requests as u64);
        over.saturating_sub(self.completed)
    }
}

/// One line. Weight, mode and failures are left out where there is nothing to say:
/// `server 2, 10.0.0.7:9000, weight 3, backup: 4 requests on 5 connections, 1 being opened, 0 idle; 912 requests completed,
/// 3 not; set aside for 1.5s; connection refused: nobody listens there`.
impl fmt::Display for ServerInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}, {}", self.server, self.address)?;
        if self.weight != 1 {
            write!(f, ", weight {}", self.weight)?;
        }
        match self.mode {
            _ if self.is_removed => f.write_str(", removed")?,
            ServerMode::Active => {}
            ServerMode::Backup => f.write_str(", backup")?,
            ServerMode::Draining => f.write_str(", draining")?,
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(
            f,
            ": {} request{} on {} connection{}, {} being opened, {} idle; {} request{} completed, {} not",
            self.requests,
            plural(self.requests),
            self.connections,
            plural(self.connections),
            self.connecting,
            self.idle,
            self.completed,
            if self.completed == 1 { "" } else { "s" },
            self.not_completed(),
        )?;
        match self.set_aside_for {
            Some(Duration::ZERO) => f.write_str("; set aside until it answers")?,
            Some(pause) => write!(f, "; set aside for {pause:.1?}")?,
            None => {}
        }
        match self.connect_error {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}
