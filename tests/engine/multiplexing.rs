//! Requests that share a connection, and the request IDs they have there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mio_fcgi::wire::RecordType;
use mio_fcgi::{
    Action, Body, CloseReason, ConnectionLostReason, Delivery, Engine, Multiplex, Phase,
    RequestError, Retry, Tag, TimeoutKind, Timeouts,
};

use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, done, failed, out, records, request, split};

const SECOND: Duration = Duration::from_secs(1);

/// The IDs of the requests that began on a connection since the last call.
fn begun(bench: &mut Bench, peer: usize) -> Vec<u16> {
    let sent = bench.sent(peer);
    let ids = sent.iter().filter_map(|item| match item {
        Sent::Begin { id, .. } => Some(*id),
        _ => None,
    });
    ids.collect()
}

// case 84
#[test]
fn without_proof_no_two_requests_share_a_connection_and_none_is_pipelined() {
    for multiplex in [Multiplex::Off, Multiplex::Auto] {
        let mut config = config(multiplex);
        config.limits.max_connections_per_server = 3;
        let mut bench = Bench::new(config);
        for _ in 0..4 {
            bench.submit(request());
        }
        let begun: Vec<_> = (0..3).map(|peer| begun(&mut bench, peer).len()).collect();
        let busy = bench.stats().connections.busy;
        assert_eq!(begun.iter().sum::<usize>(), busy, "one each: {begun:?}");
        assert!(begun.iter().all(|count| *count <= 1));
        for peer in 0..3 {
            bench.eof(peer);
        }
        bench.advance(Duration::from_secs(120));
        bench.finish();
    }
}

// case 85
#[test]
fn requests_share_connections_that_are_kept_and_no_others() {
    for is_kept in [true, false] {
        let mut config = config(Multiplex::On { max: 2 });
        config.keep_connections = is_kept;
        let mut bench = Bench::new(config);
        bench.submit(request());
        bench.submit(request());
        let peers = if is_kept { vec![0, 0] } else { vec![0, 1] };
        let begins: Vec<Sent> = (0..bench.peers.len())
            .flat_map(|peer| bench.sent(peer))
            .filter(|sent| matches!(sent, Sent::Begin { .. }))
            .collect();
        let keeps = |sent: &Sent| matches!(sent, Sent::Begin { keep, .. } if *keep == is_kept);
        assert!(begins.len() == 2 && begins.iter().all(keeps), "{begins:?}");
        for (peer, id) in peers.into_iter().zip([1, if is_kept { 2 } else { 1 }]) {
            bench.feed(peer, records().end(id, 0));
        }
        let closed = bench.peers.iter().map(|peer| peer.closed);
        let reason = (!is_kept).then_some(CloseReason::KeepAliveOff);
        assert!(closed.into_iter().all(|it| it == reason));
        bench.finish();
    }
}

// case 86
#[test]
fn ends_out_of_order_give_each_request_its_own_output() {
    let mut bench = Bench::shared(3);
    for _ in 0..3 {
        bench.submit(request());
    }
    assert_eq!(begun(&mut bench, 0), [1, 2, 3]);
    bench.feed(
        0,
        records()
            .stdout(2, "two")
            .stdout(3, "three")
            .stdout(1, "one"),
    );
    bench.feed(0, records().end(3, 0).end(1, 0).end(2, 0));
    let output = [out(2, "two"), out(3, "three"), out(1, "one")];
    let ends = [done(3), done(1), done(2)];
    assert_eq!(bench.seen(), [output, ends].concat());
    bench.finish();
}

// case 88
#[test]
fn the_id_of_an_aborted_request_is_not_used_again() {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    let aborted = bench.submit(request());
    bench.command(|engine, now| engine.abort(now, aborted));
    assert_eq!(bench.sent(0).last(), Some(&Sent::Abort(2)));
    assert_eq!(
        bench.seen(),
        [failed(
            2,
            RequestError::Aborted,
            Phase::Sent,
            Delivery::MaybeProcessed
        )]
    );
    // As Go does: an END at once, and later more output and a second END.
    bench.feed(0, records().stdout(2, "late").end(2, 0));
    bench.submit(request());
    assert_eq!(begun(&mut bench, 0), [3]);
    bench.feed(0, records().stdout(2, "later").end(2, 0));
    bench.feed(0, records().stdout(3, "three").end(3, 0).end(1, 0));
    assert_eq!(bench.seen(), [out(3, "three"), done(3), done(1)]);
    bench.finish();
}

