//! When the next request is due, and when there are no more.

use std::time::{Duration, Instant};

use crate::arguments::{Arguments, End};

/// The schedule of a run: returns the requests one by one.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    /// Number of requests left.
    left: u64,
    until: Option<Instant>,
    rate: Option<f64>,
    taken: u64,
}

/// The next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A request is due, and has been since this time.
    Due(Instant),
    /// The next request is due at this time.
    Later(Instant),
    /// There are no more requests.
    Over,
}

impl Pace {
    pub(crate) fn starting_now(arguments: &Arguments) -> Self {
        let start = Instant::now();
        let (left, until) = match arguments.end {
            End::Requests(requests) => (requests, None),
            End::After(duration) => (u64::MAX, start.checked_add(duration)),
        };
        Self {
            start,
            left,
            until,
            rate: arguments.rate,
            taken: 0,
        }
    }

    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// The next request. A request that is due counts as sent.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        if self.left == 0 || self.until.is_some_and(|until| now >= until) {
            self.left = 0;
            return Next::Over;
        }
        let due = match self.rate {
            None => now,
            Some(rate) => {
                let offset = Duration::from_secs_f64(self.taken as f64 / rate);
                self.start.checked_add(offset).unwrap_or(now)
            }
        };
        if due > now {
            return Next::Later(self.until.map_or(due, |until| due.min(until)));
        }
        self.taken += 1;
        self.left -= 1;
        Next::Due(due)
    }

    /// Whether the last request was returned. Up to date once [`next`](Self::next) has returned [`Next::Over`].
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Ends the schedule: no more requests.
    pub(crate) fn stop(&mut self) {
        self.left = 0;
    }
}
