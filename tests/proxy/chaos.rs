//! Clients and applications of the proxy do anything at any time, in virtual time. Then all of them fall silent.
//!
//! From any state reached that way, time limits alone have to end everything, in steps that the worker itself asked
//! for. So there is no state without a time limit, no wake-up is lost, and nothing is left over. `SEED=n` repeats the
//! run of a failure, `RUNS=n` sets the number of runs.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use mio_fcgi::wire::{self, Demux, EndRequest, Item, ProtocolStatus, RecordType};
use mio_fcgi::{Multiplex, ReadBuf};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::embedded::listen;
use super::random::Random;
use crate::proxy::serve::worker;
use crate::proxy::site::{fastcgi, metrics, options};

const RUNS: u64 = 400;
const STEPS: usize = 300;

/// The processor time limit for one seed, in seconds. A seed takes about a hundredth of one.
const PROCESSOR_SECONDS: u64 = 20;

/// Seeds that failed once: an upload whose response was cut; a write timeout that a command set when it was already
/// over, which blocked a turn forever.
const ONCE_FAILED: [u64; 2] = [1648, 5812];

/// In a process of its own, because its log is long: it has a line for each request.
#[test]
fn after_all_peers_fall_silent_timeouts_end_everything() {
    const NAME: &str = "chaos::after_all_peers_fall_silent_timeouts_end_everything";
    if std::env::var_os("CHAOS").is_some() {
        return run_all();
    }
    let program = std::env::current_exe().expect("a path");
    let output = Command::new(program)
        .args(["--exact", NAME, "--nocapture"])
        .env("CHAOS", "1")
        .output()
        .expect("a process");
    let (said, log) = (text(&output.stdout), text(&output.stderr));
    let (requests, others): (Vec<&str>, Vec<&str>) = log
        .lines()
        .partition(|line| line.starts_with("127.0.0.1 - - ["));
    let others: Vec<&str> = others
        .into_iter()
        .filter(|line| !line.starts_with("proxy: "))
        .collect();
    let last_seed = said.rsplit("SEED=").next().unwrap_or_default();
    assert!(
        output.status.success(),
        "{}, the last seed is {last_seed}\n{}",
        output.status,
        others.join("\n")
    );
    let answered = said.split("answered: ").nth(1).expect("how many");
    let answered = answered.split_whitespace().next();
    assert_eq!(answered, Some(&*requests.len().to_string()), "log lines");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run_all() {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let (seed, runs) = (number("SEED"), number("RUNS").unwrap_or(RUNS));
    let seeds: Vec<u64> = match seed {
        Some(seed) => vec![seed],
        None => (1..=runs).chain(ONCE_FAILED).collect(),
    };
    let (mut answered, mut heads, mut spilled) = (0, 0, 0);
    for seed in seeds {
        let failed = Failed(seed);
        limit_processor_time(seed);
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.act();
            world.check();
        }
        if world.random.below(2) == 0 {
            world.worker.stop();
        }
        world.fall_silent();
        answered += world.worker.figures().answered;
        heads += world.heads;
        spilled += u64::from(world.spilled);
        std::mem::forget(failed);
    }
    // Fewer would prove nothing.
    let enough = answered > runs * 10 && heads > runs && spilled > runs / 40;
    assert!(
        seed.is_some() || enough,
        "{answered} answers, {heads} came, {spilled} worlds with files"
    );
    println!("answered: {answered}");
}

/// A turn that never ends would not fail the test but block it. So the system ends the process then; the seed printed
/// last is the one that failed.
fn limit_processor_time(seed: u64) {
    println!("SEED={seed}");
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec.unsigned_abs();
    let mut limit = getrlimit(Resource::Cpu);
    limit.current = Some(used + PROCESSOR_SECONDS);
    setrlimit(Resource::Cpu, limit).expect("below the hard limit");
}

/// Prints the seed of a run that panics.
struct Failed(u64);

