//! Back-pressure: pause and resume, alone and on a shared connection.

use std::time::Duration;

use mio_fcgi::{
    Body, CloseReason, Config, ConnectionLostReason, Delivery, Multiplex, OverflowPolicy, Phase,
    RequestError, RequestHandle, TimeoutKind, Timeouts,
};

use crate::harness::Bench;
use crate::script::{Seen, config, done, err, failed, out, records, request};

const SECOND: Duration = Duration::from_secs(1);

fn pause(bench: &mut Bench, handle: RequestHandle) {
    bench.command(|engine, now| engine.pause(now, handle));
}

fn resume(bench: &mut Bench, handle: RequestHandle) {
    bench.command(|engine, now| engine.resume(now, handle));
}

fn wants_read(bench: &Bench, peer: usize) -> bool {
    bench.engine.wants_read(bench.peers[peer].handle)
}

/// A bench with shared connections and small budgets; `change` sets what a test is about.
fn sharing(change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 1;
    config.pause_buffer.per_request = 100;
    config.pause_buffer.per_connection = 1_000;
    config.pause_buffer.per_client = 10_000;
    change(&mut config);
    Bench::new(config)
}

#[test]
fn alone_on_its_connection_a_paused_request_is_not_read() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request());
    bench.feed(0, records().stdout(1, "one"));
    pause(&mut bench, handle);
    assert!(!wants_read(&bench, 0));
    bench.feed(0, records().stdout(1, "two").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "one")]);
    assert_eq!(bench.stats().bytes_buffered, 0);
    // What is in the socket already is not announced again; `Action::Read` asks for it.
    resume(&mut bench, handle);
    assert_eq!(bench.seen(), [out(1, "two"), done(1)]);
    bench.finish();
}

#[test]
fn a_request_paused_while_it_waits_is_not_read_once_it_is_sent() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    let handle = bench.submit(request());
    pause(&mut bench, handle);
    bench.end(0);
    assert!(!wants_read(&bench, 0));
    bench.answer(0, |id| records().stdout(id, "hi").end(id, 0));
    assert_eq!(bench.seen(), [done(1)]);
    resume(&mut bench, handle);
    assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
    bench.finish();
}

// case 87
#[test]
fn shared_the_output_of_a_paused_request_is_held_and_the_others_flow() {
    let mut bench = sharing(|_| {});
    let slow = bench.submit(request());
    bench.submit(request());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, "a").stdout(2, "b").stderr(1, "!"));
    bench.feed(
        0,
        records()
            .stdout(1, "c")
            .stdout_end(1)
            .end(1, 7)
            .stdout(2, "d"),
    );
    assert_eq!(bench.seen(), [out(2, "bd")]);
    assert_eq!(bench.stats().bytes_buffered, 3);
    assert_eq!(bench.stats().requests.draining, 1);
    resume(&mut bench, slow);
    let held = [
        out(1, "a"),
        err(1, "!"),
        out(1, "c"),
        Seen::StdoutEnd(1),
        Seen::Done(1, 7),
    ];
    assert_eq!(bench.seen(), held, "in order, the end behind the output");
    bench.feed(0, records().end(2, 0));
    bench.finish();
}

#[test]
fn what_comes_while_held_output_is_taken_stands_behind_it() {
    let mut bench = sharing(|config| config.pause_buffer.per_request = 100_000);
    let slow = bench.submit(request());
    bench.submit(request());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, vec![b'x'; 9_000]));
    // The bench takes 4,096 bytes at a time: stop after the first.
    let mut scratch = [0; 4_096];
    let now = bench.now;
    bench.engine.resume(now, slow);
    assert!(bench.engine.poll_pending(&mut scratch).is_some());
    bench.feed(0, records().stdout(1, "end").end(1, 0));
    let expected = "x".repeat(9_000 - 4_096) + "end";
    assert_eq!(bench.seen(), [out(1, &expected), done(1)]);
    bench.feed(0, records().end(2, 0));
    bench.finish();
}

#[test]
fn paused_again_while_held_output_is_taken_the_rest_waits() {
    let mut bench = sharing(|config| config.pause_buffer.per_request = 100_000);
    let slow = bench.submit(request());
    bench.submit(request());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, vec![b'x'; 9_000]).end(1, 0));
    let mut scratch = [0; 4_096];
    let now = bench.now;
    bench.engine.resume(now, slow);
    assert!(bench.engine.poll_pending(&mut scratch).is_some());
    pause(&mut bench, slow);
    assert_eq!(bench.seen(), []);
    resume(&mut bench, slow);
    assert_eq!(bench.seen(), [out(1, &"x".repeat(9_000 - 4_096)), done(1)]);
    bench.feed(0, records().end(2, 0));
    bench.finish();
}

