//! The drivers `tokio` and `io_uring`: programs that check what they do, and fail if it was not as expected.

use std::thread;
use std::time::{Duration, Instant};

use mio_fcgi::Address;

use crate::app::{self, Listener, Options, Running};
use crate::program::{Ended, example, run};

#[test]
fn tokio_runs_a_hundred_jobs_at_once() {
    all_jobs_are_as_expected("tokio");
}

#[test]
fn tokio_runs_scripts_over_tcp() {
    scripts_are_run_over_tcp("tokio");
}

#[test]
fn tokio_fails_with_what_was_not_as_expected() {
    a_failure_is_told("tokio");
}

#[test]
fn tokio_ends_when_the_application_does() {
    an_end_of_the_application_ends_the_jobs("tokio");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs a kernel that permits io_uring; run tests/run"]
fn io_uring_runs_a_hundred_jobs_at_once() {
    all_jobs_are_as_expected("io_uring");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs a kernel that permits io_uring; run tests/run"]
fn io_uring_runs_scripts_over_tcp() {
    scripts_are_run_over_tcp("io_uring");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs a kernel that permits io_uring; run tests/run"]
fn io_uring_fails_with_what_was_not_as_expected() {
    a_failure_is_told("io_uring");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs a kernel that permits io_uring; run tests/run"]
fn io_uring_ends_when_the_application_does() {
    an_end_of_the_application_ends_the_jobs("io_uring");
}

fn all_jobs_are_as_expected(driver: &str) {
    let ended = drive(driver, &[]);
    ended.succeeded();
    let text = ended.text();
    let lines: Vec<&str> = text.lines().collect();
    let titles: &[&str] = match cfg!(target_os = "linux") {
        true => &["shared connections", "a full backlog"],
        false => &["shared connections"],
    };
    assert_eq!(lines.len(), titles.len(), "{text}");
    for (line, title) in lines.iter().zip(titles) {
        let expected = format!("{title}: 100 jobs as expected, ");
        assert!(line.starts_with(&expected), "{line}");
        // 10 uploads of each kind, 60 downloads and what comes back, each of them a megabyte or more.
        assert!(figure(line, " bytes sent") > 20 << 20, "{line}");
        assert!(figure(line, " received") > 80 << 20, "{line}");
        assert!(figure(line, " reads") > 80 << 4, "{line}");
        assert!(figure(line, " writes") > 20 << 4, "{line}");
    }
    // The limit; and one more for each job that is given up before it is known that connections can be shared.
    let shared = figure(lines[0], " connections");
    assert!((8..=16).contains(&shared), "{text}");
    for line in &lines[1..] {
        let full = figure(line, " connects to a full backlog");
        assert!(full > 0, "{line}");
    }
}

fn scripts_are_run_over_tcp(driver: &str) {
    let application = start();
    let address = application.address().to_string();
    let ended = drive(driver, &[&address, "/big?size=100000", "/form", "/bench"]);
    ended.succeeded();
    let text = ended.text();
    assert!(text.starts_with("scripts: 100 jobs as expected"), "{text}");
    assert!(figure(&text, " received") > 34 * 100_000, "{text}");
}

fn a_failure_is_told(driver: &str) {
    let application = start();
    let address = application.address().to_string();
    drive(driver, &[&address, "/bench", "/no/such"]).failed(
        1,
        &[driver, "50 jobs not as expected", "/no/such: status 404"],
    );
    drop(application);
    drive(driver, &[&address, "/bench"]).failed(1, &["100 jobs", "connection refused"]);
    drive(driver, &["unix:/no/such.sock", "/bench"]).failed(1, &["100 jobs", "no such socket"]);
    drive(driver, &[&address]).failed(1, &["usage: ", driver]);
}

fn an_end_of_the_application_ends_the_jobs(driver: &str) {
    let application = start();
    let address = application.address().to_string();
    let mut command = example(driver);
    let other = thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while application.counters().connections == 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        drop(application);
    });
    let ended = run(command.args([&address, "/stream?n=600&ms=100"]), b"");
    // Those that have a connection lose it, and the others are refused one: either may be the first.
    ended.failed(
        1,
        &["100 jobs not as expected", "connection to the application"],
    );
    other.join().expect("no panic");
}

fn start() -> Running {
    let address = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&address).expect("a free port");
    app::spawn_on(listener, Options::default()).expect("a thread")
}

fn drive(driver: &str, arguments: &[&str]) -> Ended {
    run(example(driver).args(arguments), b"")
}

/// The number before these words.
fn figure(line: &str, words: &str) -> u64 {
    let (before, _) = line.rsplit_once(words).expect("a figure");
    let number = before.rsplit(' ').next().and_then(|it| it.parse().ok());
    number.expect("a number")
}
