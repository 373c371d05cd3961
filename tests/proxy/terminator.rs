//! Behind another proxy, which ends TLS: what a trusted one says of its clients, and what others may not say.

use super::harness::{Proxy, TIME_LIMIT};
use super::witness::{ReceivedRequest, witness};

const TRUSTED: [&str; 4] = [
    "--trusted-proxy",
    "127.0.0.1",
    "--trusted-proxy",
    "10.0.0.0/8",
];

/// The request that an application receives. `fields` are those of the request, each with its line end.
fn told(arguments: &[&str], fields: &str) -> (ReceivedRequest, String) {
    let (address, told) = witness(|_| b"Content-Type: text/plain\r\n\r\nyes".to_vec());
    let fixed = ["--multiplex", "off"];
    let proxy = Proxy::in_front_of(&address, &[&fixed[..], arguments].concat());
    let answer = proxy.ask(format!(
        "GET /a.php HTTP/1.1\r\nHost: inner:81\r\n{fields}\r\n"
    ));
    assert_eq!(answer.text(), "yes", "{fields}");
    proxy.wait_for_log("GET /a.php");
    let request = told.recv_timeout(TIME_LIMIT).expect("a request");
    (request, proxy.log())
}

/// Checks parameters, `REMOTE_ADDR` first: an empty value means that there is no such parameter.
#[track_caller]
fn assert_told(fields: &str, expected: [&str; 7]) {
    let (request, log) = told(&TRUSTED, fields);
    let names = [
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "HTTPS",
        "REQUEST_SCHEME",
        "SERVER_PORT",
        "SERVER_NAME",
        "HTTP_HOST",
    ];
    let found = names.map(|name| request.param(name));
    let mut expected = expected;
    if expected[1] == "own" {
        expected[1] = found[1];
    }
    assert_eq!(found, expected, "{fields}");
    let line = format!("{} - - [", expected[0]);
    assert!(
        log.lines().any(|it| it.starts_with(&line)),
        "{fields}: {log}"
    );
}

// case 162
// edge: `X-Forwarded-*` of a trusted proxy | address, port, scheme and host of its client, in parameters and log
#[test]
fn what_a_trusted_proxy_says_of_its_client_counts() {
    assert_told(
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.example\r\n",
        [
            "192.0.2.7",
            "",
            "on",
            "https",
            "443",
            "www.example",
            "www.example",
        ],
    );
    assert_told(
        "X-Forwarded-For: 192.0.2.7:4711\r\nX-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: www.example:8443\r\n",
        [
            "192.0.2.7",
            "4711",
            "on",
            "https",
            "8443",
            "www.example",
            "www.example:8443",
        ],
    );
    assert_told(
        "X-Forwarded-For: [2001:db8::1]:80\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 9443\r\n",
        [
            "2001:db8::1",
            "80",
            "on",
            "https",
            "9443",
            "inner",
            "inner:81",
        ],
    );
    // Without a port or a host from the proxy in front, `Host` has the port.
    assert_told(
        "X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n",
        ["2001:db8::1", "", "", "http", "81", "inner", "inner:81"],
    );
}

// edge: `Forwarded` of a trusted proxy, quoted, with ports, obfuscated | as `X-Forwarded-*`
#[test]
fn forwarded_is_read_as_the_standard_has_it() {
    for (element, address, port) in [
        ("for=192.0.2.7", "192.0.2.7", ""),
        ("For=\"192.0.2.7:4711\";by=_inner", "192.0.2.7", "4711"),
        ("for=192.0.2.7:4711", "192.0.2.7", "4711"),
        ("for=\"[2001:db8::1]:80\"", "2001:db8::1", "80"),
        ("for=\"[2001:db8::1]\"", "2001:db8::1", ""),
        ("for=\"192.0.2.7:_secret\"", "192.0.2.7", ""),
        ("for=\"[::ffff:192.0.2.7]\"", "192.0.2.7", ""),
        // The address of the connection counts: it is all that is known.
        ("for=unknown", "127.0.0.1", "own"),
        ("for=_hidden", "127.0.0.1", "own"),
        ("by=10.0.0.1", "127.0.0.1", "own"),
    ] {
        assert_told(
            &format!("Forwarded: {element};proto=https;host=\"www.example:8443\"\r\n"),
            [
                address,
                port,
                "on",
                "https",
                "8443",
                "www.example",
                "www.example:8443",
            ],
        );
    }
}

