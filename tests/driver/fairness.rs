//! One buffer for each connection in its turn: a large response keeps nobody waiting.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio_fcgi::{Body, OwnedEvent, ReadBuf};

use crate::peer::{self, PATIENCE, Peer};
use crate::{Loop, get, plain};

const SMALL: usize = 100;
const LARGE: usize = 64 * 1024 * 1024;

#[test]
fn a_large_response_does_not_starve_small_ones() {
    let (answered, are_answered) = mpsc::channel();
    let peer = Peer::unix(move |listener| {
        let mut large = None;
        let mut small = Vec::new();
        for _ in 0..=SMALL {
            let mut connection = listener.accept();
            let request = connection.request().expect("a request");
            if request.param("REQUEST_URI").as_deref() == Some("/large") {
                large = Some((connection, request.id));
            } else {
                small.push((connection, request.id));
            }
        }
        let (mut large, id) = large.expect("it was sent too");
        let content = vec![b'x'; 32 * 1024];
        let mut octets = peer::stdout(id, b"\r\n\r\n");
        while octets.len() < LARGE {
            octets.extend(peer::stdout(id, &content));
        }
        octets.extend(peer::end(id));
        // As much as the socket holds, so that the large response is never short of octets.
        let sent = large.send_some(&octets);
        for (connection, id) in &mut small {
            connection.answer(*id, b"small");
        }
        answered.send(sent).expect("the test waits");
        large.send(&octets[sent..]);
        large.rest();
    });
    let mut config = plain(peer.address());
    config.limits.max_connections = SMALL + 1;
    let mut turns = Loop::new(config);
    turns.buf = ReadBuf::with_len(16 * 1024);
    turns.submit(get("/large"), 0);
    for tag in 1..=SMALL as u64 {
        turns.submit(get("/small"), tag);
    }
    // All requests are sent, and no answer is read, before all answers are there.
    let now = Instant::now();
    while turns.client.stats().counters.connected <= SMALL as u64 {
        turns.client.handle_timeout(now);
        turns.drain();
    }
    let in_the_socket = are_answered.recv_timeout(PATIENCE).expect("answers");
    turns.run_until(|it| it.ends().len() >= SMALL);
    assert!(!turns.ends().contains(&0));
    let mut received = 0;
    for event in &turns.seen {
        match event {
            OwnedEvent::Stdout { tag, data, .. } if tag.0 == 0 => received += data.len(),
            _ => {}
        }
        if matches!(event, OwnedEvent::End { .. }) {
            // Its turn may come before the others' and once more after them, until the last of their ends.
            assert!(received <= 3 * 16 * 1024, "{received} octets came first");
        }
    }
    assert!(
        in_the_socket > 4 * 16 * 1024,
        "{in_the_socket} octets waited"
    );
    // The rest in larger pieces: it is only to arrive.
    turns.buf = ReadBuf::default();
    turns.run_to_ends(SMALL + 1);
    assert!(turns.outcome(0).is_ok());
    assert!(turns.stdout(0).len() >= LARGE - 64 * 1024);
    drop(turns);
    peer.join();
}

/// The embedder has other sockets: it is asked back to its poll after a round, even while one peer never falls silent.
#[test]
fn a_round_ends_although_there_is_more_to_read() {
    let (filled, is_filled) = mpsc::channel();
    let peer = Peer::unix(move |listener| {
        let mut connection = listener.accept();
        let id = connection.request().expect("a request").id;
        let mut octets = peer::stdout(id, &vec![b'x'; 1024 * 1024]);
        octets.extend(peer::end(id));
        let sent = connection.send_some(&octets);
        filled.send(sent).expect("the test waits");
        connection.send(&octets[sent..]);
        connection.rest();
    });
    let mut turns = Loop::plain(peer.address());
    turns.buf = ReadBuf::with_len(16 * 1024);
    turns.submit(get("/large"), 0);
    turns.drain();
    let in_the_socket = is_filled.recv_timeout(PATIENCE).expect("an answer");
    assert!(in_the_socket > 4 * 16 * 1024, "{in_the_socket} octets wait");
    let now = Instant::now();
    for round in 1..4 {
        turns.turn(PATIENCE);
        assert!(turns.stdout(0).len() <= round * 16 * 1024, "round {round}");
        assert_eq!(turns.client.timeout(now), Some(Duration::ZERO));
    }
    turns.run_to_ends(1);
    drop(turns);
    peer.join();
}

/// The same for a body that leaves as fast as it can.
#[test]
fn a_round_ends_although_there_is_more_to_write() {
    const LEN: usize = 32 * 1024 * 1024;
    let peer = Peer::tcp(|listener| {
        let mut connection = listener.accept();
        let request = connection.request().expect("a request");
        connection.answer(request.id, b"thanks");
        request.body.len()
    });
    let mut turns = Loop::plain(peer.address());
    turns.submit(get("/upload").with_body(Body::bytes(vec![b'x'; LEN])), 0);
    let (mut before, mut most) = (0, 0);
    turns.run_until(|it| {
        let sent = it.client.stats().counters.octets_sent;
        most = most.max(sent - before);
        before = sent;
        it.ends().len() == 1
    });
    assert!(turns.outcome(0).is_ok());
    // A mebibyte when the request is new and another in its turn; one write may go a little beyond.
    assert!(most <= 2 * (1024 + 256) * 1024, "{most} octets in a round");
    drop(turns);
    assert_eq!(peer.join(), LEN);
}
