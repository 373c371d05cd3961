//! Back-pressure on real sockets, where readiness that was seen while paused is not announced again.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio_fcgi::{EventKind, OwnedEvent};

use crate::peer::{self, Peer, TIME_LIMIT};
use crate::{Loop, app, body, demo, get};

/// Pauses in the middle of the output, lets the sockets fill, resumes, and expects all of it.
#[test]
fn a_paused_answer_goes_on_to_its_end_when_it_is_resumed() {
    const LEN: usize = 4 * 1024 * 1024;
    let demo = demo();
    let mut turns = Loop::plain(demo.address().clone());
    for round in 0..12 {
        let request = turns.submit(get(&format!("/big?size={LEN}")), round);
        turns.run_until(|it| !it.stdout(round).is_empty());
        turns.client.pause(Instant::now(), request);
        let received = turns.stdout(round).len();
        assert!(received < LEN, "the pause comes in the middle");
        turns.run_for(Duration::from_millis(15));
        assert_eq!(turns.stdout(round).len(), received, "nothing while paused");
        assert_eq!(turns.client.stats().requests.paused, 1);
        let now = Instant::now();
        let listed: Vec<_> = turns.client.requests(now).collect();
        assert!(matches!(&listed[..], [it] if it.request == request && it.is_paused));
        let connections: Vec<_> = turns.client.connections(now).collect();
        assert!(matches!(&connections[..], [it] if it.is_read_blocked && it.requests == 1));
        turns.client.resume(Instant::now(), request);
        turns.run_to_ends(round as usize + 1);
        assert!(turns.outcome(round).is_ok());
        let output = turns.stdout(round);
        let pattern = |(at, byte): (usize, &u8)| *byte == app::pattern_byte(at as u64);
        assert_eq!(body(&output).len(), LEN);
        assert!(body(&output).iter().enumerate().all(pattern));
    }
    assert_eq!(turns.client.stats().bytes_buffered, 0);
}

/// The whole answer has arrived and the connection is closed before the request is resumed: the socket has no further
/// event.
#[test]
fn what_came_while_paused_is_read_though_no_event_follows() {
    let (paused, is_paused) = mpsc::channel();
    let (closed, is_closed) = mpsc::channel();
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        let request = connection.request().expect("a request");
        connection.send(&peer::stdout(request.id, b"\r\n\r\nfirst "));
        is_paused
            .recv_timeout(TIME_LIMIT)
            .expect("the test goes on");
        let mut rest = peer::stdout(request.id, b"second");
        rest.extend(peer::end(request.id));
        connection.send(&rest);
        drop(connection);
        closed.send(()).expect("the test waits");
    });
    let mut turns = Loop::plain(peer.address());
    let request = turns.submit(get("/"), 1);
    turns.run_until(|it| !it.stdout(1).is_empty());
    turns.client.pause(Instant::now(), request);
    paused.send(()).expect("the peer waits");
    turns.run_until_told(&is_closed);
    turns.run_for(Duration::from_millis(10));
    assert!(turns.ends().is_empty(), "nothing while paused");
    turns.client.resume(Instant::now(), request);
    turns.run_to_ends(1);
    assert!(turns.outcome(1).is_ok(), "{:?}", turns.tail());
    assert_eq!(body(&turns.stdout(1)), b"first second");
    peer.join();
}

#[test]
fn a_paused_request_that_is_aborted_ends_once_and_its_connection_goes() {
    let demo = demo();
    let mut turns = Loop::plain(demo.address().clone());
    let request = turns.submit(get("/big?size=100000000"), 1);
    turns.run_until(|it| !it.stdout(1).is_empty());
    turns.client.pause(Instant::now(), request);
    turns.run_for(Duration::from_millis(5));
    turns.client.abort(Instant::now(), request);
    turns.client.resume(Instant::now(), request);
    turns.run_for(Duration::from_millis(5));
    assert_eq!(turns.ends(), [1]);
    assert!(turns.client.is_idle(), "{:?}", turns.client);
    assert!(turns.ask(get("/bench")).0.is_ok());
}

#[test]
fn a_neighbour_on_the_same_connection_goes_on_beside_a_paused_request() {
    let demo = demo();
    let mut config = crate::plain(demo.address().clone());
    config.multiplex = mio_fcgi::Multiplex::On { max: 10 };
    config.limits.max_connections_per_server = 1;
    let mut turns = Loop::new(config);
    let paused = turns.submit(get("/stream?n=3&ms=10"), 1);
    turns.client.pause(Instant::now(), paused);
    turns.submit(get("/tag?tag=neighbour&delay=40"), 2);
    turns.run_until(|it| it.ends() == [2]);
    assert_eq!(body(&turns.stdout(2)), b"neighbour");
    assert_eq!(turns.stdout(1), b"");
    turns.client.resume(Instant::now(), paused);
    turns.run_to_ends(2);
    assert_eq!(
        body(&turns.stdout(1)),
        b"line 1 of 3\nline 2 of 3\nline 3 of 3\n"
    );
    let is_end = |event: &OwnedEvent| event.tag.0 == 1 && matches!(event.kind, EventKind::End(_));
    assert!(is_end(&turns.seen[turns.seen.len() - 1]));
}
