//! Parses the head of an HTTP/1 request (RFC 9112). `cgi::RequestBody` finds the body after it.
//!
//! Anything that two programs could read differently is refused. If they disagree about where a request ends, they
//! disagree about whose request comes next (request smuggling).

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Error, Header, Status};
use memchr::{memchr, memchr_iter};
use mio_fcgi::cgi;

use super::refusal::{Refusal, refuse};
use super::request_line::{self, RequestLine};

/// The limits of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// The longest head, in bytes.
    pub(crate) head: usize,
    /// The longest request line, in bytes.
    pub(crate) line: usize,
    /// The most fields, at most [`MAX_FIELDS`].
    pub(crate) fields: usize,
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: &'b str,
    /// The target as a path, without scheme and authority; or `*`. Its bytes may be any but blanks and control bytes.
    pub(crate) target: Cow<'b, [u8]>,
    /// The authority, if the target had one. It replaces `Host`.
    pub(crate) authority: Option<&'b str>,
    /// The fields that describe a body do not count: see [`redirected`](Self::redirected).
    is_redirected: bool,
    /// False: HTTP/1.0.
    pub(crate) is_http11: bool,
    pub(crate) fields: &'h [Header<'b>],
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// The request for a path that an application named in response to this one: a GET without a body, or a HEAD, with
    /// the fields of this request (RFC 3875, 6.2.2).
    pub(crate) fn redirected(self, target: Vec<u8>) -> Self {
        Self {
            method: if self.method == "HEAD" { "HEAD" } else { "GET" },
            target: Cow::Owned(target),
            is_redirected: true,
            ..self
        }
    }

    /// The host that is asked for, from the target or from `Host`.
    pub(crate) fn host(&self) -> Option<&'b str> {
        let in_field = || std::str::from_utf8(self.field("host")?.trim_ascii()).ok();
        self.authority.or_else(in_field)
    }

    /// The first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&'b [u8]> {
        self.values(name).next()
    }

    /// All values of a field.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The fields as names and values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone + use<'h, 'b> {
        let fields = self.fields.iter();
        fields.map(|field| (field.name.as_bytes(), field.value))
    }

    /// The fields. `host`, or else the authority of the target if it had one, replaces `Host` (RFC 9112, 3.2.2). After a
    /// redirect, those of the body are left out. So are those of which `is_hidden` says so, and fields such as
    /// `X-Accel-Mapping`, with which a server tells an application how to name files: a client could have other files sent.
    pub(crate) fn fields_for_application(
        &self,
        host: Option<&'b str>,
        is_hidden: Option<fn(&[u8]) -> bool>,
    ) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone + use<'h, 'b> {
        let (host, is_redirected) = (host.or(self.authority), self.is_redirected);
        let is_of_body = |name: &[u8]| {
            let start = name.split_at_checked(8);
            start.is_some_and(|start| start.0.eq_ignore_ascii_case(b"content-"))
                || name.eq_ignore_ascii_case(b"expect")
        };
        let fields = self.pairs().filter(move |(name, _)| {
            let is_replaced = host.is_some() && name.eq_ignore_ascii_case(b"host");
            let is_hidden = is_hidden.is_some_and(|is_hidden| is_hidden(name));
            let is_hidden = is_hidden || cgi::is_for_server(name);
            !(is_replaced || is_redirected && is_of_body(name) || is_hidden)
        });
        let host = host.map(|host| (&b"Host"[..], host.as_bytes()));
        host.into_iter().chain(fields)
    }
}

/// The length of the empty lines at the start of `bytes`. An empty line is CR LF; CR or LF alone is none (RFC 9112,
/// 2.2).
pub(crate) fn empty_lines(bytes: &[u8]) -> usize {
    let (pairs, _) = bytes.as_chunks::<2>();
    2 * pairs.iter().take_while(|pair| *pair == b"\r\n").count()
}

/// The length of the head at the start of `bytes`, with its blank line. `None` if the head is incomplete.
///
/// `seen` is the number of bytes that were searched before. It is updated.
///
/// # Errors
/// A head that is too long, that does not begin with a request line of HTTP/1, or that has an LF without a CR before it.
pub(crate) fn find_end(
    bytes: &[u8],
    limits: HeadLimits,
    seen: &mut usize,
) -> Result<Option<usize>, Refusal> {
    match bytes {
        // A CR may be the first half of an empty line.
        [] | [b'\r'] => return Ok(None),
        [first, ..] if first.is_ascii_alphabetic() => {}
        // Without this check, the proxy would wait for the rest of a TLS greeting, for example, until the timeout.
        _ => return refuse(400, "this is not HTTP/1"),
    }
    // Before the search for the end: otherwise the result would depend on how the bytes were split into reads.
    let line = &bytes[..bytes.len().min(limits.line)];
    if line.len() == limits.line && memchr(b'\n', line).is_none() {
        return refuse(414, "the request line is too long");
    }
    let from = *seen;
    let within = bytes.len().min(limits.head);
    let mut is_right = true;
    // Line by line: for a typical browser's head this takes a tenth of the instructions of a look at each byte.
    for at in memchr_iter(b'\n', &bytes[from..within]) {
        let end = from + at + 1;
        if bytes[..end].ends_with(END) {
            return Ok(Some(end));
        }
        // RFC 9112, 2.2: another program may not accept LF alone as a line end. And if all lines of a head end in LF
        // alone, its end would never be found.
        is_right = bytes[..end].ends_with(b"\r\n");
        if !is_right {
            break;
        }
    }
    // That of a complete head is parsed with it.
    if memchr(b'\n', &bytes[..from]).is_none()
        && let Some(at) = memchr(b'\n', &bytes[..within])
        && let Some(line) = bytes[..at].strip_suffix(b"\r")
    {
        request_line::parse(line)?;
    }
    if !is_right {
        return refuse(400, "lines must end in CR and LF");
    }
    *seen = within;
    if bytes.len() >= limits.head {
        return refuse(431, "the head of the request is too long");
    }
    Ok(None)
}

