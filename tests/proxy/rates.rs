//! `--min-rate`, in virtual time: only the test moves the worker's clock.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use mio::Poll;
use mio_fcgi::Multiplex;

use super::embedded::{connect, listen, worker_of};
use super::turns::run;
use crate::proxy::serve::worker::Worker;
use crate::proxy::site::options::Options;

/// A worker, a client that has sent the head of an upload, and the virtual time.
struct Upload {
    poll: Poll,
    worker: Worker,
    client: TcpStream,
    now: Instant,
}

impl Upload {
    fn new(options: Options, framing: &str) -> Self {
        let mut poll = Poll::new().expect("a poll");
        let mut worker = worker_of(&poll, options);
        let mut client = connect(listen(&mut worker));
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").expect("room");
        let now = Instant::now();
        worker.set_time(now);
        run(&mut poll, &mut worker);
        Self {
            poll,
            worker,
            client,
            now,
        }
    }

    /// Lets time pass in steps of a second. After each, the client sends these bytes.
    fn pass(&mut self, seconds: u64, bytes: &[u8]) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.worker.set_time(self.now);
            run(&mut self.poll, &mut self.worker);
            if self.worker.figures().answered == 0 {
                self.client.write_all(bytes).expect("room");
                run(&mut self.poll, &mut self.worker);
            }
        }
    }

    fn is_refused(&self) -> bool {
        self.worker.figures().answered == 1
    }

    /// The start of the response.
    fn status(&mut self) -> String {
        let mut answer = [0; 12];
        self.client.read_exact(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn options(min_rate: u64) -> Options {
    Options {
        min_rate,
        client_timeout: Duration::from_secs(10),
        ..Options::default()
    }
}

// case 153
// edge: a body that trickles in | 408 once it is slower than `--min-rate` on average, closed
#[test]
fn a_body_slower_than_the_minimum_rate_is_answered_with_408() {
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let chunk: &[u8] = match framing.ends_with("chunked") {
            true => &[b"64\r\n", &[b'x'; 100][..], b"\r\n"].concat(),
            false => &[b'x'; 100],
        };
        let mut upload = Upload::new(options(500), framing);
        // 100 bytes a second: after 12 s, 1,200 bytes have earned 2.4 s on top of the 10.
        upload.pass(12, chunk);
        assert!(!upload.is_refused(), "{framing}");
        upload.pass(1, chunk);
        assert!(upload.is_refused(), "{framing}");
        assert_eq!(upload.status(), "HTTP/1.1 408");
        assert_eq!(upload.worker.figures().kept.memory, 0);
    }
}

#[test]
fn a_body_at_the_minimum_rate_or_without_one_arrives() {
    for (min_rate, bytes) in [(100, 100), (0, 1)] {
        let mut upload = Upload::new(options(min_rate), "Content-Length: 100000");
        upload.pass(50, &vec![b'x'; bytes]);
        assert!(!upload.is_refused(), "{min_rate}");
    }
    // The highest rate: the whole body has to arrive within the first time.
    let mut upload = Upload::new(options(u64::MAX), "Content-Length: 100000");
    upload.pass(9, &[b'x'; 5000]);
    assert!(!upload.is_refused());
    upload.pass(1, &[b'x'; 5000]);
    assert!(upload.is_refused());
}

/// The bytes were there in time. It was the proxy that did not read them.
#[test]
fn bytes_that_wait_for_the_proxy_are_read_before_it_gives_up() {
    let mut upload = Upload::new(options(500), "Content-Length: 100000");
    upload.client.write_all(&[b'x'; 50_000]).expect("room");
    upload.now += Duration::from_secs(60);
    upload.worker.set_time(upload.now);
    run(&mut upload.poll, &mut upload.worker);
    assert!(!upload.is_refused());
}

// edge: an application that does not read a body for long | no 408 for the client
#[test]
fn time_in_which_the_application_does_not_read_does_not_count() {
    let application = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let options = Options {
        upstreams: vec![application.local_addr().expect("an address").into()],
        multiplex: Multiplex::Off,
        buffer_request: 0,
        write_timeout: Duration::from_secs(10_000_000),
        ..options(500)
    };
    let mut upload = Upload::new(options, "Content-Length: 50000000");
    let (mut application, _) = application.accept().expect("a connection");
    upload.client.set_nonblocking(true).expect("a socket");
    // Until the proxy reads no more, because the application does not.
    while upload.client.write(&[b'x'; 65_536]).is_ok() {
        run(&mut upload.poll, &mut upload.worker);
    }
    // What has arrived has not earned as much.
    upload.now += Duration::from_secs(1_000_000);
    upload.worker.set_time(upload.now);
    run(&mut upload.poll, &mut upload.worker);
    assert!(!upload.is_refused());
    let mut taken = vec![0; 1 << 20];
    assert!(application.read(&mut taken).expect("bytes") > 0);
    run(&mut upload.poll, &mut upload.worker);
    assert!(!upload.is_refused());
}
