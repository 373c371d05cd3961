//! The figures of all loops. Each loop publishes its own, and any loop can read all of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio_fcgi::{CloseReason, Stats};
use serde_json::{Value, json};

use super::addresses::Addresses;

/// The figures of all loops, shared among them.
#[derive(Debug)]
pub(crate) struct Metrics {
    is_on: bool,
    started: Instant,
    slots: Vec<Mutex<Figures>>,
    /// The connections of each client address, over all loops.
    addresses: Arc<Addresses>,
}

/// The figures of one loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) stats: Stats,
    pub(crate) clients: usize,
    /// Number of HTTP requests answered.
    pub(crate) answered: u64,
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

    fn render(&self, as_json: bool, now: Instant) -> String {
        let mut groups: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
        for slot in &self.slots {
            let figures = slot.lock().unwrap_or_else(PoisonError::into_inner);
            add(&mut groups, &figures);
        }
        let uptime = now.saturating_duration_since(self.started).as_secs();
        let server = groups.entry("server").or_default();
        server.insert("uptime_s".to_owned(), uptime);
        server.insert("threads".to_owned(), self.slots.len() as u64);
        server.insert("refused".to_owned(), self.addresses.refused());
        if as_json {
            let mut text = json!(groups).to_string();
            text.push('\n');
            return text;
        }
        let mut text = String::new();
        for (group, figures) in &groups {
            for (name, figure) in figures {
                // Writing to memory does not fail.
                let _ = writeln!(text, "{group}.{name} {}", Value::from(*figure));
            }
        }
        text
    }
}

/// Adds the figures of one loop to those of the others.
fn add(groups: &mut BTreeMap<&str, BTreeMap<String, u64>>, figures: &Figures) {
    let stats = &figures.stats;
    let (connections, requests, counters) = (stats.connections, stats.requests, &stats.counters);
    let gauges = |count: usize| count as u64;
    let rows = [
        ("server", "clients", gauges(figures.clients)),
        ("server", "answered", figures.answered),
        ("pool", "connecting", gauges(connections.connecting)),
        ("pool", "probing", gauges(connections.probing)),
        ("pool", "idle", gauges(connections.idle)),
        ("pool", "busy", gauges(connections.busy)),
        ("pool", "draining", gauges(connections.draining)),
        ("pool", "connected", counters.connected),
        ("pool", "connect_failures", counters.connect_failures),
        ("pool", "backlog_full", counters.backlog_full),
        ("requests", "queued", gauges(requests.queued)),
        ("requests", "in_flight", gauges(requests.active)),
        ("requests", "aborting", gauges(requests.aborting)),
        ("requests", "paused", gauges(requests.paused)),
        ("requests", "submitted", counters.submitted),
        ("requests", "completed", counters.completed),
        ("requests", "failed", counters.failed),
        ("requests", "retries", counters.retries),
        ("requests", "reused", counters.reused),
        ("bytes", "buffered", gauges(stats.bytes_buffered)),
        ("bytes", "sent", counters.bytes_sent),
        ("bytes", "received", counters.bytes_received),
        ("bytes", "protocol_errors", counters.protocol_errors),
    ];
    for (group, name, figure) in rows {
        *groups
            .entry(group)
            .or_default()
            .entry(name.to_owned())
            .or_default() += figure;
    }
    let evictions = groups.entry("evictions").or_default();
    for reason in CloseReason::ALL {
        *evictions.entry(name_of(*reason)).or_default() += counters.closed_for(*reason);
    }
}

/// A close reason as a name: `MaxIdle` as `max_idle`.
fn name_of(reason: CloseReason) -> String {
    let mut name = String::new();
    for letter in format!("{reason:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The figures that one loop counts and publishes.
#[derive(Debug)]
pub(crate) struct LoopMetrics {
    metrics: Arc<Metrics>,
    index: usize,
    /// Number of HTTP requests answered.
    answered: u64,
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
            answered: 0,
            next: metrics.started,
            is_stale: false,
        }
    }

    /// The number of the loop.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Whether figures are published.
    pub(crate) fn is_on(&self) -> bool {
        self.metrics.is_on
    }

    /// The connections of each client address, over all loops.
    pub(crate) fn addresses(&self) -> &Arc<Addresses> {
        &self.metrics.addresses
    }

    pub(crate) fn count_answer(&mut self) {
        self.answered += 1;
    }

    /// The figures of this loop. `stats` and `clients` are counted elsewhere.
    pub(crate) fn figures(&self, stats: Stats, clients: usize) -> Figures {
        Figures {
            stats,
            clients,
            answered: self.answered,
        }
    }

    /// The figures of all loops. Those of the other loops are at most [`INTERVAL`] old.
    pub(crate) fn render(&self, as_json: bool, now: Instant) -> String {
        self.metrics.render(as_json, now)
    }

    /// Records that figures may have changed. True if they have to be published now because the last ones are old
    /// enough.
    pub(crate) fn note_change(&mut self, now: Instant) -> bool {
        self.is_stale = self.metrics.is_on && now < self.next;
        self.metrics.is_on && !self.is_stale
    }

    pub(crate) fn publish(&mut self, now: Instant, figures: Figures) {
        self.next = now + INTERVAL;
        if let Some(slot) = self.metrics.slots.get(self.index) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        }
    }

    /// When to publish the figures without an event.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.is_stale.then_some(self.next)
    }
}

const INTERVAL: Duration = Duration::from_millis(100);
