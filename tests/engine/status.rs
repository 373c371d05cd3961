//! Refusals, by status or by connect: which requests are sent again, when, and what the embedder is told.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::{ProtocolStatus, RecordType};
use mio_fcgi::{
    Body, ConnectError, ConnectionLostReason, Delivery, EventKind, Multiplex, OwnedEvent, Phase,
    Request, RequestError, Retry, TimeoutKind, Timeouts,
};

use crate::harness::{Answer, Bench};
use crate::script::{
    Records, Seen, Sent, config, content, done, failed, not_connected, out, records, refused,
    request,
};

fn refusal(id: u16, status: ProtocolStatus) -> Records {
    records().end_as(id, 0, status)
}

fn overloaded(id: u16) -> Records {
    refusal(id, ProtocolStatus::Overloaded)
}

/// Up to `max` connections, which the embedder has declared shared.
fn sharing(max: usize) -> Bench {
    let mut config = config(Multiplex::On { max: 8 });
    config.limits.max_connections_per_server = max;
    Bench::new(config)
}

fn two_servers() -> Bench {
    let mut config = config(Multiplex::Off);
    config.servers.push(config.servers[0].clone());
    Bench::new(config)
}

/// What happens to a request, step by step, on the connection that was opened last.
#[derive(Clone, Copy, Debug)]
enum Step {
    Refuse(ProtocolStatus),
    /// The refusal comes in one read with some output before it.
    RefuseAfterOutput(ProtocolStatus),
    End,
    Close,
    Wait(Duration),
    /// The clock moves on without a call of the engine.
    Clock(Duration),
}
use Step::{Clock, Close, End, Refuse, RefuseAfterOutput, Wait};

/// A row of a table: a request, what happens to it, and its `End`. `after` counts from its submission.
#[track_caller]
fn row(
    what: &str,
    (mut bench, request): (Bench, Request),
    steps: &[Step],
    seen: &[Seen],
    (retries, after): (u8, Duration),
) {
    // The last row printed is the one that failed.
    println!("{what}: {steps:?}");
    bench.submit(request);
    for step in steps {
        let peer = bench.peers.len() - 1;
        match *step {
            Refuse(status) => bench.answer(peer, |id| refusal(id, status)),
            RefuseAfterOutput(status) => {
                bench.answer(peer, |id| {
                    records().stdout(id, "part").end_as(id, 0, status)
                });
            }
            End => bench.end(peer),
            Close => bench.eof(peer),
            Wait(time) => bench.advance(time),
            Clock(time) => bench.now += time,
        }
    }
    let events = bench.events();
    assert_eq!(Seen::all(&events), seen, "{what}");
    let Some(OwnedEvent {
        kind: EventKind::End(outcome),
        ..
    }) = events.last()
    else {
        panic!("{what}: no end");
    };
    let report = match outcome {
        Ok(completion) => &completion.report,
        Err(failure) => &failure.report,
    };
    let told = (report.retries, report.timings.total());
    assert_eq!(told, (retries, after), "{what}");
    bench.finish();
}

fn plain(request: Request) -> (Bench, Request) {
    (Bench::plain(), request)
}

/// A request sent whole on a plain connection and refused in the end: the application has not acted on it.
fn rejected(error: RequestError) -> [Seen; 1] {
    [failed(1, error, Phase::Sent, Delivery::NotProcessed)]
}

const MS: Duration = Duration::from_millis(1);

// case 59
#[test]
fn a_refusal_to_share_that_never_stops_is_an_error_in_the_end() {
    row(
        "refused three times",
        plain(request()),
        &[Refuse(ProtocolStatus::CantMultiplex); 3],
        &rejected(RequestError::CantMultiplex),
        (2, Duration::ZERO),
    );
}

// case 60
#[test]
fn an_overload_that_lasts_or_cannot_be_waited_for_is_an_error_of_its_own_and_safe() {
    let overload = Refuse(ProtocolStatus::Overloaded);
    let seen = rejected(RequestError::Overloaded);
    row(
        "it lasts",
        plain(request()),
        &[overload, Wait(MS * 100), overload, Wait(MS * 100), overload],
        &seen,
        (2, MS * 200),
    );
    row(
        "the request is never retried",
        plain(request().with_retry(Retry::Never)),
        &[overload],
        &seen,
        (0, Duration::ZERO),
    );
    let reader = Body::reader(io::Cursor::new("12345"), Some(5));
    row(
        "the body cannot be replayed",
        plain(request().with_body(reader)),
        &[overload],
        &seen,
        (0, Duration::ZERO),
    );
}

