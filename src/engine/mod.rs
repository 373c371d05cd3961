//! The FastCGI client without sockets: a state machine over bytes and instants.
//!
//! [`Client`](crate::Client) joins an [`Engine`] to mio. Drive an engine yourself for another runtime, for
//! completion-based I/O, or in a test with virtual time. It never reads a clock and never touches a socket.
//!
//! # The four kinds of methods
//! * **Commands** of the embedder: [`submit`](Engine::submit), [`write_stdin`](Engine::write_stdin),
//!   [`finish_stdin`](Engine::finish_stdin), [`abort`](Engine::abort), [`pause`](Engine::pause),
//!   [`resume`](Engine::resume), [`get_values`](Engine::get_values),
//!   [`set_limits`](Engine::set_limits), [`set_servers`](Engine::set_servers), [`shutdown`](Engine::shutdown).
//! * **Facts** from the driver: [`handle_connected`](Engine::handle_connected),
//!   [`handle_readable`](Engine::handle_readable), [`handle_read_closed`](Engine::handle_read_closed),
//!   [`handle_short_read`](Engine::handle_short_read), [`handle_drained`](Engine::handle_drained),
//!   [`handle_transmitted`](Engine::handle_transmitted),
//!   [`handle_closed`](Engine::handle_closed), [`handle_timeout`](Engine::handle_timeout).
//! * **Outputs**, each taken until `None`: [`poll_received`](Engine::poll_received) while there are
//!   bytes to feed, [`poll_pending`](Engine::poll_pending), [`poll_action`](Engine::poll_action).
//! * **Getters**: [`transmit`](Engine::transmit), [`wants_write`](Engine::wants_write),
//!   [`wants_read`](Engine::wants_read), [`reads_first`](Engine::reads_first),
//!   [`timeout`](Engine::timeout), [`deadline`](Engine::deadline), [`is_idle`](Engine::is_idle),
//!   [`is_shut_down`](Engine::is_shut_down),
//!   [`has_output`](Engine::has_output), [`stats`](Engine::stats), [`requests`](Engine::requests),
//!   [`connections`](Engine::connections), [`servers`](Engine::servers),
//!   [`server_address`](Engine::server_address).
//!
//! Methods may be called in any order. `now` may repeat or be late; an instant earlier than one passed before counts as
//! that one. The same calls with the same instants give the same outputs.
//!
//! ```
//! use std::time::Instant;
//! use mio_fcgi::{Action, Config, Engine, EventKind, Request, Tag};
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
//!     match event.kind {
//!         EventKind::Stdout(data) => assert_eq!((event.tag, data.len()), (Tag(7), 23)),
//!         EventKind::End(outcome) => assert!(outcome.is_ok()),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules
//! The engine has three modules with state of their own: a slab of connection state machines that parse records
//! incrementally (`connection/`), the requests (`requests/`) and the pool (`pool/`). Their state is private, each field
//! is written in one file, and other code reads and changes it through methods. These modules do not know the engine.
//! Only a connection borrows the requests, and only the pool reads connections.
//!
//! Code that needs several of them is in the files beside this one. These files call each other in one direction, and
//! no method calls itself, directly or indirectly. `tests/meta/rooms.rs` checks that for the methods of each type, and
//! `tests/meta/owners.md` lists which file writes which field.
//!
//! ## The path of a request
//! 1. `commands` takes the request; `submit` checks it and adds it to the requests.
//! 2. `pool::placement` selects a connection for the request. If there is none, the request waits in the queue of
//!    `requests`.
//! 3. `settle` serves the queue at the end of each method that may change something, and has `opening` open the
//!    connections that are missing.
//! 4. `sending` puts the request on its connection. As the outbox has room, `connection::heads` frames its head and
//!    `connection::fill` its body, one record per turn.
//! 5. The driver is asked for a write (`Action::Flush`), takes the bytes (`transmit`) and reports them (`driver`). The
//!    clock of the response starts with the last byte.
//! 6. Each record of the response names the request by its ID (`connection::receive`). Its output is borrowed by the
//!    embedder, or buffered while the request is paused.
//! 7. The application ends the request (`records`): `ending` removes it from its connection and frees its ID, or
//!    quarantines the ID if the request was not sent as a whole. A rejected request goes back to the queue if a retry
//!    is allowed.
//! 8. `requests` makes the `End`; no other code does. If output was buffered, the `End` follows after the output was
//!    taken.
//! 9. `closing` releases the connection, which becomes idle or is closed if a limit requires it.
//! 10. If the connection is lost, `closing` decides with `requests::attempts` whether the request is queued again or
//!     ends. If the request is given up, `stopping` ends it at once and drops its buffered output. Its connection is
//!     closed or, if other requests share it, an `FCGI_ABORT_REQUEST` is sent, unless nothing of it was framed.
//!
//! ## The path of a read
//! 1. The driver reports the state of the socket (`driver`): readable, at its end, empty.
//! 2. It reads, and feeds the bytes to `poll_received` (`outputs`).
//! 3. The connection with that handle parses one record, or a piece of one (`connection::receive`).
//! 4. It finds the request by its ID. A record that comes before its request was sent, or for an ID that was never
//!    used, is a protocol violation; a late record is dropped. So is an answer of the server to a question of which
//!    nothing was sent.
//! 5. It notes the output in the request and returns what was received as a `Received`.
//! 6. `records` acts on the `Received`: an event for the embedder, the end of a request, a reply of the server, a
//!    violation.
//! 7. Output is passed on as a borrow of the fed bytes; output of a paused request is copied.
//! 8. When the bytes are used up, freed IDs may be used again, and expired time limits that waited for the read take
//!    effect (`due`).
//! 9. An idle connection is used again only if it is between two records and its socket is empty, as far as the driver
//!    has reported.
//! 10. `settle` runs after each event that is not output, after each end of a request, and at the end of the read.
//!
//! ## The path of a time limit
//! A time limit is armed where it begins (`Timers::arm_limit`), with an entry that may fire too early. When the entry
//! fires, `due` checks what is due now: for a request in `requests::clock`, for a connection in `timeouts`, for a
//! server in `pool`. A limit that is not due yet is armed again. Before a limit on the application's output takes
//! effect, the socket is read (`connection::receive`, `look_first`). A limit on a pause waits for no read.
//!
//! ## The path of a pause
//! `pause` arms the limit of the pause, and counts the request in the budget of its connection (`connection::budget`).
//! For a request that was paused in the queue, `sending` does so. A connection is not read while a
//! paused request is alone on it. Otherwise the output is buffered (`requests::output`) and counted for the request,
//! for the connection and for the client (`requests::kept`). After `resume`, `poll_pending` returns the buffered output
//! (`outputs`), and `backpressure` has the connection read again.

