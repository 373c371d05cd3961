//! What the client logs: what happens to a request, in order, and no parameter values and no content.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Once;
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};
use mio::{Events, Interest, Poll, Token};
use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};
use mio_fcgi::{
    Action, Body, Client, Clients, Config, ConnectionHandle, Disconnected, Engine, EventKind,
    Multiplex, ReadBuf, Request, Tag, Timeouts,
};

/// Keeps each line for the test in whose thread it was logged.
struct Capture;

thread_local! {
    static LEVEL: Cell<LevelFilter> = const { Cell::new(LevelFilter::Off) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl Log for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LEVEL.get() && metadata.target().starts_with("mio_fcgi")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            LINES.with_borrow_mut(|lines| lines.push(line));
        }
    }

    fn flush(&self) {}
}

/// Starts to keep the lines of this thread up to a level.
fn capture(level: LevelFilter) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| log::set_logger(&Capture).expect("no other logger in this program"));
    log::set_max_level(LevelFilter::Trace);
    LEVEL.set(level);
    LINES.take();
}

fn engine() -> Engine {
    let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    config.multiplex = Multiplex::Off;
    Engine::new(config).expect("a valid configuration")
}

/// Connects what the engine asks for and sends all it has.
fn connect_and_send(engine: &mut Engine, now: Instant) -> ConnectionHandle {
    let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
        panic!("a connection is needed");
    };
    engine.handle_connected(now, connection);
    let len = engine.transmit(connection).iter().map(|it| it.len()).sum();
    engine.handle_transmitted(now, connection, len);
    connection
}

/// Checks that some lines contain these words, one after the other.
fn assert_story(lines: &[String], story: &[&str]) {
    let mut rest = lines.iter();
    for words in story {
        let found = rest.any(|line| line.contains(words));
        assert!(
            found,
            "'{words}' is not in its place in:\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn a_lost_request_tells_its_story_in_order() {
    capture(LevelFilter::Debug);
    let mut engine = engine();
    let now = Instant::now();
    let request = Request::responder().param("SCRIPT_NAME", "/x.php");
    engine.submit(now, request, Tag(7)).expect("accepted");
    let connection = connect_and_send(&mut engine, now);
    engine.handle_closed(now, connection, Disconnected::Eof);
    let story = [
        "request 0, tag 7: submitted",
        "connection 0: connecting to server 0, 127.0.0.1:9000",
        "connection 0: open",
        "request 0: begins on connection 0 as id 1",
        "request 0: sent",
        "connection 0: closed, Lost",
        "request 0, tag 7: the connection to the application was lost: closed by the application",
    ];
    assert_story(&LINES.take(), &story);
}

#[test]
fn a_stale_connection_and_a_time_limit_tell_theirs() {
    capture(LevelFilter::Debug);
    let mut engine = engine();
    let mut now = Instant::now();
    engine
        .submit(now, Request::responder(), Tag(1))
        .expect("accepted");
    let connection = connect_and_send(&mut engine, now);
    let answer = answer(b"hi");
    let mut input = &answer[..];
    while engine.poll_received(now, connection, &mut input).is_some() {}
    engine
        .submit(now, Request::responder(), Tag(2))
        .expect("accepted");
    engine.handle_closed(
        now,
        connection,
        Disconnected::Failed(ErrorKind::ConnectionReset),
    );
    while !matches!(engine.poll_action(), Some(Action::Flush { .. }) | None) {}
    let story = [
        "request 0, tag 1: complete; ",
        "request 0, tag 2: submitted",
        "connection 0: closed, Lost",
        "request 0: to be sent again, retry 1",
        "connection 0: connecting to server 0",
    ];
    assert_story(&LINES.take(), &story);

    now += Duration::from_secs(10);
    engine.handle_timeout(now);
    let story = [
        "connection 0: closed, ConnectFailed",
        "server 0: set aside for 50ms",
        "request 0, tag 2: no connection to the application: no answer within connect_timeout",
    ];
    assert_story(&LINES.take(), &story);
}

const SECRETS: [&str; 4] = ["Basic dXNlcg", "sid=4711", "in the body", "in the answer"];

/// A request that has something to hide in each of its parts.
fn confidential() -> Request {
    Request::responder()
        .param("REQUEST_METHOD", "POST")
        .param("HTTP_AUTHORIZATION", SECRETS[0])
        .param("HTTP_COOKIE", SECRETS[1])
        .with_body(Body::bytes(SECRETS[2]))
}

fn answer(output: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, RecordType::Stderr, 1, output);
    wire::write_stream(&mut bytes, RecordType::Stdout, 1, output);
    let protocol_status = ProtocolStatus::RequestComplete;
    let body = EndRequest {
        app_status: 0,
        protocol_status,
    };
    wire::write_end_request(&mut bytes, 1, body);
    bytes
}

/// Checks that records were logged, and none of the secrets in any form in which bytes are shown.
fn assert_discreet(lines: &[String]) {
    let log = lines.join("\n");
    for record in [
        "FCGI_STDIN",
        "FCGI_STDOUT",
        "FCGI_STDERR",
        "FCGI_END_REQUEST",
    ] {
        assert!(log.contains(record), "no {record} in:\n{log}");
    }
    for secret in SECRETS {
        assert!(!log.contains(secret), "'{secret}' is in:\n{log}");
        let bytes = format!("{:?}", secret.as_bytes());
        let part = &bytes[1..20];
        assert!(
            !log.contains(part),
            "the bytes of '{secret}' are in:\n{log}"
        );
    }
}

#[test]
fn at_trace_level_the_engine_shows_records_but_no_value_and_no_content() {
    capture(LevelFilter::Trace);
    let mut engine = engine();
    let now = Instant::now();
    let request = confidential();
    log::trace!(target: "mio_fcgi", "{request:?}");
    engine.submit(now, request, Tag(1)).expect("accepted");
    let connection = connect_and_send(&mut engine, now);
    let answer = answer(SECRETS[3].as_bytes());
    let mut input = &answer[..];
    while engine.poll_received(now, connection, &mut input).is_some() {}

    // A second request, which fails: bytes that break the protocol are not shown either.
    engine
        .submit(now, confidential(), Tag(2))
        .expect("accepted");
    let len = engine.transmit(connection).iter().map(|it| it.len()).sum();
    engine.handle_transmitted(now, connection, len);
    let mut input = SECRETS[3].as_bytes();
    assert_eq!(engine.poll_received(now, connection, &mut input), None);
    log::trace!(target: "mio_fcgi", "{engine:?}");

    let lines = LINES.take();
    assert_discreet(&lines);
    assert_story(
        &lines,
        &[
            "HTTP_AUTHORIZATION",
            "WARN connection 0: the application at",
        ],
    );
}

#[test]
fn at_trace_level_the_client_shows_records_but_no_value_and_no_content() {
    capture(LevelFilter::Trace);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let application = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept()?;
        let mut request = Vec::new();
        let mut piece = [0; 1024];
        // The empty FCGI_STDIN is the last record of the request.
        while !request.ends_with(&[1, 5, 0, 1, 0, 0, 0, 0]) {
            let len = socket.read(&mut piece)?;
            request.extend_from_slice(&piece[..len]);
        }
        socket.write_all(&answer(SECRETS[3].as_bytes()))
    });

    let mut config = Config::new(address.into());
    config.multiplex = Multiplex::Off;
    config.timeouts = Timeouts::NONE.with_total(Duration::from_secs(30));
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(8);
    let mut buf = ReadBuf::default();
    let mut client =
        Client::new(poll.registry(), Token(0)..Token(64), config).expect("a valid configuration");
    client
        .submit(Instant::now(), confidential(), Tag(1))
        .expect("accepted");
    let mut ended = false;
    while !ended {
        match poll.poll(&mut events, client.timeout(Instant::now())) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled.expect("a poll that works"),
        }
        for event in &events {
            client.handle_event(event);
        }
        let now = Instant::now();
        client.handle_timeout(now);
        while let Some(event) = client.poll_event(now, &mut buf) {
            if let EventKind::End(outcome) = event.kind {
                outcome.expect("complete");
                ended = true;
            }
        }
    }
    application
        .join()
        .expect("no panic")
        .expect("the answer was written");
    assert_discreet(&LINES.take());
}

