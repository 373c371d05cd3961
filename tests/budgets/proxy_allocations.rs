//! The proxy's own path allocates nothing per request, once it has served a few, and does not buffer a large answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use allocation_counter::AllocationInfo;

use crate::proxy::app;
use crate::proxy::net::listener;
use crate::proxy::program::{arguments, event_loop};
use crate::proxy::site::{fastcgi, metrics};

/// The requests of the shorter run; the longer one has twice as many.
const REQUESTS: usize = 4000;

/// Once a second a path is looked up anew and the date is written anew, and connections that were idle for a second
/// give their lists back.
const ONCE_A_SECOND: u64 = 40;

/// How many of them are sent before their answers are read. Beyond four at a time, a shared connection gives its lists of
/// requests back when the last one ends, and makes new ones.
const CLIENTS: usize = 4;

/// Lengths of the answer at `/bench`.
const SMALL_LEN: usize = 16;
const LARGE_LEN: usize = 200 * 1024;

#[test]
fn a_steady_state_allocates_nothing_per_request() {
    for arguments in [
        &["--multiplex", "off", "--max-idle", "4"][..],
        &["--multiplex", "on", "--max-conns", "1"],
    ] {
        for path in ["/bench", "/headers"] {
            let few = allocations(arguments, path, REQUESTS, SMALL_LEN).count_total;
            let began = Instant::now();
            let many = allocations(arguments, path, 2 * REQUESTS, SMALL_LEN).count_total;
            let more = many.saturating_sub(few);
            // A busy machine takes its time for the requests.
            let of_the_clock = ONCE_A_SECOND * began.elapsed().as_secs();
            assert!(
                more < REQUESTS as u64 / 50 + of_the_clock,
                "{arguments:?} {path}: {more} allocations for {REQUESTS} requests, {few} before, {of_the_clock} of them by the clock"
            );
        }
    }
}

// On Linux an empty socket takes more than that at once; elsewhere it depends on the system's settings.
#[cfg(target_os = "linux")]
#[test]
fn a_large_answer_that_the_client_takes_is_kept_nowhere() {
    // Reads of the application that bring less than 16 KiB wait for the end of a turn, which makes 32 KiB with a head
    // before them. One read alone is up to 64 KiB.
    const ROOM: u64 = 48 * 1024;
    let arguments = &["--multiplex", "off"];
    let mut more = Vec::new();
    // A socket may be full on a busy machine.
    for _ in 0..4 {
        let small = allocations(arguments, "/bench", 100, SMALL_LEN).bytes_total;
        let large = allocations(arguments, "/bench", 100, LARGE_LEN).bytes_total;
        more.push(large.saturating_sub(small));
        if large < small + ROOM {
            return;
        }
    }
    panic!("{more:?} bytes of memory for 100 answers");
}

/// The allocations of the loop's thread from its start to its end, for N requests.
fn allocations(
    arguments: &[&str],
    path: &'static str,
    requests: usize,
    bench_body_len: usize,
) -> AllocationInfo {
    // The signal at the end is for all loops of the process.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let application = app::Options {
        bench_body_len,
        ..app::Options::default()
    };
    let application = app::spawn(application).expect("a socket and a thread");
    let upstream = application.address().clone();
    let fixed = ["--no-access-log"];
    let arguments = fixed.iter().chain(arguments).map(Into::into);
    let options = arguments::parse(arguments).expect("right ones");
    let (tell, listening) = mpsc::channel();
    let server = thread::spawn(move || {
        let config = fastcgi::config(&options, vec![upstream], 0);
        let metrics = Arc::new(metrics::Metrics::new(false, 1));
        let mut event_loop =
            event_loop::EventLoop::new(0, &Arc::new(options), &metrics, vec![config])
                .expect("the system gives a poll");
        let any = ([127, 0, 0, 1], 0).into();
        let listener =
            listener::Listener::bind(any, listener::Binding::default()).expect("a free port");
        tell.send(listener.address().expect("TCP"))
            .expect("somebody waits");
        event_loop.listen(listener).expect("the system's poll");
        allocation_counter::measure(move || event_loop.run().expect("it goes on"))
    });
    ask(listening.recv().expect("it listens"), path, requests);
    signal_hook::low_level::raise(signal_hook::consts::SIGTERM).expect("a signal");
    server.join().expect("no panic")
}

/// Sends requests over a few connections, on each as soon as its answer came.
fn ask(address: SocketAddr, path: &str, requests: usize) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b\r\n\r\n"
    );
    let connect = |_| TcpStream::connect(address).expect("it listens");
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(connect).collect();
    let mut input = vec![0; 2 * LARGE_LEN];
    for _ in 0..requests / CLIENTS {
        for client in &mut clients {
            client.write_all(request.as_bytes()).expect("it reads");
        }
        for client in &mut clients {
            read_answer(client, &mut input);
        }
    }
}

/// Reads one answer, whose body has a length or is in chunks.
fn read_answer(client: &mut TcpStream, input: &mut [u8]) {
    let mut len = 0;
    loop {
        let came = client.read(&mut input[len..]).expect("an answer");
        assert!(came > 0, "the proxy closes");
        len += came;
        let answer = &input[..len];
        if answer.ends_with(b"0\r\n\r\n") || is_whole(answer) {
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
            return;
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let len = fields.find(|field| field.0.eq_ignore_ascii_case("content-length"));
    len.is_some_and(|field| field.1.parse() == Ok(body.len()))
}
