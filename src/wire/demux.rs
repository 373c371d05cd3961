//! The incremental demultiplexer: splits received bytes into borrowed pieces of records.

use super::record::{HTTP, not_a_header};
use super::{
    BeginRequest, DecodeError, EndRequest, HEADER_LEN, Header, RecordType, UnknownType, VERSION,
};

/// Splits the bytes of one transport connection into [`Item`]s, in either direction. The bytes may be cut anywhere.
///
/// Keeps at most 8 bytes between calls: a header, or the body of a discrete record, that has arrived in part. The
/// content of streams, of `FCGI_GET_VALUES` and of `FCGI_GET_VALUES_RESULT` is returned in the pieces in which it
/// arrives, so memory use does not depend on what the peer sends. Whether a record is valid in its context (its
/// direction, its request ID, its order) is not checked.
///
/// ```
/// use mio_fcgi::wire::{self, Demux, Item, RecordType};
///
/// let mut bytes = Vec::new();
/// wire::write_stream(&mut bytes, RecordType::Stdout, 1, b"Status: 404\r\n\r\n");
///
/// let mut demux = Demux::default();
/// let mut stdout = Vec::new();
/// for mut input in bytes.chunks(10) {
///     while let Some(item) = demux.next(&mut input)? {
///         if let Item::Stream { data, .. } = item {
///             stdout.extend_from_slice(data);
///         }
///     }
/// }
/// assert_eq!(stdout, b"Status: 404\r\n\r\n");
/// assert!(demux.at_record_boundary());
/// # Ok::<(), wire::DecodeError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Demux {
    stage: Stage,
    /// The header of the current record. Its lengths count down as content and padding are consumed.
    record: Header,
    /// The received part of a header or of a discrete body that was cut. After an error, the header that caused it.
    carry: [u8; HEADER_LEN],
    carried: u8,
}

