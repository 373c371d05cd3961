//! The client that people embed: registration, readiness, and the pull that does all I/O.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::time::{Duration, Instant};

use log::{debug, trace};
use mio::{Interest, Registry, Token};

use super::read_buf::ReadBuf;
use super::socket::Socket;
use crate::address::Address;
use crate::config::{Config, ConfigError, Limits};
use crate::engine::{Action, Disconnected, Engine, Stats};
use crate::error::{StdinError, SubmitError};
use crate::event::{ConnectionHandle, Event, RequestHandle, Tag};
use crate::request::Request;

/// A FastCGI client on the embedder's [`mio::Poll`].
///
/// Each turn of the loop:
///
/// 1. `poll.poll(&mut events, client.timeout(now))`
/// 2. [`handle_event`](Self::handle_event) for each event; `false` means that it is the embedder's own
/// 3. [`handle_timeout`](Self::handle_timeout)
/// 4. [`poll_event`](Self::poll_event) until `None`: all reading and writing happens in there
///
/// Commands may be given at any time, also while an event's data is being looked at: events borrow the
/// [`ReadBuf`], not the client. Any order is right: as long as there is work, [`timeout`](Self::timeout) is
/// zero.
///
/// Not promised: which connection a request goes out on, and how output is cut into events.
pub struct Client {
    engine: Engine,
    registry: Registry,
    tokens: Range<usize>,
    /// By [`ConnectionHandle::index`], which is also the offset in `tokens`.
    slots: Vec<Option<Slot>>,
    /// Indices of slots that have something to do in this round.
    ready: VecDeque<u32>,
    /// The same for the next round: they have had their turn. An index is in one of both, once.
    next_round: VecDeque<u32>,
    /// Whose octets are in the read buffer, and which buffer that is.
    reading: Option<(ConnectionHandle, u64)>,
}

/// A socket and what is known of it.
#[derive(Debug)]
struct Slot {
    handle: ConnectionHandle,
    socket: Socket,
    phase: Phase,
    /// May have something to read, or its end.
    readable: bool,
    /// May take octets.
    writable: bool,
    /// The peer has closed: a short read is not the last.
    peer_closed: bool,
    /// It is in `ready` or `next_round`.
    queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    /// A write failed; what the application had sent before is still read.
    ReadOnly,
}

/// Octets written for one connection before it goes to the back of the queue.
const WRITE_TURN: usize = 1024 * 1024;

impl Client {
    /// A client that registers its sockets with `registry` under tokens of `tokens`, which must be its own.
    ///
    /// Host names among the servers are resolved here, which **blocks**; a name with several addresses counts
    /// as so many servers.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with a [`ConfigError`] as its source; the resolver's; what the
    /// registry says when it is cloned.
    pub fn new(registry: &Registry, tokens: Range<Token>, mut config: Config) -> io::Result<Self> {
        let mut servers = Vec::new();
        for server in &config.servers {
            servers.extend(server.resolve()?);
        }
        config.servers = servers;
        let tokens = tokens.start.0..tokens.end.0;
        check_tokens(&tokens, config.servers.len(), &config.limits).map_err(invalid)?;
        Ok(Self {
            engine: Engine::new(config).map_err(invalid)?,
            registry: registry.try_clone()?,
            tokens,
            slots: Vec::new(),
            ready: VecDeque::new(),
            next_round: VecDeque::new(),
            reading: None,
        })
    }

