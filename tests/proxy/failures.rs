//! Applications that are down, silent, busy or broken.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
#[cfg(unix)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU32, Ordering};
#[cfg(unix)]
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use mio_fcgi::wire::ProtocolStatus;
use socket2::{Domain, Socket, Type};

use super::application::{application, end, read_request, stdout, whole_for};
use super::harness::{Proxy, TIME_LIMIT, eventually, get, post};

const OFF: &[&str] = &["--multiplex", "off"];

// edge: nothing listens at the application's address | 502
#[test]
fn an_application_that_is_down_is_a_bad_gateway() {
    let (address, _socket) = refusing();
    let proxy = Proxy::in_front_of(&address, OFF);
    let mut client = proxy.connect();
    let start = Instant::now();
    client.send(get("/index.php"));
    let answer = client.answer();
    assert_eq!(answer.status, 502);
    // The application might have been restarting, so connecting was retried.
    assert!(start.elapsed() >= Duration::from_secs(1));
    // The failure does not affect the client's connection.
    client.send("GET /index.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 404);
}

#[test]
fn an_application_that_comes_back_in_time_is_waited_for() {
    let (address, socket) = refusing();
    let proxy = Proxy::in_front_of(&address, &[OFF, &["--status"]].concat());
    let mut client = proxy.connect();
    client.send(get("/index.php"));
    eventually(
        || proxy.figure("pool.connect_failures") > 0,
        || "a refused connect".to_owned(),
    );
    socket.listen(8).expect("a bound socket");
    let listener = TcpListener::from(socket);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            read_request(&mut stream);
            let _ = stream.write_all(&whole(b"Content-Length: 4\r\n\r\nback"));
            std::thread::sleep(TIME_LIMIT);
        }
    });
    assert_eq!(client.answer().text(), "back");
}

/// An address where connections are refused, and the socket that keeps other programs from listening there.
fn refusing() -> (String, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any_port.into()).expect("a port");
    let address = socket.local_addr().expect("it is bound").as_socket();
    (address.expect("an IPv4 address").to_string(), socket)
}

/// A complete response.
fn whole(content: &[u8]) -> Vec<u8> {
    [stdout(content), end(ProtocolStatus::RequestComplete)].concat()
}

/// The client's response if the application answers each request with these bytes and closes.
fn answered_with(bytes: Vec<u8>) -> (super::harness::Answer, Proxy) {
    let (address, _thread) = application(move |_, mut stream| {
        if read_request(&mut stream) {
            let _ = stream.write_all(&bytes);
        }
    });
    let proxy = Proxy::in_front_of(&address, OFF);
    let answer = proxy.ask(post("/index.php", b""));
    (answer, proxy)
}

// edge: garbage, an empty response, half a head, NUL, two lengths | 502
#[test]
fn invalid_responses_are_a_bad_gateway() {
    let complete = end(ProtocolStatus::RequestComplete);
    let cases = [
        ("garbage", b"HTTP/1.1 200 OK\r\n\r\nnot FastCGI".to_vec()),
        ("nothing", Vec::new()),
        ("an end", complete.clone()),
        (
            "half a head",
            [stdout(b"Status: 200 OK\r\nX"), complete.clone()].concat(),
        ),
        ("half a head and a close", stdout(b"Status: 200 OK\r\nX")),
        (
            "no head",
            [stdout(b"Hello, world\n\n"), complete.clone()].concat(),
        ),
        (
            "a blank line",
            [stdout(b"\r\nHello"), complete.clone()].concat(),
        ),
        (
            "a NUL",
            [stdout(b"X: a\0b\r\n\r\nHello"), complete.clone()].concat(),
        ),
        (
            "two lengths",
            [
                stdout(b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
                complete,
            ]
            .concat(),
        ),
        ("a role", end(ProtocolStatus::UnknownRole)),
    ];
    for (what, bytes) in cases {
        let (answer, proxy) = answered_with(bytes);
        assert_eq!(answer.status, 502, "{what}: {answer:?}");
        proxy.wait_for_log("answered with 502: ");
    }
}

// edge: a response cut after its head | the connection closes before the end of the body
#[test]
fn a_cut_response_is_visible_to_the_client() {
    for head in [
        "Content-Length: 100\r\n\r\n",
        "Content-Type: text/plain\r\n\r\n",
    ] {
        let (answer, proxy) = answered_with(stdout(format!("{head}half of").as_bytes()));
        assert_eq!((answer.status, answer.text().as_str()), (200, "half of"));
        assert!(!answer.is_whole, "{head}");
        proxy.wait_for_log("a response is cut short: ");
    }
    // Complete for FastCGI, but shorter than its Content-Length.
    let (answer, proxy) = answered_with(whole(b"Content-Length: 100\r\n\r\nhalf of"));
    assert!(!answer.is_whole);
    proxy.wait_for_log("declared a body of ");
}

// edge: a cut response to HTTP/1.0 without a length | a reset
#[test]
fn a_cut_answer_to_http_1_0_is_reset() {
    let (address, _thread) = application(|_, mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&stdout(b"Content-Type: text/plain\r\n\r\nhalf of"));
    });
    let proxy = Proxy::in_front_of(&address, OFF);
    let mut client = proxy.connect();
    client.send("POST /index.php HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    let mut bytes = Vec::new();
    let read = std::io::Read::read_to_end(&mut client.stream, &mut bytes);
    assert_eq!(
        read.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::ConnectionReset)
    );
}

