//! Expired timers: finds out what is due, and acts on it.

use std::time::Duration;

use log::trace;

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::{Input, Look, Step};
use super::requests::{DueKind, Input as RequestInput, State as RequestState, Step as RequestStep};
use super::time::Time;
use super::timeouts::ConnectionDue;
use super::timers::Owner;
use crate::error::{ConnectError, RequestError, TimeoutKind};

/// How long until a connection is checked again that is always due but kept for `min_idle_per_server`.
const KEPT_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Handles an expired timer entry. Its owner's deadline may not have come yet.
    pub(super) fn due(&mut self, now: Time, owner: Owner) {
        match owner {
            Owner::Request(key) => self.look_at_request(now, key),
            Owner::Connection(key) => self.look_at_connection(now, key),
            Owner::Server(index) => self.look_at_server(now, index as u16),
            Owner::Shutdown => self.look_at_shutdown(now),
        }
    }

    fn look_at_request(&mut self, now: Time, key: u32) {
        let Some(due) = self.request_due(key) else {
            return;
        };
        if due.at > now {
            self.timers.arm(Owner::Request(key), due.at);
            return;
        }
        let state = self.requests[key].state();
        // Nothing in a socket ends a pause.
        if let RequestState::Active { connection, .. } = state
            && due.kind != DueKind::TimedOut(TimeoutKind::Paused)
            && self.looks_first(connection.index)
        {
            return;
        }
        trace!("request {key}: {:?} is due", due.kind);
        let error = match due.kind {
            DueKind::TimedOut(kind) => RequestError::TimedOut(kind),
            DueKind::Refused(error) => {
                let named = self.requests[key].pinned();
                if self.pool.servers().refusal(named).is_none() {
                    // A server is available again meanwhile: the request waits like all others.
                    self.requests[key].set_refused(None);
                    self.arm_request(key);
                    return;
                }
                RequestError::Connect(error)
            }
            DueKind::AbortGrace => RequestError::Aborted,
        };
        if state.step(RequestInput::Deadline) == RequestStep::Close {
            if let RequestState::Aborting { connection, .. } = state {
                self.drain(now, connection.index, CloseReason::AbortGrace);
            }
            self.finish_abort(now, key);
        } else {
            self.stop(now, key, error);
        }
    }

    /// A time limit has expired, but the bytes it waits for may already be in the socket. Returns whether to wait until
    /// the socket is read. Only for drivers that report what they find.
    fn looks_first(&mut self, key: u32) -> bool {
        if !self.reads_are_reported {
            return false;
        }
        match self.connections[key as usize].look_first() {
            Look::Done => false,
            Look::Waits => true,
            Look::Ask => {
                self.ask_read(key);
                true
            }
        }
    }

    /// A connection with an expired limit was read and its socket found empty.
    pub(super) fn look_is_over(&mut self, now: Time, key: u32) {
        let requests: Vec<u32> = self.connections[key as usize].requests().collect();
        for request in requests {
            if self.requests.get(request).is_some() {
                self.look_at_request(now, request);
            }
        }
        if self.connections.contains(key as usize) {
            self.look_at_connection(now, key);
        }
        if let Some(connection) = self.connections.get_mut(key as usize) {
            connection.end_look();
        }
    }

    fn look_at_connection(&mut self, now: Time, key: u32) {
        let Some((at, due)) = self.connection_due(key) else {
            return;
        };
        if at > now {
            self.timers.arm(Owner::Connection(key), at);
            return;
        }
        if due == ConnectionDue::Late {
            self.stop_waiting_for(key);
            self.arm_connection(key);
            return;
        }
        if due == ConnectionDue::Probe && self.looks_first(key) {
            return;
        }
        trace!("connection {key}: {due:?} is due");
        let connection = &mut self.connections[key as usize];
        match connection.state().step(Input::Deadline) {
            Step::Failed => self.give_up_connecting(now, key, ConnectError::TimedOut),
            Step::Dial => {
                let waited = now.saturating_duration_since(connection.opened());
                if waited >= self.config.connect_timeout {
                    // No pause is left, or the timer was handled late.
                    self.give_up_connecting(now, key, ConnectError::BacklogFull);
                    return;
                }
                connection.dial_again();
                let server = self.pool.servers().id_of(connection.server());
                self.pending.connect(connection.handle(key), server);
                self.arm_connection(key);
            }
            Step::Close => self.close_due(now, key, due),
            _ => {}
        }
    }

    fn give_up_connecting(&mut self, now: Time, key: u32, error: ConnectError) {
        let handle = self.connections[key as usize].handle(key);
        self.pending.close(handle, CloseReason::ConnectFailed);
        self.connect_failed(now, key, error);
    }

    /// Closes a connection without a request, unless it is one of those kept for `min_idle_per_server`.
    fn close_due(&mut self, now: Time, key: u32, due: ConnectionDue) {
        let connection = &mut self.connections[key as usize];
        let reason = match due {
            ConnectionDue::Age => CloseReason::MaxLifetime,
            ConnectionDue::Unfinished => CloseReason::Protocol,
            ConnectionDue::Lists => {
                connection.shrink_idle();
                self.arm_connection(key);
                return;
            }
            ConnectionDue::Probe if connection.has_own_probe() => {
                self.check_failed(now, key);
                self.own_probe_unanswered(key);
                CloseReason::ProbeDone
            }
            ConnectionDue::Probe => {
                let reason = CloseReason::ProbeDone;
                self.pending.close(connection.handle(key), reason);
                let error = RequestError::TimedOut(TimeoutKind::Probe);
                self.release_lost(now, key, reason, error);
                return;
            }
            ConnectionDue::Idle
            | ConnectionDue::Connect
            | ConnectionDue::Redial
            | ConnectionDue::Late => {
                let kept = self.config.limits.min_idle_per_server;
                // A connection that still waits for its last padding is not worth keeping.
                if self.pool.is_kept_idle(connection.server(), key, kept) {
                    connection.touch(now);
                    // Its deadline for shrinking the lists would never come.
                    connection.shrink_idle();
                    if let Some((at, _)) = self.connection_due(key) {
                        // With an idle timeout of zero it is due again at once, and this call would never return.
                        let at = if at > now { at } else { now + KEPT_AGAIN };
                        self.timers.arm(Owner::Connection(key), at);
                    }
                    return;
                }
                CloseReason::IdleTimeout
            }
        };
        self.close(now, key, reason);
    }

    /// A pause of the server has expired, or a new connection has waited long enough for its first byte.
    fn look_at_server(&mut self, now: Time, server: u16) {
        let index = usize::from(server);
        self.pool.end_pauses(now, index);
        while let Some(key) = self.pool.lists(index as u16).longest_idle() {
            if !self.must_preempt(now, server) {
                break;
            }
            self.close(now, key, CloseReason::Preempted);
        }
        self.arm_server(now, server);
        self.check_server(now, server);
    }

    fn look_at_shutdown(&mut self, now: Time) {
        let Some(deadline) = self.lifecycle.deadline() else {
            return;
        };
        if deadline > now {
            self.timers.arm(Owner::Shutdown, deadline);
            return;
        }
        let left: Vec<u32> = self.requests.iter().map(|(key, _)| key).collect();
        for key in left {
            if self.requests.get(key).is_some() {
                self.stop(now, key, RequestError::ShutDown);
            }
        }
        self.close_where(now, |_| Some(CloseReason::Retired));
    }
}
