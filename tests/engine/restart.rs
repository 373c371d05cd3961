//! An application restarts with requests in flight: each is sent again over a connection of its own, in the order in
//! which they were lost, and nothing is opened or closed beyond that, provided that connects succeed in their order. Those
//! that take only a new connection hold up nobody else.

use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{Body, CloseReason, Multiplex, Request, ServerId};

use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, done, records, repeatable, request};

fn named() -> Request {
    repeatable().with_server(ServerId::new(0))
}

/// Plain connections, of which `most` are allowed and as many may be idle.
fn plain(most: usize) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = most;
    config.limits.max_idle_per_server = most;
    config.timeouts.queue = None;
    Bench::new(config)
}

/// `count` requests are each on a connection that has served before, which is all the limit allows.
fn busy(count: usize, request: fn() -> Request) -> Bench {
    let mut bench = plain(count);
    for _ in 0..2 {
        for _ in 0..count {
            bench.submit(request());
        }
        if bench.stats().counters.completed == 0 {
            for peer in 0..count {
                bench.end(peer);
            }
        }
    }
    assert_eq!(bench.peers.len(), count);
    bench.seen();
    bench
}

/// The listener answers connects after all connections were lost.
fn restart(bench: &mut Bench, count: usize) {
    bench.servers[0] = Answer::Hang;
    // The connection used last was taken first.
    for peer in (0..count).rev() {
        bench.sent(peer);
        bench.reset(peer);
    }
    assert_eq!(bench.peers.len(), 2 * count);
}

#[test]
fn each_lost_request_costs_one_connect() {
    for request in [repeatable as fn() -> Request, named] {
        for count in [1, 2, 3, 200] {
            let mut bench = busy(count, request);
            restart(&mut bench, count);
            for peer in count..2 * count {
                bench.accept(peer);
            }
            let stats = bench.stats();
            assert_eq!(
                (stats.requests.active, stats.connections.busy),
                (count, count)
            );
            // In the order in which they were lost.
            for peer in count..2 * count {
                bench.end(peer);
            }
            let ends: Vec<_> = (count + 1..=2 * count)
                .map(|tag| done(tag as u64))
                .collect();
            assert_eq!(bench.seen(), ends, "{count}");
            assert_eq!(
                bench.peers.len(),
                2 * count,
                "{count}: one connect for each"
            );
            bench.finish();
        }
    }
}

/// A request that was rejected takes any connection. One that was lost waits for a new one, and does not hold it up.
#[test]
fn a_rejected_request_is_not_held_up_by_one_that_was_lost() {
    for request in [repeatable as fn() -> Request, named] {
        let mut bench = plain(4);
        for _ in 0..3 {
            bench.submit(request());
        }
        bench.end(0);
        // Nothing of it leaves: it may still be sent again as often as needed.
        bench.peers[0].window = 0;
        bench.submit(request());
        bench.servers[0] = Answer::Hang;
        bench.reset(0);
        assert_eq!(bench.peers.len(), 4);
        // The application has a reason that says nothing about the next moment.
        bench.answer(1, |id| {
            records().end_as(id, 0, ProtocolStatus::CantMultiplex)
        });
        assert_eq!(bench.peers.len(), 4, "no connect is needed for it");
        bench.advance(Duration::from_millis(1));
        bench.end(1);
        bench.end(2);
        bench.accept(3);
        bench.end(3);
        assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
        bench.finish();
    }
}

#[test]
fn a_question_goes_before_requests_that_were_lost() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 3;
    config.limits.reserve_for_get_values = true;
    config.timeouts.queue = None;
    let mut bench = Bench::new(config);
    for _ in 0..2 {
        bench.submit(named());
    }
    bench.end(0);
    bench.end(1);
    for _ in 0..2 {
        bench.submit(named());
    }
    bench.servers[0] = Answer::Hang;
    for peer in [0, 1] {
        bench.sent(peer);
        bench.reset(peer);
    }
    bench.get_values(0);
    assert_eq!(bench.peers.len(), 5, "the connection kept for it");
    bench.accept(4);
    assert_eq!(bench.sent(4), [Sent::GetValues]);
    bench.feed(4, records().values(&[]));
    assert_eq!(bench.peers[4].closed, Some(CloseReason::Retired));
    for peer in [2, 3] {
        bench.accept(peer);
        bench.end(peer);
    }
    assert_eq!(bench.stats().counters.completed, 5);
    bench.seen();
    bench.finish();
}

/// Requests that take only a new connection close an idle connection each, and no more.
#[test]
fn each_request_that_takes_only_a_new_connection_replaces_one_idle_connection() {
    let mut bench = plain(8);
    for _ in 0..8 {
        bench.submit(repeatable());
    }
    for peer in 0..4 {
        bench.end(peer);
    }
    assert_eq!(bench.stats().connections.idle, 4);
    bench.servers[0] = Answer::Hang;
    // It is unknown whether the application answers an ID other than 1, and these may not run twice.
    for count in 1..=3 {
        bench.submit(request());
        let connections = bench.stats().connections;
        assert_eq!(
            (connections.connecting, connections.idle),
            (count, 4 - count)
        );
    }
    for peer in 8..11 {
        bench.accept(peer);
    }
    assert_eq!((bench.stats().requests.active, bench.peers.len()), (7, 11));
}

/// A request whose body cannot be read ends its connection: the place is free for one that was looked at before it.
#[test]
fn a_place_that_a_failed_body_frees_is_for_the_request_that_was_lost() {
    let mut config = config(Multiplex::On { max: 3 });
    config.limits.max_connections_per_server = 3;
    config.timeouts.queue = None;
    let mut bench = Bench::new(config);
    // On each of two connections three requests, and two on the third.
    let requests = || (0..8).map(|number| if number < 3 { named() } else { repeatable() });
    for request in requests() {
        bench.submit(request);
    }
    for (peer, served) in [3, 3, 2].into_iter().enumerate() {
        bench.feed(peer, (1..=served).fold(records(), |all, id| all.end(id, 0)));
    }
    let handles: Vec<_> = requests().map(|it| bench.submit(it)).collect();
    bench.servers[0] = Answer::Hang;
    let peer_of = |bench: &Bench, handle| {
        let mut listed = bench.engine.requests(bench.now);
        let on = listed
            .find(|it| it.request == handle)
            .and_then(|it| it.connection);
        let place = bench.peers.iter().position(|it| Some(it.handle) == on);
        place.expect("a connection")
    };
    let [named, lost, last] = [handles[0], handles[3], handles[6]].map(|it| peer_of(&bench, it));
    for peer in 0..3 {
        bench.sent(peer);
    }
    bench.reset(named);
    bench.most_connections = 3;
    let mut limits = bench.engine.config().limits;
    limits.max_connections_per_server = 2;
    bench
        .command(|engine, now| engine.set_limits(now, limits))
        .expect("limits");
    bench.reset(lost);
    // Only a request that was given up is left on it.
    bench.command(|engine, now| engine.abort(now, handles[6]));
    bench.end(last);
    let requests = bench.stats().requests;
    assert_eq!(
        (bench.peers.len(), requests.queued, requests.connecting),
        (4, 3, 3)
    );
    bench.accept(3);
    assert_eq!(bench.stats().requests.active, 3);
    bench.submit(request().with_body(Body::reader(&b"short"[..], Some(9))));
    assert_eq!(bench.peers.len(), 5);
    bench.accept(4);
    assert_eq!(bench.stats().requests.active, 6);
    for peer in [3, 4] {
        bench.feed(peer, (1..=3).fold(records(), |all, id| all.end(id, 0)));
    }
    bench.seen();
    bench.finish();
}
