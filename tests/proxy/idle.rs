//! Idle connections to applications: each holds a worker of php-fpm.

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::application::{read_request, whole_for};
use super::harness::{Proxy, TIME_LIMIT, eventually, get};

/// An application that answers the first requests together, `at_once` of them, each on a connection of its own. Returns
/// its address and how many connections are open.
fn crowd(at_once: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let open = Arc::new(AtomicUsize::new(0));
    let (counted, barrier) = (Arc::clone(&open), Arc::new(Barrier::new(at_once)));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_read_timeout(Some(TIME_LIMIT)).expect("a socket");
            counted.fetch_add(1, Ordering::SeqCst);
            let (counted, barrier) = (Arc::clone(&counted), Arc::clone(&barrier));
            thread::spawn(move || {
                if read_request(&mut stream) {
                    barrier.wait();
                    let answer = whole_for(1, b"Content-Length: 3\r\n\r\nyes");
                    stream.write_all(&answer).expect("the proxy reads");
                    // Until the proxy closes the connection.
                    read_request(&mut stream);
                }
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open)
}

/// How many connections are kept after as many requests at once as there may be connections.
fn kept(connections: usize, arguments: &[&str], expected: usize) -> Proxy {
    let (address, open) = crowd(connections);
    let count = connections.to_string();
    let fixed = [
        "--multiplex",
        "off",
        "--max-conns",
        &count,
        "--idle-timeout",
        "1000",
    ];
    let proxy = Proxy::in_front_of(&address, &[&fixed[..], arguments].concat());
    let mut clients: Vec<_> = (0..connections).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        client.send(get("/a.php"));
    }
    for client in &mut clients {
        assert_eq!(client.answer().text(), "yes");
    }
    eventually(
        || open.load(Ordering::SeqCst) == expected,
        || format!("{expected} of {connections}, not {open:?}"),
    );
    proxy
}

/// A liveness probe needs a worker, too.
// case 156
// edge: as many requests at once as connections, then none | by default fewer connections are kept than there may be
#[test]
fn kept_connections_leave_a_worker_free() {
    for (connections, expected) in [(1, 0), (2, 1), (3, 2), (8, 4)] {
        kept(connections, &[], expected);
    }
}

#[test]
fn more_idle_connections_than_there_may_be_are_lowered() {
    let proxy = kept(3, &["--max-idle", "4"], 3);
    proxy.wait_for_log("proxy: --max-idle 4 is more than --max-conns 3: 3 connections are kept");
    let proxy = kept(3, &["--max-idle", "3"], 3);
    assert!(!proxy.log().contains("--max-idle"));
}
