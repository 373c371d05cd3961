//! The end of a client's connection: ours first, and the client's soon after.

use std::time::Duration;

use super::net::socket::Socket;

/// The last answer is being sent; what the client still sends is thrown away, lest a reset takes the answer from it
/// (RFC 9112, 9.6).
#[derive(Debug)]
pub(crate) struct Teardown {
    /// Our side of the stream was ended.
    is_shut: bool,
    /// Bytes that are still thrown away.
    left: usize,
}

/// What follows for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on as it is.
    Wait,
    /// The client's time to notice the end begins anew.
    Progress,
    Close,
}

impl Teardown {
    /// Ends our side once everything is sent, and the other side soon after: at once if nothing is unread.
    pub(crate) fn new(is_unread: bool) -> Self {
        Self {
            is_shut: false,
            left: if is_unread { MAX_DISCARDED } else { 0 },
        }
    }

    pub(crate) fn wants_input(&self) -> bool {
        self.is_shut
    }

    /// The client sent something.
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

/// How long a client may take to notice that it is being closed.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(2);

/// For each of these that it sends meanwhile, as one does that looks for the answer after its whole body, that time
/// begins anew; bytes that trickle in put nothing off.
const STEP: usize = 64 * 1024;

/// How much is thrown away.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;
