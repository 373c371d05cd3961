//! The last minutes of one loop, second by second.
//!
//! A sample holds counters as they were, not differences, so a second in which nothing changed needs no sample, and a loop
//! that has nothing to do sleeps.

use std::collections::VecDeque;

use super::counters::PHASES;
use super::figures::Figures;
use super::histogram::nanos;

/// The seconds that are kept.
pub(crate) const SECONDS: u64 = 300;

#[derive(Debug, Default)]
pub(crate) struct History {
    /// In the order of their seconds.
    samples: VecDeque<Sample>,
    /// What was before the first one.
    start: Sample,
}

/// The figures at the end of a second, or of the last time in this second that they changed.
#[derive(Clone, Debug, Default)]
struct Sample {
    second: u64,
    answered: u64,
    errors: u64,
    phases: [Times; PHASES],
    /// The longest time of each phase within the second, in nanoseconds.
    longest: [u64; PHASES],
    gauges: [u64; GAUGES],
    /// The largest gauges within the second.
    peaks: [u64; GAUGES],
    /// In the order of the loop's counters.
    upstreams: Vec<UpstreamTimes>,
}

/// How many times there were, and their sum in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub(crate) sum: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct UpstreamTimes {
    failed: u64,
    total: Times,
}

/// What is counted in each second: the most that there were.
pub(crate) const GAUGE_NAMES: [&str; GAUGES] = [
    "queued",
    "in_flight",
    "busy",
    "idle",
    "connecting",
    "clients",
];
const GAUGES: usize = 6;

/// A second of one loop, or of several together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Second {
    pub(crate) answered: u64,
    pub(crate) errors: u64,
    pub(crate) phases: [Times; PHASES],
    pub(crate) longest: [u64; PHASES],
    pub(crate) gauges: [u64; GAUGES],
}

impl Second {
    pub(crate) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.errors += other.errors;
        for at in 0..PHASES {
            self.phases[at].add(other.phases[at]);
            self.longest[at] = self.longest[at].max(other.longest[at]);
        }
        for (gauge, more) in self.gauges.iter_mut().zip(other.gauges) {
            *gauge += more;
        }
    }
}

impl Times {
    pub(crate) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            count: self.count.saturating_sub(earlier.count),
            sum: self.sum.saturating_sub(earlier.sum),
        }
    }
}

impl History {
    /// Notes the figures of a second. `longest` are the longest times since the last call.
    pub(crate) fn note(&mut self, second: u64, figures: &Figures, longest: [u64; PHASES]) {
        let mut sample = Sample::new(second, figures, longest);
        if self.samples.back().is_some_and(|it| it.second == second)
            && let Some(last) = self.samples.pop_back()
        {
            sample.keep_most_of(&last);
        }
        self.samples.push_back(sample);
        // One more than is shown: the first second shown is the difference to the one before it.
        if self.samples.len() as u64 > SECONDS + 1 {
            self.samples.pop_front();
        }
    }

    /// The seconds from `from` to `to`, without `to`.
    pub(crate) fn seconds(&self, from: u64, to: u64) -> impl Iterator<Item = Second> {
        self.pairs(from, to)
            .map(|(before, sample, is_of_second)| Second {
                answered: sample.answered.saturating_sub(before.answered),
                errors: sample.errors.saturating_sub(before.errors),
                phases: std::array::from_fn(|at| sample.phases[at].since(before.phases[at])),
                longest: if is_of_second {
                    sample.longest
                } else {
                    [0; PHASES]
                },
                gauges: if is_of_second {
                    sample.peaks
                } else {
                    sample.gauges
                },
            })
    }