// case 88
#[test]
fn the_id_of_a_request_that_ended_early_is_not_used_again() {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    bench.submit(request().with_body(Body::pushed(Some(10))));
    bench.sent(0);
    bench.feed(0, records().stdout(2, "early").end(2, 0));
    assert_eq!(bench.seen(), [out(2, "early"), done(2)]);
    let end = Sent::StreamEnd(RecordType::Stdin, 2);
    assert_eq!(bench.sent(0), [end], "the stream is ended all the same");
    bench.submit(request());
    assert_eq!(begun(&mut bench, 0), [3]);
    bench.feed(0, records().end(3, 0).end(1, 0));
    bench.finish();
}

// case 88
#[test]
fn ids_that_ended_in_order_are_used_again_but_not_at_once() {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    for id in [2, 3, 2, 3, 2] {
        bench.submit(request());
        assert_eq!(begun(&mut bench, 0).last(), Some(&id));
        bench.end(0);
    }
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

// case 89
#[test]
fn a_connection_that_runs_out_of_ids_retires_and_the_next_request_gets_a_new_one() {
    let mut bench = Bench::shared(u32::MAX);
    bench.submit(request());
    // Each abort takes an ID out of use for good.
    for id in 2.. {
        let handle = bench.submit(request());
        if bench.stats().requests.queued == 1 {
            bench.command(|engine, now| engine.abort(now, handle));
            assert_eq!(u32::from(id), 4098, "4,096 were quarantined");
            break;
        }
        bench.command(|engine, now| engine.abort(now, handle));
        bench.feed(0, records().end(id, 0));
    }
    bench.submit(request());
    assert_eq!(
        bench.peers.len(),
        1,
        "it waits for the cap of one connection"
    );
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxRequests));
    assert_eq!(begun(&mut bench, 1), [1]);
    bench.feed(1, records().end(1, 0));
    bench.finish();
}

// case 90
#[test]
fn a_connection_that_dies_with_five_requests_fails_each_once_with_its_own_verdict() {
    let mut bench = Bench::shared(8);
    for _ in 0..3 {
        bench.submit(request().with_retry(Retry::Never));
    }
    bench.peers[0].window = 20;
    let body = Body::bytes(vec![b'x'; 100]);
    bench.submit(request().with_body(body).with_retry(Retry::Never));
    bench.submit(request().with_retry(Retry::Never));
    bench.feed(
        0,
        records()
            .stdout(1, "one")
            .end(3, 0)
            .stdout(2, "two")
            .stdout_end(2),
    );
    bench.seen();
    bench.submit(request().with_retry(Retry::Never));
    bench.eof(0);
    let lost = |tag, phase, delivery| {
        failed(
            tag,
            RequestError::ConnectionLost(ConnectionLostReason::Closed),
            phase,
            delivery,
        )
    };
    assert_eq!(
        bench.seen(),
        [
            lost(1, Phase::Receiving, Delivery::Responded),
            lost(2, Phase::Receiving, Delivery::Responded),
            lost(4, Phase::Sending, Delivery::MaybeProcessed),
            lost(5, Phase::Sending, Delivery::NotProcessed),
            lost(6, Phase::Sending, Delivery::NotProcessed),
        ]
    );
    bench.finish();
}

// case 91
#[test]
fn a_request_that_times_out_is_aborted_and_its_neighbours_go_on() {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    bench.submit(request().with_timeouts(Timeouts::NONE.with_total(SECOND)));
    bench.sent(0);
    bench.advance(SECOND);
    let error = RequestError::TimedOut(TimeoutKind::Total);
    assert_eq!(
        bench.seen(),
        [failed(2, error, Phase::Sent, Delivery::MaybeProcessed)]
    );
    assert_eq!(bench.sent(0), [Sent::Abort(2)]);
    bench.feed(0, records().stdout(1, "on").end(2, 0));
    bench.advance(Duration::from_secs(6));
    assert_eq!(bench.stats().connections.busy, 1, "it was ended in time");
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.seen(), [out(1, "on"), done(1)]);
    assert_eq!(bench.stats().connections.idle, 1);
    bench.finish();
}

// case 91
#[test]
fn without_an_end_in_the_grace_time_the_connection_takes_no_more_and_closes_when_empty() {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    let aborted = bench.submit(request());
    bench.command(|engine, now| engine.abort(now, aborted));
    bench.advance(Duration::from_millis(4_999));
    assert_eq!(bench.stats().connections.draining, 0);
    bench.advance(Duration::from_millis(1));
    assert_eq!(bench.stats().connections.draining, 1);
    bench.submit(request());
    assert_eq!(bench.stats().requests.queued, 1);
    bench.seen();
    bench.feed(0, records().stdout(2, "late").stdout(1, "on").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "on"), done(1)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::AbortGrace));
    bench.feed(1, records().end(1, 0));
    assert_eq!(bench.seen(), [done(3)]);
    bench.finish();
}

