//! The listening socket: bound once per loop, and not touched while no client can be accepted.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// A connection may be waiting. Edges are not repeated, so this is kept until `accept` finds none.
    is_ready: bool,
    /// The system had no descriptor left. No event reports that it has one again, so `accept` is retried then.
    retry_at: Option<Instant>,
}

impl Listener {
    /// Checks that no other process listens at the address: with a shared port, binding would succeed all the same.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn check(address: SocketAddr) -> io::Result<()> {
        bound(address, false).map(drop)
    }

    /// # Errors
    /// The system's error.
    pub(crate) fn bind(address: SocketAddr, is_shared: bool) -> io::Result<Self> {
        let socket = bound(address, is_shared)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket.into());
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            is_ready: true,
            retry_at: None,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// # Errors
    /// The system's error.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
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

    /// The next connection: its socket, the client's address, and the local address.
    ///
    /// # Errors
    /// The system is out of descriptors or memory. The next attempt is due at [`retry_at`](Self::retry_at).
    pub(crate) fn accept(
        &mut self,
        now: Instant,
    ) -> io::Result<Option<(TcpStream, SocketAddr, SocketAddr)>> {
        if !self.may_accept(now) {
            return Ok(None);
        }
        loop {
            match self.socket.accept() {
                Ok((socket, peer)) => {
                    self.retry_at = None;
                    // Each response leaves in one write, so there is nothing to coalesce.
                    let _ = socket.set_nodelay(true);
                    let local = if self.address.ip().is_unspecified() {
                        socket.local_addr().unwrap_or(self.address)
                    } else {
                        self.address
                    };
                    return Ok(Some((socket, peer, local)));
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

fn bound(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    #[cfg(unix)]
    {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(is_shared)?;
    }
    #[cfg(not(unix))]
    let _ = is_shared;
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

const BACKLOG: i32 = 1024;
const PAUSE: Duration = Duration::from_millis(100);
