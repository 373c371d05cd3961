//! Bodies: pushed, read, in memory; how much of them the engine holds; and what a retry needs of them.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mio_fcgi::wire::{RecordType, Role};
use mio_fcgi::{
    Body, BodyError, Config, ConnectionLostReason, Delivery, Multiplex, Phase, Request,
    RequestError, RequestHandle, Retry, StdinError, SubmitError, UnknownLength,
};

use crate::harness::Bench;
use crate::script::{Seen, Sent, config, content, done, failed, out, records, request};

/// One plain connection, used before, whose socket takes nothing. The request on it has tag 2.
fn blocked(change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = config(Multiplex::Off);
    change(&mut config);
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.end(0);
    bench.sent(0);
    bench.seen();
    bench.peers[0].window = 0;
    bench
}

fn push(bench: &mut Bench, handle: RequestHandle, bytes: &[u8]) -> Result<usize, StdinError> {
    bench.command(|engine, now| engine.write_stdin(now, handle, bytes))
}

fn finish(bench: &mut Bench, handle: RequestHandle) -> Result<(), StdinError> {
    bench.command(|engine, now| engine.finish_stdin(now, handle))
}

/// Bytes that do not repeat within a record.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8)) as u8).collect()
}

#[test]
fn a_pushed_body_is_taken_up_to_the_mark_and_asked_for_again_at_half() {
    let mut bench = blocked(|config| config.stdin_high_water = 10_000);
    let handle = bench.submit(request().with_body(Body::pushed(Some(25_000))));
    let body = bytes(25_000);
    assert_eq!(push(&mut bench, handle, &body), Ok(10_000));
    assert_eq!(push(&mut bench, handle, &body[10_000..]), Ok(0), "full");
    let before = bench.peers[0].sent.len();
    while bench.seen().is_empty() {
        bench.open_window(0, 100);
    }
    let sent = bench.peers[0].sent.len() - before;
    assert!(
        (5_000..5_300).contains(&sent),
        "StdinReady after {sent} bytes"
    );
    bench.open_window(0, usize::MAX);
    assert_eq!(bench.seen(), [], "said once");
    assert_eq!(push(&mut bench, handle, &body[10_000..]), Ok(10_000));
    assert_eq!(bench.seen(), [Seen::StdinReady(2)]);
    assert_eq!(push(&mut bench, handle, &body[20_000..]), Ok(5_000));
    assert_eq!(finish(&mut bench, handle), Ok(()));
    let id = bench.id(0);
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, id), body);
    bench.end(0);
    bench.finish();
}

#[test]
fn bytes_pushed_while_the_request_waits_are_sent_with_it() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(request());
    let handle = bench.submit(request().with_body(Body::pushed(Some(3))));
    assert_eq!(push(&mut bench, handle, b"abc"), Ok(3));
    assert_eq!(finish(&mut bench, handle), Ok(()));
    bench.sent(0);
    bench.end(0);
    let id = bench.id(0);
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, id), b"abc");
    bench.end(0);
    bench.finish();
}

#[test]
fn a_pushed_body_says_what_is_wrong_with_a_call() {
    let mut bench = Bench::plain();
    let plain = bench.submit(request());
    assert_eq!(push(&mut bench, plain, b"x"), Err(StdinError::NotPushed));
    assert_eq!(finish(&mut bench, plain), Err(StdinError::NotPushed));
    let handle = bench.submit(request().with_body(Body::pushed(Some(5))));
    assert_eq!(push(&mut bench, handle, b"abc"), Ok(3));
    let (declared, offered) = (5, 6);
    let too_long = StdinError::TooLong { declared, offered };
    assert_eq!(push(&mut bench, handle, b"def"), Err(too_long));
    assert_eq!(
        push(&mut bench, handle, b"de"),
        Ok(2),
        "the request goes on"
    );
    assert_eq!(finish(&mut bench, handle), Ok(()));
    assert_eq!(push(&mut bench, handle, b"f"), Err(StdinError::Finished));
    assert_eq!(finish(&mut bench, handle), Err(StdinError::Finished));
    assert_eq!(content(&bench.sent(1), RecordType::Stdin, 1), b"abcde");
    bench.end(1);
    assert_eq!(push(&mut bench, handle, b"f"), Err(StdinError::Gone));
    bench.end(0);
    bench.finish();
}

#[test]
fn a_pushed_body_that_is_short_ends_its_request_and_only_that() {
    let mut bench = Bench::shared(4);
    bench.submit(request());
    let handle = bench.submit(request().with_body(Body::pushed(Some(5))));
    assert_eq!(push(&mut bench, handle, b"abc"), Ok(3));
    let (declared, written) = (5, 3);
    let short = StdinError::TooShort { declared, written };
    assert_eq!(finish(&mut bench, handle), Err(short));
    let error = BodyError::TooShort { declared, sent: 3 };
    let end = failed(2, error, Phase::Sending, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [end]);
    assert_eq!(bench.sent(0).last(), Some(&Sent::Abort(2)));
    bench.feed(0, records().end(2, 0).stdout(1, "on").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "on"), done(1)]);
    bench.finish();
}

