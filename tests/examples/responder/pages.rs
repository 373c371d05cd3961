//! Requests each page of the application once.

use mio_fcgi::wire::{self, ProtocolStatus, RecordType, Role};

use super::peer::{Answer, Peer, open_request, params, request};
use super::start;

fn ask(uri: &str, body: &[u8]) -> Answer {
    let application = start();
    Peer::connect(application.address()).ask(uri, body)
}

fn ask_text(uri: &str, body: &[u8]) -> String {
    String::from_utf8(ask(uri, body).body().to_vec()).expect("text")
}

#[test]
fn the_index_shows_parameters_but_no_secrets() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let more = [
        ("HTTP_HOST", "<script>\"&{params}"),
        ("HTTP_COOKIE", "biscuit"),
        ("HTTP_AUTHORIZATION", "Basic sesame"),
    ];
    let mut bytes = open_request(1, true, "/", &more);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    let answer = peer.answers(1).one(1);
    let page = str::from_utf8(answer.body()).expect("text");
    assert!(page.contains("It works") && page.contains("GET"));
    assert!(page.contains("&lt;script&gt;&quot;&amp;&#123;params}"));
    assert!(page.contains("HTTP_COOKIE") && page.contains("(hidden)"));
    assert!(!page.contains("biscuit") && !page.contains("sesame"));
    assert!(!page.contains("{params}<") && !page.contains("{main}"));
    assert_eq!(content_length(&answer), page.len());
}

#[test]
fn a_page_for_hostile_parameters_stays_short() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let value = "&".repeat(5000);
    let names: Vec<String> = (0..100).map(|number| format!("N{number}")).collect();
    let more: Vec<_> = names.iter().map(|name| (name.as_str(), &*value)).collect();
    let mut bytes = open_request(1, true, "/", &more);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    let answer = peer.answers(1).one(1);
    assert!(answer.body().len() < 256 * 1024);
    assert!(String::from_utf8_lossy(answer.body()).contains("more."));
}

#[test]
fn echo_returns_body_and_type() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let body: Vec<u8> = (0..200_000_u32).map(|at| (at % 241) as u8).collect();
    let len = body.len().to_string();
    let more = [("CONTENT_TYPE", "image/x-test"), ("CONTENT_LENGTH", &*len)];
    let mut bytes = open_request(1, true, "/echo", &more);
    wire::write_stream(&mut bytes, RecordType::Stdin, 1, &body);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    let answer = peer.answers(1).one(1);
    assert_eq!(answer.body(), body);
    assert_eq!(
        answer.head(),
        "Content-Type: image/x-test\r\nContent-Length: 200000\r\n"
    );
}

#[test]
fn echo_lets_no_field_be_smuggled() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let more = [
        ("CONTENT_TYPE", "a/b\r\nSet-Cookie: c"),
        ("CONTENT_LENGTH", "0\r\nX: y"),
    ];
    let mut bytes = open_request(1, true, "/echo", &more);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    let answer = peer.answers(1).one(1);
    assert_eq!(answer.head(), "Content-Type: application/octet-stream\r\n");
}

#[test]
fn a_form_is_decoded_up_to_a_length() {
    let page = ask_text("/form", b"name=A+%3Cb%3E&number=7");
    assert!(page.contains("<th scope=\"row\">name</th><td>A &lt;b&gt;</td>"));
    assert!(ask("/form", &[b'a'; 65_536]).head().contains("200 OK"));
    assert!(ask("/form", &[b'a'; 65_537]).head().contains("413 "));
}

#[test]
fn an_upload_is_counted_and_hashed() {
    // The published FNV-1a test vector for "foobar".
    let page = ask_text("/upload", b"foobar");
    assert!(page.contains("<strong>6</strong>"), "{page}");
    assert!(page.contains("85944171f73967e8"), "{page}");
}