impl Drop for Failed {
    fn drop(&mut self) {
        eprintln!("to repeat this run: SEED={}", self.0);
    }
}

struct World {
    random: Random,
    poll: Poll,
    worker: worker::Worker,
    /// The worker's clock. Only the test moves it.
    now: Instant,
    max_clients: usize,
    address: SocketAddr,
    listener: TcpListener,
    applications: Vec<Application>,
    clients: Vec<Client>,
    /// Number of response heads that clients received.
    heads: u64,
    /// A response was kept in a file.
    spilled: bool,
    _root: tempfile::TempDir,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let root = tempfile::tempdir().expect("a directory");
        std::fs::write(root.path().join("index.php"), "").expect("a file");
        std::fs::write(root.path().join("file"), vec![b'f'; 400_000]).expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let upstream = listener.local_addr().expect("an address").into();
        let limit = |random: &mut Random| Duration::from_secs(1 + random.below(5));
        let options = Arc::new(options::Options {
            upstreams: vec![upstream],
            root: Some(root.path().to_owned()),
            fallback: Some("/index.php".to_owned()),
            multiplex: match random.below(2) {
                0 => Multiplex::Off,
                _ => Multiplex::On { max: 4 },
            },
            max_connections: 1 + random.below(3) as usize,
            queue: random.below(4) as usize,
            max_clients: 4 + random.below(8) as usize,
            max_body: 300_000,
            buffer_response: [0, 1, 70_000, 300_000, 1 << 40][random.below(5) as usize],
            max_buffered: [0, 100_000, 1 << 40][random.below(3) as usize],
            max_on_disk: [0, 400_000, 1 << 40][random.below(3) as usize],
            client_timeout: limit(&mut random),
            read_timeout: limit(&mut random),
            write_timeout: limit(&mut random),
            header_timeout: limit(&mut random),
            keepalive_timeout: limit(&mut random),
            ..super::budget::narrow(seed)
        });
        let poll = Poll::new().expect("a poll");
        let config = fastcgi::config(&options, options.upstreams.clone(), 0);
        let metrics = Arc::new(metrics::Metrics::new(false, 1));
        let tokens = Token(0)..Token(1000);
        let worker =
            worker::Worker::new(poll.registry(), tokens, 0, &options, &metrics, vec![config]);
        let mut worker = worker.expect("a worker");
        Self {
            address: listen(&mut worker),
            random,
            poll,
            worker,
            now: Instant::now(),
            max_clients: options.max_clients,
            listener,
            applications: Vec::new(),
            clients: Vec::new(),
            heads: 0,
            spilled: false,
            _root: root,
        }
    }

    fn act(&mut self) {
        match self.random.below(24) {
            0..4 => self.connect(),
            4..10 => self.with_client(|client, random| client.write(random)),
            10..13 => {
                self.with_client(|client, random| client.read(random.below(100_000) as usize))
            }
            13 if !self.clients.is_empty() => {
                let at = self.random.below(self.clients.len() as u64) as usize;
                let client = self.clients.swap_remove(at);
                let reset = (self.random.below(2) == 0).then_some(Duration::ZERO);
                let socket = socket2::SockRef::from(&client.socket);
                socket.set_linger(reset).expect("a socket");
                self.heads += client.heads;
            }
            14 if self.random.below(3) == 0 => {
                self.with_client(|client, _| drop(client.socket.shutdown(Shutdown::Write)));
            }
            15 => self.now += Duration::from_millis(self.random.below(700)),
            _ => self.serve(),
        }
        if self.random.below(3) > 0 {
            self.settle();
        }
    }

    fn connect(&mut self) {
        let socket = TcpStream::connect(self.address).expect("it listens");
        socket.set_nonblocking(true).expect("a socket");
        if self.random.below(2) == 0 {
            let socket = socket2::SockRef::from(&socket);
            socket.set_recv_buffer_size(4096).expect("a socket");
        }
        let mut left = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            write_request(&mut left, &mut self.random);
        }
        self.clients.push(Client {
            socket,
            left,
            heads: 0,
        });
    }

    fn with_client(&mut self, act: impl FnOnce(&mut Client, &mut Random)) {
        let at = self.random.below(self.clients.len().max(1) as u64) as usize;
        if let Some(client) = self.clients.get_mut(at) {
            act(client, &mut self.random);
        }
    }

    /// Lets each application read, send something, or close.
    fn serve(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true).expect("a socket");
            self.applications.push(Application::new(socket));
        }
        let at = self.random.below(self.applications.len().max(1) as u64) as usize;
        let Some(application) = self.applications.get_mut(at) else {
            return;
        };
        if !application.read() || self.random.below(60) == 0 {
            self.applications.swap_remove(at);
            return;
        }
        for _ in 0..1 + self.random.below(4) {
            application.say(&mut self.random);
        }
    }

    /// Runs turns until there is nothing to do at the current time.
    fn settle(&mut self) {
        self.worker.set_time(self.now);
        let mut events = Events::with_capacity(64);
        let mut buf = ReadBuf::default();
        for _ in 0..1000 {
            let polled = self.poll.poll(&mut events, Some(Duration::ZERO));
            polled.expect("events");
            for event in &events {
                assert!(self.worker.handle_event(event), "it is the worker's");
            }
            self.worker.turn(&mut buf);
            if events.is_empty() && self.worker.timeout() != Some(Duration::ZERO) {
                for (_, connection) in self.worker.connections() {
                    let is_due = connection.wants_to_send();
                    assert!(!is_due, "bytes that nobody sends: {connection:?}");
                }
                return;
            }
            if events.is_empty() && self.worker.has_stopped() {
                return;
            }
        }
        panic!("it spins: {:?}", self.worker.connections());
    }

    fn check(&mut self) {
        let connections = self.worker.connections();
        let clients = self.worker.figures().clients;
        assert!(clients <= self.max_clients && clients == connections.len());
        for (key, connection) in connections {
            if key % 2 == 0 {
                // A small buffer, so that few bytes fill it.
                let socket = socket2::SockRef::from(connection.socket().stream());
                socket.set_send_buffer_size(4096).expect("a socket");
            }
            assert!(connection.held() <= 128 * 1024);
            assert!(connection.socket().in_memory() <= 208 * 1024);
        }
        self.spilled |= self.worker.figures().kept.files > 0;
    }

    /// No peer does anything any more: only time passes.
    fn fall_silent(&mut self) {
        let mut steps = 0;
        self.settle();
        while let Some(wait) = self.worker.timeout().filter(|_| !self.worker.has_stopped()) {
            self.now += wait;
            self.settle();
            steps += 1;
            let left = self.worker.connections();
            assert!(steps < 5_000, "it never ends: {left:?}");
        }
        let left = self.worker.connections();
        assert!(left.is_empty(), "nothing wakes them: {left:?}");
        let stats = self.worker.figures().stats;
        assert_eq!(stats.requests, Default::default(), "requests are left");
        let left = stats.connections;
        assert_eq!(left, Default::default(), "connections are left");
        assert_eq!(stats.bytes_buffered, 0);
        assert_eq!(self.worker.figures().kept, Default::default(), "kept");
    }
}