// edge: an application that sends more than its Content-Length | cut off: no response smuggled in
#[test]
fn bytes_beyond_the_content_length_do_not_become_a_response() {
    let (address, _thread) = application(|_, mut stream| {
        while read_request(&mut stream) {
            let more =
                b"Content-Length: 4\r\n\r\nfourHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            let _ = stream.write_all(&whole(more));
        }
    });
    let proxy = Proxy::in_front_of(&address, OFF);
    let mut client = proxy.connect();
    for _ in 0..3 {
        client.send(get("/index.php"));
        assert_eq!(client.answer().text(), "four");
    }
    client.assert_silent(Duration::from_millis(50));
}

// edge: Transfer-Encoding and Connection from the application | dropped, and chunks decoded
#[test]
fn framing_of_the_application_does_not_reach_the_client() {
    let head = "Transfer-Encoding: chunked\r\nConnection: close\r\nKeep-Alive: 5\r\nX: y\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
    let (answer, _proxy) = answered_with(whole(head.as_bytes()));
    assert_eq!(answer.text(), "abcd");
    let names = answer
        .fields
        .iter()
        .map(|field| field.0.to_ascii_lowercase());
    let count = |wanted: &str| names.clone().filter(|name| name == wanted).count();
    assert_eq!(
        [
            count("transfer-encoding"),
            count("connection"),
            count("keep-alive"),
            count("x")
        ],
        [1, 0, 0, 1]
    );
}

// edge: 103 from the application | passed on to HTTP/1.1
#[test]
fn interim_heads_are_passed_on() {
    let head = "Status: 103 Early Hints\r\nLink: </a.css>\r\n\r\nStatus: 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    let (address, _thread) = application(move |_, mut stream| {
        while read_request(&mut stream) {
            let _ = stream.write_all(&whole(head.as_bytes()));
        }
    });
    let proxy = Proxy::in_front_of(&address, OFF);
    let mut client = proxy.connect();
    client.send(get("/index.php"));
    let early = client.head();
    assert_eq!((early.status, early.field("link")), (103, Some("</a.css>")));
    assert_eq!(client.answer().text(), "body");
    // HTTP/1.0 has no interim heads.
    let mut client = proxy.connect();
    client.send("GET /index.php HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "body");
}

// edge: an application that sends nothing | 504 after `--read-timeout`
#[test]
fn an_application_that_sends_nothing_is_a_gateway_timeout() {
    let (address, _thread) = application(|_, mut stream| {
        read_request(&mut stream);
        std::thread::sleep(TIME_LIMIT);
    });
    let proxy = Proxy::in_front_of(&address, &["--multiplex", "off", "--read-timeout", "0.3"]);
    let start = Instant::now();
    assert_eq!(proxy.get("/index.php").status, 504);
    assert!(start.elapsed() >= Duration::from_millis(250));
}

