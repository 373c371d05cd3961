//! A TCP or Unix stream socket of mio.

use std::io::{self, IoSlice, Read as _, Write as _};

use mio::event::Source as _;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use crate::address::Address;

/// The socket of one connection of a [`Client`](crate::Client).
///
/// A client makes one with [`connect`](Self::connect) for each connection. A program that passes a function to
/// [`Client::set_connector`](crate::Client::set_connector) makes them itself, from TCP or Unix stream sockets:
///
/// - `From` takes a socket of mio, which must be non-blocking and in no poll. mio's own are non-blocking, and one made
///   with `from_std` is what the standard library's socket was.
/// - `TryFrom` takes a socket of the standard library, and makes it non-blocking. It fails with the system's error.
///
/// ```
/// # #[cfg(unix)] {
/// use std::os::fd::OwnedFd;
/// use std::os::unix::net::UnixStream;
/// use mio_fcgi::Stream;
///
/// let (ours, _theirs) = UnixStream::pair()?;
/// let descriptor = OwnedFd::from(ours);
/// let stream = Stream::try_from(UnixStream::from(descriptor))?;
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The kinds of sockets inside are not public, so that there can be more of them.
#[derive(Debug)]
pub struct Stream {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Begins to connect to an address, and does not wait for the result. A client without a
    /// [connector](crate::Client::set_connector) calls this function.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use mio_fcgi::Stream;
    ///
    /// let address = "unix:/no/such.sock".parse()?;
    /// let error = Stream::connect(&address).expect_err("nobody listens");
    /// # #[cfg(unix)]
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), mio_fcgi::AddressError>(())
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the backlog of a Unix listener is full. [`io::ErrorKind::Unsupported`] for a
    /// host name, which has to be [resolved](Address::resolve) first, and for a kind of socket that this system does not
    /// have. Otherwise the error of the system.
    pub fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpStream::connect(*address).map(Self::from),
            #[cfg(unix)]
            Address::Unix(path) => UnixStream::connect(path).map(Self::from),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Address::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                UnixStream::connect_addr(&address).map(Self::from)
            }
            other => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{other} cannot be connected to on this system"),
            )),
        }
    }

    /// Makes small records leave at once: without `TCP_NODELAY` they wait for an acknowledgement. An error here is no
    /// reason to fail.
    pub(super) fn set_nodelay(&self) {
        match &self.kind {
            Kind::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
            }
            #[cfg(unix)]
            Kind::Unix(_) => {}
        }
    }

    /// Whether a short read means that the socket is empty and that an event reports later bytes.
    ///
    /// This is so with edge-triggered selectors. It is not so when mio uses `poll`, which reports again only after a
    /// read would have blocked. An urgent byte of TCP cuts a read short although more bytes follow, and only Linux
    /// reports it.
    pub(super) fn is_drained_by_short_reads(&self) -> bool {
        let has_epoll = cfg!(any(target_os = "linux", target_os = "android"));
        let has_kqueue = cfg!(any(
            target_vendor = "apple",
            target_os = "dragonfly",
            target_os = "freebsd",
            target_os = "netbsd",
            target_os = "openbsd"
        ));
        let is_edge_triggered = !cfg!(mio_unsupported_force_poll_poll);
        match &self.kind {
            Kind::Tcp(_) => is_edge_triggered && has_epoll,
            #[cfg(unix)]
            Kind::Unix(_) => is_edge_triggered && (has_epoll || has_kqueue),
        }
    }

    /// Whether the connect has succeeded. Fails when the connect has failed. mio documents these steps: check for a
    /// pending error first, then whether there is a peer.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        let peer = match &self.kind {
            Kind::Tcp(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                stream.peer_addr().map(drop)
            }
            #[cfg(unix)]
            Kind::Unix(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                stream.peer_addr().map(drop)
            }
        };
        has_peer(peer)
    }

    #[inline]
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Tcp(stream) => stream.read(bytes),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.read(bytes),
        }
    }

    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.write(bytes),
        }
    }

    #[inline]
    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.write_vectored(slices),
        }
    }

    pub(super) fn register(
        &mut self,
        to: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        match &mut self.kind {
            Kind::Tcp(stream) => stream.register(to, token, interests),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.register(to, token, interests),
        }
    }

    pub(super) fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match &mut self.kind {
            Kind::Tcp(stream) => stream.deregister(from),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.deregister(from),
        }
    }
}

/// Whether a socket without a pending error is connected, given what was said when it was asked for its peer.
fn has_peer(peer: io::Result<()>) -> io::Result<bool> {
    match peer {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        // mio documents this error too. It has no stable `ErrorKind`.
        Err(error) if cfg!(unix) && error.raw_os_error() == Some(EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

const EINPROGRESS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    115
} else {
    36
};

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self {
            kind: Kind::Tcp(stream),
        }
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self {
            kind: Kind::Unix(stream),
        }
    }
}

/// Makes the socket non-blocking.
impl TryFrom<std::net::TcpStream> for Stream {
    type Error = io::Error;

    fn try_from(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(TcpStream::from_std(stream).into())
    }
}

/// Makes the socket non-blocking.
#[cfg(unix)]
impl TryFrom<std::os::unix::net::UnixStream> for Stream {
    type Error = io::Error;

    fn try_from(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(UnixStream::from_std(stream).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_without_an_error_is_connected_once_it_has_a_peer() {
        assert_eq!(has_peer(Ok(())).ok(), Some(true));
        let not_yet = io::Error::from(io::ErrorKind::NotConnected);
        assert_eq!(has_peer(Err(not_yet)).ok(), Some(false));
        let in_progress = has_peer(Err(io::Error::from_raw_os_error(EINPROGRESS)));
        assert_eq!(in_progress.ok(), cfg!(unix).then_some(false));
        // Any other error is a failed connect.
        let failed = has_peer(Err(io::ErrorKind::InvalidInput.into()));
        assert_eq!(
            failed.map_err(|error| error.kind()),
            Err(io::ErrorKind::InvalidInput)
        );
    }
}
