//! libfcgi 2.4: one request at a time on one connection at a time.

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
