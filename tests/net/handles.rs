//! Handles and connections that are gone have no effect on what took their place.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio_fcgi::{Body, Delivery, EventKind, RequestError, StdinError, Tag, TimeoutKind, Timeouts};

use crate::peer::{self, Peer, TIME_LIMIT};
use crate::{Loop, body, get};

#[test]
fn commands_with_a_stale_handle_do_nothing_to_the_request_in_its_place() {
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        let id = connection.request().expect("the first request").id;
        connection.answer(id, b"stale");
        let id = connection.request().expect("the second request").id;
        may_go_on
            .recv_timeout(TIME_LIMIT)
            .expect("the test goes on");
        connection.answer(id, b"fresh");
        connection.rest();
    });
    let mut turns = Loop::plain(peer.address());
    let stale = turns.submit(get("/").with_body(Body::pushed(Some(3))), 1);
    assert_eq!(
        turns.client.write_stdin(Instant::now(), stale, b"abc"),
        Ok(3)
    );
    assert_eq!(turns.client.finish_stdin(Instant::now(), stale), Ok(()));
    turns.run_to_ends(1);

    let fresh = turns.submit(get("/"), 2);
    assert_ne!(stale, fresh);
    turns.run_until(|it| it.client.stats().requests.active == 1);
    let now = Instant::now();
    turns.client.pause(now, stale);
    turns.client.abort(now, stale);
    turns.client.resume(now, stale);
    assert_eq!(
        turns.client.write_stdin(now, stale, b"x"),
        Err(StdinError::Gone)
    );
    assert_eq!(turns.client.finish_stdin(now, stale), Err(StdinError::Gone));
    assert_eq!(
        turns.client.write_stdin(now, fresh, b"x"),
        Err(StdinError::NotPushed)
    );
    assert_eq!(turns.client.stats().requests.paused, 0);
    go_on.send(()).expect("the peer waits");
    turns.run_to_ends(2);
    assert_eq!(body(&turns.stdout(2)), b"fresh");
    turns.client.abort(now, fresh);
    turns.run_for(Duration::from_millis(5));
    assert_eq!(turns.ends(), [1, 2]);
    drop(turns);
    peer.join();
}

/// The connection that timed out leaves its slot and its token to the next one.
#[test]
fn the_bytes_of_a_timed_out_connection_never_reach_the_next_request() {
    let (late, is_late) = mpsc::channel::<()>();
    let peer = Peer::unix(move |listener| {
        let mut first = listener.accept();
        let id = first.request().expect("the first request").id;
        let mut second = listener.accept();
        let request = second.request().expect("the second request");
        assert_eq!(request.id, id, "the same ID, on another connection");
        // The client has closed this one; what is written now must not be taken for an answer to the second.
        let _ = first.try_send(&peer::answer(id, b"of the first"));
        is_late.recv_timeout(TIME_LIMIT).expect("the test goes on");
        second.answer(id, b"of the second");
        second.rest();
    });
    let mut config = crate::plain(peer.address());
    config.limits.max_connections_per_server = 1;
    let mut turns = Loop::new(config);
    let hasty = Timeouts::NONE.with_total(Duration::from_millis(50));
    turns.submit(get("/first").with_timeouts(hasty), 1);
    turns.submit(get("/second"), 2);
    // The second request is sent now, however late the clock is read.
    turns.drain();
    turns.run_to_ends(1);
    let failure = turns.failure(1);
    assert_eq!(failure.error, RequestError::TimedOut(TimeoutKind::Total));
    assert_eq!(failure.delivery, Delivery::MaybeProcessed);
    turns.run_until(|it| it.client.stats().requests.active == 1);
    turns.run_for(Duration::from_millis(20));
    assert_eq!(turns.ends(), [1]);
    late.send(()).expect("the peer waits");
    turns.run_to_ends(2);
    assert_eq!(body(&turns.stdout(2)), b"of the second");
    drop(turns);
    peer.join();
}

/// Aborted in the middle of its bytes: the rest of them is still in the read buffer when the slot of its connection, and
/// its request ID, go to the next request.
#[test]
fn bytes_left_in_the_buffer_never_reach_the_next_request() {
    let peer = Peer::unix(|listener| {
        let mut first = listener.accept();
        let id = first.request().expect("the first request").id;
        let mut bytes = peer::stdout(id, b"\r\n\r\nof the first");
        bytes.extend(peer::stdout(id, b"more of it"));
        bytes.extend(peer::end(id));
        first.send(&bytes);
        let mut second = listener.accept();
        assert_eq!(second.request().expect("the second request").id, id);
        second.answer(id, b"of the second");
        second.rest();
    });
    let mut config = crate::plain(peer.address());
    config.limits.max_connections_per_server = 1;
    let mut turns = Loop::new(config);
    let first = turns.submit(get("/first"), 1);
    let deadline = Instant::now() + TIME_LIMIT;
    let mut second = None;
    while turns.ends().len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", turns.client);
        turns.wait(TIME_LIMIT);
        turns.note();
        let now = Instant::now();
        while let Some(event) = turns.client.poll_event(now, &mut turns.buf) {
            let is_output = matches!(event.kind, EventKind::Stdout(_));
            turns.seen.push(event.into_owned());
            if is_output && second.is_none() {
                turns.client.abort(now, first);
                let submitted = turns.client.submit(now, get("/second"), Tag(2));
                second = Some(submitted.expect("there is room"));
            }
        }
    }
    assert_eq!(turns.ends(), [1, 2]);
    assert_eq!(turns.failure(1).error, RequestError::Aborted);
    assert_eq!(body(&turns.stdout(1)), b"of the first");
    assert!(turns.outcome(2).is_ok());
    assert_eq!(body(&turns.stdout(2)), b"of the second");
    drop(turns);
    peer.join();
}

#[test]
fn an_idle_connection_that_speaks_is_closed_and_its_words_reach_nobody() {
    let peer = Peer::unix(|listener| {
        let mut first = listener.accept();
        let id = first.request().expect("a request").id;
        first.answer(id, b"one");
        first.send(&peer::stdout(id, b"more, out of turn"));
        assert_eq!(first.rest(), b"", "closed by the client");
        let mut second = listener.accept();
        let id = second.request().expect("a request").id;
        second.answer(id, b"two");
        second.rest();
    });
    let mut turns = Loop::plain(peer.address());
    assert_eq!(body(&turns.ask(get("/")).1), b"one");
    turns.run_until(|it| it.client.stats().connections.idle == 0);
    assert_eq!(body(&turns.ask(get("/")).1), b"two");
    drop(turns);
    peer.join();
}
