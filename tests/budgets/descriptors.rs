//! What a client takes from the system: file descriptors, which it closes, and one write per request.
//!
//! They are counted for the whole process, so the test runs in one of its own.

use std::fs;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::{Client, Config, EventKind, Multiplex, ReadBuf, Request, Tag};

use crate::app;

#[test]
fn sequential_requests_take_one_connection_and_dropping_the_client_gives_it_back() {
    const NAME: &str = "descriptors::sequential_requests_take_one_connection_and_dropping_the_client_gives_it_back";
    if std::env::var_os("ALONE").is_some() {
        return count_descriptors();
    }
    let mut program = Command::new(std::env::current_exe().expect("a path"));
    program.args(["--exact", NAME]).env("ALONE", "1");
    let output = program.output().expect("a process");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "not the name of a test: {said}");
}

fn count_descriptors() {
    let demo = app::spawn(app::Options::default()).expect("the demo application starts");
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(16);
    let mut config = Config::new(demo.address().clone());
    config.multiplex = Multiplex::Off;
    let mut client =
        Client::new(poll.registry(), Token(0)..Token(8), config).expect("enough tokens");
    let mut buf = ReadBuf::default();
    let mut request = || {
        let mut request = client.new_request();
        request.params.push("REQUEST_URI", "/bench");
        ask(&mut poll, &mut events, &mut client, &mut buf, request);
        open_files()
    };
    // The application runs in this process, too, and opens everything with the first request.
    let with_one = request();
    for _ in 0..100 {
        let counts: Vec<usize> = (0..100).map(|_| request()).collect();
        assert_eq!(counts, [with_one; 100]);
    }
    assert_eq!(client.stats().counters.connected, 1);
    assert_eq!(client.stats().counters.completed, 10_001);

    // The application's reads show the client's writes: one per request. It counts them when it is about to wait again.
    let deadline = Instant::now() + Duration::from_secs(60);
    while demo.counters().requests < 10_001 {
        assert!(Instant::now() < deadline, "{:?}", demo.counters());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(demo.counters().reads, 10_001);

    for tag in 0..5 {
        let request = Request::responder().param("REQUEST_URI", "/slow?ms=60000");
        let submitted = client.submit(Instant::now(), request, Tag(tag));
        submitted.expect("there is room");
    }
    while client.stats().counters.connected < 5 {
        turn(&mut poll, &mut events, &mut client, &mut buf);
    }
    assert!(open_files() >= with_one + 4, "five requests are out");
    drop(client);
    // The connection had two ends here, and the client a copy of the registry. The application closes its ends when
    // it sees that ours are closed.
    let before = with_one - 3;
    let deadline = Instant::now() + Duration::from_secs(60);
    while open_files() > before {
        assert!(Instant::now() < deadline, "{} of {before}", open_files());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(open_files(), before);
}

fn ask(
    poll: &mut Poll,
    events: &mut Events,
    client: &mut Client,
    buf: &mut ReadBuf,
    request: Request,
) {
    let submitted = client.submit(Instant::now(), request, Tag(0));
    submitted.expect("there is room");
    while !turn(poll, events, client, buf) {}
}

/// One turn; whether a request has completed.
fn turn(poll: &mut Poll, events: &mut Events, client: &mut Client, buf: &mut ReadBuf) -> bool {
    match poll.poll(events, client.timeout(Instant::now())) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return false,
        other => other.expect("a poll"),
    }
    let now = Instant::now();
    for event in &*events {
        assert!(client.handle_event(event));
    }
    client.handle_timeout(now);
    let mut has_ended = false;
    while let Some(event) = client.poll_event(now, buf) {
        if let EventKind::End(outcome) = event.kind {
            outcome.expect("a response");
            has_ended = true;
        }
    }
    has_ended
}

fn open_files() -> usize {
    // The directory being read is one of them.
    fs::read_dir("/proc/self/fd").expect("Linux").count() - 1
}
