//! Each failure is reported by its type, and nothing hangs.

use std::time::{Duration, Instant};

use mio_fcgi::cgi::ResponseError;
use mio_fcgi::{
    Body, BodyError, CloseReason, Config, ConnectError, Delivery, Phase, RequestError, StdinError,
    SubmitError, Tag, TimeoutKind, Timeouts,
};

use super::{get, post, script};
use crate::harness::client::{Loop, post_with};
use crate::harness::{PhpFpm, echo_of};

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_child_killed_in_mid_response_is_a_loss_and_never_a_short_success() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.start();
        let mut client = Loop::to(fpm.listen());
        for size in [1, 5000, 100_000, 1_000_000] {
            let uri = format!("/kill.php?size={size}");
            let killed = client.call(get("kill.php", &uri));
            let failure = killed.failure();
            assert!(
                matches!(failure.error, RequestError::ConnectionLost(_)),
                "{failure}"
            );
            assert_eq!(
                (failure.phase, failure.delivery),
                (Phase::Receiving, Delivery::Responded)
            );
            assert_eq!(failure.report.bytes_received, killed.stdout.len() as u64);
            let incomplete = killed.collect().expect_err("it was cut");
            assert_eq!(incomplete.error, ResponseError::Truncated);
        }
        let alive = client.call(get("echo.php", "/echo.php")).response();
        assert_eq!(alive.body, echo_of(b"").as_bytes());
        client.shut_down();
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_child_killed_from_outside_cuts_what_it_was_sending() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let tag = client.submit(get("slow.php", "/slow.php?chunks=100&ms=50"));
    client.run_until("the first piece", |it| !it.exchange(tag).stdout.is_empty());
    fpm.kill_worker();
    let killed = client.finish(tag);
    assert!(matches!(
        killed.failure().error,
        RequestError::ConnectionLost(_)
    ));
    assert_eq!(killed.failure().delivery, Delivery::Responded);
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn an_absent_php_fpm_is_told_at_once() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let mut fpm = builder.start();
        let mut config = Config::new(fpm.listen().address());
        // The time limits are out of reach: only the system's answer ends the wait.
        config.connect_timeout = Duration::from_secs(3600);
        config.timeouts = Timeouts::NONE;
        let mut client = Loop::new(config);
        client.call(get("echo.php", "/echo.php")).response();
        fpm.stop();
        for _ in 0..3 {
            let refused = client.call(get("echo.php", "/echo.php"));
            let failure = refused.failure();
            assert!(
                matches!(
                    failure.error,
                    RequestError::Connect(ConnectError::Failed(
                        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound
                    ))
                ),
                "{failure}"
            );
            // The first request may have been written to the connection that php-fpm had left behind.
            assert!(failure.delivery <= Delivery::MaybeProcessed);
        }
        fpm.restart();
        let back = client.call(get("echo.php", "/echo.php")).response();
        assert_eq!(back.status, 200);
        client.shut_down();
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_request_over_request_terminate_timeout_is_lost() {
    let fpm = PhpFpm::builder().request_terminate_timeout(1).start();
    let mut client = Loop::to(fpm.listen());
    let terminated = client.call(get("sleep.php", "/sleep.php?ms=600000"));
    let failure = terminated.failure();
    assert!(
        matches!(failure.error, RequestError::ConnectionLost(_)),
        "{failure}"
    );
    assert_eq!(
        (failure.phase, failure.delivery),
        (Phase::Sent, Delivery::MaybeProcessed)
    );
    let next = client.call(get("echo.php", "/echo.php")).response();
    assert_eq!(next.status, 200);
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn each_time_limit_has_its_own_error() {
    let fpm = PhpFpm::builder().max_children(4).start();
    let mut client = Loop::to(fpm.listen());
    let limit = Some(Duration::from_millis(100));
    let mut first_byte = Timeouts::NONE;
    first_byte.first_byte = limit;
    let mut silence = Timeouts::NONE;
    silence.between_bytes = limit;
    let total = Timeouts::NONE.with_total(Duration::from_millis(100));
    // Each request keeps its child to the end of the test.
    let quiet = || get("sleep.php", "/sleep.php?ms=600000");
    let halting = || get("slow.php", "/slow.php?chunks=2&ms=600000");
    for (request, timeouts, kind) in [
        (quiet(), first_byte, TimeoutKind::FirstByte),
        (halting(), silence, TimeoutKind::BetweenBytes),
        (quiet(), total, TimeoutKind::Total),
        (halting(), total, TimeoutKind::Total),
    ] {
        let exchange = client.call(request.with_timeouts(timeouts));
        let failure = exchange.failure();
        assert_eq!(failure.error, RequestError::TimedOut(kind));
    }
    let stats = client.shut_down();
    assert_eq!(stats.counters.closed_for(CloseReason::Aborted), 4);
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_body_that_is_not_as_long_as_declared_is_a_typed_error_and_nothing_hangs() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let reader = |len| {
        let body = Body::reader(&[b'x'; 1000][..], Some(len));
        script(post_with("/echo.php", body), "echo.php")
    };
    let short = BodyError::TooShort {
        declared: 1001,
        sent: 1000,
    };
    let long = BodyError::TooLong { declared: 999 };
    for (len, error) in [(1001, short), (999, long)] {
        let exchange = client.call(reader(len));
        assert_eq!(exchange.failure().error, RequestError::Body(error));
        assert!(exchange.stdout.is_empty());
        let next = client.call(reader(1000)).response();
        assert_eq!(next.body, echo_of(&[b'x'; 1000]).as_bytes());
    }

    let pushed = script(post_with("/echo.php", Body::pushed(Some(10))), "echo.php");
    let tag = client.submit(pushed);
    client.push(tag, b"123").expect("a request in progress");
    let (declared, offered, written) = (10, 11, 3);
    let too_long = client.push(tag, &[0; 8]);
    assert_eq!(too_long, Err(StdinError::TooLong { declared, offered }));
    let too_short = client.finish_stdin(tag);
    assert_eq!(too_short, Err(StdinError::TooShort { declared, written }));
    let sent = written;
    let error = RequestError::Body(BodyError::TooShort { declared, sent });
    assert_eq!(client.finish(tag).failure().error, error);

    let lying = post("echo.php", "/echo.php", "12345").param("CONTENT_LENGTH", "6");
    let refused = client.client.submit(Instant::now(), lying, Tag(0));
    let refused = refused.map_err(SubmitError::from);
    assert!(matches!(refused, Err(SubmitError::LengthMismatch { .. })));
    let next = client.call(reader(1000)).response();
    assert_eq!(next.status, 200);
    client.shut_down();
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn an_abort_closes_and_the_child_is_free_again() {
    let fpm = PhpFpm::builder().start();
    let mut client = Loop::to(fpm.listen());
    let long = || get("slow.php", "/slow.php?chunks=100000&ms=50");
    for _ in 0..3 {
        let tag = client.submit(long());
        client.run_until("the first piece", |it| !it.exchange(tag).stdout.is_empty());
        client.abort(tag);
        let aborted = client.finish(tag);
        assert_eq!(aborted.failure().error, RequestError::Aborted);
        assert_eq!(aborted.failure().delivery, Delivery::Responded);
        // The script would go on for an hour; the only child notices at its next write.
        let next = client.call(get("echo.php", "/echo.php"));
        assert_eq!(next.response().status, 200);
    }
    // A request aborted before it is sent has no effect.
    let tag = client.submit(long());
    client.abort(tag);
    assert_eq!(client.finish(tag).failure().error, RequestError::Aborted);
    let stats = client.shut_down();
    assert!(stats.counters.closed_for(CloseReason::Aborted) >= 3);
}
