//! Sends `FCGI_GET_VALUES` to the first of several addresses that can be connected to.
//!
//! A question belongs to one server, so each address gets a question of its own. The first answer counts; the other
//! questions end when the client is dropped.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::CallError;
use super::turns::Turns;
use crate::config::Config;
use crate::error::{ConnectError, Failure, Phase, RequestError, TimeoutKind};
use crate::event::{Event, EventKind, RequestHandle, ServerValues, Tag};
use crate::server::ServerId;

/// How long a connect may hang before the next address is tried as well (RFC 8305, 5 and 8).
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Asks the servers of `config` in order, all within its total time limit.
pub(super) fn ask(mut config: Config) -> Result<ServerValues, CallError> {
    let left = config.timeouts.total.unwrap_or(Duration::MAX);
    config.timeouts.queue = None;
    config.probe_timeout = left;
    let count = config.servers.len();
    let mut turns = Turns::new(config)?;
    // The client holds at most 1,024.
    let mut servers = 0..count as u32;
    let mut found = Found::default();
    let mut refusals = 0;
    // A question has no total limit of its own. The engine's limit for the first connect passes at the same instant.
    let mut now = Instant::now();
    let end = now.checked_add(left);
    let mut next_at = now;
    loop {
        let counters = turns.client.stats().counters;
        let is_next = now >= next_at || counters.connect_failures > refusals;
        refusals = counters.connect_failures;
        // Only the first server that is connected to counts.
        if counters.connected > 0 {
            servers = 0..0;
        }
        if is_next && let Some(server) = servers.next() {
            let asked = turns.client.get_values(now, ServerId::new(server), Tag(0));
            // Never an error: each server is asked once, and nothing else waits.
            let asked = asked.map_err(io::Error::other)?;
            found.waiting.push(asked);
            next_at = now + CONNECTION_ATTEMPT_DELAY;
        }
        let next_at = (!servers.is_empty()).then_some(next_at);
        let until = [end, next_at].into_iter().flatten().min();
        turns.turn(until, |_, _, event| found.note(event))?;
        now = Instant::now();
        if end.is_some_and(|end| now >= end) {
            servers = 0..0;
            found.is_late = true;
            for asked in &found.waiting {
                turns.client.abort(now, *asked);
            }
        }
        if let Some(values) = found.values {
            return Ok(values);
        }
        let is_over = servers.is_empty() && found.waiting.is_empty();
        let failure = found.failure.take_if(|it| is_over || !is_connect(it));
        if let Some(failure) = failure {
            return Err(CallError::Unanswered(Box::new(failure)));
        }
    }
}

/// The results of the questions.
#[derive(Debug, Default)]
struct Found {
    waiting: Vec<RequestHandle>,
    values: Option<ServerValues>,
    /// The failure that says most.
    failure: Option<Failure>,
    /// The time limit has passed, and the questions that had not ended were aborted.
    is_late: bool,
}

impl Found {
    fn note(&mut self, event: Event<&[u8]>) -> ControlFlow<()> {
        match event.kind {
            EventKind::Values(values) => self.values = Some(values),
            EventKind::End(outcome) => {
                self.waiting.retain(|waiting| *waiting != event.request);
                if let Err(mut failure) = outcome {
                    if self.is_late && failure.error == RequestError::Aborted {
                        failure.error = match failure.phase {
                            Phase::Queued => RequestError::Connect(ConnectError::TimedOut),
                            _ => RequestError::TimedOut(TimeoutKind::Probe),
                        };
                    }
                    self.keep_most_telling(failure);
                }
            }
            _ => return ControlFlow::Continue(()),
        }
        ControlFlow::Break(())
    }

    /// Keeps the failure that says most. A failure after a connect says more than a busy server, a busy server says
    /// more than a connect without an answer, and that says more than a refusal. Of equal failures, the last is kept.
    fn keep_most_telling(&mut self, failure: Failure) {
        let rank = |failure: &Failure| match failure.error {
            RequestError::Connect(ConnectError::Failed(_)) => 0,
            RequestError::Connect(ConnectError::TimedOut) => 1,
            RequestError::Connect(_) => 2,
            _ => 3,
        };
        if self
            .failure
            .as_ref()
            .is_none_or(|kept| rank(kept) <= rank(&failure))
        {
            self.failure = Some(failure);
        }
    }
}

fn is_connect(failure: &Failure) -> bool {
    matches!(failure.error, RequestError::Connect(_))
}
