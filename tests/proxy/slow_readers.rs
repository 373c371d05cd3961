//! Clients that read their responses slowly, or not at all. The application has one worker: it sends one response after
//! the other, and each one to its end.

use super::harness::{Answer, HttpClient, Proxy, get, pattern};
use super::witness::witness;
use crate::program::example;

/// More than the system buffers for a client.
const LEN: usize = 12_000_000;

/// An application with one worker. What the target names is in the head of its response.
fn one_worker() -> String {
    witness(|request| {
        let target = request.param("REQUEST_URI");
        let mut output = b"Content-Type: a/b\r\n".to_vec();
        for (name, field) in [
            ("/sized", format!("Content-Length: {LEN}\r\n")),
            ("/unbuffered", "X-Accel-Buffering: no\r\n".to_owned()),
            ("/buffered", "X-Accel-Buffering: yes\r\n".to_owned()),
            (
                "/events",
                "Content-Type: text/event-stream; charset=utf-8\r\n".to_owned(),
            ),
        ] {
            if target == name {
                output.truncate(if name == "/events" { 0 } else { output.len() });
                output.extend_from_slice(field.as_bytes());
            }
        }
        output.extend_from_slice(b"\r\n");
        match target {
            "/quick" => output.extend_from_slice(b"quick"),
            _ => output.extend_from_slice(&pattern(LEN)),
        }
        output
    })
    .0
}

fn proxy(arguments: &[&str]) -> Proxy {
    Proxy::in_front_of(&one_worker(), &[&OPTIONS[..], arguments].concat())
}

const OPTIONS: [&str; 7] = [
    "--fallback",
    "/index.php",
    "--status",
    "--multiplex",
    "off",
    "--max-conns",
    "1",
];

/// A client that sends a request and does not read.
fn slow_reader(proxy: &Proxy, request: &str) -> HttpClient {
    let mut client = proxy.connect_narrow();
    client.send(request);
    client
}

fn assert_whole(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.is_whole && answer.body == pattern(LEN));
}

fn assert_nothing_kept(proxy: &Proxy) {
    for name in ["kept.memory", "kept.disk", "kept.files"] {
        proxy.wait_for_figure(name, 0);
    }
}

// case 154
// edge: as many clients that do not read their large responses as the application has workers | others are served; each response arrives whole
#[test]
fn clients_that_do_not_read_hold_no_worker() {
    let proxy = proxy(&[]);
    let requests = [
        get("/chunked"),
        get("/sized"),
        "GET /until-the-end HTTP/1.0\r\n\r\n".to_owned(),
    ];
    let slow = requests.map(|request| slow_reader(&proxy, &request));
    // The only worker sends each response to its end before it is asked for this one.
    assert_eq!(proxy.get("/quick").text(), "quick");
    proxy.wait_for_figure("requests.in_flight", 0);
    assert_eq!(proxy.figure("kept.files"), 3);
    assert_eq!(proxy.figure("kept.memory"), 0);
    for mut client in slow {
        assert_whole(&client.answer());
    }
    assert_nothing_kept(&proxy);
}

// edge: a request after one whose large response is not read | answered after it
#[test]
fn a_pipelined_request_is_answered_after_what_is_kept() {
    let proxy = proxy(&[]);
    let mut slow = slow_reader(&proxy, &(get("/chunked") + &get("/quick")));
    proxy.wait_for_figure("kept.files", 1);
    proxy.wait_for_figure("requests.in_flight", 0);
    assert_whole(&slow.answer());
    assert_eq!(slow.answer().text(), "quick");
}

// edge: a response longer than --buffer-response | the application waits from there on; the response arrives whole
#[test]
fn a_response_longer_than_the_limit_arrives_whole() {
    for limit in ["1m", "100000", "1"] {
        let proxy = proxy(&["--buffer-response", limit]);
        let mut slow = slow_reader(&proxy, &get("/chunked"));
        proxy.wait_for_figure("requests.paused", 1);
        let kept = proxy.figure("kept.disk");
        assert!(kept <= 1024 * 1024, "{kept} bytes");
        assert_eq!(kept > 0, limit != "1", "{kept} bytes");
        assert_whole(&slow.answer());
        assert_nothing_kept(&proxy);
        assert_eq!(proxy.get("/quick").text(), "quick");
    }
}

// edge: the largest --buffer-response | no limit
// edge: --buffer-response, --max-buffered or --max-on-disk of 0 | the application waits for clients that do not read, or files are used alone
#[test]
fn limits_of_zero_and_the_largest_ones_lose_nothing() {
    let most = u64::MAX.to_string();
    for (arguments, waits) in [
        (&["--buffer-response", "0"][..], true),
        (&["--max-on-disk", "0"], true),
        (&["--max-on-disk", "0", "--max-buffered", "0"], true),
        (&["--max-on-disk", "1"], true),
        (&["--max-buffered", "0"], false),
        (&["--max-buffered", "1"], false),
        (
            &[
                "--buffer-response",
                &most,
                "--max-on-disk",
                &most,
                "--max-buffered",
                &most,
            ],
            false,
        ),
    ] {
        let proxy = proxy(arguments);
        let mut slow = slow_reader(&proxy, &get("/chunked"));
        match waits {
            true => proxy.wait_for_figure("requests.paused", 1),
            false => assert_eq!(proxy.get("/quick").text(), "quick", "{arguments:?}"),
        }
        assert_whole(&slow.answer());
        assert_nothing_kept(&proxy);
        assert_eq!(proxy.get("/quick").text(), "quick", "{arguments:?}");
    }
}