#[test]
fn a_socket_of_the_embedder_under_a_token_of_the_client_is_warned_of_once() {
    capture(LevelFilter::Warn);
    let mut own = mio::net::TcpListener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = own.local_addr().expect("it is bound");
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(8);
    let config = Config::new(address.into());
    let mut client =
        Client::new(poll.registry(), Token(7)..Token(20), config).expect("a valid configuration");
    poll.registry()
        .register(&mut own, Token(7), Interest::READABLE)
        .expect("the token is free");
    let _browser = std::net::TcpStream::connect(address).expect("it listens");
    poll.poll(&mut events, None).expect("a poll that works");
    for _ in 0..2 {
        for event in &events {
            assert!(client.handle_event(event), "it is in the range");
        }
    }
    let lines = LINES.take();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_story(&lines, &["WARN an event for token 7, which no connection"]);
}

#[test]
fn an_event_of_a_connection_that_was_closed_is_not_taken_for_a_socket_of_the_embedder() {
    capture(LevelFilter::Warn);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(8);
    let mut buf = ReadBuf::default();
    let config = Config::new(listener.local_addr().expect("it is bound").into());
    let mut client =
        Client::new(poll.registry(), Token(7)..Token(20), config).expect("a valid configuration");
    let now = Instant::now();
    let request = Request::responder();
    client.submit(now, request, Tag(1)).expect("accepted");
    while client.poll_event(now, &mut buf).is_some() {}
    poll.poll(&mut events, None).expect("a poll that works");
    assert!(!events.is_empty(), "the connection is open");
    client.shutdown(now, Some(now));
    client.handle_timeout(now);
    while client.poll_event(now, &mut buf).is_some() {}
    assert!(client.is_idle(), "the connection is closed");
    for event in &events {
        assert!(client.handle_event(event), "it is in the range");
    }
    assert_eq!(LINES.take(), [""; 0]);
}

#[test]
fn an_event_of_a_client_that_was_removed_is_not_taken_for_a_socket_of_the_embedder() {
    capture(LevelFilter::Warn);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(8);
    let mut buf = ReadBuf::default();
    let config = Config::new(listener.local_addr().expect("it is bound").into());
    let mut clients =
        Clients::new(poll.registry(), Token(7)..Token(20), 8).expect("a copy of the registry");
    let now = Instant::now();
    let gone = clients.add(config.clone()).expect("tokens");
    let client = clients.get_mut(gone).expect("present");
    let submitted = client.submit(now, Request::responder(), Tag(1));
    submitted.expect("accepted");
    while clients.poll_event(now, &mut buf).is_some() {}
    poll.poll(&mut events, None).expect("a poll that works");
    assert!(!events.is_empty(), "the connection is open");
    assert!(clients.remove(gone));
    clients.add(config).expect("the same tokens");
    for event in &events {
        assert!(clients.handle_event(event), "it is in the range");
    }
    assert_eq!(LINES.take(), [""; 0]);
}
