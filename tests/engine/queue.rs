//! The queue: its order and limit, aborts in every phase, and shutting down.

use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, RecordType};
use mio_fcgi::{
    Body, CloseReason, Delivery, Multiplex, Phase, Request, RequestError, SubmitError, Tag,
    TimeoutKind,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, content, done, failed, out, records, request};

const SECOND: Duration = Duration::from_secs(1);

/// One plain connection, and a queue of `max_queued` requests.
fn queueing(max_queued: usize) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = max_queued;
    Bench::new(config)
}

fn named(name: &str) -> Request {
    Request::responder().param("N", name)
}

#[test]
fn requests_are_sent_in_the_order_they_came() {
    let mut bench = queueing(10);
    for name in ["a", "b", "c", "d"] {
        bench.submit(named(name));
    }
    for name in ["a", "b", "c", "d"] {
        let id = bench.id(0);
        let params = content(&bench.sent(0), RecordType::Params, id);
        assert_eq!(params.last(), name.as_bytes().last());
        bench.end(0);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
    bench.finish();
}

// case 102
#[test]
fn a_full_queue_refuses_at_once_and_has_room_again_after_an_end() {
    let mut bench = queueing(2);
    for _ in 0..3 {
        bench.submit(request());
    }
    let refused = bench.try_submit(request());
    assert_eq!(refused, Err(SubmitError::QueueFull { limit: 2 }));
    assert_eq!(bench.seen(), []);
    bench.end(0);
    bench.submit(request());
    for _ in 0..3 {
        bench.end(0);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
    bench.finish();
}

// case 102
#[test]
fn a_wait_that_is_over_is_its_own_error_and_nothing_was_sent() {
    let mut bench = queueing(2);
    bench.submit(request());
    bench.submit(request());
    bench.sent(0);
    bench.advance(10 * SECOND);
    let error = RequestError::TimedOut(TimeoutKind::Queue);
    assert_eq!(
        bench.seen(),
        [failed(2, error, Phase::Queued, Delivery::NotProcessed)]
    );
    assert_eq!(bench.sent(0), []);
    bench.end(0);
    bench.finish();
}

/// Aborts one request in a phase and sees that exactly one other can be sent in its place.
fn cancelled_in(phase: Phase, prepare: impl FnOnce(&mut Bench) -> mio_fcgi::RequestHandle) {
    let mut bench = queueing(10);
    let handle = prepare(&mut bench);
    let before = bench.peers.len();
    bench.seen();
    bench.command(|engine, now| engine.abort(now, handle));
    // A second abort, and one after the end, do nothing.
    bench.command(|engine, now| engine.abort(now, handle));
    let seen = bench.seen();
    let [Seen::Failed(_, RequestError::Aborted, at, _)] = seen[..] else {
        panic!("one end: {seen:?}");
    };
    assert_eq!(at, phase);
    let waiting = bench.stats().requests.queued;
    bench.servers[0] = Answer::Accept;
    bench.submit(named("next"));
    bench.submit(named("after"));
    if before > 0 && bench.peers[before - 1].closed.is_none() && waiting == 0 {
        bench.accept(before - 1);
    }
    let stats = bench.stats();
    assert_eq!((stats.requests.active, stats.connections.busy), (1, 1));
    for _ in 0..10 {
        let open = bench.peers.iter().rposition(|peer| peer.closed.is_none());
        let Some(open) = open.filter(|_| bench.stats().requests.active > 0) else {
            break;
        };
        bench.end(open);
    }
    let ends = bench.seen();
    assert!(
        ends.iter().all(|seen| matches!(seen, Seen::Done(..))),
        "{ends:?}"
    );
    bench.finish();
}

// case 103
#[test]
fn a_cancel_in_any_phase_frees_the_slot_exactly_once() {
    cancelled_in(Phase::Queued, |bench| {
        bench.submit(request());
        bench.submit(request())
    });
    cancelled_in(Phase::Queued, |bench| {
        bench.servers[0] = Answer::Hang;
        bench.submit(request())
    });
    cancelled_in(Phase::Sending, |bench| {
        let handle = bench.submit(request().with_body(Body::pushed(Some(10))));
        assert_eq!(bench.sent(0).len(), 3, "in STDIN");
        handle
    });
    cancelled_in(Phase::Sending, |bench| {
        bench.submit(request());
        bench.end(0);
        bench.peers[0].window = 10;
        bench.submit(request())
    });
    cancelled_in(Phase::Sent, |bench| bench.submit(request()));
    cancelled_in(Phase::Receiving, |bench| {
        let handle = bench.submit(request());
        bench.feed(0, records().stdout(1, "head"));
        handle
    });
}

// case 104
#[test]
fn an_abort_on_a_plain_connection_closes_it_and_sends_nothing() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request());
    bench.sent(0);
    bench.command(|engine, now| engine.abort(now, handle));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Aborted));
    assert_eq!(bench.sent(0), []);
    bench.finish();
}

