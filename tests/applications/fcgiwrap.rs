//! fcgiwrap, which is built on libfcgi and runs a CGI script per request.

use mio_fcgi::{Body, Retry};

use crate::common::{Subject, behaviours};
use crate::harness::client::Loop;
use crate::harness::{App, Program, Request, Transport, cgi_script, pattern};

#[test]
#[ignore = "needs fcgiwrap; run tests/run"]
fn the_cgi_script_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let app = App::start(Program::Fcgiwrap { workers: 2 }, transport);
        let send = |request: Request| {
            let request = request.param("SCRIPT_FILENAME", &cgi_script());
            request.send(app.listen()).expect("an answer")
        };
        let body = pattern(7, 50_000);
        assert!(send(Request::post("/cat", body.clone())).body() == body);
        assert_eq!(send(Request::get("/early")).text(), "early\n");
        let stderr = send(Request::get("/stderr"));
        assert_eq!(stderr.text(), "answered\n");
        // fcgiwrap makes CRLF of the script's LF until the head is complete, on stderr too.
        let line = str::from_utf8(&stderr.stderr).expect("stderr that is text");
        assert_eq!(line.replace("\r\n", "\n"), "a line for the error log\n");
        assert_eq!(send(Request::get("/slow?ms=5")).text(), "awake\n");
        assert_eq!(
            send(Request::get("/nothing")).field("Status"),
            Some("404 Not Found")
        );
    }
}

#[test]
#[ignore = "needs fcgiwrap; run tests/run"]
fn a_body_that_the_script_does_not_read_is_a_502_with_bare_line_feeds() {
    let app = App::start(Program::Fcgiwrap { workers: 1 }, Transport::Unix);
    // More than the pipe to the script holds, so that fcgiwrap surely fails to pass it on.
    let request = Request::post("/early", pattern(0, 200_000));
    let response = request
        .param("SCRIPT_FILENAME", &cgi_script())
        .send(app.listen());
    let stdout = response.expect("an answer").stdout;
    let stdout = str::from_utf8(&stdout).expect("an answer that is text");
    assert!(
        stdout.starts_with("Status: 502 Bad Gateway\nContent-type: text/plain\n\n"),
        "{stdout}"
    );
}

behaviours!(
    "needs fcgiwrap; run tests/run",
    Program::Fcgiwrap { workers: 2 },
    gets_and_posts_are_answered,
    stderr_is_kept_apart,
    auto_finds_out_that_it_does_not_multiplex,
    more_requests_than_processes_are_all_answered,
    an_abort_closes_and_the_process_is_free_again,
    an_idle_connection_is_closed_in_time,
    without_kept_connections_each_request_has_one_of_its_own,
    a_restart_between_requests_is_not_noticed,
);

#[test]
#[ignore = "needs fcgiwrap; run tests/run"]
fn its_502_with_bare_line_feeds_is_a_response() {
    let subject = Subject::start(Program::Fcgiwrap { workers: 1 }, Transport::Unix);
    let mut client = Loop::new(subject.config());
    for _ in 0..2 {
        let request = subject.post("/early", Body::bytes(vec![b'x'; 200_000]));
        // It may close the connection after its answer, and read part of the next request before that.
        let response = client.call(request.with_retry(Retry::IfStale)).response();
        assert_eq!(response.status, 502);
        assert_eq!(response.get("Content-type"), Some(&b"text/plain"[..]));
    }
    client.shut_down();
}
