//! Running counts against what they count.
//!
//! The engine keeps counts where it would have to walk everything otherwise, for each request. Builds with debug
//! assertions count again whenever [`Engine::stats`] does, which walks all of it anyway.

use super::Engine;
use super::exchange::{Exchange, Life};
use super::server::Sharing;

impl Engine {
    /// # Panics
    /// When a count is wrong, which is a defect of this library.
    pub(super) fn check_books(&self) {
        self.check_totals();
        self.check_connections();
        self.check_servers();
    }

    fn check_totals(&self) {
        let count = |is_it: fn(&Life) -> bool| {
            let all = self.exchanges.iter();
            all.filter(|(_, exchange)| is_it(&exchange.life)).count()
        };
        let waiting = count(|life| matches!(life, Life::Waiting { .. }));
        assert_eq!(self.queue.len(), waiting, "requests in the queue");
        let collecting = count(|life| matches!(life, Life::Collecting { .. }));
        assert_eq!(self.collecting, collecting, "bodies being collected");
        let held: usize = self.exchanges.iter().map(|(_, it)| held_for(it)).sum();
        assert_eq!(self.held, held, "octets held");
        let promised: usize = self
            .connections
            .iter()
            .map(|(_, it)| it.promised as usize)
            .sum();
        assert_eq!(self.prospects, promised, "room on its way");
        let late = self.connections.iter().filter(|(_, it)| it.is_late);
        assert_eq!(self.late, late.count(), "connects that hang");
        let of_servers: usize = self.servers.iter().map(|server| server.late).sum();
        assert_eq!(self.late, of_servers, "connects that hang, by server");
        let short = self.servers.iter().filter(|it| it.short_until.is_some());
        assert_eq!(
            self.short,
            short.count(),
            "servers without a socket for them"
        );
        let unasked = self
            .servers
            .iter()
            .filter(|server| server.sharing == Sharing::Unknown);
        assert_eq!(self.unasked, unasked.count(), "servers to be asked");
    }

    fn check_connections(&self) {
        let mut counted = vec![[0; 5]; self.connections.capacity()];
        for (_, exchange) in &self.exchanges {
            let on = exchange.life.connection();
            let Some(key) = on.and_then(|it| self.connection_key(it)) else {
                continue;
            };
            let more = [
                1,
                usize::from(matches!(exchange.life, Life::Aborting { .. })),
                usize::from(exchange.paused),
                usize::from(exchange.is_full),
                held_for(exchange),
            ];
            for (sum, more) in counted[key].iter_mut().zip(more) {
                *sum += more;
            }
        }
        for (key, connection) in &self.connections {
            let noted = [
                connection.live as usize,
                connection.aborting as usize,
                connection.paused as usize,
                connection.full as usize,
                connection.held,
            ];
            assert_eq!(
                noted, counted[key],
                "connection {key}: live, aborting, paused, full, octets held"
            );
        }
    }

    fn check_servers(&self) {
        let mut counted = vec![[0; 4]; self.servers.len()];
        for (_, connection) in &self.connections {
            let connecting = connection.is_connecting();
            let more = [
                1,
                usize::from(connecting),
                connection.live as usize + usize::from(connecting),
                usize::from(connection.is_roomy()),
            ];
            let of_server = &mut counted[usize::from(connection.server)];
            for (sum, more) in of_server.iter_mut().zip(more) {
                *sum += more;
            }
        }
        for (index, server) in self.servers.iter().enumerate() {
            let load = self.loads[index] as usize;
            let noted = [server.total, server.connecting, load, server.roomy.len()];
            assert_eq!(
                noted, counted[index],
                "server {index}: connections, on their way, load, with room"
            );
            let roomy = |key: &u32| self.connections[*key as usize].is_roomy();
            assert!(server.roomy.iter().all(roomy), "server {index}: with room");
            let idle = |key: &u32| self.connections[*key as usize].is_idle();
            assert!(server.idle.iter().all(idle), "server {index}: idle");
        }
    }
}

fn held_for(exchange: &Exchange) -> usize {
    exchange.held.as_ref().map_or(0, |held| held.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Request, Tag};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Instant;

    #[test]
    fn a_wrong_count_is_found_by_whoever_asks_for_the_gauges() {
        let right: fn(&mut Engine) = |_| {};
        let wrong: [fn(&mut Engine); 16] = [
            |engine| engine.exchanges[0].life = Life::Holding,
            |engine| engine.collecting += 1,
            |engine| engine.held += 1,
            |engine| engine.prospects += 1,
            |engine| engine.unasked += 1,
            |engine| engine.late += 1,
            |engine| engine.short += 1,
            |engine| engine.connections[0].live += 1,
            |engine| engine.connections[0].aborting += 1,
            |engine| engine.connections[0].paused += 1,
            |engine| engine.connections[0].full += 1,
            |engine| engine.servers[0].total += 1,
            |engine| engine.servers[0].connecting += 1,
            |engine| engine.loads[0] += 1,
            |engine| engine.servers[0].roomy.push(0),
            |engine| engine.servers[0].idle.push_back(0),
        ];
        for (number, change) in std::iter::once(right).chain(wrong).enumerate() {
            let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
            let mut engine = Engine::new(config).expect("a valid configuration");
            let submitted = engine.submit(Instant::now(), Request::responder(), Tag(0));
            submitted.expect("accepted");
            change(&mut engine);
            let looked = catch_unwind(AssertUnwindSafe(|| engine.stats()));
            assert_eq!(looked.is_ok(), number == 0, "change {number}");
        }
    }
}
