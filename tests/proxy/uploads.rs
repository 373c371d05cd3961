//! Request bodies.

use std::io::Write;
use std::time::Duration;

use super::harness::{Proxy, get, pattern, post};

#[test]
fn bodies_of_any_length_come_back_whole() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for len in [0, 1, 4096, 16_384, 65_535, 65_536, 65_537, 1_000_003] {
        let body = pattern(len);
        client.send(post("/echo", &body));
        let answer = client.answer();
        assert!(answer.body == body, "{len} bytes");
    }
}

#[test]
fn chunks_of_any_length_come_back_as_one_body_of_known_length() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    for (len, chunk) in [(0, 1), (10, 1), (100_000, 999), (1_000_003, 70_000)] {
        let body = pattern(len);
        let mut bytes =
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n".to_vec();
        for piece in body.chunks(chunk) {
            bytes.extend(format!("{:X};name=value\r\n", piece.len()).bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\nTrailer: ignored\r\n\r\n");
        client.send(bytes);
        let answer = client.answer();
        assert!(answer.body == body, "{len} bytes in chunks of {chunk}");
        assert_eq!(
            answer.field("content-length"),
            Some(len.to_string().as_str())
        );
    }
}

// case 171
// edge: blanks between the size of a chunk and its extension | served
#[test]
fn blanks_may_precede_the_extension_of_a_chunk() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(head.to_owned() + "3 ;a=b\r\nabc\r\n2\t ; c\r\nde\r\n0 ;d\r\n\r\n");
    assert_eq!(client.answer().text(), "abcde");
    client.send(get("/tag?tag=next"));
    assert_eq!(client.answer().text(), "next");
}

// edge: chunks in single bytes | served
#[test]
fn chunks_in_single_bytes_come_back_whole() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0002\r\nde\r\n0\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer().text(), "abcde");
    client.send(get("/tag?tag=next"));
    assert_eq!(client.answer().text(), "next");
}

// edge: chunks that together exceed `--max-body` | 413, closed
#[test]
fn chunks_beyond_the_limit_are_refused_however_they_come() {
    let proxy = Proxy::start(&["--max-body", "10000"]);
    let mut client = proxy.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [&b"3e8\r\n"[..], &[b'x'; 1000], b"\r\n"].concat();
    for _ in 0..11 {
        client.send(&chunk);
    }
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (413, Some("close"))
    );
    let answer = proxy.ask(post("/echo", &pattern(10_001)));
    assert_eq!(answer.status, 413);
    assert_eq!(
        proxy.ask(post("/echo", &pattern(10_000))).body,
        pattern(10_000)
    );
}

// edge: `Expect: 100-continue` | 100, then served
#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let proxy = Proxy::start(&[]);
    for framing in ["Content-Length: 3", "Transfer-Encoding: chunked"] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\n{framing}\r\nExpect: 100-Continue\r\n\r\n"
        ));
        assert_eq!(client.head().status, 100);
        let is_chunked = framing.ends_with("chunked");
        client.send(if is_chunked {
            "3\r\nabc\r\n0\r\n\r\n"
        } else {
            "abc"
        });
        assert_eq!(client.answer().text(), "abc");
        client.send(get("/tag?tag=next"));
        assert_eq!(client.answer().text(), "next");
    }
}

// edge: `Expect: 100-continue` and the body, or a part of it, at once | served without 100
#[test]
fn a_client_that_sends_its_body_at_once_gets_no_100_continue() {
    let proxy = Proxy::start(&[]);
    for (framing, begun, rest) in [
        ("Content-Length: 3", "abc", ""),
        ("Content-Length: 3", "a", "bc"),
        ("Transfer-Encoding: chunked", "3\r\na", "bc\r\n0\r\n\r\n"),
    ] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\n{framing}\r\nExpect: 100-continue\r\n\r\n{begun}"
        ));
        // A response on another connection shows that the bytes were read meanwhile.
        assert_eq!(proxy.get("/tag?tag=other").text(), "other");
        client.send(rest);
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "abc"),
            "{framing}, {begun}"
        );
    }
}

// edge: `Expect: 100-continue` for a body beyond the limit | 413 without 100, closed
#[test]
fn a_client_whose_body_is_too_long_gets_no_100_continue() {
    let proxy = Proxy::start(&["--max-body", "10"]);
    let mut client = proxy.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (413, Some("close"))
    );
    client.assert_closed();
}

