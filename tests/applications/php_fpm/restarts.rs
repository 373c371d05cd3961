//! php-fpm is restarted and reloaded, and the embedder does not notice.

use std::time::{Duration, Instant};

use mio_fcgi::{Config, Retry};

use super::{get, post};
use crate::harness::client::Loop;
use crate::harness::{PhpFpm, READY, echo_of, pattern};

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_restart_between_requests_is_not_noticed() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let mut fpm = builder.max_children(2).start();
        let mut client = Loop::to(fpm.listen());
        for round in 0..6 {
            for _ in 0..8 {
                client.submit(get("echo.php", "/echo.php"));
            }
            for (_, exchange) in client.finish_all() {
                assert_eq!(exchange.response().body, echo_of(b"").as_bytes());
            }
            fpm.restart();
            if round % 2 == 0 {
                // The loop sees the ends of its connections, or notices them with the next request.
                client.run_until("the ends of its connections", |it| {
                    it.client.stats().connections.idle == 0
                });
            }
        }
        let stats = client.shut_down();
        assert_eq!(stats.counters.failed, 0);
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_reload_under_load_costs_no_idempotent_request() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let mut fpm = builder.max_children(4).process_control_timeout(2).start();
        let mut config = Config::new(fpm.listen().address());
        config.connect_retry_timeout = Duration::from_secs(10);
        // A long window: a busy machine may notice late that a child is gone.
        config.stale_window = Duration::MAX;
        let mut client = Loop::new(config);
        let mut submitted: usize = 0;
        for _ in 0..3 {
            let began = Instant::now();
            let mut has_reloaded = false;
            while began.elapsed() < Duration::from_millis(600) {
                while client.unended() < 16 {
                    let body = pattern(submitted, 2000);
                    let request = post("echo.php", "/echo.php", body);
                    client.submit(request.with_retry(Retry::IfUnanswered));
                    submitted += 1;
                }
                if !has_reloaded && began.elapsed() > Duration::from_millis(200) {
                    fpm.reload();
                    has_reloaded = true;
                }
                client.run_until("an answer", |it| it.unended() < 16);
            }
            fpm.wait_for_log(READY);
        }
        let answers = client.finish_all();
        assert_eq!(answers.len(), submitted);
        for (number, (_, exchange)) in answers.into_iter().enumerate() {
            let body = pattern(number, 2000);
            assert_eq!(exchange.response().body, echo_of(&body).as_bytes());
        }
        let stats = client.shut_down();
        assert_eq!(stats.counters.failed, 0);
    }
}
