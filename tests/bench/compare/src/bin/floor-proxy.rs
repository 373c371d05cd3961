//! What a proxy cannot do without: its system calls. `floor-proxy HOST:PORT SOCKET`
//!
//! Each client has a FastCGI connection of its own. Whatever a client sends in one read is taken for one request, to
//! which a prepared one is sent; what comes back is counted, not parsed: the first response shows its length, and where
//! in it the body is. So it serves one constant page to clients that do not pipeline, and nothing else.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use anyhow::{Context, Result};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token};
use mio_fcgi::wire::{self, Demux, Item, RecordType, Role};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().context("HOST:PORT")?.parse()?;
    let socket = arguments.next().context("SOCKET")?;
    let request = request()?;
    let page = Page::learn(&socket, &request)?;
    let mut listener = TcpListener::bind(address)?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor {
        pairs: Vec::new(),
        free: Vec::new(),
        memory: vec![0; 64 * 1024],
        request,
        page,
    };
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                floor.accept(&listener, &poll, &socket)?;
                continue;
            }
            if !matches!(floor.serve(event), Ok(true)) {
                let index = token.0 / 2;
                floor.pairs[index] = None;
                floor.free.push(index);
            }
        }
    }
}

const LISTENER: Token = Token(usize::MAX - 1);

struct Floor {
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    memory: Vec<u8>,
    request: Vec<u8>,
    page: Page,
}

impl Floor {
    /// False, or an error, when the pair is over.
    fn serve(&mut self, event: &Event) -> io::Result<bool> {
        let (index, is_client) = (event.token().0 / 2, event.token().0.is_multiple_of(2));
        let Some(Some(pair)) = self.pairs.get_mut(index) else {
            return Ok(true);
        };
        if !is_client {
            pair.may_read = true;
        } else if !pair.on_client(&mut self.memory, &self.request, event)? {
            return Ok(false);
        }
        pair.on_application(&mut self.memory, &self.page)
    }

    fn accept(&mut self, listener: &TcpListener, poll: &Poll, socket: &str) -> Result<()> {
        loop {
            let mut client = match listener.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            client.set_nodelay(true)?;
            // Blocking, so that a full queue is waited for.
            let application = std::os::unix::net::UnixStream::connect(socket)?;
            application.set_nonblocking(true)?;
            let mut application = UnixStream::from_std(application);
            let index = self.free.pop().unwrap_or(self.pairs.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut client, Token(2 * index), both)?;
            poll.registry()
                .register(&mut application, Token(2 * index + 1), Interest::READABLE)?;
            let pair = Pair {
                client,
                application,
                came: 0,
                may_read: false,
                left: Vec::new(),
            };
            match self.pairs.get_mut(index) {
                Some(place) => *place = Some(pair),
                None => self.pairs.push(Some(pair)),
            }
        }
    }
}

struct Pair {
    client: TcpStream,
    application: UnixStream,
    /// Bytes of the response so far.
    came: usize,
    /// The application has sent something, as far as we know.
    may_read: bool,
    /// Bytes that the client's socket did not take.
    left: Vec<u8>,
}

impl Pair {
    fn on_client(&mut self, memory: &mut [u8], request: &[u8], event: &Event) -> io::Result<bool> {
        if event.is_writable() && !self.left.is_empty() {
            let sent = self.client.write(&self.left)?;
            self.left.drain(..sent);
        }
        if !event.is_readable() {
            return Ok(true);
        }
        match self.client.read(memory) {
            Ok(0) => Ok(false),
            Ok(_) => self
                .application
                .write(request)
                .map(|len| len == request.len()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn on_application(&mut self, memory: &mut [u8], page: &Page) -> io::Result<bool> {
        while self.may_read && self.left.is_empty() {
            let len = match self.application.read(memory) {
                Ok(0) => return Ok(false),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.may_read = false;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            };
            // Edge-triggered: a short read has emptied the socket.
            self.may_read = len == memory.len();
            let head: &[u8] = if self.came == 0 { &page.head } else { &[] };
            // Records' headers and all: as many bytes as the body has, and that is what counts.
            let from = self.came.min(page.body_len);
            let to = (self.came + len).min(page.body_len);
            let body = &memory[..to - from];
            self.came = (self.came + len) % page.response_len;
            if head.len() + body.len() > 0 {
                let all = head.len() + body.len();
                let sent = match self
                    .client
                    .write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
                {
                    Ok(sent) => sent,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error),
                };
                if sent < all {
                    self.left.extend(head.iter().chain(body).skip(sent));
                }
            }
        }
        Ok(true)
    }
}

/// The one page.
struct Page {
    head: Vec<u8>,
    body_len: usize,
    /// With all records.
    response_len: usize,
}

impl Page {
    /// Asks for it once.
    fn learn(socket: &str, request: &[u8]) -> Result<Self> {
        let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.write_all(request)?;
        let mut demux = Demux::default();
        let mut memory = vec![0; 64 * 1024];
        let (mut output_len, mut response_len, mut is_over) = (0, 0, false);
        let mut head_len = None;
        let mut start = Vec::new();
        while !is_over || !demux.at_record_boundary() {
            let len = stream.read(&mut memory)?;
            anyhow::ensure!(len > 0, "the application closes");
            response_len += len;
            let mut input = &memory[..len];
            while let Some(item) = demux.next(&mut input)? {
                match item {
                    Item::Stream {
                        record_type: RecordType::Stdout,
                        data,
                        ..
                    } => {
                        output_len += data.len();
                        if head_len.is_none() {
                            start.extend_from_slice(data);
                            let end = start.windows(4).position(|at| at == b"\r\n\r\n");
                            head_len = end.map(|end| end + 4);
                        }
                    }
                    Item::End { .. } => is_over = true,
                    _ => {}
                }
            }
        }
        let body_len = output_len - head_len.context("no head")?;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {body_len}\r\n\
             Date: Tue, 24 Nov 2026 20:00:00 GMT\r\nServer: floor\r\n\r\n"
        );
        Ok(Self {
            head: head.into_bytes(),
            body_len,
            response_len,
        })
    }
}

/// As a Web server would send it.
fn request() -> Result<Vec<u8>> {
    let mut pairs = Vec::new();
    for (name, value) in PARAMS {
        wire::write_pair(&mut pairs, name.as_bytes(), value.as_bytes())?;
    }
    let mut bytes = Vec::new();
    wire::write_begin_request(&mut bytes, 1, Role::Responder, true);
    wire::write_params_records(&mut bytes, 1, &[&pairs]);
    wire::write_stream_end(&mut bytes, RecordType::Params, 1);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    Ok(bytes)
}

const PARAMS: [(&str, &str); 18] = [
    ("GATEWAY_INTERFACE", "CGI/1.1"),
    ("SERVER_SOFTWARE", "floor"),
    ("QUERY_STRING", ""),
    ("REQUEST_METHOD", "GET"),
    ("CONTENT_TYPE", ""),
    ("CONTENT_LENGTH", ""),
    ("SCRIPT_FILENAME", "/srv/www/index.php"),
    ("SCRIPT_NAME", "/index.php"),
    ("REQUEST_URI", "/bench"),
    ("DOCUMENT_URI", "/index.php"),
    ("DOCUMENT_ROOT", "/srv/www"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("REQUEST_SCHEME", "http"),
    ("REMOTE_ADDR", "127.0.0.1"),
    ("REMOTE_PORT", "52614"),
    ("SERVER_ADDR", "127.0.0.1"),
    ("SERVER_PORT", "80"),
    ("HTTP_HOST", "127.0.0.1:8080"),
];
