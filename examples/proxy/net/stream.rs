//! A client's stream: TCP, or a Unix socket.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

/// A client's stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Ends the proxy's side of the stream.
    ///
    /// # Errors
    /// The system's error: the client is gone.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Makes closing the connection reset it. On a Unix socket this has no effect.
    pub(crate) fn reset_when_closed(&self) {
        match self {
            Self::Tcp(stream) => {
                let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            #[cfg(unix)]
            Self::Unix(_) => {}
        }
    }
}

impl Stream {
    /// Reads once, at most as much as the buffer has room for, and appends it. The room must not be empty.
    ///
    /// # Errors
    /// The system's error.
    #[cfg(unix)]
    pub(crate) fn read_to(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        use rustix::buffer::spare_capacity;
        // Without zeros in the room first, which would cost as much as copying.
        match self {
            Self::Tcp(it) => it.try_io(|| Ok(rustix::io::read(&*it, spare_capacity(buffer))?)),
            Self::Unix(it) => it.try_io(|| Ok(rustix::io::read(&*it, spare_capacity(buffer))?)),
        }
    }

    #[cfg(not(unix))]
    pub(crate) fn read_to(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = buffer.len();
        buffer.resize(buffer.capacity(), 0);
        let read = self.read(&mut buffer[start..]);
        buffer.truncate(start + *read.as_ref().unwrap_or(&0));
        read
    }
}

/// Files, without a copy of their bytes.
#[cfg(target_os = "linux")]
impl Stream {
    /// Sends at most `len` bytes of a file, from its position on, which moves.
    ///
    /// # Errors
    /// The system's error. Some file systems do not support this: `InvalidInput`.
    pub(crate) fn send_file(&self, file: &File, len: usize) -> io::Result<usize> {
        match self {
            Self::Tcp(it) => it.try_io(|| Ok(rustix::fs::sendfile(it, file, None, len)?)),
            Self::Unix(it) => it.try_io(|| Ok(rustix::fs::sendfile(it, file, None, len)?)),
        }
    }

    fn send_more(&self, bytes: &[u8]) -> io::Result<usize> {
        use rustix::net::{SendFlags, send};
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        match self {
            Self::Tcp(it) => it.try_io(|| Ok(send(it, bytes, flags)?)),
            Self::Unix(it) => it.try_io(|| Ok(send(it, bytes, flags)?)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Stream {
    pub(crate) fn send_file(&self, _: &File, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A stream to which more is written at once.
#[derive(Debug)]
pub(crate) struct More<'s>(pub(crate) &'s mut Stream);

impl Write for More<'_> {
    #[cfg(target_os = "linux")]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_more(bytes)
    }

    #[cfg(not(target_os = "linux"))]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(space),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(space),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    #[inline]
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(parts),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Stream {
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

/// For tests only.
#[cfg(all(test, unix))]
impl std::os::fd::AsFd for Stream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
