//! An application played by a thread on a real socket. A script decides what it does: it answers, waits or breaks off.

#![allow(
    dead_code,
    reason = "each test program that includes this file uses its own part"
)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio_fcgi::Address;
use mio_fcgi::wire::{self, Demux, EndRequest, Item, ProtocolStatus, RecordType};
use socket2::{Domain, Socket as System, Type};
use tempfile::TempDir;

/// How long anything may take before a test fails. It is long, since the machine may be busy.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(45);

/// A running script; `T` is what it returns.
#[derive(Debug)]
pub(crate) struct Peer<T = ()> {
    address: Address,
    thread: JoinHandle<T>,
    _directory: Option<TempDir>,
}

impl<T: Send + 'static> Peer<T> {
    /// On a socket of a kind.
    pub(crate) fn on(kind: Kind, script: impl FnOnce(Listener) -> T + Send + 'static) -> Self {
        match kind {
            Kind::Unix => Self::unix(script),
            Kind::Tcp => Self::tcp(script),
        }
    }

    /// On a Unix socket in a directory of its own.
    pub(crate) fn unix(script: impl FnOnce(Listener) -> T + Send + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("peer.sock");
        let listener = UnixListener::bind(&path).expect("the directory is ours");
        Self::run(
            Listener::Unix(listener),
            Address::Unix(path),
            Some(directory),
            script,
        )
    }

    /// On a free TCP port of 127.0.0.1.
    pub(crate) fn tcp(script: impl FnOnce(Listener) -> T + Send + 'static) -> Self {
        Self::tcp_on(([127, 0, 0, 1], 0), script)
    }

    /// On a free TCP port of ::1.
    pub(crate) fn tcp_v6(script: impl FnOnce(Listener) -> T + Send + 'static) -> Self {
        Self::tcp_on((Ipv6Addr::LOCALHOST, 0), script)
    }

    fn tcp_on(
        address: impl Into<SocketAddr>,
        script: impl FnOnce(Listener) -> T + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address.into()).expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        Self::run(Listener::Tcp(listener), Address::Tcp(address), None, script)
    }

    /// On a listener that the test has made.
    pub(crate) fn run(
        listener: Listener,
        address: Address,
        directory: Option<TempDir>,
        script: impl FnOnce(Listener) -> T + Send + 'static,
    ) -> Self {
        Self {
            address,
            thread: thread::spawn(move || script(listener)),
            _directory: directory,
        }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.clone()
    }

    /// Waits for the end of the script, which must not have panicked.
    pub(crate) fn join(self) -> T {
        match self.thread.join() {
            Ok(returned) => returned,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// For tests that hold for both kinds of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unix,
    Tcp,
}

#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// The next connection, within [`TIME_LIMIT`].
    pub(crate) fn accept(&self) -> Connection {
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            if let Some(connection) = self.try_accept() {
                return connection;
            }
            assert!(Instant::now() < deadline, "nobody connected");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next connection that brings a request; one that asks for values first is closed, which means: plain.
    pub(crate) fn accept_request(&self) -> (Connection, Received) {
        loop {
            let mut connection = self.accept();
            if let Some(request) = connection.request() {
                return (connection, request);
            }
        }
    }

    /// A connection that is there already.
    pub(crate) fn try_accept(&self) -> Option<Connection> {
        let accepted = match self {
            Self::Unix(listener) => {
                listener.set_nonblocking(true).expect("a listener");
                listener.accept().map(|(stream, _)| Socket::Unix(stream))
            }
            Self::Tcp(listener) => {
                listener.set_nonblocking(true).expect("a listener");
                listener.accept().map(|(stream, _)| Socket::Tcp(stream))
            }
        };
        match accepted {
            Ok(socket) => Some(Connection::new(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("accept: {error}"),
        }
    }
}

/// A TCP address at which nobody listens: bound as long as the socket is kept, so that nobody else gets it meanwhile.
pub(crate) fn refusing() -> (SocketAddr, System) {
    let socket = System::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket
        .bind(&any_port.into())
        .expect("loopback has a free port");
    let address = socket.local_addr().expect("it is bound").as_socket();
    (address.expect("an IPv4 address"), socket)
}

#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

/// One connection, the application's side. Reads and writes block, within [`TIME_LIMIT`].
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    demux: Demux,
}

/// A request as it came.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Received {
    pub(crate) id: u16,
    pub(crate) keep: bool,
    pub(crate) params: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Over a socket that the test has connected.
    pub(crate) fn over(socket: impl Into<Socket>) -> Self {
        Self::new(socket.into())
    }

    fn new(socket: Socket) -> Self {
        let connection = Self {
            socket,
            demux: Demux::default(),
        };
        connection.set_nonblocking(false);
        match &connection.socket {
            Socket::Unix(stream) => {
                stream.set_read_timeout(Some(TIME_LIMIT)).expect("a time");
                stream.set_write_timeout(Some(TIME_LIMIT)).expect("a time");
            }
            Socket::Tcp(stream) => {
                stream.set_read_timeout(Some(TIME_LIMIT)).expect("a time");
                stream.set_write_timeout(Some(TIME_LIMIT)).expect("a time");
            }
        }
        connection
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        match &self.socket {
            Socket::Unix(stream) => stream.set_nonblocking(nonblocking),
            Socket::Tcp(stream) => stream.set_nonblocking(nonblocking),
        }
        .expect("a socket");
    }

    /// Reads once.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.socket {
                Socket::Unix(stream) => stream.read(bytes),
                Socket::Tcp(stream) => stream.read(bytes),
            };
            // As when the tests were stopped for a moment: a read with a time limit does not go on by itself.
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Unix(stream) => stream.write_all(bytes),
            Socket::Tcp(stream) => stream.write_all(bytes),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the client reads");
    }

    /// From now on a write of the other side fails.
    pub(crate) fn shut_down_reading(&self) {
        match &self.socket {
            Socket::Unix(stream) => stream.shutdown(Shutdown::Read),
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Read),
        }
        .expect("a socket");
    }

    /// Sends a byte out of band.
    pub(crate) fn send_urgent(&mut self, byte: u8) {
        let Socket::Tcp(stream) = &self.socket else {
            panic!("only TCP has urgent bytes");
        };
        let stream = socket2::SockRef::from(stream);
        stream
            .send_out_of_band(&[byte])
            .expect("room in the socket");
    }

    /// Writes what the socket takes without waiting; how much that was.
    pub(crate) fn send_some(&mut self, bytes: &[u8]) -> usize {
        self.set_nonblocking(true);
        let mut sent = 0;
        while sent < bytes.len() {
            let rest = &bytes[sent..];
            let written = match &mut self.socket {
                Socket::Unix(stream) => stream.write(rest),
                Socket::Tcp(stream) => stream.write(rest),
            };
            match written {
                Ok(len) => sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("write: {error}"),
            }
        }
        self.set_nonblocking(false);
        sent
    }

    /// Reads a request to the end of its `FCGI_STDIN`; `None` when the client closed or asked for values instead.
    pub(crate) fn request(&mut self) -> Option<Received> {
        self.receive(64 * 1024, RecordType::Stdin)
    }

    /// Reads a request to the end of its parameters and not a byte further.
    pub(crate) fn head(&mut self) -> Option<Received> {
        self.receive(1, RecordType::Params)
    }

    /// Reads to the end of a stream.
    fn receive(&mut self, read_len: usize, last: RecordType) -> Option<Received> {
        let mut received = Received::default();
        let mut bytes = vec![0; read_len];
        loop {
            let len = match self.read(&mut bytes) {
                Ok(0) => return None,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("read: {error}"),
            };
            let mut input = &bytes[..len];
            while let Some(item) = self.demux.next(&mut input).expect("FastCGI") {
                if matches!(item, Item::StreamEnd { record_type, .. } if record_type == last) {
                    assert!(input.is_empty(), "bytes behind the request");
                    return Some(received);
                }
                if matches!(item, Item::Values { .. }) {
                    return None;
                }
                received.take(item);
            }
        }
    }

    /// Answers with a whole response and `FCGI_END_REQUEST`.
    pub(crate) fn answer(&mut self, id: u16, body: &[u8]) {
        self.send(&answer(id, body));
    }

    /// Waits for the client's close; what came before it.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match self.read(&mut bytes) {
                Ok(0) => return rest,
                Ok(len) => rest.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("the client did not close: {error}"),
            }
        }
    }
}

