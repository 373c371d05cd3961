//! Violations of FastCGI 1.0 by the application.

use thiserror::Error;

use crate::wire::{DecodeError, RecordType};

/// How the application violated FastCGI 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The bytes are not a FastCGI record.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A record has a request ID that was never used on this connection.
    #[error("{record_type} for request ID {request_id}, which was never used")]
    UnknownRequest {
        /// The type of the record.
        record_type: RecordType,
        /// The request ID of the record.
        request_id: u16,
    },
    /// A record arrived before any byte of the request in flight was sent. It belongs to an earlier request.
    #[error(
        "{record_type} for request ID {request_id}, before a byte of the request in flight was sent"
    )]
    Premature {
        /// The type of the record.
        record_type: RecordType,
        /// The request ID of the record.
        request_id: u16,
    },
    /// The application answered a request that has another ID with ID 1. From then on, each connection to this server
    /// serves one request, with ID 1. See [`RequestIds`](crate::RequestIds).
    #[error(
        "a request with another ID was answered as request 1: the application knows no other ID; RequestIds::AlwaysOne is for such"
    )]
    OnlyIdOne,
    /// A record has a type that only a Web server sends.
    #[error("{record_type}, which only a Web server sends")]
    UnexpectedRecord {
        /// The type of the record.
        record_type: RecordType,
    },
}
