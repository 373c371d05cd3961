//! The progress line.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::summary::milliseconds;

/// A line on standard error once per second. On a terminal, each line overwrites the last.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    /// `None`: nothing is shown.
    due: Option<Instant>,
    last: (Instant, u64),
    overwrites: bool,
    has_shown: bool,
}

impl Progress {
    /// Shows progress on a terminal, and elsewhere only if `wanted`.
    pub(crate) fn new(wanted: bool) -> Self {
        let overwrites = io::stderr().is_terminal();
        let start = Instant::now();
        Self {
            start,
            due: (wanted || overwrites).then(|| start + PERIOD),
            last: (start, 0),
            overwrites,
            has_shown: false,
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    #[inline]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(crate) fn show(
        &mut self,
        now: Instant,
        requests: u64,
        errors: u64,
        latencies: &Histogram<u64>,
    ) {
        let (then, before) = self.last;
        let rate = (requests - before) as f64 / (now - then).as_secs_f64().max(0.001);
        let line = format!(
            "{:6.1} s  {requests} requests  {rate:.0}/s  median {}  p99 {}  {errors} errors",
            (now - self.start).as_secs_f64(),
            milliseconds(latencies.value_at_quantile(0.5)),
            milliseconds(latencies.value_at_quantile(0.99)),
        );
        // If the reader of standard error is gone, the load goes on.
        let _ = if self.overwrites {
            write!(io::stderr(), "\r{line}\x1b[K")
        } else {
            writeln!(io::stderr(), "{line}")
        };
        self.has_shown = true;
        self.last = (now, requests);
        self.due = Some(now + PERIOD);
    }

    /// Clears the progress line.
    pub(crate) fn end(&mut self) {
        if self.overwrites && self.has_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

const PERIOD: Duration = Duration::from_secs(1);
