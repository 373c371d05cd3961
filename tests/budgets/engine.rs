//! Budgets of the engine: a steady state allocates nothing, an idle connection costs at most 512 bytes, a request in
//! flight 1 KiB and its parameters, a large body is not copied.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio_fcgi::wire::{self, Demux, EndRequest, Item, ProtocolStatus, RecordType};
use mio_fcgi::{Action, Body, Config, ConnectionHandle, Engine, EventKind, Multiplex, Tag};

/// A driver that keeps what it needs, so that only the engine can allocate.
struct Driver {
    engine: Engine,
    now: Instant,
    /// By the index of the connection's handle.
    demuxes: Vec<Demux>,
    /// Requests that were sent whole, in order: the connection and the request ID.
    sent: VecDeque<(ConnectionHandle, u16)>,
    answer: Vec<u8>,
    submitted: u64,
    ended: u64,
    stdout_len: u64,
}

impl Driver {
    fn new(multiplex: Multiplex, connections: usize) -> Self {
        let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
        config.multiplex = multiplex;
        config.limits.max_connections_per_server = connections;
        config.limits.max_idle_per_server = connections;
        config.preempt_idle_after = None;
        Self {
            engine: Engine::new(config).expect("a valid config"),
            now: Instant::now(),
            demuxes: vec![Demux::default(); connections],
            sent: VecDeque::with_capacity(connections * 256),
            answer: Vec::with_capacity(1024),
            submitted: 0,
            ended: 0,
            stdout_len: 0,
        }
    }

    fn submit(&mut self, body: Body) {
        self.place(body);
        self.act();
    }

