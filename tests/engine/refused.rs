//! A refused request is handed to another client, if the client was the reason and not the request.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mio_fcgi::wire::{RecordType, Role};
use mio_fcgi::{Body, Multiplex, Request, SubmitError, Tag, UnknownLength};

use crate::harness::Bench;
use crate::script::{config, content, done, request};

/// A reader that counts its reads.
struct Counted(&'static [u8], Arc<AtomicUsize>);

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(buf)
    }
}

/// A body of unknown length, and the number of reads from it.
fn counted() -> (Body, Arc<AtomicUsize>) {
    let reads = Arc::default();
    (
        Body::reader(Counted(b"body", Arc::clone(&reads)), None),
        reads,
    )
}

/// A client that reads a body of unknown length before it accepts the request.
fn buffering() -> Bench {
    let mut config = config(Multiplex::Off);
    config.limits.max_connections_per_server = 1;
    config.limits.max_queued_requests = 0;
    config.unknown_length = UnknownLength::Buffer { limit: 10 };
    Bench::new(config)
}

fn full() -> Bench {
    let mut bench = buffering();
    bench.submit(request());
    bench
}

fn shutting_down() -> Bench {
    let mut bench = buffering();
    bench.command(|engine, now| engine.shutdown(now, None));
    bench
}

#[test]
fn what_a_client_has_no_room_for_goes_to_another_with_its_body_unread() {
    for mut first in [full(), shutting_down()] {
        let mut second = buffering();
        let (body, reads) = counted();
        let (now, tag) = (first.now, Tag(second.next_tag));
        let accepted = first
            .engine
            .submit(now, request().with_body(body), tag)
            .or_else(|refused| {
                assert_eq!(reads.load(Ordering::Relaxed), 0, "{refused}");
                assert!(refused.error.is_unavailable(), "{refused}");
                let request = refused.for_another_client()?;
                second.engine.submit(now, request, tag)
            });
        second.note_accepted(accepted.expect("it has room"));
        second.run();
        assert_eq!(content(&second.sent(0), RecordType::Stdin, 1), b"body");
        second.end(0);
        assert_eq!(second.seen(), [done(1)]);
        second.finish();
    }
}

#[test]
fn the_last_client_without_room_returns_the_request() {
    let (mut first, mut second) = (full(), shutting_down());
    let (now, tag) = (first.now, Tag(9));
    let (body, reads) = counted();
    let refused = first
        .engine
        .submit(now, request().with_body(body), tag)
        .or_else(|it| second.engine.submit(now, it.for_another_client()?, tag))
        .expect_err("neither has room");
    assert_eq!(refused.error, SubmitError::ShuttingDown);
    assert_eq!(refused.request.body.len(), None, "as it was");
    assert_eq!(reads.load(Ordering::Relaxed), 0);
}

/// Another client would refuse it as well, or would send half of the body.
#[test]
fn a_request_that_is_at_fault_is_not_for_another_client() {
    let too_long = request().with_body(Body::reader(&b"more than ten"[..], None));
    let no_number = request().param("CONTENT_LENGTH", "x");
    for (faulty, why) in [
        (too_long, SubmitError::BodyTooLarge { limit: 10 }),
        (
            no_number,
            SubmitError::InvalidLength {
                name: "CONTENT_LENGTH",
            },
        ),
    ] {
        let mut bench = buffering();
        let refused = bench.engine.submit(bench.now, faulty, Tag(9));
        let refused = refused.expect_err("it is at fault");
        assert!(!refused.error.is_unavailable());
        let kept = refused.for_another_client().expect_err("it is at fault");
        assert_eq!(kept.error, why);
    }
}

/// Its ID would name another server there.
#[test]
fn a_request_that_names_its_server_is_not_for_another_client() {
    let mut bench = buffering();
    bench.engine.shutdown(bench.now, None);
    let named = request().with_server(mio_fcgi::ServerId::new(0));
    let refused = bench.engine.submit(bench.now, named, Tag(9));
    let refused = refused.expect_err("it is shutting down");
    let kept = refused.for_another_client().expect_err("it is named");
    assert_eq!(kept.error, SubmitError::ShuttingDown);
}

/// A pushed body may have to wait for its length in the queue, which is full: the second stream must not be read first.
#[test]
fn no_stream_is_read_before_the_queue_has_room_for_a_body_to_be_buffered() {
    let mut bench = buffering();
    let (data, reads) = counted();
    let request = Request::new(Role::Filter)
        .with_body(Body::pushed(None))
        .with_data(data);
    let refused = bench.engine.submit(bench.now, request, Tag(9));
    let refused = refused.expect_err("no place in the queue");
    assert_eq!(refused.error, SubmitError::QueueFull { limit: 0 });
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    assert_eq!(refused.request.data.len(), None, "as it was");
    bench.finish();
}
