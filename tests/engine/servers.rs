//! Several servers, servers that refuse, listeners whose backlog is full.

use std::time::Duration;

use mio_fcgi::{ConnectError, Delivery, Multiplex, Phase, RequestError, TimeoutKind, Timeouts};

use crate::harness::{Answer, Bench};
use crate::script::{config, done, failed, not_connected, refused, request, servers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The server of each connection, in the order of opening.
fn order(bench: &Bench) -> Vec<usize> {
    bench.peers.iter().map(|peer| peer.server).collect()
}

fn end_all(bench: &mut Bench) {
    for peer in 0..bench.peers.len() {
        if bench.peers[peer].closed.is_none() && !bench.sent(peer).is_empty() {
            bench.end(peer);
        }
    }
}

#[test]
fn equals_take_turns() {
    let mut bench = Bench::new(servers(3, Multiplex::Off));
    for _ in 0..6 {
        bench.submit(request());
    }
    assert_eq!(order(&bench), [0, 1, 2, 0, 1, 2]);
    end_all(&mut bench);
    bench.finish();
}

#[test]
fn the_server_with_the_fewest_in_flight_is_chosen() {
    let mut bench = Bench::new(servers(3, Multiplex::Off));
    for _ in 0..6 {
        bench.submit(request());
    }
    bench.end(1);
    bench.eof(1);
    bench.end(4);
    bench.eof(4);
    bench.submit(request());
    bench.submit(request());
    assert_eq!(order(&bench)[6..], [1, 1], "0 and 2 have two each");
    end_all(&mut bench);
    bench.finish();
}

#[test]
fn a_refused_server_is_set_aside_with_pauses_that_double_and_tried_by_one_connection() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    assert_eq!(order(&bench), [0, 1], "passed on at once");
    let mut waited = Duration::ZERO;
    let mut pauses = Vec::new();
    bench.submit(request().with_timeouts(Timeouts::NONE));
    while pauses.len() < 8 {
        let before = bench.peers.len();
        bench.advance(MS);
        waited += MS;
        assert!(bench.peers.len() <= before + 1, "a single connection");
        if bench.peers.len() > before {
            assert_eq!(bench.peers[before].server, 0);
            pauses.push(waited.as_millis());
            waited = Duration::ZERO;
        }
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
    bench.servers[0] = Answer::Accept;
    bench.advance(2 * SECOND);
    let last = bench.peers.len() - 1;
    bench.end(last);
    bench.end(1);
    assert_eq!(bench.seen(), [done(2), done(1)]);
    bench.finish();
}

#[test]
fn while_the_tried_connection_hangs_no_other_is_opened_to_a_server_that_was_down() {
    let mut config = servers(1, Multiplex::Off);
    config.connect_retry_timeout = 10 * SECOND;
    let mut bench = Bench::new(config);
    bench.answers.push_back(Answer::Refuse);
    bench.servers[0] = Answer::Hang;
    for _ in 0..5 {
        bench.submit(request());
    }
    bench.advance(50 * MS);
    assert_eq!(bench.peers.len(), 2);
    bench.advance(2 * SECOND);
    assert_eq!(bench.peers.len(), 2);
    bench.servers[0] = Answer::Accept;
    bench.accept(1);
    assert_eq!(bench.stats().connections.busy, 5, "it is back");
    end_all(&mut bench);
    bench.finish();
}

#[test]
fn the_retry_time_of_connects_outlasts_a_server_that_is_restarted() {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    bench.advance(300 * MS);
    assert_eq!(bench.seen(), []);
    bench.servers[0] = Answer::Accept;
    bench.advance(500 * MS);
    let last = bench.peers.len() - 1;
    bench.end(last);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn the_retry_time_of_connects_ends() {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    bench.advance(999 * MS);
    assert_eq!(bench.seen(), []);
    bench.advance(2 * SECOND);
    assert_eq!(bench.seen(), [refused(1)]);
    bench.finish();
}

// case 106
#[test]
fn a_full_backlog_is_tried_again_by_timer_until_it_has_room() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::BacklogFull;
    bench.submit(request());
    let handle = bench.peers[0].handle;
    bench.advance(SECOND);
    assert!(bench.stats().counters.backlog_full > 2);
    assert_eq!(bench.stats().connections.connecting, 1);
    bench.servers[0] = Answer::Accept;
    bench.advance(SECOND);
    assert_eq!(
        bench.peers[0].handle, handle,
        "the same handle, new sockets"
    );
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    assert_eq!(bench.stats().counters.connect_failures, 0);
    bench.finish();
}

// case 106
#[test]
fn a_backlog_that_stays_full_is_an_error_of_its_own_at_the_connect_limit() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::BacklogFull;
    bench.submit(request());
    bench.advance(3 * SECOND - MS);
    assert_eq!(bench.seen(), []);
    bench.advance(MS);
    assert_eq!(bench.seen(), [not_connected(1, ConnectError::BacklogFull)]);
    // A full backlog does not count as down: the next request is sent at once.
    bench.servers[0] = Answer::Accept;
    bench.submit(request());
    let last = bench.peers.len() - 1;
    bench.end(last);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

#[test]
fn a_busy_listener_fails_the_request_at_the_front_and_the_others_wait_on() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::BacklogFull;
    for _ in 0..3 {
        bench.submit(request());
    }
    bench.advance(3 * SECOND);
    assert_eq!(bench.seen(), [not_connected(1, ConnectError::BacklogFull)]);
    bench.servers[0] = Answer::Accept;
    bench.advance(SECOND);
    let last = bench.peers.len() - 1;
    bench.end(last);
    bench.end(last);
    assert_eq!(bench.seen(), [done(2), done(3)]);
    bench.finish();
}

