//! What a client gets for an application's output, byte by byte, and what becomes of its connection.

use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
use mio_fcgi::{
    Completion, ConnectionLostReason, Delivery, Failure, Outcome, Phase, Report, RequestError,
    TimeoutKind,
};

/// How the output ends.
#[derive(Clone, Copy, Debug)]
enum Last {
    /// The request completes.
    Done,
    /// The output ends, and the request completes.
    Ended,
    /// The connection is lost.
    Lost,
    /// The output ends, and then the connection is lost.
    EndedLost,
    /// A time limit is over.
    Late,
    /// Nothing yet.
    Open,
}

impl Last {
    fn ends_output(self) -> bool {
        matches!(self, Self::Ended | Self::EndedLost)
    }

    fn outcome(self) -> Option<Outcome> {
        let failed = |error| {
            let (phase, delivery) = (Phase::Receiving, Delivery::Responded);
            Err(Failure::new(error, phase, delivery, Report::default()))
        };
        match self {
            Self::Done | Self::Ended => Some(Ok(Completion::new(0, Report::default()))),
            Self::Lost | Self::EndedLost => {
                let reason = ConnectionLostReason::Closed;
                Some(failed(RequestError::ConnectionLost(reason)))
            }
            Self::Late => Some(failed(RequestError::TimedOut(TimeoutKind::BetweenBytes))),
            Self::Open => None,
        }
    }
}

const GET: ReplyTo = ReplyTo::new();
const HEAD: ReplyTo = GET.with_head_only(true);
const CLOSE: ReplyTo = GET.with_keep_alive(false);
const OLD: ReplyTo = GET.with_http11(false);
const OLD_CLOSE: ReplyTo = OLD.with_keep_alive(false);
const OLD_HEAD: ReplyTo = OLD.with_head_only(true);

const KEEP: Verdict = Verdict::Keep;
const CLOSED: Verdict = Verdict::Close;
const CUT: Verdict = Verdict::Cut { needs_reset: false };
const RESET: Verdict = Verdict::Cut { needs_reset: true };

const fn nothing(status: u16) -> Verdict {
    Verdict::NothingSent { status }
}

/// What a client gets, and the verdict.
type Served = (Vec<u8>, Option<Verdict>);

/// Passes pieces of output to a reply that has answered another request before.
fn serve<'p>(
    reply: &mut Reply,
    to: ReplyTo,
    pieces: impl Iterator<Item = &'p [u8]>,
    last: Last,
) -> Served {
    let (mut out, mut verdicts) = (Vec::new(), Vec::new());
    reply.begin(to);
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        verdicts.extend(reply.stdout(piece, &mut out));
    }
    if last.ends_output() {
        verdicts.extend(reply.stdout_end(&mut out));
    }
    if let Some(outcome) = last.outcome() {
        verdicts.extend(reply.end(&outcome, &mut out));
    }
    assert!(verdicts.len() <= 1, "one verdict of {verdicts:?}");
    assert_eq!(verdicts.first().copied(), reply.verdict());
    (out, reply.verdict())
}

/// As [`serve`], in one piece and without copying the body.
fn serve_uncopied(reply: &mut Reply, to: ReplyTo, output: &[u8], last: Last) -> Served {
    let (mut sent, mut out, mut rest) = (Vec::new(), Vec::new(), output);
    reply.begin(to);
    while let Some(part) = reply.body(&mut rest, &mut out) {
        assert!(output.as_ptr_range().contains(&part.data.as_ptr()));
        sent.append(&mut out);
        sent.extend_from_slice(part.data);
        sent.extend_from_slice(part.suffix);
    }
    assert!(rest.is_empty());
    if last.ends_output() {
        reply.stdout_end(&mut out);
    }
    if let Some(outcome) = last.outcome() {
        reply.end(&outcome, &mut out);
    }
    sent.append(&mut out);
    (sent, reply.verdict())
}

/// The bytes with the content of all chunks in one, since each piece of output makes a chunk of its own.
fn in_one_chunk(sent: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(sent).expect("text");
    let Some(at) = text.find("Transfer-Encoding: chunked\r\n") else {
        return sent.to_vec();
    };
    let head_len = at + text[at..].find("\r\n\r\n").expect("a blank line") + 4;
    let (head, mut rest) = text.split_at(head_len);
    let mut content = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            content.push_str("<end>");
            rest = after;
            break;
        }
        content.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").expect("a line end");
    }
    format!("{head}{content}|{rest}").into_bytes()
}

