//! The promises where the engine meets its driver: which requests are sent again after their connection was lost, and
//! which never are.

use std::io;
use std::time::Duration;

use mio_fcgi::wire::{RecordType, Role};
use mio_fcgi::{
    Body, Config, ConnectionLostReason, Delivery, Disconnected, Multiplex, Phase, Request,
    RequestError, Retry, Timeouts,
};

use crate::hand::post;
use crate::harness::{Answer, Bench};
use crate::script::{Sent, config, content, done, failed, out, records, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn lost() -> RequestError {
    RequestError::ConnectionLost(ConnectionLostReason::Closed)
}

/// Connection 0 has served one request and is idle.
fn used(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::without_timeouts(Multiplex::Off, change);
    bench.submit(request());
    bench.end(0);
    bench.seen();
    bench.sent(0);
    bench
}

/// Whether a request is sent again if its connection is lost `after` it was sent. It is sent again at most once, and
/// its `End` says that the application may have acted on it.
fn is_repeated(mut bench: Bench, again: Request, after: Duration) -> bool {
    bench.submit(again);
    let peer = bench.peers.len() - 1;
    bench.advance(after);
    bench.eof(peer);
    let is_repeated = bench.stats().counters.retries == 1;
    if is_repeated {
        assert_eq!(bench.seen(), []);
        bench.eof(bench.peers.len() - 1);
        assert_eq!(bench.stats().counters.retries, 1, "once");
    }
    let seen = bench.seen();
    let [end] = &seen[..] else {
        panic!("one End: {seen:?}");
    };
    let tag = bench.handles.len() as u64;
    assert_eq!(
        *end,
        failed(tag, lost(), Phase::Sent, Delivery::MaybeProcessed)
    );
    bench.finish();
    is_repeated
}

fn method(name: &str) -> Request {
    request().param("REQUEST_METHOD", name)
}

// case 127
#[test]
fn a_loss_after_the_window_is_not_stale_whatever_the_method_and_the_choice() {
    for (after, expected) in [
        (Duration::ZERO, true),
        (999 * MS, true),
        (SECOND, false),
        (30 * SECOND, false),
    ] {
        for again in [
            method("GET"),
            method("DELETE"),
            request().with_retry(Retry::IfStale),
            request().with_retry(Retry::IfUnanswered),
        ] {
            let shown = format!("{:?} after {after:?}", again.retry);
            assert_eq!(is_repeated(used(|_| {}), again, after), expected, "{shown}");
        }
        // Also if the connection was not used before.
        let again = request().with_retry(Retry::IfUnanswered);
        let mut config = config(Multiplex::Off);
        config.timeouts = Timeouts::NONE;
        assert_eq!(is_repeated(Bench::new(config), again, after), expected);
    }
}

// case 127
#[test]
fn the_window_is_a_setting_and_zero_means_never() {
    for (window, after, expected) in [
        (Duration::ZERO, Duration::ZERO, false),
        (5 * SECOND, 4_999 * MS, true),
        (5 * SECOND, 5 * SECOND, false),
        (Duration::MAX, 1_000_000 * SECOND, true),
    ] {
        let bench = used(|config| config.stale_window = window);
        assert_eq!(
            is_repeated(bench, method("GET"), after),
            expected,
            "{window:?}"
        );
    }
}

// case 127
#[test]
fn the_window_begins_with_the_last_byte_that_left() {
    for (after, is_repeated) in [(999 * MS, true), (SECOND, false)] {
        let mut bench = used(|_| {});
        bench.peers[0].window = 100;
        let body = Body::bytes(vec![b'x'; 10_000]);
        bench.submit(method("PUT").with_body(body));
        for _ in 0..3 {
            bench.advance(20 * SECOND);
            bench.open_window(0, 1_000);
        }
        bench.advance(after);
        bench.eof(0);
        assert_eq!(bench.stats().counters.retries, u64::from(is_repeated));
        if is_repeated {
            bench.end(1);
            assert_eq!(bench.seen(), [done(2)]);
        } else {
            let end = failed(2, lost(), Phase::Sending, Delivery::MaybeProcessed);
            assert_eq!(bench.seen(), [end]);
        }
        bench.finish();
    }
}

// case 128
#[test]
fn by_default_the_method_decides_whether_a_request_may_run_twice() {
    for name in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert!(is_repeated(used(|_| {}), method(name), MS), "{name}");
    }
    for name in ["POST", "PATCH", "CONNECT", "get", "PROPFIND", ""] {
        assert!(!is_repeated(used(|_| {}), method(name), MS), "{name}");
    }
    assert!(!is_repeated(used(|_| {}), request(), MS), "no method");
}

// case 128
#[test]
fn a_post_on_a_stale_connection_is_not_sent_again_once_a_byte_has_left() {
    for (window, is_again) in [(0, true), (1, false), (usize::MAX, false)] {
        let mut bench = used(|_| {});
        bench.peers[0].window = window;
        bench.submit(method("POST").with_body(Body::bytes("pay=100")));
        bench.eof(0);
        assert_eq!(bench.stats().counters.retries, u64::from(is_again));
        if is_again {
            bench.end(1);
        }
        bench.seen();
        bench.finish();
    }
}

