//! A TCP or Unix socket of tokio.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use mio_fcgi::Address;
use tokio::io::Interest;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// A socket that is connected.
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A call on a socket of either kind.
macro_rules! call {
    ($socket:expr, $it:ident => $call:expr) => {
        match $socket {
            Self::Tcp($it) => $call,
            #[cfg(unix)]
            Self::Unix($it) => $call,
        }
    };
}

impl Socket {
    /// # Errors
    /// The system's error; [`ErrorKind::Unsupported`] for an address that no socket of tokio connects to.
    pub(crate) async fn connect(address: Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?; // small records must not wait for an acknowledgement
                Ok(Self::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => UnixStream::connect(format!("\0{name}"))
                .await
                .map(Self::Unix),
            _ => Err(ErrorKind::Unsupported.into()),
        }
    }

    pub(crate) fn try_read(&self, memory: &mut [u8]) -> io::Result<usize> {
        call!(self, it => it.try_read(memory))
    }

    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        call!(self, it => it.try_write_vectored(slices))
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        call!(self, it => it.poll_write_ready(context))
    }

    /// Ready when there is something to read. True when the application has closed the connection.
    pub(crate) fn poll_read_closed(&self, context: &mut Context<'_>) -> Poll<bool> {
        // An error is the end of the runtime. The first call leaves the task's waker, the second one has the details.
        let _ = ready!(call!(self, it => it.poll_read_ready(context)));
        let ready = call!(self, it => pin!(it.ready(Interest::READABLE)).poll(context));
        ready.map(|ready| ready.is_ok_and(|it| it.is_read_closed()))
    }
}
