//! Go's net/http/fcgi: multiplexes, and answers out of order.

mod crash;
mod multiplexing;
mod stall;

use crate::harness::{App, Program, Request, Transport, echo_of, pattern};
use crate::program::{example, run};

#[test]
#[ignore = "needs Go; run tests/run"]
fn the_go_program_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let app = App::start(Program::Go, transport);
        let send = |request: Request| request.send(app.listen()).expect("an answer");
        let body = pattern(7, 200_000);
        assert_eq!(
            send(Request::post("/echo", body.clone())).text(),
            echo_of(&body)
        );
        let tagged = send(Request::get("/tag?tag=300&delay=5&size=1000"));
        assert_eq!(tagged.field("X-Tag"), Some("300"));
        assert!(tagged.body() == pattern(300, 1000));
        assert_eq!(send(Request::post("/early", body)).text(), "early\n");
        assert!(send(Request::get("/big?size=300001&seed=9")).body() == pattern(9, 300_001));
        assert_eq!(send(Request::get("/slow?ms=5")).text(), "awake\n");
        let missing = send(Request::get("/nothing"));
        assert_eq!(missing.field("Status"), Some("404 Not Found"));
        assert_eq!(app.log(), "ready\n");
    }
}

#[test]
#[ignore = "needs Go; run tests/run"]
fn the_program_get_asks_it_without_a_script() {
    let app = App::start(Program::Go, Transport::Unix);
    let address = app.listen().to_string();
    let ended = run(
        example("get").args(["--connect", &address, "--uri", "/slow?ms=1"]),
        b"",
    );
    ended.succeeded();
    assert_eq!(ended.text(), "awake\n");
}