/// Bytes that do not repeat within a record.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8)) as u8).collect()
}

// case 129
#[test]
fn a_body_by_reader_of_which_nothing_left_goes_to_another_connection_whole() {
    for len in [0, 5, 4_097, 100_000, 300_000] {
        let mut bench = used(|_| {});
        bench.peers[0].window = 0;
        let body = Body::reader(io::Cursor::new(bytes(len)), Some(len as u64));
        bench.submit(method("POST").with_body(body));
        bench.eof(0);
        assert_eq!(bench.sent(0), []);
        let sent = bench.sent(1);
        assert!(content(&sent, RecordType::Stdin, 1) == bytes(len), "{len}");
        assert_eq!(sent.last(), Some(&Sent::StreamEnd(RecordType::Stdin, 1)));
        bench.end(1);
        assert_eq!(bench.seen(), [done(2)]);
        bench.finish();
    }
}

// case 129
#[test]
fn a_pushed_body_of_which_nothing_left_goes_to_another_connection_whole() {
    // A body that is copied, one that is a slice of its own, and one that is both.
    for pieces in [&[3, 4][..], &[5_000], &[10_000, 7, 20_000], &[1, 9_000, 1]] {
        let len: usize = pieces.iter().sum();
        let body = bytes(len);
        let mut bench = used(|_| {});
        bench.peers[0].window = 0;
        let pushed = Body::pushed(Some(len as u64 + 1));
        let handle = bench.submit(method("POST").with_body(pushed));
        let mut rest = &body[..];
        for piece in pieces {
            let (now, later) = rest.split_at(*piece);
            let taken = bench.command(|engine, at| engine.write_stdin(at, handle, now));
            assert_eq!(taken, Ok(*piece));
            rest = later;
        }
        bench.eof(0);
        let last = bench.command(|engine, now| engine.write_stdin(now, handle, b"!"));
        assert_eq!(last, Ok(1));
        let finished = bench.command(|engine, now| engine.finish_stdin(now, handle));
        assert_eq!(finished, Ok(()));
        let all = [&body[..], b"!"].concat();
        assert!(content(&bench.sent(1), RecordType::Stdin, 1) == all);
        bench.end(1);
        assert_eq!(bench.seen(), [done(2)]);
        bench.finish();
    }
}

// case 129
#[test]
fn both_streams_of_a_filter_are_taken_back() {
    let mut bench = used(|_| {});
    bench.peers[0].window = 0;
    let mut filter = Request::new(Role::Filter).with_body(Body::reader(&b"body"[..], Some(4)));
    filter.data = Body::reader(io::Cursor::new(bytes(9_000)), Some(9_000));
    bench.submit(filter);
    bench.eof(0);
    let sent = bench.sent(1);
    assert_eq!(content(&sent, RecordType::Stdin, 1), b"body");
    assert!(content(&sent, RecordType::Data, 1) == bytes(9_000));
    bench.end(1);
    assert_eq!(bench.seen(), [done(2)]);
    bench.finish();
}

// case 129
#[test]
fn on_a_shared_connection_the_body_of_a_request_that_still_waits_to_leave_is_taken_back() {
    let mut bench = Bench::shared(4);
    bench.submit(request());
    bench.peers[0].window = 0;
    bench.submit(request().with_body(Body::bytes(bytes(9_000))));
    for text in ["other", "third"] {
        let body = Body::reader(io::Cursor::new(text), Some(5));
        let mut filter = Request::new(Role::Filter).with_body(body);
        filter.data = Body::reader(io::Cursor::new(format!("{text}'s data")), Some(12));
        bench.submit(filter);
    }
    bench.open_window(0, 1);
    bench.eof(0);
    let cut = failed(2, lost(), Phase::Sending, Delivery::MaybeProcessed);
    let unanswered = failed(1, lost(), Phase::Sent, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [unanswered, cut]);
    let sent = bench.sent(1);
    for (id, text) in [(1, "other"), (2, "third")] {
        assert_eq!(content(&sent, RecordType::Stdin, id), text.as_bytes());
        let data = format!("{text}'s data");
        assert_eq!(content(&sent, RecordType::Data, id), data.as_bytes());
    }
    bench.feed(1, records().end(1, 0).end(2, 0));
    assert_eq!(bench.seen(), [done(3), done(4)]);
    bench.finish();
}

// case 129
#[test]
fn never_means_never_and_the_end_says_that_nothing_was_sent() {
    let mut bench = used(|_| {});
    bench.peers[0].window = 0;
    let body = Body::reader(&b"body"[..], Some(4));
    bench.submit(request().with_body(body).with_retry(Retry::Never));
    bench.eof(0);
    let end = failed(2, lost(), Phase::Sending, Delivery::NotProcessed);
    assert_eq!(bench.seen(), [end]);
    bench.finish();
}

