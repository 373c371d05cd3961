//! Checks of servers that serve nothing, the cap over all servers, and the connection that is kept for probes.

use std::time::Duration;

use mio_fcgi::{CloseReason, Config, ConfigError, Engine, Limits, Multiplex, ServerId, ServerMode};

use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, done, records, repeatable, request, servers};
use crate::set_servers::server;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn checked(count: u16) -> Bench {
    let mut config = servers(count, Multiplex::Off);
    config.check_interval = Some(5 * SECOND);
    Bench::new(config)
}

fn answer() -> crate::script::Records {
    records().values(&[("FCGI_MPXS_CONNS", "0")])
}

#[test]
fn a_check_asks_on_a_connection_of_its_own_and_closes_it() {
    let mut bench = checked(1);
    bench.advance(Duration::ZERO);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, answer());
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ProbeDone));
    bench.advance(5 * SECOND - MS);
    assert_eq!(bench.peers.len(), 1);
    bench.advance(MS);
    assert_eq!(bench.sent(1), [Sent::GetValues]);
    bench.feed(1, answer());
    assert_eq!(bench.seen(), [], "the embedder hears nothing of it");
    bench.finish();
}

#[test]
fn a_dead_server_is_known_before_a_request_finds_it_and_is_found_again() {
    let mut bench = checked(2);
    bench.servers[0] = Answer::Refuse;
    bench.advance(Duration::ZERO);
    let dead = bench.engine.servers(bench.now).next().expect("two");
    assert!(dead.set_aside_for.is_some() && dead.connect_error.is_some());
    bench.feed(1, answer());
    bench.submit(request());
    let at: Vec<usize> = bench.peers[2..].iter().map(|it| it.server).collect();
    assert_eq!(at, [1], "no request tries the dead one");
    bench.end(2);
    bench.servers[0] = Answer::Accept;
    bench.advance(5 * SECOND);
    let back = bench.engine.servers(bench.now).next().expect("two");
    assert_eq!((back.set_aside_for, back.connect_error), (None, None));
    bench.finish();
}

#[test]
fn a_server_that_has_answered_and_does_not_any_more_is_set_aside() {
    let mut bench = checked(1);
    bench.advance(Duration::ZERO);
    bench.advance(SECOND);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ProbeDone));
    let first = bench.engine.servers(bench.now).next().expect("one");
    assert_eq!(first.connect_error, None, "perhaps it never answers");
    bench.advance(4 * SECOND);
    bench.feed(1, answer());
    bench.advance(5 * SECOND);
    assert_eq!(bench.peers.len(), 3);
    bench.advance(SECOND);
    let hung = bench.engine.servers(bench.now).next().expect("one");
    assert!(hung.connect_error.is_some(), "it is known to answer");
    bench.finish();
}

#[test]
fn a_server_that_hangs_gets_no_request_before_it_answers_a_check() {
    let mut bench = checked(2);
    bench.advance(Duration::ZERO);
    bench.feed(0, answer());
    bench.feed(1, answer());
    bench.advance(5 * SECOND);
    let last = |bench: &Bench, server| {
        let last = bench.peers.iter().rposition(|it| it.server == server);
        last.expect("a check")
    };
    let of_1 = last(&bench, 1);
    bench.feed(of_1, answer());
    bench.advance(SECOND + 100 * MS);
    let server = |bench: &Bench, number| {
        let mut all = bench.engine.servers(bench.now);
        all.nth(number).expect("two").to_string()
    };
    let line = server(&bench, 0);
    assert!(line.contains("; set aside until it answers; "), "{line}");
    for _ in 0..4 {
        bench.submit(request());
        let peer = *bench.talked_to().last().expect("one");
        bench.sent(peer);
        assert_eq!(
            bench.peers[peer].server, 1,
            "although the other accepts connections"
        );
        bench.end(peer);
        bench.advance(SECOND);
    }
    bench.advance(5 * SECOND);
    let of_0 = last(&bench, 0);
    bench.feed(of_0, answer());
    assert!(!server(&bench, 0).contains("set aside"));
    bench.finish();
}

