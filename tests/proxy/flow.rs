//! Requests and responses of well-behaved clients.

use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;

use super::harness::{Proxy, TIME_LIMIT, get, pattern, post};

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for index in 0..20 {
        client.send(get(&format!("/tag?tag=n{index}")));
        let answer = client.answer();
        assert_eq!(answer.text(), format!("n{index}"));
        assert_eq!(answer.field("connection"), None);
        assert!(
            answer
                .field("date")
                .is_some_and(|date| date.ends_with(" GMT"))
        );
    }
}

// edge: 100 pipelined requests, the first the slowest | answered in order
#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    let mut bytes = Vec::new();
    for index in 0..50 {
        // The first requests take longest.
        let delay = if index < 3 { 60 - 20 * index } else { 0 };
        bytes.extend(get(&format!("/tag?tag=n{index}&delay={delay}")).into_bytes());
        bytes.extend(post("/echo", format!("body {index}").as_bytes()));
    }
    client.send(bytes);
    for index in 0..50 {
        assert_eq!(client.answer().text(), format!("n{index}"));
        assert_eq!(client.answer().text(), format!("body {index}"));
    }
}

/// More responses than are queued until the end of a turn.
// edge: pipelined requests whose responses are not read meanwhile | answered as they are read
#[test]
fn pipelined_requests_continue_after_many_unread_responses() {
    let proxy = Proxy::start(&["--status"]);
    for (target, len) in [("/tag?tag=a&size=12000", Some(12_000)), ("/-/status", None)] {
        let mut client = proxy.connect();
        client.send(get(target).repeat(300));
        for _ in 0..300 {
            let answer = client.answer();
            assert_eq!(answer.status, 200);
            assert!(len.is_none_or(|len| answer.body.len() == len));
        }
    }
}

#[test]
fn a_head_may_come_in_single_bytes() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for byte in post("/echo", b"abc") {
        client.send([byte]);
    }
    assert_eq!(client.answer().text(), "abc");
}

#[test]
fn connection_close_is_honored() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    client.send("GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.text().as_str(), answer.field("connection")),
        ("a", Some("close"))
    );
    client.assert_closed();
}

// edge: HTTP/1.0 with and without keep-alive | kept when asked, never chunked
#[test]
fn http_1_0_is_closed_unless_it_asks_otherwise() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    client.send("GET /tag?tag=a HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.text().as_str(), answer.field("connection")),
        ("a", Some("close"))
    );
    client.assert_closed();

    let mut client = proxy.connect();
    for _ in 0..3 {
        client.send("GET /tag?tag=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.field("connection"), Some("keep-alive"));
        assert_eq!(answer.text(), "a");
    }
    // Without a length, the end of the connection is the end of the body.
    client.send("GET /stream?n=2&ms=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(answer.text(), "line 1 of 2\nline 2 of 2\n");
    client.assert_closed();
}

#[test]
fn a_response_without_a_length_is_sent_in_chunks_as_it_is_produced() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    // The second line comes later than the client waits for the first.
    client.send(get("/stream?n=2&ms=600000"));
    let head = client.head();
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert_eq!(head.field("content-length"), None);
    let mut first = [0; 17];
    client.read_exactly(&mut first);
    assert_eq!(&first, b"c\r\nline 1 of 2\n\r\n");
}

#[test]
fn a_response_without_a_length_leaves_the_connection_open() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for _ in 0..3 {
        client.send(get("/stream?n=3&ms=1"));
        let answer = client.answer();
        assert!(answer.is_whole);
        assert_eq!(answer.text(), "line 1 of 3\nline 2 of 3\nline 3 of 3\n");
    }
}

// edge: HEAD | no body, whatever the application sends
#[test]
fn a_head_is_answered_without_a_body() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for target in [
        "/tag?tag=abc",
        "/stream?n=2&ms=1",
        "/status?code=404",
        "/big?size=100000",
    ] {
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        assert!(matches!(head.status, 200 | 404), "{target}");
        if target.starts_with("/tag") {
            assert_eq!(head.field("content-length"), Some("3"));
        }
    }
    client.send(get("/tag?tag=next"));
    assert_eq!(client.answer().text(), "next");
}

// edge: 204 and 304 with a body from the application | without
#[test]
fn statuses_without_a_body_have_none() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for status in [204, 304] {
        client.send(get(&format!("/status?code={status}")));
        let head = client.head();
        assert_eq!(head.status, status);
        assert_eq!(head.field("transfer-encoding"), None);
        assert_eq!(head.field("content-length"), None);
    }
    client.send(get("/tag?tag=next"));
    assert_eq!(client.answer().text(), "next");
}

