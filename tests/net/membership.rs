//! Clients of one loop come and go: their IDs, their tokens, what is left of them, and how they end.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio::{Interest, Poll, Token};
use mio_fcgi::{Clients, Config, ConfigError};

use crate::clients::{FIRST, Pools, TOKENS, TOKENS_EACH, answers};
use crate::peer::{Peer, TIME_LIMIT};
use crate::{body, demo, plain};

#[test]
fn a_stale_id_is_harmless_also_when_its_place_is_taken() {
    let demo = demo();
    let mut pools = Pools::new();
    let (stale, other) = (
        pools.add(demo.address().clone()),
        pools.add(demo.address().clone()),
    );
    pools.submit(stale, "/slow?ms=60000", 1);
    pools.turn(Duration::ZERO);
    assert!(pools.clients.remove(stale));
    for place_is_taken in [false, true] {
        assert!(pools.clients.get(stale).is_none());
        assert!(pools.clients.get_mut(stale).is_none());
        assert!(!pools.clients.remove(stale), "{place_is_taken}");
        if !place_is_taken {
            let fresh = pools.add(demo.address().clone());
            assert!(fresh > other && fresh != stale);
            pools.submit(fresh, "/tag?tag=fresh", 1);
            assert_eq!(body(&pools.output(fresh, 1)), b"fresh");
        }
    }
    assert!(pools.events_of(stale, 1).is_empty(), "no end");
    assert_eq!(pools.clients.iter().count(), 2);
}

#[test]
fn the_figures_of_all_clients_are_those_of_each_together() {
    let demo = demo();
    let mut pools = Pools::new();
    assert_eq!(pools.clients.stats(), mio_fcgi::Stats::default());
    let ids = [(); 2].map(|()| pools.add(demo.address().clone()));
    for id in ids {
        pools.submit(id, "/tag?tag=x", 1);
        assert_eq!(body(&pools.output(id, 1)), b"x");
    }
    pools.submit(ids[0], "/slow?ms=60000", 2);
    pools.turn(Duration::ZERO);
    let one = |id| pools.clients.get(id).expect("it is present").stats();
    let (first, second, both) = (one(ids[0]), one(ids[1]), pools.clients.stats());
    assert_eq!((both.counters.submitted, both.counters.completed), (3, 2));
    assert_eq!(both.requests.active, 1);
    let bytes = first.counters.bytes_received + second.counters.bytes_received;
    assert_eq!(both.counters.bytes_received, bytes);
    let count = |stats: &mio_fcgi::Stats| {
        let gauges = stats.connections;
        gauges.connecting + gauges.probing + gauges.idle + gauges.busy + gauges.draining
    };
    assert_eq!(count(&both), count(&first) + count(&second));
    // What was closed is counted by its reason.
    let mut limits = pools.client(ids[1]).config().limits;
    limits.max_idle_per_server = 0;
    let set = pools.client(ids[1]).set_limits(Instant::now(), limits);
    assert_eq!(set, Ok(()));
    let closed = pools.clients.stats().counters;
    let closed: Vec<_> = closed.closed_by_reason().collect();
    assert_eq!(closed, [(mio_fcgi::CloseReason::MaxIdle, 1)]);
}

#[test]
fn a_client_may_go_while_bytes_of_it_are_in_the_buffer() {
    let demo = demo();
    let mut pools = Pools::new();
    let (gone, other) = (
        pools.add(demo.address().clone()),
        pools.add(demo.address().clone()),
    );
    for place_is_taken in [false, true] {
        let gone = match place_is_taken {
            true => pools.add(demo.address().clone()),
            false => gone,
        };
        pools.submit(gone, "/bench", 1);
        pools.seen.clear();
        while pools.seen.is_empty() {
            pools.wait(TIME_LIMIT);
            pools.note();
            pools.take(Instant::now());
        }
        assert_eq!(pools.seen[0].0, gone);
        pools.submit(other, "/tag?tag=other", 2);
        assert!(pools.clients.remove(gone));
        let next = place_is_taken.then(|| pools.add(demo.address().clone()));
        for id in next.into_iter().chain([other]) {
            pools.submit(id, "/tag?tag=x", 3);
            assert_eq!(body(&pools.output(id, 3)), b"x");
        }
        assert_eq!(body(&pools.output(other, 2)), b"other");
        assert_eq!(pools.events_of(gone, 1).len(), 1, "none after that");
    }
}

