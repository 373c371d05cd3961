//! The ID of a request, and lines about failures: they name the client, the request, the application, the phase and the
//! ID.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::application::{application, read_request, stdout};
use super::harness::{Answer, Proxy, TIME_LIMIT, get, post};
use super::witness::witness;

const OFF: &[&str] = &["--multiplex", "off"];

/// The ID that a response names.
fn id_of(answer: &Answer) -> String {
    let ids = answer.fields.iter();
    let mut ids = ids.filter(|field| field.0.eq_ignore_ascii_case("x-request-id"));
    let id = ids.next().expect("an ID").1.clone();
    assert_eq!(ids.next(), None);
    id
}

/// Waits for the line about the failure of a request, and returns it without its date.
fn line_about(proxy: &Proxy, id: &str) -> String {
    let end = format!(", id: {id}\n");
    proxy.wait_for_log(&end);
    let log = proxy.log();
    let line = log
        .lines()
        .find(|line| line.ends_with(end.trim_end()))
        .expect("it was there");
    let (date, line) = line.split_once("] ").expect("a date");
    assert!(date.starts_with("proxy: ["), "{date}");
    line.to_owned()
}

/// Asks for a path and checks the line about the failure: what happened, who asked for what, where, and in which phase.
fn assert_line(
    proxy: &Proxy,
    request: Vec<u8>,
    status: u16,
    what: &str,
    upstream: &str,
    phase: &str,
) {
    let end = request.iter().position(|byte| *byte == b'\r');
    let line = String::from_utf8(request[..end.expect("a line")].to_vec()).expect("ASCII");
    let answer = proxy.ask(request);
    assert_eq!(answer.status, status, "{answer:?}");
    let id = id_of(&answer);
    let about = line_about(proxy, &id);
    assert!(about.contains(what), "{about}");
    let rest = format!(
        ", client: 127.0.0.1, request: \"{line}\", upstream: {upstream}, phase: {phase}, id: {id}"
    );
    assert!(about.ends_with(&rest), "{about}, not {rest}");
    // The access log has the ID too.
    proxy.wait_for_log(&format!(" {id}\n127.0.0.1 - - ["));
}

/// An application that takes a request, sends bytes and closes; without bytes, it keeps the connection.
fn answering(bytes: &'static [u8]) -> String {
    let serve = move |_, mut stream| {
        if read_request(&mut stream) {
            match bytes {
                b"" => drop(stream.read(&mut [0])),
                _ => drop(stream.write_all(&stdout(bytes))),
            }
        }
    };
    application(serve).0
}

