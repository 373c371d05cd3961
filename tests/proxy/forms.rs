//! Forms of a request: which are served, and what a client is told about the others.

use std::sync::mpsc::Receiver;

use super::harness::{Proxy, TIME_LIMIT};
use super::witness::{ReceivedRequest, witness};

/// A proxy before an application that notes what it is asked. Every file is a script.
struct Noted {
    proxy: Proxy,
    told: Receiver<ReceivedRequest>,
}

impl Noted {
    fn new(arguments: &[&str]) -> Self {
        let (address, told) = witness(|_| b"Content-Type: text/plain\r\n\r\nyes".to_vec());
        let fixed = ["--multiplex", "off", "--extension", ""];
        let proxy = Proxy::in_front_of(&address, &[&fixed[..], arguments].concat());
        Self { proxy, told }
    }

    /// What the application is asked for this request, which is served.
    #[track_caller]
    fn served(&self, request: &[u8]) -> ReceivedRequest {
        let answer = self.proxy.ask(request);
        let shown = String::from_utf8_lossy(request);
        assert_eq!(answer.text(), "yes", "{shown}");
        self.told.recv_timeout(TIME_LIMIT).expect("a request")
    }

    /// What a client is told about this request, which is refused.
    #[track_caller]
    fn refused(&self, request: &[u8], status: u16, why: &str) {
        let answer = self.proxy.ask(request);
        let shown = String::from_utf8_lossy(request);
        assert_eq!(answer.status, status, "{shown}");
        assert!(answer.text().contains(why), "{shown}: {}", answer.text());
    }
}

