//! The end of a client's connection: the proxy ends its side first, the client soon after.

use std::time::Duration;

use super::net::socket::Socket;

/// The last response is being sent. What the client still sends is discarded: closing a socket with unread bytes resets
/// the connection, and a reset can destroy the response before the client has read it (RFC 9112, 9.6).
#[derive(Debug)]
pub(crate) struct Teardown {
    /// The proxy's side of the stream was ended.
    is_shut: bool,
    /// How many more bytes are discarded before the connection is closed.
    left: usize,
}

/// What the connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing changes.
    Wait,
    /// The client's time limit starts again.
    Progress,
    Close,
}

impl Teardown {
    /// Ends the proxy's side once everything is sent. Then closes the connection: at once if no input is unread, else a
    /// little later.
    pub(crate) fn new(is_unread: bool) -> Self {
        Self {
            is_shut: false,
            left: if is_unread { MAX_DISCARDED } else { 0 },
        }
    }

    pub(crate) fn wants_input(&self) -> bool {
        self.is_shut
    }

    /// Discards input of the client.
    pub(crate) fn discard(&mut self, len: usize) -> Next {
        let before = self.left;
        self.left = self.left.saturating_sub(len);
        if self.left == 0 {
            Next::Close
        } else if before / STEP > self.left / STEP {
            Next::Progress
        } else {
            Next::Wait
        }
    }

    /// Everything is sent.
    pub(crate) fn shut_down(&mut self, socket: &Socket) -> Next {
        if self.is_shut {
            Next::Wait
        } else if self.left == 0 || !socket.shut_down() {
            Next::Close
        } else {
            self.is_shut = true;
            Next::Progress
        }
    }
}

/// How long a client may take to close its side.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(2);

/// The time limit starts again after this many discarded bytes, for a client that sends its whole body before it reads
/// the response. A slow trickle of bytes does not extend the limit.
const STEP: usize = 64 * 1024;

/// The most bytes that are discarded.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;
