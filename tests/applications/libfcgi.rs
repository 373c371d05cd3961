//! libfcgi 2.4: one request at a time on one connection at a time.

use crate::common::{behaviours, values};
use crate::harness::client::{Loop, get, is_pattern};
use crate::harness::{App, Program, Request, Transport, echo_of, pattern};

#[test]
#[ignore = "needs libfcgi; run tests/run"]
fn the_c_program_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let app = App::start(Program::LibFcgi { workers: 2 }, transport);
        let send = |request: Request| request.send(app.listen()).expect("an answer");
        let body = pattern(7, 200_000);
        assert_eq!(
            send(Request::post("/echo", body)).text(),
            echo_of(&pattern(7, 200_000))
        );
        assert_eq!(
            send(Request::post("/early", vec![b'x'; 100])).text(),
            "early\n"
        );
        assert!(send(Request::get("/big?size=300001&seed=9")).body() == pattern(9, 300_001));
        let stderr = send(Request::get("/stderr"));
        assert_eq!(
            (stderr.text(), &*stderr.stderr),
            ("answered\n", &b"a line for the error log\n"[..])
        );
        assert_eq!(send(Request::get("/slow?ms=5")).text(), "awake\n");
        let status = send(Request::get("/status?code=9"));
        assert_eq!((status.app_status, status.protocol_status), (9, 0));
        assert_eq!(
            send(Request::get("/nothing")).field("Status"),
            Some("404 Not Found")
        );
    }
}

behaviours!(
    "needs libfcgi; run tests/run",
    Program::LibFcgi { workers: 2 },
    gets_and_posts_are_answered,
    stderr_is_kept_apart,
    auto_finds_out_that_it_does_not_multiplex,
    more_requests_than_processes_are_all_answered,
    an_abort_closes_and_the_process_is_free_again,
    an_early_answer_is_whole_and_costs_the_connection,
    an_idle_connection_is_closed_in_time,
    without_kept_connections_each_request_has_one_of_its_own,
    a_restart_between_requests_is_not_noticed,
);

#[test]
#[ignore = "needs libfcgi; run tests/run"]
fn it_says_that_it_serves_one_request_at_a_time() {
    let app = App::start(Program::LibFcgi { workers: 1 }, Transport::Unix);
    let mut client = Loop::to(app.listen());
    let values = values(&mut client);
    assert_eq!(values.multiplexes, Some(false));
    assert_eq!((values.max_conns, values.max_reqs), (Some(1), Some(1)));
    client.shut_down();
}

#[test]
#[ignore = "needs libfcgi; run tests/run"]
fn an_application_status_that_sticks_decides_nothing() {
    let app = App::start(Program::LibFcgi { workers: 1 }, Transport::Unix);
    let mut client = Loop::to(app.listen());
    for uri in ["/status?code=9", "/early", "/slow?ms=1"] {
        let exchange = client.call(get(uri));
        assert_eq!(exchange.completion().app_status, 9);
        assert_eq!(exchange.response().status, 200);
    }
    client.shut_down();
}

#[test]
#[ignore = "needs libfcgi; run tests/run"]
fn a_large_response_is_whole_over_unix_and_tcp() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let app = App::start(Program::LibFcgi { workers: 1 }, transport);
        let mut client = Loop::to(app.listen());
        let body = client.call(get("/big?size=3000001&seed=4")).response().body;
        assert!(body.len() == 3_000_001 && is_pattern(4, &body));
        client.shut_down();
    }
}
