//! Checks of servers that serve no request, see [`Config::check_interval`](crate::Config::check_interval).
//!
//! A check has a connection of its own. When it is open, the client's own probe is sent on it, and it is closed after the
//! answer. If requests wait for the server by then, they use the connection, and the check is over: the server is up.

use log::debug;

use super::Engine;
use super::close_reason::CloseReason;
use super::pool::ConnectFailure;
use super::time::Time;
use crate::error::ConnectError;

impl Engine {
    /// Arms timers for the next checks of all servers.
    pub(super) fn arm_checks(&mut self, now: Time) {
        if self.config.check_interval.is_some() {
            for index in 0..self.pool.len() {
                self.arm_check(now, index as u16);
            }
        }
    }

    /// Checks a server if that is due.
    pub(super) fn check_server(&mut self, now: Time, server: u16) {
        let Some(interval) = self.check_interval() else {
            return;
        };
        let is_due = self
            .pool
            .next_check(now, server, interval)
            .is_some_and(|at| at <= now);
        if is_due
            && self
                .pool
                .begin_check(now, server, &self.connections, &self.config)
        {
            debug!("server {}: check", self.pool.servers().id_of(server));
            let handle = self.dial_check(now, usize::from(server));
            self.pool.check_dialed(server, handle);
        }
        self.arm_check(now, server);
    }

    /// A server that has answered questions before has not answered the one of a check.
    pub(super) fn check_failed(&mut self, now: Time, key: u32) {
        let connection = &self.connections[key as usize];
        let server = connection.server();
        let is_check = connection.retire_reason() == Some(CloseReason::ProbeDone);
        if is_check && self.pool.known(server).has_answered() {
            let failure = ConnectFailure {
                server,
                opened: connection.opened(),
                error: ConnectError::TimedOut,
            };
            self.server_failed(now, connection.serial(), failure);
            self.pool.check_unanswered(server);
        }
    }
}
