//! Mistakes that were made once: the pool, the clock, the servers.

use std::time::Duration;

use mio_fcgi::wire::ProtocolStatus;
use mio_fcgi::{
    CloseReason, ConnectError, Delivery, EventKind, Multiplex, OwnedEvent, Phase, RequestError,
    TimeoutKind,
};

use crate::harness::{Answer, Bench};
use crate::script::{Seen, Sent, config, done, failed, records, repeatable, request, servers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The pause of a server lost its deadline when the last request and connection ended. A request submitted then waited
/// for the queue's time limit.
#[test]
fn a_request_that_comes_while_its_server_is_set_aside_is_sent_when_the_pause_is_over() {
    let mut config = config(Multiplex::Off);
    config.connect_retry_timeout = SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    let first = bench.submit(request());
    bench.command(|engine, now| engine.abort(now, first));
    assert!(bench.engine.is_idle());
    bench.servers[0] = Answer::Accept;
    bench.submit(request());
    assert_eq!(bench.peers.len(), 1, "set aside for 50 ms");
    bench.advance(49 * MS);
    assert_eq!(bench.peers.len(), 1);
    bench.advance(MS);
    assert_eq!(bench.peers.len(), 2);
    bench.end(1);
    bench.finish();
}

#[test]
fn connections_opened_beforehand_are_tried_again_after_a_refusal_that_failed_the_last_request() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    assert!(bench.engine.is_idle());
    bench.servers[0] = Answer::Accept;
    bench.advance(SECOND);
    assert_eq!(bench.stats().connections.idle, 1);
    bench.finish();
}

/// A connection that took longer to open than its maximum lifetime was closed before it served a request, again and
/// again.
#[test]
fn a_connection_that_is_old_when_it_opens_serves_one_request() {
    let mut config = config(Multiplex::Off);
    config.limits.max_lifetime = Some(SECOND);
    let mut bench = Bench::new(config);
    bench.answers.push_back(Answer::Hang);
    bench.submit(request());
    bench.advance(2 * SECOND);
    bench.accept(0);
    assert_eq!(bench.peers.len(), 1);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxLifetime));
    bench.finish();
}

#[test]
fn an_idle_connection_past_its_age_is_not_handed_out_by_a_late_tick() {
    let mut config = config(Multiplex::Off);
    config.limits.max_lifetime = Some(SECOND);
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.end(0);
    bench.now += 2 * SECOND;
    bench.submit(request());
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

/// A shared connection that was never idle never met its limits.
#[test]
fn a_shared_connection_that_is_never_idle_takes_no_more_requests_than_allowed() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_requests_per_connection = Some(3);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(request());
    }
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.stats().requests.queued, 1, "3 served or in flight");
    bench.feed(0, records().end(2, 0));
    assert_eq!(bench.peers.len(), 1);
    let last = bench.sent(0).iter().rev().find_map(|sent| match sent {
        Sent::Begin { id, .. } => Some(*id),
        _ => None,
    });
    bench.feed(0, records().end(last.expect("a third request"), 0));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxRequests));
    bench.feed(1, records().end(1, 0));
    assert_eq!(bench.seen(), [done(1), done(2), done(3), done(4)]);
    bench.finish();
}

#[test]
fn a_shared_connection_past_its_age_takes_no_further_request() {
    let mut config = config(Multiplex::On { max: 8 });
    config.limits.max_lifetime = Some(SECOND);
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.advance(SECOND);
    bench.submit(request());
    assert_eq!(bench.peers.len(), 2);
    bench.feed(0, records().end(1, 0));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::MaxLifetime));
    bench.feed(1, records().end(1, 0));
    bench.finish();
}

/// Timer entries kept the deadlines of the old limits.
#[test]
fn limits_lowered_at_run_time_count_for_connections_that_are_idle_already() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    let mut limits = bench.engine.config().limits;
    limits.idle_timeout = SECOND;
    bench
        .command(|engine, now| engine.set_limits(now, limits))
        .expect("valid");
    bench.advance(SECOND);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::IdleTimeout));
    bench.finish();
}

/// With neither request nor connection the probe's slot counted twice, and a client that had shut down asked again.
#[test]
fn no_server_is_asked_during_a_shut_down() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.answers.push_back(Answer::Hang);
    bench.submit(request());
    bench.submit(request());
    bench.command(|engine, now| engine.shutdown(now, None));
    bench.accept(0);
    assert_eq!(bench.sent(0), Sent::whole(1), "though a request waits");
    bench.end(0);
    assert_eq!(bench.sent(0), Sent::whole(2));
    bench.end(0);
    assert!(bench.engine.is_idle(), "{:?}", bench.engine);
    bench.finish();
}

