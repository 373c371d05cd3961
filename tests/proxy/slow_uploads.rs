//! Uploads that arrive slowly are collected before the application is asked, within budgets over all clients.

use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use super::application::{application, read_request, whole_for};
use super::harness::{HttpClient, Proxy, eventually, get, pattern, post};
use super::witness::witness;

const ONE_AT_A_TIME: &[&str] = &["--status", "--multiplex", "off"];
/// Bytes of a body that are kept in memory while half of it is left.
const IN_MEMORY: usize = 1 << 20;
/// No more than 64 KiB of a body are kept in memory.
const LITTLE_MEMORY: &[&str] = &["--max-buffered", "131072"];

fn start(arguments: &[&str]) -> Proxy {
    Proxy::start(&[ONE_AT_A_TIME, arguments].concat())
}

/// A client that has sent all of its request but the last `missing` bytes of the body.
fn begin(proxy: &Proxy, target: &str, body: &[u8], missing: usize) -> HttpClient {
    let mut client = proxy.connect();
    let request = post(target, body);
    let (head, content) = request.split_at(request.len() - body.len());
    client.send(head);
    client.send(&content[..body.len() - missing]);
    client
}

/// Waits until this many bytes are kept in memory and on disk, and this many files.
fn wait_for_kept(proxy: &Proxy, memory: u64, disk: u64, files: u64) {
    for (name, value) in [("memory", memory), ("disk", disk), ("files", files)] {
        proxy.wait_for_figure(&format!("kept.{name}"), value);
    }
}

/// Waits until at least this many bytes are kept, in memory or on disk. Memory is taken in steps.
fn wait_until_kept(proxy: &Proxy, len: usize) {
    eventually(
        || proxy.figure("kept.memory") + proxy.figure("kept.disk") >= len as u64,
        || format!("{len} bytes are kept"),
    );
}

// case 153
// edge: as many uploads that trickle in as there are connections, and a GET | served at once
#[test]
fn uploads_that_trickle_in_hold_nobody() {
    let proxy = start(&[&["--max-conns", "2"], LITTLE_MEMORY].concat());
    let body = pattern(200_000);
    let short = pattern(2000);
    let mut slow: Vec<_> = (0..4).map(|_| begin(&proxy, "/echo", &body, 1)).collect();
    slow.extend((0..4).map(|_| begin(&proxy, "/echo", &short, 1)));
    wait_until_kept(&proxy, 4 * 1999 + 4 * 199_999);
    proxy.wait_for_figure("kept.files", 4);
    assert_eq!(proxy.get("/tag?tag=quick").text(), "quick");
    assert_eq!(proxy.figure("requests.submitted"), 1);
    for (index, mut client) in slow.into_iter().enumerate() {
        let body = if index < 4 { &body } else { &short };
        client.send(&body[body.len() - 1..]);
        assert!(client.answer().body == *body, "{index}");
    }
    wait_for_kept(&proxy, 0, 0, 0);
}

// edge: an upload that trickles in with `--buffer-request off`, or that is longer than its SIZE | passed on as it arrives
#[test]
fn bodies_are_passed_on_as_they_arrive_where_that_is_asked_for() {
    for (setting, len) in [("off", 1000), ("0", 1000), ("1k", 1025), ("100k", 102_401)] {
        let proxy = start(&["--buffer-request", setting]);
        let body = pattern(len);
        let mut client = begin(&proxy, "/echo", &body, 1);
        proxy.wait_for_figure("requests.in_flight", 1);
        client.send(&body[len - 1..]);
        assert!(client.answer().body == body, "{setting}");
        wait_for_kept(&proxy, 0, 0, 0);
    }
    for (setting, len) in [("on", 102_401), ("1k", 1024), ("100k", 102_400)] {
        let proxy = start(&["--buffer-request", setting]);
        let body = pattern(len);
        let mut client = begin(&proxy, "/echo", &body, 1);
        wait_until_kept(&proxy, len - 1);
        assert_eq!(proxy.figure("requests.submitted"), 0, "{setting}");
        client.send(&body[len - 1..]);
        assert!(client.answer().body == body, "{setting}");
    }
}

