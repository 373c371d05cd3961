//! A name that moves from one php-fpm to another under load: no request is lost, and none runs twice.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio_fcgi::{Config, Multiplex, Request, RequestState, ServerId, Tag};
use tempfile::TempDir;

use super::{get, post};
use crate::harness::client::{Exchange, Loop};
use crate::harness::{PhpFpm, Transport, echo_of, pattern};

/// More children than connections: no request waits in a backlog.
const CHILDREN: u32 = 10;
const CONNECTIONS: usize = 8;

// case 150
#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn a_name_that_moves_under_load_loses_no_request_and_runs_none_twice() {
    // With tokens for both servers, and with no more than one of them may use: then a connection to the new server waits
    // until one to the old server is closed.
    for (transport, tokens) in [
        (Transport::Unix, 2 * CONNECTIONS),
        (Transport::Tcp, 2 * CONNECTIONS),
        (Transport::Tcp, CONNECTIONS),
    ] {
        let marks = Marks::new();
        let mut a = marks.pool("a", transport);
        let mut b = marks.pool("b", transport);
        let mut load = Load::on(&a, tokens, marks);

        // The old php-fpm is stopped when its last connection is closed.
        load.run(200);
        load.hold_some();
        load.move_to(&b);
        load.run(200);
        load.run_for(Duration::from_secs(2));
        load.release();
        load.run_until_only(ServerId::new(1));
        a.begin_quit();
        assert!(a.end_quit().success());
        load.run(100);

        // Back to a new process at the old address. This time the old one is stopped while scripts still run there.
        a.restart();
        load.hold_some();
        load.move_to(&a);
        load.run_until_all_have_begun();
        b.begin_quit();
        load.run(200);
        load.release();
        load.run_until_only(ServerId::new(2));
        assert!(b.end_quit().success());
        load.run(100);
        load.finish(&["a", "b", "a"]);
    }
}

/// The file to which each script appends a line.
struct Marks {
    directory: TempDir,
}

impl Marks {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("marks")
    }

    /// The file for which some scripts wait.
    fn go(&self) -> PathBuf {
        self.directory.path().join("marks.go")
    }

    /// A php-fpm whose scripts know its name and the file.
    fn pool(&self, name: &str, transport: Transport) -> PhpFpm {
        let builder = PhpFpm::builder().max_children(CHILDREN);
        let builder = match transport {
            Transport::Unix => builder.unix(),
            Transport::Tcp => builder.tcp(),
        };
        let builder = builder.process_control_timeout(60).env("POOL", name);
        builder.env("MARKS", self.path().display()).start()
    }

    /// The pool and the number of each script that has begun.
    fn read(&self) -> Vec<(String, u64)> {
        let text = fs::read_to_string(self.path()).unwrap_or_default();
        let line = |line: &str| {
            let (pool, number) = line.split_once(' ')?;
            Some((pool.to_owned(), number.parse().ok()?))
        };
        text.lines().map(|it| line(it).expect("a mark")).collect()
    }
}

/// A client that always has more requests than connections.
struct Load {
    client: Loop,
    marks: Marks,
    submitted: u64,
    /// Requests that wait for the file.
    held: Vec<Tag>,
    /// The server that the next request gets.
    server: ServerId,
    /// Requests that were on a connection to an old server when the servers changed.
    in_flight: HashSet<Tag>,
    /// The server that each request is to be answered by.
    expected: HashMap<Tag, ServerId>,
    began: Instant,
}

impl Load {
    fn on(fpm: &PhpFpm, tokens: usize, marks: Marks) -> Self {
        let mut config = Config::new(fpm.listen().address());
        config.multiplex = Multiplex::Off;
        config.limits.max_connections_per_server = CONNECTIONS;
        config.limits.max_idle_per_server = CONNECTIONS;
        config.limits.max_total_connections = tokens;
        Self {
            client: Loop::with_tokens(config, tokens),
            marks,
            submitted: 0,
            held: Vec::new(),
            server: ServerId::new(0),
            in_flight: HashSet::new(),
            expected: HashMap::new(),
            began: Instant::now(),
        }
    }

    fn submit(&mut self, request: Request) -> Tag {
        let tag = self.client.submit(request);
        assert_eq!(tag.0, self.submitted, "the number is the tag");
        self.submitted += 1;
        self.expected.insert(tag, self.server);
        tag
    }

    /// Submits requests of all kinds while there are fewer than three for each connection.
    fn fill(&mut self) {
        while self.client.unended() < 3 * CONNECTIONS {
            self.submit(mixed(self.submitted));
        }
    }

