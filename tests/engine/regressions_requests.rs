//! Mistakes that were made once: requests, their bodies, back-pressure.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, RecordType};
use mio_fcgi::{
    Body, CloseReason, ConnectionLostReason, Delivery, EventKind, Multiplex, OverflowPolicy,
    OwnedEvent, Phase, Request, RequestError, Retry, StdinError, TimeoutKind, Timeouts,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, content, done, failed, out, records, request, servers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// `FCGI_CANT_MPX_CONN` had lowered the pool's limit, and the connection was taken for one that closes at once: the
/// refused request's body stayed in the connection's outbox.
#[test]
fn a_refused_request_whose_body_is_half_sent_leaves_its_neighbour_on_the_connection_intact() {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request().with_body(Body::bytes(vec![b'a'; 30_000])));
    bench.peers[0].window = 20_000;
    let refused = bench.submit(request().with_body(Body::bytes(vec![b'b'; 30_000])));
    let cant = ProtocolStatus::CantMultiplex;
    bench.feed(0, records().end_as(2, 0, cant));
    assert_eq!(bench.stats().requests.queued, 1);
    bench.command(|engine, now| engine.abort(now, refused));
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    assert_eq!(content(&sent, RecordType::Stdin, 1), vec![b'a'; 30_000]);
    assert_eq!(content(&sent, RecordType::Stdin, 2), vec![b'b'; 30_000]);
    assert!(sent.contains(&Sent::StreamEnd(RecordType::Stdin, 1)));
    assert!(sent.contains(&Sent::StreamEnd(RecordType::Stdin, 2)));
    bench.feed(0, records().stdout(1, "a").end(1, 0));
    let aborted = failed(
        2,
        RequestError::Aborted,
        Phase::Queued,
        Delivery::NotProcessed,
    );
    assert_eq!(bench.seen(), [aborted, out(1, "a"), done(1)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::EarlyEnd));
    bench.finish();
}

/// Bytes of the body were released while they left on the old connection, and were missing on the new one.
#[test]
fn a_refused_pushed_body_is_sent_again_whole() {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.sent(0);
    bench.peers[0].window = 50;
    let pushed = bench.submit(request().with_body(Body::pushed(Some(20_000))));
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
    let taken = bench.command(|engine, now| engine.write_stdin(now, pushed, &bytes));
    assert_eq!(taken, Ok(20_000));
    bench
        .command(|engine, now| engine.finish_stdin(now, pushed))
        .expect("whole");
    bench.feed(0, records().end_as(2, 0, ProtocolStatus::CantMultiplex));
    bench.open_window(0, usize::MAX);
    bench.feed(0, records().end(1, 0));
    let peer = bench.peers.len() - 1;
    assert_eq!(content(&bench.sent(peer), RecordType::Stdin, 1), bytes);
    bench.feed(peer, records().end(1, 0));
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

/// The old connection's outbox decided when the request "was sent", while the request waited for another connection.
#[test]
fn the_first_byte_is_waited_for_from_when_the_retry_was_sent() {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.peers[0].window = 100;
    let mut timeouts = Timeouts::NONE;
    timeouts.first_byte = Some(SECOND);
    let body = Body::bytes(vec![b'b'; 3_000]);
    bench.submit(request().with_body(body).with_timeouts(timeouts));
    bench.feed(0, records().end_as(2, 0, ProtocolStatus::CantMultiplex));
    bench.answers.push_back(Answer::Hang);
    bench.open_window(0, usize::MAX);
    bench.feed(0, records().end(1, 0));
    bench.advance(900 * MS);
    let peer = bench.peers.len() - 1;
    bench.peers[peer].window = 100;
    if peer > 0 {
        bench.accept(peer);
    }
    bench.advance(1_100 * MS);
    assert_eq!(
        bench.seen(),
        [done(1)],
        "not sent yet: its time has not begun"
    );
    bench.open_window(peer, usize::MAX);
    bench.advance(999 * MS);
    assert_eq!(bench.seen(), []);
    bench.advance(MS);
    let error = RequestError::TimedOut(TimeoutKind::FirstByte);
    assert_eq!(
        bench.seen(),
        [failed(2, error, Phase::Sent, Delivery::MaybeProcessed)]
    );
    bench.finish();
}

/// Why the connection was lost was forgotten on the way.
#[test]
fn a_request_that_cannot_be_rewound_says_why_its_connection_was_lost() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    let body = Body::reader(&b"12345"[..], Some(5));
    bench.submit(request().with_body(body));
    bench.reset(0);
    let lost =
        RequestError::ConnectionLost(ConnectionLostReason::Io(io::ErrorKind::ConnectionReset));
    assert_eq!(
        bench.seen(),
        [
            done(1),
            failed(2, lost, Phase::Sent, Delivery::MaybeProcessed)
        ]
    );
    bench.finish();
}

