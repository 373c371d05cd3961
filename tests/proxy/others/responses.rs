//! What the tests of nginx, lighttpd and Go's `net/http/cgi` say about the responses of applications.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::super::harness::{Answer, Proxy, TIME_LIMIT};
use super::super::witness::witness;
use super::has_params;

/// An application's response, and what the client gets.
struct Row {
    what: &'static str,
    sent: &'static str,
    /// The application's output.
    output: &'static str,
    gets: Gets,
    /// What their application is told; `body` is the request's body.
    told: Told,
    /// What the proxy's is told, if that differs on purpose, and why.
    ours: Option<(Told, &'static str)>,
}

type Told = &'static [(&'static str, &'static str)];

/// A response. A field that is empty is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Gets {
    status: u16,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    is_whole: bool,
}

const fn gets(status: u16, body: &'static str) -> Gets {
    Gets {
        status,
        fields: &[],
        body,
        is_whole: true,
    }
}

impl Gets {
    const fn cut(mut self) -> Self {
        self.is_whole = false;
        self
    }

    const fn with(mut self, fields: &'static [(&'static str, &'static str)]) -> Self {
        self.fields = fields;
        self
    }
}

const fn row(what: &'static str, sent: &'static str, output: &'static str, gets: Gets) -> Row {
    Row {
        what,
        sent,
        output,
        gets,
        told: &[],
        ours: None,
    }
}

impl Row {
    const fn told(mut self, told: Told) -> Self {
        self.told = told;
        self
    }

    const fn but(mut self, ours: Told, reason: &'static str) -> Self {
        self.ours = Some((ours, reason));
        self
    }
}

fn check(rows: &'static [Row]) {
    for arguments in [&[][..], &["--buffer-response", "0"]] {
        let current = Arc::new(AtomicUsize::new(0));
        let index = Arc::clone(&current);
        let (address, told) = witness(move |_| rows[index.load(SeqCst)].output.into());
        let mount = format!("/={address}");
        let fixed = ["--mount", &mount, "--multiplex", "off"];
        let proxy = Proxy::start(&[&fixed[..], arguments].concat());
        for (index, row) in rows.iter().enumerate() {
            current.store(index, SeqCst);
            let mut client = proxy.connect();
            client.send(row.sent);
            let answer = match row.sent.starts_with("HEAD ") {
                true => client.head(),
                false => client.answer(),
            };
            let request = told.recv_timeout(TIME_LIMIT).expect("it was answered");
            let expected = match row.ours {
                None => row.told,
                Some((ours, reason)) => {
                    assert_ne!(ours, row.told, "{}: {reason}", row.what);
                    ours
                }
            };
            assert_eq!(has_params(&request, expected), Ok(()), "{}", row.what);
            assert_gets(&answer, &row.gets, row.what);
        }
    }
}

fn assert_gets(answer: &Answer, expected: &Gets, what: &str) {
    assert_eq!(answer.status, expected.status, "{what}: {answer:?}");
    assert_eq!(answer.is_whole, expected.is_whole, "{what}: {answer:?}");
    if answer.status < 400 {
        assert_eq!(answer.text(), expected.body, "{what}");
    }
    for (name, value) in expected.fields {
        assert_eq!(answer.field(name).unwrap_or_default(), *value, "{what}");
    }
}

