//! How connections end during a request, and what is read before the request fails.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio_fcgi::{Body, ConnectionLostReason, Delivery, Phase, RequestError};

use crate::peer::{self, Kind, Peer, TIME_LIMIT};
use crate::{Loop, body, get};

/// The write fails, but what the application sent before it closed is in the socket.
#[test]
fn an_answer_in_the_socket_is_read_when_a_write_fails() {
    for kind in [Kind::Unix, Kind::Tcp] {
        let (closed, is_closed) = mpsc::channel();
        let peer = Peer::on(kind, move |listener| {
            let mut connection = listener.accept();
            let request = connection.head().expect("a request");
            // The first bytes of the body, so that nothing is left unread: a close, not a reset.
            connection.read(&mut [0; 64]).expect("a record of the body");
            connection.answer(request.id, b"enough");
            drop(connection);
            closed.send(()).expect("the test waits");
        });
        let mut turns = Loop::plain(peer.address());
        let request = turns.submit(get("/").with_body(Body::pushed(Some(1_000_000))), 1);
        let begun = turns.client.write_stdin(Instant::now(), request, b"begun");
        assert_eq!(begun, Ok(5));
        turns.run_until(|it| it.client.stats().counters.bytes_sent >= 5);
        // The loop stands still until the answer is there, so the next thing that the client does is to write.
        is_closed.recv_timeout(TIME_LIMIT).expect("closed");
        for _ in 0..3 {
            let _ = turns
                .client
                .write_stdin(Instant::now(), request, &[b'x'; 1000]);
            turns.drain();
        }
        turns.run_to_ends(1);
        assert_eq!(body(&turns.stdout(1)), b"enough");
        assert!(turns.outcome(1).is_ok(), "{:?}", turns.outcome(1));
        assert!(turns.client.is_idle(), "that connection is not used again");
        peer.join();
    }
}

/// A close with bytes unread is a reset. The answer was complete before the reset: it fits the window of a TCP
/// connection whose other end reads nothing. Otherwise the reset would discard the rest.
#[test]
fn a_reset_behind_a_complete_answer_is_no_failure() {
    for kind in [Kind::Unix, Kind::Tcp] {
        let (reset, is_reset) = mpsc::channel();
        let peer = Peer::on(kind, move |listener| {
            let mut connection = listener.accept();
            let request = connection.head().expect("a request");
            connection.answer(request.id, &[b'y'; 30_000]);
            drop(connection);
            reset.send(()).expect("the test waits");
        });
        let mut turns = Loop::plain(peer.address());
        turns.submit(get("/").with_body(Body::bytes(vec![b'x'; 2000])), 1);
        turns.drain();
        turns.run_until_told(&is_reset);
        turns.run_to_ends(1);
        assert!(turns.outcome(1).is_ok(), "{:?}", turns.outcome(1));
        assert_eq!(body(&turns.stdout(1)).len(), 30_000);
        turns.run_until(|it| it.client.is_idle());
        peer.join();
    }
}

#[test]
fn a_response_that_is_cut_short_is_not_reported_as_complete() {
    let peer = Peer::unix(|listener| {
        let mut connection = listener.accept();
        let id = connection.request().expect("a request").id;
        connection.send(&peer::stdout(id, b"\r\n\r\nhalf"));
    });
    let mut turns = Loop::plain(peer.address());
    let (outcome, output) = turns.ask(get("/"));
    let failure = outcome.expect_err("there was no FCGI_END_REQUEST");
    assert_eq!(
        failure.error,
        RequestError::ConnectionLost(ConnectionLostReason::Closed)
    );
    assert_eq!(
        (failure.phase, failure.delivery),
        (Phase::Receiving, Delivery::Responded)
    );
    assert_eq!(body(&output), b"half");
    peer.join();
}

#[test]
fn a_kept_connection_that_was_closed_is_replaced_without_a_word() {
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let peer = Peer::unix(move |listener| {
        let mut first = listener.accept();
        let id = first.request().expect("a request").id;
        first.answer(id, b"first");
        // The client has the second request on this connection by now.
        may_go_on
            .recv_timeout(TIME_LIMIT)
            .expect("the test goes on");
        drop(first);
        let mut second = listener.accept();
        let id = second.request().expect("the same request again").id;
        second.answer(id, b"second");
        second.rest();
    });
    let mut turns = Loop::plain(peer.address());
    assert_eq!(body(&turns.ask(get("/")).1), b"first");
    turns.submit(get("/"), 1);
    turns.drain();
    go_on.send(()).expect("the peer waits");
    turns.run_to_ends(2);
    let completion = turns.completion(1);
    assert_eq!(body(&turns.stdout(1)), b"second");
    assert_eq!(
        (completion.report.retries, completion.report.reused),
        (1, false)
    );
    drop(turns);
    peer.join();
}

// case 111
#[test]
fn dropping_the_client_closes_every_connection() {
    let (all, are_all) = mpsc::channel();
    let peer = Peer::tcp(move |listener| {
        let mut connections: Vec<_> = (0..4).map(|_| listener.accept()).collect();
        for connection in &mut connections {
            connection.request().expect("a request");
        }
        all.send(()).expect("the test waits");
        connections
            .iter_mut()
            .map(|it| it.rest().len())
            .sum::<usize>()
    });
    let mut turns = Loop::plain(peer.address());
    for tag in 0..4 {
        turns.submit(get("/"), tag);
    }
    turns.run_until_told(&are_all);
    let Loop {
        mut poll,
        mut events,
        client,
        ..
    } = turns;
    drop(client);
    assert_eq!(peer.join(), 0, "an end and nothing more");
    // The peers have closed, too; a socket that is still registered would report that.
    poll.poll(&mut events, Some(Duration::from_millis(20)))
        .expect("a poll");
    assert!(events.is_empty());
}

#[test]
fn an_http_server_is_named_as_what_it_is() {
    let peer = Peer::tcp(|listener| {
        let mut connection = listener.accept();
        connection.request().expect("bytes");
        connection.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        connection.rest();
    });
    let mut turns = Loop::plain(peer.address());
    turns.submit(get("/"), 1);
    turns.run_to_ends(1);
    let error = turns.failure(1).error;
    assert!(matches!(error, RequestError::Protocol(_)));
    assert!(error.to_string().contains("answered in HTTP"), "{error}");
    peer.join();
}
