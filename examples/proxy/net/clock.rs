//! The time of a turn, read once per turn, and its two text forms, formatted once per second.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct Clock {
    now: Instant,
    /// Seconds since the Unix epoch.
    second: u64,
    http: String,
    log: String,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let mut clock = Self {
            now: Instant::now(),
            second: u64::MAX,
            http: String::new(),
            log: String::new(),
        };
        clock.set(clock.now);
        clock
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Sets the time of a turn, and reads the system's date.
    pub(crate) fn set(&mut self, now: Instant) {
        self.now = now;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let second = since.unwrap_or_default().as_secs();
        if second == self.second {
            return;
        }
        self.second = second;
        self.http = http_date(self.second());
        self.log = log_date(&self.http).unwrap_or_default();
    }

    /// The second that both text forms show.
    pub(crate) fn second(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.second)
    }

    /// The date in the format of the `Date` field (RFC 9110, 5.6.7).
    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    /// The date in the common log format.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }
}

pub(crate) fn http_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// Turns `Sun, 06 Nov 1994 08:49:37 GMT` into `06/Nov/1994:08:49:37 +0000`.
fn log_date(http: &str) -> Option<String> {
    let mut parts = http.split(' ').skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{day}/{month}/{year}:{time} +0000"))
}
