//! Budgets of the client: a steady state allocates nothing, and output is lent from the buffer it was read into.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::wire::{self, EndRequest, ProtocolStatus, RecordType};
use mio_fcgi::{Address, Client, Config, EventKind, Multiplex, ReadBuf, Tag};
use tempfile::TempDir;

/// A client and, in the same thread, an application that allocates everything beforehand.
struct Pair {
    client: Client,
    poll: Poll,
    events: Events,
    buf: ReadBuf,
    listener: UnixListener,
    streams: Vec<UnixStream>,
    requests: Vec<u8>,
    /// The answers to a request with ID 1 and to one with ID 2.
    answers: [Vec<u8>; 2],
    /// The lowest and the highest address of output.
    lent: Option<(usize, usize)>,
    received: usize,
    /// The clock stands still, so that what a client does now and then is not counted, however long the test takes.
    now: Instant,
    _dir: TempDir,
}

impl Pair {
    fn new(connections: usize, content: &[u8]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let mut config = Config::new(Address::Unix(path));
        config.multiplex = Multiplex::Off;
        config.limits.max_connections_per_server = connections;
        config.limits.max_idle_per_server = connections;
        config.preempt_idle_after = None;
        let poll = Poll::new().expect("a poll");
        let tokens = Token(0)..Token(connections);
        let client = Client::new(poll.registry(), tokens, config).expect("a client");
        let answers = [1, 2].map(|id| {
            let mut answer = Vec::new();
            wire::write_stream(&mut answer, RecordType::Stdout, id, content);
            wire::write_stream_end(&mut answer, RecordType::Stdout, id);
            let end = EndRequest {
                app_status: 0,
                protocol_status: ProtocolStatus::RequestComplete,
            };
            wire::write_end_request(&mut answer, id, end);
            answer
        });
        Self {
            client,
            poll,
            events: Events::with_capacity(64),
            buf: ReadBuf::default(),
            listener,
            streams: Vec::new(),
            requests: vec![0; 4096],
            answers,
            lent: None,
            received: 0,
            now: Instant::now(),
            _dir: dir,
        }
    }

    /// A request on each connection, and an answer to each.
    fn round(&mut self, connections: usize) {
        let now = self.now;
        for _ in 0..connections {
            let mut request = self.client.new_request();
            request.params.push("REQUEST_METHOD", "GET");
            request.params.push("SCRIPT_FILENAME", "/srv/www/index.php");
            let submitted = self.client.submit(now, request, Tag(1));
            submitted.expect("room in the queue");
        }
        let mut ended = self.drain();
        while self.streams.len() < connections {
            let (stream, _) = self.listener.accept().expect("the client has connected");
            self.streams.push(stream);
            ended += self.drain();
        }
        for stream in &mut self.streams {
            assert!(stream.read(&mut self.requests).expect("a request") > 0);
            // The ID in the header of FCGI_BEGIN_REQUEST.
            let id = usize::from(self.requests[3]);
            let answer = &self.answers[id - 1];
            stream.write_all(answer).expect("room in the socket");
        }
        while ended < connections {
            let timeout = self.client.timeout(now);
            match self.poll.poll(&mut self.events, timeout) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled.expect("a poll"),
            }
            for event in &self.events {
                assert!(self.client.handle_event(event));
            }
            self.client.handle_timeout(now);
            ended += self.drain();
        }
    }

    fn drain(&mut self) -> usize {
        let (mut ended, now) = (0, self.now);
        loop {
            let Some(event) = self.client.poll_event(now, &mut self.buf) else {
                if self.client.timeout(now) != Some(Duration::ZERO) {
                    return ended;
                }
                continue;
            };
            match event.kind {
                EventKind::Stdout(data) => {
                    let places = data.as_ptr_range();
                    let (start, end) = (places.start as usize, places.end as usize);
                    let (first, last) = self.lent.unwrap_or((start, end));
                    self.lent = Some((first.min(start), last.max(end)));
                    self.received += data.len();
                }
                EventKind::End(outcome) => {
                    assert!(outcome.is_ok(), "{outcome:?}");
                    ended += 1;
                }
                _ => {}
            }
        }
    }
}

#[test]
fn requests_over_sockets_are_served_without_allocation() {
    for connections in [1, 16] {
        let mut pair = Pair::new(connections, b"Content-Type: text/plain\r\n\r\nhello");
        (0..10).for_each(|_| pair.round(connections));
        let counted = allocation_counter::measure(|| {
            (0..1000).for_each(|_| pair.round(connections));
        });
        assert_eq!(counted.count_total, 0, "{connections} connections");
        let counters = pair.client.stats().counters;
        assert_eq!(counters.completed, 1010 * connections as u64);
        assert_eq!(counters.connected, connections as u64);
    }
}

#[test]
fn output_is_lent_from_the_one_buffer_that_sockets_are_read_into() {
    let content = vec![b'x'; 100_000];
    let mut pair = Pair::new(4, &content);
    (0..10).for_each(|_| pair.round(4));
    assert_eq!(pair.received, 4 * 10 * content.len());
    let (first, last) = pair.lent.expect("there was output");
    assert!(last - first <= ReadBuf::DEFAULT_LEN, "{}", last - first);
}
