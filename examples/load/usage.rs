//! The processor time and the memory that the process has used.

use std::time::Duration;

/// Resource usage of this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// The largest resident memory so far, in KiB.
    pub(crate) peak_rss_kib: u64,
}

impl Usage {
    /// The usage so far. All zero on systems without `getrusage`.
    #[cfg(unix)]
    pub(crate) fn now() -> Self {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeVal;

        fn duration(time: TimeVal) -> Duration {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
            let micros = u64::try_from(time.tv_usec()).unwrap_or_default();
            Duration::from_secs(seconds) + Duration::from_micros(micros)
        }
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
            return Self::default();
        };
        let rss = u64::try_from(usage.max_rss()).unwrap_or_default();
        Self {
            user: duration(usage.user_time()),
            system: duration(usage.system_time()),
            // KiB, except on Apple's systems: bytes.
            peak_rss_kib: if cfg!(target_vendor = "apple") {
                rss / 1024
            } else {
                rss
            },
        }
    }

    /// The usage so far. All zero on systems without `getrusage`.
    #[cfg(not(unix))]
    pub(crate) fn now() -> Self {
        Self::default()
    }

    /// The time since `earlier`; the memory as it is in `self`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            peak_rss_kib: self.peak_rss_kib,
        }
    }
}
