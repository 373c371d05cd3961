//! The deadlines of requests, connections and servers.
//!
//! A timer entry is never later than its owner's deadline. Traffic moves the deadline without touching the timers. When
//! an entry fires, the deadline is computed again here.

use std::time::{Duration, Instant};

use super::Engine;
use super::connection::{self, Connection, State};
use super::requests::Due;
use super::time::Time;
use super::timers::Owner;

/// How long requests wait for a connection that is being opened before it counts only for its own server: the pause
/// between two attempts of RFC 8305, 5.
const WAITED_FOR: Duration = Duration::from_millis(250);

/// How long the rest of a record may take once no request is left. A connection that waits for it cannot be used.
const REST_AWAITED: Duration = Duration::from_secs(1);

/// How long an idle connection keeps memory that a burst of requests made large, so that repeated bursts allocate
/// nothing.
const LISTS_KEPT: Duration = Duration::from_secs(1);

/// The shortest interval between two checks.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// The purpose of a connection's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionDue {
    Connect,
    /// The rest of the last record, usually its padding, has not come.
    Unfinished,
    /// The connection has been opening for so long that only requests to its server still wait for it.
    Late,
    Redial,
    Probe,
    Idle,
    Age,
    /// Lists that a burst made large were not used again.
    Lists,
}

impl Engine {
    /// Arms a timer for the next deadline of a request.
    pub(super) fn arm_request(&mut self, key: u32) {
        if let Some(due) = self.request_due(key) {
            self.timers.arm(Owner::Request(key), due.at);
        }
    }

    /// The next deadline of a request.
    pub(super) fn request_due(&self, key: u32) -> Option<Due> {
        let request = self.requests.get(key)?;
        let connection = request.connection();
        let on = connection.and_then(|it| connection::get(&self.connections, it));
        let timeouts = self.requests.timeouts(key);
        request.due(on.map(Connection::progress), timeouts, &self.config)
    }

    /// Arms a timer for the next deadline of a connection.
    #[inline]
    pub(super) fn arm_connection(&mut self, key: u32) {
        if let Some((at, _)) = self.connection_due(key) {
            self.timers.arm(Owner::Connection(key), at);
        }
    }

    /// The next deadline of a connection.
    #[inline(always)]
    pub(super) fn connection_due(&self, key: u32) -> Option<(Time, ConnectionDue)> {
        let connection = self.connections.get(key as usize)?;
        if connection.is_idle() {
            return self.idle_due(connection);
        }
        self.busy_due(connection)
    }

    /// The next deadline of a connection that is not idle.
    fn busy_due(&self, connection: &Connection) -> Option<(Time, ConnectionDue)> {
        match connection.state() {
            State::Connecting => {
                let since = connection.opened();
                let last = since.checked_add(self.config.connect_timeout);
                // Only if a request can go elsewhere: to another server, or over another shared connection.
                let slots = connection.expected().slots;
                let can_help = slots > u32::from(self.pool.len() == 1);
                let waited_for = can_help.then_some(since + WAITED_FOR);
                match (waited_for, last) {
                    (Some(at), None) => Some((at, ConnectionDue::Late)),
                    (Some(at), Some(last)) if at < last => Some((at, ConnectionDue::Late)),
                    (_, last) => last.map(|at| (at, ConnectionDue::Connect)),
                }
            }
            State::Redialing { until } => {
                let last = connection.opened().checked_add(self.config.connect_timeout);
                match last.filter(|last| last < until) {
                    Some(last) => Some((last, ConnectionDue::Connect)),
                    None => Some((*until, ConnectionDue::Redial)),
                }
            }
            State::Probing(probe) => {
                let at = probe.since().checked_add(self.config.probe_timeout)?;
                Some((at, ConnectionDue::Probe))
            }
            State::Open | State::Draining => None,
        }
    }

