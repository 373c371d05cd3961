//! Budgets for paused requests: which bytes count, and when the slow request fails.

use std::time::Duration;

use mio_fcgi::{
    Config, Delivery, Multiplex, OverflowPolicy, Phase, RequestError, RequestHandle, TimeoutKind,
    Timeouts,
};

use crate::harness::Bench;
use crate::script::{Seen, config, done, failed, out, records, request};

/// Two paused requests on one connection, with [`OverflowPolicy::FailRequest`].
fn both_paused(change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 1;
    config.pause_buffer.overflow = OverflowPolicy::FailRequest;
    change(&mut config);
    let mut bench = Bench::new(config);
    for _ in 0..2 {
        let slow = bench.submit(request());
        bench.command(|engine, now| engine.pause(now, slow));
    }
    bench
}

fn buffer_full(tag: u64, held: usize) -> Seen {
    let error = RequestError::PauseBufferFull { buffered: held };
    failed(tag, error, Phase::Receiving, Delivery::Responded)
}

#[test]
fn the_byte_over_the_connections_or_the_clients_budget_fails_the_request_it_is_for() {
    let budgets: [fn(&mut Config); 2] = [
        |config| config.pause_buffer.per_connection = 150,
        |config| config.pause_buffer.per_client = 150,
    ];
    for (index, budget) in budgets.into_iter().enumerate() {
        let mut bench = both_paused(|config| {
            config.pause_buffer.per_request = 100;
            config.pause_buffer.per_connection = 1_000;
            config.pause_buffer.per_client = 10_000;
            budget(config);
        });
        bench.feed(0, records().stdout(1, [b'x'; 80]).stdout(2, [b'y'; 70]));
        assert_eq!(bench.seen(), [], "budget {index} is used up");
        bench.feed(0, records().stdout(2, "yy"));
        assert_eq!(bench.seen(), [buffer_full(2, 72)], "budget {index}");
        assert_eq!(bench.stats().bytes_buffered, 80);
        let first = bench.handles[0];
        bench.command(|engine, now| engine.resume(now, first));
        bench.feed(0, records().end(1, 0).end(2, 0));
        bench.finish();
    }
}

#[test]
fn alone_on_its_connection_a_paused_request_does_not_fail_over_what_was_read_already() {
    let mut bench = both_paused(|config| {
        config.pause_buffer.per_request = 100;
        config.pause_buffer.per_connection = 100;
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
    let mut bench = both_paused(|config| config.limits.max_connections_per_server = 3);
    for index in 0..2 {
        let slow = bench.handles[index];
        bench.command(|engine, now| engine.resume(now, slow));
    }
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.end(1);
    bench.finish();
}

/// Two requests on one connection, which is not read once a budget is used up. The first request is paused.
fn first_paused(change: impl FnOnce(&mut Config)) -> (Bench, RequestHandle) {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 1;
    config.pause_buffer.overflow = OverflowPolicy::PauseConnection;
    change(&mut config);
    let mut bench = Bench::new(config);
    let slow = bench.submit(request());
    bench.submit(request());
    bench.command(|engine, now| engine.pause(now, slow));
    (bench, slow)
}

fn wants_read(bench: &Bench) -> bool {
    bench.engine.wants_read(bench.peers[0].handle)
}

#[test]
fn a_connection_is_read_again_as_soon_as_less_than_the_requests_budget_is_held() {
    let (mut bench, slow) = first_paused(|config| config.pause_buffer.per_request = 100);
    bench.feed(0, records().stdout(1, [b'x'; 110]));
    assert!(!wants_read(&bench));
    bench.engine.resume(bench.now, slow);
    for (taken, is_read) in [(10, false), (1, true)] {
        let mut scratch = [0; 10];
        let event = bench.engine.poll_pending(&mut scratch[..taken]);
        assert!(event.is_some());
        assert_eq!(wants_read(&bench), is_read, "{taken} bytes more");
    }
    bench.run();
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn output_that_a_resumed_request_has_not_taken_counts_as_well() {
    let (mut bench, slow) = first_paused(|config| config.pause_buffer.per_connection = 100);
    bench.feed(0, records().stdout(1, [b'x'; 60]));
    bench.engine.resume(bench.now, slow);
    let bytes = records().stdout(1, [b'x'; 60]);
    let (mut input, connection) = (bytes.as_ref(), bench.peers[0].handle);
    let event = bench
        .engine
        .poll_received(bench.now, connection, &mut input);
    assert_eq!(event, None, "it stands behind what is held");
    assert!(!wants_read(&bench));
    bench.run();
    assert_eq!(bench.seen(), [out(1, &"x".repeat(120))]);
    assert!(wants_read(&bench));
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn a_pause_that_leaves_its_connection_read_asks_for_no_read_and_gives_nobody_more_time() {
    let mut timeouts = Timeouts::NONE;
    timeouts.first_byte = Some(Duration::from_secs(1));
    let mut bench = Bench::shared(2);
    let slow = bench.submit(request().with_timeouts(Timeouts::NONE));
    bench.submit(request().with_timeouts(timeouts));
    bench.advance(Duration::from_millis(500));
    bench.engine.pause(bench.now, slow);
    assert_eq!(bench.engine.poll_action(), None);
    assert_eq!(bench.stats().requests.paused, 1);
    bench.advance(Duration::from_millis(500));
    let error = RequestError::TimedOut(TimeoutKind::FirstByte);
    let late = failed(2, error, Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [late]);
    bench.command(|engine, now| engine.resume(now, slow));
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}