// edge: an application that stops in the middle of its response | cut after `--read-timeout`
#[test]
fn an_application_that_stops_in_its_response_is_cut() {
    let (address, _thread) = application(|_, mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&stdout(b"Content-Length: 100\r\n\r\nhalf of"));
        std::thread::sleep(TIME_LIMIT);
    });
    let proxy = Proxy::in_front_of(&address, &["--multiplex", "off", "--read-timeout", "2"]);
    let answer = proxy.get("/index.php");
    assert_eq!((answer.status, answer.is_whole), (200, false));
}

// edge: longer than `--request-timeout` | 504, or cut if begun
#[test]
fn a_request_as_a_whole_has_a_time_limit() {
    let proxy = Proxy::start(&["--request-timeout", "2"]);
    assert_eq!(proxy.get("/slow?ms=30000").status, 504);
    assert!(!proxy.get("/stream?n=10000&ms=20").is_whole);
}

// edge: a full queue | 503 with Retry-After
#[test]
fn a_full_queue_is_answered_at_once() {
    let (address, _thread) = application(|_, mut stream| {
        read_request(&mut stream);
        std::thread::sleep(TIME_LIMIT);
    });
    let arguments = [
        "--multiplex",
        "off",
        "--max-conns",
        "1",
        "--queue",
        "2",
        "--status",
    ];
    let proxy = Proxy::in_front_of(&address, &arguments);
    let mut waiting: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
    for (index, client) in waiting.iter_mut().enumerate() {
        client.send(get("/index.php"));
        // The first request has its connection before the others are queued.
        proxy.wait_for_figure("requests.in_flight", 1);
        proxy.wait_for_figure("requests.queued", index as u64);
    }
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send(get("/index.php"));
        let answer = client.answer();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.field("retry-after"), Some("1"));
    }
    // A client that leaves frees its place in the queue.
    waiting.pop();
    proxy.wait_for_figure("requests.queued", 1);
}

#[test]
fn a_request_is_queued_for_so_long_and_no_longer() {
    let (address, _thread) = application(|_, mut stream| {
        read_request(&mut stream);
        std::thread::sleep(TIME_LIMIT);
    });
    let few = ["--max-conns", "1", "--queue-timeout", "0.2", "--status"];
    let proxy = Proxy::in_front_of(&address, &[OFF, &few].concat());
    let mut first = proxy.connect();
    first.send(get("/index.php"));
    proxy.wait_for_figure("requests.in_flight", 1);
    let mut client = proxy.connect();
    client.send(get("/index.php"));
    assert_eq!(client.answer().status, 503);
    proxy.wait_for_log("phase: queued, option: --queue-timeout");
}

// edge: FCGI_OVERLOADED | 503 with Retry-After
#[test]
fn an_overloaded_application_is_not_reported_as_a_broken_one() {
    let (address, _thread) = application(|_, mut stream| {
        while read_request(&mut stream) {
            let _ = stream.write_all(&end(ProtocolStatus::Overloaded));
        }
    });
    let proxy = Proxy::in_front_of(&address, OFF);
    let answer = proxy.get("/index.php");
    assert_eq!(
        (answer.status, answer.field("retry-after")),
        (503, Some("1"))
    );
}

/// Serves `served` requests on each connection, reads one more, and closes. Counts the requests it read.
fn dies_after(served: u16) -> (String, Arc<AtomicU32>) {
    let taken = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&taken);
    let (address, _) = application(move |_, mut stream| {
        for request in 0..served {
            if !read_request(&mut stream) {
                return;
            }
            counter.fetch_add(1, Ordering::SeqCst);
            // IDs 1 and 2 alternate.
            let answer = whole_for(1 + request % 2, b"Content-Length: 5\r\n\r\nfirst");
            let _ = stream.write_all(&answer);
        }
        counter.fetch_add(read_request(&mut stream).into(), Ordering::SeqCst);
    });
    (address, taken)
}

