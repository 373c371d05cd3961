//! The FastCGI client with the sockets cut off: a state machine over octets and instants.
//!
//! [`Client`](crate::Client) joins an [`Engine`] to mio. Drive one yourself for another runtime, for
//! completion-based I/O, or in a test with virtual time; it never reads a clock and never touches a
//! socket.
//!
//! # The four kinds of methods
//! * **Commands** of the embedder: [`submit`](Engine::submit), [`write_stdin`](Engine::write_stdin),
//!   [`finish_stdin`](Engine::finish_stdin), [`abort`](Engine::abort), [`pause`](Engine::pause),
//!   [`resume`](Engine::resume), [`get_values`](Engine::get_values),
//!   [`set_limits`](Engine::set_limits), [`shutdown`](Engine::shutdown).
//! * **Facts** from the driver: [`handle_connected`](Engine::handle_connected),
//!   [`handle_readable`](Engine::handle_readable), [`handle_read_closed`](Engine::handle_read_closed),
//!   [`handle_short_read`](Engine::handle_short_read), [`handle_drained`](Engine::handle_drained),
//!   [`handle_transmitted`](Engine::handle_transmitted),
//!   [`handle_closed`](Engine::handle_closed), [`handle_timeout`](Engine::handle_timeout).
//! * **Outputs**, each taken until `None`: [`poll_received`](Engine::poll_received) while there are
//!   octets to feed, [`poll_event`](Engine::poll_event), [`poll_action`](Engine::poll_action),
//!   [`poll_timeout`](Engine::poll_timeout).
//! * **Getters**: [`transmit`](Engine::transmit), [`wants_write`](Engine::wants_write),
//!   [`wants_read`](Engine::wants_read), [`reads_first`](Engine::reads_first),
//!   [`is_idle`](Engine::is_idle), [`has_output`](Engine::has_output), [`stats`](Engine::stats).
//!
//! Any order is right, and `now` may stand still or come late; an instant earlier than one seen before
//! counts as that one. The same calls with the same instants give the same outputs.
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::{Action, Config, Engine, Event, Request, Tag};
//! use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};
//!
//! let mut config = Config::new("127.0.0.1:9000".parse()?);
//! config.multiplex = mio_fcgi::Multiplex::Off;
//! let mut engine = Engine::new(config)?;
//! let now = Instant::now();
//! engine.submit(now, Request::responder().param("SCRIPT_NAME", "/x.php"), Tag(7))?;
//!
//! let Some(Action::Connect { connection, .. }) = engine.poll_action() else { panic!() };
//! engine.handle_connected(now, connection); // the driver's socket is connected
//! let sent = engine.transmit(connection).iter().map(|slice| slice.len()).sum();
//! engine.handle_transmitted(now, connection, sent); // the driver wrote all of it
//!
//! let mut answer = Vec::new(); // what the driver reads from the socket
//! wire::write_stream(&mut answer, RecordType::Stdout, 1, b"Status: 200 OK\r\n\r\nhello");
//! let protocol_status = ProtocolStatus::RequestComplete;
//! wire::write_end_request(&mut answer, 1, EndRequest { app_status: 0, protocol_status });
//! let mut input = &answer[..];
//! while let Some(event) = engine.poll_received(now, connection, &mut input) {
//!     match event {
//!         Event::Stdout { tag, data, .. } => assert_eq!((tag, data.len()), (Tag(7), 23)),
//!         Event::End { outcome, .. } => assert!(outcome.is_ok()),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod abandon;
mod assign;
#[cfg(debug_assertions)]
mod books;
mod clock;
mod close_reason;
mod commands;
mod connection;
mod connections;
mod deadlines;
mod exchange;
mod facts;
mod held;
mod ids;
mod length;
mod losses;
mod outbox;
mod pool;
mod probe;
mod queue;
mod receive;
mod received;
mod server;
mod settle;
mod source;
mod stall;
mod stats;
#[cfg(test)]
mod table;
mod time;
mod timers;
mod transmit;

pub use close_reason::CloseReason;
pub use outbox::Transmit;
pub(crate) use received::Received;
pub use stats::{ConnectionGauges, Counters, RequestGauges, Stats};

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::address::Address;
use crate::config::{Config, ConfigError};
use crate::event::{ConnectionHandle, Event, RequestHandle};
use crate::params::Params;
use crate::request::Request;
use connection::Connection;
use deadlines::Deadlines;
use exchange::{Exchange, Life};
use outbox::{Bodies, BodySlice, Stream};
use queue::Queue;
use server::Server;
use time::{Time, Timeline};