#[test]
fn an_abort_of_the_last_request_on_a_shared_connection_closes_that() {
    let mut bench = Bench::shared(4);
    let first = bench.submit(request());
    let second = bench.submit(request());
    bench.command(|engine, now| engine.abort(now, first));
    assert_eq!(bench.peers[0].closed, None);
    bench.command(|engine, now| engine.abort(now, second));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Aborted));
    bench.finish();
}

// case 110
#[test]
fn a_shut_down_closes_what_is_idle_finishes_what_is_busy_and_says_so_once() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.submit(request());
    bench.end(0);
    bench.command(|engine, now| engine.shutdown(now, None));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
    assert_eq!(bench.try_submit(request()), Err(SubmitError::ShuttingDown));
    bench.advance(5 * SECOND);
    bench.feed(1, records().stdout(1, "hi").end(1, 0));
    assert_eq!(bench.peers[1].closed, Some(CloseReason::Retired));
    bench.command(|engine, now| engine.shutdown(now, None));
    bench.advance(SECOND);
    assert_eq!(
        bench.seen(),
        [done(1), out(2, "hi"), done(2), Seen::ShutDown]
    );
    assert!(bench.engine.is_idle());
}

// case 110
#[test]
fn a_shut_down_sends_what_waits() {
    let mut bench = queueing(10);
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.command(|engine, now| engine.shutdown(now, None));
    for _ in 0..3 {
        bench.end(0);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3), Seen::ShutDown]);
}

// case 110
#[test]
fn the_deadline_of_a_shut_down_ends_the_rest_wherever_it_stands() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    let paused = bench.submit(request());
    bench.submit(request());
    bench.command(|engine, now| engine.pause(now, paused));
    bench.feed(0, records().stdout(1, "held").end(1, 0));
    bench.submit(request());
    let aborted = bench.submit(request());
    bench.command(|engine, now| engine.abort(now, aborted));
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.seen();
    let deadline = bench.now + SECOND;
    bench.command(|engine, now| engine.shutdown(now, Some(deadline)));
    bench.advance(SECOND - Duration::from_millis(1));
    assert_eq!(bench.seen(), []);
    bench.advance(Duration::from_millis(1));
    let mut seen = bench.seen();
    assert_eq!(seen.pop(), Some(Seen::ShutDown));
    let is_shut_down = |it: &Seen| matches!(it, Seen::Failed(_, RequestError::ShutDown, ..));
    assert!(seen.iter().all(is_shut_down), "{seen:?}");
    assert_eq!(seen.len(), 6);
    assert!(bench.engine.is_idle());
    assert!(bench.peers.iter().all(|peer| peer.closed.is_some()));
}

#[test]
fn a_shut_down_of_an_idle_client_is_reported_at_once_and_closes_what_was_opened_beforehand() {
    let mut config = config(Multiplex::Auto);
    config.limits.min_idle_per_server = 2;
    let mut bench = Bench::new(config);
    bench.command(|engine, now| engine.handle_timeout(now));
    assert!(bench.stats().connections.idle >= 1);
    bench.command(|engine, now| engine.shutdown(now, None));
    assert_eq!(bench.seen(), [Seen::ShutDown]);
    assert!(bench.engine.is_idle());
}

#[test]
fn commands_on_a_request_that_has_ended_do_nothing() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request());
    bench.end(0);
    // Another request is in its slot now.
    bench.submit(request());
    bench.seen();
    bench.command(|engine, now| {
        engine.abort(now, handle);
        engine.pause(now, handle);
        engine.resume(now, handle);
        assert!(engine.write_stdin(now, handle, b"x").is_err());
        assert!(engine.finish_stdin(now, handle).is_err());
    });
    bench.answer(0, |id| records().stdout(id, "two").end(id, 0));
    assert_eq!(bench.seen(), [out(2, "two"), done(2)]);
    assert_eq!(bench.sent(0).len(), Sent::whole(1).len() * 2);
    bench.finish();
}

/// A driver may take one event of a read, and ask for the figures before it takes the next one.
#[test]
fn a_refused_request_does_not_wait_above_the_limit_until_its_read_is_used_up() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    let refusal = records().end_as(1, 0, ProtocolStatus::Overloaded);
    let read = refusal.stdout(2, "a").end(2, 0);
    let (mut input, connection) = (read.as_ref(), bench.peers[0].handle);
    let event = bench
        .engine
        .poll_received(bench.now, connection, &mut input);
    let event = event.expect("output").into_owned();
    assert_eq!(event.tag, Tag(2));
    bench.note(event);
    assert_eq!(bench.stats().requests.queued, 0, "none may wait");
    bench.run();
    let rest = Vec::from(input);
    bench.feed(0, rest);
    let overloaded = failed(
        1,
        RequestError::Overloaded,
        Phase::Sent,
        Delivery::NotProcessed,
    );
    assert_eq!(bench.seen(), [out(2, "a"), overloaded, done(2)]);
    bench.finish();
}
