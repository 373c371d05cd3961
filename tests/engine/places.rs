//! Which of several places a request or a question gets, and which connections stay unused for it.

use std::time::Duration;

use mio_fcgi::{CloseReason, Multiplex, RequestHandle, ServerId};

use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, records, repeatable, request, servers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Up to `max_connections` connections, each used for at most five seconds.
fn aging(max_connections: usize) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = max_connections;
    config.limits.max_idle_per_server = max_connections;
    config.limits.max_lifetime = Some(5 * SECOND);
    Bench::new(config)
}

/// Connection 1 is being opened for a request that has since ended on connection 0.
fn leave_one_on_its_way(bench: &mut Bench) {
    bench.submit(request());
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    bench.end(0);
    let requests = bench.stats().requests;
    let waiting = (requests.queued, requests.connecting);
    assert_eq!((bench.peers.len(), waiting), (2, (0, 0)));
}

#[test]
fn an_idle_connection_too_old_to_be_used_makes_place_for_a_new_one() {
    let mut bench = aging(1);
    bench.submit(request());
    bench.end(0);
    // The driver is late and has not closed it yet.
    bench.now += 6 * SECOND;
    bench.submit(request());
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Replaced));
    assert_eq!(bench.sent(1), Sent::whole(1));
    bench.end(1);
    bench.finish();
}

#[test]
fn a_question_takes_a_connection_on_its_way_rather_than_the_place_of_an_idle_one() {
    let mut bench = aging(2);
    leave_one_on_its_way(&mut bench);
    bench.end(0);
    bench.now += 6 * SECOND;
    bench.get_values(0);
    assert_eq!((bench.peers.len(), bench.peers[0].closed), (2, None));
    bench.accept(1);
    assert_eq!(bench.sent(1), [Sent::GetValues]);
    bench.feed(1, records().values(&[]));
    bench.finish();
}

#[test]
fn a_question_takes_a_connection_on_its_way_rather_than_one_more() {
    let mut bench = aging(3);
    leave_one_on_its_way(&mut bench);
    bench.get_values(0);
    assert_eq!(bench.peers.len(), 2);
    bench.accept(1);
    assert_eq!(bench.sent(1), [Sent::GetValues]);
    bench.feed(1, records().values(&[]));
    bench.end(0);
    bench.finish();
}

#[test]
fn of_equals_behind_a_server_that_is_down_the_first_in_turn_is_chosen() {
    let mut bench = Bench::new(servers(3, Multiplex::Off));
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    let servers: Vec<usize> = bench.peers.iter().map(|peer| peer.server).collect();
    assert_eq!(servers, [0, 1]);
    bench.end(1);
    bench.finish();
}

#[test]
fn of_shared_connections_with_room_the_one_filled_last_is_chosen() {
    let mut config = config(Multiplex::On { max: 3 });
    config.limits.max_connections_per_server = 3;
    let mut bench = Bench::new(config);
    for _ in 0..9 {
        bench.submit(request());
    }
    // Two free slots on the first, then one on the last and one on the second.
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.feed(2, records().end(1, 0));
    bench.feed(1, records().end(1, 0));
    let mut begun = Vec::new();
    for _ in 0..4 {
        for peer in 0..3 {
            bench.sent(peer);
        }
        bench.submit(request());
        begun.extend((0..3).filter(|peer| !bench.sent(*peer).is_empty()));
    }
    assert_eq!(begun, [1, 2, 0, 0]);
    for peer in 0..3 {
        bench.feed(peer, records().end(1, 0).end(2, 0).end(3, 0));
    }
    bench.finish();
}

