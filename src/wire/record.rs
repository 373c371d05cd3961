//! Records: the header, the types, the 8-byte bodies, and functions that write them (FastCGI 1.0, 3.3, 5 and 8).

use super::{DecodeError, EncodeError};

/// The 8 bytes before each record's content (3.3).
///
/// The version has no field, because it is always [`VERSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The type of the record.
    pub record_type: RecordType,
    /// The request that the record belongs to, or [`MANAGEMENT_ID`].
    pub request_id: u16,
    /// The number of content bytes after the header.
    pub content_len: u16,
    /// The number of padding bytes after the content. The receiver ignores them.
    pub padding_len: u8,
}

impl Header {
    /// A header with the padding that makes the record's length a multiple of 8.
    ///
    /// Content of more than 65,528 bytes gets no padding: php-fpm resets the connection when content and
    /// padding together exceed 65,535 bytes.
    #[inline]
    #[must_use]
    pub const fn padded(record_type: RecordType, request_id: u16, content_len: u16) -> Self {
        let padding_len = if content_len as usize > MAX_ALIGNED_CONTENT_LEN {
            0
        } else {
            (content_len.wrapping_neg() & 7) as u8
        };
        Self {
            record_type,
            request_id,
            content_len,
            padding_len,
        }
    }

    /// The encoded header. The reserved byte is 0.
    #[inline]
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let [id1, id0] = self.request_id.to_be_bytes();
        let [len1, len0] = self.content_len.to_be_bytes();
        [
            VERSION,
            self.record_type.into(),
            id1,
            id0,
            len1,
            len0,
            self.padding_len,
            0,
        ]
    }

    /// Decodes a header. The reserved byte may have any value.
    ///
    /// # Errors
    /// [`DecodeError::Http`] when the bytes begin with `HTTP/`; [`DecodeError::Version`] when they begin with any other
    /// byte than version 1.
    #[inline]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, DecodeError> {
        let [
            version,
            record_type,
            id1,
            id0,
            len1,
            len0,
            padding_len,
            _reserved,
        ] = *bytes;
        if version != VERSION {
            return Err(not_a_header(bytes));
        }
        Ok(Self {
            record_type: RecordType::from(record_type),
            request_id: u16::from_be_bytes([id1, id0]),
            content_len: u16::from_be_bytes([len1, len0]),
            padding_len,
        })
    }
}

/// The type of a record (8, "Values for type component of FCGI_Header").
///
/// [`From<u8>`] returns `Unassigned` for 0 and 12 to 255 only. An `Unassigned` that holds an assigned number is encoded
/// as that number, but is not equal to the named variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// `FCGI_BEGIN_REQUEST` (1), discrete: the Web server starts a request.
    BeginRequest,
    /// `FCGI_ABORT_REQUEST` (2), discrete, no content: the Web server asks for the early end of a request.
    AbortRequest,
    /// `FCGI_END_REQUEST` (3), discrete: the application has ended a request.
    EndRequest,
    /// `FCGI_PARAMS` (4), stream to the application: name-value pairs.
    Params,
    /// `FCGI_STDIN` (5), stream to the application: the request body.
    Stdin,
    /// `FCGI_STDOUT` (6), stream to the Web server: the response.
    Stdout,
    /// `FCGI_STDERR` (7), stream to the Web server: diagnostics.
    Stderr,
    /// `FCGI_DATA` (8), stream to the application: the file that a Filter processes.
    Data,
    /// `FCGI_GET_VALUES` (9), management: the names that the Web server asks for.
    GetValues,
    /// `FCGI_GET_VALUES_RESULT` (10), management: the names that the application knows, with their values.
    GetValuesResult,
    /// `FCGI_UNKNOWN_TYPE` (11), management: the application does not know the type of a management record.
    UnknownType,
    /// A number that FastCGI 1.0 does not define.
    Unassigned(u8),
}

impl RecordType {
    /// Whether this is the type of a management record, which concerns the connection and not a request (4).
    #[inline]
    #[must_use]
    pub const fn is_management(self) -> bool {
        matches!(
            self,
            Self::GetValues | Self::GetValuesResult | Self::UnknownType
        )
    }

