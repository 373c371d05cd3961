//! A thousand clients at once: slow ones, and more than there are descriptors. One test at a time, since each fills up to
//! a gigabyte of the system's socket buffers.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

use crate::http::{HttpClient, Proxy, TIME_LIMIT, get, pattern};
use crate::program::{Server, example};

const CLIENTS: usize = 1000;

/// The length of the response that is read slowly.
const LEN: usize = 16 * 1024 * 1024;

/// The memory that the proxy may use for all slow readers.
const MEMORY: u64 = 128 * 1024 * 1024;

#[test]
#[ignore = "takes thousands of connections; run tests/run"]
fn slow_readers_cost_little_memory_and_hold_up_nobody() {
    let _turn = take_turn();
    // One connection for each request, as php-fpm needs it, and then shared connections.
    for multiplex in ["off", "auto"] {
        let responder = responder();
        let more = ["--multiplex", multiplex, "--max-conns", "1100"];
        let proxy = demo(&responder, &[&more[..], PATIENT].concat());
        let target = format!("/big?size={LEN}");
        let mut slow = Slow::ask(&proxy, &target);
        assert_newcomers_wait_little(&proxy, &mut slow, &target);
        let shares = multiplex != "off";
        let slow = read_slowly(&proxy, slow, shares);
        // On a shared connection, clients that read wait for those that do not.
        if !shares {
            slow.read_all_of_some();
        } else {
            drop(slow);
        }
        proxy.wait_for_figure("requests.in_flight", 0);
    }
}

#[test]
#[ignore = "takes thousands of connections; run tests/run"]
fn slow_readers_of_a_file_hold_up_nobody() {
    let _turn = take_turn();
    let responder = responder();
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("file.bin"), pattern(LEN)).expect("a file");
    std::fs::write(root.path().join("index.php"), "").expect("a file");
    let root = root.path().to_str().expect("UTF-8");
    let fixed = ["--upstream", &responder.address, "--root", root];
    let more = ["--fallback", "/index.php", "--no-access-log", "--status"];
    let proxy = Proxy::start(&[&fixed[..], &more, PATIENT].concat());
    let slow = Slow::ask(&proxy, "/file.bin");
    read_slowly(&proxy, slow, false).read_all_of_some();
    proxy.wait_for_figure("server.clients", 1);
}

#[test]
#[ignore = "takes thousands of connections; run tests/run"]
fn more_clients_than_descriptors_wait_and_are_all_served() {
    let _turn = take_turn();
    let responder = responder();
    let proxy = with_few_descriptors(&responder, &["--max-conns", "32"]);
    for _ in 0..2 {
        signal(&responder, Signal::STOP);
        let mut browsers = ask_for_tags(&proxy, 0);
        // Until as many clients as possible are accepted, and none is answered. A quarter of the descriptors is for files.
        proxy.wait_for_descriptors(|open| open > 150);
        proxy.wait_for_rest();
        assert!(proxy.descriptors() <= 256);
        signal(&responder, Signal::CONT);
        for (index, browser) in browsers.iter_mut().enumerate() {
            let answer = browser.answer();
            let got = (answer.status, answer.text());
            assert_eq!(got, (200, format!("n{index}")));
        }
        drop(browsers);
        proxy.wait_for_figure("server.clients", 1);
        assert_recovered(&proxy);
    }
}

#[test]
#[ignore = "takes thousands of connections; run tests/run"]
fn a_crowd_before_a_short_queue_is_told_to_come_again() {
    let _turn = take_turn();
    let responder = responder();
    let queue = ["--multiplex", "off", "--max-conns", "8", "--queue", "8"];
    let proxy = with_few_descriptors(&responder, &queue);
    let mut browsers = ask_for_tags(&proxy, 20);
    let mut statuses = BTreeMap::new();
    for (index, browser) in browsers.iter_mut().enumerate() {
        let answer = browser.answer();
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 200 {
            assert_eq!(answer.text(), format!("n{index}"));
        } else {
            assert_eq!(answer.field("retry-after"), Some("1"), "{answer:?}");
        }
    }
    println!("{statuses:?}");
    let known: Vec<u16> = statuses.keys().copied().collect();
    assert_eq!(known, [200, 503], "{statuses:?}");
    drop(browsers);
    proxy.wait_for_figure("server.clients", 1);
    assert_recovered(&proxy);
}

/// Checks that everything is as it was before the crowd.
fn assert_recovered(proxy: &Proxy) {
    for index in 0..50 {
        let answer = proxy.get(&format!("/tag?tag=n{index}"));
        assert_eq!((answer.status, answer.text()), (200, format!("n{index}")));
    }
    assert_eq!(proxy.figure("requests.in_flight"), 0);
    proxy.wait_for_descriptors(|open| open < 40);
}

/// A client for each number that asks for a tag of its own, which takes its time.
fn ask_for_tags(proxy: &Proxy, delay: u32) -> Vec<HttpClient> {
    let clients = (0..CLIENTS).map(|index| {
        let mut browser = proxy.connect();
        browser.send(get(&format!("/tag?tag=n{index}&delay={delay}")));
        browser
    });
    clients.collect()
}

