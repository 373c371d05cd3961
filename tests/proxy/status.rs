//! The status page: what it says, and to whom.

use super::harness::Proxy;

#[test]
fn the_status_page_adds_up() {
    let proxy = Proxy::start(&["--status", "--threads", "2"]);
    for _ in 0..8 {
        assert_eq!(proxy.get("/tag?tag=a").text(), "a");
    }
    // The figures of another loop are at most a tenth of a second old.
    proxy.wait_for_figure("requests.completed", 8);
    let json = proxy.get("/-/status.json");
    assert_eq!(json.field("content-type"), Some("application/json"));
    let value: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
    assert_eq!(value["requests"]["completed"], 8);
    assert_eq!(value["requests"]["in_flight"], 0);
    assert_eq!(value["server"]["threads"], 2);
    // Events that never happened have a row too.
    assert_eq!(value["evictions"]["max_lifetime"], 0);
    let text = proxy.get("/-/status").text();
    for (group, figures) in value.as_object().expect("groups") {
        for name in figures.as_object().expect("figures").keys() {
            let is_row = |line: &str| line.starts_with(&format!("{group}.{name} "));
            assert!(text.lines().any(is_row), "{group}.{name} in {text}");
        }
    }
    // Without the option, the path is like any other.
    let proxy = Proxy::start(&[]);
    assert_eq!(proxy.get("/-/status").status, 404);
}

/// A page of another site can make a browser on this machine ask under that site's name, and read the answer (DNS
/// rebinding).
// edge: the status page under a foreign host | 403
#[test]
fn the_status_page_is_not_given_out_under_a_foreign_name() {
    let proxy = Proxy::start(&["--status"]);
    let ask = |line: &str, host: &str| {
        let request = format!("{line}\r\n{host}Connection: close\r\n\r\n");
        proxy.ask(request).status
    };
    for target in ["/-/status", "/-/status.json"] {
        for (host, status) in [
            ("evil.example", 403),
            ("localhost.evil.example", 403),
            ("notlocalhost:80", 403),
            ("192.0.2.1", 403),
            ("[2001:db8::1]:80", 403),
            ("127.0.0.1.evil.example", 403),
            ("localhost", 200),
            ("LOCALHOST.:8080", 200),
            ("status.localhost", 200),
            ("127.0.0.1", 200),
            ("127.0.0.2:8080", 200),
            ("[::1]:8080", 200),
            ("", 200),
        ] {
            let asked = ask(
                &format!("GET {target} HTTP/1.1"),
                &format!("Host: {host}\r\n"),
            );
            assert_eq!(asked, status, "{target} {host}");
        }
    }
    assert_eq!(ask("GET /-/status HTTP/1.0", ""), 200);
    let whole = "GET http://evil.example/-/status HTTP/1.1";
    assert_eq!(ask(whole, "Host: localhost\r\n"), 403);
}
