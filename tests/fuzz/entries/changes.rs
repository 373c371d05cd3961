//! Servers and limits that change in the middle of everything that `calls` does.

use std::time::Duration;

use mio_fcgi::{Address, Counters, Limits, Server, ServerId, ServerMode};

use super::calls::{MOST, call, request};
use super::choices::Choices;
use super::driver::Driver;
use super::lists::Lists;
use super::settings::{SECOND, address, config};

/// As `calls`, with one byte before each call that chooses between a change and another call.
pub fn changes(input: &[u8]) -> Counters {
    let mut choices = Choices::new(input);
    let mut config = config(&mut choices);
    let at_once = choices.is_even();
    config.check_interval = choices.of(&[None, None, Some(SECOND), Some(Duration::MAX)]);
    let mut driver = Driver::new(config);
    let mut lists = Lists::new(&driver.engine, driver.now);
    for _ in 0..MOST {
        if choices.is_empty() {
            break;
        }
        change(&mut driver, &mut lists, &mut choices);
        driver.check();
        lists.check(&driver);
    }
    if !at_once && !lists.have_takers(&driver) {
        // Otherwise requests could wait for ever.
        lists.set(&mut driver, vec![address(0).into()]);
    }
    let counters = driver.finish(at_once);
    lists.check_seen(&driver.seen);
    counters
}

fn change(driver: &mut Driver, lists: &mut Lists, choices: &mut Choices<'_>) {
    match choices.byte() % 12 {
        0 => lists.set(driver, list(choices)),
        1 => driver.set_limits(limits(choices)),
        2 | 3 => {
            let mut request = request(driver.next_tag(), choices);
            request.server = Some(ServerId::new(choices.byte().into()));
            lists.note_submitted(driver.next_tag());
            driver.submit(request);
        }
        4 => driver.get_values(choices.byte().into()),
        _ => {
            lists.note_submitted(driver.next_tag());
            call(driver, choices);
        }
    }
}

/// A list of servers, nearly always a valid one. An address may be in it twice.
fn list(choices: &mut Choices<'_>) -> Vec<Server> {
    let len = choices.of(&[1, 2, 3, 1, 2, 3, 4, 0]);
    let servers = (0..len).map(|_| {
        let place = choices.byte();
        let address = match place {
            255 => Address::Host {
                name: "app".into(),
                port: 9000,
            },
            _ => address(place % 4),
        };
        let mut server = Server::new(address);
        server.mode = choices.of(&[
            ServerMode::Active,
            ServerMode::Active,
            ServerMode::Backup,
            ServerMode::Draining,
        ]);
        server.weight = choices.of(&[1, 1, 2, u16::MAX, 0]);
        server
    });
    servers.collect()
}

/// Limits at any value, nearly always valid ones.
fn limits(choices: &mut Choices<'_>) -> Limits {
    let mut limits = Limits::default();
    limits.max_total_connections = choices.of(&[usize::MAX, 1, 2, 3, 5, 0]);
    limits.max_connections_per_server = choices.of(&[2, 1, 3, 5, usize::MAX]);
    limits.reserve_for_get_values = choices.of(&[false, true]);
    limits.max_idle_per_server = choices.of(&[1, 0, 4, usize::MAX]);
    limits.min_idle_per_server = choices.of(&[0, 1, 2, usize::MAX]);
    if limits.max_total_connections > 5 {
        limits.min_idle_per_server = limits.min_idle_per_server.min(5);
    }
    limits.idle_timeout = choices.of(&[SECOND, Duration::ZERO, 60 * SECOND, Duration::MAX]);
    let times = [
        None,
        Some(3 * SECOND),
        Some(Duration::ZERO),
        Some(Duration::MAX),
    ];
    limits.max_lifetime = choices.of(&times);
    limits.max_requests_per_connection = choices.of(&[None, Some(1), Some(3), Some(u32::MAX)]);
    limits.max_queued_requests = choices.of(&[8, 0, 2, usize::MAX]);
    limits
}
