//! Bodies on their way out: the end of each stream, answers that come first, bodies that are not as long as declared.

use std::io::{self, Read};
use std::time::Duration;

use mio_fcgi::wire::{RecordType, Role};
use mio_fcgi::{
    Body, BodyError, CloseReason, ConnectionLostReason, Delivery, Multiplex, Phase, Request,
    RequestError, StdinError, SubmitError, TimeoutKind, UnknownLength,
};

use crate::harness::{Answer, Bench};
use crate::params::pairs_sent;
use crate::script::{Seen, Sent, config, content, done, failed, out, records, request};

// case 74
#[test]
fn the_empty_record_ends_stdin_once_whatever_the_body() {
    let bodies = [
        Body::empty(),
        Body::bytes(""),
        Body::bytes("x"),
        Body::bytes("x".repeat(65_528)),
        Body::shared(Vec::new().into()),
        Body::reader(io::empty(), Some(0)),
        Body::reader(&b"abc"[..], Some(3)),
        Body::seekable(io::Cursor::new("abc"), Some(3)),
    ];
    for body in bodies {
        let len = body.len().expect("a body of known length") as usize;
        let mut bench = Bench::plain();
        bench.submit(request().with_body(body));
        let sent = bench.sent(0);
        let end = Sent::StreamEnd(RecordType::Stdin, 1);
        assert_eq!(sent.iter().filter(|item| **item == end).count(), 1);
        assert_eq!(sent.last(), Some(&end));
        assert_eq!(content(&sent, RecordType::Stdin, 1).len(), len);
        bench.feed(0, records().end(1, 0));
        bench.finish();
    }
}

// case 74
#[test]
fn a_pushed_body_is_ended_once_by_the_embedder() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request().with_body(Body::pushed(Some(5))));
    bench.sent(0);
    let stdin = |text: &str| Sent::Stream(RecordType::Stdin, 1, text.into());
    for piece in ["abc", "de"] {
        let taken = bench.command(|it, now| it.write_stdin(now, handle, piece.as_bytes()));
        assert_eq!(taken, Ok(piece.len()));
        assert_eq!(bench.sent(0), [stdin(piece)]);
    }
    assert_eq!(
        bench.command(|it, now| it.finish_stdin(now, handle)),
        Ok(())
    );
    assert_eq!(bench.sent(0), [Sent::StreamEnd(RecordType::Stdin, 1)]);
    let again = bench.command(|it, now| it.finish_stdin(now, handle));
    assert_eq!(again, Err(StdinError::Finished));
    assert_eq!(bench.sent(0), []);
    bench.end(0);
    bench.finish();
}

// case 74
#[test]
fn each_role_has_its_streams() {
    let mut bench = Bench::plain();
    bench.submit(Request::new(Role::Authorizer));
    let begin = |id, role| Sent::Begin {
        id,
        role,
        keep: true,
    };
    let end = Sent::StreamEnd;
    let (params, stdin, data) = (RecordType::Params, RecordType::Stdin, RecordType::Data);
    assert_eq!(
        bench.sent(0),
        [begin(1, Role::Authorizer), end(params, 1), end(stdin, 1)]
    );
    bench.end(0);
    let mut filter = Request::new(Role::Filter).with_body(Body::bytes("in"));
    filter.data = Body::bytes("file");
    bench.submit(filter);
    let sent = bench.sent(0);
    assert_eq!(sent[0], begin(2, Role::Filter));
    assert_eq!(sent[2], end(params, 2));
    let rest = [
        Sent::Stream(stdin, 2, b"in".into()),
        end(stdin, 2),
        Sent::Stream(data, 2, b"file".into()),
        end(data, 2),
    ];
    assert_eq!(sent[3..], rest);
    let lengths = &pairs_sent(&bench)[..];
    assert_eq!(lengths[0], (b"CONTENT_LENGTH".to_vec(), b"2".to_vec()));
    assert_eq!(lengths[1], (b"FCGI_DATA_LENGTH".to_vec(), b"4".to_vec()));
    bench.end(0);
    bench.finish();
}

#[test]
fn a_stream_that_a_role_does_not_have_is_refused() {
    let mut bench = Bench::plain();
    let mut with_data = request();
    with_data.data = Body::bytes("x");
    let mut pushing = Request::new(Role::Filter);
    pushing.data = Body::pushed(Some(1));
    let authorizer = Request::new(Role::Authorizer).with_body(Body::bytes("x"));
    for wrong in [with_data, pushing, authorizer] {
        assert_eq!(bench.try_submit(wrong), Err(SubmitError::StreamNotAllowed));
    }
    bench.finish();
}

