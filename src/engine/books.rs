//! Running counts against what they count.
//!
//! The engine keeps counts where it would have to walk everything otherwise, for each request. Builds with debug
//! assertions count again whenever [`Engine::stats`] does, which walks all of it anyway.

use super::Engine;
use super::connection::{Connection, Purpose, State};
use super::exchange::{Exchange, Life};
use super::server::Sharing;

impl Engine {
    /// # Panics
    /// When a count is wrong, which is a defect of this library.
    pub(super) fn check_books(&self) {
        self.check_totals();
        self.check_connections();
        for index in 0..self.servers.len() {
            self.check_server(index);
        }
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

    fn check_server(&self, index: usize) {
        let server = &self.servers[index];
        let of = |is_it: fn(&Connection) -> bool| {
            let all = self.connections.iter();
            let own = all.filter(move |(_, it)| usize::from(it.server) == index && is_it(it));
            own.map(|(key, _)| key as u32)
        };
        assert_eq!(
            server.total,
            of(|_| true).count(),
            "server {index}: connections"
        );
        let connecting = |it: &Connection| it.is_connecting() && it.purpose == Purpose::Requests;
        let connecting = of(connecting).count();
        assert_eq!(
            server.connecting, connecting,
            "server {index}: on their way"
        );
        let live = self.connections.iter().map(|(_, it)| it);
        let live = live.filter(|it| usize::from(it.server) == index);
        let load = live.map(|it| it.live).sum::<u32>() + connecting as u32;
        assert_eq!(self.loads[index], load, "server {index}: load");
        let mut shared: Vec<u32> =
            of(|it| matches!(it.state, State::Open) && it.live > 0 && it.max_requests > 1)
                .collect();
        let mut noted = server.shared.clone();
        shared.sort_unstable();
        noted.sort_unstable();
        assert_eq!(noted, shared, "server {index}: shared connections");
        for key in &server.idle {
            let connection = &self.connections[*key as usize];
            assert!(connection.is_idle(), "server {index}: {key} is not idle");
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
        let wrong: [fn(&mut Engine); 14] = [
            |engine| engine.exchanges[0].life = Life::Holding,
            |engine| engine.collecting += 1,
            |engine| engine.held += 1,
            |engine| engine.prospects += 1,
            |engine| engine.unasked += 1,
            |engine| engine.connections[0].live += 1,
            |engine| engine.connections[0].aborting += 1,
            |engine| engine.connections[0].paused += 1,
            |engine| engine.connections[0].full += 1,
            |engine| engine.servers[0].total += 1,
            |engine| engine.servers[0].connecting += 1,
            |engine| engine.loads[0] += 1,
            |engine| engine.servers[0].shared.push(0),
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
