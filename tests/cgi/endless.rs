//! Output that goes on after the response is whole: how much of it a collector waits for.

use mio_fcgi::cgi::{Collector, Completeness, ResponseError, ResponseLimits};
use mio_fcgi::{Completion, Delivery, Failure, Outcome, Phase, Report, RequestError};

fn aborted() -> Outcome {
    Err(Failure::new(
        RequestError::Aborted,
        Phase::Receiving,
        Delivery::Responded,
        Report::default(),
    ))
}

fn collector(max_discarded: usize) -> Collector {
    Collector::new(ResponseLimits::default().with_max_discarded(max_discarded))
}

const NO_BODY: [(&str, &[u8]); 4] = [
    ("HEAD", b"Content-Length: 4\n\n"),
    ("HEAD", b"A: b\n\n"),
    ("GET", b"Status: 204\n\n"),
    ("GET", b"Status: 304\n\n"),
];

// case 176
#[test]
fn output_that_nobody_gets_ends_with_an_abort_and_the_response_is_whole() {
    for (method, head) in NO_BODY {
        let mut collector = Collector::default().with_method(method);
        assert!(collector.wants_more(), "no head yet");
        collector.stdout(head).expect("a head");
        // 64 KiB by default.
        for _ in 0..64 {
            assert!(collector.wants_more(), "{method}");
            collector.stdout(&[b'x'; 1024]).expect("no error");
        }
        assert!(collector.wants_more(), "{method}");
        collector.stdout(b"x").expect("no error");
        assert!(!collector.wants_more(), "{method}");
        let response = collector.finish(aborted()).expect("a whole response");
        assert_eq!(response.completeness, Completeness::LengthReached);
        assert_eq!(response.stdout_discarded, 64 * 1024 + 1);
        assert_eq!((response.body, response.outcome), (vec![], aborted()));
    }
}

#[test]
fn output_after_its_end_ends_with_an_abort_too() {
    let mut collector = collector(2);
    collector.stdout(b"A: b\n\nbody").expect("a head");
    collector.stdout_end();
    for (piece, is_wanted) in [(b"l", true), (b"a", true), (b"t", false)] {
        collector.stdout(piece).expect("no error");
        assert_eq!(collector.wants_more(), is_wanted);
    }
    let response = collector.finish(aborted()).expect("a whole response");
    assert_eq!(response.completeness, Completeness::StdoutEnded);
    assert_eq!(response.body, b"body");
}

#[test]
fn an_abort_before_the_limit_is_the_embedder_s_own() {
    let mut collector = collector(2).with_method("HEAD");
    collector.stdout(b"A: b\n\nxx").expect("a head");
    let incomplete = collector.finish(aborted()).expect_err("it was given up");
    assert!(matches!(incomplete.error, ResponseError::Failed(_)));
}

#[test]
fn the_limit_may_be_zero_or_none() {
    let mut none = collector(0).with_method("HEAD");
    none.stdout(b"A: b\n\n").expect("a head");
    assert!(none.wants_more());
    none.stdout(b"x").expect("no error");
    assert!(!none.wants_more());
    none.finish(aborted()).expect("a whole response");
    let mut any = collector(usize::MAX).with_method("HEAD");
    any.stdout(b"A: b\n\n").expect("a head");
    for _ in 0..100 {
        any.stdout(&[b'x'; 1024 * 1024]).expect("no error");
    }
    assert!(any.wants_more());
    let ended = any.finish(Ok(Completion::new(0, Report::default())));
    assert_eq!(ended.expect("a response").stdout_discarded, 100 << 20);
}

#[test]
fn nothing_is_wanted_after_an_error() {
    for output in [
        &b"no head\n\n"[..],
        b"Content-Length: 4\n\nbody and more",
        b"A: b\n\nmore than ten bytes",
    ] {
        let mut collector = Collector::default().with_max_body(10);
        assert!(collector.wants_more());
        let error = collector.stdout(output).expect_err("it is invalid");
        assert!(!collector.wants_more());
        let incomplete = collector.finish(aborted()).expect_err("no whole response");
        assert_eq!(incomplete.error, error);
    }
}

/// A body of any length is wanted, and is not discarded.
#[test]
fn output_that_belongs_to_the_response_is_wanted() {
    let mut collector = collector(0);
    collector
        .stdout(b"Content-Length: 1000\n\n")
        .expect("a head");
    for _ in 0..10 {
        collector.stdout(&[b'x'; 100]).expect("no error");
        collector.stderr(&[b'x'; 1_000_000]);
        assert!(collector.wants_more());
    }
}