/// A connection that waits for the padding of its last record was counted as an idle one of `min_idle_per_server`, and
/// kept.
#[test]
fn a_connection_whose_last_padding_never_comes_is_closed_although_min_idle_asks_for_one() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_idle_per_server = 1;
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    let answer = records().padded(8).end(1, 0);
    bench.feed(0, &answer.as_ref()[..20]);
    assert_eq!(bench.seen(), [done(1)]);
    bench.advance(Duration::from_secs(11));
    assert!(bench.peers[0].closed.is_some());
    bench.finish();
}

#[test]
fn a_shut_down_does_not_wait_for_padding() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.command(|engine, now| engine.shutdown(now, None));
    let answer = records().padded(8).end(1, 0);
    bench.feed(0, &answer.as_ref()[..20]);
    assert!(bench.engine.is_idle());
    bench.finish();
}

/// Idle connections were looked at on the server of the last request only.
#[test]
fn a_shut_down_closes_idle_connections_of_every_server_when_the_queue_is_empty() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_idle_per_server = 1;
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.get_values(0);
    let peer = |bench: &Bench, server| {
        bench
            .peers
            .iter()
            .position(|peer| peer.server == server && peer.closed.is_none())
    };
    let (zero, one) = (
        peer(&bench, 0).expect("open"),
        peer(&bench, 1).expect("open"),
    );
    bench.end(one);
    bench.command(|engine, now| engine.shutdown(now, None));
    bench.end(zero);
    bench.feed(zero, records().values(&[]));
    assert!(bench.engine.is_idle(), "{:?}", bench.engine);
    bench.finish();
}

/// A server that accepts and closes at once, or sends first, was dialled again without a pause.
#[test]
fn connections_opened_beforehand_are_not_dialled_in_a_hot_loop() {
    let endings: [fn(&mut Bench, usize); 3] = [
        |bench, peer| bench.eof(peer),
        |bench, peer| bench.feed(peer, "SSH-2.0-OpenSSH"),
        |bench, peer| bench.feed(peer, records().stdout(1, "x")),
    ];
    for ending in endings {
        let mut config = config(Multiplex::Off);
        config.limits.min_idle_per_server = 1;
        let mut bench = Bench::new(config);
        bench.command(|engine, now| engine.handle_timeout(now));
        for _ in 0..100 {
            let last = bench.peers.len() - 1;
            if bench.peers[last].closed.is_none() {
                ending(&mut bench, last);
            }
        }
        assert_eq!(bench.peers.len(), 1, "connects at one instant");
        bench.advance(10 * SECOND);
        assert_eq!(bench.stats().connections.idle, 1);
        bench.finish();
    }
}

/// A health check of an idle server waited for the connect to another server.
#[test]
fn a_probe_does_not_wait_for_a_connect_to_another_server() {
    let mut bench = Bench::new(servers(2, Multiplex::On { max: 10 }));
    bench.servers = vec![Answer::Hang; 2];
    bench.submit(request());
    let hanging = bench.peers[0].server;
    bench.servers = vec![Answer::Accept; 2];
    bench.get_values(1 - hanging);
    assert_eq!(bench.peers.len(), 2);
    bench.feed(1, records().values(&[]));
    assert!(matches!(
        bench.seen()[..],
        [Seen::Values(2, _), Seen::Done(2, 0)]
    ));
    bench.accept(0);
    let busy = if bench.sent(0).len() > 1 { 0 } else { 1 };
    bench.feed(busy, records().end(1, 0));
    bench.finish();
}

/// A yes was kept for ever.
#[test]
fn a_server_that_multiplexed_is_asked_again_after_it_was_down() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.get_values(0);
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.eof(0);
    bench.answers.push_back(Answer::Refuse);
    bench.submit(repeatable());
    bench.seen();
    // A php-fpm listens there now.
    bench.submit(repeatable());
    bench.submit(repeatable());
    let back = bench.peers.len() - 1;
    bench.advance(SECOND);
    let asked = [&Sent::whole(1)[..], &[Sent::GetValues]].concat();
    assert_eq!(bench.sent(back), asked);
    bench.end(back);
    bench.advance(SECOND);
    bench.end(back + 1);
    assert_eq!(bench.seen(), [done(3), done(4)]);
    bench.finish();
}

