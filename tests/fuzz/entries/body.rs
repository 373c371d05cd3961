//! Bodies of requests: two HTTP servers find the same ones, wherever the bytes are cut and however much is taken at once.

use mio_fcgi::cgi::{RequestBody, RequestBodyError, wants_keep_alive};

use super::choices::Choices;
use super::passed_on::passed_on;
use http_servers::{MAX_LEN, found};

#[path = "../../cgi/http_servers.rs"]
mod http_servers;

/// One byte chooses the version, one how much is taken at once, three the cuts; then the fields and what follows them.
pub fn body(input: &[u8]) {
    let mut choices = Choices::new(input);
    let line = choices.of(&[
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.0\r\n",
    ]);
    let step = choices.of(&[usize::MAX, 1, 2, 7]);
    let cuts = choices.cuts();
    let sent = [line.as_bytes(), choices.rest()].concat();
    let whole = found([&sent[..]].into_iter(), usize::MAX);
    assert_eq!(whole, found(cuts.pieces(&sent), step));
    let content = match &whole {
        Some(Ok(found)) => Some(&found.content[..]),
        Some(Err(_)) => None,
        None => return,
    };
    assert!(content.is_none_or(|content| content.len() as u64 <= MAX_LEN));
    let mut space = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Request::new(&mut space);
    let Ok(httparse::Status::Complete(len)) = head.parse(&sent) else {
        return;
    };
    let fields = head.headers.iter();
    let fields: Vec<_> = fields
        .map(|field| (field.name.as_bytes(), field.value))
        .collect();
    let http11 = head.version == Some(1);
    options(http11, &fields);
    let made = || RequestBody::new(http11, fields.iter().copied(), MAX_LEN).ok();
    if let (Some(first), Some(second)) = (made(), made()) {
        let may_wait = http11 && fields.iter().any(|it| it.0.eq_ignore_ascii_case(b"expect"));
        dropped(first, second, may_wait, cuts.pieces(&sent[len..]));
    }
    if let Some(body) = made() {
        passed_on(body, step, cuts.pieces(&sent[len..]), content);
    }
}

/// Whether the connection is kept: whatever the order of the fields, and not with one more that closes it.
fn options(http11: bool, fields: &[(&[u8], &[u8])]) {
    let keeps = wants_keep_alive(http11, fields.iter().copied());
    assert_eq!(
        keeps,
        wants_keep_alive(http11, fields.iter().rev().copied())
    );
    let more = |value: &'static [u8]| {
        let fields = fields.iter().copied();
        wants_keep_alive(http11, fields.chain([(&b"CONNECTION"[..], value)]))
    };
    assert!(!more(b"a ,\tClose,b"));
    assert_eq!(more(b"a,, closed"), keeps);
    assert!(more(b"Keep-Alive") || !keeps);
}

/// Nobody wants the body: as much is used as by one who wants it, and its end is known.
fn dropped<'p>(
    mut body: RequestBody,
    mut wanted: RequestBody,
    may_wait: bool,
    pieces: impl Iterator<Item = &'p [u8]>,
) {
    let is_counted = body.len().is_some();
    assert_eq!(body.is_empty(), body.len() == Some(0));
    assert_eq!(body.to_pushed().len(), body.len());
    assert!(is_counted || body.content_length().is_none());
    // Told once at most, and not to one who has sent a part.
    let is_told = wanted.take_continue().is_some();
    assert!(wanted.take_continue().is_none());
    assert!(may_wait || !is_told);
    let is_kept = |body: &RequestBody, waits: bool| {
        let left = body.len().map(|len| len - body.received());
        let keeps = left.is_some() && !waits;
        assert_eq!(body.keeps_connection(u64::MAX), body.is_complete() || keeps);
        if let Some(left) = left.filter(|left| *left > 0 && !waits) {
            assert!(body.keeps_connection(left) && !body.keeps_connection(left - 1));
        }
    };
    is_kept(&body, is_told);
    let (mut error, mut has_begun) = (None, false);
    for piece in pieces {
        has_begun = true;
        let (mut input, mut other) = (piece, piece);
        let end = body.discard(&mut input);
        let mut decoded = Ok(());
        loop {
            match wanted.decode(&mut other) {
                Ok(Some(content)) => assert!(piece.as_ptr_range().contains(&content.as_ptr())),
                Ok(None) => break,
                Err(error) => {
                    decoded = Err(error);
                    break;
                }
            }
        }
        assert_eq!((end, input), (decoded, other));
        assert!(error.is_none() || error == end.err(), "it goes on");
        error = end.err();
        assert_eq!(body.received(), wanted.received());
        assert_eq!(body.is_complete(), wanted.is_complete());
        if error.is_none() {
            assert!(input.is_empty() || body.is_complete());
            is_kept(&body, false);
        }
        if body.is_complete() || error.is_some() {
            break;
        }
    }
    let ended = match error {
        Some(error) => Err(error),
        None if body.is_complete() => Ok(()),
        None => Err(RequestBodyError::Truncated {
            received: body.received(),
        }),
    };
    assert_eq!(body.end(), ended);
    assert!(!has_begun || body.take_continue().is_none());
    assert!(error.is_none() || !body.keeps_connection(u64::MAX));
}
