//! What is awaited has a cause, and the cause has an end: who waits beside a server that is set aside is woken.

use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{
    Backoff, CloseReason, Config, Multiplex, ServerId, ServerMode, ServerValues, SubmitError,
};

use crate::harness::{Answer, Bench};
use crate::script::{
    Records, Seen, Sent, config, done, records, refused, repeatable, request, servers,
};
use crate::set_servers::{server, set};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

fn answer() -> Records {
    records().values(&[("FCGI_MPXS_CONNS", "0")])
}

/// The only server has answered a check, and not the next one: it hangs. The pause after that has just begun.
fn beside_a_hung_server() -> Bench {
    let mut config = config(Multiplex::Off);
    config.check_interval = Some(10 * SECOND);
    // Requests wait for as long as they may.
    config.connect_retry_timeout = 60 * SECOND;
    config.timeouts.queue = None;
    config.backoff = Backoff {
        initial: PAUSE,
        max: PAUSE,
    };
    let mut bench = Bench::new(config);
    bench.advance(Duration::ZERO);
    bench.feed(0, answer());
    bench.advance(10 * SECOND);
    bench.advance(SECOND);
    assert_eq!(bench.peers[1].closed, Some(CloseReason::ProbeDone));
    bench
}

fn is_set_aside(bench: &Bench) -> bool {
    let mut servers = bench.engine.servers(bench.now);
    servers.next().is_some_and(|it| it.set_aside_for.is_some())
}

/// A question waits, and is asked at the end of the pause. Its answer shows that the server is alive.
fn asks_after_the_pause(mut bench: Bench) {
    bench.get_values(0);
    bench.advance(PAUSE - MS);
    assert_eq!(bench.peers.len(), 2, "the pause is not over");
    bench.advance(MS);
    assert_eq!(bench.peers.len(), 3, "no check was awaited");
    assert_eq!(bench.sent(2), [Sent::GetValues]);
    bench.feed(2, answer());
    let mut values = ServerValues::default();
    values.multiplexes = Some(false);
    assert_eq!(bench.seen(), [Seen::Values(1, values), done(1)]);
    assert!(!is_set_aside(&bench), "it has answered");
    bench.finish();
}

#[test]
fn a_question_to_a_server_that_hangs_waits_for_the_pause_and_for_no_check() {
    asks_after_the_pause(beside_a_hung_server());
}

#[test]
fn a_question_to_a_server_that_hangs_is_asked_although_no_check_follows() {
    let mut bench = beside_a_hung_server();
    set(
        &mut bench,
        vec![server(9000).with_mode(ServerMode::Draining)],
    );
    asks_after_the_pause(bench);
}

#[test]
fn a_question_that_waits_for_a_server_that_hangs_keeps_no_shutdown_waiting() {
    let mut bench = beside_a_hung_server();
    bench.get_values(0);
    bench.command(|engine, now| engine.shutdown(now, None));
    bench.advance(PAUSE);
    bench.feed(2, answer());
    assert!(bench.engine.is_shut_down());
}

#[test]
fn requests_that_have_no_other_server_try_one_that_hangs_after_its_pause() {
    for named in [None, Some(ServerId::new(0))] {
        let mut bench = beside_a_hung_server();
        let mut request = request();
        request.server = named;
        bench.submit(request);
        bench.advance(PAUSE - MS);
        assert_eq!(bench.peers.len(), 2);
        bench.advance(MS);
        assert_eq!(bench.sent(2), Sent::whole(1));
        bench.end(2);
        assert_eq!(bench.seen(), [done(1)]);
        assert!(!is_set_aside(&bench), "it has completed a request");
        bench.finish();
    }
}