// edge: what a client has put before the entries of trusted proxies | does not count
#[test]
fn the_last_address_that_is_not_trusted_is_the_clients() {
    let plain = |address| [address, "", "", "http", "81", "inner", "inner:81"];
    for (list, address) in [
        ("203.0.113.1, 192.0.2.7", "192.0.2.7"),
        ("203.0.113.1, 192.0.2.7, 10.0.0.5", "192.0.2.7"),
        ("192.0.2.7,10.0.0.5,,\t10.9.9.9 ,", "192.0.2.7"),
        ("junk\", 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7\r\nX-Forwarded-For: 10.0.0.5", "192.0.2.7"),
        // All are trusted: the first one is the client.
        ("10.0.0.5, 10.0.0.6", "10.0.0.5"),
        // What is left of an entry that is no address is as little worth as that.
        ("192.0.2.7, unknown, 10.0.0.5", "10.0.0.5"),
        ("192.0.2.7, 1.2.3, 10.0.0.5", "10.0.0.5"),
    ] {
        let (request, _) = told(&TRUSTED, &format!("X-Forwarded-For: {list}\r\n"));
        assert_eq!(request.param("REMOTE_ADDR"), address, "{list}");
        let fields = list.split(',').map(|it| format!("for={}", it.trim()));
        if !list.contains(['\r', '"', '\t']) {
            let list = fields.collect::<Vec<_>>().join(", ");
            let (request, _) = told(&TRUSTED, &format!("Forwarded: {list};proto=http\r\n"));
            assert_eq!(request.param("REMOTE_ADDR"), address, "{list}");
        }
    }
    // A quote that the client never closes takes nothing of what follows with it.
    assert_told(
        "Forwarded: for=\"203.0.113.1, for=192.0.2.7;proto=http\r\n",
        plain("192.0.2.7"),
    );
    assert_told(
        "Forwarded: for=\"203.0.113.1\\\", for=192.0.2.7;proto=http;by=\"a, b\"\r\n",
        plain("192.0.2.7"),
    );
    for unreadable in [
        "for=192.0.2.7;proto",
        "for=192.0.2.7;for=192.0.2.8",
        "for=\"192.0.2.7",
        "for=\"192.0.2.7\\\"\"",
        "for=192.0.2.7 ; x",
        "\u{e9}",
    ] {
        let (request, _) = told(&TRUSTED, &format!("Forwarded: {unreadable}\r\n"));
        assert_eq!(request.param("REMOTE_ADDR"), "127.0.0.1", "{unreadable}");
    }
}

// edge: a chain of trusted proxies with several schemes and hosts | those of the proxy that the client has connected to
#[test]
fn scheme_and_host_are_those_of_the_outermost_trusted_proxy() {
    let expected = [
        "192.0.2.7",
        "",
        "on",
        "https",
        "443",
        "www.example",
        "www.example",
    ];
    assert_told(
        "X-Forwarded-For: 203.0.113.1, 192.0.2.7, 10.0.0.5\r\nX-Forwarded-Proto: http, https, http\r\n\
         X-Forwarded-Host: evil.example, www.example, inner2\r\n",
        expected,
    );
    assert_told(
        "X-Forwarded-For: 192.0.2.7, 10.0.0.5\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.example\r\n",
        expected,
    );
    assert_told(
        "Forwarded: for=203.0.113.1;proto=http;host=evil.example, for=192.0.2.7;proto=https;host=www.example, \
         for=10.0.0.5;proto=http;host=inner2\r\n",
        expected,
    );
    // What is malformed is ignored.
    let fields = "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/b\r\nX-Forwarded-Port: 0\r\n";
    let (request, _) = told(&TRUSTED, fields);
    assert_eq!(request.param("REQUEST_SCHEME"), "http");
    assert_eq!(request.param("HTTP_HOST"), "inner:81");
    assert!(!["0", "80", "443", ""].contains(&request.param("SERVER_PORT")));
}

// edge: `Forwarded` beside `X-Forwarded-*` | ignored: most proxies pass on one that their client has invented
#[test]
fn forwarded_is_ignored_beside_the_other_fields() {
    for field in ["For: 192.0.2.7", "Proto: http", "Host: b", "Port: 81"] {
        let fields =
            format!("Forwarded: for=203.0.113.1;proto=https;host=evil\r\nX-Forwarded-{field}\r\n");
        let (request, _) = told(&TRUSTED, &fields);
        assert_ne!(request.param("REMOTE_ADDR"), "203.0.113.1", "{field}");
        assert_eq!(request.param("HTTPS"), "", "{field}");
        assert_ne!(request.param("HTTP_HOST"), "evil", "{field}");
    }
}

