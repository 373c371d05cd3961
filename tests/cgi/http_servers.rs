//! Two HTTP/1 servers that share no code, which have to find the same body in a request as a [`RequestBody`] does.

use http_net::{HttpError, Limits, ServerConn, ServerEvent};
use mio_fcgi::cgi::{RequestBody, RequestBodyError};

/// The most bytes of content that each of them takes.
pub(crate) const MAX_LEN: u64 = 200;

/// What a server finds in the bytes that it got.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) content: Vec<u8>,
    /// The bytes after the body, if it is complete.
    pub(crate) after: Option<Vec<u8>>,
}

/// What a `RequestBody` finds in these pieces, which has to be what the two servers find. `step` is the most content
/// that is taken at once. `None`: the head cannot be parsed.
pub(crate) fn found<'p>(
    pieces: impl Iterator<Item = &'p [u8]>,
    step: usize,
) -> Option<Result<Found, RequestBodyError>> {
    let mut sent = Vec::new();
    let found = found_by_request_body(pieces, step, &mut sent)?;
    let shown = String::from_utf8_lossy(&sent);
    match (&found, found_by_http_net(&sent)) {
        (Ok(found), Ok(by_http_net)) => assert_eq!(*found, by_http_net, "{shown:?}"),
        (Ok(_), Err(error)) => {
            // Equal lengths may be taken for one or refused (RFC 9110, 8.6). It reads the extensions of chunks, counts
            // the fields of a trailer section, and looks at the other fields of the head, too.
            let is_stricter = matches!(
                error,
                HttpError::DuplicateContentLength
                    | HttpError::InvalidContentLength
                    | HttpError::InvalidChunkExtension
                    | HttpError::ChunkExtensionsTooLarge
                    | HttpError::TooManyHeaders
                    | HttpError::InvalidHost
            );
            assert!(is_stricter, "{error} in {shown:?}");
        }
        // It reads whole lines.
        (Err(_), Err(_) | Ok(Found { after: None, .. })) => {}
        // It takes `, chunked` for `chunked`.
        (Err(RequestBodyError::TransferEncoding), Ok(_)) if sent.contains(&b',') => {}
        // It leaves other expectations to the embedder.
        (Err(RequestBodyError::Expectation), Ok(_)) => {}
        (Err(error), Ok(by_http_net)) => panic!("{error}, but {by_http_net:?} in {shown:?}"),
    }
    if let Ok(found) = &found {
        assert_eq!(Some(found), found_by_httparse(&sent).as_ref(), "{shown:?}");
    }
    Some(found)
}

fn found_by_request_body<'p>(
    pieces: impl Iterator<Item = &'p [u8]>,
    step: usize,
    sent: &mut Vec<u8>,
) -> Option<Result<Found, RequestBodyError>> {
    let (mut content, mut unread) = (Vec::new(), Vec::new());
    let mut body = None;
    let mut is_refused = None;
    for piece in pieces {
        sent.extend_from_slice(piece);
        unread.extend_from_slice(piece);
        if body.is_none() {
            let mut space = [httparse::EMPTY_HEADER; 16];
            let mut head = httparse::Request::new(&mut space);
            let httparse::Status::Complete(len) = head.parse(&unread).ok()? else {
                continue;
            };
            // This parser takes LF for the end of a line; what that does to a head is not the subject here.
            let mut ends = (0..len).filter(|at| unread[*at] == b'\n');
            if !ends.all(|at| unread[..at].ends_with(b"\r")) {
                return None;
            }
            let fields = head.headers.iter();
            let fields = fields.map(|field| (field.name.as_bytes(), field.value));
            match RequestBody::new(head.version == Some(1), fields, MAX_LEN) {
                Ok(made) => body = Some(made),
                Err(error) => is_refused = is_refused.or(Some(error)),
            }
            if is_refused.is_none() {
                unread.drain(..len);
            }
        }
        let Some(body) = &mut body else {
            continue;
        };
        let mut input = &unread[..];
        loop {
            match body.peek(&mut input) {
                Ok(Some(shown)) => {
                    let taken = shown.len().min(step);
                    content.extend_from_slice(&shown[..taken]);
                    body.consume(&mut input, taken);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(is_refused.is_none_or(|first| first == error));
                    is_refused = Some(error);
                    break;
                }
            }
        }
        let used = unread.len() - input.len();
        unread.drain(..used);
    }
    if let Some(error) = is_refused {
        return Some(Err(error));
    }
    let body = body?;
    assert_eq!(body.received(), content.len() as u64);
    let after = body.is_complete().then_some(unread);
    Some(Ok(Found { content, after }))
}

