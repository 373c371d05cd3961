//! The embedder's question, `get_values`: its outcomes, and what it waits for.

use std::io;
use std::time::Duration;

use mio_fcgi::{
    CloseReason, ConnectionLostReason, Delivery, Disconnected, GetValuesError, Multiplex, Phase,
    RequestError, RequestState, ServerId, ServerValues, SubmitError, Tag, TimeoutKind,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, done, failed, records, refused, repeatable, request};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn get_values_says_what_the_server_said() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    let pairs = [
        ("FCGI_MAX_CONNS", "10"),
        ("FCGI_MAX_REQS", "50"),
        ("FCGI_MPXS_CONNS", "0"),
        ("FCGI_OTHER", "1"),
    ];
    bench.feed(0, records().values(&pairs));
    let mut values = ServerValues::default();
    values.max_conns = Some(10);
    values.max_reqs = Some(50);
    values.multiplexes = Some(false);
    assert_eq!(bench.seen(), [Seen::Values(1, values), done(1)]);
    bench.finish();
}

#[test]
fn get_values_of_a_silent_server_times_out() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    bench.advance(SECOND);
    let error = RequestError::TimedOut(TimeoutKind::Probe);
    assert_eq!(
        bench.seen(),
        [failed(1, error, Phase::Sent, Delivery::MaybeProcessed)]
    );
    assert_eq!(bench.peers[0].closed, Some(CloseReason::ProbeDone));
    bench.finish();
}

#[test]
fn get_values_of_a_server_that_is_down_says_so() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Refuse;
    bench.get_values(0);
    assert_eq!(bench.seen(), [refused(1)]);
    bench.finish();
}

#[test]
fn get_values_of_a_server_that_closes_says_so() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    bench.eof(0);
    let error = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    assert_eq!(
        bench.seen(),
        [failed(1, error, Phase::Sent, Delivery::MaybeProcessed)]
    );
    bench.finish();
}

fn lose(bench: &mut Bench) {
    bench.eof(0);
}

fn abort(bench: &mut Bench) {
    let handle = bench.handles[1];
    bench.command(|engine, now| engine.abort(now, handle));
}

fn wait(bench: &mut Bench) {
    bench.advance(SECOND);
}

/// The list of requests and the failure agree on how far it has come.
#[test]
fn get_values_that_fails_says_how_much_of_it_was_sent() {
    for (window, phase, delivery) in [
        (0, Phase::Sending, Delivery::NotProcessed),
        (10, Phase::Sending, Delivery::MaybeProcessed),
        (usize::MAX, Phase::Sent, Delivery::MaybeProcessed),
    ] {
        for end in [lose, abort, wait] {
            let mut bench = Bench::plain();
            bench.submit(request());
            bench.end(0);
            bench.seen();
            bench.peers[0].window = window;
            bench.get_values(0);
            let listed = bench.engine.requests(bench.now).next().expect("one");
            let state = match phase {
                Phase::Sent => RequestState::Sent,
                _ => RequestState::Sending,
            };
            assert_eq!((listed.state, listed.awaits_body), (state, false));
            end(&mut bench);
            let Seen::Failed(2, _, failed_in, delivered) = &bench.seen()[0] else {
                panic!("it failed");
            };
            assert_eq!((*failed_in, *delivered), (phase, delivery), "{window}");
            bench.finish();
        }
    }
}

#[test]
fn get_values_waits_before_the_requests_while_all_connections_are_busy() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.get_values(0);
    bench.sent(0);
    bench.end(0);
    assert_eq!(bench.sent(0), [Sent::GetValues]);
    bench.feed(0, records().values(&[]));
    assert_eq!(bench.sent(0), Sent::whole(2), "on the same connection");
    bench.end(0);
    let values = Seen::Values(3, ServerValues::default());
    assert_eq!(bench.seen(), [done(1), values, done(3), done(2)]);
    bench.finish();
}

#[test]
fn get_values_that_finds_no_free_connection_tells_busy_from_down() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.timeouts.queue = Some(SECOND);
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.get_values(0);
    bench.advance(SECOND);
    let error = RequestError::TimedOut(TimeoutKind::Queue);
    assert_eq!(
        bench.seen(),
        [failed(2, error, Phase::Queued, Delivery::NotProcessed)]
    );
    bench.end(0);
    bench.finish();
}

