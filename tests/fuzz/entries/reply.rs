//! Responses as a client gets them: two HTTP parsers read the same, wherever the output is cut, and whichever calls the
//! server uses.

use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
use mio_fcgi::{
    Completion, ConnectionLostReason, Delivery, Failure, Outcome, Phase, Report, RequestError,
};

use super::choices::Choices;
use http_clients::{Parsed, parsed};

#[path = "../../cgi/http_clients.rs"]
mod http_clients;

/// Five bytes choose the request and the end of the output, three the cuts; then the application's output. The high bits
/// of the fifth choose what the server does on its way.
pub fn reply(input: &[u8]) {
    let mut choices = Choices::new(input);
    let to = ReplyTo::new()
        .with_head_only(choices.of(&[false, false, false, true]))
        .with_http11(choices.of(&[true, true, false]))
        .with_keep_alive(choices.is_even());
    let ends_output = choices.is_even();
    let how = choices.byte();
    let outcome = if how.is_multiple_of(2) {
        Ok(Completion::new(0, Report::default()))
    } else {
        let error = RequestError::ConnectionLost(ConnectionLostReason::Closed);
        let (phase, delivery) = (Phase::Receiving, Delivery::Responded);
        Err(Failure::new(error, phase, delivery, Report::default()))
    };
    let cuts = choices.cuts();
    let output = choices.rest();
    let last = (ends_output, &outcome);
    let (mut whole, mut sent, verdict) = serve(to, [output].into_iter(), last);
    let (pieces, sent_in_pieces, verdict_of_pieces) = serve(to, cuts.pieces(output), last);
    assert_eq!(verdict, verdict_of_pieces);
    assert_eq!(whole.error(), pieces.error());
    assert_eq!(whole.discarded() > 0, pieces.discarded() > 0);
    let read = parsed(to, &sent, verdict);
    assert_eq!(read, parsed(to, &sent_in_pieces, verdict));
    assert_eq!(read.body.len() as u64, whole.body_len());
    let how = usize::from(how / 2);
    match how % 4 {
        0 | 1 => with_other_fields(to, cuts.pieces(output), last, &read),
        2 => with_an_answer(to, cuts.pieces(output), last, how / 4),
        _ => with_a_head_that_is_dropped(to, cuts.pieces(output), last),
    }
    if let Verdict::NothingSent { status } = verdict {
        let verdict = whole.answer(status, &[("X", "y")], b"error", &mut sent);
        assert_eq!(parsed(to, &sent, verdict).status, status);
    }
}

type Last<'o> = (bool, &'o Outcome);

fn serve<'p>(
    to: ReplyTo,
    pieces: impl Iterator<Item = &'p [u8]>,
    last: Last<'_>,
) -> (Reply, Vec<u8>, Verdict) {
    let (mut out, mut reply) = (Vec::new(), Reply::new(to));
    for piece in pieces {
        reply.stdout(piece, &mut out);
    }
    end(&mut reply, last, &mut out);
    let verdict = reply.verdict().expect("the request has ended");
    (reply, out, verdict)
}

fn end(reply: &mut Reply, (ends_output, outcome): Last<'_>, out: &mut Vec<u8>) {
    let before = reply.verdict();
    let mut verdicts = Vec::from_iter(before);
    if ends_output {
        verdicts.extend(reply.stdout_end(out));
    }
    verdicts.extend(reply.end(outcome, out));
    assert_eq!(verdicts, Vec::from_iter(reply.verdict()));
    let is_complete = matches!(reply.verdict(), Some(Verdict::Keep | Verdict::Close));
    assert_eq!(reply.is_complete(), is_complete);
}