#[test]
fn a_line_about_a_failure_names_the_request_and_where_it_was() {
    let get = || get("/a.php?b=c").into_bytes();
    let asked_of = |address: &str, more: &[&str]| {
        let fixed = ["--read-timeout", "0.2", "--write-timeout", "0.2"];
        Proxy::in_front_of(address, &[OFF, &fixed, more].concat())
    };
    // The port is taken, and nobody listens.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("a port");
    let closed = socket.local_addr().expect("a port").as_socket();
    let closed = closed.expect("an address").to_string();
    let proxy = asked_of(&closed, &["--connect-retry-timeout", "0"]);
    assert_line(
        &proxy,
        get(),
        502,
        "no connection to the application: connection refused",
        &closed,
        "connecting",
    );

    let silent = answering(b"");
    let proxy = asked_of(&silent, &[]);
    assert_line(
        &proxy,
        get(),
        504,
        "answered with 504: ",
        &silent,
        "waiting for the head, option: --read-timeout",
    );

    let cut = answering(b"Content-Length: 100\r\n\r\nhalf");
    let proxy = asked_of(&cut, &[]);
    assert_line(
        &proxy,
        get(),
        200,
        "a response is cut short: ",
        &cut,
        "body",
    );

    let wrong = answering(b"no head\n\n");
    let proxy = asked_of(&wrong, &[]);
    assert_line(
        &proxy,
        get(),
        502,
        "answered with 502: ",
        &wrong,
        "waiting for the head",
    );

    // The backlog takes the connection, and nobody reads.
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = deaf.local_addr().expect("a port").to_string();
    let proxy = asked_of(&address, &["--read-timeout", "60"]);
    let body = vec![b'x'; 32 * 1024 * 1024];
    let mut client = proxy.connect();
    client.send(format!(
        "POST /a.php HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    // Until the proxy has given up, it takes as much as fits in all buffers.
    let _ = client.stream.write_all(&body);
    proxy.wait_for_log(&format!(
        ", upstream: {address}, phase: sending, option: --write-timeout, id: "
    ));
}

#[test]
fn a_request_that_no_application_was_asked_for_has_a_line_as_well() {
    let waits = answering(b"");
    let proxy = Proxy::in_front_of(
        &waits,
        &[OFF, &["--max-conns", "1", "--queue", "0", "--status"]].concat(),
    );
    let mut first = proxy.connect();
    first.send(get("/a.php"));
    proxy.wait_for_figure("requests.in_flight", 1);
    let request = get("/a.php").into_bytes();
    assert_line(
        &proxy,
        request,
        503,
        "answered with 503: ",
        &waits,
        "queued, option: --queue",
    );
    // Its temporary directory is gone.
    let mut command = crate::program::example("proxy");
    command.env("TMPDIR", "/nonexistent");
    command.args(["--max-buffered", "131072"]);
    let proxy = Proxy::launch(command);
    let chunks = b"Transfer-Encoding: chunked\r\n\r\n20000\r\n";
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\n";
    let request = [&head[..], chunks, &[b'x'; 0x20000], b"\r\n0\r\n\r\n"].concat();
    let what = "a request body cannot be stored: ";
    assert_line(&proxy, request, 503, what, "-", "reading the request");
}

#[test]
fn several_applications_are_named_if_none_could_be_asked() {
    let addresses = ["unix:/nonexistent/a", "unix:/nonexistent/b"];
    let proxy = Proxy::in_front_of(
        addresses[0],
        &[
            OFF,
            &["--upstream", addresses[1], "--connect-retry-timeout", "0"],
        ]
        .concat(),
    );
    let answer = proxy.get("/a.php");
    let about = line_about(&proxy, &id_of(&answer));
    let names = format!(
        ", upstream: {}, phase: connecting, ",
        addresses.join(" or ")
    );
    assert!(about.contains(&names), "{about}");
}

#[test]
fn a_line_about_a_failure_holds_a_part_of_a_long_request_line() {
    let proxy = Proxy::in_front_of(&answering(b"no head\n\n"), OFF);
    let target = format!("/a.php?{}", "\"".repeat(4000));
    let answer = proxy.get(&target);
    let about = line_about(&proxy, &id_of(&answer));
    assert!(
        about.contains("request: \"GET /a.php?\\x22\\x22"),
        "{about}"
    );
    assert!(about.contains("\\x22...\", upstream: "), "{about}");
    assert!(about.len() < 1500, "{about}");
}

#[test]
fn a_file_that_shrinks_has_a_line_with_the_phase() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("big.bin");
    let file = std::fs::File::create(&path).expect("a file");
    // More than all buffers hold.
    file.set_len(64 * 1024 * 1024).expect("a file");
    let mut command = crate::program::example("proxy");
    command
        .args(["--upstream", "127.0.0.1:9", "--root"])
        .arg(root.path());
    let proxy = Proxy::launch(command);
    let mut client = proxy.connect_narrow();
    client.send(get("/big.bin"));
    let id = id_of(&client.head());
    file.set_len(1).expect("a file");
    std::io::copy(&mut client.stream, &mut std::io::sink()).expect("a cut response");
    let about = line_about(&proxy, &id);
    assert!(
        about.starts_with("a file is cut short: it shrank, client: "),
        "{about}"
    );
    assert!(about.contains("upstream: -, phase: file, id: "), "{about}");
}

/// Anybody can make an ID up.
#[test]
fn the_id_of_a_client_is_not_believed() {
    let (address, told) = witness(|_| b"Content-Length: 3\r\n\r\nyes".to_vec());
    let proxy = Proxy::in_front_of(&address, &[OFF, &["--underscores"]].concat());
    for fields in [
        "X-Request-Id: made-up\r\nx-request-id: again\r\n",
        "X_Request_Id: made-up\r\n",
        // Fields that are named there are not passed on.
        "Connection: keep-alive, X-Request-Id\r\n",
    ] {
        let answer = proxy.ask(format!("GET /a.php HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let id = id_of(&answer);
        assert!(!id.contains("made-up"), "{id}");
        let params = told.recv_timeout(TIME_LIMIT).expect("a request").params;
        assert_eq!(params.get("HTTP_X_REQUEST_ID"), Some(&id), "{fields}");
    }
}

// edge: X-Request-Id | made anew, or taken over from a trusted proxy if it is short and plain
#[test]
fn the_id_of_a_trusted_proxy_is_taken_over() {
    let (address, told) = witness(|_| b"Content-Length: 3\r\n\r\nyes".to_vec());
    let proxy = Proxy::in_front_of(&address, &[OFF, &["--trusted-proxy", "127.0.0.1"]].concat());
    let long = "x".repeat(129);
    for (given, is_taken) in [
        ("0af7651916cd43dd8448eb211c80319c", true),
        ("a", true),
        ("", false),
        ("two words", false),
        ("a\"b", false),
        (&long, false),
    ] {
        let field = format!("X-Request-Id: {given}\r\nReferer: /from\r\n");
        let answer = proxy.ask(format!("GET /a.php HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
        let id = id_of(&answer);
        assert_eq!(id == given, is_taken, "{given}: {id}");
        let params = told.recv_timeout(TIME_LIMIT).expect("a request").params;
        assert_eq!(params.get("HTTP_X_REQUEST_ID"), Some(&id));
        proxy.wait_for_log(&format!(" {id}\n"));
        let log = proxy.log();
        let line = log
            .lines()
            .find(|line| line.ends_with(&id))
            .expect("a line");
        assert!(
            line.contains("\"GET /a.php HTTP/1.1\" 200 3 \"/from\" \"-\" "),
            "{line}"
        );
    }
}

#[test]
fn an_application_may_name_the_id_itself() {
    let (address, _told) =
        witness(|_| b"X-Request-ID: its-own\r\nContent-Length: 3\r\n\r\nyes".to_vec());
    let proxy = Proxy::in_front_of(&address, OFF);
    assert_eq!(id_of(&proxy.get("/a.php")), "its-own");
}

#[test]
fn every_response_has_another_id() {
    let proxy = Proxy::start(&["--threads", "3"]);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let mut client = proxy.connect();
        for request in [
            get("/tag?tag=a").into_bytes(),
            get("/..").into_bytes(),
            post("/echo", b"a"),
        ] {
            client.send(request);
            ids.push(id_of(&client.answer()));
        }
        client.send("no HTTP at all\r\n");
        ids.push(id_of(&client.answer()));
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
}
