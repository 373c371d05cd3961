//! What a request costs among many others: the same, however many there are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio_fcgi::{Action, Address, Config, ConnectionHandle, Engine, EventKind, Multiplex, Tag};

use crate::request::{push_all, response};

/// A quantity that can grow, such as idle connections.
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) sizes: &'static [usize],
    /// Returns a round of one request among this many.
    pub(crate) set_up: fn(usize) -> Box<dyn FnMut()>,
}

pub(crate) const AXES: [Axis; 5] = [
    Axis {
        name: "requests in flight on a shared connection",
        sizes: &[1, 16, 256, 4096, 60_000],
        set_up: in_flight,
    },
    Axis {
        name: "shared connections, all full",
        sizes: &[1, 4, 16, 64, 256],
        set_up: full,
    },
    Axis {
        name: "idle connections",
        sizes: &[0, 10, 100, 1000, 10_000],
        set_up: idle,
    },
    Axis {
        name: "servers, with requests on each",
        sizes: &[1, 4, 16, 64],
        set_up: servers,
    },
    Axis {
        name: "requests waiting, a deadline armed for each",
        sizes: &[0, 100, 1000, 10_000, 100_000],
        set_up: deadlines,
    },
];

fn in_flight(others: usize) -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(1, 1, Multiplex::On { max: 65_535 });
    (0..others).for_each(|_| crowd.submit());
    Box::new(move || crowd.round())
}

fn full(count: usize) -> Box<dyn FnMut()> {
    const MAX: u32 = 16;
    let mut crowd = Crowd::new(1, count, Multiplex::On { max: MAX });
    (0..count * MAX as usize).for_each(|_| crowd.submit());
    assert_eq!(crowd.engine.stats().connections.busy, count);
    Box::new(move || {
        crowd.answer();
        crowd.begin_round();
    })
}

fn idle(others: usize) -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(1, others + 1, Multiplex::Off);
    (0..=others).for_each(|_| crowd.submit());
    (0..=others).for_each(|_| crowd.answer());
    assert_eq!(crowd.engine.stats().connections.idle, others + 1);
    Box::new(move || crowd.round())
}

fn servers(count: usize) -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(count, 1, Multiplex::On { max: 16 });
    // A request goes to an open connection with a free slot rather than to one that is being opened, so more than one
    // request per connection is needed.
    while crowd.engine.stats().connections.busy < count {
        crowd.submit();
    }
    Box::new(move || crowd.round())
}

fn deadlines(others: usize) -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(1, 1, Multiplex::Off);
    (0..=others).for_each(|_| crowd.submit());
    assert_eq!(crowd.engine.stats().requests.queued, others);
    Box::new(move || crowd.round())
}

/// An engine, and applications that answer the requests in the order they come in.
struct Crowd {
    engine: Engine,
    now: Instant,
    sent: VecDeque<(ConnectionHandle, [u8; 2])>,
    answer: Vec<u8>,
    /// The positions of the request ID in the answer.
    id_places: Vec<usize>,
}

impl Crowd {
    fn new(servers: usize, connections: usize, multiplex: Multiplex) -> Self {
        let address = |index: usize| Address::Tcp(([127, 0, 0, 1], 9000 + index as u16).into());
        let mut config = Config::from_servers((0..servers).map(address));
        config.multiplex = multiplex;
        config.limits.max_connections_per_server = connections;
        config.limits.max_idle_per_server = connections;
        config.limits.max_queued_requests = usize::MAX;
        config.preempt_idle_after = None;
        let answer = response(1);
        let mut id_places = Vec::new();
        let mut place = 0;
        while place < answer.len() {
            id_places.push(place + 2);
            let content_len = u16::from_be_bytes([answer[place + 4], answer[place + 5]]);
            place += 8 + usize::from(content_len) + usize::from(answer[place + 6]);
        }
        Self {
            engine: Engine::new(config).expect("a good configuration"),
            now: Instant::now(),
            sent: VecDeque::new(),
            answer,
            id_places,
        }
    }

    fn round(&mut self) {
        self.begin_round();
        self.answer();
    }

    fn begin_round(&mut self) {
        self.now += Duration::from_micros(20);
        self.engine.handle_timeout(self.now);
        self.submit();
    }

    fn submit(&mut self) {
        let mut request = self.engine.new_request();
        push_all(&mut request.params);
        let submitted = self.engine.submit(self.now, request, Tag(7));
        submitted.expect("the queue has no end");
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Connect { connection, .. } => {
                    self.engine.handle_connected(self.now, connection);
                }
                Action::Flush { connection } => {
                    let slices = self.engine.transmit(connection);
                    let [slice] = &slices[..] else {
                        panic!("a request without a body leaves in one slice");
                    };
                    // One request each time, which begins with its FCGI_BEGIN_REQUEST.
                    self.sent.push_back((connection, [slice[2], slice[3]]));
                    let len = slice.len();
                    self.engine.handle_transmitted(self.now, connection, len);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&mut self) {
        let (connection, id) = self.sent.pop_front().expect("a request was sent");
        for place in &self.id_places {
            self.answer[*place..*place + 2].copy_from_slice(&id);
        }
        let mut input = &self.answer[..];
        let mut has_ended = false;
        while let Some(event) = self.engine.poll_received(self.now, connection, &mut input) {
            has_ended |= matches!(event.kind, EventKind::End(Ok(_)));
        }
        assert!(has_ended);
        self.act();
    }
}