#[test]
fn a_shared_connection_with_room_is_used_before_another_is_opened() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    for _ in 0..5 {
        bench.submit(request());
    }
    assert_eq!(begun(&mut bench, 0), [1, 2]);
    assert_eq!(begun(&mut bench, 1), [1, 2]);
    assert_eq!(bench.stats().requests.queued, 1);
    bench.feed(1, records().end(2, 0));
    assert_eq!(begun(&mut bench, 1), [3], "the room that was made");
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.feed(1, records().end(1, 0).end(3, 0));
    bench.finish();
}

#[test]
fn bodies_that_share_a_connection_take_turns_record_by_record() {
    let mut bench = Bench::shared(4);
    bench.submit(request());
    bench.peers[0].window = 0;
    for _ in 0..3 {
        bench.submit(request().with_body(Body::bytes(vec![b'x'; 200_000])));
    }
    let start = bench.peers[0].sent.len();
    bench.open_window(0, usize::MAX);
    let mut sent: BTreeMap<u16, usize> = BTreeMap::new();
    for (header, _) in split(&bench.peers[0].sent[start..]) {
        if header.record_type != RecordType::Stdin || header.content_len == 0 {
            continue;
        }
        *sent.entry(header.request_id).or_default() += usize::from(header.content_len);
        let (least, most) = (sent.values().min(), sent.values().max());
        let all_began = sent.len() == 3;
        let none_done = sent.values().all(|len| *len < 200_000);
        if let (Some(least), Some(most), true, true) = (least, most, all_began, none_done) {
            assert!(most - least <= 64 * 1024 + 16 * 1024, "{sent:?}");
        }
    }
    assert!(sent.values().all(|len| *len == 200_000), "{sent:?}");
    bench.feed(0, records().end(1, 0).end(2, 0).end(3, 0).end(4, 0));
    bench.finish();
}

/// Ten turns, each of which asks the driver only once.
#[test]
fn requests_submitted_in_one_turn_leave_in_one_flush_and_one_write() {
    const TURN: usize = 10;
    let mut engine = Engine::new(config(Multiplex::On { max: 1000 })).expect("a configuration");
    let now = Instant::now();
    let submit = |engine: &mut Engine, tag| {
        let accepted = engine.submit(now, request(), Tag(tag));
        accepted.expect("room in the queue");
    };
    submit(&mut engine, 0);
    let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
        panic!("a request needs a connection");
    };
    engine.handle_connected(now, connection);
    for turn in 0..TURN {
        // The first request of all goes out with the first turn.
        let expected = if turn == 0 { TURN + 1 } else { TURN };
        for _ in 0..TURN {
            submit(&mut engine, 1);
        }
        assert_eq!(engine.poll_action(), Some(Action::Flush { connection }));
        assert_eq!(engine.poll_action(), None);
        let bytes: Vec<u8> = engine
            .transmit(connection)
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let begun = split(&bytes)
            .iter()
            .filter(|(header, _)| header.record_type == RecordType::BeginRequest)
            .count();
        assert_eq!(begun, expected);
        engine.handle_transmitted(now, connection, bytes.len());
        assert!(!engine.wants_write(connection), "one write was not enough");
    }
}

#[test]
fn a_shared_connection_serves_on_when_the_only_request_on_it_ends_early() {
    let mut bench = Bench::shared(8);
    bench.submit(request().with_body(Body::pushed(Some(10))));
    bench.sent(0);
    bench.feed(0, records().end(1, 0));
    let rest = [Sent::StreamEnd(RecordType::Stdin, 1)];
    assert_eq!(
        bench.sent(0),
        rest,
        "so that the application finds the next record"
    );
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(2));
    bench.feed(0, records().end(2, 0));
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn connections_go_on_being_shared_though_what_listens_now_does_not_multiplex() {
    let mut bench = Bench::new(config(Multiplex::Auto));
    bench.submit(request());
    bench.get_values(0);
    bench.feed(1, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.eof(1);
    bench.answers.push_back(Answer::Refuse);
    bench.get_values(0);
    bench.advance(SECOND);
    bench.get_values(0);
    for peer in 3..bench.peers.len() {
        bench.feed(peer, records().values(&[]));
    }
    bench.sent(0);
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(2));
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}
