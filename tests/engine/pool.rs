//! The pool of connections: reuse, limits, lifetimes, and applications with few processes.

use std::collections::VecDeque;
use std::time::Duration;

use mio_fcgi::{CloseReason, EventKind, Multiplex, OwnedEvent};

use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, done, out, records, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn capped(max_connections: usize, max_idle: usize) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = max_connections;
    config.limits.max_idle_per_server = max_idle;
    Bench::new(config)
}

/// Submits `requests` requests and ends those that were sent, in the order of connections.
fn serve(bench: &mut Bench, requests: usize) {
    for _ in 0..requests {
        bench.submit(request());
    }
    for peer in 0..bench.peers.len() {
        if bench.peers[peer].closed.is_none() && !bench.sent(peer).is_empty() {
            bench.end(peer);
        }
    }
}

// case 99
#[test]
fn an_idle_connection_that_ends_or_speaks_is_closed_at_once_and_never_handed_out() {
    let endings: [fn(&mut Bench); 4] = [
        |bench| bench.eof(0),
        |bench| bench.reset(0),
        |bench| bench.feed(0, records().stdout(1, "late")),
        |bench| bench.feed(0, [0]),
    ];
    for (index, ending) in endings.into_iter().enumerate() {
        let mut bench = Bench::plain();
        serve(&mut bench, 1);
        assert_eq!(bench.stats().connections.idle, 1);
        ending(&mut bench);
        assert_eq!(bench.stats().connections.idle, 0, "ending {index}");
        bench.submit(request());
        assert_eq!(bench.sent(1), Sent::whole(1));
        bench.feed(1, records().stdout(1, "hi").end(1, 0));
        assert_eq!(bench.seen(), [done(1), out(2, "hi"), done(2)]);
        bench.finish();
    }
}

// case 100
#[test]
fn the_connection_used_last_goes_out_first() {
    let mut bench = Bench::plain();
    for _ in 0..3 {
        bench.submit(request());
    }
    for peer in [1, 0, 2] {
        bench.sent(peer);
        bench.end(peer);
    }
    for peer in [2, 0, 1] {
        bench.submit(request());
        assert_eq!(bench.sent(peer), Sent::whole(2));
    }
    for peer in 0..3 {
        bench.end(peer);
    }
    bench.finish();
}

// case 100
#[test]
fn the_idle_time_counts_from_the_end() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.advance(7 * SECOND);
    bench.end(0);
    bench.advance(9_999 * MS);
    assert_eq!(bench.peers[0].closed, None);
    bench.advance(MS);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::IdleTimeout));
    assert_eq!(
        bench.engine.timeout(bench.now),
        None,
        "nobody is left to be woken"
    );
    bench.finish();
}

// case 101
#[test]
fn connections_on_their_way_count_towards_the_cap() {
    let mut bench = capped(2, 2);
    bench.servers[0] = Answer::Hang;
    for _ in 0..5 {
        bench.submit(request());
    }
    assert_eq!(bench.peers.len(), 2);
    bench.accept(0);
    bench.accept(1);
    assert_eq!(bench.stats().requests.queued, 3);
    bench.servers[0] = Answer::Accept;
    for _ in 0..3 {
        bench.sent(0);
        bench.end(0);
    }
    assert_eq!(bench.peers.len(), 2);
    bench.end(0);
    bench.end(1);
    bench.finish();
}

#[test]
fn a_connection_is_not_opened_for_a_request_that_has_got_another_meanwhile() {
    let mut bench = capped(8, 8);
    bench.submit(request());
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2);
    bench.end(0);
    assert_eq!(bench.stats().requests.queued, 0, "it took what came first");
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2, "one is on its way already");
    bench.accept(1);
    bench.end(0);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2), done(3)]);
    bench.finish();
}

#[test]
fn idle_connections_above_the_limit_are_closed_the_oldest_first() {
    let mut bench = capped(4, 2);
    serve(&mut bench, 4);
    let closed: Vec<_> = bench.peers.iter().map(|peer| peer.closed).collect();
    let gone = Some(CloseReason::MaxIdle);
    assert_eq!(closed, [gone, gone, None, None]);
    bench.finish();
}

#[test]
fn with_no_idle_connection_allowed_each_request_opens_its_own() {
    let mut bench = capped(1, 0);
    for peer in 0..3 {
        bench.submit(request());
        bench.end(peer);
        assert_eq!(bench.peers[peer].closed, Some(CloseReason::MaxIdle));
    }
    bench.finish();
}

