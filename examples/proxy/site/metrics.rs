//! What all loops together are doing: each puts its figures on one board, and any of them reads it out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio_fcgi::{CloseReason, Stats};
use serde_json::{Value, json};

/// Where each loop puts its figures, for whichever of them is asked.
#[derive(Debug)]
pub(crate) struct Board {
    is_on: bool,
    started: Instant,
    slots: Vec<Mutex<Figures>>,
}

/// What one loop is doing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) stats: Stats,
    pub(crate) clients: usize,
    /// HTTP requests answered.
    pub(crate) answered: u64,
}

impl Board {
    pub(crate) fn new(is_on: bool, threads: usize) -> Self {
        Self {
            is_on,
            started: Instant::now(),
            slots: (0..threads).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// The figures of all loops: those of the others as they were at most [`INTERVAL`] ago.
    pub(crate) fn render(&self, as_json: bool, now: Instant) -> String {
        let mut groups: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
        for slot in &self.slots {
            let figures = slot.lock().unwrap_or_else(PoisonError::into_inner);
            add(&mut groups, &figures);
        }
        let uptime = now.saturating_duration_since(self.started).as_secs();
        let server = groups.entry("server").or_default();
        server.insert("uptime_s".to_owned(), uptime);
        server.insert("threads".to_owned(), self.slots.len() as u64);
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

/// Adds one loop's figures to those of the others.
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
        ("requests", "queued", gauges(requests.waiting)),
        ("requests", "in_flight", gauges(requests.active)),
        ("requests", "aborting", gauges(requests.aborting)),
        ("requests", "paused", gauges(requests.paused)),
        ("requests", "submitted", counters.submitted),
        ("requests", "completed", counters.completed),
        ("requests", "failed", counters.failed),
        ("requests", "retries", counters.retries),
        ("requests", "reused", counters.reused),
        ("octets", "held", gauges(stats.octets_held)),
        ("octets", "sent", counters.octets_sent),
        ("octets", "received", counters.octets_received),
        ("octets", "protocol_errors", counters.protocol_errors),
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

/// `MaxIdle` as `max_idle`, like all other names.
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

/// One loop's way to the board.
#[derive(Debug)]
pub(crate) struct Publisher {
    board: Arc<Board>,
    index: usize,
    next: Instant,
    /// Something happened since the figures were put there.
    is_stale: bool,
}

impl Publisher {
    pub(crate) fn new(board: &Arc<Board>, index: usize, now: Instant) -> Self {
        Self {
            board: Arc::clone(board),
            index,
            next: now,
            is_stale: false,
        }
    }

    pub(crate) fn board(&self) -> &Board {
        &self.board
    }

    /// Takes note that something happened; true if the figures have to be put there now, because the last are old enough.
    pub(crate) fn note_change(&mut self, now: Instant) -> bool {
        self.is_stale = self.board.is_on && now < self.next;
        self.board.is_on && !self.is_stale
    }

    pub(crate) fn put(&mut self, now: Instant, figures: Figures) {
        self.next = now + INTERVAL;
        if let Some(slot) = self.board.slots.get(self.index) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = figures;
        }
    }

    /// When the figures will have to be put there although nothing happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.is_stale.then_some(self.next)
    }
}

const INTERVAL: Duration = Duration::from_millis(100);