    fn run(&mut self, count: u64) {
        let end = self.submitted + count;
        while self.submitted < end {
            self.fill();
            let unended = self.client.unended();
            self.client
                .run_until("an answer", |it| it.unended() < unended);
        }
    }

    fn run_for(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.run(1);
        }
    }

    /// Submits requests that wait for the file, and goes on until all of them do.
    fn hold_some(&mut self) {
        let _ = fs::remove_file(self.marks.go());
        for _ in 0..4 {
            let number = self.submitted;
            let uri = format!("/mark.php?hold=1&number={number}");
            let tag = self.submit(match number % 2 {
                0 => get("mark.php", &uri),
                _ => post("mark.php", &uri, body(number)),
            });
            self.held.push(tag);
        }
        self.run_until_begun(self.held.iter().map(|tag| tag.0).collect());
    }

    /// Ends the wait of those requests, none of which has ended before.
    fn release(&mut self) {
        for tag in self.held.drain(..) {
            assert!(self.client.exchange(tag).outcome.is_none(), "{tag:?}");
        }
        fs::write(self.marks.go(), "").expect("the directory is ours");
    }

    fn run_until_begun(&mut self, numbers: HashSet<u64>) {
        loop {
            let begun: HashSet<u64> = self.marks.read().into_iter().map(|it| it.1).collect();
            if begun.is_superset(&numbers) {
                return;
            }
            self.fill();
            self.client.run_for(Duration::from_millis(5));
        }
    }

    /// Runs until the scripts of all requests that were in flight at a change have begun.
    fn run_until_all_have_begun(&mut self) {
        self.run_until_begun(self.in_flight.iter().map(|tag| tag.0).collect());
    }

    fn move_to(&mut self, fpm: &PhpFpm) {
        self.fill();
        self.server = ServerId::new(self.server.number() + 1);
        let now = Instant::now();
        let client = &mut self.client.client;
        for request in client.requests(now) {
            if request.state == RequestState::Queued {
                self.expected.insert(request.tag, self.server);
            } else {
                self.in_flight.insert(request.tag);
            }
        }
        let servers = vec![fpm.listen().address().into()];
        client.set_servers(now, servers).expect("a valid list");
        let lines: Vec<String> = client.servers(now).map(|it| it.to_string()).collect();
        println!("after {} requests: {lines:#?}", self.submitted);
    }

    /// Runs until this server alone has connections.
    fn run_until_only(&mut self, server: ServerId) {
        let is_only = |it: &Self| {
            let mut all = it.client.client.servers(Instant::now());
            all.all(|it| it.server == server)
        };
        while !is_only(self) {
            self.run(1);
        }
    }

    /// Checks each answer. The pools are those of the servers 0, 1 and so on.
    fn finish(mut self, pools: &[&str]) {
        let answers = self.client.finish_all();
        assert_eq!(answers.len() as u64, self.submitted);
        let mut by_server = vec![0; pools.len()];
        let mut ran = Vec::new();
        for (tag, exchange) in answers {
            let server = self.expected[&tag];
            let pool = pools[server.number() as usize];
            check(tag, exchange, server, pool);
            by_server[server.number() as usize] += 1;
            ran.push((pool.to_owned(), tag.0));
        }
        let mut marked = self.marks.read();
        marked.sort_by_key(|(_, number)| *number);
        assert_eq!(
            marked, ran,
            "each script ran once, where its answer is from"
        );
        let took = self.began.elapsed();
        println!(
            "{} requests, {by_server:?} by server, {} in flight at the moves, {took:.2?}",
            self.submitted,
            self.in_flight.len()
        );
        let stats = self.client.shut_down();
        assert_eq!((stats.counters.failed, stats.counters.retries), (0, 0));
    }
}

fn check(tag: Tag, exchange: Exchange, server: ServerId, pool: &str) {
    assert_eq!(exchange.completion().report.server, Some(server), "{tag:?}");
    let body = match tag.0 % 2 {
        0 => Vec::new(),
        _ => body(tag.0),
    };
    let expected = format!("{pool} {}\n{}", tag.0, echo_of(&body));
    let response = exchange.response();
    assert_eq!(String::from_utf8_lossy(&response.body), expected);
}

/// A GET for an even number, a POST for an odd one. Some take a few milliseconds.
fn mixed(number: u64) -> Request {
    let uri = format!("/mark.php?ms={}&number={number}", number % 7);
    match number % 2 {
        0 => get("mark.php", &uri),
        _ => post("mark.php", &uri, body(number)),
    }
}

fn body(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(5) {
        200_000
    } else {
        1000
    };
    pattern(number as usize, len)
}
