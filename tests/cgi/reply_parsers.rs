//! What a reply writes means the same to two HTTP/1 parsers that share no code, and what the reply says it means.

use mio_fcgi::cgi::{Reply, ReplyTo, Verdict};
use mio_fcgi::{
    Completion, ConnectionLostReason, Delivery, Failure, Outcome, Phase, Report, RequestError,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::http_clients::parsed;

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
