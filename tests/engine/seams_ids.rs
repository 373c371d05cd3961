//! The promises where the engine meets its driver: the sequence of request IDs on a connection, and an application that
//! knows only ID 1.

use mio_fcgi::{CloseReason, Delivery, Multiplex, Phase, ProtocolError, RequestIds, Retry};

use crate::harness::Bench;
use crate::script::{Sent, config, done, failed, out, records, request};

// case 125
#[test]
fn consecutive_requests_on_a_connection_have_different_ids() {
    let mut bench = Bench::plain();
    for id in [1, 2, 1, 2, 1] {
        bench.submit(request());
        assert_eq!(bench.sent(0), Sent::whole(id));
        bench.end(0);
    }
    bench.finish();
    let mut bench = Bench::shared(3);
    let mut last = 0;
    for _ in 0..20 {
        bench.submit(request());
        let id = bench.id(0);
        assert_ne!(id, last);
        bench.end(0);
        last = id;
    }
    bench.finish();
}

// case 125
#[test]
fn a_request_has_neither_the_id_sent_last_nor_the_one_freed_last() {
    let orders: [&[u16]; 8] = [
        &[1],
        &[2],
        &[3],
        &[2, 1],
        &[1, 2, 3],
        &[3, 2, 1],
        &[2, 3, 1],
        &[3, 1, 2],
    ];
    for ends in orders {
        let mut bench = Bench::shared(3);
        for _ in 0..3 {
            bench.submit(request());
        }
        let end = |bench: &mut Bench, id| bench.feed(0, records().end(id, 0));
        ends.iter().for_each(|id| end(&mut bench, *id));
        bench.submit(request());
        let next = bench.id(0);
        assert!(
            next != 3 && ends.last() != Some(&next),
            "{next} after {ends:?}"
        );
        let others = (1..=3).filter(|id| !ends.contains(id));
        others.for_each(|id| end(&mut bench, id));
        end(&mut bench, next);
        bench.finish();
    }
}

// case 125
#[test]
fn records_of_the_request_before_reach_nobody_after_bytes_of_the_next_have_left() {
    // By the third request the application has shown that it knows more than one ID: an end is an end.
    for record in [
        records().stdout(2, "x"),
        records().stderr(2, "x"),
        records().stdout_end(2),
        records().stderr_end(2),
        records().end(2, 9),
    ] {
        let mut bench = Bench::plain();
        for _ in 0..2 {
            bench.submit(request());
            bench.end(0);
        }
        bench.seen();
        bench.submit(request());
        assert_eq!(bench.id(0), 1);
        bench.feed(0, &record);
        assert_eq!(bench.stats().counters.records_ignored, 1);
        bench.answer(0, |id| records().stdout(id, "own").end(id, 0));
        assert_eq!(bench.seen(), [out(3, "own"), done(3)], "{record:?}");
        assert_eq!(bench.peers[0].closed, Some(CloseReason::LateRecord));
        bench.finish();
    }
}

/// The application answers with ID 1, whatever ID the request had.
fn answer_as_1(bench: &mut Bench, peer: usize) {
    bench.feed(peer, records().stdout(1, "x").end(1, 0));
}

// case 125
#[test]
fn an_application_that_knows_only_id_1_is_found_out_and_then_each_connection_serves_one_request() {
    let mut bench = Bench::plain();
    for _ in 0..2 {
        bench.submit(request());
        answer_as_1(&mut bench, 0);
    }
    let error = ProtocolError::OnlyIdOne;
    let end = failed(2, error, Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [out(1, "x"), done(1), end]);
    for peer in 1..4 {
        bench.submit(request());
        assert_eq!(bench.id(peer), 1);
        answer_as_1(&mut bench, peer);
        assert_eq!(bench.peers[peer].closed, Some(CloseReason::OnlyIdOne));
    }
    assert_eq!(bench.seen().len(), 6);
    bench.finish();
}

// case 125
#[test]
fn a_request_that_may_run_twice_does_not_suffer_from_an_application_that_knows_only_id_1() {
    let mut bench = Bench::plain();
    for _ in 0..3 {
        bench.submit(request());
    }
    for peer in 0..3 {
        answer_as_1(&mut bench, peer);
    }
    bench.seen();
    bench.submit(request().with_retry(Retry::IfStale));
    answer_as_1(&mut bench, 2);
    let closed = |peer: usize| bench.peers[peer].closed;
    let idle = [closed(0), closed(1)];
    assert_eq!(idle, [Some(CloseReason::OnlyIdOne); 2], "they have served");
    answer_as_1(&mut bench, 3);
    assert_eq!(bench.seen(), [out(4, "x"), done(4)]);
    bench.finish();
}

/// A configuration in which the loss of a connection does not count as a limit on its number of requests.
fn never_stale() -> Bench {
    let mut config = config(Multiplex::Off);
    config.stale_window = std::time::Duration::ZERO;
    Bench::new(config)
}

/// `count` requests with ID 2 are lost with their connections.
fn lose_second_requests(bench: &mut Bench, count: usize) {
    for _ in 0..count {
        bench.submit(request());
        let peer = bench.peers.len() - 1;
        bench.end(peer);
        bench.submit(request());
        assert_eq!(bench.id(peer), 2);
        bench.eof(peer);
    }
}

// case 125
#[test]
fn an_application_that_closes_over_every_other_id_is_found_out_by_the_third_loss() {
    let mut bench = never_stale();
    lose_second_requests(&mut bench, 3);
    for _ in 0..2 {
        bench.submit(request());
        let peer = bench.peers.len() - 1;
        bench.end(peer);
        assert_eq!(bench.peers[peer].closed, Some(CloseReason::OnlyIdOne));
    }
    bench.finish();
}

// case 125
#[test]
fn an_application_that_has_answered_another_id_once_is_never_taken_for_one_that_knows_only_1() {
    let mut bench = never_stale();
    lose_second_requests(&mut bench, 2);
    bench.submit(request());
    bench.submit(request());
    let last = bench.peers.len() - 1;
    for peer in [last, last - 1] {
        bench.end(peer);
    }
    bench.submit(request());
    bench.end(last - 1);
    bench.eof(last);
    bench.eof(last - 1);
    lose_second_requests(&mut bench, 5);
    bench.submit(request());
    let peer = bench.peers.len() - 1;
    bench.end(peer);
    assert_eq!(bench.peers[peer].closed, None, "it is kept");
    bench.finish();
}

// case 125
#[test]
fn with_the_id_always_1_connections_are_kept_and_nobody_is_found_out() {
    let mut config = config(Multiplex::Off);
    config.request_ids = RequestIds::AlwaysOne;
    let mut bench = Bench::new(config);
    for tag in 1..=5 {
        bench.submit(request());
        assert_eq!(bench.sent(0), Sent::whole(1));
        answer_as_1(&mut bench, 0);
        assert_eq!(bench.seen(), [out(tag, "x"), done(tag)]);
    }
    bench.finish();
}