// case 62
#[test]
fn refusals_after_output_are_not_retried() {
    for (status, error) in [
        (ProtocolStatus::Overloaded, RequestError::Overloaded),
        (ProtocolStatus::CantMultiplex, RequestError::CantMultiplex),
        (ProtocolStatus::UnknownRole, RequestError::UnknownRole),
    ] {
        let end = failed(1, error, Phase::Receiving, Delivery::Responded);
        row(
            "after output",
            plain(request()),
            &[RefuseAfterOutput(status)],
            &[out(1, "part"), end],
            (0, Duration::ZERO),
        );
    }
}

// case 65
#[test]
fn the_total_time_limit_ends_retries() {
    let limited = || request().with_timeouts(Timeouts::NONE.with_total(MS * 60));
    let overload = Refuse(ProtocolStatus::Overloaded);
    let timed_out = RequestError::TimedOut(TimeoutKind::Total);
    row(
        "between two of them",
        plain(limited()),
        &[overload, Wait(MS * 50), overload, Wait(MS * 100)],
        &[failed(1, timed_out, Phase::Queued, Delivery::NotProcessed)],
        (2, MS * 60),
    );
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    row(
        "a loss that is seen at that instant, before the deadline",
        plain(limited().with_retry(Retry::IfUnanswered)),
        &[Clock(MS * 60), Close],
        &[failed(1, lost, Phase::Sent, Delivery::MaybeProcessed)],
        (0, MS * 60),
    );
}

// case 66
#[test]
fn a_loss_once_a_byte_has_left_is_made_up_for_only_where_the_request_may_run_twice() {
    // One byte of the request is sent on a connection that has served.
    let begun = |retry| {
        let mut bench = Bench::plain();
        bench.submit(request());
        bench.end(0);
        bench.peers[0].window = 1;
        (bench, request().with_retry(retry))
    };
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    let end = failed(2, lost, Phase::Sending, Delivery::MaybeProcessed);
    row(
        "must not run twice",
        begun(Retry::IfNotProcessed),
        &[Close],
        &[done(1), end],
        (0, Duration::ZERO),
    );
    row(
        "may run twice",
        begun(Retry::IfStale),
        &[Close, End],
        &[done(1), done(2)],
        (1, Duration::ZERO),
    );
}

// case 59
#[test]
fn a_request_that_may_not_share_is_sent_elsewhere_and_the_others_go_on() {
    let mut bench = sharing(2);
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.sent(0);
    bench.feed(0, refusal(2, ProtocolStatus::CantMultiplex));
    assert_eq!(bench.sent(1), Sent::whole(1), "on a connection of its own");
    bench.feed(
        0,
        records().stdout(1, "a").end(1, 0).stdout(3, "c").end(3, 0),
    );
    bench.feed(1, records().stdout(1, "b").end(1, 0));
    let seen = [
        out(1, "a"),
        done(1),
        out(3, "c"),
        done(3),
        out(2, "b"),
        done(2),
    ];
    assert_eq!(bench.seen(), seen);
    assert_eq!(bench.stats().counters.retries, 1);
    bench.finish();
}

// case 59
#[test]
fn after_one_refusal_to_share_no_two_requests_share_a_connection() {
    let mut bench = sharing(2);
    bench.submit(request());
    bench.submit(request());
    bench.feed(0, refusal(2, ProtocolStatus::CantMultiplex));
    for _ in 0..2 {
        bench.submit(request());
    }
    assert_eq!(
        bench.stats().requests.queued,
        2,
        "two connections, two requests"
    );
    bench.sent(0);
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.sent(0).len(), 4, "one of the two");
    assert_eq!(bench.stats().requests.queued, 1);
    for peer in [1, 0, 1] {
        bench.end(peer);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
    bench.finish();
}