    /// For each of these seconds: the requests that ended at an upstream, their total time, and how many failed.
    pub(crate) fn upstream(
        &self,
        at: usize,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = (Times, u64)> {
        self.pairs(from, to).map(move |(before, sample, _)| {
            let of = |sample: &Sample| sample.upstreams.get(at).copied().unwrap_or_default();
            let (before, now) = (of(before), of(sample));
            let failed = now.failed.saturating_sub(before.failed);
            (now.total.since(before.total), failed)
        })
    }

    /// For each second: the figures at the end of the second before, those at its own end, and whether they have changed
    /// in it.
    fn pairs(&self, from: u64, to: u64) -> impl Iterator<Item = (&Sample, &Sample, bool)> {
        // The last sample before a second.
        let before = |second: u64| {
            let next = self.samples.partition_point(|it| it.second < second);
            let last = next.checked_sub(1).and_then(|at| self.samples.get(at));
            last.unwrap_or(&self.start)
        };
        (from..to).map(move |second| {
            let sample = before(second + 1);
            (before(second), sample, sample.second == second)
        })
    }
}

impl Sample {
    fn new(second: u64, figures: &Figures, longest: [u64; PHASES]) -> Self {
        let (counters, stats) = (&figures.counters, &figures.stats);
        let (requests, connections) = (stats.requests, stats.connections);
        let mut phases = [Times::default(); PHASES];
        let mut upstreams = Vec::new();
        for upstream in &counters.upstreams {
            let times = upstream.phases.map(|histogram| Times {
                count: histogram.count(),
                sum: nanos(histogram.sum()),
            });
            for (sum, more) in phases.iter_mut().zip(times) {
                sum.add(more);
            }
            if upstreams.len() < MAX_UPSTREAMS {
                upstreams.push(UpstreamTimes {
                    failed: upstream.failed,
                    total: times[PHASES - 1],
                });
            }
        }
        let gauges = [
            requests.queued + requests.connecting,
            requests.active,
            connections.busy + connections.draining,
            connections.idle,
            connections.connecting + connections.probing,
            figures.clients,
        ]
        .map(|gauge| gauge as u64);
        Self {
            second,
            answered: figures.answered,
            errors: counters.errors(),
            phases,
            longest,
            gauges,
            peaks: gauges,
            upstreams,
        }
    }

    /// Keeps the peaks of an earlier sample of the same second.
    fn keep_most_of(&mut self, earlier: &Self) {
        for (most, other) in self.peaks.iter_mut().zip(earlier.peaks) {
            *most = other.max(*most);
        }
        for (most, other) in self.longest.iter_mut().zip(earlier.longest) {
            *most = other.max(*most);
        }
    }
}

/// The most upstreams with a history.
pub(crate) const MAX_UPSTREAMS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(answered: u64, clients: usize) -> Figures {
        Figures {
            answered,
            clients,
            ..Figures::default()
        }
    }

    #[test]
    fn a_second_is_a_difference_and_one_without_a_sample_has_no_requests() {
        let mut history = History::default();
        history.note(0, &figures(1, 1), [9; PHASES]);
        history.note(2, &figures(5, 7), [3; PHASES]);
        history.note(2, &figures(6, 2), [2; PHASES]);
        let seconds: Vec<Second> = history.seconds(0, 5).collect();
        let answered: Vec<u64> = seconds.iter().map(|it| it.answered).collect();
        assert_eq!(answered, [1, 0, 5, 0, 0]);
        // The most within a second; after that what there was at the end.
        let clients: Vec<u64> = seconds.iter().map(|it| it.gauges[5]).collect();
        assert_eq!(clients, [1, 1, 7, 2, 2]);
        let longest: Vec<u64> = seconds.iter().map(|it| it.longest[0]).collect();
        assert_eq!(longest, [9, 0, 3, 0, 0]);
    }

    #[test]
    fn what_is_older_than_is_shown_is_dropped() {
        let mut history = History::default();
        for second in 0..10 * SECONDS {
            history.note(second, &figures(2 * second, 0), [0; PHASES]);
        }
        let to = 10 * SECONDS;
        assert!(history.seconds(to - SECONDS, to).all(|it| it.answered == 2));
        assert_eq!(history.samples.len() as u64, SECONDS + 1);
    }
}
