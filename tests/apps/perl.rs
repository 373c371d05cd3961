//! Perl's FCGI module, which is built on libfcgi.

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