// edge: no temporary file can be made, and a client does not read | the application waits, a line in the log; the response arrives whole
#[cfg(unix)]
#[test]
fn without_temporary_files_the_application_waits() {
    let mut command = example("proxy");
    let site = [
        "--upstream",
        &one_worker(),
        "--root",
        "/srv/www",
        "--remote",
    ];
    command
        .env("TMPDIR", "/nonexistent")
        .args([&site[..], &OPTIONS[..]].concat());
    let proxy = Proxy::launch(command);
    let mut slow = slow_reader(&proxy, &get("/chunked"));
    proxy.wait_for_figure("requests.paused", 1);
    assert_whole(&slow.answer());
    assert_nothing_kept(&proxy);
    let lines = proxy.log();
    let lines = lines
        .lines()
        .filter(|line| line.contains("cannot be kept in a file"));
    assert_eq!(lines.count(), 1);
}

/// A write beyond the limit would end the process with SIGXFSZ.
// edge: the longest file of ulimit -f is short, and a client does not read | the application waits from there on; the response arrives whole
#[cfg(target_os = "linux")]
#[test]
fn the_system_s_limit_of_a_file_is_kept_to() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    for most in [0, 1_000_000] {
        // Otherwise the log is a file, too.
        let proxy = proxy(&["--no-access-log"]);
        let pid = Pid::from_raw(proxy.pid() as i32).expect("a pid");
        let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
        let current = Some(most);
        prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum }).expect("ours");
        let mut slow = slow_reader(&proxy, &get("/chunked"));
        proxy.wait_for_figure("requests.paused", 1);
        assert_eq!(proxy.figure("kept.disk"), most);
        assert_whole(&slow.answer());
        assert_nothing_kept(&proxy);
    }
}

// edge: clients that do not read and then disconnect | what was kept for them is freed; the log has what they took
#[test]
fn what_is_kept_for_a_client_that_goes_away_is_freed() {
    // The first is complete. The second one is still being produced.
    for (limit, state) in [("100m", "requests.in_flight"), ("1m", "requests.paused")] {
        let proxy = proxy(&["--buffer-response", limit]);
        let slow = slow_reader(&proxy, &get("/sized"));
        proxy.wait_for_figure("kept.files", 1);
        proxy.wait_for_figure(state, u64::from(state == "requests.paused"));
        drop(slow);
        proxy.wait_for_figure("requests.in_flight", 0);
        assert_nothing_kept(&proxy);
        let line = "\"GET /sized HTTP/1.1\" 200 ";
        proxy.wait_for_log(line);
        let log = proxy.log();
        let len = log
            .split(line)
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let len: usize = len.and_then(|len| len.parse().ok()).expect("a length");
        assert!(len < LEN, "{len} bytes");
    }
}

// edge: X-Accel-Buffering: no, or an event stream, and a client that does not read | the application waits at once
#[test]
fn an_application_that_is_to_notice_its_client_is_not_buffered() {
    let proxy = proxy(&[]);
    for (target, waits) in [
        ("/unbuffered", true),
        ("/events", true),
        ("/buffered", false),
    ] {
        let mut slow = slow_reader(&proxy, &get(target));
        match waits {
            true => proxy.wait_for_figure("requests.paused", 1),
            false => assert_eq!(proxy.get("/quick").text(), "quick"),
        }
        assert_eq!(proxy.figure("kept.disk") > 0, !waits, "{target}");
        let answer = slow.answer();
        assert_whole(&answer);
        assert_eq!(answer.field("x-accel-buffering"), None);
        assert_nothing_kept(&proxy);
    }
}

// edge: 48 MB that are kept for clients that do not read | in files, memory bounded
#[cfg(target_os = "linux")]
#[test]
fn what_is_kept_costs_little_memory() {
    let proxy = proxy(&["--buffer-response", "1g"]);
    assert_eq!(proxy.get("/quick").text(), "quick");
    let before = proxy.resident();
    let slow = [(); 4].map(|()| slow_reader(&proxy, &get("/chunked")));
    assert_eq!(proxy.get("/quick").text(), "quick");
    let kept = proxy.figure("kept.disk");
    assert!(kept > 20_000_000, "{kept} bytes");
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 6_000_000, "{grown} bytes");
    for mut client in slow {
        assert_whole(&client.answer());
    }
}

/// The worker that is stopped has to send what it keeps.
// edge: SIGTERM while a response is kept for a client that does not read | the response arrives whole
#[cfg(unix)]
#[test]
fn what_is_kept_is_sent_before_a_stop() {
    let mut proxy = proxy(&["--shutdown-timeout", "600"]);
    let mut slow = slow_reader(&proxy, &get("/chunked"));
    proxy.wait_for_figure("requests.in_flight", 0);
    proxy.wait_for_figure("kept.files", 1);
    proxy.terminate();
    assert_whole(&slow.answer());
    slow.assert_closed();
    assert!(proxy.wait().success());
}
