//! A pushed body that is written from the caller's memory.

use std::io::IoSlice;
use std::time::Duration;

use mio_fcgi::wire::{RecordType, Role};
use mio_fcgi::{
    Body, ConnectionHandle, Multiplex, Request, RequestHandle, StdinError, Timeouts, UnknownLength,
};

use crate::harness::Bench;
use crate::script::{Seen, Sent, config, content, done, records, request};

const KIB: usize = 1024;
/// What another request's body consists of.
const OTHERS: u8 = 7;

/// Bytes that do not repeat within a record.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// A plain connection and a request on it whose body of `len` bytes is pushed; its head has left.
fn pushing(len: usize) -> (Bench, RequestHandle) {
    let mut bench = Bench::plain();
    let body = Body::pushed(Some(len as u64));
    let handle = bench.submit(request().with_body(body));
    (bench, handle)
}

/// Pushes bytes that the "socket" may take at once. Returns how many the request took, and the lengths of the writes.
fn lend(bench: &mut Bench, request: RequestHandle, bytes: &[u8]) -> (usize, Vec<usize>) {
    let mut writes = Vec::new();
    let own = bytes.as_ptr_range();
    let now = bench.now;
    let peers = &mut bench.peers;
    let write = |connection: ConnectionHandle, slices: &[IoSlice<'_>]| {
        for slice in slices.iter().filter(|it| it.len() > 100) {
            let is_others = slice.iter().all(|byte| *byte == OTHERS);
            let is_own = own.contains(&slice.as_ptr()) || is_others;
            assert!(
                is_own || slice.len() < 16 * KIB,
                "{} bytes are copied",
                slice.len()
            );
        }
        let peer = peers.iter_mut().find(|it| it.handle == connection);
        let len = peer.expect("a connection").take(slices, usize::MAX);
        writes.push(len);
        len
    };
    let taken = bench.engine.write_stdin_with(now, request, bytes, write);
    bench.command(|_, _| {});
    (taken.expect("the request goes on"), writes)
}

fn finish(bench: &mut Bench, request: RequestHandle) {
    let finished = bench.command(|engine, now| engine.finish_stdin(now, request));
    assert_eq!(finished, Ok(()));
}

/// Everything of the body was sent, once, and its end after it.
fn is_whole(mut bench: Bench, len: usize) {
    let sent = bench.sent(0);
    assert_eq!(content(&sent, RecordType::Stdin, 1), bytes(len));
    let end = Sent::StreamEnd(RecordType::Stdin, 1);
    assert_eq!(sent.iter().filter(|it| **it == end).count(), 1);
    assert_eq!(sent.last(), Some(&end));
    bench.end(0);
    assert_eq!(bench.seen().last(), Some(&done(1)));
    bench.finish();
}

#[test]
fn a_body_leaves_from_the_callers_memory_and_its_end_with_it() {
    for len in [64, 128, 1024].map(|it| it * KIB) {
        let (mut bench, handle) = pushing(len);
        let mut writes = Vec::new();
        for piece in bytes(len).chunks(64 * KIB) {
            let (taken, lens) = lend(&mut bench, handle, piece);
            assert_eq!(taken, piece.len());
            writes.extend(lens);
        }
        assert_eq!(writes.len(), len / (64 * KIB), "{writes:?}");
        let sent = bench.peers[0].sent.len();
        finish(&mut bench, handle);
        assert_eq!(bench.peers[0].sent.len(), sent, "the end has left already");
        is_whole(bench, len);
    }
}

#[test]
fn what_the_socket_does_not_take_is_kept_once_and_leaves_in_order() {
    let len = 70 * KIB;
    for window in [0, 1, 7, 8, 9, 1_000, 65_535, 65_536, 65_543, 65_544, 65_552] {
        for second in [0, 1, 500, 6_000, 40_000] {
            let (mut bench, handle) = pushing(len);
            bench.peers[0].window = window;
            let (first, writes) = lend(&mut bench, handle, &bytes(len)[..66 * KIB]);
            let room = 64 * KIB;
            let body = writes.iter().sum::<usize>();
            assert!(
                first >= room && first <= room + body,
                "{first} with {body} sent"
            );
            bench.open_window(0, second);
            let mut taken = first;
            while taken < len {
                let piece = &bytes(len)[taken..];
                bench.peers[0].window += 3_000;
                taken += lend(&mut bench, handle, piece).0;
            }
            finish(&mut bench, handle);
            bench.open_window(0, usize::MAX);
            is_whole(bench, len);
        }
    }
}

