//! Time limits: each alone, each with its own error, neither early nor late.

use std::time::Duration;

use mio_fcgi::{
    Body, ConnectError, Delivery, Multiplex, Phase, Request, RequestError, RequestHandle,
    TimeoutKind, Timeouts,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, config, done, failed, out, records, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn only(set: impl FnOnce(&mut Timeouts)) -> Timeouts {
    let mut timeouts = Timeouts::NONE;
    set(&mut timeouts);
    timeouts
}

fn limited(set: impl FnOnce(&mut Timeouts)) -> Request {
    request().with_timeouts(only(set))
}

fn timed_out(tag: u64, kind: TimeoutKind, phase: Phase, delivery: Delivery) -> Seen {
    failed(tag, RequestError::TimedOut(kind), phase, delivery)
}

/// Checks that nothing happens for `time` less a millisecond, and then exactly `end`.
fn due_in(mut bench: Bench, time: Duration, end: Seen) {
    bench.seen();
    // Ticks that come often and early have no effect.
    let step = (time - MS) / 10;
    for _ in 0..10 {
        bench.advance(step);
    }
    bench.advance(time - MS - step * 10);
    assert_eq!(bench.seen(), [], "not early");
    bench.advance(MS);
    assert_eq!(bench.seen(), [end], "not late");
    for peer in 0..bench.peers.len() {
        if bench.peers[peer].closed.is_none() {
            bench.eof(peer);
        }
    }
    bench.seen();
    bench.finish();
}

// case 107
#[test]
fn the_queue_limit_ends_a_wait_for_a_connection() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request().with_timeouts(Timeouts::NONE));
    bench.submit(limited(|it| it.queue = Some(SECOND)));
    let end = timed_out(2, TimeoutKind::Queue, Phase::Queued, Delivery::NotProcessed);
    due_in(bench, SECOND, end);
}

// case 107
#[test]
fn the_connect_limit_ends_a_connect_that_hangs() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Hang;
    bench.submit(request().with_timeouts(Timeouts::NONE));
    let end = failed(
        1,
        ConnectError::TimedOut,
        Phase::Queued,
        Delivery::NotProcessed,
    );
    due_in(bench, 3 * SECOND, end);
}

// case 107
#[test]
fn the_write_limit_begins_anew_with_each_byte_that_leaves() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.peers[0].window = 10;
    bench.submit(limited(|it| it.write = Some(SECOND)));
    bench.advance(900 * MS);
    bench.open_window(0, 1);
    let end = timed_out(
        2,
        TimeoutKind::Write,
        Phase::Sending,
        Delivery::MaybeProcessed,
    );
    due_in(bench, SECOND, end);
}

// case 107
#[test]
fn the_first_byte_limit_begins_with_the_last_byte_that_leaves() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.peers[0].window = 10;
    bench.submit(limited(|it| it.first_byte = Some(SECOND)));
    bench.advance(5 * SECOND);
    bench.open_window(0, usize::MAX);
    let end = timed_out(
        2,
        TimeoutKind::FirstByte,
        Phase::Sent,
        Delivery::MaybeProcessed,
    );
    due_in(bench, SECOND, end);
}

// case 107
#[test]
fn the_limit_between_bytes_begins_anew_with_each_byte_and_holds_before_the_end() {
    let mut bench = Bench::plain();
    bench.submit(limited(|it| it.between_bytes = Some(SECOND)));
    bench.advance(10 * SECOND);
    for _ in 0..5 {
        bench.feed(0, records().stdout(1, "x"));
        bench.advance(999 * MS);
    }
    bench.feed(0, records().stderr(1, "x"));
    bench.advance(999 * MS);
    bench.feed(0, records().stdout_end(1));
    let end = timed_out(
        1,
        TimeoutKind::BetweenBytes,
        Phase::Receiving,
        Delivery::Responded,
    );
    due_in(bench, SECOND, end);
}

// case 107
#[test]
fn the_total_limit_holds_in_each_phase() {
    let total = |bench: &mut Bench| bench.submit(limited(|it| it.total = Some(10 * SECOND)));
    let end = |phase, delivery| timed_out(1, TimeoutKind::Total, phase, delivery);
    let mut config = config(Multiplex::Off);
    config.connect_timeout = 60 * SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Hang;
    total(&mut bench);
    due_in(
        bench,
        10 * SECOND,
        end(Phase::Queued, Delivery::NotProcessed),
    );
    let mut bench = Bench::plain();
    total(&mut bench);
    due_in(
        bench,
        10 * SECOND,
        end(Phase::Sent, Delivery::MaybeProcessed),
    );
    let mut bench = Bench::plain();
    total(&mut bench);
    for _ in 0..9 {
        bench.advance(SECOND);
        bench.feed(0, records().stdout(1, "x"));
    }
    due_in(bench, SECOND, end(Phase::Receiving, Delivery::Responded));
}

