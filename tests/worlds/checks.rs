//! What must hold in every state.

use crate::input::Input;
use crate::world::{Check, World};

impl World {
    /// What must hold after an input, when all outputs were taken.
    pub(crate) fn check(&mut self, last: Option<Input>) -> Check {
        if self.engine.has_output() || self.engine.poll_action().is_some() {
            return Err("output is left".into());
        }
        self.check_connections()?;
        self.check_requests()?;
        if self.engine.is_shut_down() && !(self.is_stopping && self.engine.is_idle()) {
            return Err("it is shut down too early".into());
        }
        if last == Some(Input::Timeout) {
            self.check_time()?;
        }
        Ok(())
    }

    fn check_connections(&mut self) -> Check {
        // This checks the engine's running counts, too.
        let gauges = self.engine.stats().connections;
        let all = gauges.connecting + gauges.probing + gauges.idle + gauges.busy + gauges.draining;
        if all != self.links.len() {
            return Err(format!("{} sockets for {gauges:?}", self.links.len()));
        }
        let limits = self.limits;
        if all > self.ceilings.total {
            return Err(format!(
                "{all} connections, {} allowed",
                self.ceilings.total
            ));
        }
        self.ceilings.total = all.max(limits.max_total_connections);
        for (server, most) in self.ceilings.per_server.iter_mut().enumerate() {
            let open = self
                .links
                .iter()
                .filter(|link| link.server == server)
                .count();
            if open > *most {
                return Err(format!(
                    "{open} connections to server {server}, {most} allowed"
                ));
            }
            *most = open.max(limits.max_connections_per_server);
        }
        let servers = self.engine.config().servers.len();
        if gauges.idle > limits.max_idle_per_server * servers {
            return Err(format!("{} connections are idle", gauges.idle));
        }
        for (place, link) in self.links.iter().enumerate() {
            let wants_write = self.engine.wants_write(link.handle);
            if wants_write && !(link.is_open() && link.flushes) {
                return Err(format!(
                    "connection {place} has bytes to send, and no write was asked for"
                ));
            }
            let wants_read = self.engine.wants_read(link.handle);
            if wants_read && link.is_unread && !link.reads {
                return Err(format!(
                    "connection {place} may be read again, and no read was asked for"
                ));
            }
        }
        Ok(())
    }

    fn check_requests(&mut self) -> Check {
        let stats = self.engine.stats();
        let gauges = stats.requests;
        let waiting = gauges.queued + gauges.buffering;
        if waiting > self.ceilings.queue {
            return Err(format!(
                "{waiting} requests wait, {} may",
                self.ceilings.queue
            ));
        }
        self.ceilings.queue = waiting.max(self.limits.max_queued_requests);
        let unended: Vec<_> = self.requests.iter().filter(|it| !it.has_ended).collect();
        let listed = self.engine.requests(self.now);
        let listed = listed.filter(|it| it.state != mio_fcgi::RequestState::Aborting);
        let mut listed: Vec<_> = listed.map(|it| it.request).collect();
        listed.sort();
        let mut known: Vec<_> = unended.iter().map(|it| it.handle).collect();
        known.sort();
        if listed != known {
            return Err(format!("{listed:?} are there, {known:?} have not ended"));
        }
        let counters = stats.counters;
        let ended = counters.completed + counters.failed;
        if ended as usize != self.requests.len() - known.len() {
            return Err(format!("{ended} Ends are counted"));
        }
        Ok(())
    }

    /// What must hold after the engine was told the time.
    fn check_time(&self) -> Check {
        if self.links.iter().any(|link| link.reads || link.has_news) {
            // The limit waits for a read.
            return Ok(());
        }
        let excuses = self.excuses();
        match self.requests.iter().find(|it| it.is_overdue(&excuses)) {
            Some(late) => Err(format!("request {} has not ended in time", late.number)),
            None => Ok(()),
        }
    }

    /// Looks at which connections the engine has assigned.
    pub(crate) fn check_assignments(&mut self) -> Check {
        let listed: Vec<_> = self
            .engine
            .requests(self.now)
            .map(|it| (it.tag, it.connection))
            .collect();
        for (tag, connection) in listed {
            let number = tag.0 as usize;
            let Some(asked) = self.requests.get_mut(number) else {
                // It is being submitted.
                continue;
            };
            let before = std::mem::replace(&mut asked.on, connection);
            let Some(handle) = connection.filter(|it| before != Some(*it)) else {
                continue;
            };
            self.check_assigned(number, handle)?;
        }
        Ok(())
    }

    fn check_assigned(&mut self, number: usize, handle: mio_fcgi::ConnectionHandle) -> Check {
        let Some(place) = self.place(handle) else {
            return Err(format!(
                "request {number} is on a connection that was closed"
            ));
        };
        let shares = self.setup.shares > 1;
        let link = &mut self.links[place];
        let name = format!("request {number} is on connection {place}");
        if !link.is_open() {
            return Err(format!("{name}, which is not open"));
        }
        if link.end_is_known {
            return Err(format!("{name}, whose end was announced"));
        }
        if link.is_unread && link.begun > 0 && !shares {
            return Err(format!("{name}, which was not found empty"));
        }
        link.is_looked_at = false;
        Ok(())
    }
}
