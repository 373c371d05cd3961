//! Two HTTP/1 clients that share no code, which have to read the same in what a reply writes.

use http_net::{ClientConn, ClientEvent, HttpError, Limits, Request};
use mio_fcgi::cgi::{ReplyTo, Verdict};

/// What both parsers read, which has to be what the verdict says.
pub(crate) fn parsed(to: ReplyTo, sent: &[u8], verdict: Verdict) -> Parsed {
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

/// What a client makes of the bytes that it got until the server closed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Parsed {
    pub(crate) interim: Vec<u16>,
    /// 0: there was none.
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_complete: bool,
    /// Whether the connection could have been used again.
    pub(crate) is_reusable: bool,
}

/// As the crate `http-net` reads it.
fn parsed_by_http_net(sent: &[u8], head_only: bool) -> Result<Parsed, HttpError> {
    let mut parsed = Parsed::default();
    let mut client = ClientConn::with_limits(NO_LIMITS);
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

/// What is too long or too many is for the reply to say.
const NO_LIMITS: Limits = Limits::new()
    .with_max_header_bytes(1 << 20)
    .with_max_headers(MOST_FIELDS)
    .with_max_field_line(1 << 20)
    .with_max_interim(u16::MAX)
    .with_max_body(u64::MAX);

const MOST_FIELDS: usize = 1024;

/// As the crate `httparse` reads heads and the sizes of chunks, with the rules of RFC 9112, 6.3 between them.
fn parsed_by_httparse(sent: &[u8], head_only: bool) -> Result<Parsed, httparse::Error> {
    let mut parsed = Parsed::default();
    let mut rest = sent;
    loop {
        let mut space = [httparse::EMPTY_HEADER; MOST_FIELDS];
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
