//! The limit on pauses: when it counts, what it ends, and whom that serves.

use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{
    Action, Body, CloseReason, Delivery, Multiplex, OverflowPolicy, Phase, Request, RequestError,
    RequestHandle, Retry, TimeoutKind, Timeouts, UnknownLength,
};

use crate::harness::Bench;
use crate::script::{Seen, Sent, config, done, failed, out, records, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A request that may be paused for a second, without any other limit.
fn limited() -> Request {
    request().with_timeouts(Timeouts::NONE.with_paused(SECOND))
}

fn unlimited() -> Request {
    request().with_timeouts(Timeouts::NONE)
}

fn given_up(tag: u64, phase: Phase, delivery: Delivery) -> Seen {
    failed(
        tag,
        RequestError::TimedOut(TimeoutKind::Paused),
        phase,
        delivery,
    )
}

fn pause(bench: &mut Bench, handle: RequestHandle) {
    bench.command(|engine, now| engine.pause(now, handle));
}

fn resume(bench: &mut Bench, handle: RequestHandle) {
    bench.command(|engine, now| engine.resume(now, handle));
}

/// Checks that nothing happens for `time` less a millisecond, that a timer is armed for its end, and what comes then.
#[track_caller]
fn due_in(bench: &mut Bench, time: Duration, expected: &[Seen]) {
    assert_eq!(bench.seen(), []);
    bench.advance(time - MS);
    assert_eq!(bench.seen(), [], "not early");
    assert_eq!(bench.engine.timeout(bench.now), Some(MS), "armed");
    bench.advance(MS);
    assert_eq!(bench.seen(), expected, "not late");
}

#[test]
fn alone_a_request_paused_for_too_long_fails_and_its_connection_is_closed() {
    let mut bench = Bench::plain();
    let slow = bench.submit(limited());
    bench.feed(0, records().stdout(1, "one"));
    bench.advance(5 * SECOND);
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, "two").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "one")]);
    let end = given_up(1, Phase::Receiving, Delivery::Responded);
    due_in(&mut bench, SECOND, &[end]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Aborted));
    resume(&mut bench, slow);
    assert_eq!(bench.seen(), []);
    bench.finish();
}

#[test]
fn sharing_a_request_paused_for_too_long_is_aborted_and_the_others_go_on() {
    let mut bench = Bench::shared(4);
    let slow = bench.submit(limited());
    bench.submit(limited());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, "held"));
    bench.sent(0);
    let end = given_up(1, Phase::Receiving, Delivery::Responded);
    due_in(&mut bench, SECOND, &[end]);
    assert_eq!(bench.sent(0), [Sent::Abort(1)]);
    assert_eq!(bench.stats().bytes_buffered, 0);
    bench.advance(4 * SECOND);
    bench.feed(0, records().stdout(1, "late").end(1, 0));
    bench.feed(0, records().stdout(2, "hi").end(2, 0));
    assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
    bench.finish();
}

#[test]
fn each_pause_counts_by_itself() {
    for mut bench in [Bench::plain(), Bench::shared(2)] {
        let handle = bench.submit(limited());
        for _ in 0..5 {
            pause(&mut bench, handle);
            bench.advance(900 * MS);
            // A second call is no new pause.
            pause(&mut bench, handle);
            bench.advance(99 * MS);
            resume(&mut bench, handle);
            bench.advance(5 * SECOND);
        }
        assert_eq!(bench.seen(), []);
        pause(&mut bench, handle);
        let end = given_up(1, Phase::Sent, Delivery::MaybeProcessed);
        due_in(&mut bench, SECOND, &[end]);
        bench.finish();
    }
}

#[test]
fn the_limit_does_not_count_in_the_queue() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(unlimited());
    let slow = bench.submit(limited());
    pause(&mut bench, slow);
    bench.advance(5 * SECOND);
    assert_eq!(bench.seen(), []);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    let end = given_up(2, Phase::Sent, Delivery::MaybeProcessed);
    due_in(&mut bench, SECOND, &[end]);
    bench.finish();
}

#[test]
fn the_limit_does_not_count_while_a_body_is_collected() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 100 };
    let mut bench = Bench::new(config);
    let slow = bench.submit(limited().with_body(Body::pushed(None)));
    pause(&mut bench, slow);
    bench.advance(5 * SECOND);
    let finished = bench.command(|engine, now| engine.finish_stdin(now, slow));
    assert_eq!(finished, Ok(()));
    let end = given_up(1, Phase::Sent, Delivery::MaybeProcessed);
    due_in(&mut bench, SECOND, &[end]);
    bench.finish();
}

/// An application may answer before it has the body.
#[test]
fn the_limit_counts_while_the_request_is_being_sent() {
    let mut bench = Bench::plain();
    let slow = bench.submit(limited().with_body(Body::pushed(Some(100))));
    pause(&mut bench, slow);
    let end = given_up(1, Phase::Sending, Delivery::MaybeProcessed);
    due_in(&mut bench, SECOND, &[end]);
    bench.finish();
}