/// The server changes the fields and closes, and copies nothing. The memory was another reply's before.
fn with_other_fields<'p>(
    to: ReplyTo,
    pieces: impl Iterator<Item = &'p [u8]>,
    last: Last<'_>,
    read: &Parsed,
) {
    let (mut sent, mut out, mut reply) = (Vec::new(), Vec::new(), Reply::default());
    reply.stdout(b"Content-Length: 9\nX-A: b\n\nbod", &mut Vec::new());
    reply.begin(to);
    reply.close_after();
    for piece in pieces {
        let mut rest = piece;
        if let Some(head) = reply.head(&mut rest, &mut out) {
            let head = head.with_defaults(&[("Date", "now"), ("X-A", "c")]);
            head.without(&["X-A", "Content-Length"]).write(&mut out);
        }
        while let Some(part) = reply.body(&mut rest, &mut out) {
            let whole = piece.as_ptr_range();
            assert!(whole.contains(&part.data.as_ptr()), "a copy");
            sent.append(&mut out);
            sent.extend_from_slice(part.data);
            sent.extend_from_slice(part.suffix);
        }
        assert!(rest.is_empty());
    }
    end(&mut reply, last, &mut out);
    sent.append(&mut out);
    let verdict = reply.verdict().expect("the request has ended");
    let to = to.with_keep_alive(false);
    let changed = parsed(to, &sent, verdict);
    assert_eq!(
        (&changed.interim, changed.status),
        (&read.interim, read.status)
    );
    assert_eq!(
        (&changed.body, changed.is_complete),
        (&read.body, read.is_complete)
    );
    if changed.status > 0 {
        let values = |of: &Parsed, name: &str| {
            let fields = of.fields.iter();
            let fields = fields.filter(|field| field.0.eq_ignore_ascii_case(name));
            fields.map(|field| field.1.clone()).collect::<Vec<_>>()
        };
        assert_eq!(values(&changed, "x-a"), [b"c"]);
        let lengths = values(&changed, "content-length");
        assert_eq!(lengths, values(read, "content-length"));
        let (dates, all) = (values(read, "date"), values(&changed, "date"));
        assert!(all == dates || (dates.is_empty() && all == [b"now"]));
        assert_eq!(values(&changed, "connection"), [b"close"]);
    }
}

/// The server answers itself before a piece of the output.
fn with_an_answer<'p>(
    to: ReplyTo,
    pieces: impl Iterator<Item = &'p [u8]>,
    last: Last<'_>,
    number: usize,
) {
    let (mut sent, mut reply) = (Vec::new(), Reply::new(to));
    for (at, piece) in pieces.enumerate() {
        if at == number && reply.verdict().is_none() && !reply.is_complete() {
            answer(to, &mut reply, &mut sent);
        }
        reply.stdout(piece, &mut sent);
    }
    end(&mut reply, last, &mut sent);
    let verdict = reply.verdict().expect("the request has ended");
    parsed(to, &sent, verdict);
}

/// The head of the application is not written, but another response.
fn with_a_head_that_is_dropped<'p>(
    to: ReplyTo,
    pieces: impl Iterator<Item = &'p [u8]>,
    last: Last<'_>,
) {
    let (mut sent, mut reply) = (Vec::new(), Reply::new(to));
    let mut is_dropped = false;
    for piece in pieces {
        let mut rest = piece;
        is_dropped |= reply.head(&mut rest, &mut sent).is_some();
        let len = sent.len();
        reply.stdout(rest, &mut sent);
        assert!(!is_dropped || sent.len() == len, "output of a dropped head");
    }
    if is_dropped {
        let before = sent.len();
        if last.0 {
            assert_eq!(reply.stdout_end(&mut sent), None);
        }
        assert_eq!(reply.end(last.1, &mut sent), None);
        assert_eq!((reply.verdict(), sent.len()), (None, before));
        answer(to, &mut reply, &mut sent);
    } else {
        end(&mut reply, last, &mut sent);
    }
}

/// An answer of the server's own: all of it if no head is there, otherwise nothing.
fn answer(to: ReplyTo, reply: &mut Reply, sent: &mut Vec<u8>) {
    let (before, was_written) = (sent.len(), reply.status().is_some());
    let verdict = reply.answer(503, &[("Retry-After", "1")], b"busy", sent);
    if was_written {
        assert!(matches!(verdict, Verdict::Cut { .. }));
        assert_eq!(sent.len(), before);
        return;
    }
    let read = parsed(to, sent, verdict);
    let body: &[u8] = if to.head_only { b"" } else { b"busy" };
    assert_eq!((read.status, &read.body[..]), (503, body));
    assert_eq!(reply.status(), Some(503));
    assert_eq!(verdict == Verdict::Keep, to.keep_alive);
}
