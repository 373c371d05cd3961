//! `get`: what it prints, and the message and exit status of each failure.

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use mio_fcgi::wire::{self, EndRequest, ProtocolStatus};

use crate::peer::{self, Connection, Peer, TIME_LIMIT};
use crate::program::{Ended, example, interrupt, run, wait};

fn get(arguments: &[&str]) -> Ended {
    run(example("get").args(arguments), b"")
}

/// Sends one request to a peer that runs `script`.
fn get_from<T: Send + 'static>(
    script: impl FnOnce(&mut Connection, u16) -> T + Send + 'static,
    arguments: &[&str],
) -> (Ended, T) {
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        let id = connection.request().expect("a request").id;
        script(&mut connection, id)
    });
    let address = peer.address().to_string();
    let ended = run(
        example("get")
            .args(["--connect", &address, "--script", "/srv/www/x.php"])
            .args(arguments),
        b"",
    );
    (ended, peer.join())
}

fn end_with(protocol_status: ProtocolStatus) -> impl FnOnce(&mut Connection, u16) {
    move |connection, id| {
        let mut bytes = Vec::new();
        let body = EndRequest {
            app_status: 0,
            protocol_status,
        };
        wire::write_end_request(&mut bytes, id, body);
        connection.send(&bytes);
    }
}

#[test]
fn without_an_address_the_demo_application_answers() {
    let page = get(&[]);
    page.succeeded();
    assert!(page.text().contains("<form"), "{page:?}");
    let hello = get(&["--uri", "/tag?tag=hello", "-i"]);
    hello.succeeded();
    let text = hello.text();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("Status: 200"), "{text}");
    assert!(head.contains("Content-Length: 5"), "{text}");
    assert_eq!(body, "hello");
}

#[test]
fn a_large_body_arrives_whole() {
    let big = get(&["--uri", "/big?size=20000000"]);
    big.succeeded();
    assert_eq!(big.stdout.len(), 20_000_000);
    let pattern = |(at, byte): (usize, &u8)| *byte == (at % 251) as u8;
    assert!(big.stdout.iter().enumerate().all(pattern));
}

#[test]
fn the_body_is_shown_as_it_comes() {
    let (shown, is_shown) = mpsc::channel::<()>();
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        let id = connection.request().expect("a request").id;
        connection.send(&peer::stdout(id, b"X: y\r\n\r\nfirst"));
        is_shown.recv_timeout(TIME_LIMIT).expect("it was shown");
        connection.send(&peer::stdout(id, b" second"));
        connection.send(&peer::end(id));
    });
    let mut child = example("get")
        .args(["--connect", &peer.address().to_string(), "--script", "/x"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let mut bytes = [0; 5];
    stdout.read_exact(&mut bytes).expect("the first piece");
    assert_eq!(&bytes, b"first");
    shown.send(()).expect("the peer waits");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the rest");
    assert_eq!((rest.as_str(), wait(&mut child)), (" second", Some(0)));
    peer.join();
}

#[test]
fn a_signal_does_not_end_waiting() {
    let (asked, is_asked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        let id = connection.request().expect("a request").id;
        asked.send(()).expect("the test waits");
        may_go_on
            .recv_timeout(TIME_LIMIT)
            .expect("the test goes on");
        connection.answer(id, b"all the same");
    });
    let mut child = example("get")
        .args(["--connect", &peer.address().to_string(), "--script", "/x"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example starts");
    is_asked.recv_timeout(TIME_LIMIT).expect("a request");
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(5));
        interrupt(&child);
    }
    go_on.send(()).expect("the peer waits");
    let mut shown = String::new();
    let mut stdout = child.stdout.take().expect("it is a pipe");
    stdout.read_to_string(&mut shown).expect("text");
    assert_eq!(
        (shown.as_str(), wait(&mut child)),
        ("all the same", Some(0))
    );
    peer.join();
}

