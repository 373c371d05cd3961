//! What an embedder does with the body of a request: ask for it, pass on a part of it, leave it, lose its client.

use std::time::Instant;

use mio_fcgi::cgi::{ChunkedError, Env, RequestBody, RequestBodyError, Script, wants_keep_alive};
use mio_fcgi::{Body, Config, Engine, Params, Request, StdinError, SubmitError, Tag};

const CONTINUE: Option<&[u8]> = Some(b"HTTP/1.1 100 Continue\r\n\r\n");
const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");
const EXPECT: (&str, &str) = ("Expect", "100-continue");
const TEN: (&str, &str) = ("Content-Length", "10");

fn body<const N: usize>(http11: bool, fields: [(&str, &str); N]) -> RequestBody {
    let fields = fields
        .each_ref()
        .map(|it| (it.0.as_bytes(), it.1.as_bytes()));
    RequestBody::new(http11, fields, u64::MAX).expect("valid")
}

#[test]
fn the_length_is_known_unless_the_body_is_chunked() {
    let none = body(true, [("Host", "a")]);
    assert_eq!((none.len(), none.content_length()), (Some(0), None));
    let empty = body(true, [("Content-Length", "0")]);
    assert_eq!((empty.len(), empty.content_length()), (Some(0), Some(0)));
    let ten = body(false, [TEN]);
    assert_eq!((ten.len(), ten.content_length()), (Some(10), Some(10)));
    let mut chunked = body(true, [CHUNKED]);
    assert_eq!((chunked.len(), chunked.content_length()), (None, None));
    assert!(none.is_empty() && empty.is_empty() && !ten.is_empty() && !chunked.is_empty());
    assert!(none.is_complete() && empty.is_complete());
    assert!(!ten.is_complete() && !chunked.is_complete());
    // Nor does it become known.
    assert_eq!(chunked.decode(&mut &b"0\r\n\r\n"[..]), Ok(None));
    assert!(chunked.is_complete() && chunked.len().is_none() && !chunked.is_empty());
}

#[test]
fn the_greatest_limit_is_none() {
    let fields = [(&b"Content-Length"[..], &b"18446744073709551615"[..])];
    let mut counted = RequestBody::new(true, fields, u64::MAX).expect("valid");
    assert_eq!(counted.len(), Some(u64::MAX));
    assert_eq!(counted.decode(&mut &b"abc"[..]), Ok(Some(&b"abc"[..])));
    assert!(!counted.keeps_connection(u64::MAX - 4) && counted.keeps_connection(u64::MAX - 3));
    let mut chunked = body(true, [CHUNKED]);
    let mut input = &b"fffffffffffffff\r\nabc"[..];
    assert_eq!(chunked.decode(&mut input), Ok(Some(&b"abc"[..])));
    let fields = [(&b"Content-Length"[..], &b"0"[..])];
    assert!(RequestBody::new(true, fields, 0).is_ok());
}

#[test]
fn a_client_that_waits_is_told_to_continue_once() {
    for framing in [TEN, CHUNKED] {
        let mut body = body(true, [framing, EXPECT]);
        assert_eq!(body.take_continue(), CONTINUE);
        assert_eq!(body.take_continue(), None);
    }
    let twice = ("Expect", "100-continue, 100-Continue");
    assert_eq!(body(true, [TEN, twice]).take_continue(), CONTINUE);
}

#[test]
fn a_client_that_does_not_wait_gets_no_continue() {
    assert_eq!(body(true, [TEN]).take_continue(), None);
    // RFC 9110, 10.1.1: HTTP/1.0 has no interim responses, and without a body there is nothing to wait for.
    assert_eq!(body(false, [TEN, EXPECT]).take_continue(), None);
    assert_eq!(body(true, [EXPECT]).take_continue(), None);
    assert_eq!(
        body(true, [("Content-Length", "0"), EXPECT]).take_continue(),
        None
    );
}

#[test]
fn a_client_that_has_begun_its_body_gets_no_continue() {
    for (framing, begun) in [(TEN, "0"), (CHUNKED, "3"), (CHUNKED, "3\r\na")] {
        let mut peeked = body(true, [framing, EXPECT]);
        let mut input = begun.as_bytes();
        peeked.peek(&mut input).expect("valid");
        assert_eq!(peeked.take_continue(), None, "{begun}");
        let mut none = body(true, [framing, EXPECT]);
        assert_eq!(none.decode(&mut &b""[..]), Ok(None));
        assert_eq!(none.take_continue(), CONTINUE);
    }
}