#[test]
fn a_body_of_unknown_length_is_collected_and_sent_with_its_length() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 10 };
    let mut bench = Bench::new(config);
    let handle = bench.submit(request().with_body(Body::pushed(None)));
    assert_eq!(push(&mut bench, handle, b"abcdef"), Ok(6));
    assert_eq!(bench.peers.len(), 0, "nothing is opened for it yet");
    assert_eq!(bench.stats().requests.buffering, 1);
    let too_large = StdinError::BodyTooLarge { limit: 10 };
    assert_eq!(push(&mut bench, handle, b"ghijkl"), Err(too_large));
    assert_eq!(push(&mut bench, handle, b"ghij"), Ok(4));
    assert_eq!(finish(&mut bench, handle), Ok(()));
    let finished = StdinError::Finished;
    assert_eq!(push(&mut bench, handle, b"k"), Err(finished));
    assert_eq!(finish(&mut bench, handle), Err(finished));
    let sent = bench.sent(0);
    let params = content(&sent, RecordType::Params, 1);
    assert!(params.ends_with(b"\x0e\x02CONTENT_LENGTH10"));
    assert_eq!(content(&sent, RecordType::Stdin, 1), b"abcdefghij");
    bench.end(0);
    let aborted = bench.submit(request().with_body(Body::pushed(None)));
    bench.command(|engine, now| engine.abort(now, aborted));
    let end = failed(
        2,
        RequestError::Aborted,
        Phase::Buffering,
        Delivery::NotProcessed,
    );
    assert_eq!(bench.seen(), [done(1), end]);
    bench.finish();
}

#[test]
fn a_body_of_unknown_length_is_refused_or_streamed_as_chosen() {
    let mut bench = Bench::plain();
    let refused = bench.try_submit(request().with_body(Body::pushed(None)));
    assert_eq!(refused, Err(SubmitError::LengthRequired));
    bench.finish();
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Stream;
    let mut bench = Bench::new(config);
    let handle = bench.submit(request().with_body(Body::pushed(None)));
    assert_eq!(push(&mut bench, handle, b"abc"), Ok(3));
    let sent = bench.sent(0);
    assert_eq!(content(&sent, RecordType::Stdin, 1), b"abc", "at once");
    assert_eq!(sent[1], Sent::whole(1)[1], "no CONTENT_LENGTH");
    assert_eq!(finish(&mut bench, handle), Ok(()));
    bench.end(0);
    bench.finish();
}

#[test]
fn a_filter_gets_its_stdin_and_then_its_data() {
    let mut bench = Bench::plain();
    let mut filter = Request::new(Role::Filter).param("SCRIPT_NAME", "/x");
    filter.body = Body::pushed(Some(4));
    filter.data = Body::reader(Cursor::new(bytes(70_000)), Some(70_000));
    let handle = bench.submit(filter);
    assert_eq!(push(&mut bench, handle, b"body"), Ok(4));
    let before = bench.sent(0);
    assert_eq!(
        content(&before, RecordType::Data, 1),
        b"",
        "not before STDIN has ended"
    );
    assert_eq!(finish(&mut bench, handle), Ok(()));
    let after = bench.sent(0);
    let params = content(&before, RecordType::Params, 1);
    let has = |pair: &[u8]| params.windows(pair.len()).any(|it| it == pair);
    assert!(has(b"\x0e\x01CONTENT_LENGTH4") && has(b"\x10\x05FCGI_DATA_LENGTH70000"));
    assert_eq!(content(&before, RecordType::Stdin, 1), b"body");
    assert_eq!(after[0], Sent::StreamEnd(RecordType::Stdin, 1));
    assert_eq!(content(&after, RecordType::Data, 1), bytes(70_000));
    assert_eq!(after.last(), Some(&Sent::StreamEnd(RecordType::Data, 1)));
    bench.end(0);
    bench.finish();
}

#[test]
fn an_authorizer_has_an_empty_stdin_and_neither_body_nor_data() {
    let mut bench = Bench::plain();
    let authorizer = || Request::new(Role::Authorizer).param("SCRIPT_NAME", "/x.php");
    let with_data = |mut request: Request, data| {
        request.data = data;
        request
    };
    for request in [
        authorizer().with_body(Body::bytes("x")),
        with_data(authorizer(), Body::bytes("x")),
        with_data(Request::responder(), Body::bytes("x")),
        with_data(Request::new(Role::Filter), Body::pushed(Some(1))),
    ] {
        assert_eq!(
            bench.try_submit(request),
            Err(SubmitError::StreamNotAllowed)
        );
    }
    bench.submit(authorizer());
    let sent = bench.sent(0);
    assert!(matches!(
        sent[0],
        Sent::Begin {
            role: Role::Authorizer,
            ..
        }
    ));
    assert_eq!(sent[1..], Sent::whole(1)[1..]);
    bench.end(0);
    bench.finish();
}

