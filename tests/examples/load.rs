//! The load generator as a process, against the demo application.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::app::{self, Options, Running};
use crate::program::example;
use serde_json::Value;

#[test]
fn as_many_requests_as_asked_for_go_over_as_many_connections() {
    let application = start(Options::default());
    for (more, extra) in [(&[][..], 0), (&["--raw"], 1)] {
        let before = application.counters();
        let mut arguments = vec!["--conns", "3", "--requests", "200", "--body-expected", "16"];
        arguments.extend(more);
        let figures = json(&application, &arguments);
        assert_eq!(figures["requests"], 200, "{figures}");
        assert_eq!(figures["errors"], 0, "{figures}");
        assert_eq!(figures["connections"], 3, "{figures}");
        for field in ["seconds", "rss_kb"] {
            assert!(figures[field].as_f64() > Some(0.0), "{field} of {figures}");
        }
        for field in ["cpu_user_s", "cpu_sys_s"] {
            assert!(figures[field].is_f64(), "{field} of {figures}");
        }
        let latencies = &figures["latency_us"];
        assert!(latencies["p50"].as_f64() > Some(0.0), "{figures}");
        assert!(
            latencies["p50"].as_f64() <= latencies["max"].as_f64(),
            "{figures}"
        );
        // With `--raw` the program sends one more request, to learn the length of a response.
        assert_eventually(|| {
            let after = application.counters();
            after.requests - before.requests == 200 + extra
                && after.connections - before.connections == 3
        });
    }
}

#[test]
fn raw_sends_and_receives_the_same_bytes_as_the_library() {
    let application = start(Options::default());
    let arguments = ["--requests", "50", "--stdin", "100000", "--conns", "2"];
    let with = json(&application, &arguments);
    let without = json(&application, &[&arguments[..], &["--raw"]].concat());
    for field in ["requests", "bytes_sent", "bytes_received"] {
        assert_eq!(with[field], without[field], "{field}");
    }
    assert!(with["bytes_sent"].as_u64() > Some(50 * 100_000), "{with}");
}

#[test]
fn requests_share_connections_where_the_application_can() {
    let application = start(Options::default());
    for raw in [&[][..], &["--raw"]] {
        let arguments = ["--conns", "2", "--inflight", "64", "--requests", "1000"];
        let figures = json(&application, &[&arguments[..], raw].concat());
        assert_eq!(figures["requests"], 1000);
        assert_eq!(figures["errors"], 0);
        assert_eq!(figures["connections"], 2);
    }
}

#[test]
fn an_application_that_does_not_multiplex_gets_one_request_at_a_time() {
    let application = start(Options {
        multiplex: false,
        ..Options::default()
    });
    for raw in [&[][..], &["--raw"]] {
        let arguments = ["--conns", "2", "--inflight", "64", "--requests", "300"];
        let figures = json(&application, &[&arguments[..], raw].concat());
        assert_eq!(figures["requests"], 300);
        assert_eq!(figures["errors"], 0, "{figures}");
        assert_eq!(figures["retries"], 0, "{figures}");
    }
}

#[test]
fn a_warm_up_is_sent_and_not_counted() {
    let application = start(Options::default());
    for (more, extra) in [(&[][..], 0), (&["--raw"], 1)] {
        let before = application.counters().requests;
        let arguments = ["--conns", "2", "--requests", "300", "--warm-up", "200"];
        let figures = json(&application, &[&arguments[..], more].concat());
        // With `--raw`, responses that arrive together count together.
        assert!((99..=100).contains(&figures["requests"].as_u64().unwrap()));
        assert_eventually(|| application.counters().requests - before == 300 + extra);
    }
    let all = load(&application, &["--requests", "5", "--warm-up", "5"]);
    assert_eq!(all.status.code(), Some(1));
    assert!(text(&all.stderr).contains("no request ended after the warm-up"));
}

