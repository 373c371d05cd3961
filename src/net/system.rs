//! The system's sockets, and their registration in the embedder's poll.

use std::io::{self, IoSlice};
use std::sync::Arc;

use mio::event::Event;
use mio::{Interest, Registry, Token};

use super::connector::Connector;
use super::stream::Stream;
use super::transport::{Readiness, Transport};
use crate::address::Address;
use crate::event::ConnectionHandle;
use crate::server::ServerId;

/// The transport of a [`Client`](super::Client).
#[derive(Debug)]
pub(super) struct System {
    registry: Arc<Registry>,
    /// The token of the connection with index 0.
    first_token: usize,
    connector: Connector,
}

impl System {
    pub(super) fn new(registry: Arc<Registry>, first_token: usize) -> Self {
        Self {
            registry,
            first_token,
            connector: Connector::default(),
        }
    }

    /// What makes the sockets.
    pub(super) fn connector(&mut self) -> &mut Connector {
        &mut self.connector
    }
}

impl Transport for System {
    type Stream = Stream;

    fn connect(
        &mut self,
        connection: ConnectionHandle,
        server: ServerId,
        address: &Address,
    ) -> io::Result<Stream> {
        let mut stream = self.connector.connect(server, address)?;
        stream.set_nodelay();
        let token = Token(self.first_token + connection.index());
        stream.register(&self.registry, token, interests())?;
        Ok(stream)
    }

    fn is_connected(&mut self, stream: &Stream) -> io::Result<bool> {
        stream.is_connected()
    }

    #[inline]
    fn read(&mut self, stream: &mut Stream, bytes: &mut [u8]) -> io::Result<usize> {
        stream.read(bytes)
    }

    #[inline]
    fn write(&mut self, stream: &mut Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [slice] => stream.write(slice),
            _ => stream.write_vectored(slices),
        }
    }

    #[inline]
    fn is_drained_by_short_reads(&self, stream: &Stream) -> bool {
        stream.is_drained_by_short_reads()
    }

    fn close(&mut self, mut stream: Stream) {
        // An error does not matter: the socket is closed next, which removes it from the poll in any case.
        let _ = stream.deregister(&self.registry);
    }
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Self {
        Self {
            is_readable: event.is_readable(),
            is_read_closed: event.is_read_closed(),
            is_writable: event.is_writable(),
            is_write_closed: event.is_write_closed(),
            is_error: event.is_error(),
            is_urgent: cfg!(any(target_os = "linux", target_os = "android")) && event.is_priority(),
        }
    }
}

/// The interests of all sockets. They include urgent bytes where the system can report them: an urgent byte cuts reads
/// short, and nothing else reports it.
fn interests() -> Interest {
    let interests = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let interests = interests | Interest::PRIORITY;
    interests
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write as _;

    use mio::net::UnixStream;
    use mio::{Events, Poll};

    use super::*;

    /// A further read costs a system call for each response.
    #[test]
    fn a_short_read_suffices_on_linux() {
        let poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("a descriptor");
        let system = System::new(Arc::new(registry), 0);
        let (unix, _other) = UnixStream::pair().expect("a pair");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let tcp = mio::net::TcpStream::connect(address).expect("it listens");
        for stream in [Stream::from(unix), Stream::from(tcp)] {
            assert!(system.is_drained_by_short_reads(&stream), "{stream:?}");
        }
    }

    #[test]
    fn bytes_and_room_are_no_urgent_byte() {
        let (mut socket, mut other) = UnixStream::pair().expect("a pair");
        let mut poll = Poll::new().expect("a poll");
        poll.registry()
            .register(&mut socket, Token(1), interests())
            .expect("a socket");
        assert_eq!(other.write(b"x").expect("room"), 1);
        let mut events = Events::with_capacity(1);
        while events.is_empty() {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
                polled => polled.expect("a poll"),
            }
        }
        let noted: Vec<Readiness> = events.iter().map(Readiness::from).collect();
        let expected = Readiness {
            is_readable: true,
            is_writable: true,
            ..Readiness::default()
        };
        assert_eq!(noted, [expected]);
    }
}
