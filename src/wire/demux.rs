//! The incremental demultiplexer: bytes as they arrive in, borrowed pieces of records out.

use super::record::{HTTP, not_a_header};
use super::{
    BeginRequest, DecodeError, EndRequest, HEADER_LEN, Header, RecordType, UnknownType, VERSION,
};

/// Takes the bytes of one transport connection apart, wherever they were cut, in either direction.
///
/// Holds 8 bytes at most: a header or a discrete record's body that arrived in part. Content of streams and
/// of `FCGI_GET_VALUES` and its result is handed on in the pieces it arrives in, so memory does not depend on
/// what the peer sends. Whether a record makes sense (its direction, its request ID, its place) is not judged.
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
    /// The header of the record being read; its lengths count down as content and padding are consumed.
    record: Header,
    /// What there is of a header or a discrete body that a cut went through; after an error, the header at fault.
    carry: [u8; HEADER_LEN],
    carried: u8,
}

impl Demux {
    /// Takes the next item off the front of `input`; `None` when `input` is used up.
    ///
    /// `input` moves past what was consumed: at least one byte per item, and all of it with `None`. Call until
    /// `None`, then again with the bytes that follow. After [`Item::Stream`] and [`Item::Values`] what is
    /// consumed ends exactly where `data` ends. Nothing is held back: an item comes with the last byte that it
    /// needs, and padding is consumed by the call after the item.
    ///
    /// # Errors
    /// [`DecodeError::Version`], [`DecodeError::Http`] and [`DecodeError::ShortBody`]. Where the next record
    /// begins is then unknown, so each later call returns the same error.
    #[inline]
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a>>, DecodeError> {
        loop {
            match self.stage {
                Stage::Header => {
                    // The end of most inputs.
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

    /// Whether the bytes so far end exactly where a record ends, its padding included.
    ///
    /// True before the first byte, false after an error.
    #[inline]
    #[must_use]
    pub fn at_record_boundary(&self) -> bool {
        matches!(self.stage, Stage::Header) && self.carried == 0
    }

    /// Whether what is missing of the record that was begun is skipped: its padding, as a rule.
    pub(crate) fn is_skipping(&self) -> bool {
        matches!(self.stage, Stage::Skip)
    }

    /// Starts on the record after its header; the item, if the header is all it takes.
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

    /// Consumes what nobody wants of the record; false when input is used up before its end.
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

    /// The next 8 bytes; `None` when they are not all there, and then all of `input` is carried over.
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

    /// Refuses what cannot become a header any more, without waiting for the rest of it.
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

    /// The error that `fail` was given, found again from the header at fault: storing it would double the size.
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

/// A record, or a piece of one, that borrows the bytes it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// `FCGI_BEGIN_REQUEST` (5.1).
    Begin {
        /// The request ID.
        request_id: u16,
        /// Role and flags.
        body: BeginRequest,
    },
    /// `FCGI_ABORT_REQUEST` (5.4); comes with the header, and content, which should be empty, is skipped.
    Abort {
        /// The request ID.
        request_id: u16,
    },
    /// `FCGI_END_REQUEST` (5.5).
    End {
        /// The request ID.
        request_id: u16,
        /// The two statuses.
        body: EndRequest,
    },
    /// `FCGI_UNKNOWN_TYPE` (4.2).
    UnknownType {
        /// The type that the peer did not understand.
        record_type: u8,
        /// The request ID, [`MANAGEMENT_ID`](super::MANAGEMENT_ID) from a correct peer.
        request_id: u16,
    },
    /// Content of a stream, as much as has arrived of the record; never empty.
    Stream {
        /// Params, Stdin, Stdout, Stderr or Data.
        record_type: RecordType,
        /// The request ID.
        request_id: u16,
        /// The bytes.
        data: &'a [u8],
    },
    /// The empty record that ends a stream (3.3).
    StreamEnd {
        /// Params, Stdin, Stdout, Stderr or Data.
        record_type: RecordType,
        /// The request ID.
        request_id: u16,
    },
    /// Content of `FCGI_GET_VALUES` or its result (4.1), as much as has arrived of the record.
    Values {
        /// GetValues or GetValuesResult.
        record_type: RecordType,
        /// The request ID, [`MANAGEMENT_ID`](super::MANAGEMENT_ID) from a correct peer.
        request_id: u16,
        /// The bytes; empty only when the record is.
        data: &'a [u8],
        /// Whether the record's content ends here: true in exactly one item per record.
        last: bool,
    },
    /// A record of a type without meaning in FastCGI 1.0; comes with the header, and content is skipped.
    Unassigned {
        /// The type.
        record_type: u8,
        /// The request ID.
        request_id: u16,
    },
}

/// What the next byte is.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Of a header, or the first one.
    Header,
    /// Of the 8 bytes that a discrete record's content begins with.
    Body,
    /// Content that is handed on; at least one byte is left.
    Content,
    /// Content without use, or padding; at least one byte is left.
    Skip,
    /// Nobody knows: `Demux::carry` holds the header at fault.
    Failed,
}

/// The length of a discrete record's body.
const BODY_LEN: u16 = 8;