#[test]
fn a_piece_that_is_longer_than_the_mark_goes_on_while_the_socket_takes_it() {
    let len = 400 * KIB;
    let (mut bench, handle) = pushing(len);
    bench.peers[0].window = 200 * KIB;
    let (taken, writes) = lend(&mut bench, handle, &bytes(len));
    assert_eq!(writes.iter().sum::<usize>(), 200 * KIB);
    let kept = taken - 200 * KIB;
    assert!((60 * KIB..=64 * KIB).contains(&kept), "{kept}");
    assert_eq!(bench.seen(), [], "no room yet");
    bench.open_window(0, usize::MAX);
    assert_eq!(bench.seen(), [Seen::StdinReady(1)]);
    let (rest, _) = lend(&mut bench, handle, &bytes(len)[taken..]);
    assert_eq!(taken + rest, len);
    assert_eq!(bench.seen(), []);
    finish(&mut bench, handle);
    is_whole(bench, len);
}

#[test]
fn one_call_writes_a_mebibyte_at_most() {
    let len = 3 * KIB * KIB;
    let (mut bench, handle) = pushing(len);
    let (mut taken, writes) = lend(&mut bench, handle, &bytes(len));
    assert_eq!(writes.len(), 16);
    assert_eq!(taken, KIB * KIB + 64 * KIB);
    while taken < len {
        taken += lend(&mut bench, handle, &bytes(len)[taken..]).0;
    }
    finish(&mut bench, handle);
    is_whole(bench, len);
}

#[test]
fn small_pieces_and_bytes_that_cannot_leave_now_are_kept_as_by_write_stdin() {
    // Small.
    let (mut bench, handle) = pushing(100);
    assert_eq!(lend(&mut bench, handle, &bytes(100)), (100, vec![]));
    finish(&mut bench, handle);
    is_whole(bench, 100);
    // A low mark.
    let mut low = config(Multiplex::Off);
    low.stdin_high_water = 1_000;
    let mut bench = Bench::new(low);
    let body = Body::pushed(Some(20_000));
    let handle = bench.submit(request().with_body(body));
    assert_eq!(lend(&mut bench, handle, &bytes(20_000)), (1_000, vec![]));
    // In the queue.
    let mut one = config(Multiplex::Off);
    one.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(one);
    bench.submit(request());
    let body = || Body::pushed(Some(20_000));
    let handle = bench.submit(request().with_body(body()));
    assert_eq!(lend(&mut bench, handle, &bytes(20_000)), (20_000, vec![]));
    finish(&mut bench, handle);
    bench.sent(0);
    bench.end(0);
    let id = bench.id(0);
    let sent = content(&bench.sent(0), RecordType::Stdin, id);
    assert_eq!(sent, bytes(20_000));
    bench.end(0);
    // A connection that is read first.
    let now = bench.now;
    let body = Body::pushed(Some(20_000));
    let submitted = bench
        .engine
        .submit(now, request().with_body(body), mio_fcgi::Tag(9));
    let handle = submitted.expect("accepted");
    bench.note_accepted(handle);
    assert!(bench.engine.reads_first(bench.peers[0].handle));
    assert_eq!(lend(&mut bench, handle, &bytes(20_000)), (20_000, vec![]));
    finish(&mut bench, handle);
    bench.end(0);
    bench.finish();
}

#[test]
fn the_end_of_a_body_of_unknown_length_waits_until_it_is_finished() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Stream;
    let mut bench = Bench::new(config);
    let handle = bench.submit(request().with_body(Body::pushed(None)));
    assert_eq!(lend(&mut bench, handle, &bytes(20_000)).0, 20_000);
    let sent = bench.sent(0);
    assert_eq!(content(&sent, RecordType::Stdin, 1), bytes(20_000));
    assert!(!sent.contains(&Sent::StreamEnd(RecordType::Stdin, 1)));
    finish(&mut bench, handle);
    let end = Sent::StreamEnd(RecordType::Stdin, 1);
    assert_eq!(bench.sent(0), [end]);
    bench.end(0);
    bench.finish();
}

