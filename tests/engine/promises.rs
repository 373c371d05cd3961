//! The promises of the library: one `End`, a true verdict, no byte for the wrong request, and nothing that the
//! application sends breaks the engine.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{
    Body, ConnectError, ConnectionLostReason, Delivery, EventKind, Multiplex, Phase, RequestError,
    Retry, TimeoutKind, Timeouts, UnknownLength,
};
use proptest::prelude::*;

use crate::harness::{Answer, Bench};
use crate::script::{Records, Seen, Sent, config, done, failed, out, records, request};

const SECOND: Duration = Duration::from_secs(1);

/// A bench that brings request 1 to a phase, and the verdict expected in that phase.
type Stage = (fn() -> Bench, Phase, Delivery);

fn buffering() -> Bench {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 5 };
    let mut bench = Bench::new(config);
    bench.submit(timed().with_body(Body::pushed(None)));
    bench
}

fn waiting() -> Bench {
    let mut config = config(Multiplex::Off);
    config.connect_timeout = 1000 * SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Hang;
    bench.submit(timed());
    bench
}

/// `window` bytes of the request have been sent.
fn sending(window: usize) -> Bench {
    let mut bench = waiting();
    bench.peers[0].window = window;
    bench.accept(0);
    bench
}

fn answered(answer: Records) -> Bench {
    let mut bench = sending(usize::MAX);
    bench.feed(0, answer);
    bench.events();
    bench
}

/// The application has ended the request, and its output is held because the embedder has paused it.
fn draining() -> Bench {
    let mut bench = Bench::shared(2);
    let handle = bench.submit(timed());
    let other = bench.submit(timed());
    bench.command(|engine, now| engine.pause(now, handle));
    bench.feed(0, records().stdout(1, "held").end(1, 0).end(2, 0));
    bench.events();
    assert_eq!(bench.handles, [handle, other]);
    bench
}

/// A request that is not sent again and times out after a minute.
fn timed() -> mio_fcgi::Request {
    let limits = Timeouts::NONE.with_total(60 * SECOND);
    request().with_retry(Retry::Never).with_timeouts(limits)
}

const STAGES: [Stage; 9] = [
    (buffering, Phase::Buffering, Delivery::NotProcessed),
    (waiting, Phase::Queued, Delivery::NotProcessed),
    (|| sending(0), Phase::Sending, Delivery::NotProcessed),
    (|| sending(1), Phase::Sending, Delivery::MaybeProcessed),
    (
        || sending(usize::MAX),
        Phase::Sent,
        Delivery::MaybeProcessed,
    ),
    (
        || answered(records().stdout(1, "hi")),
        Phase::Receiving,
        Delivery::Responded,
    ),
    (
        || answered(records().stderr(1, "!")),
        Phase::Receiving,
        Delivery::Responded,
    ),
    (
        || answered(records().stdout_end(1)),
        Phase::Receiving,
        Delivery::Responded,
    ),
    (draining, Phase::Receiving, Delivery::Responded),
];

#[test]
fn an_abort_tells_how_far_the_request_had_come() {
    for (number, (stage, phase, delivery)) in STAGES.into_iter().enumerate() {
        let mut bench = stage();
        let handle = bench.handles[0];
        bench.command(|engine, now| engine.abort(now, handle));
        let aborted = failed(1, RequestError::Aborted, phase, delivery);
        assert_eq!(bench.seen(), [aborted], "stage {number}");
        bench.finish();
    }
}

#[test]
fn a_time_limit_tells_how_far_the_request_had_come() {
    for (number, (stage, phase, delivery)) in STAGES.into_iter().enumerate() {
        let mut bench = stage();
        bench.advance(60 * SECOND - SECOND);
        assert_eq!(bench.seen(), [], "stage {number}");
        bench.advance(SECOND);
        let error = RequestError::TimedOut(TimeoutKind::Total);
        let late = failed(1, error, phase, delivery);
        assert_eq!(bench.seen(), [late], "stage {number}");
        bench.finish();
    }
}

#[test]
fn a_shut_down_tells_how_far_the_request_had_come() {
    for (number, (stage, phase, delivery)) in STAGES.into_iter().enumerate() {
        let mut bench = stage();
        bench.command(|engine, now| engine.shutdown(now, Some(now + SECOND)));
        assert_eq!(bench.seen(), [], "stage {number}: it may still be finished");
        bench.advance(SECOND);
        let cut = failed(1, RequestError::ShutDown, phase, delivery);
        assert_eq!(bench.seen(), [cut, Seen::ShutDown], "stage {number}");
        assert!(bench.engine.is_idle());
    }
}

#[test]
fn a_lost_connection_tells_how_far_the_request_had_come() {
    // Without the phases in which the request has no connection.
    for (number, (stage, phase, delivery)) in STAGES.into_iter().enumerate().skip(2).take(6) {
        let mut bench = stage();
        bench.reset(0);
        let error =
            RequestError::ConnectionLost(ConnectionLostReason::Io(io::ErrorKind::ConnectionReset));
        let lost = failed(1, error, phase, delivery);
        assert_eq!(bench.seen(), [lost], "stage {number}");
        bench.finish();
    }
}