struct Client {
    socket: TcpStream,
    /// Bytes that the client has not sent yet.
    left: Vec<u8>,
    /// Number of response heads received.
    heads: u64,
}

impl Client {
    fn write(&mut self, random: &mut Random) {
        let most = [1, 50, 3000, 100_000][random.below(4) as usize];
        let len = self.left.len().min(most);
        if let Ok(len) = self.socket.write(&self.left[..len]) {
            self.left.drain(..len);
        }
    }

    fn read(&mut self, len: usize) {
        let mut bytes = vec![0; len];
        if let Ok(len) = self.socket.read(&mut bytes) {
            let heads = bytes[..len].windows(9).filter(|it| it == b"HTTP/1.1 ");
            self.heads += heads.count() as u64;
        }
    }
}

/// Writes a request. Read from a wrong position, its body would be a request too.
fn write_request(out: &mut Vec<u8>, random: &mut Random) {
    let target = ["/", "/", "/", "/file", "/none.php"][random.below(5) as usize];
    let body = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n".repeat(match random.below(4) {
        0 => 1,
        1 => 100,
        2 => 4_000,
        _ => 12_000,
    });
    let head = match random.below(8) {
        0 => format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        1 => format!("GET {target} HTTP/1.0\r\n\r\n"),
        2..4 => format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        4 => format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        ),
        5 => format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ),
        _ => format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ),
    };
    out.extend_from_slice(head.as_bytes());
    if head.starts_with("POST") {
        out.extend_from_slice(&body);
    }
    if head.contains("chunked") {
        out.extend_from_slice(b"\r\n0\r\n\r\n");
    }
}

