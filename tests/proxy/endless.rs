//! Applications that go on after their response is complete.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio_fcgi::wire::ProtocolStatus;

use super::application::{application, end, read_request, stdout, whole_for};
use super::harness::{Proxy, TIME_LIMIT, get};

/// Request and output of responses that are complete before their output is.
const COMPLETE: [(&str, &str); 5] = [
    ("HEAD /", "A: b\r\n\r\n"),
    ("HEAD /", "Content-Length: 4\r\n\r\n"),
    ("GET /", "Status: 204\r\n\r\n"),
    ("GET /", "Status: 304\r\n\r\n"),
    ("GET /", "Content-Length: 4\r\n\r\nbody"),
];

/// An application of two connections. On the first one it begins with this output, and `go_on` does the rest; on the
/// second one it answers each request.
fn two_connections(
    output: &'static str,
    go_on: impl Fn(TcpStream) + Send + Sync + Clone + 'static,
) -> String {
    let (address, _) = application(move |index, mut stream| {
        if index == 0 {
            assert!(read_request(&mut stream));
            stream
                .write_all(&stdout(output.as_bytes()))
                .expect("it reads");
            let go_on = go_on.clone();
            std::thread::spawn(move || go_on(stream));
            return;
        }
        while read_request(&mut stream) {
            let answer = whole_for(1, b"Content-Length: 4\r\n\r\nnext");
            stream.write_all(&answer).expect("it reads");
        }
    });
    address
}

fn proxy(application: &str) -> Proxy {
    let pool = ["--multiplex", "off", "--max-conns", "2", "--max-idle", "2"];
    let others = [
        "--idle-timeout",
        "600",
        "--status",
        "--fallback",
        "/index.php",
    ];
    Proxy::in_front_of(application, &[&pool[..], &others].concat())
}

/// Sends the request and another one, and checks both responses.
fn ask_twice(proxy: &Proxy, request: &str, output: &str) {
    let mut client = proxy.connect();
    client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"));
    if output.ends_with("body") {
        assert_eq!(client.answer().text(), "body");
    } else {
        client.head();
    }
    client.send(get("/next"));
    assert_eq!(client.answer().text(), "next", "{request} {output}");
}

// case 176
// edge: HEAD, 204, 304 or a body longer than its length, and the application goes on for ever | complete at once; the application's request is aborted after 64 KiB
#[test]
fn a_response_that_is_complete_ends_although_the_application_goes_on_for_ever() {
    for (request, output) in COMPLETE {
        let (sender, refused): (Sender<ErrorKind>, Receiver<_>) = channel();
        let application = two_connections(output, move |mut stream| {
            let more = stdout(&[b'x'; 8000]);
            let error = loop {
                if let Err(error) = stream.write_all(&more) {
                    break error;
                }
            };
            sender.send(error.kind()).expect("it waits");
        });
        let proxy = proxy(&application);
        ask_twice(&proxy, request, output);
        refused.recv_timeout(TIME_LIMIT).expect("it is aborted");
        proxy.wait_for_figure("requests.in_flight", 0);
    }
}

/// A script may do something after its response.
// edge: HEAD, 204, 304 or a body with all its length, and the application works on | complete at once; the application is not disturbed
#[test]
fn a_response_that_is_complete_ends_and_the_application_works_on() {
    for (request, output) in COMPLETE {
        let (finish, told) = channel();
        let told = std::sync::Arc::new(std::sync::Mutex::new(told));
        let (sender, disturbed) = channel();
        let application = two_connections(output, move |mut stream| {
            let told = told.lock().expect("no panic");
            told.recv_timeout(TIME_LIMIT).expect("it tells");
            stream.write_all(&stdout(&[b'x'; 1000])).expect("it reads");
            stream.set_nonblocking(true).expect("a socket");
            let read = stream.read(&mut [0]).map_err(|error| error.kind());
            stream
                .write_all(&end(ProtocolStatus::RequestComplete))
                .expect("it reads");
            sender.send(read).expect("it waits");
            let _ = stream.set_nonblocking(false);
            while read_request(&mut stream) {}
        });
        let proxy = proxy(&application);
        ask_twice(&proxy, request, output);
        assert_eq!(proxy.figure("requests.in_flight"), 1);
        finish.send(()).expect("it waits");
        let read = disturbed.recv_timeout(TIME_LIMIT).expect("it goes on");
        assert_eq!(read, Err(ErrorKind::WouldBlock), "the connection is open");
        proxy.wait_for_figure("requests.in_flight", 0);
        proxy.wait_for_figure("pool.idle", 2);
    }
}