#[test]
fn the_request_is_what_the_command_line_says() {
    let peer = Peer::unix(|listener| {
        let mut connection = listener.accept();
        let request = connection.request().expect("a request");
        connection.answer(request.id, b"ok");
        request
    });
    let ended = run(
        example("get")
            .args(["--connect", &peer.address().to_string()])
            .args(["--script", "/srv/www/app/x.php", "--method", "PUT"])
            .args(["--uri", "/app/x.php/path?a=b", "--data", "k=v"])
            .args(["--param", "HTTP_HOST=example.org", "--param", "X_EMPTY="]),
        b"",
    );
    ended.succeeded();
    assert_eq!(ended.text(), "ok");
    let request = peer.join();
    assert!(!request.keep);
    assert_eq!(request.body, b"k=v");
    for (name, value) in [
        ("REQUEST_METHOD", "PUT"),
        ("REQUEST_URI", "/app/x.php/path?a=b"),
        ("QUERY_STRING", "a=b"),
        ("SCRIPT_FILENAME", "/srv/www/app/x.php"),
        ("SCRIPT_NAME", "/app/x.php"),
        ("PATH_INFO", "/path"),
        ("DOCUMENT_ROOT", "/srv/www"),
        ("CONTENT_LENGTH", "3"),
        ("CONTENT_TYPE", "application/x-www-form-urlencoded"),
        ("HTTP_HOST", "example.org"),
        ("X_EMPTY", ""),
    ] {
        assert_eq!(request.param(name).as_deref(), Some(value), "{name}");
    }
}

/// The parameters that an application receives for a command line.
fn sent(arguments: &[&str]) -> peer::Received {
    let peer = Peer::unix(|listener| {
        let mut connection = listener.accept();
        let request = connection.request().expect("a request");
        connection.answer(request.id, b"ok");
        request
    });
    let address = peer.address().to_string();
    let ended = get(&[&["--connect", &address], arguments].concat());
    ended.succeeded();
    peer.join()
}

#[test]
fn a_page_of_php_fpm_is_asked_for_by_its_whole_path() {
    let request = sent(&["--script", "/fpm/ping"]);
    for name in ["SCRIPT_NAME", "SCRIPT_FILENAME", "REQUEST_URI"] {
        assert_eq!(request.param(name).as_deref(), Some("/fpm/ping"), "{name}");
    }
    assert_eq!(request.param("DOCUMENT_ROOT"), None);
}

#[test]
fn a_404_without_a_script_says_so() {
    let peer = Peer::unix(|listener| {
        let (mut connection, request) = listener.accept_request();
        let mut bytes = peer::stdout(request.id, b"Status: 404 Not Found\r\n\r\n");
        bytes.extend(peer::end(request.id));
        connection.send(&bytes);
    });
    let address = peer.address().to_string();
    let ended = get(&["--connect", &address, "--uri", "/x"]);
    ended.failed(22, &["404 Not Found", "no --script"]);
    peer.join();
}

#[test]
fn an_application_without_scripts_needs_none() {
    let request = sent(&["--uri", "/caf%C3%A9/x?a=b"]);
    for (name, value) in [
        ("REQUEST_URI", Some("/caf%C3%A9/x?a=b")),
        ("SCRIPT_NAME", Some("")),
        ("PATH_INFO", Some("/caf\u{e9}/x")),
        ("QUERY_STRING", Some("a=b")),
        ("SCRIPT_FILENAME", None),
        ("DOCUMENT_ROOT", None),
    ] {
        assert_eq!(request.param(name).as_deref(), value, "{name}");
    }
}

