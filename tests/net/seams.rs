//! What the client knows of a socket before it hands a connection out, and before a time limit counts.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use mio_fcgi::{
    Body, CloseReason, ConnectionLostReason, Delivery, ReadBuf, Request, RequestError, Retry,
    Timeouts,
};

use crate::peer::{self, Connection, Kind, Peer, TIME_LIMIT};
use crate::{Loop, body, get, plain};

fn post(content: &str) -> Request {
    Request::responder()
        .param("REQUEST_METHOD", "POST")
        .with_body(Body::bytes(content))
}

/// Lets a script go on when the test says so, and lets the test wait until the script has done its step.
struct Steps {
    go: Sender<()>,
    done: Receiver<()>,
}

fn steps() -> (Steps, Receiver<()>, Sender<()>) {
    let (go, told) = mpsc::channel();
    let (tell, done) = mpsc::channel();
    (Steps { go, done }, told, tell)
}

impl Steps {
    /// Lets the script take a step. What the script sent has arrived when this returns.
    fn take(&self) {
        self.go.send(()).expect("the script waits");
        self.done
            .recv_timeout(TIME_LIMIT)
            .expect("the script goes on");
    }
}

/// Answers a request as a whole.
fn serve(connection: &mut Connection, content: &[u8]) {
    let request = connection.request().expect("a request");
    connection.answer(request.id, content);
}

/// A connection that has served N requests and is idle. At the next step its application runs `disturb` on it, and then
/// serves the next connection. The return value of `disturb`, such as the connection, lives as long as the application.
fn kept<T>(
    kind: Kind,
    count: usize,
    disturb: impl FnOnce(Connection) -> T + Send + 'static,
) -> (Peer, Loop, Steps) {
    let (steps, told, tell) = steps();
    let peer = Peer::on(kind, move |listener| {
        let mut first = listener.accept();
        for _ in 0..count {
            serve(&mut first, b"first");
        }
        told.recv_timeout(TIME_LIMIT).expect("told");
        let _first = disturb(first);
        tell.send(()).expect("the test waits");
        serve(&mut listener.accept(), b"second");
    });
    let mut turns = Loop::plain(peer.address());
    for _ in 0..count {
        assert_eq!(body(&turns.ask(get("/")).1), b"first");
    }
    (peer, turns, steps)
}

/// Waits until an announcement is there, and hands it over without anything being read.
fn hear(turns: &mut Loop) {
    let deadline = Instant::now() + TIME_LIMIT;
    loop {
        turns
            .poll
            .poll(&mut turns.events, Some(TIME_LIMIT))
            .expect("a poll");
        if !turns.events.is_empty() {
            return turns.note();
        }
        assert!(Instant::now() < deadline, "nothing is announced");
    }
}

// case 122
#[test]
fn an_idle_connection_whose_end_was_announced_gets_no_request() {
    for kind in [Kind::Unix, Kind::Tcp] {
        for retry in [Retry::Never, Retry::IfNotProcessed, Retry::IfStale] {
            let (peer, mut turns, steps) = kept(kind, 1, drop);
            steps.take();
            hear(&mut turns);
            turns.submit(post("once").with_retry(retry), 2);
            turns.run_to_ends(2);
            assert_eq!(body(&turns.stdout(2)), b"second", "{kind:?}, {retry:?}");
            let completion = turns.completion(2);
            assert_eq!(
                (completion.report.retries, completion.report.reused),
                (0, false)
            );
            peer.join();
        }
    }
}

// case 122
#[test]
fn an_answer_and_the_end_behind_it_in_one_readiness_send_the_next_request_elsewhere() {
    for kind in [Kind::Unix, Kind::Tcp] {
        let (steps, told, tell) = steps();
        let peer = Peer::on(kind, move |listener| {
            let mut first = listener.accept();
            told.recv_timeout(TIME_LIMIT).expect("told");
            serve(&mut first, b"first");
            drop(first);
            tell.send(()).expect("the test waits");
            serve(&mut listener.accept(), b"second");
        });
        let mut config = plain(peer.address());
        config.limits.max_connections_per_server = 1;
        let mut turns = Loop::new(config);
        turns.submit(get("/"), 1);
        turns.submit(post("once").with_retry(Retry::Never), 2);
        turns.run_until(|it| it.client.stats().counters.bytes_sent > 0);
        steps.take();
        turns.run_to_ends(2);
        assert_eq!(body(&turns.stdout(2)), b"second", "{kind:?}");
        assert_eq!(turns.client.stats().counters.retries, 0);
        peer.join();
    }
}