#[test]
fn lines_come_one_at_a_time() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    peer.send(&request(1, true, "/stream?n=2&ms=600000", b""));
    while !peer
        .so_far()
        .by_id
        .get(&1)
        .is_some_and(|answer| answer.stdout.ends_with(b"line 1 of 2\n"))
    {
        assert!(peer.read_some(1000));
    }
    assert!(!peer.so_far().one(1).stdout_ended);
    let mut peer = Peer::connect(application.address());
    let start = std::time::Instant::now();
    let answer = peer.ask("/stream?n=3&ms=50", b"");
    assert!(start.elapsed() >= std::time::Duration::from_millis(100));
    assert_eq!(answer.body(), b"line 1 of 3\nline 2 of 3\nline 3 of 3\n");
    let all_at_once = ask_text("/stream?n=30000&ms=0", b"");
    assert_eq!(all_at_once.lines().count(), 30_000);
    assert!(all_at_once.ends_with("line 30000 of 30000\n"));
    assert_eq!(ask_text("/stream?n=0", b""), "");
}

#[test]
fn the_small_pages_do_what_they_say() {
    assert!(
        ask("/status?code=503", b"")
            .head()
            .starts_with("Status: 503\r\n")
    );
    assert_eq!(ask("/status?code=204", b"").body(), b"");
    assert!(ask("/status?code=99", b"").head().contains("Status: 400"));
    assert!(ask("/slow?ms=soon", b"").head().contains("Status: 400"));
    assert_eq!(ask_text("/slow?ms=0", b""), "answered after 0 ms\n");
    assert!(ask("/nowhere", b"").head().contains("Status: 404"));
    let cookies = ask("/headers", b"");
    assert_eq!(cookies.head().matches("Set-Cookie: ").count(), 2);
    let answer = ask("/stderr?text=oh+no", b"");
    assert_eq!(answer.stderr, b"oh no");
    assert_eq!(answer.body(), b"written to FCGI_STDERR\n");
    let answer = ask("/exit?status=4294967295", b"");
    assert_eq!(answer.status(), (u32::MAX, ProtocolStatus::RequestComplete));
    assert_eq!(ask("/tag?tag=&size=10", b"").body(), b"");
    assert_eq!(ask("/big?size=0", b"").body(), b"");
}

#[test]
fn early_does_not_wait_for_the_body_and_the_rest_is_ignored() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    peer.send(&open_request(1, true, "/early", &[]));
    let answer = peer.answers(1).one(1);
    assert_eq!(answer.body(), b"answered before the body was read\n");
    let mut bytes = Vec::new();
    wire::write_stream(&mut bytes, RecordType::Stdin, 1, b"too late");
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    assert_eq!(peer.ask("/echo", b"in time").body(), b"in time");
}

#[test]
fn the_script_name_finds_a_page_where_the_uri_does_not() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let more = [("SCRIPT_NAME", "/tag"), ("QUERY_STRING", "tag=script")];
    let mut bytes = open_request(1, true, "/app.php/x?tag=uri", &more);
    wire::write_stream_end(&mut bytes, RecordType::Stdin, 1);
    peer.send(&bytes);
    assert_eq!(peer.answers(1).one(1).body(), b"script");
}

#[test]
fn authorizers_and_filters_are_served_and_other_roles_refused() {
    let application = start();
    let mut peer = Peer::connect(application.address());
    let mut bytes = Vec::new();
    wire::write_begin_request(&mut bytes, 1, Role::Authorizer, true);
    bytes.extend(params(1, "/", &[]));
    wire::write_begin_request(&mut bytes, 2, Role::Filter, true);
    bytes.extend(params(2, "/", &[]));
    for (stream, content) in [(RecordType::Stdin, "form"), (RecordType::Data, "file")] {
        wire::write_stream(&mut bytes, stream, 2, content.as_bytes());
        wire::write_stream_end(&mut bytes, stream, 2);
    }
    let body = wire::BeginRequest { role: 4, flags: 1 }.encode();
    wire::write_record(&mut bytes, RecordType::BeginRequest, 3, &body).expect("short");
    peer.send(&bytes);
    let answers = peer.answers(3);
    let authorized = answers.one(1);
    assert_eq!(authorized.body(), b"");
    assert!(authorized.head().contains("Variable-AUTHORIZED_BY: "));
    assert_eq!(answers.one(2).body(), b"file");
    assert_eq!(answers.one(3).status(), (0, ProtocolStatus::UnknownRole));
    assert_eq!(answers.one(3).stdout, b"");
}

fn content_length(answer: &Answer) -> usize {
    answer
        .head()
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|len| len.parse().ok())
        .expect("a length")
}
