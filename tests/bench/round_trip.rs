//! One request through a Unix socket and back: with the client, and by hand as the floor below it.
//!
//! The application is in the same thread and does the same for both: it reads what was written and writes prebuilt
//! bytes. So the difference between a round of the client and one of the floor is the cost of the client.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use mio_fcgi::wire::{self, RecordType, Role};
use mio_fcgi::{Address, Body, Client, Config, EventKind, Multiplex, ReadBuf, Tag};
use tempfile::TempDir;

use crate::request::{Answers, PARAMS, push_all, response};

/// One request at a time on one connection.
pub(crate) fn client_one_request() -> Box<dyn FnMut()> {
    let mut caller = Caller::new(Multiplex::Off, 1);
    let mut answers = Answers::new(1, response);
    Box::new(move || caller.round(answers.next_round()))
}

/// 64 requests at a time on one connection: they leave in one write, and the answers come back in one read.
pub(crate) fn client_64_shared() -> Box<dyn FnMut()> {
    let mut caller = Caller::new(Multiplex::On { max: 64 }, 64);
    let mut answers = Answers::new(64, response);
    Box::new(move || caller.round(answers.next_round()))
}

/// A body pushed in pieces of 64 KiB, each of which the application reads before the next.
pub(crate) fn client_mebibyte_pushed() -> Box<dyn FnMut()> {
    const PIECE: usize = 64 * 1024;
    // A record of 65,528 bytes and one of 8.
    const FRAMED: usize = PIECE + 2 * 8;
    let body = vec![b'x'; 16 * PIECE];
    let mut caller = Caller::new(Multiplex::Off, 1);
    let mut answers = Answers::new(1, response);
    // A request that may not be sent again takes a new connection until one has shown that it takes any ID.
    caller.round(answers.next_round());
    Box::new(move || {
        let mut request = caller.client.new_request();
        request.params.push("REQUEST_METHOD", "POST");
        request.body = Body::pushed(Some(body.len() as u64));
        let submitted = caller.client.submit(caller.now, request, Tag(7));
        let handle = submitted.expect("the queue is not full");
        caller.drain();
        let head = caller.application.read_some();
        assert!(head < 100, "{head} bytes of head");
        for piece in body.chunks(PIECE) {
            let pushed = caller.client.write_stdin(caller.now, handle, piece);
            assert_eq!(pushed, Ok(PIECE));
            caller.drain();
            caller.application.read(FRAMED);
        }
        let finished = caller.client.finish_stdin(caller.now, handle);
        assert_eq!(finished, Ok(()));
        caller.drain();
        caller.application.serve(0, answers.next_round());
        caller.collect(1);
    })
}

/// The same bytes without the library: they are prebuilt, and only the end is looked for in the answer.
pub(crate) fn floor_prebuilt() -> Box<dyn FnMut()> {
    let mut floor = Floor::new();
    let mut out = Vec::new();
    encode(&mut out);
    let answer = response(1);
    Box::new(move || floor.round(black_box(&out), &answer))
}

/// As the floor, but each request is encoded anew by the smallest code that does it.
pub(crate) fn floor_encoding() -> Box<dyn FnMut()> {
    let mut floor = Floor::new();
    let mut out = Vec::new();
    let answer = response(1);
    Box::new(move || {
        encode(&mut out);
        floor.round(&out, &answer);
    })
}

