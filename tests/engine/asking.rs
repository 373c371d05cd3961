//! When the client itself asks a server whether it multiplexes, and what that question costs.

use std::time::Duration;

use mio_fcgi::{Body, CloseReason, Config, Multiplex, Request, Retry};

use crate::harness::{Answer, Bench};
use crate::script::{Records, Sent, config, done, records, repeatable, request};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn auto(max_connections: usize, change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = max_connections;
    change(&mut config);
    Bench::new(config)
}

fn yes() -> Records {
    records().values(&[("FCGI_MPXS_CONNS", "1")])
}

fn no() -> Records {
    records().values(&[("FCGI_MPXS_CONNS", "0")])
}

/// Whether the question is among what was sent last on a connection.
fn is_asked(bench: &mut Bench, peer: usize) -> bool {
    bench.sent(peer).contains(&Sent::GetValues)
}

/// One connection is allowed. It has become idle while a request is queued, and the client asks the server on it.
fn asked_on_idle() -> Bench {
    let mut bench = auto(1, |_| {});
    bench.submit(repeatable());
    bench.submit(repeatable());
    assert_eq!(bench.sent(0), Sent::whole(1));
    bench.end(0);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    assert_eq!(bench.seen(), [done(1)]);
    bench
}

/// A connection serves a request, carries the question, and serves the queued request.
fn is_asked_once_it_has_served(bench: &mut Bench, peer: usize) {
    assert_eq!(bench.sent(peer), Sent::whole(1));
    bench.end(peer);
    assert_eq!(bench.sent(peer), [Sent::GetValues]);
    bench.feed(peer, no());
    bench.end(peer);
}

/// Ends what is in flight on the connections there are, one after the other.
fn end_all(bench: &mut Bench, peers: impl IntoIterator<Item = usize>) {
    for peer in peers {
        bench.end(peer);
    }
}

#[test]
fn it_is_asked_on_the_next_connection_that_becomes_idle_and_that_takes_no_request_meanwhile() {
    let mut bench = auto(2, |_| {});
    for _ in 0..4 {
        bench.submit(repeatable());
    }
    assert!(!is_asked(&mut bench, 0) && !is_asked(&mut bench, 1));
    bench.end(1);
    assert_eq!(bench.sent(1), [Sent::GetValues]);
    let (connections, requests) = (bench.stats().connections, bench.stats().requests);
    assert_eq!((connections.probing, connections.idle), (1, 0));
    assert_eq!((requests.active, requests.queued), (1, 2));
    bench.end(0);
    assert_eq!(bench.sent(0), Sent::whole(2), "asked once");
    bench.feed(1, no());
    assert_eq!(bench.sent(1), Sent::whole(2));
    assert_eq!(bench.stats().connections.probing, 0);
    end_all(&mut bench, [0, 1]);
    assert_eq!(bench.seen().len(), 4);
    bench.finish();
}

#[test]
fn nobody_is_asked_on_an_idle_connection_while_no_request_waits() {
    let mut bench = auto(2, |_| {});
    for _ in 0..2 {
        bench.submit(repeatable());
    }
    end_all(&mut bench, [0, 1]);
    bench.advance(SECOND);
    assert!(!is_asked(&mut bench, 0) && !is_asked(&mut bench, 1));
    assert_eq!(bench.stats().connections.idle, 2);
    bench.finish();
}

#[test]
fn nobody_is_asked_on_a_connection_that_has_not_served() {
    let mut bench = auto(1, |_| {});
    bench.servers[0] = Answer::Hang;
    bench.submit(repeatable());
    bench.submit(repeatable());
    bench.accept(0);
    is_asked_once_it_has_served(&mut bench, 0);
    bench.finish();
}

