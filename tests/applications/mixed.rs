//! Clients of every kind for a while, during which php-fpm is restarted again and again.
//!
//! `MIXED_SECONDS=600 MIXED_RESTART=10` is the long run; 20 and 2 are the defaults.

use std::fs;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::PhpFpm;
use crate::http::{Answer, HttpClient, Proxy, get, pattern};

const CLIENTS: u64 = 10;

#[test]
#[ignore = "needs php-fpm; run tests/run"]
fn restarts_lose_what_is_being_worked_on_and_mix_nothing_up() {
    let seconds = number("MIXED_SECONDS", 20);
    let restart = Duration::from_secs(number("MIXED_RESTART", 2));
    let root = root();
    let mut fpm = PhpFpm::builder().max_children(8).start();
    let address = fpm.listen().to_string();
    let path = root.path().to_str().expect("UTF-8");
    let fixed = ["--upstream", &address, "--root", path, "--status"];
    let more = ["--threads", "2", "--idle-timeout", "1", "--no-access-log"];
    let proxy = Proxy::start(&[&fixed[..], &more].concat());

    // A short first run, after which the proxy holds the memory and descriptors that it keeps.
    run(&proxy, Instant::now() + Duration::from_secs(2), |_| {});
    let (descriptors, memory) = at_rest(&proxy);
    let mut restarts = 0;
    let end = Instant::now() + Duration::from_secs(seconds);
    let tally = run(&proxy, end, |left| {
        std::thread::sleep(restart.min(left));
        if restart < left {
            fpm.restart();
            restarts += 1;
        }
    });
    let (descriptors_after, memory_after) = at_rest(&proxy);

    println!(
        "{restarts} restarts, {tally:?}, {} retries",
        proxy.figure("requests.retries")
    );
    println!(
        "descriptors {descriptors} -> {descriptors_after}, resident {memory} -> {memory_after} bytes"
    );
    assert!(restarts > 0 && tally.answered > 100 * restarts, "{tally:?}");
    // Each client has one request in flight. On a new connection that request may have run, and is not sent again.
    assert!(tally.lost <= CLIENTS * restarts, "{tally:?}");
    assert!(
        proxy.figure("requests.retries") > 0,
        "no restart hit anything"
    );
    // The client that asked last may be closing.
    proxy.wait_for_descriptors(|open| open <= descriptors);
    assert!(
        memory_after < memory + MEMORY_GROWTH,
        "{memory} -> {memory_after}"
    );
}

/// What became of the requests.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answered: u64,
    /// Requests that must not be sent again, and were answered with an error.
    refused: u64,
    /// Requests that may be sent again, but were on a new connection when php-fpm was stopped: answered with an error.
    lost: u64,
    /// Responses that were cut in the middle, which the client noticed.
    cut: u64,
    /// Requests whose client left before the answer.
    left: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.lost += other.lost;
        self.cut += other.cut;
        self.left += other.left;
    }
}

/// Runs all clients until `end`, and `beside` at the same time.
fn run(proxy: &Proxy, end: Instant, mut beside: impl FnMut(Duration)) -> Tally {
    let kinds: [fn(&mut Client<'_>); CLIENTS as usize] = [
        read,
        read,
        read,
        pipeline,
        put,
        post,
        post_chunks,
        stream,
        look_at_file,
        leave,
    ];
    let is_over = AtomicBool::new(false);
    let is_over = &is_over;
    std::thread::scope(|scope| {
        let clients: Vec<_> = kinds
            .into_iter()
            .enumerate()
            .map(|(index, kind)| {
                scope.spawn(move || {
                    let mut client = Client::new(proxy, index);
                    while Instant::now() < end && !is_over.load(Ordering::Relaxed) {
                        kind(&mut client);
                    }
                    client.tally
                })
            })
            .collect();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            beside(left);
            if clients.iter().any(|client| client.is_finished()) {
                break;
            }
        }
        // A client that found a fault ends before the others.
        is_over.store(true, Ordering::Relaxed);
        let mut tally = Tally::default();
        for client in clients {
            tally += client.join().expect("a client that found no fault");
        }
        tally
    })
}

/// A client with one connection; each of its requests has a tag of its own.
struct Client<'p> {
    proxy: &'p Proxy,
    browser: HttpClient,
    index: usize,
    count: usize,
    tally: Tally,
}

impl<'p> Client<'p> {
    fn new(proxy: &'p Proxy, index: usize) -> Self {
        Self {
            proxy,
            browser: proxy.connect(),
            index,
            count: 0,
            tally: Tally::default(),
        }
    }

    fn tag(&mut self) -> String {
        self.count += 1;
        format!("client-{}-request-{}-", self.index, self.count)
    }

    /// The next answer. If the connection ends with it, a new one is made.
    fn answer(&mut self) -> Answer {
        let answer = self.browser.answer();
        if !answer.is_whole || answer.field("connection") == Some("close") {
            self.browser = self.proxy.connect();
        }
        answer
    }