// case 87
#[test]
fn at_the_requests_budget_the_connection_is_not_read_where_that_was_chosen() {
    let mut bench =
        sharing(|config| config.pause_buffer.overflow = OverflowPolicy::PauseConnection);
    let slow = bench.submit(request());
    bench.submit(request());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, [b'x'; 99]));
    assert!(wants_read(&bench, 0));
    bench.feed(0, records().stdout(1, "x"));
    assert!(!wants_read(&bench, 0), "100 bytes");
    bench.feed(0, records().stdout(2, "behind").end(2, 0));
    assert_eq!(bench.seen(), []);
    resume(&mut bench, slow);
    let all = bench.seen();
    assert!(
        all.contains(&out(1, &"x".repeat(100))) && all.contains(&done(2)),
        "{all:?}"
    );
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

// case 87
#[test]
fn at_the_requests_budget_the_slow_request_fails_where_that_was_chosen() {
    let mut bench = sharing(|config| config.pause_buffer.overflow = OverflowPolicy::FailRequest);
    let slow = bench.submit(request());
    bench.submit(request());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, [b'x'; 100]).stdout(2, "a"));
    assert_eq!(bench.seen(), [out(2, "a")]);
    bench.feed(0, records().stdout(1, "x").stdout(2, "b"));
    let error = RequestError::PauseBufferFull { buffered: 101 };
    let mut seen = bench.seen();
    seen.sort_by_key(|it| matches!(it, Seen::Failed(..)));
    let stalled = failed(1, error, Phase::Receiving, Delivery::Responded);
    assert_eq!(seen, [out(2, "b"), stalled]);
    assert_eq!(bench.stats().bytes_buffered, 0);
    bench.feed(
        0,
        records()
            .stdout(1, [b'x'; 100])
            .end(1, 0)
            .stdout(2, "c")
            .end(2, 0),
    );
    assert_eq!(bench.seen(), [out(2, "c"), done(2)]);
    bench.finish();
}

#[test]
fn the_connections_budget_counts_all_its_paused_requests() {
    let mut bench = sharing(|config| config.pause_buffer.per_connection = 150);
    let handles: Vec<_> = (0..3).map(|_| bench.submit(request())).collect();
    pause(&mut bench, handles[0]);
    pause(&mut bench, handles[1]);
    bench.feed(0, records().stdout(1, [b'x'; 80]).stdout(2, [b'y'; 69]));
    assert!(wants_read(&bench, 0));
    bench.feed(0, records().stdout(2, "y"));
    assert!(!wants_read(&bench, 0));
    resume(&mut bench, handles[0]);
    assert!(wants_read(&bench, 0), "there is room again");
    resume(&mut bench, handles[1]);
    bench.feed(0, records().end(1, 0).end(2, 0).end(3, 0));
    bench.finish();
}

#[test]
fn the_clients_budget_counts_all_its_connections() {
    let mut bench = sharing(|config| {
        config.limits.max_connections_per_server = 2;
        config.multiplex = Multiplex::On { max: 2 };
        config.pause_buffer.per_client = 100;
    });
    let handles: Vec<_> = (0..4).map(|_| bench.submit(request())).collect();
    pause(&mut bench, handles[0]);
    pause(&mut bench, handles[2]);
    bench.feed(0, records().stdout(1, [b'x'; 60]));
    bench.feed(1, records().stdout(1, [b'x'; 60]));
    assert!(!wants_read(&bench, 1));
    resume(&mut bench, handles[0]);
    assert!(
        wants_read(&bench, 1),
        "what was taken on one makes room for the other"
    );
    resume(&mut bench, handles[2]);
    for peer in 0..2 {
        bench.feed(peer, records().end(1, 0).end(2, 0));
    }
    assert_eq!(bench.stats().bytes_buffered, 0);
    bench.finish();
}

