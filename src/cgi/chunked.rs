//! Decodes a chunked body as it arrives (RFC 9112, 7.1).

use thiserror::Error;

use super::bytes::is_token;

/// Decodes a chunked body from pieces of any size, without copying: the transfer coding `chunked` (RFC 9112, 7.1).
///
/// ```
/// use mio_fcgi::cgi::ChunkedDecoder;
///
/// let mut decoder = ChunkedDecoder::default();
/// let (mut body, mut rest) = (Vec::new(), &b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\nGET /next"[..]);
/// while !rest.is_empty() && !decoder.is_done() {
///     let decoded = decoder.decode(rest)?;
///     body.extend_from_slice(decoded.content);
///     rest = &rest[decoded.used..];
/// }
/// assert!(decoder.is_done());
/// assert_eq!((&body[..], rest), (&b"hello world"[..], &b"GET /next"[..]));
/// # Ok::<(), mio_fcgi::cgi::ChunkedError>(())
/// ```
///
/// Lines must end in CR LF. Chunk extensions and trailer fields are checked and dropped; a size line, and all trailer
/// fields together, may have 4,096 bytes. All extensions together may have 16 KiB more than the content before them.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    place: Place,
    /// Bytes so far of the current size line, or of the trailer section.
    line_len: usize,
    /// Bytes of extensions so far for which there was no content.
    extensions_len: u64,
}

/// What [`ChunkedDecoder::decode`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decoded<'a> {
    /// The number of bytes of the piece that were used. They belong to the body.
    pub used: usize,
    /// The content among those bytes; may be empty.
    pub content: &'a [u8],
}

/// Why a body is not chunked as RFC 9112, 7.1 requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChunkedError {
    /// A chunk does not begin with a size in hexadecimal digits.
    #[error("a chunk has no size")]
    NoSize,
    /// The size of a chunk has more than 15 digits.
    #[error("a chunk's size is too large")]
    SizeTooLarge,
    /// A size line, or the trailer section, has more than 4,096 bytes.
    #[error("a chunk's line or the trailer section is too long")]
    LineTooLong,
    /// The chunk extensions have more than 16 KiB beyond the content: the body is nearly all framing.
    #[error("the chunk extensions are too long for the content")]
    ExtensionsTooLong,
    /// A byte is where it may not be, such as content after the end of a chunk or LF without CR.
    #[error("the chunked body is malformed")]
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the digits of a chunk size.
    Size {
        size: u64,
        digits: u32,
    },
    /// In the blanks between a size and an extension (RFC 9112, 7.1.1; RFC 9110, 5.6.3).
    Blanks {
        size: u64,
    },
    /// In a chunk extension, which is ignored.
    Extension {
        size: u64,
    },
    /// After the CR of a size line.
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    /// In the name of a trailer field.
    TrailerName,
    /// In the value of a trailer field, which is ignored.
    Trailer,
    TrailerLf,
    /// After the CR of the last line.
    LastLf,
    Done,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl ChunkedDecoder {
    /// Whether the body is complete: its last chunk and its trailer section were decoded.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// Decodes the next content of a piece. Call it again with the rest of the piece until nothing is left, or the body
    /// [is complete](Self::is_done): the rest then belongs to what follows the body.
    ///
    /// # Errors
    /// [`ChunkedError`]. The decoder cannot go on after an error.
    pub fn decode<'a>(&mut self, piece: &'a [u8]) -> Result<Decoded<'a>, ChunkedError> {
        let framing_len = self.skip_framing(piece)?;
        let rest = &piece[framing_len..];
        let left = usize::try_from(self.chunk_left()).unwrap_or(usize::MAX);
        let content = &rest[..rest.len().min(left)];
        self.skip_content(content.len() as u64);
        let used = framing_len + content.len();
        Ok(Decoded { used, content })
    }

    /// Takes what is not content from the front of a piece, up to the next content or the end of the body. Returns the
    /// number of bytes.
    pub(super) fn skip_framing(&mut self, piece: &[u8]) -> Result<usize, ChunkedError> {
        let mut used = 0;
        while !matches!(self.place, Place::Data { .. } | Place::Done) {
            let Some(byte) = piece.get(used) else {
                break;
            };
            used += 1;
            self.line_len += 1;
            if self.line_len > MAX_LINES {
                return Err(ChunkedError::LineTooLong);
            }
            self.place = self.step(*byte)?;
            if matches!(self.place, Place::Extension { .. }) {
                self.extensions_len += 1;
                if self.extensions_len > MAX_EXTENSIONS {
                    return Err(ChunkedError::ExtensionsTooLong);
                }
            }
        }
        Ok(used)
    }

    /// The bytes of content that are left of the current chunk; 0 outside of a chunk.
    pub(super) fn chunk_left(&self) -> u64 {
        match self.place {
            Place::Data { left } => left,
            _ => 0,
        }
    }

    /// Takes content, at most [`chunk_left`](Self::chunk_left) bytes.
    pub(super) fn skip_content(&mut self, len: u64) {
        if let Place::Data { left } = self.place {
            let left = left.saturating_sub(len);
            self.place = match left {
                0 => Place::DataCr,
                left => Place::Data { left },
            };
            self.extensions_len = self.extensions_len.saturating_sub(len);
        }
    }

    fn step(&mut self, byte: u8) -> Result<Place, ChunkedError> {
        Ok(match (self.place, byte) {
            (Place::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return Err(ChunkedError::SizeTooLarge);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                Place::Size {
                    size: size * 16 + u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Place::Size { digits: 0, .. }, _) => return Err(ChunkedError::NoSize),
            (Place::Size { size, .. } | Place::Extension { size }, b'\r') => Place::SizeLf { size },
            (Place::Size { size, .. } | Place::Blanks { size }, b';') => Place::Extension { size },
            (Place::Size { size, .. } | Place::Blanks { size }, b' ' | b'\t') => {
                Place::Blanks { size }
            }
            (Place::Extension { .. }, byte) if is_text(byte) => self.place,
            (Place::SizeLf { size: 0 }, b'\n') => {
                self.line_len = 0;
                Place::TrailerStart
            }
            (Place::SizeLf { size }, b'\n') => {
                self.line_len = 0;
                Place::Data { left: size }
            }
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => {
                self.line_len = 0;
                Place::default()
            }
            (Place::TrailerStart, b'\r') => Place::LastLf,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::TrailerStart | Place::TrailerName, byte) if is_token(&[byte]) => {
                Place::TrailerName
            }
            (Place::TrailerName, b':') => Place::Trailer,
            (Place::Trailer, byte) if is_text(byte) => Place::Trailer,
            (Place::TrailerLf, b'\n') => Place::TrailerStart,
            (Place::LastLf, b'\n') => Place::Done,
            _ => return Err(ChunkedError::Malformed),
        })
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// 15 hexadecimal digits cannot overflow.
const MAX_DIGITS: u32 = 15;

/// The most bytes of one size line, and of the whole trailer section.
const MAX_LINES: usize = 4096;

/// The most bytes of extensions without content.
const MAX_EXTENSIONS: u64 = 16 * 1024;
