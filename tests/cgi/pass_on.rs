//! A body on its way from an HTTP/1 client to an application, with `Commands::pass_on`.

use std::time::Instant;

use mio_fcgi::cgi::{ChunkedError, PassOnError, PassedOn, RequestBody, RequestBodyError};
use mio_fcgi::{
    Body, Commands, Config, Engine, EventKind, Request, RequestHandle, StdinError, Tag,
    UnknownLength,
};

const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");

/// A request and its body, of which the client takes 4 bytes before there is a connection.
struct Upload {
    engine: Engine,
    now: Instant,
    body: RequestBody,
    request: RequestHandle,
}

impl Upload {
    fn new(unknown_length: UnknownLength, fields: &[(&str, &str)]) -> Self {
        Self::of(unknown_length, fields, RequestBody::to_pushed)
    }

    fn of(
        unknown_length: UnknownLength,
        fields: &[(&str, &str)],
        submitted: impl FnOnce(&RequestBody) -> Body,
    ) -> Self {
        let config = Config::new("127.0.0.1:9000".parse().expect("an address"))
            .with_stdin_high_water(4)
            .with_unknown_length(unknown_length);
        let mut engine = Engine::new(config).expect("a valid configuration");
        let now = Instant::now();
        let fields = fields.iter().map(|it| (it.0.as_bytes(), it.1.as_bytes()));
        let body = RequestBody::new(true, fields, 100).expect("valid");
        let request = Request::responder().with_body(submitted(&body));
        let request = engine.submit(now, request, Tag(0)).expect("accepted");
        Self {
            engine,
            now,
            body,
            request,
        }
    }

    fn pass_on(&mut self, input: &mut &[u8]) -> Result<PassedOn, PassOnError> {
        let Self {
            engine, now, body, ..
        } = self;
        engine.pass_on(*now, self.request, body, input)
    }

    /// Whether the end of the body was passed on.
    fn is_finished(&mut self) -> bool {
        let again = self.engine.write_stdin(self.now, self.request, b"");
        again == Err(StdinError::Finished)
    }
}

#[test]
fn the_end_is_passed_on_once_and_the_next_request_stays() {
    for (fields, sent) in [
        (("Content-Length", "4"), &["ab", "cdGET"][..]),
        (CHUNKED, &["2\r\nab\r\n2\r\ncd\r\n0\r\n", "\r\nGET"]),
    ] {
        let mut upload = Upload::new(UnknownLength::Stream, &[fields]);
        let mut first = sent[0].as_bytes();
        assert_eq!(upload.pass_on(&mut first), Ok(PassedOn::NeedsInput));
        assert!(first.is_empty() && !upload.is_finished());
        let mut second = sent[1].as_bytes();
        for _ in 0..2 {
            assert_eq!(upload.pass_on(&mut second), Ok(PassedOn::Complete));
            assert!(second == b"GET" && upload.is_finished());
        }
    }
}

#[test]
fn a_body_without_content_is_complete_however_it_was_submitted() {
    for submitted in [RequestBody::to_pushed, |body: &RequestBody| {
        Body::pushed(body.len())
    }] {
        for fields in [&[][..], &[("Content-Length", "0")]] {
            let mut upload = Upload::of(UnknownLength::Refuse, fields, submitted);
            let mut input = &b"GET"[..];
            for _ in 0..2 {
                assert_eq!(upload.pass_on(&mut input), Ok(PassedOn::Complete));
                assert_eq!(input, b"GET");
            }
            let again = upload.engine.finish_stdin(upload.now, upload.request);
            assert!(again.is_err());
        }
    }
}

#[test]
fn what_the_application_does_not_take_stays_in_the_input() {
    let mut upload = Upload::new(UnknownLength::Refuse, &[("Content-Length", "10")]);
    let mut input = &b"0123456789GET"[..];
    for _ in 0..2 {
        assert_eq!(upload.pass_on(&mut input), Ok(PassedOn::Full));
        assert_eq!((input, upload.body.received()), (&b"456789GET"[..], 4));
    }
}

