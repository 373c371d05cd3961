//! The failures of a server, and the pauses that follow from them.
//!
//! A request that has to wait because of a pause is woken by the timer for its end. So only what has such a timer may
//! keep a request waiting that can go nowhere else. That a server hangs has none: it sends requests elsewhere, and the
//! pause decides when a request is sent to the server nevertheless.

use std::time::Duration;

use crate::config::Backoff;
use crate::engine::time::Time;
use crate::error::ConnectError;

#[derive(Debug, Default)]
pub(super) struct Health {
    /// Connects that failed in a row.
    failures: u32,
    /// Connections with a lower serial number were opened before the last failure was known.
    failure_epoch: u64,
    /// Why the last connect failed. `None` after a connect that succeeded.
    last_error: Option<ConnectError>,
    /// Whether the server did not answer a check: it accepts connections and does nothing else. A connect does not end
    /// that, only an answer.
    hangs: bool,
    /// Requests rejected for overload in a row.
    overloads: u32,
    /// Until when no request is sent to the server, because it is down or overloaded.
    backoff_until: Option<Time>,
    /// Connects in a row for which this side had no descriptor, port or memory.
    shortages: u32,
    /// Until when the server is not connected to, because this side had no descriptor, port or memory.
    short_until: Option<Time>,
    /// Until when no connection is opened in advance, because the last one was closed before it served a request.
    refill_at: Option<Time>,
}

impl Health {
    /// Whether the server is backing off: it is down or overloaded.
    #[inline]
    pub(super) fn is_backing_off(&self, now: Time) -> bool {
        self.hangs || self.is_paused(now)
    }

    /// Whether the pause after a failure or an overload lasts.
    #[inline]
    pub(super) fn is_paused(&self, now: Time) -> bool {
        self.backoff_until.is_some_and(|until| until > now)
    }

    /// Whether the server did not answer a check, and has answered nothing since.
    #[inline]
    pub(super) fn hangs(&self) -> bool {
        self.hangs
    }

    /// Whether the server takes no request for now because it is overloaded.
    #[inline]
    pub(super) fn is_overloaded(&self, now: Time) -> bool {
        self.overloads > 0 && self.is_paused(now)
    }

    /// Whether the server is not connected to for now, because this side had no descriptor, port or memory.
    #[inline]
    pub(super) fn is_short(&self, now: Time) -> bool {
        self.short_until.is_some_and(|until| until > now)
    }

    /// Whether the last connect failed, or the server hangs.
    pub(super) fn is_down(&self) -> bool {
        self.failures > 0 || self.hangs
    }

    pub(super) fn waits_for_resources(&self) -> bool {
        self.short_until.is_some()
    }

    /// Whether no connection is opened in advance for now.
    pub(super) fn is_refill_paused(&self, now: Time) -> bool {
        self.refill_at.is_some_and(|at| at > now)
    }

    /// How long the server is still set aside.
    pub(super) fn set_aside_for(&self, now: Time) -> Option<Duration> {
        let until = self.backoff_until.unwrap_or(now);
        let left = until.saturating_duration_since(now);
        (self.hangs || !left.is_zero()).then_some(left)
    }

    pub(super) fn last_error(&self) -> Option<ConnectError> {
        self.last_error
    }

    /// A connect succeeded. Returns whether the connect before it had failed.
    pub(super) fn connected(&mut self) -> bool {
        if self.hangs {
            return false;
        }
        let was_down = self.failures > 0;
        self.failures = 0;
        self.last_error = None;
        self.shortages = 0;
        if self.overloads == 0 {
            self.backoff_until = None;
        }
        was_down
    }

    /// The connection with this serial number failed to connect. Returns the pause that follows, or `None` if the
    /// failure does not count. A full backlog does not count: the server is up.
    pub(super) fn connect_failed(
        &mut self,
        now: Time,
        serial: u64,
        next_serial: u64,
        error: ConnectError,
        backoff: Backoff,
    ) -> Option<Duration> {
        if error == ConnectError::BacklogFull || serial < self.failure_epoch {
            return None;
        }
        self.failure_epoch = next_serial;
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(error);
        let pause = backoff.after(self.failures);
        self.backoff_until = Some(now + pause);
        Some(pause)
    }

    /// A request was rejected for overload. Returns the pause that follows.
    pub(super) fn overloaded(&mut self, now: Time, backoff: Backoff) -> Duration {
        self.overloads = self.overloads.saturating_add(1);
        let pause = backoff.after(self.overloads);
        self.backoff_until = Some(now + pause);
        pause
    }