#[test]
fn an_empty_body_is_none_to_an_authorizer_whatever_its_kind() {
    let mut bench = Bench::plain();
    let authorizer = || Request::new(Role::Authorizer).param("SCRIPT_NAME", "/x.php");
    for body in [
        Body::empty(),
        Body::bytes(""),
        Body::shared([].into()),
        Body::reader(&b""[..], Some(0)),
        Body::seekable(std::io::empty(), Some(0)),
        Body::pushed(Some(0)),
    ] {
        let shown = format!("{body:?}");
        let handle = bench.submit(authorizer().with_body(body));
        if shown.starts_with("Pushed") {
            let finished = bench.command(|it, now| it.finish_stdin(now, handle));
            assert_eq!(finished, Ok(()));
        }
        let (id, sent) = (bench.id(0), bench.sent(0));
        let params = content(&sent, RecordType::Params, id);
        let name = b"CONTENT_LENGTH";
        let has_length = params.windows(name.len()).any(|it| it == name);
        assert!(!has_length, "{shown}");
        let ends = sent
            .iter()
            .filter(|it| **it == Sent::StreamEnd(RecordType::Stdin, id));
        assert_eq!(ends.count(), 1, "{shown}");
        bench.end(0);
    }
    bench.finish();
}

/// An upload of which the transport takes 10,000 bytes. It is request 1 or, if shared, request 2.
fn uploading(mut bench: Bench) -> Bench {
    bench.submit(request().with_body(Body::bytes("x".repeat(150_000))));
    bench
}

// case 76
#[test]
fn an_answer_before_the_body_was_read_is_delivered_and_the_plain_connection_closed() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.peers[0].window = 10_000;
    let mut bench = uploading(bench);
    bench.answer(0, |id| records().stdout(id, "hi"));
    assert_eq!(bench.peers[0].closed, None, "it goes on");
    bench.end(0);
    assert_eq!(bench.seen(), [done(1), out(2, "hi"), done(2)]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::EarlyEnd));
    bench.finish();
}

// case 76
#[test]
fn an_answer_before_the_body_was_read_ends_stdin_on_a_shared_connection_and_holds_the_id() {
    let mut bench = Bench::shared(8);
    bench.submit(request());
    bench.peers[0].window = 10_000;
    let mut bench = uploading(bench);
    bench.feed(0, records().stdout(2, "hi").end(2, 0));
    assert_eq!(bench.seen(), [out(2, "hi"), done(2)]);
    bench.open_window(0, usize::MAX);
    let sent = bench.sent(0);
    assert_eq!(sent.last(), Some(&Sent::StreamEnd(RecordType::Stdin, 2)));
    let body = content(&sent, RecordType::Stdin, 2);
    assert!(body.iter().all(|byte| *byte == b'x'));
    bench.submit(request());
    assert_eq!(bench.sent(0), Sent::whole(3), "not id 2");
    bench.feed(0, records().stdout(2, "late").end(3, 0).end(1, 0));
    assert_eq!(bench.seen(), [done(3), done(1)]);
    bench.finish();
}

// case 77
#[test]
fn an_answer_that_was_in_the_socket_counts_although_writing_failed() {
    for (answer, outcome) in [
        (records().stdout(1, "hi").end(1, 0), done(1)),
        (
            records().stdout(1, "hi"),
            failed(
                1,
                RequestError::ConnectionLost(ConnectionLostReason::Io(
                    io::ErrorKind::ConnectionReset,
                )),
                Phase::Receiving,
                Delivery::Responded,
            ),
        ),
    ] {
        let mut bench = uploading(Bench::plain());
        bench.feed(0, answer);
        bench.reset(0);
        assert_eq!(bench.seen(), [out(1, "hi"), outcome]);
        bench.finish();
    }
}

// case 78
#[test]
fn an_application_that_takes_nothing_runs_into_the_write_limit() {
    let mut bench = Bench::plain();
    bench.submit(request());
    bench.end(0);
    bench.peers[0].window = 10_000;
    let mut bench = uploading(bench);
    let limit = bench.engine.config().timeouts.write.expect("a default");
    let ms = Duration::from_millis(1);
    bench.advance(limit - ms);
    // Each byte taken is progress.
    bench.open_window(0, 1);
    bench.advance(limit - ms);
    assert_eq!(bench.seen(), [done(1)]);
    bench.advance(ms);
    let error = RequestError::TimedOut(TimeoutKind::Write);
    let end = failed(2, error, Phase::Sending, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [end]);
    assert_eq!(bench.peers[0].closed, Some(CloseReason::Aborted));
    bench.finish();
}