#[test]
fn a_large_read_goes_over_a_budget_by_no_more_than_itself() {
    let mut bench =
        sharing(|config| config.pause_buffer.overflow = OverflowPolicy::PauseConnection);
    bench.read_len = 500;
    let slow = bench.submit(request());
    bench.submit(request());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, vec![b'x'; 60_000]));
    let held = bench.stats().bytes_buffered;
    assert!((100..100 + 500).contains(&held), "{held}");
    resume(&mut bench, slow);
    assert_eq!(bench.seen(), [out(1, &"x".repeat(60_000))]);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn new_requests_go_to_connections_that_no_paused_request_obstructs() {
    let mut bench = sharing(|config| config.limits.max_connections_per_server = 2);
    let slow = bench.submit(request());
    pause(&mut bench, slow);
    bench.submit(request());
    assert_eq!(
        bench.peers.len(),
        2,
        "a new connection rather than the obstructed one"
    );
    for _ in 0..3 {
        bench.submit(request());
    }
    assert_eq!(bench.sent(0).len(), 4);
    bench.submit(request());
    assert_eq!(
        bench.sent(0).len(),
        4,
        "obstructed, but there is nothing else"
    );
    bench.feed(1, records().end(1, 0).end(2, 0).end(3, 0).end(4, 0));
    resume(&mut bench, slow);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn a_second_request_on_its_connection_lets_a_paused_one_be_read_and_held() {
    let mut bench = sharing(|_| {});
    let slow = bench.submit(request());
    pause(&mut bench, slow);
    assert!(!wants_read(&bench, 0));
    bench.feed(0, records().stdout(1, "a"));
    bench.submit(request());
    assert!(wants_read(&bench, 0));
    assert_eq!(
        bench.stats().bytes_buffered,
        1,
        "what stood in the socket was read"
    );
    bench.feed(0, records().stdout(2, "b").end(2, 0));
    assert_eq!(bench.seen(), [out(2, "b"), done(2)]);
    assert!(!wants_read(&bench, 0), "alone again");
    resume(&mut bench, slow);
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.seen(), [out(1, "a"), done(1)]);
    bench.finish();
}

#[test]
fn limits_for_output_stand_still_while_a_request_is_paused_and_the_total_does_not() {
    let mut bench = Bench::plain();
    let mut timeouts = Timeouts::NONE;
    timeouts.first_byte = Some(SECOND);
    timeouts.between_bytes = Some(SECOND);
    timeouts.total = Some(100 * SECOND);
    let handle = bench.submit(request().with_timeouts(timeouts));
    bench.advance(SECOND / 2);
    pause(&mut bench, handle);
    bench.advance(10 * SECOND);
    resume(&mut bench, handle);
    bench.advance(SECOND / 2);
    assert_eq!(bench.seen(), []);
    bench.feed(0, records().stdout(1, "x"));
    pause(&mut bench, handle);
    bench.advance(10 * SECOND);
    resume(&mut bench, handle);
    bench.advance(SECOND - Duration::from_millis(1));
    assert_eq!(bench.seen(), [out(1, "x")]);
    pause(&mut bench, handle);
    bench.advance(100 * SECOND);
    let total = RequestError::TimedOut(TimeoutKind::Total);
    assert_eq!(
        bench.seen(),
        [failed(1, total, Phase::Receiving, Delivery::Responded)]
    );
    bench.finish();
}

#[test]
fn the_silence_of_a_resumed_request_counts_from_the_resume() {
    let mut bench = Bench::plain();
    let mut timeouts = Timeouts::NONE;
    timeouts.between_bytes = Some(SECOND);
    let handle = bench.submit(request().with_timeouts(timeouts));
    bench.feed(0, records().stdout(1, "x"));
    pause(&mut bench, handle);
    bench.advance(10 * SECOND);
    resume(&mut bench, handle);
    bench.advance(SECOND);
    let silence = RequestError::TimedOut(TimeoutKind::BetweenBytes);
    let end = failed(1, silence, Phase::Receiving, Delivery::Responded);
    assert_eq!(bench.seen(), [out(1, "x"), end]);
    bench.finish();
}

