//! Heads of requests on a shared connection: framed when there is room, in order, and not at all for what was given up.

use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, RecordType};
use mio_fcgi::{Body, Delivery, Multiplex, Phase, Request, RequestError, TimeoutKind, Timeouts};

use crate::harness::Bench;
use crate::script::{Sent, config, content, done, failed, records, request};

/// Heads of 8 KiB: eight of them fill an outbox.
const LEN: usize = 8 * 1024;
const FULL: usize = 64 * 1024;

fn large(number: usize) -> Request {
    request().param("N", format!("{number:<LEN$}"))
}

/// A shared connection whose socket takes nothing, and `count` requests on it with the IDs from 1 on.
fn stuck(count: usize) -> Bench {
    let mut bench = Bench::shared(1000);
    bench.submit(request());
    bench.end(0);
    bench.sent(0);
    bench.seen();
    bench.peers[0].window = 0;
    for number in 0..count {
        bench.submit(large(number));
    }
    bench
}

fn unsent(bench: &Bench) -> usize {
    let connections = bench.engine.connections(bench.now);
    connections.map(|it| it.bytes_unsent).sum()
}

fn begun(sent: &[Sent]) -> Vec<u16> {
    let begins = sent.iter().filter_map(|it| match it {
        Sent::Begin { id, .. } => Some(*id),
        _ => None,
    });
    begins.collect()
}

#[test]
fn what_a_socket_does_not_take_is_framed_up_to_a_bound_and_the_rest_as_it_takes_more() {
    let mut bench = stuck(100);
    assert_eq!(bench.stats().requests.active, 100);
    let mut sent = Vec::new();
    while unsent(&bench) > 0 {
        assert!(unsent(&bench) <= FULL + LEN + 1024, "{}", unsent(&bench));
        bench.open_window(0, 1000);
        sent.extend(bench.sent(0));
    }
    // Their IDs: the first request had 1.
    let ids: Vec<u16> = (2..=101).collect();
    assert_eq!(begun(&sent), ids, "first in, first out");
    for (number, id) in ids.into_iter().enumerate() {
        let params = content(&sent, RecordType::Params, id);
        let value = format!("{number:<LEN$}");
        assert!(params.ends_with(value.as_bytes()), "request {number}");
        bench.feed(0, records().end(id, 0));
    }
    bench.finish();
}

#[test]
fn a_request_given_up_before_it_was_framed_costs_no_id_no_record_and_is_not_processed() {
    let mut bench = stuck(20);
    let framed = unsent(&bench) / LEN;
    for number in [15, 12, 19] {
        let handle = bench.handles[1 + number];
        bench.command(|engine, now| engine.abort(now, handle));
        let tag = 2 + number as u64;
        let aborted = failed(
            tag,
            RequestError::Aborted,
            Phase::Sending,
            Delivery::NotProcessed,
        );
        assert_eq!(bench.seen(), [aborted]);
    }
    let connection = bench.engine.connections(bench.now).next().expect("one");
    assert_eq!((connection.requests, connection.aborting), (17, 0));
    assert_eq!(connection.served, 1, "only the first was here");
    // One that is framed already costs both.
    let handle = bench.handles[framed];
    bench.command(|engine, now| engine.abort(now, handle));
    bench.submit(request());
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    assert_eq!(
        sent.iter()
            .filter(|it| matches!(it, Sent::Abort(_)))
            .count(),
        1
    );
    let given_up = [17, 14, 21];
    let ids: Vec<u16> = (2..=21).filter(|id| !given_up.contains(id)).collect();
    let last = *begun(&sent).last().expect("the request after them");
    assert!(last == 1 || given_up.contains(&last), "{last}");
    assert_eq!(begun(&sent)[..17], ids);
    bench.finish();
}

#[test]
fn what_was_not_framed_when_a_connection_is_lost_is_sent_again_in_order() {
    let mut bench = stuck(20);
    bench.open_window(0, 10);
    bench.reset(0);
    let seen = bench.seen();
    assert_eq!(seen.len(), 1, "the one of which bytes were sent: {seen:?}");
    assert_eq!(begun(&bench.sent(1)), (1..=19).collect::<Vec<u16>>());
    for id in 1..=19 {
        bench.feed(1, records().end(id, 0));
    }
    assert_eq!(bench.seen(), (3..=21).map(done).collect::<Vec<_>>());
    bench.finish();
}

#[test]
fn a_head_that_waits_in_vain_runs_into_the_write_limit() {
    let mut config = config(Multiplex::On { max: 1000 });
    config.limits.max_connections_per_server = 1;
    config.timeouts = Timeouts::NONE;
    config.timeouts.write = Some(Duration::from_secs(1));
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.end(0);
    bench.seen();
    bench.peers[0].window = 0;
    for number in 0..9 {
        bench.submit(large(number));
    }
    bench.advance(Duration::from_millis(500));
    bench.submit(request());
    bench.advance(Duration::from_millis(999));
    // The last one has waited for less than a second.
    let late = |tag, delivery| {
        let error = RequestError::TimedOut(TimeoutKind::Write);
        failed(tag, error, Phase::Sending, delivery)
    };
    let expected = (2..=10).map(|tag| match tag {
        2..=9 => late(tag, Delivery::MaybeProcessed),
        _ => late(tag, Delivery::NotProcessed),
    });
    // All at the same instant: in any order.
    let seen = bench.seen();
    assert_eq!(seen.len(), 9);
    for end in expected {
        assert!(seen.contains(&end), "{end:?} in {seen:?}");
    }
    bench.advance(Duration::from_millis(1));
    assert_eq!(bench.seen(), [late(11, Delivery::NotProcessed)]);
    bench.finish();
}

