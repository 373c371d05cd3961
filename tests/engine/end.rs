//! How requests end when their connection does: cut short, reset, lost before the first byte.

use std::io;

use mio_fcgi::cgi::{Collector, ResponseLimits};
use mio_fcgi::wire::DecodeError;
use mio_fcgi::{
    Body, ConnectionLostReason, Delivery, EventKind, OwnedEvent, Phase, ProtocolError, Request,
    RequestError, Retry,
};

use crate::harness::Bench;
use crate::script::{Records, Seen, Sent, done, failed, out, records, request};

fn lost() -> RequestError {
    RequestError::ConnectionLost(ConnectionLostReason::Closed)
}

fn reset() -> RequestError {
    RequestError::ConnectionLost(ConnectionLostReason::Io(io::ErrorKind::ConnectionReset))
}

/// A bench whose connection 0 has served one request and is idle.
fn reused() -> Bench {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.events();
    bench
}

/// What a collector says of a response, and whether the engine ended the request well.
fn collected(answer: Records, eof: bool) -> (bool, bool) {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, answer);
    if eof {
        bench.eof(0);
    }
    let mut collector = Collector::new(ResponseLimits::default());
    let mut outcome = None;
    for event in bench.events() {
        let _ = collector.on_event(&event.as_event());
        if let EventKind::End(end) = event.kind {
            outcome = Some(end);
        }
    }
    let outcome = outcome.expect("an End");
    let ended_well = outcome.is_ok();
    bench.finish();
    (collector.finish(outcome).is_ok(), ended_well)
}

// case 48
#[test]
fn a_response_cut_short_is_never_reported_as_complete() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, records().stdout(1, "half of it"));
    bench.eof(0);
    let cut = failed(1, lost(), Phase::Receiving, Delivery::Responded);
    assert_eq!(bench.seen(), [out(1, "half of it"), cut]);
    bench.finish();
}

// case 48
#[test]
fn a_connection_lost_inside_a_record_hands_on_what_has_come_of_it() {
    let whole = records().stdout(1, "0123456789").end(1, 0);
    for len in 1..whole.as_ref().len() {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.feed(0, &whole.as_ref()[..len]);
        bench.eof(0);
        let text = &"0123456789"[..len.saturating_sub(8).min(10)];
        let seen = bench.seen();
        if text.is_empty() {
            let unanswered = failed(1, lost(), Phase::Sent, Delivery::MaybeProcessed);
            assert_eq!(seen, [unanswered], "{len} bytes");
        } else {
            let cut = failed(1, lost(), Phase::Receiving, Delivery::Responded);
            assert_eq!(seen, [out(1, text), cut], "{len} bytes");
        }
        bench.finish();
    }
}

// case 49
#[test]
fn a_connection_lost_after_the_end_of_stdout_is_a_failure_that_says_so() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.feed(0, records().stdout(1, "all of it").stdout_end(1));
    bench.eof(0);
    let events = bench.events();
    let Some(OwnedEvent {
        kind: EventKind::End(outcome),
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    let failure = outcome.as_ref().expect_err("the connection was lost");
    assert!(failure.report.stdout_ended);
    let cut = failed(1, lost(), Phase::Receiving, Delivery::Responded);
    let seen = [out(1, "all of it"), Seen::StdoutEnd(1), cut];
    assert_eq!(Seen::all(&events), seen);
    bench.finish();

    let answer = records().stdout(1, "A: b\n\nall of it").stdout_end(1);
    assert_eq!(collected(answer, true), (true, false));
}

// case 50
#[test]
fn a_connection_lost_behind_the_declared_length_leaves_a_whole_response() {
    let answer = records().stdout(1, "Content-Length: 2\n\nhi");
    assert_eq!(collected(answer, true), (true, false));
}

// case 51
#[test]
fn a_connection_lost_before_the_declared_length_leaves_none() {
    let answer = records().stdout(1, "Content-Length: 3\n\nhi");
    assert_eq!(collected(answer, true), (false, false));
}

// case 52
#[test]
fn an_end_before_the_declared_length_leaves_none_at_once() {
    let answer = records().stdout(1, "Content-Length: 3\n\nhi").end(1, 0);
    assert_eq!(collected(answer, false), (false, true));
}

// case 53
#[test]
fn a_body_beyond_the_declared_length_leaves_none() {
    let answer = records().stdout(1, "Content-Length: 1\n\nhi").end(1, 0);
    assert_eq!(collected(answer, false), (false, true));
}

// case 54
#[test]
fn a_reset_behind_a_complete_end_changes_nothing() {
    for bytes_of_a_read in [usize::MAX, 1] {
        let mut bench = Bench::plain();
        bench.read_len = bytes_of_a_read;
        let handle = bench.submit(request());
        // Both are in the socket at the next read: one readiness.
        bench.command(|engine, now| engine.pause(now, handle));
        bench.feed(0, records().stdout(1, "hi").end(1, 0));
        bench.reset(0);
        bench.command(|engine, now| engine.resume(now, handle));
        assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
        bench.finish();
    }
}

// case 55
#[test]
fn a_reset_before_the_first_byte_on_a_reused_connection_is_retried_once_on_a_new_one() {
    let mut bench = reused();
    bench.submit(request().with_retry(Retry::IfStale));
    bench.sent(0);
    bench.reset(0);
    assert_eq!(bench.seen(), [], "the embedder sees nothing of it");
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.feed(1, records().stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
    assert_eq!(bench.stats().counters.retries, 1);
    bench.finish();
}

// case 55
#[test]
fn a_stale_connection_is_an_excuse_only_once() {
    let mut bench = Bench::plain();
    for _ in 0..3 {
        bench.submit(request());
    }
    for peer in 0..3 {
        bench.end(peer);
    }
    bench.events();
    bench.submit(request().with_retry(Retry::IfStale));
    bench.eof(2);
    assert_eq!(
        bench.sent(3),
        Sent::whole(1),
        "not on another that may be stale as well"
    );
    bench.eof(3);
    assert_eq!(
        bench.seen(),
        [failed(4, lost(), Phase::Sent, Delivery::MaybeProcessed)]
    );
    bench.finish();
}

// case 56
#[test]
fn a_reset_before_the_first_byte_on_a_fresh_connection_is_an_unsafe_failure() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.reset(0);
    assert_eq!(
        bench.seen(),
        [failed(1, reset(), Phase::Sent, Delivery::MaybeProcessed)]
    );
    bench.finish();
}

// case 57
#[test]
fn an_end_of_file_before_the_first_byte_on_a_fresh_connection_is_an_unsafe_failure() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.eof(0);
    assert_eq!(
        bench.seen(),
        [failed(1, lost(), Phase::Sent, Delivery::MaybeProcessed)]
    );
    bench.finish();
}

