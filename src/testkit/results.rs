//! What a call on a virtual socket finds.

use std::time::Instant;

use super::link::CloseKind;

/// The length of the client's read buffer.
pub(super) const BUFFER_LEN: usize = 64 * 1024;

/// The result of a write of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// There is nothing to write, or writing is over.
    Nothing,
    /// The write fails.
    Failed,
    /// The link is full.
    Full,
    /// The link takes this many bytes. `is_lost`: they are never read.
    Takes { len: usize, is_lost: bool },
}

/// The result of a read of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The end.
    End(CloseKind),
    /// No byte. `is_over`: none will arrive, because a write has failed.
    Nothing { is_over: bool },
    Some {
        len: usize,
        available: usize,
        buffer_len: usize,
        /// The read has emptied the socket, and later bytes are announced.
        is_drained: bool,
        /// When the bytes arrive for which there is room now.
        arrival: Option<Instant>,
    },
}