    /// Submits a request and writes nothing.
    fn place(&mut self, body: Body) {
        let mut request = self.engine.new_request();
        request
            .params
            .push("REQUEST_METHOD", "GET")
            .push("SCRIPT_FILENAME", "/srv/www/index.php")
            .push("QUERY_STRING", "a=b");
        request.body = body;
        let tag = Tag(self.submitted);
        let result = self.engine.submit(self.now, request, tag);
        result.expect("room in the queue");
        self.submitted += 1;
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Connect { connection, .. } => {
                    self.demuxes[connection.index()] = Demux::default();
                    self.engine.handle_connected(self.now, connection);
                }
                Action::Flush { connection } => self.flush(connection),
                Action::Close { .. } | Action::Read { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn flush(&mut self, connection: ConnectionHandle) {
        loop {
            let mut written = 0;
            let demux = &mut self.demuxes[connection.index()];
            for slice in self.engine.transmit(connection).iter() {
                let mut bytes: &[u8] = slice;
                while let Some(item) = demux.next(&mut bytes).expect("FastCGI") {
                    if let Item::StreamEnd {
                        record_type: RecordType::Stdin,
                        request_id,
                    } = item
                    {
                        self.sent.push_back((connection, request_id));
                    }
                }
                written += slice.len();
            }
            if written == 0 {
                return;
            }
            self.engine
                .handle_transmitted(self.now, connection, written);
        }
    }

    /// Answers the request that was sent first.
    fn answer(&mut self) {
        let (connection, id) = self.sent.pop_front().expect("a request was sent");
        let mut answer = std::mem::take(&mut self.answer);
        answer.clear();
        wire::write_stream(&mut answer, RecordType::Stderr, id, b"a notice");
        let head = b"Content-Type: text/plain\r\n\r\nhello";
        wire::write_stream(&mut answer, RecordType::Stdout, id, head);
        wire::write_stream_end(&mut answer, RecordType::Stdout, id);
        let body = EndRequest {
            app_status: 0,
            protocol_status: ProtocolStatus::RequestComplete,
        };
        wire::write_end_request(&mut answer, id, body);
        self.now += Duration::from_micros(100);
        self.engine.handle_timeout(self.now);
        self.feed(connection, &answer);
        self.answer = answer;
        self.act();
    }

    fn feed(&mut self, connection: ConnectionHandle, bytes: &[u8]) {
        let mut input = bytes;
        while let Some(event) = self.engine.poll_received(self.now, connection, &mut input) {
            match event.kind {
                EventKind::Stdout(data) => self.stdout_len += data.len() as u64,
                EventKind::End(outcome) => {
                    assert!(outcome.is_ok());
                    self.ended += 1;
                }
                _ => {}
            }
        }
        assert_eq!(self.engine.poll_pending(&mut [0; 64]), None);
    }

    /// Runs 20,000 requests with N in flight. Returns the allocations of the last 10,000.
    fn allocations(&mut self, in_flight: usize, body: impl Fn() -> Body) -> u64 {
        for _ in 0..in_flight {
            self.submit(body());
        }
        let run = |driver: &mut Self| {
            for _ in 0..10_000 {
                driver.answer();
                driver.submit(body());
            }
        };
        run(self);
        let counted = allocation_counter::measure(|| run(self));
        for _ in 0..in_flight {
            self.answer();
        }
        let counters = self.engine.stats().counters;
        assert_eq!(
            (self.ended, counters.completed),
            (self.submitted, self.ended)
        );
        assert_eq!(self.submitted, 20_000 + in_flight as u64);
        assert_eq!(counters.connected, self.demuxes.len() as u64);
        counted.count_total
    }
}

#[test]
fn one_connection_serves_requests_one_at_a_time_without_allocation() {
    let mut driver = Driver::new(Multiplex::Off, 1);
    assert_eq!(driver.allocations(1, Body::empty), 0);
}

#[test]
fn a_body_that_is_shared_is_sent_without_allocation() {
    let body: Arc<[u8]> = vec![b'x'; 100_000].into();
    let mut driver = Driver::new(Multiplex::Off, 1);
    assert_eq!(driver.allocations(1, || Body::shared(body.clone())), 0);
}

#[test]
fn sixty_four_connections_serve_requests_without_allocation() {
    let mut driver = Driver::new(Multiplex::Off, 64);
    assert_eq!(driver.allocations(64, Body::empty), 0);
}

#[test]
fn requests_that_wait_in_the_queue_are_served_without_allocation() {
    let mut driver = Driver::new(Multiplex::Off, 4);
    assert_eq!(driver.allocations(256, Body::empty), 0);
}

#[test]
fn four_shared_connections_serve_256_requests_at_a_time_without_allocation() {
    let mut driver = Driver::new(Multiplex::On { max: 64 }, 4);
    assert_eq!(driver.allocations(256, Body::empty), 0);
}

#[test]
fn bursts_on_shared_connections_that_are_idle_in_between_are_served_without_allocation() {
    for (connections, burst) in [(1, 5), (1, 8), (1, 64), (1, 1_024), (4, 256)] {
        let mut driver = Driver::new(Multiplex::On { max: 1_024 }, connections);
        driver.sent.reserve(burst);
        let run = |driver: &mut Driver, bursts: usize| {
            for _ in 0..bursts {
                for _ in 0..burst {
                    driver.submit(Body::empty());
                }
                for _ in 0..burst {
                    driver.answer();
                }
                assert_eq!(driver.ended, driver.submitted);
            }
        };
        run(&mut driver, 2);
        let counted = allocation_counter::measure(|| run(&mut driver, 20));
        assert_eq!(counted.count_total, 0, "{burst} over {connections}");
    }
}

#[test]
fn an_idle_connection_costs_at_most_512_bytes() {
    for (multiplex, connections, in_flight) in [
        (Multiplex::Off, 10_000, 10_000),
        (Multiplex::On { max: 4 }, 1_000, 4_000),
        (Multiplex::On { max: 256 }, 10, 2_560),
    ] {
        let mut driver = Driver::new(multiplex, connections);
        // A body that leaves as a slice of its own.
        let body: Arc<[u8]> = vec![b'x'; 5_000].into();
        for _ in 0..in_flight {
            driver.submit(Body::shared(body.clone()));
        }
        for _ in 0..in_flight {
            driver.answer();
        }
        let idle = driver.engine.stats().connections.idle;
        assert_eq!(idle, connections);
        // Lists that grew in a burst are kept for a second, in case another burst follows.
        driver.now += Duration::from_secs(1);
        driver.engine.handle_timeout(driver.now);
        let cost = driver.engine.idle_connection_cost().expect("idle ones");
        println!("{multiplex:?}: {cost} bytes for each of {idle} idle connections");
        assert!(cost <= 512, "{multiplex:?}: {cost} bytes");
    }
}

#[test]
fn an_idle_connection_that_is_kept_beyond_its_time_gives_its_lists_back_too() {
    let mut driver = Driver::new(Multiplex::On { max: 256 }, 1);
    let mut limits = driver.engine.config().limits;
    limits.min_idle_per_server = 1;
    // Shorter than the time after which lists are given back, and begun anew each time.
    limits.idle_timeout = Duration::from_millis(500);
    let set = driver.engine.set_limits(driver.now, limits);
    set.expect("valid");
    for _ in 0..256 {
        driver.submit(Body::empty());
    }
    for _ in 0..256 {
        driver.answer();
    }
    driver.now += Duration::from_millis(500);
    driver.engine.handle_timeout(driver.now);
    assert_eq!(driver.engine.stats().connections.idle, 1);
    let cost = driver.engine.idle_connection_cost().expect("an idle one");
    assert!(cost <= 512, "{cost} bytes");
}

#[test]
fn all_memory_of_an_engine_with_idle_connections_is_at_most_512_bytes_for_each() {
    // A power of two, to which the tables grow.
    const CONNECTIONS: usize = 16_384;
    let mut driver = Driver::new(Multiplex::Off, CONNECTIONS);
    let mut limits = driver.engine.config().limits;
    limits.min_idle_per_server = CONNECTIONS;
    let now = driver.now;
    let counted = allocation_counter::measure(|| {
        driver.engine.set_limits(now, limits).expect("valid");
        driver.act();
        // The last connection serves all requests; the tables of requests are in use as well.
        for _ in 0..100 {
            driver.submit(Body::empty());
            driver.answer();
        }
    });
    assert_eq!(driver.engine.stats().connections.idle, CONNECTIONS);
    let each = counted.bytes_current as usize / CONNECTIONS;
    println!("{each} bytes of heap for each of {CONNECTIONS} idle connections");
    assert!(each <= 512, "{each} bytes");
}

#[test]
fn all_memory_of_an_engine_with_requests_in_flight_is_at_most_a_kibibyte_and_the_params_for_each() {
    // A power of two, to which the tables grow.
    const REQUESTS: usize = 16_384;
    // The parameters that `submit` pushes, encoded.
    const PARAMS_LEN: usize = 71;
    let mut driver = Driver::new(Multiplex::On { max: 65_535 }, 1);
    driver.sent.reserve(REQUESTS);
    let counted = allocation_counter::measure(|| {
        for _ in 0..REQUESTS {
            driver.submit(Body::empty());
        }
    });
    assert_eq!(driver.engine.stats().requests.active, REQUESTS);
    let each = counted.bytes_current as usize / REQUESTS;
    println!("{each} bytes of heap for each of {REQUESTS} requests in flight");
    assert!(each <= 1024 + PARAMS_LEN, "{each} bytes");
}

#[test]
fn a_request_that_a_socket_does_not_take_yet_costs_512_bytes_and_its_params_once() {
    const REQUESTS: usize = 16_384;
    let mut driver = Driver::new(Multiplex::On { max: 65_535 }, 1);
    driver.submit(Body::empty());
    let counted = allocation_counter::measure(|| {
        for _ in 1..REQUESTS {
            driver.place(Body::empty());
        }
    });
    assert_eq!(driver.engine.stats().requests.active, REQUESTS);
    let unsent = driver.engine.connections(driver.now);
    let unsent: usize = unsent.map(|it| it.bytes_unsent).sum();
    assert!(unsent < 66_000, "{unsent} bytes framed");
    let each = counted.bytes_current as usize / REQUESTS;
    println!("{each} bytes of heap for each of {REQUESTS} requests that wait for room");
    // New memory for parameters has a multiple of 64 bytes: 128 for these.
    assert!(each <= 512 + 128, "{each} bytes");
}

#[test]
fn a_large_body_leaves_from_where_it_lies() {
    // Whole records: a remainder of less than 4 KiB would be copied after its header.
    const LEN: usize = 16 * 65_528;
    let body: Arc<[u8]> = vec![b'x'; LEN].into();
    let places = body.as_ptr_range();
    let mut driver = Driver::new(Multiplex::Off, 1);
    let request = driver
        .engine
        .new_request()
        .with_body(Body::shared(body.clone()));
    driver
        .engine
        .submit(driver.now, request, Tag(0))
        .expect("room in the queue");
    let Some(Action::Connect { connection, .. }) = driver.engine.poll_action() else {
        panic!("a request needs a connection");
    };
    driver.engine.handle_connected(driver.now, connection);
    let (mut uncopied, mut others) = (0, 0);
    while driver.engine.wants_write(connection) {
        let mut written = 0;
        for slice in driver.engine.transmit(connection).iter() {
            let is_body = places.contains(&slice.as_ptr());
            *if is_body { &mut uncopied } else { &mut others } += slice.len();
            written += slice.len();
        }
        driver
            .engine
            .handle_transmitted(driver.now, connection, written);
    }
    assert_eq!(uncopied, LEN);
    // The headers of the body's 16 records, and the records before and after the body.
    assert!(others <= 16 * 8 + 128, "{others} bytes");
}

// case 22
#[test]
fn sixteen_mebibytes_in_records_of_one_byte_cost_time_in_proportion_and_no_memory() {
    const RECORDS: usize = 16 * 1024 * 1024;
    let mut driver = Driver::new(Multiplex::Off, 1);
    driver.submit(Body::empty());
    let (connection, id) = driver.sent[0];
    let mut bytes = Vec::new();
    while bytes.len() < 64 * 1024 {
        wire::write_record(&mut bytes, RecordType::Stdout, id, b"x").expect("fits");
    }
    // Header, byte, padding.
    let in_one = bytes.len() / 16;
    // The first output of an engine makes the list of memory for parameters.
    driver.feed(connection, &bytes[..16]);
    let counted = allocation_counter::measure(|| {
        for _ in 0..RECORDS / in_one {
            // Cut at odd places, so that records are carried over.
            for piece in bytes.chunks(32 * 1024 - 5) {
                driver.feed(connection, piece);
            }
        }
    });
    assert_eq!(counted.count_total, 0);
    assert_eq!(driver.stdout_len, (1 + RECORDS / in_one * in_one) as u64);
    driver.answer();
    assert_eq!(driver.ended, 1);
}
