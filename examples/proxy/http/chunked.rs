//! Decodes a chunked body as it arrives (RFC 9112, 7.1).

use super::head::Refusal;

/// The state of the decoder.
#[derive(Debug)]
pub(crate) struct Chunked {
    place: Place,
    /// Bytes so far of the current size line, or of the trailer section.
    line_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the digits of a chunk size.
    Size {
        size: u64,
        digits: u32,
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

/// The result of decoding a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    /// Number of bytes of the piece that were used.
    pub(crate) used: usize,
    /// The content among those bytes, if any.
    pub(crate) content: &'a [u8],
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Size { size: 0, digits: 0 },
            line_len: 0,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// Decodes up to the end of the next content. Call it again with the rest until nothing is left.
    ///
    /// # Errors
    /// Chunk sizes, lines and trailers that violate the RFC or are longer than necessary. Lines must end in CR LF.
    pub(crate) fn decode<'a>(&mut self, piece: &'a [u8]) -> Result<Decoded<'a>, Refusal> {
        let mut used = 0;
        while self.place != Place::Done {
            if let Place::Data { left } = &mut self.place {
                let rest = &piece[used..];
                let len = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= len as u64;
                if *left == 0 {
                    self.place = Place::DataCr;
                }
                let content = &rest[..len];
                let used = used + len;
                return Ok(Decoded { used, content });
            }
            let Some(byte) = piece.get(used) else {
                break;
            };
            used += 1;
            self.line_len += 1;
            if self.line_len > MAX_LINES {
                return refuse("a chunk's line or the trailer section is too long");
            }
            self.place = self.step(*byte)?;
        }
        let content = &[];
        Ok(Decoded { used, content })
    }

    fn step(&mut self, byte: u8) -> Result<Place, Refusal> {
        Ok(match (self.place, byte) {
            (Place::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                if digits == MAX_DIGITS {
                    return refuse("a chunk's size is too large");
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                Place::Size {
                    size: size * 16 + u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Place::Size { digits: 0, .. }, _) => return refuse("a chunk has no size"),
            (Place::Size { size, .. } | Place::Extension { size }, b'\r') => Place::SizeLf { size },
            (Place::Size { size, .. }, b';') => Place::Extension { size },
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
                Place::Size { size: 0, digits: 0 }
            }
            (Place::TrailerStart, b'\r') => Place::LastLf,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::TrailerStart | Place::TrailerName, byte) if is_of_name(byte) => {
                Place::TrailerName
            }
            (Place::TrailerName, b':') => Place::Trailer,
            (Place::Trailer, byte) if is_text(byte) => Place::Trailer,
            (Place::TrailerLf, b'\n') => Place::TrailerStart,
            (Place::LastLf, b'\n') => Place::Done,
            _ => return refuse("the chunked body is malformed"),
        })
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// A byte of a token (RFC 9110, 5.6.2).
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const fn refuse<T>(why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status: 400, why })
}

/// 15 hexadecimal digits cannot overflow.
const MAX_DIGITS: u32 = 15;

/// The most bytes of one size line, and of the whole trailer section.
const MAX_LINES: usize = 4096;
