//! One buffer for each connection in its turn, 16 in all before `None`: a large response does not delay other requests.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use mio::Events;
use mio_fcgi::{Body, EventKind, ReadBuf, Tag};

use crate::peer::{self, Peer, TIME_LIMIT};
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
        let mut bytes = peer::stdout(id, b"\r\n\r\n");
        while bytes.len() < LARGE {
            bytes.extend(peer::stdout(id, &content));
        }
        bytes.extend(peer::end(id));
        // As much as the socket holds, so that the large response is never short of bytes.
        let sent = large.send_some(&bytes);
        for (connection, id) in &mut small {
            connection.answer(*id, b"small");
        }
        answered.send(sent).expect("the test waits");
        large.send(&bytes[sent..]);
        large.rest();
    });
    let mut config = plain(peer.address());
    config.limits.max_connections_per_server = SMALL + 1;
    let mut turns = Loop::new(config);
    turns.buf = ReadBuf::with_len(16 * 1024);
    // Room for all, or the large response would go on before some of the small ones are known of.
    turns.events = Events::with_capacity(2 * SMALL);
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
    let in_the_socket = are_answered.recv_timeout(TIME_LIMIT).expect("answers");
    turns.run_until(|it| it.ends().len() >= SMALL);
    assert!(!turns.ends().contains(&0));
    let mut received = 0;
    for event in &turns.seen {
        match &event.kind {
            EventKind::Stdout(data) if event.tag.0 == 0 => received += data.len(),
            _ => {}
        }
        if matches!(event.kind, EventKind::End(_)) {
            // Its turn may come before the others' and once more after them, until the last of their ends.
            assert!(received <= 3 * 16 * 1024, "{received} bytes came first");
        }
    }
    assert!(
        in_the_socket > 4 * 16 * 1024,
        "{in_the_socket} bytes waited"
    );
    // The rest in larger pieces: it is only to arrive.
    turns.buf = ReadBuf::default();
    turns.run_to_ends(SMALL + 1);
    assert!(turns.outcome(0).is_ok());
    assert!(turns.stdout(0).len() >= LARGE - 64 * 1024);
    drop(turns);
    peer.join();
}

/// The embedder has other sockets, so `poll_event` returns `None` after some rounds, even while one peer never stops
/// sending. It does not return `None` after each round, which would cost more than the reads.
#[test]
fn the_rounds_end_although_there_is_more_to_read() {
    let (peer, filled) = large_answers(1);
    let mut turns = Loop::plain(peer.address());
    turns.buf = ReadBuf::with_len(BUF);
    turns.submit(get("/large"), 0);
    turns.drain();
    await_filled(&filled, 1);
    for times in 1..4 {
        turns.turn(TIME_LIMIT);
        assert_eq!(reads(&turns, 0), times * 16);
        assert_eq!(turns.client.timeout(Instant::now()), Some(Duration::ZERO));
    }
    turns.buf = ReadBuf::default();
    turns.run_to_ends(1);
    drop(turns);
    peer.join();
}

/// However many rounds there are, no connection is ahead of another by more than one turn.
#[test]
fn connections_go_on_side_by_side_in_all_rounds() {
    const COUNT: usize = 5;
    let (peer, filled) = large_answers(COUNT);
    let mut config = plain(peer.address());
    config.limits.max_connections_per_server = COUNT;
    let mut turns = Loop::new(config);
    turns.buf = ReadBuf::with_len(BUF);
    for tag in 0..COUNT as u64 {
        turns.submit(get("/large"), tag);
    }
    turns.drain();
    await_filled(&filled, COUNT);
    for times in 1..4 {
        turns.turn(TIME_LIMIT);
        let reads: Vec<usize> = (0..COUNT as u64).map(|tag| reads(&turns, tag)).collect();
        // Four rounds: with the third, 15 buffers were read, and the fourth is the last.
        assert_eq!(reads, [times * 4; COUNT]);
    }
    turns.buf = ReadBuf::default();
    turns.run_to_ends(COUNT);
    drop(turns);
    peer.join();
}

