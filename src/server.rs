//! The name of a server.

use std::fmt;

/// Names one of the servers of a client: an index into [`Config::servers`](crate::Config::servers), counted from 0.
///
/// A client holds at most 1,024 servers. A host name that a [`Client`](crate::Client) has resolved counts as one server
/// for each of its addresses: [`Client::config`](crate::Client::config) has the resolved list. A text shows the number
/// alone, without the word *server* before it.
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
