//! Python's flup: one request at a time on a connection, or truly multiplexing when told to.

use crate::harness::{App, Program, Request, Transport, echo_of, pattern};

#[test]
#[ignore = "needs flup; run tests/run"]
fn the_plain_script_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        answers_on_each_path(&App::start(Program::Flup, transport));
    }
}

#[test]
#[ignore = "needs flup; run tests/run"]
fn the_multiplexing_script_answers_on_each_of_its_paths() {
    for transport in [Transport::Unix, Transport::Tcp] {
        answers_on_each_path(&App::start(Program::FlupMultiplexed, transport));
    }
}

fn answers_on_each_path(app: &App) {
    let send = |request: Request| request.send(app.listen()).expect("an answer");
    let body = pattern(7, 100_000);
    assert_eq!(
        send(Request::post("/echo", body)).text(),
        echo_of(&pattern(7, 100_000))
    );
    assert!(send(Request::get("/tag?tag=300&delay=5&size=1000")).body() == pattern(300, 1000));
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
