//! The Web server's side of one connection, on a blocking socket with timeouts.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
#[cfg(target_os = "linux")]
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use mio_fcgi::Address;
use mio_fcgi::wire::{self, Demux, EndRequest, Item, ProtocolStatus, RecordType, Role};

/// One request as records, with the end of STDIN.
pub(crate) fn request(id: u16, keep_conn: bool, uri: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = open_request(id, keep_conn, uri, &[]);
    wire::write_stream(&mut bytes, RecordType::Stdin, id, body);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, id);
    bytes
}

/// A request up to the end of its parameters.
pub(crate) fn open_request(id: u16, keep_conn: bool, uri: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_begin_request(&mut bytes, id, Role::Responder, keep_conn);
    bytes.extend(params(id, uri, more));
    bytes
}

/// The parameters of a request, and their end.
pub(crate) fn params(id: u16, uri: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut pairs = Vec::new();
    let uri = ("REQUEST_URI", uri);
    for (name, value) in [("REQUEST_METHOD", "GET"), uri].iter().chain(more) {
        wire::write_pair(&mut pairs, name.as_bytes(), value.as_bytes()).expect("short");
    }
    let mut bytes = Vec::new();
    wire::write_params_records(&mut bytes, id, &[&pairs]);
    wire::write_stream_end(&mut bytes, RecordType::Params, id);
    bytes
}

trait Socket: Read + Write {
    fn second(&self) -> io::Result<Box<dyn Write + Send>>;

    fn shutdown_write(&self) -> io::Result<()>;

    fn pending_error(&self) -> io::Result<Option<io::Error>>;
}

impl Socket for TcpStream {
    fn second(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn pending_error(&self) -> io::Result<Option<io::Error>> {
        self.take_error()
    }
}

#[cfg(target_os = "linux")]
impl Socket for UnixStream {
    fn second(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn pending_error(&self) -> io::Result<Option<io::Error>> {
        self.take_error()
    }
}

/// A connection.
pub(crate) struct Peer {
    socket: Box<dyn Socket>,
    demux: Demux,
    answers: Answers,
    was_reset: bool,
}

/// The responses so far, by request.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) by_id: BTreeMap<u16, Answer>,
    /// The IDs in the order in which the requests ended.
    pub(crate) ended: Vec<u16>,
    /// `FCGI_GET_VALUES_RESULT` content.
    pub(crate) values: Vec<u8>,
    pub(crate) values_done: usize,
    pub(crate) unknown_types: Vec<u8>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) stdout_ended: bool,
    pub(crate) end: Option<EndRequest>,
}

impl Peer {
    pub(crate) fn connect(address: &Address) -> Self {
        let time_out = Some(Duration::from_secs(45));
        let socket: Box<dyn Socket> = match address {
            #[cfg(target_os = "linux")]
            Address::Abstract(name) => {
                let name = SocketAddr::from_abstract_name(name).expect("a short name");
                let socket = UnixStream::connect_addr(&name).expect("it listens");
                socket.set_read_timeout(time_out).expect("a time");
                socket.set_write_timeout(time_out).expect("a time");
                Box::new(socket)
            }
            Address::Tcp(address) => {
                let socket = TcpStream::connect(address).expect("it listens");
                socket.set_read_timeout(time_out).expect("a time");
                socket.set_write_timeout(time_out).expect("a time");
                Box::new(socket)
            }
            other => panic!("no test connects to {other}"),
        };
        Self {
            socket,
            demux: Demux::default(),
            answers: Answers::default(),
            was_reset: false,
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the peer reads");
    }

    /// What another thread can send with.
    pub(crate) fn sender(&self) -> Box<dyn Write + Send> {
        self.socket.second().expect("a descriptor")
    }

    /// Sends until the other side closes.
    pub(crate) fn send_or_lose(&mut self, bytes: &[u8]) {
        if let Err(error) = self.socket.write_all(bytes) {
            let is_lost = matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            );
            assert!(is_lost, "{error}");
        }
    }

