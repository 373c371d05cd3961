//! The client that people embed: what they call, and what it hands them.

use std::fmt;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token};

use super::read_buf::{Owner, ReadBuf};
use super::turns::Turns;
use crate::config::{Config, ConfigError, Limits};
use crate::engine::{Engine, Stats};
use crate::error::{Refused, StdinError, SubmitError};
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
/// 5. sockets of the embedder's own
///
/// Commands may be given at any time, also while an event's data is being looked at: events borrow the
/// [`ReadBuf`], not the client. Any order is right: as long as there is work, [`timeout`](Self::timeout) is
/// zero. Commands in steps 4 and 5 find the most connections free: one that `handle_event` has noted as readable is out
/// of the pool until it was read.
///
/// Not promised: which connection a request goes out on, and how output is cut into events.
pub struct Client {
    engine: Engine,
    /// The sockets, and what they do in their turns.
    turns: Turns,
    /// The connection whose bytes are in the read buffer.
    reading: Option<ConnectionHandle>,
    /// What the read buffer knows this client by.
    owner: Owner,
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
        let mut engine = Engine::new(config).map_err(invalid)?;
        engine.expect_reports();
        Ok(Self {
            engine,
            turns: Turns::new(registry.try_clone()?, tokens),
            reading: None,
            owner: Owner::default(),
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
        if self.reading.is_some() || !self.turns.is_empty() || self.engine.has_output() {
            return Some(Duration::ZERO);
        }
        self.engine.until_timeout(now)
    }

    /// Notes a readiness event, without any I/O. False when its token is not one of the client's: then it is the
    /// embedder's. A late event of a closed connection is a spurious readiness and harmless.
    ///
    /// An idle connection with something to read is given to no request from here on, until a read in
    /// [`poll_event`](Self::poll_event) has found it open and empty.
    pub fn handle_event(&mut self, event: &mio::event::Event) -> bool {
        self.turns.note_event(&mut self.engine, event)
    }

    /// Time has passed; early or twice is harmless.
    ///
    /// A limit of a request on a connection that is over has the socket read in [`poll_event`](Self::poll_event) first,
    /// and counts when the answer was not in it. The limits of requests in the queue count at once.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.turns.has_connects() && self.engine.until_timeout(now) == Some(Duration::ZERO) {
            self.turns.finish_connects(&mut self.engine, now);
        }
        self.engine.handle_timeout(now);
    }

    /// The next event. Reads, writes and connects as needed; `None` when each connection with something to do had
    /// its turn, or several.
    ///
    /// Bytes already read come first, then what the engine has to report, then waiting writes, then the next
    /// connection is read: one buffer's worth, after which it goes to the back of the queue. When all have had their
    /// turn, those with more to do have another, in rounds, until 16 buffers' worth have been read and written since
    /// the last `None`; the round in which that happens is the last. What is left then makes
    /// [`timeout`](Self::timeout) zero, and goes on after the embedder has looked at its own sockets.
    ///
    /// # Panics
    /// When another buffer is passed while the former still holds bytes of the client's, and when this one holds bytes of
    /// another client's.
    #[must_use = "an event is not announced twice"]
    pub fn poll_event<'b>(
        &mut self,
        now: Instant,
        buf: &'b mut ReadBuf,
    ) -> Option<Event<&'b [u8]>> {
        buf.claim(&self.owner, self.reading.is_some());
        loop {
            if let Some(connection) = self.reading {
                let mut input = buf.unread();
                let received = self.engine.next_received(now, connection, &mut input);
                let left = input.len();
                let end = buf.keep_last(left);
                if let Some(received) = received {
                    return Some(received.into_event(buf.bytes(..end)));
                }
                self.reading = None;
                buf.release();
            }
            if let Some(received) = self.engine.next_event(buf.memory()) {
                return Some(received.into_event_at_front(buf.bytes(..)));
            }
            if let Some(action) = self.engine.poll_action() {
                self.turns.act(&mut self.engine, now, action);
                continue;
            }
            let index = self.turns.next(buf.len())?;
            self.reading = self.turns.take(&mut self.engine, now, index, buf);
        }
    }

    /// Accepts a request: it goes out on an idle connection, or waits until one is free or opened for it. Exactly one
    /// [`EventKind::End`] with its handle and `tag` follows. More at [`Engine::submit`].
    ///
    /// # Errors
    /// [`Refused`], with the reason and the request; then nothing was sent, and no `End` follows.
    pub fn submit(
        &mut self,
        now: Instant,
        request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, Box<Refused>> {
        self.engine.submit(now, request, tag)
    }

    /// Whether [`submit`](Self::submit) would accept a request now, as far as that does not depend on the request. More at
    /// [`Engine::ready`].
    ///
    /// # Errors
    /// [`SubmitError::ShuttingDown`], [`SubmitError::QueueFull`].
    pub fn ready(&self, now: Instant) -> Result<(), SubmitError> {
        self.engine.ready(now)
    }

    /// An empty request whose memory comes from one that has ended: with it, a steady state allocates nothing.
    pub fn new_request(&mut self) -> Request {
        self.engine.new_request()
    }

    /// Hands over bytes of a [pushed](crate::Body::pushed) body; returns how many were taken. Fewer than offered
    /// means full: [`EventKind::StdinReady`] follows when there is room. More at [`Engine::write_stdin`].
    ///
    /// # Errors
    /// [`StdinError`], all variants but `TooShort`. Nothing was taken then, and the request goes on.
    pub fn write_stdin(
        &mut self,
        now: Instant,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        self.engine.write_stdin(now, request, bytes)
    }

    /// Ends a [pushed](crate::Body::pushed) body: a duty, the application waits for it. More at
    /// [`Engine::finish_stdin`].
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`]; [`StdinError::TooShort`] when fewer
    /// bytes were written than declared, and then the request fails.
    pub fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError> {
        self.engine.finish_stdin(now, request)
    }

    /// Ends a request early, in the way that the application notices; its `End` says
    /// [`RequestError::Aborted`](crate::RequestError::Aborted). A stale handle is ignored. More at [`Engine::abort`].
    pub fn abort(&mut self, now: Instant, request: RequestHandle) {
        self.engine.abort(now, request);
    }

    /// Stops the output events of a request until [`resume`](Self::resume): the socket is not read, or, when others
    /// share it, the output is held within [`PauseBuffer`](crate::PauseBuffer). A stale handle is ignored. More at
    /// [`Engine::pause`].
    pub fn pause(&mut self, now: Instant, request: RequestHandle) {
        self.engine.pause(now, request);
    }

    /// Lets a paused request's events come again, those held first. A stale handle is ignored.
    pub fn resume(&mut self, now: Instant, request: RequestHandle) {
        self.engine.resume(now, request);
    }

    /// Asks a server what it says of itself: a health check that runs no script. [`EventKind::Values`] and `End` follow.
    /// More at [`Engine::get_values`].
    ///
    /// # Errors
    /// [`SubmitError::ShuttingDown`]; [`SubmitError::QueueFull`], with a limit of 1 while this server is being asked
    /// already, with that of [`Limits::max_queued_requests`] when there is no room to wait.
    ///
    /// # Panics
    /// When `server` is not an index of [`Config::servers`], the resolved ones: see [`config`](Self::config).
    pub fn get_values(
        &mut self,
        now: Instant,
        server: usize,
        tag: Tag,
    ) -> Result<RequestHandle, SubmitError> {
        self.engine.get_values(now, server, tag)
    }

    /// Changes the caps. Idle connections above them are closed now, busy ones when they become idle.
    ///
    /// # Errors
    /// As [`Limits::validate`], and [`ConfigError::TooFewTokens`]; then nothing is changed.
    pub fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError> {
        check_tokens(
            self.turns.tokens(),
            self.engine.config().servers.len(),
            &limits,
        )?;
        self.engine.set_limits(now, limits)
    }

    /// Takes no further request, finishes those accepted, closes connections as they become idle. When the last
    /// socket is closed, [`is_shut_down`](Self::is_shut_down) returns true. What is left at `deadline` fails with
    /// [`RequestError::ShutDown`](crate::RequestError::ShutDown).
    pub fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        self.engine.shutdown(now, deadline);
    }

    /// Whether [`shutdown`](Self::shutdown) was called and is complete: no request is left, and every socket is closed.
    /// Look after each turn of the loop; [`timeout`](Self::timeout) is zero once when it becomes true.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.engine.is_shut_down()
    }

    /// Whether no request and no connection is left: the check against leaks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.engine.is_idle()
    }

    /// Gauges and counters; the cost is that of walking all requests and connections.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The configuration: the servers resolved, the limits as they are now.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.engine.config()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("engine", &self.engine)
            .field("tokens", self.turns.tokens())
            .field("ready", &self.turns.len())
            .finish_non_exhaustive()
    }
}

fn check_tokens(tokens: &Range<usize>, servers: usize, limits: &Limits) -> Result<(), ConfigError> {
    let connections = limits.max_connections_per_server.saturating_mul(servers);
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
