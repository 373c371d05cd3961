//! Time passes: who is due, and for what.

use std::time::{Duration, Instant};

use log::{debug, trace};

use super::clock::{Due, DueKind};
use super::close_reason::CloseReason;
use super::connection::{Input as ConnectionInput, State, Step as ConnectionStep};
use super::connections::progress_of;
use super::deadlines::Owner;
use super::exchange::{Input, Life, Step};
use super::time::Time;
use super::{Action, Engine, Running};
use crate::error::{ConnectError, RequestError, TimeoutKind};

impl Engine {
    /// Time has passed. Early, late or twice is harmless; costs what is due, not what exists.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        while let Some(owner) = self.deadlines.pop_due(now) {
            match owner {
                Owner::Exchange(key) => self.exchange_due(now, key),
                Owner::Connection(key) => self.connection_due(now, key),
                Owner::Server(index) => self.server_due(now, index),
                Owner::Shutdown => self.shutdown_due(now),
            }
        }
        self.settle(now);
    }

    /// Makes sure that an exchange is looked at when its next deadline comes.
    pub(super) fn arm_exchange(&mut self, key: u32) {
        if let Some(due) = self.exchange_next(key) {
            self.deadlines.arm(Owner::Exchange(key), due.at);
        }
    }

    /// Makes sure that an exchange is looked at when a limit that begins now is over. All of its deadlines
    /// begin in this way, and later ones need no entry: a fifth of the cost of finding the earliest.
    #[inline]
    pub(super) fn arm_limit(&mut self, now: Time, key: u32, limit: Option<Duration>) {
        if let Some(at) = limit.and_then(|limit| now.checked_add(limit)) {
            self.deadlines.arm(Owner::Exchange(key), at);
        }
    }

    fn exchange_next(&self, key: u32) -> Option<Due> {
        let exchange = self.exchanges.get(key as usize)?;
        let progress = progress_of(&self.connections, exchange);
        exchange.due(progress, &self.config)
    }

    fn exchange_due(&mut self, now: Time, key: u32) {
        let Some(due) = self.exchange_next(key) else {
            return;
        };
        if due.at > now {
            self.deadlines.arm(Owner::Exchange(key), due.at);
            return;
        }
        let life = self.exchanges[key as usize].life;
        if let Life::Active { connection, .. } = life
            && let Some(connection) = self.connection_key(connection)
            && self.looks_first(connection)
        {
            return;
        }
        trace!("request {key}: {:?} is due", due.kind);
        let error = match due.kind {
            DueKind::TimedOut(kind) => RequestError::TimedOut(kind),
            DueKind::Refused(error) => {
                if self.servers.iter().any(|server| server.refused.is_none()) {
                    // One is back meanwhile: it waits as all others do.
                    self.exchanges[key as usize].refused = None;
                    self.arm_exchange(key);
                    return;
                }
                RequestError::Connect(error)
            }
            DueKind::AbortGrace => RequestError::Aborted,
        };
        match life.step(Input::Deadline) {
            Step::End | Step::Abandon => self.stop_exchange(now, key, error),
            Step::Close => {
                let connection = life.connection().and_then(|it| self.connection_key(it));
                if let Some(connection) = connection {
                    self.connections[connection].spent = Some(CloseReason::AbortGrace);
                    self.drain(now, connection as u32, CloseReason::AbortGrace);
                }
                self.finish_aborting(now, key);
            }
            Step::Begin | Step::Retry | Step::Gone | Step::None | Step::Impossible => {
                debug_assert!(false, "no such step for a deadline");
            }
        }
    }

    /// A time limit is over, and what it waits for may be in the socket already, announced or not: this process may have
    /// been stopped, or busy. The limit counts once the socket was found empty, or was read for so many times: false then.
    ///
    /// Only for drivers that report what they find.
    fn looks_first(&mut self, key: usize) -> bool {
        let connection = &mut self.connections[key];
        if !self.reads_are_told || connection.read_blocked {
            return false;
        }
        match connection.overdue {
            Some(reads) => reads > 0 && (connection.unread || connection.is_feeding),
            None => {
                connection.overdue = Some(READS);
                if !connection.is_feeding {
                    connection.unread = true;
                    self.ask_read(key as u32);
                }
                true
            }
        }
    }

    /// A connection is not read any more: limits that waited for that wait no longer. How often it was read counts on, or
    /// an embedder that pauses and resumes with each piece would never see a limit.
    pub(super) fn stop_looking(&mut self, key: u32) {
        let live: Vec<u32> = self.connections[key as usize].ids.live().collect();
        for exchange in live {
            self.arm_exchange(exchange);
        }
    }

    /// A connection with a limit that is over was read, and its socket found empty.
    pub(super) fn look_is_over(&mut self, now: Time, key: u32) {
        let live: Vec<u32> = self.connections[key as usize].ids.live().collect();
        for exchange in live {
            if self.exchanges.contains(exchange as usize) {
                self.exchange_due(now, exchange);
            }
        }
        if self.connections.contains(key as usize) {
            self.connection_due(now, key);
        }
        if let Some(connection) = self.connections.get_mut(key as usize) {
            connection.overdue = None;
        }
    }

    /// Makes sure that a connection is looked at when its next deadline comes.
    pub(super) fn arm_connection(&mut self, key: u32) {
        if let Some((at, _)) = self.connection_next(key) {
            self.deadlines.arm(Owner::Connection(key), at);
        }
    }

    fn connection_next(&self, key: u32) -> Option<(Time, ConnectionDue)> {
        let connection = self.connections.get(key as usize)?;
        let limits = &self.config.limits;
        match &connection.state {
            State::Connecting { since } => {
                let last = since.checked_add(self.config.connect_timeout);
                // Where a request can go elsewhere: to another server, or over another connection that is shared.
                let can_help = self.servers.len() > 1 && connection.promised > 0;
                let can_help = can_help || connection.promised > 1;
                let waited_for = can_help.then_some(*since + WAITED_FOR);
                match (waited_for, last) {
                    (Some(at), None) => Some((at, ConnectionDue::Late)),
                    (Some(at), Some(last)) if at < last => Some((at, ConnectionDue::Late)),
                    (_, last) => last.map(|at| (at, ConnectionDue::Connect)),
                }
            }
            State::Redialing { since, until } => {
                let last = since.checked_add(self.config.connect_timeout);
                match last.filter(|last| last < until) {
                    Some(last) => Some((last, ConnectionDue::Connect)),
                    None => Some((*until, ConnectionDue::Redial)),
                }
            }
            State::Probing(probe) => {
                let at = probe.since.checked_add(self.config.probe_timeout)?;
                Some((at, ConnectionDue::Probe))
            }
            State::Open if connection.live == 0 && connection.question.is_some() => {
                let at = connection.moved.checked_add(self.config.probe_timeout)?;
                Some((at, ConnectionDue::Probe))
            }
            State::Open if connection.live == 0 && connection.is_unfinished() => {
                Some((connection.moved + REST_AWAITED, ConnectionDue::Unfinished))
            }
            State::Open if connection.live == 0 => {
                let idle = connection.moved.checked_add(limits.idle_timeout);
                let age = limits
                    .max_age
                    .and_then(|age| connection.opened.checked_add(age));
                let end = match (idle, age) {
                    (Some(idle), Some(age)) if age < idle => Some((age, ConnectionDue::Age)),
                    (Some(idle), _) => Some((idle, ConnectionDue::Idle)),
                    (None, age) => age.map(|age| (age, ConnectionDue::Age)),
                };
                if !connection.is_large() {
                    return end;
                }
                let lists = connection.moved + LISTS_KEPT;
                end.filter(|(at, _)| *at <= lists)
                    .or(Some((lists, ConnectionDue::Lists)))
            }
            State::Open | State::Draining => None,
        }
    }

    fn connection_due(&mut self, now: Time, key: u32) {
        let Some((at, due)) = self.connection_next(key) else {
            return;
        };
        if at > now {
            self.deadlines.arm(Owner::Connection(key), at);
            return;
        }
        if due == ConnectionDue::Late {
            self.stop_waiting_for(key);
            self.arm_connection(key);
            return;
        }
        if due == ConnectionDue::Probe && self.looks_first(key as usize) {
            return;
        }
        trace!("connection {key}: {due:?} is due");
        let connection = &mut self.connections[key as usize];
        let server = usize::from(connection.server);
        match connection.state.step(ConnectionInput::Deadline) {
            ConnectionStep::Failed => self.give_up_connecting(now, key, ConnectError::TimedOut),
            ConnectionStep::Dial => {
                let State::Redialing { since, .. } = connection.state else {
                    return;
                };
                if now.saturating_duration_since(since) >= self.config.connect_timeout {
                    // No pause is left, or the clock came late.
                    self.give_up_connecting(now, key, ConnectError::Busy);
                    return;
                }
                connection.state = State::Connecting { since };
                let connection = connection.handle(key);
                self.actions
                    .push_back(Action::Connect { connection, server });
                self.arm_connection(key);
            }
            ConnectionStep::Close => self.idle_or_probe_due(now, key, due),
            ConnectionStep::Open
            | ConnectionStep::Redial
            | ConnectionStep::Postpone
            | ConnectionStep::Gone
            | ConnectionStep::Drain
            | ConnectionStep::Pool
            | ConnectionStep::None
            | ConnectionStep::Impossible => {}
        }
    }

    fn give_up_connecting(&mut self, now: Time, key: u32, error: ConnectError) {
        let connection = self.connections[key as usize].handle(key);
        let reason = CloseReason::ConnectFailed;
        self.actions.push_back(Action::Close { connection, reason });
        self.connect_failed(now, key, error);
    }

    fn idle_or_probe_due(&mut self, now: Time, key: u32, due: ConnectionDue) {
        let server = usize::from(self.connections[key as usize].server);
        let reason = match due {
            ConnectionDue::Age => CloseReason::MaxAge,
            ConnectionDue::Unfinished => CloseReason::Protocol,
            ConnectionDue::Lists => {
                self.connections[key as usize].shrink_idle();
                self.arm_connection(key);
                return;
            }
            ConnectionDue::Probe if self.connections[key as usize].question.is_some() => {
                self.unanswered(key);
                CloseReason::ProbeDone
            }
            ConnectionDue::Probe => {
                let reason = CloseReason::ProbeDone;
                let error = RequestError::TimedOut(TimeoutKind::Probe);
                let connection = self.connections[key as usize].handle(key);
                self.actions.push_back(Action::Close { connection, reason });
                self.lose(now, key, reason, error);
                return;
            }
            ConnectionDue::Idle
            | ConnectionDue::Connect
            | ConnectionDue::Redial
            | ConnectionDue::Late => {
                // One that still waits for its last padding is of no use.
                let is_available = self.servers[server].idle.contains(&key);
                let kept = self.config.limits.min_idle;
                if is_available && self.servers[server].idle.len() <= kept {
                    let connection = &mut self.connections[key as usize];
                    connection.moved = now;
                    // Its lists would never be due.
                    connection.shrink_idle();
                    if let Some((at, _)) = self.connection_next(key) {
                        // Without an idle time it is due again at once, and this call would never return.
                        let at = if at > now { at } else { now + KEPT_AGAIN };
                        self.deadlines.arm(Owner::Connection(key), at);
                    }
                    return;
                }
                CloseReason::IdleTimeout
            }
        };
        self.close(now, key, reason);
    }

    /// A pause after failures is over, or a new connection has waited long enough for its first octet.
    fn server_due(&mut self, now: Time, index: u32) {
        let server = &mut self.servers[index as usize];
        if let Some(at) = server.refill_at {
            if at > now {
                // min_idle is looked at behind every time-out.
                self.deadlines.arm(Owner::Server(index), at);
            } else {
                server.refill_at = None;
            }
        }
        if let Some(until) = server.short_until {
            if until > now {
                self.deadlines.arm(Owner::Server(index), until);
            } else {
                server.short_until = None;
                self.short -= 1;
            }
        }
        let server = &mut self.servers[index as usize];
        if let Some(until) = server.aside_until {
            if until > now {
                self.deadlines.arm(Owner::Server(index), until);
            } else {
                server.aside_until = None;
            }
        }
        while !self.servers[index as usize].idle.is_empty() && self.must_yield(now, index as u16) {
            let longest_idle = self.servers[index as usize].idle.front().copied();
            if let Some(key) = longest_idle {
                self.close(now, key, CloseReason::Yielded);
            }
        }
        self.arm_yield(index);
    }

    /// A connection has got its first request: look again when it should have been answered.
    pub(super) fn deadlines_for_yield(&mut self, connection_key: u32) {
        let server = self.connections[connection_key as usize].server;
        self.arm_yield(u32::from(server));
    }

    pub(super) fn arm_yield(&mut self, index: u32) {
        if let Some(at) = self.servers[index as usize].yields_at()
            && at > self.timeline.now()
        {
            self.deadlines.arm(Owner::Server(index), at);
        }
    }

    /// Leaves a server alone for a while.
    pub(super) fn set_aside(&mut self, now: Time, index: usize, pause: Duration) {
        let until = now + pause;
        self.servers[index].aside_until = Some(until);
        self.deadlines.arm(Owner::Server(index as u32), until);
        debug!("server {index}: set aside for {pause:?}");
    }

    /// A connection has ended before it served. Another one that `min_idle` asks for would be opened and lost
    /// without a pause.
    pub(super) fn pause_refill(&mut self, now: Time, index: usize) {
        let until = now + self.config.backoff.after(u32::MAX);
        self.servers[index].refill_at = Some(until);
        self.deadlines.arm(Owner::Server(index as u32), until);
    }

    fn shutdown_due(&mut self, now: Time) {
        let Running::Stopping {
            deadline: Some(deadline),
        } = self.running
        else {
            return;
        };
        if deadline > now {
            self.deadlines.arm(Owner::Shutdown, deadline);
            return;
        }
        let left: Vec<u32> = self.exchanges.iter().map(|(key, _)| key as u32).collect();
        for key in left {
            if self.exchanges.contains(key as usize) {
                self.stop_exchange(now, key, RequestError::ShutDown);
            }
        }
        let open: Vec<u32> = self.connections.iter().map(|(key, _)| key as u32).collect();
        for key in open {
            if self.connections.contains(key as usize) {
                self.close(now, key, CloseReason::Retired);
            }
        }
    }

    /// The next deadline and what it is for, as far as that is known without walking all of them.
    pub(super) fn next_due(&self) -> Option<(Instant, String)> {
        let (at, owner) = self.deadlines.peek()?;
        let what = match owner {
            Owner::Exchange(key) => self
                .exchange_next(key)
                .map_or_else(|| "none".to_owned(), |due| format!("{:?}", due.kind)),
            Owner::Connection(key) => self
                .connection_next(key)
                .map_or_else(|| "none".to_owned(), |(_, due)| format!("{due:?}")),
            Owner::Server(index) => format!("server {index}"),
            Owner::Shutdown => "shutdown".to_owned(),
        };
        Some((self.timeline.instant(at)?, what))
    }
}

/// How long requests wait for a connection on its way before it counts for its own server only: the pause between two
/// attempts of RFC 8305, 5.
const WAITED_FOR: Duration = Duration::from_millis(250);

/// How long the rest of a record may take to come once no request is left: a connection that waits for it serves nobody.
const REST_AWAITED: Duration = Duration::from_secs(1);

/// After how many reads a time limit that is over counts although its connection was never found empty: no socket's
/// buffer holds as much as they bring.
const READS: u8 = 128;

/// When a connection that `min_idle` keeps, and that is due all the time, is looked at again.
const KEPT_AGAIN: Duration = Duration::from_secs(1);

/// How long an idle connection keeps what a burst of requests made large: bursts that follow each other allocate
/// nothing.
const LISTS_KEPT: Duration = Duration::from_secs(1);

/// What a connection's deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionDue {
    Connect,
    /// The rest of the last record, its padding as a rule, has not come.
    Unfinished,
    /// It has been connecting for so long that nobody waits for it.
    Late,
    Redial,
    Probe,
    Idle,
    Age,
    /// Lists that a burst made large were not used again.
    Lists,
}