#[test]
fn a_body_of_what_fits_memory_needs_no_file_and_one_byte_more_does() {
    let proxy = start(&[]);
    let (most, more) = (IN_MEMORY as u64, IN_MEMORY as u64 + 1);
    for (len, memory, disk, files) in [(IN_MEMORY, most, 0, 0), (IN_MEMORY + 1, 0, more, 1)] {
        let body = pattern(len);
        let mut client = begin(&proxy, "/slow?ms=600000", &body, 1);
        wait_until_kept(&proxy, len - 1);
        client.send(&body[len - 1..]);
        proxy.wait_for_figure("requests.in_flight", 1);
        // While the request runs: it may have to be sent again.
        wait_for_kept(&proxy, memory, disk, files);
        drop(client);
        wait_for_kept(&proxy, 0, 0, 0);
    }
}

// edge: long uploads that trickle in, and a short one | half of the memory is left to it
#[test]
fn long_bodies_leave_half_of_the_memory_to_short_ones() {
    let proxy = start(&["--max-buffered", "2m"]);
    let long = pattern(IN_MEMORY);
    let mut slow = vec![begin(&proxy, "/echo", &long, 1)];
    wait_for_kept(&proxy, IN_MEMORY as u64, 0, 0);
    slow.push(begin(&proxy, "/echo", &long, 1));
    wait_for_kept(&proxy, IN_MEMORY as u64, IN_MEMORY as u64 - 1, 1);
    let short = pattern(65_536);
    let mut client = begin(&proxy, "/echo", &short, 1);
    wait_until_kept(&proxy, 2 * IN_MEMORY - 1 + 65_535);
    assert_eq!(proxy.figure("kept.files"), 1);
    client.send(&short[65_535..]);
    assert!(client.answer().body == short);
    for mut client in slow {
        client.send(&long[IN_MEMORY - 1..]);
        assert!(client.answer().body == long);
    }
    wait_for_kept(&proxy, 0, 0, 0);
}

// edge: a request in the same bytes as the end of a long body | both are answered
#[test]
fn a_request_may_follow_a_collected_body_at_once() {
    for limits in [&[][..], LITTLE_MEMORY] {
        let proxy = start(limits);
        for len in [10_000, 200_000, 1_200_000] {
            for missing in [1, 5000] {
                let body = pattern(len);
                let mut client = begin(&proxy, "/echo", &body, missing);
                wait_until_kept(&proxy, len - missing);
                let next = get("/tag?tag=next").into_bytes();
                client.send([&body[len - missing..], &next].concat());
                assert!(client.answer().body == body, "{len}");
                assert_eq!(client.answer().text(), "next", "{len}");
                wait_for_kept(&proxy, 0, 0, 0);
            }
        }
    }
}