// case 162
// edge: `Forwarded`, `X-Forwarded-*`, `X-Real-IP` of a client that is no trusted proxy | neither believed nor passed on
#[test]
fn others_are_not_believed_and_their_claims_are_not_passed_on() {
    let claims = "Forwarded: for=192.0.2.7;proto=https;host=evil\r\nX-Forwarded-For: 192.0.2.7\r\n\
                  X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\n\
                  X-FORWARDED-USER: root\r\nX_Forwarded_For: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\nX-Real: kept\r\n";
    for arguments in [
        &[][..],
        &[
            "--trusted-proxy",
            "192.0.2.0/24",
            "--trusted-proxy",
            "unix:",
        ],
    ] {
        let (request, log) = told(arguments, claims);
        assert_eq!(request.param("REMOTE_ADDR"), "127.0.0.1");
        assert_eq!(request.param("HTTPS"), "");
        assert_eq!(request.param("REQUEST_SCHEME"), "http");
        assert_eq!(request.param("HTTP_HOST"), "inner:81");
        assert_eq!(request.param("SERVER_NAME"), "inner");
        assert_eq!(request.param("HTTP_X_REAL"), "kept");
        for name in request.params.keys() {
            let is_claim = name.contains("FORWARDED") || name == "HTTP_X_REAL_IP";
            assert!(!is_claim, "{name}");
        }
        assert!(log.contains("127.0.0.1 - - ["), "{log}");
    }
    // What was read is not passed on: the client may have written part of it. The rest is the trusted proxy's word.
    let (request, _) = told(&TRUSTED, claims);
    assert_eq!(request.param("HTTP_X_FORWARDED_USER"), "root");
    assert_eq!(request.param("HTTP_X_REAL_IP"), "192.0.2.7");
    for name in [
        "HTTP_FORWARDED",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_PROTO",
    ] {
        assert_eq!(request.param(name), "", "{name}");
    }
}

#[test]
fn parameters_of_the_command_line_win_over_what_a_proxy_says() {
    let own = [
        "--param",
        "REMOTE_ADDR=me",
        "--param",
        "SERVER_PORT=1",
        "--param",
        "HTTPS=",
    ];
    let fields = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let (request, _) = told(&[&TRUSTED[..], &own].concat(), fields);
    for (name, value) in [("REMOTE_ADDR", "me"), ("SERVER_PORT", "1"), ("HTTPS", "")] {
        assert_eq!(request.params.get(name).map(String::as_str), Some(value));
    }
}

/// The requests of several clients arrive on one connection of the proxy in front.
#[test]
fn each_request_on_a_connection_has_a_client_of_its_own() {
    let proxy = Proxy::start(&TRUSTED);
    let mut front = proxy.connect();
    for address in ["192.0.2.1", "192.0.2.2", ""] {
        let field = match address {
            "" => String::new(),
            address => format!("X-Forwarded-For: {address}\r\n"),
        };
        front.send(format!("GET /tag?tag=a HTTP/1.1\r\nHost: a\r\n{field}\r\n"));
        assert_eq!(front.answer().text(), "a");
    }
    front.send("nonsense\r\n\r\n");
    assert_eq!(front.answer().status, 400);
    proxy.wait_for_log("nonsense");
    let log = proxy.log();
    let clients: Vec<&str> = log.lines().filter(|line| line.contains(" - - [")).collect();
    let clients: Vec<&str> = clients
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        clients,
        ["192.0.2.1", "192.0.2.2", "127.0.0.1", "127.0.0.1"]
    );
}

/// Behind a proxy on this machine, every client would look like one of this machine.
// edge: the status page through another proxy, trusted or not | as without the option
#[test]
fn the_status_page_is_not_for_clients_behind_a_proxy() {
    for arguments in [
        &["--status"][..],
        &["--status", "--trusted-proxy", "127.0.0.0/8"],
    ] {
        let proxy = Proxy::start(arguments);
        for field in [
            "X-Forwarded-For: 192.0.2.7",
            "Forwarded: for=unknown",
            "X-Real-IP: 192.0.2.7",
        ] {
            let request = format!("GET /-/status HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n");
            assert_eq!(proxy.ask(request).status, 404, "{field}");
        }
        assert_eq!(proxy.get("/-/status").status, 200);
    }
}

#[test]
fn ranges_cover_what_is_in_them() {
    for (range, is_trusted) in [
        ("127.0.0.0/8", true),
        ("127.0.0.1/32", true),
        ("127.0.0.2", false),
        ("0.0.0.0/0", true),
        ("::/0", false),
        ("::ffff:127.0.0.0/104", true),
        ("::1", false),
        ("unix:", false),
    ] {
        let (request, _) = told(
            &["--trusted-proxy", range],
            "X-Forwarded-For: 192.0.2.7\r\n",
        );
        let expected = if is_trusted { "192.0.2.7" } else { "127.0.0.1" };
        assert_eq!(request.param("REMOTE_ADDR"), expected, "{range}");
    }
}
