//! The promises where the engine meets its driver: what is in a socket when a request is to use it, and which request
//! that belongs to.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, RecordType};
use mio_fcgi::{
    Body, CloseReason, Config, Delivery, Multiplex, Phase, ProtocolError, RequestIds, Retry,
    Timeouts,
};

use crate::harness::Bench;
use crate::script::{Records, Sent, config, done, failed, out, records, request};

/// A driver on readiness, with connection 0 used and idle.
fn on_readiness(change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = config(Multiplex::Off);
    change(&mut config);
    let mut bench = Bench::new(config);
    bench.tells_reads = true;
    bench.submit(request());
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.sent(0);
    bench
}

/// What arrives is not announced before the next read.
fn unannounced(bench: &mut Bench, arrive: impl FnOnce(&mut Bench)) {
    bench.tells_reads = false;
    arrive(bench);
    bench.tells_reads = true;
}

// case 122
#[test]
fn a_connection_whose_end_was_announced_and_not_read_is_not_handed_out() {
    let bodies = [Body::empty, || Body::pushed(Some(1))];
    for body in bodies {
        let mut bench = on_readiness(|_| {});
        bench.arrive_end(0);
        let request = request().with_body(body()).with_retry(Retry::Never);
        bench.submit(request);
        assert_eq!(bench.sent(0), []);
        assert_eq!(bench.sent(1)[0], Sent::begin(1));
        bench.catch_up(0);
        assert_eq!(bench.peers[0].closed, None, "it closed by itself");
        assert_eq!(
            bench.stats().counters.closed_for(CloseReason::ClosedIdle),
            1
        );
        bench.end(1);
        assert_eq!(bench.seen(), [done(2)]);
        bench.finish();
    }
}

// case 122
#[test]
fn a_connection_with_anything_unread_is_not_handed_out() {
    let mut bench = on_readiness(|_| {});
    bench.arrive(0, records().stdout(1, "late"));
    bench.submit(request());
    assert_eq!(
        (bench.sent(0), bench.sent(1)),
        (vec![], Sent::whole(1).into())
    );
    bench.catch_up(0);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

// case 122
#[test]
fn the_end_of_a_request_and_of_its_connection_in_one_readiness_leave_the_next_request_alone() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.tells_reads = true;
    for _ in 0..2 {
        let body = Body::reader(&b"once"[..], Some(4));
        bench.submit(request().with_body(body).with_retry(Retry::Never));
    }
    bench.sent(0);
    bench.arrive(0, records().end(1, 0));
    bench.arrive_end(0);
    bench.catch_up(0);
    assert_eq!(bench.sent(0), []);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

// case 122
#[test]
fn a_shared_connection_whose_end_was_announced_takes_nobody_in() {
    let mut config = config(Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    bench.tells_reads = true;
    bench.submit(request());
    bench.sent(0);
    bench.arrive(0, records().stdout(1, "hi").end(1, 0));
    bench.arrive_end(0);
    bench.submit(request());
    assert_eq!(bench.sent(0), []);
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.catch_up(0);
    bench.end(1);
    assert_eq!(bench.seen(), [out(1, "hi"), done(1), done(2)]);
    bench.finish();
}

/// One connection, two requests; what arrives for the first is read up to its end exactly, and then the rest.
fn read_to_the_edge(rest: Records) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.tells_reads = true;
    bench.submit(request().with_retry(Retry::Never));
    bench.submit(request().with_retry(Retry::Never));
    bench.sent(0);
    let answer = records().stdout(1, "hi").end(1, 0);
    bench.read_len = answer.as_ref().len();
    bench.arrive(0, answer.raw(rest));
    bench.catch_up(0);
    bench
}

// case 123
#[test]
fn bytes_behind_the_edge_of_a_read_go_with_their_connection() {
    for rest in [
        records().stdout(1, "late"),
        records().end(1, 9),
        records().stdout(2, "too early"),
        records().end(2, 9),
        records().raw("SSH-2.0"),
    ] {
        let mut bench = read_to_the_edge(rest.clone());
        assert_eq!(bench.sent(0), [], "{rest:?}");
        assert_eq!(bench.sent(1), Sent::whole(1), "{rest:?}");
        bench.answer(1, |id| records().stdout(id, "own").end(id, 0));
        let seen = [out(1, "hi"), done(1), out(2, "own"), done(2)];
        assert_eq!(bench.seen(), seen, "{rest:?}");
        bench.finish();
    }
}

// case 123
#[test]
fn half_a_record_behind_the_edge_of_a_read_closes_the_connection() {
    let mut bench = read_to_the_edge(records().raw([1, 6, 0]));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::UnsolicitedData));
    bench.end(1);
    assert_eq!(bench.seen(), [out(1, "hi"), done(1), done(2)]);
    bench.finish();
}