// edge: a response while 8 MiB are being sent | arrives whole
#[test]
fn an_answer_that_does_not_wait_for_the_body_arrives() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    let len = 8 * 1024 * 1024;
    client.send(format!(
        "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"
    ));
    let mut sender = client.stream.try_clone().expect("a socket");
    let body = vec![b'x'; len];
    let thread = std::thread::spawn(move || {
        // The connection may be closed before everything is sent.
        let _ = sender.write_all(&body);
    });
    let answer = client.answer();
    assert!(answer.status == 200 && answer.is_whole, "{answer:?}");
    thread.join().expect("it ends");
}

// edge: a short body that is not needed | read and discarded, connection kept
#[test]
fn a_short_body_that_is_not_needed_does_not_close_the_connection() {
    let proxy = Proxy::start(&["--status"]);
    let mut client = proxy.connect();
    client.send(post("/-/status", &pattern(5000)));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("allow")),
        (405, Some("GET, HEAD"))
    );
    client.send(get("/tag?tag=next"));
    assert_eq!(client.answer().text(), "next");
}

/// RFC 9112, 9.6: if the connection were closed at once, it would be reset, and the response could be lost.
// edge: a refused body of 18 MB that is sent all the same | the 413 is not lost by a reset
#[test]
fn a_refused_body_may_be_sent_to_its_end() {
    let proxy = Proxy::start(&["--max-body", "10"]);
    let mut client = proxy.connect();
    let piece = pattern(60_000);
    let len = 300 * piece.len();
    client.send(format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"
    ));
    // The request is refused already.
    client.stream.peek(&mut [0]).expect("an answer");
    for _ in 0..300 {
        client.send(&piece);
    }
    let answer = client.answer();
    assert_eq!((answer.status, answer.is_whole), (413, true));
    client.assert_closed();
}

#[test]
fn both_directions_stream_at_once() {
    let proxy = Proxy::start(&["--buffer-request", "off"]);
    let mut client = proxy.connect();
    let len = 200_000;
    client.send(format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"
    ));
    client.send(pattern(100_000));
    let head = client.head();
    assert_eq!(head.field("content-length"), Some("200000"));
    client.send(&pattern(200_000)[100_000..]);
    let mut body = vec![0; 200_000];
    // The bytes after the head are in the client's own buffer.
    client.read_exactly(&mut body);
    assert!(body == pattern(len));
}

// edge: 256 MiB that the application does not read | the client is stopped, memory bounded
#[cfg(target_os = "linux")]
#[test]
fn an_upload_that_is_not_read_costs_little_memory() {
    let off = ["--buffer-request", "off", "--buffer-response", "0"];
    let arguments = [&["--status", "--max-body", "1g"], &off[..]].concat();
    let proxy = Proxy::start(&arguments);
    assert_eq!(proxy.get("/tag?tag=warm").text(), "warm");
    let before = proxy.resident();
    let mut client = proxy.connect();
    // The echo stops reading while its response is not read, so the upload stops.
    client.send(format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        256 << 20
    ));
    let stalled = Duration::from_millis(300);
    client
        .stream
        .set_write_timeout(Some(stalled))
        .expect("a socket");
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0_u64;
    while sent < 256 << 20 {
        match client.stream.write(&piece) {
            Ok(len) => sent += len as u64,
            Err(_) => break,
        }
    }
    assert!(sent < 128 << 20, "it never came to a stand");
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    drop(client);
    proxy.wait_for_figure("requests.in_flight", 0);
}

// edge: 48 MiB in chunks | in a file, memory bounded
#[cfg(target_os = "linux")]
#[test]
fn a_large_body_in_chunks_is_not_kept_in_memory() {
    let proxy = Proxy::start(&["--max-body", "1g"]);
    assert_eq!(proxy.get("/tag?tag=warm").text(), "warm");
    let before = proxy.resident();
    let mut client = proxy.connect();
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [&b"100000\r\n"[..], &pattern(1 << 20), b"\r\n"].concat();
    for _ in 0..48 {
        client.send(&chunk);
    }
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    client.send("0\r\n\r\n");
    let answer = client.answer();
    assert!(
        answer.text().contains(&(48 << 20).to_string()),
        "{}",
        answer.text()
    );
}

