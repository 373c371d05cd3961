//! What an embedder may do with a reply: look at the head first, answer by itself, use it again, ask it why.

use mio_fcgi::cgi::{ChunkedError, HeadError, HeadRules, Reply, ReplyTo, ResponseError, Verdict};
use mio_fcgi::{
    Completion, Config, Delivery, Engine, Event, EventKind, Failure, Phase, Report, Request,
    RequestError, Tag,
};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn completion() -> Completion {
    Completion::new(0, Report::default())
}

#[test]
fn nothing_is_written_before_the_embedder_has_seen_the_head() {
    let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    let mut rest = &b"Location: /other\nX-Accel-Redirect: /file\n"[..];
    assert!(reply.head(&mut rest, &mut out).is_none());
    assert!(rest.is_empty() && reply.verdict().is_none());
    let mut rest = &b"\nbody"[..];
    let head = reply.head(&mut rest, &mut out).expect("complete");
    assert_eq!(head.head().local_redirect(), Some(&b"/other"[..]));
    assert_eq!(head.head().get("x-accel-redirect"), Some(&b"/file"[..]));
    assert_eq!(rest, b"body");
    // It is dropped: the embedder answers.
    assert_eq!(reply.stdout(rest, &mut out), None);
    assert_eq!(reply.end(&Ok(completion()), &mut out), None);
    assert_eq!(
        (reply.discarded(), reply.status(), &out[..]),
        (4, None, &b""[..])
    );
    let verdict = reply.answer(204, &[("X", "y")], b"dropped", &mut out);
    assert_eq!(verdict, Verdict::Keep);
    assert_eq!(text(&out), "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n");
    assert_eq!((reply.status(), reply.body_len()), (Some(204), 0));
}

#[test]
fn fields_are_added_where_the_application_has_none_and_removed_by_name() {
    let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    let mut rest = &b"server: theirs\nX-Powered-By: PHP\nDate: old\nContent-Length: 0\n\n"[..];
    let head = reply.head(&mut rest, &mut out).expect("complete");
    head.with_defaults(&[("Server", "mine"), ("Date", "new"), ("Via", "x")])
        .without(&["x-powered-by", "date", "content-length"])
        .write(&mut out);
    assert_eq!(
        text(&out),
        "HTTP/1.1 200 OK\r\nserver: theirs\r\nContent-Length: 0\r\nDate: new\r\nVia: x\r\n\r\n"
    );
    assert!(reply.head(&mut rest, &mut out).is_none(), "once only");
}

#[test]
fn an_answer_of_the_server_is_framed_for_its_client() {
    let fields = [("Content-Type", "text/plain")];
    let answer = |to: ReplyTo, status| {
        let (mut out, mut reply) = (Vec::new(), Reply::new(to));
        let verdict = reply.answer(status, &fields, b"busy", &mut out);
        assert_eq!(reply.verdict(), Some(verdict));
        (text(&out).to_owned(), verdict, reply.body_len())
    };
    let head =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n";
    let to = ReplyTo::new();
    let whole = format!("{head}\r\nbusy");
    assert_eq!(answer(to, 503), (whole, Verdict::Keep, 4));
    let bare = format!("{head}\r\n");
    assert_eq!(
        answer(to.with_method("HEAD"), 503),
        (bare, Verdict::Keep, 0)
    );
    let closing = format!("{head}Connection: close\r\n\r\nbusy");
    assert_eq!(
        answer(to.with_keep_alive(false), 503),
        (closing, Verdict::Close, 4)
    );
    let old = format!("{head}Connection: keep-alive\r\n\r\nbusy");
    assert_eq!(answer(to.with_http11(false), 503), (old, Verdict::Keep, 4));
    let reset =
        "HTTP/1.1 205 Reset Content\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answer(to, 205), (reset.to_owned(), Verdict::Keep, 0));
}

#[test]
fn an_answer_after_a_head_is_refused() {
    let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    reply.stdout(b"A: b\n\nbody", &mut out);
    let len = out.len();
    let cut = Verdict::Cut { needs_reset: false };
    assert_eq!(reply.answer(500, &[], b"", &mut out), cut);
    assert_eq!(reply.answer(500, &[], b"", &mut out), cut);
    assert_eq!((out.len(), reply.verdict()), (len, Some(cut)));
}

#[test]
fn a_connection_that_is_to_end_says_so_unless_a_head_was_sent() {
    let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    reply.close_after();
    reply.stdout(b"Content-Length: 0\n\n", &mut out);
    assert_eq!(reply.stdout_end(&mut out), Some(Verdict::Close));
    assert!(text(&out).ends_with("\r\nConnection: close\r\n\r\n"));
    reply.begin(ReplyTo::new());
    reply.stdout(b"Content-Length: 0\n\n", &mut out);
    reply.close_after();
    assert_eq!(reply.stdout_end(&mut out), Some(Verdict::Keep));
}