// case 123
#[test]
fn a_connection_read_to_the_edge_is_handed_out_when_it_was_found_empty() {
    let mut bench = read_to_the_edge(records());
    assert_eq!(bench.sent(0), Sent::whole(2));
    bench.end(0);
    assert_eq!(bench.seen(), [out(1, "hi"), done(1), done(2)]);
    bench.finish();
}

// case 123
#[test]
fn a_connection_is_not_handed_out_between_a_full_read_and_the_next() {
    let mut bench = on_readiness(|_| {});
    bench.submit(request());
    bench.sent(0);
    let (now, handle) = (bench.now, bench.peers[0].handle);
    bench.engine.handle_readable(now, handle);
    let answer = records().end(2, 0);
    let mut input = answer.as_ref();
    let end = bench.engine.poll_received(now, handle, &mut input);
    assert!(end.is_some());
    assert!(
        bench
            .engine
            .poll_received(now, handle, &mut input)
            .is_none()
    );
    let next = bench.engine.submit(now, request(), mio_fcgi::Tag(3));
    assert!(next.is_ok());
    bench.run();
    assert_eq!(
        (bench.sent(0), bench.sent(1)),
        (vec![], Sent::whole(1).into())
    );
}

/// Two requests and one connection; the first read ends where the first request does, and the next, a short one, brings
/// `rest`. The driver reports that the socket is empty after a short read before it feeds the bytes of that read, as
/// the documentation of `handle_short_read` says. Without a rest the first read is the short one.
fn told_before_it_is_fed(rest: &[u8]) -> Bench {
    let mut bench = on_readiness(|config| config.limits.max_connections_per_server = 1);
    for _ in 0..2 {
        bench.submit(request());
    }
    bench.sent(0);
    let (now, handle) = (bench.now, bench.peers[0].handle);
    let answer = records().end(2, 0);
    for bytes in [answer.as_ref(), rest] {
        let is_short = bytes.len() == rest.len() || rest.is_empty();
        match is_short {
            true => bench.engine.handle_short_read(now, handle),
            false => bench.engine.handle_readable(now, handle),
        }
        let mut input = bytes;
        while bench
            .engine
            .poll_received(now, handle, &mut input)
            .is_some()
        {}
    }
    bench.run();
    bench
}

// case 123
#[test]
fn a_driver_that_knows_the_socket_empty_behind_a_read_has_the_connection_used_at_once() {
    let mut bench = told_before_it_is_fed(&[]);
    assert_eq!(bench.sent(0), Sent::whole(1));
}

// case 123
#[test]
fn bytes_behind_an_end_go_with_their_connection_also_where_the_driver_knows_that_they_are_the_last()
{
    let late = records().stdout(2, "late");
    let mut bench = told_before_it_is_fed(late.as_ref());
    assert_eq!(bench.sent(0), []);
    assert_eq!(bench.sent(1), Sent::whole(1));
}

