//! The ways in which a connection becomes idle, drains, closes or is lost, and the consequences for its requests.

use std::io;

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::{Connection, Input, Step};
use super::pool::ConnectFailure;
use super::requests::{Input as RequestInput, LossCause, Progress, State, Step as RequestStep};
use super::time::Time;
use crate::error::{ConnectError, ConnectionLostReason, RequestError};
use crate::event::RequestHandle;

impl Engine {
    /// Closes a connection without requests that have not reported their `End`. An embedder's probe on it fails as
    /// aborted.
    pub(super) fn close(&mut self, now: Time, key: u32, reason: CloseReason) {
        let handle = self.connections[key as usize].handle(key);
        self.pending.close(handle, reason);
        // Only an embedder's probe can still report this error.
        self.release_lost(now, key, reason, RequestError::Aborted);
    }

    /// Step `Drain`: the connection takes no further request and closes once none is left.
    pub(super) fn drain(&mut self, now: Time, key: u32, reason: CloseReason) {
        let connection = &mut self.connections[key as usize];
        connection.drain(reason);
        self.pool.withdraw(connection.server(), key);
        if connection.live() == 0 {
            self.close(now, key, reason);
        }
    }

    /// A request has left its connection, by `FCGI_END_REQUEST` or after an abort.
    pub(super) fn release(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        connection.remove_request();
        self.slot_freed(key);
        let connection = &self.connections[key as usize];
        let is_last = connection.live() == 0;
        let (step, reason) = (
            connection.state().step(Input::LastRequestOff),
            connection.retire_reason(),
        );
        if connection.may_be_blocked() {
            self.update_reads(key);
        }
        if !is_last {
            return;
        }
        match step {
            Step::Pool => self.make_idle(now, key),
            Step::Close => {
                self.close(now, key, reason.unwrap_or(CloseReason::Retired));
            }
            _ => debug_assert!(false, "requests are on open connections"),
        }
    }

    /// A request is on a connection no more: another one may take its place.
    #[inline(always)]
    pub(super) fn slot_freed(&mut self, key: u32) {
        let connection = &self.connections[key as usize];
        let server = connection.server();
        self.pool.released(server, connection.served());
        if connection.live() + 1 == connection.max_requests() && connection.is_shareable() {
            self.pool.lists_mut(server).add_shareable(key);
        }
    }

    /// Step `Pool`: the last request has left the connection. It becomes idle, or is closed if a limit requires it.
    #[inline(always)]
    pub(super) fn make_idle(&mut self, now: Time, key: u32) {
        if let Some(reason) = self.reason_to_close(now, key) {
            self.close(now, key, reason);
            return;
        }
        let connection = &mut self.connections[key as usize];
        let server = connection.server();
        let is_shared = connection.max_requests() > 1;
        connection.touch(now);
        connection.await_reply();
        connection.end_look();
        connection.take_available();
        if is_shared {
            self.pool.lists_mut(server).remove_shareable(key);
        } else if self.probe_on_idle(now, key) {
            self.arm_connection(key);
            return;
        }
        // Otherwise the connection becomes available when the read is used up, the padding has come and the socket was
        // found empty: bytes after the end of a request must not reach the next one.
        let connection = &mut self.connections[key as usize];
        if connection.is_clean() && connection.set_available() {
            self.pool.add_idle(server, key, &self.config);
        }
        self.arm_connection(key);
    }

    /// A connection is open. If that was to check its server, asks the server on it, and closes it after that. If not, or
    /// if requests wait that the server may be given, it becomes idle.
    pub(super) fn opened(&mut self, now: Time, key: u32) {
        let connection = &mut self.connections[key as usize];
        let is_check = connection.take_check();
        let server = connection.server();
        // Those that a server gets nothing of while it hangs do not show that it is alive.
        let queue = self.requests.queue();
        let is_needed = queue.has_pinned_to(server)
            || (queue.has_request_for(server) && self.pool.takes_any(now, server));
        if !is_check || is_needed {
            self.make_idle(now, key);
            return;
        }
        self.connections[key as usize].retire(CloseReason::ProbeDone);
        if self.pool.known(server).was_lost_with_probe() || self.is_probed(server) {
            self.close(now, key, CloseReason::ProbeDone);
        } else {
            self.send_own_probe(now, key);
            self.arm_connection(key);
        }
    }