impl Demux {
    /// Takes the next item off the front of `input`. Returns `None` when `input` is used up.
    ///
    /// Moves `input` past the consumed bytes: at least one byte per item, and all of `input` with `None`. Call until
    /// `None`, then again with the bytes that follow. After [`Item::Stream`] and [`Item::Values`], the consumed bytes
    /// end exactly where `data` ends. An item is returned as soon as its last byte has arrived; the next call consumes
    /// the padding.
    ///
    /// # Errors
    /// [`DecodeError::Version`], [`DecodeError::Http`] and [`DecodeError::ShortBody`]. After an error the start of the
    /// next record is unknown, so each later call returns the same error.
    #[inline]
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a>>, DecodeError> {
        loop {
            match self.stage {
                Stage::Header => {
                    // Most inputs end here.
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let Some(bytes) = self.take_eight(input) else {
                        return self.check_partial_header().map(|()| None);
                    };
                    let header = match Header::decode(&bytes) {
                        Ok(header) => header,
                        Err(error) => return Err(self.fail(bytes, error)),
                    };
                    if let Some(item) = self.begin_record(bytes, header, input)? {
                        return Ok(Some(item));
                    }
                }
                Stage::Body => {
                    let Some(bytes) = self.take_eight(input) else {
                        return Ok(None);
                    };
                    return Ok(Some(self.finish_body(bytes)));
                }
                Stage::Content => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    return Ok(Some(self.take_content(input)));
                }
                Stage::Skip => {
                    if !self.skip_rest(input) {
                        return Ok(None);
                    }
                }
                Stage::Failed => return Err(self.failure()),
            }
        }
    }

    /// Whether the bytes consumed so far end exactly at the end of a record, its padding included.
    ///
    /// True before the first byte, false after an error.
    #[inline]
    #[must_use]
    pub fn at_record_boundary(&self) -> bool {
        matches!(self.stage, Stage::Header) && self.carried == 0
    }

    /// Whether the missing rest of the current record will be skipped. As a rule this rest is padding.
    pub(crate) fn is_skipping(&self) -> bool {
        matches!(self.stage, Stage::Skip)
    }

    /// Begins a record after its header. Returns an item if the header alone makes one.
    #[inline]
    fn begin_record<'a>(
        &mut self,
        bytes: [u8; HEADER_LEN],
        header: Header,
        input: &mut &'a [u8],
    ) -> Result<Option<Item<'a>>, DecodeError> {
        let Header {
            record_type,
            request_id,
            content_len,
            ..
        } = header;
        self.record = header;
        self.stage = Stage::Skip;
        let item = match record_type {
            RecordType::Params
            | RecordType::Stdin
            | RecordType::Stdout
            | RecordType::Stderr
            | RecordType::Data => {
                if content_len > 0 {
                    self.stage = Stage::Content;
                    return Ok(None);
                }
                Item::StreamEnd {
                    record_type,
                    request_id,
                }
            }
            RecordType::GetValues | RecordType::GetValuesResult => {
                if content_len > 0 {
                    self.stage = Stage::Content;
                    return Ok(None);
                }
                Item::Values {
                    record_type,
                    request_id,
                    data: &input[..0],
                    last: true,
                }
            }
            RecordType::BeginRequest | RecordType::EndRequest | RecordType::UnknownType => {
                if content_len < BODY_LEN {
                    return Err(self.fail(
                        bytes,
                        DecodeError::ShortBody {
                            record_type,
                            len: content_len,
                        },
                    ));
                }
                self.stage = Stage::Body;
                return Ok(None);
            }
            RecordType::AbortRequest => Item::Abort { request_id },
            RecordType::Unassigned(record_type) => Item::Unassigned {
                record_type,
                request_id,
            },
        };
        self.end_record_if_used_up();
        Ok(Some(item))
    }

    fn finish_body<'a>(&mut self, bytes: [u8; 8]) -> Item<'a> {
        let Header {
            record_type,
            request_id,
            ..
        } = self.record;
        self.record.content_len -= BODY_LEN;
        self.stage = Stage::Skip;
        self.end_record_if_used_up();
        match record_type {
            RecordType::BeginRequest => Item::Begin {
                request_id,
                body: BeginRequest::decode(&bytes),
            },
            RecordType::EndRequest => Item::End {
                request_id,
                body: EndRequest::decode(&bytes),
            },
            _ => Item::UnknownType {
                request_id,
                record_type: UnknownType::decode(&bytes).record_type,
            },
        }
    }

    #[inline]
    fn take_content<'a>(&mut self, input: &mut &'a [u8]) -> Item<'a> {
        let Header {
            record_type,
            request_id,
            content_len,
            ..
        } = self.record;
        let (data, rest) = input.split_at(input.len().min(usize::from(content_len)));
        *input = rest;
        self.record.content_len -= data.len() as u16;
        let last = self.record.content_len == 0;
        if last {
            self.stage = Stage::Skip;
            self.end_record_if_used_up();
        }
        if record_type.is_stream() {
            Item::Stream {
                record_type,
                request_id,
                data,
            }
        } else {
            Item::Values {
                record_type,
                request_id,
                data,
                last,
            }
        }
    }

    /// Consumes the bytes of the record that yield no item. Returns false when `input` is used up before the record's
    /// end.
    #[inline]
    fn skip_rest(&mut self, input: &mut &[u8]) -> bool {
        let content_len = input.len().min(usize::from(self.record.content_len));
        self.record.content_len -= content_len as u16;
        *input = &input[content_len..];
        let padding_len = input.len().min(usize::from(self.record.padding_len));
        self.record.padding_len -= padding_len as u8;
        *input = &input[padding_len..];
        self.end_record_if_used_up();
        matches!(self.stage, Stage::Header)
    }

    #[inline]
    fn end_record_if_used_up(&mut self) {
        if self.record.content_len == 0 && self.record.padding_len == 0 {
            self.stage = Stage::Header;
        }
    }

    /// The next 8 bytes. `None` when fewer have arrived; all of `input` is then carried over.
    #[inline]
    fn take_eight(&mut self, input: &mut &[u8]) -> Option<[u8; 8]> {
        if self.carried == 0
            && let Some((bytes, rest)) = input.split_first_chunk()
        {
            *input = rest;
            return Some(*bytes);
        }
        self.take_eight_over_cut(input)
    }

    #[cold]
    fn take_eight_over_cut(&mut self, input: &mut &[u8]) -> Option<[u8; 8]> {
        let carried = usize::from(self.carried);
        let (bytes, rest) = input.split_at(input.len().min(self.carry.len() - carried));
        self.carry[carried..carried + bytes.len()].copy_from_slice(bytes);
        *input = rest;
        self.carried += bytes.len() as u8;
        if usize::from(self.carried) < self.carry.len() {
            return None;
        }
        self.carried = 0;
        Some(self.carry)
    }

    /// Fails when the received part cannot become a header, without waiting for the rest of the header.
    #[cold]
    fn check_partial_header(&mut self) -> Result<(), DecodeError> {
        let partial = &self.carry[..usize::from(self.carried)];
        let may_be_http = partial.len() < HTTP.len() && HTTP.starts_with(partial);
        match partial.first() {
            None | Some(&VERSION) => Ok(()),
            Some(_) if may_be_http => Ok(()),
            Some(_) => {
                let error = not_a_header(partial);
                Err(self.fail(self.carry, error))
            }
        }
    }

    #[cold]
    fn fail(&mut self, header: [u8; HEADER_LEN], error: DecodeError) -> DecodeError {
        self.stage = Stage::Failed;
        self.carry = header;
        error
    }

    /// The error that `fail` was given, derived from the header that caused it: storing the error would double the
    /// size.
    #[cold]
    fn failure(&self) -> DecodeError {
        match Header::decode(&self.carry) {
            Ok(Header {
                record_type,
                content_len,
                ..
            }) => DecodeError::ShortBody {
                record_type,
                len: content_len,
            },
            Err(error) => error,
        }
    }
}

