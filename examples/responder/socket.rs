//! Sockets: TCP or Unix, listening and accepted.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use mio_fcgi::Address;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: ListenerSocket,
    address: Address,
}

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Listens at an address. A host name is resolved, port 0 becomes a free port, and the file of a Unix socket that
    /// no process listens at any more is replaced.
    ///
    /// # Errors
    /// The system's error; [`io::ErrorKind::Unsupported`] for a kind of address that the system does not have.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in address.resolve()? {
            match Self::bind_resolved(&address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Takes a Unix socket that listens already.
    ///
    /// # Errors
    /// The system's error; [`io::ErrorKind::InvalidInput`] for a socket without a name.
    #[cfg(unix)]
    pub fn from_unix(socket: std::os::unix::net::UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = Address::try_from(socket.local_addr()?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let socket = ListenerSocket::Unix(UnixListener::from_std(socket));
        Ok(Self { socket, address })
    }

    /// The address that the socket listens at.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn bind_resolved(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(wanted) => {
                let socket = TcpListener::bind(*wanted)?;
                let address = Address::Tcp(socket.local_addr()?);
                let socket = ListenerSocket::Tcp(socket);
                Ok(Self { socket, address })
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Self {
                socket: ListenerSocket::Unix(bind_path(path)?),
                address: address.clone(),
            }),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt;
                let name = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                Ok(Self {
                    socket: ListenerSocket::Unix(UnixListener::bind_addr(&name)?),
                    address: address.clone(),
                })
            }
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("this system cannot listen at {address}"),
            )),
        }
    }

    pub(super) fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            ListenerSocket::Tcp(socket) => {
                let (stream, _peer) = socket.accept()?;
                // Each response leaves in one write, so there is nothing to coalesce.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            ListenerSocket::Unix(socket) => Ok(Stream::Unix(socket.accept()?.0)),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            ListenerSocket::Tcp(socket) => registry.register(socket, token, Interest::READABLE),
            #[cfg(unix)]
            ListenerSocket::Unix(socket) => registry.register(socket, token, Interest::READABLE),
        }
    }
}

/// Binds a path. The file of an earlier process that no longer runs is replaced.
#[cfg(unix)]
fn bind_path(path: &std::path::Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
            let is_stale = std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !(is_socket && is_stale) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            #[cfg(unix)]
            Self::Unix(stream) => stream,
        }
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buf),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