/// Every record that an application sends for a request.
fn of_a_request(id: u16) -> [(Records, RecordType); 5] {
    [
        (records().stdout(id, "x"), RecordType::Stdout),
        (records().stderr(id, "x"), RecordType::Stderr),
        (records().stdout_end(id), RecordType::Stdout),
        (records().stderr_end(id), RecordType::Stderr),
        (records().end(id, 9), RecordType::EndRequest),
    ]
}

/// The second request is sent on another connection, and the record has reached no request.
fn goes_elsewhere(bench: &mut Bench, record: &Records) {
    assert_eq!(bench.seen(), [], "{record:?}");
    assert_eq!(bench.sent(1), Sent::whole(1), "{record:?}");
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
}

// case 124
#[test]
fn a_record_for_a_request_of_which_nothing_was_sent_is_a_protocol_error_and_reaches_nobody() {
    for (ids, id) in [(RequestIds::Distinct, 2), (RequestIds::AlwaysOne, 1)] {
        for (record, _) in of_a_request(id) {
            let mut bench = on_readiness(|config| config.request_ids = ids);
            bench.tells_reads = false;
            bench.peers[0].window = 0;
            bench.submit(request());
            bench.feed(0, &record);
            assert_eq!(bench.peers[0].closed, Some(CloseReason::Protocol));
            assert_eq!(bench.stats().counters.protocol_errors, 1);
            goes_elsewhere(&mut bench, &record);
            bench.finish();
        }
    }
}

// case 124
#[test]
fn a_record_for_an_earlier_request_is_a_protocol_error_before_a_byte_of_the_next_one_left() {
    for (record, record_type) in of_a_request(1) {
        for is_read_first in [true, false] {
            let retry = if is_read_first {
                Retry::Never
            } else {
                Retry::IfStale
            };
            let mut bench = on_readiness(|_| {});
            bench.tells_reads = false;
            bench.peers[0].window = 0;
            bench.submit(request().with_retry(retry));
            assert_eq!(
                bench.engine.reads_first(bench.peers[0].handle),
                is_read_first
            );
            bench.feed(0, &record);
            assert_eq!(bench.peers[0].closed, Some(CloseReason::Protocol));
            assert_eq!(bench.stats().counters.protocol_errors, 1);
            if is_read_first {
                let error = ProtocolError::Premature {
                    record_type,
                    request_id: 1,
                };
                let end = failed(2, error, Phase::Sending, Delivery::NotProcessed);
                assert_eq!(bench.seen(), [end], "{record:?}");
            } else {
                goes_elsewhere(&mut bench, &record);
            }
            bench.finish();
        }
    }
}

// case 124
#[test]
fn a_record_for_an_earlier_request_is_late_once_a_byte_of_the_next_one_left() {
    for (record, _) in of_a_request(1) {
        let mut bench = on_readiness(|_| {});
        bench.tells_reads = false;
        bench.peers[0].window = 1;
        bench.submit(request().with_body(Body::bytes("x")));
        bench.feed(0, &record);
        assert_eq!(bench.peers[0].closed, None, "{record:?}");
        assert_eq!(bench.stats().counters.protocol_errors, 0);
        bench.open_window(0, usize::MAX);
        bench.end(0);
        assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
        assert_eq!(bench.seen(), [done(2)]);
        bench.finish();
    }
}

// case 124
#[test]
fn a_record_that_is_too_early_fails_the_others_on_its_connection_by_name() {
    for (record, record_type) in of_a_request(2) {
        let mut bench = Bench::shared(4);
        bench.submit(request());
        bench.peers[0].window = 0;
        bench.submit(request());
        bench.feed(0, &record);
        let error = ProtocolError::Premature {
            record_type,
            request_id: 2,
        };
        let end = failed(1, error, Phase::Sent, Delivery::MaybeProcessed);
        assert_eq!(bench.seen(), [end]);
        bench.end(1);
        assert_eq!(bench.seen(), [done(2)]);
        bench.finish();
    }
}