/// The client's state machine: requests, connections, the pool, the deadlines.
pub struct Engine {
    config: Config,
    servers: Vec<Server>,
    /// By server: requests on its connections, and connections on their way. Apart from the rest, because the least is
    /// looked for with each request: spares 590 of 7,050 instructions among 64 servers.
    loads: Vec<u32>,
    connections: Slab<Connection>,
    exchanges: Slab<Exchange>,
    queue: Queue,
    /// Requests whose body is being collected: they will be in the queue.
    collecting: usize,
    deadlines: Deadlines,
    events: VecDeque<Event<'static>>,
    /// Requests whose held output may be taken.
    drains: VecDeque<RequestHandle>,
    actions: VecDeque<Action>,
    spares: Spares,
    timeline: Timeline,
    next_generation: u32,
    next_serial: u64,
    /// Where the search for a server begins, so that equals take turns.
    rotation: usize,
    /// Requests that the connections being opened will have room for.
    prospects: usize,
    /// Connections being opened for so long that others need not wait for them.
    late: usize,
    /// Servers that could not be connected to for a shortage on this side.
    short: usize,
    /// Most requests that may wait: the limit, or as many as waited when it was lowered.
    queue_ceiling: usize,
    /// Servers that are to be asked whether they multiplex.
    unasked: usize,
    /// Octets held for paused requests.
    held: usize,
    /// The driver reports when there is something to read and when there is not.
    reads_are_told: bool,
    /// There may be more idle connections, or connections, than the limits allow.
    is_untrimmed: bool,
    /// It is looked at after each change: while the client shuts down, and where connections are opened beforehand.
    is_always_unsettled: bool,
    running: Running,
    counters: Counters,
}

/// Memory that went through a request and serves the next.
#[derive(Default)]
struct Spares {
    outbox: outbox::Spares,
    params: Vec<Params>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Yes,
    Stopping { deadline: Option<Time> },
    Stopped,
}

/// Something the driver is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Connect a new socket, then report [`handle_connected`](Engine::handle_connected) or
    /// [`handle_closed`](Engine::handle_closed). May come again for the same handle, after
    /// [`Disconnected::BacklogFull`].
    Connect {
        /// The engine's name for it.
        connection: ConnectionHandle,
        /// Index into [`Config::servers`].
        server: usize,
    },
    /// Close the socket; the handle is stale already. One that was never connected is ignored.
    Close {
        /// The engine's name for it.
        connection: ConnectionHandle,
        /// Why, for logs.
        reason: CloseReason,
    },
    /// There is something to write: take [`transmit`](Engine::transmit) until it is empty or the socket is
    /// full; then go on when the socket is writable, without a further `Flush`.
    Flush {
        /// The engine's name for it.
        connection: ConnectionHandle,
    },
    /// Read once, whether something was announced or not: [`wants_read`](Engine::wants_read) has become true, and
    /// edge-triggered readiness that was seen meanwhile is not announced again; or a time limit is over, and what it waits
    /// for may be there.
    Read {
        /// The engine's name for it.
        connection: ConnectionHandle,
    },
}

/// How a connection ended, or never began, on the driver's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disconnected {
    /// The connect failed.
    ConnectFailed(io::ErrorKind),
    /// The connect of a Unix socket gave `EAGAIN`: the listener's backlog is full. A new socket is asked for
    /// after a pause.
    BacklogFull,
    /// The application closed it: a read gave 0.
    Eof,
    /// A read or write failed. Report it after everything that could still be read was fed.
    Failed(io::ErrorKind),
    /// The connect failed because this side has no descriptor, port or memory for it: not the server's failure. What is
    /// connected goes on, the rest waits; tried again when a socket of this client's was closed, or after a pause.
    Shortage(io::ErrorKind),
}

