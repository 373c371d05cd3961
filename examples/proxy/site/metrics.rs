//! The figures of all loops. Each loop publishes its own, and any loop can read all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio_fcgi::{Outcome, ServerId, Stats};

use super::addresses::Addresses;
use super::budget::Used;
use super::status::counters::Counters;
use super::status::figures::{Figures, ServerNow};
use super::status::history::History;
use super::status::present::{MAX_LISTED, Present};
use super::status::totals::Totals;
use super::status::{json, openmetrics};

/// The figures of all loops, shared among them.
#[derive(Debug)]
pub(crate) struct Metrics {
    is_on: bool,
    started: Instant,
    slots: Vec<Mutex<Published>>,
    /// The connections of each client address, over all loops.
    addresses: Arc<Addresses>,
}

/// What one loop has published.
#[derive(Debug, Default)]
struct Published {
    figures: Figures,
    history: History,
    present: Present,
}

impl Metrics {
    pub(crate) fn new(is_on: bool, threads: usize) -> Self {
        Self {
            is_on,
            started: Instant::now(),
            slots: (0..threads).map(|_| Mutex::default()).collect(),
            addresses: Arc::default(),
        }
    }

    fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    fn totals(&self, now: Instant) -> Totals {
        let mut totals = Totals::new(self.uptime(now), self.slots.len());
        for slot in &self.slots {
            let slot = lock(slot);
            totals.add(&slot.figures, &slot.history);
        }
        totals.note_refused(self.addresses.refused());
        totals
    }

    fn json(&self, now: Instant) -> String {
        let totals = self.totals(now);
        let slots: Vec<_> = self.slots.iter().map(lock).collect();
        let requests = slots.iter().flat_map(|slot| &slot.present.requests);
        let mut requests: Vec<_> = requests.collect();
        requests.sort_by_key(|it| std::cmp::Reverse(it.since_progress(now)));
        let connections = slots.iter().flat_map(|slot| &slot.present.connections);
        let mut connections: Vec<_> = connections.collect();
        connections.sort_by_key(|it| std::cmp::Reverse(it.since_activity(now)));
        let requests = requests.into_iter().take(MAX_LISTED);
        let connections = connections.into_iter().take(MAX_LISTED);
        json::document(&totals, requests, connections, now)
    }
}

/// The figures that one loop counts and publishes.
#[derive(Debug)]
pub(crate) struct LoopMetrics {
    metrics: Arc<Metrics>,
    index: usize,
    counters: Counters,
    /// When the figures can be published again.
    next: Instant,
    /// Figures have changed since they were published.
    is_stale: bool,
}

impl LoopMetrics {
    pub(crate) fn new(metrics: &Arc<Metrics>, index: usize) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            index,
            counters: Counters::default(),
            next: metrics.started,
            is_stale: false,
        }
    }

    /// The number of the loop.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The connections of each client address, over all loops.
    pub(crate) fn addresses(&self) -> &Arc<Addresses> {
        &self.metrics.addresses
    }

    pub(crate) fn count_answer(&mut self, status: u16, body_len: u64) {
        self.counters.count_answer(status, body_len);
    }

    /// Counts the end of an application's request. `name` makes the address of its server.
    pub(crate) fn count_end(
        &mut self,
        application: usize,
        outcome: &Outcome,
        name: impl FnOnce(ServerId) -> String,
    ) {
        if self.metrics.is_on {
            self.counters.count_end(application, outcome, name);
        }
    }

    /// The figures of this loop. What the arguments hold is counted elsewhere.
    pub(crate) fn figures(
        &self,
        stats: Stats,
        clients: usize,
        servers: Vec<ServerNow>,
        kept: Used,
    ) -> Figures {
        Figures {
            stats,
            clients,
            answered: self.counters.answered(),
            counters: self.counters.clone(),
            servers,
            kept,
        }
    }

    /// The figures of all loops as JSON. Those of the other loops are at most [`INTERVAL`] old, and so are the requests
    /// that are present.
    pub(crate) fn json(&self, now: Instant) -> String {
        self.metrics.json(now)
    }

    /// The figures of all loops for Prometheus.
    pub(crate) fn openmetrics(&self, now: Instant) -> String {
        openmetrics::text(&self.metrics.totals(now))
    }

    /// Records that figures may have changed. True if they have to be published now because the last ones are old
    /// enough.
    pub(crate) fn note_change(&mut self, now: Instant) -> bool {
        self.is_stale = self.metrics.is_on && now < self.next;
        self.metrics.is_on && !self.is_stale
    }

    /// Publishes figures, and what is present if that was looked for.
    pub(crate) fn publish(&mut self, now: Instant, figures: Figures, present: Option<Present>) {
        let second = self.metrics.uptime(now).as_secs();
        let longest = self.counters.take_longest();
        let Some(slot) = self.metrics.slots.get(self.index) else {
            return;
        };
        let mut slot = lock(slot);
        slot.history.note(second, &figures, longest);
        slot.figures = figures;
        if let Some(present) = present {
            slot.present = present;
            self.next = now + INTERVAL;
        }
    }

    /// When to publish the figures without an event.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.is_stale.then_some(self.next)
    }
}

fn lock(slot: &Mutex<Published>) -> MutexGuard<'_, Published> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

const INTERVAL: Duration = Duration::from_millis(100);
