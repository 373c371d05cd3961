//! When a request may be sent again: the rules of the library, which FastCGI has none of.

use std::time::Duration;

use mio_fcgi::{Multiplex, Retry};

use crate::compare::Compared;
use crate::log::{Content, Tick};
use crate::reference::{Attempt, Ending};
use crate::wire;

type Verdict = Result<(), String>;

impl Compared<'_> {
    pub(crate) fn policy(&self) -> Retry {
        let method = self.asked.values("REQUEST_METHOD").last();
        let is_idempotent = |method: &[u8]| {
            [
                &b"GET"[..],
                b"HEAD",
                b"OPTIONS",
                b"TRACE",
                b"PUT",
                b"DELETE",
            ]
            .contains(&method)
        };
        match self.asked.retry {
            Retry::ByMethod if method.is_some_and(is_idempotent) => Retry::IfStale,
            Retry::ByMethod => Retry::IfNotProcessed,
            other => other,
        }
    }

    fn window(&self) -> Duration {
        self.run.world.config.stale_window
    }

    pub(crate) fn rewinds(&self) -> bool {
        self.asked.body.rewinds() && self.asked.data.rewinds()
    }

    /// Whether each attempt but the last may have been followed by another one.
    pub(crate) fn retries(&self) -> Verdict {
        let earlier = &self.attempts[..self.attempts.len().saturating_sub(1)];
        if let Some(attempt) = earlier.iter().find(|it| !self.may_be_followed(it)) {
            let len = attempt.output_len(Tick::MAX);
            return Err(format!(
                "sent again after {len} bytes and {:?}",
                attempt.ending
            ));
        }
        match earlier.iter().filter(|it| is_lost(it)).count() > 1 {
            true => Err("sent again after a second loss".to_owned()),
            false => Ok(()),
        }
    }

    /// Whether an attempt may have been followed by another one.
    pub(crate) fn may_be_followed(&self, attempt: &Attempt) -> bool {
        let is_refused = matches!(
            attempt.ending,
            Ending::End {
                status: wire::CANT_MPX_CONN | wire::OVERLOADED,
                ..
            }
        );
        // A reader of unknown length may be in memory. One of no bytes, or of which none was sent, has nothing to rewind.
        let is_kept = |it: &Content| it.rewinds() || it.len.is_none_or(|len| len == 0);
        let may_rewind = (is_kept(&self.asked.body) || attempt.stdin.content.is_empty())
            && (is_kept(&self.asked.data) || attempt.data.content.is_empty());
        let is_allowed = match &attempt.ending {
            Ending::End { .. } => is_refused && self.policy() >= Retry::IfNotProcessed,
            // A connection that was closed because of a protocol error is one that was lost.
            Ending::Lost { .. } | Ending::Violation { .. } => {
                self.may_be_stale(attempt, |time| time <= self.window())
            }
            Ending::None => attempt.only_one.is_some() && self.policy() >= Retry::IfStale,
        };
        may_rewind && is_allowed && attempt.output_len(Tick::MAX) == 0
    }

    /// Whether a lost connection allows another attempt, after a time that `is_soon`.
    fn may_be_stale(&self, attempt: &Attempt, is_soon: impl Fn(Duration) -> bool) -> bool {
        let (log, connection) = (&self.run.logs[attempt.log], &self.connections[attempt.log]);
        let time = |tick: Tick| {
            log.marks
                .iter()
                .rfind(|mark| mark.tick <= tick)
                .map(|mark| mark.time)
        };
        let is_reused =
            connection.attempts[0].begun < attempt.begun || !connection.questions.is_empty();
        let sent = time(attempt.sent_at().unwrap_or(attempt.begun));
        let lost = log
            .lost
            .map(|lost| lost.2)
            .or_else(|| attempt.ending.tick().and_then(time));
        let is_soon = lost
            .zip(sent)
            .is_some_and(|(lost, sent)| is_soon(lost - sent));
        let least = if is_reused {
            Retry::IfStale
        } else {
            Retry::IfUnanswered
        };
        self.policy() >= least && is_soon && !self.window().is_zero()
    }

    /// Whether a refused request has to be sent again.
    pub(crate) fn has_another_chance(&self) -> bool {
        self.may_go_again() && self.policy() >= Retry::IfNotProcessed
    }

    /// Whether a request has to be sent again after its connection was lost: on a plain one, without a byte of an answer.
    pub(crate) fn has_chance_after_loss(&self) -> bool {
        let Some(last) = self.last() else {
            return false;
        };
        let log = &self.run.logs[last.log];
        let is_silent = log.input.is_empty() || log.received(log.input.len()) < last.begun;
        let is_first = self.attempts.iter().filter(|it| is_lost(it)).count() == 1;
        let is_plain = self.run.world.config.multiplex == Multiplex::Off;
        is_plain
            && is_first
            && is_silent
            && self.may_go_again()
            && self.may_be_stale(last, |time| time < self.window())
    }

    fn may_go_again(&self) -> bool {
        let is_left = self.attempts.len() <= usize::from(self.run.world.config.max_retries);
        let is_silent = self.last().is_some_and(|it| it.output.is_empty());
        let is_queued = self.run.world.config.limits.max_queued_requests > 3;
        is_left && is_silent && is_queued && !self.may_be_more && self.rewinds()
    }
}

fn is_lost(attempt: &Attempt) -> bool {
    matches!(attempt.ending, Ending::Lost { .. })
}