#[test]
fn a_script_whose_name_needs_encoding_can_be_requested() {
    let request = sent(&["--script", "/srv/www/50 %.php"]);
    for (name, value) in [
        ("REQUEST_URI", "/50%20%25.php"),
        ("SCRIPT_NAME", "/50 %.php"),
        ("SCRIPT_FILENAME", "/srv/www/50 %.php"),
        ("DOCUMENT_ROOT", "/srv/www"),
    ] {
        assert_eq!(request.param(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn data_comes_from_the_command_line_a_file_or_stdin() {
    let text = get(&["--uri", "/echo", "--data", "name=world"]);
    text.succeeded();
    assert_eq!(text.text(), "name=world");

    let bytes: Vec<u8> = (0..3_000_000).map(|at| (at % 249) as u8).collect();
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&bytes).expect("room for 3 MB");
    let name = format!("@{}", file.path().display());
    let from_file = get(&["--uri", "/echo", "--data", &name]);
    from_file.succeeded();
    assert!(from_file.stdout == bytes);

    let stdin = run(
        example("get").args(["--uri", "/echo", "--data", "-"]),
        &bytes,
    );
    stdin.succeeded();
    assert!(stdin.stdout == bytes);

    get(&["--uri", "/echo", "--data", "@/nowhere/at/all"]).failed(26, &["/nowhere/at/all"]);
    let too_long = run(
        example("get").args(["--uri", "/echo", "--data", "-"]),
        &vec![0; 64 * 1024 * 1024 + 1],
    );
    too_long.failed(26, &["67108864"]);
}

#[test]
fn the_applications_stderr_is_kept_apart() {
    let (ended, ()) = get_from(
        |connection, id| {
            let mut bytes = Vec::new();
            wire::write_stream(&mut bytes, wire::RecordType::Stderr, id, b"PHP Notice: hm");
            bytes.extend(peer::answer(id, b"fine"));
            connection.send(&bytes);
        },
        &[],
    );
    assert_eq!(ended.status, Some(0));
    assert_eq!(
        (ended.text().as_str(), ended.stderr.as_str()),
        ("fine", "PHP Notice: hm\n")
    );
}

#[test]
fn an_error_status_is_a_failure_and_with_fail_its_body_is_not_shown() {
    let told = get(&["--uri", "/status?code=404"]);
    told.failed(22, &["answered 404"]);
    assert_eq!(told.text(), "status 404\n");
    let failed = get(&["--uri", "/status?code=503", "--fail"]);
    failed.failed(22, &["answered 503"]);
    assert_eq!(failed.text(), "");
    let script = |connection: &mut Connection, id| {
        let mut bytes = peer::stdout(id, b"Status: 404 Not Found\r\n\r\nFile not found.\n");
        bytes.extend(peer::end(id));
        connection.send(&bytes);
    };
    let (ended, ()) = get_from(script, &["--fail"]);
    ended.failed(22, &["404 Not Found", "/srv/www/x.php"]);
}

#[test]
fn a_refused_connection_and_a_missing_socket_have_different_messages() {
    let (down, _socket) = peer::refusing();
    let address = down.to_string();
    let refused = get(&["--connect", &address, "--script", "/x.php"]);
    refused.failed(7, &[&address, "refused"]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = format!("unix:{}/none.sock", directory.path().display());
    let missing = get(&["--connect", &address, "--script", "/x.php"]);
    missing.failed(7, &[&address, "no such socket"]);
}

#[test]
fn an_unknown_host_is_reported() {
    let ended = get(&["--connect", "no-such-host.invalid:9000", "--script", "/x"]);
    ended.failed(6, &["no-such-host.invalid"]);
}

#[test]
fn an_http_server_is_recognised() {
    let (ended, _) = get_from(
        |connection, _| {
            connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\nwhat?");
            connection.rest()
        },
        &[],
    );
    ended.failed(8, &["HTTP server"]);
}

#[test]
fn an_invalid_head_is_reported() {
    let (ended, ()) = get_from(
        |connection, id| {
            let mut bytes = peer::stdout(id, b"hello, world\n");
            bytes.extend(peer::end(id));
            connection.send(&bytes);
        },
        &[],
    );
    ended.failed(8, &["line 1", "colon"]);
}

#[test]
fn a_silent_server_times_out() {
    let (ended, _) = get_from(|connection, _| connection.rest(), &["--timeout", "0.4"]);
    ended.failed(28, &["no response in time"]);
    let begun = |connection: &mut Connection, id| {
        connection.send(&peer::stdout(id, b"X: y\r\n\r\nbegun\n"));
        connection.rest()
    };
    // A longer timeout: the peer needs some of it.
    let (ended, _) = get_from(begun, &["--timeout", "3"]);
    ended.failed(28, &["did not end in time"]);
    assert_eq!(ended.text(), "begun\n");
}

#[test]
fn a_response_that_is_cut_short_is_reported() {
    let (ended, ()) = get_from(
        |connection, id| connection.send(&peer::stdout(id, b"X: y\r\n\r\nhalf")),
        &[],
    );
    ended.failed(18, &["cut short after 4 bytes"]);
    assert_eq!(ended.text(), "half");
    let (ended, ()) = get_from(
        |connection, id| {
            let mut bytes = peer::stdout(id, b"Content-Length: 10\r\n\r\nhalf");
            bytes.extend(peer::end(id));
            connection.send(&bytes);
        },
        &[],
    );
    ended.failed(18, &["10 bytes", "4 arrived"]);
    let (ended, ()) = get_from(
        |connection, id| connection.send(&peer::stdout(id, b"Content-")),
        &[],
    );
    ended.failed(18, &["cut short"]);
}

#[test]
fn a_missing_response_is_reported() {
    let (ended, ()) = get_from(|_, _| (), &[]);
    ended.failed(52, &["no response", "closed by the application"]);
    let (ended, ()) = get_from(end_with(ProtocolStatus::RequestComplete), &[]);
    ended.failed(52, &["ended without a response"]);
}

#[test]
fn a_rejected_request_is_reported() {
    let (ended, ()) = get_from(end_with(ProtocolStatus::UnknownRole), &[]);
    ended.failed(9, &["role"]);
}

#[test]
fn a_complete_body_is_a_success_although_the_request_did_not_end() {
    let (ended, ()) = get_from(
        |connection, id| connection.send(&peer::stdout(id, b"Content-Length: 5\r\n\r\nwhole")),
        &[],
    );
    ended.failed(0, &["complete, but"]);
    assert_eq!(ended.text(), "whole");
}

#[test]
fn a_closed_stdout_ends_it_without_a_message() {
    let mut child = example("get")
        .args(["--uri", "/big?size=1000000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    let mut bytes = [0; 10];
    let mut stdout = child.stdout.take().expect("it is a pipe");
    stdout.read_exact(&mut bytes).expect("its first bytes");
    drop(stdout);
    assert_eq!(wait(&mut child), Some(23));
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("it is a pipe");
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(said, "");
}

#[test]
fn the_servers_values_are_a_health_check() {
    let values = get(&["--values"]);
    values.succeeded();
    assert!(values.text().contains("FCGI_MPXS_CONNS=1\n"), "{values:?}");
    let peer = Peer::unix(|listener| listener.accept().rest());
    let address = peer.address().to_string();
    let silent = get(&["--connect", &address, "--values", "--timeout", "0.4"]);
    silent.failed(28, &["in time"]);
    peer.join();
}

#[test]
fn each_invalid_option_has_its_message() {
    let wrong: [(&[&str], &[&str]); 13] = [
        (&["--bogus"], &["--bogus"]),
        (&["/x.php"], &["/x.php", "--script"]),
        (&["--connect", "localhost"], &["no port"]),
        (&["--connect", "127.0.0.1:9000"], &["--script", "--uri"]),
        (&["--connect"], &["--connect expects a value"]),
        (&["--timeout", "soon"], &["seconds"]),
        (&["--timeout", "0"], &["seconds"]),
        (&["--connect-retry", "-1"], &["seconds"]),
        (&["--param", "novalue"], &["NAME=VALUE"]),
        (&["--uri", "x.php"], &["begins with a slash"]),
        (&["--uri", "/a b"], &["byte 0x20"]),
        (&["--method", "GET /"], &["method"]),
        (&["--data", "@"], &["names no file"]),
    ];
    for (arguments, words) in wrong {
        let ended = get(arguments);
        ended.failed(2, words);
        assert_eq!(ended.text(), "", "{arguments:?}");
    }
}

#[test]
fn help_explains_every_option_and_every_status() {
    let help = get(&["--help"]);
    help.succeeded();
    let text = help.text();
    for word in [
        "--connect",
        "--script",
        "--uri",
        "--method",
        "--data",
        "--param",
        "--include",
        "--fail",
        "--timeout",
        "--connect-retry",
        "--values",
        "Exit status",
    ] {
        assert!(text.contains(word), "{word}");
    }
    for status in [0, 1, 2, 6, 7, 8, 9, 18, 22, 23, 26, 28, 52] {
        let line = format!("\n{status:4}  ");
        assert!(text.contains(&line), "{status}");
    }
    assert!(text.lines().all(|line| line.len() <= 100));
}