// case 59
#[test]
fn a_request_refused_while_its_body_is_sent_leaves_the_connection_in_order() {
    let text = "x".repeat(150_000);
    let mut bench = sharing(2);
    bench.submit(request());
    bench.peers[0].window = 10_000;
    bench.submit(request().with_body(Body::bytes(text.as_bytes())));
    bench.feed(0, refusal(2, ProtocolStatus::CantMultiplex));
    assert_eq!(
        content(&bench.sent(1), RecordType::Stdin, 1),
        text.as_bytes()
    );
    bench.feed(1, records().end(1, 0));
    // Another request takes its place, while its bytes on connection 0 are still to be sent.
    let other = "y".repeat(150_000);
    bench.submit(request().with_body(Body::bytes(other.as_bytes())));
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    let begun = content(&sent, RecordType::Stdin, 2);
    assert!(begun.iter().all(|byte| *byte == b'x'), "not the other's");
    assert_eq!(sent.last(), Some(&Sent::StreamEnd(RecordType::Stdin, 2)));
    bench.feed(0, records().stdout(1, "a").end(1, 0));
    bench.end(1);
    assert_eq!(bench.seen(), [done(2), out(1, "a"), done(1), done(3)]);
    bench.finish();
}

// case 60
#[test]
fn an_overloaded_application_is_tried_again_after_a_pause_that_doubles() {
    let mut bench = Bench::plain();
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(1));
    for (pause, id) in [(50, 2), (100, 1)] {
        bench.answer(0, overloaded);
        bench.advance(MS * (pause - 1));
        assert_eq!(bench.sent(0), [], "not yet");
        bench.advance(MS);
        assert_eq!(bench.sent(0), Sent::whole(id));
    }
    bench.feed(0, records().stdout(1, "hi").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.finish();
}

// case 60
#[test]
fn an_overloaded_server_leaves_its_requests_to_the_others() {
    let mut bench = two_servers();
    bench.submit(request());
    assert_eq!(bench.peers[0].server, 0);
    bench.answer(0, overloaded);
    assert_eq!(bench.peers[1].server, 1);
    assert_eq!(bench.sent(1), Sent::whole(1), "without a pause");
    bench.end(1);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

// case 61
#[test]
fn an_unknown_role_is_its_own_error_and_the_others_go_on() {
    let mut bench = sharing(1);
    bench.submit(request());
    bench.submit(request());
    bench.feed(
        0,
        refusal(1, ProtocolStatus::UnknownRole)
            .stdout(2, "hi")
            .end(2, 0),
    );
    let unknown = failed(
        1,
        RequestError::UnknownRole,
        Phase::Sent,
        Delivery::NotProcessed,
    );
    assert_eq!(bench.seen(), [unknown, out(2, "hi"), done(2)]);
    assert_eq!(bench.stats().counters.retries, 0);
    bench.finish();
}

// case 63
#[test]
fn a_server_that_refuses_the_connect_is_passed_over_for_a_while() {
    let mut bench = two_servers();
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    let servers = |bench: &Bench| bench.peers.iter().map(|it| it.server).collect::<Vec<_>>();
    assert_eq!(servers(&bench), [0, 1]);
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.submit(request());
    bench.submit(request());
    assert_eq!(servers(&bench), [0, 1, 1, 1], "set aside");
    assert_eq!(bench.stats().counters.connect_failures, 1);
    bench.servers[0] = Answer::Accept;
    bench.advance(MS * 50);
    bench.submit(request());
    let tried = [0, 1, 1, 1, 0, 1];
    assert_eq!(servers(&bench), tried, "beside one that surely serves");
    for peer in 1..=4 {
        bench.end(peer);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
    bench.finish();
}

// case 64
#[test]
fn when_all_servers_refuse_the_request_fails_at_once_and_nothing_is_left() {
    let mut bench = two_servers();
    bench.servers.fill(Answer::Refuse);
    bench.submit(request());
    assert_eq!(bench.seen(), [refused(1)]);
    assert_eq!(bench.stats().connections, Default::default());
    bench.finish();
}

// case 64
#[test]
fn a_connect_that_is_never_answered_fails_at_its_time_limit() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    bench.advance(bench.engine.config().connect_timeout - MS);
    assert_eq!(bench.seen(), []);
    bench.advance(MS);
    assert_eq!(bench.seen(), [not_connected(1, ConnectError::TimedOut)]);
    assert!(bench.peers[0].closed.is_some());
    bench.finish();
}

#[test]
fn a_full_backlog_is_waited_for() {
    let mut bench = Bench::plain();
    bench.answers = [Answer::BacklogFull, Answer::BacklogFull].into();
    bench.submit(request());
    assert_eq!(bench.sent(0), []);
    for _ in 0..2 {
        assert!(bench.advance_to_timeout());
    }
    assert_eq!(bench.sent(0), Sent::whole(1), "the third connect");
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}
