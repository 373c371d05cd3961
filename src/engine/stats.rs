//! Gauges and counters.

use std::fmt;
use std::ops::AddAssign;

use super::close_reason::CloseReason;

/// A snapshot of an engine. Gauges are counted when asked for: the cost is that of walking all
/// requests and connections. Those of several clients can be added.
///
/// `Display` is one line for a log. Zeros are left out, and `none` is a group of zeros:
///
/// `connections: idle 5, busy 3; requests: active 3; total: submitted 120, completed 116, failed 1, reused 112, …`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections by state.
    pub connections: ConnectionGauges,
    /// Requests by state.
    pub requests: RequestGauges,
    /// Bytes of output buffered for paused requests.
    pub bytes_buffered: usize,
    /// Counters since the engine was created.
    pub counters: Counters,
}

/// The current number of connections, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionGauges {
    /// Connections being opened, including those that wait for a retry because the backlog was full.
    pub connecting: usize,
    /// Connections without a request on which a probe of the server's values was sent.
    pub probing: usize,
    /// Connections without a request, ready to be used.
    pub idle: usize,
    /// Connections with requests. Also those without a request that still expect bytes of the last response, or have
    /// unread ones.
    pub busy: usize,
    /// Connections with requests that take no further request.
    pub draining: usize,
}

/// The current number of requests, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestGauges {
    /// Requests with a body that is being buffered before they are queued.
    pub buffering: usize,
    /// Requests in the queue without a connection being opened for them.
    pub queued: usize,
    /// Requests in the queue for which a connection is being opened.
    pub connecting: usize,
    /// Requests on a connection.
    pub active: usize,
    /// Requests that the application has ended and that still have buffered output.
    pub draining: usize,
    /// Requests that have reported their `End` and whose end by the application is still awaited.
    pub aborting: usize,
    /// Paused requests, in any of the states above.
    pub paused: usize,
}

/// Counters since the engine was created. They never decrease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests accepted, including those of `get_values`.
    pub submitted: u64,
    /// Requests that ended successfully.
    pub completed: u64,
    /// Requests that ended with a failure.
    pub failed: u64,
    /// Requests that the engine sent again by itself.
    pub retries: u64,
    /// Requests assigned to a connection that had served another request before.
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
    /// Records dropped: late ones, unsolicited ones, and those of unknown types. A record that arrives in several reads
    /// counts once per read.
    pub records_ignored: u64,
    /// Bytes given to the transport.
    pub bytes_sent: u64,
    /// Bytes received and fed to the engine.
    pub bytes_received: u64,
    closed: Closed,
}

/// Counters of requests since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) submitted: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) retries: u64,
    pub(super) reused: u64,
}

/// The number of connections closed, indexed by `CloseReason as usize`.
#[derive(Clone, Default, PartialEq, Eq)]
struct Closed([u64; CloseReason::ALL.len()]);

impl Counters {
    /// The number of connections closed for a reason.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed.0[reason as usize]
    }

    /// The numbers of connections closed, by reason. Reasons that did not occur are left out.
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

    /// A copy with the counters that the requests keep.
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
    fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn occurred(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        let all = CloseReason::ALL.iter().copied().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }
}

/// Adds each field of `other` to that of `self`. `other` is taken apart, so that none is forgotten.
macro_rules! add_fields {
    ($self:ident += $other:ident: $($field:ident),+) => {{
        let Self { $($field),+ } = $other;
        $($self.$field += $field;)+
    }};
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        add_fields!(self += other: connections, requests, bytes_buffered, counters);
    }
}

impl AddAssign for ConnectionGauges {
    fn add_assign(&mut self, other: Self) {
        add_fields!(self += other: connecting, probing, idle, busy, draining);
    }
}

impl AddAssign for RequestGauges {
    fn add_assign(&mut self, other: Self) {
        add_fields!(self += other: buffering, queued, connecting, active, draining, aborting, paused);
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        add_fields!(self += other:
            submitted, completed, failed, retries, reused, connected, connect_failures, backlog_full, shortages,
            protocol_errors, records_ignored, bytes_sent, bytes_received, closed
        );
    }
}

impl AddAssign for Closed {
    fn add_assign(&mut self, other: Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connections: {}", self.connections)?;
        write!(f, "; requests: {}", self.requests)?;
        if self.bytes_buffered > 0 {
            write!(f, "; bytes buffered {}", self.bytes_buffered)?;
        }
        write!(f, "; total: {}", self.counters)
    }
}

/// For a log: each state with its number of connections, zeros left out.
impl fmt::Display for ConnectionGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gauges = [
            ("connecting", self.connecting),
            ("probing", self.probing),
            ("idle", self.idle),
            ("busy", self.busy),
            ("draining", self.draining),
        ];
        write_nonzero(f, gauges.map(|(name, count)| (name, count as u64)))
    }
}

