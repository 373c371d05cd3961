//! The most there may be of everything, while limits change.

use std::collections::BTreeMap;
use std::time::Instant;

use mio_fcgi::{Engine, ServerId};

/// What there was after the last call: a limit below it holds as soon as there is less.
pub(super) struct Ceilings {
    connections: BTreeMap<ServerId, usize>,
    total: usize,
    waiting: usize,
    /// The highest number of requests on one connection so far.
    per_connection: Option<u32>,
}

impl Ceilings {
    pub(super) fn new(engine: &Engine, now: Instant) -> Self {
        let mut ceilings = Self {
            connections: BTreeMap::new(),
            total: 0,
            waiting: 0,
            per_connection: engine.config().limits.max_requests_per_connection,
        };
        ceilings.check(engine, now);
        ceilings
    }

    /// The limits or the servers have changed. Requests that waited for connections being opened may wait in the queue
    /// now.
    pub(super) fn set(&mut self, engine: &Engine) {
        self.waiting = waiting(engine);
        let limit = engine.config().limits.max_requests_per_connection;
        let both = self.per_connection.zip(limit);
        self.per_connection = both.map(|(a, b)| a.max(b));
    }

    pub(super) fn check(&mut self, engine: &Engine, now: Instant) {
        let limits = &engine.config().limits;
        let before = std::mem::take(&mut self.connections);
        let (mut total, mut idle) = (0, 0);
        for info in engine.servers(now) {
            let before = before.get(&info.server).copied().unwrap_or(0);
            let most = limits.max_connections_per_server.max(before);
            assert!(info.connections <= most, "{info}: at most {most}");
            assert!(info.idle <= limits.max_idle_per_server, "{info}");
            self.connections.insert(info.server, info.connections);
            total += info.connections;
            idle += info.idle;
        }
        let most = limits.max_total_connections.max(self.total);
        assert!(total <= most, "{total} connections, {most} allowed");
        self.total = total;
        let gauges = engine.stats().connections;
        let all = gauges.connecting + gauges.probing + gauges.idle + gauges.busy + gauges.draining;
        assert_eq!(all, total, "{gauges:?}");
        assert!(idle <= gauges.idle, "{gauges:?}, {idle} idle");
        let waiting = waiting(engine);
        let most = limits.max_queued_requests.max(self.waiting);
        assert!(waiting <= most, "{waiting} wait, {most} may");
        self.waiting = waiting;
    }

    pub(super) fn check_connection(&self, begun: u32) {
        let most = self.per_connection;
        assert!(most.is_none_or(|most| begun <= most), "{begun} on one");
    }
}

fn waiting(engine: &Engine) -> usize {
    let requests = engine.stats().requests;
    requests.queued + requests.buffering
}