#[test]
fn while_a_check_is_not_over_no_other_one_begins() {
    let mut config = config(Multiplex::Off);
    config.check_interval = Some(100 * MS);
    config.probe_timeout = 500 * MS;
    let mut bench = Bench::new(config);
    for _ in 0..5 {
        bench.advance(100 * MS);
        assert_eq!(bench.stats().connections.probing, 1);
    }
    bench.finish();
}

#[test]
fn a_server_with_traffic_is_not_checked() {
    let mut bench = checked(1);
    bench.advance(Duration::ZERO);
    bench.feed(0, answer());
    for _ in 0..4 {
        bench.submit(request());
        bench.end(1);
        bench.advance(5 * SECOND);
    }
    bench.submit(request());
    bench.advance(20 * SECOND);
    assert_eq!(
        bench.peers.len(),
        2,
        "one in flight shows as much as a check"
    );
    bench.end(1);
    bench.advance(5 * SECOND);
    bench.advance(5 * SECOND);
    assert_eq!(bench.peers.len(), 3, "nothing was completed since");
    bench.finish();
}

#[test]
fn a_request_that_waits_takes_the_connection_of_a_check() {
    let mut bench = checked(1);
    bench.servers[0] = Answer::Hang;
    bench.advance(Duration::ZERO);
    bench.submit(request());
    bench.accept(0);
    assert_eq!(bench.sent(0), Sent::whole(1));
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn a_named_request_does_not_rely_on_the_connection_of_a_check() {
    let mut config = config(Multiplex::Off);
    config.check_interval = Some(5 * SECOND);
    config.limits.max_connections_per_server = 2;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Hang;
    bench.advance(Duration::ZERO);
    bench.submit(request().with_server(ServerId::new(0)));
    assert_eq!(bench.seen(), [], "it was accepted");
    assert_eq!(bench.peers.len(), 2, "a connection is opened for it");
    bench.accept(1);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn an_application_that_dies_of_the_question_is_asked_once() {
    let mut bench = checked(1);
    bench.advance(Duration::ZERO);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.eof(0);
    for _ in 0..3 {
        bench.advance(5 * SECOND);
    }
    assert_eq!(bench.peers.len(), 4);
    for peer in 1..4 {
        assert_eq!(bench.sent(peer), [], "connected to, and not asked");
        assert_eq!(bench.peers[peer].closed, Some(CloseReason::ProbeDone));
    }
    bench.finish();
}

#[test]
fn draining_servers_are_not_checked_and_added_ones_at_once() {
    let mut bench = checked(1);
    bench.advance(Duration::ZERO);
    bench.feed(0, answer());
    bench.servers.push(Answer::Accept);
    let list = vec![server(9000).with_mode(ServerMode::Draining), server(9001)];
    crate::set_servers::set(&mut bench, list);
    bench.advance(Duration::ZERO);
    bench.feed(1, answer());
    assert_eq!(bench.peers[1].server, 1);
    bench.advance(5 * SECOND);
    let at: Vec<usize> = bench.peers[2..].iter().map(|it| it.server).collect();
    assert_eq!(at, [1]);
    bench.finish();
}

#[test]
fn no_interval_is_too_short_or_too_long() {
    for (interval, most) in [(Duration::ZERO, 12), (Duration::MAX, 1)] {
        let mut config = config(Multiplex::Off);
        config.check_interval = Some(interval);
        let mut bench = Bench::new(config);
        for _ in 0..10 {
            bench.advance(MS);
            let last = bench.peers.len() - 1;
            if bench.peers[last].closed.is_none() {
                bench.feed(last, answer());
            }
        }
        assert!(
            bench.peers.len() <= most,
            "{interval:?}: {}",
            bench.peers.len()
        );
        bench.finish();
    }
}

#[test]
fn no_check_and_no_deadline_is_left_after_a_shutdown_of_a_client_that_serves_nothing() {
    for deadline in [None, Some(SECOND)] {
        let mut bench = checked(2);
        bench.advance(Duration::ZERO);
        bench.feed(0, answer());
        bench.feed(1, answer());
        let deadline = deadline.map(|within| bench.now + within);
        bench.command(|engine, now| engine.shutdown(now, deadline));
        assert!(bench.engine.is_shut_down());
        assert_eq!(bench.engine.timeout(bench.now), None);
        bench.advance(20 * SECOND);
        assert_eq!(bench.peers.len(), 2);
    }
}

// --- the cap over all servers ---

#[test]
fn a_cap_over_all_servers_is_kept_and_an_idle_connection_elsewhere_makes_place() {
    let mut config = servers(3, Multiplex::Off);
    config.limits.max_total_connections = 2;
    let mut bench = Bench::new(config);
    for number in 0..3 {
        bench.submit(request().with_server(ServerId::new(number)));
    }
    assert_eq!(bench.peers.len(), 2);
    bench.end(0);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Replaced));
    assert_eq!(bench.peers[2].server, 2);
    bench.end(1);
    bench.end(2);
    bench.submit(request().with_server(ServerId::new(0)));
    assert_eq!(
        bench.peers[1].closed,
        Some(CloseReason::Replaced),
        "idle for longest"
    );
    bench.end(3);
    assert_eq!(bench.seen().len(), 4);
    bench.finish();
}

