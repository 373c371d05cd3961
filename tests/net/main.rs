//! The client on real sockets, against threads that play an application and against the example `responder`.
//!
//! Time is real here, so a test waits for an event, and never for a time within which the event should happen. Linux
//! alone has all that is tried: the abstract namespace, and what it does with a full backlog.
#![cfg(target_os = "linux")]

#[path = "../../examples/responder/app.rs"]
mod app;
mod asking;
mod clients;
mod closing;
mod connecting;
mod contract;
mod endless;
mod fairness;
mod handles;
mod in_place;
mod membership;
mod moving;
mod pausing;
mod peer;
mod seams;
mod shown;
mod sockets;
mod uploads;

use std::io;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::{
    Address, Client, Completion, Config, EventKind, Failure, Multiplex, Outcome, OwnedEvent,
    ReadBuf, Request, RequestHandle, Tag,
};

use peer::TIME_LIMIT;

/// A client and the loop that drives it; events are kept in the order in which they came.
#[derive(Debug)]
struct Loop {
    poll: Poll,
    events: Events,
    client: Client,
    buf: ReadBuf,
    seen: Vec<OwnedEvent>,
}

/// Tokens of the tests' clients.
const TOKENS: std::ops::Range<Token> = Token(1000)..Token(5000);

impl Loop {
    fn new(config: Config) -> Self {
        let poll = Poll::new().expect("a poll");
        let client = Client::new(poll.registry(), TOKENS, config).expect("a valid configuration");
        Self {
            poll,
            events: Events::with_capacity(64),
            client,
            buf: ReadBuf::default(),
            seen: Vec::new(),
        }
    }

    /// A client of one server that sends one request at a time on a connection, and does not ask first.
    fn plain(address: Address) -> Self {
        Self::new(plain(address))
    }

    fn submit(&mut self, request: Request, tag: u64) -> RequestHandle {
        self.client
            .submit(Instant::now(), request, Tag(tag))
            .expect("a request that can be sent")
    }

    /// Waits for readiness, as long as the client says and no longer than `most`.
    fn wait(&mut self, most: Duration) {
        let timeout = self.client.timeout(Instant::now());
        let timeout = timeout.unwrap_or(most).min(most);
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            other => other.expect("a poll"),
        }
    }

    /// Hands over what `wait` has brought.
    fn note(&mut self) {
        for event in &self.events {
            assert!(self.client.handle_event(event), "nobody else has tokens");
        }
    }

    fn drain(&mut self) {
        let now = Instant::now();
        while let Some(event) = self.client.poll_event(now, &mut self.buf) {
            self.seen.push(event.into_owned());
        }
    }

    fn turn(&mut self, most: Duration) {
        self.wait(most);
        self.note();
        self.client.handle_timeout(Instant::now());
        self.drain();
    }

    /// Turns until `done`.
    fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + TIME_LIMIT;
        while !done(self) {
            let now = Instant::now();
            assert!(now < deadline, "{:?}, {:?}", self.client, self.tail());
            // If a client should ask for an immediate call and does not, this wait lasts to the deadline and the test
            // fails.
            self.turn(deadline - now);
        }
    }

    /// Turns until the peer's thread has reported something; no socket is readable then.
    fn run_until_told(&mut self, peer: &Receiver<()>) {
        let deadline = Instant::now() + TIME_LIMIT;
        while peer.try_recv().is_err() {
            assert!(Instant::now() < deadline, "the peer says nothing");
            self.turn(Duration::from_millis(2));
        }
    }

    /// Turns for a while without waiting for anything: once at least, however late it is.
    fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut left = time;
        loop {
            self.turn(left.max(Duration::from_millis(1)));
            match end.checked_duration_since(Instant::now()) {
                Some(more) => left = more,
                None => return,
            }
        }
    }

    /// Turns until `count` requests have ended in all.
    fn run_to_ends(&mut self, count: usize) {
        self.run_until(|it| it.ends().len() >= count);
        assert_eq!(self.ends().len(), count);
    }

    /// Sends a request and gives its outcome and its output.
    fn ask(&mut self, request: Request) -> (Outcome, Vec<u8>) {
        let count = self.ends().len() + 1;
        let tag = 1_000_000 + count as u64;
        self.submit(request, tag);
        self.run_to_ends(count);
        (self.outcome(tag).clone(), self.stdout(tag))
    }

    /// The tags of the requests that have ended, in that order.
    fn ends(&self) -> Vec<u64> {
        let ends = self.seen.iter().filter_map(|event| match &event.kind {
            EventKind::End(_) => Some(event.tag.0),
            _ => None,
        });
        ends.collect()
    }

    fn outcome(&self, wanted: u64) -> &Outcome {
        let mut outcomes = self.seen.iter().filter_map(|event| match &event.kind {
            EventKind::End(outcome) if event.tag.0 == wanted => Some(outcome),
            _ => None,
        });
        let outcome = outcomes.next().expect("it has ended");
        assert!(outcomes.next().is_none(), "a second end");
        outcome
    }

    fn completion(&self, tag: u64) -> Completion {
        self.outcome(tag).clone().expect("a complete response")
    }

    fn failure(&self, tag: u64) -> Failure {
        self.outcome(tag).clone().expect_err("a failure")
    }

    fn stdout(&self, wanted: u64) -> Vec<u8> {
        let pieces = self.seen.iter().filter_map(|event| match &event.kind {
            EventKind::Stdout(data) if event.tag.0 == wanted => Some(data.as_slice()),
            _ => None,
        });
        pieces.collect::<Vec<_>>().concat()
    }

    fn tail(&self) -> &[OwnedEvent] {
        &self.seen[self.seen.len().saturating_sub(3)..]
    }
}

fn plain(address: Address) -> Config {
    let mut config = Config::new(address);
    config.multiplex = Multiplex::Off;
    config
}

fn get(uri: &str) -> Request {
    Request::responder()
        .param("REQUEST_METHOD", "GET")
        .param("REQUEST_URI", uri)
}

/// What a response's output is after its head.
fn body(stdout: &[u8]) -> &[u8] {
    let end = stdout
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .expect("a head");
    &stdout[end + 4..]
}

fn demo() -> app::Running {
    app::spawn(app::Options::default()).expect("the demo application starts")
}