/// RFC 9110, 15.3.6. Unlike the others, a 205 has to declare its empty body: otherwise a client would wait for one.
// edge: 205 with a body from the application | a body of length 0
#[test]
fn a_reset_of_content_has_an_empty_body() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for method in ["GET", "HEAD"] {
        client.send(format!(
            "{method} /status?code=205 HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        let head = client.head();
        assert_eq!(head.status, 205);
        assert_eq!(head.field("transfer-encoding"), None);
        let named = |field: &&(String, String)| field.0.eq_ignore_ascii_case("content-length");
        let lengths: Vec<_> = head.fields.iter().filter(named).collect();
        assert!(matches!(lengths[..], [(_, len)] if len == "0"), "{head:?}");
    }
    client.send(get("/tag?tag=next"));
    assert_eq!(client.answer().text(), "next");
}

#[test]
fn repeated_fields_stay_apart_and_in_order() {
    let proxy = Proxy::start(&[]);
    let answer = proxy.get("/headers");
    let cookies = answer
        .fields
        .iter()
        .filter(|field| field.0.eq_ignore_ascii_case("set-cookie"));
    let cookies: Vec<&str> = cookies.map(|field| field.1.as_str()).collect();
    assert!(cookies.len() > 1, "{answer:?}");
    let mut sorted = cookies.clone();
    sorted.dedup();
    assert_eq!(sorted, cookies);
}

#[test]
fn a_large_response_arrives_whole() {
    let proxy = Proxy::start(&[]);
    let len = 20_000_003;
    let answer = proxy.get(&format!("/big?size={len}"));
    assert!(answer.is_whole && answer.body == pattern(len));
}

// edge: 24 MiB that are not read, with --buffer-response 0 | paused, memory bounded
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_does_not_read_costs_little_memory() {
    // On a shared connection, a client that does not read would eventually delay the others.
    let arguments = ["--status", "--multiplex", "off", "--buffer-response", "0"];
    let proxy = Proxy::start(&arguments);
    assert_eq!(proxy.get("/tag?tag=warm").text(), "warm");
    let before = proxy.resident();
    let len: usize = 24 * 1024 * 1024;
    let mut slow: Vec<_> = (0..4).map(|_| proxy.connect()).collect();
    for client in &mut slow {
        client.send(get(&format!("/big?size={len}")));
    }
    proxy.wait_for_figure("requests.paused", 4);
    let grown = proxy.resident().saturating_sub(before);
    // Of 96 MiB. The demo application is in the same process.
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes");
    // Other clients are served meanwhile.
    assert_eq!(proxy.get("/tag?tag=quick").text(), "quick");
    for mut client in slow {
        let answer = client.answer();
        assert!(answer.is_whole && answer.body.len() == len);
        assert_eq!(answer.body[len - 1], ((len - 1) % 251) as u8);
    }
}

#[test]
fn a_slow_client_does_not_delay_others_on_its_connection() {
    let mut arguments = vec!["--status", "--multiplex", "on", "--max-conns", "1"];
    arguments.extend(["--buffer-response", "0"]);
    let proxy = Proxy::start(&arguments);
    let ask = |len: usize| {
        let mut client = proxy.connect_narrow();
        client.send(get(&format!("/big?size={len}")));
        // The response has begun.
        client.stream.peek(&mut [0]).expect("an answer");
        client
    };
    // A little more than the system buffers on both sides.
    let mut lens = (1..20).map(|step| step * 500_000);
    let too_much = lens.find(|len| {
        let _client = ask(*len);
        !is_taken_by_the_system(&proxy)
    });
    let len = too_much.expect("the system holds less than 10 MB") + 250_000;
    proxy.wait_for_figure("requests.in_flight", 0);
    let mut slow = vec![ask(len), ask(len), ask(len)];
    proxy.wait_for_figure("requests.paused", 3);
    // A request given up during the search may have closed its connection.
    let connected = proxy.figure("pool.connected");
    for index in 0..10 {
        let answer = proxy.get(&format!("/tag?tag=n{index}"));
        assert_eq!(answer.text(), format!("n{index}"));
    }
    assert_eq!(proxy.figure("pool.connected"), connected);
    for client in &mut slow {
        assert!(client.answer().body == pattern(len));
    }
}

/// Whether the only response leaves the proxy completely although the client does not read. False if it stops before.
fn is_taken_by_the_system(proxy: &Proxy) -> bool {
    let (mut last, mut same, start) = (0, 0, Instant::now());
    while same < 10 {
        assert!(start.elapsed() < TIME_LIMIT, "it goes on and on");
        if proxy.figure("requests.in_flight") == 0 {
            return true;
        }
        let received = proxy.figure("bytes.received");
        let stands = received == last && proxy.figure("requests.paused") == 1;
        same = if stands { same + 1 } else { 0 };
        last = received;
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

// edge: a client that disconnects | the request is aborted, 499 in the log
#[test]
fn the_request_of_a_client_that_disconnects_is_aborted() {
    let proxy = Proxy::start(&["--status"]);
    let mut client = proxy.connect();
    client.send(get("/slow?ms=500000"));
    proxy.wait_for_figure("requests.in_flight", 1);
    drop(client);
    proxy.wait_for_figure("requests.in_flight", 0);
    proxy.wait_for_log("/slow?ms=500000 HTTP/1.1\" 499 0");
    // Also in the middle of a response.
    let mut client = proxy.connect();
    client.send(get("/stream?n=100000&ms=20"));
    client.head();
    drop(client);
    proxy.wait_for_figure("requests.in_flight", 0);
}

/// The end of the client's stream arrives in the same event as its request, and no further event reports it.
// edge: a client that sends a request and disconnects at once | the request is aborted
#[cfg(unix)]
#[test]
fn a_client_that_disconnects_right_after_its_request_is_not_served() {
    let proxy = Proxy::start(&["--status"]);
    let mut client = proxy.connect();
    client.send(get("/tag?tag=warm"));
    assert_eq!(client.answer().text(), "warm");
    let mut others = proxy.connect();
    proxy.halt();
    client.send(get("/slow?ms=500000"));
    drop(client);
    // Pipelined after a request that asks no application.
    others.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + &get("/slow?ms=500001"));
    drop(others);
    proxy.signal(Signal::CONT);
    for target in ["/slow?ms=500000", "/slow?ms=500001"] {
        proxy.wait_for_log(&format!("{target} HTTP/1.1\" 499 0"));
    }
    proxy.wait_for_figure("requests.in_flight", 0);
}

/// As in nginx and Go. A file is sent all the same.
// edge: a client that ends its side of the stream while an application is working on its request | treated as gone
#[test]
fn a_client_that_ends_its_stream_while_it_is_served_is_gone() {
    let proxy = Proxy::start(&["--status"]);
    let mut client = proxy.connect();
    client.send(get("/slow?ms=500000"));
    proxy.wait_for_figure("requests.in_flight", 1);
    let shut = client.stream.shutdown(std::net::Shutdown::Write);
    shut.expect("a connection");
    client.assert_closed();
    proxy.wait_for_log("/slow?ms=500000 HTTP/1.1\" 499 0");
    proxy.wait_for_figure("requests.in_flight", 0);
}

// edge: quotes and control bytes in what is logged | escaped
#[test]
fn requests_are_logged_in_the_combined_format() {
    let proxy = Proxy::start(&[]);
    proxy
        .ask("GET /tag?tag=a\"b HTTP/1.1\r\nHost: a\r\nUser-Agent: x\\y\r\nReferer: r\x7f\r\n\r\n");
    proxy.ask(
        "GET /tag?tag=abc HTTP/1.1\r\nHost: a\r\nUser-Agent: x\\y\"\tz\r\nReferer: /from\r\n\r\n",
    );
    let expected = "\"GET /tag?tag=abc HTTP/1.1\" 200 3 \"/from\" \"x\\x5Cy\\x22\\x09z\" ";
    proxy.wait_for_log(expected);
    let log = proxy.log();
    let line = log
        .lines()
        .find(|line| line.contains("tag=abc"))
        .expect("a line");
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    let mut words = line.rsplit(' ');
    let (id, time) = (words.next().expect("an ID"), words.next().expect("a time"));
    assert!(time.contains('.') && time.parse::<f64>().is_ok(), "{line}");
    assert!(id.ends_with("-0-2"), "{line}");
}

#[test]
fn what_the_application_writes_to_stderr_is_logged() {
    let proxy = Proxy::start(&[]);
    let answer = proxy.get("/stderr");
    assert_eq!(answer.status, 200);
    let id = answer.field("x-request-id").expect("an ID");
    proxy.wait_for_log("application: [");
    let log = proxy.log();
    let line = log.lines().find(|line| line.starts_with("application: ["));
    let is_named = line.is_some_and(|line| line.contains(&format!("] {id}: ")));
    assert!(is_named, "{id} in {log}");
}