#[test]
fn under_a_cap_over_all_servers_an_idle_connection_is_used_rather_than_replaced() {
    let weighted = |config: Config| {
        let both = [1, 2].map(|weight| weight * 7);
        let list = config.servers.clone().into_iter().zip(both);
        let list = list.map(|(server, weight)| server.with_weight(weight));
        config.clone().with_servers(list.collect())
    };
    for change in [|config| config, weighted] {
        let mut config = change(servers(2, Multiplex::Off));
        config.limits.max_total_connections = 1;
        let mut bench = Bench::new(config);
        for _ in 0..4 {
            bench.submit(repeatable());
            bench.end(0);
        }
        assert_eq!(bench.peers.len(), 1);
        bench.finish();
    }
}

#[test]
fn a_cap_over_all_servers_that_is_lowered_closes_what_is_idle_then_what_becomes_so() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    for _ in 0..4 {
        bench.submit(request());
    }
    bench.end(0);
    bench.end(1);
    let limits = Limits::default().with_max_total_connections(1);
    let set = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(set, Ok(()));
    let open = |bench: &Bench| bench.peers.iter().filter(|it| it.closed.is_none()).count();
    assert_eq!(open(&bench), 2, "those with requests");
    bench.end(2);
    assert_eq!(open(&bench), 1);
    bench.end(3);
    assert_eq!(open(&bench), 1, "one may be idle");
    bench.submit(request());
    assert_eq!(open(&bench), 1);
    let last = bench.talked_to()[0];
    bench.end(last);
    bench.finish();
}

#[test]
fn connections_opened_in_advance_stay_within_the_cap_over_all_servers() {
    let mut config = servers(3, Multiplex::Off);
    config.limits.min_idle_per_server = 2;
    config.limits.max_total_connections = 5;
    let mut bench = Bench::new(config);
    bench.advance(SECOND);
    assert_eq!(bench.stats().connections.idle, 5);
    bench.finish();
}

#[test]
fn a_cap_of_zero_and_one_place_kept_of_one_are_refused() {
    let refused = |limits: Limits| Engine::new(config(Multiplex::Off).with_limits(limits)).err();
    let limits = Limits::default();
    assert_eq!(
        refused(limits.with_max_total_connections(0)),
        Some(ConfigError::MaxConnectionsZero)
    );
    let reserved = limits.with_reserve_for_get_values(true);
    for limits in [
        reserved.with_max_total_connections(1),
        reserved
            .with_max_connections_per_server(1)
            .with_max_idle_per_server(1),
    ] {
        assert_eq!(refused(limits), Some(ConfigError::ReservedOnly));
    }
    assert_eq!(refused(reserved), None);
}