    /// Whether records of this type form a stream, which an empty record ends (3.3, "Types of record").
    #[inline]
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(
            self,
            Self::Params | Self::Stdin | Self::Stdout | Self::Stderr | Self::Data
        )
    }
}

impl From<u8> for RecordType {
    #[inline]
    fn from(byte: u8) -> Self {
        match byte {
            1 => Self::BeginRequest,
            2 => Self::AbortRequest,
            3 => Self::EndRequest,
            4 => Self::Params,
            5 => Self::Stdin,
            6 => Self::Stdout,
            7 => Self::Stderr,
            8 => Self::Data,
            9 => Self::GetValues,
            10 => Self::GetValuesResult,
            11 => Self::UnknownType,
            unassigned => Self::Unassigned(unassigned),
        }
    }
}

impl From<RecordType> for u8 {
    #[inline]
    fn from(record_type: RecordType) -> Self {
        match record_type {
            RecordType::BeginRequest => 1,
            RecordType::AbortRequest => 2,
            RecordType::EndRequest => 3,
            RecordType::Params => 4,
            RecordType::Stdin => 5,
            RecordType::Stdout => 6,
            RecordType::Stderr => 7,
            RecordType::Data => 8,
            RecordType::GetValues => 9,
            RecordType::GetValuesResult => 10,
            RecordType::UnknownType => 11,
            RecordType::Unassigned(byte) => byte,
        }
    }
}

/// The role that the Web server asks the application to take (6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `FCGI_RESPONDER` (1): answers an HTTP request, as a CGI program does (6.2).
    Responder,
    /// `FCGI_AUTHORIZER` (2): decides whether a request may go on; receives no body (6.3).
    Authorizer,
    /// `FCGI_FILTER` (3): answers with a converted file, which it receives as `FCGI_DATA` (6.4).
    Filter,
}

impl Role {
    /// The role's number in [`BeginRequest::role`].
    #[inline]
    #[must_use]
    pub const fn to_wire(self) -> u16 {
        match self {
            Self::Responder => 1,
            Self::Authorizer => 2,
            Self::Filter => 3,
        }
    }

    /// The role with this number; `None` for a number that FastCGI 1.0 does not define.
    #[inline]
    #[must_use]
    pub const fn from_wire(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Responder),
            2 => Some(Self::Authorizer),
            3 => Some(Self::Filter),
            _ => None,
        }
    }
}

/// How a request ended at the protocol level, as the application reports it (5.5).
///
/// [`From<u8>`] returns `Unassigned` for 4 to 255 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolStatus {
    /// `FCGI_REQUEST_COMPLETE` (0): the request ran to its end.
    RequestComplete,
    /// `FCGI_CANT_MPX_CONN` (1): rejected, the application serves one request at a time on a connection.
    CantMultiplex,
    /// `FCGI_OVERLOADED` (2): rejected, the application is out of some resource.
    Overloaded,
    /// `FCGI_UNKNOWN_ROLE` (3): rejected, the application does not support the role.
    UnknownRole,
    /// A number that FastCGI 1.0 does not define.
    Unassigned(u8),
}

impl From<u8> for ProtocolStatus {
    #[inline]
    fn from(byte: u8) -> Self {
        match byte {
            0 => Self::RequestComplete,
            1 => Self::CantMultiplex,
            2 => Self::Overloaded,
            3 => Self::UnknownRole,
            unassigned => Self::Unassigned(unassigned),
        }
    }
}

impl From<ProtocolStatus> for u8 {
    #[inline]
    fn from(status: ProtocolStatus) -> Self {
        match status {
            ProtocolStatus::RequestComplete => 0,
            ProtocolStatus::CantMultiplex => 1,
            ProtocolStatus::Overloaded => 2,
            ProtocolStatus::UnknownRole => 3,
            ProtocolStatus::Unassigned(byte) => byte,
        }
    }
}

/// The body of `FCGI_BEGIN_REQUEST` (5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BeginRequest {
    /// The number of the role. [`Role::from_wire`] converts the defined numbers.
    pub role: u16,
    /// The flags: [`KEEP_CONN`], and bits that FastCGI 1.0 does not define.
    pub flags: u8,
}