#[test]
fn the_limit_begins_anew_when_the_request_is_sent_again() {
    let mut bench = Bench::shared(2);
    let slow = bench.submit(limited().with_retry(Retry::IfNotProcessed));
    bench.submit(unlimited());
    pause(&mut bench, slow);
    bench.advance(900 * MS);
    bench.feed(0, records().end_as(1, 0, ProtocolStatus::Overloaded));
    assert_eq!(bench.stats().requests.queued, 1);
    while bench.stats().requests.queued > 0 {
        assert!(bench.advance_to_timeout(), "the back-off ends");
    }
    let end = given_up(1, Phase::Sent, Delivery::MaybeProcessed);
    due_in(&mut bench, SECOND, &[end]);
    bench.feed(0, records().end(2, 0).end(3, 0));
    bench.finish();
}

/// It would otherwise hold the memory of its output for as long as the embedder likes.
#[test]
fn a_request_whose_end_waits_behind_its_output_fails_in_its_place() {
    let mut bench = Bench::shared(2);
    let slow = bench.submit(limited());
    bench.submit(unlimited());
    pause(&mut bench, slow);
    bench.advance(SECOND / 2);
    bench.feed(0, records().stdout(1, "whole").stdout_end(1).end(1, 0));
    assert_eq!(bench.stats().requests.draining, 1);
    let end = given_up(1, Phase::Receiving, Delivery::Responded);
    due_in(&mut bench, SECOND / 2, &[end]);
    assert_eq!(bench.stats().bytes_buffered, 0);
    resume(&mut bench, slow);
    bench.feed(0, records().end(2, 0));
    assert_eq!(bench.seen(), [done(2)]);
    assert_eq!(bench.peers[0].closed, None);
    bench.finish();
}

#[test]
fn so_does_one_whose_connection_was_lost() {
    let mut bench = Bench::shared(2);
    let slow = bench.submit(limited());
    bench.submit(unlimited());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, "part").end(2, 0));
    bench.eof(0);
    assert_eq!(bench.seen(), [done(2)]);
    let end = given_up(1, Phase::Receiving, Delivery::Responded);
    due_in(&mut bench, SECOND, &[end]);
    bench.finish();
}

#[test]
fn what_is_resumed_in_time_is_delivered_and_may_be_paused_again() {
    let mut bench = Bench::shared(2);
    let slow = bench.submit(limited());
    bench.submit(unlimited());
    for piece in ["a", "b"] {
        pause(&mut bench, slow);
        bench.feed(0, records().stdout(1, piece));
        bench.advance(SECOND - MS);
        resume(&mut bench, slow);
        assert_eq!(bench.seen(), [out(1, piece)]);
    }
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, "x".repeat(9_000)).end(1, 0));
    bench.advance(SECOND - MS);
    // The bench takes 4,096 bytes at a time: stop after the first.
    let now = bench.now;
    bench.engine.resume(now, slow);
    assert!(bench.engine.poll_pending(&mut [0; 4_096]).is_some());
    pause(&mut bench, slow);
    let end = given_up(1, Phase::Receiving, Delivery::Responded);
    due_in(&mut bench, SECOND, &[end]);
    bench.feed(0, records().end(2, 0));
    bench.finish();
}

#[test]
fn a_limit_of_zero_is_due_at_the_next_tick() {
    for mut bench in [Bench::plain(), Bench::shared(2)] {
        let timeouts = Timeouts::NONE.with_paused(Duration::ZERO);
        let handle = bench.submit(request().with_timeouts(timeouts));
        bench.advance(5 * SECOND);
        bench.engine.pause(bench.now, handle);
        assert_eq!(bench.engine.timeout(bench.now), Some(Duration::ZERO));
        // A pause that is over by then has not been too long.
        bench.engine.resume(bench.now, handle);
        bench.command(|engine, now| engine.handle_timeout(now));
        assert_eq!(bench.seen(), []);
        pause(&mut bench, handle);
        assert_eq!(bench.seen(), []);
        bench.command(|engine, now| engine.handle_timeout(now));
        let end = given_up(1, Phase::Sent, Delivery::MaybeProcessed);
        assert_eq!(bench.seen(), [end]);
        bench.finish();
    }
}

#[test]
fn without_a_limit_or_with_the_longest_a_request_may_stay_paused() {
    let century = Duration::from_secs(100 * 365 * 86_400);
    for paused in [None, Some(Duration::MAX)] {
        let mut bench = Bench::plain();
        let timeouts = Timeouts::NONE.with_paused(paused);
        let handle = bench.submit(request().with_timeouts(timeouts));
        bench.feed(0, records().stdout(1, "a"));
        pause(&mut bench, handle);
        bench.advance(5 * SECOND);
        assert_eq!(bench.engine.timeout(bench.now), None);
        bench.advance(century);
        resume(&mut bench, handle);
        bench.end(0);
        assert_eq!(bench.seen(), [out(1, "a"), done(1)]);
        bench.finish();
    }
    assert_eq!(Timeouts::default().paused, None);
}