#[test]
fn a_shared_connection_that_empties_is_left_alone_while_another_has_room() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(request());
    }
    bench.feed(1, records().end(1, 0));
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.sent(1);
    bench.submit(request());
    assert_eq!(bench.sent(1).len(), 4);
    bench.feed(1, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn while_a_connection_is_on_its_way_nobody_is_sent_behind_a_paused_request() {
    let mut config = config(Multiplex::On { max: 2 });
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    let paused = bench.submit(request());
    bench.command(|engine, now| engine.pause(now, paused));
    bench.servers[0] = Answer::Hang;
    for _ in 0..3 {
        bench.submit(request());
    }
    let requests = bench.stats().requests;
    let waiting = (requests.queued, requests.connecting);
    assert_eq!(waiting, (1, 2), "one more than it can take");
    bench.accept(1);
    assert_eq!(
        bench.stats().requests.queued,
        0,
        "the last has no other place"
    );
    bench.command(|engine, now| engine.resume(now, paused));
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.feed(1, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn no_connection_is_preempted_for_those_that_were_answered_and_are_idle() {
    let mut bench = Bench::plain();
    for _ in 0..2 {
        bench.submit(request());
    }
    // The connection that others would be preempted for first is answered last, while the other is still recorded as
    // waiting.
    for peer in [1, 0] {
        bench.end(peer);
    }
    bench.advance(500 * MS);
    assert_eq!(bench.stats().connections.idle, 2);
    bench.finish();
}

#[test]
fn an_engine_shows_its_figures_and_what_is_due_next() {
    let mut bench = Bench::plain();
    bench.submit(request());
    let shown = format!("{:?}", bench.engine);
    assert!(shown.contains("submitted: 1"), "{shown}");
    assert!(shown.contains("next_due: Some("), "{shown}");
    bench.end(0);
    bench.finish();
}

#[test]
fn without_kept_connections_each_serves_one_request_although_requests_may_share() {
    let mut config = config(Multiplex::On { max: 2 });
    config.keep_connections = false;
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(request());
    }
    for peer in 0..3 {
        assert_eq!(bench.stats().requests.queued, 2 - peer);
        bench.end(peer);
        assert_eq!(bench.peers[peer].closed, Some(CloseReason::KeepAliveOff));
    }
    bench.finish();
}

#[test]
fn nothing_is_opened_beforehand_while_a_request_waits() {
    let mut bench = Bench::plain();
    bench.servers[0] = Answer::Hang;
    bench.submit(request());
    let mut limits = bench.engine.config().limits;
    limits.min_idle_per_server = 2;
    bench
        .command(|engine, now| engine.set_limits(now, limits))
        .expect("valid");
    bench.command(|engine, now| engine.handle_timeout(now));
    assert_eq!(bench.peers.len(), 1);
    bench.accept(0);
    assert_eq!(bench.peers.len(), 3, "two beside the busy one");
    bench.accept(1);
    bench.accept(2);
    bench.end(0);
    bench.finish();
}

#[test]
fn new_limits_close_at_once_what_is_idle_and_used_up_by_them() {
    for (max_requests, max_lifetime, reason) in [
        (Some(2), None, CloseReason::MaxRequests),
        (None, Some(6 * SECOND), CloseReason::MaxLifetime),
    ] {
        let mut bench = Bench::plain();
        for _ in 0..2 {
            bench.submit(request());
            bench.end(0);
        }
        bench.advance(3 * SECOND);
        bench.submit(request());
        bench.submit(request());
        bench.end(0);
        bench.end(1);
        bench.now += 3 * SECOND;
        let mut limits = bench.engine.config().limits;
        limits.max_requests_per_connection = max_requests;
        limits.max_lifetime = max_lifetime;
        bench
            .command(|engine, now| engine.set_limits(now, limits))
            .expect("valid");
        let closed: Vec<_> = bench.peers.iter().map(|peer| peer.closed).collect();
        assert_eq!(closed, [Some(reason), None]);
        bench.finish();
    }
}

#[test]
fn while_a_question_waits_a_shutdown_closes_no_idle_connection() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_idle_per_server = 1;
    config.limits.min_idle_per_server = 1;
    let mut bench = Bench::new(config);
    bench.command(|engine, now| engine.handle_timeout(now));
    bench.submit(request());
    assert_eq!((bench.peers.len(), bench.stats().connections.idle), (2, 1));
    let busy = usize::from(bench.sent(0).is_empty());
    let server = bench.peers[busy].server;
    bench.get_values(server);
    bench.command(|engine, now| engine.shutdown(now, None));
    bench.command(|engine, now| engine.handle_timeout(now));
    assert_eq!(bench.stats().connections.idle, 1);
    bench.end(busy);
    bench.feed(busy, records().values(&[]));
    assert_eq!(bench.stats().connections.idle, 0);
    bench.finish();
}

/// One server's connection is idle. The other server's connection is busy, and `get_values` for that server waits for
/// it.
fn shut_down_with_a_question_open() -> (Bench, RequestHandle) {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.end(0);
    let question = bench.get_values(bench.peers[1].server);
    bench.command(|engine, now| engine.shutdown(now, None));
    (bench, question)
}

#[test]
fn a_shutdown_closes_idle_connections_once_the_last_question_is_answered() {
    let (mut bench, _) = shut_down_with_a_question_open();
    bench.end(1);
    bench.feed(1, records().values(&[]));
    assert!(bench.peers[0].closed.is_some());
    assert_eq!(bench.stats().counters.closed_for(CloseReason::Retired), 2);
    bench.finish();
}

#[test]
fn an_idle_connection_costs_its_entry_and_little_more() {
    let mut bench = Bench::plain();
    assert_eq!(bench.engine.idle_connection_cost(), None);
    bench.submit(request());
    bench.end(0);
    let cost = bench.engine.idle_connection_cost().expect("one is idle");
    assert!((100..=512).contains(&cost), "{cost}");
    bench.finish();
}

#[test]
fn a_shutdown_closes_idle_connections_once_the_last_question_is_given_up() {
    let (mut bench, question) = shut_down_with_a_question_open();
    assert_eq!(bench.peers[0].closed, None, "somebody waits");
    bench.command(|engine, now| engine.abort(now, question));
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Retired));
    bench.end(1);
    bench.finish();
}

