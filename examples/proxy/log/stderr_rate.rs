//! How much of the applications' stderr is logged: a script that complains without end must not fill the disk.

use std::time::{Duration, Instant};

/// Admits a number of lines at once, and then so many a second. The lines beyond that are counted.
#[derive(Debug)]
pub(crate) struct StderrRate {
    /// When all lines admitted so far have had their time. As long as that is not too far ahead, more are admitted.
    paid_until: Instant,
    dropped: u64,
    /// When to report the dropped lines.
    report_at: Option<Instant>,
}

impl StderrRate {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            paid_until: now,
            dropped: 0,
            report_at: None,
        }
    }

    /// Whether a line of this length may be logged now.
    pub(crate) fn admits(&mut self, now: Instant, len: usize) -> bool {
        let size = u32::try_from(len / LINE_LEN).unwrap_or(u32::MAX);
        let paid_until = self.paid_until.max(now) + LINE.saturating_mul(size.saturating_add(1));
        if paid_until - now > BURST {
            self.dropped += 1;
            self.report_at.get_or_insert(now + INTERVAL);
            return false;
        }
        self.paid_until = paid_until;
        true
    }

    /// When there are dropped lines to be reported.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.report_at
    }

    /// The number of lines that were dropped since the last report, if it is time for one.
    pub(crate) fn take_dropped(&mut self, now: Instant) -> Option<u64> {
        self.report_at.take_if(|due| *due <= now)?;
        Some(std::mem::take(&mut self.dropped))
    }
}

/// A line that is longer counts as several.
const LINE_LEN: usize = 1024;
/// The time that a line has: 100 lines a second.
const LINE: Duration = Duration::from_millis(10);
/// 1,000 lines at once.
const BURST: Duration = Duration::from_secs(10);
/// How often dropped lines are reported.
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    // case 186
    #[test]
    fn lines_beyond_the_rate_are_counted() {
        let start = Instant::now();
        let mut rate = StderrRate::new(start);
        let mut admitted = |now: Instant, len: usize| {
            let count = (0..2000).filter(|_| rate.admits(now, len)).count();
            (count, rate.take_dropped(now))
        };
        assert_eq!(admitted(start, 10), (1000, None));
        let later = start + Duration::from_secs(1);
        assert_eq!(admitted(later, 10), (100, Some(1000 + 1900)));
        // After a pause it is as at the beginning.
        let later = start + Duration::from_secs(3600);
        assert_eq!(admitted(later, 3 * LINE_LEN), (250, None));
        assert_eq!(rate.due(), Some(later + INTERVAL));
        assert!(!rate.admits(later, usize::MAX));
    }
}
