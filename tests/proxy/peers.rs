//! Clients that are many from one address, and clients that end their side of the connection.

use std::net::Shutdown;
use std::time::Duration;

use super::harness::{HttpClient, Proxy, get, post};

fn ask(client: &mut HttpClient, tag: &str) {
    client.send(get(&format!("/tag?tag={tag}")));
    assert_eq!(client.answer().text(), tag);
}

// edge: more connections of an address than `--max-per-address`, over all threads | 503 and closed; counted; served when others have ended
#[test]
fn connections_of_an_address_are_limited() {
    let proxy = Proxy::start(&["--max-per-address", "3", "--threads", "2", "--status"]);
    let mut served: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
    served.iter_mut().for_each(|client| ask(client, "a"));
    for _ in 0..4 {
        let mut refused = proxy.connect();
        let answer = refused.answer();
        assert_eq!((answer.status, answer.is_whole), (503, true));
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(answer.field("retry-after"), Some("1"));
        assert!(answer.text().contains("too many connections"));
        refused.assert_closed();
    }
    proxy.wait_for_log(
        "a connection of 127.0.0.1 is refused: its address has 3 (--max-per-address)",
    );
    // One line, not four.
    assert_eq!(proxy.log().matches("is refused").count(), 1);
    served.iter_mut().for_each(|client| ask(client, "b"));
    served[0].send(get("/-/status.json"));
    let status = served[0].answer().text();
    assert!(status.contains("\"refused\":4"), "{status}");
    // A place for the next, as soon as the proxy has seen that one has gone.
    drop(served.pop());
    super::harness::eventually(
        || {
            let mut client = proxy.connect();
            client.send(get("/tag?tag=c"));
            client.answer().status == 200
        },
        || "nobody gets the place".to_owned(),
    );
}

// edge: connections of a trusted proxy beyond `--max-per-address` | served
#[test]
fn connections_of_trusted_proxies_are_not_limited() {
    let arguments = ["--max-per-address", "1", "--trusted-proxy", "127.0.0.1"];
    let proxy = Proxy::start(&arguments);
    let mut clients: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
    clients.iter_mut().for_each(|client| ask(client, "a"));
}

// edge: the address in a header of the PROXY protocol, IPv6 by its /64 | limited like that of a connection
#[test]
fn clients_behind_the_proxy_protocol_are_limited_by_their_own_address() {
    let proxy = Proxy::listening(
        &["127.0.0.1:0,proxy-protocol"],
        &["--max-per-address", "1", "--trusted-proxy", "127.0.0.1"],
    );
    let connect = |source: &str| {
        let family = if source.contains(':') { 6 } else { 4 };
        let server = if family == 6 { "::1" } else { "198.51.100.1" };
        let mut client = proxy.connect();
        client.send(format!("PROXY TCP{family} {source} {server} 1 2\r\n"));
        client.send(get("/tag?tag=a"));
        (client.answer().status, client)
    };
    let first = connect("192.0.2.7");
    assert_eq!(first.0, 200);
    assert_eq!(connect("192.0.2.7").0, 503);
    assert_eq!(connect("192.0.2.8").0, 200);
    let subscriber = connect("2001:db8:0:1::1");
    assert_eq!(subscriber.0, 200);
    assert_eq!(connect("2001:db8:0:1:ffff::2").0, 503);
    assert_eq!(connect("2001:db8:0:2::1").0, 200);
    // A check of the proxy in front has no address of its own.
    let mut check = proxy.connect();
    check.send("PROXY UNKNOWN\r\n");
    ask(&mut check, "a");
}

#[test]
fn without_the_option_connections_are_not_limited() {
    for arguments in [
        &[][..],
        &["--max-per-address", "0"],
        &["--max-per-address", "10000000"],
    ] {
        let proxy = Proxy::start(arguments);
        let mut clients: Vec<_> = (0..50).map(|_| proxy.connect()).collect();
        clients.iter_mut().for_each(|client| ask(client, "a"));
    }
}

// case 168
// edge: a client that ends its side of the connection after its request | served with `--half-close`, else its request is aborted
#[test]
fn a_client_that_ends_its_side_is_served_where_that_is_wished() {
    let half = ["--half-close", "--status"];
    let proxy = Proxy::start(&half);
    for request in [
        get("/slow?ms=300").into_bytes(),
        post("/echo", &[b'a'; 300_000]),
        get("/tag?tag=a").repeat(3).into_bytes(),
    ] {
        let mut client = proxy.connect();
        client.send(&request);
        client.stream.shutdown(Shutdown::Write).expect("a socket");
        let answers = request.windows(4).filter(|it| it == b"tag=").count().max(1);
        for _ in 0..answers {
            let answer = client.answer();
            assert_eq!((answer.status, answer.is_whole), (200, true));
        }
        client.assert_closed();
    }
    // The rest of a body never arrives.
    let mut client = proxy.connect();
    let request = post("/form", b"name=a");
    client.send(&request[..request.len() - 1]);
    client.stream.shutdown(Shutdown::Write).expect("a socket");
    client.assert_closed();
    proxy.wait_for_log("\"POST /form HTTP/1.1\" 499 ");
    // A client that has gone altogether is noticed.
    let client = proxy.connect();
    let socket = socket2::SockRef::from(&client.stream);
    socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    let mut client = client;
    client.send(get("/slow?ms=600000"));
    proxy.wait_for_figure("requests.in_flight", 1);
    drop(client);
    proxy.wait_for_log("\"GET /slow?ms=600000 HTTP/1.1\" 499 ");
    proxy.wait_for_figure("requests.in_flight", 0);

    let proxy = Proxy::start(&["--status"]);
    let mut client = proxy.connect();
    client.send(get("/slow?ms=600000"));
    proxy.wait_for_figure("requests.in_flight", 1);
    client.stream.shutdown(Shutdown::Write).expect("a socket");
    client.assert_closed();
    proxy.wait_for_log("\"GET /slow?ms=600000 HTTP/1.1\" 499 ");
}
