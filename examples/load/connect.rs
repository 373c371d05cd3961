//! Preparations: choosing the address, and finding out whether the application shares connections.

use std::io::{self, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use log::debug;
use mio::{Events, Poll, Token};
use mio_fcgi::{Address, Client, Config, EventKind, Multiplex as Shared, ReadBuf, ServerId, Tag};

use crate::arguments::{Arguments, Multiplex};

/// Resolves a name to a numeric address: the first that accepts a connection.
///
/// # Errors
/// The resolver's error, or the reason of the last refusal.
pub(crate) fn choose(address: &Address) -> io::Result<Address> {
    let mut all = address.resolve()?;
    if let [_] = all[..] {
        return Ok(all.remove(0));
    }
    let mut refusal = io::Error::from(io::ErrorKind::NotFound);
    for address in all {
        match Stream::connect(&address) {
            Ok(_) => return Ok(address),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// How many requests a connection carries at a time.
///
/// # Errors
/// The system's error, if the application has to be asked.
pub(crate) fn sharing(address: &Address, arguments: &Arguments) -> io::Result<u32> {
    let wanted = arguments.inflight.div_ceil(arguments.conns) as u32;
    let may = wanted > 1
        && match arguments.multiplex {
            Multiplex::On => true,
            Multiplex::Off => false,
            Multiplex::Auto => can_multiplex(address)?,
        };
    Ok(if may { wanted } else { 1 })
}

/// Asks the application whether requests may share a connection. No answer counts as no.
fn can_multiplex(address: &Address) -> io::Result<bool> {
    let mut config = Config::new(address.clone());
    config.multiplex = Shared::Off;
    config.limits.max_connections_per_server = 1;
    let mut poll = Poll::new()?;
    let mut client = Client::new(poll.registry(), Token(0)..Token(1), config)?;
    let mut events = Events::with_capacity(8);
    let mut buf = ReadBuf::default();
    let asked = client.get_values(Instant::now(), ServerId::new(0), Tag(0));
    asked.map_err(io::Error::other)?;
    let mut answer = false;
    loop {
        wait(&mut poll, &mut events, client.timeout(Instant::now()))?;
        let now = Instant::now();
        for event in &events {
            client.handle_event(event);
        }
        client.handle_timeout(now);
        while let Some(event) = client.poll_event(now, &mut buf) {
            match event.kind {
                EventKind::Values(values) => answer = values.multiplexes == Some(true),
                EventKind::End(outcome) => {
                    if let Err(failure) = outcome {
                        debug!("no answer to FCGI_GET_VALUES: {failure}");
                    }
                    return Ok(answer);
                }
                _ => {}
            }
        }
    }
}

/// Waits for events. An interrupted wait returns early, without events.
///
/// # Errors
/// The system's error.
pub(crate) fn wait(
    poll: &mut Poll,
    events: &mut Events,
    timeout: Option<Duration>,
) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        other => other,
    }
}

/// A blocking socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// # Errors
    /// The system's error.
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            #[cfg(unix)]
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => {
                use std::os::linux::net::SocketAddrExt;
                let name = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                UnixStream::connect_addr(&name).map(Self::Unix)
            }
            other => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{other} cannot be connected to on this system"),
            )),
        }
    }

    /// # Errors
    /// The system's error.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))
            }
        }
    }
}

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

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
