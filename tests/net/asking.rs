//! `blocking::get_values` and `blocking::call`: each way in which a server is up or down.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use mio_fcgi::blocking::{self, Call, CallError};
use mio_fcgi::wire::{self, DecodeError, RecordType};
use mio_fcgi::{Address, ConnectError, ProtocolError, Request, RequestError, TimeoutKind};

use crate::peer::{self, Listener, Peer, TIME_LIMIT};

/// Answers one question.
fn answer(listener: Listener) {
    let mut connection = listener.accept();
    assert!(connection.request().is_none(), "a question, not a request");
    let mut said = Vec::new();
    wire::write_pair(&mut said, b"FCGI_MPXS_CONNS", b"0").expect("a short pair");
    let mut bytes = Vec::new();
    wire::write_record(&mut bytes, RecordType::GetValuesResult, 0, &said).expect("a short record");
    connection.send(&bytes);
    connection.rest();
}

/// Why there is no answer.
fn failure(address: &Address, limit: Duration) -> RequestError {
    let error = blocking::get_values(address, limit).expect_err("no answer");
    error.failure().expect("it was asked").error.clone()
}

#[test]
fn a_server_that_answers_is_up() {
    let peer = Peer::unix(answer);
    let said = blocking::get_values(&peer.address(), TIME_LIMIT).expect("an answer");
    assert_eq!((said.multiplexes, said.max_conns), (Some(false), None));
    peer.join();
}

#[test]
fn a_server_without_a_process_to_spare_is_told_from_one_that_is_down() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = Address::Tcp(listener.local_addr().expect("it is bound"));
    // The system accepts the connection; no process does.
    let busy = failure(&address, Duration::from_millis(200));
    assert_eq!(busy, RequestError::TimedOut(TimeoutKind::Probe));
    let (address, _socket) = peer::refusing();
    let down = failure(&Address::Tcp(address), TIME_LIMIT);
    let refused = ConnectError::Failed(ErrorKind::ConnectionRefused);
    assert_eq!(down, RequestError::Connect(refused));
}

#[test]
fn an_http_server_is_named_as_one() {
    let peer = Peer::tcp(|listener| {
        let mut connection = listener.accept();
        assert!(connection.request().is_none(), "a question, not a request");
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        connection.rest();
    });
    let http = ProtocolError::Decode(DecodeError::Http);
    let found = failure(&peer.address(), TIME_LIMIT);
    assert_eq!(found, RequestError::Protocol(http));
    peer.join();
}

#[test]
fn a_name_that_cannot_be_resolved_is_reported_as_such() {
    let address = "no-such-host.invalid:9000".parse().expect("an address");
    let asked = blocking::get_values(&address, TIME_LIMIT);
    assert!(matches!(asked, Err(CallError::Resolve(_))), "{asked:?}");
    let called = blocking::call(&address, Request::responder(), TIME_LIMIT);
    assert!(matches!(called, Err(CallError::Resolve(_))), "{called:?}");
}

/// Answers one request.
fn respond(listener: Listener) {
    let (mut connection, request) = listener.accept_request();
    connection.answer(request.id, b"up");
    connection.rest();
}

// case 136
#[test]
fn without_any_time_it_is_over_at_once_and_nobody_is_connected_to() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("never.sock");
    let listener = UnixListener::bind(&path).expect("the directory is ours");
    let address = Address::Unix(path);
    let began = Instant::now();
    let asked = failure(&address, Duration::ZERO);
    let called = blocking::call(&address, Request::responder(), Duration::ZERO);
    let called = called.expect_err("no time");
    let called = called.failure().expect("a failure").error.clone();
    for error in [asked, called] {
        let in_time = matches!(
            error,
            RequestError::TimedOut(_) | RequestError::Connect(ConnectError::TimedOut)
        );
        assert!(in_time, "{error}");
    }
    assert!(began.elapsed() < TIME_LIMIT / 2);
    listener.set_nonblocking(true).expect("a listener");
    let nobody = listener.accept().expect_err("nobody connects");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
}

// case 136
#[test]
fn the_longest_time_is_no_limit() {
    let peer = Peer::tcp(answer);
    blocking::get_values(&peer.address(), Duration::MAX).expect("an answer");
    peer.join();
    let peer = Peer::tcp(respond);
    let address = peer.address();
    let called = blocking::call(&address, Request::responder(), Duration::MAX);
    assert_eq!(called.expect("a response").body, b"up");
    peer.join();
}

/// Starts to listen at `address` after a while, and then runs `script`.
fn start_late(address: &Address, script: fn(Listener)) -> thread::JoinHandle<()> {
    let Address::Unix(path) = address.clone() else {
        panic!("a Unix socket");
    };
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        let listener = UnixListener::bind(&path).expect("the directory is ours");
        script(Listener::Unix(listener));
        std::fs::remove_file(path).expect("the socket is still there");
    })
}

#[test]
fn an_application_that_is_being_started_is_waited_for_where_that_is_wanted() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = Address::Unix(directory.path().join("late.sock"));
    let missing = RequestError::Connect(ConnectError::Failed(ErrorKind::NotFound));
    assert_eq!(
        failure(&address, TIME_LIMIT),
        missing,
        "one refusal ends it"
    );
    for limit in [TIME_LIMIT, Duration::MAX] {
        let call = Call::new(&address, limit).with_connect_retry_timeout(limit);
        let starting = start_late(&address, answer);
        call.get_values().expect("an answer");
        starting.join().expect("no panic");
        let starting = start_late(&address, respond);
        let response = call.send(Request::responder()).expect("a response");
        assert_eq!(response.body, b"up");
        starting.join().expect("no panic");
    }
}

#[test]
fn an_application_that_does_not_come_up_is_waited_for_no_longer_than_that() {
    let (address, _socket) = peer::refusing();
    let address = Address::Tcp(address);
    let refused = RequestError::Connect(ConnectError::Failed(ErrorKind::ConnectionRefused));
    let limit = Duration::from_millis(200);
    let call = Call::new(&address, TIME_LIMIT).with_connect_retry_timeout(limit);
    let began = Instant::now();
    let asked = call.get_values().expect_err("nobody listens");
    let called = call.send(Request::responder()).expect_err("nobody listens");
    let took = began.elapsed();
    for error in [asked, called] {
        let failure = error.failure().expect("it was tried");
        assert_eq!(failure.error, refused);
    }
    assert!((2 * limit..TIME_LIMIT / 2).contains(&took), "{took:?}");
}