impl Engine {
    /// An engine without a connection. Where [`min_idle`](crate::Limits::min_idle) asks for some, the actions that open them
    /// are there at once; time begins with the first call that is given an instant, so let that come first.
    ///
    /// # Errors
    /// Every variant of [`ConfigError`] but [`ConfigError::TooFewTokens`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        // Of all limits this one is the engine's own: a `Client` resolves names first.
        for server in &config.servers {
            if let Address::Host { name, .. } = server {
                return Err(ConfigError::UnresolvedHost { name: name.clone() });
            }
        }
        let mut engine = Self {
            servers: Vec::new(),
            loads: Vec::new(),
            connections: Slab::new(),
            exchanges: Slab::new(),
            queue: Queue::default(),
            collecting: 0,
            deadlines: Deadlines::default(),
            events: VecDeque::new(),
            drains: VecDeque::new(),
            actions: VecDeque::new(),
            spares: Spares::default(),
            timeline: Timeline::new(),
            next_generation: 0,
            next_serial: 0,
            rotation: 0,
            prospects: 0,
            late: 0,
            short: 0,
            queue_ceiling: config.limits.max_queue,
            unasked: 0,
            held: 0,
            reads_are_told: false,
            is_untrimmed: false,
            is_always_unsettled: config.limits.min_idle > 0,
            running: Running::Yes,
            counters: Counters::default(),
            config,
        };
        engine.set_up_servers();
        // Connections that are to be opened beforehand wait for no request, and for no time to pass.
        engine.settle(Time::START);
        Ok(engine)
    }

    /// The configuration, with the limits as they are now.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// An empty request whose memory comes from one that has ended: with it, a steady state allocates nothing.
    pub fn new_request(&mut self) -> Request {
        let mut request = Request::responder();
        if let Some(params) = self.spares.params.pop() {
            request.params = params;
        }
        request
    }

    /// The next thing the driver is asked to do. In the order given.
    #[inline]
    #[must_use = "an action is asked for once"]
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            return None;
        }
        self.next_action()
    }

    fn next_action(&mut self) -> Option<Action> {
        loop {
            let action = self.actions.pop_front()?;
            match action {
                Action::Close { .. } => {}
                Action::Flush { connection } => match self.connection_key(connection) {
                    Some(key) => self.connections[key].flush_asked = false,
                    None => continue,
                },
                Action::Read { connection } => match self.connection_key(connection) {
                    Some(key) => self.connections[key].read_asked = false,
                    None => continue,
                },
                Action::Connect { connection, .. } => {
                    if self.connection_key(connection).is_none() {
                        continue;
                    }
                }
            }
            return Some(action);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, perhaps a little early; `None` when
    /// nothing is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timeline.instant(self.deadlines.next()?)
    }

    /// How long it is until then.
    pub(crate) fn until_timeout(&self, now: Instant) -> Option<Duration> {
        let due = self.deadlines.next()?;
        Some(due.saturating_duration_since(self.timeline.peek(now)))
    }

    /// Whether [`poll_event`](Self::poll_event) or [`poll_action`](Self::poll_action) has something.
    #[inline]
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.events.is_empty()
            || !self.actions.is_empty()
            || !self.drains.is_empty()
            || self.is_stopped_now()
    }

    /// Whether no request and no connection is left: the check against leaks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.exchanges.is_empty() && self.connections.is_empty()
    }

    /// What to write to a connection next: slices for one vectored write. Report what was taken with
    /// [`handle_transmitted`](Self::handle_transmitted), then look again. Empty when there is nothing, or
    /// when the handle is stale.
    ///
    /// The slices are valid until the next `&mut` call on the engine, which may move or drop what they show: for a write
    /// that is not over by then, [`poll_transmit`](Self::poll_transmit) copies.
    #[inline]
    #[must_use]
    pub fn transmit(&self, connection: ConnectionHandle) -> Transmit<'_> {
        match self.connection(connection) {
            // One that is being opened has nothing to send yet.
            Some(connection) => connection.outbox.slices(&self.exchanges),
            None => Transmit::nothing(),
        }
    }

    /// Whether [`transmit`](Self::transmit) has something.
    #[inline]
    #[must_use]
    pub fn wants_write(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(|connection| connection.outbox.unsent() > 0)
    }

    /// Whether a connection is to be read: false while it is being opened, while its only request is
    /// paused, and while its budget for paused requests is used up. Idle ones are read too: one that closes or
    /// speaks is evicted at once.
    #[inline]
    #[must_use]
    pub fn wants_read(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(|connection| !connection.is_connecting() && !connection.read_blocked)
    }

    #[inline]
    fn tick(&mut self, now: Instant) -> Time {
        self.timeline.tick(now)
    }

    fn generation(&mut self) -> u32 {
        self.next_generation = self.next_generation.wrapping_add(1);
        self.next_generation
    }

    #[inline]
    fn connection_key(&self, handle: ConnectionHandle) -> Option<usize> {
        let key = handle.index as usize;
        let connection = self.connections.get(key)?;
        (connection.generation == handle.generation).then_some(key)
    }

    #[inline]
    fn connection(&self, handle: ConnectionHandle) -> Option<&Connection> {
        let connection = self.connections.get(handle.index as usize)?;
        (connection.generation == handle.generation).then_some(connection)
    }

    /// The slab key of a request whose `End` is not out.
    #[inline]
    fn exchange_key(&self, handle: RequestHandle) -> Option<u32> {
        let exchange = self.exchanges.get(handle.index as usize)?;
        let is_it = exchange.generation == handle.generation
            && !matches!(exchange.life, Life::Aborting { .. });
        is_it.then_some(handle.index)
    }
}

impl Bodies for Slab<Exchange> {
    fn body(&self, slice: BodySlice) -> &[u8] {
        // A slice is absorbed before its exchange goes, so the key is never another's.
        let Some(exchange) = self.get(slice.exchange as usize) else {
            return &[];
        };
        match slice.stream {
            Stream::Stdin => exchange.stdin.octets(slice.offset, slice.len),
            Stream::Data => match &exchange.data {
                Some(data) => data.octets(slice.offset, slice.len),
                None => &[],
            },
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("stats", &self.stats())
            .field("next_due", &self.next_due())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tag;

    #[test]
    fn the_wait_for_the_next_deadline_counts_from_the_callers_instant_and_is_nothing_behind_it() {
        let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        assert_eq!(engine.until_timeout(now), None);
        let submitted = engine.submit(now, Request::responder(), Tag(0));
        submitted.expect("accepted");
        let connect = engine.config.connect_timeout;
        let third = connect / 3;
        assert_eq!(engine.until_timeout(now), Some(connect));
        assert_eq!(engine.until_timeout(now + third), Some(connect - third));
        assert_eq!(
            engine.until_timeout(now + 2 * connect),
            Some(Duration::ZERO)
        );
    }
}
