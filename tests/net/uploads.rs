//! Bodies sent to applications that read slowly, or answer before they have read.

use std::io::{Cursor, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio_fcgi::{Body, EventKind, OwnedEvent, RequestError, RequestHandle, StdinError, Stream};

use crate::peer::{Kind, Peer, TIME_LIMIT, answer};
use crate::{Loop, body, get};

const LEN: usize = 8 * 1024 * 1024;
/// Linux lets a TCP connection buffer 10 MiB by default.
const MORE_THAN_SOCKETS_HOLD: usize = 32 * 1024 * 1024;

fn pattern() -> Vec<u8> {
    (0..LEN).map(|at| (at % 251) as u8).collect()
}

/// The same bytes in each form that a body can have.
fn bodies(bytes: Vec<u8>) -> [Body; 4] {
    let len = Some(bytes.len() as u64);
    [
        Body::bytes(bytes.clone()),
        Body::shared(Arc::from(bytes.as_slice())),
        Body::reader(Cursor::new(bytes.clone()), len),
        Body::seekable(Cursor::new(bytes), len),
    ]
}

#[test]
fn a_large_upload_that_is_answered_early_ends_with_the_answer() {
    for kind in [Kind::Unix, Kind::Tcp] {
        for upload in bodies(vec![b'x'; MORE_THAN_SOCKETS_HOLD]) {
            let peer = Peer::on(kind, |listener| {
                let mut connection = listener.accept();
                let request = connection.head().expect("a request");
                connection.answer(request.id, b"no, thanks");
                // Nothing of the body was read, and the client closes, since the application reads nothing.
                assert!(connection.rest().len() < MORE_THAN_SOCKETS_HOLD);
            });
            let mut turns = Loop::plain(peer.address());
            let (outcome, output) = turns.ask(get("/").with_body(upload));
            assert!(outcome.is_ok(), "{outcome:?}");
            assert_eq!(body(&output), b"no, thanks");
            turns.run_until(|it| it.client.is_idle());
            peer.join();
        }
    }
}

#[test]
fn a_slow_reader_gets_the_whole_upload() {
    let peer = Peer::unix(|listener| {
        let mut received = Vec::new();
        for _ in 0..4 {
            let mut connection = listener.accept();
            let id = connection.head().expect("a request").id;
            // Slowly at first, so that the client finds the socket full.
            let mut piece = [0; 1000];
            let mut bytes = Vec::new();
            for _ in 0..20 {
                thread::sleep(Duration::from_millis(1));
                let len = connection.read(&mut piece).expect("more of the body");
                bytes.extend_from_slice(&piece[..len]);
            }
            let len = whole(&mut connection, bytes);
            received.push(len);
            connection.answer(id, b"thanks");
            connection.rest();
        }
        received
    });
    for upload in bodies(pattern()) {
        let mut turns = Loop::plain(peer.address());
        let (outcome, output) = turns.ask(get("/").with_body(upload));
        let report = outcome.expect("an answer").report;
        assert_eq!(body(&output), b"thanks");
        assert!(report.bytes_sent > LEN as u64);
    }
    assert_eq!(peer.join(), [LEN; 4]);
}

/// Reads a body to its end, after the records that are there already. Checks and counts its bytes.
fn whole(connection: &mut crate::peer::Connection, first: Vec<u8>) -> usize {
    use mio_fcgi::wire::{Demux, Item};
    let mut demux = Demux::default();
    let mut bytes = first;
    let mut len = 0;
    loop {
        let mut input = &bytes[..];
        while let Some(item) = demux.next(&mut input).expect("FastCGI") {
            match item {
                Item::Stream { data, .. } => {
                    let expected = |(at, byte): (usize, &u8)| *byte == ((len + at) % 251) as u8;
                    assert!(data.iter().enumerate().all(expected), "at {len}");
                    len += data.len();
                }
                Item::StreamEnd { .. } => return len,
                other => panic!("{other:?} in a body"),
            }
        }
        bytes.resize(64 * 1024, 0);
        let read = connection.read(&mut bytes).expect("more of the body");
        bytes.truncate(read);
    }
}

#[test]
fn a_pushed_body_goes_on_when_there_is_room() {
    let peer = Peer::unix(|listener| {
        let mut connection = listener.accept();
        let id = connection.head().expect("a request").id;
        thread::sleep(Duration::from_millis(20));
        let len = whole(&mut connection, Vec::new());
        connection.answer(id, b"thanks");
        connection.rest();
        len
    });
    let bytes = pattern();
    let mut turns = Loop::plain(peer.address());
    let request = turns.submit(get("/").with_body(Body::pushed(Some(LEN as u64))), 1);
    let (mut at, mut offers) = (0, 0);
    while at < LEN {
        let end = LEN.min(at + 100_000);
        let taken = turns
            .client
            .write_stdin(Instant::now(), request, &bytes[at..end])
            .expect("the request goes on");
        at += taken;
        offers += 1;
        if at < end {
            let announced = turns.seen.len();
            turns.run_until(|it| {
                let ready = |event: &OwnedEvent| matches!(event.kind, EventKind::StdinReady);
                it.seen[announced..].iter().any(ready)
            });
        }
    }
    assert!(offers > 80, "64 KiB are held at most");
    let finished = turns.client.finish_stdin(Instant::now(), request);
    assert_eq!(finished, Ok(()));
    turns.run_to_ends(1);
    assert_eq!(body(&turns.stdout(1)), b"thanks");
    drop(turns);
    assert_eq!(peer.join(), LEN);
}

/// A connected client and the application's side of its connection, with a request whose body of `len` bytes is pushed
/// and whose head has left.
fn pushing(len: u64) -> (Loop, RequestHandle, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    let mut turns = Loop::plain("unix:@none".parse().expect("an address"));
    let mut ours = Some(ours);
    turns.client.set_connector(move |_, _| {
        let ours = ours.take().ok_or(ErrorKind::ConnectionRefused)?;
        Stream::try_from(ours)
    });
    let request = turns.submit(get("/").with_body(Body::pushed(Some(len))), 1);
    turns.run_until(|it| {
        it.client
            .requests(Instant::now())
            .all(|it| it.report.bytes_sent > 0)
    });
    theirs.set_nonblocking(true).expect("a socket");
    (turns, request, theirs)
}

#[test]
fn a_pushed_piece_is_in_the_socket_when_the_call_returns() {
    let len = 64 * 1024;
    let (mut turns, request, mut theirs) = pushing(len as u64);
    let mut received = vec![0; 2 * len];
    let head = theirs.read(&mut received).expect("a head");
    let pushed = turns
        .client
        .write_stdin(Instant::now(), request, &pattern()[..len]);
    assert_eq!(pushed, Ok(len));
    // Two records with their headers, and the end.
    let piece = theirs.read(&mut received).expect("a body");
    assert_eq!(piece, len + 3 * 8, "after a head of {head} bytes");
    assert_eq!(&received[8..65_536], &pattern()[..65_528]);
    let finished = turns.client.finish_stdin(Instant::now(), request);
    assert_eq!(finished, Ok(()));
    turns.drain();
    let more = theirs.read(&mut received).map_err(|error| error.kind());
    assert_eq!(
        more,
        Err(ErrorKind::WouldBlock),
        "the end came with the body"
    );
    theirs.write_all(&answer(1, b"thanks")).expect("a socket");
    turns.run_to_ends(1);
    assert_eq!(body(&turns.stdout(1)), b"thanks");
}

#[test]
fn an_error_of_a_pushed_pieces_write_is_reported_by_the_loop() {
    let len = 64 * 1024;
    let (mut turns, request, theirs) = pushing(len as u64);
    drop(theirs);
    let pushed = turns
        .client
        .write_stdin(Instant::now(), request, &pattern()[..len]);
    assert_eq!(pushed, Ok(len), "kept");
    assert_eq!(turns.client.timeout(Instant::now()), Some(Duration::ZERO));
    turns.run_to_ends(1);
    let Some(EventKind::End(Err(failure))) = turns.seen.last().map(|it| &it.kind) else {
        panic!("{:?}", turns.seen);
    };
    assert!(
        matches!(failure.error, RequestError::ConnectionLost(_)),
        "{failure}"
    );
    let pushed = turns.client.write_stdin(Instant::now(), request, b"more");
    assert_eq!(pushed, Err(StdinError::Gone));
}

/// The bytes may be the end of the request, so that nobody reads the body any more.
#[test]
fn a_piece_that_is_pushed_beside_unread_output_of_its_connection_waits() {
    let len = 64 * 1024;
    let (mut turns, request, mut theirs) = pushing(2 * len as u64);
    let mut received = vec![0; 2 * len];
    let head = theirs.read(&mut received).expect("a head");
    assert!(head > 0);
    theirs.write_all(&answer(1, b"no, thanks")).expect("room");
    let mut has_output = false;
    while !has_output {
        turns.wait(TIME_LIMIT);
        turns.note();
        let event = turns.client.poll_event(Instant::now(), &mut turns.buf);
        has_output = event.is_some();
    }
    let pushed = turns
        .client
        .write_stdin(Instant::now(), request, &pattern()[..len]);
    assert_eq!(pushed, Ok(len));
    let piece = theirs.read(&mut received).map_err(|error| error.kind());
    assert_eq!(piece, Err(ErrorKind::WouldBlock), "kept");
    turns.run_to_ends(1);
    assert!(turns.outcome(1).is_ok());
}

#[test]
fn a_piece_that_is_pushed_beside_unread_output_of_another_connection_leaves_at_once() {
    let len = 64 * 1024;
    let (mut turns, request, mut theirs) = pushing(len as u64);
    let mut received = vec![0; 2 * len];
    let head = theirs.read(&mut received).expect("a head");
    assert!(head > 0);
    let (ours, mut other) = UnixStream::pair().expect("two sockets");
    let mut ours = Some(ours);
    turns.client.set_connector(move |_, _| {
        let ours = ours.take().ok_or(ErrorKind::ConnectionRefused)?;
        Stream::try_from(ours)
    });
    turns.submit(get("/"), 2);
    turns.drain();
    other.write_all(&answer(1, b"beside")).expect("room");
    let mut has_output = false;
    while !has_output {
        turns.wait(TIME_LIMIT);
        turns.note();
        let event = turns.client.poll_event(Instant::now(), &mut turns.buf);
        has_output = event.is_some();
    }
    let pushed = turns
        .client
        .write_stdin(Instant::now(), request, &pattern()[..len]);
    assert_eq!(pushed, Ok(len));
    let piece = theirs.read(&mut received).map_err(|error| error.kind());
    assert!(piece.is_ok_and(|piece| piece >= len));
    turns.run_to_ends(1);
    assert!(turns.outcome(2).is_ok());
}
