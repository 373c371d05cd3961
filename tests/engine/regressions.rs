//! Mistakes that were made once: late records and the next request, preemption, the queue.

use std::time::Duration;

use mio_fcgi::{Body, CloseReason, Multiplex, SubmitError, UnknownLength};

use crate::harness::Bench;
use crate::script::{Seen, Sent, config, done, out, records, request};

/// Two requests and one plain connection: the second is queued.
fn one_connection() -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench
}

/// The queued request was sent as soon as `FCGI_END_REQUEST` was decoded, and got what followed it in the same read.
#[test]
fn late_output_in_the_read_of_the_end_does_not_reach_the_next_request() {
    let mut bench = one_connection();
    bench.feed(0, records().stdout(1, "a").end(1, 0).stdout(1, "late"));
    assert_eq!(bench.seen(), [out(1, "a"), done(1)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
    bench.feed(1, records().stdout(1, "b").end(1, 0));
    assert_eq!(bench.seen(), [out(2, "b"), done(2)]);
    bench.finish();
}

#[test]
fn a_second_end_in_the_read_of_the_end_does_not_end_the_next_request() {
    let mut bench = one_connection();
    bench.feed(0, records().end(1, 0).end(1, 9));
    assert_eq!(bench.seen(), [done(1)]);
    bench.feed(1, records().stdout(1, "b").end(1, 0));
    assert_eq!(bench.seen(), [out(2, "b"), done(2)]);
    bench.finish();
}

/// On a shared connection the ID was handed out again within the read.
#[test]
fn an_id_is_not_used_again_before_the_read_with_its_end_is_used_up() {
    let mut bench = Bench::shared(2);
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.sent(0);
    bench.feed(0, records().end(1, 0).stdout(1, "late").stdout(2, "b"));
    assert_eq!(bench.seen(), [done(1), out(2, "b")]);
    assert_eq!(bench.sent(0), Sent::whole(3), "not id 1");
    bench.feed(0, records().end(2, 0).end(3, 0));
    assert_eq!(bench.seen(), [done(2), done(3)]);
    bench.finish();
}

/// Bytes that are not yet a record left the connection among the idle ones.
#[test]
fn a_piece_of_a_header_on_an_idle_connection_closes_it() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.feed(0, [1, 6, 0]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::UnsolicitedData));
    bench.submit(request());
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_piece_of_a_header_on_an_idle_shared_connection_keeps_it_from_being_used_before_the_rest() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.feed(0, records().end(1, 0));
    let late = records().stdout(1, "late");
    let (piece, rest) = late.as_ref().split_at(5);
    bench.feed(0, piece);
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2);
    bench.feed(0, rest);
    bench.feed(1, records().stdout(1, "b").end(1, 0));
    assert_eq!(bench.seen(), [done(1), out(2, "b"), done(2)]);
    bench.finish();
}

/// A connection was preempted only once for a waiting one. If the freed process turned to another connection, which
/// then stayed idle, the waiting connection had to wait for `idle_timeout`.
#[test]
fn idle_connections_are_preempted_for_one_that_waits_until_it_is_answered() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 3;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.advance(Duration::from_millis(30));
    bench.feed(0, records().stdout(1, "a").end(1, 0));
    bench.advance(Duration::from_millis(20));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Preempted));
    // The only process turns to the third, not to the second.
    bench.feed(2, records().stdout(1, "c").end(1, 0));
    bench.advance(Duration::from_millis(100));
    assert_eq!(bench.peers[2].closed, Some(CloseReason::Preempted));
    bench.feed(1, records().stdout(1, "b").end(1, 0));
    assert_eq!(bench.peers[1].closed, None);
    bench.seen();
    bench.finish();
}

/// Requests whose body is being buffered went into the queue without a look at its length.
#[test]
fn bodies_that_are_collected_count_towards_the_length_of_the_queue() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 5 };
    config.limits.max_queued_requests = 2;
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    let collected = || request().with_body(Body::pushed(None));
    let first = bench.submit(collected());
    let second = bench.submit(collected());
    let full = Err(SubmitError::QueueFull { limit: 2 });
    assert_eq!(bench.try_submit(collected()), full);
    assert_eq!(bench.try_submit(request()), full);
    // An abort frees a place, and so does everything else that takes a request out of the queue.
    bench.command(|engine, now| engine.abort(now, first));
    let third = bench.submit(collected());
    for handle in [second, third] {
        assert_eq!(
            bench.command(|it, now| it.finish_stdin(now, handle)),
            Ok(())
        );
    }
    assert_eq!(bench.try_submit(collected()), full);
    bench.end(0);
    bench.submit(request());
    for _ in 0..3 {
        bench.end(0);
    }
    let aborted = bench.seen().remove(0);
    assert!(matches!(aborted, Seen::Failed(2, ..)));
    bench.finish();
}
