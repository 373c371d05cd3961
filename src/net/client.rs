//! The client that people embed: what they call; [`turns`](super::turns) is what it does then.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token};

use super::read_buf::ReadBuf;
use super::turns::Slot;
use crate::config::{Config, ConfigError, Limits};
use crate::engine::{Engine, Stats};
use crate::error::{StdinError, SubmitError};
use crate::event::{ConnectionHandle, Event, RequestHandle, Tag};
use crate::request::Request;

/// A FastCGI client on the embedder's [`mio::Poll`].
///
/// Each turn of the loop:
///
/// 1. [`wait`](Self::wait), which is `poll.poll(&mut events, client.timeout(now))`
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
    pub(super) engine: Engine,
    pub(super) registry: Registry,
    pub(super) tokens: Range<usize>,
    /// By [`ConnectionHandle::index`], which is also the offset in `tokens`.
    pub(super) slots: Vec<Option<Slot>>,
    /// Indices of slots that have something to do in this round.
    pub(super) ready: VecDeque<u32>,
    /// The same for the next round: they have had their turn. An index is in one of both, once.
    pub(super) next_round: VecDeque<u32>,
    /// Whose octets are in the read buffer, and which buffer that is.
    pub(super) reading: Option<(ConnectionHandle, u64)>,
}

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

    /// Waits in `poll` for as long as [`timeout`](Self::timeout) says. A signal that interrupts it is no error:
    /// `events` is empty then.
    ///
    /// For a loop without deadlines of its own. With some, wait for the shortest of them and `timeout`.
    ///
    /// # Errors
    /// Those of [`Poll::poll`] but for [`io::ErrorKind::Interrupted`].
    pub fn wait(&self, now: Instant, poll: &mut Poll, events: &mut Events) -> io::Result<()> {
        match poll.poll(events, self.timeout(now)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// How long to wait in `poll`: zero while there is work, `None` when nothing is due.
    #[must_use]
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
    #[must_use = "an event is not announced twice"]
    pub fn poll_event<'b>(&mut self, now: Instant, buf: &'b mut ReadBuf) -> Option<Event<'b>> {
        self.advance(now, buf)
    }

    /// Accepts a request, to be sent on an idle connection or to wait in the queue for one; exactly one
    /// [`Event::End`] with its handle and `tag` follows. As [`Engine::submit`].
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

    /// An empty request in the memory of one that has ended. As [`Engine::new_request`].
    pub fn new_request(&mut self) -> Request {
        self.engine.new_request()
    }

    /// Hands over octets of a pushed body and returns how many were taken; when fewer than offered,
    /// [`Event::StdinReady`] follows. As [`Engine::write_stdin`].
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

    /// Ends a pushed body. As [`Engine::finish_stdin`].
    ///
    /// # Errors
    /// As there.
    pub fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError> {
        self.engine.finish_stdin(now, request)
    }

    /// Ends a request early; its [`Event::End`] is still to come. As [`Engine::abort`].
    pub fn abort(&mut self, now: Instant, request: RequestHandle) {
        self.engine.abort(now, request);
    }

    /// Stops the output of a request until [`resume`](Self::resume). As [`Engine::pause`].
    pub fn pause(&mut self, now: Instant, request: RequestHandle) {
        self.engine.pause(now, request);
    }

    /// Lets the output of a paused request come again. As [`Engine::resume`].
    pub fn resume(&mut self, now: Instant, request: RequestHandle) {
        self.engine.resume(now, request);
    }

    /// Asks a server what it says of itself: a health check that runs no script. [`Event::Values`] and
    /// [`Event::End`] follow. As [`Engine::get_values`], which says what no answer means.
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

    /// Changes the caps. As [`Engine::set_limits`].
    ///
    /// # Errors
    /// As there, and [`ConfigError::TooFewTokens`].
    pub fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError> {
        check_tokens(&self.tokens, self.engine.config().servers.len(), &limits)?;
        self.engine.set_limits(now, limits)
    }

    /// Takes no further request and finishes those accepted, until `deadline`; then [`Event::ShutDown`]. As
    /// [`Engine::shutdown`].
    pub fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        self.engine.shutdown(now, deadline);
    }

    /// Whether no request and no connection is left. As [`Engine::is_idle`].
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.engine.is_idle()
    }

    /// Gauges and counters. As [`Engine::stats`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The configuration, with the limits as they are now and the servers resolved.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.engine.config()
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