/// One connection of an application, which sends anything that FastCGI allows.
struct Application {
    socket: TcpStream,
    demux: Demux,
    /// The open requests: their IDs, and what was sent last.
    open: Vec<(u16, Said)>,
    out: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Said {
    Nothing,
    Head,
    StdoutEnd,
}

impl Application {
    fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            demux: Demux::default(),
            open: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Reads once. False when the connection has ended.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 50_000];
        let len = match self.socket.read(&mut bytes) {
            Ok(0) => return false,
            Ok(len) => len,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let mut input = &bytes[..len];
        while let Some(item) = self.demux.next(&mut input).expect("records") {
            match item {
                Item::Begin { request_id, .. } => {
                    self.open.push((request_id, Said::Nothing));
                }
                Item::Stream {
                    record_type: RecordType::Params,
                    data,
                    ..
                } => {
                    let is_lost = data.windows(5).any(|part| part == b"/evil");
                    assert!(!is_lost, "a body was read as a request");
                }
                _ => {}
            }
        }
        true
    }

    fn say(&mut self, random: &mut Random) {
        if !self.open.is_empty() && self.out.len() < 200_000 {
            let at = random.below(self.open.len() as u64) as usize;
            let (id, said) = self.open[at];
            let stdout = |out: &mut Vec<u8>, content: &[u8]| {
                wire::write_stream(out, RecordType::Stdout, id, content);
            };
            let out = &mut self.out;
            match (said, random.below(6)) {
                (Said::Nothing, 0..3) => {
                    let head: &[u8] = match random.below(5) {
                        0 => b"Status: 103\r\n\r\n",
                        1 => b"Content-Type: a/b\r\nContent-Length: 20000\r\n\r\n",
                        2 => b"Status: 304\r\n\r\n",
                        _ => b"Content-Type: a/b\r\n\r\n",
                    };
                    stdout(out, head);
                    if !head.starts_with(b"Status: 103") {
                        self.open[at].1 = Said::Head;
                    }
                }
                (Said::Head, 0..4) => {
                    let len = [1, 8_000, 16_000, 65_000][random.below(4) as usize];
                    stdout(out, &vec![b'x'; len]);
                }
                (Said::Head, 4) => {
                    wire::write_stream_end(out, RecordType::Stdout, id);
                    self.open[at].1 = Said::StdoutEnd;
                }
                (_, 5) | (Said::StdoutEnd, 0..3) => {
                    let end = EndRequest {
                        app_status: 0,
                        protocol_status: ProtocolStatus::RequestComplete,
                    };
                    wire::write_end_request(out, id, end);
                    self.open.swap_remove(at);
                }
                (Said::Nothing | Said::StdoutEnd, _) => {
                    wire::write_stream(out, RecordType::Stderr, id, b"\n");
                }
                (Said::Head, _) => {}
            }
        }
        if let Ok(len) = self.socket.write(&self.out) {
            self.out.drain(..len);
        }
    }
}
