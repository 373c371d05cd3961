//! The limits on connections, and whether a server may be checked within them.

use std::time::Duration;

use slab::Slab;

use super::{Connection, Pool, Time};
use crate::config::Config;
use crate::engine::connection;
use crate::event::ConnectionHandle;
use crate::limits::Limits;

impl Pool {
    /// Whether a connection is idle and one of the `kept` connections that are not closed for being idle.
    pub(crate) fn is_kept_idle(&self, server: u16, key: u32, kept: usize) -> bool {
        let lists = self.lists(server);
        lists.idle_len() <= kept && lists.is_idle(key)
    }

    /// Whether a server has more connections than allowed.
    #[inline]
    pub(crate) fn has_too_many(&self, server: u16, config: &Config) -> bool {
        self.servers[usize::from(server)].exceeds(&config.limits)
    }

    /// Whether a server has more idle connections than allowed.
    pub(crate) fn has_too_many_idle(&self, server: u16, config: &Config) -> bool {
        self.servers[usize::from(server)].has_too_many_idle(&config.limits)
    }

    /// The most connections to all servers, for requests or with the one that is kept for probes.
    #[inline]
    pub(super) fn most(&self, is_probe: bool, limits: &Limits) -> usize {
        let most = limits.max_total_connections.min(self.capacity);
        match limits.reserve_for_get_values && !is_probe {
            true => most.saturating_sub(1).max(1),
            false => most,
        }
    }

    /// Whether there are more connections to all servers than allowed; `open` is their number. While a probe runs, it
    /// holds the connection that is kept for probes, or another one.
    #[inline]
    pub(crate) fn exceeds(&self, open: usize, config: &Config) -> bool {
        let limits = &config.limits;
        open > self.most(false, limits)
            && (open > self.most(true, limits)
                || !self.servers.iter().any(|it| it.capabilities().is_probed()))
    }

    /// When the next check of a server is due. `None` for one that takes no requests.
    pub(crate) fn next_check(&self, now: Time, server: u16, interval: Duration) -> Option<Time> {
        let of = &self.servers[usize::from(server)];
        (!of.is_leaving())
            .then(|| of.next_check(now, interval))
            .flatten()
    }

    /// A connection is being opened to check a server.
    pub(crate) fn check_dialed(&mut self, server: u16, connection: ConnectionHandle) {
        self.servers[usize::from(server)].set_check(connection);
    }

    /// A server has not answered a check.
    pub(crate) fn check_unanswered(&mut self, server: u16) {
        self.servers[usize::from(server)].health_mut().unanswered();
        self.has_hung = true;
    }

    /// A check of a server is due. Returns whether to make it: no request shows whether the server is alive, and another
    /// connection may be opened, and the last check is over.
    pub(crate) fn begin_check(
        &mut self,
        now: Time,
        server: u16,
        connections: &Slab<Connection>,
        config: &Config,
    ) -> bool {
        let index = usize::from(server);
        let is_busy = self.servers.load(index) > 0;
        let last = self.servers[index].check();
        let last = last.and_then(|it| connection::get(connections, it));
        let is_checking = last.is_some_and(|it| it.is_connecting() || it.has_own_probe());
        let most = self.most(true, &config.limits);
        let of = &mut self.servers[index];
        let has_place =
            of.lists().total() < of.most(true, &config.limits) && connections.len() < most;
        if !has_place {
            // A check may never find a place: requests find out then.
            of.health_mut().answered();
        }
        of.begin_check(now) && has_place && !is_busy && !is_checking && !of.health().is_short(now)
    }
}