    #[inline]
    pub(super) fn completed(&mut self) {
        self.overloads = 0;
        if self.hangs {
            self.answered();
        }
    }

    /// The server has not answered a check.
    pub(super) fn unanswered(&mut self) {
        self.hangs = true;
    }

    /// The server has answered: it does not hang.
    #[cold]
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.hangs) {
            self.connected();
        }
    }

    /// This side had no descriptor, port or memory for a connect. Returns the pause that follows.
    pub(super) fn ran_short(&mut self, now: Time, backoff: Backoff) -> Duration {
        self.shortages = self.shortages.saturating_add(1);
        let pause = backoff.after(self.shortages);
        self.short_until = Some(now + pause);
        pause
    }

    pub(super) fn end_shortage(&mut self) {
        self.short_until = None;
    }

    pub(super) fn pause_refill(&mut self, now: Time, backoff: Backoff) {
        self.refill_at = Some(now + backoff.after(u32::MAX));
    }

    /// Ends the pauses that have expired. Returns whether one of them was for a shortage on this side.
    pub(super) fn end_pauses(&mut self, now: Time) -> bool {
        let is_over = |at: &mut Time| *at <= now;
        self.refill_at.take_if(is_over);
        self.backoff_until.take_if(is_over);
        self.short_until.take_if(is_over).is_some()
    }

    /// When the next pause expires.
    pub(super) fn next_due(&self, now: Time) -> Option<Time> {
        let pauses = [self.refill_at, self.backoff_until, self.short_until];
        pauses.into_iter().flatten().filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(5);

    fn backoff() -> Backoff {
        Backoff {
            initial: PAUSE,
            max: 8 * PAUSE,
        }
    }

    fn failed(health: &mut Health, serial: u64, error: ConnectError) -> Option<Duration> {
        health.connect_failed(Time::START, serial, serial + 1, error, backoff())
    }

    const REFUSED: ConnectError = ConnectError::Failed(std::io::ErrorKind::ConnectionRefused);

    #[test]
    fn pauses_last_until_their_instant_and_are_over_at_it() {
        let until = Time::START + PAUSE;
        let health = Health {
            backoff_until: Some(until),
            short_until: Some(until),
            refill_at: Some(until),
            ..Health::default()
        };
        for (now, is_paused) in [(Time::START, true), (until, false)] {
            assert_eq!(health.is_backing_off(now), is_paused);
            assert_eq!(health.is_short(now), is_paused);
            assert_eq!(health.is_refill_paused(now), is_paused);
            assert_eq!(health.next_due(now), is_paused.then_some(until));
        }
    }

    #[test]
    fn a_busy_server_and_connects_that_failed_together_cost_one_pause_at_most() {
        let mut health = Health::default();
        assert_eq!(failed(&mut health, 0, ConnectError::BacklogFull), None);
        assert!(!health.is_down() && !health.is_backing_off(Time::START));
        assert_eq!(failed(&mut health, 3, REFUSED), Some(PAUSE));
        assert_eq!(
            failed(&mut health, 2, REFUSED),
            None,
            "opened before that failure"
        );
        assert_eq!(failed(&mut health, 4, REFUSED), Some(2 * PAUSE));
    }

    #[test]
    fn a_connect_ends_the_pause_after_failures_and_not_that_for_overload() {
        let mut health = Health::default();
        failed(&mut health, 0, REFUSED);
        assert!(health.is_backing_off(Time::START));
        assert!(health.connected(), "it was down");
        assert!(!health.is_backing_off(Time::START));
        health.overloaded(Time::START, backoff());
        assert!(!health.connected());
        assert!(health.is_overloaded(Time::START));
    }

    #[test]
    fn a_server_that_hangs_is_set_aside_until_it_answers_and_not_until_it_accepts() {
        let mut health = Health::default();
        failed(&mut health, 0, ConnectError::TimedOut);
        health.unanswered();
        let later = Time::START + 100 * PAUSE;
        assert!(!health.connected() && health.is_down());
        assert!(health.is_backing_off(later) && !health.is_overloaded(later));
        assert_eq!(health.set_aside_for(later), Some(Duration::ZERO));
        health.answered();
        assert!(!health.is_backing_off(Time::START) && !health.is_down());
        assert_eq!(health.set_aside_for(Time::START), None);
    }

    #[test]
    fn a_shortage_is_over_with_its_pause() {
        let mut health = Health::default();
        let pause = health.ran_short(Time::START, backoff());
        assert!(!health.end_pauses(Time::START) && health.waits_for_resources());
        assert!(health.end_pauses(Time::START + pause));
        assert!(!health.waits_for_resources());
    }
}
