//! How much of the log one request, or one application, can fill.

use std::io::Write;

use super::application::{application, end, read_request, stdout};
use super::harness::Proxy;

use mio_fcgi::wire::{self, ProtocolStatus, RecordType};

// case 186
// edge: a request with many bytes that the log escapes | a line of about the request's length
#[test]
fn a_line_is_about_as_long_as_its_request() {
    let proxy = Proxy::start(&[]);
    let mut request = b"GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nUser-Agent: ".to_vec();
    request.extend([b'\xff'; 20_000]);
    request.extend(b"\r\nReferer: ");
    request.extend([b'"'; 5_000]);
    request.extend(b"\r\n\r\n");
    assert_eq!(proxy.ask(&request).text(), "a");
    let long = "/".to_owned() + &"\u{e9}".repeat(3000);
    assert_eq!(proxy.get(&long).status, 404);
    proxy.wait_for_log("GET /\\xC3\\xA9");
    let log = proxy.log();
    for (start, len) in [("GET /tag", request.len()), ("GET /\\xC3", long.len())] {
        let line = log
            .lines()
            .find(|line| line.contains(start))
            .expect("a line");
        assert!(line.len() < len + 2000, "{} bytes for {len}", line.len());
        assert!(line.contains("..."), "{start}");
    }
    // What is short is logged as a whole.
    proxy.ask("GET /tag?tag=a HTTP/1.1\r\nHost: a\r\nUser-Agent: \u{e9}\"\u{e9}\r\n\r\n");
    proxy.wait_for_log("\"\\xC3\\xA9\\x22\\xC3\\xA9\"");
}

// case 186
// edge: an application that writes to stderr without end | the lines beyond a rate are counted, not written
#[test]
fn stderr_beyond_a_rate_is_counted() {
    const LINES: usize = 20_000;
    let (address, _) = application(|_, mut stream| {
        if read_request(&mut stream) {
            let mut bytes = Vec::new();
            let lines = "PHP message: a warning\n".repeat(1000);
            for _ in 0..LINES / 1000 {
                wire::write_stream(&mut bytes, RecordType::Stderr, 1, lines.as_bytes());
            }
            bytes.extend(stdout(b"Content-Length: 4\r\n\r\nbody"));
            bytes.extend(end(ProtocolStatus::RequestComplete));
            let _ = stream.write_all(&bytes);
        }
    });
    let proxy = Proxy::in_front_of(&address, &[]);
    assert_eq!(proxy.get("/a.php").text(), "body");
    // Reported although nothing else happens.
    proxy.wait_for_log("are not logged: there are too many");
    let log = proxy.log();
    let written = log.lines().filter(|line| line.starts_with("application: "));
    let written = written.count();
    let counted: usize = log
        .lines()
        .filter_map(|line| {
            line.split_once("] ")?
                .1
                .split_once(" lines of the applications'")
        })
        .map(|(count, _)| count.parse::<usize>().expect("a number"))
        .sum();
    // A line that arrives in two pieces counts as two.
    let all = written + counted;
    assert!(
        (LINES..LINES + 200).contains(&all),
        "{written} and {counted}"
    );
    assert!((1000..LINES / 2).contains(&written), "{written} lines");
}