/// A pause takes effect at once: the rounds go on without the connection, and nothing more is read from it.
#[test]
fn a_connection_that_is_paused_has_no_turn_in_the_rounds_that_follow() {
    let (peer, filled) = large_answers(2);
    let mut config = plain(peer.address());
    config.limits.max_connections_per_server = 2;
    let mut turns = Loop::new(config);
    turns.buf = ReadBuf::with_len(BUF);
    let paused = turns.submit(get("/large"), 0);
    turns.submit(get("/large"), 1);
    turns.drain();
    await_filled(&filled, 2);
    turns.wait(TIME_LIMIT);
    turns.note();
    let now = Instant::now();
    while let Some(event) = turns.client.poll_event(now, &mut turns.buf) {
        if event.tag == Tag(0) {
            turns.client.pause(now, paused);
        }
        turns.seen.push(event.into_owned());
    }
    let received = turns.client.stats().counters.bytes_received;
    assert_eq!(received, 16 * BUF as u64);
    assert_eq!(reads(&turns, 1), 15);
    // What the one read brought is there, taken or held.
    assert!(turns.stdout(0).len() + turns.client.stats().bytes_buffered <= BUF);
    turns.client.resume(now, paused);
    turns.buf = ReadBuf::default();
    turns.run_to_ends(2);
    drop(turns);
    peer.join();
}

/// Writing has rounds, too: a body that the socket takes at once does not hold up the loop.
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
        let sent = it.client.stats().counters.bytes_sent;
        most = most.max(sent - before);
        before = sent;
        it.ends().len() == 1
    });
    assert!(turns.outcome(0).is_ok());
    // A mebibyte when the request is new and another in its turn; one write may go a little beyond.
    assert!(most <= 2 * (1024 + 256) * 1024, "{most} bytes in a round");
    drop(turns);
    assert_eq!(peer.join(), LEN);
}

/// The read buffer of tests that count reads: far smaller than what waits in a socket.
pub(crate) const BUF: usize = 1024;

/// A peer that answers N requests with a mebibyte each. It reports when each socket is full, and with how many bytes,
/// and sends the rest once those are taken.
pub(crate) fn large_answers(count: usize) -> (Peer, Receiver<usize>) {
    let (filled, is_filled) = mpsc::channel();
    let peer = Peer::unix(move |listener| {
        let mut answers = Vec::new();
        for _ in 0..count {
            let mut connection = listener.accept();
            let id = connection.request().expect("a request").id;
            let mut bytes = peer::stdout(id, &vec![b'x'; 1024 * 1024]);
            bytes.extend(peer::end(id));
            answers.push((connection, bytes));
        }
        let mut unsent = Vec::new();
        for (mut connection, bytes) in answers {
            let sent = connection.send_some(&bytes);
            filled.send(sent).expect("the test waits");
            unsent.push((connection, bytes, sent));
        }
        // The client may wait for any of the responses, so none of them may wait for another.
        std::thread::scope(|scope| {
            for (connection, bytes, sent) in &mut unsent {
                scope.spawn(move || {
                    connection.send(&bytes[*sent..]);
                    connection.rest();
                });
            }
        });
    });
    (peer, is_filled)
}

/// Waits until N sockets hold far more than is read from them before the peer may write again.
pub(crate) fn await_filled(filled: &Receiver<usize>, count: usize) {
    for _ in 0..count {
        let in_the_socket = filled.recv_timeout(TIME_LIMIT).expect("an answer");
        assert!(in_the_socket > 64 * BUF, "{in_the_socket} bytes wait");
    }
}

/// How many reads have brought a request's output. All reads are full, and headers are a small part of them.
fn reads(turns: &Loop, tag: u64) -> usize {
    turns.stdout(tag).len().div_ceil(BUF)
}
