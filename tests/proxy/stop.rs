//! The end of the process.
#![cfg(unix)]

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::{Proxy, eventually, get, post};

// edge: SIGTERM | requests in flight are finished, then their connections are closed
#[test]
fn requests_in_flight_are_finished() {
    let mut proxy = Proxy::start(&["--threads", "2", "--status"]);
    let mut idle = proxy.connect();
    idle.send(get("/tag?tag=a"));
    assert_eq!(idle.answer().text(), "a");
    let mut slow = proxy.connect();
    slow.send(get("/slow?ms=3000"));
    let mut streaming = proxy.connect();
    streaming.send(get("/stream?n=100&ms=30"));
    streaming.head();
    let mut uploading = proxy.connect();
    let request = post("/echo", b"abcdef");
    uploading.send(&request[..request.len() - 3]);
    let mut in_head = proxy.connect();
    in_head.send("GET /tag?tag=late HTTP/1.1\r\n");
    proxy.wait_for_figure("requests.in_flight", 2);
    proxy.wait_for_figure("kept.memory", 3);
    proxy.terminate();
    idle.assert_closed();
    eventually(
        || TcpStream::connect(proxy.address()).is_err(),
        || "it still listens".to_owned(),
    );
    uploading.send(&request[request.len() - 3..]);
    assert_eq!(uploading.answer().text(), "abcdef");
    in_head.send("Host: a\r\n\r\n");
    let answer = in_head.answer();
    assert_eq!(
        (answer.text().as_str(), answer.field("connection")),
        ("late", Some("close"))
    );
    let answer = slow.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    slow.assert_closed();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut streaming.stream, &mut rest).expect("it ends in due form");
    assert!(
        rest.ends_with(b"line 100 of 100\n\r\n0\r\n\r\n"),
        "{rest:?}"
    );
    assert!(proxy.wait().success());
}

#[test]
fn an_idle_proxy_stops_at_once() {
    let mut proxy = Proxy::start(&["--threads", "2", "--shutdown-timeout", "3600"]);
    assert_eq!(proxy.get("/tag?tag=a").text(), "a");
    proxy.terminate();
    assert!(proxy.wait().success());
}

// edge: a connection in the system's queue at SIGTERM | served if it sends a request, else closed
#[test]
fn a_client_that_connects_during_the_stop_does_not_delay_it() {
    let mut proxy = Proxy::start(&["--shutdown-timeout", "3600"]);
    assert_eq!(proxy.get("/tag?tag=warm").text(), "warm");
    proxy.halt();
    let mut silent = proxy.connect();
    let mut asking = proxy.connect();
    asking.send(get("/tag?tag=a"));
    proxy.terminate();
    proxy.signal(Signal::CONT);
    assert_eq!(asking.answer().text(), "a");
    silent.assert_closed();
    assert!(proxy.wait().success());
}

#[test]
fn the_deadline_cuts_off_requests_that_do_not_end() {
    let mut proxy = Proxy::start(&["--shutdown-timeout", "0.3", "--status"]);
    let mut slow = proxy.connect();
    slow.send(get("/slow?ms=600000"));
    proxy.wait_for_figure("requests.in_flight", 1);
    let start = Instant::now();
    proxy.terminate();
    assert!(proxy.wait().success());
    assert!(start.elapsed() >= Duration::from_millis(250));
    slow.assert_closed();
    proxy.wait_for_log("did not end in time");
    assert_logged_as_not_answered(&proxy);
}

#[test]
fn a_second_signal_ends_everything() {
    let mut proxy = Proxy::start(&["--status", "--shutdown-timeout", "3600"]);
    let mut slow = proxy.connect();
    slow.send(get("/slow?ms=600000"));
    proxy.wait_for_figure("requests.in_flight", 1);
    proxy.terminate();
    // Two signals at once would count as one.
    eventually(
        || TcpStream::connect(proxy.address()).is_err(),
        || "it still listens".to_owned(),
    );
    proxy.terminate();
    proxy.wait();
    assert_logged_as_not_answered(&proxy);
}

/// Requests that were cut off are in the log too, with the time that the application had.
fn assert_logged_as_not_answered(proxy: &Proxy) {
    let log = proxy.log();
    let line = log.lines().find(|line| line.contains("\"GET /slow?"));
    let end = line.and_then(|line| line.split("HTTP/1.1\" ").nth(1));
    let rest = end.and_then(|end| end.strip_prefix("444 0 \"-\" \"-\" "));
    let time = rest.and_then(|rest| rest.split(' ').next());
    assert!(
        time.is_some_and(|time| time.parse::<f64>().is_ok()),
        "{log}"
    );
}
