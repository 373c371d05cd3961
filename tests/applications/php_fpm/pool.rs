//! Connections and children: fewer connections than children, as many, and more.

use std::time::Duration;

use mio_fcgi::{CloseReason, Config, Multiplex, Retry, Stats, Tag, Timeouts};

use super::get;
use crate::harness::client::{Exchange, Loop, patient};
use crate::harness::{Listen, PhpFpm, TIME_LIMIT, echo_of, pattern};

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn more_requests_than_children_are_all_answered_and_nobody_starves() {
    for (children, transport) in [
        (1, "unix"),
        (2, "unix"),
        (5, "unix"),
        (2, "tcp"),
        (5, "tcp"),
    ] {
        let builder = PhpFpm::builder().max_children(children);
        let builder = match transport {
            "tcp" => builder.tcp(),
            _ => builder.unix(),
        };
        let fpm = builder.start();
        let mut config = Config::new(fpm.listen().address());
        // No connection is closed for being idle and no request times out: connections are preempted for each other.
        config.limits.idle_timeout = Duration::from_secs(3600);
        config.timeouts = Timeouts::NONE;
        config.stale_window = Duration::MAX;
        let mut client = Loop::new(config);
        for _ in 0..64 {
            client.submit(get("sleep.php", "/sleep.php?ms=10"));
        }
        let answers = all_answered(&mut client, 64);
        let slowest = answers
            .iter()
            .map(|it| it.completion().report.timings.total())
            .max();
        let stats = client.shut_down();
        println!(
            "{children} children over {transport}: slowest {slowest:?}, {}",
            closed(&stats)
        );
        assert_eq!(stats.counters.failed, 0);
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn as_many_connections_as_children_serve_any_number_of_requests() {
    let fpm = PhpFpm::builder().max_children(8).start();
    let mut config = plain(fpm.listen());
    config.limits.max_connections_per_server = 8;
    config.limits.max_idle_per_server = 8;
    config.preempt_idle_after = None;
    let mut client = Loop::new(config);
    for _ in 0..256 {
        client.submit(get("sleep.php", "/sleep.php?ms=5"));
    }
    all_answered(&mut client, 256);
    assert_eq!(client.peak().active, 8);
    let stats = client.shut_down();
    assert_eq!((stats.counters.connected, stats.counters.retries), (8, 0));
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn max_requests_costs_no_request_one_after_the_other() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.max_children(2).max_requests(3).start();
        let mut client = Loop::to(fpm.listen());
        for number in 0..1000 {
            let body = pattern(number, 100);
            let request = super::post("echo.php", "/echo.php", body.clone());
            let answer = client.call(request.with_retry(Retry::IfStale)).response();
            assert_eq!(answer.body, echo_of(&body).as_bytes());
        }
        let stats = client.shut_down();
        println!("{}", closed(&stats));
        assert_eq!(stats.counters.failed, 0);
        assert!(stats.counters.connected >= 333, "it never came to that");
    }
}

/// Between a child's last answer and its close, the system accepts a request that no child reads. Once that has
/// happened, the client knows after how many requests a child closes.
#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn max_requests_costs_requests_that_may_not_be_sent_again_no_more_than_the_first_ends() {
    let fpm = PhpFpm::builder()
        .unix()
        .max_children(2)
        .max_requests(3)
        .start();
    let mut client = Loop::to(fpm.listen());
    for number in 0..1000 {
        let body = pattern(number, 100);
        let exchange = client.call(super::post("echo.php", "/echo.php", body.clone()));
        if matches!(exchange.outcome, Some(Ok(_))) {
            assert_eq!(exchange.response().body, echo_of(&body).as_bytes());
        }
    }
    let stats = client.shut_down();
    println!("{}, {} failed", closed(&stats), stats.counters.failed);
    // A request is sent again only if the socket took none of its bytes: the child had closed just before.
    let (failed, retries) = (stats.counters.failed, stats.counters.retries);
    assert!(
        failed + retries <= 4,
        "{failed} failed, {retries} sent again"
    );
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn max_requests_costs_no_request_of_a_thousand_at_once() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.max_children(4).max_requests(3).start();
        let mut client = Loop::to(fpm.listen());
        for number in 0..1000 {
            let body = pattern(number, 100);
            let request = super::post("echo.php", "/echo.php", body);
            client.submit(request.with_retry(Retry::IfStale));
        }
        for (Tag(tag), exchange) in client.finish_all() {
            let body = pattern(tag as usize, 100);
            assert_eq!(exchange.response().body, echo_of(&body).as_bytes());
        }
        let stats = client.shut_down();
        println!("{}", closed(&stats));
        assert_eq!(stats.counters.failed, 0);
        assert!(stats.counters.connected >= 333, "it never came to that");
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn without_kept_connections_each_request_has_one_and_no_child_is_held() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.max_children(2).start();
        let mut config = plain(fpm.listen());
        config.keep_connections = false;
        let mut client = Loop::new(config);
        for _ in 0..100 {
            client.submit(get("echo.php", "/echo.php"));
        }
        all_answered(&mut client, 100);
        assert_eq!(client.client.stats().connections.idle, 0);
        // Both children take connections of another client.
        for _ in 0..2 {
            Loop::to(fpm.listen())
                .call(get("echo.php", "/echo.php"))
                .response();
        }
        let stats = client.shut_down();
        assert_eq!(stats.counters.connected, 100);
        assert_eq!(stats.counters.closed_for(CloseReason::KeepAliveOff), 100);
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn an_idle_connection_is_closed_in_time_and_its_child_is_free_again() {
    let fpm = PhpFpm::builder().start();
    let mut config = plain(fpm.listen());
    config.limits.idle_timeout = Duration::from_millis(100);
    let mut client = Loop::new(config);
    client.call(get("echo.php", "/echo.php")).response();
    assert_eq!(client.client.stats().connections.idle, 1);
    client.run_until("the idle connection's end", |it| {
        it.client.stats().connections.idle == 0
    });
    assert!(client.client.is_idle());
    let mut other = Loop::new(plain(fpm.listen()));
    let answer = other.call(get("echo.php", "/echo.php"));
    assert_eq!(answer.response().status, 200);
    other.shut_down();
    let stats = client.shut_down();
    assert_eq!(stats.counters.closed_for(CloseReason::IdleTimeout), 1);
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_full_backlog_makes_requests_wait_and_not_fail() {
    let fpm = PhpFpm::builder().backlog(1).start();
    let mut config = plain(fpm.listen());
    config.preempt_idle_after = None;
    config.keep_connections = false;
    config.connect_timeout = TIME_LIMIT;
    config.limits.max_connections_per_server = 16;
    let mut client = Loop::new(config);
    for _ in 0..16 {
        client.submit(get("sleep.php", "/sleep.php?ms=60"));
    }
    all_answered(&mut client, 16);
    let stats = client.shut_down();
    println!("{} times full", stats.counters.backlog_full);
    assert!(stats.counters.backlog_full > 0, "it was never full");
    assert_eq!(stats.counters.failed, 0);
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_request_behind_fastcgi_finish_request_is_answered_when_the_child_is_free() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::new(plain(fpm.listen()));
    // The child goes on working for longer than this test waits.
    let finished = client.call(get("finish.php", "/finish.php?ms=600000"));
    assert_eq!(finished.response().body, b"finished\n");
    client.shut_down();

    let fpm = PhpFpm::builder().start();
    let mut client = Loop::new(plain(fpm.listen()));
    let finished = client.call(get("finish.php", "/finish.php?ms=400"));
    assert_eq!(finished.response().body, b"finished\n");
    let next = client.call(get("echo.php", "/echo.php"));
    assert!(next.completion().report.reused);
    assert_eq!(next.response().body, echo_of(b"").as_bytes());
    client.shut_down();
}

fn all_answered(client: &mut Loop, count: usize) -> Vec<Exchange> {
    let answers = client.finish_all();
    assert_eq!(answers.len(), count);
    answers
        .into_iter()
        .map(|(tag, exchange)| {
            exchange.completion();
            assert!(!exchange.stdout.is_empty(), "{tag:?}");
            exchange
        })
        .collect()
}

fn closed(stats: &Stats) -> String {
    let reasons: Vec<_> = stats.counters.closed_by_reason().collect();
    format!("{} retries, closed: {reasons:?}", stats.counters.retries)
}

/// Without a probe, so that connections can be counted.
fn plain(listen: &Listen) -> Config {
    patient(listen).with_multiplex(Multiplex::Off)
}