impl Default for Demux {
    fn default() -> Self {
        Self {
            stage: Stage::Header,
            record: Header {
                record_type: RecordType::Unassigned(0),
                request_id: 0,
                content_len: 0,
                padding_len: 0,
            },
            carry: [0; HEADER_LEN],
            carried: 0,
        }
    }
}

/// A record, or a piece of one. Borrows the bytes it arrived in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// `FCGI_BEGIN_REQUEST` (5.1).
    Begin {
        /// The request ID.
        request_id: u16,
        /// The role and the flags.
        body: BeginRequest,
    },
    /// `FCGI_ABORT_REQUEST` (5.4). Returned after the header; content, which should be empty, is skipped.
    Abort {
        /// The request ID.
        request_id: u16,
    },
    /// `FCGI_END_REQUEST` (5.5).
    End {
        /// The request ID.
        request_id: u16,
        /// The application status and the protocol status.
        body: EndRequest,
    },
    /// `FCGI_UNKNOWN_TYPE` (4.2).
    UnknownType {
        /// The type that the peer did not understand.
        record_type: u8,
        /// The request ID, [`MANAGEMENT_ID`](super::MANAGEMENT_ID) from a correct peer.
        request_id: u16,
    },
    /// A piece of a stream's content: as much of the record as has arrived. Never empty.
    Stream {
        /// The type of the record: `Params`, `Stdin`, `Stdout`, `Stderr` or `Data`.
        record_type: RecordType,
        /// The request ID.
        request_id: u16,
        /// The content.
        data: &'a [u8],
    },
    /// The empty record that ends a stream (3.3).
    StreamEnd {
        /// The type of the record: `Params`, `Stdin`, `Stdout`, `Stderr` or `Data`.
        record_type: RecordType,
        /// The request ID.
        request_id: u16,
    },
    /// A piece of the content of `FCGI_GET_VALUES` or `FCGI_GET_VALUES_RESULT` (4.1): as much of the record as has
    /// arrived.
    Values {
        /// The type of the record: `GetValues` or `GetValuesResult`.
        record_type: RecordType,
        /// The request ID, [`MANAGEMENT_ID`](super::MANAGEMENT_ID) from a correct peer.
        request_id: u16,
        /// The content. Empty only when the record is empty.
        data: &'a [u8],
        /// Whether the record's content ends here: true in exactly one item per record.
        last: bool,
    },
    /// A record of a type that FastCGI 1.0 does not define. Returned after the header; content is skipped.
    Unassigned {
        /// The number of the type.
        record_type: u8,
        /// The request ID.
        request_id: u16,
    },
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// A header.
    Header,
    /// The 8 bytes at the start of a discrete record's content.
    Body,
    /// Content that is returned in items; at least one byte is missing.
    Content,
    /// Content that yields no item, or padding; at least one byte is missing.
    Skip,
    /// Unknown, after an error: `Demux::carry` holds the header that caused it.
    Failed,
}

/// The length of a discrete record's body, in bytes.
const BODY_LEN: u16 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_skipped_after_the_content_and_only_then() {
        let record = [1, 6, 0, 1, 0, 2, 2, 0, b'a', b'b', 0, 0];
        let mut demux = Demux::default();
        let skipping = record.map(|byte| {
            let bytes = [byte];
            let mut input = &bytes[..];
            while demux.next(&mut input).expect("a correct record").is_some() {}
            demux.is_skipping()
        });
        let expected = [[false; 9].as_slice(), &[true; 2], &[false]].concat();
        assert_eq!(skipping, *expected);
    }
}
