//! The promises where the engine meets its driver: shortages on this side, connects that hang, connections past their
//! time limits.

use std::time::Duration;

use mio_fcgi::{
    CloseReason, Config, ConnectError, Delivery, Multiplex, Phase, RequestError, TimeoutKind,
};

use crate::hand::{post, used};
use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, done, failed, not_connected, records, request, servers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

// case 130
#[test]
fn a_shortage_of_ours_is_no_failure_of_the_server_and_what_is_connected_serves_the_queue() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.servers[0] = Answer::Shortage;
    for _ in 0..3 {
        bench.submit(request());
    }
    assert_eq!(bench.seen(), []);
    let counters = bench.stats().counters;
    assert_eq!((counters.shortages, counters.connect_failures), (1, 0));
    assert_eq!(bench.stats().requests.queued, 3);
    for _ in 0..4 {
        bench.end(0);
    }
    assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
    bench.finish();
}

// case 130
#[test]
fn after_a_shortage_a_connect_is_tried_again_when_a_socket_was_closed_or_after_a_pause() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.answers.push_back(Answer::Shortage);
    bench.submit(request());
    assert_eq!(bench.stats().requests.queued, 1);
    bench.advance(49 * MS);
    assert_eq!(bench.stats().counters.connected, 1);
    bench.advance(MS);
    assert_eq!(bench.stats().requests.active, 2, "after the pause");

    bench.answers.push_back(Answer::Shortage);
    bench.submit(request());
    let aborted = bench.handles[0];
    bench.command(|engine, now| engine.abort(now, aborted));
    assert_eq!(
        bench.stats().requests.active,
        2,
        "in the place of the closed"
    );
    for peer in 0..bench.peers.len() {
        if bench.peers[peer].closed.is_none() && !bench.sent(peer).is_empty() {
            bench.end(peer);
        }
    }
    let ends = bench.seen();
    assert_eq!(ends[1..], [done(2), done(3)]);
    bench.finish();
}

// case 130
#[test]
fn the_pauses_of_a_lasting_shortage_grow_and_only_the_queue_limit_ends_the_wait() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Shortage;
    bench.submit(request());
    bench.advance(10 * SECOND - MS);
    assert_eq!(bench.seen(), []);
    let tries = bench.stats().counters.shortages;
    assert!((6..=11).contains(&tries), "{tries}");
    bench.advance(MS);
    let error = RequestError::TimedOut(TimeoutKind::Queue);
    let end = failed(1, error, Phase::Queued, Delivery::NotProcessed);
    assert_eq!(bench.seen(), [end]);
    bench.finish();
}

// case 130
#[test]
fn a_shortage_does_not_set_a_server_aside_for_another() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    bench.answers.push_back(Answer::Shortage);
    bench.submit(request());
    bench.advance(50 * MS);
    assert_eq!(bench.stats().requests.active, 1);
    let gone = bench.stats().counters.closed_for(CloseReason::Shortage);
    assert_eq!(gone, 1);
    let last = bench.peers.len() - 1;
    bench.end(last);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

// case 132
#[test]
fn a_connect_that_hangs_holds_nobody_back_from_another_server() {
    for multiplex in [Multiplex::On { max: 100 }, Multiplex::Off] {
        let mut bench = Bench::new(servers(2, multiplex));
        bench.servers[0] = Answer::Hang;
        for _ in 0..3 {
            bench.submit(request());
        }
        bench.advance(249 * MS);
        assert_eq!(bench.peers[0].server, 0);
        bench.advance(MS);
        assert_eq!(bench.stats().requests.active, 3, "elsewhere");
        bench.submit(request());
        assert_eq!(bench.stats().requests.active, 4, "at once");
        // The connection is used once it is open after all.
        bench.accept(0);
        for handle in bench.handles.clone() {
            bench.command(|engine, now| engine.abort(now, handle));
        }
        bench.seen();
        bench.submit(request());
        bench.submit(request());
        assert_eq!(bench.sent(0)[..4], Sent::whole(1));
        for handle in bench.handles.clone() {
            bench.command(|engine, now| engine.abort(now, handle));
        }
        bench.finish();
    }
}

