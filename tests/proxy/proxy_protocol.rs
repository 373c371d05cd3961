//! The PROXY protocol, versions 1 and 2, at the start of a connection.

use std::time::Duration;

use super::harness::{HttpClient, Proxy};

const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 49152 443\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn start(arguments: &[&str]) -> Proxy {
    let trusted = ["--trusted-proxy", "127.0.0.1"];
    Proxy::listening(
        &["127.0.0.1:0,proxy-protocol"],
        &[&trusted[..], arguments].concat(),
    )
}

/// A header of version 2.
fn binary(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a length");
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(len.to_be_bytes());
    bytes.extend(content);
    bytes
}

fn v4() -> Vec<u8> {
    let mut content = vec![192, 0, 2, 7, 198, 51, 100, 1];
    content.extend(49152_u16.to_be_bytes());
    content.extend(443_u16.to_be_bytes());
    content
}

fn v6() -> Vec<u8> {
    let mut content = vec![0x20, 1, 0xd, 0xb8];
    content.extend([0; 11]);
    content.push(7);
    content.extend([0; 15]);
    content.push(1);
    content.extend(49152_u16.to_be_bytes());
    content.extend(443_u16.to_be_bytes());
    content
}

/// A type-length-value triple.
fn triple(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).expect("a length");
    [&[kind][..], &len.to_be_bytes(), value].concat()
}

/// The demo application shows its parameters.
#[track_caller]
fn assert_shown(page: &str, name: &str, value: Option<&str>) {
    let line = page.lines().find(|line| line.contains(name));
    match value {
        None => assert_eq!(line, None, "{name}"),
        Some(value) => {
            let line = line.unwrap_or_else(|| panic!("{name} in {page}"));
            assert!(line.contains(value), "{name}: '{line}' has no {value}");
        }
    }
}

fn answer_to(client: &mut HttpClient) -> String {
    client.send(REQUEST);
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    answer.text()
}

/// These would have the address of the proxy in front, which is often on this machine.
// edge: the proxy in front does not know its client (UNKNOWN, LOCAL, a Unix socket) | no page that is for named addresses
#[test]
fn a_client_that_is_not_known_gets_no_page_for_this_machine() {
    let proxy = start(&["--status", "--fpm-status", "/fpm"]);
    let ask = |header: &[u8], path: &str| {
        let mut client = proxy.connect();
        client.send(header);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let answer = client.answer();
        let is_figures = answer.field("content-type") == Some("application/json");
        (answer.status, is_figures)
    };
    let local = b"PROXY TCP4 127.0.0.1 127.0.0.1 49152 443\r\n";
    assert_eq!(ask(local, "/fpm"), (404, false));
    assert_eq!(ask(local, "/-/status.json"), (200, true));
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x20, 0x00, &[]),
        binary(0x21, 0x31, &[b'/'; 216]),
    ] {
        assert_eq!(ask(&header, "/fpm"), (403, false));
        // Nor does it help to say so: these fields are the client's own.
        let forged =
            "/fpm HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-A:";
        assert_eq!(ask(&header, forged), (403, false));
        // As any other path.
        assert_eq!(ask(&header, "/-/status.json"), (404, false));
    }
}

// case 162
// edge: a header of version 1 or 2, IPv4 or IPv6, with TLVs | its addresses are those of the connection
#[test]
fn the_header_says_who_the_client_is() {
    let proxy = start(&[]);
    let noop = triple(4, &[0; 900]);
    let tls = triple(0x20, &[1, 0, 0, 0, 0]);
    let no_tls = triple(0x20, &[0, 0, 0, 0, 0]);
    let v6_text = b"PROXY TCP6 2001:db8::7 ::1 49152 443\r\n".to_vec();
    let longest =
        b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
            .to_vec();
    assert_eq!(longest.len(), 107);
    let unix = [&[b'/'; 216][..], &tls].concat();
    for (header, address, port, server_port, is_secure) in [
        (
            TEXT.to_vec(),
            "192.0.2.7",
            Some("49152"),
            Some("443"),
            false,
        ),
        (v6_text, "2001:db8::7", Some("49152"), Some("443"), false),
        (
            b"PROXY UNKNOWN\r\n".to_vec(),
            "127.0.0.1",
            None,
            None,
            false,
        ),
        (longest, "127.0.0.1", None, None, false),
        (
            binary(0x21, 0x11, &v4()),
            "192.0.2.7",
            Some("49152"),
            Some("443"),
            false,
        ),
        (
            binary(0x21, 0x21, &[v6(), noop.clone(), tls.clone()].concat()),
            "2001:db8::7",
            Some("49152"),
            Some("443"),
            true,
        ),
        (
            binary(0x21, 0x11, &[v4(), no_tls].concat()),
            "192.0.2.7",
            Some("49152"),
            Some("443"),
            false,
        ),
        (binary(0x20, 0x11, &v4()), "127.0.0.1", None, None, false),
        (binary(0x20, 0x00, &[]), "127.0.0.1", None, None, false),
        (binary(0x21, 0x00, &noop), "127.0.0.1", None, None, false),
        (binary(0x21, 0x31, &unix), "unix:", None, Some("443"), true),
    ] {
        let mut client = proxy.connect();
        client.send(&header);
        let page = answer_to(&mut client);
        assert_shown(&page, "REMOTE_ADDR", Some(address));
        if port.is_some() {
            assert_shown(&page, "REMOTE_PORT", port);
        }
        if server_port.is_some() {
            assert_shown(&page, "SERVER_PORT", server_port);
        }
        assert_shown(&page, "HTTPS", is_secure.then_some("on"));
        // The next request on the connection has no header of its own.
        assert_shown(&answer_to(&mut client), "REMOTE_ADDR", Some(address));
        let line = format!("{address} - - [");
        proxy.wait_for_log(&line);
    }
}