#[test]
fn what_is_not_consumed_stays_in_the_input() {
    let mut chunked = body(true, [CHUNKED]);
    let sent = b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nGET";
    let mut input = &sent[..];
    for _ in 0..2 {
        assert_eq!(chunked.peek(&mut input), Ok(Some(&b"abc"[..])));
        assert_eq!((input, chunked.received()), (&sent[3..], 0));
    }
    chunked.consume(&mut input, 0);
    assert_eq!(chunked.peek(&mut input), Ok(Some(&b"abc"[..])));
    chunked.consume(&mut input, 1);
    assert_eq!(chunked.peek(&mut input), Ok(Some(&b"bc"[..])));
    // More than what was shown is all of that.
    chunked.consume(&mut input, 100);
    assert_eq!((input, chunked.received()), (&sent[6..], 3));
    // Nothing was shown: nothing is consumed.
    chunked.consume(&mut input, 5);
    assert_eq!((input, chunked.received()), (&sent[6..], 3));
    assert_eq!(chunked.decode(&mut input), Ok(Some(&b"de"[..])));
    assert!(!chunked.is_complete());
    assert_eq!(chunked.peek(&mut input), Ok(None));
    assert_eq!((input, chunked.is_complete()), (&b"GET"[..], true));
    chunked.consume(&mut input, 2);
    assert_eq!((chunked.peek(&mut input), input), (Ok(None), &b"GET"[..]));
    let mut counted = body(true, [TEN]);
    let mut input = &b"0123456789GET"[..];
    counted.consume(&mut input, 100);
    assert_eq!((input, counted.is_complete()), (&b"GET"[..], true));
}

#[test]
fn content_is_a_part_of_the_input_and_no_copy() {
    let sent = b"a\r\n0123456789\r\n0\r\n\r\n";
    let mut chunked = body(true, [CHUNKED]);
    let mut input = &sent[..];
    let content = chunked.decode(&mut input).expect("valid").expect("content");
    assert!(std::ptr::eq(content, &sent[3..13]));
}

#[test]
fn an_application_that_takes_a_part_gets_the_rest_later() {
    let mut config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    config.stdin_high_water = 4;
    let mut engine = Engine::new(config).expect("a valid configuration");
    let now = Instant::now();
    let mut body = body(true, [TEN]);
    let request = Request::responder().with_body(Body::pushed(body.len()));
    let request = engine.submit(now, request, Tag(0)).expect("accepted");
    let mut input = &b"0123456789GET"[..];
    for taken in [4, 0] {
        let content = body.peek(&mut input).expect("valid").expect("content");
        assert_eq!(engine.write_stdin(now, request, content), Ok(taken));
        body.consume(&mut input, taken);
    }
    assert_eq!((input, body.received()), (&b"456789GET"[..], 4));
    assert_eq!(
        engine.finish_stdin(now, request),
        Err(StdinError::TooShort {
            declared: 10,
            written: 4
        })
    );
}

#[test]
fn a_body_without_a_length_is_what_the_configuration_says() {
    let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    let mut engine = Engine::new(config).expect("a valid configuration");
    let request = Request::responder().with_body(Body::pushed(body(true, [CHUNKED]).len()));
    let refused = engine
        .submit(Instant::now(), request, Tag(0))
        .expect_err("no length");
    assert_eq!(
        (&refused.error, refused.http_status()),
        (&SubmitError::LengthRequired, 411)
    );
}

#[test]
fn a_declared_length_reaches_the_application_even_if_it_is_zero() {
    let script = Script::new("/srv", "/x.php", "");
    for (fields, expected) in [
        (&[("Content-Length", "0")][..], Some(&b"0"[..])),
        (&[("Content-Length", "7, 7")], Some(b"7")),
        (&[], None),
        (&[CHUNKED], None),
    ] {
        let fields = fields.iter().map(|it| (it.0.as_bytes(), it.1.as_bytes()));
        let body = RequestBody::new(true, fields.clone(), 100).expect("valid");
        let mut env = Env::new(b"POST", b"/x.php", fields, &script);
        env.content_length = body.content_length();
        let mut params = Params::default();
        env.write_to(&mut params).expect("valid");
        assert_eq!(params.get("CONTENT_LENGTH"), expected);
    }
}

