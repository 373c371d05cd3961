//! The status pages: what they say, and to whom.

use serde_json::Value;

use super::application::{application, read_request};
use super::harness::{Proxy, eventually, get, post};
use super::openmetrics::{Metrics, parse};
use super::site::application as application_named;

/// The targets, and the types of their documents.
const PAGES: [(&str, &str); 3] = [
    ("/-/status", "text/html; charset=utf-8"),
    ("/-/status.json", "application/json"),
    (
        "/-/metrics",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    ),
];

#[test]
fn the_status_page_adds_up() {
    let proxy = Proxy::start(&["--status", "--threads", "2"]);
    for _ in 0..8 {
        assert_eq!(proxy.get("/tag?tag=a").text(), "a");
    }
    // The figures of another loop are at most a tenth of a second old.
    proxy.wait_for_figure("requests.completed", 8);
    let value = proxy.status();
    assert_eq!(value["requests"]["completed"], 8);
    assert_eq!(value["requests"]["in_flight"], 0);
    assert_eq!(value["server"]["threads"], 2);
    assert_eq!(value["responses"]["5xx"], 0);
    // Events that never happened have a row too.
    assert_eq!(value["evictions"]["max_lifetime"], 0);
    for phase in ["queue", "first_byte", "total"] {
        let times = &value["latency"][phase];
        assert_eq!(times["count"], 8, "{phase}");
        let counts = times["buckets"].as_array().expect("buckets").iter();
        let counts: Vec<_> = counts.map(|it| it["count"].as_u64()).collect();
        assert!(
            counts.is_sorted() && counts.last() <= Some(&Some(8)),
            "{counts:?}"
        );
    }
    let [upstream] = &value["upstreams"].as_array().expect("upstreams")[..] else {
        panic!("one application, not {}", value["upstreams"]);
    };
    assert_eq!(
        (&upstream["completed"], &upstream["failed"]),
        (&8.into(), &0.into())
    );
    assert_eq!(upstream["problem"], Value::Null);
    for (target, content_type) in PAGES {
        let page = proxy.get(target);
        assert_eq!(page.field("content-type"), Some(content_type));
        assert_eq!(page.field("cache-control"), Some("no-store"));
        // HEAD has the head of GET.
        let head =
            format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut client = proxy.connect();
        client.send(head);
        assert_eq!(client.head().field("content-type"), Some(content_type));
        client.assert_closed();
    }
    // Without the option, the paths are like any other.
    let proxy = Proxy::start(&[]);
    for (target, _) in PAGES {
        assert_eq!(proxy.get(target).status, 404);
    }
}

/// The seconds of all loops are added up, and the second that is not over is left out.
#[test]
fn the_history_holds_each_request_once() {
    let proxy = Proxy::start(&["--status", "--threads", "2"]);
    let total = |value: &Value, name: &str| -> u64 {
        let seconds = value["history"][name].as_array().expect("seconds").iter();
        seconds.map(|it| it.as_u64().expect("a number")).sum()
    };
    for _ in 0..20 {
        proxy.get("/tag?tag=a");
    }
    proxy.get("/status?code=500");
    proxy.wait_for_figure("requests.completed", 21);
    let end = proxy.status()["server"]["uptime_s"]
        .as_u64()
        .expect("a time");
    // The loops publish within a tenth of a second, which may be in the next second.
    let is_over = || proxy.status()["server"]["uptime_s"].as_u64() >= Some(end + 2);
    eventually(is_over, || "two seconds".to_owned());
    let value = proxy.status();
    let upstream = &value["history"]["upstreams"][0];
    let ended: u64 = upstream["requests"]
        .as_array()
        .expect("seconds")
        .iter()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(ended, 21, "{upstream}");
    assert!(total(&value, "responses") >= 21, "{value}");
    assert_eq!(total(&value, "errors"), 1);
    let seconds = value["history"]["responses"]
        .as_array()
        .expect("seconds")
        .len() as u64;
    assert_eq!(Some(seconds), value["history"]["end_s"].as_u64());
    for (name, values) in value["history"].as_object().expect("histories") {
        let is_whole = |values: &Value| {
            values
                .as_array()
                .is_none_or(|it| it.len() as u64 == seconds)
        };
        assert!(name == "upstreams" || is_whole(values), "{name}: {values}");
    }
}

