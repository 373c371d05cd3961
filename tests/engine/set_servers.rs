//! The list of servers changes while the client runs.

use std::time::Duration;

use mio_fcgi::{
    Address, CloseReason, ConfigError, ConnectionLostReason, Delivery, Multiplex, Phase,
    RequestError, Server, ServerId, ServerMode, Tag, TimeoutKind,
};

use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, done, failed, records, refused, repeatable, request, servers};

const SECOND: Duration = Duration::from_secs(1);

/// The server at a port of this machine. `config` has 9000, `servers` has 9000, 9001 and so on.
pub(crate) fn server(port: u16) -> Server {
    Server::new(Address::from(std::net::SocketAddr::from((
        [127, 0, 0, 1],
        port,
    ))))
}

pub(crate) fn set(bench: &mut Bench, servers: Vec<Server>) {
    let set = bench.command(|engine, now| engine.set_servers(now, servers));
    set.expect("a valid list");
}

/// A bench whose first servers accept connections, with those that the list will have.
fn bench(multiplex: Multiplex, servers: usize) -> Bench {
    let mut bench = Bench::new(config(multiplex));
    bench.servers = vec![Answer::Accept; servers];
    bench.most_connections = 16;
    bench
}

fn ids(bench: &Bench) -> Vec<u32> {
    let all = bench.engine.servers(bench.now);
    all.map(|it| it.server.number()).collect()
}

/// The server of each connection, in the order of opening.
fn order(bench: &Bench) -> Vec<usize> {
    bench.peers.iter().map(|peer| peer.server).collect()
}