// edge: a header cut at any byte | as in one piece
#[test]
fn a_header_may_arrive_in_any_pieces() {
    let proxy = start(&[]);
    let header = binary(0x21, 0x11, &[v4(), triple(4, &[0; 20])].concat());
    for header in [TEXT.to_vec(), header] {
        let whole = [&header[..], REQUEST.as_bytes()].concat();
        for cut in 1..=header.len() {
            let mut client = proxy.connect();
            client.send(&whole[..cut]);
            // The proxy has read the first piece: it has nothing else to do.
            std::thread::sleep(Duration::from_millis(1));
            client.send(&whole[cut..]);
            assert_shown(&client.answer().text(), "REMOTE_ADDR", Some("192.0.2.7"));
        }
        // One byte after the other.
        let mut client = proxy.connect();
        for byte in &whole {
            client.send([*byte]);
        }
        assert_shown(&client.answer().text(), "REMOTE_ADDR", Some("192.0.2.7"));
    }
}

// edge: no header, or a malformed one | closed without a response, with a line
#[test]
fn anything_else_is_closed_with_a_line() {
    let proxy = start(&[]);
    let too_long = binary(0x21, 0x11, &[0; 4090]);
    for bytes in [
        REQUEST.as_bytes().to_vec(),
        b"\r\nGET".to_vec(),
        b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n".to_vec(),
        b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n".to_vec(),
        b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 \xff 198.51.100.1 1 2\r\n".to_vec(),
        [&b"PROXY UNKNOWN "[..], &[b'a'; 107]].concat(),
        binary(0x31, 0x11, &v4()),
        binary(0x22, 0x11, &v4()),
        binary(0x21, 0x12, &v4()),
        binary(0x21, 0x41, &v4()),
        binary(0x21, 0x11, &v4()[..11]),
        binary(0x21, 0x21, &v4()),
        binary(0x21, 0x31, &[0; 215]),
        binary(0x21, 0x11, &[v4(), vec![4, 0, 9, 0]].concat()),
        binary(0x21, 0x11, &[v4(), vec![4]].concat()),
        too_long,
    ] {
        let before = proxy
            .log()
            .matches("a connection of 127.0.0.1 is closed: ")
            .count();
        let mut client = proxy.connect();
        client.send(&bytes);
        client.assert_closed();
        super::harness::eventually(
            || {
                proxy
                    .log()
                    .matches("a connection of 127.0.0.1 is closed: ")
                    .count()
                    > before
            },
            || format!("a line for {}", String::from_utf8_lossy(&bytes)),
        );
    }
}

// case 162
// edge: a connection that is no trusted proxy's, at an address with the PROXY protocol | closed at once, with a line
#[test]
fn only_trusted_proxies_may_use_it() {
    let places = ["127.0.0.1:0,proxy-protocol"];
    let proxy = Proxy::listening(&places, &["--trusted-proxy", "192.0.2.0/24"]);
    let mut client = proxy.connect();
    client.assert_closed();
    proxy.wait_for_log("it is no --trusted-proxy");
    // At another address, the header is no request.
    let proxy = Proxy::start(&["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(proxy.ask(TEXT).status, 400);
}

// edge: a header that does not arrive | closed after `--header-timeout`, with a line
#[test]
fn a_header_that_does_not_arrive_times_out() {
    let proxy = start(&["--header-timeout", "0.3", "--keepalive-timeout", "600"]);
    let mut silent = proxy.connect();
    let mut slow = proxy.connect();
    slow.send(&TEXT[..20]);
    silent.assert_closed();
    slow.assert_closed();
    proxy.wait_for_log("did not arrive in time");
}

/// A proxy in front of a proxy: the inner one trusts the address that the header names.
#[test]
fn the_client_of_the_header_may_be_a_trusted_proxy_itself() {
    let proxy = start(&["--trusted-proxy", "192.0.2.7"]);
    let field = "X-Forwarded-For: 203.0.113.9\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n");
    for (source, expected) in [("192.0.2.7", "203.0.113.9"), ("192.0.2.8", "192.0.2.8")] {
        let mut client = proxy.connect();
        client.send(format!("PROXY TCP4 {source} 198.51.100.1 1 2\r\n{request}"));
        assert_shown(&client.answer().text(), "REMOTE_ADDR", Some(expected));
    }
}
