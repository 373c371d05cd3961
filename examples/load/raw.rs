//! The load without the library: the same bytes over the same number of sockets, and nothing else.
//!
//! The first response is parsed. After that, bytes are only counted: each time as many bytes as the first response had
//! are taken as the response to the oldest request on their connection. So all responses must have the same length, and
//! on shared connections they must come in the order of the requests.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Registry, Token};
use mio_fcgi::wire::{Demux, Item, RecordType};
use mio_fcgi::{Address, ReadBuf};

use crate::answer::{Answer, Wanted};
use crate::arguments::Arguments;
use crate::connect::{self, wait};
use crate::pace::{Next, Pace};
use crate::request::Template;
use crate::summary::Totals;
use crate::tally::Tally;

/// Runs until all responses have arrived.
///
/// # Errors
/// The system's error; an application that closes a connection, is silent for too long, or sends a response of another
/// length than the first one.
pub(crate) fn run(
    address: &Address,
    arguments: &Arguments,
    template: &Template,
    sharing: u32,
    pace: Pace,
    tally: &mut Tally,
) -> io::Result<Totals> {
    let mut load = RawLoad {
        requests: Requests::prepare(template, sharing)?,
        response_len: 0,
        connections: Vec::new(),
        free_slots: VecDeque::new(),
        in_flight: 0,
        pace,
        tally,
        next_due: None,
        totals: Totals::default(),
    };
    let mut poll = Poll::new()?;
    for index in 0..arguments.conns {
        let mut socket = connect::Stream::connect(address)?;
        if index == 0 {
            load.first_exchange(&mut socket, arguments)?;
        }
        let socket = Socket::adopt(socket, poll.registry(), Token(index))?;
        load.connections.push(Connection::new(socket));
        load.totals.connections += 1;
    }
    let free_slots = arguments.inflight.min(arguments.conns * sharing as usize);
    load.free_slots
        .extend((0..free_slots).map(|place| place % arguments.conns));
    load.free_slots.make_contiguous().sort_unstable();
    let mut events = Events::with_capacity(1024);
    let mut memory = vec![0; ReadBuf::DEFAULT_LEN];
    let mut now = Instant::now();
    let mut heard = now;
    while load.send_due(now)? {
        load.tally.show_progress(now);
        let silence = heard.checked_add(arguments.timeout);
        let next = [silence, load.next_due, load.tally.progress_due()];
        let next = next.into_iter().flatten().min();
        let timeout = next.map(|at| at.saturating_duration_since(now));
        wait(&mut poll, &mut events, timeout)?;
        now = Instant::now();
        if !events.is_empty() || load.in_flight == 0 {
            heard = now;
        } else if silence.is_some_and(|silence| silence <= now) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        for event in &events {
            let index = event.token().0;
            if event.is_writable() {
                load.connections[index].writable = true;
                load.write(index)?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                load.read(index, now, &mut memory, event.is_read_closed())?;
            }
        }
    }
    load.totals.elapsed = now.saturating_duration_since(load.pace.start());
    Ok(load.totals)
}

struct RawLoad<'a> {
    requests: Requests,
    /// Length of a response in bytes, records included.
    response_len: usize,
    connections: Vec<Connection>,
    /// One entry for each request that may be sent: the index of its connection.
    free_slots: VecDeque<usize>,
    in_flight: u64,
    pace: Pace,
    tally: &'a mut Tally,
    /// When the next request is due, if none is due now.
    next_due: Option<Instant>,
    totals: Totals,
}

/// Requests as bytes, one per request ID, one after the other.
struct Requests {
    bytes: Vec<u8>,
    /// Length of each request in bytes.
    len: usize,
}

impl Requests {
    fn prepare(template: &Template, count: u32) -> io::Result<Self> {
        let mut bytes = Vec::new();
        template.write(&mut bytes, 1).map_err(io::Error::other)?;
        let len = bytes.len();
        let Ok(count) = u16::try_from(count) else {
            return Err(too_much("request IDs end at 65,535"));
        };
        if len.saturating_mul(usize::from(count)) > MAX_PREPARED {
            return Err(too_much("prepared requests would take more than 1 GiB"));
        }
        for id in 2..=count {
            template.write(&mut bytes, id).map_err(io::Error::other)?;
        }
        Ok(Self { bytes, len })
    }
}

/// One connection.
struct Connection {
    socket: Socket,
    writable: bool,
    /// Where in the prepared bytes the next write begins.
    at: usize,
    /// Number of bytes still to be written.
    unwritten: usize,
    /// Number of bytes received of an incomplete response.
    partial: usize,
    /// Requests without a response: when they were due, and how many.
    waiting: VecDeque<(Instant, u64)>,
}

