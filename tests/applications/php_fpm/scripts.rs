//! The scripts answer without the library, too: over blocking sockets.

use crate::harness::{PhpFpm, READY, Request, Response, echo_of, pattern};

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_script_reads_the_whole_body_over_unix_and_tcp() {
    for builder in [PhpFpm::builder().unix(), PhpFpm::builder().tcp()] {
        let fpm = builder.start();
        let body = pattern(7, 200_000);
        let response = send(
            &fpm,
            script(Request::post("/echo.php", body.clone()), "echo.php"),
        );
        assert_eq!(response.text(), echo_of(&body));
        assert_eq!((response.app_status, response.protocol_status), (0, 0));
        assert_eq!(response.stderr, b"");
    }
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_script_sees_the_parameters_and_answers_with_a_large_output() {
    let fpm = PhpFpm::builder().start();
    let dump = send(
        &fpm,
        get("params.php", "/params.php?a=b").param("X_EXTRA", "blue \"sky\""),
    );
    assert!(
        dump.text().contains(r#""X_EXTRA":"blue \"sky\"""#),
        "{}",
        dump.text()
    );
    assert!(
        dump.text().contains(r#""QUERY_STRING":"a=b""#),
        "{}",
        dump.text()
    );
    let big = send(&fpm, get("big.php", "/big.php?size=1000003&seed=5"));
    assert_eq!(big.field("Content-Length"), Some("1000003"));
    assert!(big.body() == pattern(5, 1_000_003));
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn errors_go_to_stderr_and_the_log_is_kept_apart() {
    let fpm = PhpFpm::builder().start();
    let response = send(&fpm, get("stderr.php", "/stderr.php?lines=2"));
    let stderr = String::from_utf8_lossy(&response.stderr).into_owned();
    assert!(stderr.contains("line 0 for the error log"), "{stderr}");
    assert!(stderr.contains("line 1 for the error log"), "{stderr}");
    assert_eq!(response.text(), "answered\n");

    let fatal = send(&fpm, get("fatal.php", "/fatal.php"));
    assert_eq!(fatal.field("Status"), Some("500 Internal Server Error"));
    assert!(String::from_utf8_lossy(&fatal.stderr).contains("this_function_does_not_exist"));
    let late = send(&fpm, get("fatal.php", "/fatal.php?late=1"));
    assert_eq!(
        (late.field("Status"), late.text()),
        (None, "before the error\n")
    );
    assert!(fpm.log().contains(READY));
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn heads_have_the_shape_that_was_asked_for() {
    let fpm = PhpFpm::builder().start();
    let cookies = send(&fpm, get("headers.php", "/headers.php?kind=cookies"));
    let head = String::from_utf8_lossy(&cookies.stdout).into_owned();
    assert!(
        head.contains("Set-Cookie: first=1; Path=/\r\nSet-Cookie: second=2; Path=/\r\n"),
        "{head}"
    );
    let status = send(
        &fpm,
        get("headers.php", "/headers.php?kind=status&code=418"),
    );
    assert!(
        status
            .field("Status")
            .is_some_and(|status| status.starts_with("418"))
    );
    let location = send(&fpm, get("headers.php", "/headers.php?kind=location"));
    assert_eq!(
        location.field("Location"),
        Some("https://example.invalid/there")
    );
    let many = send(&fpm, get("headers.php", "/headers.php?kind=many&count=120"));
    assert_eq!(many.field("X-Field-119"), Some("value 119"));
    let long = send(&fpm, get("headers.php", "/headers.php?kind=long&size=5000"));
    assert_eq!(long.field("X-Long").map(str::len), Some(5000));
    let empty = send(&fpm, get("headers.php", "/headers.php?kind=empty"));
    assert!(
        empty
            .field("Status")
            .is_some_and(|status| status.starts_with("204"))
    );
    assert_eq!(empty.body(), b"");
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_kept_connection_serves_requests_until_max_requests() {
    let fpm = PhpFpm::builder().max_requests(2).start();
    let mut stream = fpm.listen().connect().expect("php-fpm listens");
    let request = get("sleep.php", "/sleep.php?ms=1").keep();
    let first = request.send_on(stream.as_mut()).expect("the first answer");
    let second = request.send_on(stream.as_mut()).expect("the second answer");
    assert_eq!(first.field("X-Worker"), second.field("X-Worker"));
    request
        .send_on(stream.as_mut())
        .expect_err("the child has closed the connection");
    // The child does not end before this side closes, too.
    drop(stream);
    let third = send(&fpm, request);
    assert_ne!(first.field("X-Worker"), third.field("X-Worker"));
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_child_that_dies_cuts_its_response_and_is_replaced() {
    let fpm = PhpFpm::builder().start();
    get("kill.php", "/kill.php")
        .send(fpm.listen())
        .expect_err("no END_REQUEST comes");
    assert_eq!(
        send(&fpm, get("slow.php", "/slow.php?chunks=2&ms=5")).text(),
        "chunk 0\nchunk 1\n"
    );
    let killed = fpm.kill_worker();
    assert_eq!(
        send(&fpm, get("finish.php", "/finish.php?ms=1")).text(),
        "finished\n"
    );
    assert!(!fpm.workers().contains(&killed));
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_request_over_its_time_is_terminated() {
    let mut fpm = PhpFpm::builder().request_terminate_timeout(1).start();
    get("sleep.php", "/sleep.php?ms=600000")
        .send(fpm.listen())
        .expect_err("no END_REQUEST comes");
    fpm.wait_for_log("execution timed out");
}

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_stopped_pool_refuses_and_a_restarted_or_reloaded_one_serves() {
    let mut fpm = PhpFpm::builder()
        .tcp()
        .dynamic(3)
        .backlog(16)
        .process_control_timeout(1)
        .ini("memory_limit", "24M")
        .start();
    assert!(fpm.stop().success());
    get("echo.php", "/echo.php")
        .send(fpm.listen())
        .expect_err("nobody listens");
    fpm.restart();
    let status = send(
        &fpm,
        Request::get("/status").param("SCRIPT_FILENAME", "/status"),
    );
    assert!(
        status.text().contains("process manager:      dynamic"),
        "{}",
        status.text()
    );
    fpm.reload();
    // The listening socket stays open during the reload, so at worst the request waits in its backlog.
    assert_eq!(
        send(&fpm, get("echo.php", "/echo.php")).text(),
        echo_of(b"")
    );
    fpm.wait_for_log(READY);
    fpm.restart();
    assert_eq!(
        send(&fpm, get("echo.php", "/echo.php")).text(),
        echo_of(b"")
    );
}

fn get(name: &str, uri: &str) -> Request {
    script(Request::get(uri), name)
}

fn script(request: Request, name: &str) -> Request {
    request.param("SCRIPT_FILENAME", &PhpFpm::script(name))
}

fn send(fpm: &PhpFpm, request: Request) -> Response {
    request
        .send(fpm.listen())
        .unwrap_or_else(|error| panic!("{request:?} at {}: {error}", fpm.listen()))
}
