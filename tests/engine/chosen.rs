//! Which server a request gets: weights, backups, and requests that name their server.

use std::time::Duration;

use mio_fcgi::{Limits, Multiplex, Retry, Server, ServerId, ServerMode, SubmitError, Tag};

use crate::harness::{Answer, Bench};
use crate::script::{config, done, records, refused, request, servers};
use crate::set_servers::{server, set};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn bench(list: Vec<Server>) -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 16;
    config.limits.max_idle_per_server = 16;
    Bench::new(config.with_servers(list))
}

/// Which server each of the connections in use leads to, most used last.
fn counts(bench: &Bench) -> Vec<usize> {
    let of = |number| bench.peers.iter().filter(|it| it.server == number).count();
    (0..bench.servers.len()).map(of).collect()
}

#[test]
fn a_server_gets_as_many_requests_at_a_time_as_its_weight_says() {
    let list = vec![
        server(9000).with_weight(3),
        server(9001),
        server(9002).with_weight(2),
    ];
    let mut bench = bench(list);
    for _ in 0..12 {
        bench.submit(request());
    }
    assert_eq!(counts(&bench), [6, 2, 4]);
    for peer in 0..12 {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn one_request_after_the_other_goes_round_by_weight() {
    let mut bench = bench(vec![server(9000).with_weight(3), server(9001)]);
    let mut order = Vec::new();
    for _ in 0..8 {
        bench.submit(request());
        let peer = bench.talked_to()[0];
        bench.sent(peer);
        order.push(bench.peers[peer].server);
        bench.end(peer);
    }
    assert_eq!(order.iter().filter(|it| **it == 0).count(), 6, "{order:?}");
    assert_eq!(
        order[..4].iter().filter(|it| **it == 1).count(),
        1,
        "{order:?}"
    );
    bench.finish();
}

#[test]
fn a_server_that_was_away_gets_its_share_and_not_what_it_has_missed() {
    let mut bench = bench(vec![server(9000), server(9001).with_weight(2)]);
    let use_one = |bench: &mut Bench| {
        bench.submit(request());
        let peer = bench.talked_to()[0];
        bench.sent(peer);
        bench.end(peer);
        bench.peers[peer].server
    };
    bench.servers[0] = Answer::Refuse;
    for _ in 0..300 {
        assert_eq!(use_one(&mut bench), 1);
    }
    bench.servers[0] = Answer::Accept;
    bench.advance(SECOND);
    let first: Vec<usize> = (0..30).map(|_| use_one(&mut bench)).collect();
    let of_0 = first.iter().filter(|it| **it == 0).count();
    assert!((9..=11).contains(&of_0), "{first:?}");
    bench.finish();
}

#[test]
fn a_backup_is_used_while_no_active_server_is_up() {
    let mut bench = bench(vec![
        server(9000),
        server(9001).with_mode(ServerMode::Backup),
    ]);
    bench.submit(request());
    bench.sent(0);
    bench.end(0);
    bench.eof(0);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    let last = bench.peers.len() - 1;
    assert_eq!(bench.peers[last].server, 1, "at once");
    bench.sent(last);
    bench.end(last);
    for _ in 0..5 {
        bench.advance(300 * MS);
        bench.submit(request());
        let peer = bench.talked_to()[0];
        bench.sent(peer);
        assert_eq!(
            bench.peers[peer].server, 1,
            "also while the other is tried again"
        );
        bench.end(peer);
    }
    bench.servers[0] = Answer::Accept;
    bench.advance(2 * SECOND);
    bench.submit(request());
    bench.sent(last);
    bench.advance(2 * SECOND);
    let mut of_0 = 0;
    for _ in 0..4 {
        for peer in bench.talked_to() {
            bench.sent(peer);
            bench.end(peer);
        }
        bench.submit(request());
        of_0 += usize::from(
            bench
                .talked_to()
                .iter()
                .any(|it| bench.peers[*it].server == 0),
        );
    }
    assert!(of_0 >= 3, "it is back: {of_0} of 4");
    for peer in bench.talked_to() {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn a_backup_is_not_used_because_active_servers_are_busy() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config
        .servers
        .push(server(9001).with_mode(ServerMode::Backup));
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    assert_eq!(counts(&bench), [1, 0]);
    bench.end(0);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn backups_alone_serve() {
    let mut bench = bench(vec![server(9000).with_mode(ServerMode::Backup)]);
    bench.submit(request());
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn a_request_that_names_a_server_gets_that_one() {
    let mut bench = Bench::new(servers(4, Multiplex::Off));
    for number in [3, 1, 1, 0, 2] {
        bench.submit(request().with_server(ServerId::new(number)));
    }
    assert_eq!(
        bench.peers.iter().map(|it| it.server).collect::<Vec<_>>(),
        [3, 1, 1, 0, 2]
    );
    for peer in 0..5 {
        bench.end(peer);
    }
    bench.finish();
}

#[test]
fn requests_that_wait_for_a_busy_server_hold_nobody_back() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 2;
    let mut bench = Bench::new(config);
    for _ in 0..100 {
        bench.submit(request().with_server(ServerId::new(0)));
    }
    assert_eq!(
        counts(&bench),
        [2, 0],
        "one connection for each place, and none in vain"
    );
    bench.submit(request());
    assert_eq!(counts(&bench), [2, 1], "one for one");
    bench.submit(request());
    bench.submit(request());
    assert_eq!(counts(&bench), [2, 2]);
    bench.end(2);
    bench.end(3);
    bench.end(2);
    for _ in 0..50 {
        bench.end(0);
        bench.end(1);
    }
    assert_eq!(bench.seen().len(), 103);
    bench.finish();
}

#[test]
fn a_server_that_is_connected_to_for_named_requests_is_not_counted_for_others() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    bench.servers = vec![Answer::Hang; 2];
    bench.submit(request().with_server(ServerId::new(0)));
    bench.submit(request().with_server(ServerId::new(0)));
    assert_eq!(counts(&bench), [2, 0]);
    bench.submit(request());
    assert_eq!(
        counts(&bench),
        [2, 1],
        "it has a connection of its own to wait for"
    );
    for peer in 0..3 {
        bench.accept(peer);
    }
    for peer in 0..3 {
        bench.end(peer);
    }
    assert_eq!(bench.seen().len(), 3);
    bench.finish();
}

#[test]
fn a_connect_for_a_named_request_that_fails_ends_no_request_that_its_server_would_not_get() {
    let mut config = servers(1, Multiplex::Off);
    config.timeouts.queue = Some(SECOND);
    config.servers[0].mode = ServerMode::Draining;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request());
    bench.submit(request().with_server(ServerId::new(0)));
    assert_eq!(
        bench.seen(),
        [refused(2)],
        "the other waits for another list"
    );
    bench.servers[0] = Answer::Accept;
    set(&mut bench, vec![server(9000)]);
    bench.advance(SECOND / 2);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

#[test]
fn a_full_backlog_of_a_backup_ends_no_request_that_waits_for_an_active_server() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.servers[1].mode = ServerMode::Backup;
    let mut bench = Bench::new(config);
    bench.servers[1] = Answer::BacklogFull;
    bench.submit(request());
    bench.submit(request());
    let named = bench.submit(request().with_server(ServerId::new(1)));
    bench.command(|engine, now| engine.abort(now, named));
    bench.seen();
    bench.advance(4 * SECOND);
    assert_eq!(bench.seen(), [], "it waits for the first one");
    bench.end(0);
    bench.end(0);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_named_request_goes_before_those_that_may_go_elsewhere() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.submit(request().with_server(ServerId::new(0)));
    for _ in 0..3 {
        bench.end(0);
    }
    assert_eq!(bench.seen(), [done(1), done(3), done(2)]);
    bench.finish();
}

/// The question waits for a connection without a request.
#[test]
fn a_question_that_waits_holds_back_no_request_that_names_its_server() {
    let mut config = config(Multiplex::On { max: 10 });
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.get_values(0);
    bench.submit(request().with_server(ServerId::new(0)));
    bench.submit(request());
    assert_eq!(bench.stats().requests.active, 3);
    bench.feed(0, records().end(1, 0).end(2, 0).end(3, 0));
    bench.feed(0, records().values(&[]));
    assert_eq!(bench.seen().len(), 5, "four ends and the values");
    bench.finish();
}

/// Requests leave one place of all to probes: that one is idle is no reason to close it.
#[test]
fn no_connection_is_replaced_where_that_makes_no_place() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_total_connections = 3;
    config.limits.reserve_for_get_values = true;
    let mut bench = Bench::new(config);
    for _ in 0..4 {
        bench.submit(request());
    }
    bench.get_values(1);
    bench.feed(2, records().values(&[]));
    for peer in [0, 1, 0, 1] {
        bench.end(peer);
    }
    let replaced = Some(mio_fcgi::CloseReason::Replaced);
    assert!(bench.peers.iter().all(|it| it.closed != replaced));
    bench.finish();
}

#[test]
fn named_requests_share_a_connection_that_is_shared() {
    let mut config = servers(2, Multiplex::On { max: 4 });
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    for _ in 0..6 {
        bench.submit(request().with_server(ServerId::new(1)));
    }
    assert_eq!(counts(&bench), [0, 1]);
    bench.feed(0, records().end(1, 0).end(2, 0).end(3, 0).end(4, 0));
    bench.feed(0, records().end(5, 0).end(6, 0));
    let seen = bench.seen();
    assert_eq!(seen.len(), 6, "{seen:?}");
    bench.finish();
}

#[test]
fn a_named_request_counts_for_the_limit_of_the_queue() {
    let mut config = servers(2, Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    let named = || request().with_server(ServerId::new(0));
    bench.submit(named());
    let refused = bench.engine.submit(bench.now, named(), Tag(9));
    let refused = refused.map_err(SubmitError::from);
    assert_eq!(refused, Err(SubmitError::QueueFull { limit: 0 }));
    bench.submit(request());
    assert_eq!(counts(&bench), [1, 1], "the other server has a place");
    bench.end(0);
    bench.end(1);
    bench.finish();
}

#[test]
fn a_named_request_is_sent_again_to_its_server_alone() {
    let mut bench = Bench::new(servers(2, Multiplex::Off));
    let named = || {
        let request = request().with_retry(Retry::IfStale);
        request.with_server(ServerId::new(1))
    };
    bench.submit(named());
    bench.end(0);
    bench.submit(named());
    bench.eof(0);
    assert_eq!(counts(&bench), [0, 2]);
    bench.end(1);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

#[test]
fn a_named_server_that_is_down_is_tried_for_as_long_as_connects_may_be() {
    let mut config = servers(2, Multiplex::Off);
    config.connect_retry_timeout = SECOND;
    let mut bench = Bench::new(config);
    bench.servers[0] = Answer::Refuse;
    bench.submit(request().with_server(ServerId::new(0)));
    bench.advance(900 * MS);
    assert_eq!(bench.seen(), [], "the other server is up, and is not meant");
    bench.advance(200 * MS);
    assert_eq!(bench.seen(), [refused(1)]);
    bench.finish();
}

#[test]
fn the_list_of_servers_counts_and_reads_well() {
    let mut bench = bench(vec![
        server(9000).with_weight(3),
        server(9001).with_mode(ServerMode::Backup),
        server(9002).with_mode(ServerMode::Draining),
    ]);
    bench.submit(request());
    bench.submit(request());
    bench.end(0);
    bench.eof(1);
    bench.servers[1] = Answer::Refuse;
    bench.submit(request().with_server(ServerId::new(1)));
    bench.submit(request());
    let lines: Vec<String> = bench
        .engine
        .servers(bench.now)
        .map(|it| it.to_string())
        .collect();
    assert_eq!(
        lines,
        [
            "server 0, 127.0.0.1:9000, weight 3: 1 request on 1 connection, 0 being opened, 0 idle; \
             1 request completed, 1 not",
            "server 1, 127.0.0.1:9001, backup: 0 requests on 0 connections, 0 being opened, 0 idle; \
             0 requests completed, 0 not; set aside for 50.0ms; connection refused: nobody listens there",
            "server 2, 127.0.0.1:9002, draining: 0 requests on 0 connections, 0 being opened, 0 idle; \
             0 requests completed, 0 not",
        ]
    );
    bench.end(0);
    bench.finish();
}

#[test]
fn a_connection_being_opened_does_not_count_for_a_request_that_names_another_server() {
    let mut config = servers(2, Multiplex::On { max: 2 });
    config.limits.max_total_connections = 1;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    bench.servers = vec![Answer::Hang; 2];
    let named = |server| request().with_server(ServerId::new(server));
    bench.submit(named(0));
    let refused = bench.engine.submit(bench.now, named(1), Tag(9));
    let refused = refused.map_err(SubmitError::from);
    assert_eq!(refused, Err(SubmitError::QueueFull { limit: 0 }));
    bench.submit(named(0));
    let requests = bench.stats().requests;
    assert_eq!((requests.connecting, requests.queued), (2, 0));
    bench.accept(0);
    bench.feed(0, records().end(1, 0).end(2, 0));
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

/// Server 0 is active and has no place left for requests; a connection to server 1 is being opened, for one request that
/// names the server and room for another one.
fn beside_one_that_drains(mode: ServerMode) -> Bench {
    let mut config = servers(2, Multiplex::On { max: 2 });
    config.servers[1].mode = mode;
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 0;
    let mut bench = Bench::new(config);
    bench.servers[1] = Answer::Hang;
    bench.submit(request());
    bench.submit(request());
    bench.submit(request().with_server(ServerId::new(1)));
    bench
}

#[test]
fn a_connection_being_opened_counts_for_no_request_that_its_server_does_not_take() {
    for mode in [ServerMode::Draining, ServerMode::Backup] {
        let mut bench = beside_one_that_drains(mode);
        let refused = bench.try_submit(request());
        assert_eq!(
            refused,
            Err(SubmitError::QueueFull { limit: 0 }),
            "{mode:?}"
        );
        bench.submit(request().with_server(ServerId::new(1)));
        assert_eq!(bench.stats().requests.connecting, 2);
        bench.accept(1);
        bench.feed(1, records().end(1, 0).end(2, 0));
        bench.feed(0, records().end(1, 0).end(2, 0));
        assert_eq!(bench.seen(), [done(3), done(4), done(1), done(2)]);
        bench.finish();
    }
}

#[test]
fn no_request_waits_for_a_connection_to_a_server_that_does_not_take_it() {
    let mut bench = beside_one_that_drains(ServerMode::Draining);
    let limits = Limits::default().with_max_connections_per_server(2);
    let set = bench.command(|engine, now| engine.set_limits(now, limits));
    assert_eq!(set, Ok(()));
    bench.submit(request());
    assert_eq!(counts(&bench), [2, 1], "a connection is opened at once");
    bench.accept(1);
    bench.end(2);
    bench.end(1);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}