impl Connection {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            writable: true,
            at: 0,
            unwritten: 0,
            partial: 0,
            waiting: VecDeque::new(),
        }
    }
}

impl RawLoad<'_> {
    /// Sends one request and parses its response, to learn the length of all responses.
    fn first_exchange(
        &mut self,
        socket: &mut connect::Stream,
        arguments: &Arguments,
    ) -> io::Result<()> {
        socket.set_timeout(arguments.timeout)?;
        socket.write_all(&self.requests.bytes[..self.requests.len])?;
        let mut wanted = Wanted::new(arguments.body_expected);
        let mut answer = Answer::default();
        let mut demux = Demux::default();
        let mut memory = vec![0; ReadBuf::DEFAULT_LEN];
        let mut ended = None;
        while ended.is_none() || !demux.at_record_boundary() {
            let len = socket.read(&mut memory)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.response_len += len;
            let mut input = &memory[..len];
            while let Some(item) = demux.next(&mut input).map_err(io::Error::other)? {
                match item {
                    Item::Stream {
                        record_type: RecordType::Stdout,
                        data,
                        ..
                    } => answer.push(&mut wanted, data),
                    Item::End { body, .. } => ended = Some(body.app_status),
                    _ => {}
                }
            }
        }
        answer
            .end(&wanted, ended.unwrap_or_default())
            .map_err(io::Error::other)
    }

    /// Sends the requests that are due, as far as the limit of requests in flight allows. False when the run is over.
    fn send_due(&mut self, now: Instant) -> io::Result<bool> {
        self.next_due = None;
        let mut connection = None;
        while let Some(index) = self.free_slots.front().copied() {
            match self.pace.next(now) {
                Next::Due(due) => {
                    self.free_slots.pop_front();
                    if let Some(last) = connection.replace(index)
                        && last != index
                    {
                        self.write(last)?;
                    }
                    self.owe(index, due);
                }
                Next::Later(at) => {
                    self.next_due = Some(at);
                    break;
                }
                Next::Over => break,
            }
        }
        if let Some(last) = connection {
            self.write(last)?;
        }
        Ok(!self.pace.is_over() || self.in_flight > 0)
    }

    fn owe(&mut self, index: usize, due: Instant) {
        let connection = &mut self.connections[index];
        connection.unwritten += self.requests.len;
        self.in_flight += 1;
        match connection.waiting.back_mut() {
            Some((last, count)) if *last == due => *count += 1,
            _ => connection.waiting.push_back((due, 1)),
        }
    }

    fn write(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        while connection.unwritten > 0 && connection.writable {
            let all = &self.requests.bytes;
            let end = all.len().min(connection.at + connection.unwritten);
            match connection.socket.write(&all[connection.at..end]) {
                Ok(written) => {
                    connection.writable = connection.at + written == end;
                    connection.unwritten -= written;
                    connection.at = (connection.at + written) % all.len();
                    self.totals.bytes_sent += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.writable = false
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once; or until the socket is empty, if its end would not be reported again.
    fn read(
        &mut self,
        index: usize,
        now: Instant,
        memory: &mut [u8],
        to_the_end: bool,
    ) -> io::Result<()> {
        loop {
            let len = match self.connections[index].socket.read(memory) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.totals.bytes_received += len as u64;
            self.count(index, now, len)?;
            if len < memory.len() && !to_the_end {
                return Ok(());
            }
        }
    }

    /// Counts bytes as responses.
    fn count(&mut self, index: usize, now: Instant, len: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.partial += len;
        while connection.partial >= self.response_len {
            let Some((due, count)) = connection.waiting.front_mut() else {
                return Err(io::Error::other("a response is longer than the first one"));
            };
            let came = (*count).min((connection.partial / self.response_len) as u64);
            connection.partial -= came as usize * self.response_len;
            self.tally
                .succeeded(0, now.saturating_duration_since(*due), came);
            *count -= came;
            self.in_flight -= came;
            if *count == 0 {
                connection.waiting.pop_front();
            }
            self.free_slots.extend((0..came).map(|_| index));
        }
        Ok(())
    }
}

/// A nonblocking socket of the event loop.
enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    fn adopt(socket: connect::Stream, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = match socket {
            connect::Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Self::Tcp(TcpStream::from_std(stream))
            }
            #[cfg(unix)]
            connect::Stream::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Self::Unix(UnixStream::from_std(stream))
            }
        };
        let source: &mut dyn Source = match &mut socket {
            Self::Tcp(stream) => stream,
            #[cfg(unix)]
            Self::Unix(stream) => stream,
        };
        registry.register(source, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

fn too_much(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// The most bytes of prepared requests.
const MAX_PREPARED: usize = 1024 * 1024 * 1024;