#[test]
fn a_reader_of_unknown_length_is_held_against_the_length_that_the_parameters_state() {
    let mut bench = Bench::plain();
    let body = Body::reader(&b"12345"[..], None);
    bench.submit(request().param("CONTENT_LENGTH", "8").with_body(body));
    let (declared, sent) = (8, 5);
    let error = RequestError::Body(BodyError::TooShort { declared, sent });
    let seen = bench.seen();
    assert!(
        matches!(&seen[..], [Seen::Failed(1, why, ..)] if *why == error),
        "{seen:?}"
    );
    bench.finish();
}

// case 79
#[test]
fn a_body_that_ends_short_of_its_length_aborts_the_request() {
    let short = || Body::reader(&b"12345"[..], Some(8));
    let error = BodyError::TooShort {
        declared: 8,
        sent: 5,
    };
    let mut bench = Bench::plain();
    bench.submit(request().with_body(short()));
    let seen = bench.seen();
    assert!(
        matches!(&seen[..], [Seen::Failed(1, why, ..)] if *why == error.into()),
        "{seen:?}"
    );
    assert!(
        bench.peers[0].closed.is_some(),
        "php-fpm would wait for ever"
    );
    bench.finish();

    let mut bench = Bench::shared(2);
    bench.submit(request());
    bench.submit(request().with_body(short()));
    let sent = bench.sent(0);
    assert_eq!(sent.last(), Some(&Sent::Abort(2)));
    assert!(!sent.contains(&Sent::StreamEnd(RecordType::Stdin, 2)));
    bench.feed(0, records().end(2, 0).end(1, 0));
    let seen = bench.seen();
    assert!(
        matches!(&seen[..], [Seen::Failed(2, why, ..), Seen::Done(1, 0)] if *why == error.into())
    );
    bench.finish();
}

// case 79
#[test]
fn a_pushed_body_that_is_finished_short_of_its_length_aborts_the_request() {
    let mut bench = Bench::plain();
    let handle = bench.submit(request().with_body(Body::pushed(Some(8))));
    let taken = bench.command(|it, now| it.write_stdin(now, handle, b"12345"));
    assert_eq!(taken, Ok(5));
    let finished = bench.command(|it, now| it.finish_stdin(now, handle));
    let error = StdinError::TooShort {
        declared: 8,
        written: 5,
    };
    assert_eq!(finished, Err(error));
    let error = BodyError::TooShort {
        declared: 8,
        sent: 5,
    };
    let end = failed(1, error, Phase::Sending, Delivery::MaybeProcessed);
    assert_eq!(bench.seen(), [end]);
    assert!(bench.peers[0].closed.is_some());
    bench.finish();
}

#[test]
fn a_reader_that_fails_aborts_the_request() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    let mut bench = Bench::plain();
    bench.submit(request().with_body(Body::reader(Broken, Some(8))));
    let seen = bench.seen();
    let error = BodyError::Read(io::ErrorKind::PermissionDenied);
    assert!(
        matches!(&seen[..], [Seen::Failed(1, why, ..)] if *why == error.into()),
        "{seen:?}"
    );
    bench.finish();
}

// case 80
#[test]
fn of_a_body_beyond_its_length_the_excess_is_never_sent() {
    let mut bench = Bench::plain();
    let long = Body::reader(&b"12345678"[..], Some(5));
    bench.submit(request().with_body(long));
    let seen = bench.seen();
    let error = BodyError::TooLong { declared: 5 };
    assert!(
        matches!(&seen[..], [Seen::Failed(1, why, ..)] if *why == error.into()),
        "{seen:?}"
    );
    assert!(content(&bench.sent(0), RecordType::Stdin, 1).len() <= 5);
    bench.finish();

    let mut bench = Bench::plain();
    let handle = bench.submit(request().with_body(Body::pushed(Some(5))));
    let taken = bench.command(|it, now| it.write_stdin(now, handle, b"123456"));
    let error = StdinError::TooLong {
        declared: 5,
        offered: 6,
    };
    assert_eq!(taken, Err(error));
    let taken = bench.command(|it, now| it.write_stdin(now, handle, b"12345"));
    assert_eq!(taken, Ok(5), "it may still be done right");
    assert_eq!(
        bench.command(|it, now| it.finish_stdin(now, handle)),
        Ok(())
    );
    bench.end(0);
    assert_eq!(bench.seen(), [done(1)]);
    bench.finish();
}

