//! The counters of a run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::arguments::Set;
use crate::progress::Progress;
use crate::usage::Usage;

/// Counts requests that ended: how many, how long they took, what went wrong.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests that ended, with success or failure.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    /// The same figures for each script. The figures above are their sums.
    pub(crate) sets: Vec<SetTally>,
    /// Failures since the last success.
    failures_in_a_row: u64,
    /// Requests that are still to succeed before any counts.
    warm_up: u64,
    /// What was used, and when, as the first request that counts was to come.
    start: (Usage, Instant),
    progress: Progress,
}

/// The figures of one script.
#[derive(Debug)]
pub(crate) struct SetTally {
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Latencies of successful requests, in nanoseconds.
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
    /// The first `warm_up` requests that succeed are not counted.
    pub(crate) fn new(sets: &[Set], warm_up: u64, progress: Progress) -> Self {
        Self {
            requests: 0,
            errors: 0,
            errors_by_kind: BTreeMap::new(),
            sets: sets.iter().map(SetTally::new).collect(),
            failures_in_a_row: 0,
            warm_up,
            start: (Usage::now(), Instant::now()),
            progress,
        }
    }

    /// Counts `count` successful requests of a set that took `latency` each.
    #[inline]
    pub(crate) fn succeeded(&mut self, set: usize, latency: Duration, count: u64) {
        self.failures_in_a_row = 0;
        if self.warm_up > 0 {
            return self.warm_up(count);
        }
        self.requests += count;
        let set = &mut self.sets[set];
        set.requests += count;
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        set.latencies
            .saturating_record_n(nanos.min(LONGEST_NANOS), count);
    }

    #[cold]
    fn warm_up(&mut self, count: u64) {
        self.warm_up = self.warm_up.saturating_sub(count);
        if self.warm_up == 0 {
            self.start = (Usage::now(), Instant::now());
        }
    }

    /// What was used, and how long it took, since the first request that counts.
    pub(crate) fn since_start(&self) -> (Usage, Duration) {
        let (usage, start) = self.start;
        (Usage::now().since(usage), start.elapsed())
    }

    /// Counts a request of a set that failed, or whose response was not the expected one. An error counts also in the
    /// warm-up.
    pub(crate) fn failed(&mut self, set: usize, kind: impl Display) {
        let counts = u64::from(self.warm_up == 0);
        self.requests += counts;
        self.errors += 1;
        self.sets[set].requests += counts;
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

    /// Whether the run should be given up: all of the last requests failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW
    }

    /// Shows the progress, if enabled and due.
    #[inline]
    pub(crate) fn show_progress(&mut self, now: Instant) {
        if self.progress.is_due(now) {
            self.progress
                .show(now, self.requests, self.errors, &latencies(&self.sets));
        }
    }

    /// The latencies of all sets, in nanoseconds.
    pub(crate) fn latencies(&self) -> Cow<'_, Histogram<u64>> {
        latencies(&self.sets)
    }

    /// When to show the progress next.
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
        // All histograms have the same bounds, so adding cannot fail.
        let _ = all.to_mut().add(&set.latencies);
    }
    all
}

/// Longer latencies count as this one: an hour.
const LONGEST_NANOS: u64 = 3_600_000_000_000;

/// After this many failures in a row, a run is given up.
const MAX_FAILURES_IN_A_ROW: u64 = 10_000;

/// The most kinds of errors that are counted separately.
const MAX_KINDS: usize = 32;