#[track_caller]
fn check(to: ReplyTo, output: &str, last: Last, sent: &str, verdict: Option<Verdict>) {
    let (output, shown) = (output.as_bytes(), String::from_utf8_lossy);
    let mut reply = Reply::default();
    let (all, said) = serve(&mut reply, to, std::iter::once(output), last);
    assert_eq!((&*shown(&all), said), (sent, verdict));
    let uncopied = serve_uncopied(&mut reply, to, output, last);
    assert_eq!((&*shown(&uncopied.0), uncopied.1), (sent, verdict));
    let merged = in_one_chunk(&all);
    for at in 0..=output.len() {
        let pieces = [&output[..at], &output[at..]];
        let cut = serve(&mut reply, to, pieces.into_iter(), last);
        assert_eq!(
            (in_one_chunk(&cut.0), cut.1),
            (merged.clone(), verdict),
            "cut at {at}"
        );
    }
    let bytes = serve(&mut reply, to, output.chunks(1), last);
    assert_eq!((in_one_chunk(&bytes.0), bytes.1), (merged, verdict));
}

/// A test of each row: the request, the output, how it ends; what is sent, and the verdict.
macro_rules! table {
    ($($name:ident: $to:ident, $output:expr, $last:ident => $sent:expr, $verdict:expr;)+) => {
        $(#[test]
        fn $name() {
            check($to, $output, Last::$last, $sent, Some($verdict));
        })+
    };
}

mod framed {
    use super::*;

    table! {
        a_body_without_a_length_is_sent_in_chunks: GET, "A: b\n\nbody", Done => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        a_body_with_a_length_is_sent_as_it_is: GET, "Content-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", KEEP;
        no_byte_without_a_length: GET, "A: b\n\n", Done => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", KEEP;
        no_byte_with_a_length: GET, "Content-Length: 0\n\n", Done => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP;
        a_chunk_of_more_than_nine_bytes: GET, "A: b\n\n0123456789abcdefgh", Done => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n0123456789abcdefgh\r\n0\r\n\r\n", KEEP;
        the_end_of_the_output_is_enough: GET, "A: b\n\nbody", EndedLost => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        the_end_of_the_output_comes_first: GET, "A: b\n\nbody", Ended => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        a_client_that_closes: CLOSE, "A: b\n\nbody", Done => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n", CLOSED;
        a_client_that_closes_with_a_length: CLOSE, "Content-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody", CLOSED;
        an_old_client_gets_no_chunks: OLD, "A: b\n\nbody", Done => "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nbody", CLOSED;
        an_old_client_keeps_a_response_with_a_length: OLD, "Content-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\nbody", KEEP;
        an_old_client_that_closes: OLD_CLOSE, "Content-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody", CLOSED;
        bytes_beyond_the_length_are_dropped: GET, "Content-Length: 4\n\nbody and more", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", KEEP;
        bytes_beyond_no_length_are_dropped: GET, "Content-Length: 0\n\nHTTP/1.1 200 OK\r\n\r\n", Done => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP;
        a_length_that_is_stated_twice_is_sent_once: GET, "Content-Length: 4\nContent-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", KEEP;
        a_body_that_looks_like_a_chunk: GET, "A: b\n\n0\r\n\r\n", Done => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n", KEEP;
    }
}

mod bodyless {
    use super::*;

    table! {
        head_keeps_the_length: HEAD, "Content-Length: 4\n\n", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", KEEP;
        head_with_a_body: HEAD, "Content-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", KEEP;
        head_with_a_body_and_no_length: HEAD, "A: b\n\nbody", Done => "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", KEEP;
        head_of_an_old_client: OLD_HEAD, "A: b\n\nbody", Done => "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n\r\n", KEEP;
        head_of_a_chunked_response: HEAD, "Transfer-Encoding: chunked\nContent-Length: 9\n\n4\r\nbody\r\n", Done => "HTTP/1.1 200 OK\r\n\r\n", KEEP;
        head_whose_connection_is_lost: HEAD, "Content-Length: 4\n\nbo", Lost => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", KEEP;
        status_204: GET, "Status: 204\n\n", Done => "HTTP/1.1 204 No Content\r\n\r\n", KEEP;
        status_204_with_a_body_and_a_length: GET, "Status: 204\nContent-Length: 4\n\nbody", Done => "HTTP/1.1 204 No Content\r\n\r\n", KEEP;
        status_205_says_that_it_is_empty: GET, "Status: 205\n\n", Done => "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", KEEP;
        status_205_with_a_body_and_a_length: GET, "Status: 205\nContent-Length: 4\n\nbody", Done => "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", KEEP;
        status_304_keeps_the_length: GET, "Status: 304\nContent-Length: 4\nETag: x\n\n", Done => "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\nETag: x\r\n\r\n", KEEP;
        status_304_with_a_body: GET, "Status: 304\n\nbody", Done => "HTTP/1.1 304 Not Modified\r\n\r\n", KEEP;
        status_304_of_an_old_client: OLD, "Status: 304\n\n", Done => "HTTP/1.1 304 Not Modified\r\nConnection: keep-alive\r\n\r\n", KEEP;
        status_204_of_a_client_that_closes: CLOSE, "Status: 204\n\n", Done => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", CLOSED;
    }
}