// edge: 200,000 chunks of one byte | few writes to the file
#[cfg(target_os = "linux")]
#[test]
fn small_chunks_cost_few_system_calls() {
    let proxy = Proxy::start(&["--max-buffered", "131072"]);
    assert_eq!(proxy.get("/tag?tag=warm").text(), "warm");
    let before = proxy.writes();
    let mut client = proxy.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body = pattern(200_000);
    let chunks = body
        .iter()
        .flat_map(|byte| [&b"1\r\n"[..], &[*byte], b"\r\n"].concat());
    client.send(chunks.collect::<Vec<u8>>());
    client.send("0\r\n\r\n");
    assert!(client.answer().body == body);
    let writes = proxy.writes() - before;
    assert!(writes < 2000, "{writes} writes");
}

// edge: a body that stops | 408 after `--client-timeout`, closed
#[test]
fn a_body_that_stops_times_out() {
    let proxy = Proxy::start(&["--client-timeout", "0.3"]);
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = proxy.connect();
        client.send(format!(
            "POST /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n4"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("connection")),
            (408, Some("close"))
        );
        client.assert_closed();
    }
}

#[test]
fn a_form_is_understood_by_the_application() {
    let proxy = Proxy::start(&[]);
    let body = "name=somebody&number=42";
    let answer = proxy.ask(format!(
        "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.text().contains("somebody"), "{}", answer.text());
}

// edge: no space for a long chunked body | 503, and the reason in the log
#[cfg(unix)]
#[test]
fn a_body_that_cannot_be_stored_is_logged() {
    let mut command = crate::program::example("proxy");
    command.args(["--upstream", "127.0.0.1:1", "--root", "/", "--remote"]);
    command.env("TMPDIR", "/nonexistent");
    command.args(["--max-buffered", "131072"]);
    let proxy = Proxy::launch(command);
    proxy.wait_for_log("takes no temporary file (No such file or directory");
    let body = [pattern(200_000), Vec::new()];
    let mut request =
        b"POST /a.php HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in &body {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    assert_eq!(proxy.ask(request).status, 503);
    proxy.wait_for_log("a request body cannot be stored: No such file or directory");
}

/// The last piece of a file may be the one that the disk has no space for. The bytes after the body in the same read
/// are not part of it, and those of the next read may be the middle of a request.
// edge: no space for the end of a long chunked body, and a request after it | 503, closed
#[cfg(target_os = "linux")]
#[test]
fn a_request_after_a_body_that_cannot_be_stored_is_not_read_as_its_rest() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let example = crate::program::example("proxy");
    let mut command = std::process::Command::new("sh");
    // A write beyond the limit should fail and not end the process.
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    command.arg(example.get_program());
    command.args(["--max-buffered", "131072"]);
    let proxy = Proxy::launch(command);
    let pid = Pid::from_raw(proxy.pid() as i32).expect("a pid");
    let limit = Rlimit {
        current: Some(66_000),
        maximum: Some(66_000),
    };
    prlimit(Some(pid), Resource::Fsize, limit).expect("ours");
    let mut bytes =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for len in [65_000, 4000] {
        bytes.extend(format!("{len:x}\r\n").bytes());
        bytes.extend(pattern(len));
        bytes.extend_from_slice(b"\r\n");
    }
    let mut client = proxy.connect();
    client.send(&bytes);
    client.send("0\r\n\r\n".to_owned() + &get("/tag?tag=next"));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (503, Some("close"))
    );
    client.assert_closed();
}

/// RFC 9112, 9.6, again: if the connection were closed with unread bytes, it would be reset.
// edge: a refused request, far more after it, and the end of the stream, all there at once | the 400 is not lost by a reset
#[cfg(target_os = "linux")]
#[test]
fn a_refused_client_may_end_its_stream() {
    use rustix::process::Signal;
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    // What the proxy's receive buffer does not take waits in the client's, however far either has grown.
    let socket = socket2::SockRef::from(&client.stream);
    socket.set_send_buffer_size(1 << 20).expect("a socket");
    // The system's receive buffer grows beyond one read.
    client.send(post("/upload", &pattern(8 << 20)));
    assert_eq!(client.answer().status, 200);
    proxy.halt();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    client.send(pattern(200_000));
    let shut = client.stream.shutdown(std::net::Shutdown::Write);
    shut.expect("a connection");
    proxy.signal(Signal::CONT);
    let answer = client.answer();
    assert_eq!((answer.status, answer.is_whole), (400, true));
    let read = std::io::Read::read(&mut client.stream, &mut [0]);
    assert!(matches!(read, Ok(0)), "{read:?}");
}
