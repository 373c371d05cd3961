//! Gauges and counters.

use std::fmt;

use super::close_reason::CloseReason;

/// A snapshot of an engine. Gauges are counted when asked for: the cost is that of walking all
/// requests and connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections by state.
    pub connections: ConnectionGauges,
    /// Requests by state.
    pub requests: RequestGauges,
    /// Bytes of output held for paused requests.
    pub bytes_buffered: usize,
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
    pub buffering: usize,
    /// In the queue, with no connection being opened for them.
    pub queued: usize,
    /// In the queue, a connection being opened for each.
    pub connecting: usize,
    /// On a connection.
    pub active: usize,
    /// Ended by the application, output still held for them.
    pub draining: usize,
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
    /// Bytes handed to the transport.
    pub bytes_sent: u64,
    /// Bytes fed.
    pub bytes_received: u64,
    closed: Closed,
}

/// Requests since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) submitted: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) retries: u64,
    pub(super) reused: u64,
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

    pub(super) fn note_closed(&mut self, reason: CloseReason) {
        self.closed.0[reason as usize] += 1;
    }

    pub(super) fn note_connected(&mut self) {
        self.connected += 1;
    }

    pub(super) fn note_connect_failure(&mut self) {
        self.connect_failures += 1;
    }

    pub(super) fn note_backlog_full(&mut self) {
        self.backlog_full += 1;
    }

    pub(super) fn note_shortage(&mut self) {
        self.shortages += 1;
    }

    pub(super) fn note_protocol_error(&mut self) {
        self.protocol_errors += 1;
    }

    pub(super) fn note_ignored(&mut self) {
        self.records_ignored += 1;
    }

    #[inline]
    pub(super) fn note_sent(&mut self, len: u64) {
        self.bytes_sent += len;
    }

    #[inline]
    pub(super) fn note_received(&mut self, len: usize) {
        self.bytes_received += len as u64;
    }

    /// With the counts of requests, which those keep.
    pub(super) fn with(&self, counts: Counts) -> Self {
        Self {
            submitted: counts.submitted,
            completed: counts.completed,
            failed: counts.failed,
            retries: counts.retries,
            reused: counts.reused,
            ..self.clone()
        }
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

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use crate::engine::requests::Request;
    use crate::engine::{Action, Connection};
    use crate::{Config, Engine, Event};
    use std::time::Instant;

    /// Each is moved or walked for every request; the first two are costs documented in `Limits`.
    #[test]
    fn hot_types_are_no_larger_than_they_were() {
        let sizes = [
            ("Connection", size_of::<Connection>(), 368),
            ("Request in flight", size_of::<Request>(), 424),
            ("Event", size_of::<Event<&[u8]>>(), 128),
            ("Action", size_of::<Action>(), 24),
            ("Request", size_of::<crate::Request>(), 256),
            ("Demux", size_of::<crate::wire::Demux>(), 18),
        ];
        let grown: Vec<_> = sizes.into_iter().filter(|it| it.1 > it.2).collect();
        assert!(grown.is_empty(), "(type, bytes, at most): {grown:?}");
    }

    #[test]
    fn idle_connections_cost_their_entries_and_the_mean_of_what_they_hold() {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.limits.min_idle_per_server = 2;
        let mut engine = Engine::new(config).expect("a valid configuration");
        assert_eq!(engine.idle_connection_cost(), None);
        let now = Instant::now();
        engine.handle_timeout(now);
        while let Some(action) = engine.poll_action() {
            if let Action::Connect { connection, .. } = action {
                engine.handle_connected(now, connection);
            }
        }
        let held = |engine: &Engine, index: usize| engine.connections[index].heap_len();
        let all = [held(&engine, 0), held(&engine, 1)];
        assert!(all.iter().all(|it| *it > 0), "{all:?}");
        let entry = size_of::<Connection>() + size_of::<usize>();
        let mean = all.iter().sum::<usize>() / 2;
        assert_eq!(engine.idle_connection_cost(), Some(entry + mean));
        // A busy one counts for nothing.
        let submitted = engine.submit(now, crate::Request::responder(), crate::Tag(0));
        submitted.expect("accepted");
        let is_idle = |index: &usize| engine.connections[*index].is_idle();
        let idle = (0..2).filter(is_idle).map(|it| held(&engine, it));
        let idle: Vec<usize> = idle.collect();
        assert_eq!(idle.len(), 1);
        assert_eq!(engine.idle_connection_cost(), Some(entry + idle[0]));
    }
}