impl BeginRequest {
    /// Whether the application is to keep the transport connection open after the request (`FCGI_KEEP_CONN`).
    #[inline]
    #[must_use]
    pub const fn keep_conn(self) -> bool {
        self.flags & KEEP_CONN != 0
    }

    /// The encoded body. Reserved bytes are 0.
    #[inline]
    #[must_use]
    pub const fn encode(self) -> [u8; 8] {
        let [role1, role0] = self.role.to_be_bytes();
        [role1, role0, self.flags, 0, 0, 0, 0, 0]
    }

    /// Decodes a body. Reserved bytes may have any value.
    #[inline]
    #[must_use]
    pub const fn decode(bytes: &[u8; 8]) -> Self {
        let [role1, role0, flags, ..] = *bytes;
        Self {
            role: u16::from_be_bytes([role1, role0]),
            flags,
        }
    }
}

/// The body of `FCGI_END_REQUEST` (5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndRequest {
    /// The application status. In the Responder role, it is what a CGI program would have passed to `exit` (6.2).
    pub app_status: u32,
    /// Whether the request was served, or why it was rejected.
    pub protocol_status: ProtocolStatus,
}

impl EndRequest {
    /// The encoded body. Reserved bytes are 0.
    #[inline]
    #[must_use]
    pub fn encode(self) -> [u8; 8] {
        let [status3, status2, status1, status0] = self.app_status.to_be_bytes();
        [
            status3,
            status2,
            status1,
            status0,
            self.protocol_status.into(),
            0,
            0,
            0,
        ]
    }

    /// Decodes a body. Reserved bytes may have any value (php-fpm does not set them).
    #[inline]
    #[must_use]
    pub fn decode(bytes: &[u8; 8]) -> Self {
        let [status3, status2, status1, status0, protocol_status, ..] = *bytes;
        Self {
            app_status: u32::from_be_bytes([status3, status2, status1, status0]),
            protocol_status: ProtocolStatus::from(protocol_status),
        }
    }
}

/// The body of `FCGI_UNKNOWN_TYPE` (4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnknownType {
    /// The type of the management record that was not understood.
    pub record_type: u8,
}

impl UnknownType {
    /// The encoded body. Reserved bytes are 0.
    #[inline]
    #[must_use]
    pub const fn encode(self) -> [u8; 8] {
        [self.record_type, 0, 0, 0, 0, 0, 0, 0]
    }

    /// Decodes a body. Reserved bytes may have any value.
    #[inline]
    #[must_use]
    pub const fn decode(bytes: &[u8; 8]) -> Self {
        Self {
            record_type: bytes[0],
        }
    }
}

/// Appends one record with this content, padded as in [`Header::padded`].
///
/// # Errors
/// [`EncodeError::ContentTooLong`] above [`MAX_CONTENT_LEN`] bytes. Nothing is then appended.
#[inline]
pub fn write_record(
    out: &mut Vec<u8>,
    record_type: RecordType,
    request_id: u16,
    content: &[u8],
) -> Result<(), EncodeError> {
    let Ok(content_len) = u16::try_from(content.len()) else {
        return Err(EncodeError::ContentTooLong { len: content.len() });
    };
    write_parts(
        out,
        Header::padded(record_type, request_id, content_len),
        &[content],
    );
    Ok(())
}

/// Appends an `FCGI_BEGIN_REQUEST` record (5.1).
pub fn write_begin_request(out: &mut Vec<u8>, request_id: u16, role: Role, keep_conn: bool) {
    let body = BeginRequest {
        role: role.to_wire(),
        flags: if keep_conn { KEEP_CONN } else { 0 },
    };
    write_discrete(out, RecordType::BeginRequest, request_id, body.encode());
}

/// Appends an `FCGI_ABORT_REQUEST` record (5.4).
pub fn write_abort_request(out: &mut Vec<u8>, request_id: u16) {
    write_parts(
        out,
        Header::padded(RecordType::AbortRequest, request_id, 0),
        &[],
    );
}

/// Appends an `FCGI_END_REQUEST` record (5.5).
pub fn write_end_request(out: &mut Vec<u8>, request_id: u16, body: EndRequest) {
    write_discrete(out, RecordType::EndRequest, request_id, body.encode());
}

