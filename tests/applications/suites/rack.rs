//! Sinatra on Rack's FastCGI handler, inside `Rack::Lint`, which checks what Rack's specification says about servers.
//!
//! The cases are those of Rack's own tests of handlers (the response, the variables, a form, a password, a status), and
//! others for what applications do. Debian 12's `fcgi` for Ruby is the one in pure Ruby: a request at a time, a
//! connection each, and it dies when it is asked `FCGI_GET_VALUES`.

use std::fs;

use super::{Report, Site, WAYS};
use crate::harness::{App, Program, Transport, pattern, source};
use crate::http::{Answer, Proxy, get, post};

type Case = (&'static str, fn(&Proxy) -> bool);

const CASES: [Case; 20] = [
    ("answers", |it| is(&it.get("/"), 200, "hello")),
    ("a length is that of the body", |it| {
        it.get("/").field("content-length") == Some("5")
    }),
    ("Rack's variables", |it| {
        let env = env(&it.get("/env"));
        env["rack.version"] == serde_json::json!([1, 3])
            && env["rack.multithread"] == false
            && env["rack.multiprocess"] == true
            && env["rack.run_once"] == false
            && env["rack.url_scheme"] == "http"
    }),
    ("CGI's variables of a GET", |it| {
        let env = env(&it.ask(
            "GET /env?foo=b%20r HTTP/1.1\r\nHost: example.org:81\r\nX-Test-Header: 42\r\n\r\n",
        ));
        env["REQUEST_METHOD"] == "GET"
            && env["SCRIPT_NAME"] == ""
            && env["PATH_INFO"] == "/env"
            && env["QUERY_STRING"] == "foo=b%20r"
            && env["SERVER_NAME"] == "example.org"
            && env["SERVER_PROTOCOL"] == "HTTP/1.1"
            && env["HTTP_VERSION"] == "HTTP/1.1"
            && env["HTTP_X_TEST_HEADER"] == "42"
            && env.get("HTTP_CONTENT_LENGTH").is_none()
            && env.get("CONTENT_LENGTH").is_none()
    }),
    ("the address of the client", |it| {
        env(&it.get("/env"))["REMOTE_ADDR"] == "127.0.0.1"
    }),
    ("a password", |it| {
        let answer =
            it.ask("GET /env HTTP/1.1\r\nHost: a\r\nAuthorization: Basic cnVieTpzZWNyZXQ=\r\n\r\n");
        env(&answer)["HTTP_AUTHORIZATION"] == "Basic cnVieTpzZWNyZXQ="
    }),
    ("a status and a field", |it| {
        let answer = it.get("/status/403");
        answer.status == 403 && answer.field("x-test") == Some("a")
    }),
    ("a status without a body", |it| {
        let mut client = it.connect();
        client.send(get("/status/204"));
        client.send(get("/"));
        let first = client.answer();
        first.status == 204
            && first.field("content-length").is_none()
            && is(&client.answer(), 200, "hello")
    }),
    ("a form", |it| {
        let form = "name=A%20d+a&list[]=1&list[]=2";
        let request = format!(
            "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        is(&it.ask(request), 200, "A d a [\"1\", \"2\"]")
    }),
    ("a file of a form", |it| {
        let content = String::from_utf8_lossy(&[b'x'; 300_000]).into_owned();
        let body = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.txt\"\r\nContent-Type: text/plain\r\n\r\n{content}\r\n--edge--\r\n"
        );
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=edge\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        is(&it.ask(head + &body), 200, "a b.txt 300000")
    }),
    ("a body of any bytes", |it| {
        let body = pattern(9, 200_000);
        ["POST", "PUT", "PATCH", "DELETE"].iter().all(|method| {
            let head = format!(
                "{method} /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let answer = it.ask([head.as_bytes(), &body].concat());
            answer.status == 200 && answer.body == body
        })
    }),
    ("a body in chunks", |it| {
        let answer = it.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        is(&answer, 200, "abcde")
    }),
    ("an empty body", |it| {
        is(&it.ask(post("/echo", b"")), 200, "")
    }),
    ("cookies", |it| {
        let answer = it.get("/cookies");
        let cookies = answer
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        cookies
            .map(|(_, value)| &**value)
            .eq(["first=1", "second=2"])
    }),
    ("a redirect to this address", |it| {
        let answer = it.ask("GET /redirect HTTP/1.1\r\nHost: example.org:81\r\n\r\n");
        matches!(answer.status, 302 | 303)
            && answer
                .field("location")
                .is_some_and(|to| to.starts_with("http://example.org") && to.ends_with('/'))
    }),
    ("HEAD", |it| {
        let mut client = it.connect();
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head();
        client.send(get("/"));
        head.status == 200 && is(&client.answer(), 200, "hello")
    }),
    ("a tag that is known", |it| {
        let answer = it.ask("GET /etag HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"abc\"\r\n\r\n");
        answer.status == 304 && is(&it.get("/etag"), 200, "tagged")
    }),
    ("a stream and a file", |it| {
        let file = fs::read(source("suites/rack.rb")).expect("a file of this repository");
        is(&it.get("/stream"), 200, "piece 0\npiece 1\npiece 2\n") && it.get("/file").body == file
    }),
    ("an exception", |it| {
        it.get("/raise").status == 500 && is(&it.get("/"), 200, "hello")
    }),
    ("a path in full", |it| {
        let env = env(&it.get("/%65nv"));
        env["PATH_INFO"] == "/env" && env["REQUEST_URI"] == "/%65nv"
    }),
];

#[test]
#[ignore = "needs Sinatra and Ruby's fcgi; run tests/run"]
fn every_case_of_rack_passes() {
    for way in &WAYS {
        let site = Site::start(Program::Rack, way);
        let mut report = Report::default();
        for (name, passes) in CASES {
            let list = match passes(&site.proxy) {
                true => &mut report.passed,
                false => &mut report.failed,
            };
            list.push(name.to_owned());
        }
        let log = site.app.log() + &site.proxy.log();
        assert!(!log.contains("LintError"), "{log}");
        let what = format!("Rack's cases, {}", way.name);
        report.check(&what, CASES.len(), &[], &log);
    }
}

#[test]
#[ignore = "needs Sinatra and Ruby's fcgi; run tests/run"]
fn below_a_prefix_rack_gets_the_rest_of_the_path() {
    let app = App::start(Program::Rack, Transport::Unix);
    let mount = format!("/blog={}", app.listen());
    let proxy = Proxy::start(&["--mount", &mount]);
    let env = env(&proxy.get("/blog/env"));
    assert_eq!(env["SCRIPT_NAME"], "/blog");
    assert_eq!(env["PATH_INFO"], "/env");
    let answer = proxy.get("/blog/redirect");
    let to = answer.field("location").unwrap_or_default();
    assert!(to.ends_with("/blog/"), "{answer:?}");
}

/// More requests than connections: requests wait, and the application is not asked whether it multiplexes.
#[test]
#[ignore = "needs Sinatra and Ruby's fcgi; run tests/run"]
fn a_crowd_before_rack_is_served_one_by_one() {
    let app = App::start(Program::Rack, Transport::Unix);
    let mount = format!("/={}", app.listen());
    let proxy = Proxy::start(&["--mount", &mount, "--max-conns", "2"]);
    let mut clients: Vec<_> = (0..30).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    for client in &mut clients {
        assert!(is(&client.answer(), 200, "hello"));
    }
}

fn is(answer: &Answer, status: u16, text: &str) -> bool {
    answer.status == status && answer.is_whole && answer.text() == text
}

fn env(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}