/// A reader that counts the bytes read from it and holds none of them.
struct Endless(Arc<AtomicU64>);

impl Read for Endless {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }
}

#[test]
fn a_body_of_a_gibibyte_is_read_only_as_the_socket_takes_it() {
    for (multiplex, len) in [
        (Multiplex::Off, 1 << 30),
        (Multiplex::On { max: 2 }, 1 << 26),
    ] {
        let mut bench = Bench::new(config(multiplex));
        bench.submit(request());
        bench.feed(0, records().end(1, 0));
        bench.peers[0].window = 0;
        let read = Arc::new(AtomicU64::new(0));
        let body = Body::reader(Endless(read.clone()).take(len), Some(len));
        bench.submit(request().with_body(body));
        let handle = bench.peers[0].handle;
        let mut sent = 0;
        while sent < len {
            let now = bench.now;
            let unsent = bench.unsent(handle);
            assert!(unsent <= 128 * 1024, "{unsent} bytes in the outbox");
            let ahead = read.load(Ordering::Relaxed).saturating_sub(sent);
            assert!(ahead <= 192 * 1024, "{ahead} bytes read ahead");
            assert!(unsent > 0, "{sent} bytes were sent");
            bench.engine.handle_transmitted(now, handle, unsent);
            sent += unsent as u64;
        }
        // The sent bytes include record headers, so the end of the body is still missing.
        let now = bench.now;
        loop {
            let unsent = bench.unsent(handle);
            if unsent == 0 {
                break;
            }
            bench.engine.handle_transmitted(now, handle, unsent);
        }
        bench.feed(0, records().end(2, 0));
        assert_eq!(bench.seen(), [done(1), done(2)]);
        bench.finish();
    }
}

#[test]
fn a_body_in_memory_is_offered_uncopied_and_in_bounded_pieces() {
    let body: Arc<[u8]> = vec![b'x'; 8 << 20].into();
    let mut bench = blocked(|_| {});
    bench.submit(request().with_body(Body::shared(body.clone())));
    let own = body.as_ptr_range();
    let slices = bench.engine.transmit(bench.peers[0].handle);
    let offered: usize = slices.iter().map(|it| it.len()).sum();
    assert!(offered <= 328 * 1024, "{offered} bytes");
    let large = slices.iter().filter(|it| it.len() > 4_096);
    assert!(large.clone().count() > 0);
    for slice in large {
        assert!(own.contains(&slice.as_ptr()), "a copy");
    }
    bench.open_window(0, usize::MAX);
    let id = bench.id(0);
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, id), &body[..]);
    bench.feed(0, records().end(1, 0));
    bench.finish();
}

/// A reader whose `seek` fails.
struct Stuck(Cursor<Vec<u8>>);