#[test]
fn heads_and_bodies_have_the_connection_in_turn_and_neither_starves_the_other() {
    let mut bench = Bench::shared(1000);
    bench.submit(request());
    bench.end(0);
    bench.sent(0);
    bench.peers[0].window = 0;
    for _ in 0..16 {
        bench.submit(request().with_body(Body::bytes(vec![b'x'; 1_000_000])));
    }
    let first_small = 18;
    for number in 0..200 {
        bench.submit(large(number));
    }
    let mut sent = Vec::new();
    let mut begun_at = Vec::new();
    let (mut heads, mut bodies) = (0, 0);
    while begun_at.len() < 200 {
        bench.open_window(0, 1000);
        for item in bench.sent(0) {
            match &item {
                Sent::Begin { id, .. } if *id >= first_small => begun_at.push(bodies),
                Sent::Stream(RecordType::Params, _, data) => heads += data.len(),
                Sent::Stream(RecordType::Stdin, _, data) => bodies += data.len(),
                _ => {}
            }
            sent.push(item);
        }
        // What had been framed when the heads came is sent first.
        assert!(
            bodies <= heads + 96 * 1024,
            "{bodies} of bodies, {heads} of heads"
        );
        assert!(
            heads <= bodies + 32 * 1024,
            "{bodies} of bodies, {heads} of heads"
        );
    }
    assert!(begun_at[0] <= 96 * 1024);
    let ids = begun(&sent);
    assert!(ids.is_sorted(), "{ids:?}");
    bench.open_window(0, usize::MAX);
    for id in 2..=217 {
        bench.feed(0, records().end(id, 0));
    }
    bench.finish();
}

/// A request that ends early on a shared connection, behind heads that wait for their turn beside its body.
#[test]
fn a_head_is_framed_when_the_body_that_had_the_turn_is_gone() {
    let mut bench = Bench::shared(1000);
    bench.submit(request().with_body(Body::pushed(Some(100_000))));
    bench.sent(0);
    bench.peers[0].window = 0;
    let pushing = bench.handles[0];
    for round in 0..2 {
        // Two that fill the outbox, and one that waits.
        for _ in 0..2 {
            bench.submit(request().param("N", "x".repeat(33_000)));
        }
        bench.submit(request());
        if round == 1 {
            let pushed = bench.engine.write_stdin(bench.now, pushing, &[0; 100]);
            assert_eq!(pushed, Ok(100));
            bench.feed(0, records().end(1, 0));
        }
        bench.open_window(0, usize::MAX);
        let sent = bench.sent(0);
        assert_eq!(begun(&sent).len(), 3, "round {round}");
        bench.peers[0].window = 0;
    }
}

#[test]
fn a_request_that_is_sent_again_on_its_connection_sends_no_body_before_its_head() {
    let mut bench = stuck(0);
    bench.submit(request().with_body(vec![b'q'; 400_000]));
    bench.submit(request().with_body(vec![b'r'; 400_000]));
    bench.open_window(0, 70_000);
    bench.submit(request().param("X", "x".repeat(20_000)));
    bench.feed(0, records().end_as(3, 0, ProtocolStatus::Overloaded));
    bench.advance(Duration::from_secs(1));
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    let ids = begun(&sent);
    let again = *ids.last().expect("the second request, again");
    assert_eq!(ids[..3], [2, 3, 4]);
    let is_of = |it: &Sent| matches!(it, Sent::Stream(RecordType::Stdin, id, _) if *id == again);
    let is_begin = |it: &Sent| matches!(it, Sent::Begin { id, .. } if *id == again);
    assert!(sent.iter().position(is_begin) < sent.iter().position(is_of));
    assert_eq!(content(&sent, RecordType::Stdin, again).len(), 400_000);
}

#[test]
fn the_id_that_was_freed_last_is_not_the_next_one_after_a_request_was_given_up() {
    for gives_up in [false, true] {
        let mut bench = Bench::shared(1000);
        for _ in 0..3 {
            bench.submit(request());
        }
        bench.sent(0);
        bench.peers[0].window = 0;
        bench.submit(large(0).param("M", "x".repeat(60_000)));
        for id in [2, 3] {
            bench.feed(0, records().end(id, 0));
        }
        if gives_up {
            bench.submit(request());
            let handle = *bench.handles.last().expect("it was accepted");
            bench.command(|engine, now| engine.abort(now, handle));
        }
        bench.submit(request());
        bench.open_window(0, usize::MAX);
        assert_eq!(begun(&bench.sent(0)), [4, 2], "{gives_up}");
    }
}

#[test]
fn a_record_for_an_id_that_was_given_back_before_the_application_heard_of_it_is_an_error() {
    for is_used_again in [false, true] {
        let mut bench = stuck(20);
        let handle = *bench.handles.last().expect("20 were accepted");
        bench.command(|engine, now| engine.abort(now, handle));
        assert_eq!(bench.seen().len(), 1, "its end");
        if is_used_again {
            bench.submit(request());
            bench.open_window(0, usize::MAX);
            assert_eq!(begun(&bench.sent(0)).last(), Some(&21));
            bench.feed(0, records().end(21, 0));
            assert_eq!(bench.seen(), [done(22)]);
        }
        let first = |bench: &Bench| {
            let connection = bench.engine.connections(bench.now).next();
            connection.map(|it| it.connection)
        };
        let before = first(&bench);
        bench.feed(0, records().stdout(21, "late"));
        assert_eq!(
            first(&bench) == before,
            is_used_again,
            "a late one is dropped"
        );
    }
}
