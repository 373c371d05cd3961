//! Instants that any duration leads to.

use std::time::{Duration, Instant};

/// `time` after `at`. What is longer than a hundred years counts as a hundred years, so that no duration is too long
/// to be added, nor one after another.
pub(super) fn later(at: Instant, time: Duration) -> Instant {
    at + time.min(LONGEST)
}

const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