#[test]
fn a_body_of_another_length_is_an_error() {
    let application = start(Options::default());
    let output = load(
        &application,
        &["--requests", "20", "--body-expected", "17", "--json"],
    );
    assert_eq!(output.status.code(), Some(1));
    let figures = figures(&output);
    assert_eq!(
        (&figures["requests"], &figures["errors"]),
        (&20.into(), &20.into())
    );
    assert_eq!(
        figures["errors_by_kind"]["the length of the body is not --body-expected"],
        20
    );
    let output = load(
        &application,
        &["--requests", "20", "--body-expected", "17", "--raw"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("--body-expected"),
        "{output:?}"
    );
}

#[test]
fn an_upload_comes_back_whole() {
    let application = start(Options::default());
    let arguments = [
        "--requests",
        "5",
        "--conns",
        "2",
        "--stdin",
        "300000",
        "--body-expected",
        "300000",
    ];
    let echo = ["--param", "REQUEST_URI=/echo"];
    let figures = json(&application, &[&arguments[..], &echo].concat());
    assert_eq!(figures["requests"], 5);
}

#[test]
fn a_run_of_nothing_but_failures_is_given_up() {
    let gone = start(Options::default());
    let address = gone.address().to_string();
    drop(gone);
    let output = run(&["--connect", &address, "--duration", "60"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("given up"), "{output:?}");
}

#[test]
fn an_error_status_counts_as_an_error_and_is_shown() {
    let application = start(Options::default());
    let output = load(&application, &["--requests", "7", "--script", "/no/such"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("7 times: status 404"),
        "{output:?}"
    );
}

#[test]
fn several_scripts_are_asked_for_in_turns() {
    let application = start(Options::default());
    let arguments = [
        "--param",
        "REMOTE_USER=everybody",
        "--script",
        "/srv/bench",
        "--script",
        "/srv/status",
        "--param",
        "QUERY_STRING=code=404",
        "--requests",
        "31",
        "--json",
    ];
    let output = load(&application, &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let figures = figures(&output);
    assert_eq!(figures["requests"], 31, "{figures}");
    let sets = figures["sets"].as_array().expect("a list");
    let of = |field: &str| -> Vec<&Value> { sets.iter().map(|set| &set[field]).collect() };
    assert_eq!(of("script"), ["/srv/bench", "/srv/status"]);
    assert_eq!(of("requests"), [16, 15], "the first one first");
    assert_eq!(of("errors"), [0, 15], "{figures}");
    let output = load(&application, &arguments[..arguments.len() - 1]);
    let told = text(&output.stdout);
    assert!(told.contains("/srv/status\n"), "{told}");
    assert!(told.contains("15 requests, 15 errors"), "{told}");
}

#[test]
fn at_a_rate_latencies_count_from_when_a_request_was_due() {
    let delay = Duration::from_millis(20);
    let application = start(Options {
        delay,
        ..Options::default()
    });
    let median = |more: &[&str]| {
        let figures = json(&application, &[&["--requests", "20"], more].concat());
        assert_eq!(figures["errors"], 0);
        figures["latency_us"]["p50"].as_f64().expect("a number")
    };
    let each = delay.as_secs_f64() * 1e6;
    assert!(median(&[]) >= each);
    // All requests are due within 20 ms, and the middle one has nine before it.
    assert!(median(&["--rate", "1000"]) >= 9.0 * each - 20_000.0);
    let start = Instant::now();
    median(&["--rate", "40"]);
    assert!(
        start.elapsed() >= Duration::from_millis(475),
        "19 gaps of 25 ms"
    );
}

#[test]
fn a_duration_ends_the_run() {
    let application = start(Options::default());
    for raw in [&[][..], &["--raw"]] {
        let figures = json(&application, &[&["--duration", "0.3"], raw].concat());
        let seconds = figures["seconds"].as_f64().expect("a number");
        assert!(seconds >= 0.3, "{figures}");
        assert!(figures["requests"].as_u64() > Some(0), "{figures}");
    }
}

#[test]
fn progress_is_shown_if_requested() {
    let application = start(Options::default());
    let arguments = ["--duration", "1.2", "--rate", "100"];
    let quiet = load(&application, &arguments);
    assert_eq!(text(&quiet.stderr), "");
    let told = load(&application, &[&arguments[..], &["--progress"]].concat());
    let told = text(&told.stderr);
    assert!(
        told.contains(" requests ") && told.contains(" 0 errors"),
        "{told}"
    );
}

#[test]
fn a_refused_connection_is_an_error_and_not_a_hang() {
    let gone = start(Options::default());
    let address = gone.address().to_string();
    drop(gone);
    for raw in [&[][..], &["--raw"]] {
        let output = run(&[&["--connect", &address, "--requests", "20"], raw].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = text(&output.stdout) + &text(&output.stderr);
        let told = told.to_lowercase();
        assert!(told.contains("connection refused"), "{told}");
    }
}

#[test]
fn an_invalid_command_line_has_another_exit_status_than_a_failed_run() {
    let wrong: [&[&str]; 6] = [
        &[],
        &["--connect", "localhost"],
        &["--connect", "unix:/x", "--conns", "0"],
        &["--connect", "unix:/x", "--requests", "1", "--duration", "1"],
        &["--connect", "unix:/x", "--param", "NAME"],
        &[
            "--connect",
            "unix:/x",
            "--script",
            "/a",
            "--script",
            "/b",
            "--raw",
        ],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(
            told.starts_with("load: ") && told.contains("--help"),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("--body-expected"));
}

fn start(options: Options) -> Running {
    app::spawn(options).expect("a socket and a thread")
}

/// Runs the load against the application.
fn load(application: &Running, arguments: &[&str]) -> Output {
    let address = application.address().to_string();
    run(&[&["--connect", &address], arguments].concat())
}

fn run(arguments: &[&str]) -> Output {
    example("load")
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// The figures of a successful run against the application.
fn json(application: &Running, arguments: &[&str]) -> Value {
    let output = load(application, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    figures(&output)
}

fn figures(output: &Output) -> Value {
    let line = text(&output.stdout);
    assert_eq!(line.matches('\n').count(), 1, "one line: {line}");
    serde_json::from_str(&line).expect("JSON")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn assert_eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it never came true"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