/// No byte in the socket could end the pause.
#[test]
fn the_limit_does_not_wait_until_the_socket_is_read() {
    let mut bench = Bench::shared(2);
    bench.tells_reads = true;
    let slow = bench.submit(limited());
    bench.submit(unlimited());
    pause(&mut bench, slow);
    let now = bench.now + SECOND;
    bench.engine.handle_timeout(now);
    bench.now = now;
    assert_eq!(bench.stats().counters.failed, 1);
    let actions = std::iter::from_fn(|| bench.engine.poll_action());
    let read = |it: &Action| matches!(it, Action::Read { .. });
    assert_eq!(actions.filter(read).count(), 0);
    bench.feed(0, records().end(1, 0).end(2, 0));
    let end = given_up(1, Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [done(2), end]);
    bench.finish();
}

#[test]
fn a_request_that_was_given_up_or_aborted_has_one_end() {
    for aborts in [true, false] {
        let mut bench = Bench::shared(2);
        let slow = bench.submit(limited());
        bench.submit(unlimited());
        pause(&mut bench, slow);
        bench.feed(0, records().stdout(1, "held"));
        if aborts {
            bench.command(|engine, now| engine.abort(now, slow));
        }
        bench.advance(SECOND);
        pause(&mut bench, slow);
        bench.advance(SECOND);
        assert_eq!(bench.seen().len(), 1);
        bench.feed(0, records().end(1, 0).end(2, 0));
        assert_eq!(bench.seen(), [done(2)]);
        bench.finish();
    }
}

#[test]
fn of_two_limits_the_one_that_is_due_first_is_the_error() {
    for (total, kind) in [
        (SECOND - MS, TimeoutKind::Total),
        (SECOND, TimeoutKind::Paused),
    ] {
        let mut bench = Bench::plain();
        let timeouts = Timeouts::NONE.with_paused(SECOND).with_total(total);
        let slow = bench.submit(request().with_timeouts(timeouts));
        pause(&mut bench, slow);
        bench.advance(2 * SECOND);
        let error = RequestError::TimedOut(kind);
        let end = failed(1, error, Phase::Sent, Delivery::MaybeProcessed);
        assert_eq!(bench.seen(), [end]);
        bench.finish();
    }
}

/// The bytes of its neighbours do not pass before its buffer is emptied.
#[test]
fn a_connection_blocked_by_a_paused_request_is_read_again_once_that_is_given_up() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 1;
    config.pause_buffer.per_request = 100;
    config.pause_buffer.overflow = OverflowPolicy::PauseConnection;
    let mut bench = Bench::new(config);
    let slow = bench.submit(limited());
    bench.submit(unlimited());
    pause(&mut bench, slow);
    bench.feed(0, records().stdout(1, "x".repeat(100)));
    bench.feed(0, records().stdout(2, "behind").end(2, 0));
    let end = given_up(1, Phase::Receiving, Delivery::Responded);
    due_in(&mut bench, SECOND, &[out(2, "behind"), done(2), end]);
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

/// Eight connections, and 50 HTTP clients that take the first piece of a long response and nothing more.
///
/// Returns the ends of ten more requests, submitted after these, and how many of the 50 were given up.
fn fifty_slow_readers(paused: Option<Duration>) -> (Vec<Seen>, usize) {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 8;
    config.timeouts.queue = Some(10 * SECOND);
    config.timeouts.paused = paused;
    let mut bench = Bench::new(config);
    let slow: Vec<_> = (0..50).map(|_| bench.submit(request())).collect();
    let quick: Vec<_> = (0..10).map(|_| bench.submit(request())).collect();
    let (mut ends, mut given_up) = (Vec::new(), 0);
    for _ in 0..200 {
        // The requests are sent in order, the first 50 on a connection of their own.
        for peer in bench.talked_to() {
            bench.sent(peer);
            let Some(slow) = slow.get(peer) else {
                bench.answer(peer, |id| records().stdout(id, "all").end(id, 0));
                continue;
            };
            bench.answer(peer, |id| records().stdout(id, "a piece"));
            pause(&mut bench, *slow);
        }
        bench.advance(100 * MS);
        for seen in bench.seen() {
            match seen {
                Seen::Failed(..=50, RequestError::TimedOut(TimeoutKind::Paused), ..) => {
                    given_up += 1;
                }
                Seen::Done(tag @ 51.., _) | Seen::Failed(tag @ 51.., ..) => ends.push((tag, seen)),
                _ => {}
            }
        }
    }
    let all = slow.iter().chain(&quick);
    all.for_each(|handle| bench.command(|engine, now| engine.abort(now, *handle)));
    bench.finish();
    ends.sort_by_key(|(tag, _)| *tag);
    (ends.into_iter().map(|(_, seen)| seen).collect(), given_up)
}

#[test]
fn requests_behind_slow_readers_are_served_when_pauses_have_a_limit() {
    let queue = RequestError::TimedOut(TimeoutKind::Queue);
    let in_vain = |tag| failed(tag, queue.clone(), Phase::Queued, Delivery::NotProcessed);
    let without = fifty_slow_readers(None);
    assert_eq!(without, ((51..=60).map(in_vain).collect(), 0));
    let with = fifty_slow_readers(Some(SECOND));
    assert_eq!(with, ((51..=60).map(done).collect(), 50));
}
