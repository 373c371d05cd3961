//! Clients that are slow, idle or many.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;

use super::harness::{Proxy, get, post};

// edge: no request, or none after a response | closed after `--keepalive-timeout`
#[test]
fn an_idle_connection_is_closed_without_a_response() {
    // By this limit and by no other.
    let proxy = Proxy::start(&["--keepalive-timeout", "1", "--header-timeout", "3600"]);
    let start = Instant::now();
    let mut client = proxy.connect();
    client.send(get("/tag?tag=a"));
    assert_eq!(client.answer().text(), "a");
    client.assert_closed();
    assert!(start.elapsed() >= Duration::from_millis(900));
    proxy.connect().assert_closed();
}

// edge: a head in single bytes without end (slow loris) | 408 after `--header-timeout`, closed
#[test]
fn a_head_that_trickles_in_times_out() {
    let proxy = Proxy::start(&["--header-timeout", "0.4"]);
    let start = Instant::now();
    let mut client = proxy.connect();
    client.send("GET /");
    let mut stream = client.stream.try_clone().expect("a socket");
    // Until there is a response.
    let is_answered = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&is_answered);
    let trickle = std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) && stream.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let answer = client.answer();
    is_answered.store(true, Ordering::Relaxed);
    assert_eq!(
        (answer.status, answer.field("connection")),
        (408, Some("close"))
    );
    assert!(start.elapsed() >= Duration::from_millis(350));
    client.assert_closed();
    trickle.join().expect("no panic");
}

// edge: single bytes without end after the last response | closed soon, however often they come
#[test]
fn a_client_that_keeps_sending_after_its_last_response_is_closed() {
    let proxy = Proxy::start(&[]);
    let mut client = proxy.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\na");
    assert_eq!(client.answer().status, 413);
    // Far more often than the proxy waits, and far fewer bytes than it would read.
    let is_closed = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        client.stream.write_all(b"a").is_err()
    });
    assert!(is_closed);
}

// edge: a response that is never read | closed after `--client-timeout`
#[test]
fn a_client_that_reads_nothing_is_closed() {
    let proxy = Proxy::start(&["--client-timeout", "0.3", "--status"]);
    let mut client = proxy.connect();
    client.send(get("/big?size=100000000"));
    proxy.wait_for_log("\"GET /big?size=100000000 HTTP/1.1\" 200 ");
    proxy.wait_for_figure("requests.in_flight", 0);
}

// edge: more clients than `--max-clients` | wait, then served
#[test]
fn clients_above_the_limit_wait_and_are_served_then() {
    let proxy = Proxy::start(&["--max-clients", "2"]);
    let mut first = proxy.connect();
    let mut second = proxy.connect();
    first.send(get("/slow?ms=600000"));
    // This client is being served until the rest of its body arrives.
    let request = post("/form", b"name=a");
    second.send(&request[..request.len() - 1]);
    let mut others: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
    for (index, client) in others.iter_mut().enumerate() {
        client.send(get(&format!("/tag?tag=n{index}")));
    }
    others[0].assert_silent(Duration::from_millis(100));
    // Each client that got its response makes a place for the next.
    second.send(&request[request.len() - 1..]);
    let answer = second.answer();
    assert_eq!(answer.field("connection"), Some("close"));
    for (index, client) in others.iter_mut().enumerate() {
        assert_eq!(client.answer().text(), format!("n{index}"));
    }
}

// edge: clients that are idle while others wait beyond `--max-clients` | the idle ones are closed
#[test]
fn an_idle_client_is_closed_for_a_waiting_one() {
    let proxy = Proxy::start(&["--max-clients", "3"]);
    let mut idle = proxy.connect();
    idle.send(get("/tag?tag=a"));
    assert_eq!(idle.answer().text(), "a");
    let mut silent = proxy.connect();
    let mut busy = proxy.connect();
    busy.send(get("/stream?n=2&ms=600000"));
    busy.head();
    busy.read_exactly(&mut [0; 17]);
    // All three are connected. After a second the two idle ones may be closed, and then both are.
    std::thread::sleep(Duration::from_millis(1100));
    let mut waiting = proxy.connect();
    waiting.send(get("/tag?tag=waiting"));
    assert_eq!(waiting.answer().text(), "waiting");
    idle.assert_closed();
    silent.assert_closed();
    busy.assert_silent(Duration::from_millis(100));
}

