//! A histogram of times, as Prometheus wants it: a fixed array of counters.

use std::time::Duration;

/// The counts of times, by size.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Histogram {
    /// The last is for times beyond all bounds.
    counts: [u64; BOUNDS.len() + 1],
    /// In nanoseconds.
    sum: u64,
}

impl Histogram {
    pub(crate) fn observe(&mut self, time: Duration) {
        let nanos = nanos(time);
        self.counts[BOUNDS.partition_point(|bound| *bound < nanos)] += 1;
        self.sum = self.sum.saturating_add(nanos);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all times.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// For each bound: how many times are not longer. The last bound is `None`: all times.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let mut seen = 0;
        self.counts.into_iter().enumerate().map(move |(at, count)| {
            seen += count;
            (BOUNDS.get(at).copied().map(Duration::from_nanos), seen)
        })
    }
}

/// The nanoseconds of a time, of at most 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const MS: u64 = 1_000_000;
/// The longest times of the counters, in nanoseconds.
const BOUNDS: [u64; 14] = [
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    1000 * MS,
    2500 * MS,
    5000 * MS,
    10_000 * MS,
    30_000 * MS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_for_its_bound_and_all_longer_ones() {
        let mut times = Histogram::default();
        for time in [0, 1_000_000, 1_000_001, 30_000_000_000, 30_000_000_001] {
            times.observe(Duration::from_nanos(time));
        }
        let counts: Vec<u64> = times.cumulative().map(|it| it.1).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
        assert_eq!((times.count(), times.sum().as_nanos()), (5, 60_002_000_002));
        let bounds: Vec<_> = times.cumulative().map(|it| it.0).collect();
        assert_eq!(bounds[1], Some(Duration::from_micros(2500)));
        assert_eq!(bounds.last(), Some(&None));
        // Sums that do not fit stay at the largest value.
        times.observe(Duration::MAX);
        let mut all = times;
        all.add(&times);
        assert_eq!(
            (all.count(), all.sum()),
            (12, Duration::from_nanos(u64::MAX))
        );
    }
}
