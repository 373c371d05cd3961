//! Parses the head of an HTTP/1 request (RFC 9112). `cgi::RequestBody` finds the body after it.
//!
//! Anything that two programs could read differently is refused. If they disagree about where a request ends, they
//! disagree about whose request comes next (request smuggling).

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Status};
use memchr::memchr_iter;
use mio_fcgi::cgi;

/// The longest head, in bytes.
pub(crate) const MAX_HEAD: usize = 32 * 1024;
/// The longest request line, in bytes.
pub(crate) const MAX_LINE: usize = 8 * 1024;
/// The most fields of a head.
pub(crate) const MAX_FIELDS: usize = 100;

/// The head of a request.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: &'b str,
    /// The target as a path, without scheme and authority; or `*`.
    pub(crate) target: &'b str,
    /// The authority, if the target had one. It replaces `Host`.
    pub(crate) authority: Option<&'b str>,
    /// False: HTTP/1.0.
    pub(crate) is_http11: bool,
    pub(crate) fields: &'h [Header<'b>],
}

impl<'h, 'b> RequestHead<'h, 'b> {
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

    /// The fields. If the target had an authority, it replaces `Host` (RFC 9112, 3.2.2).
    pub(crate) fn fields_for_application(
        &self,
    ) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + Clone + use<'h, 'b> {
        let authority = self.authority;
        let host = authority.map(|authority| (&b"Host"[..], authority.as_bytes()));
        let is_kept = move |name: &[u8]| authority.is_none() || !name.eq_ignore_ascii_case(b"host");
        let fields = self.pairs().filter(move |field| is_kept(field.0));
        host.into_iter().chain(fields)
    }
}

/// A request that is refused: the status and the reason for the client. The connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) why: &'static str,
}

const fn refuse<T>(status: u16, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, why })
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
/// A head that is too long, that does not begin like HTTP/1, or that has an LF without a CR before it.
pub(crate) fn find_end(bytes: &[u8], seen: &mut usize) -> Result<Option<usize>, Refusal> {
    match bytes {
        // A CR may be the first half of an empty line.
        [] | [b'\r'] => return Ok(None),
        [first, ..] if first.is_ascii_alphabetic() => {}
        // Without this check, the proxy would wait for the rest of a TLS greeting, for example, until the timeout.
        _ => return refuse(400, "this is not HTTP/1"),
    }
    // Before the search for the end: otherwise the result would depend on how the bytes were split into reads.
    let line = &bytes[..bytes.len().min(MAX_LINE)];
    if line.len() == MAX_LINE && !line.contains(&b'\n') {
        return refuse(414, "the request line is too long");
    }
    let from = *seen;
    let within = bytes.len().min(MAX_HEAD);
    // Line by line: for a typical browser's head this takes a tenth of the instructions of a look at each byte.
    for at in memchr_iter(b'\n', &bytes[from..within]) {
        let end = from + at + 1;
        if bytes[..end].ends_with(END) {
            return Ok(Some(end));
        }
        // RFC 9112, 2.2: another program may not accept LF alone as a line end. And if all lines of a head end in LF
        // alone, its end would never be found.
        if !bytes[..end].ends_with(b"\r\n") {
            return refuse(400, "lines must end in CR and LF");
        }
    }
    *seen = within;
    if bytes.len() >= MAX_HEAD {
        return refuse(431, "the head of the request is too long");
    }
    Ok(None)
}

const END: &[u8] = b"\r\n\r\n";

/// Memory for the fields of one head.
pub(crate) type FieldSpace<'b> = [MaybeUninit<Header<'b>>; MAX_FIELDS];

/// Parses a complete head, as found by [`find_end`].
///
/// # Errors
/// A request that is refused.
pub(crate) fn parse<'h, 'b>(
    bytes: &'b [u8],
    space: &'h mut FieldSpace<'b>,
) -> Result<RequestHead<'h, 'b>, Refusal> {
    // The parser also refuses a CR alone, and a line that begins with a blank.
    let mut request = httparse::Request::new(&mut []);
    match ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, space) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return refuse(400, "the head is incomplete"),
        Err(Error::TooManyHeaders) => return refuse(431, "too many fields"),
        Err(Error::Version) => return refuse(505, "only HTTP/1.0 and HTTP/1.1 are supported"),
        Err(Error::HeaderName) => return refuse(400, "the name of a field is not a token"),
        Err(Error::HeaderValue) => {
            return refuse(400, "the value of a field contains a control byte");
        }
        Err(Error::NewLine | Error::Status | Error::Token) => {
            return refuse(400, "the request line cannot be read");
        }
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return refuse(400, "the request line cannot be read");
    };
    if target.len() > MAX_LINE {
        return refuse(414, "the target is too long");
    }
    let is_http11 = version == 1;
    let (target, authority) = split_target(method, target)?;
    check_host(is_http11, request.headers)?;
    Ok(RequestHead {
        method,
        target,
        authority,
        is_http11,
        fields: request.headers,
    })
}

/// Splits a target into path and authority. RFC 9112, 3.2: it is a path, a whole URI, or `*`.
fn split_target<'b>(method: &str, target: &'b str) -> Result<(&'b str, Option<&'b str>), Refusal> {
    if method == "CONNECT" || method == "TRACE" {
        return refuse(405, "this method is not supported");
    }
    if target.contains('#') {
        // Some programs would cut the target off at the fragment.
        return refuse(400, "the target has a fragment");
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target, None));
    }
    let scheme_len = "http://".len();
    let is_absolute = target
        .get(..scheme_len)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if !is_absolute {
        return refuse(400, "the target is neither a path nor a URI");
    }
    let rest = &target[scheme_len..];
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || !cgi::is_valid_host(authority) {
        return refuse(400, "the target's authority is not a host");
    }
    match path {
        "" if method == "OPTIONS" => Ok(("*", Some(authority))),
        "" => Ok(("/", Some(authority))),
        path if path.starts_with('/') => Ok((path, Some(authority))),
        _ => refuse(400, "the target has no path"),
    }
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
