//! The proxy's worker embedded in an event loop of another program, as `examples/proxy/main.rs` describes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use mio_fcgi::wire::{self, RecordType};
use mio_fcgi::{Address, Multiplex, ReadBuf};

use crate::proxy::app;
use crate::proxy::net::listener::{Binding, Listener};
use crate::proxy::program::{event_loop, threads};
use crate::proxy::serve::worker;
use crate::proxy::site::{fastcgi, metrics, options};
use crate::turns::{run, run_until};

/// How long anything may take before a test fails.
const TIME_LIMIT: Duration = Duration::from_secs(300);
const HEALTH: Token = Token(3);
const PEER: Token = Token(4);
const WORKER: Range<Token> = Token(100)..Token(10_000);

#[test]
fn a_worker_serves_beside_a_listener_of_another_kind() {
    let application = app::spawn(app::Options::default()).expect("a socket and a thread");
    let upstream = application.address().clone();
    let (tell, addresses) = mpsc::channel();
    let server = thread::spawn(move || serve(upstream, &tell));
    let (web, health) = addresses.recv().expect("it listens");
    let mut lines = BufReader::new(connect(health));
    // Each of the two is served while the other one is, in any order.
    for count in 0..20 {
        assert_eq!(ask(web, &format!("/tag?tag=n{count}")), format!("n{count}"));
        assert_eq!(say(&mut lines, "how many"), (count + 1).to_string());
    }
    // Stopping the worker lets its requests finish.
    let mut slow = connect(web);
    send(&mut slow, "/slow?ms=300");
    while say(&mut lines, "in flight") != "1" {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(say(&mut lines, "stop"), "stopping");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("an answer");
    assert!(answer.ends_with("answered after 300 ms\n"), "{answer}");
    server.join().expect("no panic").expect("it goes on");
}

#[test]
fn fewer_tokens_than_clients_and_connections_are_refused() {
    let poll = Poll::new().expect("a poll");
    let options = Arc::new(options::Options::default());
    let config = || fastcgi::config(&options, vec!["127.0.0.1:1".parse().expect("one")], 0);
    let metrics = Arc::new(metrics::Metrics::new(false, 1));
    // One token for the listener, one for each client, one for each FastCGI connection.
    let enough = 1 + options.max_clients + options.max_connections;
    for (count, is_enough) in [
        (0, false),
        (100, false),
        (enough - 1, false),
        (enough, true),
    ] {
        let tokens = Token(5)..Token(5 + count);
        let made = worker::Worker::new(
            poll.registry(),
            tokens,
            0,
            &options,
            &metrics,
            vec![config()],
        );
        assert_eq!(made.is_ok(), is_enough, "{count}: {:?}", made.err());
    }
}

/// In virtual time: only the test moves the worker's clock.
#[test]
fn a_refused_body_is_read_while_it_arrives_fast_and_not_when_it_trickles() {
    let mut poll = Poll::new().expect("a poll");
    let options = options::Options {
        max_body: 10,
        ..options::Options::default()
    };
    let mut worker = worker_of(&poll, options);
    let address = listen(&mut worker);
    let mut client = connect(address);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    client.write_all(head).expect("room");
    run(&mut poll, &mut worker);
    let mut answer = [0; 512];
    let len = client.read(&mut answer).expect("an answer");
    assert!(answer[..len].starts_with(b"HTTP/1.1 413 "));
    client.set_nonblocking(true).expect("a socket");
    // Less than the client may take to notice the end; all pauses together are far more.
    let pause = Duration::from_millis(1500);
    let mut now = Instant::now();
    for len in [100_000; 5] {
        let mut left = len;
        while left > 0 {
            match client.write(&vec![b'x'; left]) {
                Ok(written) => left -= written,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            run(&mut poll, &mut worker);
        }
        now += pause;
        worker.set_time(now);
        run(&mut poll, &mut worker);
        assert_eq!(worker.figures().clients, 1);
    }
    client.write_all(b"x").expect("room");
    run(&mut poll, &mut worker);
    worker.set_time(now + pause);
    run_until(&mut poll, &mut worker, |it| it.figures().clients == 0);
}

/// If the socket were closed with unread bytes, it would be reset, and the client could lose the response (RFC 9112,
/// 9.6).
#[test]
fn bytes_after_a_refused_head_are_read() {
    let mut poll = Poll::new().expect("a poll");
    let mut worker = worker_of(&poll, options::Options::default());
    let mut client = connect(listen(&mut worker));
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "a".repeat(32 * 1024));
    client.write_all(head.as_bytes()).expect("room");
    run(&mut poll, &mut worker);
    client.write_all(&[b'a'; 1000]).expect("room");
    run(&mut poll, &mut worker);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(worker.figures().clients, 1);
    drop(client);
    run_until(&mut poll, &mut worker, |it| it.figures().clients == 0);
}

#[test]
fn clients_cut_off_by_a_stop_are_closed_although_the_loop_goes_on() {
    let mut poll = Poll::new().expect("a poll");
    let mut worker = worker_of(&poll, options::Options::default());
    let address = listen(&mut worker);
    let mut client = connect(address);
    client.write_all(b"GET / HTTP/1.1\r\n").expect("room");
    run(&mut poll, &mut worker);
    worker.stop();
    run(&mut poll, &mut worker);
    assert_eq!(worker.figures().clients, 1);
    worker.stop();
    assert!(worker.has_stopped() && worker.figures().clients == 0);
    assert_eq!(client.read(&mut [0]).ok(), Some(0));
}

/// The last part of the body fills the socket, then the body ends: there is nothing left to wait for.
#[test]
fn a_request_is_not_left_paused_by_the_end_of_its_answer() {
    let mut served = Served::new("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    served.say(b"Content-Type: a/b\r\n\r\n");
    let socket = socket2::SockRef::from(served.worker.connections()[0].1.socket().stream());
    socket.set_send_buffer_size(16 * 1024).expect("a socket");
    // Each part waits for the end of the turn, until one does not fit the socket.
    let mut len = 0;
    while served.worker.connections()[0].1.socket().is_writable() {
        served.say(&[b'x'; 8000]);
        len += 8000;
    }
    assert_eq!(served.worker.figures().stats.requests.paused, 0);
    served.say(b"");
    assert_eq!(served.worker.figures().stats.requests.paused, 0);
    assert_eq!(served.worker.figures().answered, 1);
    let mut client = served.client;
    let reader = thread::spawn(move || {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).map(|_| answer)
    });
    while served.worker.figures().clients > 0 {
        run(&mut served.poll, &mut served.worker);
    }
    let answer = reader.join().expect("no panic").expect("an answer");
    assert_eq!(answer.iter().filter(|byte| **byte == b'x').count(), len);
    assert!(answer.ends_with(b"\r\n0\r\n\r\n"));
}

/// The last byte of a declared length fills the socket: the response is complete, and nobody would resume its request.
#[test]
fn a_request_is_not_left_paused_by_the_last_byte_of_its_answer() {
    const PART: usize = 60_000;
    let is_writable = |served: &Served| {
        let connections = served.worker.connections();
        connections.is_empty() || connections[0].1.socket().is_writable()
    };
    // How much the system takes is not known: one of these lengths is the first that it does not.
    let is_hit = (1..200).any(|parts| {
        let mut served = Served::new("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let len = parts * PART;
        served.say(format!("X-Accel-Buffering: no\r\nContent-Length: {len}\r\n\r\n").as_bytes());
        let socket = socket2::SockRef::from(served.worker.connections()[0].1.socket().stream());
        socket.set_send_buffer_size(16 * 1024).expect("a socket");
        for _ in 1..parts {
            served.say(&[b'x'; PART]);
        }
        let was_writable = is_writable(&served);
        served.say(&[b'x'; PART]);
        let fills = was_writable && !is_writable(&served);
        if fills {
            served.say(b"");
            assert_eq!(served.worker.figures().stats.requests.paused, 0);
        }
        fills
    });
    assert!(is_hit);
}

/// The application answers before it has read the body, and its request goes on: the body is still there.
#[test]
fn what_a_body_holds_of_the_budget_is_given_back_when_its_request_ends() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome body";
    let mut served = Served::new(request);
    assert_eq!(served.worker.figures().kept.memory, 9);
    served.say(b"Content-Length: 2\r\n\r\nok");
    assert_eq!(served.worker.figures().answered, 1);
    assert_eq!(served.worker.figures().kept.memory, 9);
    let mut end = Vec::new();
    let body = wire::EndRequest {
        app_status: 0,
        protocol_status: wire::ProtocolStatus::RequestComplete,
    };
    wire::write_end_request(&mut end, 1, body);
    served.application.write_all(&end).expect("it reads");
    run(&mut served.poll, &mut served.worker);
    assert_eq!(served.worker.figures().kept.memory, 0);
}

/// The rest of the body will not arrive, and no timeout applies to the application until it has arrived.
#[test]
fn a_request_whose_client_is_cut_off_in_its_body_is_aborted() {
    let mut served = Served::new("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbody");
    served.say(b"Content-Type: a/b\r\nContent-Length: 9\r\n\r\nbody");
    assert_eq!(served.worker.figures().stats.requests.active, 1);
    // Shorter than declared.
    served.say(b"");
    assert_eq!(served.worker.figures().clients, 0);
    assert_eq!(served.worker.figures().stats.requests.active, 0);
}

/// In virtual time. A worker of php-fpm is bound to its connection until that is closed.
#[test]
fn an_idle_connection_to_an_application_is_closed_after_a_second() {
    let mut served = Served::new("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    served.say(b"Content-Type: a/b\r\nContent-Length: 0\r\n\r\n");
    let mut end = Vec::new();
    let complete = wire::EndRequest {
        app_status: 0,
        protocol_status: wire::ProtocolStatus::RequestComplete,
    };
    wire::write_end_request(&mut end, 1, complete);
    served.application.write_all(&end).expect("it reads");
    run(&mut served.poll, &mut served.worker);
    assert_eq!(served.worker.figures().stats.connections.idle, 1);
    let later = Instant::now() + Duration::from_secs(1);
    served.worker.set_time(later);
    run(&mut served.poll, &mut served.worker);
    assert_eq!(served.worker.figures().stats.connections.idle, 0);
}

/// A worker that serves one request of a client, and the application's end of that request.
pub(crate) struct Served {
    pub(crate) poll: Poll,
    pub(crate) worker: worker::Worker,
    pub(crate) client: TcpStream,
    pub(crate) application: TcpStream,
}

impl Served {
    pub(crate) fn new(request: &str) -> Self {
        let mut poll = Poll::new().expect("a poll");
        let application = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let upstream = application.local_addr().expect("an address");
        let options = options::Options {
            upstreams: vec![upstream.into()],
            multiplex: Multiplex::Off,
            buffer_request: 0,
            ..options::Options::default()
        };
        let mut worker = worker_of(&poll, options);
        let mut client = connect(listen(&mut worker));
        client.write_all(request.as_bytes()).expect("room");
        run(&mut poll, &mut worker);
        let (application, _) = application.accept().expect("a connection");
        Self {
            poll,
            worker,
            client,
            application,
        }
    }

    /// Sends output of the application. Empty: the end of the output.
    pub(crate) fn say(&mut self, content: &[u8]) {
        let mut record = Vec::new();
        match content {
            [] => wire::write_stream_end(&mut record, RecordType::Stdout, 1),
            _ => wire::write_stream(&mut record, RecordType::Stdout, 1, content),
        }
        self.application.write_all(&record).expect("it reads");
        run(&mut self.poll, &mut self.worker);
    }
}

/// Waiting for all loops returns only if the healthy loop is stopped.
#[test]
fn a_loop_that_fails_or_panics_stops_the_others() {
    type Run = Box<dyn FnOnce() -> io::Result<()> + Send>;
    let failing: [(Run, &str); 2] = [
        (Box::new(|| Err(io::Error::other("no poll"))), "no poll"),
        (
            Box::new(|| panic!("wanted by a test")),
            "an event loop panicked",
        ),
    ];
    for (fail, expected) in failing {
        let options = Arc::new(options::Options::default());
        let nobody = vec!["127.0.0.1:1".parse().expect("one")];
        let config = fastcgi::config(&options, nobody, 0);
        let metrics = Arc::new(metrics::Metrics::new(false, 2));
        let healthy =
            event_loop::EventLoop::new(0, &options, &metrics, vec![config]).expect("a loop");
        let runs: [Run; 2] = [Box::new(move || healthy.run()), fail];
        let (tell, told) = mpsc::channel();
        let loops = threads::Loops::start(runs).expect("threads");
        thread::spawn(move || tell.send(loops.wait()));
        let result = told.recv_timeout(TIME_LIMIT).expect("all stop");
        assert_eq!(result.expect_err("one failed").to_string(), expected);
    }
}

pub(crate) fn worker_of(poll: &Poll, options: options::Options) -> worker::Worker {
    let options = Arc::new(options::Options {
        access_log: false,
        ..options
    });
    let nobody = || vec!["127.0.0.1:1".parse().expect("one")];
    let servers = match &options.upstreams[..] {
        [] => nobody(),
        upstreams => upstreams.to_vec(),
    };
    let config = fastcgi::config(&options, servers, 0);
    let metrics = Arc::new(metrics::Metrics::new(false, 1));
    worker::Worker::new(poll.registry(), WORKER, 0, &options, &metrics, vec![config])
        .expect("a worker")
}

/// Accepts clients at a free port. Returns its address.
pub(crate) fn listen(worker: &mut worker::Worker) -> SocketAddr {
    let listener =
        Listener::bind(([127, 0, 0, 1], 0).into(), Binding::default()).expect("a free port");
    let address = listener.address().expect("TCP");
    worker.listen(listener).expect("the system's poll");
    address
}

/// The event loop: a listener for one peer that sends lines, and the worker.
fn serve(upstream: Address, tell: &mpsc::Sender<(SocketAddr, SocketAddr)>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut health = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry()
        .register(&mut health, HEALTH, Interest::READABLE)?;
    let options = Arc::new(options::Options {
        access_log: false,
        ..options::Options::default()
    });
    let config = fastcgi::config(&options, vec![upstream], 0);
    let metrics = Arc::new(metrics::Metrics::new(false, 1));
    let mut worker =
        worker::Worker::new(poll.registry(), WORKER, 0, &options, &metrics, vec![config])?;
    let web = listen(&mut worker);
    tell.send((web, health.local_addr()?)).expect("it waits");
    let mut peer: Option<Peer> = None;
    let mut events = Events::with_capacity(64);
    let mut buf = ReadBuf::default();
    while !worker.has_stopped() {
        match poll.poll(&mut events, worker.timeout()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        worker.set_time(Instant::now());
        for event in &events {
            match event.token() {
                HEALTH => {
                    assert!(!worker.handle_event(event), "it is not the worker's");
                    let (mut socket, _) = health.accept()?;
                    poll.registry()
                        .register(&mut socket, PEER, Interest::READABLE)?;
                    let input = Vec::new();
                    peer = Some(Peer { socket, input });
                }
                PEER => {
                    assert!(!worker.handle_event(event), "it is not the worker's");
                    if let Some(peer) = &mut peer {
                        peer.attend(&mut worker)?;
                    }
                }
                _ => assert!(worker.handle_event(event), "it is the worker's"),
            }
        }
        worker.turn(&mut buf);
    }
    Ok(())
}

struct Peer {
    socket: mio::net::TcpStream,
    input: Vec<u8>,
}

impl Peer {
    fn attend(&mut self, worker: &mut worker::Worker) -> io::Result<()> {
        let mut bytes = [0; 256];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(len) => self.input.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let reply = match line.trim_ascii() {
                    b"how many" => worker.figures().answered.to_string(),
                    b"in flight" => worker.figures().stats.requests.active.to_string(),
                    b"stop" => {
                        worker.stop();
                        "stopping".to_owned()
                    }
                    other => panic!("{other:?}"),
                };
                writeln!(self.socket, "{reply}")?;
            }
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
    stream
}

fn send(stream: &mut TcpStream, target: &str) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
}

/// The body of a response that ends with its connection.
fn ask(address: SocketAddr, target: &str) -> String {
    let mut stream = connect(address);
    send(&mut stream, target);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1);
    body.expect("a head").to_owned()
}

fn say(lines: &mut BufReader<TcpStream>, line: &str) -> String {
    writeln!(lines.get_mut(), "{line}").expect("it reads");
    let mut said = String::new();
    lines.read_line(&mut said).expect("a line");
    said.trim().to_owned()
}