    /// How long to wait in `poll`: zero while there is work, `None` when nothing is due.
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        let has_turns = !(self.ready.is_empty() && self.next_round.is_empty());
        if self.reading.is_some() || has_turns || self.engine.has_output() {
            return Some(Duration::ZERO);
        }
        let due = self.engine.poll_timeout()?;
        Some(due.saturating_duration_since(now))
    }

    /// Notes a readiness event. False when its token is not one of the client's: then it is the
    /// embedder's. A late event of a closed connection is a spurious readiness and harmless.
    pub fn handle_event(&mut self, event: &mio::event::Event) -> bool {
        let token = event.token().0;
        if !self.tokens.contains(&token) {
            return false;
        }
        let index = token - self.tokens.start;
        if let Some(Some(slot)) = self.slots.get_mut(index) {
            let failed = event.is_error();
            slot.readable |= event.is_readable() || event.is_read_closed() || failed;
            slot.writable |= event.is_writable() || event.is_write_closed() || failed;
            slot.peer_closed |= event.is_read_closed() || failed;
            self.enqueue(index);
        }
        true
    }

    /// Time has passed; early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
    }

    /// The next event. Reads, writes and connects as needed; `None` when the round is over: each connection with
    /// something to do had its turn. Those that have more to do make [`timeout`](Self::timeout) zero, and go on
    /// after the embedder has looked at its own sockets.
    ///
    /// Octets already read come first, then what the engine has to say, then waiting writes, then the next
    /// connection is read: one buffer's worth, after which it goes to the back of the queue.
    ///
    /// # Panics
    /// When another buffer is passed while the former still holds octets of the client's.
    pub fn poll_event<'b>(&mut self, now: Instant, buf: &'b mut ReadBuf) -> Option<Event<'b>> {
        let event = self.advance(now, buf)?;
        Some(event.lend(buf))
    }

    /// As [`Engine::submit`].
    ///
    /// # Errors
    /// As there.
    pub fn submit(
        &mut self,
        now: Instant,
        request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, SubmitError> {
        self.engine.submit(now, request, tag)
    }

    /// As [`Engine::new_request`].
    pub fn new_request(&mut self) -> Request {
        self.engine.new_request()
    }

    /// As [`Engine::write_stdin`].
    ///
    /// # Errors
    /// As there.
    pub fn write_stdin(
        &mut self,
        now: Instant,
        request: RequestHandle,
        octets: &[u8],
    ) -> Result<usize, StdinError> {
        self.engine.write_stdin(now, request, octets)
    }

    /// As [`Engine::finish_stdin`].
    ///
    /// # Errors
    /// As there.
    pub fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError> {
        self.engine.finish_stdin(now, request)
    }

    /// As [`Engine::abort`].
    pub fn abort(&mut self, now: Instant, request: RequestHandle) {
        self.engine.abort(now, request);
    }

    /// As [`Engine::pause`].
    pub fn pause(&mut self, now: Instant, request: RequestHandle) {
        self.engine.pause(now, request);
    }

    /// As [`Engine::resume`].
    pub fn resume(&mut self, now: Instant, request: RequestHandle) {
        self.engine.resume(now, request);
    }

    /// As [`Engine::get_values`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn get_values(
        &mut self,
        now: Instant,
        server: usize,
        tag: Tag,
    ) -> Result<RequestHandle, SubmitError> {
        self.engine.get_values(now, server, tag)
    }

    /// As [`Engine::set_limits`].
    ///
    /// # Errors
    /// As there, and [`ConfigError::TooFewTokens`].
    pub fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError> {
        check_tokens(&self.tokens, self.engine.config().servers.len(), &limits)?;
        self.engine.set_limits(now, limits)
    }

    /// As [`Engine::shutdown`].
    pub fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        self.engine.shutdown(now, deadline);
    }

    /// As [`Engine::is_idle`].
    pub fn is_idle(&self) -> bool {
        self.engine.is_idle()
    }

    /// As [`Engine::stats`].
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// As [`Engine::config`], the servers resolved.
    pub fn config(&self) -> &Config {
        self.engine.config()
    }

    fn advance(&mut self, now: Instant, buf: &mut ReadBuf) -> Option<Located> {
        loop {
            if let Some((connection, identity)) = self.reading {
                assert_eq!(
                    identity,
                    buf.identity(),
                    "another ReadBuf was passed while the former holds octets of the client's"
                );
                if let Some(event) = self.take_read(now, connection, buf) {
                    return Some(event);
                }
                self.reading = None;
            }
            if let Some(event) = self.engine.poll_event(buf.memory()) {
                return Some(Located::at_start(event));
            }
            if let Some(action) = self.engine.poll_action() {
                self.act(now, action);
                continue;
            }
            let Some(index) = self.ready.pop_front() else {
                std::mem::swap(&mut self.ready, &mut self.next_round);
                return None;
            };
            self.turn(now, index as usize, buf);
        }
    }

    /// The next event out of octets that are in the buffer.
    fn take_read(
        &mut self,
        now: Instant,
        connection: ConnectionHandle,
        buf: &mut ReadBuf,
    ) -> Option<Located> {
        let mut input = buf.unread();
        let event = self.engine.poll_received(now, connection, &mut input);
        let left = input.len();
        match event {
            Some(Event::Stdout { request, tag, data }) => {
                let len = data.len();
                let end = buf.keep_last(left);
                Some(Located::Stdout(request, tag, end - len..end))
            }
            Some(Event::Stderr { request, tag, data }) => {
                let len = data.len();
                let end = buf.keep_last(left);
                Some(Located::Stderr(request, tag, end - len..end))
            }
            Some(event) => {
                let located = Located::at_start(event);
                buf.keep_last(left);
                Some(located)
            }
            None => {
                buf.keep_last(left);
                None
            }
        }
    }

    fn act(&mut self, now: Instant, action: Action) {
        match action {
            Action::Connect { connection, server } => self.connect(now, connection, server),
            Action::Close { connection, reason } => {
                if let Some(slot) = self.take_slot(connection) {
                    trace!("token {}: closed, {reason:?}", self.token(slot.handle).0);
                }
            }
            Action::Flush { connection } => {
                if let Some(slot) = self.slot_mut(connection) {
                    let may_write = slot.writable && slot.phase == Phase::Open;
                    if may_write {
                        self.write(now, connection.index());
                    }
                }
            }
            Action::Read { connection } => {
                if self.slot_mut(connection).is_some_and(|slot| slot.readable) {
                    self.enqueue(connection.index());
                }
            }
        }
    }

    fn connect(&mut self, now: Instant, handle: ConnectionHandle, server: usize) {
        let address = &self.engine.config().servers[server];
        let socket = Socket::connect(address).and_then(|mut socket| {
            let interests = Interest::READABLE | Interest::WRITABLE;
            let token = self.token(handle);
            self.registry.register(&mut socket, token, interests)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => {
                let index = handle.index();
                if self.slots.len() <= index {
                    self.slots.resize_with(index + 1, || None);
                }
                self.slots[index] = Some(Slot {
                    handle,
                    socket,
                    phase: Phase::Connecting,
                    readable: false,
                    // A Unix socket is connected at once, without an event to say so.
                    writable: true,
                    peer_closed: false,
                    queued: false,
                });
                self.enqueue(index);
            }
            Err(error) => {
                debug!(
                    "connection {}: not connected to {address}, {error}",
                    handle.index
                );
                let why = match (error.kind(), address) {
                    (io::ErrorKind::WouldBlock, Address::Unix(_) | Address::Abstract(_)) => {
                        Disconnected::BacklogFull
                    }
                    (kind, _) => Disconnected::ConnectFailed(kind),
                };
                self.engine.handle_closed(now, handle, why);
            }
        }
    }

    /// One connection's turn: finish its connect, write what waits, read one buffer's worth.
    fn turn(&mut self, now: Instant, index: usize, buf: &mut ReadBuf) {
        let Some(Some(slot)) = self.slots.get_mut(index) else {
            return;
        };
        slot.queued = false;
        if slot.phase == Phase::Connecting {
            if !slot.writable {
                return;
            }
            match slot.socket.is_connected() {
                Ok(true) => {
                    slot.phase = Phase::Open;
                    let handle = slot.handle;
                    self.engine.handle_connected(now, handle);
                }
                Ok(false) => {
                    slot.writable = false;
                    return;
                }
                Err(error) => {
                    debug!("connection {index}: not connected, {error}");
                    let why = Disconnected::ConnectFailed(error.kind());
                    self.lose(now, index, why);
                    return;
                }
            }
        }
        let Some(Some(slot)) = self.slots.get(index) else {
            return;
        };
        if slot.writable && slot.phase == Phase::Open {
            self.write(now, index);
        }
        let Some(Some(slot)) = self.slots.get(index) else {
            return;
        };
        if slot.readable && self.engine.wants_read(slot.handle) {
            self.read(now, index, buf);
        }
    }

    /// Writes until there is nothing more, the socket is full, or the turn is over.
    fn write(&mut self, now: Instant, index: usize) {
        let mut left = WRITE_TURN;
        while let Some(Some(slot)) = self.slots.get_mut(index) {
            if !self.engine.wants_write(slot.handle) {
                return;
            }
            let slices = self.engine.transmit(slot.handle);
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            let written = match slices[..] {
                [slice] => slot.socket.write(&slice),
                _ => slot.socket.write_vectored(&slices),
            };
            match written {
                Ok(written) if written > 0 => {
                    let handle = slot.handle;
                    // A short write means a full socket on Linux, and an edge will tell.
                    if written < offered && cfg!(target_os = "linux") {
                        slot.writable = false;
                    }
                    let is_full = !slot.writable;
                    self.engine.handle_transmitted(now, handle, written);
                    left = left.saturating_sub(written);
                    if is_full {
                        return;
                    }
                    if left == 0 {
                        self.enqueue_again(index);
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    slot.writable = false;
                    return;
                }
                other => {
                    debug!("connection {index}: write failed, {other:?}");
                    // The application may have answered before it closed: that is read first.
                    slot.phase = Phase::ReadOnly;
                    slot.readable = true;
                    slot.peer_closed = true;
                    self.enqueue(index);
                    return;
                }
            }
        }
    }

    fn read(&mut self, now: Instant, index: usize, buf: &mut ReadBuf) {
        let Some(Some(slot)) = self.slots.get_mut(index) else {
            return;
        };
        let memory = buf.memory();
        let read = loop {
            match slot.socket.read(memory) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => self.lose(now, index, Disconnected::Eof),
            Ok(len) => {
                // Edge-triggered: a short read has drained the socket, and what comes later is announced;
                // the end of the stream was perhaps announced already.
                let drained = len < memory.len() && cfg!(unix) && !slot.peer_closed;
                let handle = slot.handle;
                slot.readable = !drained;
                buf.filled(len);
                self.reading = Some((handle, buf.identity()));
                if !drained {
                    self.enqueue_again(index);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => slot.readable = false,
            Err(error) => {
                debug!("connection {index}: read failed, {error}");
                self.lose(now, index, Disconnected::Failed(error.kind()));
            }
        }
    }

    /// A connection ended on its own.
    fn lose(&mut self, now: Instant, index: usize, why: Disconnected) {
        if let Some(Some(slot)) = self.slots.get(index) {
            let handle = slot.handle;
            self.take_slot(handle);
            self.engine.handle_closed(now, handle, why);
        }
    }

    /// Deregisters and drops a socket.
    fn take_slot(&mut self, handle: ConnectionHandle) -> Option<Slot> {
        let slot = self.slots.get_mut(handle.index())?;
        if slot.as_ref()?.handle != handle {
            return None;
        }
        let mut slot = slot.take()?;
        // It is closed next, which takes it off the poll in any case.
        let _ = self.registry.deregister(&mut slot.socket);
        Some(slot)
    }

    fn slot_mut(&mut self, handle: ConnectionHandle) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(handle.index())?.as_mut()?;
        (slot.handle == handle).then_some(slot)
    }

    fn token(&self, handle: ConnectionHandle) -> Token {
        Token(self.tokens.start + handle.index())
    }

    /// Has a connection go on in this round.
    fn enqueue(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push_back(index as u32);
        }
    }

    /// Has a connection go on in the next round.
    fn enqueue_again(&mut self, index: usize) {
        if let Some(Some(slot)) = self.slots.get_mut(index)
            && !slot.queued
        {
            slot.queued = true;
            self.next_round.push_back(index as u32);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            let _ = self.registry.deregister(&mut slot.socket);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("engine", &self.engine)
            .field("tokens", &self.tokens)
            .field("ready", &(self.ready.len() + self.next_round.len()))
            .finish_non_exhaustive()
    }
}

/// An event whose data is a range of the read buffer: this is what lets a loop over borrowed octets return
/// from its middle.
enum Located {
    Stdout(RequestHandle, Tag, Range<usize>),
    Stderr(RequestHandle, Tag, Range<usize>),
    Other(Event<'static>),
}

impl Located {
    /// An event whose data, if any, is at the start of the buffer.
    fn at_start(event: Event<'_>) -> Self {
        match event {
            Event::Stdout { request, tag, data } => Self::Stdout(request, tag, 0..data.len()),
            Event::Stderr { request, tag, data } => Self::Stderr(request, tag, 0..data.len()),
            Event::StdoutEnd { request, tag } => Self::Other(Event::StdoutEnd { request, tag }),
            Event::StdinReady { request, tag } => Self::Other(Event::StdinReady { request, tag }),
            Event::Values {
                request,
                tag,
                values,
            } => Self::Other(Event::Values {
                request,
                tag,
                values,
            }),
            Event::End {
                request,
                tag,
                outcome,
            } => Self::Other(Event::End {
                request,
                tag,
                outcome,
            }),
            Event::ShutDown => Self::Other(Event::ShutDown),
        }
    }

    fn lend(self, buf: &ReadBuf) -> Event<'_> {
        match self {
            Self::Stdout(request, tag, range) => {
                let data = buf.octets(range);
                Event::Stdout { request, tag, data }
            }
            Self::Stderr(request, tag, range) => {
                let data = buf.octets(range);
                Event::Stderr { request, tag, data }
            }
            Self::Other(event) => event,
        }
    }
}

fn check_tokens(tokens: &Range<usize>, servers: usize, limits: &Limits) -> Result<(), ConfigError> {
    let connections = limits.max_connections.saturating_mul(servers);
    if tokens.len() < connections {
        return Err(ConfigError::TooFewTokens {
            tokens: tokens.len(),
            connections,
        });
    }
    Ok(())
}

fn invalid(error: ConfigError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