#[test]
fn the_silence_of_a_resumed_request_counts_from_the_resume_on_a_shared_connection_too() {
    let mut bench = sharing(|_| {});
    let mut timeouts = Timeouts::NONE;
    timeouts.between_bytes = Some(SECOND);
    let slow = bench.submit(request().with_timeouts(timeouts));
    bench.submit(request().with_timeouts(Timeouts::NONE));
    bench.feed(0, records().stdout(1, "x"));
    pause(&mut bench, slow);
    bench.advance(10 * SECOND);
    resume(&mut bench, slow);
    bench.advance(SECOND - Duration::from_millis(1));
    assert_eq!(bench.seen(), [out(1, "x")]);
    bench.advance(Duration::from_millis(1));
    let silence = RequestError::TimedOut(TimeoutKind::BetweenBytes);
    let end = failed(1, silence, Phase::Receiving, Delivery::Responded);
    assert_eq!(bench.seen(), [end]);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn an_abort_while_output_is_held_drops_it() {
    for ended in [false, true] {
        let mut bench = sharing(|_| {});
        let slow = bench.submit(request());
        bench.submit(request());
        pause(&mut bench, slow);
        bench.feed(0, records().stdout(1, "held"));
        if ended {
            bench.feed(0, records().end(1, 0));
        }
        bench.command(|engine, now| engine.abort(now, slow));
        let aborted = failed(
            1,
            RequestError::Aborted,
            Phase::Receiving,
            Delivery::Responded,
        );
        assert_eq!(bench.seen(), [aborted]);
        assert_eq!(bench.stats().bytes_buffered, 0);
        resume(&mut bench, slow);
        assert_eq!(bench.seen(), []);
        bench.feed(0, records().end(2, 0));
        if !ended {
            bench.feed(0, records().end(1, 0));
        }
        bench.finish();
    }
}

#[test]
fn a_connection_lost_while_output_is_held_ends_the_request_behind_it() {
    let mut bench = sharing(|_| {});
    let slow = bench.submit(request());
    bench.submit(request());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, "held"));
    bench.reset(0);
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Io(
        std::io::ErrorKind::ConnectionReset,
    ));
    let other = failed(2, lost.clone(), Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [other]);
    assert_eq!(bench.stats().bytes_buffered, 4);
    resume(&mut bench, slow);
    let end = failed(1, lost, Phase::Receiving, Delivery::Responded);
    assert_eq!(bench.seen(), [out(1, "held"), end]);
    bench.finish();
}

#[test]
fn a_neighbours_silence_does_not_count_while_the_connection_is_not_read() {
    let mut bench =
        sharing(|config| config.pause_buffer.overflow = OverflowPolicy::PauseConnection);
    let slow = bench.submit(request().with_timeouts(Timeouts::NONE));
    let mut timeouts = Timeouts::NONE;
    timeouts.first_byte = Some(SECOND);
    bench.submit(request().with_timeouts(timeouts));
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, [b'x'; 100]));
    bench.advance(10 * SECOND);
    assert_eq!(bench.seen(), []);
    resume(&mut bench, slow);
    assert_eq!(bench.seen(), [out(1, &"x".repeat(100))]);
    bench.advance(SECOND - Duration::from_millis(1));
    assert_eq!(bench.seen(), [], "it counts from when it was read again");
    bench.advance(Duration::from_millis(1));
    let error = RequestError::TimedOut(TimeoutKind::FirstByte);
    assert_eq!(
        bench.seen(),
        [failed(2, error, Phase::Sent, Delivery::MaybeProcessed)]
    );
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn pausing_twice_is_pausing_once() {
    let mut bench = sharing(|_| {});
    let slow = bench.submit(request());
    bench.submit(request());
    for _ in 0..2 {
        pause(&mut bench, slow);
    }
    bench.feed(0, records().stdout(1, "a"));
    for _ in 0..2 {
        resume(&mut bench, slow);
    }
    assert_eq!(bench.seen(), [out(1, "a")]);
    bench.feed(0, records().stdout(1, "b").end(1, 0).end(2, 0));
    assert_eq!(bench.seen(), [out(1, "b"), done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_paused_body_goes_on_being_sent() {
    let mut bench = Bench::plain();
    let body = Body::bytes(vec![b'x'; 1_000_000]);
    bench.submit(request());
    bench.end(0);
    bench.peers[0].window = 100;
    let handle = bench.submit(request().with_body(body));
    pause(&mut bench, handle);
    bench.open_window(0, usize::MAX);
    assert!(bench.peers[0].sent.len() > 1_000_000);
    resume(&mut bench, handle);
    bench.end(0);
    bench.finish();
}

#[test]
fn a_connection_that_ended_is_noticed_when_its_paused_request_is_resumed() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request());
    bench.feed(0, records().stdout(1, "a"));
    pause(&mut bench, handle);
    bench.feed(0, records().stdout(1, "b"));
    bench.eof(0);
    assert_eq!(bench.peers[0].closed, None::<CloseReason>);
    resume(&mut bench, handle);
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    let end = failed(1, lost, Phase::Receiving, Delivery::Responded);
    assert_eq!(bench.seen(), [out(1, "ab"), end]);
    bench.finish();
}
