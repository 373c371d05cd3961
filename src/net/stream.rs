//! A TCP or Unix stream socket of mio.

use std::io::{self, IoSlice, Read, Write};

use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token, event};

use crate::address::Address;

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Begins to connect. For a Unix socket, `WouldBlock` means that the listener's backlog is full.
    pub(super) fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(*address)?;
                // Small records must not wait for an acknowledgement. An error here is no reason to fail.
                let _ = stream.set_nodelay(true);
                Ok(Self::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Address::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                UnixStream::connect_addr(&address).map(Self::Unix)
            }
            other => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{other} cannot be connected to on this system"),
            )),
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
        match self {
            Self::Tcp(_) => is_edge_triggered && has_epoll,
            #[cfg(unix)]
            Self::Unix(_) => is_edge_triggered && (has_epoll || has_kqueue),
        }
    }

    /// Whether the connect has succeeded. Fails when the connect has failed. mio documents these steps: check for a
    /// pending error first, then whether there is a peer.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        let peer = match self {
            Self::Tcp(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                stream.peer_addr().map(drop)
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                stream.peer_addr().map(drop)
            }
        };
        match peer {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            // mio documents this error too. It has no stable `ErrorKind`.
            Err(error) if cfg!(unix) && error.raw_os_error() == Some(EINPROGRESS) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

const EINPROGRESS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    115
} else {
    36
};

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl event::Source for Stream {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(to, token, interests),
            #[cfg(unix)]
            Self::Unix(stream) => stream.register(to, token, interests),
        }
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(to, token, interests),
            #[cfg(unix)]
            Self::Unix(stream) => stream.reregister(to, token, interests),
        }
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(from),
            #[cfg(unix)]
            Self::Unix(stream) => stream.deregister(from),
        }
    }
}
