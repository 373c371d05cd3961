//! What a reply writes means the same to two HTTP/1 parsers that share no code, and what the reply says it means.

use http_net::{ClientConn, ClientEvent, HttpError, Request};
use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
use mio_fcgi::{
    Completion, ConnectionLostReason, Delivery, Failure, Outcome, Phase, Report, RequestError,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What a client makes of the bytes that it got until the server closed.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    interim: Vec<u16>,
    /// 0: there was none.
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    is_complete: bool,
    /// Whether the connection could have been used again.
    is_reusable: bool,
}

/// As the crate `http-net` reads it.
fn parsed_by_http_net(sent: &[u8], head_only: bool) -> Result<Parsed, HttpError> {
    let mut parsed = Parsed::default();
    let mut client = ClientConn::new();
    client.set_report_informational(true);
    let request = if head_only {
        Request::head("/")
    } else {
        Request::get("/")
    };
    client.send_request(&request.header("host", "a"), &mut Vec::new())?;
    let mut rest = sent;
    let mut is_ended = false;
    loop {
        rest = &rest[client.feed(rest)..];
        match client.poll() {
            Ok(ClientEvent::Informational(head)) => parsed.interim.push(head.status()),
            Ok(ClientEvent::Response(head)) => {
                parsed.status = head.status();
                let fields = head.headers();
                let fields = fields.map(|(name, value)| (name.to_owned(), value.to_vec()));
                parsed.fields = fields.collect();
            }
            Ok(ClientEvent::Body(bytes)) => parsed.body.extend_from_slice(bytes),
            Ok(ClientEvent::ResponseEnd) => {
                assert!(rest.is_empty());
                parsed.is_complete = true;
                parsed.is_reusable = client.is_reusable();
                return Ok(parsed);
            }
            Ok(ClientEvent::NeedInput) if !rest.is_empty() => {}
            Ok(ClientEvent::NeedInput) if !is_ended => {
                client.feed_eof();
                is_ended = true;
            }
            Err(HttpError::UnexpectedEof) => return Ok(parsed),
            Ok(event) => panic!("{event:?}"),
            Err(error) => return Err(error),
        }
    }
}

/// As the crate `httparse` reads heads and the sizes of chunks, with the rules of RFC 9112, 6.3 between them.
fn parsed_by_httparse(sent: &[u8], head_only: bool) -> Result<Parsed, httparse::Error> {
    let mut parsed = Parsed::default();
    let mut rest = sent;
    loop {
        let mut space = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut space);
        let httparse::Status::Complete(len) = head.parse(rest)? else {
            return Ok(parsed);
        };
        rest = &rest[len..];
        let status = head.code.expect("a complete head");
        if status < 200 {
            parsed.interim.push(status);
            continue;
        }
        parsed.status = status;
        let fields = head.headers.iter();
        let fields = fields.map(|field| (field.name.to_owned(), field.value.to_vec()));
        parsed.fields = fields.collect();
        break;
    }
    let values = |wanted: &str| {
        let fields = parsed.fields.iter();
        let fields = fields.filter(|field| field.0.eq_ignore_ascii_case(wanted));
        let text = |value: &[u8]| String::from_utf8_lossy(value).to_ascii_lowercase();
        fields.map(|field| text(&field.1)).collect::<Vec<_>>()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "one framing");
    parsed.is_reusable = values("connection") != ["close"];
    let (body, is_complete) = if head_only || matches!(parsed.status, 204 | 304) {
        (vec![], true)
    } else if let Some(length) = lengths.first() {
        let length = length.parse().expect("a length");
        let body = rest[..rest.len().min(length)].to_vec();
        rest = &rest[body.len()..];
        let is_complete = body.len() == length;
        (body, is_complete)
    } else if codings == ["chunked"] {
        let mut body = Vec::new();
        let is_complete = loop {
            let Ok(httparse::Status::Complete((len, size))) = httparse::parse_chunk_size(rest)
            else {
                break false;
            };
            let size = usize::try_from(size).expect("a size");
            let chunk = &rest[len..];
            body.extend_from_slice(&chunk[..size.min(chunk.len())]);
            let after = chunk.get(size..).and_then(|it| it.strip_prefix(b"\r\n"));
            let Some(after) = after else {
                break false;
            };
            rest = after;
            if size == 0 {
                break true;
            }
        };
        (body, is_complete)
    } else {
        parsed.is_reusable = false;
        (std::mem::take(&mut rest).to_vec(), true)
    };
    (parsed.body, parsed.is_complete) = (body, is_complete);
    assert!(
        !is_complete || rest.is_empty(),
        "nothing after the response"
    );
    parsed.is_reusable &= is_complete;
    Ok(parsed)
}