#[test]
fn connections_are_opened_beforehand_and_outlive_the_idle_time() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 2;
    let mut bench = Bench::new(config);
    bench.command(|engine, now| engine.handle_timeout(now));
    assert_eq!(bench.stats().connections.idle, 2);
    bench.advance(60 * SECOND);
    assert_eq!((bench.stats().connections.idle, bench.peers.len()), (2, 2));
    bench.submit(request());
    bench.advance(MS);
    assert_eq!(
        bench.stats().connections.idle,
        2,
        "one was opened in its place"
    );
    bench.eof(0);
    bench.advance(10 * SECOND);
    assert_eq!(bench.stats().connections.idle, 2);
    for peer in 0..bench.peers.len() {
        if !bench.sent(peer).is_empty() {
            bench.end(peer);
        }
    }
    bench.finish();
}

// case 109
#[test]
fn a_connection_that_has_served_its_number_is_closed_after_the_end() {
    let mut config = config(Multiplex::Off);
    config.limits.max_requests_per_connection = Some(2);
    let mut bench = Bench::new(config);
    serve(&mut bench, 1);
    assert_eq!(bench.peers[0].closed, None);
    bench.submit(request());
    assert_eq!(bench.peers[0].closed, None, "not before");
    bench.answer(0, |id| records().stdout(id, "hi").end(id, 0));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxRequests));
    serve(&mut bench, 1);
    assert_eq!(bench.peers.len(), 2);
    bench.finish();
}

#[test]
fn a_connection_of_age_is_closed_when_idle_and_after_its_request_when_busy() {
    let mut config = config(Multiplex::Off);
    config.limits.max_lifetime = Some(5 * SECOND);
    config.preempt_idle_after = None;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.end(0);
    bench.advance(4_999 * MS);
    assert_eq!(bench.stats().connections.idle, 1);
    bench.advance(MS);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxLifetime));
    assert_eq!(bench.peers[1].closed, None);
    bench.end(1);
    assert_eq!(bench.peers[1].closed, Some(CloseReason::MaxLifetime));
    bench.finish();
}

#[test]
fn an_age_counts_where_idling_has_no_limit() {
    let mut config = config(Multiplex::Off);
    config.limits.idle_timeout = Duration::MAX;
    config.limits.max_lifetime = Some(5 * SECOND);
    let mut bench = Bench::new(config);
    serve(&mut bench, 1);
    bench.advance(5 * SECOND);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxLifetime));
    bench.finish();
}

// case 105
#[test]
fn without_kept_connections_each_is_closed_right_after_the_end() {
    let mut config = config(Multiplex::Off);
    config.keep_connections = false;
    let mut bench = Bench::new(config);
    bench.submit(request());
    let begin = bench.sent(0).remove(0);
    assert!(matches!(begin, Sent::Begin { keep: false, .. }));
    bench.feed(0, records().stdout(1, "hi").end(1, 0));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::KeepAliveOff));
    assert_eq!(bench.seen(), [out(1, "hi"), done(1)]);
    bench.finish();
}