impl Read for Stuck {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Seek for Stuck {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Current(0) => self.0.stream_position(),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Sends `body` on a stale connection that closes; whether it was sent again, whole.
fn replayed(body: Body) -> bool {
    let mut bench = blocked(|_| {});
    bench.open_window(0, usize::MAX);
    bench.submit(request().with_body(body).with_retry(Retry::IfStale));
    bench.eof(0);
    let is_replayed = bench.peers.len() == 2;
    if is_replayed {
        assert_eq!(content(&bench.sent(1), RecordType::Stdin, 1), b"body");
        bench.end(1);
        assert_eq!(bench.seen(), [done(2)]);
        assert_eq!(bench.stats().counters.retries, 1);
    }
    bench.finish();
    is_replayed
}

#[test]
fn bodies_that_can_be_rewound_are_sent_again_and_others_are_not() {
    assert!(replayed(Body::bytes("body")));
    assert!(replayed(Body::from("body")));
    assert!(replayed(Body::shared(b"body"[..].into())));
    let mut file = tempfile::tempfile().expect("a directory for temporary files");
    file.write_all(b"head,body").expect("space for 9 bytes");
    file.seek(SeekFrom::Start(5)).expect("a file");
    assert!(replayed(Body::from(file)), "from its position");
    let mut cursor = Cursor::new(b"head,body".to_vec());
    cursor.set_position(5);
    assert!(
        replayed(Body::seekable(cursor, Some(4))),
        "from where it stood"
    );
    assert!(!replayed(Body::seekable(
        Stuck(Cursor::new(b"body".to_vec())),
        Some(4)
    )));
    assert!(!replayed(Body::reader(&b"body"[..], Some(4))));
}

#[test]
fn a_pushed_body_is_pushed_on_after_another_connection_was_found_for_it() {
    let mut bench = blocked(|_| {});
    let handle = bench.submit(request().with_body(Body::pushed(Some(4))));
    bench.eof(0);
    assert_eq!(bench.peers.len(), 2);
    assert_eq!(push(&mut bench, handle, b"body"), Ok(4));
    assert_eq!(finish(&mut bench, handle), Ok(()));
    assert_eq!(content(&bench.sent(1), RecordType::Stdin, 1), b"body");
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

#[test]
fn a_pushed_body_is_not_sent_again_once_a_byte_of_its_request_has_left() {
    let mut bench = blocked(|_| {});
    bench.open_window(0, 1);
    let body = Body::pushed(Some(4));
    bench.submit(request().with_body(body).with_retry(Retry::IfStale));
    bench.eof(0);
    let lost = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    let end = failed(2, lost, Phase::Sending, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [end]);
    bench.finish();
}

#[test]
fn an_answer_before_the_body_is_pushed_makes_the_rest_unwanted() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request().with_body(Body::pushed(Some(4))));
    bench.feed(0, records().stdout(1, "no").end(1, 0));
    assert_eq!(bench.seen(), [out(1, "no"), done(1)]);
    assert_eq!(push(&mut bench, handle, b"body"), Err(StdinError::Gone));
    assert_eq!(finish(&mut bench, handle), Err(StdinError::Gone));
    bench.finish();
}

#[test]
fn a_pushed_body_whose_length_is_known_is_not_collected() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 3 };
    let mut bench = Bench::new(config);
    let handle = bench.submit(request().with_body(Body::pushed(Some(5))));
    assert_eq!(bench.stats().requests.active, 1, "before the body is there");
    assert_eq!(push(&mut bench, handle, b"hello"), Ok(5));
    assert_eq!(finish(&mut bench, handle), Ok(()));
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, 1), b"hello");
    bench.end(0);
    bench.finish();
}

/// The request comes back as it was, so that another client can have it: its reader has not been touched.
#[test]
fn nothing_is_read_of_a_body_whose_request_is_refused_for_another_reason() {
    let with = |name: &str, value: String| {
        let mut request = request().with_body(Body::reader(&b"body"[..], None));
        request.params.push(name, value);
        request
    };
    for (refused, why) in [
        (with("LONG", "x".repeat(2_000)), "too large"),
        (with("FCGI_DATA_LENGTH", "x".to_owned()), "no number"),
        (with("FCGI_DATA_LENGTH", "5".to_owned()), "no data"),
    ] {
        let mut config = config(Multiplex::Off);
        config.unknown_length = UnknownLength::Buffer { limit: 10 };
        config.max_params_len = 1_000;
        let mut bench = Bench::new(config);
        let now = bench.now;
        let refused = bench.engine.submit(now, refused, mio_fcgi::Tag(99));
        let refused = refused.expect_err(why);
        assert_eq!(refused.request.body.len(), None, "{}", refused.error);
        let mut again = refused.request;
        again.params = request().params;
        bench.submit(again);
        assert_eq!(content(&bench.sent(0), RecordType::Stdin, 1), b"body");
        bench.end(0);
        bench.finish();
    }
}

/// The lengths of the writes that a request makes on a "socket" that takes everything it is offered.
fn writes(bench: &mut Bench) -> Vec<usize> {
    let (now, handle) = (bench.now, bench.peers[0].handle);
    let mut writes = Vec::new();
    loop {
        let slices = bench.engine.transmit(handle);
        let len: usize = slices.iter().map(|it| it.len()).sum();
        if len == 0 {
            return writes;
        }
        bench.engine.handle_transmitted(now, handle, len);
        writes.push(len);
    }
}

#[test]
fn the_end_of_a_body_leaves_with_its_last_bytes() {
    for len in [1, 65_528, 65_536, 131_072, 1 << 20] {
        let mut whole = blocked(|_| {});
        whole.submit(request().with_body(Body::bytes(bytes(len))));
        let mut pushed = blocked(|config| config.stdin_high_water = len);
        let handle = pushed.submit(request().with_body(Body::pushed(Some(len as u64))));
        assert_eq!(push(&mut pushed, handle, &bytes(len)), Ok(len));
        assert_eq!(finish(&mut pushed, handle), Ok(()));
        let mut read = blocked(|_| {});
        let reader = Body::reader(Cursor::new(bytes(len)), Some(len as u64));
        read.submit(request().with_body(reader));
        for mut bench in [whole, pushed, read] {
            let writes = writes(&mut bench);
            assert!(writes.iter().all(|it| *it > 8), "{len}: {writes:?}");
            bench.feed(0, records().end(1, 0));
            bench.finish();
        }
    }
}