#[test]
fn a_server_is_asked_by_the_embedder_once_at_a_time() {
    let mut bench = Bench::plain();
    bench.get_values(0);
    let second = bench
        .engine
        .get_values(bench.now, ServerId::new(0), Tag(99));
    let server = ServerId::new(0);
    assert_eq!(second, Err(GetValuesError::InProgress { server }));
    bench.advance(SECOND);
    bench.get_values(0);
    bench.advance(SECOND);
    assert_eq!(bench.seen().len(), 2, "two ends");
    bench.finish();
}

#[test]
fn a_server_that_the_configuration_does_not_have_is_not_asked() {
    let mut bench = Bench::plain();
    for server in [ServerId::new(1), ServerId::new(u32::MAX)] {
        let asked = bench.engine.get_values(bench.now, server, Tag(99));
        assert_eq!(asked, Err(GetValuesError::NoSuchServer { server }));
    }
    bench.finish();
}

#[test]
fn a_client_that_shuts_down_asks_no_server() {
    let mut bench = Bench::plain();
    bench.command(|engine, now| engine.shutdown(now, None));
    let asked = bench
        .engine
        .get_values(bench.now, ServerId::new(0), Tag(99));
    assert_eq!(asked, Err(GetValuesError::ShuttingDown));
    bench.finish();
}

#[test]
fn an_aborted_get_values_closes_its_connection() {
    let mut bench = Bench::plain();
    let probe = bench.get_values(0);
    bench.command(|engine, now| engine.abort(now, probe));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Aborted));
    assert_eq!(
        bench.seen(),
        [failed(
            1,
            RequestError::Aborted,
            Phase::Sent,
            Delivery::MaybeProcessed
        )]
    );
    bench.finish();
}

#[test]
fn a_question_of_the_embedder_waits_for_its_server_and_not_for_another() {
    let mut config = config(Multiplex::Off);
    config.servers.push(config.servers[0].clone());
    let mut bench = Bench::new(config);
    bench.servers = vec![Answer::Hang; 2];
    bench.submit(request());
    bench.get_values(1);
    let [other, asked] = [bench.peers[0].handle, bench.peers[1].handle];
    let refused = Disconnected::ConnectFailed(io::ErrorKind::ConnectionRefused);
    bench.command(|engine, now| engine.handle_closed(now, other, refused));
    assert_eq!(bench.seen(), [], "server 1 has not said no");
    bench.command(|engine, now| engine.handle_connected(now, asked));
    bench.feed(1, records().values(&[]));
    let values = Seen::Values(2, ServerValues::default());
    assert_eq!(bench.seen(), [values, done(2)]);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

// case 145
#[test]
fn a_question_of_the_embedder_waits_within_the_limit_too() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    let asked = bench.engine.get_values(bench.now, ServerId::new(0), Tag(9));
    assert_eq!(asked, Err(GetValuesError::QueueFull { limit: 1 }));
    bench.end(0);
    bench.get_values(0);
    assert_eq!(bench.stats().requests.queued, 1);
    let refused = bench.try_submit(request());
    assert_eq!(refused, Err(SubmitError::QueueFull { limit: 1 }));
    bench.end(0);
    bench.feed(0, records().values(&[]));
    assert_eq!(bench.seen().len(), 4, "two ends, values and their end");
    bench.finish();
}

#[test]
fn beside_a_question_only_what_is_above_the_limit_for_questions_is_closed() {
    let mut config = config(Multiplex::Off);
    config.limits.max_idle_per_server = 4;
    config.limits.reserve_for_get_values = true;
    config.limits.max_total_connections = 4;
    let mut limits = config.limits;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(repeatable());
    }
    for peer in 0..3 {
        bench.end(peer);
    }
    bench.get_values(0);
    assert_eq!(bench.stats().connections.idle, 3);
    limits.max_total_connections = 2;
    let set = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(set, Ok(()));
    let connections = bench.stats().connections;
    assert_eq!((connections.probing, connections.idle), (1, 1));
    let closed = bench.peers.iter().filter_map(|it| it.closed);
    assert_eq!(closed.collect::<Vec<_>>(), [CloseReason::Retired; 2]);
    let asked = bench.talked_to();
    bench.feed(asked[0], records().values(&[]));
    bench.finish();
}
