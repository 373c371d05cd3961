//! What a connection received, as values for the engine to act on.

use crate::engine::requests::OutputKind;
use crate::error::ProtocolError;
use crate::event::{RequestHandle, ServerValues, Tag};
use crate::report::Elapsed;
use crate::wire::{EndRequest, RecordType};

/// The result of one step of parsing.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing is left of the read.
    Nothing,
    /// A record that needs no action.
    Unremarkable,
    /// Output of a request. The bytes are the last `len` consumed ones.
    Output {
        request: RequestHandle,
        tag: Tag,
        kind: OutputKind,
        len: usize,
        /// Whether this is the first output of the request.
        is_first: bool,
    },
    /// Output that was buffered: the bytes added now (`more`) and all buffered bytes of the request (`in_all`).
    Kept {
        key: u32,
        more: usize,
        in_all: usize,
    },
    /// The end of a request's `FCGI_STDOUT`.
    OutputEnd {
        request: RequestHandle,
        tag: Tag,
        is_first: bool,
    },
    /// The application has ended a request.
    Ended { key: u32, body: EndRequest },
    /// A record that is dropped.
    Ignored,
    /// A record for a request that has ended.
    Late {
        record_type: RecordType,
        request_id: u16,
    },
    /// A record that belongs to no request and was not asked for.
    Unsolicited,
    /// The reply to a probe.
    Values(ServerValues),
    /// Bytes that are not FastCGI, or a record that an application must not send.
    Violation(ProtocolError),
}

/// The first record for the first request since the connection was idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstReply {
    pub(crate) request_id: u16,
    /// How long the request has waited for it.
    pub(crate) waited: Option<Elapsed>,
}

/// Whether the socket must be read before an expired time limit takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// No: the socket was read, or cannot be read.
    Done,
    /// The read is in progress.
    Waits,
    /// Yes: ask the driver to read.
    Ask,
}