/// A refused request that could not be rewound was said to have got a response.
#[test]
fn a_refused_request_that_cannot_be_rewound_was_sent_and_not_answered() {
    let mut bench = Bench::plain();
    bench.submit(request().with_body(Body::reader(&b"12345"[..], Some(5))));
    bench.feed(0, records().end_as(1, 0, ProtocolStatus::Overloaded));
    let error = RequestError::Overloaded;
    assert_eq!(
        bench.seen(),
        [failed(1, error, Phase::Sent, Delivery::NotProcessed)]
    );
    bench.finish();
}

/// The read that brought the end left the connection idle and never to be read again.
#[test]
fn a_connection_whose_paused_request_has_ended_is_read_while_idle() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request());
    bench.read_len = 32;
    bench.feed(0, records().stdout(1, "one"));
    bench.read_len = usize::MAX;
    // One read brings output and end; the pause comes between the two.
    let bytes = records().stdout(1, "two").end(1, 0);
    let mut input = bytes.as_ref();
    let connection = bench.peers[0].handle;
    let now = bench.now;
    let first = bench
        .engine
        .poll_received(now, connection, &mut input)
        .map(|it| it.into_owned());
    assert!(matches!(
        first,
        Some(OwnedEvent {
            kind: EventKind::Stdout(_),
            ..
        })
    ));
    bench.engine.pause(now, handle);
    let second = bench
        .engine
        .poll_received(now, connection, &mut input)
        .map(|it| it.into_owned());
    assert!(matches!(
        second,
        Some(OwnedEvent {
            kind: EventKind::End(_),
            ..
        })
    ));
    assert_eq!(
        bench.engine.poll_received(now, connection, &mut input),
        None
    );
    assert!(bench.engine.wants_read(connection), "idle ones are read");
}

#[test]
fn pausing_a_probe_leaves_nothing_behind() {
    let mut bench = Bench::plain();
    let probe = bench.get_values(0);
    bench.command(|engine, now| engine.pause(now, probe));
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
    assert!(matches!(
        bench.seen()[..],
        [Seen::Values(1, _), Seen::Done(1, 0)]
    ));
    bench.submit(request());
    bench.feed(0, records().stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
    bench.finish();
}

/// Only output that was taken freed the budget; output that was dropped did not.
#[test]
fn an_abort_that_frees_the_clients_budget_lets_other_connections_be_read_again() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 2;
    config.pause_buffer.per_client = 1_000;
    config.pause_buffer.overflow = OverflowPolicy::PauseConnection;
    let mut bench = Bench::new(config);
    let handles: Vec<_> = (0..4).map(|_| bench.submit(request())).collect();
    // Tags 1 and 2 share connection 0; 3 and 4 connection 1.
    for handle in [handles[0], handles[2]] {
        bench.command(|engine, now| engine.pause(now, handle));
    }
    bench.feed(0, records().stdout(1, vec![b'x'; 990]));
    bench.feed(1, records().stdout(1, vec![b'x'; 20]));
    assert_eq!(bench.stats().bytes_buffered, 1_010);
    bench.feed(1, records().stdout(2, "neighbour"));
    assert_eq!(bench.seen(), [], "the client's budget is used up");
    bench.command(|engine, now| engine.abort(now, handles[0]));
    assert!(bench.seen().contains(&out(4, "neighbour")));
    for handle in &handles {
        bench.command(|engine, now| engine.abort(now, *handle));
    }
    bench.finish();
}

/// The write limit of a request with nothing in the outbox was not armed for its next record.
#[test]
fn a_body_that_stalls_after_its_turn_came_late_times_out() {
    let mut config = config(Multiplex::On { max: 8 });
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    let mut timeouts = Timeouts::NONE;
    timeouts.write = Some(SECOND);
    bench.submit(request());
    bench.peers[0].window = 0;
    // Five bodies take turns of 16 KiB in an outbox of 64 KiB.
    for _ in 0..5 {
        let body = Body::reader(io::repeat(b'x'), Some(1 << 30));
        bench.submit(request().with_body(body).with_timeouts(timeouts));
    }
    // The bytes trickle, so that each limit is looked at while one of the five has nothing in the outbox.
    for _ in 0..60 {
        bench.open_window(0, 16 * 1024 + 40);
        bench.advance(90 * MS);
    }
    assert_eq!(bench.stats().requests.active, 6);
    bench.advance(SECOND);
    assert_eq!(
        bench.stats().requests.active,
        1,
        "each of the five has stalled"
    );
    bench.eof(0);
    bench.finish();
}