#[test]
fn what_hangs_is_listed_with_its_reason() {
    let (address, _thread) = application(|_, mut stream| {
        read_request(&mut stream);
        read_request(&mut stream);
    });
    let limits = [
        "--max-conns",
        "1",
        "--status",
        "--multiplex",
        "off",
        "--threads",
        "1",
    ];
    let proxy = Proxy::in_front_of(&address, &limits);
    let mut first = proxy.connect();
    first.send(get("/silent.php?a=\"b"));
    proxy.wait_for_figure("requests.in_flight", 1);
    let mut second = proxy.connect();
    second.send(get("/queued.php"));
    let present = || proxy.status()["present"].clone();
    // The list is published up to a tenth of a second later, although the loop has nothing to do by then.
    eventually(
        || {
            present()["requests"]
                .as_array()
                .is_some_and(|it| it.len() == 2)
        },
        || present().to_string(),
    );
    let present = present();
    let find = |path: &str| {
        let mut requests = present["requests"].as_array().expect("requests").iter();
        let found = requests.find(|it| it["request"].as_str().is_some_and(|it| it.contains(path)));
        found.unwrap_or_else(|| panic!("{path} in {present}"))
    };
    let silent = find("/silent.php");
    assert_eq!(silent["request"], "GET /silent.php?a=\\x22b HTTP/1.1");
    assert_eq!(
        (&silent["state"], &silent["why"]),
        (
            &"awaiting output".into(),
            &"the application has not answered".into()
        )
    );
    assert_eq!(
        (&silent["client"], &silent["upstream"]),
        (&"127.0.0.1".into(), &address.as_str().into())
    );
    assert!(silent["bytes_sent"].as_u64() > Some(0), "{silent}");
    let queued = find("/queued.php");
    assert_eq!(
        (&queued["state"], &queued["upstream"]),
        (&"queued".into(), &Value::Null)
    );
    assert_eq!(queued["why"], "no connection to an application is free");
    let connection = &present["connections"][0];
    assert_eq!(
        (&connection["state"], &connection["requests"]),
        (&"busy".into(), &1.into())
    );
}

