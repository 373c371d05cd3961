//! Budgets for paused requests: whose octets count, and when the slow request fails.

use mio_fcgi::{AtLimit, Config, Delivery, Multiplex, Phase, RequestError};

use crate::harness::Bench;
use crate::script::{Seen, config, done, failed, out, records, request};

/// Two requests, both paused, on one connection where a slow one fails.
fn both_paused(change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections = 1;
    config.stall.at_limit = AtLimit::FailRequest;
    change(&mut config);
    let mut bench = Bench::new(config);
    for _ in 0..2 {
        let slow = bench.submit(request());
        bench.command(|engine, now| engine.pause(now, slow));
    }
    bench
}

fn stalled(tag: u64, held: usize) -> Seen {
    let error = RequestError::Stalled { held };
    failed(tag, error, Phase::Receiving, Delivery::Responded)
}

#[test]
fn the_octet_over_the_connections_or_the_clients_budget_fails_the_request_it_is_for() {
    let budgets: [fn(&mut Config); 2] = [
        |config| config.stall.per_connection = 150,
        |config| config.stall.per_client = 150,
    ];
    for (index, budget) in budgets.into_iter().enumerate() {
        let mut bench = both_paused(|config| {
            config.stall.per_request = 100;
            config.stall.per_connection = 1_000;
            config.stall.per_client = 10_000;
            budget(config);
        });
        bench.feed(0, records().stdout(1, [b'x'; 80]).stdout(2, [b'y'; 70]));
        assert_eq!(bench.seen(), [], "budget {index} is used up");
        bench.feed(0, records().stdout(2, "yy"));
        assert_eq!(bench.seen(), [stalled(2, 72)], "budget {index}");
        assert_eq!(bench.stats().octets_held, 80);
        let first = bench.handles[0];
        bench.command(|engine, now| engine.resume(now, first));
        bench.feed(0, records().end(1, 0).end(2, 0));
        bench.finish();
    }
}

#[test]
fn alone_on_its_connection_a_paused_request_does_not_fail_over_what_was_read_already() {
    let mut bench = both_paused(|config| {
        config.stall.per_request = 100;
        config.stall.per_connection = 100;
    });
    let output = "y".repeat(150);
    bench.feed(0, records().end(1, 0).stdout(2, &output));
    for index in 0..2 {
        let slow = bench.handles[index];
        bench.command(|engine, now| engine.resume(now, slow));
    }
    let seen = bench.seen();
    assert!(seen.contains(&out(2, &output)), "{seen:?}");
    bench.feed(0, records().end(2, 0));
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

#[test]
fn a_request_goes_to_a_resumed_ones_connection_rather_than_to_a_new_one() {
    let mut bench = both_paused(|config| config.limits.max_connections = 3);
    for index in 0..2 {
        let slow = bench.handles[index];
        bench.command(|engine, now| engine.resume(now, slow));
    }
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.feed(1, records().end(1, 0));
    bench.finish();
}
