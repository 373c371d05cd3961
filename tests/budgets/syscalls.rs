//! System calls, by strace: how many the client and the proxy make per request, and what follows from one that fails.
//!
//! `cargo test --test budgets -- --ignored --nocapture` prints the counts; strace has to be installed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::app::{self, Options, Running};
use crate::program;
use rustix::process::{Pid, Signal, kill_process};

/// System calls per request.
#[derive(Clone, Copy, Debug)]
struct Calls {
    reads: f64,
    writes: f64,
    waits: f64,
    /// All other calls.
    others: f64,
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn saturated_connections_cost_one_read_and_one_write_for_each_request() {
    let calls = count(1000, "--conns 64 --inflight 64 --multiplex off");
    within(calls, [1.0, 1.0, 1.0]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn one_request_at_a_time_costs_a_read_a_write_and_a_wait() {
    let calls = count(500, "--conns 1 --inflight 1 --multiplex off");
    // When the request was read, the socket becomes writable, which is an edge of its own: it is seen together with the
    // answer or before it.
    within(calls, [1.0, 1.0, 2.0]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn requests_that_share_a_connection_share_its_system_calls() {
    let calls = count(20_000, "--conns 4 --inflight 4096 --multiplex on");
    within(calls, [0.05, 0.05, 0.05]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn the_end_of_a_body_takes_no_write_of_its_own() {
    // The head, the body and its end fit the socket. Before the request leaves, the connection is read once more.
    for len in [65_528, 65_536, 131_072] {
        let load = format!("--conns 1 --inflight 1 --multiplex off --stdin {len}");
        within(count(200, &load), [2.0, 1.0, 3.0]);
    }
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_mebibyte_up_takes_as_many_writes_as_the_socket_makes_of_it() {
    let calls = count(50, "--conns 1 --inflight 1 --multiplex off --stdin 1048576");
    // Of 208 KiB, which a Unix socket holds by default, the kernel takes what is free: 8 KiB at least. Before a request that
    // may not be sent again leaves on a connection that has served, it is read once more.
    within(calls, [2.0, 128.0, 128.0]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_mebibyte_down_comes_in_large_reads_on_one_connection() {
    // With a wait after each read there would be 17 waits, the number of reads of 64 KiB.
    large_answers("--conns 1 --inflight 1", 8.5);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_mebibyte_down_comes_in_large_reads_on_four_connections() {
    // With a wait after each round, four connections would make 4.25 waits.
    large_answers("--conns 4 --inflight 4", 3.0);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn the_proxy_reads_and_writes_twice_for_each_request() {
    // The request from the client and to the application, the answer back.
    for clients in [64, 256] {
        proxied(clients, EACH_ALONE, [2.0, 2.0, 0.2]);
    }
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn the_proxy_reads_and_writes_once_for_each_request_where_they_share_connections() {
    // What the application is sent and what it answers is shared by all clients that are there at the same time.
    for clients in [64, 256] {
        proxied(clients, "--multiplex on --max-conns 8", [1.1, 1.1, 0.2]);
    }
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn the_proxy_takes_a_short_upload_in_one_read_and_passes_it_on_in_one_write() {
    let load = Load {
        clients: 16,
        rounds: 8,
        request: upload(64 * 1024),
        ..Load::default()
    };
    // A connection is read once before a request that may not be sent again leaves on it.
    for mode in ["on", "off"] {
        let arguments = format!("{EACH_ALONE} --buffer-request {mode}");
        // How often the proxy has to wait says how fast the clients are.
        load_proxy(load.clone(), &arguments, [3.0, 2.0, 1.0]);
    }
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn the_proxy_passes_a_long_upload_on_in_one_write_for_each_read() {
    let load = Load {
        clients: 4,
        rounds: 8,
        request: upload(MIB),
        ..Load::default()
    };
    // Nine reads of 128 KiB, one of the answer, and one before the request leaves. The socket may be full in between: then
    // what it does not take needs a write of its own.
    let arguments = format!("{EACH_ALONE} --buffer-request off");
    load_proxy(load, &arguments, [12.0, 14.0, 8.0]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn the_proxy_writes_a_long_answer_once_for_each_read() {
    let load = Load {
        clients: 16,
        rounds: 8,
        answer_len: 100 * 1024,
        ..Load::default()
    };
    // The request, and the answer in two reads and in two writes. Some come in three, as the application is at work.
    load_proxy(load, EACH_ALONE, [3.3, 3.3, 0.5]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn the_proxy_sends_a_file_in_one_write_after_its_head_and_does_not_read_it() {
    let root = tempfile::tempdir().expect("a directory");
    let answer_len = 200 * 1024;
    std::fs::write(root.path().join("a.bin"), vec![b'x'; answer_len]).expect("a file");
    let load = Load {
        clients: 16,
        rounds: 8,
        request: b"GET /a.bin HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(),
        answer_len,
        root: Some(root.path().to_owned()),
    };
    load_proxy(load, "--multiplex off", [1.0, 2.3, 0.5]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_client_is_let_in_although_the_first_accept_failed() {
    for error in ["EINTR", "ECONNABORTED"] {
        let mut strace = Command::new("strace");
        // With -D the child process is the program itself, and not strace.
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4"]);
        strace
            .arg("-e")
            .arg(format!("inject=accept4:error={error}:when=1"));
        strace.arg(program::path("embed")).arg("127.0.0.1:0");
        let mut embed = strace
            .stdout(Stdio::piped())
            .spawn()
            .expect("strace starts");
        let mut line = String::new();
        let stdout = embed.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("an address");
        let mut client = TcpStream::connect(address).expect("it listens");
        client
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket");
        client.write_all(b"/tag?tag=hello\n").expect("a socket");
        let mut answer = String::new();
        let answered = BufReader::new(client).read_line(&mut answer);
        embed.kill().expect("ours");
        embed.wait().expect("ours");
        assert!(answered.is_ok(), "{error}: {answered:?}");
        assert_eq!(answer, "200 5\n", "{error}");
    }
}

/// Checks the calls for answers of 1 MiB. A read takes what is there. On a busy machine the application may write only
/// one piece of 32 KiB before each read, so the count is tried again.
#[track_caller]
fn large_answers(load: &str, most_waits: f64) {
    let arguments = format!("{load} --multiplex off --body-expected {MIB}");
    let options = Options {
        bench_body_len: MIB,
        ..Options::default()
    };
    for _ in 0..4 {
        let calls = count_with(options.clone(), 100, &arguments);
        println!("per request: {calls:.3?}");
        // Each read was announced, or the socket was not empty; and there is an edge when a request has left.
        assert!(calls.writes <= 1.05 && calls.waits <= calls.reads + 2.0);
        if calls.reads <= 20.0 && calls.waits <= most_waits {
            return;
        }
    }
    panic!("more than 20 reads or {most_waits} waits each time");
}

/// Checks the proxy's calls for small requests of so many clients, and that it makes no others. How many clients are
/// ready at the same time depends on the machine, so the count is tried again.
#[track_caller]
fn proxied(clients: usize, arguments: &str, budget: [f64; 3]) {
    let load = Load {
        clients,
        rounds: 2048 / clients,
        ..Load::default()
    };
    load_proxy(load, arguments, budget);
}

/// A request with a body of this length.
fn upload(len: usize) -> Vec<u8> {
    let head = format!("POST /bench HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; len]].concat()
}

/// As [`proxied`], with other requests and answers.
#[track_caller]
fn load_proxy(load: Load, arguments: &str, [reads, writes, waits]: [f64; 3]) {
    let options = Options {
        bench_body_len: load.answer_len,
        ..Options::default()
    };
    let application = app::spawn(options).expect("a socket and a thread");
    let others = load.root.as_ref().map_or(OTHERS, |_| OF_A_FILE);
    let longer = Load {
        rounds: 3 * load.rounds,
        ..load.clone()
    };
    for _ in 0..4 {
        let few = trace_proxy(&application, &load, arguments);
        let many = trace_proxy(&application, &longer, arguments);
        let calls = per_request(&few, &many, 2 * load.rounds * load.clients);
        println!("per request of {} clients: {calls:.3?}", load.clients);
        let is_within = |calls: f64, budget: f64| calls <= budget * 1.05;
        if is_within(calls.reads, reads)
            && is_within(calls.writes, writes)
            && is_within(calls.waits, waits)
            && is_within(calls.others, others)
        {
            return;
        }
    }
    panic!("more than {reads} reads, {writes} writes, {waits} waits or {others} others each time");
}

/// Checks that no figure is more than a twentieth above its budget: the application's answers may come cut.
#[track_caller]
fn within(calls: Calls, budget: [f64; 3]) {
    println!("per request: {calls:.3?}");
    for (calls, budget) in [calls.reads, calls.writes, calls.waits].iter().zip(budget) {
        assert!(*calls <= budget * 1.05, "more than {budget}: {calls:.3}");
    }
}

/// The calls per request: the difference between a run of N requests and one of three times as many.
fn count(requests: u64, arguments: &str) -> Calls {
    count_with(Options::default(), requests, arguments)
}

/// As [`count`], with an application of these options.
fn count_with(options: Options, requests: u64, arguments: &str) -> Calls {
    let application = app::spawn(options).expect("a socket and a thread");
    let few = trace(&application, requests, arguments);
    let many = trace(&application, 3 * requests, arguments);
    per_request(&few, &many, 2 * requests as usize)
}

/// The calls for each of the requests that the second run had more than the first.
fn per_request(few: &HashMap<String, f64>, many: &HashMap<String, f64>, more: usize) -> Calls {
    let is_named = |names: &[&str], name: &String| names.contains(&name.as_str());
    let of = |meets_precondition: &dyn Fn(&String) -> bool| {
        let sum = |run: &HashMap<String, f64>| {
            let meant = run.iter().filter(|(name, _)| meets_precondition(name));
            meant.map(|(_, calls)| calls).sum::<f64>()
        };
        (sum(many) - sum(few)) / more as f64
    };
    let named = |names: &[&str]| {
        let is_there = many.keys().any(|name| is_named(names, name));
        assert!(is_there, "none of {names:?}");
        of(&|name| is_named(names, name))
    };
    Calls {
        reads: named(READS),
        writes: named(WRITES),
        waits: named(WAITS),
        others: of(&|name| !is_named(&[READS, WRITES, WAITS, NOT_COUNTED].concat(), name)),
    }
}

/// Runs the load; the calls by name.
fn trace(application: &Running, requests: u64, arguments: &str) -> HashMap<String, f64> {
    let dir = tempfile::tempdir().expect("a directory");
    let table = dir.path().join("table");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .arg(program::path("load"));
    strace.args(["--connect", &application.address().to_string()]);
    strace.args(["--json", "--requests", &requests.to_string()]);
    strace.args(arguments.split(' '));
    let output = strace.output().expect("strace starts");
    assert!(output.status.success(), "{output:?}");
    read_table(&table)
}

/// Runs the proxy, sends N requests from each client, and ends the proxy. Returns the calls by name.
fn trace_proxy(application: &Running, load: &Load, arguments: &str) -> HashMap<String, f64> {
    let dir = tempfile::tempdir().expect("a directory");
    let table = dir.path().join("table");
    let mut strace = Command::new("strace");
    // With -D the child process is the program itself, and not strace.
    strace
        .args(["-D", "-f", "-c", "-o"])
        .arg(&table)
        .arg(program::path("proxy"));
    strace.args(["--upstream", &application.address().to_string()]);
    match &load.root {
        Some(root) => strace.arg("--root").arg(root),
        None => strace.args(["--root", "/srv/www", "--remote", "--fallback", "/x.php"]),
    };
    strace.args(["--listen", "127.0.0.1:0", "--no-access-log"]);
    // Below strace, on a busy machine, 256 connections take a while.
    for limit in [
        "queue",
        "connect",
        "connect-retry",
        "read",
        "write",
        "keepalive",
        "client",
        "idle",
    ] {
        strace.args([format!("--{limit}-timeout"), "3600".to_owned()]);
    }
    strace.args(arguments.split(' '));
    let child = strace.stdout(Stdio::piped()).spawn();
    let mut proxy = KilledAtLast(child.expect("strace starts"));
    let mut line = String::new();
    let stdout = proxy.0.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on http://");
    let address = address.expect("an address");
    let connect = |_| {
        let client = TcpStream::connect(address).expect("it listens");
        let time_limit = Some(Duration::from_secs(600));
        client.set_read_timeout(time_limit).expect("a socket");
        client
    };
    let mut clients: Vec<TcpStream> = (0..load.clients).map(connect).collect();
    for _ in 0..load.rounds {
        for client in &mut clients {
            client.write_all(&load.request).expect("it reads");
        }
        for client in &mut clients {
            read_answer(client, load.answer_len);
        }
    }
    kill_process(Pid::from_child(&proxy.0), Signal::TERM).expect("it lives");
    assert!(proxy.0.wait().expect("a child").success());
    // strace writes the table after that, and is not a child that can be waited for.
    let began = Instant::now();
    while !std::fs::read_to_string(&table).is_ok_and(|text| text.trim_end().ends_with(" total")) {
        assert!(began.elapsed() < Duration::from_secs(60), "no table");
        std::thread::sleep(Duration::from_millis(5));
    }
    read_table(&table)
}

/// A program that is killed when the test ends, however that happens.
struct KilledAtLast(Child);

impl Drop for KilledAtLast {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads one answer with a body of this length.
fn read_answer(client: &mut TcpStream, body_len: usize) {
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let len = client.read(&mut piece).expect("an answer");
        assert!(len > 0, "the proxy closes after {} bytes", answer.len());
        answer.extend_from_slice(&piece[..len]);
        let is_ok = answer.len() < 12 || answer.starts_with(b"HTTP/1.1 200");
        assert!(is_ok, "{}", answer.escape_ascii());
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
        if end.is_some_and(|end| answer.len() == end + 4 + body_len) {
            return;
        }
    }
}

/// The calls by name in the table that strace has written.
fn read_table(table: &Path) -> HashMap<String, f64> {
    let text = std::fs::read_to_string(table).expect("a table");
    // % time, seconds, usecs/call, calls, errors where there are some, syscall
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (name, calls) = (columns.last()?, columns.get(3)?);
        Some((name.to_string(), calls.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// What the clients of a proxy do.
#[derive(Clone)]
struct Load {
    clients: usize,
    /// Requests of each client.
    rounds: usize,
    request: Vec<u8>,
    /// The length of the answer.
    answer_len: usize,
    /// Where the files are that are asked for. `None`: an application is asked.
    root: Option<PathBuf>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            clients: 1,
            rounds: 1,
            request: b"GET /bench HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n".to_vec(),
            answer_len: Options::default().bench_body_len,
            root: None,
        }
    }
}

const EACH_ALONE: &str = "--multiplex off --max-conns 256 --max-idle 256";

/// How many other calls the proxy may make per request: connections may be opened in one run and not in the other.
const OTHERS: f64 = 0.2;

/// To look for a file, to open and to close it.
const OF_A_FILE: f64 = 8.0;

const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg"];
const WRITES: &[&str] = &["write", "writev", "sendto", "sendmsg", "sendfile"];
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2"];
/// The table's sum line, and reads of the clock, which are system calls on some machines.
const NOT_COUNTED: &[&str] = &["total", "clock_gettime"];

const MIB: usize = 1024 * 1024;