#[test]
fn whatever_ends_a_request_first_it_ends_once() {
    type Ending = fn(&mut Bench);
    let endings: [Ending; 6] = [
        |bench| {
            let handle = bench.handles[0];
            bench.command(|engine, now| engine.abort(now, handle));
        },
        |bench| bench.advance(120 * SECOND),
        |bench| {
            if !bench.peers.is_empty() {
                bench.reset(0);
            }
        },
        |bench| {
            if !bench.peers.is_empty() {
                bench.feed(0, records().end(1, 0).end(1, 0));
            }
        },
        |bench| {
            if !bench.peers.is_empty() {
                bench.feed(0, "garbage");
            }
        },
        |bench| bench.command(|engine, now| engine.shutdown(now, Some(now))),
    ];
    for (stage, ..) in STAGES {
        for first in endings {
            for second in endings {
                let mut bench = stage();
                // The bench itself fails on an event after an `End`.
                first(&mut bench);
                second(&mut bench);
                bench.advance(120 * SECOND);
                let ends = bench.seen();
                let ends = ends
                    .iter()
                    .filter(|it| matches!(it, Seen::Done(1, _) | Seen::Failed(1, ..)));
                assert_eq!(ends.count(), 1);
            }
        }
    }
}

#[test]
fn an_attempt_that_may_have_been_seen_is_not_forgotten_by_the_next() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.submit(request().with_retry(Retry::IfStale));
    bench.servers[0] = Answer::Refuse;
    bench.eof(0);
    let error = ConnectError::Failed(io::ErrorKind::ConnectionRefused);
    let end = failed(2, error, Phase::Queued, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [done(1), end]);
    bench.finish();

    // The second attempt was refused, which says nothing about the first.
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.submit(request().with_retry(Retry::IfStale));
    bench.eof(0);
    bench.feed(1, records().end_as(1, 0, ProtocolStatus::UnknownRole));
    let end = failed(
        2,
        RequestError::UnknownRole,
        Phase::Sent,
        Delivery::MaybeProcessed,
    );
    assert_eq!(bench.seen(), [done(1), end]);
    bench.finish();
}

#[test]
fn a_connection_that_spoke_to_another_request_was_not_stale() {
    let mut bench = Bench::shared(4);
    bench.submit(request());
    bench.feed(0, records().end(1, 0));
    for _ in 0..2 {
        bench.submit(request().with_retry(Retry::IfStale));
    }
    bench.feed(0, records().stdout(2, "hi"));
    bench.eof(0);
    let lost = || RequestError::ConnectionLost(ConnectionLostReason::Closed);
    let seen = [
        done(1),
        out(2, "hi"),
        failed(2, lost(), Phase::Receiving, Delivery::Responded),
        failed(3, lost(), Phase::Sent, Delivery::MaybeProcessed),
    ];
    assert_eq!(bench.seen(), seen);
    bench.finish();
}

#[test]
fn a_request_is_excused_by_a_stale_connection_once_though_the_next_one_was_used_before_it() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    for _ in 0..2 {
        bench.submit(request());
        bench.end(0);
    }
    bench.submit(request().with_retry(Retry::IfStale));
    bench.servers[0] = Answer::Hang;
    bench.eof(0);
    // Request 2 is sent before request 3, on the new connection.
    bench.get_values(0);
    bench.accept(1);
    bench.feed(1, records().values(&[]));
    assert_eq!(bench.sent(1)[1..], Sent::whole(1));
    bench.events();
    bench.eof(1);
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    let end = failed(3, lost, Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [end]);
    bench.finish();
}

#[test]
fn requests_are_sent_again_at_most_max_retries_times() {
    for max_retries in [0, 1, 2, 5] {
        let mut config = config(Multiplex::Off);
        config.max_retries = max_retries;
        let mut bench = Bench::new(config);
        bench.servers[0] = Answer::Hang;
        bench.submit(request());
        for attempt in 0..=usize::from(max_retries) {
            assert_eq!(bench.seen(), []);
            bench.peers[attempt].window = 0;
            bench.accept(attempt);
            bench.eof(attempt);
        }
        let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
        let end = failed(1, lost, Phase::Sending, Delivery::NotProcessed);
        assert_eq!(bench.seen(), [end]);
        assert_eq!(bench.peers.len(), usize::from(max_retries) + 1);
        bench.finish();
    }
}

#[test]
fn the_same_calls_with_the_same_instants_give_the_same_events() {
    let play = || {
        let mut bench = Bench::shared(4);
        for _ in 0..6 {
            bench.submit(timed());
        }
        bench.feed(0, records().stdout(2, "b").end(1, 0).stderr(3, "c"));
        bench.advance(30 * SECOND);
        bench.feed(0, records().stdout(1, "e").end(3, 0));
        bench.advance(60 * SECOND);
        let seen = bench.seen();
        let sent = bench.peers.iter().map(|peer| peer.sent.clone());
        (seen, sent.collect::<Vec<_>>())
    };
    assert_eq!(play(), play());
}