const END: &[u8] = b"\r\n\r\n";

/// The most fields that a limit may allow.
const MAX_FIELDS: usize = 256;

/// Memory for the fields of one head.
#[derive(Debug)]
pub(crate) struct FieldSpace<'b> {
    few: [Header<'b>; FEW],
    /// Empty unless a head has more fields than that.
    many: Vec<Header<'b>>,
}

/// Making room for more than a browser sends would take longer than parsing that.
const FEW: usize = 32;

impl FieldSpace<'_> {
    pub(crate) fn new() -> Self {
        Self {
            few: [EMPTY_HEADER; FEW],
            many: Vec::new(),
        }
    }
}

/// Parses a complete head, as found by [`find_end`].
///
/// # Errors
/// A request that is refused.
pub(crate) fn parse<'h, 'b>(
    bytes: &'b [u8],
    limits: HeadLimits,
    space: &'h mut FieldSpace<'b>,
) -> Result<RequestHead<'h, 'b>, Refusal> {
    let line_len = memchr(b'\n', bytes).map_or(0, |at| at + 1);
    let (line, lines) = bytes.split_at(line_len);
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    let RequestLine {
        method,
        target,
        is_http11,
    } = request_line::parse(line)?;
    let (target, authority) = split_target(method, target)?;
    let most = limits.fields.min(MAX_FIELDS);
    // The parser also refuses a CR alone.
    let mut parsed = httparse::parse_headers(lines, &mut space.few[..most.min(FEW)]);
    if parsed == Err(Error::TooManyHeaders) && most > FEW {
        space.many = vec![EMPTY_HEADER; most];
        parsed = httparse::parse_headers(lines, &mut space.many);
    }
    let fields = match parsed {
        Ok(Status::Complete((_, fields))) => fields,
        Ok(Status::Partial) => return refuse(400, "the head is incomplete"),
        Err(_) if is_folded(lines) => {
            return refuse(400, "a field is folded: a line begins with a blank");
        }
        Err(Error::TooManyHeaders) => return refuse(431, "too many fields"),
        Err(Error::HeaderValue) => {
            return refuse(400, "the value of a field contains a control byte");
        }
        Err(_) => return refuse(400, "the name of a field is not a token"),
    };
    check_host(is_http11, fields)?;
    Ok(RequestHead {
        method,
        target,
        authority,
        is_redirected: false,
        is_http11,
        fields,
    })
}

/// Whether a line begins with a blank, so that it would continue the one before it (RFC 9112, 5.2).
fn is_folded(lines: &[u8]) -> bool {
    let mut lines = lines.split(|byte| *byte == b'\n');
    lines.any(|line| matches!(line, [b' ' | b'\t', ..]))
}

/// A target as a path, and its authority.
type Target<'b> = (Cow<'b, [u8]>, Option<&'b str>);

/// Splits a target into path and authority. RFC 9112, 3.2: it is a path, a whole URI, or `*`.
fn split_target<'b>(method: &str, target: &'b [u8]) -> Result<Target<'b>, Refusal> {
    if method == "CONNECT" {
        return refuse(405, "there are no tunnels here");
    }
    if target.contains(&b'#') {
        // Some programs would cut the target off at the fragment.
        return refuse(400, "the target has a fragment");
    }
    if target.starts_with(b"/") || (target == b"*" && method == "OPTIONS") {
        return Ok((Cow::Borrowed(target), None));
    }
    let Some(rest) = without_scheme(target) else {
        return refuse(400, "the target is neither a path nor a URI of HTTP");
    };
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    let authority = match std::str::from_utf8(authority) {
        Ok(text) if !text.is_empty() && cgi::is_valid_host(text) => text,
        _ => return refuse(400, "the target's authority is not a host"),
    };
    let path = match path {
        // RFC 9112, 3.2.4: the server as a whole.
        b"" if method == "OPTIONS" => Cow::Borrowed(&b"*"[..]),
        [b'/', ..] => Cow::Borrowed(path),
        // An empty path, and perhaps a query: the path is `/` (RFC 9110, 4.2.3).
        query => Cow::Owned([b"/", query].concat()),
    };
    Ok((path, Some(authority)))
}

/// The rest of a URI after `http://` or `https://`. A client that came through a terminator of TLS uses the second.
fn without_scheme(target: &[u8]) -> Option<&[u8]> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme.as_bytes())
            .then_some(rest)
    })
}

/// RFC 9112, 3.2: `Host` is checked even if another host, or none, is used.
fn check_host(is_http11: bool, fields: &[Header<'_>]) -> Result<(), Refusal> {
    let has_host = |field: &&Header<'_>| field.name.eq_ignore_ascii_case("host");
    let mut hosts = fields.iter().filter(has_host);
    match (hosts.next(), hosts.next()) {
        (None, _) if is_http11 => refuse(400, "HTTP/1.1 requires a Host field"),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => refuse(400, "more than one Host"),
        (Some(host), None) if cgi::is_valid_host(host.value.trim_ascii()) => Ok(()),
        (Some(_), None) => refuse(400, "Host is not a host and port"),
    }
}