impl Received {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Begin { request_id, body } => {
                self.id = request_id;
                self.keep = body.keep_conn();
            }
            Item::Stream {
                record_type: RecordType::Params,
                data,
                ..
            } => self.params.extend_from_slice(data),
            Item::Stream {
                record_type: RecordType::Stdin,
                data,
                ..
            } => self.body.extend_from_slice(data),
            Item::StreamEnd { .. } => {}
            other => panic!("a client of one Responder request does not send {other:?}"),
        }
    }

    pub(crate) fn param(&self, name: &str) -> Option<String> {
        wire::Pairs::new(&self.params)
            .map(|pair| pair.expect("whole pairs"))
            .find(|pair| pair.0 == name.as_bytes())
            .map(|pair| String::from_utf8_lossy(pair.1).into_owned())
    }
}

/// A whole response as its records.
pub(crate) fn answer(id: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = stdout(id, b"Content-Type: text/plain\r\n\r\n");
    bytes.extend(stdout(id, body));
    bytes.extend(end(id));
    bytes
}

pub(crate) fn stdout(id: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, RecordType::Stdout, id, content);
    bytes
}

pub(crate) fn end(id: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let body = EndRequest {
        app_status: 0,
        protocol_status: ProtocolStatus::RequestComplete,
    };
    wire::write_end_request(&mut bytes, id, body);
    bytes
}