/// Something that happens to the `n`th request of a bench, or on that request's connection.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Submit,
    Output,
    Stderr,
    End,
    Abort,
    Pause,
    Resume,
    /// Output for a request that has ended.
    Late,
}

fn happening() -> impl Strategy<Value = (Happening, prop::sample::Index)> {
    let what = prop_oneof![
        4 => Just(Happening::Submit),
        8 => Just(Happening::Output),
        2 => Just(Happening::Stderr),
        4 => Just(Happening::End),
        2 => Just(Happening::Abort),
        1 => Just(Happening::Pause),
        1 => Just(Happening::Resume),
        1 => Just(Happening::Late),
    ];
    (what, any::<prop::sample::Index>())
}

/// A request as the application sees it.
#[derive(Clone, Copy)]
struct Begun {
    peer: usize,
    id: u16,
    /// The request's tag, which is also its output.
    tag: u64,
    ended: bool,
}

/// Records the requests sent since the last call. Each has its tag in a parameter.
fn note_begun(bench: &mut Bench, begun: &mut Vec<Begun>) {
    for peer in 0..bench.peers.len() {
        for item in bench.sent(peer) {
            if let Sent::Stream(mio_fcgi::wire::RecordType::Params, id, params) = item {
                let pair = mio_fcgi::wire::Pairs::new(&params).flatten().next();
                let tag = std::str::from_utf8(pair.expect("a pair").1).expect("digits");
                let tag = tag.parse().expect("a number");
                begun.push(Begun {
                    peer,
                    id,
                    tag,
                    ended: false,
                });
            }
        }
    }
}

fn play(max: u32, happenings: &[(Happening, prop::sample::Index)]) {
    let mut bench = Bench::shared(max);
    let mut begun: Vec<Begun> = Vec::new();
    for (what, which) in happenings {
        if let Happening::Submit = what {
            let tag = bench.handles.len() + 1;
            let request = mio_fcgi::Request::responder().param("TAG", tag.to_string());
            bench.submit(request);
        } else if !begun.is_empty() {
            let one = which.get(&begun);
            let (tag, id, open) = (one.tag, one.id, !one.ended);
            let (peer, handle) = (one.peer, bench.handles[tag as usize - 1]);
            let text = format!("<{tag}>");
            match what {
                Happening::Output if open => bench.feed(peer, records().stdout(id, text)),
                Happening::Stderr if open => bench.feed(peer, records().stderr(id, text)),
                Happening::End if open => {
                    let answer = records().stdout(id, text).end(id, 0);
                    begun.iter_mut().for_each(|it| it.ended |= it.tag == tag);
                    bench.feed(peer, answer);
                }
                // In the same read as the end of another request, if there is one.
                Happening::Late if open => {
                    begun.iter_mut().for_each(|it| it.ended |= it.tag == tag);
                    bench.feed(peer, records().end(id, 0).stdout(id, "<late>").end(id, 9));
                }
                Happening::Abort => bench.command(|engine, now| engine.abort(now, handle)),
                Happening::Pause => bench.command(|engine, now| engine.pause(now, handle)),
                Happening::Resume => bench.command(|engine, now| engine.resume(now, handle)),
                _ => {}
            }
        }
        note_begun(&mut bench, &mut begun);
    }
    for handle in bench.handles.clone() {
        bench.command(|engine, now| engine.resume(now, handle));
        bench.command(|engine, now| engine.abort(now, handle));
    }
    for event in bench.events() {
        let (EventKind::Stdout(data) | EventKind::Stderr(data)) = event.kind else {
            continue;
        };
        let own = format!("<{}>", event.tag.0);
        let text = String::from_utf8(data).expect("text");
        assert_eq!(text.replace(&own, ""), "", "of another request");
    }
    bench.finish();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_byte_reaches_the_wrong_request(
        max in 1_u32..5,
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        play(max, &happenings);
    }

    #[test]
    fn no_bytes_from_the_application_break_anything(
        max in 1_u32..3,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bench = Bench::shared(max);
        for _ in 0..3 {
            bench.submit(request());
        }
        let valid = records().stdout(1, "a").padded(3).stderr(2, "b").unknown_type(1).end(1, 0);
        let valid = valid.stdout_end(2).values(&[("A", "1")]).end(2, 0);
        let mut changed = valid.as_ref().to_vec();
        for (place, byte) in flips {
            *place.get_mut(&mut changed) = byte;
        }
        bench.feed(0, changed);
        bench.feed(0, bytes);
        for peer in 0..8 {
            if peer < bench.peers.len() {
                bench.eof(peer);
            }
        }
        bench.finish();
    }
}