// case 126
#[test]
fn the_socket_is_read_before_a_request_that_may_not_be_sent_again_leaves_on_a_used_connection() {
    let mut bench = on_readiness(|_| {});
    unannounced(&mut bench, |bench| bench.arrive_end(0));
    bench.submit(request().param("REQUEST_METHOD", "POST"));
    assert_eq!(bench.sent(0), [], "the end was found");
    assert_eq!(bench.seen(), []);
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

// case 126
#[test]
fn bytes_found_by_the_read_before_a_request_send_it_elsewhere() {
    for late in [
        records().stdout(2, "x"),
        records().end(2, 0),
        records().raw([7]),
    ] {
        let mut bench = on_readiness(|_| {});
        unannounced(&mut bench, |bench| bench.arrive(0, &late));
        bench.submit(request());
        assert_eq!(bench.sent(0), [], "{late:?}");
        bench.end(1);
        assert_eq!(bench.seen(), [done(2)], "{late:?}");
        bench.finish();
    }
}

// case 126
#[test]
fn late_records_found_by_the_read_before_a_request_send_it_elsewhere() {
    let mut bench = on_readiness(|_| {});
    unannounced(&mut bench, |bench| {
        bench.arrive(0, records().stdout(1, "late"));
    });
    bench.submit(request());
    assert_eq!(bench.sent(0), []);
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

// case 126
#[test]
fn only_a_request_that_may_not_be_sent_again_waits_for_a_read_and_only_once() {
    let reads_first = |bench: &Bench| bench.engine.reads_first(bench.peers[0].handle);
    let once = Body::reader(io::empty(), Some(0));
    for (next, expected) in [
        (request(), true),
        (request().param("REQUEST_METHOD", "POST"), true),
        (request().param("REQUEST_METHOD", "GET"), false),
        (request().with_retry(Retry::Never), true),
        (request().with_retry(Retry::IfStale), false),
        (request().with_retry(Retry::IfStale).with_body(once), true),
    ] {
        let mut bench = on_readiness(|_| {});
        bench.tells_reads = false;
        bench.peers[0].window = 0;
        bench.submit(next);
        assert_eq!(reads_first(&bench), expected);
        let handle = bench.peers[0].handle;
        bench.command(|engine, now| engine.handle_drained(now, handle));
        assert!(!reads_first(&bench), "it was read");
        bench.open_window(0, usize::MAX);
        bench.end(0);
        bench.finish();
    }
    // Neither a new connection nor one that is being written to already is read first.
    let mut bench = Bench::shared(2);
    bench.submit(request());
    assert!(!reads_first(&bench));
    bench.end(0);
    bench.submit(request());
    assert!(!reads_first(&bench), "a byte has left");
    bench.end(0);
    bench.finish();
}

// case 139
#[test]
fn thousands_of_uploads_whose_readers_fail_one_after_the_other_overflow_no_stack() {
    const COUNT: usize = 1_000;
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = COUNT;
    config.limits.max_idle_per_server = COUNT;
    config.limits.max_queued_requests = COUNT;
    config.timeouts = Timeouts::NONE;
    config.preempt_idle_after = None;
    let mut bench = Bench::new(config);
    for _ in 0..COUNT {
        bench.submit(request());
    }
    for peer in 0..COUNT {
        bench.sent(peer);
        bench.end(peer);
    }
    assert_eq!(bench.stats().connections.idle, COUNT);
    // The server is set aside for a while: requests that come then are queued, and all are served at once.
    bench.submit(request().with_retry(Retry::Never));
    let refusing = bench.talked_to()[0];
    let overloaded = ProtocolStatus::Overloaded;
    bench.answer(refusing, |id| records().end_as(id, 0, overloaded));
    bench.seen();
    for _ in 0..COUNT {
        bench.submit(request().with_body(Body::reader(io::empty(), Some(5))));
    }
    assert_eq!(bench.stats().requests.queued, COUNT);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.seen().len(), COUNT);
    bench.finish();
}