// case 80
#[test]
fn a_length_that_contradicts_the_body_is_refused() {
    let mut bench = Bench::plain();
    for (declared, actual) in [(4, 5), (6, 5)] {
        let wrong = request().param("CONTENT_LENGTH", declared.to_string());
        let name = "CONTENT_LENGTH";
        let error = SubmitError::LengthMismatch {
            name,
            declared,
            actual,
        };
        assert_eq!(
            bench.try_submit(wrong.with_body(Body::bytes("12345"))),
            Err(error)
        );
    }
    assert!(bench.peers.is_empty());
    bench.finish();
}

// case 81
#[test]
fn a_body_of_unknown_length_is_refused_as_such() {
    let mut bench = Bench::plain();
    for body in [Body::reader(&b"12345"[..], None), Body::pushed(None)] {
        let result = bench.try_submit(request().with_body(body));
        assert_eq!(result, Err(SubmitError::LengthRequired));
    }
    bench.finish();
}

// case 81
#[test]
fn a_body_of_unknown_length_is_buffered_up_to_a_limit_where_that_was_chosen() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Buffer { limit: 5 };
    let mut bench = Bench::new(config);
    let error = SubmitError::BodyTooLarge { limit: 5 };
    let long = Body::reader(&b"123456"[..], None);
    assert_eq!(bench.try_submit(request().with_body(long)), Err(error));
    bench.submit(request().with_body(Body::reader(&b"12345"[..], None)));
    let five = (b"CONTENT_LENGTH".to_vec(), b"5".to_vec());
    assert_eq!(pairs_sent(&bench).last(), Some(&five));
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, 1), b"12345");
    bench.end(0);

    let handle = bench.submit(request().with_body(Body::pushed(None)));
    let taken = bench.command(|it, now| it.write_stdin(now, handle, b"12345"));
    assert_eq!(taken, Ok(5));
    assert_eq!(bench.sent(0), [], "its length is not known yet");
    let more = bench.command(|it, now| it.write_stdin(now, handle, b"6"));
    assert_eq!(more, Err(StdinError::BodyTooLarge { limit: 5 }));
    assert_eq!(
        bench.command(|it, now| it.finish_stdin(now, handle)),
        Ok(())
    );
    assert_eq!(content(&bench.sent(0), RecordType::Stdin, 2), b"12345");
    assert_eq!(pairs_sent(&bench).last(), Some(&five));
    bench.end(0);
    assert_eq!(bench.seen(), [done(1), done(2)]);
    bench.finish();
}

// case 81
#[test]
fn a_body_of_unknown_length_is_sent_as_it_comes_where_the_application_can_take_that() {
    let mut config = config(Multiplex::Off);
    config.unknown_length = UnknownLength::Stream;
    let mut bench = Bench::new(config);
    bench.submit(request().with_body(Body::reader(&b"12345"[..], None)));
    let sent = bench.sent(0);
    assert_eq!(content(&sent, RecordType::Stdin, 1), b"12345");
    assert_eq!(sent.last(), Some(&Sent::StreamEnd(RecordType::Stdin, 1)));
    assert_eq!(pairs_sent(&bench).len(), 1, "no CONTENT_LENGTH");
    bench.end(0);
    bench.finish();
}

// case 83
#[test]
fn an_upload_delays_another_requests_parameters_by_a_bounded_number_of_bytes() {
    const BOUND: usize = 136 * 1024;
    let large = || Body::bytes("x".repeat(3_000_000));
    let reading = || Body::reader(io::repeat(b'x').take(3_000_000), Some(3_000_000));
    let uploads: [&[fn() -> Body]; 3] = [&[large], &[reading], &[large, reading, large]];
    for uploads in uploads {
        let mut bench = Bench::shared(8);
        bench.servers[0] = Answer::Hang;
        for upload in uploads {
            bench.submit(request().with_body(upload()));
        }
        // The transport is full after 10,000 bytes, and then takes more as the application reads.
        bench.peers[0].window = 10_000;
        bench.accept(0);
        let id = uploads.len() as u16 + 1;
        bench.submit(request());
        let before = bench.peers[0].sent.len();
        while !bench
            .sent(0)
            .contains(&Sent::StreamEnd(RecordType::Params, id))
        {
            bench.open_window(0, 1_000);
        }
        let delay = bench.peers[0].sent.len() - before;
        assert!(delay <= BOUND, "{delay} bytes with {id} requests");
        bench.open_window(0, usize::MAX);
        for id in 1..=id {
            bench.feed(0, records().end(id, 0));
        }
        assert_eq!(bench.seen().len(), usize::from(id));
        bench.finish();
    }
}
