//! System calls, by strace: how many the client makes for each request, and what becomes of one that fails.
//!
//! `cargo test --test syscalls -- --ignored --nocapture` prints the counts; strace has to be installed.

#![cfg(target_os = "linux")]

#[path = "../examples/responder/app.rs"]
mod app;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use app::{Options, Running};

/// System calls per request.
#[derive(Clone, Copy, Debug)]
struct Calls {
    reads: f64,
    writes: f64,
    waits: f64,
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
    // That the socket has room again, once the request was read, is an edge of its own: seen together with the answer,
    // or before it.
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
fn a_mebibyte_up_takes_as_many_writes_as_the_socket_makes_of_it() {
    let calls = count(50, "--conns 1 --inflight 1 --multiplex off --stdin 1048576");
    // Of 208 KiB, which a Unix socket holds by default, the kernel takes what is free: 8 KiB at least.
    within(calls, [1.0, 128.0, 128.0]);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_mebibyte_down_comes_in_large_reads_on_one_connection() {
    // A look at the poll after each read would be 17 of them, which are all that 64 KiB a read make of it.
    large_answers("--conns 1 --inflight 1", 8.5);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_mebibyte_down_comes_in_large_reads_on_four_connections() {
    // The same on four would be 4.25.
    large_answers("--conns 4 --inflight 4", 3.0);
}

#[test]
#[ignore = "needs strace: tests/run installs it"]
fn a_guest_is_let_in_although_the_first_accept_failed() {
    for error in ["EINTR", "ECONNABORTED"] {
        let mut strace = Command::new("strace");
        // With -D what is started here is the program itself.
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4"]);
        strace
            .arg("-e")
            .arg(format!("inject=accept4:error={error}:when=1"));
        strace.arg(example("embed")).arg("127.0.0.1:0");
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
        let mut guest = TcpStream::connect(address).expect("it listens");
        guest
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket");
        guest.write_all(b"/tag?tag=hello\n").expect("a socket");
        let mut answer = String::new();
        let answered = BufReader::new(guest).read_line(&mut answer);
        embed.kill().expect("ours");
        embed.wait().expect("ours");
        assert!(answered.is_ok(), "{error}: {answered:?}");
        assert_eq!(answer, "200 5\n", "{error}");
    }
}

/// Checks the calls for answers of 1 MiB. A read takes what is there: on a busy machine the application may get no further
/// than to one piece of 32 KiB before each is waited for and read, of which another attempt knows nothing.
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

/// Checks that no figure is more than a twentieth above its budget: the application's answers may come cut.
#[track_caller]
fn within(calls: Calls, budget: [f64; 3]) {
    println!("per request: {calls:.3?}");
    for (calls, budget) in [calls.reads, calls.writes, calls.waits].iter().zip(budget) {
        assert!(*calls <= budget * 1.05, "more than {budget}: {calls:.3}");
    }
}

/// The calls per request between a run of so many requests and one of three times as many.
fn count(requests: u64, arguments: &str) -> Calls {
    count_with(Options::default(), requests, arguments)
}

/// As [`count`], with an application of these options.
fn count_with(options: Options, requests: u64, arguments: &str) -> Calls {
    let application = app::spawn(options).expect("a socket and a thread");
    let few = trace(&application, requests, arguments);
    let many = trace(&application, 3 * requests, arguments);
    let per_request = |names: &[&str]| {
        let sum = |run: &HashMap<String, f64>| names.iter().filter_map(|it| run.get(*it)).sum();
        let (few, many): (f64, f64) = (sum(&few), sum(&many));
        assert!(many > 0.0, "none of {names:?}");
        (many - few) / (2 * requests) as f64
    };
    Calls {
        reads: per_request(&["read", "readv", "recvfrom", "recvmsg"]),
        writes: per_request(&["write", "writev", "sendto", "sendmsg"]),
        waits: per_request(&["epoll_wait", "epoll_pwait", "epoll_pwait2"]),
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
        .arg(example("load"));
    strace.args(["--connect", &application.address().to_string()]);
    strace.args(["--json", "--requests", &requests.to_string()]);
    strace.args(arguments.split(' '));
    let output = strace.output().expect("strace starts");
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(&table).expect("a table");
    // % time, seconds, usecs/call, calls, errors where there are some, syscall
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (name, calls) = (columns.last()?, columns.get(3)?);
        Some((name.to_string(), calls.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

/// A program, built as it is now.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a path");
    let profile = own.ancestors().nth(2).expect("this test is in deps/");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", name]);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo starts").success());
    profile.join("examples").join(name)
}

const MIB: usize = 1024 * 1024;
