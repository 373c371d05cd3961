//! One request through a Unix socket and back, beside idle clients in the same loop.

use std::hint::black_box;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::{Address, ClientId, Clients, Config, EventKind, Multiplex, ReadBuf, Tag};

use crate::request::{Answers, push_all, response};
use crate::round_trip::{Application, encode, listen};
use crate::scale::Axis;

pub(crate) const AXIS: Axis = Axis {
    name: "clients in a loop, of which one has requests",
    sizes: &[1, 4, 16, 60, 240],
    set_up: |count| {
        let mut pools = Pools::new(count);
        let mut answers = Answers::new(1, response);
        Box::new(move || pools.round(answers.next_round()))
    },
};

/// Clients with an idle connection each. The first one has the requests.
struct Pools {
    clients: Clients,
    first: ClientId,
    poll: Poll,
    events: Events,
    buf: ReadBuf,
    now: Instant,
    applications: Vec<Application>,
    request_len: usize,
}

impl Pools {
    fn new(count: usize) -> Self {
        let (listener, path, _dir) = listen();
        let poll = Poll::new().expect("a poll");
        let tokens = Token(0)..Token(count);
        let mut clients = Clients::new(poll.registry(), tokens, 1).expect("a copy");
        let mut config = Config::new(Address::Unix(path));
        config.multiplex = Multiplex::Off;
        config.limits.max_connections_per_server = 1;
        // The clock of the rounds is faster than that of the machine.
        config.limits.idle_timeout = Duration::from_secs(24 * 60 * 60);
        let added = (0..count).map(|_| clients.add(config.clone()).expect("a client"));
        let ids: Vec<ClientId> = added.collect();
        let mut request = Vec::new();
        encode(&mut request);
        let mut pools = Self {
            clients,
            first: ids[0],
            poll,
            events: Events::with_capacity(64),
            buf: ReadBuf::default(),
            now: Instant::now(),
            applications: Vec::new(),
            request_len: request.len(),
        };
        for id in ids {
            pools.connect(&listener, id);
        }
        pools
    }

    fn connect(&mut self, listener: &UnixListener, id: ClientId) {
        self.submit(id);
        self.drain();
        let (stream, _) = listener.accept().expect("the client has connected");
        self.applications.push(Application::new(stream));
        while self.clients.timeout(self.now) == Some(Duration::ZERO) {
            self.drain();
        }
        let last = self.applications.len() - 1;
        self.answer(last, &response(1));
    }

    fn submit(&mut self, id: ClientId) {
        let client = self.clients.get_mut(id).expect("present");
        let mut request = client.new_request();
        push_all(&mut request.params);
        let submitted = client.submit(self.now, request, Tag(7));
        submitted.expect("the queue is not full");
    }

    fn round(&mut self, answer: &[u8]) {
        self.submit(self.first);
        assert_eq!(self.drain(), 0);
        self.answer(0, answer);
    }

    fn answer(&mut self, application: usize, answer: &[u8]) {
        self.applications[application].serve(self.request_len, answer);
        let mut ended = 0;
        while ended == 0 {
            let timeout = self.clients.timeout(self.now);
            self.poll.poll(&mut self.events, timeout).expect("polled");
            self.now += Duration::from_micros(20);
            for event in &self.events {
                assert!(self.clients.handle_event(event));
            }
            self.clients.handle_timeout(self.now);
            ended = self.drain();
        }
    }

    /// Takes all events; returns the number of requests that ended.
    fn drain(&mut self) -> usize {
        let mut ended = 0;
        while let Some(event) = self.clients.poll_event(self.now, &mut self.buf) {
            black_box(&event);
            if let EventKind::End(outcome) = event.1.kind {
                assert!(outcome.is_ok(), "{outcome:?}");
                ended += 1;
            }
        }
        ended
    }
}