#[test]
fn a_fresh_connection_is_retried_once_where_the_embedder_said_that_twice_is_fine() {
    let mut bench = Bench::plain();
    bench.submit(request().with_retry(Retry::IfUnanswered));
    for peer in 0..=1 {
        assert_eq!(bench.sent(peer), Sent::whole(1));
        bench.reset(peer);
    }
    assert_eq!(
        bench.seen(),
        [failed(1, reset(), Phase::Sent, Delivery::MaybeProcessed)]
    );
    assert_eq!(bench.stats().counters.retries, 1, "twice, not more");
    bench.finish();
}

/// The second request of a bench, sent up to `window` bytes on a reused connection.
fn sent_in_part(request: Request, window: usize) -> Bench {
    let mut bench = reused();
    bench.sent(0);
    bench.peers[0].window = window;
    bench.submit(request);
    bench
}

/// As [`sent_in_part`], and the connection is then lost.
fn lost_while_sending(request: Request, window: usize) -> Bench {
    let mut bench = sent_in_part(request, window);
    bench.eof(0);
    bench
}

// case 58
#[test]
fn a_reused_connection_lost_while_half_was_sent_is_retried_where_the_body_can_be_replayed() {
    let text = "x".repeat(100_000);
    let bodies = [
        || Body::bytes("x".repeat(100_000)),
        || Body::shared("x".repeat(100_000).into_bytes().into()),
        || Body::seekable(io::Cursor::new("x".repeat(100_000)), Some(100_000)),
    ];
    for body in bodies {
        for window in [0, 1, 50, 70_000] {
            let request = request().with_body(body()).with_retry(Retry::IfStale);
            let mut bench = lost_while_sending(request, window);
            let sent = bench.sent(1);
            let stdin = mio_fcgi::wire::RecordType::Stdin;
            assert_eq!(crate::script::content(&sent, stdin, 1), text.as_bytes());
            bench.feed(1, records().stdout(1, "hi").end(1, 0));
            assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
            bench.finish();
        }
    }
}

// case 58
#[test]
fn a_body_that_cannot_be_replayed_fails_with_the_reason_of_the_loss() {
    let version = DecodeError::Version { found: b'x' };
    type Loss = (fn(&mut Bench), RequestError);
    let losses: [Loss; 3] = [
        (|bench| bench.eof(0), lost()),
        (|bench| bench.reset(0), reset()),
        (
            |bench| bench.feed(0, "x"),
            ProtocolError::Decode(version).into(),
        ),
    ];
    for (lose, error) in losses {
        let body = Body::reader(io::Cursor::new("x".repeat(100_000)), Some(100_000));
        let request = request().with_body(body).with_retry(Retry::IfStale);
        let mut bench = sent_in_part(request, 70_000);
        lose(&mut bench);
        let seen = [failed(2, error, Phase::Sending, Delivery::MaybeProcessed)];
        assert_eq!(bench.seen(), seen);
        bench.finish();
    }
}

#[test]
fn a_request_of_which_nothing_was_sent_is_retried_on_any_connection() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.peers[0].window = 0;
    bench.submit(request().with_retry(Retry::IfNotProcessed));
    bench.reset(0);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_request_that_must_not_run_twice_says_whether_it_can_have_run() {
    for (window, phase, delivery) in [
        (0, Phase::Sending, Delivery::NotProcessed),
        (1, Phase::Sending, Delivery::MaybeProcessed),
        (usize::MAX, Phase::Sent, Delivery::MaybeProcessed),
    ] {
        let mut bench = lost_while_sending(request().with_retry(Retry::Never), window);
        assert_eq!(bench.seen(), [failed(2, lost(), phase, delivery)]);
        bench.finish();
    }
}