// case 132
#[test]
fn a_connect_that_hangs_holds_nobody_back_from_another_connection_to_its_server() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 3;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    bench.advance(250 * MS);
    bench.submit(request());
    bench.feed(0, records().end(1, 0).end(2, 0));
    assert_eq!(bench.stats().requests.active, 2);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.sent(0);
    for _ in 0..2 {
        bench.eof(0);
        if bench.peers.len() > 2 {
            break;
        }
    }
    bench.accept(1);
    bench.finish();
}

#[test]
fn connections_opened_beforehand_that_a_limit_closes_at_once_are_not_opened_again_without_a_pause()
{
    let churns: [fn(&mut Config); 2] = [
        |config| config.limits.max_lifetime = Some(Duration::ZERO),
        |config| config.limits.idle_timeout = Duration::ZERO,
    ];
    for churn in churns {
        let mut config = config(Multiplex::Off);
        config.limits.min_idle_per_server = 1;
        churn(&mut config);
        let mut bench = Bench::new(config);
        for _ in 0..100 {
            bench.command(|engine, now| engine.handle_timeout(now));
        }
        assert!(
            bench.peers.len() < 3,
            "{} at one instant",
            bench.peers.len()
        );
        bench.advance(60 * SECOND);
        assert!(bench.peers.len() < 65, "{} in a minute", bench.peers.len());
        bench.finish();
    }
}

// case 142
#[test]
fn connections_are_opened_beforehand_by_an_engine_that_nothing_was_asked_of_yet() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 3;
    config.limits.min_idle_per_server = 2;
    let mut bench = Bench::new(config);
    assert!(bench.engine.has_output(), "without a call");
    bench.run();
    let connections = bench.stats().connections;
    assert_eq!((connections.idle, connections.connecting), (4, 0));
    let mut servers: Vec<usize> = bench.peers.iter().map(|peer| peer.server).collect();
    servers.sort_unstable();
    assert_eq!(servers, [0, 0, 1, 1]);
    bench.submit(request());
    let sent = (0..4).filter(|peer| bench.sent(*peer) == Sent::whole(1));
    assert_eq!(sent.count(), 1, "one of these has it");
    for handle in bench.handles.clone() {
        bench.command(|engine, now| engine.abort(now, handle));
    }
    bench.finish();
}

// case 142
#[test]
fn a_server_that_refuses_what_is_opened_beforehand_is_tried_again_by_time_alone() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.run();
    assert_eq!(bench.peers.len(), 1);
    assert_eq!(bench.stats().connections.connecting, 0);
    bench.servers[0] = Answer::Accept;
    assert!(bench.advance_to_timeout(), "it is to be woken");
    bench.advance(SECOND);
    assert_eq!(bench.stats().connections.idle, 1);
    bench.finish();
}

#[test]
fn an_idle_connection_past_its_idle_time_is_not_handed_out_by_a_submit_before_the_tick() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.sent(0);
    bench.now += 10 * SECOND;
    bench.submit(request());
    assert_eq!(bench.sent(0), []);
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.end(1);
    bench.finish();
}

#[test]
fn a_full_backlog_costs_no_more_than_the_connection_that_it_was_told_for() {
    let mut hand = Bench::without_timeouts(Multiplex::Off, |_| {});
    let idle = used(&mut hand);
    hand.ask(post());
    hand.ask(post());
    let full = hand.dialled()[0];
    hand.closed(full, mio_fcgi::Disconnected::BacklogFull);
    hand.tick(hand.engine.config().connect_timeout);
    // One request takes the idle connection; the connect for the other hangs.
    assert!(hand.engine.wants_write(idle));
    assert_eq!(hand.polled(), [not_connected(3, ConnectError::TimedOut)]);
}