#[test]
fn a_hanging_server_costs_its_request_the_connect_limit_and_then_the_others_serve() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    bench.submit(request());
    assert_eq!(order(&bench), [0, 1]);
    bench.end(1);
    bench.advance(3 * SECOND);
    end_all(&mut bench);
    for _ in 0..4 {
        bench.submit(request());
    }
    assert!(order(&bench)[2..].iter().all(|server| *server == 1));
    end_all(&mut bench);
    let seen = bench.seen();
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(
        !seen.iter().any(|it| format!("{it:?}").contains("Failed")),
        "{seen:?}"
    );
    bench.finish();
}

#[test]
fn a_request_takes_a_connection_that_falls_idle_while_another_servers_connect_hangs() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    for _ in 0..8 {
        bench.submit(request());
    }
    for peer in [1, 3, 5, 7] {
        bench.end(peer);
        bench.eof(peer);
    }
    bench.servers[1] = Answer::Hang;
    bench.submit(request());
    assert_eq!(order(&bench)[8], 1, "the one with fewer in flight");
    bench.end(0);
    assert_eq!(bench.stats().requests.queued, 0);
    bench.accept(8);
    end_all(&mut bench);
    bench.end(0);
    bench.finish();
}

#[test]
fn the_queue_limit_ends_a_wait_for_servers_that_are_all_down() {
    let mut config = servers(2, Multiplex::Off);
    config.connect_retry_timeout = Duration::from_secs(60);
    let mut bench = Bench::new(config);
    bench.servers = vec![Answer::Refuse; 2];
    bench.submit(request());
    bench.advance(Duration::from_secs(10));
    let error = RequestError::TimedOut(TimeoutKind::Queue);
    assert_eq!(
        bench.seen(),
        [failed(1, error, Phase::Queued, Delivery::NotProcessed)]
    );
    bench.finish();
}

/// The connect that finds out whether a server is back may take long: no request waits for it while another server is
/// available.
#[test]
fn a_request_does_not_wait_for_the_server_that_it_tries_again() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    bench.answers.push_back(Answer::Refuse);
    bench.submit(request());
    bench.end(1);
    assert_eq!(bench.peers[0].server, 0);
    bench.advance(Duration::from_secs(60));
    bench.answers.push_back(Answer::Hang);
    bench.submit(request());
    let tried: Vec<usize> = bench.peers[2..].iter().map(|peer| peer.server).collect();
    assert_eq!(tried, [0, 1], "one to try, one to serve");
    bench.end(3);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}
