//! The pauses of a request, and the limit on them.

use std::time::Duration;

use crate::model::Check;

/// The pauses of a request, in order. The engine may have ended the request before the last ones.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Vec<Pause>);

#[derive(Debug)]
struct Pause {
    from: Duration,
    to: Option<Duration>,
}

impl Pauses {
    /// Whether there has been one.
    pub(crate) fn has_any(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.0.last().is_some_and(|last| last.to.is_none())
    }

    pub(crate) fn begin(&mut self, at: Duration) {
        if !self.is_paused() {
            self.0.push(Pause { from: at, to: None });
        }
    }

    /// Returns whether the request was paused.
    pub(crate) fn end(&mut self, at: Duration) -> bool {
        let last = self.0.last_mut().filter(|last| last.to.is_none());
        last.map(|last| last.to = Some(at)).is_some()
    }

    /// When the request that is paused exceeds the limit; it was assigned to its connection at this time.
    pub(crate) fn due(&self, assigned: Duration, limit: Option<Duration>) -> Option<Duration> {
        let last = self.0.last().filter(|last| last.to.is_none())?;
        Some(last.from.max(assigned) + limit?)
    }

    /// Checks that a request that the engine gave up at a time had exceeded the limit, and only just.
    pub(crate) fn check_given_up(
        &self,
        assigned: Duration,
        limit: Option<Duration>,
        at: Duration,
        is_punctual: bool,
    ) -> Check {
        let limit = limit.ok_or("paused for too long, and there is no limit")?;
        let is_right = |pause: &Pause| {
            let due = pause.from.max(assigned) + limit;
            let is_late = due < at && is_punctual;
            due <= at && !is_late && pause.to.is_none_or(|to| to >= at)
        };
        match self.0.iter().any(is_right) {
            true => Ok(()),
            false => Err(format!(
                "given up at {at:?}, with a limit of {limit:?}, on a connection since {assigned:?}: {self:?}"
            )),
        }
    }
}
