//! How the client finds the end of a body (RFC 9112, 6), and the bytes for that.

use super::chunked::ChunkedDecoder;
use super::head::Head;
use super::{ResponseError, has_body};

/// How the client finds the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body: HEAD, 204, 205, 304. One that the application sends all the same is dropped.
    None,
    /// `Content-Length`: `left` bytes are still to be passed on.
    Counted { declared: u64, left: u64 },
    /// The last chunk ends the body.
    Chunked,
    /// The end of the connection ends the body, for HTTP/1.0.
    Close,
}

/// The progress of a body.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) framing: Framing,
    /// For an application that has chunked the body itself.
    pub(super) decoder: Option<ChunkedDecoder>,
}

impl Body {
    pub(super) fn new(head: &Head<'_>, head_only: bool, http11: bool, is_chunked: bool) -> Self {
        let method = if head_only { "HEAD" } else { "GET" };
        let framing = match head.content_length() {
            _ if head.status() == RESET_CONTENT || !has_body(method, head.status()) => {
                Framing::None
            }
            Some(declared) if !is_chunked => Framing::Counted {
                declared,
                left: declared,
            },
            _ if http11 => Framing::Chunked,
            _ => Framing::Close,
        };
        let decoder = (is_chunked && framing != Framing::None).then(ChunkedDecoder::default);
        Self { framing, decoder }
    }

    /// Whether the body has all its bytes, whatever the application sends after them.
    pub(super) fn is_complete(&self) -> bool {
        match (self.framing, &self.decoder) {
            (Framing::None | Framing::Counted { left: 0, .. }, _) => true,
            (_, Some(decoder)) => decoder.is_done(),
            (_, None) => false,
        }
    }

    /// Why the body may not end here.
    pub(super) fn end(&self) -> Result<(), ResponseError> {
        match (self.framing, &self.decoder) {
            (Framing::Counted { declared, left }, _) if left > 0 => {
                Err(ResponseError::LengthMismatch {
                    declared,
                    received: declared - left,
                })
            }
            (_, Some(decoder)) if !decoder.is_done() => Err(ResponseError::Truncated),
            _ => Ok(()),
        }
    }
}

/// Whether the application has chunked the body itself. Values that are no transfer coding, such as `binary`, do not
/// count: some scripts confuse this field with the one of mail.
///
/// # Errors
/// The body has a coding that cannot be removed here, so that the client could not read it.
pub(super) fn is_chunked(head: &Head<'_>) -> Result<bool, ResponseError> {
    if !head.has_transfer_encoding() {
        return Ok(false);
    }
    let fields = head.fields();
    let values = fields.filter(|field| field.0.eq_ignore_ascii_case(b"transfer-encoding"));
    let codings = values.flat_map(|field| field.1.split(|byte| *byte == b','));
    let (mut chunked, mut compressed) = (0, 0);
    for coding in codings {
        let name = coding.split(|byte| *byte == b';').next();
        let name = name.unwrap_or_default().trim_ascii();
        let is = |coding: &&[u8]| coding.eq_ignore_ascii_case(name);
        chunked += usize::from(is(&&b"chunked"[..]));
        compressed += usize::from(COMPRESSIONS.iter().any(is));
    }
    match (chunked, compressed) {
        (0 | 1, 0) => Ok(chunked == 1),
        _ => Err(ResponseError::TransferEncoding),
    }
}

/// Appends the size line of a chunk. `len` must not be 0: that would be the last chunk.
pub(super) fn write_chunk_size(out: &mut Vec<u8>, len: usize) {
    let mut text = *b"0000000000000000\r\n";
    let mut start = text.len() - 2;
    let mut left = len;
    while left > 0 {
        start -= 1;
        text[start] = b"0123456789abcdef"[left & 15];
        left >>= 4;
    }
    out.extend_from_slice(&text[start..]);
}

pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Has no body, and unlike 204 has to say so with `Content-Length: 0` (RFC 9110, 15.3.6).
pub(super) const RESET_CONTENT: u16 = 205;

/// RFC 9112, 7.2.
const COMPRESSIONS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