pub(crate) fn encode(out: &mut Vec<u8>) {
    out.clear();
    wire::write_begin_request(out, 1, Role::Responder, true);
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    for (name, value) in black_box(&PARAMS) {
        // All names and values are shorter than 128 bytes.
        out.extend_from_slice(&[name.len() as u8, value.len() as u8]);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    let len = out.len() - start - 8;
    let header = wire::Header::padded(RecordType::Params, 1, len as u16);
    out[start..start + 8].copy_from_slice(&header.encode());
    out.resize(out.len() + usize::from(header.padding_len), 0);
    wire::write_stream_end(out, RecordType::Params, 1);
    wire::write_stream_end(out, RecordType::Stdin, 1);
}

struct Caller {
    client: Client,
    poll: Poll,
    events: Events,
    buf: ReadBuf,
    now: Instant,
    application: Application,
    in_flight: usize,
    /// The bytes of the request or requests of a round.
    request_len: usize,
}

impl Caller {
    fn new(multiplex: Multiplex, in_flight: usize) -> Self {
        let (listener, path, dir) = listen();
        let mut config = Config::new(Address::Unix(path));
        config.multiplex = multiplex;
        config.limits.max_connections_per_server = 1;
        let poll = Poll::new().expect("a poll");
        let client = Client::new(poll.registry(), Token(0)..Token(1), config).expect("a client");
        let mut caller = Self {
            client,
            poll,
            events: Events::with_capacity(64),
            buf: ReadBuf::default(),
            now: Instant::now(),
            application: Application::default(),
            in_flight,
            request_len: 0,
        };
        let mut out = Vec::new();
        encode(&mut out);
        caller.request_len = out.len() * in_flight;
        caller.submit();
        caller.drain();
        let (stream, _) = listener.accept().expect("the client has connected");
        drop(dir);
        caller.application = Application::new(stream);
        while caller.client.timeout(caller.now) == Some(Duration::ZERO) {
            caller.drain();
        }
        caller.application.serve(out.len(), &response(1));
        caller.collect(1);
        caller
    }

    fn submit(&mut self) {
        let mut request = self.client.new_request();
        push_all(&mut request.params);
        let submitted = self.client.submit(self.now, request, Tag(7));
        submitted.expect("the queue is not full");
    }

    fn round(&mut self, answer: &[u8]) {
        for _ in 0..self.in_flight {
            self.submit();
        }
        assert_eq!(self.drain(), 0);
        self.application.serve(self.request_len, answer);
        self.collect(self.in_flight);
    }

    /// Turns of the loop until `requests` requests have ended.
    fn collect(&mut self, requests: usize) {
        let mut ended = 0;
        while ended < requests {
            let timeout = self.client.timeout(self.now);
            self.poll.poll(&mut self.events, timeout).expect("polled");
            self.now += Duration::from_micros(20);
            for event in &self.events {
                assert!(self.client.handle_event(event));
            }
            self.client.handle_timeout(self.now);
            ended += self.drain();
        }
    }

    /// Takes all events; returns the number of requests that ended.
    fn drain(&mut self) -> usize {
        let mut ended = 0;
        while let Some(event) = self.client.poll_event(self.now, &mut self.buf) {
            black_box(&event);
            if let EventKind::End(outcome) = event.kind {
                assert!(outcome.is_ok(), "{outcome:?}");
                ended += 1;
            }
        }
        ended
    }
}

/// The loop of a program that needs only this one connection.
struct Floor {
    stream: mio::net::UnixStream,
    poll: Poll,
    events: Events,
    buf: Box<[u8]>,
    application: Application,
}

impl Floor {
    fn new() -> Self {
        let (listener, path, dir) = listen();
        let poll = Poll::new().expect("a poll");
        let mut stream = mio::net::UnixStream::connect(path).expect("connected");
        let (accepted, _) = listener.accept().expect("accepted");
        drop(dir);
        let interests = Interest::READABLE | Interest::WRITABLE;
        let registered = poll.registry().register(&mut stream, Token(0), interests);
        registered.expect("registered");
        Self {
            stream,
            poll,
            events: Events::with_capacity(64),
            buf: vec![0; ReadBuf::DEFAULT_LEN].into_boxed_slice(),
            application: Application::new(accepted),
        }
    }

    fn round(&mut self, request: &[u8], answer: &[u8]) {
        let written = self.stream.write(request).expect("written");
        assert_eq!(written, request.len());
        self.application.serve(request.len(), answer);
        let mut has_ended = false;
        while !has_ended {
            self.poll.poll(&mut self.events, None).expect("polled");
            for event in &self.events {
                if event.is_readable() {
                    let len = self.stream.read(&mut self.buf).expect("readable");
                    has_ended = has_end(&self.buf[..len]);
                }
            }
        }
    }
}

/// Whether whole records hold an `FCGI_END_REQUEST`.
fn has_end(mut bytes: &[u8]) -> bool {
    while let [_, record_type, _, _, len1, len0, padding_len, _, ..] = bytes {
        if *record_type == u8::from(RecordType::EndRequest) {
            return true;
        }
        let content_len = usize::from(u16::from_be_bytes([*len1, *len0]));
        bytes = &bytes[8 + content_len + usize::from(*padding_len)..];
    }
    false
}

/// The other side of the connection.
#[derive(Default)]
pub(crate) struct Application {
    stream: Option<UnixStream>,
    buf: Vec<u8>,
}

impl Application {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream: Some(stream),
            buf: vec![0; 256 * 1024],
        }
    }

    /// Reads at least N bytes.
    fn read(&mut self, len: usize) {
        let mut left = len;
        while left > 0 {
            left = left.saturating_sub(self.read_some());
        }
    }

    /// Reads what is there, and waits for it if nothing is.
    fn read_some(&mut self) -> usize {
        let stream = self.stream.as_mut().expect("accepted before the rounds");
        stream.read(&mut self.buf).expect("a request")
    }

    /// Reads N bytes and writes the answer.
    pub(crate) fn serve(&mut self, request_len: usize, answer: &[u8]) {
        self.read(request_len);
        let stream = self.stream.as_mut().expect("accepted before the rounds");
        let written = stream.write(answer).expect("an answer");
        assert_eq!(written, answer.len());
    }
}

pub(crate) fn listen() -> (UnixListener, PathBuf, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bound");
    (listener, path, dir)
}