    /// Reads up to the end and discards everything.
    pub(crate) fn drain(&mut self) {
        let mut buf = vec![0; 64 * 1024];
        loop {
            match self.socket.read(&mut buf) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                // As when the tests were stopped for a moment.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("it does not close: {error}"),
            }
        }
    }

    /// Reads once. False at the end, by close or reset.
    pub(crate) fn read_some(&mut self, max: usize) -> bool {
        let mut buf = vec![0; max];
        let len = match self.socket.read(&mut buf) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.was_reset = true;
                0
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => panic!("nothing came: {error}; so far: {:?}", self.answers.ended),
        };
        let mut input = &buf[..len];
        while let Some(item) = self.demux.next(&mut input).expect("records") {
            self.answers.note(item);
        }
        len > 0
    }

    /// Reads until `count` requests have ended since the last call, and takes the responses.
    pub(crate) fn answers(&mut self, count: usize) -> Answers {
        while self.answers.ended.len() < count {
            assert!(self.read_some(256 * 1024), "closed: {:?}", self.answers);
        }
        std::mem::take(&mut self.answers)
    }

    /// Sends one request and reads its response.
    pub(crate) fn ask(&mut self, uri: &str, body: &[u8]) -> Answer {
        self.send(&request(1, true, uri, body));
        self.answers(1).one(1)
    }

    /// Reads until the other side closes.
    pub(crate) fn rest(&mut self) -> Answers {
        while self.read_some(64 * 1024) {}
        std::mem::take(&mut self.answers)
    }

    /// Whether the connection ended by a reset, even after a regular end. Linux delivers the bytes before a reset,
    /// other systems discard them.
    pub(crate) fn was_reset(&self) -> bool {
        self.was_reset || !matches!(self.socket.pending_error(), Ok(None))
    }

    pub(crate) fn shutdown_write(&self) {
        match self.socket.shutdown_write() {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => panic!("{error}"),
            _ => {}
        }
    }

    pub(crate) fn so_far(&self) -> &Answers {
        &self.answers
    }
}

impl Answers {
    pub(crate) fn one(&self, id: u16) -> Answer {
        self.by_id.get(&id).cloned().expect("this request was sent")
    }

    fn note(&mut self, item: Item<'_>) {
        match item {
            Item::Stream {
                record_type: RecordType::Stdout,
                request_id,
                data,
            } => {
                let answer = self.by_id.entry(request_id).or_default();
                assert!(!answer.stdout_ended, "STDOUT after its end");
                answer.stdout.extend_from_slice(data);
            }
            Item::Stream {
                record_type: RecordType::Stderr,
                request_id,
                data,
            } => {
                let answer = self.by_id.entry(request_id).or_default();
                answer.stderr.extend_from_slice(data);
            }
            Item::StreamEnd {
                record_type,
                request_id,
            } => {
                let answer = self.by_id.entry(request_id).or_default();
                answer.stdout_ended |= record_type == RecordType::Stdout;
            }
            Item::End { request_id, body } => {
                let answer = self.by_id.entry(request_id).or_default();
                assert_eq!(answer.end, None, "a second END");
                answer.end = Some(body);
                self.ended.push(request_id);
            }
            Item::Values { data, last, .. } => {
                self.values.extend_from_slice(data);
                self.values_done += usize::from(last);
            }
            Item::UnknownType { record_type, .. } => self.unknown_types.push(record_type),
            other => panic!("an application does not send {other:?}"),
        }
    }
}

impl Answer {
    /// The body of a complete response with application status 0.
    pub(crate) fn body(&self) -> &[u8] {
        assert_eq!(self.status(), (0, ProtocolStatus::RequestComplete));
        assert!(self.stdout_ended);
        self.split().1
    }

    pub(crate) fn head(&self) -> &str {
        str::from_utf8(self.split().0).expect("a head is text")
    }

    pub(crate) fn status(&self) -> (u32, ProtocolStatus) {
        let end = self.end.expect("the request ended");
        (end.app_status, end.protocol_status)
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let end = self
            .stdout
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("an answer has a head");
        (&self.stdout[..end + 2], &self.stdout[end + 4..])
    }
}