#[test]
fn nobody_is_asked_on_a_connection_whose_end_was_announced() {
    let mut bench = auto(1, |_| {});
    bench.tells_reads = true;
    bench.submit(repeatable());
    bench.submit(repeatable());
    bench.arrive(0, records().end(1, 0));
    bench.arrive_end(0);
    bench.catch_up(0);
    assert!(!is_asked(&mut bench, 0));
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

// case 93
#[test]
fn on_an_idle_connection_a_yes_lets_those_that_wait_share_it() {
    let mut bench = asked_on_idle();
    bench.submit(repeatable());
    bench.feed(0, yes());
    let requests = bench.stats().requests;
    assert_eq!((requests.active, requests.queued), (2, 0));
    let sent = bench.sent(0);
    let ids = [2, 3].map(|id| sent.contains(&Sent::begin(id)));
    assert_eq!(ids, [true; 2]);
    bench.feed(0, records().end(3, 0).end(2, 0));
    assert_eq!(bench.seen(), [done(3), done(2)]);
    assert_eq!(bench.peers.len(), 1);
    bench.finish();
}

// case 93
#[test]
fn on_an_idle_connection_silence_costs_the_limit_and_the_connection() {
    let mut bench = asked_on_idle();
    bench.advance(999 * MS);
    assert_eq!(bench.peers[0].closed, None);
    assert_eq!(bench.peers.len(), 1, "the cap holds");
    bench.advance(MS);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ProbeDone));
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.submit(repeatable());
    bench.advance(SECOND);
    assert_eq!(bench.sent(1), [], "plain from now on");
    bench.end(1);
    assert_eq!(bench.sent(1), Sent::whole(2));
    bench.end(1);
    assert_eq!(bench.seen(), [done(2), done(3)]);
    bench.finish();
}

#[test]
fn an_answer_on_an_idle_connection_is_the_same_however_it_is_cut() {
    let answers = [
        (yes(), 2),
        (no(), 1),
        (records().unknown_type(9), 1),
        (records().padded(7).values(&[("A", "1")]), 1),
    ];
    for (answer, shared) in answers {
        let bytes = answer.as_ref();
        for cut in 0..=bytes.len() {
            let mut bench = asked_on_idle();
            bench.submit(repeatable());
            bench.feed(0, &bytes[..cut]);
            bench.feed(0, &bytes[cut..]);
            assert_eq!(bench.peers[0].closed, None, "cut at {cut}");
            assert_eq!(bench.stats().requests.active, shared, "cut at {cut}");
            while bench.stats().requests.active > 0 {
                let begun = bench.sent(0);
                for sent in begun {
                    if let Sent::Begin { id, .. } = sent {
                        bench.feed(0, records().end(id, 0));
                    }
                }
            }
            assert_eq!(bench.seen(), [done(2), done(3)]);
            bench.finish();
        }
    }
}

// case 94
#[test]
fn an_idle_connection_that_is_lost_over_the_question_means_plain_for_good() {
    let ends: [fn(&mut Bench); 3] = [
        |bench| bench.eof(0),
        |bench| bench.reset(0),
        |bench| bench.feed(0, "HTTP/1.1 400 Bad Request\r\n\r\n"),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut bench = asked_on_idle();
        end(&mut bench);
        assert_eq!(bench.sent(1), Sent::whole(1), "end {number}");
        bench.submit(repeatable().with_retry(Retry::IfStale));
        bench.advance(SECOND);
        assert_eq!(bench.sent(1), [], "end {number}");
        bench.end(1);
        assert_eq!(bench.sent(1), Sent::whole(2), "end {number}");
        bench.end(1);
        bench.finish();
    }
}

/// A close by this side says nothing about the application.
#[test]
fn a_question_that_ends_with_a_connection_of_our_own_closing_is_asked_again() {
    let behind: [fn(&mut Bench); 2] = [
        |bench| {
            let first = bench.handles[0];
            bench.command(|engine, now| engine.abort(now, first));
        },
        |bench| bench.advance(SECOND),
    ];
    for (number, end) in behind.into_iter().enumerate() {
        let mut bench = auto(1, |config| {
            config.timeouts = mio_fcgi::Timeouts::NONE;
        });
        let limited = mio_fcgi::Timeouts::NONE.with_total(2 * SECOND);
        bench.submit(repeatable().with_timeouts(limited));
        bench.submit(repeatable());
        bench.advance(SECOND);
        assert!(is_asked(&mut bench, 0));
        end(&mut bench);
        assert_eq!(bench.peers[0].closed, Some(CloseReason::Aborted));
        bench.submit(repeatable());
        assert_eq!(bench.sent(1), Sent::whole(1), "end {number}");
        bench.end(1);
        assert_eq!(bench.sent(1), [Sent::GetValues], "end {number}");
        bench.feed(1, no());
        bench.end(1);
        bench.finish();
    }
    // On an idle connection, new limits may close it.
    let mut bench = asked_on_idle();
    let mut limits = bench.engine.config().limits;
    limits.max_requests_per_connection = Some(1);
    let set = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(set, Ok(()));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxRequests));
    bench.submit(repeatable());
    limits.max_requests_per_connection = None;
    let set = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(set, Ok(()));
    is_asked_once_it_has_served(&mut bench, 1);
    bench.finish();
}

