//! Time inside the engine: nanoseconds since the first instant that was passed.

use std::num::NonZeroU64;
use std::ops::Add;
use std::time::{Duration, Instant};

use crate::report::Elapsed;

/// A point in time. One word, where an [`Instant`] has two: a request compares, adds and stores dozens of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(NonZeroU64);

impl Time {
    /// The engine's first instant, and all earlier ones.
    pub(super) const START: Self = Self(NonZeroU64::MIN);
    /// 584 years later. A deadline at this time never comes.
    const NEVER: Self = Self(NonZeroU64::MAX);

    /// `None` when the sum is out of range.
    #[inline]
    pub(super) fn checked_add(self, duration: Duration) -> Option<Self> {
        Some(self + duration).filter(|sum| *sum < Self::NEVER)
    }

    #[inline]
    pub(super) fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    #[inline]
    pub(super) fn saturating_elapsed_since(self, earlier: Self) -> Elapsed {
        Elapsed::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

/// Saturates at `NEVER`.
impl Add<Duration> for Time {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        let nanos = duration.as_secs().saturating_mul(1_000_000_000);
        let nanos = nanos.saturating_add(u64::from(duration.subsec_nanos()));
        Self(self.0.saturating_add(nanos))
    }
}

/// Translates between the embedder's instants and the engine's time, which never goes back.
#[derive(Debug)]
pub(super) struct Timeline {
    first: Option<Instant>,
    last: Option<Instant>,
    now: Time,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self {
            first: None,
            last: None,
            now: Time::START,
        }
    }

    /// Advances to `now` and returns the latest time so far.
    #[inline]
    pub(super) fn tick(&mut self, now: Instant) -> Time {
        // Usually the calls of one turn pass the same instant.
        if self.last != Some(now) {
            self.advance(now);
        }
        self.now
    }

    fn advance(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.now = self.peek(now);
        self.last = Some(now);
    }

    /// The result that [`tick`](Self::tick) would return.
    #[inline]
    pub(super) fn peek(&self, now: Instant) -> Time {
        if self.last == Some(now) {
            return self.now;
        }
        self.now.max(self.time(now))
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    pub(super) fn time(&self, instant: Instant) -> Time {
        let since = self.first.map(|it| instant.saturating_duration_since(it));
        Time::START + since.unwrap_or_default()
    }

    /// `None` when the system cannot represent the instant.
    pub(super) fn instant(&self, time: Time) -> Option<Instant> {
        let since = time.saturating_duration_since(Time::START);
        self.first?.checked_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_when_an_instant_goes_back() {
        let first = Instant::now() + Duration::from_secs(1);
        let mut timeline = Timeline::new();
        assert_eq!(timeline.tick(first), Time::START);
        let later = timeline.tick(first + Duration::from_millis(2));
        assert_eq!(later, Time::START + Duration::from_millis(2));
        for earlier in [first, first - Duration::from_millis(500)] {
            assert_eq!(timeline.peek(earlier), later);
            assert_eq!(timeline.tick(earlier), later);
            assert_eq!(timeline.time(earlier), Time::START);
        }
        let instant = timeline.instant(later);
        assert_eq!(instant, Some(first + Duration::from_millis(2)));
    }

    #[test]
    fn what_is_due_after_the_end_of_time_is_never_due() {
        assert_eq!(Time::START.checked_add(Duration::MAX), None);
        let far = Duration::from_secs(18_000_000_000);
        let time = Time::START.checked_add(far).expect("570 years");
        assert_eq!(time.saturating_duration_since(Time::START), far);
        assert_eq!(time.checked_add(far), None);
    }
}
