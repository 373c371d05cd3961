//! The list of servers changes while the engine runs.

use std::time::Instant;

use log::debug;

use super::Engine;
use super::close_reason::CloseReason;
use super::connection::{Input, Step};
use super::requests::State;
use super::time::Time;
use crate::address::Address;
use crate::config;
use crate::config_error::ConfigError;
use crate::error::RequestError;
use crate::server::{Server, ServerId};

/// Checks that no server is a host name.
pub(super) fn check_resolved(servers: &[Server]) -> Result<(), ConfigError> {
    servers.iter().try_for_each(|server| match &server.address {
        Address::Host { name, .. } => Err(ConfigError::UnresolvedHost { name: name.clone() }),
        _ => Ok(()),
    })
}

impl Engine {
    /// Replaces the servers. Requests already sent finish where they are, and waiting ones use the new servers. No request
    /// is lost.
    ///
    /// A server whose address is in the new list is *kept*: it keeps its [`ServerId`], its connections and what is known
    /// about it, and takes over the new weight and mode. One address may be in the list several times, for several
    /// servers. A server whose address is missing is *removed*: it gets no further request, its idle connections and
    /// those being opened are closed now, and the others when their requests have ended. A server that is set to
    /// [`ServerMode::Draining`](crate::ServerMode::Draining) is treated like a removed one, but it can still be named.
    ///
    /// A waiting request that [names](crate::Request::server) a removed server, or a waiting `get_values` for it, fails
    /// with [`RequestError::ServerRemoved`]. So does such a request that would have to be sent again: with the failure
    /// for which it would have been. Until a removed server's last connection is closed, its address can come back and is
    /// then kept.
    ///
    /// [`servers`](Self::servers) lists the servers with their IDs.
    ///
    /// # Errors
    /// [`ConfigError::NoServer`], [`ConfigError::TooManyServers`], also when with the removed servers that still have
    /// connections there would be more than 65,535; [`ConfigError::Address`], [`ConfigError::WeightZero`],
    /// [`ConfigError::UnresolvedHost`]. On an error nothing is changed.
    ///
    /// ```
    /// use std::time::Instant;
    /// use mio_fcgi::{Address, Config, Engine, ServerId};
    ///
    /// let [old, new]: [Address; 2] = ["10.0.0.1:9000".parse()?, "10.0.0.2:9000".parse()?];
    /// let mut engine = Engine::new(Config::new(old))?;
    /// let now = Instant::now();
    /// engine.set_servers(now, vec![new.clone().into()])?; // the name has moved
    ///
    /// let servers: Vec<ServerId> = engine.servers(now).map(|it| it.server).collect();
    /// assert_eq!(servers, [ServerId::new(1)]);
    /// assert_eq!(engine.server_address(ServerId::new(1)), Some(&new));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_servers(&mut self, now: Instant, servers: Vec<Server>) -> Result<(), ConfigError> {
        let now = self.timeline.tick(now);
        config::check_servers(&servers)?;
        check_resolved(&servers)?;
        let Some(leaving) = self.pool.set_servers(&self.config, &servers) else {
            let count = self.pool.servers().len() + servers.len();
            let limit = usize::from(u16::MAX);
            return Err(ConfigError::TooManyServers { count, limit });
        };
        self.config.servers = servers;
        for slot in leaving {
            self.leave(now, slot);
        }
        // The connections that were being opened for them are closed: that is no reason to end one.
        let limit = self.config.limits.max_queued_requests;
        self.requests.keep_waiting(self.expected(), limit);
        self.arm_checks(now);
        self.settle(now);
        Ok(())
    }

    /// A server gets no further request but those that name it, or none at all.
    fn leave(&mut self, now: Time, slot: u16) {
        let servers = self.pool.servers();
        let (id, address, is_removed) = (
            servers.id_of(slot),
            servers.address(slot),
            servers.is_removed(slot),
        );
        let what = if is_removed { "removed" } else { "drains" };
        debug!("server {id}, {address}: {what}");
        let all = self.connections.iter();
        let of_server: Vec<u32> = all
            .filter(|(_, it)| it.server() == slot)
            .map(|(key, _)| key as u32)
            .collect();
        for key in of_server {
            match self.connections[key as usize].state().step(Input::Retire) {
                Step::Failed => self.close(now, key, CloseReason::Retired),
                Step::Drain => self.drain(now, key, CloseReason::Retired),
                // The answer to a probe is awaited, and the connection is closed after it.
                _ => {}
            }
        }
        if is_removed {
            self.fail_pinned(now, slot);
        }
    }

    /// Fails the requests that wait for a server that was removed.
    fn fail_pinned(&mut self, now: Time, slot: u16) {
        let all = self.requests.iter();
        let waiting: Vec<u32> = all
            .filter(|(_, it)| {
                it.pinned() == Some(slot)
                    && matches!(it.state(), State::Queued | State::Buffering { .. })
            })
            .map(|(key, _)| key)
            .collect();
        for key in waiting {
            self.stop(now, key, RequestError::ServerRemoved);
        }
    }

    /// The address of a server. `None` when there is no such server; a removed one is remembered until its connections
    /// are closed, and perhaps longer.
    #[must_use]
    pub fn server_address(&self, server: ServerId) -> Option<&Address> {
        self.pool.servers().address_of(server)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::{Address, Config};

    #[test]
    fn an_error_counts_the_servers_that_leave_too() {
        let server = |number: u32| {
            let ip = Ipv4Addr::from(0x7f00_0000 + number);
            Server::new(Address::from(SocketAddr::from((ip, 9000))))
        };
        let config = Config::new(server(0).address);
        let mut engine = Engine::new(config.clone()).expect("a valid configuration");
        let all = (0..65_535).map(server).collect::<Vec<_>>();
        assert!(engine.pool.set_servers(&config, &all).is_some());
        let set = engine.set_servers(Instant::now(), vec![server(70_000), server(70_001)]);
        let (count, limit) = (65_537, 65_535);
        assert_eq!(set, Err(ConfigError::TooManyServers { count, limit }));
    }
}
