//! The client: the type that programs embed.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token};

use super::driver::Driver;
use super::read_buf::ReadBuf;
use super::stream::Stream;
use super::system::System;
use super::tokens::check_tokens;
use crate::address::Address;
use crate::config::Config;
use crate::config_error::ConfigError;
use crate::engine::{ConnectionInfo, Engine, RawEvent, RequestInfo, ServerInfo, Stats};
use crate::error::{Refused, StdinError, SubmitError};
use crate::event::{Event, RequestHandle, Tag};
use crate::limits::Limits;
use crate::request::Request;
use crate::server::{GetValuesError, Server, ServerId};

/// A FastCGI client on the embedder's [`mio::Poll`].
///
/// Each turn of the event loop has these steps:
///
/// 1. [`wait`](Self::wait), which is `poll.poll(&mut events, client.timeout(now))`
/// 2. [`handle_event`](Self::handle_event) for each event. It returns `false` for an event of the embedder's own.
/// 3. [`handle_timeout`](Self::handle_timeout)
/// 4. [`poll_event`](Self::poll_event) until it returns `None`. All reading and writing happens in this call,
///    and some writing in [`write_stdin`](Self::write_stdin).
/// 5. the embedder's own sockets
///
/// Commands may be called at any time, also while an event's data is in use: events borrow the [`ReadBuf`], not the
/// client. Any order of calls is right, because [`timeout`](Self::timeout) is zero as long as there is work. Commands
/// in steps 4 and 5 find the most free connections: a connection that `handle_event` has noted as readable takes no
/// request until it was read.
///
/// Not promised: which connection a request uses, and how output is divided into events.
pub struct Client {
    engine: Engine,
    driver: Driver<System>,
}

impl Client {
    /// A client that registers its sockets with `registry` under tokens of `tokens`, one for each connection.
    ///
    /// The embedder must not use any of these tokens. Take a range far from its own ones, such as
    /// `Token(1 << 20)..Token((1 << 20) + 8)`, or below them if they come from a counter that only grows.
    ///
    /// The host names among the servers are resolved here, which **blocks**. A name with N addresses counts as N
    /// servers.
    ///
    /// A client holds one descriptor besides its sockets, a clone of the registry. One client is enough for several
    /// servers, also to address them one by one: see [`Request::server`]. For different settings make one client for each:
    /// [`Clients`](crate::Clients) runs them in one loop.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] with a [`ConfigError`] as its source; an error of the resolver; an error from
    /// cloning the registry.
    pub fn new(registry: &Registry, tokens: Range<Token>, config: Config) -> io::Result<Self> {
        let tokens = tokens.start.0..tokens.end.0;
        Self::on(Arc::new(registry.try_clone()?), tokens, false, config)
    }

    /// A client on a registry that it may share with others. `are_used`: its tokens were those of another client, of which
    /// late events may come.
    pub(super) fn on(
        registry: Arc<Registry>,
        tokens: Range<usize>,
        are_used: bool,
        mut config: Config,
    ) -> io::Result<Self> {
        let mut servers = Vec::new();
        for server in &config.servers {
            for address in server.address.resolve()? {
                servers.push(Server {
                    address,
                    ..server.clone()
                });
            }
        }
        config.servers = servers;
        check_tokens(&tokens, config.servers.len(), &config.limits).map_err(invalid)?;
        let mut engine = Engine::new(config).map_err(invalid)?;
        engine.expect_reports();
        engine.set_capacity(tokens.len());
        let system = System::new(registry, tokens.start);
        Ok(Self {
            engine,
            driver: Driver::new(system, tokens, are_used),
        })
    }

    /// Waits in `poll` for at most [`timeout`](Self::timeout). A signal that interrupts the wait is not an error:
    /// `events` is then empty.
    ///
    /// This is for a loop without deadlines of its own. A loop with deadlines waits for the shortest of them and
    /// `timeout`.
    ///
    /// # Errors
    /// The errors of [`Poll::poll`], except [`io::ErrorKind::Interrupted`].
    pub fn wait(&self, now: Instant, poll: &mut Poll, events: &mut Events) -> io::Result<()> {
        wait(poll, events, self.timeout(now))
    }