mod action;
mod backpressure;
mod checking;
mod close_reason;
mod closing;
mod commands;
mod connection;
mod driver;
mod due;
mod ending;
mod expected;
mod getters;
#[cfg(feature = "testkit")]
mod inside;
#[cfg(debug_assertions)]
mod invariants;
mod lifecycle;
mod listing;
mod opening;
mod outputs;
mod pending;
mod pool;
mod probing;
mod raw_event;
mod records;
mod requests;
mod sending;
mod server_info;
mod servers;
mod settle;
mod stats;
mod stopping;
mod submit;
#[cfg(test)]
mod table;
mod time;
mod timeouts;
mod timers;

pub use action::{Action, Disconnected};
pub use close_reason::CloseReason;
pub use connection::Transmit;
pub use listing::{ConnectionInfo, ConnectionState, RequestInfo, RequestState};
pub(crate) use raw_event::RawEvent;
pub use server_info::ServerInfo;
pub use stats::{ConnectionGauges, Counters, RequestGauges, Stats};

use std::fmt;

use slab::Slab;

use crate::config::Config;
use crate::config_error::ConfigError;
use connection::{BufferPool, Connection};
use lifecycle::Lifecycle;
use pending::Pending;
use pool::Pool;
use requests::Requests;
use time::{Time, Timeline};
use timers::Timers;

/// The client's state machine: requests, connections, the pool, the timers.
pub struct Engine {
    config: Config,
    lifecycle: Lifecycle,
    timeline: Timeline,
    timers: Timers,
    pool: Pool,
    /// The connections; each is a state machine that parses records incrementally.
    connections: Slab<Connection>,
    requests: Requests,
    pending: Pending,
    /// Memory of outboxes that have nothing to send, for reuse.
    buffers: BufferPool,
    /// Whether the driver reports when a socket has something to read and when it is empty.
    reads_are_reported: bool,
    counters: Counters,
}

impl Engine {
    /// Makes an engine without connections. If [`min_idle_per_server`](crate::Limits::min_idle_per_server) is above 0,
    /// the actions that open these connections are available at once. Time begins with the first call that takes an
    /// instant, so make such a call before carrying out these actions.
    ///
    /// # Errors
    /// Every variant of [`ConfigError`] except [`ConfigError::TooFewTokens`] and [`ConfigError::TooManyClients`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        // Only the engine has this restriction: a `Client` resolves names before it makes the engine.
        servers::check_resolved(&config.servers)?;
        let mut engine = Self {
            lifecycle: Lifecycle::new(config.limits.min_idle_per_server > 0),
            timeline: Timeline::new(),
            timers: Timers::default(),
            pool: Pool::new(&config),
            connections: Slab::new(),
            requests: Requests::new(
                config.limits.max_queued_requests,
                config.pause_buffer.per_client,
                config.timeouts,
            ),
            pending: Pending::default(),
            buffers: BufferPool::default(),
            reads_are_reported: false,
            counters: Counters::default(),
            config,
        };
        engine.arm_checks(Time::START);
        // Connections opened in advance wait neither for a request nor for time to pass.
        engine.settle(Time::START);
        Ok(engine)
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
    use crate::{Request, Tag};
    use std::time::{Duration, Instant};

    #[test]
    fn the_next_deadline_counts_from_the_callers_instant_and_is_never_before_it() {
        let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        assert_eq!((engine.timeout(now), engine.deadline(now)), (None, None));
        let submitted = engine.submit(now, Request::responder(), Tag(0));
        submitted.expect("accepted");
        let connect = engine.config.connect_timeout;
        let third = connect / 3;
        assert_eq!(engine.timeout(now), Some(connect));
        assert_eq!(engine.deadline(now), Some(now + connect));
        assert_eq!(engine.timeout(now + third), Some(connect - third));
        assert_eq!(engine.deadline(now + third), Some(now + connect));
        assert_eq!(engine.timeout(now + 2 * connect), Some(Duration::ZERO));
        let later = now + 2 * connect;
        assert_eq!(engine.deadline(later), Some(later));
    }
}