#[test]
fn a_call_that_is_wrong_takes_nothing_and_writes_nothing() {
    let (mut bench, handle) = pushing(20_000);
    let plain = bench.submit(request());
    let now = bench.now;
    let mut refused = |request, len| {
        let bytes = bytes(len);
        let write = |_: ConnectionHandle, _: &[IoSlice<'_>]| panic!("a write");
        bench.engine.write_stdin_with(now, request, &bytes, write)
    };
    let (declared, offered) = (20_000, 20_001);
    let too_long = StdinError::TooLong { declared, offered };
    assert_eq!(refused(handle, 20_001), Err(too_long));
    assert_eq!(refused(plain, 20_000), Err(StdinError::NotPushed));
    assert_eq!(lend(&mut bench, handle, &bytes(20_000)).0, 20_000);
    finish(&mut bench, handle);
    let now = bench.now;
    let write = |_: ConnectionHandle, _: &[IoSlice<'_>]| panic!("a write");
    let again = bench
        .engine
        .write_stdin_with(now, handle, &bytes(20_000), write);
    assert_eq!(again, Err(StdinError::Finished));
    bench.end(0);
    bench.end(1);
    bench.finish();
}

#[test]
fn on_a_shared_connection_a_lent_piece_leaves_in_turn_with_the_others() {
    let mut config = config(Multiplex::On { max: 8 });
    config.limits.max_connections_per_server = 1;
    config.timeouts = Timeouts::NONE;
    let mut bench = Bench::new(config);
    let pushed = bench.submit(request().with_body(Body::pushed(Some(200 * KIB as u64))));
    bench.peers[0].window = 0;
    let large = vec![OTHERS; 200 * KIB];
    bench.submit(request().with_body(Body::bytes(large.clone())));
    bench.peers[0].window = 100 * KIB;
    // The other body has filled the outbox. It leaves, and then both in turn.
    let (mut taken, writes) = lend(&mut bench, pushed, &bytes(200 * KIB));
    assert_eq!(writes.len(), 1, "{writes:?}");
    let sent = bench.sent(0);
    let of = |id| content(&sent, RecordType::Stdin, id).len();
    assert!(of(1) > 0 && of(2) > of(1), "{} and {}", of(1), of(2));
    let mut own = content(&sent, RecordType::Stdin, 1);
    let mut other = content(&sent, RecordType::Stdin, 2);
    bench.open_window(0, usize::MAX);
    while taken < 200 * KIB {
        taken += lend(&mut bench, pushed, &bytes(200 * KIB)[taken..]).0;
    }
    finish(&mut bench, pushed);
    let sent = bench.sent(0);
    own.extend(content(&sent, RecordType::Stdin, 1));
    other.extend(content(&sent, RecordType::Stdin, 2));
    assert_eq!(own, bytes(200 * KIB));
    assert_eq!(other, large);
    bench.feed(0, records().end(1, 0).end(2, 0));
    bench.finish();
}

#[test]
fn a_write_that_takes_nothing_is_no_progress() {
    let (mut bench, handle) = pushing(100 * KIB);
    let limit = bench.engine.config().timeouts.write.expect("a default");
    let push = |bench: &mut Bench| {
        let now = bench.now;
        let write = |_, _: &[IoSlice<'_>]| 0;
        let taken = bench
            .engine
            .write_stdin_with(now, handle, &bytes(32 * KIB), write);
        assert_eq!(taken, Ok(32 * KIB));
    };
    bench.peers[0].window = 0;
    push(&mut bench);
    bench.advance(limit - Duration::from_millis(1));
    push(&mut bench);
    assert_eq!(bench.seen(), []);
    bench.advance(Duration::from_millis(1));
    assert_eq!(bench.seen().len(), 1, "the limit has expired");
}

#[test]
fn what_was_taken_is_told_although_the_data_that_follows_it_fails() {
    let mut bench = Bench::plain();
    let len = 64 * KIB;
    let filter = Request::new(Role::Filter).param("CONTENT_LENGTH", len.to_string());
    let data = Body::reader(&b"short"[..], Some(8));
    let body = Body::pushed(Some(len as u64));
    let handle = bench.submit(filter.with_body(body).with_data(data));
    let (taken, _) = lend(&mut bench, handle, &bytes(len));
    assert_eq!(taken, len);
    let seen = bench.seen();
    assert!(matches!(&seen[..], [Seen::Failed(..)]), "{seen:?}");
    let more = bench.engine.write_stdin(bench.now, handle, b"x");
    assert_eq!(more, Err(StdinError::Gone));
    bench.finish();
}