// edge: `Expect: 100-continue` and a body that is collected | 100 before the application is asked
#[test]
fn a_client_that_expects_100_continue_gets_it_before_the_application_is_asked() {
    let (address, told) = witness(|_| b"Content-Length: 2\r\n\r\nok".to_vec());
    let proxy = Proxy::in_front_of(&address, ONE_AT_A_TIME);
    let mut client = proxy.connect();
    client.send(
        "POST /a.php HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.head().status, 100);
    assert_eq!(proxy.figure("requests.submitted"), 0);
    client.send(pattern(100_000));
    assert_eq!(client.answer().text(), "ok");
    let told = told.recv().expect("a request");
    assert_eq!(told.param("CONTENT_LENGTH"), "100000");
}

// edge: a client that disconnects while its body is collected | the application is not asked
#[test]
fn a_client_that_goes_away_costs_the_application_nothing() {
    let (address, told) = witness(|_| b"Content-Length: 2\r\n\r\nok".to_vec());
    let proxy = Proxy::in_front_of(&address, ONE_AT_A_TIME);
    for (len, is_reset) in [
        (1000, false),
        (1000, true),
        (200_000, false),
        (200_000, true),
        (1_200_000, false),
        (1_200_000, true),
    ] {
        let client = begin(&proxy, "/gone.php", &pattern(len), 1);
        wait_until_kept(&proxy, len - 1);
        if is_reset {
            let socket = socket2::SockRef::from(&client.stream);
            socket.set_linger(Some(Duration::ZERO)).expect("a socket");
        } else {
            client.stream.shutdown(Shutdown::Write).expect("a socket");
        }
        drop(client);
        wait_for_kept(&proxy, 0, 0, 0);
    }
    assert_eq!(proxy.ask(post("/a.php", b"abc")).text(), "ok");
    let first = told.recv().expect("a request");
    assert_eq!(first.param("SCRIPT_NAME"), "/a.php");
    proxy.wait_for_log("POST /gone.php HTTP/1.1\" 499 0");
}

/// A stale connection: the application ends it after its first request, just when the second one arrives.
#[test]
fn a_collected_body_is_sent_again_from_its_start() {
    for len in [10, 1000, 200_000, 1_200_000] {
        // The first connection is closed without an answer when a request is there.
        let (address, _thread) = application(|index, mut stream| {
            if read_request(&mut stream) && index > 0 {
                let answer = whole_for(1, b"Content-Length: 5\r\n\r\nagain");
                let _ = std::io::Write::write_all(&mut stream, &answer);
            } else {
                let overloaded =
                    super::application::end(mio_fcgi::wire::ProtocolStatus::Overloaded);
                let _ = std::io::Write::write_all(&mut stream, &overloaded);
            }
        });
        let proxy = Proxy::in_front_of(&address, ONE_AT_A_TIME);
        let body = pattern(len);
        let mut client = begin(&proxy, "/a.php", &body, 1);
        client.send(&body[len - 1..]);
        assert_eq!(client.answer().text(), "again", "{len}");
        wait_for_kept(&proxy, 0, 0, 0);
    }
}

#[test]
fn a_local_redirect_after_a_collected_body_is_followed() {
    let (address, told) = witness(|request| match request.param("SCRIPT_NAME") {
        "/a.php" => b"Location: /b.php\r\n\r\n".to_vec(),
        _ => b"Content-Length: 2\r\n\r\nok".to_vec(),
    });
    let proxy = Proxy::in_front_of(&address, ONE_AT_A_TIME);
    for len in [1000, 200_000, 1_200_000] {
        let body = pattern(len);
        let mut client = begin(&proxy, "/a.php", &body, 1);
        client.send(&body[len - 1..]);
        assert_eq!(client.answer().text(), "ok");
        assert_eq!(
            told.recv().expect("one").param("CONTENT_LENGTH"),
            len.to_string()
        );
        assert_eq!(told.recv().expect("two").param("REQUEST_METHOD"), "GET");
        wait_for_kept(&proxy, 0, 0, 0);
    }
}

// edge: an upload, and memory for bodies is used up | kept in a file
#[test]
fn bodies_without_memory_go_to_disk_at_once() {
    let proxy = start(&["--max-buffered", "0"]);
    let body = pattern(1000);
    // Also one that arrives at once.
    for missing in [0, 1] {
        let mut client = begin(&proxy, "/slow?ms=600000", &body, missing);
        wait_for_kept(&proxy, 0, 1000 - missing as u64, 1);
        client.send(&body[1000 - missing..]);
        proxy.wait_for_figure("requests.in_flight", 1);
        wait_for_kept(&proxy, 0, 1000, 1);
        drop(client);
        wait_for_kept(&proxy, 0, 0, 0);
    }
}

// edge: an upload, and nothing may be kept | passed on as it arrives; in chunks 503
#[test]
fn bodies_that_can_be_kept_nowhere_are_passed_on() {
    for limits in [
        &["--max-buffered", "0", "--max-on-disk", "0"][..],
        &["--max-buffered", "1000", "--max-on-disk", "10"],
    ] {
        let proxy = start(limits);
        let body = pattern(100_000);
        let mut client = begin(&proxy, "/echo", &body, 1);
        proxy.wait_for_figure("requests.in_flight", 1);
        client.send(&body[99_999..]);
        assert!(client.answer().body == body);
        let mut client = proxy.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send([&b"7d0\r\n"[..], &pattern(2000)].concat());
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.field("retry-after")),
            (503, Some("1"))
        );
        proxy
            .wait_for_log("a request body cannot be stored: what other clients send takes all of ");
        wait_for_kept(&proxy, 0, 0, 0);
    }
}

