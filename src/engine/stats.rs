//! Gauges and counters.

use std::fmt;

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::State;
use super::exchange::Life;

/// A snapshot of an engine. Gauges are counted when asked for: the cost is that of walking all
/// requests and connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections by state.
    pub connections: ConnectionGauges,
    /// Requests by state.
    pub requests: RequestGauges,
    /// Octets of output held for paused requests.
    pub octets_held: usize,
    /// What has happened since the start.
    pub counters: Counters,
}

/// Connections now, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionGauges {
    /// Being opened, waiting for a full backlog included.
    pub connecting: usize,
    /// Without a request, asked for the server's values.
    pub probing: usize,
    /// Without a request: a request may have it.
    pub idle: usize,
    /// With requests, or with something of the last response still to come or to be read.
    pub busy: usize,
    /// With requests, taking no more.
    pub draining: usize,
}

/// Requests now, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestGauges {
    /// Their body is being collected.
    pub collecting: usize,
    /// In the queue, with no connection being opened for them.
    pub waiting: usize,
    /// In the queue, a connection being opened for each.
    pub connecting: usize,
    /// On a connection.
    pub active: usize,
    /// Ended by the application, output still held for them.
    pub holding: usize,
    /// Given up, waiting for the application's end; their `End` is out.
    pub aborting: usize,
    /// Of all these, paused.
    pub paused: usize,
}

/// What has happened since the start. Never goes down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests accepted, `get_values` included.
    pub submitted: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended with a failure.
    pub failed: u64,
    /// Sent again by themselves.
    pub retries: u64,
    /// Given to a connection that had served before.
    pub reused: u64,
    /// Connections opened.
    pub connected: u64,
    /// Connects that failed or timed out.
    pub connect_failures: u64,
    /// Connects that found a Unix socket's backlog full.
    pub backlog_full: u64,
    /// Connects put off because this side had no descriptor, port or memory for them.
    pub shortages: u64,
    /// Connections closed because the application broke the protocol.
    pub protocol_errors: u64,
    /// Records dropped: late ones, unasked-for ones, unassigned types. One that arrives in several reads counts
    /// for each.
    pub records_ignored: u64,
    /// Octets handed to the transport.
    pub octets_sent: u64,
    /// Octets fed.
    pub octets_received: u64,
    closed: Closed,
}

/// By the reason's number.
#[derive(Clone, Default, PartialEq, Eq)]
struct Closed([u64; CloseReason::ALL.len()]);

impl Counters {
    /// Connections closed for a reason.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed.0[reason as usize]
    }

    /// Connections closed, by reason; those that never happened are left out.
    pub fn closed_by_reason(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        self.closed.occurred()
    }

    pub(super) fn closed(&mut self, reason: CloseReason) {
        self.closed.0[reason as usize] += 1;
    }
}

impl Closed {
    fn occurred(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        let all = CloseReason::ALL.iter().copied().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }
}

/// Shows the reasons that occurred.
impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.occurred()).finish()
    }
}

impl Engine {
    /// Gauges and counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        #[cfg(debug_assertions)]
        self.check_books();
        let mut stats = Stats {
            octets_held: self.held,
            counters: self.counters.clone(),
            ..Stats::default()
        };
        for (_, connection) in &self.connections {
            let gauges = &mut stats.connections;
            *match connection.state {
                State::Connecting { .. } | State::Redialing { .. } => &mut gauges.connecting,
                State::Probing(_) => &mut gauges.probing,
                State::Open if connection.live == 0 && connection.question.is_some() => {
                    &mut gauges.probing
                }
                State::Open if connection.live == 0 && connection.is_clean() => &mut gauges.idle,
                State::Open => &mut gauges.busy,
                State::Draining => &mut gauges.draining,
            } += 1;
        }
        for (_, exchange) in &self.exchanges {
            let gauges = &mut stats.requests;
            *match exchange.life {
                Life::Collecting { .. } => &mut gauges.collecting,
                Life::Waiting { .. } => &mut gauges.waiting,
                Life::Active { .. } => &mut gauges.active,
                Life::Holding => &mut gauges.holding,
                Life::Aborting { .. } => &mut gauges.aborting,
            } += 1;
            gauges.paused += usize::from(exchange.paused);
        }
        let gauges = &mut stats.requests;
        gauges.connecting = gauges.waiting - self.queued();
        gauges.waiting = self.queued();
        stats
    }

    /// Octets that each idle connection costs: its slab entry and what it holds on the heap, averaged. `None` without
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
        let entry = size_of::<super::Connection>() + size_of::<usize>();
        (count > 0).then(|| entry + heap / count)
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use crate::engine::{Action, Connection, Exchange};
    use crate::{Config, Engine, Event, RequestHandle};
    use std::collections::VecDeque;
    use std::time::Instant;

    /// Each is moved or walked for every request; the first two are costs documented in `Limits`.
    #[test]
    fn hot_types_are_no_larger_than_they_were() {
        let sizes = [
            ("Connection", size_of::<Connection>(), 368),
            ("Exchange", size_of::<Exchange>(), 408),
            ("Event", size_of::<Event<'_>>(), 128),
            ("Action", size_of::<Action>(), 24),
            ("Request", size_of::<crate::Request>(), 256),
            ("Demux", size_of::<crate::wire::Demux>(), 18),
        ];
        let grown: Vec<_> = sizes.into_iter().filter(|it| it.1 > it.2).collect();
        assert!(grown.is_empty(), "(type, octets, at most): {grown:?}");
    }

    #[test]
    fn idle_connections_cost_their_entries_and_the_mean_of_what_they_hold() {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.limits.min_idle = 2;
        let mut engine = Engine::new(config).expect("a valid configuration");
        assert_eq!(engine.idle_connection_cost(), None);
        let now = Instant::now();
        engine.handle_timeout(now);
        while let Some(action) = engine.poll_action() {
            if let Action::Connect { connection, .. } = action {
                engine.handle_connected(now, connection);
            }
        }
        for (index, held) in [(0, 30), (1, 50)] {
            let connection = &mut engine.connections[index];
            connection.unsent = VecDeque::with_capacity(held);
            connection.round = VecDeque::new();
            connection.ids = Default::default();
        }
        let entry = size_of::<Connection>() + size_of::<usize>();
        let mean = 40 * size_of::<(u64, RequestHandle)>();
        assert_eq!(engine.idle_connection_cost(), Some(entry + mean));
    }
}
