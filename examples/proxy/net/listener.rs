//! A listening socket of a loop, which is not touched while no client can be accepted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
#[cfg(unix)]
use mio::net::UnixListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::client_address::{ClientAddress, Ends};
use super::stream::Stream;

#[derive(Debug)]
pub(crate) struct Listener {
    kind: Kind,
    /// Each connection begins with a header of the PROXY protocol.
    expects_proxy_header: bool,
    /// A connection may be waiting. Edges are not repeated, so this is kept until `accept` finds none.
    is_ready: bool,
    /// The system had no descriptor left. No event reports that it has one again, so `accept` is retried then.
    retry_at: Option<Instant>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(UnixListener),
}

/// How a TCP socket is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Other sockets of this process listen at the same address: the system divides the connections among them.
    pub(crate) is_shared: bool,
    /// Every IPv6 address, without every IPv4 address.
    pub(crate) only_ipv6: bool,
}

/// A new connection.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) ends: Ends,
    /// The connection begins with a header of the PROXY protocol.
    pub(crate) expects_proxy_header: bool,
}

impl Listener {
    /// Checks that no other process listens at the address: with a shared port, binding would succeed all the same.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn check(address: SocketAddr, binding: Binding) -> io::Result<()> {
        let alone = Binding {
            is_shared: false,
            ..binding
        };
        bound(address, alone).map(drop)
    }

    /// Listens at an address. With port 0, the system picks the port.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn bind(address: SocketAddr, binding: Binding) -> io::Result<Self> {
        let socket = bound(address, binding)?;
        socket.listen(BACKLOG)?;
        Self::new(socket)
    }

    /// Accepts from a socket that listens.
    ///
    /// # Errors
    /// The system's error; a socket that is neither TCP nor Unix.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let kind = match address.as_socket() {
            Some(address) => Kind::Tcp(TcpListener::from_std(socket.into()), address),
            #[cfg(unix)]
            None if address.is_unix() => Kind::Unix(UnixListener::from_std(socket.into())),
            None => return Err(io::Error::other("the socket is neither TCP nor Unix")),
        };
        Ok(Self {
            kind,
            expects_proxy_header: false,
            is_ready: true,
            retry_at: None,
        })
    }

    /// Sets whether each connection begins with a header of the PROXY protocol.
    pub(crate) fn expecting_proxy_header(mut self, expects: bool) -> Self {
        self.expects_proxy_header = expects;
        self
    }

    /// The address, if it has one. It has the actual port if port 0 was asked for.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp(_, address) => Some(*address),
            #[cfg(unix)]
            Kind::Unix(_) => None,
        }
    }

    /// # Errors
    /// The system's error.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.kind {
            Kind::Tcp(socket, _) => registry.register(socket, token, Interest::READABLE),
            #[cfg(unix)]
            Kind::Unix(socket) => registry.register(socket, token, Interest::READABLE),
        }
    }

    /// The poll reported a connection.
    pub(crate) fn note_ready(&mut self) {
        self.is_ready = true;
    }

    /// Whether a connection may be waiting.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether a connection may be waiting and can be accepted now.
    pub(crate) fn may_accept(&self, now: Instant) -> bool {
        self.is_ready && self.retry_at.is_none_or(|at| now >= at)
    }

    /// The next connection.
    ///
    /// # Errors
    /// The system is out of descriptors or memory. The next attempt is due at [`retry_at`](Self::retry_at).
    pub(crate) fn accept(&mut self, now: Instant) -> io::Result<Option<Accepted>> {
        if !self.may_accept(now) {
            return Ok(None);
        }
        loop {
            match self.kind.accept() {
                Ok((stream, ends)) => {
                    self.retry_at = None;
                    return Ok(Some(Accepted {
                        stream,
                        ends,
                        expects_proxy_header: self.expects_proxy_header,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_ready = false;
                    // Linux reports a lack of descriptors before it looks for a waiting connection.
                    self.retry_at = None;
                    return Ok(None);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.retry_at = Some(now + PAUSE);
                    return Err(error);
                }
            }
        }
    }

    /// When to try again without an event.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}

/// As in the option `--listen`.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tcp(_, address) => write!(f, "{address}"),
            #[cfg(unix)]
            Kind::Unix(socket) => {
                let address = socket.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                match path {
                    Some(path) => write!(f, "unix:{}", path.display()),
                    None => f.write_str("unix:"),
                }
            }
        }
    }
}

impl Kind {
    fn accept(&self) -> io::Result<(Stream, Ends)> {
        match self {
            Self::Tcp(socket, address) => {
                let (stream, peer) = socket.accept()?;
                // Each response leaves in one write, so there is nothing to coalesce.
                let _ = stream.set_nodelay(true);
                let server = if address.ip().is_unspecified() {
                    stream.local_addr().unwrap_or(*address)
                } else {
                    *address
                };
                let ends = Ends {
                    client: peer.into(),
                    is_known: true,
                    server: Some(server),
                    is_secure: false,
                };
                Ok((Stream::Tcp(stream), ends))
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                let ends = Ends {
                    client: ClientAddress::Unix,
                    is_known: true,
                    server: None,
                    is_secure: false,
                };
                Ok((Stream::Unix(stream), ends))
            }
        }
    }
}

fn bound(address: SocketAddr, binding: Binding) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(binding.is_shared)?;
    }
    if binding.only_ipv6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the error is one of the connection that was to be accepted, not of the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// The most connections that wait to be accepted, within the system's limit.
pub(crate) const BACKLOG: i32 = 1024;
const PAUSE: Duration = Duration::from_millis(100);