/// A request that needs a fresh connection waits for one that is on its way; two connections are idle, and two requests
/// come.
fn use_the_idle_ones(max_connections: usize) {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = max_connections;
    let mut bench = Bench::new(config);
    for _ in 0..3 {
        bench.submit(request());
    }
    for peer in 0..3 {
        bench.end(peer);
        bench.sent(peer);
    }
    bench.seen();
    bench.servers[0] = Answer::Hang;
    bench.submit(method("GET"));
    bench.eof(2);
    assert_eq!(bench.peers.len(), 4, "its fresh connection is on its way");
    // These requests may run twice: the server seems to close connections after one request.
    bench.submit(request().with_retry(Retry::IfStale));
    assert_eq!(bench.sent(1), Sent::whole(2), "at once");
    bench.submit(request().with_retry(Retry::IfStale));
    assert_eq!(bench.sent(0), Sent::whole(2));
    for peer in [0, 1] {
        bench.answer(peer, |id| records().stdout(id, "x").end(id, 0));
    }
    assert_eq!(bench.seen(), [out(6, "x"), done(6), out(5, "x"), done(5)]);
    bench.accept(3);
    bench.end(3);
    assert_eq!(bench.seen(), [done(4)]);
    bench.finish();
}

// case 133
#[test]
fn requests_after_one_that_needs_a_fresh_connection_use_the_idle_ones() {
    use_the_idle_ones(8);
}

// case 133
#[test]
fn at_the_limit_requests_after_one_that_needs_a_fresh_connection_use_the_idle_ones() {
    use_the_idle_ones(3);
}

// case 133
#[test]
fn requests_after_one_that_needs_a_fresh_connection_use_what_falls_idle_while_none_can_be_opened() {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 2;
    config.connect_retry_timeout = 60 * SECOND;
    let mut bench = Bench::new(config);
    bench.submit(request());
    bench.submit(request());
    bench.end(1);
    bench.servers[0] = Answer::Refuse;
    bench.submit(method("GET"));
    bench.eof(1);
    bench.submit(request().with_retry(Retry::IfStale));
    assert_eq!(bench.stats().requests.active, 1);
    bench.sent(0);
    bench.end(0);
    assert_eq!(bench.sent(0), Sent::whole(2), "the one behind it");
    bench.seen();
    bench.end(0);
    assert_eq!(bench.seen(), [done(4)]);
    bench.servers[0] = Answer::Accept;
    bench.advance(2 * SECOND);
    bench.end(bench.peers.len() - 1);
    assert_eq!(bench.seen(), [done(3)]);
    bench.finish();
}

// case 140
#[test]
fn a_write_that_failed_ends_the_attempt_at_once_without_any_time_limit() {
    let broken = Disconnected::Failed(io::ErrorKind::BrokenPipe);
    for (window, is_again) in [(0, true), (1, false)] {
        let mut bench = used(|_| {});
        bench.peers[0].window = window;
        bench.submit(request());
        let handle = bench.peers[0].handle;
        bench.command(|engine, now| engine.handle_closed(now, handle, broken));
        if is_again {
            bench.end(1);
            assert_eq!(bench.seen(), [done(2)]);
        } else {
            let error =
                RequestError::ConnectionLost(ConnectionLostReason::Io(io::ErrorKind::BrokenPipe));
            let end = failed(2, error, Phase::Sending, Delivery::MaybeProcessed);
            assert_eq!(bench.seen(), [end]);
        }
        bench.finish();
    }
}

/// An application that dies of the question loses no request, and is not asked a second time.
#[test]
fn a_request_whose_connection_is_lost_over_the_clients_question_goes_elsewhere_once() {
    let mut config = config(Multiplex::Auto);
    config.limits.max_connections_per_server = 1;
    let mut bench = Bench::new(config);
    bench.submit(method("GET"));
    bench.submit(method("GET"));
    bench.advance(SECOND);
    assert!(bench.sent(0).contains(&Sent::GetValues));
    bench.eof(0);
    assert_eq!(bench.seen(), []);
    for _ in 0..2 {
        bench.end(1);
    }
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

// case 129
#[test]
fn a_reader_that_has_said_its_end_is_not_asked_again() {
    struct Once(Option<&'static [u8]>);
    impl io::Read for Once {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.take() {
                Some(bytes) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    if !bytes.is_empty() {
                        self.0 = Some(b"");
                    }
                    Ok(bytes.len())
                }
                None => Err(io::Error::other("asked behind its end")),
            }
        }
    }
    let mut hand = Bench::without_timeouts(Multiplex::Auto, |_| {});
    hand.ask(post().with_body(Body::reader(Once(Some(b"body")), Some(4))));
    let dialled = hand.dialled();
    hand.engine.handle_connected(hand.now, dialled[0]);
    hand.closed(dialled[0], Disconnected::Eof);
    hand.tick(Duration::from_secs(1));
    let dialled = hand.dialled();
    hand.engine.handle_connected(hand.now, dialled[0]);
    let sent = hand.send(dialled[0]);
    assert_eq!(hand.polled(), []);
    assert!(sent.windows(4).any(|window| window == b"body"));
}