// edge: the space for bodies ends in the middle of one | passed on from its start, whole
#[test]
fn a_body_that_was_begun_to_be_kept_is_passed_on_whole() {
    // With the beginning in memory, and on disk.
    for (max_buffered, max_on_disk, others) in [("70000", 100_000, 2), ("0", 250_000, 1)] {
        let limit = max_on_disk.to_string();
        let proxy = start(&["--max-buffered", max_buffered, "--max-on-disk", &limit]);
        let other = || begin(&proxy, "/echo", &pattern(60_000), 1);
        let others: Vec<_> = (0..others).map(|_| other()).collect();
        wait_until_kept(&proxy, others.len() * 59_999);
        let body = pattern(max_on_disk);
        let mut client = begin(&proxy, "/echo", &body, max_on_disk - 5000);
        wait_until_kept(&proxy, others.len() * 59_999 + 5000);
        assert_eq!(proxy.figure("requests.submitted"), 0);
        client.send(&body[5000..]);
        assert!(client.answer().body == body, "{max_on_disk}");
        proxy.wait_for_log("passed on as it arrives, because it cannot be stored: ");
        drop(others);
        wait_for_kept(&proxy, 0, 0, 0);
    }
}

// edge: the space for bodies ends in the middle of one, and the connections to applications are in use | 503, `Retry-After`
#[test]
fn a_body_that_cannot_be_kept_does_not_wait_for_a_connection() {
    let proxy = start(&[
        "--max-conns",
        "1",
        "--max-buffered",
        "1000",
        "--max-on-disk",
        "100000",
    ]);
    let mut busy = proxy.connect();
    busy.send(get("/stream?n=2&ms=600000"));
    busy.head();
    let other = begin(&proxy, "/echo", &pattern(60_000), 1);
    wait_until_kept(&proxy, 59_999);
    let mut client = begin(&proxy, "/echo", &pattern(100_000), 1);
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("retry-after")),
        (503, Some("1"))
    );
    proxy.wait_for_log("cannot be stored: what other clients send takes all of --max-on-disk");
    // The neighbor goes on.
    let mut other = other;
    drop(busy);
    other.send([pattern(60_000)[59_999]]);
    assert!(other.answer().body == pattern(60_000));
    wait_for_kept(&proxy, 0, 0, 0);
}

// edge: a crowd of uploads when the space for bodies is used up | half of the connections stay free, 503 for the others
#[test]
fn bodies_that_cannot_be_kept_leave_connections_free() {
    let nothing = ["--max-buffered", "1000", "--max-on-disk", "70000"];
    let proxy = start(&[&["--max-conns", "4"][..], &nothing].concat());
    let other = begin(&proxy, "/echo", &pattern(60_000), 1);
    wait_until_kept(&proxy, 59_999);
    let body = pattern(50_000);
    let slow: Vec<_> = (0..2)
        .map(|index| {
            let client = begin(&proxy, "/echo", &body, 1);
            proxy.wait_for_figure("requests.in_flight", index + 1);
            client
        })
        .collect();
    assert_eq!(begin(&proxy, "/echo", &body, 1).answer().status, 503);
    assert_eq!(proxy.get("/tag?tag=quick").text(), "quick");
    for mut client in slow {
        client.send(&body[49_999..]);
        assert!(client.answer().body == body);
    }
    drop(other);
    wait_for_kept(&proxy, 0, 0, 0);
}

// edge: the disk is full in the middle of a body | passed on from its start, whole
#[cfg(target_os = "linux")]
#[test]
fn a_body_for_which_the_disk_is_full_is_passed_on_whole() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let proxy = start(LITTLE_MEMORY);
    let pid = Pid::from_raw(proxy.pid() as i32).expect("a pid");
    let limit = Some(150_000);
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    prlimit(Some(pid), Resource::Fsize, limit).expect("ours");
    let body = pattern(1_000_003);
    assert!(proxy.ask(post("/echo", &body)).body == body);
    proxy.wait_for_log("because it cannot be stored: file too large");
    wait_for_kept(&proxy, 0, 0, 0);
}