/// An application's output whose body is known.
#[derive(Clone, Debug)]
struct Output {
    bytes: Vec<u8>,
    /// The content of the body, decoded.
    body: Vec<u8>,
    /// Whether the body is as long as the head states.
    is_whole: bool,
}

fn outputs() -> impl Strategy<Value = Output> {
    let interim = vec(
        select(vec![
            "Status: 103\nLink: </a>\n\n",
            "Status: 100\n\n",
            "HTTP/1.1 102\r\n\r\n",
        ]),
        0..3,
    );
    let status = select(vec![
        "",
        "Status: 404 Not Found\n",
        "Status: 200\r\n",
        "Status: 204\n",
        "Status: 205\n",
        "Status: 304\n",
        "Location: /x\n",
    ]);
    let field = prop_oneof![
        "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,12}:[ -~\t]{0,20}\r?\n".prop_map(String::into_bytes),
        vec(0x80_u8..=0xff, 0..8).prop_map(|value| [b"X-Bytes: ", &value[..], b"\n"].concat()),
        select(vec![
            "Connection: close, X-A\n",
            "X-A: 1\n",
            "Keep-Alive: 5\n",
            "Trailer: X\n",
            "Upgrade: h2c\n",
            "Set-Cookie: a=b\n"
        ])
        .prop_map(|field| field.as_bytes().to_vec()),
    ];
    // Fields that state a framing are added below.
    let is_free = |field: &Vec<u8>| {
        let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
        let framing: [&[u8]; 4] = [
            b"content-length",
            b"transfer-encoding",
            b"status",
            b"location",
        ];
        !framing.iter().any(|it| it.eq_ignore_ascii_case(name))
    };
    let fields = vec(field.prop_filter("another framing", is_free), 0..6);
    let body = vec(any::<u8>(), 0..60);
    // No length, the right one, a greater and a smaller one; chunked, and chunked without an end.
    let framing = 0..7_u8;
    let parts = (interim, status, fields, body, framing, any::<Index>());
    parts.prop_map(|(interim, status, fields, mut body, framing, index)| {
        let mut bytes = interim.concat().into_bytes();
        bytes.extend_from_slice(status.as_bytes());
        bytes.extend(fields.concat());
        let mut content = body.clone();
        match framing {
            0 | 1 => {}
            2 => bytes.extend(format!("Content-Length: {}\n", body.len()).bytes()),
            3 => bytes.extend(format!("Content-Length: {}\n", body.len() + 1).bytes()),
            4 => {
                let len = index.index(body.len() + 1);
                bytes.extend(format!("content-length:{len}\n").bytes());
                body.truncate(len);
            }
            _ => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\nContent-Length: 3\n");
                content.clear();
                for chunk in body.chunks(1 + index.index(20)) {
                    content.extend(format!("{:X};a=b\r\n", chunk.len()).bytes());
                    content.extend_from_slice(chunk);
                    content.extend_from_slice(b"\r\n");
                }
                if framing == 5 {
                    content.extend_from_slice(b"0\r\nX: y\r\n\r\nmore");
                }
            }
        }
        if bytes.is_empty() || bytes.ends_with(b"\n\n") || bytes.ends_with(b"\n\r\n") {
            bytes.extend_from_slice(b"A: b\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend(content);
        let is_whole = !matches!(framing, 3 | 6);
        Output {
            bytes,
            body,
            is_whole,
        }
    })
}

fn requests() -> impl Strategy<Value = ReplyTo> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(head_only, http11, keep_alive)| {
        let to = ReplyTo::new().with_head_only(head_only);
        to.with_http11(http11).with_keep_alive(keep_alive)
    })
}

fn outcome(is_lost: bool) -> Outcome {
    if !is_lost {
        return Ok(Completion::new(0, Report::default()));
    }
    let error = RequestError::ConnectionLost(ConnectionLostReason::Closed);
    let (phase, delivery) = (Phase::Receiving, Delivery::Responded);
    Err(Failure::new(error, phase, delivery, Report::default()))
}