/// For a log: each state with its number of requests, zeros left out.
impl fmt::Display for RequestGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gauges = [
            ("buffering", self.buffering),
            ("queued", self.queued),
            ("connecting", self.connecting),
            ("active", self.active),
            ("draining", self.draining),
            ("aborting", self.aborting),
            ("paused", self.paused),
        ];
        write_nonzero(f, gauges.map(|(name, count)| (name, count as u64)))
    }
}

/// For a log: each counter, zeros left out. Closed connections are counted together, whatever the reason.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = [
            ("submitted", self.submitted),
            ("completed", self.completed),
            ("failed", self.failed),
            ("retries", self.retries),
            ("reused", self.reused),
            ("connected", self.connected),
            ("connect failures", self.connect_failures),
            ("backlog full", self.backlog_full),
            ("shortages", self.shortages),
            ("protocol errors", self.protocol_errors),
            ("records ignored", self.records_ignored),
            ("closed", self.closed.total()),
            ("bytes sent", self.bytes_sent),
            ("bytes received", self.bytes_received),
        ];
        write_nonzero(f, counters)
    }
}

/// Writes `name count` of those that are not zero, or `none`.
fn write_nonzero<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    counts: [(&str, u64); N],
) -> fmt::Result {
    let mut separator = "";
    for (name, count) in counts.into_iter().filter(|it| it.1 > 0) {
        write!(f, "{separator}{name} {count}")?;
        separator = ", ";
    }
    if separator.is_empty() {
        f.write_str("none")?;
    }
    Ok(())
}

/// Shows the reasons that occurred.
impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.occurred()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_several_engines_add_up_in_each_part() {
        let mut one = Stats::default();
        one.connections.idle = 2;
        one.requests.active = 3;
        one.bytes_buffered = 4;
        one.counters.submitted = 5;
        one.counters.closed.0[0] = 6;
        let mut sum = one.clone();
        sum += one.clone();
        sum += one;
        let parts = (sum.connections.idle, sum.requests.active);
        assert_eq!((parts, sum.bytes_buffered), ((6, 9), 12));
        let counters = sum.counters;
        assert_eq!((counters.submitted, counters.closed.0[0]), (15, 18));
    }

    #[test]
    fn stats_are_one_line_for_a_log() {
        let mut stats = Stats::default();
        assert_eq!(
            stats.to_string(),
            "connections: none; requests: none; total: none"
        );
        stats.connections.idle = 5;
        stats.connections.busy = 3;
        stats.requests.active = 2;
        stats.counters.submitted = 120;
        stats.counters.completed = 118;
        assert_eq!(
            stats.to_string(),
            "connections: idle 5, busy 3; requests: active 2; total: submitted 120, completed 118"
        );
    }

    #[test]
    fn the_line_has_every_figure_that_is_not_zero() {
        let mut counters = Counters {
            submitted: 1,
            completed: 2,
            failed: 3,
            retries: 4,
            reused: 5,
            connected: 6,
            connect_failures: 7,
            backlog_full: 8,
            shortages: 9,
            protocol_errors: 10,
            records_ignored: 11,
            bytes_sent: 12,
            bytes_received: 13,
            closed: Closed::default(),
        };
        counters.note_closed(CloseReason::ALL[0]);
        counters.note_closed(CloseReason::ALL[1]);
        let stats = Stats {
            connections: ConnectionGauges {
                connecting: 1,
                probing: 2,
                idle: 3,
                busy: 4,
                draining: 5,
            },
            requests: RequestGauges {
                buffering: 1,
                queued: 2,
                connecting: 3,
                active: 4,
                draining: 5,
                aborting: 6,
                paused: 7,
            },
            bytes_buffered: 65_536,
            counters,
        };
        assert_eq!(
            stats.to_string(),
            "connections: connecting 1, probing 2, idle 3, busy 4, draining 5; \
             requests: buffering 1, queued 2, connecting 3, active 4, draining 5, aborting 6, paused 7; \
             bytes buffered 65536; \
             total: submitted 1, completed 2, failed 3, retries 4, reused 5, connected 6, connect failures 7, \
             backlog full 8, shortages 9, protocol errors 10, records ignored 11, closed 2, bytes sent 12, \
             bytes received 13"
        );
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod sizes {
    use crate::engine::requests::Request;
    use crate::engine::{Action, Connection};
    use crate::{Config, Engine, Event};
    use std::time::Instant;

    /// These types are moved or walked for every request. The first two sizes are documented as costs in `Limits`.
    #[test]
    fn hot_types_are_no_larger_than_they_were() {
        let sizes = [
            ("Connection", size_of::<Connection>(), 368),
            ("Request in flight", size_of::<Request>(), 336),
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
        // A busy connection is not counted.
        let submitted = engine.submit(now, crate::Request::responder(), crate::Tag(0));
        submitted.expect("accepted");
        let is_idle = |index: &usize| engine.connections[*index].is_idle();
        let idle = (0..2).filter(is_idle).map(|it| held(&engine, it));
        let idle: Vec<usize> = idle.collect();
        assert_eq!(idle.len(), 1);
        assert_eq!(engine.idle_connection_cost(), Some(entry + idle[0]));
    }
}