// case 180
// edge: the directory of temporary files cannot be written to | an error at the start; later, passed on as it arrives
#[test]
fn the_directory_of_temporary_files_is_used_and_checked() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bodies");
    let path = path.to_str().expect("UTF-8");
    let output = super::harness::run(&["--body-dir", path]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("--body-dir '{path}': ")), "{said}");
    std::fs::create_dir(path).expect("a directory");
    let proxy = start(&[&["--body-dir", path], LITTLE_MEMORY].concat());
    let body = pattern(200_000);
    let mut client = begin(&proxy, "/echo", &body, 1);
    proxy.wait_for_figure("kept.files", 1);
    #[cfg(target_os = "linux")]
    {
        let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("it lives");
        let targets = open.flatten().flat_map(|fd| std::fs::read_link(fd.path()));
        let inside = targets.filter(|target| target.starts_with(path)).count();
        assert_eq!(inside, 1);
    }
    // Without a name.
    assert_eq!(std::fs::read_dir(path).expect("a directory").count(), 0);
    std::fs::remove_dir(path).expect("an empty directory");
    client.send(&body[199_999..]);
    assert!(client.answer().body == body);
    let mut client = begin(&proxy, "/echo", &body, 1);
    proxy.wait_for_figure("requests.in_flight", 1);
    client.send(&body[199_999..]);
    assert!(client.answer().body == body);
    proxy.wait_for_log("because it cannot be stored: No such file or directory");
    wait_for_kept(&proxy, 0, 0, 0);
}

// case 180
#[test]
fn what_is_kept_is_given_back_whatever_happens() {
    let limits = [
        "--max-buffered",
        "200000",
        "--max-on-disk",
        "600000",
        "--max-body",
        "1m",
    ];
    let proxy = start(&limits);
    let long = pattern(150_000);
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for round in 0..3 {
        let mut waiting = Vec::new();
        for len in [10, 60_000, 150_000] {
            // Served, given up while it arrives, given up while it is served.
            assert!(proxy.ask(post("/echo", &long[..len])).body == long[..len]);
            drop(begin(&proxy, "/echo", &long[..len], 1));
            waiting.push(begin(&proxy, "/slow?ms=600000", &long[..len], 0));
            drop(begin(&proxy, "/early", &long[..len], 5));
        }
        let mut malformed = proxy.connect();
        malformed.send(chunked.to_owned() + "5\r\nabcdeX");
        assert_eq!(malformed.answer().status, 400);
        let mut too_long = proxy.connect();
        too_long.send(chunked.to_owned() + "5\r\nabcde\r\n100001\r\n");
        assert_eq!(too_long.answer().status, 413);
        // More than there is space for.
        let many: Vec<_> = (0..8).map(|_| begin(&proxy, "/echo", &long, 1)).collect();
        drop((waiting, many));
        wait_for_kept(&proxy, 0, 0, 0);
        assert_eq!(proxy.get("/tag?tag=next").text(), "next", "{round}");
    }
}

/// The connection of an application that is down.
#[test]
fn a_collected_body_for_an_application_that_is_down_is_given_back() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let down = ["--connect-retry-timeout", "0"];
    let proxy = Proxy::in_front_of(&address, &[ONE_AT_A_TIME, &down].concat());
    for len in [10, 200_000] {
        assert_eq!(proxy.ask(post("/a.php", &pattern(len))).status, 502);
        wait_for_kept(&proxy, 0, 0, 0);
    }
}

// case 179
// edge: 500 clients that each send much of a head, or of a body, and leave | memory is bounded and goes back
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn memory_goes_back_when_a_crowd_has_gone() {
    let limits = ["--header-timeout", "3600", "--client-timeout", "3600"];
    let proxy = start(&[&limits[..], &["--max-buffered", "4m"]].concat());
    let part = "a".repeat(30_000);
    let half_head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {part}");
    let half_body =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n{part}");
    assert_eq!(proxy.get("/tag?tag=warm").text(), "warm");
    let before = proxy.resident();
    let grown = || proxy.resident().saturating_sub(before);
    for (request, most) in [(half_head, 40 << 20), (half_body, 20 << 20)] {
        let crowd: Vec<_> = (0..500).map(|_| proxy.connect()).collect();
        for mut client in crowd.iter().map(|client| &client.stream) {
            std::io::Write::write_all(&mut client, request.as_bytes()).expect("it reads");
        }
        proxy.wait_for_figure("server.clients", 501);
        proxy.wait_for_rest();
        assert!(grown() < most, "{} bytes", grown());
        drop(crowd);
        eventually(
            || grown() < 10 << 20,
            || format!("{} bytes are left", grown()),
        );
    }
}