/// libfcgi loses what arrives after bytes that it has not read.
#[test]
fn it_is_asked_behind_a_request_that_the_application_has_read_as_a_whole_and_behind_no_other() {
    let long = |len: usize| repeatable().param("LONG", "x".repeat(len));
    let requests: [(Request, bool); 5] = [
        (repeatable(), true),
        (long(7_000), true),
        (long(8_192), false),
        (repeatable().with_body(Body::bytes("x")), false),
        (repeatable().with_body(Body::empty()), true),
    ];
    for (number, (first, expected)) in requests.into_iter().enumerate() {
        let mut bench = auto(1, |_| {});
        bench.submit(first);
        bench.submit(repeatable());
        bench.advance(5 * SECOND);
        assert_eq!(is_asked(&mut bench, 0), expected, "request {number}");
        bench.end(0);
        assert_eq!(is_asked(&mut bench, 0), !expected, "request {number}");
        bench.feed(0, no());
        bench.end(0);
        bench.finish();
    }
}

#[test]
fn the_second_that_a_request_has_held_its_connection_counts_from_its_last_byte() {
    let mut bench = auto(1, |_| {});
    bench.servers[0] = Answer::Hang;
    bench.submit(repeatable());
    bench.submit(repeatable());
    bench.peers[0].window = 20;
    bench.accept(0);
    bench.advance(5 * SECOND);
    bench.open_window(0, usize::MAX);
    bench.advance(999 * MS);
    assert!(!is_asked(&mut bench, 0));
    bench.advance(MS);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, no());
    end_all(&mut bench, [0, 0]);
    bench.finish();
}

#[test]
fn a_request_that_begins_to_wait_later_is_in_time_for_the_question() {
    let mut bench = auto(1, |_| {});
    bench.submit(repeatable());
    bench.advance(5 * SECOND);
    assert_eq!(bench.sent(0), Sent::whole(1), "nobody waits");
    bench.submit(repeatable());
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, yes());
    assert_eq!(bench.stats().requests.active, 2);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

/// One answer serves both questions.
#[test]
fn nobody_is_asked_while_the_embedders_own_question_waits_for_the_same_connection() {
    let mut bench = auto(1, |_| {});
    bench.submit(request());
    bench.submit(request());
    bench.get_values(0);
    bench.end(0);
    assert!(is_asked(&mut bench, 0));
    bench.feed(0, yes());
    assert_eq!(bench.seen().len(), 3, "values, and two ends");
    bench.submit(request());
    assert_eq!(bench.stats().requests.active, 2, "and it was learnt");
    bench.feed(0, records().end(2, 0).end(3, 0));
    bench.finish();
}

#[test]
fn an_idle_connection_that_has_answered_is_closed_after_its_idle_time_although_nobody_uses_it() {
    let mut bench = auto(1, |config| config.limits.idle_timeout = SECOND / 10);
    bench.submit(repeatable());
    let waiting = bench.submit(repeatable());
    bench.end(0);
    assert!(is_asked(&mut bench, 0));
    bench.command(|engine, now| engine.abort(now, waiting));
    bench.feed(0, no());
    bench.advance(SECOND / 10);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::IdleTimeout));
    bench.finish();
}

/// libfcgi answers in this order: the request, then the question after it.
#[test]
fn an_answer_that_comes_with_the_end_of_the_request_before_it_costs_no_connection() {
    let mut bench = auto(1, |_| {});
    bench.submit(repeatable());
    bench.submit(repeatable());
    bench.advance(SECOND);
    assert!(is_asked(&mut bench, 0));
    bench.feed(0, records().end(1, 0).values(&[("FCGI_MPXS_CONNS", "0")]));
    bench.end(0);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    let counters = bench.stats().counters;
    assert_eq!((counters.connected, counters.reused), (1, 1));
    bench.finish();
}
