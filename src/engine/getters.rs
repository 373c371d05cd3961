//! Getters: methods that read the state of the engine and change nothing.

use std::time::{Duration, Instant};

use super::connection::{self, Connection, Transmit};
use super::listing::ConnectionState;
use super::requests::State as RequestState;
use super::{ConnectionGauges, Engine, RequestGauges, Stats};
use crate::config::Config;
use crate::event::ConnectionHandle;

impl Engine {
    /// The configuration, with the limits as last changed by [`set_limits`](Self::set_limits).
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether [`poll_pending`](Self::poll_pending) or [`poll_action`](Self::poll_action) would return something. Also true
    /// after a shutdown is complete, until `poll_pending` is called once more.
    #[inline]
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.pending.has_events()
            || self.pending.has_actions()
            || self.requests.has_notices()
            || self.is_stopped_now()
    }

    /// Whether [`shutdown`](Self::shutdown) was called and is complete: no request is left, and every socket is closed.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.lifecycle.has_stopped() || self.is_stopped_now()
    }

    /// How long the driver may wait before it calls [`handle_timeout`](Self::handle_timeout), once all outputs are taken
    /// (see [`has_output`](Self::has_output)). Zero when the call is due, `None` when no time limit runs.
    ///
    /// The wait may be a little too short: ask again after it.
    #[must_use]
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        let due = self.timers.next()?;
        Some(due.saturating_duration_since(self.timeline.peek(now)))
    }

    /// The end of [`timeout`](Self::timeout) as an instant, never before `now`.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let due = self.timeline.instant(self.timers.next()?)?;
        Some(due.max(now))
    }

    /// Whether the shutdown is complete and the driver has not taken a turn since.
    pub(super) fn is_stopped_now(&self) -> bool {
        // Only after the driver has taken the actions that close the sockets.
        self.lifecycle.is_stopping()
            && self.is_idle()
            && !self.pending.has_events()
            && !self.pending.has_actions()
    }

    /// Whether the engine has no request and no connection. Tests use it to check for leaks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.connections.is_empty()
    }

    /// The bytes to write to a connection next, as slices for one vectored write. Empty when there is nothing to write
    /// or the handle is stale.
    ///
    /// Report the number of bytes written with [`handle_transmitted`](Self::handle_transmitted), then call `transmit`
    /// again. The slices are valid until the next `&mut` call on the engine, which may move or drop the bytes. For a
    /// write that is still in progress by then, use [`poll_transmit`](Self::poll_transmit), which copies.
    #[inline]
    #[must_use]
    pub fn transmit(&self, connection: ConnectionHandle) -> Transmit<'_> {
        match self.connection(connection) {
            // A connection that is being opened has nothing to send yet.
            Some(connection) => connection.transmit(&self.requests),
            None => Transmit::nothing(),
        }
    }

    /// Whether [`transmit`](Self::transmit) would return bytes.
    #[inline]
    #[must_use]
    pub fn wants_write(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(Connection::has_unsent)
    }

    /// Whether the driver should read a connection. False while the connection is being opened, while its only request
    /// is paused, and while its budget for paused requests is used up. Idle connections are read too, so that the engine
    /// notices at once when the application closes one or sends bytes on it.
    #[inline]
    #[must_use]
    pub fn wants_read(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(|it| !it.is_connecting() && !it.is_read_blocked())
    }

    /// Whether the driver must read a connection's socket once before it writes to it. True when the connection has
    /// served a request before and the next request must not be sent twice.
    ///
    /// If that read finds the end of the stream, or bytes, the request goes to another connection and none of its bytes
    /// were sent. False again after [`handle_drained`](Self::handle_drained) or after the first byte was written.
    #[inline]
    #[must_use]
    pub fn reads_first(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(Connection::reads_first)
    }

    /// Whether a connection has something to read: readiness was announced, or the engine asked for a read, and no read
    /// has drained the socket since.
    pub(crate) fn is_unread(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(Connection::is_unread)
    }

    /// A snapshot of the gauges and counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        #[cfg(debug_assertions)]
        self.check_invariants();
        let mut connections = ConnectionGauges::default();
        for (_, connection) in &self.connections {
            *match connection.listed_state() {
                ConnectionState::Connecting | ConnectionState::Redialing => {
                    &mut connections.connecting
                }
                ConnectionState::Probing => &mut connections.probing,
                ConnectionState::Idle => &mut connections.idle,
                ConnectionState::Busy => &mut connections.busy,
                ConnectionState::Draining => &mut connections.draining,
            } += 1;
        }
        let mut requests = RequestGauges::default();
        for (_, request) in self.requests.iter() {
            *match request.state() {
                RequestState::Buffering { .. } => &mut requests.buffering,
                RequestState::Queued => &mut requests.queued,
                RequestState::Active { .. } => &mut requests.active,
                RequestState::Draining => &mut requests.draining,
                RequestState::Aborting { .. } => &mut requests.aborting,
            } += 1;
            requests.paused += usize::from(request.output().is_paused());
        }
        let waiting = requests.queued.saturating_sub(self.expected());
        requests.connecting = requests.queued - waiting;
        requests.queued = waiting;
        Stats {
            connections,
            requests,
            bytes_buffered: self.requests.kept(),
            counters: self.counters.with(self.requests.counts()),
        }
    }

    /// The mean size of an idle connection in bytes: its slab entry and its heap memory. `None` when no connection is
    /// idle.
    #[must_use]
    pub fn idle_connection_cost(&self) -> Option<usize> {
        let (mut count, mut heap) = (0, 0);
        for (_, connection) in &self.connections {
            if connection.is_idle() {
                count += 1;
                heap += connection.heap_len();
            }
        }
        // slab adds at most one word per entry.
        let entry = size_of::<Connection>() + size_of::<usize>();
        (count > 0).then(|| entry + heap / count)
    }

    #[inline]
    fn connection(&self, handle: ConnectionHandle) -> Option<&Connection> {
        connection::get(&self.connections, handle)
    }

    /// The slab key of the connection with this handle, or `None` when the handle is stale.
    #[inline]
    pub(super) fn key(&self, handle: ConnectionHandle) -> Option<u32> {
        self.connection(handle).map(|_| handle.index)
    }
}
