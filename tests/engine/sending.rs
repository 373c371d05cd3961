//! What leaves and what comes in: counted, on the right connection, no more at a time than it should be.

use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, RecordType};
use mio_fcgi::{
    Body, Delivery, Multiplex, OwnedEvent, Phase, RequestError, ServerValues, TimeoutKind, Timeouts,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, content, done, failed, records, request};

const MS: Duration = Duration::from_millis(1);

#[test]
fn octets_of_either_direction_are_counted_and_reported() {
    let mut bench = Bench::plain();
    bench.submit(request().with_body(Body::bytes(vec![b'x'; 100_000])));
    let answer = records().padded(3).stdout(1, "hi").end(1, 0);
    bench.feed(0, &answer);
    let counters = bench.stats().counters;
    let sent = bench.peers[0].sent.len() as u64;
    assert_eq!(counters.octets_sent, sent);
    assert_eq!(counters.octets_received, answer.as_ref().len() as u64);
    let events = bench.events();
    let Some(OwnedEvent::End { outcome, .. }) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(outcome.as_ref().map(|it| it.report.sent), Ok(sent));
    bench.finish();
}

#[test]
fn a_body_in_memory_fills_more_where_nobody_waits_behind_it() {
    let mut offered = Vec::new();
    for multiplex in [Multiplex::Off, Multiplex::On { max: 4 }] {
        let mut bench = Bench::new(config(multiplex));
        bench.submit(request());
        bench.feed(0, records().end(1, 0));
        bench.peers[0].window = 0;
        bench.submit(request().with_body(Body::bytes(vec![b'x'; 1_000_000])));
        let slices = bench.engine.transmit(bench.peers[0].handle);
        offered.push(slices.iter().map(|it| it.len()).sum::<usize>() / 65_536);
        bench.open_window(0, usize::MAX);
        bench.feed(0, records().end(1, 0));
        bench.finish();
    }
    assert_eq!(offered, [4, 1], "in 64 KiB");
}

/// A request that has to leave a shared connection whose window is closed, and that is being sent on another.
fn sent_elsewhere(body: usize) -> Bench {
    let mut config = config(Multiplex::On { max: 8 });
    config.limits.max_connections = 2;
    let mut bench = Bench::new(config);
    bench.submit(request().with_timeouts(Timeouts::NONE));
    bench.peers[0].window = 0;
    let mut timeouts = Timeouts::NONE;
    timeouts.first_octet = Some(1_000 * MS);
    let other = Body::bytes(vec![b'a'; 200_000]);
    bench.submit(request().with_timeouts(Timeouts::NONE).with_body(other));
    let own = Body::bytes(vec![b'b'; body]);
    bench.submit(request().with_timeouts(timeouts).with_body(own));
    bench.servers[0] = Answer::Hang;
    bench.feed(0, records().end_as(3, 0, ProtocolStatus::CantMultiplex));
    bench.peers[1].window = 0;
    bench.accept(1);
    bench
}

#[test]
fn a_refused_requests_body_goes_nowhere_but_to_its_new_connection() {
    // More than its new connection's outbox takes at once.
    let body = vec![b'b'; 400_000];
    let mut bench = sent_elsewhere(body.len());
    bench.sent(0);
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    assert_eq!(content(&sent, RecordType::Stdin, 2), [b'a'; 200_000]);
    assert_eq!(content(&sent, RecordType::Stdin, 1), []);
    bench.open_window(1, usize::MAX);
    let sent = bench.sent(1);
    assert_eq!(content(&sent, RecordType::Stdin, 1), body);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.feed(1, records().end(1, 0));
    bench.finish();
}

#[test]
fn a_refused_request_is_not_waited_for_before_its_new_connection_has_taken_it() {
    let mut bench = sent_elsewhere(0);
    bench.open_window(0, usize::MAX);
    bench.advance(10_000 * MS);
    assert_eq!(bench.seen(), []);
    bench.open_window(1, usize::MAX);
    bench.advance(999 * MS);
    assert_eq!(bench.seen(), []);
    bench.advance(MS);
    let error = RequestError::TimedOut(TimeoutKind::FirstOctet);
    let late = failed(3, error, Phase::Sent, Delivery::MaybeSent);
    assert_eq!(bench.seen(), [late]);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.eof(1);
    bench.finish();
}

#[test]
fn the_time_in_which_a_pushed_body_had_nothing_to_send_is_no_stall() {
    let mut timeouts = Timeouts::NONE;
    timeouts.write = Some(1_000 * MS);
    let mut bench = Bench::plain();
    let body = Body::pushed(Some(10));
    let handle = bench.submit(request().with_timeouts(timeouts).with_body(body));
    bench.peers[0].window = 0;
    bench.advance(10_000 * MS);
    let pushed = bench.command(|engine, now| engine.write_stdin(now, handle, b"0123456789"));
    assert_eq!(pushed, Ok(10));
    bench.advance(999 * MS);
    assert_eq!(bench.seen(), []);
    bench.advance(MS);
    let error = RequestError::TimedOut(TimeoutKind::Write);
    let late = failed(1, error, Phase::Sending, Delivery::MaybeSent);
    assert_eq!(bench.seen(), [late]);
    bench.finish();
}

#[test]
fn a_push_of_nothing_asks_for_no_write() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request().with_body(Body::pushed(Some(1))));
    let now = bench.now;
    assert_eq!(bench.engine.write_stdin(now, handle, b""), Ok(0));
    assert_eq!(bench.engine.poll_action(), None);
    let pushed = bench.command(|engine, now| engine.write_stdin(now, handle, b"x"));
    assert_eq!(pushed, Ok(1));
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

#[test]
fn a_shared_connection_that_says_something_while_idle_is_used_again_behind_it() {
    let mut bench = Bench::shared(4);
    bench.submit(request());
    bench.feed(0, records().end(1, 0));
    let octets = records().unknown_type(99);
    let (first, rest) = octets.as_ref().split_at(5);
    bench.feed(0, first);
    assert_eq!(bench.peers[0].closed, None);
    bench.feed(0, rest);
    bench.sent(0);
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(1));
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_question_under_way_is_answered_during_a_shutdown() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    bench.command(|engine, now| engine.shutdown(now, None));
    assert_eq!(bench.peers[0].closed, None);
    bench.feed(0, records().values(&[]));
    let values = Seen::Values(1, ServerValues::default());
    assert_eq!(bench.seen(), [values, done(1), Seen::ShutDown]);
}