// --- the connection that is kept for probes ---

fn reserved(most: usize) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = most;
    config.limits.max_idle_per_server = most;
    config.limits.reserve_for_get_values = true;
    Bench::new(config)
}

#[test]
fn requests_leave_a_connection_to_probes_and_do_not_take_it_afterwards() {
    let mut bench = reserved(3);
    for _ in 0..5 {
        bench.submit(request());
    }
    assert_eq!(bench.peers.len(), 2);
    bench.get_values(0);
    assert_eq!(
        bench.sent(2),
        [Sent::GetValues],
        "at once, beside five requests"
    );
    bench.feed(2, answer());
    assert_eq!(bench.peers[2].closed, Some(CloseReason::Retired));
    assert_eq!(bench.peers.len(), 3);
    for peer in [0, 0, 0, 0, 1] {
        bench.sent(peer);
        bench.end(peer);
    }
    bench.get_values(0);
    assert_eq!(bench.peers.len(), 3, "an idle one is there");
    let asked = bench.talked_to();
    assert_eq!(asked.len(), 1);
    bench.feed(asked[0], answer());
    assert_eq!(bench.stats().connections.idle, 2);
    bench.finish();
}

#[test]
fn the_kept_connection_is_there_for_a_probe_that_a_cap_over_all_servers_would_stop() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_total_connections = 3;
    config.limits.reserve_for_get_values = true;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(request());
    }
    assert_eq!(bench.peers.len(), 2);
    bench.get_values(1);
    assert_eq!(bench.sent(2), [Sent::GetValues]);
    bench.feed(2, answer());
    for peer in [0, 1, 0, 1] {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn under_a_cap_over_all_servers_requests_do_not_take_the_kept_connection_after_a_probe() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_total_connections = 3;
    config.limits.reserve_for_get_values = true;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(request());
    }
    for peer in [2, 3] {
        bench.get_values(1);
        assert_eq!(bench.sent(peer), [Sent::GetValues], "at once");
        bench.feed(peer, answer());
        assert_eq!(bench.peers[peer].closed, Some(CloseReason::Retired));
    }
    for peer in [0, 1, 0, 1] {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn beside_a_probe_no_connection_is_replaced_where_that_makes_no_place() {
    let mut config = servers(3, Multiplex::Off);
    config.limits.max_total_connections = 3;
    config.limits.max_connections_per_server = 2;
    config.limits.reserve_for_get_values = true;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    for peer in 0..2 {
        bench.submit(repeatable());
        assert_eq!(bench.peers[peer].server, peer);
    }
    bench.end(0);
    bench.end(1);
    bench.get_values(2);
    assert_eq!(bench.sent(2), [Sent::GetValues]);
    bench.submit(repeatable());
    // It would have a new connection rather than one that has served.
    bench.submit(request());
    assert_eq!(bench.stats().requests.active, 3, "with the question");
    assert_eq!(bench.peers.len(), 3);
    bench.feed(2, answer());
    bench.end(0);
    bench.end(1);
    bench.finish();
}

#[test]
fn under_a_cap_over_all_servers_requests_do_not_take_the_kept_connection_from_a_check() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_total_connections = 2;
    config.limits.reserve_for_get_values = true;
    config.check_interval = Some(SECOND);
    let mut bench = Bench::new(config);
    bench.servers[1] = Answer::Hang;
    bench.submit(request().with_server(ServerId::new(0)));
    bench.submit(request());
    bench.advance(Duration::ZERO);
    assert_eq!(
        bench.peers[1].server, 1,
        "server 0 has a request, and is not checked"
    );
    bench.accept(1);
    assert_eq!(bench.peers[1].closed, Some(CloseReason::Retired));
    bench.servers[1] = Answer::Accept;
    bench.end(0);
    assert_eq!(bench.peers.len(), 2, "the other one takes the connection");
    bench.end(0);
    bench.finish();
}