// edge: more busy clients than a loop has turns, each with pipelined requests | the application's responses are sent meanwhile
#[cfg(unix)]
#[test]
fn many_busy_clients_do_not_delay_the_applications_responses() {
    let proxy = Proxy::start(&["--max-clients", "1000"]);
    let connect = |_| TcpStream::connect(proxy.address()).expect("it listens");
    let mut crowd: Vec<TcpStream> = (0..400).map(connect).collect();
    let mut client = proxy.connect();
    client.send(get("/tag?tag=warm"));
    assert_eq!(client.answer().text(), "warm");
    // So that everything arrives at once.
    proxy.halt();
    client.send(get("/tag?tag=a"));
    // The proxy answers these requests itself.
    let requests = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1500);
    for client in &mut crowd {
        client.set_nonblocking(true).expect("a socket");
        let written = client.write(requests.as_bytes()).expect("room");
        assert!(written > requests.len() / 3, "{written} bytes");
    }
    proxy.signal(Signal::CONT);
    assert_eq!(client.answer().text(), "a");
    // The log shows the order of the responses.
    proxy.wait_for_log("/tag?tag=a HTTP");
    let log = proxy.log();
    let others = log.lines().take_while(|it| !it.contains("/tag?tag=a HTTP"));
    let ahead = others.count();
    assert!(ahead < 400 * 1500 / 2, "{ahead} of the crowd's came first");
}

// edge: more clients than descriptors | wait without work, then served
#[cfg(target_os = "linux")]
#[test]
fn clients_beyond_the_descriptor_limit_wait_without_cost() {
    let proxy = Proxy::start(&[]);
    assert_eq!(proxy.get("/tag?tag=warm").text(), "warm");
    // As many as are open now, and a few more.
    let open = proxy.descriptors() as u64;
    limit_descriptors(&proxy, open + 5);
    let mut clients: Vec<_> = (0..30).map(|_| proxy.connect()).collect();
    proxy.wait_for_log("accepting clients is paused: ");
    proxy.wait_for_rest();
    let mut last = clients.pop().expect("30 of them");
    last.send(get("/tag?tag=last"));
    drop(clients);
    assert_eq!(last.answer().text(), "last");
}

/// The system reports that no descriptor is left before it looks for a waiting connection.
// edge: no descriptor left, and no client waits for one | no work
#[cfg(target_os = "linux")]
#[test]
fn running_out_of_descriptors_with_the_last_client_costs_nothing() {
    // The demo application would open descriptors of its own at any time.
    let proxy = Proxy::in_front_of("127.0.0.1:1", &["--keepalive-timeout", "600"]);
    let own = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut first = proxy.connect();
    first.send(own);
    assert_eq!(first.answer().status, 204);
    // The test's parent may have left gaps between the descriptor numbers.
    let is_free = |number: &u64| {
        let path = format!("/proc/{}/fd/{number}", proxy.pid());
        std::fs::symlink_metadata(path).is_err()
    };
    let free = (0..).find(is_free).expect("a number");
    limit_descriptors(&proxy, free + 1);
    let mut last = proxy.connect();
    last.send(own);
    assert_eq!(last.answer().status, 204);
    proxy.wait_for_log("accepting clients is paused: ");
    limit_descriptors(&proxy, 1000);
    proxy.wait_for_rest();
    assert_eq!(proxy.ask(own).status, 204);
}

#[cfg(target_os = "linux")]
fn limit_descriptors(proxy: &Proxy, most: u64) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = Pid::from_raw(proxy.pid() as i32).expect("a pid");
    // Only root could raise the maximum again.
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let current = Some(most);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).expect("ours");
}

// edge: clients that wait | no work
#[cfg(target_os = "linux")]
#[test]
fn it_does_nothing_while_nothing_happens() {
    let proxy = Proxy::start(&["--max-clients", "1", "--status"]);
    // One client that is being served, and one that waits to be accepted.
    let mut client = proxy.connect();
    client.send(get("/slow?ms=600000"));
    let _other = proxy.connect();
    std::thread::sleep(Duration::from_millis(200));
    proxy.wait_for_rest();
}
