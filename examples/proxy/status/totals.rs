//! The figures of all loops together.

use std::collections::BTreeMap;
use std::time::Duration;

use mio_fcgi::CloseReason;

use super::counters::PHASES;
use super::figures::Figures;
use super::histogram::Histogram;
use super::history::{self, History, SECONDS, Second, Times};

/// Numbers by group and name.
pub(crate) type Groups = BTreeMap<&'static str, BTreeMap<String, u64>>;

#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) groups: Groups,
    /// By address. The empty one stands for the requests that were sent to no application.
    pub(crate) upstreams: BTreeMap<String, Upstream>,
    /// The time since the start.
    pub(crate) uptime: Duration,
    /// The last minutes, without the second that is not over.
    pub(crate) seconds: Vec<Second>,
}

#[derive(Debug, Default)]
pub(crate) struct Upstream {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) phases: [Histogram; PHASES],
    pub(crate) connections: u64,
    pub(crate) idle: u64,
    pub(crate) requests: u64,
    /// The number of loops that send it no request for now.
    pub(crate) set_aside: u64,
    pub(crate) problem: Option<String>,
    /// For each of the last seconds: the requests that ended and their time, and how many failed. Empty: it has none.
    pub(crate) seconds: Vec<(Times, u64)>,
}

impl Totals {
    pub(crate) fn new(uptime: Duration, threads: usize) -> Self {
        let now = uptime.as_secs();
        let count = now.min(SECONDS) as usize;
        let mut totals = Self {
            uptime,
            seconds: vec![Second::default(); count],
            ..Self::default()
        };
        let server = totals.groups.entry("server").or_default();
        server.insert("uptime_s".to_owned(), now);
        server.insert("threads".to_owned(), threads as u64);
        totals
    }

    /// Notes how many connections of clients were refused.
    pub(crate) fn note_refused(&mut self, count: u64) {
        *number(&mut self.groups, "server", "refused".to_owned()) = count;
    }

    /// Adds the figures of a loop.
    pub(crate) fn add(&mut self, figures: &Figures, history: &History) {
        let to = self.uptime.as_secs();
        let from = to - self.seconds.len() as u64;
        for (sum, more) in self.seconds.iter_mut().zip(history.seconds(from, to)) {
            sum.add(&more);
        }
        add_numbers(&mut self.groups, figures);
        for server in &figures.servers {
            let sum = self.upstreams.entry(server.name.clone()).or_default();
            sum.connections += server.connections;
            sum.idle += server.idle;
            sum.requests += server.requests;
            sum.set_aside += u64::from(server.is_set_aside);
            sum.problem = sum.problem.take().or_else(|| server.problem.clone());
        }
        for (at, upstream) in figures.counters.upstreams.iter().enumerate() {
            let sum = self.upstreams.entry(upstream.name.clone()).or_default();
            sum.completed += upstream.completed;
            sum.failed += upstream.failed;
            for (phase, more) in sum.phases.iter_mut().zip(&upstream.phases) {
                phase.add(more);
            }
            if at < history::MAX_UPSTREAMS {
                sum.seconds.resize(self.seconds.len(), Default::default());
                let more = history.upstream(at, from, to);
                for ((times, failed), more) in sum.seconds.iter_mut().zip(more) {
                    times.add(more.0);
                    *failed += more.1;
                }
            }
        }
    }

    /// A number, such as `pool` and `idle`.
    pub(crate) fn number(&self, group: &str, name: &str) -> u64 {
        let group = self.groups.get(group);
        group
            .and_then(|group| group.get(name))
            .copied()
            .unwrap_or_default()
    }
}

/// Adds the numbers of one loop to those of the others.
fn add_numbers(groups: &mut Groups, figures: &Figures) {
    let stats = &figures.stats;
    let (connections, requests, counters) = (stats.connections, stats.requests, &stats.counters);
    let gauges = |count: usize| count as u64;
    let rows = [
        ("server", "clients", gauges(figures.clients)),
        ("server", "answered", figures.answered),
        ("kept", "memory", figures.kept.memory),
        ("kept", "disk", figures.kept.disk),
        ("kept", "files", figures.kept.files),
        ("pool", "connecting", gauges(connections.connecting)),
        ("pool", "probing", gauges(connections.probing)),
        ("pool", "idle", gauges(connections.idle)),
        ("pool", "busy", gauges(connections.busy)),
        ("pool", "draining", gauges(connections.draining)),
        ("pool", "connected", counters.connected),
        ("pool", "connect_failures", counters.connect_failures),
        ("pool", "backlog_full", counters.backlog_full),
        ("pool", "shortages", counters.shortages),
        ("requests", "queued", gauges(requests.queued)),
        ("requests", "connecting", gauges(requests.connecting)),
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
        ("responses", "body_bytes", figures.counters.body_bytes),
    ];
    let classes = figures.counters.classes();
    let classes = classes.map(|(class, count)| ("responses", class, count));
    for (group, name, figure) in rows.into_iter().chain(classes) {
        *number(groups, group, name.to_owned()) += figure;
    }
    for reason in CloseReason::ALL {
        *number(groups, "evictions", name_of(*reason)) += counters.closed_for(*reason);
    }
}

fn number<'g>(groups: &'g mut Groups, group: &'static str, name: String) -> &'g mut u64 {
    groups.entry(group).or_default().entry(name).or_default()
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