/// Responses that fill the system's buffers are on their way to all clients. A newcomer waits for only a part of them.
fn assert_newcomers_wait_little(proxy: &Proxy, slow: &mut Slow, target: &str) {
    let mut received = vec![proxy.figure("bytes.received")];
    for _ in 0..20 {
        // The buffers of all earlier clients may be full by now.
        slow.0.push(Slow::ask_one(proxy, target));
        // On a connection of its own.
        received.push(proxy.figure("bytes.received"));
    }
    let waited = received.windows(2).map(|two| two[1] - two[0]).max();
    let all = received[20];
    println!("while a newcomer waits, {waited:?} bytes come for others, of {all} so far");
    assert!(waited > Some(0), "nothing went on: {received:?}");
    assert!(waited < Some(NEWCOMER), "{received:?}");
}

/// Quick requests are served while all other clients read a long response little by little. No client is cut off, and
/// the memory used for all of them is bounded.
///
/// On shared connections a quick request may come between slow ones before those have stopped. It then waits until some
/// of them have read.
fn read_slowly(proxy: &Proxy, mut slow: Slow, shares: bool) -> Slow {
    let mut read = 0;
    for round in 0..ROUNDS {
        for index in 0..QUICK {
            let tag = format!("n{round}.{index}");
            let mut browser = proxy.connect();
            browser.send(get(&format!("/tag?tag={tag}")));
            while shares && !comes_soon(&browser) {
                read += slow.read_some();
            }
            assert_eq!(browser.answer().text(), tag);
        }
        read += slow.read_some();
        assert!(proxy.resident() < MEMORY, "{} bytes", proxy.resident());
    }
    let (least, whole) = (ROUNDS * CLIENTS * PIECE / 2, CLIENTS * LEN);
    assert!(read > least, "{read} bytes: they do not come on");
    assert!(read < whole / 10, "{read} bytes: they are not slow");
    let highest = proxy.memory("VmHWM:");
    assert!(highest < MEMORY, "{highest} bytes");
    println!(
        "{} quick answers, {read} of {whole} bytes read slowly, {highest} bytes resident at most",
        ROUNDS * QUICK
    );
    slow
}

/// Whether there is an answer within a second.
fn comes_soon(browser: &HttpClient) -> bool {
    let stream = &browser.stream;
    stream.set_read_timeout(Some(SOON)).expect("a socket");
    let seen = stream.peek(&mut [0]);
    stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
    seen.is_ok()
}

/// On a busy machine the slow readers take very long.
const PATIENT: &[&str] = &["--client-timeout", "600"];

/// Clients that have asked for something long.
struct Slow(Vec<HttpClient>);

impl Slow {
    fn ask(proxy: &Proxy, target: &str) -> Self {
        Self((0..CLIENTS).map(|_| Self::ask_one(proxy, target)).collect())
    }

    fn ask_one(proxy: &Proxy, target: &str) -> HttpClient {
        let mut browser = proxy.connect_narrow();
        browser.send(get(target));
        browser
    }

    /// All but the first clients read a piece, if there is one. Returns how many bytes they read.
    fn read_some(&mut self) -> usize {
        let mut piece = [0; PIECE];
        let mut read = 0;
        for browser in &mut self.0[WHOLE..] {
            browser.stream.set_nonblocking(true).expect("a socket");
            match browser.stream.read(&mut piece) {
                Ok(0) => panic!("a slow reader was cut off"),
                Ok(len) => read += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("a slow reader was cut off: {error}"),
            }
            browser.stream.set_nonblocking(false).expect("a socket");
        }
        read
    }

    /// The first clients read to the end.
    fn read_all_of_some(mut self) {
        for browser in &mut self.0[..WHOLE] {
            let answer = browser.answer();
            assert!(answer.is_whole && answer.body == pattern(LEN));
        }
    }
}

/// The demo application as a process of its own, so that its memory is not the proxy's.
fn responder() -> Server {
    Server::start(example("responder").args(["--listen", "127.0.0.1:0"]))
}

fn demo(responder: &Server, more: &[&str]) -> Proxy {
    let fixed = ["--fallback", "/index.php", "--no-access-log", "--status"];
    Proxy::in_front_of(&responder.address, &[&fixed[..], more].concat())
}

fn signal(responder: &Server, signal: Signal) {
    kill_process(Pid::from_child(&responder.child), signal).expect("it lives");
}

/// A proxy that may have 256 descriptors and cannot raise that limit.
fn with_few_descriptors(responder: &Server, more: &[&str]) -> Proxy {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""]);
    command.arg(example("proxy").get_program());
    command.args(["--upstream", &responder.address, "--root", "/srv/www"]);
    command.args(["--remote", "--fallback", "/index.php"]);
    command.args(["--no-access-log", "--status"]).args(more);
    let proxy = Proxy::launch(command);
    proxy.wait_for_log("proxy: the system allows 256 open files");
    proxy
}

/// Waits until no other test of this file runs, and raises the limit for this process and those it starts.
fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit");
    let is_enough = limit.maximum.is_none_or(|most| most >= 4096);
    assert!(is_enough, "4096 open files are needed (ulimit -Hn)");
    turn
}

/// The number of rounds, the quick requests of each round, and the bytes that a slow reader reads in each.
const ROUNDS: usize = 10;
const QUICK: usize = 100;
const PIECE: usize = 4096;

/// Bytes that may arrive for other requests while one request is accepted, sent and answered: usually 10 to 20 MB, and
/// more if the test gets no processor time meanwhile. The buffers of all clients hold more than twice as much.
const NEWCOMER: u64 = 256 * 1024 * 1024;

const SOON: Duration = Duration::from_secs(1);

/// Slow readers that read everything in the end.
const WHOLE: usize = 4;