#[test]
fn a_client_that_sends_no_body_is_named_as_the_reason() {
    let (address, _thread) = application(|_, mut stream| {
        read_request(&mut stream);
    });
    let options = ["--status", "--multiplex", "off", "--buffer-request", "off"];
    let proxy = Proxy::in_front_of(&address, &options);
    let mut client = proxy.connect();
    client.send("POST /a.php HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
    let why = || proxy.status()["present"]["requests"][0]["why"].clone();
    eventually(
        || why() == "the client has not sent the rest of the body",
        || why().to_string(),
    );
}

#[test]
fn the_metrics_are_openmetrics_and_count_what_happened() {
    let proxy = Proxy::start(&["--status", "--threads", "2"]);
    let metrics = || parse(&proxy.get("/-/metrics").text());
    let none = metrics();
    assert_eq!(
        none.sum("fcgi_proxy_responses_total", &[("class", "2xx")]),
        0.0
    );
    for _ in 0..5 {
        proxy.get("/tag?tag=a");
    }
    proxy.ask(post("/echo", b"abc"));
    proxy.get("/slow?ms=30");
    proxy.get("/..");
    let completed = |metrics: &Metrics| {
        metrics.sum(
            "fcgi_proxy_upstream_requests_ended_total",
            &[("outcome", "completed")],
        )
    };
    eventually(
        || completed(&metrics()) == 7.0,
        || "seven requests".to_owned(),
    );
    let all = metrics();
    assert!(all.sum("fcgi_proxy_responses_total", &[("class", "2xx")]) >= 7.0);
    assert!(all.sum("fcgi_proxy_responses_total", &[("class", "4xx")]) >= 1.0);
    assert_eq!(all.sum("fcgi_proxy_first_byte_seconds_count", &[]), 7.0);
    assert_eq!(
        all.sum("fcgi_proxy_total_seconds_bucket", &[("le", "+Inf")]),
        7.0
    );
    // One took longer.
    assert!(all.sum("fcgi_proxy_total_seconds_bucket", &[("le", "0.025")]) <= 6.0);
    assert!(all.sum("fcgi_proxy_total_seconds_sum", &[]) >= 0.03);
    assert!(
        all.labels("fcgi_proxy_queue_seconds_count", "upstream")
            .all(|it| it.starts_with("unix:@"))
    );
    all.assert_not_less_than(&none);
}

#[test]
fn each_application_is_counted_under_its_own_address() {
    let addresses = ["one", "two"].map(application_named);
    let mounts = [
        format!("/one={}", addresses[0]),
        format!("/two={}", addresses[1]),
        // The same application once more.
        format!("/too={}", addresses[1]),
    ];
    let mounts = mounts.iter().flat_map(|it| ["--mount", it]);
    let arguments: Vec<&str> = mounts.chain(["--status"]).collect();
    let proxy = Proxy::start(&arguments);
    for target in ["/one/a", "/two/a", "/too/a", "/two/b"] {
        assert_eq!(proxy.get(target).status, 200);
    }
    proxy.wait_for_figure("requests.completed", 4);
    let all = parse(&proxy.get("/-/metrics").text());
    let completed = |address: &str| {
        let labels = [("upstream", address), ("outcome", "completed")];
        all.sum("fcgi_proxy_upstream_requests_ended_total", &labels)
    };
    assert_eq!(addresses.each_ref().map(|it| completed(it)), [1.0, 3.0]);
}

/// The address of an application may hold what has to be escaped.
#[test]
fn an_application_that_is_down_is_counted_under_its_address() {
    let address = "unix:/nonexistent/a\\b\"c";
    let proxy = Proxy::in_front_of(address, &["--status", "--connect-retry-timeout", "0"]);
    assert_eq!(proxy.get("/a.php").status, 502);
    let all = parse(&proxy.get("/-/metrics").text());
    let connections: Vec<&str> = all
        .labels("fcgi_proxy_upstream_connections", "upstream")
        .collect();
    assert_eq!(connections, [address]);
    assert_eq!(
        all.sum(
            "fcgi_proxy_upstream_requests_ended_total",
            &[("upstream", ""), ("outcome", "failed")]
        ),
        1.0
    );
    assert_eq!(
        all.sum("fcgi_proxy_connects_total", &[("result", "failed")]),
        1.0
    );
    let upstreams = &proxy.status()["upstreams"];
    assert_eq!(upstreams[1]["address"], address);
    assert!(
        upstreams[1]["problem"]
            .as_str()
            .is_some_and(|it| it.starts_with("no such socket")),
        "{upstreams}"
    );
}

/// The page shows what strangers have sent, and a script of theirs must not run.
#[test]
fn the_page_brings_everything_along_and_allows_nothing_else() {
    let proxy = Proxy::start(&["--status"]);
    let (page, again) = (proxy.get("/-/status"), proxy.get("/-/status"));
    let policy = page.field("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'nonce-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_ne!(Some(policy), again.field("content-security-policy"));
    let nonce = policy
        .split('\'')
        .find_map(|it| it.strip_prefix("nonce-"))
        .expect("a nonce");
    let text = page.text();
    assert_eq!(text.matches(&format!(" nonce=\"{nonce}\">")).count(), 2);
    assert!(!text.contains("{nonce}"));
    assert_eq!(
        text.matches("<script").count() + text.matches("<style").count(),
        2
    );
    for outside in [
        "src=",
        "http://",
        "//cdn",
        "@import",
        "url(",
        "innerHTML",
        " style=",
        " onclick",
    ] {
        let found: Vec<&str> = text.lines().filter(|line| line.contains(outside)).collect();
        // A name of SVG, which is not fetched.
        let is_right = found
            .iter()
            .all(|line| line.contains("http://www.w3.org/2000/svg"));
        assert!(is_right, "{outside}: {found:?}");
    }
}

// edge: the status pages for clients elsewhere | for those of --status-from, under an address of this machine
#[test]
fn the_status_page_is_given_out_to_named_clients_elsewhere() {
    let proxy = Proxy::listening(
        &["127.0.0.1:0,proxy-protocol"],
        &[
            "--trusted-proxy",
            "127.0.0.1",
            "--status",
            "--status-from",
            "192.0.2.0/25",
        ],
    );
    let ask = |client: &str, host: &str, field: &str| {
        let header = format!("PROXY TCP4 {client} 198.51.100.1 49152 80\r\n");
        let request = format!("GET /-/metrics HTTP/1.1\r\nHost: {host}\r\n{field}\r\n");
        proxy.ask(header + &request).status
    };
    assert_eq!(ask("192.0.2.7", "198.51.100.1:9100", ""), 200);
    assert_eq!(ask("192.0.2.7", "www.example", ""), 403);
    assert_eq!(ask("192.0.2.128", "198.51.100.1", ""), 404);
    let through = "X-Forwarded-For: 192.0.2.8\r\n";
    assert_eq!(ask("192.0.2.7", "198.51.100.1", through), 404);
    assert_eq!(ask("127.0.0.1", "localhost", ""), 200);
}

/// A page of another site can make a browser on this machine ask under that site's name, and read the answer (DNS
/// rebinding).
// case 184
// edge: the status page under a foreign host | 403
#[test]
fn the_status_page_is_not_given_out_under_a_foreign_name() {
    let proxy = Proxy::start(&["--status"]);
    let ask = |line: &str, host: &str| {
        let request = format!("{line}\r\n{host}Connection: close\r\n\r\n");
        proxy.ask(request).status
    };
    for (target, _) in PAGES {
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
