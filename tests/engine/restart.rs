//! An application restarts with requests in flight: each is sent again over a connection of its own, in the order in
//! which they were lost, and nothing is opened or closed beyond that.

use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{Multiplex, Request, ServerId};

use crate::harness::{Answer, Bench};
use crate::script::{config, done, records, repeatable};

fn named() -> Request {
    repeatable().with_server(ServerId::new(0))
}

/// `count` requests are each on a connection that has served before, which is all the limit allows.
fn busy(count: usize, request: fn() -> Request) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = count;
    config.limits.max_idle_per_server = count;
    config.timeouts.queue = None;
    let mut bench = Bench::new(config);
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
        let mut config = config(Multiplex::Off);
        config.limits.max_connections_per_server = 4;
        config.limits.max_idle_per_server = 4;
        config.timeouts.queue = None;
        let mut bench = Bench::new(config);
        for _ in 0..3 {
            bench.submit(request());
        }
        bench.end(0);
        bench.submit(request());
        bench.servers[0] = Answer::Hang;
        bench.sent(0);
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