    /// Why a connection whose last request has left cannot be used again.
    #[inline(always)]
    fn reason_to_close(&mut self, now: Time, key: u32) -> Option<CloseReason> {
        let limits = &self.config.limits;
        let connection = &self.connections[key as usize];
        let server = connection.server();
        let has_served = connection.served() > 0;
        if let Some(reason) = connection.retire_reason() {
            Some(reason)
        } else if !self.lifecycle.is_running() && self.requests.queue().is_empty() {
            Some(CloseReason::Retired)
        } else if !self.config.keep_connections && has_served {
            Some(CloseReason::KeepAliveOff)
        } else if has_served && self.pool.serves_once(server, &self.config) {
            Some(CloseReason::OnlyIdOne)
        } else if connection.has_served_most(limits) || connection.is_out_of_ids() {
            Some(CloseReason::MaxRequests)
        } else if connection.is_old(now, limits) {
            Some(CloseReason::MaxLifetime)
        } else if self.pool.has_too_many(server, &self.config)
            || self.pool.exceeds(self.connections.len(), &self.config)
        {
            Some(CloseReason::Retired)
        } else if connection.max_requests() == 1 && has_served && self.must_preempt(now, server) {
            Some(CloseReason::Preempted)
        } else {
            None
        }
    }

    /// Whether a connection must be closed now so that its process can serve a waiting connection, see
    /// [`Config::preempt_idle_after`](crate::Config::preempt_idle_after).
    #[inline(always)]
    pub(super) fn must_preempt(&mut self, now: Time, server: u16) -> bool {
        self.pool.awaits_first_byte(server) && self.is_preempt_due(now, server)
    }

    fn is_preempt_due(&mut self, now: Time, server: u16) -> bool {
        let must = self.pool.must_preempt(now, server, &self.connections);
        self.arm_server(now, server);
        must
    }

    /// Makes an idle connection available: its last record is complete, padding included, and its socket is empty.
    #[inline]
    pub(super) fn make_available(&mut self, key: u32) {
        let connection = &mut self.connections[key as usize];
        if connection.set_available() {
            self.pool.add_idle(connection.server(), key, &self.config);
        }
    }

    /// Removes a connection and fails or requeues the requests that are still on it.
    pub(super) fn release_lost(
        &mut self,
        now: Time,
        key: u32,
        reason: CloseReason,
        error: RequestError,
    ) {
        let connection = &mut self.connections[key as usize];
        let probe = connection.take_probe();
        let server = connection.server();
        let live = connection.requests_in_order(key, &self.requests);
        let connection = &self.connections[key as usize];
        for request in &live {
            connection.take_back_bodies(*request, &mut self.requests);
        }
        let served = connection.served();
        let is_useless = matches!(
            reason,
            CloseReason::ClosedIdle | CloseReason::UnsolicitedData | CloseReason::Protocol
        );
        // A connection that ends before it was used is a failure of the server, like a failed connect.
        let is_failure = is_useless && served == 0 && live.is_empty() && probe.is_none();
        let (opened, serial) = (connection.opened(), connection.serial());
        let loss = Loss::of(connection, now, self.config.stale_window);
        self.note_loss(now, key, reason);
        self.pool
            .lost(server, self.connections[key as usize].live());
        if served == 0 && (is_useless || self.config.limits.min_idle_per_server > 0) {
            self.pool.pause_refill(now, server, self.config.backoff);
            self.arm_server(now, server);
        }
        self.remove(key, reason);
        if is_failure && !self.requests.queue().is_empty() {
            let error = ConnectError::Failed(match error {
                RequestError::ConnectionLost(ConnectionLostReason::Io(kind)) => kind,
                RequestError::Protocol(_) => io::ErrorKind::InvalidData,
                _ => io::ErrorKind::UnexpectedEof,
            });
            let failure = ConnectFailure {
                server,
                opened,
                error,
            };
            self.server_failed(now, serial, failure);
        }
        self.release_lost_requests(now, live, loss, &error);
        if let Some(request) = probe {
            self.probe_failed(now, request, error, loss.progress.transmitted);
        }
    }

    /// Notes what the loss of a connection shows about its server.
    fn note_loss(&mut self, now: Time, key: u32, reason: CloseReason) {
        self.own_probe_lost(key, reason);
        let connection = &self.connections[key as usize];
        let server = connection.server();
        let is_plain = connection.max_requests() == 1;
        let is_unanswered =
            reason == CloseReason::Lost && connection.has_no_reply_yet() && is_plain;
        // An application that knows only ID 1 may close a connection instead of answering another ID.
        let first = connection.only_request(&self.requests);
        let has_other_id =
            first.is_some_and(|it| matches!(it.state(), State::Active { id, .. } if id != 1));
        if is_unanswered && has_other_id {
            self.pool.other_id_unanswered(server);
        }
        // The application has closed the connection between two requests, or before it took the second one.
        let is_behind_answer = match reason {
            CloseReason::ClosedIdle => connection.live() == 0,
            _ => is_unanswered,
        };
        let served = connection.served();
        let idle = now.saturating_duration_since(connection.last_activity());
        if is_behind_answer && served > 0 && idle < self.config.stale_window {
            self.pool.known_mut(server).closed_after(now, served);
        }
    }

