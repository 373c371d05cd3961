//! An application inside wsgiref's validator, which checks what WSGI says about servers: the environment, the streams,
//! what is called and when.

use super::{Report, Site, ways_to_flup};
use crate::harness::pattern;
use crate::http::{HttpClient, eventually};

const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "DELETE"];

/// Each shape of a response in `wsgi.py`.
const SHAPES: [&str; 8] = [
    "list",
    "generator",
    "write",
    "closing",
    "late",
    "twice",
    "length",
    "empty",
];

/// How a request body is announced.
#[derive(Clone, Copy, Debug)]
enum Body {
    None,
    Length(usize),
    Chunked(usize),
}

const BODIES: [Body; 4] = [
    Body::None,
    Body::Length(0),
    Body::Length(10),
    Body::Chunked(100_000),
];

const COUNT: usize = METHODS.len() * SHAPES.len() * BODIES.len();

#[test]
#[ignore = "needs flup; run tests/run"]
fn wsgirefs_validator_finds_nothing() {
    for (way, program) in ways_to_flup("validated") {
        let site = Site::start(program, &way);
        let mut client = site.proxy.connect();
        let mut report = Report::default();
        for method in METHODS {
            for body in BODIES {
                for shape in SHAPES {
                    let case = format!("{method} {body:?} {shape}");
                    let list = match ask(&mut client, method, shape, body) {
                        true => &mut report.passed,
                        false => &mut report.failed,
                    };
                    list.push(case);
                }
            }
        }
        // The server closes each iterable, perhaps after the response.
        let closed = (METHODS.len() * BODIES.len()).to_string();
        eventually(
            || site.proxy.get("/closed").text() == closed,
            || site.app.log(),
        );
        let log = site.app.log() + &site.proxy.log();
        assert!(!log.contains("AssertionError"), "{log}");
        let what = format!("requests to wsgiref's validator, {}", way.name);
        report.check(&what, COUNT, &[], &log);
    }
}

/// Whether the response is the one that the application gives.
fn ask(client: &mut HttpClient, method: &str, shape: &str, body: Body) -> bool {
    let (framing, content) = match body {
        Body::None => (String::new(), Vec::new()),
        Body::Length(length) => (format!("Content-Length: {length}\r\n"), pattern(1, length)),
        Body::Chunked(length) => (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            pattern(1, length),
        ),
    };
    client.send(format!(
        "{method} /a%20b/{shape}?c=d%20e HTTP/1.1\r\nHost: a\r\n{framing}\r\n"
    ));
    if let Body::Chunked(_) = body {
        for piece in content.chunks(30_000) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
    } else {
        client.send(&content);
    }
    let (answer, expected) = if method == "HEAD" {
        (client.head(), Vec::new())
    } else {
        let expected = [method.as_bytes(), b" ", &content].concat();
        (client.answer(), expected)
    };
    let status = if shape == "twice" { 203 } else { 200 };
    answer.status == status
        && answer.is_whole
        && answer.body == expected
        && answer.field("content-type") == Some("application/octet-stream")
        && answer.field("x-first").is_none()
}