// case 143
#[test]
fn a_later_answer_decides_anew_how_many_requests_there_is_room_for() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    let yes = |most| records().values(&[("FCGI_MPXS_CONNS", "1"), ("FCGI_MAX_REQS", most)]);
    bench.get_values(0);
    bench.feed(0, yes("2"));
    bench.get_values(0);
    for _ in 0..5 {
        bench.submit(request());
    }
    bench.feed(0, yes("4"));
    let active = |bench: &Bench| bench.stats().requests.active;
    assert_eq!(active(&bench), 4, "as many as it says now");
    let mut live: Vec<(usize, u16)> = Vec::new();
    let mut end = |bench: &mut Bench| {
        for peer in 0..2 {
            live.extend(bench.sent(peer).iter().filter_map(|sent| match sent {
                Sent::Begin { id, .. } => Some((peer, *id)),
                _ => None,
            }));
        }
        let (peer, id) = live.remove(0);
        bench.feed(peer, records().end(id, 0));
    };
    end(&mut bench);
    end(&mut bench);
    assert_eq!(active(&bench), 3);
    // The bench looks at the gauges, which recount the connections with free slots.
    bench.get_values(0);
    let idle = usize::from(bench.sent(0).is_empty());
    bench.feed(idle, yes("2"));
    bench.submit(request());
    for active_then in [3, 2, 2, 1, 0] {
        assert_eq!(active(&bench), active_then);
        if active_then > 0 {
            end(&mut bench);
        }
    }
    bench.finish();
}

/// An idle connection is closed only if no server has a place without that.
#[test]
fn a_request_uses_an_idle_connection_rather_than_closing_it_for_a_server_with_less_load() {
    let mut config = servers(2, Multiplex::Off);
    config.servers[0].weight = 2;
    config.limits.max_total_connections = 2;
    config.limits.max_idle_per_server = 2;
    let mut bench = Bench::new(config);
    let named = || repeatable().with_server(ServerId::new(1));
    bench.submit(named());
    bench.submit(named());
    bench.end(0);
    bench.submit(repeatable());
    assert_eq!(bench.sent(0).len(), 2 * Sent::whole(1).len());
    assert_eq!(bench.peers.len(), 2, "both connections are to server 1");
    bench.end(0);
    bench.end(1);
    bench.finish();
}
