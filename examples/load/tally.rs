//! What is counted while the load runs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::arguments::Set;
use crate::progress::Progress;

/// Ends of requests: how many, how long they took, what went wrong.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests that ended, well or not.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    /// What the figures above are the sum of.
    pub(crate) sets: Vec<SetTally>,
    /// Failures since the last success.
    failures_in_a_row: u64,
    progress: Progress,
}

/// The figures of one script.
#[derive(Debug)]
pub(crate) struct SetTally {
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Of requests that ended well, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl SetTally {
    fn new(set: &Set) -> Self {
        let mut latencies = Histogram::new_with_bounds(1, LONGEST_NANOS, 3)
            .unwrap_or_else(|_| unreachable!("1 is below the bound, and 3 digits are allowed"));
        latencies.auto(true);
        Self {
            name: set.script.clone().unwrap_or_default(),
            requests: 0,
            errors: 0,
            latencies,
        }
    }
}

impl Tally {
    pub(crate) fn new(sets: &[Set], progress: Progress) -> Self {
        Self {
            requests: 0,
            errors: 0,
            errors_by_kind: BTreeMap::new(),
            sets: sets.iter().map(SetTally::new).collect(),
            failures_in_a_row: 0,
            progress,
        }
    }

    /// So many requests of a set ended well, each after this time.
    #[inline]
    pub(crate) fn succeeded(&mut self, set: usize, latency: Duration, count: u64) {
        self.requests += count;
        let set = &mut self.sets[set];
        set.requests += count;
        self.failures_in_a_row = 0;
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        set.latencies
            .saturating_record_n(nanos.min(LONGEST_NANOS), count);
    }

    /// A request of a set failed, or its response was not the one wanted.
    pub(crate) fn failed(&mut self, set: usize, kind: impl Display) {
        self.requests += 1;
        self.errors += 1;
        self.sets[set].requests += 1;
        self.sets[set].errors += 1;
        self.failures_in_a_row += 1;
        let kind = kind.to_string();
        let is_known = self.errors_by_kind.contains_key(&kind);
        let kind = if is_known || self.errors_by_kind.len() < MAX_KINDS {
            kind
        } else {
            "others".to_owned()
        };
        *self.errors_by_kind.entry(kind).or_default() += 1;
    }

    /// Whether it makes no sense to go on: nothing but failures for a while.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.failures_in_a_row >= HOPELESS
    }

    /// Shows how it goes, where that is wanted and due.
    #[inline]
    pub(crate) fn show_progress(&mut self, now: Instant) {
        if self.progress.is_due(now) {
            self.progress
                .show(now, self.requests, self.errors, &latencies(&self.sets));
        }
    }

    /// Of all sets, in nanoseconds.
    pub(crate) fn latencies(&self) -> Cow<'_, Histogram<u64>> {
        latencies(&self.sets)
    }

    /// When progress is to be shown next.
    pub(crate) fn progress_due(&self) -> Option<Instant> {
        self.progress.due()
    }

    pub(crate) fn end_progress(&mut self) {
        self.progress.end();
    }
}

fn latencies(sets: &[SetTally]) -> Cow<'_, Histogram<u64>> {
    let mut all = Cow::Borrowed(&sets[0].latencies);
    for set in &sets[1..] {
        // All have the same bounds, so there is nothing that could not be added.
        let _ = all.to_mut().add(&set.latencies);
    }
    all
}

/// Latencies above count as this: an hour.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// Failures in a row after which a run is given up.
const HOPELESS: u64 = 10_000;

/// Kinds of errors that are told apart.
const MAX_KINDS: usize = 32;