#[test]
fn a_client_that_ends_early_is_told_from_one_that_is_done() {
    let mut counted = body(true, [TEN]);
    assert_eq!(
        counted.end(),
        Err(RequestBodyError::Truncated { received: 0 })
    );
    counted.consume(&mut &b"012345678"[..], 9);
    let error = counted.end().expect_err("a byte is missing");
    assert_eq!(error, RequestBodyError::Truncated { received: 9 });
    assert_eq!(error.http_status(), 400);
    counted.consume(&mut &b"9"[..], 1);
    assert_eq!(counted.end(), Ok(()));
    let mut chunked = body(true, [CHUNKED]);
    chunked
        .discard(&mut &b"3\r\nabc\r\n0\r\n"[..])
        .expect("valid");
    assert_eq!(
        chunked.end(),
        Err(RequestBodyError::Truncated { received: 3 })
    );
    chunked.discard(&mut &b"\r\n"[..]).expect("valid");
    assert_eq!(chunked.end(), Ok(()));
    assert_eq!(body(true, []).end(), Ok(()));
}

#[test]
fn a_connection_is_kept_if_what_is_left_is_short_and_will_come() {
    assert!(body(true, []).keeps_connection(0));
    let mut counted = body(true, [TEN]);
    assert!(counted.keeps_connection(10) && !counted.keeps_connection(9));
    let mut input = &b"0123456789GET"[..4];
    assert_eq!((counted.discard(&mut input), input.len()), (Ok(()), 0));
    assert!(counted.keeps_connection(6) && !counted.keeps_connection(5));
    let mut input = &b"456789GET"[..];
    assert_eq!((counted.discard(&mut input), input), (Ok(()), &b"GET"[..]));
    assert!(counted.keeps_connection(0) && counted.is_complete());
    // Where the end of a chunked body is, shows at its end.
    let mut chunked = body(true, [CHUNKED]);
    assert!(!chunked.keeps_connection(u64::MAX));
    let mut input = &b"3\r\nabc\r\n0\r\n\r\nGET"[..];
    assert_eq!((chunked.discard(&mut input), input), (Ok(()), &b"GET"[..]));
    assert!(chunked.keeps_connection(0));
    // A client that was not told to continue may send its body or the next request.
    let mut waiting = body(true, [TEN, EXPECT]);
    assert!(!waiting.keeps_connection(10));
    assert_eq!(waiting.take_continue(), CONTINUE);
    assert!(waiting.keeps_connection(10));
    let mut begun = body(true, [TEN, EXPECT]);
    begun.discard(&mut &b"0"[..]).expect("valid");
    assert!(begun.keeps_connection(9));
    assert!(
        body(true, [EXPECT]).keeps_connection(0),
        "there is no body to come"
    );
}

#[test]
fn nothing_is_read_after_an_error() {
    let mut chunked = body(true, [CHUNKED]);
    let error = RequestBodyError::Chunked(ChunkedError::NoSize);
    assert_eq!(chunked.discard(&mut &b"3\r\nabc\r\n\r\n"[..]), Err(error));
    let mut input = &b"0\r\n\r\n"[..];
    assert_eq!((chunked.peek(&mut input), input.len()), (Err(error), 5));
    assert_eq!((chunked.received(), chunked.len()), (3, None));
    assert_eq!(chunked.take_continue(), None);
}

#[test]
fn a_connection_is_kept_as_the_version_and_its_options_say() {
    let keeps = |http11, options: &[&str]| {
        let fields = options.iter().map(|it| (&b"connection"[..], it.as_bytes()));
        wants_keep_alive(http11, fields.chain([(&b"Host"[..], &b"close"[..])]))
    };
    for (options, by_http11, by_http10) in [
        (&[][..], true, false),
        (&["close"], false, false),
        (&["Keep-Alive"], true, true),
        (&["X-A, \tCLOSE ,TE"], false, false),
        (&["TE", "keep-alive"], true, true),
        (&["keep-alive", "close"], false, false),
        (&["close, keep-alive"], false, false),
        (&["closed", "not-keep-alive"], true, false),
        (&[""], true, false),
    ] {
        assert_eq!(keeps(true, options), by_http11, "{options:?}");
        assert_eq!(keeps(false, options), by_http10, "{options:?}");
    }
}