    #[inline(always)]
    fn idle_due(&self, connection: &Connection) -> Option<(Time, ConnectionDue)> {
        let since = connection.last_activity();
        if connection.has_own_probe() {
            let at = since.checked_add(self.config.probe_timeout)?;
            return Some((at, ConnectionDue::Probe));
        }
        if connection.is_unfinished() {
            return Some((since + REST_AWAITED, ConnectionDue::Unfinished));
        }
        let limits = &self.config.limits;
        let idle = since.checked_add(limits.idle_timeout);
        let age = limits
            .max_lifetime
            .and_then(|age| connection.opened().checked_add(age));
        let end = match (idle, age) {
            (Some(idle), Some(age)) if age < idle => Some((age, ConnectionDue::Age)),
            (Some(idle), _) => Some((idle, ConnectionDue::Idle)),
            (None, age) => age.map(|age| (age, ConnectionDue::Age)),
        };
        if !connection.is_large() {
            return end;
        }
        let lists = since + LISTS_KEPT;
        end.filter(|(at, _)| *at <= lists)
            .or(Some((lists, ConnectionDue::Lists)))
    }

    /// Arms a timer for the end of a server's next pause, or for a connection to it that has waited too long.
    pub(super) fn arm_server(&mut self, now: Time, server: u16) {
        if let Some(at) = self.pool.next_due(usize::from(server), now) {
            self.timers.arm(Owner::Server(u32::from(server)), at);
        }
    }

    /// How often servers are checked. `None`: never, or no longer.
    pub(super) fn check_interval(&self) -> Option<Duration> {
        let interval = self.config.check_interval?;
        self.lifecycle
            .is_running()
            .then(|| interval.max(MIN_INTERVAL))
    }

    /// Arms a timer for the next check of a server.
    pub(super) fn arm_check(&mut self, now: Time, server: u16) {
        if let Some(interval) = self.check_interval()
            && let Some(at) = self.pool.next_check(now, server, interval)
        {
            self.timers.arm(Owner::Server(u32::from(server)), at);
        }
    }

    /// Clears the timers when no request and no connection is left.
    pub(super) fn clear_timers_if_idle(&mut self) {
        if self.is_idle() {
            match self.lifecycle.is_running() {
                true => self.timers.clear(),
                false => self.timers.clear_all(),
            }
        }
    }

    /// The deadline of the next timer entry and its purpose.
    pub(super) fn next_due(&self) -> Option<(Instant, String)> {
        let (at, owner) = self.timers.peek()?;
        let what = match owner {
            Owner::Request(key) => self
                .request_due(key)
                .map_or_else(|| "none".to_owned(), |due| format!("{:?}", due.kind)),
            Owner::Connection(key) => self
                .connection_due(key)
                .map_or_else(|| "none".to_owned(), |(_, due)| format!("{due:?}")),
            Owner::Server(index) => format!("server {index}"),
            Owner::Shutdown => "shutdown".to_owned(),
        };
        Some((self.timeline.instant(at)?, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Address, Config, Request, Tag};

    fn engine(change: impl FnOnce(&mut Config)) -> Engine {
        let address = |it: &str| it.parse::<Address>().expect("an address");
        let mut config = Config::from_servers(["127.0.0.1:1", "127.0.0.1:2"].map(address));
        config.multiplex = crate::Multiplex::Off;
        change(&mut config);
        Engine::new(config).expect("a valid configuration")
    }

    fn due(engine: &Engine) -> Option<ConnectionDue> {
        engine.connection_due(0).map(|it| it.1)
    }

    #[test]
    fn of_two_limits_that_expire_at_one_instant_the_one_that_says_more_counts() {
        let now = Instant::now();
        let mut one = engine(|config| config.connect_timeout = WAITED_FOR);
        let submitted = one.submit(now, Request::responder(), Tag(0));
        submitted.expect("accepted");
        assert_eq!(due(&one), Some(ConnectionDue::Connect), "not late");

        let five = Duration::from_secs(5);
        let mut one = engine(|config| {
            config.limits.min_idle_per_server = 1;
            config.limits.idle_timeout = five;
            config.limits.max_lifetime = Some(five);
        });
        one.handle_timeout(now);
        let Some(Action::Connect { connection, .. }) = one.poll_action() else {
            panic!("a connect");
        };
        one.handle_connected(now, connection);
        assert_eq!(due(&one), Some(ConnectionDue::Idle), "not its age");
    }
}
