//! The promises where the engine meets its driver: time, its limits and their extremes.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::RecordType;
use mio_fcgi::{
    Backoff, Body, Config, Delivery, EventKind, Multiplex, Phase, RequestError, Retry, TimeoutKind,
    Timeouts, UnknownLength,
};

use crate::harness::{Answer, Bench};
use crate::script::{Records, Seen, config, content, done, failed, out, records, refused, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn timed_out(tag: u64, kind: TimeoutKind, phase: Phase, delivery: Delivery) -> Seen {
    failed(tag, RequestError::TimedOut(kind), phase, delivery)
}

/// A shared connection without anything to send for longer than the write limit, with an upload that pauses.
fn pausing_upload() -> Bench {
    let mut config = config(Multiplex::On { max: 8 });
    config.limits.max_connections_per_server = 1;
    config.timeouts = Timeouts::NONE;
    config.timeouts.write = Some(30 * SECOND);
    let mut bench = Bench::new(config);
    bench.submit(request().with_body(Body::pushed(Some(1_000))));
    bench.submit(request());
    bench.peers[0].window = 0;
    bench.advance(31 * SECOND);
    assert_eq!(bench.seen(), []);
    bench
}

// case 134
#[test]
fn no_write_limit_passes_because_a_neighbours_bytes_entered_an_idle_connection() {
    let neighbours: [fn(&mut Bench); 4] = [
        |bench| {
            bench.submit(request());
        },
        |bench| {
            let aborted = bench.handles[1];
            bench.command(|engine, now| engine.abort(now, aborted));
        },
        // Its end comes before its body, whose stream is then ended.
        |bench| bench.feed(0, records().end(1, 0)),
        |_| {},
    ];
    for (number, neighbour) in neighbours.into_iter().enumerate() {
        let mut bench = pausing_upload();
        let upload = bench.submit(request().with_body(Body::pushed(Some(5))));
        bench.open_window(0, usize::MAX);
        bench.peers[0].window = 0;
        bench.advance(31 * SECOND);
        bench.seen();
        neighbour(&mut bench);
        let pushed = bench.command(|engine, now| engine.write_stdin(now, upload, b"piece"));
        assert_eq!(pushed, Ok(5));
        bench.seen();
        bench.command(|engine, now| engine.handle_timeout(now));
        bench.advance(30 * SECOND - MS);
        assert_eq!(bench.seen(), [], "neighbour {number}: nothing has waited");
        bench.advance(MS);
        let error = RequestError::TimedOut(TimeoutKind::Write);
        let is_it = |it: &Seen| matches!(it, Seen::Failed(3, why, ..) if *why == error);
        assert!(bench.seen().iter().any(is_it), "neighbour {number}");
        bench.eof(0);
        bench.finish();
    }
}

// case 134
#[test]
fn the_write_limit_stands_still_while_the_request_is_paused() {
    let mut timeouts = Timeouts::NONE;
    timeouts.write = Some(30 * SECOND);
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Hang;
    let body = Body::bytes(vec![b'x'; 1_000]);
    let handle = bench.submit(request().with_body(body).with_timeouts(timeouts));
    bench.peers[0].window = 10;
    bench.accept(0);
    bench.advance(29 * SECOND);
    bench.command(|engine, now| engine.pause(now, handle));
    bench.advance(1_000 * SECOND);
    assert_eq!(bench.seen(), []);
    bench.command(|engine, now| engine.resume(now, handle));
    bench.advance(30 * SECOND - MS);
    assert_eq!(bench.seen(), []);
    bench.advance(MS);
    let (phase, delivery) = (Phase::Sending, Delivery::MaybeProcessed);
    let end = timed_out(1, TimeoutKind::Write, phase, delivery);
    assert_eq!(bench.seen(), [end]);
    bench.finish();
}

/// A configuration with every limit at its largest or smallest value.
fn extreme(time: Duration, count: usize, more: u32) -> Config {
    let mut config = config(Multiplex::On { max: more.max(1) });
    config.limits.max_connections_per_server = count.max(1);
    config.limits.max_idle_per_server = count;
    config.limits.idle_timeout = time;
    config.limits.max_lifetime = Some(time);
    config.limits.max_requests_per_connection = Some(more.max(1));
    config.limits.max_queued_requests = count;
    let all = Timeouts::NONE.with_total(time);
    config.timeouts = all;
    config.timeouts.queue = Some(time);
    config.timeouts.write = Some(time);
    config.timeouts.first_byte = Some(time);
    config.timeouts.between_bytes = Some(time);
    config.connect_timeout = time;
    config.connect_retry_timeout = time;
    config.probe_timeout = time;
    config.abort_grace = time;
    config.max_retries = u8::MAX;
    config.stale_window = time;
    config.pause_buffer.per_request = count;
    config.pause_buffer.per_connection = count;
    config.pause_buffer.per_client = count;
    config.stdin_high_water = count.max(1);
    config.unknown_length = UnknownLength::Buffer { limit: count };
    config.preempt_idle_after = Some(time);
    if time > Duration::ZERO {
        config.backoff = Backoff {
            initial: time,
            max: time,
        };
    }
    config
}

// case 136
#[test]
fn the_largest_value_of_a_limit_means_none() {
    let mut bench = Bench::new(extreme(Duration::MAX, usize::MAX, u32::MAX));
    let body = Body::reader(&b"hello"[..], None);
    bench.submit(request().with_body(body));
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, 1), b"hello");
    let pushed = bench.submit(request().with_body(Body::pushed(Some(u64::MAX))));
    let collected = bench.submit(request().with_body(Body::pushed(None)));
    for handle in [pushed, collected] {
        let taken = bench.command(|engine, now| engine.write_stdin(now, handle, b"some"));
        assert_eq!(taken, Ok(4));
    }
    let finished = bench.command(|engine, now| engine.finish_stdin(now, collected));
    assert_eq!(finished, Ok(()));
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, 3), b"some");
    bench.peers[0].window = 1 << 20;
    let endless = Body::reader(io::repeat(b'x'), Some(u64::MAX));
    let endless = bench.submit(request().with_body(endless));
    bench.advance(1_000_000 * SECOND);
    assert_eq!(bench.seen(), []);
    bench.command(|engine, now| engine.pause(now, collected));
    bench.feed(0, records().stdout(3, vec![b'x'; 200_000]));
    assert_eq!(bench.stats().bytes_buffered, 200_000);
    for handle in [pushed, endless] {
        bench.command(|engine, now| engine.abort(now, handle));
    }
    bench.command(|engine, now| engine.resume(now, collected));
    bench.feed(0, records().end(1, 0).end(3, 0).end(2, 0).end(4, 0));
    assert_eq!(bench.stats().requests, Default::default());
    bench.finish();
}