#[test]
fn a_server_that_was_overloaded_and_hangs_is_overloaded_no_longer_than_its_pause() {
    let mut config = servers(1, Multiplex::Off);
    config.check_interval = Some(10 * SECOND);
    config.timeouts.queue = None;
    config.max_retries = 0;
    let mut bench = Bench::new(config);
    bench.advance(Duration::ZERO);
    bench.feed(0, answer());
    bench.submit(repeatable());
    bench.answer(1, |id| records().end_as(id, 0, ProtocolStatus::Overloaded));
    bench.seen();
    bench.advance(11 * SECOND);
    assert!(is_set_aside(&bench), "it has not answered the check");
    bench.submit(repeatable());
    bench.advance(PAUSE);
    let open = bench.peers.iter().rposition(|it| it.closed.is_none());
    bench.end(open.expect("a connection"));
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

/// Requests that wait for another server say nothing about one that hangs: only a check does.
#[test]
fn a_server_that_hangs_is_asked_although_requests_wait_for_others() {
    let mut config = servers(2, Multiplex::Off);
    config.check_interval = Some(10 * SECOND);
    config.limits.max_connections_per_server = 1;
    config.timeouts.queue = None;
    let mut bench = beside_a_first_that_hangs(config);
    bench.submit(request());
    bench.submit(request());
    bench.advance(9 * SECOND);
    let first = open(&bench, 0);
    assert_eq!(bench.sent(first), [Sent::GetValues]);
    bench.feed(first, answer());
    assert!(!is_set_aside(&bench));
    for server in [0, 1] {
        let peer = open(&bench, server);
        assert_eq!(bench.sent(peer), Sent::whole(1));
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn a_connection_to_a_server_that_hangs_counts_for_no_request_that_does_not_name_it() {
    let mut config = servers(2, Multiplex::On { max: 2 });
    config.check_interval = Some(10 * SECOND);
    config.limits.max_connections_per_server = 2;
    config.limits.max_queued_requests = 0;
    config.timeouts.queue = None;
    let mut bench = Bench::new(config);
    let answer = || records().values(&[("FCGI_MPXS_CONNS", "1")]);
    bench.advance(Duration::ZERO);
    bench.feed(0, answer());
    bench.feed(1, answer());
    bench.advance(10 * SECOND);
    let second = open(&bench, 1);
    bench.feed(second, answer());
    // The check of server 0 goes on while a connection is opened for a request.
    bench.advance(SECOND - MS);
    bench.servers[0] = Answer::Hang;
    let named = || request().with_server(ServerId::new(0));
    bench.submit(named());
    bench.advance(MS);
    assert!(is_set_aside(&bench));
    for _ in 0..4 {
        bench.submit(request());
    }
    let requests = bench.stats().requests;
    assert_eq!((requests.active, requests.connecting), (4, 1));
    let refused = bench.try_submit(request());
    assert_eq!(refused, Err(SubmitError::QueueFull { limit: 0 }));
    bench.submit(named());
    let first = open(&bench, 0);
    bench.accept(first);
    bench.feed(first, records().end(1, 0).end(2, 0));
    assert_eq!(bench.seen(), [done(1), done(6)]);
    for peer in [first + 1, first + 2] {
        bench.feed(peer, records().end(1, 0).end(2, 0));
    }
    bench.finish();
}

/// Of two servers, the first one has answered a check and not the next one. The second one has answered both.
fn beside_a_first_that_hangs(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    bench.advance(Duration::ZERO);
    bench.feed(0, answer());
    bench.feed(1, answer());
    bench.advance(10 * SECOND);
    let second = open(&bench, 1);
    bench.feed(second, answer());
    bench.advance(SECOND);
    assert!(is_set_aside(&bench));
    bench
}

/// The connection that was opened last of those to a server that are open.
fn open(bench: &Bench, server: usize) -> usize {
    let mut peers = bench.peers.iter();
    let is_it = |it: &crate::peer::Peer| it.server == server && it.closed.is_none();
    peers.rposition(is_it).expect("an open connection")
}

/// The check of server 0 is opened while a request that names the server waits: it gets that connection.
#[test]
fn a_connection_for_a_check_serves_a_request_that_waits_for_its_server() {
    let mut config = servers(2, Multiplex::Off);
    config.check_interval = Some(10 * SECOND);
    config.connect_retry_timeout = 60 * SECOND;
    config.timeouts.queue = None;
    config.backoff = Backoff {
        initial: 60 * SECOND,
        max: 60 * SECOND,
    };
    let mut bench = beside_a_first_that_hangs(config);
    bench.submit(request().with_server(ServerId::new(0)));
    bench.advance(8 * SECOND);
    assert_eq!(bench.stats().requests.queued, 1, "its pause lasts");
    bench.advance(SECOND);
    let checked = open(&bench, 0);
    assert_eq!(bench.sent(checked), Sent::whole(1));
    bench.end(checked);
    assert_eq!(bench.seen(), [done(1)]);
}

/// A connection is being opened for a request that names its server: it is for no other one.
#[test]
fn a_request_that_is_sent_again_gets_a_connection_of_its_own() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 3;
    let mut bench = Bench::new(config);
    bench.submit(repeatable());
    bench.end(0);
    bench.submit(repeatable());
    bench.servers[0] = Answer::Hang;
    bench.submit(request().with_server(ServerId::new(0)));
    assert_eq!(bench.peers.len(), 2);
    bench.reset(0);
    assert_eq!(bench.peers.len(), 3);
    bench.accept(1);
    bench.accept(2);
    bench.end(1);
    bench.end(2);
    assert_eq!(bench.seen().len(), 3);
    bench.finish();
}

#[test]
fn a_refusal_is_the_reason_where_the_limit_of_the_queue_expires_at_the_same_instant() {
    let mut config = config(Multiplex::Off);
    config.timeouts.queue = Some(SECOND);
    config.connect_retry_timeout = SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    bench.advance(SECOND);
    assert_eq!(bench.seen(), [refused(1)]);
    bench.finish();
}

/// The first of two requests that name a server takes only a new connection, which is being opened; the second one goes
/// over the idle connection.
#[test]
fn a_named_request_is_not_held_up_by_one_before_it_that_takes_only_a_new_connection() {
    let named = |it: mio_fcgi::Request| it.with_server(ServerId::new(0));
    for is_again in [false, true] {
        let mut config = servers(2, Multiplex::Off);
        config.limits.max_connections_per_server = 3;
        config.limits.max_idle_per_server = 3;
        let mut bench = Bench::new(config);
        bench.submit(named(repeatable()));
        bench.submit(named(repeatable()));
        for peer in [0, 1] {
            bench.sent(peer);
            bench.end(peer);
        }
        if is_again {
            // Nothing of it has left: it may still be sent as often as needed.
            bench.peers[1].window = 0;
            bench.submit(named(repeatable()));
            assert_eq!(bench.talked_to(), []);
            bench.servers[0] = Answer::Hang;
            bench.reset(1);
        } else {
            bench.servers[0] = Answer::Hang;
            bench.submit(named(request()));
        }
        assert_eq!(
            (bench.peers.len(), bench.stats().requests.connecting),
            (3, 1)
        );
        bench.sent(0);
        bench.sent(1);
        bench.submit(named(repeatable()));
        assert_eq!(bench.talked_to().len(), 1, "again {is_again}");
    }
}