/// 3.5: the first request had gone without `FCGI_KEEP_CONN`, so the application closes at its end.
#[test]
fn a_connection_begun_without_keep_is_not_shared_when_the_server_turns_out_to_multiplex() {
    let mut config = config(Multiplex::Auto);
    config.keep_connections = false;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.get_values(0);
    bench.feed(1, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    bench.sent(0);
    bench.submit(request());
    assert_eq!(bench.sent(0), [], "nobody joins it");
    for peer in [0, 2] {
        bench.end(peer);
    }
    let closed = bench.peers.iter().map(|peer| peer.closed);
    assert!(
        closed
            .into_iter()
            .all(|it| it == Some(CloseReason::KeepAliveOff))
    );
    bench.finish();
}

/// A refused server was dialled twice when its pause was over: once for a request, once to ask it.
#[test]
fn a_server_that_may_be_down_is_not_asked_besides() {
    let mut config = config(Multiplex::Auto);
    config.connect_retry_timeout = 10 * SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    let dials = bench.peers.len();
    bench.servers[0] = Answer::Hang;
    bench.advance(50 * MS);
    assert_eq!(
        bench.peers.len(),
        dials + 1,
        "a single connection finds out"
    );
    bench.accept(dials);
    bench.end(dials);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

/// The time since an idle connection's last use was reported as the time it took to connect.
#[test]
fn a_connection_opened_beforehand_took_as_long_as_its_connect() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.command(|engine, now| engine.handle_timeout(now));
    bench.advance(Duration::from_secs(35));
    bench.submit(request());
    bench.end(0);
    let events = bench.events();
    let Some(OwnedEvent {
        kind: EventKind::End(Ok(completion)),
        ..
    }) = events.last()
    else {
        panic!("{events:?}");
    };
    let took = completion.report.timings.connect();
    assert!(took.is_none_or(|took| took.is_zero()), "{took:?}");
    bench.finish();
}

/// A clock that was minutes late dialled once more and took a busy server for one that is down.
#[test]
fn a_late_clock_finds_a_full_backlog_busy_and_not_down() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::BacklogFull;
    bench.submit(request());
    bench.now += Duration::from_secs(300);
    bench.command(|engine, now| engine.handle_timeout(now));
    bench.advance(SECOND);
    let seen = bench.seen();
    // Queued for 10 s at most: whichever of the two limits is looked at first.
    let busy = RequestError::Connect(ConnectError::BacklogFull);
    let queue = RequestError::TimedOut(TimeoutKind::Queue);
    let either = [busy, queue].map(|it| vec![failed(1, it, Phase::Queued, Delivery::NotProcessed)]);
    assert!(either.contains(&seen), "{seen:?}");
    assert_eq!(bench.stats().counters.connect_failures, 1);
    bench.finish();
}

/// Connections that `min_idle_per_server` keeps were due again in the same instant: the call never returned.
#[test]
fn connections_are_kept_without_an_idle_time() {
    let mut config = config(Multiplex::Off);
    config.limits.min_idle_per_server = 1;
    config.limits.max_connections_per_server = 2;
    config.limits.idle_timeout = Duration::ZERO;
    let mut bench = Bench::new(config);
    for _ in 0..2 {
        bench.submit(request());
    }
    for peer in 0..2 {
        bench.end(peer);
    }
    bench.advance(10 * SECOND);
    assert_eq!(bench.peers.len(), 2);
    assert_eq!(bench.stats().connections.idle, 1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

/// A refusal had answered a question that was still open. The server was then counted twice among those to be asked,
/// and looked up with each further request.
#[test]
fn a_server_is_to_be_asked_once_whatever_came_of_the_question_before() {
    let mut config = servers(1, Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(repeatable());
    bench.submit(repeatable());
    bench.advance(SECOND);
    assert_eq!(bench.sent(0).last(), Some(&Sent::GetValues));
    // The bench looks at the gauges, which recount.
    bench.feed(0, records().end_as(1, 0, ProtocolStatus::CantMultiplex));
    bench.feed(0, records().values(&[("FCGI_MPXS_CONNS", "1")]));
    assert_eq!(bench.stats().requests.active, 2, "the last word counts");
    bench.answers.push_back(Answer::Refuse);
    bench.eof(0);
    bench.seen();
    bench.submit(repeatable());
    bench.submit(repeatable());
    let back = bench.peers.len() - 1;
    bench.advance(SECOND);
    let asked = [&Sent::whole(1)[..], &[Sent::GetValues]].concat();
    assert_eq!(bench.sent(back), asked, "it was down");
    bench.feed(back, records().values(&[]).end(1, 0));
    assert_eq!(bench.sent(back), Sent::whole(2));
    bench.end(back);
    bench.finish();
}