// case 123
#[test]
fn bytes_behind_an_end_at_the_edge_of_the_buffer_reach_nobody() {
    for kind in [Kind::Unix, Kind::Tcp] {
        let peer = Peer::on(kind, move |listener| {
            let mut first = listener.accept();
            let request = first.request().expect("a request");
            // The read that brings the end of the request ends with it.
            let mut all = peer::stdout(request.id, &[b'x'; ReadBuf::MIN_LEN - 16 - 8]);
            all.extend(peer::end(request.id));
            assert_eq!(all.len(), ReadBuf::MIN_LEN);
            all.extend(peer::stdout(request.id, b"left over from the first"));
            first.send(&all);
            serve(&mut listener.accept(), b"second");
        });
        let mut config = plain(peer.address());
        config.limits.max_connections_per_server = 1;
        let mut turns = Loop::new(config);
        turns.buf = ReadBuf::with_len(ReadBuf::MIN_LEN);
        turns.submit(get("/"), 1);
        turns.submit(post("once").with_retry(Retry::Never), 2);
        turns.run_to_ends(2);
        assert!(turns.outcome(1).is_ok());
        assert_eq!(body(&turns.stdout(2)), b"second", "{kind:?}");
        peer.join();
    }
}

// cases 123, 124
#[test]
fn bytes_announced_on_an_idle_connection_are_not_the_next_response() {
    for kind in [Kind::Unix, Kind::Tcp] {
        let (peer, mut turns, steps) = kept(kind, 1, |mut first| {
            first.send(&peer::answer(2, b"nobody asked for it"));
            first
        });
        steps.take();
        hear(&mut turns);
        turns.submit(post("once").with_retry(Retry::Never), 2);
        turns.run_to_ends(2);
        assert_eq!(body(&turns.stdout(2)), b"second", "{kind:?}");
        peer.join();
    }
}

// case 126
#[test]
fn an_end_that_nobody_announced_is_found_before_a_request_that_may_run_once_leaves() {
    for kind in [Kind::Unix, Kind::Tcp] {
        let (peer, mut turns, steps) = kept(kind, 2, drop);
        steps.take();
        // The end was not polled: the client does not know about it.
        turns.submit(post("once").with_retry(Retry::IfNotProcessed), 2);
        turns.drain();
        turns.run_to_ends(3);
        assert_eq!(body(&turns.stdout(2)), b"second", "{kind:?}");
        assert_eq!(
            turns.client.stats().counters.closed_for(CloseReason::Lost),
            1
        );
        peer.join();
    }
}

// case 127
#[test]
fn a_worker_that_dies_of_a_request_costs_that_request_and_runs_it_once() {
    for kind in [Kind::Unix, Kind::Tcp] {
        let peer = Peer::on(kind, |listener| {
            let mut first = listener.accept();
            serve(&mut first, b"first");
            first.request().expect("the second request");
            // Longer than `stale_window`, within which the loss could mean a stale connection.
            thread::sleep(Duration::from_millis(50));
            drop(first);
            thread::sleep(Duration::from_millis(50));
            assert!(listener.try_accept().is_none(), "it is sent again");
        });
        let mut config = plain(peer.address());
        config.stale_window = Duration::from_millis(10);
        let mut turns = Loop::new(config);
        assert_eq!(body(&turns.ask(get("/")).1), b"first");
        turns.submit(get("/").with_retry(Retry::IfUnanswered), 2);
        turns.run_to_ends(2);
        let failure = turns.failure(2);
        assert_eq!(failure.delivery, Delivery::MaybeProcessed, "{kind:?}");
        assert_eq!(failure.report.retries, 0);
        peer.join();
    }
}

// case 138
#[test]
fn an_answer_that_came_while_the_loop_stood_still_is_delivered_after_its_time_limit() {
    for kind in [Kind::Unix, Kind::Tcp] {
        for is_announced in [false, true] {
            let (steps, told, tell) = steps();
            let peer = Peer::on(kind, move |listener| {
                let mut connection = listener.accept();
                let request = connection.request().expect("a request");
                told.recv_timeout(TIME_LIMIT).expect("told");
                connection.answer(request.id, b"in time");
                tell.send(()).expect("the test waits");
                connection.rest();
            });
            let limit = Duration::from_millis(100);
            let mut config = plain(peer.address());
            config.timeouts = Timeouts::NONE;
            let mut turns = Loop::new(config);
            let mut timeouts = Timeouts::NONE;
            timeouts.first_byte = Some(limit);
            timeouts.total = Some(10 * limit);
            turns.submit(get("/").with_timeouts(timeouts), 1);
            turns.run_until(|it| it.client.stats().counters.bytes_sent > 0);
            steps.take();
            if is_announced {
                hear(&mut turns);
            }
            // As a process that was stopped, or a `poll` that a signal has interrupted: time has passed, and nothing
            // was read.
            turns.client.handle_timeout(Instant::now() + 100 * limit);
            turns.drain();
            assert!(turns.outcome(1).is_ok(), "{kind:?}: {:?}", turns.tail());
            assert_eq!(body(&turns.stdout(1)), b"in time");
            drop(turns);
            peer.join();
        }
    }
}