    /// Fails or requeues the requests on a lost connection, in the order in which they were sent.
    fn release_lost_requests(
        &mut self,
        now: Time,
        live: Vec<u32>,
        loss: Loss,
        error: &RequestError,
    ) {
        let (again, over): (Vec<u32>, Vec<u32>) = live.into_iter().partition(|key| {
            let request = &self.requests[*key];
            let cause = loss.cause(request.is_reused());
            request.may_retry_lost(now, loss.progress, cause, self.config.stale_window)
                && self.has_attempt_left(now, *key)
                && !self.is_without_server(*key)
                && !self.lifecycle.has_stopped()
        });
        let over = over.into_iter().map(|key| (key, RequestInput::Lost));
        let again = again
            .into_iter()
            .map(|key| (key, RequestInput::LostMayRetry));
        for (key, input) in over.chain(again) {
            let transmitted = loss.progress.transmitted;
            match self.requests[key].state().step(input) {
                RequestStep::Queue => {
                    let failure = self.requests[key].failure(now, error.clone(), transmitted);
                    let next = Some(self.pool.next_serial());
                    if self.requests.retry(now, key, transmitted, next) {
                        self.requeue(key, failure);
                    } else {
                        self.end(key, Err(failure));
                    }
                }
                RequestStep::End => self.fail(now, key, error.clone(), transmitted),
                RequestStep::Gone => {
                    self.requests.remove(key);
                    self.clear_timers_if_idle();
                }
                _ => debug_assert!(false, "a request with an ID is Active or Aborting"),
            }
        }
    }

    /// An embedder's probe ends without a reply.
    fn probe_failed(
        &mut self,
        now: Time,
        request: RequestHandle,
        error: RequestError,
        transmitted: u64,
    ) {
        if let Some(key) = self.requests.key(request) {
            self.fail(now, key, error, transmitted);
        }
    }

    /// Closes connections that are being opened or are idle, because no request will use them.
    pub(super) fn retire_unused(&mut self, now: Time) {
        let is_unused = |connection: &Connection| match connection.state().step(Input::Retire) {
            Step::Failed => true,
            Step::Drain => connection.live() == 0,
            _ => false,
        };
        self.close_where(now, |it| is_unused(it).then_some(CloseReason::Retired));
    }

    /// Closes idle connections that exceed new limits on lifetime or requests.
    pub(super) fn close_used_up(&mut self, now: Time) {
        let limits = self.config.limits;
        self.close_where(now, |connection| {
            if !connection.is_idle() {
                None
            } else if connection.has_served_most(&limits) {
                Some(CloseReason::MaxRequests)
            } else {
                connection
                    .is_old(now, &limits)
                    .then_some(CloseReason::MaxLifetime)
            }
        });
    }

    /// Closes each connection for which `reason` returns a reason.
    pub(super) fn close_where(
        &mut self,
        now: Time,
        reason: impl Fn(&Connection) -> Option<CloseReason>,
    ) {
        let all = self.connections.iter();
        let to_close: Vec<(u32, CloseReason)> = all
            .filter_map(|(key, it)| Some((key as u32, reason(it)?)))
            .collect();
        for (key, reason) in to_close {
            if self.connections.contains(key as usize) {
                self.close(now, key, reason);
            }
        }
    }
}

/// The state of a connection when it was lost.
#[derive(Clone, Copy, Debug)]
struct Loss {
    progress: Progress,
    has_no_reply: bool,
    is_within_record: bool,
    /// Whether the client's own probe was sent on the connection not long ago.
    was_probed: bool,
}

impl Loss {
    fn of(connection: &Connection, now: Time, stale_window: std::time::Duration) -> Self {
        Self {
            progress: connection.progress(),
            has_no_reply: connection.has_no_reply_yet(),
            is_within_record: !connection.is_at_record_boundary(),
            // The application may have crashed on the probe and not on a request.
            was_probed: connection
                .own_probe_sent()
                .is_some_and(|(since, was_sent)| {
                    was_sent && now.saturating_duration_since(since) < stale_window
                }),
        }
    }

    fn cause(&self, is_reused: bool) -> LossCause {
        if self.is_within_record {
            LossCause::Answering
        } else if self.was_probed {
            LossCause::OwnProbe
        } else if self.has_no_reply && is_reused {
            LossCause::Stale
        } else {
            LossCause::Request
        }
    }
}
