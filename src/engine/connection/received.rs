//! What a connection says of what came on it: values for the engine to act on.

use std::time::Duration;

use crate::engine::requests::OutputKind;
use crate::error::ProtocolError;
use crate::event::{RequestHandle, ServerValues, Tag};
use crate::wire::{EndRequest, RecordType};

/// What came.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing is left of the read.
    Nothing,
    /// A record that nothing follows from.
    Unremarkable,
    /// Output of a request: the last of the bytes that were consumed.
    Output {
        request: RequestHandle,
        tag: Tag,
        kind: OutputKind,
        len: usize,
        /// Nothing has come for the request before.
        is_first: bool,
    },
    /// Output that was kept: the bytes that are kept more, and in all, for the request.
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
    /// A record that is no request's, and that nobody asked for.
    Unsolicited,
    /// The answer to a question.
    Values(ServerValues),
    /// What is not FastCGI, or not the application's to say.
    Violation(ProtocolError),
}

/// The first record of an application for the first request since its connection was idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstReply {
    pub(crate) request_id: u16,
    /// How long the request has waited for it.
    pub(crate) waited: Option<Duration>,
}

/// Whether the socket is to be looked into before a time limit that is over counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It was, or cannot be.
    Done,
    /// It is being looked into.
    Waits,
    /// It is to be read.
    Ask,
}
