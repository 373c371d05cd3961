//! Additions of any duration to an instant.

use std::time::{Duration, Instant};

/// The instant `time` after `at`. A duration of more than a hundred years counts as a hundred years, so that no
/// addition overflows, and neither do several of them.
pub(super) fn later(at: Instant, time: Duration) -> Instant {
    at + time.min(LONGEST)
}

const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
