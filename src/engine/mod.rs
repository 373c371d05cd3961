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

mod action;
mod backpressure;
mod close_reason;
mod closing;
mod commands;
mod connection;
mod connections;
mod driver;
mod due;
mod ending;
mod getters;
#[cfg(debug_assertions)]
mod invariants;
mod lifecycle;
mod output;
mod outputs;
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
use output::Output;
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
    output: Output,
    /// Memory of outboxes that have nothing to send.
    buffers: BufferPool,
    /// The driver reports when there is something to read and when there is not.
    reads_are_reported: bool,
    counters: Counters,
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
            lifecycle: Lifecycle::new(config.limits.min_idle > 0),
            timeline: Timeline::new(),
            timers: Timers::default(),
            pool: Pool::new(&config),
            connections: Slab::new(),
            requests: Requests::new(config.limits.max_queue, config.stall.per_client),
            output: Output::default(),
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