// case 150
#[test]
fn a_name_that_moves_takes_new_requests_along_and_leaves_those_in_flight() {
    let mut bench = bench(Multiplex::Off, 2);
    bench.submit(request());
    bench.submit(request());
    bench.end(1);
    set(&mut bench, vec![server(9001)]);
    assert_eq!(
        bench.peers[1].closed,
        Some(CloseReason::Retired),
        "it was idle"
    );
    assert_eq!(bench.peers[0].closed, None, "it has a request");
    bench.submit(request());
    assert_eq!(order(&bench), [0, 0, 1]);
    assert_eq!(ids(&bench), [0, 1], "the old one has a connection");
    bench.end(0);
    bench.end(2);
    assert_eq!(bench.seen(), [done(2), done(1), done(3)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
    assert_eq!(ids(&bench), [1]);
    bench.finish();
}

#[test]
fn what_waits_for_a_connection_to_a_removed_server_goes_to_a_new_one() {
    let mut bench = bench(Multiplex::Off, 2);
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    set(&mut bench, vec![server(9001)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
    assert_eq!(order(&bench), [0, 1]);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn what_waited_for_more_connections_than_there_are_now_waits_on_whatever_the_limit_of_the_queue() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    bench.servers = vec![Answer::Hang; 2];
    bench.submit(request());
    bench.submit(request());
    // As after a limit that was lowered.
    bench.queued_before = 1;
    set(&mut bench, vec![server(9001)]);
    assert_eq!(bench.seen(), [], "both wait for the one that is left");
    let refused = bench.engine.submit(bench.now, request(), Tag(9));
    assert!(refused.is_err(), "no other one joins them");
    bench.accept(1);
    bench.end(1);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_request_that_is_sent_again_goes_to_a_server_of_the_new_list() {
    let mut bench = bench(Multiplex::Off, 2);
    bench.submit(request());
    bench.end(0);
    bench.submit(repeatable());
    set(&mut bench, vec![server(9001)]);
    bench.eof(0);
    assert_eq!(order(&bench), [0, 1]);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_kept_server_keeps_its_number_its_connections_and_what_is_known() {
    let mut bench = Bench::new(servers(2, Multiplex::Auto));
    bench.get_values(1);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.seen();
    set(&mut bench, vec![server(9007), server(9001).with_weight(2)]);
    bench.servers = vec![Answer::Hang, Answer::Accept, Answer::Hang];
    assert_eq!(ids(&bench), [1, 2], "the first one had no connection left");
    for _ in 0..3 {
        let to_1 = request().with_server(ServerId::new(1));
        bench.submit(to_1);
    }
    assert_eq!(
        order(&bench),
        [1],
        "all three share the connection that it had"
    );
    for id in 1..=3 {
        bench.feed(0, records().end(id, 0));
    }
    assert_eq!(bench.seen(), [done(2), done(3), done(4)]);
    bench.finish();
}

#[test]
fn a_server_that_comes_back_before_its_last_request_has_ended_is_the_same() {
    let mut bench = bench(Multiplex::Off, 2);
    bench.submit(request());
    set(&mut bench, vec![server(9001)]);
    set(&mut bench, vec![server(9000)]);
    assert_eq!(ids(&bench), [0]);
    bench.submit(request());
    assert_eq!(order(&bench), [0, 0]);
    bench.end(0);
    assert_eq!(
        bench.peers[0].closed,
        Some(CloseReason::Retired),
        "it was told to close"
    );
    bench.end(1);
    set(&mut bench, vec![server(9001)]);
    set(&mut bench, vec![server(9000)]);
    assert_eq!(
        ids(&bench),
        [3],
        "it was gone in between, and 1 and 2 were others"
    );
    bench.finish();
}

#[test]
fn one_address_may_be_several_servers() {
    let mut bench = bench(Multiplex::Off, 3);
    set(&mut bench, vec![server(9000), server(9000)]);
    assert_eq!(ids(&bench), [0, 1]);
    bench.submit(request());
    bench.submit(request());
    assert_eq!(order(&bench), [0, 1]);
    set(&mut bench, vec![server(9000)]);
    bench.submit(request());
    assert_eq!(order(&bench), [0, 1, 0], "the first of them is kept");
    for peer in 0..3 {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn of_several_servers_with_one_address_the_older_one_is_kept() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    bench.servers = vec![Answer::Accept; 3];
    set(&mut bench, vec![server(9001)]);
    set(&mut bench, vec![server(9001), server(9001)]);
    let sorted = |bench: &Bench| {
        let mut ids = ids(bench);
        ids.sort_unstable();
        ids
    };
    assert_eq!(
        sorted(&bench),
        [1, 2],
        "the new one is in the place of server 0"
    );
    set(&mut bench, vec![server(9001)]);
    assert_eq!(sorted(&bench), [1]);
    bench.finish();
}

#[test]
fn a_shared_connection_to_a_removed_server_takes_no_further_request() {
    let mut bench = bench(Multiplex::On { max: 8 }, 2);
    bench.submit(request());
    bench.submit(request());
    set(&mut bench, vec![server(9001)]);
    bench.submit(request());
    assert_eq!(order(&bench), [0, 1]);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.feed(1, records().end(1, 0));
    assert_eq!(bench.seen(), [done(1), done(2), done(3)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
    bench.finish();
}

#[test]
fn a_waiting_request_that_names_a_removed_server_fails_and_was_not_sent() {
    let mut bench = bench(Multiplex::Off, 2);
    bench.servers[0] = Answer::Hang;
    let named = || request().with_server(ServerId::new(0));
    bench.submit(named());
    bench.get_values(0);
    set(&mut bench, vec![server(9001)]);
    let gone = |tag| {
        let error = RequestError::ServerRemoved;
        failed(tag, error, Phase::Queued, Delivery::NotProcessed)
    };
    let mut seen = bench.seen();
    seen.sort_by_key(|it| format!("{it:?}"));
    assert_eq!(seen, [gone(1), gone(2)]);
    let answer = bench.engine.submit(bench.now, named(), Tag(9));
    let back = answer.expect_err("no such server");
    assert_eq!(
        back.error.to_string(),
        "the client has no server 0: it was removed, or never existed"
    );
    assert_eq!(
        back.request.server,
        Some(ServerId::new(0)),
        "it is given back"
    );
    bench.finish();
}

#[test]
fn a_get_values_in_flight_ends_although_its_server_is_removed_or_drains() {
    let drains = server(9000).with_mode(ServerMode::Draining);
    for list in [vec![server(9001)], vec![drains, server(9001)]] {
        for has_answer in [true, false] {
            let mut bench = bench(Multiplex::Off, 2);
            let probe = bench.get_values(0);
            assert_eq!(bench.sent(0), [Sent::GetValues]);
            set(&mut bench, list.clone());
            if has_answer {
                bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "0")]));
                assert!(bench.seen().contains(&done(1)), "{probe:?}");
            } else {
                bench.advance(SECOND);
                let late = RequestError::TimedOut(TimeoutKind::Probe);
                let failed = failed(1, late, Phase::Sent, Delivery::MaybeProcessed);
                assert_eq!(bench.seen(), [failed]);
            }
            assert!(bench.peers[0].closed.is_some(), "it gets no request");
            bench.finish();
        }
    }
}

#[test]
fn a_request_in_flight_that_names_a_removed_server_ends_there_and_is_not_sent_elsewhere() {
    let mut bench = bench(Multiplex::Off, 2);
    let named = || repeatable().with_server(ServerId::new(0));
    bench.submit(named());
    bench.end(0);
    bench.submit(named());
    set(&mut bench, vec![server(9001)]);
    bench.eof(0);
    assert_eq!(order(&bench), [0]);
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    assert_eq!(
        bench.seen(),
        [
            done(1),
            failed(2, lost, Phase::Sent, Delivery::MaybeProcessed)
        ]
    );
    bench.finish();
}

#[test]
fn a_list_that_is_refused_changes_nothing() {
    let mut bench = bench(Multiplex::Off, 1);
    let name = "php.local:9000".parse().expect("an address");
    let too_many = vec![server(1); 1025];
    for (list, error) in [
        (vec![], ConfigError::NoServer),
        (
            vec![server(9001), server(9002).with_weight(0)],
            ConfigError::WeightZero { index: 1 },
        ),
        (
            vec![name],
            ConfigError::UnresolvedHost {
                name: "php.local".into(),
            },
        ),
        (
            too_many,
            ConfigError::TooManyServers {
                count: 1025,
                limit: 1024,
            },
        ),
    ] {
        let set = bench.command(|engine, now| engine.set_servers(now, list));
        assert_eq!(set, Err(error));
    }
    assert_eq!(ids(&bench), [0]);
    bench.submit(request());
    bench.end(0);
    bench.finish();
}

#[test]
fn slots_of_servers_that_are_gone_are_used_again() {
    let mut bench = bench(Multiplex::Off, 1);
    bench.servers = vec![Answer::Accept; 101];
    for round in 1..=100_u16 {
        let peer = bench.peers.len();
        bench.submit(request());
        set(&mut bench, vec![server(9000 + round)]);
        bench.end(peer);
    }
    assert_eq!(ids(&bench), [100]);
    assert_eq!(bench.seen().len(), 100);
    let at = bench.engine.server_address(ServerId::new(100));
    assert_eq!(
        at.map(ToString::to_string).as_deref(),
        Some("127.0.0.1:9100")
    );
    assert_eq!(
        bench.engine.server_address(ServerId::new(7)),
        None,
        "long gone"
    );
    bench.finish();
}

#[test]
fn a_request_that_waits_for_servers_that_refuse_is_served_by_a_new_one() {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = 10 * SECOND;
    let mut bench = Bench::new(config);
    bench.servers = vec![Answer::Refuse, Answer::Accept];
    bench.submit(request());
    bench.advance(SECOND);
    set(&mut bench, vec![server(9001)]);
    let last = bench.peers.len() - 1;
    assert_eq!(bench.peers[last].server, 1);
    bench.end(last);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn a_draining_server_finishes_takes_nothing_new_and_can_still_be_named() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    bench.submit(request());
    bench.submit(request());
    bench.submit(request());
    bench.end(2);
    set(
        &mut bench,
        vec![server(9000).with_mode(ServerMode::Draining), server(9001)],
    );
    assert_eq!(
        bench.peers[2].closed,
        Some(CloseReason::Retired),
        "idle at server 0"
    );
    for _ in 0..3 {
        bench.submit(request());
    }
    assert_eq!(order(&bench)[3..], [1, 1, 1]);
    bench.submit(request().with_server(ServerId::new(0)));
    assert_eq!(order(&bench)[6..], [0]);
    for peer in [0, 1, 3, 4, 5, 6] {
        bench.end(peer);
    }
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
    assert_eq!(
        bench.peers[6].closed,
        Some(CloseReason::Retired),
        "it keeps none"
    );
    assert_eq!(bench.seen().len(), 7);
    set(&mut bench, vec![server(9000), server(9001)]);
    bench.submit(request());
    bench.submit(request());
    let last = bench.peers.len() - 1;
    assert_eq!(bench.peers[last].server, 0, "it is back");
    for peer in bench.talked_to() {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn a_client_all_of_whose_servers_drain_waits() {
    let mut config = config(Multiplex::Off);
    config.timeouts.queue = Some(SECOND);
    let mut bench = Bench::new(config);
    set(
        &mut bench,
        vec![server(9000).with_mode(ServerMode::Draining)],
    );
    bench.submit(request());
    bench.advance(SECOND / 2);
    assert_eq!(bench.seen(), []);
    set(&mut bench, vec![server(9000)]);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn a_connect_to_a_server_that_refuses_fails_a_request_that_names_it_and_no_other() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    bench.servers[0] = Answer::Refuse;
    bench.submit(request().with_server(ServerId::new(0)));
    bench.submit(request());
    assert_eq!(bench.seen(), [refused(1)]);
    bench.submit(request().with_server(ServerId::new(0)));
    assert_eq!(
        bench.seen(),
        [refused(3)],
        "there is no other server to wait for"
    );
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

#[test]
fn a_removed_server_is_listed_as_such_while_a_request_is_on_it() {
    let mut bench = bench(Multiplex::Off, 1);
    bench.submit(request());
    set(&mut bench, vec![server(9009)]);
    let listed: Vec<String> = bench
        .engine
        .servers(bench.now)
        .map(|it| it.to_string())
        .collect();
    assert!(
        listed[0].contains("removed: 1 request on 1 connection"),
        "{listed:?}"
    );
    assert!(!listed[1].contains("removed"), "{listed:?}");
    bench.end(0);
    bench.finish();
}