    /// How long the loop may wait in `poll`: zero while the client has work to do, `None` when no time limit runs.
    #[must_use]
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        let timeout = self.driver.timeout(&self.engine, now);
        timeout.map(|it| it.min(LONGEST_WAIT))
    }

    /// The end of [`timeout`](Self::timeout) as an instant, for loops that collect deadlines: `now` while the client has
    /// work to do, never before `now`.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.driver.has_work(&self.engine) {
            return Some(now);
        }
        self.engine.deadline(now)
    }

    /// Notes a readiness event, without any I/O. Returns `false` when the token is not one of the client's: the event
    /// is then the embedder's. A late event of a closed connection is a spurious readiness and harmless.
    ///
    /// When the embedder has registered a socket of its own under one of the client's tokens, the client takes the events
    /// of that socket. The client logs a warning, once, for an event whose token none of its connections has ever had. Once
    /// a connection has had the token, nothing shows the mistake.
    ///
    /// An idle connection with something to read is given to no request from here on, until a read in
    /// [`poll_event`](Self::poll_event) has found it open and empty.
    pub fn handle_event(&mut self, event: &mio::event::Event) -> bool {
        let Token(token) = event.token();
        self.driver
            .handle_event(&mut self.engine, token, event.into())
    }

    /// Tells the client that time has passed. Calling it early or twice is harmless.
    ///
    /// When a time limit of a request on a connection has passed, [`poll_event`](Self::poll_event) reads the socket
    /// first. The request times out only if that read does not bring the answer. A request in the queue times out at
    /// once.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.driver.handle_timeout(&mut self.engine, now);
    }

    /// Returns the next event. Reads, writes and connects as needed. `None` when each connection with work had at least
    /// one turn.
    ///
    /// Bytes already read come first, then what the engine has to report, then waiting writes. Then the next connection
    /// is read: at most one buffer, after which the connection goes to the back of the queue. When all connections had
    /// their turn, connections with more work get another turn, in rounds. The last round is the one in which the bytes read
    /// and written since the last `None` reach 16 buffers' worth. The remaining work makes [`timeout`](Self::timeout)
    /// zero and continues after the embedder has handled its own sockets.
    ///
    /// # Panics
    /// When another buffer is passed while the previous one still holds bytes of this client, and when this buffer
    /// holds bytes of another client.
    #[must_use = "an event is not announced twice"]
    pub fn poll_event<'b>(
        &mut self,
        now: Instant,
        buf: &'b mut ReadBuf,
    ) -> Option<Event<&'b [u8]>> {
        self.driver.poll_event(&mut self.engine, now, buf)
    }

    /// Like [`poll_event`](Self::poll_event), but the output of the event is still to be [lent](ReadBuf::lend). A loop
    /// over clients cannot return from its middle what it has borrowed.
    pub(super) fn next_event(&mut self, now: Instant, buf: &mut ReadBuf) -> Option<RawEvent> {
        self.driver.next_event(&mut self.engine, now, buf)
    }

    /// The next event of the bytes in the buffer, without I/O.
    pub(super) fn next_of_read(&mut self, now: Instant, buf: &mut ReadBuf) -> Option<RawEvent> {
        self.driver.next_of_read(&mut self.engine, now, buf)
    }

    /// Accepts a request. It is sent on an idle connection, or waits until a connection is free or was opened for it.
    /// Exactly one [`EventKind::End`](crate::EventKind::End) with the returned handle and `tag` follows. More at [`Engine::submit`].
    ///
    /// # Errors
    /// [`Refused`], with the reason and the request. Nothing was sent then, and no `End` follows.
    pub fn submit(
        &mut self,
        now: Instant,
        request: Request,
        tag: Tag,
    ) -> Result<RequestHandle, Box<Refused>> {
        self.engine.submit(now, request, tag)
    }

    /// Whether [`submit`](Self::submit) would accept a request now, as far as that does not depend on the request. More
    /// at [`Engine::ready`].
    ///
    /// # Errors
    /// [`SubmitError::ShuttingDown`], [`SubmitError::QueueFull`].
    pub fn ready(&self, now: Instant) -> Result<(), SubmitError> {
        self.engine.ready(now)
    }

    /// An empty request that uses the memory of a request that has ended. With it, a steady state allocates nothing.
    pub fn new_request(&mut self) -> Request {
        self.engine.new_request()
    }

    /// Queues bytes of a [pushed](crate::Body::pushed) body and returns how many were taken. Fewer than offered means
    /// full: [`EventKind::StdinReady`](crate::EventKind::StdinReady) follows when there is space again. More at [`Engine::write_stdin`].
    ///
    /// Pieces of 16 KiB and more are written at once, as far as the socket takes them, and not copied. If they complete
    /// the declared length, the end is sent with them. [`poll_event`](Self::poll_event) reports an error of the socket.
    ///
    /// # Errors
    /// [`StdinError`], all variants but `TooShort`. Nothing was taken then, and the request goes on.
    pub fn write_stdin(
        &mut self,
        now: Instant,
        request: RequestHandle,
        bytes: &[u8],
    ) -> Result<usize, StdinError> {
        self.driver
            .write_stdin(&mut self.engine, now, request, bytes)
    }

    /// Ends a [pushed](crate::Body::pushed) body. This call is required, because the application waits for the end.
    /// More at [`Engine::finish_stdin`].
    ///
    /// # Errors
    /// [`StdinError::Gone`], [`StdinError::NotPushed`], [`StdinError::Finished`]; [`StdinError::TooShort`] when fewer
    /// bytes were written than declared, which fails the request.
    pub fn finish_stdin(&mut self, now: Instant, request: RequestHandle) -> Result<(), StdinError> {
        self.engine.finish_stdin(now, request)
    }

    /// Ends a request early: by closing its connection, or with `FCGI_ABORT_REQUEST` on a shared one. Its `End` reports
    /// [`RequestError::Aborted`](crate::RequestError::Aborted). A stale handle is ignored. More at [`Engine::abort`].
    pub fn abort(&mut self, now: Instant, request: RequestHandle) {
        self.engine.abort(now, request);
    }

    /// Stops the output events of a request until [`resume`](Self::resume). The socket is then not read. If other
    /// requests share the socket, it is read, and the output of this request is buffered within
    /// [`PauseBuffer`](crate::PauseBuffer). A stale handle is ignored. More at [`Engine::pause`].
    ///
    /// It takes effect at once: no output event follows, not even for bytes that were read already. So a buffer of yours
    /// that is paused at a mark exceeds the mark by at most one event, which is no longer than the [`ReadBuf`].
    pub fn pause(&mut self, now: Instant, request: RequestHandle) {
        self.engine.pause(now, request);
    }

    /// Continues the output events of a paused request, with the buffered output first. A stale handle is ignored.
    pub fn resume(&mut self, now: Instant, request: RequestHandle) {
        self.engine.resume(now, request);
    }

    /// Asks a server for its capabilities (`FCGI_GET_VALUES`): a health check that runs no script.
    /// [`EventKind::Values`](crate::EventKind::Values) and `End` follow.
    /// `server` is one of [`servers`](Self::servers). More at [`Engine::get_values`].
    ///
    /// # Errors
    /// [`GetValuesError`]: nothing was sent, and no `End` follows.
    pub fn get_values(
        &mut self,
        now: Instant,
        server: ServerId,
        tag: Tag,
    ) -> Result<RequestHandle, GetValuesError> {
        self.engine.get_values(now, server, tag)
    }

    /// Changes the limits. Idle connections above them are closed now, busy ones when they become idle.
    ///
    /// # Errors
    /// The errors of [`Limits::validate`], and [`ConfigError::TooFewTokens`]. Nothing is changed then.
    pub fn set_limits(&mut self, now: Instant, limits: Limits) -> Result<(), ConfigError> {
        check_tokens(
            self.driver.tokens(),
            self.engine.config().servers.len(),
            &limits,
        )?;
        self.engine.set_limits(now, limits)
    }

    /// Replaces the servers: those of the new list are used, removed ones finish what is in flight. More at
    /// [`Engine::set_servers`].
    ///
    /// Host names must be [resolved](crate::Address::resolve) before, since this call does not block. The client never has
    /// more connections than tokens: when the servers together may have more, it waits for a connection to be closed
    /// before it opens another one. A removed server counts until its last connection is closed. How to follow a name that
    /// moves: [`guide::servers`](crate::guide::servers#a-name-that-moves).
    ///
    /// # Errors
    /// Those of [`Engine::set_servers`]. Nothing is changed then.
    pub fn set_servers(&mut self, now: Instant, servers: Vec<Server>) -> Result<(), ConfigError> {
        self.engine.set_servers(now, servers)
    }

    /// Makes the sockets of new connections with `connect`, which the client calls with the server and its address for
    /// each connection, and again for each further attempt. Without a connector it calls [`Stream::connect`]. Connections
    /// that are open already keep their sockets.
    ///
    /// A connector can bind a source address, set socket options, or return one end of a socket pair or a descriptor
    /// that another process has opened. The guide has [an example of each](crate::guide::sockets).
    ///
    /// ```
    /// use mio::{Poll, Token};
    /// use mio_fcgi::{Client, Config, Stream};
    ///
    /// let poll = Poll::new()?;
    /// let config = Config::new("127.0.0.1:9000".parse()?);
    /// let mut client = Client::new(poll.registry(), Token(0)..Token(8), config)?;
    /// client.set_connector(|server, address| {
    ///     println!("connecting to server {server}, {address}");
    ///     Stream::connect(address)
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// What the client relies on:
    ///
    /// - *The call does not block.* It is made by [`poll_event`](Self::poll_event), and the loop waits for it.
    /// - *The stream is connected, or is being connected.* A connect that is under way is no error: where the system
    ///   reports `EINPROGRESS`, return the stream. One that is not connected by [`Config::connect_timeout`] fails.
    /// - *The stream is non-blocking, and in no poll.* The client registers it under one of its tokens, closes it when
    ///   the connection ends, and sets `TCP_NODELAY` on a TCP stream. One that is in the poll already fails with
    ///   [`AlreadyExists`](io::ErrorKind::AlreadyExists).
    /// - *The stream is new.* One that is closed by its peer, or that has bytes to read, fails with
    ///   [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) or [`InvalidData`](io::ErrorKind::InvalidData), and no byte of a
    ///   request is written to it.
    ///
    /// The address is one of [`servers`](Self::servers). A connector may take it as a mere name, such as
    /// `unix:@app`: then nothing has to be bound to it. Host names were resolved by [`new`](Self::new).
    ///
    /// # Errors of the connector
    /// They mean what they mean in a connect of the client's own:
    ///
    /// | error | meaning | what follows |
    /// |-------|---------|--------------|
    /// | [`WouldBlock`](io::ErrorKind::WouldBlock) | the server is up and busy: its backlog is full | another attempt after a pause, until `connect_timeout`; then [`ConnectError::BacklogFull`](crate::ConnectError::BacklogFull) |
    /// | [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable), [`AddrInUse`](io::ErrorKind::AddrInUse), [`OutOfMemory`](io::ErrorKind::OutOfMemory), [`StorageFull`](io::ErrorKind::StorageFull); the system's `EMFILE`, `ENFILE`, `ENOBUFS` | this side has no port, memory or descriptor left | another attempt when a connection of this client was closed, or after a pause; requests wait |
    /// | any other | the server is down | the server gets no request for a pause ([`Config::backoff`]); requests that can use no other one fail with [`ConnectError::Failed`](crate::ConnectError::Failed) |
    ///
    /// # Panics
    /// A panic of `connect` passes through [`poll_event`](Self::poll_event), and its connection fails at
    /// `connect_timeout`. This call itself does not panic.
    pub fn set_connector(
        &mut self,
        connect: impl FnMut(ServerId, &Address) -> io::Result<Stream> + Send + 'static,
    ) {
        self.driver
            .transport_mut()
            .connector()
            .set(Box::new(connect));
    }

    /// Shuts the client down: accepts no further request, finishes the accepted ones and closes connections as they
    /// become idle. When the last socket is closed, [`is_shut_down`](Self::is_shut_down) returns true. Requests left at
    /// `deadline` fail with [`RequestError::ShutDown`](crate::RequestError::ShutDown). A second call replaces the deadline.
    pub fn shutdown(&mut self, now: Instant, deadline: Option<Instant>) {
        self.engine.shutdown(now, deadline);
    }

    /// Whether [`shutdown`](Self::shutdown) was called and is complete: no request is left, and every socket is closed.
    /// Look after each turn of the loop; [`timeout`](Self::timeout) is zero for one more turn when it becomes true.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.engine.is_shut_down()
    }

    /// Whether no request and no connection is left. A check against leaks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.engine.is_idle()
    }

    /// Gauges and counters. The call walks all requests and connections.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The requests that are present, one item each. More at [`Engine::requests`].
    pub fn requests(&self, now: Instant) -> impl Iterator<Item = RequestInfo> + '_ {
        self.engine.requests(now)
    }

    /// The connections that are present, one item each. More at [`Engine::connections`].
    pub fn connections(&self, now: Instant) -> impl Iterator<Item = ConnectionInfo> + '_ {
        self.engine.connections(now)
    }

    /// The servers, one item each. More at [`Engine::servers`].
    pub fn servers(&self, now: Instant) -> impl Iterator<Item = ServerInfo<'_>> + '_ {
        self.engine.servers(now)
    }

    /// The address of a server. More at [`Engine::server_address`].
    #[must_use]
    pub fn server_address(&self, server: ServerId) -> Option<&Address> {
        self.engine.server_address(server)
    }

    /// The configuration, with the servers resolved and the current servers and limits.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.engine.config()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("engine", &self.engine)
            .field("tokens", self.driver.tokens())
            .field("ready", &self.driver.turns_due())
            .finish_non_exhaustive()
    }
}

/// Waits for readiness. An interrupted wait has brought no events.
pub(super) fn wait(
    poll: &mut Poll,
    events: &mut Events,
    timeout: Option<Duration>,
) -> io::Result<()> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        polled => polled,
    }
}

/// What each version of mio can wait for. Before 1.2.1, more milliseconds than an `i32` holds were no limit at all.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 24 * 60 * 60);

pub(super) fn invalid(error: ConfigError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
