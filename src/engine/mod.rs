//! The FastCGI client with the sockets cut off: a state machine over bytes and instants.
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
//!   bytes to feed, [`poll_event`](Engine::poll_event), [`poll_action`](Engine::poll_action),
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
//! # The rooms
//! The engine holds a slab of connection state machines that parse records incrementally (`connection/`), the requests
//! (`requests/`) and the pool (`pool/`). The state of a room is private, and each field is written in one file: what others
//! want of it they ask by a method. The rooms do not know the engine. Only a connection borrows the requests, and the pool
//! reads connections. What needs several rooms stands beside this file, in files that call each other in one direction; no
//! method reaches itself. `tests/meta/rooms.rs` holds that for the methods of each type, and `tests/meta/owners.md` lists
//! who writes which field.
//!
//! ## The way of a request
//! 1. `commands` takes it, `submit` checks it and adds it to the requests.
//! 2. `pool::placement` names a connection for it. Without one it waits in the queue of the requests.
//! 3. `settle` serves the queue at the end of each method that may change something, and has `opening` open what is missing.
//! 4. `sending` puts it on its connection: `connection::send` frames its head, `connection::fill` its body, one record
//!    each time that it is its turn.
//! 5. The driver is asked for a write (`Action::Flush`), takes the bytes (`transmit`) and reports them (`driver`). With the
//!    last byte the clock of the response starts.
//! 6. Each record of the response finds it by its ID (`connection::receive`). Its output is lent to the embedder, or kept
//!    while it is paused.
//! 7. The application ends it (`records`): `ending` takes it off the books of its connection and frees its ID, or
//!    quarantines it if the request was not sent as a whole. One that was rejected goes back to the queue, if it may.
//! 8. `requests` makes its `End`, the only place that does; where output was kept, once that was taken.
//! 9. `closing` releases the connection, which becomes idle, or is closed where a limit says so.
//! 10. Where its connection is lost, `closing` decides with `requests::attempts` between the queue and the `End`. Where it is
//!     given up, `stopping` ends it at once, what was kept of it is gone, and its connection is closed or, where others
//!     share that, an `FCGI_ABORT_REQUEST` is sent.
//!
//! ## The way of a read
//! 1. The driver says what it knows of the socket (`driver`): readable, at its end, empty.
//! 2. It reads, and feeds the bytes to `poll_received` (`outputs`).
//! 3. The connection that the handle names takes one record, or a piece of one, out of them (`connection::receive`).
//! 4. It looks the request up by its ID. A record that comes before its request was sent, or for an ID that was never used, is
//!    a violation; one that comes late is dropped.
//! 5. It notes the output in the request, and says what came as a `Received`.
//! 6. `records` acts on that: an event for the embedder, the end of a request, an answer of the server, a violation.
//! 7. Output goes out as a borrow of the bytes that were fed; that of a paused request is copied.
//! 8. When the read is used up, all IDs that were freed may be used again, and time limits that waited for it count (`due`).
//! 9. An idle connection is handed out only if it stands between two records and its socket is empty, as far as the driver
//!    has said.
//! 10. `settle` follows each event that is no output, and the end of the read.
//!
//! ## The way of a time limit
//! It is armed where it begins (`Timers::arm_limit`), with an entry that may come too early. When the entry fires, `due` asks
//! what is due now: for a request `requests::clock`, for a connection `timeouts`, for a server `pool`. What is not due yet is
//! armed again. Before a limit on what the application sends counts, the socket is read (`connection::receive`, `look_first`).
//!
//! ## The way of a pause
//! `pause` counts the request in the budget of its connection (`connection::budget`), which is not read while the request is
//! alone on it. Otherwise what comes is kept (`requests::output`), and counted there, for the connection and for the client
//! (`requests::kept`). After `resume`, `poll_event` takes it out (`outputs`), and `backpressure` has the connection read again.

mod action;
mod backpressure;
mod close_reason;
mod closing;
mod commands;
mod connection;
mod driver;
mod due;
mod ending;
mod getters;
#[cfg(debug_assertions)]
mod invariants;
mod lifecycle;
mod opening;
mod outputs;
mod pending;
mod pool;
mod probing;
mod raw_event;
mod records;
mod requests;
mod sending;
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
pub(crate) use raw_event::RawEvent;
pub use stats::{ConnectionGauges, Counters, RequestGauges, Stats};

use std::fmt;

use slab::Slab;

use crate::address::Address;
use crate::config::{Config, ConfigError};
use connection::{BufferPool, Connection};
use lifecycle::Lifecycle;
use pending::Pending;
use pool::Pool;
use requests::Requests;
use time::{Time, Timeline};
use timers::Timers;

/// The client's state machine: requests, connections, the pool, the deadlines.
pub struct Engine {
    config: Config,
    lifecycle: Lifecycle,
    timeline: Timeline,
    timers: Timers,
    pool: Pool,
    /// A slab of connection state machines that parse records incrementally.
    connections: Slab<Connection>,
    requests: Requests,
    pending: Pending,
    /// Memory of outboxes that have nothing to send.
    buffers: BufferPool,
    /// The driver reports when there is something to read and when there is not.
    reads_are_reported: bool,
    counters: Counters,
}

impl Engine {
    /// An engine without a connection. Where [`min_idle_per_server`](crate::Limits::min_idle_per_server) asks for some, the actions that open them
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
            lifecycle: Lifecycle::new(config.limits.min_idle_per_server > 0),
            timeline: Timeline::new(),
            timers: Timers::default(),
            pool: Pool::new(&config),
            connections: Slab::new(),
            requests: Requests::new(
                config.limits.max_queued_requests,
                config.pause_buffer.per_client,
            ),
            pending: Pending::default(),
            buffers: BufferPool::default(),
            reads_are_reported: false,
            counters: Counters::default(),
            config,
        };
        // Connections that are to be opened beforehand wait for no request, and for no time to pass.
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