#[test]
fn a_body_beyond_the_buffer_is_an_error_because_its_request_goes_on() {
    let mut upload = Upload::new(UnknownLength::Buffer { limit: 5 }, &[CHUNKED]);
    let mut input = &b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"[..];
    let error = PassOnError::Stdin(StdinError::BodyTooLarge { limit: 5 });
    for _ in 0..2 {
        assert_eq!(upload.pass_on(&mut input), Err(error));
        assert_eq!(error.http_status(), 413);
    }
    assert!(!upload.body.keeps_connection(u64::MAX));
    // Nothing ends it but the embedder.
    assert_eq!(upload.engine.poll_pending(&mut [0; 512]), None);
    assert_eq!(upload.engine.requests(upload.now).count(), 1);
    upload.engine.abort(upload.now, upload.request);
    let mut buf = [0; 512];
    let event = upload.engine.poll_pending(&mut buf).expect("its end");
    assert!(matches!(event.kind, EventKind::End(Err(_))));
}

#[test]
fn what_the_client_does_wrong_is_an_error_with_its_status() {
    let mut upload = Upload::new(UnknownLength::Stream, &[CHUNKED]);
    let malformed = RequestBodyError::Chunked(ChunkedError::NoSize);
    let result = upload.pass_on(&mut &b"1\r\na\r\n\r\n"[..]);
    assert_eq!(result, Err(PassOnError::Body(malformed)));
    assert_eq!(result.expect_err("malformed").http_status(), 400);
    let mut upload = Upload::new(UnknownLength::Stream, &[CHUNKED]);
    let error = upload.pass_on(&mut &b"65\r\na"[..]).expect_err("101 bytes");
    assert_eq!(
        error,
        PassOnError::Body(RequestBodyError::TooLarge { limit: 100 })
    );
    assert_eq!(error.http_status(), 413);
}

#[test]
fn a_request_that_has_ended_is_no_error() {
    for (sent, left) in [("abc", "abc"), ("", "")] {
        let mut upload = Upload::new(UnknownLength::Refuse, &[("Content-Length", "3")]);
        upload.engine.abort(upload.now, upload.request);
        let mut input = sent.as_bytes();
        let expected = match sent {
            "" => PassedOn::NeedsInput,
            _ => PassedOn::Gone,
        };
        assert_eq!(upload.pass_on(&mut input), Ok(expected));
        assert_eq!(input, left.as_bytes());
    }
    // Between the last byte and the end.
    let mut upload = Upload::new(UnknownLength::Stream, &[CHUNKED]);
    let begun = upload.pass_on(&mut &b"1\r\na\r\n"[..]);
    assert_eq!(begun, Ok(PassedOn::NeedsInput));
    upload.engine.abort(upload.now, upload.request);
    let ended = upload.pass_on(&mut &b"0\r\n\r\n"[..]);
    assert_eq!(ended, Ok(PassedOn::Gone));
}

#[test]
fn another_body_than_that_of_the_request_is_an_error() {
    let mut upload = Upload::of(UnknownLength::Refuse, &[("Content-Length", "3")], |_| {
        Body::empty()
    });
    let error = upload.pass_on(&mut &b"abc"[..]).expect_err("not pushed");
    assert_eq!(error, PassOnError::Stdin(StdinError::NotPushed));
    assert_eq!(error.http_status(), 500);
    let mut upload = Upload::of(UnknownLength::Refuse, &[("Content-Length", "3")], |_| {
        Body::pushed(Some(4))
    });
    let error = upload.pass_on(&mut &b"abc"[..]).expect_err("too short");
    let (declared, written) = (4, 3);
    assert_eq!(
        error,
        PassOnError::Stdin(StdinError::TooShort { declared, written })
    );
}
