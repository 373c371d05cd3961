//! Getters: what the engine is asked, and does not change by it.

use super::connection::{self, Connection, State, Transmit};
use super::requests::State as RequestState;
use super::{ConnectionGauges, Engine, RequestGauges, Stats};
use crate::config::Config;
use crate::event::ConnectionHandle;

impl Engine {
    /// The configuration, with the limits as they are now.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether [`poll_event`](Self::poll_event) or [`poll_action`](Self::poll_action) has something.
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

    /// Whether the shutdown is complete and the driver has not taken a turn since.
    pub(super) fn is_stopped_now(&self) -> bool {
        // Not before the driver has closed the sockets.
        self.lifecycle.is_stopping()
            && self.is_idle()
            && !self.pending.has_events()
            && !self.pending.has_actions()
    }

    /// Whether no request and no connection is left: the check against leaks.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.connections.is_empty()
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
            Some(connection) => connection.transmit(&self.requests),
            None => Transmit::nothing(),
        }
    }

    /// Whether [`transmit`](Self::transmit) has something.
    #[inline]
    #[must_use]
    pub fn wants_write(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(Connection::has_unsent)
    }

    /// Whether a connection is to be read: false while it is being opened, while its only request is
    /// paused, and while its budget for paused requests is used up. Idle ones are read too: one that closes or
    /// speaks is evicted at once.
    #[inline]
    #[must_use]
    pub fn wants_read(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(|it| !it.is_connecting() && !it.is_read_blocked())
    }

    /// Whether a connection's socket is to be read once before anything is written to it: it has served before, and the
    /// request that is to leave may not be sent a second time. An end that is found sends it elsewhere, unharmed; so do
    /// bytes. Over with [`handle_drained`](Self::handle_drained), or with the first byte written.
    #[inline]
    #[must_use]
    pub fn reads_first(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(Connection::reads_first)
    }

    /// Whether something was announced for a connection, or is to be looked for, and was not read.
    pub(crate) fn is_unread(&self, connection: ConnectionHandle) -> bool {
        self.connection(connection)
            .is_some_and(Connection::is_unread)
    }

    /// Gauges and counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        #[cfg(debug_assertions)]
        self.check_invariants();
        let mut connections = ConnectionGauges::default();
        for (_, connection) in &self.connections {
            let is_idle = connection.is_idle();
            *match connection.state() {
                State::Connecting { .. } | State::Redialing { .. } => &mut connections.connecting,
                State::Probing(_) => &mut connections.probing,
                State::Open if is_idle && connection.has_question() => &mut connections.probing,
                State::Open if is_idle && connection.is_clean() => &mut connections.idle,
                State::Open => &mut connections.busy,
                State::Draining => &mut connections.draining,
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
        let waiting = requests.queued.saturating_sub(self.pool.expected());
        requests.connecting = requests.queued - waiting;
        requests.queued = waiting;
        Stats {
            connections,
            requests,
            bytes_buffered: self.requests.kept(),
            counters: self.counters.with(self.requests.counts()),
        }
    }

    /// Bytes that each idle connection costs: its slab entry and what it holds on the heap, averaged. `None` without
    /// one.
    #[must_use]
    pub fn idle_connection_cost(&self) -> Option<usize> {
        let (mut count, mut heap) = (0, 0);
        for (_, connection) in &self.connections {
            if connection.is_idle() {
                count += 1;
                heap += connection.heap_len();
            }
        }
        // slab adds at most a word for the state of an entry.
        let entry = size_of::<Connection>() + size_of::<usize>();
        (count > 0).then(|| entry + heap / count)
    }

    #[inline]
    fn connection(&self, handle: ConnectionHandle) -> Option<&Connection> {
        connection::get(&self.connections, handle)
    }

    /// The key of the connection that a handle names.
    #[inline]
    pub(super) fn key(&self, handle: ConnectionHandle) -> Option<u32> {
        self.connection(handle).map(|_| handle.index)
    }
}
