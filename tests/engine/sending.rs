//! Bytes sent and received: counted, on the right connection, and within their bounds.

use std::time::{Duration, Instant};

use mio_fcgi::wire::{Demux, EndRequest, ProtocolStatus, RecordType};
use mio_fcgi::{
    Action, Body, CloseReason, ConnectionHandle, ConnectionLostReason, Delivery, Engine, EventKind,
    Multiplex, OwnedEvent, Phase, RequestError, RequestHandle, Retry, ServerValues, Tag,
    TimeoutKind, Timeouts,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, content, done, failed, out, records, request};

const MS: Duration = Duration::from_millis(1);

#[test]
fn bytes_of_either_direction_are_counted_and_reported() {
    let mut bench = Bench::plain();
    bench.submit(request().with_body(Body::bytes(vec![b'x'; 100_000])));
    let answer = records().padded(3).stdout(1, "hi").end(1, 0);
    bench.feed(0, &answer);
    let counters = bench.stats().counters;
    let sent = bench.peers[0].sent.len() as u64;
    assert_eq!(counters.bytes_sent, sent);
    assert_eq!(counters.bytes_received, answer.as_ref().len() as u64);
    let events = bench.events();
    let Some(OwnedEvent {
        kind: EventKind::End(outcome),
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    assert_eq!(outcome.as_ref().map(|it| it.report.bytes_sent), Ok(sent));
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
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    bench.submit(request().with_timeouts(Timeouts::NONE));
    bench.peers[0].window = 0;
    let mut timeouts = Timeouts::NONE;
    timeouts.first_byte = Some(1_000 * MS);
    let other = Body::bytes(vec![b'a'; 200_000]);
    bench.submit(request().with_timeouts(Timeouts::NONE).with_body(other));
    let own = Body::bytes(vec![b'b'; body]);
    bench.submit(request().with_timeouts(timeouts).with_body(own));
    // Only the first bytes of the request are sent.
    while bench.id(0) != 3 {
        bench.open_window(0, 8);
    }
    bench.servers[0] = Answer::Hang;
    bench.feed(0, records().end_as(3, 0, ProtocolStatus::CantMultiplex));
    bench.peers[1].window = 0;
    bench.accept(1);
    bench
}

#[test]
fn a_refused_requests_body_goes_nowhere_but_to_its_new_connection() {
    // More than the new connection's outbox takes at once.
    let body = vec![b'b'; 400_000];
    let mut bench = sent_elsewhere(body.len());
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    assert_eq!(content(&sent, RecordType::Stdin, 2), [b'a'; 200_000]);
    let framed = content(&sent, RecordType::Stdin, 3).len();
    assert!(framed < 64 * 1024, "{framed} bytes of it");
    assert_eq!(content(&sent, RecordType::Stdin, 1), b"");
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
    let error = RequestError::TimedOut(TimeoutKind::FirstByte);
    let late = failed(3, error, Phase::Sent, Delivery::MaybeProcessed);
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
    let late = failed(1, error, Phase::Sending, Delivery::MaybeProcessed);
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
    bench.end(0);
    bench.finish();
}

#[test]
fn a_shared_connection_that_says_something_while_idle_is_used_again_behind_it() {
    let mut bench = Bench::shared(4);
    bench.submit(request());
    bench.feed(0, records().end(1, 0));
    let bytes = records().unknown_type(99);
    let (first, rest) = bytes.as_ref().split_at(5);
    bench.feed(0, first);
    assert_eq!(bench.peers[0].closed, None);
    bench.feed(0, rest);
    bench.sent(0);
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(2));
    bench.end(0);
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

/// A driver whose writes go on while the engine is used: what it was given of a request, with nothing reported.
fn handed_over(most: usize) -> (Bench, Vec<u8>) {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.seen();
    bench.peers[0].window = 0;
    let mut timeouts = Timeouts::NONE;
    timeouts.total = Some(1_000 * MS);
    let retry = Retry::IfNotProcessed;
    bench.submit(request().with_timeouts(timeouts).with_retry(retry));
    let mut out = b"before".to_vec();
    let mut handed = 0;
    let handle = bench.peers[0].handle;
    while handed < most {
        let more = bench.engine.poll_transmit(bench.now, handle, &mut out);
        if more == 0 {
            break;
        }
        handed += more;
    }
    assert_eq!(out.len(), "before".len() + handed);
    (bench, out)
}

// case 148
#[test]
fn what_was_handed_over_and_is_not_reported_yet_may_have_been_processed() {
    type End = (fn(&mut Bench), RequestError);
    let ends: [End; 3] = [
        (
            |bench| bench.advance(1_000 * MS),
            RequestError::TimedOut(TimeoutKind::Total),
        ),
        (
            |bench| {
                let handle = bench.handles[1];
                bench.command(|engine, now| engine.abort(now, handle));
            },
            RequestError::Aborted,
        ),
        (
            |bench| bench.eof(0),
            RequestError::ConnectionLost(ConnectionLostReason::Closed),
        ),
    ];
    for (end, error) in ends {
        let (mut bench, out) = handed_over(usize::MAX);
        let handle = bench.peers[0].handle;
        assert!(!bench.engine.wants_write(handle), "all of it is on its way");
        end(&mut bench);
        let ended = failed(2, error, Phase::Sent, Delivery::MaybeProcessed);
        assert_eq!(bench.seen(), [ended]);
        // The driver still has its own copy, whatever became of the request.
        let mut demux = Demux::default();
        let mut input = &out["before".len()..];
        let mut sent = Vec::new();
        while let Some(item) = demux.next(&mut input).expect("FastCGI is sent") {
            sent.push(Sent::from(item));
        }
        assert_eq!(sent, Sent::whole(2));
        assert_eq!(
            bench
                .engine
                .poll_transmit(bench.now, handle, &mut Vec::new()),
            0
        );
        bench.finish();
    }
}

// case 148
#[test]
fn what_was_shown_and_not_handed_over_was_not_sent() {
    let (mut bench, _) = handed_over(0);
    let handle = bench.peers[0].handle;
    assert!(!bench.engine.transmit(handle).is_empty());
    bench.eof(0);
    assert_eq!(bench.seen(), [], "it goes elsewhere");
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

// case 148
#[test]
fn an_answer_that_overtakes_the_report_of_the_write_counts() {
    let (mut bench, _) = handed_over(usize::MAX);
    bench.feed(0, records().stdout(2, "hi").end(2, 0));
    assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
    bench.finish();
}

/// A longer piece is not copied after its header, but sent as a slice.
const COPIED: usize = 4 * 1024;

#[test]
fn a_short_piece_behind_a_long_one_is_sent_behind_it() {
    use mio_fcgi::Config;
    use mio_fcgi::wire::Item;

    let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    let mut engine = Engine::new(config).expect("a valid configuration");
    let now = Instant::now();
    let request = mio_fcgi::Request::responder().with_body(Body::pushed(Some(COPIED as u64 + 11)));
    let request = engine.submit(now, request, Tag(0)).expect("accepted");
    let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
        panic!("a request needs a connection");
    };
    engine.handle_connected(now, connection);
    let mut body = vec![b'a'; COPIED + 1];
    body.extend([b'b'; 10]);
    for piece in [&body[..=COPIED], &body[COPIED + 1..]] {
        let taken = engine.write_stdin(now, request, piece);
        assert_eq!(taken, Ok(piece.len()));
    }
    assert_eq!(engine.finish_stdin(now, request), Ok(()));

    let mut bytes = Vec::new();
    loop {
        let slices = engine.transmit(connection);
        let sent: usize = slices.iter().map(|slice| slice.len()).sum();
        for slice in slices.iter() {
            bytes.extend_from_slice(slice);
        }
        if sent == 0 {
            break;
        }
        engine.handle_transmitted(now, connection, sent);
    }
    let (mut demux, mut input, mut stdin) = (Demux::default(), &bytes[..], Vec::new());
    while let Ok(Some(item)) = demux.next(&mut input) {
        if let Item::Stream {
            record_type: RecordType::Stdin,
            data,
            ..
        } = item
        {
            stdin.extend_from_slice(data);
        }
    }
    assert!(stdin == body, "{} bytes, out of order", stdin.len());
}

#[test]
fn a_fact_about_a_connection_that_is_gone_says_nothing_of_the_one_in_its_place() {
    use mio_fcgi::Disconnected;

    let mut engine = Engine::new(config(Multiplex::Off)).expect("a valid configuration");
    let now = Instant::now();
    let next = |engine: &mut Engine| {
        let request = engine.submit(now, request(), Tag(0)).expect("accepted");
        loop {
            if let Some(Action::Connect { connection, .. }) = engine.poll_action() {
                engine.handle_connected(now, connection);
                break (request, connection);
            }
        }
    };
    let (request, gone) = next(&mut engine);
    engine.abort(now, request);
    let (_, here) = next(&mut engine);
    assert_eq!(
        here.index(),
        gone.index(),
        "the second has the first's place"
    );

    let before = (engine.stats(), engine.wants_write(here));
    engine.handle_connected(now, gone);
    engine.handle_readable(now, gone);
    engine.handle_read_closed(now, gone);
    engine.handle_short_read(now, gone);
    engine.handle_drained(now, gone);
    engine.handle_transmitted(now, gone, 1);
    let mut bytes = &b"nothing of FastCGI"[..];
    assert_eq!(engine.poll_received(now, gone, &mut bytes), None);
    assert!(bytes.is_empty(), "they are dropped");
    assert_eq!(engine.poll_transmit(now, gone, &mut Vec::new()), 0);
    engine.handle_closed(now, gone, Disconnected::Eof);
    assert_eq!((engine.stats(), engine.wants_write(here)), before);
}

/// An engine with requests of these bodies on one shared connection, of which at most `sent` bytes have been sent.
fn sharing(bodies: [Body; 3], sent: usize) -> (Engine, Vec<RequestHandle>, ConnectionHandle) {
    let now = Instant::now();
    let mut engine = Engine::new(config(Multiplex::On { max: 9 })).expect("a valid configuration");
    let requests = bodies.into_iter().map(|body| {
        let submitted = engine.submit(now, request().with_body(body), Tag(0));
        submitted.expect("accepted")
    });
    let requests = requests.collect();
    let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
        panic!("they need a connection");
    };
    engine.handle_connected(now, connection);
    while engine.poll_action().is_some() {}
    let waiting: usize = engine.transmit(connection).iter().map(|it| it.len()).sum();
    engine.handle_transmitted(now, connection, sent.min(waiting));
    (engine, requests, connection)
}

fn end(
    engine: &mut Engine,
    now: Instant,
    connection: ConnectionHandle,
    id: u16,
    status: ProtocolStatus,
) {
    let mut bytes = Vec::new();
    let body = EndRequest {
        app_status: 0,
        protocol_status: status,
    };
    mio_fcgi::wire::write_end_request(&mut bytes, id, body);
    let mut input = &bytes[..];
    while engine.poll_received(now, connection, &mut input).is_some() {}
}

#[test]
fn an_abort_that_is_not_answered_is_why_a_connection_closes_whatever_had_retired_it() {
    let (mut engine, requests, connection) = sharing(
        [Body::pushed(Some(10)), Body::empty(), Body::empty()],
        usize::MAX,
    );
    let now = Instant::now();
    end(
        &mut engine,
        now,
        connection,
        1,
        ProtocolStatus::CantMultiplex,
    );
    engine.abort(now, requests[1]);
    let later = now + engine.config().abort_grace;
    engine.handle_timeout(later);
    end(
        &mut engine,
        later,
        connection,
        3,
        ProtocolStatus::RequestComplete,
    );
    let counters = engine.stats().counters;
    assert_eq!(
        counters.closed_for(CloseReason::AbortGrace),
        1,
        "{counters:?}"
    );
}

#[test]
fn no_write_is_asked_for_when_nothing_was_added_to_what_is_to_be_written() {
    let (mut engine, _, connection) = sharing([Body::empty(), Body::empty(), Body::empty()], 20);
    end(
        &mut engine,
        Instant::now(),
        connection,
        1,
        ProtocolStatus::RequestComplete,
    );
    assert_eq!(engine.poll_action(), None);
}
