//! fcgiwrap, which is built on libfcgi and runs a CGI script per request.

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