/// RFC 9112, 3.2.2. Behind a terminator of TLS, a client's scheme is `https`.
// cases 157, 172
// edge: a whole URI as the target, with http or https, without a path | served, its authority is the host
#[test]
fn a_whole_uri_is_a_target() {
    let noted = Noted::new(&[]);
    for (target, uri, query) in [
        ("http://right/x?a=1", "/x?a=1", "a=1"),
        ("https://right/x?a=2", "/x?a=2", "a=2"),
        ("HTTPS://right/x", "/x", ""),
        ("http://right", "/", ""),
        ("http://right?a=1", "/?a=1", "a=1"),
        ("https://right?/a", "/?/a", "/a"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: wrong\r\n\r\n");
        let told = noted.served(request.as_bytes());
        let seen = ["HTTP_HOST", "REQUEST_URI", "QUERY_STRING"].map(|name| told.param(name));
        assert_eq!(seen, ["right", uri, query], "{target}");
    }
    noted.refused(
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "neither a path nor",
    );
}

/// nginx, lighttpd and Caddy take it as it is.
// edge: bytes beyond ASCII in the target, in UTF-8 or not | passed on as they are
#[test]
fn bytes_beyond_ascii_in_a_target_are_passed_on() {
    let noted = Noted::new(&[]);
    let told = noted.served(b"GET /caf\xe9?q=\xfc HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(told.param("REQUEST_URI"), "/caf\u{e9}?q=\u{fc}");
    assert_eq!(told.param("SCRIPT_NAME"), "/caf\u{e9}");
    assert_eq!(told.param("QUERY_STRING"), "q=\u{fc}");
    let told = noted.served("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes());
    assert_eq!(told.param("REQUEST_URI"), "/\u{c3}\u{a9}");
    noted.proxy.wait_for_log("/caf\\xE9?q=\\xFC");
}

/// RFC 9110, 2.5.
// case 174
// edge: a higher minor version | served as HTTP/1.1
#[test]
fn a_higher_minor_version_is_served_as_1_1() {
    let noted = Noted::new(&[]);
    for version in ["1.2", "1.9"] {
        let request = format!("GET /a HTTP/{version}\r\nHost: a\r\n\r\n");
        let told = noted.served(request.as_bytes());
        assert_eq!(told.param("SERVER_PROTOCOL"), "HTTP/1.1");
    }
}

// cases 174, 175
#[test]
fn a_client_is_told_what_is_wrong_with_its_request() {
    let noted = Noted::new(&["--pass-authorization"]);
    let version = "the version is not HTTP/1.0 or HTTP/1.1";
    for (line, status, why) in [
        ("GET /a b HTTP/1.1", 400, "a blank in it"),
        ("GET  /a HTTP/1.1", 400, "a blank in it"),
        ("GET /a\tb HTTP/1.1", 400, "a control byte in it"),
        ("GET /a\x7f HTTP/1.1", 400, "a control byte in it"),
        ("GET /a HTTP/1.1 ", 400, version),
        ("GET /a HTTP/1.10", 400, version),
        ("GET /a HTTP/1.1x", 400, version),
        ("GET /a HTTP/x.1", 400, version),
        ("GET /a http/1.1", 400, version),
        ("GET /a HTTP/1", 400, version),
        ("GET /a HTTP/0.9", 505, "only HTTP/1.0 and HTTP/1.1"),
        ("GET /a HTTP/2.0", 505, "only HTTP/1.0 and HTTP/1.1"),
        ("GET /a", 400, "no version"),
        ("GET", 400, "no target"),
        ("G@T /a HTTP/1.1", 400, "the method is not a token"),
    ] {
        noted.refused(format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), status, why);
    }
    let head = "GET /a HTTP/1.1\r\nHost: a\r\n";
    for (fields, why) in [
        ("X: a\r\n b\r\n", "folded"),
        ("X: a\r\n\tb\r\n", "folded"),
        (" X: a\r\n", "folded"),
        ("X Y: a\r\n", "name of a field"),
        ("X: a\x01\r\n", "control byte"),
        (
            "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n",
            "the field Authorization is there more than once",
        ),
        (
            "Content-Type: a/b\r\nContent-Type: a/c\r\n",
            "the field Content-Type is there more than once",
        ),
    ] {
        noted.refused(format!("{head}{fields}\r\n").as_bytes(), 400, why);
    }
}

/// RFC 9112, 6.3: it is not known where such a body ends.
// case 173
// edge: a Transfer-Encoding that ends in another coding than chunked, or is chunked twice | 400 and closed; no application is asked
#[test]
fn a_body_must_be_chunked_once_and_at_last() {
    let noted = Noted::new(&[]);
    for codings in [
        "gzip",
        "chunked, gzip",
        "chunked, chunked",
        "chunked, gzip, chunked",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: gzip",
    ] {
        let mut client = noted.proxy.connect();
        let fields = format!("Host: a\r\nTransfer-Encoding: {codings}\r\n");
        let chunks = "3\r\nabc\r\n0\r\n\r\n";
        client.send(format!("POST /a HTTP/1.1\r\n{fields}\r\n{chunks}"));
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{codings}: {}", answer.text());
        client.assert_closed();
    }
    let told = noted.served(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(told.param("REQUEST_URI"), "/next");
}

/// A wrapper around a client adds the field that its caller has set.
// edge: equal Content-Type fields | served, as one; 400 if they differ
#[test]
fn equal_content_types_are_one() {
    let noted = Noted::new(&[]);
    let fields = "Content-Type: a/b\r\nX: y\r\nContent-Type:  a/b \r\nContent-Length: 0\r\n";
    let told = noted.served(format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    assert_eq!(told.param("CONTENT_TYPE"), "a/b");
}

/// Nothing more comes from such a client.
// edge: a line of HTTP/0.9 | 400 at once, not 408 after `--header-timeout`
#[test]
fn a_request_of_http_0_9_is_refused_at_once() {
    let proxy = Proxy::start(&["--header-timeout", "1000"]);
    for line in [
        "GET /\r\n",
        "GET /a b\r\n",
        "GET\r\n",
        "GET /a HTTP/1.10\r\n",
    ] {
        let mut client = proxy.connect();
        client.send(line);
        assert_eq!(client.answer().status, 400, "{line}");
        client.assert_closed();
    }
}

// case 175
// edge: a head beyond `--max-head`, `--max-request-line`, `--max-fields` | 431, 414, 431; below them, served
#[test]
fn the_limits_of_a_head_are_options() {
    let padded = |target: usize, field: usize, fields: usize| {
        let (target, field) = ("a".repeat(target), "b".repeat(field));
        let fields = "X: y\r\n".repeat(fields);
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\nB: {field}\r\n{fields}\r\n")
    };
    let narrow = Noted::new(&[
        "--max-head",
        "1k",
        "--max-request-line",
        "100",
        "--max-fields",
        "9",
    ]);
    narrow.served(padded(80, 100, 7).as_bytes());
    narrow.refused(padded(90, 0, 0).as_bytes(), 414, "request line is too long");
    narrow.refused(
        padded(0, 1000, 0).as_bytes(),
        431,
        "head of the request is too long",
    );
    narrow.refused(padded(0, 0, 8).as_bytes(), 431, "too many fields");
    let wide = Noted::new(&[
        "--max-head",
        "64k",
        "--max-request-line",
        "20k",
        "--max-fields",
        "250",
    ]);
    wide.served(padded(20_000, 0, 0).as_bytes());
    wide.served(padded(0, 64_000, 0).as_bytes());
    wide.served(padded(0, 0, 240).as_bytes());
    wide.refused(
        padded(0, 66_000, 0).as_bytes(),
        431,
        "head of the request is too long",
    );
}