    /// A request that may be sent again is answered with its own tag, or it was on a new connection and is answered
    /// with an error.
    fn expect(&mut self, expected: &str) {
        let answer = self.answer();
        if answer.status == 502 {
            self.tally.lost += 1;
            return;
        }
        let got = (answer.status, answer.is_whole, answer.text());
        assert_eq!(got, (200, true, expected.to_owned()), "a request was lost");
        self.tally.answered += 1;
    }

    /// A request that may not be sent again is answered with its own tag, or with an error.
    fn expect_or_error(&mut self, expected: &str) {
        let answer = self.answer();
        match answer.status {
            200 if answer.is_whole => {
                assert_eq!(answer.text(), expected);
                self.tally.answered += 1;
            }
            200 => {
                assert!(expected.starts_with(&answer.text()));
                self.tally.cut += 1;
            }
            502 | 503 => self.tally.refused += 1,
            status => panic!("{status}: {}", answer.text()),
        }
    }
}

fn read(client: &mut Client<'_>) {
    let tag = client.tag();
    let wait = 1000 * (client.count % 20);
    client
        .browser
        .send(get(&format!("/tag.php?tag={tag}&us={wait}")));
    client.expect(&format!("GET {tag} 0"));
}

/// Requests pipelined on one connection.
fn pipeline(client: &mut Client<'_>) {
    let tags: Vec<String> = (0..10).map(|_| client.tag()).collect();
    let requests = tags
        .iter()
        .map(|tag| get(&format!("/tag.php?tag={tag}&us=1000")));
    client.browser.send(requests.collect::<String>());
    for tag in tags {
        client.expect(&format!("GET {tag} 0"));
    }
}

/// A request with a body that can be sent again.
fn put(client: &mut Client<'_>) {
    let tag = client.tag();
    let body = "x".repeat(1 + 97 * client.count % 10_000);
    let len = body.len();
    client.browser.send(format!(
        "PUT /tag.php?tag={tag}&us=2000 HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n{body}"
    ));
    client.expect(&format!("PUT {tag} {len}"));
}

fn post(client: &mut Client<'_>) {
    let tag = client.tag();
    let body = "x".repeat(1 + 9973 * client.count % 300_000);
    let len = body.len();
    client.browser.send(format!(
        "POST /tag.php?tag={tag}&us=2000 HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n{body}"
    ));
    client.expect_or_error(&format!("POST {tag} {len}"));
}

fn post_chunks(client: &mut Client<'_>) {
    let tag = client.tag();
    let chunk = "x".repeat(1 + 9973 * client.count % 150_000);
    let len = chunk.len();
    client.browser.send(format!(
        "POST /tag.php?tag={tag}&us=2000 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
         {len:x}\r\n{chunk}\r\n0\r\n\r\n"
    ));
    client.expect_or_error(&format!("POST {tag} {len}"));
}

/// A long answer that repeats its tag: it is whole, or the client sees that it was cut.
fn stream(client: &mut Client<'_>) {
    let tag = client.tag();
    client.browser.send(get(&format!("/long.php?tag={tag}")));
    client.expect_or_error(&tag.repeat(LONG));
}

fn look_at_file(client: &mut Client<'_>) {
    client.browser.send(get("/file.bin"));
    let answer = client.answer();
    assert!(answer.status == 200 && answer.body == pattern(FILE_LEN));
    client.tally.answered += 1;
    std::thread::sleep(Duration::from_millis(5));
}

/// Leaves at some point during its request.
fn leave(client: &mut Client<'_>) {
    let tag = client.tag();
    let request = match client.count % 3 {
        0 => get(&format!("/tag.php?tag={tag}&us=20000")),
        1 => get(&format!("/long.php?tag={tag}")),
        _ => {
            format!("POST /tag.php?tag={tag} HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nx")
        }
    };
    client.browser.send(request);
    std::thread::sleep(Duration::from_millis(client.count as u64 % 11));
    client.browser = client.proxy.connect();
    client.tally.left += 1;
}

/// Descriptors and memory once all clients and idle connections are gone.
fn at_rest(proxy: &Proxy) -> (usize, u64) {
    for name in [
        "requests.in_flight",
        "requests.queued",
        "requests.aborting",
        "pool.busy",
        "pool.idle",
    ] {
        proxy.wait_for_figure(name, 0);
    }
    proxy.wait_for_figure("server.clients", 1);
    (proxy.descriptors(), proxy.resident())
}

fn root() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &[u8]| {
        fs::write(root.path().join(name), content).expect("a file");
    };
    write(
        "tag.php",
        b"<?php usleep((int) ($_GET['us'] ?? 0)); $len = strlen(file_get_contents('php://input'));
        print $_SERVER['REQUEST_METHOD'] . ' ' . $_GET['tag'] . ' ' . $len;",
    );
    let long = format!("<?php for ($i = 0; $i < {LONG}; $i++) print $_GET['tag'];");
    write("long.php", long.as_bytes());
    write("file.bin", &pattern(FILE_LEN));
    root
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("a number of seconds"),
        Err(_) => default,
    }
}

/// How often a long answer repeats its tag.
const LONG: usize = 50_000;

const FILE_LEN: usize = 200_003;

/// How much more memory the second run may hold than the first.
const MEMORY_GROWTH: u64 = 8 * 1024 * 1024;