// case 138
#[test]
fn a_connection_made_while_the_loop_stood_still_is_not_late() {
    let (done, is_done) = mpsc::channel();
    let peer = Peer::tcp(move |listener| {
        let mut connection = listener.accept();
        done.send(()).expect("the test waits");
        serve(&mut connection, b"in time");
    });
    let mut turns = Loop::plain(peer.address());
    turns.submit(get("/").with_timeouts(Timeouts::NONE), 1);
    turns.drain();
    is_done.recv_timeout(TIME_LIMIT).expect("it is connected");
    let late = Instant::now() + Duration::from_secs(60);
    turns.client.handle_timeout(late);
    turns.run_to_ends(1);
    assert_eq!(body(&turns.stdout(1)), b"in time");
    assert_eq!(turns.client.stats().counters.connect_failures, 0);
    peer.join();
}

// case 138
#[test]
fn an_application_that_says_nothing_is_late_at_its_limit() {
    let peer = Peer::unix(|listener| {
        let mut connection = listener.accept();
        connection.request().expect("a request");
        connection.rest();
    });
    let mut turns = Loop::plain(peer.address());
    let mut timeouts = Timeouts::NONE;
    timeouts.first_byte = Some(Duration::from_millis(30));
    turns.submit(get("/").with_timeouts(timeouts), 1);
    turns.run_to_ends(1);
    let error = RequestError::TimedOut(mio_fcgi::TimeoutKind::FirstByte);
    assert_eq!(turns.failure(1).error, error);
    peer.join();
}

// case 140
#[test]
fn a_write_that_fails_with_nothing_to_read_is_a_loss_at_once() {
    let (done, is_done) = mpsc::channel();
    let peer = Peer::unix(move |listener| {
        let mut first = listener.accept();
        serve(&mut first, b"first");
        first.shut_down_reading();
        done.send(()).expect("the test waits");
        let mut second = listener.accept();
        serve(&mut second, b"second");
        // The application lives on and sends nothing.
        drop((first, second));
    });
    let mut config = plain(peer.address());
    config.timeouts = Timeouts::NONE;
    let mut turns = Loop::new(config);
    assert_eq!(body(&turns.ask(get("/")).1), b"first");
    is_done.recv_timeout(TIME_LIMIT).expect("shut down");
    turns.submit(post("once"), 2);
    turns.run_to_ends(2);
    assert_eq!(body(&turns.stdout(2)), b"second");
    peer.join();
}

// case 140
#[test]
fn a_write_that_fails_in_mid_body_is_told_though_no_time_limit_is_set() {
    let (done, is_done) = mpsc::channel();
    let (go, told) = mpsc::channel::<()>();
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        connection.head().expect("a request");
        connection.shut_down_reading();
        done.send(()).expect("the test waits");
        let _ = told.recv_timeout(TIME_LIMIT);
    });
    let mut config = plain(peer.address());
    config.timeouts = Timeouts::NONE;
    let mut turns = Loop::new(config);
    let upload = get("/").with_body(Body::pushed(Some(1_000_000)));
    let request = turns.submit(upload, 1);
    turns.run_until(|it| it.client.stats().counters.bytes_sent > 0);
    is_done.recv_timeout(TIME_LIMIT).expect("shut down");
    let pushed = turns.client.write_stdin(Instant::now(), request, b"more");
    assert_eq!(pushed, Ok(4));
    turns.run_to_ends(1);
    let broken = ConnectionLostReason::Io(std::io::ErrorKind::BrokenPipe);
    assert_eq!(turns.failure(1).error, RequestError::ConnectionLost(broken));
    drop(go);
    peer.join();
}

// case 141
#[test]
fn an_urgent_byte_leaves_nothing_unread() {
    let peer = Peer::tcp(|listener| {
        let mut connection = listener.accept();
        let request = connection.request().expect("a request");
        let all = peer::answer(request.id, &[b'x'; 300]);
        // A read stops at the mark, and what lies behind it is announced by nothing else.
        connection.send(&all[..100]);
        connection.send_urgent(b'!');
        connection.send(&all[100..]);
        connection.rest();
    });
    let mut config = plain(peer.address());
    config.timeouts = Timeouts::NONE;
    let mut turns = Loop::new(config);
    turns.submit(get("/"), 1);
    // All of it lies in the socket, or comes in an order that makes no difference.
    turns.run_to_ends(1);
    assert_eq!(body(&turns.stdout(1)), [b'x'; 300]);
    drop(turns);
    peer.join();
}