// case 136
#[test]
fn no_limit_of_zero_panics_or_spins() {
    let mut bench = Bench::new(extreme(Duration::ZERO, 0, 0));
    for _ in 0..5 {
        let _ = bench.try_submit(request());
        let _ = bench.try_submit(request().with_timeouts(Timeouts::NONE));
        bench.advance(SECOND);
    }
    let no_limit = request().with_timeouts(Timeouts::NONE);
    if bench.try_submit(no_limit).is_ok() {
        let last = bench.peers.len() - 1;
        bench.answer(last, |id| records().stdout(id, "x").end(id, 0));
        assert!(matches!(bench.seen()[..], [.., Seen::Done(..)]));
    }
    bench.advance(SECOND);
    bench.finish();
}

// case 136
#[test]
fn a_full_backlog_is_tried_again_also_without_a_connect_limit() {
    let mut config = config(Multiplex::Off);
    config.connect_timeout = Duration::MAX;
    config.timeouts = Timeouts::NONE;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::BacklogFull;
    bench.submit(request());
    bench.advance(3_600 * SECOND);
    assert_eq!(bench.seen(), []);
    bench.servers[0] = Answer::Accept;
    bench.advance(SECOND);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

// case 136
#[test]
fn a_retry_is_never_put_off_by_a_window_or_a_pause_without_end() {
    let mut bench = Bench::new(extreme(Duration::MAX, 4, 4));
    bench.submit(request());
    bench.end(0);
    bench.submit(request().with_retry(Retry::IfStale));
    bench.advance(1_000_000 * SECOND);
    bench.eof(0);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

/// A server that refuses connects, and a request that keeps trying for `connect_retry_timeout`.
fn outwaiting(retry_time: Duration) -> Bench {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = retry_time;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench
}

/// A request that was just submitted fails after exactly this time.
fn ends_after(bench: &mut Bench, retry_time: Duration, tag: u64) {
    bench.advance(retry_time - MS / 10);
    assert_eq!(bench.seen(), [], "{retry_time:?}");
    bench.advance(MS / 10);
    assert_eq!(bench.seen(), [refused(tag)], "{retry_time:?}");
}

// case 137
#[test]
fn a_retry_time_that_begins_before_the_refusal_ends_on_time() {
    for retry_time in [MS, 120 * MS, SECOND, 5 * SECOND] {
        let mut bench = outwaiting(retry_time);
        bench.submit(request());
        ends_after(&mut bench, retry_time, 1);
        bench.finish();
    }
}

// case 137
#[test]
fn the_retry_time_of_connects_with_a_server_that_is_known_to_refuse_ends_on_time() {
    for retry_time in [MS, 120 * MS, SECOND, 5 * SECOND] {
        let mut bench = outwaiting(retry_time);
        bench.submit(request());
        let aborted = bench.handles[0];
        bench.command(|engine, now| engine.abort(now, aborted));
        bench.seen();
        bench.submit(request());
        ends_after(&mut bench, retry_time, 2);
        bench.finish();
    }
}

// case 137
#[test]
fn a_retry_time_that_is_not_over_waits_for_a_server_that_is_back() {
    let mut bench = outwaiting(SECOND);
    bench.submit(request());
    bench.advance(600 * MS);
    bench.submit(request());
    bench.servers[0] = Answer::Hang;
    bench.advance(399 * MS);
    assert_eq!(bench.seen(), []);
    bench.servers[0] = Answer::Accept;
    bench.accept(bench.peers.len() - 1);
    bench.advance(5 * SECOND);
    for peer in bench.talked_to() {
        bench.end(peer);
    }
    assert_eq!(bench.seen().len(), 2);
    assert_eq!(bench.stats().counters.completed, 2);
    bench.finish();
}

/// A driver on readiness, and a sent request with one limit of a second.
fn limited(set: impl FnOnce(&mut Timeouts)) -> Bench {
    let mut bench = Bench::plain();
    bench.tells_reads = true;
    bench.submit(request());
    bench.end(0);
    bench.seen();
    let mut timeouts = Timeouts::NONE;
    set(&mut timeouts);
    bench.submit(request().with_timeouts(timeouts));
    bench
}

type Limit = (fn(&mut Timeouts), TimeoutKind);

const LIMITS: [Limit; 2] = [
    (|it| it.total = Some(SECOND), TimeoutKind::Total),
    (|it| it.first_byte = Some(SECOND), TimeoutKind::FirstByte),
];

// case 138
#[test]
fn an_answer_in_the_socket_of_a_process_that_was_stopped_is_delivered_and_not_late() {
    for (set, _) in LIMITS {
        for is_announced in [true, false] {
            let mut bench = limited(set);
            bench.tells_reads = is_announced;
            bench.arrive(0, records().stdout(2, "hi").end(2, 0));
            bench.tells_reads = true;
            bench.now += 3_600 * SECOND;
            bench.command(|engine, now| engine.handle_timeout(now));
            assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
            bench.finish();
        }
    }
}

// case 138
#[test]
fn the_first_answer_of_all_in_the_socket_of_a_process_that_was_stopped_is_not_late() {
    for is_announced in [true, false] {
        let mut bench = Bench::plain();
        bench.submit(request().with_timeouts(Timeouts::NONE.with_total(SECOND)));
        // The engine knows a driver on readiness by its first report: this driver has read once and found nothing.
        bench.tells_reads = true;
        bench.catch_up(0);
        bench.tells_reads = is_announced;
        bench.arrive(0, records().stdout(1, "hi").end(1, 0));
        bench.tells_reads = true;
        bench.now += 60 * SECOND;
        bench.command(|engine, now| engine.handle_timeout(now));
        assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
        bench.finish();
    }
}

// case 138
#[test]
fn without_an_answer_in_the_socket_the_limit_counts_as_soon_as_that_was_looked_at() {
    for (set, kind) in LIMITS {
        let mut bench = limited(set);
        bench.advance(SECOND - MS);
        assert_eq!(bench.seen(), []);
        bench.advance(MS);
        let end = timed_out(2, kind, Phase::Sent, Delivery::MaybeProcessed);
        assert_eq!(bench.seen(), [end]);
        bench.finish();
    }
}

// case 138
#[test]
fn part_of_an_answer_moves_the_limits_that_it_should_and_no_other() {
    for (set, kind) in LIMITS {
        let mut bench = limited(set);
        bench.arrive(0, records().stdout(2, "hi"));
        bench.now += 2 * SECOND;
        bench.command(|engine, now| engine.handle_timeout(now));
        let mut seen = bench.seen();
        assert_eq!(seen.remove(0), out(2, "hi"));
        let (phase, delivery) = (Phase::Receiving, Delivery::Responded);
        match kind {
            TimeoutKind::Total => assert_eq!(seen, [timed_out(2, kind, phase, delivery)]),
            _ => {
                assert_eq!(seen, []);
                bench.end(0);
            }
        }
        bench.finish();
    }
}

// case 138
#[test]
fn an_application_that_never_stops_sending_keeps_no_request_beyond_its_limit_for_more_than_128_reads()
 {
    // Part of an answer for the request itself, and for another one on its connection.
    for mut bench in [Bench::plain(), Bench::shared(4)] {
        bench.tells_reads = true;
        let limited = || request().with_timeouts(Timeouts::NONE.with_total(SECOND));
        let tag = if bench.engine.config().multiplex == Multiplex::Off {
            1
        } else {
            bench.submit(request());
            2
        };
        let handle = bench.submit(limited());
        bench.catch_up(0);
        bench.now += SECOND;
        bench.engine.handle_timeout(bench.now);
        for reads in 0..128 {
            assert!(
                bench.engine.poll_pending(&mut []).is_none(),
                "{reads} reads"
            );
            full_read(&mut bench, records().stdout(1, "x"));
        }
        bench.run();
        let (phase, delivery) = match tag {
            1 => (Phase::Receiving, Delivery::Responded),
            _ => (Phase::Sent, Delivery::MaybeProcessed),
        };
        let end = timed_out(tag, TimeoutKind::Total, phase, delivery);
        assert_eq!(bench.seen(), [end]);
        bench.command(|engine, now| engine.abort(now, handle));
        if tag == 2 {
            bench.feed(0, records().end(1, 0).end(2, 0));
        }
        bench.finish();
    }
}

/// The driver reads as much as its buffer holds, and more may follow. Checks that the events contain no end.
fn full_read(bench: &mut Bench, records: Records) {
    let connection = bench.peers[0].handle;
    bench.engine.handle_readable(bench.now, connection);
    let mut input = records.as_ref();
    let now = bench.now;
    while let Some(event) = bench.engine.poll_received(now, connection, &mut input) {
        assert!(matches!(event.kind, EventKind::Stdout(_)), "{event:?}");
    }
}

// case 138
#[test]
fn an_answer_behind_those_of_others_is_not_late_and_without_one_the_empty_socket_counts_at_once() {
    for is_answered in [true, false] {
        let mut bench = Bench::shared(4);
        bench.tells_reads = true;
        bench.submit(request());
        bench.submit(request().with_timeouts(Timeouts::NONE.with_total(SECOND)));
        bench.catch_up(0);
        bench.now += SECOND;
        bench.engine.handle_timeout(bench.now);
        for _ in 0..127 {
            full_read(&mut bench, records().stdout(1, "x"));
        }
        if is_answered {
            bench.feed(0, records().end(2, 0));
            assert_eq!(bench.seen(), [done(2)]);
            bench.feed(0, records().end(1, 0));
        } else {
            bench.catch_up(0);
            let (phase, delivery) = (Phase::Sent, Delivery::MaybeProcessed);
            let end = timed_out(2, TimeoutKind::Total, phase, delivery);
            assert_eq!(bench.seen(), [end]);
            bench.feed(0, records().end(2, 0).end(1, 0));
        }
        bench.finish();
    }
}

// case 138
#[test]
fn a_limit_that_waits_for_a_read_waits_no_longer_when_nothing_is_read() {
    let mut bench = limited(|it| it.total = Some(SECOND));
    bench.now += SECOND;
    bench.engine.handle_timeout(bench.now);
    let paused = bench.handles[1];
    bench.engine.pause(bench.now, paused);
    bench.command(|engine, now| engine.handle_timeout(now));
    let (phase, delivery) = (Phase::Sent, Delivery::MaybeProcessed);
    let end = timed_out(2, TimeoutKind::Total, phase, delivery);
    assert_eq!(bench.seen(), [end]);
    bench.finish();
}

// case 138
#[test]
fn a_driver_that_says_nothing_of_its_reads_is_held_to_the_instant() {
    let mut bench = Bench::plain();
    bench.submit(request().with_timeouts(Timeouts::NONE.with_total(SECOND)));
    bench.advance(SECOND);
    let (phase, delivery) = (Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(
        bench.seen(),
        [timed_out(1, TimeoutKind::Total, phase, delivery)]
    );
    bench.finish();
}

// case 138
#[test]
fn the_answer_to_a_question_in_the_socket_is_not_late_either() {
    let mut bench = Bench::plain();
    bench.tells_reads = true;
    bench.get_values(0);
    bench.arrive(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
    bench.now += 60 * SECOND;
    bench.command(|engine, now| engine.handle_timeout(now));
    let seen = bench.seen();
    assert!(
        matches!(seen[..], [Seen::Values(1, _), Seen::Done(1, 0)]),
        "{seen:?}"
    );
    bench.finish();
}
