//! Starts real applications and talks to them.
//!
//! Each application gets a temporary directory, a Unix socket in it or a loopback port, and a log. It is killed, with
//! every process it started, when its value is dropped, also by a panic; then the end of its log is printed too.

mod app;
pub(crate) mod client;
mod exchange;
mod php_fpm;
mod process;
mod tests;
mod tool;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use socket2::{Domain, Socket, Type};

pub(crate) use app::{App, Program, cgi_script, source, suites, temporary_directory};
pub(crate) use exchange::{Request, Response};
pub(crate) use php_fpm::{PhpFpm, READY};
pub(crate) use tool::Tool;

/// The kind of socket on which an application listens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Transport {
    Unix,
    Tcp,
}

/// Where an application listens. Displayed as `unix:/path` or `host:port`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listen {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Listen {
    /// Connects a blocking socket whose reads and writes fail after [`TIME_LIMIT`].
    pub(crate) fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(TIME_LIMIT))?;
                stream.set_write_timeout(Some(TIME_LIMIT))?;
                Ok(Box::new(stream))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, TIME_LIMIT)?;
                stream.set_read_timeout(Some(TIME_LIMIT))?;
                stream.set_write_timeout(Some(TIME_LIMIT))?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// A loopback port that the system gives to no other process while this value exists, whether or not an application
/// listens on it.
///
/// The port is held by a socket that is bound and does not listen. The application's socket can be bound to the same
/// port, since both allow that.
#[derive(Debug)]
pub(crate) struct Port(Socket);

impl Port {
    pub(crate) fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("loopback has a free port");
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.0.local_addr().expect("it is bound").as_socket();
        address.expect("an IPv4 address")
    }
}

/// A blocking connection, Unix or TCP.
pub(crate) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// The bytes that the applications' `big` and `tag` pages answer with: byte `i` is `(seed + i) mod 251`.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    // The remainder is below 251, so it fits.
    (0..len).map(|i| ((seed + i) % 251) as u8).collect()
}

/// What the applications' `echo` pages answer to `body`: its length and FNV-1a hash of 64 bits.
pub(crate) fn echo_of(body: &[u8]) -> String {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("length={}\nfnv1a64={hash:016x}\n", body.len())
}

/// How long the harness waits for an application before it gives up: a loaded machine starts Go or Python slowly.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(300);