mod heads {
    use super::*;

    table! {
        a_status_with_a_reason: GET, "Status: 404 No such page\nContent-Length: 0\n\n", Done => "HTTP/1.1 404 No such page\r\nContent-Length: 0\r\n\r\n", KEEP;
        a_status_without_a_reason: GET, "Status: 503\nContent-Length: 0\n\n", Done => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", KEEP;
        a_status_that_nobody_knows: GET, "Status: 799\nContent-Length: 0\n\n", Done => "HTTP/1.1 799 \r\nContent-Length: 0\r\n\r\n", KEEP;
        a_status_line: GET, "HTTP/1.0 404 Gone\r\nContent-Length: 0\r\n\r\n", Done => "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", KEEP;
        a_location_alone: GET, "Location: https://a.example/\nContent-Length: 0\n\n", Done => "HTTP/1.1 302 Found\r\nLocation: https://a.example/\r\nContent-Length: 0\r\n\r\n", KEEP;
        repeated_fields: GET, "Set-Cookie: a=b\nContent-Length: 0\nSet-Cookie: c=d\n\n", Done => "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nSet-Cookie: c=d\r\n\r\n", KEEP;
        an_empty_value: GET, "X:\nContent-Length:   0  \n\n", Done => "HTTP/1.1 200 OK\r\nX: \r\nContent-Length: 0\r\n\r\n", KEEP;
        fields_of_a_connection: GET, "Connection: close\nKeep-Alive: 5\nproxy-connection: x\nTE: trailers\nTrailer: X\nUpgrade: h2c\nX: y\nContent-Length: 0\n\n", Done => "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n", KEEP;
        fields_that_connection_lists: GET, "X-Gone: 1\nConnection: close, x-gone\nX-Stays: 2\nContent-Length: 0\n\n", Done => "HTTP/1.1 200 OK\r\nX-Stays: 2\r\nContent-Length: 0\r\n\r\n", KEEP;
        a_length_that_connection_lists: GET, "Connection: Content-Length\nContent-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", KEEP;
        an_interim_head: GET, "Status: 103\nLink: </a.css>\nConnection: x\nX: 1\nContent-Length: 5\n\nContent-Length: 0\n\n", Done => "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP;
        two_interim_heads: GET, "Status: 103\nLink: a\n\nStatus: 102\n\nContent-Length: 0\n\n", Done => "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP;
        an_interim_head_for_an_old_client: OLD, "Status: 103\nLink: a\n\nContent-Length: 0\n\n", Done => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", KEEP;
        status_100_is_the_server_s: GET, "Status: 100\n\nContent-Length: 0\n\n", Done => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP;
        fields_for_the_server: GET, "X-Accel-Redirect: /a\nx-accel-buffering: no\nX-SENDFILE: /b\nX-Sendfile2: /b 0-\nX-LIGHTTPD-send-file: /c\nX-Accelerated: d\nContent-Length: 0\n\n", Done => "HTTP/1.1 200 OK\r\nX-Accelerated: d\r\nContent-Length: 0\r\n\r\n", KEEP;
        an_interim_head_with_fields_for_the_server: GET, "Status: 103\nX-Sendfile: /b\nLink: a\n\nContent-Length: 0\n\n", Done => "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", KEEP;
        fields_for_the_server_without_a_body: GET, "Status: 304\nX-Sendfile: /b\nETag: a\n\n", Done => "HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n", KEEP;
        an_interim_head_to_head: HEAD, "Status: 103\nLink: a\n\nContent-Length: 4\n\n", Done => "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", KEEP;
    }
}

mod coded {
    use super::*;