/// Appends an `FCGI_UNKNOWN_TYPE` record, the answer to a management record of this type (4.2).
pub fn write_unknown_type(out: &mut Vec<u8>, record_type: u8) {
    write_discrete(
        out,
        RecordType::UnknownType,
        MANAGEMENT_ID,
        UnknownType { record_type }.encode(),
    );
}

/// Appends the content of a stream, as records of at most [`MAX_ALIGNED_CONTENT_LEN`] bytes.
///
/// Empty content appends nothing, because an empty record ends the stream. [`write_stream_end`] appends that record.
/// For `FCGI_PARAMS` use [`write_params_records`](super::write_params_records), which keeps pairs whole.
pub fn write_stream(out: &mut Vec<u8>, record_type: RecordType, request_id: u16, content: &[u8]) {
    for piece in content.chunks(MAX_ALIGNED_CONTENT_LEN) {
        // `piece` is at most 65,528 bytes long, so the cast does not truncate its length.
        write_parts(
            out,
            Header::padded(record_type, request_id, piece.len() as u16),
            &[piece],
        );
    }
}

/// Appends the empty record that ends a stream (3.3).
#[inline]
pub fn write_stream_end(out: &mut Vec<u8>, record_type: RecordType, request_id: u16) {
    out.extend_from_slice(&Header::padded(record_type, request_id, 0).encode());
}

/// Appends a record of `parts` in order. The header must state their total length, and at most 8 bytes of padding.
#[inline]
pub(super) fn write_parts(out: &mut Vec<u8>, header: Header, parts: &[&[u8]]) {
    out.reserve(HEADER_LEN + usize::from(header.content_len) + 8);
    out.extend_from_slice(&header.encode());
    for part in parts.iter().filter(|part| !part.is_empty()) {
        out.extend_from_slice(part);
    }
    // Two moves of a known length, where `resize` calls `memset`.
    let end = out.len() + usize::from(header.padding_len);
    out.extend_from_slice(&[0; 8]);
    out.truncate(end);
}

#[inline]
fn write_discrete(out: &mut Vec<u8>, record_type: RecordType, request_id: u16, body: [u8; 8]) {
    out.extend_from_slice(&Header::padded(record_type, request_id, 8).encode());
    out.extend_from_slice(&body);
}

/// The error for bytes that do not begin with [`VERSION`].
#[cold]
pub(super) fn not_a_header(bytes: &[u8]) -> DecodeError {
    if bytes.starts_with(HTTP) {
        return DecodeError::Http;
    }
    DecodeError::Version {
        found: bytes.first().copied().unwrap_or(0),
    }
}

/// The first bytes of every HTTP/1 response. An HTTP server sends them where a record header should be.
pub(super) const HTTP: &[u8] = b"HTTP/";

/// `FCGI_VERSION_1`, the first byte of each record (3.3).
pub const VERSION: u8 = 1;

/// `FCGI_HEADER_LEN`: the length of a record header, in bytes (8).
pub const HEADER_LEN: usize = 8;

/// `FCGI_MAX_LENGTH`: the most content that one record can hold, in bytes (8).
pub const MAX_CONTENT_LEN: usize = 65_535;

/// The largest multiple of 8 within [`MAX_CONTENT_LEN`].
///
/// A record with this much content needs no padding. With less content, content and padding together stay within 65,535
/// bytes.
pub const MAX_ALIGNED_CONTENT_LEN: usize = 65_528;

/// `FCGI_KEEP_CONN`, the bit of [`BeginRequest::flags`] that keeps the transport connection open (5.1).
pub const KEEP_CONN: u8 = 1;

/// `FCGI_NULL_REQUEST_ID`, the request ID of management records (3.3).
pub const MANAGEMENT_ID: u16 = 0;

/// `FCGI_GET_VALUES` name: the number of transport connections that the application accepts at the same time (4.1).
pub const MAX_CONNS: &str = "FCGI_MAX_CONNS";

/// `FCGI_GET_VALUES` name: the number of requests that the application accepts at the same time (4.1).
pub const MAX_REQS: &str = "FCGI_MAX_REQS";

/// `FCGI_GET_VALUES` name: "1" if the application multiplexes connections, "0" if not (4.1).
pub const MPXS_CONNS: &str = "FCGI_MPXS_CONNS";
