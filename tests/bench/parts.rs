//! The parts that are measured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use mio_fcgi::wire::{self, Demux, RecordType, Role};
use mio_fcgi::{
    Action, Body, Config, ConnectionHandle, Engine, EventKind, Multiplex, Params, Request,
    RequestHandle, Tag,
};

use crate::cgi;
use crate::request::{Answers, PARAMS, push_all, response};
#[cfg(unix)]
use crate::round_trip;

/// Something to be measured.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// Returns what is done in each round.
    pub(crate) set_up: fn() -> Box<dyn FnMut()>,
    /// How many rounds make a short run under valgrind.
    pub(crate) rounds: u64,
}

pub(crate) fn all() -> impl Iterator<Item = Part> {
    let part = |name, set_up, rounds| Part {
        name,
        set_up,
        rounds,
    };
    let parts = [
        part("encode 25 params", encode_params as fn() -> _, 10_000),
        part("encode a request", encode_request, 10_000),
        part("demux a response", demux_response, 10_000),
        part("demux 1 MiB", demux_mebibyte, 500),
        part("engine, one request", one_request, 10_000),
        part("engine, 1,024 requests shared", many_requests, 10),
        part("engine, 1 MiB up", upload, 200),
        part("engine, 1 MiB pushed", push, 200),
        part("engine, 1 MiB down", download, 200),
        part("cgi, an HTTP request to params", cgi::env, 10_000),
        part("cgi, a response head", cgi::head, 10_000),
        part("cgi, a response to a client", cgi::reply, 10_000),
    ];
    #[cfg(unix)]
    let over_sockets = [
        part(
            "floor, prebuilt bytes",
            round_trip::floor_prebuilt as fn() -> _,
            10_000,
        ),
        part("floor, params encoded", round_trip::floor_encoding, 10_000),
        part(
            "client, one request",
            round_trip::client_one_request,
            10_000,
        ),
        part(
            "client, 64 requests shared",
            round_trip::client_64_shared,
            200,
        ),
        part(
            "client, 1 MiB pushed",
            round_trip::client_mebibyte_pushed,
            100,
        ),
    ];
    #[cfg(not(unix))]
    let over_sockets = [];
    parts.into_iter().chain(over_sockets)
}

fn encode_params() -> Box<dyn FnMut()> {
    let mut params = Params::default();
    Box::new(move || {
        params.clear();
        push_all(&mut params);
        black_box(&params);
    })
}

fn encode_request() -> Box<dyn FnMut()> {
    let mut pairs = Vec::new();
    let mut out = Vec::new();
    Box::new(move || {
        pairs.clear();
        out.clear();
        for (name, value) in black_box(&PARAMS) {
            let _ = wire::write_pair(&mut pairs, name.as_bytes(), value.as_bytes());
        }
        wire::write_begin_request(&mut out, 1, Role::Responder, true);
        wire::write_params_records(&mut out, 1, &[&pairs]);
        wire::write_stream_end(&mut out, RecordType::Params, 1);
        wire::write_stream_end(&mut out, RecordType::Stdin, 1);
        black_box(&out);
    })
}

fn demux_response() -> Box<dyn FnMut()> {
    let bytes = response(1);
    let mut demux = Demux::default();
    Box::new(move || demux_all(&mut demux, black_box(&bytes)))
}

fn demux_mebibyte() -> Box<dyn FnMut()> {
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, RecordType::Stdout, 1, &vec![b'x'; MEBIBYTE]);
    let mut demux = Demux::default();
    Box::new(move || {
        for piece in bytes.chunks(64 * 1024) {
            demux_all(&mut demux, black_box(piece));
        }
    })
}

fn demux_all(demux: &mut Demux, mut input: &[u8]) {
    while let Ok(Some(item)) = demux.next(&mut input) {
        black_box(&item);
    }
}

fn one_request() -> Box<dyn FnMut()> {
    let mut bench = Bench::new(Multiplex::Off);
    let mut answers = Answers::new(1, response);
    Box::new(move || {
        bench.submit(Body::empty());
        bench.transmit();
        assert_eq!(bench.receive(answers.next_round()), 1);
    })
}

fn many_requests() -> Box<dyn FnMut()> {
    let mut bench = Bench::new(Multiplex::On { max: 1024 });
    let mut answers = Answers::new(1024, response);
    Box::new(move || {
        for _ in 0..1024 {
            bench.submit(Body::empty());
        }
        bench.transmit();
        let ended: usize = answers
            .next_round()
            .chunks(64 * 1024)
            .map(|piece| bench.receive(piece))
            .sum();
        assert_eq!(ended, 1024);
    })
}