// case 107
#[test]
fn the_limit_that_is_due_first_is_the_error() {
    let set = |it: &mut Timeouts| {
        it.queue = Some(SECOND);
        it.write = Some(2 * SECOND);
        it.first_byte = Some(3 * SECOND);
        it.between_bytes = Some(4 * SECOND);
        it.total = Some(60 * SECOND);
    };
    let mut bench = Bench::plain();
    bench.submit(limited(set));
    let end = timed_out(
        1,
        TimeoutKind::FirstByte,
        Phase::Sent,
        Delivery::MaybeProcessed,
    );
    due_in(bench, 3 * SECOND, end);
    let mut bench = Bench::plain();
    bench.submit(limited(set));
    bench.advance(2 * SECOND);
    bench.feed(0, records().stdout(1, "x"));
    let end = timed_out(
        1,
        TimeoutKind::BetweenBytes,
        Phase::Receiving,
        Delivery::Responded,
    );
    due_in(bench, 4 * SECOND, end);
    let mut bench = Bench::plain();
    bench.submit(request().with_timeouts(Timeouts::NONE));
    bench.end(0);
    bench.peers[0].window = 10;
    bench.submit(limited(set));
    let end = timed_out(
        2,
        TimeoutKind::Write,
        Phase::Sending,
        Delivery::MaybeProcessed,
    );
    due_in(bench, 2 * SECOND, end);
    let mut bench = Bench::plain();
    bench.submit(limited(|it| {
        set(it);
        it.total = Some(3 * SECOND - MS);
    }));
    let end = timed_out(1, TimeoutKind::Total, Phase::Sent, Delivery::MaybeProcessed);
    due_in(bench, 3 * SECOND - MS, end);
}

#[test]
fn without_limits_nothing_is_due() {
    let mut bench = Bench::plain();
    bench.submit(request().with_timeouts(Timeouts::NONE));
    // Connecting had a limit, and others may be preempted for a new connection for a while.
    bench.advance(5 * SECOND);
    assert_eq!(bench.engine.timeout(bench.now), None);
    bench.advance(Duration::from_secs(100 * 365 * 86_400));
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn limits_beyond_the_end_of_time_are_none() {
    let mut config = config(Multiplex::Off);
    config.connect_timeout = Duration::MAX;
    config.limits.idle_timeout = Duration::MAX;
    config.limits.max_lifetime = Some(Duration::MAX);
    config.preempt_idle_after = Some(Duration::MAX);
    let mut bench = Bench::new(config);
    let forever = |it: &mut Timeouts| {
        it.queue = Some(Duration::MAX);
        it.write = Some(Duration::MAX);
        it.first_byte = Some(Duration::MAX);
        it.between_bytes = Some(Duration::MAX);
        it.total = Some(Duration::MAX);
    };
    bench.submit(limited(forever));
    bench.submit(limited(forever));
    bench.advance(SECOND);
    bench.feed(0, records().stdout(1, "x").end(1, 0));
    bench.feed(1, records().stdout(1, "y").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "x"), done(1), out(2, "y"), done(2)]);
    bench.finish();
}

#[test]
fn a_back_off_beyond_the_end_of_time_does_not_panic() {
    let mut config = config(Multiplex::Off);
    config.backoff.initial = Duration::MAX;
    config.backoff.max = Duration::MAX;
    let mut bench = Bench::new(config);
    bench.answers.extend([Answer::Refuse, Answer::BacklogFull]);
    bench.submit(request());
    bench.submit(request());
    bench.advance(10 * SECOND);
    assert_eq!(bench.seen().len(), 2);
}

// case 108
#[test]
fn a_limit_of_a_request_that_has_ended_does_not_hit_the_next_in_its_slot() {
    let mut bench = Bench::plain();
    bench.submit(limited(|it| it.first_byte = Some(SECOND)));
    bench.advance(999 * MS);
    bench.end(0);
    let next = bench.submit(limited(|it| it.first_byte = Some(60 * SECOND)));
    bench.advance(59_999 * MS);
    assert_eq!(bench.seen(), [done(1)]);
    bench.advance(MS);
    let end = timed_out(
        2,
        TimeoutKind::FirstByte,
        Phase::Sent,
        Delivery::MaybeProcessed,
    );
    assert_eq!(bench.seen(), [end]);
    bench.command(|engine, now| engine.abort(now, next));
    bench.finish();
}

