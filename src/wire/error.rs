//! Errors in FastCGI bytes: in the ones to be written, and in the ones received from the peer.

use super::RecordType;

/// Why bytes from the peer are not valid FastCGI 1.0.
///
/// The fault is the peer's, or the address does not belong to a FastCGI peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A record header does not begin with version 1 (3.3).
    #[error(
        "the peer sent a record of version {found}, not 1: it does not speak FastCGI, or the lengths of its \
         last record were wrong"
    )]
    Version {
        /// The first byte of what should have been a header.
        found: u8,
    },
    /// The bytes where a record header should be begin with `HTTP/`.
    #[error(
        "the peer answered in HTTP: the address is probably that of an HTTP server, not of a FastCGI application"
    )]
    Http,
    /// The body of a discrete record is shorter than 8 bytes (5.1, 5.5, 4.2).
    #[error(
        "the peer sent a {record_type} record with {len} bytes of content instead of 8: a bug in the peer"
    )]
    ShortBody {
        /// The type of the record.
        record_type: RecordType,
        /// The content length of the record, in bytes.
        len: u16,
    },
    /// The encoded name-value pairs end inside a pair (3.4).
    #[error(
        "the name-value pairs end early: the last pair needs {needed} bytes or more and {available} are left; \
         a bug in their sender, or they were cut short on the way"
    )]
    TruncatedPair {
        /// How many bytes the pair needs at least, its encoded lengths included.
        needed: u64,
        /// How many bytes are available, counted from the start of the pair.
        available: usize,
    },
}

/// Why something cannot be written as FastCGI 1.0.
///
/// The fault is the caller's. Nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The content does not fit into one record. A record holds at most 65,535 bytes, its padding included if it has
    /// any (3.3).
    #[error("the caller gave {len} bytes of content for one record, which holds 65535 at most")]
    ContentTooLong {
        /// The length of the content, in bytes.
        len: usize,
    },
    /// A name or a value is too long for its 31-bit length (3.4).
    #[error(
        "the caller gave a name or value of {len} bytes, and a name-value pair holds 2147483647 of each at most"
    )]
    LengthTooLong {
        /// The length of the name or the value, in bytes.
        len: usize,
    },
}