fn upload() -> Box<dyn FnMut()> {
    let mut bench = Bench::new(Multiplex::Off);
    let body = std::sync::Arc::<[u8]>::from(vec![b'x'; MEBIBYTE]);
    let mut answers = Answers::new(1, response);
    Box::new(move || {
        bench.submit(Body::shared(body.clone()));
        bench.transmit();
        assert_eq!(bench.receive(answers.next_round()), 1);
    })
}

/// The body is pushed in pieces of 64 KiB, each of which leaves before the next.
fn push() -> Box<dyn FnMut()> {
    let mut bench = Bench::new(Multiplex::Off);
    let body = vec![b'x'; MEBIBYTE];
    let mut answers = Answers::new(1, response);
    Box::new(move || {
        let request = bench.submit(Body::pushed(Some(MEBIBYTE as u64)));
        for piece in body.chunks(64 * 1024) {
            let pushed = bench.engine.write_stdin(bench.now, request, piece);
            assert_eq!(pushed, Ok(piece.len()));
            bench.transmit();
        }
        let finished = bench.engine.finish_stdin(bench.now, request);
        assert_eq!(finished, Ok(()));
        bench.transmit();
        assert_eq!(bench.receive(answers.next_round()), 1);
    })
}

fn download() -> Box<dyn FnMut()> {
    let mut bench = Bench::new(Multiplex::Off);
    let mut answers = Answers::new(1, |id| {
        let mut bytes = Vec::new();
        wire::write_stream(&mut bytes, RecordType::Stdout, id, &vec![b'x'; MEBIBYTE]);
        bytes.extend(response(id));
        bytes
    });
    Box::new(move || {
        bench.submit(Body::empty());
        bench.transmit();
        let ended: usize = answers
            .next_round()
            .chunks(64 * 1024)
            .map(|piece| bench.receive(piece))
            .sum();
        assert_eq!(ended, 1);
    })
}

/// An engine with one open connection, whose application takes everything at once.
struct Bench {
    engine: Engine,
    connection: ConnectionHandle,
    now: Instant,
}

impl Bench {
    fn new(multiplex: Multiplex) -> Self {
        let address = mio_fcgi::Address::Tcp(([127, 0, 0, 1], 9000).into());
        let mut config = Config::new(address);
        config.multiplex = multiplex;
        config.limits.max_connections_per_server = 1;
        let mut engine = Engine::new(config).expect("a good configuration");
        let now = Instant::now();
        let first = Request::responder();
        engine.submit(now, first, Tag(0)).expect("room");
        let Some(Action::Connect { connection, .. }) = engine.poll_action() else {
            panic!("the first request needs a connection");
        };
        engine.handle_connected(now, connection);
        let mut bench = Self {
            engine,
            connection,
            now,
        };
        bench.transmit();
        assert_eq!(bench.receive(&response(1)), 1);
        bench
    }

    fn submit(&mut self, body: Body) -> RequestHandle {
        let mut request = self.engine.new_request();
        push_all(&mut request.params);
        if !body.is_empty() {
            // The CONTENT_LENGTH that was pushed is for a request without a body.
            request.params.clear();
            request.params.push("REQUEST_METHOD", "POST");
        }
        request.body = body;
        self.engine
            .submit(self.now, request, Tag(7))
            .expect("the queue is not full")
    }

    /// Takes everything that is to be written, as a driver would.
    fn transmit(&mut self) {
        self.now += Duration::from_micros(3);
        while let Some(action) = self.engine.poll_action() {
            black_box(action);
        }
        while self.engine.wants_write(self.connection) {
            let slices = self.engine.transmit(self.connection);
            let len = slices.iter().map(|slice| slice.len()).sum();
            black_box(&slices[..]);
            self.engine
                .handle_transmitted(self.now, self.connection, len);
        }
    }

    /// Feeds bytes; returns the number of requests that ended.
    fn receive(&mut self, mut bytes: &[u8]) -> usize {
        self.now += Duration::from_micros(40);
        let mut ended = 0;
        while let Some(event) = self
            .engine
            .poll_received(self.now, self.connection, &mut bytes)
        {
            if let EventKind::End(outcome) = &event.kind {
                assert!(outcome.is_ok(), "{outcome:?}");
                ended += 1;
            }
            black_box(&event);
        }
        assert!(self.engine.poll_pending(&mut []).is_none());
        ended
    }
}

const MEBIBYTE: usize = 1024 * 1024;