#[test]
fn the_reason_is_there_for_a_log() {
    let why = |output: &[u8], outcome| {
        let (mut out, mut reply) = (Vec::new(), Reply::default());
        reply.stdout(output, &mut out);
        reply.end(&outcome, &mut out);
        reply.error().cloned()
    };
    let failure = Failure::new(
        RequestError::ShutDown,
        Phase::Receiving,
        Delivery::Responded,
        Report::default(),
    );
    let ended = || Ok(completion());
    let failed = ResponseError::Failed(failure.clone());
    assert_eq!(why(b"A: b\n\n", ended()), None);
    assert_eq!(why(b"", ended()), Some(ResponseError::Empty));
    assert_eq!(why(b"", Err(failure.clone())), Some(failed.clone()));
    assert_eq!(why(b"A: b\n\nbody", Err(failure)), Some(failed));
    let head = HeadError::NoColon { line: 1 };
    assert_eq!(why(b"no head\n", ended()), Some(head.into()));
    let head = HeadError::Truncated { len: 2 };
    assert_eq!(why(b"A:", ended()), Some(head.into()));
    let mismatch = ResponseError::LengthMismatch {
        declared: 5,
        received: 4,
    };
    assert_eq!(why(b"Content-Length: 5\n\nbody", ended()), Some(mismatch));
    let chunked = b"Transfer-Encoding: chunked\n\n";
    assert_eq!(why(chunked, ended()), Some(ResponseError::Truncated));
    let no_chunk = [&chunked[..], b"<p>"].concat();
    let error = Some(ResponseError::Chunked(ChunkedError::NoSize));
    assert_eq!(why(&no_chunk, ended()), error);
    let gzip = Some(ResponseError::TransferEncoding);
    assert_eq!(why(b"Transfer-Encoding: gzip\n\nbody", ended()), gzip);
}

#[test]
fn a_body_with_all_its_bytes_is_complete_before_the_application_is() {
    let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    assert!(!reply.is_complete());
    reply.stdout(b"Content-Length: 4\n\nbod", &mut out);
    assert!(!reply.is_complete());
    reply.stdout(b"y and", &mut out);
    assert!(reply.is_complete() && reply.verdict().is_none());
    reply.stdout(b" more", &mut out);
    assert_eq!((reply.body_len(), reply.discarded()), (4, 9));
    assert_eq!(reply.end(&Ok(completion()), &mut out), Some(Verdict::Keep));
    assert_eq!(reply.stdout(b"late", &mut out), None);
    assert_eq!((reply.is_complete(), reply.discarded()), (true, 13));
}

#[test]
fn the_rules_for_heads_stay_from_reply_to_reply() {
    let rules = HeadRules::default().with_strict(true);
    let mut reply = Reply::new(ReplyTo::new().with_method("HEAD")).with_head_rules(rules);
    let mut out = Vec::new();
    for _ in 0..2 {
        let verdict = reply.stdout(b"Status: 103\n\n", &mut out);
        assert_eq!(verdict, Some(Verdict::NothingSent { status: 502 }));
        assert_eq!(reply.error(), Some(&HeadError::Interim(103).into()));
        reply.begin(ReplyTo::new());
        assert_eq!((reply.error(), reply.verdict()), (None, None));
    }
    assert!(out.is_empty());
}

#[test]
fn each_event_goes_where_it_belongs() {
    let config = Config::new("127.0.0.1:9000".parse().expect("an address"));
    let mut engine = Engine::new(config).expect("a valid configuration");
    let now = std::time::Instant::now();
    let request = engine.submit(now, Request::responder(), Tag(0));
    let request = request.expect("accepted");
    let event = |kind| Event::new(request, Tag(0), kind);
    let (mut out, mut reply) = (Vec::new(), Reply::new(ReplyTo::new()));
    for kind in [
        EventKind::Stderr(&b"PHP Warning"[..]),
        EventKind::Stdout(&b"Content-Length: 4\n\nbo"[..]),
        EventKind::StdinReady,
        EventKind::Stdout(&b"dy"[..]),
    ] {
        assert_eq!(reply.on_event(&event(kind), &mut out), None);
    }
    let verdict = reply.on_event(&event(EventKind::StdoutEnd), &mut out);
    assert_eq!(verdict, Some(Verdict::Keep));
    let end = event(EventKind::End(Ok(completion())));
    assert_eq!(reply.on_event(&end, &mut out), None, "one verdict");
    assert_eq!(
        text(&out),
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
    );
}

#[test]
fn what_a_reply_depends_on_is_in_the_head_of_its_request() {
    let close = [(&b"Connection"[..], &b"close"[..])];
    let get = ReplyTo::of("GET", true, []);
    assert_eq!(get, ReplyTo::new());
    assert_eq!(ReplyTo::of(b"HEAD", true, []), get.with_head_only(true));
    assert_eq!(ReplyTo::of("GET", true, close), get.with_keep_alive(false));
    let old = get.with_http11(false).with_keep_alive(false);
    assert_eq!(ReplyTo::of("GET", false, []), old);
}