/// The application closes a connection, and its client is replaced before the event is passed on.
#[test]
fn a_late_event_of_a_client_that_was_removed_is_harmless_to_the_next() {
    for has_socket in [false, true] {
        let (close, may_close) = mpsc::channel::<()>();
        let closing = Peer::unix(move |listener| {
            let mut connection = listener.accept();
            let id = connection.request().expect("a request").id;
            connection.answer(id, b"last");
            may_close
                .recv_timeout(TIME_LIMIT)
                .expect("the test goes on");
        });
        let (next, go_on, _is_answered) = answers("next");
        let mut pools = Pools::new();
        let gone = pools.add(closing.address());
        pools.submit(gone, "/", 1);
        pools.output(gone, 1);
        pools.finish_work();
        close.send(()).expect("the peer waits");
        while pools.events.is_empty() {
            pools.wait(TIME_LIMIT);
        }
        let late = pools.events.iter().next().map(|event| event.token());
        assert_eq!(late, Some(Token(FIRST)));
        assert!(pools.clients.remove(gone));
        let id = pools.add(next.address());
        pools.submit(id, "/", 2);
        if has_socket {
            pools.drain();
        }
        pools.note();
        pools.drain();
        go_on.send(()).expect("the peer waits");
        assert_eq!(body(&pools.output(id, 2)), b"next");
        let connected = pools
            .clients
            .get(id)
            .map(|it| it.stats().counters.connected);
        assert_eq!(connected, Some(1), "its connection was not given up");
        drop(pools);
        closing.join();
        next.join();
    }
}

#[test]
fn all_tokens_of_the_range_are_the_clients_and_no_other() {
    let demo = demo();
    let mut pools = Pools::new();
    pools.add(demo.address().clone());
    let tokens = [
        FIRST - 1,
        FIRST,
        FIRST + TOKENS_EACH,
        TOKENS.end.0 - 1,
        TOKENS.end.0,
    ];
    let mut ends = Vec::new();
    for token in tokens {
        let (mut ours, theirs) = mio::net::UnixStream::pair().expect("a pair");
        let registered =
            pools
                .poll
                .registry()
                .register(&mut ours, Token(token), Interest::READABLE);
        registered.expect("a socket");
        drop(theirs);
        ends.push(ours);
    }
    pools.wait(TIME_LIMIT);
    let mut taken: Vec<(usize, bool)> = pools
        .events
        .iter()
        .map(|event| (event.token().0, pools.clients.handle_event(event)))
        .collect();
    taken.sort_unstable();
    assert_eq!(
        taken,
        [0, 1, 2, 3, 4].map(|at| (tokens[at], (1..4).contains(&at)))
    );
}

#[test]
fn a_client_without_enough_tokens_is_refused() {
    fn refused(clients: &mut Clients, config: Config) -> ConfigError {
        let error = clients.add(config).expect_err("no tokens");
        let source = error.get_ref().and_then(|it| it.downcast_ref());
        ConfigError::clone(source.expect("a configuration"))
    }
    let poll = Poll::new().expect("a poll");
    let config = plain("127.0.0.1:9000".parse().expect("an address"));
    let clients = |tokens: usize, each| {
        let clients = Clients::new(poll.registry(), Token(7)..Token(7 + tokens), each);
        clients.expect("a copy of the registry")
    };
    let mut two = clients(29, 10);
    let mut many = config.clone();
    many.limits.max_connections_per_server = 11;
    let (tokens, connections) = (10, 11);
    assert_eq!(
        refused(&mut two, many),
        ConfigError::TooFewTokens {
            tokens,
            connections
        }
    );
    let first = two.add(config.clone()).expect("tokens");
    two.add(config.clone()).expect("tokens");
    let full = ConfigError::TooManyClients { limit: 2 };
    assert_eq!(refused(&mut two, config.clone()), full);
    // Up to its tokens, a client may grow.
    let client = two.get_mut(first).expect("present");
    let mut limits = client.config().limits;
    limits.max_connections_per_server = 10;
    assert_eq!(client.set_limits(Instant::now(), limits), Ok(()));
    limits.max_connections_per_server = 11;
    let grown = client.set_limits(Instant::now(), limits);
    assert_eq!(
        grown,
        Err(ConfigError::TooFewTokens {
            tokens,
            connections
        })
    );
    assert!(two.remove(first));
    two.add(config.clone()).expect("its tokens are free");
    for (tokens, each) in [(0, 8), (100, 0), (7, 8)] {
        let none = refused(&mut clients(tokens, each), config.clone());
        assert_eq!(none, ConfigError::TooManyClients { limit: 0 });
    }
}

#[test]
fn all_are_shut_down_when_the_last_one_is() {
    let demo = demo();
    let mut pools = Pools::new();
    let ids = [(); 3].map(|()| pools.add(demo.address().clone()));
    for id in &ids[..2] {
        pools.submit(*id, "/tag?tag=last&delay=50", 1);
    }
    pools.run_until(|it| {
        let mut clients = it.clients.iter();
        clients.all(|(id, client)| client.stats().requests.active == usize::from(id != ids[2]))
    });
    pools.clients.shutdown(Instant::now(), None);
    assert_eq!(pools.clients.timeout(Instant::now()), Some(Duration::ZERO));
    while !pools.clients.is_shut_down() {
        assert!(
            pools
                .clients
                .iter()
                .any(|(_, client)| !client.is_shut_down())
        );
        pools.turn(TIME_LIMIT);
    }
    // A loop that looks before it waits does not wait for ever.
    assert_eq!(pools.clients.timeout(Instant::now()), Some(Duration::ZERO));
    pools.drain();
    pools.drain();
    assert_eq!(pools.clients.timeout(Instant::now()), None);
    for id in &ids[..2] {
        assert_eq!(body(&pools.output(*id, 1)), b"last");
    }
    pools.add(demo.address().clone());
    assert!(!pools.clients.is_shut_down());
}