/// A request that the application had answered early completed, and then failed because of its own body.
#[test]
fn finishing_a_body_short_does_not_spoil_a_response_that_is_held() {
    let mut bench = Bench::shared(4);
    bench.submit(request());
    let handle = bench.submit(request().with_body(Body::pushed(Some(10))));
    bench.command(|engine, now| engine.pause(now, handle));
    bench.feed(0, records().stdout(2, "hi").end(2, 0));
    let finished = bench.command(|engine, now| engine.finish_stdin(now, handle));
    assert_eq!(finished, Err(StdinError::Gone));
    bench.command(|engine, now| engine.resume(now, handle));
    assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

/// The reader's failure had ended the request inside `submit`.
#[test]
fn a_body_that_fails_at_once_while_the_queue_is_over_its_limit_does_not_panic() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    let server = bench.peers[0].server;
    let other = bench.peers[1].server;
    bench.end(1);
    assert_ne!(server, other);
    bench.get_values(server);
    let mut limits = bench.engine.config().limits;
    limits.max_queued_requests = 0;
    bench
        .command(|engine, now| engine.set_limits(now, limits))
        .expect("valid");
    let body = Body::reader(io::empty(), Some(5));
    let handle = bench
        .engine
        .submit(bench.now, request().with_body(body), mio_fcgi::Tag(10));
    assert!(handle.is_ok(), "it was sent: {handle:?}");
}

/// Up to 256 KiB of a body that had been alone were sent before a new request's parameters.
#[test]
fn parameters_wait_behind_a_bounded_part_of_a_body_that_was_alone() {
    let mut bench = Bench::shared(2);
    bench.submit(request());
    bench.feed(0, records().end(1, 0));
    bench.peers[0].window = 1_000;
    bench.submit(request().with_body(Body::bytes(vec![b'a'; 1 << 20])));
    let before = bench.peers[0].sent.len();
    bench.submit(request());
    bench.write_len = 1_000;
    let mut waited = 0;
    while !bench.sent(0).contains(&Sent::begin(2)) {
        bench.open_window(0, 1_000);
        waited = bench.peers[0].sent.len() - before;
        assert!(waited < 1 << 20);
    }
    assert!(waited <= 136 * 1024, "{waited} bytes");
    bench.open_window(0, usize::MAX);
    bench.feed(0, records().end(2, 0).end(1, 0));
    bench.finish();
}

/// The lost requests were put at the front of the queue one by one, so the last came first.
#[test]
fn requests_lost_together_are_sent_again_in_their_order() {
    let mut config = config(Multiplex::On { max: 3 });
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.feed(0, records().end(1, 0));
    let named = |name: &str| Request::responder().param("N", name);
    for name in ["a", "b", "c"] {
        bench.submit(named(name).with_retry(Retry::IfUnanswered));
    }
    bench.eof(0);
    let sent = bench.sent(1);
    let names: Vec<u8> = (1..=3)
        .flat_map(|id| content(&sent, RecordType::Params, id).last().copied())
        .collect();
    assert_eq!(names, b"abc");
    bench.feed(1, records().end(1, 0).end(2, 0).end(3, 0));
    bench.finish();
}

/// The connection was handed out again. With all IDs quarantined the request on it would never have ended.
#[test]
fn an_idle_shared_connection_whose_ids_are_used_up_by_strays_is_closed() {
    const IDS: u16 = 4096;
    let mut bench = Bench::shared(IDS.into());
    for _ in 0..IDS {
        bench.submit(request());
    }
    for id in 1..=IDS {
        bench.feed(0, records().end(id, 0));
    }
    assert_eq!(bench.stats().connections.idle, 1);
    for id in 1..=IDS {
        assert_eq!(bench.peers[0].closed, None);
        bench.feed(0, records().end(id, 0));
    }
    assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
    bench.submit(request());
    bench.feed(1, records().end(1, 0));
    bench.finish();
}