// case 108
#[test]
fn an_end_and_a_limit_in_the_same_tick_give_one_end() {
    for end_first in [true, false] {
        let mut bench = Bench::plain();
        bench.submit(limited(|it| it.total = Some(SECOND)));
        let end = records().end(1, 0);
        bench.now += SECOND;
        if end_first {
            bench.feed(0, &end);
            bench.command(|engine, now| engine.handle_timeout(now));
            assert_eq!(bench.seen(), [done(1)]);
        } else {
            bench.command(|engine, now| engine.handle_timeout(now));
            bench.feed(0, &end);
            let total = timed_out(1, TimeoutKind::Total, Phase::Sent, Delivery::MaybeProcessed);
            assert_eq!(bench.seen(), [total]);
        }
        bench.finish();
    }
}

#[test]
fn one_requests_limit_leaves_its_neighbours_alone() {
    let mut bench = Bench::shared(4);
    bench.submit(limited(|it| it.between_bytes = Some(SECOND)));
    bench.submit(limited(|it| it.between_bytes = Some(10 * SECOND)));
    bench.feed(0, records().stdout(1, "a").stdout(2, "b"));
    bench.advance(5 * SECOND);
    let silence = timed_out(
        1,
        TimeoutKind::BetweenBytes,
        Phase::Receiving,
        Delivery::Responded,
    );
    assert_eq!(bench.seen(), [out(1, "a"), out(2, "b"), silence]);
    bench.feed(0, records().stdout(2, "c").end(2, 0).end(1, 0));
    assert_eq!(bench.seen(), [out(2, "c"), done(2)]);
    bench.finish();
}

#[test]
fn a_pushed_body_that_is_not_pushed_runs_into_no_time_limit() {
    let mut bench = Bench::plain();
    let set = |it: &mut Timeouts| {
        it.write = Some(SECOND);
        it.first_byte = Some(SECOND);
        it.between_bytes = Some(SECOND);
    };
    let body = Body::pushed(Some(2));
    let handle: RequestHandle = bench.submit(limited(set).with_body(body));
    bench.advance(60 * SECOND);
    assert_eq!(bench.seen(), []);
    bench.peers[0].window = 5;
    let taken = bench.command(|engine, now| engine.write_stdin(now, handle, b"ab"));
    assert_eq!(taken, Ok(2));
    bench.advance(999 * MS);
    assert_eq!(bench.seen(), [], "its second begins with the bytes");
    bench.advance(MS);
    let end = timed_out(
        1,
        TimeoutKind::Write,
        Phase::Sending,
        Delivery::MaybeProcessed,
    );
    assert_eq!(bench.seen(), [end]);
    bench.finish();
}

// case 112
#[test]
fn a_clock_that_goes_back_counts_as_one_that_stands_still() {
    let mut bench = Bench::plain();
    bench.submit(limited(|it| it.first_byte = Some(SECOND)));
    bench.advance(900 * MS);
    let latest = bench.now;
    bench.now -= 800 * MS;
    bench.submit(limited(|it| it.first_byte = Some(SECOND)));
    bench.command(|engine, now| engine.handle_timeout(now));
    assert_eq!(bench.seen(), []);
    bench.now = latest;
    bench.advance(100 * MS);
    let first_byte = TimeoutKind::FirstByte;
    let end = |tag| timed_out(tag, first_byte, Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [end(1)]);
    bench.advance(899 * MS);
    assert_eq!(bench.seen(), []);
    bench.advance(MS);
    assert_eq!(bench.seen(), [end(2)]);
    bench.finish();
}

// case 112
#[test]
fn a_tick_that_is_late_by_minutes_fires_each_limit_once() {
    let mut bench = Bench::plain();
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.feed(0, records().stdout(1, "x"));
    bench.end(1);
    bench.seen();
    bench.now += Duration::from_secs(600);
    bench.command(|engine, now| engine.handle_timeout(now));
    let mut seen = bench.seen();
    seen.sort_by_key(|it| format!("{it:?}"));
    let silence = timed_out(
        1,
        TimeoutKind::BetweenBytes,
        Phase::Receiving,
        Delivery::Responded,
    );
    let first = timed_out(
        3,
        TimeoutKind::FirstByte,
        Phase::Sent,
        Delivery::MaybeProcessed,
    );
    assert_eq!(seen, [silence, first]);
    assert!(bench.engine.is_idle());
    bench.command(|engine, now| engine.handle_timeout(now));
    assert_eq!(bench.seen(), []);
    bench.finish();
}