// case 151
// edge: a reused connection that is lost before the response | GET sent again once, POST 502
#[test]
fn only_idempotent_requests_are_sent_again_and_only_once() {
    let (address, taken) = dies_after(1);
    let proxy = Proxy::in_front_of(&address, OFF);
    for _ in 0..2 {
        assert_eq!(proxy.get("/index.php").text(), "first");
    }
    assert_eq!(taken.load(Ordering::SeqCst), 3, "the second one ran twice");

    let (address, taken) = dies_after(2);
    let proxy = Proxy::in_front_of(&address, OFF);
    for _ in 0..2 {
        assert_eq!(proxy.get("/index.php").text(), "first");
    }
    assert_eq!(proxy.ask(post("/index.php", b"once")).status, 502);
    assert_eq!(taken.load(Ordering::SeqCst), 3, "it ran once");
}

// case 151
// edge: a new connection that is lost before the response | 502 after one run, whatever the method
#[test]
fn a_request_lost_on_a_new_connection_is_not_sent_again() {
    let taken = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&taken);
    let (address, _thread) = application(move |_, mut stream| {
        counter.fetch_add(read_request(&mut stream).into(), Ordering::SeqCst);
    });
    let proxy = Proxy::in_front_of(&address, OFF);
    assert_eq!(proxy.get("/index.php").status, 502);
    assert_eq!(proxy.ask(post("/index.php", b"once")).status, 502);
    assert_eq!(taken.load(Ordering::SeqCst), 2);
}

#[test]
fn an_application_that_ends_child_by_child_is_outlived() {
    let (address, _thread) = application(|_, mut stream| {
        if read_request(&mut stream) {
            let _ = stream.write_all(&whole(b"Content-Length: 4\r\n\r\nlast"));
        }
    });
    let proxy = Proxy::in_front_of(&address, OFF);
    let mut client = proxy.connect();
    for _ in 0..50 {
        client.send(get("/index.php"));
        assert_eq!(client.answer().text(), "last");
    }
}

/// The demo application as a process of its own. Killed when dropped.
#[cfg(unix)]
struct Responder(std::process::Child);

#[cfg(unix)]
impl Responder {
    fn start(address: &str) -> Self {
        let mut command = crate::program::example("responder");
        command.args(["--listen", address]);
        let child = command.stdout(std::process::Stdio::null()).spawn();
        Self(child.expect("it starts"))
    }
}

#[cfg(unix)]
impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[test]
fn an_application_that_is_killed_again_and_again_costs_readers_what_it_was_working_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fcgi.sock");
    let address = format!("unix:{}", path.display());
    let mut responder = Responder::start(&address);
    let arguments = ["--fallback", "/index.php", "--threads", "2", "--status"];
    let proxy = Proxy::in_front_of(&address, &[&arguments[..], &["--no-access-log"]].concat());
    let (served, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let lost = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let reader = || {
            let mut client = proxy.connect();
            for turn in 0.. {
                client.send(get(&format!("/tag?tag=n{turn}")));
                let answer = client.answer();
                if answer.status == 502 {
                    // The request was on a new connection and may have been processed.
                    lost.fetch_add(1, Ordering::Relaxed);
                } else {
                    assert_eq!(answer.text(), format!("n{turn}"), "{}", proxy.log());
                    served.fetch_add(1, Ordering::Relaxed);
                }
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        let readers: Vec<_> = (0..6).map(|_| scope.spawn(reader)).collect();
        // A reader that gets no response panics.
        let serve_some = || {
            let enough = served.load(Ordering::Relaxed) + 50;
            while served.load(Ordering::Relaxed) < enough
                && !readers.iter().any(ScopedJoinHandle::is_finished)
            {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        for kill in 0..40 {
            serve_some();
            if kill >= 4 && proxy.figure("requests.retries") > 0 {
                break;
            }
            let told = lost.swap(0, Ordering::Relaxed);
            assert!(told <= 6, "{told} readers lost a request by one kill");
            drop(responder);
            std::thread::sleep(Duration::from_millis(50));
            responder = Responder::start(&address);
        }
        is_over.store(true, Ordering::Relaxed);
        // While the last application still responds.
        for reader in readers {
            reader.join().expect("no panic");
        }
    });
    proxy.wait_for_figure("requests.in_flight", 0);
    assert!(proxy.figure("requests.retries") > 0);
}