    table! {
        chunks_are_decoded: GET, "Transfer-Encoding: chunked\n\n4\r\nbody\r\n0\r\n\r\n", Done => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        chunks_are_decoded_for_an_old_client: OLD, "Transfer-Encoding: Chunked\n\n4;x=y\r\nbody\r\n0\r\nX: y\r\n\r\n", Done => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody", CLOSED;
        chunks_win_over_a_length: GET, "Content-Length: 20\nTransfer-Encoding: chunked\n\n4\r\nbody\r\n0\r\n\r\n", Done => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        output_after_the_last_chunk: GET, "Transfer-Encoding: chunked\n\n4\r\nbody\r\n0\r\n\r\n4\r\nmore\r\n", Done => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        the_last_chunk_is_enough: GET, "Transfer-Encoding: chunked\n\n4\r\nbody\r\n0\r\n\r\n", Lost => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        chunks_without_a_last_one: GET, "Transfer-Encoding: chunked\n\n4\r\nbody\r\n", Done => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", CUT;
        no_chunks_at_all: GET, "Transfer-Encoding: chunked\n\nbody", Done => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CUT;
        no_chunks_for_an_old_client: OLD, "Transfer-Encoding: chunked\n\n<p>", Ended => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", RESET;
        identity_is_no_coding: GET, "Transfer-Encoding: identity\n\nbody", Done => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", KEEP;
        binary_is_no_coding: GET, "Transfer-Encoding: binary\nContent-Length: 4\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", KEEP;
        a_compressed_body: GET, "Transfer-Encoding: gzip, chunked\n\n4\r\nbody\r\n0\r\n\r\n", Done => "", nothing(502);
        chunked_twice: GET, "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\r\n\r\n", Done => "", nothing(502);
    }
}

mod broken {
    use super::*;

    table! {
        a_body_that_is_too_short: GET, "Content-Length: 5\n\nbody", Done => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", CUT;
        output_that_ends_too_early: GET, "Content-Length: 5\n\nbody", Ended => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", CUT;
        a_connection_lost_in_chunks: GET, "A: b\n\nbody", Lost => "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", CUT;
        a_connection_lost_in_a_counted_body: GET, "Content-Length: 5\n\nbody", Lost => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody", CUT;
        a_connection_lost_after_the_length: GET, "Content-Length: 4\n\nbody", Lost => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", KEEP;
        a_body_up_to_the_end_of_the_connection: OLD, "A: b\n\nbody", Lost => "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nbody", RESET;
        a_time_limit_in_the_body: CLOSE, "Content-Length: 5\n\nbody", Late => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbody", CUT;
        no_output: GET, "", Done => "", nothing(502);
        output_that_ends_without_a_byte: GET, "", Ended => "", nothing(502);
        no_output_and_a_lost_connection: GET, "", Lost => "", nothing(502);
        no_output_in_time: GET, "", Late => "", nothing(504);
        half_a_head: GET, "Status: 200\nA:", Done => "", nothing(502);
        half_a_head_and_a_lost_connection: GET, "Status: 200\nA:", Lost => "", nothing(502);
        half_a_head_in_time: GET, "Status: 200\nA:", Late => "", nothing(504);
        an_interim_head_alone: GET, "Status: 103\n\n", Done => "HTTP/1.1 103 Early Hints\r\n\r\n", nothing(502);
        no_head: GET, "<p>no head</p>\n", Open => "", nothing(502);
        a_blank_line_first: GET, "\nbody", Done => "", nothing(502);
        two_lengths: GET, "Content-Length: 4\nContent-Length: 5\n\nbody", Done => "", nothing(502);
        a_field_that_splits_the_response: GET, "X: a\rSet-Cookie: b\n\n", Done => "", nothing(502);
        status_101: GET, "Status: 101\nUpgrade: x\n\n", Done => "", nothing(502);
    }
}

/// Lines that end with LF alone or have no blank are not copied as they are, and a field that `Connection` lists is not
/// passed on, also one that is as long as `Content-Length`.
#[test]
fn bare_line_feeds_and_listed_fields_do_not_reach_the_client() {
    let output = b"Connection: X-Fourteen-Lon\nX-Fourteen-Lon: 3\nX-One: a\nX-Two: b\nX-Three:c\r\n\n123456789";
    for (to, status) in [(GET, "200"), (GET, "204"), (HEAD, "200")] {
        let output = [format!("Status: {status}\n").as_bytes(), output].concat();
        let pieces = std::iter::once(&output[..]);
        let (sent, _) = serve(&mut Reply::default(), to, pieces, Last::Ended);
        let sent = String::from_utf8(sent).expect("text");
        assert!(
            sent.contains("\r\nX-One: a\r\nX-Two: b\r\nX-Three: c\r\n"),
            "{sent}"
        );
        assert!(!sent.contains("Fourteen"), "{sent}");
        let (head, _) = sent.split_once("\r\n\r\n").expect("a head");
        let lines = head.split("\r\n");
        assert!(lines.clone().all(|line| !line.contains('\n')), "{sent}");
    }
}

#[test]
fn a_field_as_long_as_a_length_is_passed_on_with_a_204() {
    let output = b"Status: 204\nX-Fourteen-Lon: 3\n\n";
    let pieces = std::iter::once(&output[..]);
    let (sent, _) = serve(&mut Reply::default(), GET, pieces, Last::Ended);
    let sent = String::from_utf8(sent).expect("text");
    assert!(sent.contains("\r\nX-Fourteen-Lon: 3\r\n"), "{sent}");
}
