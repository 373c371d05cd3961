//! Where a client is.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// The address of a client, or of a proxy in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAddress {
    /// `port` is `None` if only the address is known, from a field of the request.
    Ip { ip: IpAddr, port: Option<u16> },
    /// The other end of a Unix socket, which has no address.
    Unix,
}

impl ClientAddress {
    /// The address without the port. An IPv4-mapped one is converted to IPv4.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip { ip, .. } => Some(ip.to_canonical()),
            Self::Unix => None,
        }
    }

    /// Appends the address to a line of the log. `write!` would take 800 instructions more for an IPv4 address.
    pub(crate) fn push_to(self, out: &mut Vec<u8>) {
        match self.ip() {
            Some(IpAddr::V4(ip)) => {
                for (at, byte) in u32::from(ip).to_be_bytes().into_iter().enumerate() {
                    if at > 0 {
                        out.push(b'.');
                    }
                    out.extend_from_slice(itoa::Buffer::new().format(byte).as_bytes());
                }
            }
            _ => {
                // Writing to memory does not fail.
                let _ = write!(out, "{self}");
            }
        }
    }

    /// Whether the client is on this machine.
    pub(crate) fn is_local(self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip {
            ip: address.ip(),
            port: Some(address.port()),
        }
    }
}

/// As `REMOTE_ADDR` and in logs: without the port; `unix:`, as nginx does, for a Unix socket.
impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip() {
            Some(ip) => write!(f, "{ip}"),
            None => f.write_str("unix:"),
        }
    }
}

/// The two ends of a client's connection, as the system or the PROXY protocol reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: ClientAddress,
    /// False: a proxy in front does not know on which machine its client is. `client` may be that proxy.
    pub(crate) is_known: bool,
    /// The address that the client has connected to. `None`: a Unix socket.
    pub(crate) server: Option<SocketAddr>,
    /// The client uses TLS, which the proxy in front has ended.
    pub(crate) is_secure: bool,
}
