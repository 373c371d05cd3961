//! `embed` and `responder`, driven as by their clients and Web servers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use mio_fcgi::{Request, blocking};

use crate::peer::{Peer, TIME_LIMIT};
use crate::program::{Server, example, interrupt, run};

fn embed(application: &[&str]) -> Server {
    Server::start(example("embed").arg("127.0.0.1:0").args(application))
}

fn visit(server: &Server) -> TcpStream {
    let client = TcpStream::connect(&server.address).expect("it listens");
    client.set_read_timeout(Some(TIME_LIMIT)).expect("a time");
    client.set_write_timeout(Some(TIME_LIMIT)).expect("a time");
    client
}

/// Sends lines, half-closes, and reads to the end.
fn say(server: &Server, lines: &str) -> String {
    try_say(server, lines).expect("it lets a client in")
}

fn try_say(server: &Server, lines: &str) -> io::Result<String> {
    let mut client = visit(server);
    client.write_all(lines.as_bytes())?;
    client.shutdown(Shutdown::Write)?;
    let mut reply = String::new();
    client.read_to_string(&mut reply)?;
    Ok(reply)
}

#[test]
fn embed_answers_each_line_in_its_order() {
    let server = embed(&[]);
    assert_eq!(
        say(
            &server,
            "/tag?tag=one&delay=30\n/tag?tag=two\r\n/status?code=404\n"
        ),
        "200 3\none200 3\ntwo404 11\nstatus 404\n"
    );
    assert_eq!(say(&server, ""), "");
    assert_eq!(say(&server, "/half a line"), "");
    let reply = say(&server, "/tag?tag=fine\n/a b\n/tag?tag=never\n");
    assert_eq!(reply, "200 4\nfine", "who writes no URI is shown out");
    assert!(say(&server, "/big?size=5000000\n").starts_with("failed: the response exceeds"));
}

#[test]
fn embed_serves_many_clients_at_a_time_and_survives_misbehaving_ones() {
    let server = embed(&[]);
    let mut clients: Vec<TcpStream> = (0..50).map(|_| visit(&server)).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let line = format!("/tag?tag={at}&delay=20\n");
        client.write_all(line.as_bytes()).expect("it reads");
    }
    // One client leaves before its response, one sends a line without end.
    drop(clients.remove(0));
    let mut endless = visit(&server);
    let mut bytes = Vec::new();
    let _ = endless.write_all(&[b'/'; 100_000]);
    let _ = endless.read_to_end(&mut bytes);
    assert_eq!(bytes, b"");
    for (at, client) in clients.iter_mut().enumerate() {
        let expected = (at + 1).to_string();
        let mut reply = BufReader::new(client);
        let mut line = String::new();
        reply.read_line(&mut line).expect("a reply");
        assert_eq!(line, format!("200 {}\n", expected.len()));
        let mut body = vec![0; expected.len()];
        reply.read_exact(&mut body).expect("a body");
        assert_eq!(body, expected.as_bytes());
    }
}

#[test]
fn servers_go_on_after_a_signal() {
    let embed = embed(&[]);
    let responder = Server::start(example("responder").args(["--listen", "127.0.0.1:0"]));
    let address = responder.address.parse().expect("an address");
    for _ in 0..5 {
        assert_eq!(say(&embed, "/tag?tag=x\n"), "200 1\nx");
        let request = Request::responder().param("REQUEST_URI", "/bench");
        blocking::call(&address, request, TIME_LIMIT).expect("a response");
        std::thread::sleep(Duration::from_millis(5));
        interrupt(&embed.child);
        interrupt(&responder.child);
    }
}

#[test]
fn embed_rejects_clients_beyond_its_limit() {
    let server = embed(&[]);
    let mut clients: Vec<TcpStream> = (0..256).map(|_| visit(&server)).collect();
    // The last client has been accepted when it is served.
    let last = clients.last_mut().expect("256 clients");
    last.write_all(b"/tag?tag=in\n").expect("it reads");
    let mut reply = [0; 8];
    last.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"200 2\nin");
    let mut bytes = Vec::new();
    let turned_away = visit(&server).read_to_end(&mut bytes);
    assert!(matches!(turned_away, Ok(0)), "{turned_away:?}");
    drop(clients);
    // The next client is rejected too until the server has noticed that the others left.
    let replies = (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(5));
        try_say(&server, "/tag?tag=again\n")
            .ok()
            .filter(|reply| !reply.is_empty())
    });
    assert_eq!(replies.as_deref(), Some("200 5\nagain"));
}

#[test]
fn embed_reports_an_error_to_its_client_and_goes_on() {
    let peer = Peer::unix(|listener| {
        drop(listener.accept_request());
        let (mut connection, request) = listener.accept_request();
        connection.answer(request.id, b"better");
        let script = request.param("SCRIPT_FILENAME");
        connection.rest();
        script
    });
    let server = embed(&[&peer.address().to_string(), "/srv/www/index.php"]);
    let reply = say(&server, "/one\n/two\n");
    let (failed, better) = reply.split_once('\n').expect("two replies");
    assert!(
        failed.starts_with("failed: ") && failed.contains("closed"),
        "{failed}"
    );
    assert_eq!(better, "200 6\nbetter");
    drop(server);
    assert_eq!(peer.join().as_deref(), Some("/srv/www/index.php"));
}

#[test]
fn responder_is_an_application_of_its_own() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let listen = format!("unix:{}/r.sock", directory.path().display());
    for (listen, body_len) in [(listen.as_str(), 16), ("127.0.0.1:0", 100)] {
        let server = Server::start(
            example("responder")
                .args(["--listen", listen, "--threads", "2"])
                .args(["--body", &body_len.to_string()]),
        );
        let address = server.address.parse().expect("an address");
        let request = Request::responder().param("REQUEST_URI", "/bench");
        let response = blocking::call(&address, request, TIME_LIMIT).expect("a response");
        assert_eq!((response.status, response.body.len()), (200, body_len));
    }
}

#[test]
fn servers_report_an_invalid_command_line() {
    let responder = run(&mut example("responder"), b"");
    assert_eq!(responder.status, Some(2));
    assert!(responder.stderr.contains("--listen"), "{responder:?}");
    let embed = run(&mut example("embed"), b"");
    embed.failed(1, &["usage: embed IP:PORT"]);
    let embed = run(example("embed").arg("here"), b"");
    embed.failed(1, &["address"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let embed = run(example("embed").arg(&address), b"");
    embed.failed(1, &["in use"]);
}