/// As the crate `http-net` reads it.
fn found_by_http_net(sent: &[u8]) -> Result<Found, HttpError> {
    let mut server = ServerConn::with_limits(Limits::new().with_max_body(MAX_LEN));
    let (mut content, mut rest) = (Vec::new(), sent);
    loop {
        rest = &rest[server.feed(rest)..];
        match server.poll()? {
            ServerEvent::Request(_) => {}
            ServerEvent::Body(bytes) => content.extend_from_slice(bytes),
            ServerEvent::NeedInput if !rest.is_empty() => {}
            ServerEvent::NeedInput => {
                let after = None;
                return Ok(Found { content, after });
            }
            ServerEvent::RequestEnd => {
                let after = Some([server.remaining_input(), rest].concat());
                return Ok(Found { content, after });
            }
            event => panic!("{event:?}"),
        }
    }
}

/// As the crate `httparse` reads heads and the sizes of chunks, with the rules of RFC 9112, 6.3 between them. `None`: it
/// is refused.
fn found_by_httparse(sent: &[u8]) -> Option<Found> {
    let mut space = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Request::new(&mut space);
    let httparse::Status::Complete(len) = head.parse(sent).ok()? else {
        return None;
    };
    let rest = &sent[len..];
    let values = |wanted: &str| {
        let fields = head.headers.iter();
        let fields = fields.filter(|field| field.name.eq_ignore_ascii_case(wanted));
        let text = |value: &[u8]| String::from_utf8_lossy(value).to_ascii_lowercase();
        let values: Vec<String> = fields.map(|field| text(field.value)).collect();
        values
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    if codings.is_empty() {
        let all = lengths.join(",");
        let mut all = all.split(',').map(|it| it.trim_matches([' ', '\t']));
        let first = all
            .next()
            .filter(|it| !lengths.is_empty() || !it.is_empty());
        let len: usize = first.map_or(Some(0), |it| it.parse().ok())?;
        if !all.all(|it| it.parse() == Ok(len)) {
            return None;
        }
        let content = rest[..rest.len().min(len)].to_vec();
        let after = rest.get(len..).map(<[u8]>::to_vec);
        return Some(Found { content, after });
    }
    if !lengths.is_empty() || codings != ["chunked"] || head.version != Some(1) {
        return None;
    }
    let (mut content, mut rest) = (Vec::new(), rest);
    while let httparse::Status::Complete(line) = httparse::parse_chunk_size(rest).ok()? {
        let (len, size) = line;
        rest = &rest[len..];
        if size == 0 {
            let mut space = [httparse::EMPTY_HEADER; 1024];
            let status = httparse::parse_headers(rest, &mut space).ok()?;
            let httparse::Status::Complete((len, _)) = status else {
                break;
            };
            let after = Some(rest[len..].to_vec());
            return Some(Found { content, after });
        }
        let size = usize::try_from(size).ok()?;
        content.extend_from_slice(&rest[..size.min(rest.len())]);
        rest = match rest.get(size..) {
            None | Some([] | b"\r") => break,
            Some(after) => after.strip_prefix(b"\r\n")?,
        };
    }
    let after = None;
    Some(Found { content, after })
}
