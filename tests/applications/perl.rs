//! Perl's FCGI module, which is built on libfcgi.

use crate::common::behaviours;
use crate::harness::{App, Program, Request, Transport, echo_of, pattern};

#[test]
#[ignore = "needs Perl's FCGI; run tests/run"]
fn the_perl_script_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let app = App::start(Program::Perl, transport);
        let send = |request: Request| request.send(app.listen()).expect("an answer");
        let body = pattern(7, 100_000);
        assert_eq!(
            send(Request::post("/echo", body)).text(),
            echo_of(&pattern(7, 100_000))
        );
        assert_eq!(
            send(Request::post("/early", vec![b'x'; 100])).text(),
            "early\n"
        );
        let stderr = send(Request::get("/stderr"));
        assert_eq!(
            (stderr.text(), &*stderr.stderr),
            ("answered\n", &b"a line for the error log\n"[..])
        );
        assert_eq!(send(Request::get("/slow?ms=5")).text(), "awake\n");
        assert_eq!(
            send(Request::get("/nothing")).field("Status"),
            Some("404 Not Found")
        );
    }
}

behaviours!(
    "needs Perl's FCGI; run tests/run",
    Program::Perl,
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