/// The bytes for a client, and the verdict. `cuts` are the places where the output is cut.
fn serve(to: ReplyTo, output: &[u8], cuts: &[Index], is_lost: bool) -> (Reply, Vec<u8>, Verdict) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(output.len() + 1)).collect();
    cuts.extend([0, output.len()]);
    cuts.sort_unstable();
    let (mut out, mut reply) = (Vec::new(), Reply::new(to));
    for piece in cuts.windows(2).map(|pair| &output[pair[0]..pair[1]]) {
        reply.stdout(piece, &mut out);
    }
    reply.end(&outcome(is_lost), &mut out);
    let verdict = reply.verdict().expect("the request has ended");
    (reply, out, verdict)
}

/// What both parsers read, which has to be what the verdict says.
fn parsed(to: ReplyTo, sent: &[u8], verdict: Verdict) -> Parsed {
    let shown = String::from_utf8_lossy(sent);
    let by_httparse = parsed_by_httparse(sent, to.head_only);
    let parsed = by_httparse.unwrap_or_else(|error| panic!("{error} in {shown:?}"));
    match parsed_by_http_net(sent, to.head_only) {
        Ok(by_http_net) => assert_eq!(by_http_net, parsed, "{shown:?}"),
        // An application may have a status of its own.
        Err(HttpError::InvalidStatus) => assert!(parsed.status > 599, "{shown:?}"),
        Err(error) => panic!("{error} in {shown:?}"),
    }
    assert!(to.http11 || parsed.interim.is_empty());
    assert!(!parsed.interim.contains(&100));
    let (is_complete, is_reusable) = (parsed.is_complete, parsed.is_reusable);
    match verdict {
        Verdict::Keep => assert!(is_complete && is_reusable && to.keep_alive),
        Verdict::Close => assert!(is_complete && !is_reusable),
        Verdict::Cut { needs_reset: false } => assert!(!is_complete && parsed.status != 0),
        // Without a reset the client would take it for complete.
        Verdict::Cut { needs_reset: true } => assert!(is_complete && !is_reusable && !to.http11),
        Verdict::NothingSent { .. } => assert_eq!((parsed.status, is_complete), (0, false)),
        verdict => panic!("{verdict:?}"),
    }
    parsed
}

proptest! {
    #[test]
    fn two_parsers_read_the_body_that_the_application_sent(
        to in requests(),
        output in outputs(),
        cuts in vec(any::<Index>(), 0..8),
        is_lost in any::<bool>(),
    ) {
        let (reply, sent, verdict) = serve(to, &output.bytes, &cuts, is_lost);
        let parsed = parsed(to, &sent, verdict);
        prop_assert_eq!(reply.status(), Some(parsed.status));
        let gone = ["keep-alive", "trailer", "upgrade", "proxy-connection", "te"];
        let is_gone = |name: &str| gone.iter().any(|it| it.eq_ignore_ascii_case(name));
        prop_assert!(!parsed.fields.iter().any(|field| is_gone(&field.0)));
        let has_body = !to.head_only && !matches!(parsed.status, 204 | 205 | 304);
        let body = if has_body { &output.body[..] } else { b"" };
        prop_assert_eq!(&parsed.body[..], body);
        prop_assert_eq!(reply.body_len(), body.len() as u64);
        // Without an end of its own, a body is complete only with its request.
        let is_delimited = !has_body || reply.is_complete();
        let is_cut = has_body && (!output.is_whole || (is_lost && !is_delimited));
        prop_assert_eq!(matches!(verdict, Verdict::Cut { .. }), is_cut, "{:?}", verdict);
    }

    #[test]
    fn two_parsers_agree_about_any_output(
        to in requests(),
        output in outputs(),
        noise in vec((any::<Index>(), prop_oneof![any::<u8>(), select(b"\r\n: \t0".to_vec())]), 1..4),
        cuts in vec(any::<Index>(), 0..8),
        is_lost in any::<bool>(),
    ) {
        let mut output = output.bytes;
        for (index, byte) in noise {
            let at = index.index(output.len());
            output[at] = byte;
        }
        let (mut reply, mut sent, verdict) = serve(to, &output, &cuts, is_lost);
        parsed(to, &sent, verdict);
        if let Verdict::NothingSent { status } = verdict {
            let verdict = reply.answer(status, &[("X", "y")], b"error", &mut sent);
            let parsed = parsed(to, &sent, verdict);
            prop_assert_eq!(parsed.status, status);
            let body = if to.head_only { &b""[..] } else { b"error" };
            prop_assert_eq!(&parsed.body[..], body);
        }
    }
}