#[test]
fn the_cap_can_be_raised_while_requests_wait() {
    let mut bench = capped(1, 1);
    for _ in 0..4 {
        bench.submit(request());
    }
    let mut limits = bench.engine.config().limits;
    limits.max_connections_per_server = 3;
    bench
        .command(|engine, now| engine.set_limits(now, limits))
        .expect("valid");
    assert_eq!(bench.stats().connections.busy, 3);
    assert_eq!(bench.stats().requests.queued, 1);
    bench.end(0);
    for peer in 0..3 {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn a_lowered_cap_closes_idle_connections_now_and_busy_ones_at_their_end() {
    let mut bench = capped(4, 4);
    for _ in 0..4 {
        bench.submit(request());
    }
    bench.end(0);
    bench.most_connections = 4;
    let mut limits = bench.engine.config().limits;
    limits.max_connections_per_server = 1;
    limits.max_idle_per_server = 1;
    bench
        .command(|engine, now| engine.set_limits(now, limits))
        .expect("valid");
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
    assert_eq!(bench.stats().connections.busy, 3, "their requests go on");
    bench.submit(request());
    assert_eq!(bench.stats().requests.queued, 1);
    for peer in 1..4 {
        bench.feed(peer, records().stdout(1, "x").end(1, 0));
    }
    let closed = bench.peers.iter().filter(|peer| peer.closed.is_some());
    assert_eq!(closed.count(), 3);
    assert_eq!(
        bench.stats().connections.busy,
        1,
        "the waiting one was sent"
    );
    bench.end(3);
    bench.finish();
}

#[test]
fn limits_that_contradict_each_other_change_nothing() {
    let mut bench = capped(2, 2);
    let before = bench.engine.config().limits;
    let mut limits = before;
    limits.min_idle_per_server = 3;
    let refused = bench.command(|engine, now| engine.set_limits(now, limits));
    assert!(refused.is_err());
    assert_eq!(bench.engine.config().limits, before);
    bench.finish();
}

/// An application with N processes, each of which serves one connection until that is closed. Further connections wait
/// in the backlog: connected, and not read.
fn serve_with(processes: usize, bench: &mut Bench, requests: usize) {
    let mut left = requests;
    let mut ended = 0;
    let mut busy: Vec<usize> = Vec::new();
    let mut backlog: VecDeque<usize> = VecDeque::new();
    let mut known = 0;
    for turn in 0..20_000 {
        while left > 0 && bench.stats().requests.queued < 20 {
            bench.submit(request());
            left -= 1;
        }
        backlog.extend(known..bench.peers.len());
        known = bench.peers.len();
        let is_open = |peer: &usize| bench.peers[*peer].closed.is_none();
        busy.retain(is_open);
        backlog.retain(is_open);
        while busy.len() < processes && !backlog.is_empty() {
            busy.extend(backlog.pop_front());
        }
        for peer in busy.clone() {
            if bench.peers[peer].closed.is_none() && !bench.sent(peer).is_empty() {
                bench.answer(peer, |id| records().stdout(id, "x").end(id, 0));
            }
        }
        let ends = |event: &OwnedEvent| {
            let EventKind::End(outcome) = &event.kind else {
                return false;
            };
            assert!(outcome.is_ok(), "turn {turn}: {outcome:?}");
            true
        };
        ended += bench.events().iter().filter(|event| ends(event)).count();
        if ended == requests {
            return;
        }
        bench.advance(5 * MS);
    }
    panic!("{ended} of {requests} have ended: {:?}", bench.engine);
}

#[test]
fn an_application_with_fewer_processes_than_connections_serves_everybody() {
    let mut bench = capped(8, 4);
    serve_with(2, &mut bench, 200);
    assert!(bench.stats().counters.closed_for(CloseReason::Preempted) > 0);
    bench.finish();
}

#[test]
fn an_application_with_one_process_serves_everybody() {
    let mut bench = capped(8, 4);
    serve_with(1, &mut bench, 50);
    bench.finish();
}

/// Why `preempt_idle_after` exists: without it a connection in the backlog waits for the idle time of another one.
#[test]
fn without_preemption_a_request_in_the_backlog_waits_for_the_idle_time() {
    let mut config = config(Multiplex::Off);
    config.preempt_idle_after = None;
    let mut bench = Bench::new(config);
    for _ in 0..2 {
        bench.submit(request());
    }
    bench.end(0);
    bench.advance(9 * SECOND);
    assert_eq!(bench.peers[0].closed, None, "the only process is held");
    bench.advance(SECOND);
    assert!(bench.peers[0].closed.is_some());
    bench.end(1);
    bench.finish();
}

#[test]
fn an_idle_connection_is_preempted_for_a_new_one_that_is_not_answered() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.submit(request());
    bench.end(0);
    bench.advance(19 * MS);
    assert_eq!(bench.peers[0].closed, None);
    bench.advance(MS);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Preempted));
    bench.submit(request());
    bench.end(2);
    bench.advance(39 * MS);
    assert_eq!(
        bench.peers[2].closed, None,
        "the next one after twice the time"
    );
    bench.advance(MS);
    assert_eq!(bench.peers[2].closed, Some(CloseReason::Preempted));
    bench.end(1);
    bench.finish();
}

#[test]
fn a_kept_connection_that_has_served_and_is_closed_is_replaced_at_once() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    serve(&mut bench, 1);
    bench.eof(0);
    assert_eq!(bench.peers.len(), 2);
    assert_eq!(bench.stats().connections.idle, 1);
    bench.finish();
}
