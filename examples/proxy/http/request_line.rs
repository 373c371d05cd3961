//! The first line of a request (RFC 9112, 3).

use memchr::{memchr, memrchr};

use super::refusal::{Refusal, refuse};

/// The parts of a request line.
#[derive(Debug)]
pub(crate) struct RequestLine<'b> {
    /// A token.
    pub(crate) method: &'b str,
    /// The target as sent, without blanks and control bytes.
    pub(crate) target: &'b [u8],
    /// False: HTTP/1.0.
    pub(crate) is_http11: bool,
}

/// Parses a line, without its line end.
///
/// # Errors
/// A line that is refused, as soon as it is there: a client of HTTP/0.9 sends nothing more.
pub(crate) fn parse(line: &[u8]) -> Result<RequestLine<'_>, Refusal> {
    let (method, rest) = match memchr(b' ', line) {
        Some(blank) => (&line[..blank], &line[blank + 1..]),
        None => (line, &[][..]),
    };
    let method = match std::str::from_utf8(method) {
        Ok(method) if !method.is_empty() && method.bytes().all(is_token_byte) => method,
        _ => return refuse(400, "the method is not a token"),
    };
    if rest.is_empty() {
        return refuse(400, "the request line has no target");
    }
    let Some(blank) = memrchr(b' ', rest) else {
        return refuse(400, "the request line has no version, as in HTTP/0.9");
    };
    let (target, version) = (&rest[..blank], &rest[blank + 1..]);
    let is_http11 = match version {
        b"HTTP/1.0" => false,
        // RFC 9110, 2.5: a higher minor version adds nothing that has to be understood.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => true,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return refuse(505, "only HTTP/1.0 and HTTP/1.1 are supported");
        }
        _ => return refuse(400, "the version is not HTTP/1.0 or HTTP/1.1"),
    };
    // As a rule there is none of these, and the loop takes several bytes at a time.
    let is_odd = |so_far, byte: &u8| so_far | (*byte <= b' ') | (*byte == 0x7f);
    if target.is_empty() || target.iter().fold(false, is_odd) {
        if target.is_empty() || target.contains(&b' ') {
            return refuse(400, "the target has a blank in it, or there is none");
        }
        return refuse(400, "the target has a control byte in it");
    }
    Ok(RequestLine {
        method,
        target,
        is_http11,
    })
}

/// RFC 9110, 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