#[test]
fn responses_are_what_they_are_through_nginx() {
    check(NGINX);
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n";
const MOVED: &str = "Location: http://b.example/c\nContent-Type: text/html\n\nmoved";
const TOO_LONG: &str = "Content-Type: text/html\nContent-Length: 4\n\nseen-and-more";
const TOO_SHORT: &str = "Content-Type: text/html\nContent-Length: 100\n\nseen";
const LENGTH_ALONE: &str = "Content-Type: text/html\nContent-Length: 100\n\n";
const EMPTY: &str = "Content-Type: text/html\n\n";

const NGINX: &[Row] = &[
    row(
        "a Location and a body",
        GET,
        MOVED,
        gets(302, "moved").with(&[
            ("location", "http://b.example/c"),
            ("content-type", "text/html"),
        ]),
    ),
    row(
        "a Location and a body, for HEAD",
        HEAD,
        MOVED,
        gets(302, "").with(&[("location", "http://b.example/c")]),
    ),
    row("no body", GET, EMPTY, gets(200, "")).told(&[("body", ""), ("CONTENT_LENGTH", "")]),
    row(
        "a length of 0",
        "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[("body", "")]),
    row(
        "a body",
        "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef",
        EMPTY,
        gets(200, ""),
    )
    .told(&[("body", "abcdef"), ("CONTENT_LENGTH", "6")]),
    row(
        "chunks",
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[("body", "abcdef"), ("CONTENT_LENGTH", "6")]),
    row(
        "no chunks",
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[("body", "")]),
    row("more than the length", GET, TOO_LONG, gets(200, "seen")),
    row(
        "more than a length of 0",
        GET,
        "Content-Length: 0\n\nmore",
        gets(200, ""),
    ),
    row(
        "less than the length",
        GET,
        TOO_SHORT,
        gets(200, "seen").cut(),
    ),
    row(
        "nothing of the length",
        GET,
        LENGTH_ALONE,
        gets(200, "").cut(),
    ),
    row(
        "more than the length, for HEAD",
        HEAD,
        TOO_LONG,
        gets(200, "").with(&[("content-length", "4")]),
    ),
    row(
        "less than the length, for HEAD",
        HEAD,
        TOO_SHORT,
        gets(200, "").with(&[("content-length", "100")]),
    ),
    row(
        "nothing of the length, for HEAD",
        HEAD,
        LENGTH_ALONE,
        gets(200, "").with(&[("content-length", "100")]),
    ),
    row(
        "cookies in three fields",
        "GET / HTTP/1.0\r\nCookie: a\r\nCookie: b\r\nCookie: c\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[("HTTP_COOKIE", "a; b; c")]),
    row(
        "another name in three fields",
        "GET / HTTP/1.0\r\nSome: a\r\nSome: b\r\nSome: c\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[("HTTP_SOME", "a, b, c")]),
    row(
        "X-Forwarded-For in three fields",
        "GET / HTTP/1.0\r\nX-Forwarded-For: a\r\nX-Forwarded-For: b\r\nX-Forwarded-For: c\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[("HTTP_X_FORWARDED_FOR", "a, b, c")])
    .but(
        &[("HTTP_X_FORWARDED_FOR", "")],
        "what a client that is no --trusted-proxy says of others is not passed on",
    ),
    row(
        "conditions",
        "GET / HTTP/1.0\r\nIf-Modified-Since: x\r\nIf-Unmodified-Since: y\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[
        ("HTTP_IF_MODIFIED_SINCE", "x"),
        ("HTTP_IF_UNMODIFIED_SINCE", "y"),
    ]),
    row(
        "a status alone",
        GET,
        "Status: 404 Not Found\r\n\r\n",
        gets(404, ""),
    ),
    row("half a head", GET, "BAD", gets(502, "")),
    row(
        "a head that ends with CRLF",
        GET,
        "Good: field\r\n\r\n",
        gets(200, "").with(&[("good", "field")]),
    ),
];

#[test]
fn responses_are_what_they_are_through_lighttpd() {
    check(LIGHTTPD);
}

const LIGHTTPD: &[Row] = &[
    row(
        "lines that end with LF",
        GET,
        "Status: 200 OK\n\ntext",
        gets(200, "text"),
    ),
    row(
        "lines that end with CRLF",
        GET,
        "Status: 200 OK\r\n\r\ntext",
        gets(200, "text"),
    ),
    row(
        "an application for each path",
        "GET /b/c/d?e HTTP/1.0\r\n\r\n",
        EMPTY,
        gets(200, ""),
    )
    .told(&[
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/b/c/d"),
        ("QUERY_STRING", "e"),
    ]),
];

#[test]
fn responses_are_what_they_are_through_go() {
    check(GO);
}

const GO: &[Row] = &[
    row(
        "a type and a field",
        GET,
        "Content-Type: text/html\nX-Some: value\n\ntext",
        gets(200, "text").with(&[("content-type", "text/html"), ("x-some", "value")]),
    ),
    row(
        "a Location alone",
        GET,
        "Location: http://b.example/\n\n",
        gets(302, "").with(&[("location", "http://b.example/")]),
    ),
];
